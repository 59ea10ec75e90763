"""What notebook 03 says is what its published table says; nbval compares that with a new run."""

import pandas as pd
from sklearn.datasets import load_digits

from lib._boundary import FIGURES
from tests.notebooks.summaries import differs
from tests.prose import Prose


def test_words_are_those_of_the_table():
    text = Prose("03_your_own_network")
    table = pd.read_csv(FIGURES / "paper" / "03_your_own_network" / "own_network.csv")
    of_seeds = table.pivot(index="seed", columns="method", values="test accuracy")
    lost = of_seeds.rsub(of_seeds["dense"], axis=0).drop(columns="dense")
    assert len(of_seeds) == 5
    least, most = (f"{100 * gap:.1f}" for gap in (lost.mean().min(), lost.mean().max()))
    text.says("Sparse networks end {} to {} percentage points below the dense one", least, most)
    assert (of_seeds.max() - of_seeds.min()).min() > lost.mean().max()
    differences = [lost[name] for name in ("links stay", "SET", "own rule")]
    differences += [of_seeds[name] - of_seeds["links stay"] for name in ("SET", "own rule")]
    assert not any(map(differs, differences))
    assert 200 < len(load_digits().target) / 5 < 500
    assert not text.uncovered()
