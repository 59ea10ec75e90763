"""The claims at a glance."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib import colors

from lib.report import publishing, scoreboard

VERDICTS = ["reproduced", "not reproduced", "inconclusive (seeds)", "not run"]


@pytest.fixture
def drawn():
    publishing.use_style()
    rows = [(f"A{i}", "one", VERDICTS[i % 4]) for i in range(20)] + [("B1", "two", "reproduced")]
    yield scoreboard.scoreboard(pd.DataFrame(rows, columns=["id", "paper", "verdict"]), "title")
    plt.close("all")


def test_each_claim_has_a_cell_in_the_colour_of_its_verdict(drawn):
    (ax,) = drawn.axes
    cells = [colors.to_hex(cell.get_facecolor()) for cell in ax.patches]
    desired = [color for color, _ in scoreboard.COLORS.values()]
    assert cells == desired * 5 + [desired[0]]


def test_cells_do_not_overlap(drawn):
    places = {cell.get_xy() for cell in drawn.axes[0].patches}
    assert len(places) == 21


def test_each_cell_names_its_claim_and_each_row_its_paper(drawn):
    texts = [text.get_text() for text in drawn.axes[0].texts]
    assert {"A0", "A19", "B1", "one", "two"} < set(texts)


def test_legend_counts_the_verdicts(drawn):
    texts = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert texts == [
        "✓ reproduced (6)",
        "✗ not reproduced (5)",
        "? inconclusive (5)",
        "not run (5)",
    ]


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_has_a_colour(verdict):
    assert scoreboard.kind(verdict) in scoreboard.COLORS
