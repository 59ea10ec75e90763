"""The pages of the site: the notebooks as stored, what surrounds them, and the links between."""

import json
import re
import shutil
import sys
from pathlib import Path

from lib import paths
from lib.command import gallery, notebooks
from lib.command.gallery import PAPER
from lib.command.pages import BIBLIOGRAPHY, replace_between
from lib.paths import ROOT

DOCS = ROOT / "docs"
KEY = re.compile(r"\[([A-Z][A-Za-z]+(?:19|20)\d\d[a-z]?)\](?!\()")
NUMBERED = re.compile(r"\b(notebooks? )(\d\d)\b((?:(?:, | and | to )\d\d\b)*)")
FOLLOWING = re.compile(r"(, | and | to )(\d\d)\b")
ANCHOR = re.compile(r'^- <a id="(\w+)"></a>', re.MULTILINE)


def assemble(folder: Path) -> None:
    """Write the sources of the site into an empty folder: pages, notebooks, figures."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS, folder)
    books = notebooks.find()
    numbers = {path.stem[:2]: path.stem for path in books if path.stem[:2].isdigit()}
    (folder / "notebooks").mkdir()
    for path in books:
        (folder / "notebooks" / path.name).write_text(linked_notebook(path, numbers))
    _copy_figures(folder / "figures")
    (folder / "GALLERY.md").write_text(_gallery())
    for page in folder.glob("*.md"):
        text = page.read_text().replace("../figures/paper/README.md", "GALLERY.md")
        text = text.replace("(../notebooks/", "(notebooks/")
        text = text.replace("(../figures/paper/", "(figures/")
        text = ANCHOR.sub(r"\n(\1)=\n", text)
        page.write_text(text if page.stem == "REFERENCES" else linked(text, numbers, ""))
    page = folder / "NOTEBOOKS.md"
    page.write_text(replace_between(page.read_text(), "cards", cards(books, folder)))


def linked_notebook(path: Path, numbers: dict[str, str]) -> str:
    """A notebook whose texts link to references and to each other.

    Args:
        path: the notebook, which is not changed.
        numbers: {number: name} of all notebooks.
    """
    book = json.loads(path.read_text(encoding="utf-8"))
    for cell in book["cells"]:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            text = text.replace("../figures/paper/", "../figures/").replace("../docs/", "../")
            cell["source"] = linked(text, numbers, "../", own=path.stem[:2])
    return json.dumps(book, ensure_ascii=False)


def linked(text: str, numbers: dict[str, str], up: str, own: str = "") -> str:
    """Markdown with a link at each key of a reference and each number of another notebook.

    Args:
        text: Markdown.
        numbers: {number: name} of all notebooks.
        up: path from the page to the root of the site, "" or "../".
        own: number of the notebook that the text is of.
    """
    known = set(re.findall(r"@\w+\{(\w+),", BIBLIOGRAPHY.read_text()))

    def to_reference(found: re.Match) -> str:
        key = found[1]
        return f"[\\[{key}\\]]({up}REFERENCES.md#{key.lower()})" if key in known else found[0]

    def to_notebook(number: str) -> str:
        name = numbers.get(number)
        if name is None or number == own:
            return number
        return f"[{number}]({up}notebooks/{name}.ipynb)"

    def to_notebooks(found: re.Match) -> str:
        others = FOLLOWING.sub(lambda more: more[1] + to_notebook(more[2]), found[3])
        return f"{found[1]}{to_notebook(found[2])}{others}"

    return KEY.sub(to_reference, NUMBERED.sub(to_notebooks, text))


def cards(books: list[Path], folder: Path) -> str:
    """A card a notebook, with its last picture, and the table of contents."""
    lines = ["::::{grid} 1 2 2 3", ":gutter: 2", ""]
    for path in books:
        figures = [f"figures/{path.stem}/{name}.png" for name in notebooks.pictures(path)]
        pictures = [figure for figure in figures if (folder / figure).exists()]
        lines += [f":::{{grid-item-card}} {notebooks.title(path)}"]
        if pictures:
            lines.append(f":img-bottom: {pictures[-1]}")
        lines += [f":link: notebooks/{path.stem}", ":link-type: doc", path.stem, ":::"]
    lines += ["::::", "", "```{toctree}", ":hidden:", ":maxdepth: 1", ""]
    lines += [f"notebooks/{path.stem}" for path in books]
    return "\n".join([*lines, "```"])


def _gallery() -> str:
    """The page of all figures, with paths from the root of the site and without tables."""
    text = gallery.text(PAPER)
    text = re.sub(r"\((?:\.\./)+notebooks/", "(notebooks/", text)
    text = re.sub(r'(src|href)="', r'\1="figures/', text)
    lines = [line for line in text.splitlines() if not line.startswith("Tables: ")]
    return re.sub(r" · \S+ \[(numbers|vector)\]\([^)]*\)", "", "\n".join(lines)) + "\n"


def _copy_figures(folder: Path) -> None:
    figures = paths.FIGURES / PAPER
    for path in sorted(figures.glob("*/*.png")):
        target = folder / path.relative_to(figures)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
