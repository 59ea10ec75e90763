"""The page of all figures of a profile."""

import pytest

from lib import paths
from lib.command import gallery, notebooks
from tests.checkouts import write_notebook


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """Three notebooks, of which the first two were rendered, the second to a table alone."""
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)
    for name in ("10_curves", "11_table", "12_nothing"):
        write_notebook(tmp_path / f"{name}.ipynb")
    folder = tmp_path / "figures" / "smoke"
    for name in ("10_curves/b.png", "10_curves/b.csv", "10_curves/a.csv", "11_table/c.csv"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_page_shows_every_picture_and_table_in_order(figures):
    page = gallery.write("smoke")
    assert page == figures / "README.md"
    image = '<img src="10_curves/b.png" alt="b" width="420">'
    command = "`python -m lib figures --profile smoke --only"
    assert page.read_text().splitlines()[4:] == [
        "## 10_curves: Try",
        "",
        f"[notebook](../../10_curves.ipynb) · {command} 10`",
        "",
        f'<a href="10_curves/b.png">{image}</a> [numbers](10_curves/b.csv)',
        "",
        "Tables: [a](10_curves/a.csv)",
        "",
        "## 11_table: Try",
        "",
        f"[notebook](../../11_table.ipynb) · {command} 11`",
        "",
        "",
        "Tables: [c](11_table/c.csv)",
    ]


def test_page_names_its_profile_and_no_notebook_that_was_not_rendered(figures):
    text = gallery.write("smoke").read_text()
    assert text.startswith("# Figures, profile smoke\n") and text.endswith("\n")
    assert "12_nothing" not in text


def test_page_of_a_profile_without_figures_is_empty(figures):
    assert "##" not in gallery.write("quick").read_text()


def test_links_of_the_page_lead_to_files(figures):
    text = gallery.write("smoke").read_text()
    links = [piece.split(")")[0] for piece in text.split("](")[1:]]
    assert len(links) == 5
    assert [link for link in links if not (figures / link).is_file()] == []
