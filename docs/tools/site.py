"""What the site adds to the pages and notebooks, which it reads where they lie: links between them,
cards of the notebooks, the pictures of the gallery and the explorer. An extension of Sphinx, see
docs/conf.py.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from lib import papers
from lib.command import notebooks
from lib.command.gallery import PAPER
from lib.paths import ROOT
from tools import explorer
from tools.pages import BIBLIOGRAPHY, replace_between

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
KEY = re.compile(r"\[([A-Z][A-Za-z]+(?:19|20)\d\d[a-z]?)\](?!\()")
NUMBERED = re.compile(  # not within the words of a link
    r"\b(notebooks? )(\d\d)\b((?:(?:, | and | to )\d\d\b)*)(?![^][]*\]\()"
)
FOLLOWING = re.compile(r"(, | and | to )(\d\d)\b")
SECTION = re.compile(r"(Returns:|Raises:|Source:|Departs:) (.*)")
ROW_OF_PAPER = re.compile(
    r"^\| \[(?P<name>[^]]+)\]\(docs/REFERENCES\.md#(?P<key>\w+)\), (?P<year>\d+)"
    r" \| (?P<question>.*?) \| (?P<found>.*?) \| (?P<notebooks>.*?) \|$",
    re.MULTILINE,
)
ANCHOR = re.compile(r'^- <a id="(\w+)"></a>', re.MULTILINE)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", break_sections)
    app.connect("build-finished", copy_pictures)
    app.connect("build-finished", write_explorer)
    return {"parallel_read_safe": True}


def break_sections(app: Any, what: str, name: str, of: Any, options: Any, lines: list[str]) -> None:
    """Give text that stands beside the name of a section a line of its own, as Sphinx wants it.

    Args:
        app, what, name, of, options: see Sphinx, ``autodoc-process-docstring``.
        lines: of a docstring, replaced.
    """
    broken, within = [], False  # whether the line before belongs to such a section
    for line in lines:
        section = SECTION.fullmatch(line)
        if section is not None:
            broken += ["", section[1], f"    {section[2]}"]
        elif within and line.strip():
            broken.append(f"    {line.strip()}")
        else:
            broken.append(line)
        within = section is not None or (within and bool(line.strip()))
    lines[:] = broken


def read_page(app: Any, page: str, source: list[str]) -> None:
    """Change what Sphinx has read of a page.

    Args:
        app: Sphinx.
        page: its path from the root of the repository, without an ending.
        source: its text, which is replaced: Markdown, or the JSON of a notebook.
    """
    (text,) = source
    folder, _, name = page.rpartition("/")
    if folder == "notebooks":
        book = json.loads(text)
        for cell in book["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = linked("".join(cell["source"]), page)
        show_stored_pictures(book)
        text = json.dumps(book)
    elif name == "REFERENCES":
        text = ANCHOR.sub(r"\n(\1)=\n", text)
    else:
        text = linked(text, page)
    if name == "NOTEBOOKS":
        books = notebooks.find()
        text = replace_between(text, "cards", f"{cards(books)}\n\n{contents(books)}")
    elif name == "PAPERS":
        text = replace_between(text, "papers", five_papers())
    source[0] = text


def show_stored_pictures(book: dict[str, Any]) -> None:
    """In place of controls that need a running kernel, what they showed when the notebook was
    stored.

    Args:
        book: a notebook as JSON, which is changed.
    """
    stored = book["metadata"].pop("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for cell in book["cells"]:
        outputs = []
        for output in cell.get("outputs", []):
            control = output.get("data", {}).get(WIDGET_VIEW)
            if control is None:
                outputs.append(output)
                continue
            for child in stored[control["model_id"]]["state"].get("children", []):
                for shown in stored[child.removeprefix("IPY_MODEL_")].get("buffers", []):
                    content = {"image/png": shown["data"]}
                    outputs.append({"output_type": "display_data", "metadata": {}, "data": content})
        if "outputs" in cell:
            cell["outputs"] = outputs


def linked(text: str, page: str) -> str:
    """Markdown with a link at each key of a reference and each number of another notebook.

    Args:
        text: Markdown.
        page: that it is of, as "docs/SPEED" or "notebooks/10_set_mlp".
    """
    keys = set(re.findall(r"@\w+\{(\w+),", BIBLIOGRAPHY.read_text(encoding="utf-8")))
    names = {path.stem[:2]: path.stem for path in notebooks.find()}
    root = "../" * page.count("/")

    def to_reference(match: re.Match) -> str:
        key = match[1]
        if key not in keys:
            return match[0]
        return f"[\\[{key}\\]]({root}docs/REFERENCES.md#{key.lower()})"

    def to_notebook(number: str) -> str:
        name = names.get(number)
        if name is None or page == f"notebooks/{name}":
            return number
        return f"[{number}]({root}notebooks/{name}.ipynb)"

    def to_notebooks(match: re.Match) -> str:
        others = FOLLOWING.sub(lambda more: more[1] + to_notebook(more[2]), match[3])
        return f"{match[1]}{to_notebook(match[2])}{others}"

    return KEY.sub(to_reference, NUMBERED.sub(to_notebooks, text))


def five_papers() -> str:
    """A section a paper: its question and what was found, as the README has them, a card of each of
    its notebooks, and the verdicts on its claims, as the page of verdicts has them.
    """
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    verdicts = (ROOT / "docs" / "VERDICTS.md").read_text(encoding="utf-8")
    claims = papers.PUBLISHED[~papers.is_ours(papers.PUBLISHED)]
    rooms = claims["paper"].drop_duplicates()  # in their order
    lines = []
    for paper, room in zip(ROW_OF_PAPER.finditer(readme), rooms, strict=True):
        numbers = re.findall(r"notebooks/(\d)\d_", paper["notebooks"])
        books = [path for path in notebooks.find() if path.stem[0] in numbers]
        lines += [f"## {paper['name']}", ""]
        lines += [f"**{paper['question']}** {paper['found']}", ""]
        lines += [f"[The paper](REFERENCES.md#{paper['key']}), {paper['year']}.", "", cards(books)]
        lines += ["", "| claim | what we found |", "|---|---|"]
        for claim in claims.loc[claims["paper"] == room, "id"]:
            row = re.search(rf"^\| \[?{claim}\b.*?\|.*?\|", verdicts, re.MULTILINE)
            if row:  # one without a run is not there
                lines.append(row[0])
        lines.append("")
    return "\n".join(lines)


def cards(books: list[Path]) -> str:
    """A card a notebook, with its last picture."""
    lines = ["::::{grid} 1 2 2 3", ":gutter: 2", ""]
    for path in books:
        lines += [f":::{{grid-item-card}} {notebooks.title(path)}"]
        folder = f"figures/{PAPER}/{path.stem}"
        pictures = [f"{folder}/{name}.png" for name in notebooks.pictures(path)]
        drawn = [picture for picture in pictures if (ROOT / picture).exists()]
        if drawn:
            lines.append(f":img-bottom: ../{drawn[-1]}")
        lines += [f":link: /notebooks/{path.stem}", ":link-type: doc", path.stem, ":::"]
    return "\n".join([*lines, "::::"])


def contents(books: list[Path]) -> str:
    """The hidden table of contents that has the notebooks below a page."""
    lines = ["```{toctree}", ":hidden:", ":maxdepth: 1", ""]
    lines += [f"/notebooks/{path.stem}" for path in books]
    return "\n".join([*lines, "```"])


def copy_pictures(app: Any, failure: Exception | None) -> None:
    """Those of the gallery, to which its HTML leads."""
    for path in ROOT.glob(f"figures/{PAPER}/*/*.png"):
        target = Path(app.outdir) / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def write_explorer(app: Any, failure: Exception | None) -> None:
    """The explorer, from the records as they are now, beside the first page."""
    if failure is None:
        page = Path(app.outdir) / "explorer.html"
        page.write_text(explorer.page(), encoding="utf-8")
