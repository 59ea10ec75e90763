"""Additions of the site to the pages and notebooks, which it reads where they lie: cards of the
notebooks, the pictures of the gallery and the explorer. An extension of Sphinx, see docs/conf.py.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from lib._boundary import ROOT
from lib.command import notebooks
from lib.report import takeaways
from lib.report.takeaways import PAPER
from tools import explorer
from tools.pages import replace_between

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
SECTION = re.compile(r"(Returns:|Raises:|Source:|Departs:) (.*)")


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
    if page.startswith("notebooks/"):
        book = json.loads(source[0])
        show_stored_pictures(book)
        source[0] = json.dumps(book)
    elif page == "docs/NOTEBOOKS":
        books = notebooks.find()
        source[0] = replace_between(source[0], "cards", f"{cards(books)}\n\n{contents(books)}")


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


def cards(books: list[Path]) -> str:
    """A card a notebook: its question, its answer, and the picture of that."""
    answers = takeaways.read(PAPER)
    lines = ["::::{grid} 1 2 2 3", ":gutter: 2", ""]
    for path in books:
        picture = main_picture(path)
        lines += [
            f":::{{grid-item-card}} {notebooks.title(path)}",
            f":img-bottom: ../figures/{PAPER}/{picture}.png",
            f":link: /notebooks/{path.stem}",
            ":link-type: doc",
            answers[picture],
            "",
            path.stem,
            ":::",
        ]
    return "\n".join([*lines, "::::"])


def main_picture(path: Path) -> str:
    """The picture at the top of a notebook, else the last that it draws: notebook/figure."""
    at_top = re.search(rf"figures/{PAPER}/({path.stem}/\w+)\.png", path.read_text(encoding="utf-8"))
    if at_top is not None:
        return at_top[1]
    drawn = [f"{path.stem}/{name}" for name in notebooks.pictures(path)]
    return [place for place in drawn if (ROOT / f"figures/{PAPER}/{place}.png").exists()][-1]


def contents(books: list[Path]) -> str:
    """The hidden table of contents that has the notebooks below a page."""
    lines = ["```{toctree}", ":hidden:", ":maxdepth: 1", ""]
    lines += [f"/notebooks/{path.stem}" for path in books]
    return "\n".join([*lines, "```"])


def copy_pictures(app: Any, failure: Exception | None) -> None:
    """Copy the pictures of the gallery, to which its HTML leads."""
    for path in ROOT.glob(f"figures/{PAPER}/*/*.png"):
        target = Path(app.outdir) / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def write_explorer(app: Any, failure: Exception | None) -> None:
    """The explorer, from the records as they are now, beside the first page."""
    if failure is None:
        page = Path(app.outdir) / "explorer.html"
        page.write_text(explorer.page(), encoding="utf-8")
