"""The page that shows every figure of a profile."""

from pathlib import Path

from lib import paths
from lib.command import notebooks


def write(profile: str) -> Path:
    """Write figures/<profile>/README.md, which shows every figure of every notebook."""
    lines = [
        f"# Figures, profile {profile}",
        "",
        "Beside each picture lie its vector form (svg) and the numbers behind it (csv).",
        "",
    ]
    for path in notebooks.find():
        lines += _section(path, paths.FIGURES / profile / path.stem)
    page = paths.FIGURES / profile / "README.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(lines).rstrip() + "\n")
    return page


def _section(notebook: Path, folder: Path) -> list[str]:
    """The lines of one notebook; none if it was not rendered."""
    name = notebook.stem
    tables = [f"[{path.stem}]({name}/{path.name})" for path in sorted(folder.glob("*.csv"))]
    if not tables:
        return []
    lines = [f"## {name}: {notebooks.title(notebook)}", ""]
    for picture in sorted(folder.glob("*.png")):
        lines.append(f"![{picture.stem}]({name}/{picture.name})")
    return [*lines, "", f"Tables: {', '.join(tables)}", ""]
