"""The claims at a glance."""

import pandas as pd
import pytest
from matplotlib import colors

from lib.report import scoreboard
from lib.report.verdicts import WORDS


@pytest.fixture
def drawn():
    rows = [(f"A{i}", "one", WORDS[i % 6], "as published") for i in range(18)]
    rows.append(("B1", "two", "holds", "smaller: 3 epochs"))
    table = pd.DataFrame(rows, columns=["id", "paper", "verdict", "scale"])
    return scoreboard.scoreboard(table, "title")


def test_each_claim_has_a_cell_in_the_colour_of_its_verdict(drawn):
    (ax,) = drawn.axes
    cells = [colors.to_hex(cell.get_facecolor()) for cell in ax.patches]
    desired = [color for color, _ in scoreboard.COLORS.values()]
    assert cells == desired * 3 + [desired[0]]


def test_each_cell_names_its_claim_and_each_row_its_paper(drawn):
    texts = [text.get_text() for text in drawn.axes[0].texts]
    assert {"A0", "A17", "B1", "one", "two"} < set(texts)


def test_legend_counts_the_verdicts(drawn):
    texts = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert texts == [
        "✓ holds (4)",
        "✗ fails (3)",
        "? open (3)",
        "– undecidable (3)",
        "∅ not testable (3)",
        "not run (3)",
        "smaller than the paper's",
    ]


def test_cells_of_runs_smaller_than_the_papers_are_hatched(drawn):
    hatched = [bool(cell.get_hatch()) for cell in drawn.axes[0].patches]
    assert hatched == [False] * 18 + [True]


def test_every_verdict_has_a_colour():
    assert tuple(scoreboard.COLORS) == WORDS
