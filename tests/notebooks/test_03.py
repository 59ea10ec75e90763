"""What notebook 03 says is what its published table says; nbval compares that with a new run."""

import pandas as pd
from sklearn.datasets import load_digits

from lib.paths import FIGURES
from lib.report.intervals import t_interval
from tests.prose import Prose


def test_words_are_those_of_the_table():
    text = Prose("03_your_own_network")
    table = pd.read_csv(FIGURES / "paper" / "03_your_own_network" / "own_network.csv")
    of_seeds = table.pivot(index="seed", columns="method", values="test accuracy")
    lost = of_seeds.rsub(of_seeds["dense"], axis=0).drop(columns="dense")
    assert len(of_seeds) == 5
    text.says("Sparse networks end some half a percentage point below")
    assert (lost.mean().round(3).between(0.003, 0.006)).all()
    text.says("Its seeds differ more")
    assert of_seeds["dense"].std() > lost.mean().abs().max()
    text.says("No difference that five seeds can tell")
    differences = [lost[name] for name in ("links stay", "SET", "own rule")]
    differences += [of_seeds[name] - of_seeds["links stay"] for name in ("SET", "own rule")]
    for difference in differences:
        interval = t_interval(difference)
        assert interval.low < 0 < interval.high
    text.says("loses nine of ten links")
    text.says("the dense one, which has ten times as many links")
    text.says("The test images are a few hundred")
    assert 200 < len(load_digits().target) / 5 < 500
    text.says("two residual blocks")
    text.says("a rule of ten lines")
    assert not text.uncovered()
