"""What a check of the numbers in a text covers, and what it leaves out."""

import nbformat
import pytest

from tests import prose


@pytest.fixture
def written(tmp_path, monkeypatch):
    def write(text):
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
        (tmp_path / "notebooks").mkdir()
        nbformat.write(book, tmp_path / "notebooks" / "99_made.ipynb")
        monkeypatch.setattr(prose, "ROOT", tmp_path)
        return prose.Prose("99_made")

    return write


def test_a_number_that_no_statement_covers_is_named(written):
    text = written("SET ends 0.1 points below dense.\nRigL ends 2,000 nats above.")
    text.says("SET ends {:.1f} points", 0.12)
    assert text.uncovered() == ["below dense. RigL ends 2,000 nats above."]


def test_a_statement_with_another_value_fails(written):
    with pytest.raises(AssertionError, match=r"0\.2 points"):
        written("SET ends 0.1 points below dense.").says("SET ends {:.1f} points", 0.2)


def test_negative_numbers_match_either_sign(written):
    text = written("It loses −0.5 points.")
    text.says("loses {:.1f} points", -0.5)
    assert not text.uncovered()


def test_links_formulas_code_tables_and_names_are_no_text(written):
    text = written(
        "[two](11_x.ipynb) $x_1 = 3$ `n = 4` R03 CIFAR-10\n\n| 5 | 6 |\n|---|---|\n\n"
        "<details>7</details>\n\n```\n8\n```\n"
    )
    assert text.uncovered() == []


def test_text_between_two_tables_is_text(written):
    text = written("| 1 |\n|---|\n\nSET gains 2 points.\n\n| 3 |\n|---|\n")
    assert text.uncovered() == ["SET gains 2 points."]


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
