"""The page that shows every figure of a profile."""

import os
from pathlib import Path

from lib import paths
from lib.command import notebooks

THUMBNAIL = 420  # pixels


def write(profile: str) -> Path:
    """Write figures/<profile>/README.md, which shows every figure of every notebook."""
    page = paths.FIGURES / profile / "README.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text(profile))
    return page


def text(profile: str) -> str:
    """The page: thumbnails that lead to the figures, each with its notebook and its numbers."""
    lines = [
        f"# Figures, profile {profile}",
        "",
        "Each asks its question at its top. Beside each lie its vector form (svg) and the numbers"
        " behind it (csv).",
        "",
    ]
    for path in notebooks.find():
        lines += _section(path, paths.FIGURES / profile)
    return "\n".join(lines).rstrip() + "\n"


def _section(notebook: Path, root: Path) -> list[str]:
    """The lines of one notebook; none if it was not rendered."""
    name = notebook.stem
    folder = root / name
    numbers = sorted(folder.glob("*.csv"))
    if not numbers:
        return []
    pictures = sorted(folder.glob("*.png"))
    tables = [path for path in numbers if path.stem not in {picture.stem for picture in pictures}]
    book = os.path.relpath(notebook, root)
    command = f"`python -m lib figures --profile {root.name} --only {name[:2]}`"
    lines = [f"## {name}: {notebooks.title(notebook)}", "", f"[notebook]({book}) · {command}", ""]
    lines += [_thumbnail(picture, name) for picture in pictures]
    if tables:
        links = [f"[{path.stem}]({name}/{path.name})" for path in tables]
        lines += ["", f"Tables: {', '.join(links)}"]
    return [*lines, ""]


def _thumbnail(picture: Path, name: str) -> str:
    place = f"{name}/{picture.name}"
    image = f'<img src="{place}" alt="{picture.stem}" width="{THUMBNAIL}">'
    return f'<a href="{place}">{image}</a> [numbers]({name}/{picture.stem}.csv)'
