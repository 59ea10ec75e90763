"""The page that shows every figure of a profile."""

import csv
import html
import os
from pathlib import Path

from lib import paths
from lib.command import notebooks
from lib.files import explained, whole

PAPER = "paper"  # the profile that the takeaways are of
TAKEAWAYS = paths.ROOT / "docs" / "takeaways.csv"
THUMBNAIL = 420  # pixels


def write(profile: str) -> Path:
    """Write figures/<profile>/README.md, which shows every figure of every notebook."""
    page = paths.FIGURES / profile / "README.md"
    shown = text(profile)
    if page.is_file() and page.read_text(encoding="utf-8") == shown:
        return page
    with explained(page):
        page.parent.mkdir(parents=True, exist_ok=True)
    with whole(page) as part:
        part.write_text(shown, encoding="utf-8")
    return page


def takeaways(profile: str) -> dict[str, str]:
    """{notebook/figure: what it shows, in a sentence}; there are some for the paper alone."""
    if profile != PAPER:
        return {}
    with TAKEAWAYS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {f"{row['notebook']}/{row['figure']}": row["takeaway"] for row in rows}


def text(profile: str) -> str:
    """The page: thumbnails that lead to the figures, each with what it shows and its sources."""
    lines = [
        f"# Figures, profile {profile}",
        "",
        "Each asks its question at its top; links lead to its notebook, the numbers behind it"
        " (csv) and its vector form (svg).",
        "",
    ]
    sentences = takeaways(profile)
    for path in notebooks.find():
        lines += _section(path, paths.FIGURES / profile, sentences)
    return "\n".join(lines).rstrip() + "\n"


def _section(notebook: Path, root: Path, sentences: dict[str, str]) -> list[str]:
    """The lines of one notebook; none if it was not rendered."""
    name = notebook.stem
    folder = root / name
    numbers = sorted(folder.glob("*.csv"))
    if not numbers:
        return []
    pictures = sorted(folder.glob("*.png"))
    tables = [path for path in numbers if path.stem not in {picture.stem for picture in pictures}]
    book = f"📓 [notebook]({os.path.relpath(notebook, root)})"
    command = f"⌨️ `python -m lib figures --profile {root.name} --only {name[:2]}`"
    lines = [f"## {name}: {notebooks.title(notebook)}", "", f"{book} · {command}", ""]
    lines += _pictures(pictures, book, sentences)
    if tables:
        links = [f"[{path.stem}]({name}/{path.name})" for path in tables]
        lines += [f"Tables: {', '.join(links)}", ""]
    return lines


def _pictures(pictures: list[Path], book: str, sentences: dict[str, str]) -> list[str]:
    """A table, a row a figure; Markdown within, so that its links are known as such."""
    if not pictures:
        return []
    lines = ["<table>"]
    for picture in pictures:
        sentence = sentences.get(f"{picture.parent.name}/{picture.stem}", "")
        lines += [f'<tr><td width="{THUMBNAIL + 20}">', _thumbnail(picture, sentence)]
        lines += ["</td><td>", ""]
        if sentence:
            lines += [sentence, ""]
        lines += [" · ".join([book, *_sources(picture)]), "", "</td></tr>"]
    return [*lines, "</table>", ""]


def _thumbnail(picture: Path, sentence: str) -> str:
    place = f"{picture.parent.name}/{picture.name}"
    shown = html.escape(sentence or picture.stem).replace("|", "&#124;")
    image = f'<img src="{place}" alt="{shown}" width="{THUMBNAIL}">'
    return f'<a href="{place}">{image}</a>'


def _sources(picture: Path) -> list[str]:
    """Links to the numbers of a figure and, if there is one, to its vector form."""
    place = f"{picture.parent.name}/{picture.stem}"
    links = [f"🔢 [numbers]({place}.csv)"]
    if picture.with_suffix(".svg").exists():
        links.append(f"✒️ [vector]({place}.svg)")
    return links
