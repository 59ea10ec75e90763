"""The page that shows every figure of a profile."""

import html
import os
from pathlib import Path

from lib import _boundary
from lib._boundary import explained, whole
from lib.command import notebooks
from lib.report import takeaways
from lib.report.takeaways import PAPER

TALK = (  # the pictures to show first, in this order
    "18_do_moving_links_help/leads",
    "11_set_ablation/leads_tuned",
    "60_accuracy_at_one_percent/start_or_rule",
    "62_few_links/by_links",
    "11_set_ablation/main_result",
    "15_visible_connectivity/looking_for_the_digits",
    "17_network_structure/layer",
    "17_network_structure/working",
    "14_scale_free/main_result",
    "02_speed_and_scale/training_step",
    "24_make_it_robust/recipes",
    "61_robust_at_one_percent/by_radius",
)
THUMBNAIL = 420  # pixels
SHORT = (  # beside figures of another profile
    "These runs are short. The texts of the notebooks are about the profile paper, as are"
    " [its figures](../paper/README.md)."
)


def write(profile: str) -> Path:
    """Write figures/<profile>/README.md, which shows every figure of every notebook."""
    page = _boundary.FIGURES / profile / "README.md"
    shown = text(profile)
    if page.is_file() and page.read_text(encoding="utf-8") == shown:
        return page
    with explained(page):
        page.parent.mkdir(parents=True, exist_ok=True)
    with whole(page) as part:
        part.write_text(shown, encoding="utf-8")
    return page


def text(profile: str) -> str:
    """The page: thumbnails that lead to the figures, each with what it shows and its sources."""
    lines = [
        f"# Figures, profile {profile}",
        "",
        "The title of a figure says what it shows, or asks a question; links lead to its notebook,"
        " the numbers behind it (csv) and its vector form (svg).",
        "",
    ]
    if profile != PAPER:
        lines += [SHORT, ""]
    sentences, root = takeaways.read(profile), _boundary.FIGURES / profile
    if profile == PAPER:
        lines += ["## For a talk", "", "<table>"]
        for place in TALK:
            lines += _row(place, root, sentences)
        lines += ["</table>", ""]
    for path in notebooks.find():
        lines += _section(path, root, sentences)
    return "\n".join(lines).rstrip() + "\n"


def _section(notebook: Path, root: Path, sentences: dict[str, str]) -> list[str]:
    """The lines of one notebook, a table with a row a figure; none if it was not rendered. In the
    table is Markdown, so that its links are known as such.
    """
    name = notebook.stem
    csv_files = sorted(path.stem for path in root.glob(f"{name}/*.csv"))
    pictures = sorted(path.stem for path in root.glob(f"{name}/*.png"))
    if not csv_files:
        return []
    number = name[:2] if name[:2].isdigit() else name
    command = f"⌨️ `python -m lib figures --profile {root.name} --only {number}`"
    lines = [f"## {name}: {notebooks.title(notebook)}", "", f"{_book(name, root)} · {command}", ""]
    lines += ["<table>"] if pictures else []
    for picture in pictures:
        lines += _row(f"{name}/{picture}", root, sentences)
    lines += ["</table>", ""] if pictures else []
    tables = [f"[{table}]({name}/{table}.csv)" for table in csv_files if table not in pictures]
    lines += [f"Tables: {', '.join(tables)}", ""] if tables else []
    return lines


def _row(place: str, root: Path, sentences: dict[str, str]) -> list[str]:
    """The lines of one figure: a row of a table."""
    name, picture = place.split("/")
    sentence = sentences.get(place, "")
    shown = html.escape(sentence or picture).replace("|", "&#124;")
    image = f'<img src="{place}.png" alt="{shown}" width="{THUMBNAIL}">'
    links = [_book(name, root), f"🔢 [numbers]({place}.csv)"]
    if (root / f"{place}.svg").exists():
        links.append(f"✒️ [vector]({place}.svg)")
    return [
        f'<tr><td width="{THUMBNAIL + 20}">',
        f'<a href="{place}.png">{image}</a>',
        "</td><td>",
        "",
        *([sentence, ""] if sentence else []),
        " · ".join(links),
        "",
        "</td></tr>",
    ]


def _book(name: str, root: Path) -> str:
    """A link to a notebook."""
    return f"📓 [notebook]({os.path.relpath(notebooks.FOLDER / f'{name}.ipynb', root)})"
