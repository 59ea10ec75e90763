"""What a check of the numbers in a text covers, and what it leaves out."""

from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests import prose


@pytest.fixture
def written(tmp_path, monkeypatch):
    def write(text, shown="", code=""):
        html = nbformat.v4.new_output("display_data", {"text/html": shown})
        cells = [nbformat.v4.new_markdown_cell(text)]
        cells += [nbformat.v4.new_code_cell(code, outputs=[html])] if shown or code else []
        book = nbformat.v4.new_notebook(cells=cells)
        (tmp_path / "notebooks").mkdir()
        nbformat.write(book, tmp_path / "notebooks" / "99_made.ipynb")
        monkeypatch.setattr(prose, "ROOT", tmp_path)
        return prose.Prose("99_made")

    return write


def test_a_number_that_no_statement_covers_is_named(written):
    text = written("SET ends 0.1 points below dense.\nRigL ends 2,000 nats above.")
    text.says("SET ends {:.1f} points", 0.12)
    assert text.uncovered() == ["points below dense. RigL ends 2,000 nats above."]


def test_a_statement_with_another_value_fails(written):
    with pytest.raises(AssertionError, match=r"0\.2 points"):
        written("SET ends 0.1 points below dense.").says("SET ends {:.1f} points", 0.2)


def test_negative_numbers_match_either_sign(written):
    text = written("It loses −0.5 points.")
    text.says("loses {:.1f} points", -0.5)
    assert not text.uncovered()


def test_links_formulas_code_tables_names_and_what_is_cited_are_no_text(written):
    text = written(
        "[two](11_x.ipynb) $x_1 = 3$ `n = 4` R03 CIFAR-10, Fig. 6, 95 % interval\n\n"
        "| 5 | 6 |\n|---|---|\n\n"
        "<details>7</details>\n\n```\n8\n```\n"
    )
    assert text.uncovered() == []


def test_text_between_two_tables_is_text(written):
    text = written("| 1 |\n|---|\n\nSET gains 2 points.\n\n| 3 |\n|---|\n")
    assert text.uncovered() == ["SET gains 2 points."]


ACCURACY = pd.DataFrame({"MNIST": [98.77, 98.92], "Fashion-MNIST": [0.604, 0.5]}, ["SET", "RigL"])


@pytest.mark.parametrize(
    ("text", "is_shown"),
    [
        ("On MNIST RigL has 98.92.", True),
        ("On MNIST RigL has 98.9 %.", True),
        ("On MNIST RigL has 98.93.", False),
        ("On MNIST SET has 98.92.", False),  # the other row
        ("On Fashion-MNIST RigL has 98.92.", False),  # the other column
        ("We look at Fashion-MNIST. There RigL has 98.92.", False),
        ("On Fashion-MNIST SET has 60.4 %.", True),
        ("On Fashion-MNIST SET has 60 %.", True),
        ("On Fashion-MNIST SET has 61 %.", False),
        ("On Fashion-MNIST SET has 0.6042.", False),  # more digits than shown
        ("On Fashion-MNIST SET has −0.604.", False),
    ],
)
def test_a_number_is_shown_in_the_row_and_column_that_the_text_names(written, text, is_shown):
    assert (written(text, ACCURACY.to_html()).uncovered() == []) == is_shown


def test_a_number_says_nothing_where_most_of_its_neighbours_are_shown_too(written):
    text, every = "SET has 5 points.", pd.DataFrame({"points": range(2, 9)})
    assert written(text, every.to_html(index=False)).uncovered()


@pytest.mark.parametrize(("unit", "is_setting"), [("epochs", True), ("images", False)])
def test_a_setting_counts_where_the_sentence_names_it(written, unit, is_setting):
    text = written(f"We train with 73 {unit}.", code="train(epochs=73)")
    assert (text.uncovered() == []) == is_setting


ROWS = pd.DataFrame({"method": ["set"] * 3 + ["dense"] * 3, "seed": [0, 1, 2] * 2})
ROWS["value"] = [3.0, 5.0, 7.0, 1.0, 2.0, 6.0]


def test_groups_of_a_published_table_are_compared_by_seed():
    cells, pairs = prose.published(ROWS, 0)
    assert {5.0, 3.0} <= set(cells.values)
    gains = stats.ttest_1samp([2.0, 3.0, 1.0], 0).confidence_interval()
    for value in (2.0, *gains):
        assert np.isclose(pairs.values, value).any()


@pytest.mark.parametrize(
    ("row", "is_published"),
    [
        ("SET − dense | 2.0 | [-0.5, 4.5] | 3", True),
        ("dense − SET | -2.0 | [-4.5, 0.5] | 3", True),
        ("SET | 5.0 | [0.0, 10.0] | 3", True),
        ("dense − SET | 2.0 | [-0.5, 4.5] | 3", False),
        ("SET − dense | 2.0 | [-0.5, 4.6] | 3", False),
        ("SET − dense | 2.0 | [-0.5, 4.5] | 4", False),
        ("dense | 5.0 | [0.0, 10.0] | 3", False),
    ],
)
def test_row_of_a_page_is_one_group_or_one_difference(row, is_published, tmp_path, monkeypatch):
    shown = [*prose.published(ROWS, 0)]
    book = SimpleNamespace(shown=shown, experiments=[], settings=set(), text="We saw 12 images.")
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    monkeypatch.setattr(prose, "of_notebook", lambda name: book)
    words = "Of 12 images ([notebook 10](../notebooks/10_x.ipynb)):"
    head = "| who | gain | interval | n |\n|---|---|---|---|"
    (tmp_path / "page.md").write_text(f"# Page\n{words}\n\n{head}\n| {row} |\n")
    assert (prose.Section("page.md", "Page").uncovered() == []) == is_published


def test_a_section_of_a_page_has_its_heading_and_its_tables(tmp_path, monkeypatch):
    """Not what is generated, and not the number of the heading."""
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    made = "<!-- begin x -->\n| 9 |\n<!-- end x -->"
    page = f"# Page\n8\n\n### 1. SET has 2 rules\n\n| 3 | 4 |\n|---|---|\n\n{made}\n## Next\n7\n"
    (tmp_path / "page.md").write_text(page)
    section = prose.Section("page.md", "1.")
    section.says("SET has {} rules", 2)
    assert len(section.uncovered()) == 2  # those of the table
    section.says("| 3 | {} |", 4)
    assert not section.uncovered()
