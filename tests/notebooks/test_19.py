"""What notebook 19 says is what the stored benchmark and records say."""

import numpy as np
import pandas as pd

import papers
from lib import bench
from lib._boundary import FIGURES, ROOT
from lib.bench.convolutions import LAYERS, PASS, STEP
from tests.notebooks.summaries import differs
from tests.prose import Prose


def test_numbers_of_the_text_are_those_of_the_records():
    rows = bench.stored().query("sweep == 'convolutions' and threads == 1 and batch == 128")
    ratios = rows.pivot_table("ratio", ["measure", "density"], "contender")
    text = Prose("19_sparse_convolutions")
    says = text.says
    layers = ratios[ratios.index.get_level_values("measure").str.startswith(PASS)]
    of_layers(says, layers)
    steps = ratios[ratios.index.get_level_values("measure").str.startswith(STEP)]
    of_steps(says, steps, layers)
    of_accuracy(says)
    of_places(says)
    says("Each layer makes a forward and a backward pass for 128 images")
    says("16 x 32² has 16 maps of 32 by 32 pixels")
    says("VGG has six convolutions, and ResNet-20 has 19")
    says("A processor adds 16 numbers at a time. So 16 examples lie side by side")
    says("has its maps on tiles of 16 examples, as within a network")
    assert not text.uncovered()


def of_layers(says, layers):
    density = layers.index.get_level_values("density")
    few, half = layers[density <= 0.2], layers[density == 0.5]
    assert len(few) == 4 * len(LAYERS) and len(LAYERS) == 7
    least, most = few["channels_last"].min(), few["channels_last"].max()
    assert least > 1
    says("There dense with channels last takes {:.1f} to {:.0f} times as long", least, most)
    words = "At half of the links it takes {:.1f} to {:.1f} times as long"
    says(words, half["channels_last"].min(), half["channels_last"].max())
    rival = layers["sparseprop"]
    says(
        "SparseProp takes {:.1f} to {:.1f} times as long as this library", rival.min(), rival.max()
    )


def of_steps(says, steps, layers):
    found = steps["channels_last"]
    medians = layers["channels_last"].unstack().median()
    gained = found[STEP + "ResNet-20"] / medians
    assert (gained[:0.05] < 0.8).all() and (gained[0.1:] > 0.9).all()  # less, then about as much
    at_five = found[STEP + "ResNet-20", 0.05], found[STEP + "VGG", 0.05]
    words = "At 5 % of the links dense with channels last takes {:.1f} times as long for ResNet-20,"
    says(f"{words} and {{:.1f}} times for VGG", *at_five)
    at_half = found[STEP + "ResNet-20", 0.5], found[STEP + "VGG", 0.5]
    says("With half of the links it takes {:.1f} and {:.1f} times as long", *at_half)
    assert 3 < found[STEP + "ResNet-20", 0.1] < 4  # less than a third of the time


def of_accuracy(says):
    ends = papers.frame("set_resnet", "paper")
    ends = ends.query("epoch == epochs and measure == 'test_accuracy'")
    accuracies = 100 * ends.pivot_table("value", "seed", "method", observed=True)
    sparse = accuracies.drop(columns="dense")
    assert len(sparse) == 3 and not accuracies.isna().any(axis=None)
    behind = accuracies["dense"].mean() - sparse.mean()
    least, most = f"{behind.min():.1f}", f"{behind.max():.1f}"
    says("After four epochs its accuracy is {} to {} points lower", least, most)
    says("In the mean dense ends {} to {} points above networks", least, most)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"the network is {behind.min():.0f} to {behind.max():.0f} points less accurate" in readme
    for method in ("set", "rigl"):
        assert not differs(accuracies[method] - accuracies["fixed"])


def of_places(says):
    rows = pd.read_csv(FIGURES / "paper" / "19_sparse_convolutions" / "places.csv")
    shares = rows.pivot(index="place", columns="method", values="value")
    assert np.allclose(shares.mean(), 1, atol=1e-4)
    of = [f(shares[method]) for method in ("set", "rigl") for f in (min, max)]
    words = (
        "At each place SET has {:.2f} to {:.2f} of an even share of the links, and RigL {:.2f} to"
    )
    says(f"{words} {{:.2f}}", *of)
