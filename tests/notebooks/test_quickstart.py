"""What the quickstart says is what its published table says; nbval compares that with a new run."""

import pandas as pd

from lib import data
from lib._boundary import FIGURES
from tests.prose import Prose


def test_words_are_those_of_the_table():
    text = Prose("quickstart")
    table = pd.read_csv(FIGURES / "paper" / "quickstart" / "accuracy.csv")
    ends = table.groupby("run")[["links", "test_accuracy"]].last()
    dense, stay = ends.loc["dense"], ends.loc["drop fraction 0"]
    moving = ends.drop(["dense", "drop fraction 0"])
    assert set(moving["links"]) == {stay["links"]} and len(moving) == 3
    least = moving["test_accuracy"].min()
    assert stay["test_accuracy"] < least and dense["test_accuracy"] - 0.025 < least
    assert 11.5 < dense["links"] / stay["links"] < 12
    split = data.load("digits")
    assert 200 < len(split.x_test) < 500 and split.n_features == 8 * 8
    text.says("images of 8 × 8 pixels")
    text.says("in some 20 s on one core")
    text.says("A layer has 48 links")
    text.says("two hidden layers of 200 neurons")
    assert not text.uncovered()
