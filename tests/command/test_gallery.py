"""The page of all figures of a profile, and the sentences that say what those of the paper show."""

import html
import re

import pytest

from lib import _boundary
from lib.command import gallery, notebooks
from lib.report import takeaways
from tests.checkouts import write_notebook


def draw(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """Three notebooks, of which the first two were rendered, the second to a table alone."""
    monkeypatch.setattr(_boundary, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)
    for name in ("10_curves", "11_table", "12_nothing"):
        write_notebook(tmp_path / f"{name}.ipynb")
    folder = tmp_path / "figures" / "smoke"
    draw(folder, "10_curves/b.png", "10_curves/b.csv", "10_curves/a.csv", "11_table/c.csv")
    return folder


@pytest.fixture
def paper(figures, monkeypatch):
    """The profile paper, with two figures; the first has a takeaway and a vector form."""
    folder = figures.with_name("paper")
    draw(folder, *(f"10_curves/{name}" for name in ("a.png", "a.csv", "a.svg", "b.png", "b.csv")))
    file = figures.with_name("takeaways.csv")
    file.write_text('notebook,figure,takeaway\n10_curves,a,"All ""rise"" | fall, π."\n', "utf-8")
    monkeypatch.setattr(takeaways, "FILE", file)
    monkeypatch.setattr(gallery, "TALK", ("10_curves/b",))
    return folder


def test_page_shows_every_picture_and_table_in_order(figures):
    page = gallery.write("smoke")
    assert page == figures / "README.md"
    image = '<img src="10_curves/b.png" alt="b" width="420">'
    book = "📓 [notebook](../../10_curves.ipynb)"
    command = "⌨️ `python -m lib figures --profile smoke --only"
    assert page.read_text().splitlines()[4:] == [
        gallery.SHORT,
        "",
        "## 10_curves: Try",
        "",
        f"{book} · {command} 10`",
        "",
        "<table>",
        '<tr><td width="440">',
        f'<a href="10_curves/b.png">{image}</a>',
        "</td><td>",
        "",
        f"{book} · 🔢 [numbers](10_curves/b.csv)",
        "",
        "</td></tr>",
        "</table>",
        "",
        "Tables: [a](10_curves/a.csv)",
        "",
        "## 11_table: Try",
        "",
        f"📓 [notebook](../../11_table.ipynb) · {command} 11`",
        "",
        "Tables: [c](11_table/c.csv)",
    ]


def test_figure_of_the_paper_stands_beside_its_takeaway(paper):
    text = gallery.write("paper").read_text()
    assert 'All "rise" | fall, π.\n' in text
    assert 'src="10_curves/a.png" alt="All &quot;rise&quot; &#124; fall, π."' in text
    assert " · 🔢 [numbers](10_curves/a.csv) · ✒️ [vector](10_curves/a.svg)\n" in text


def test_figure_without_a_takeaway_has_its_name_alone(paper):
    text = gallery.write("paper").read_text()
    assert 'src="10_curves/b.png" alt="b"' in text
    assert text.count("All ") == 2 and "b.svg" not in text


def test_pictures_for_a_talk_stand_first(paper):
    talk, notebook = gallery.write("paper").read_text().split("## 10_curves: Try")
    assert talk.count("<img") == talk.count('src="10_curves/b.png"') == 1
    assert "[notebook](../../10_curves.ipynb)" in talk and notebook.count("<img") == 2


def test_pictures_for_a_talk_are_there():
    assert {tuple(place.split("/")) for place in gallery.TALK} <= set(stored("*/*.png"))
    assert len(gallery.TALK) == 12


def test_page_names_its_profile_and_no_notebook_that_was_not_rendered(figures):
    text = gallery.write("smoke").read_text()
    assert text.startswith("# Figures, profile smoke\n") and text.endswith("\n")
    assert "12_nothing" not in text


def test_links_of_the_page_lead_to_files(figures):
    text = gallery.write("smoke").read_text()
    links = [piece.split(")")[0] for piece in text.split("](")[1:]]
    assert links.pop(0) == "../paper/README.md"  # every clone has it
    assert len(links) == 6
    assert [link for link in links if not (figures / link).is_file()] == []


def stored(pattern):
    """Figures of the paper as they are stored, whatever folder this run draws to."""
    found = (_boundary.ROOT / "figures" / "paper").glob(pattern)
    return sorted((path.parent.name, path.stem) for path in found)


def test_every_figure_of_the_paper_has_one_takeaway():
    places = [tuple(line.split(",")[:2]) for line in takeaways.FILE.read_text("utf-8").splitlines()]
    assert places[1:] == stored("*/*.png")


def test_takeaway_is_one_sentence_of_at_most_22_words():
    for sentence in takeaways.read("paper").values():
        assert 0 < len(sentence.split()) <= 22, sentence
        assert re.fullmatch(r"[A-Z\d].*[^.\s]\.", sentence), sentence
        assert not re.search(r"[.!?] [A-Z]", sentence), sentence


def test_stored_page_says_what_the_takeaways_say():
    text = (_boundary.ROOT / "figures" / "paper" / "README.md").read_text(encoding="utf-8")
    shown = [html.unescape(alt) for alt in re.findall(r'alt="([^"]*)"', text)]
    shown = shown[len(gallery.TALK) :]
    assert sorted(shown) == sorted(takeaways.read("paper").values())


def test_notebook_without_a_number_is_named_in_full(figures, tmp_path):
    write_notebook(tmp_path / "quickstart.ipynb")
    draw(figures, "quickstart/a.csv")
    assert "--only quickstart`" in gallery.text("smoke")
