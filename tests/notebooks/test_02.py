"""What notebook 02 says is what the stored benchmark and records say."""

import numpy as np
import pytest

import papers
from lib.bench import stored
from tests.prose import Prose

DENSE = ("dense", "dense_modules", "masked")


def time_to_accuracy():
    """(seconds, accuracy) after every epoch of each run, by data set and variant."""
    found = {}
    for record in papers.STORE.of("time_to_accuracy", "paper"):
        curve = np.array([record.environment["clock"], 100 * record.metrics["test_accuracy"]])
        found.setdefault((record.config.dataset, record.config.variant), []).append(curve)
    return found


def table(bench, value="median_ms", **chosen):
    """Values by contender, of rows with one for each."""
    for name, wanted in chosen.items():
        bench = bench[bench[name] == wanted]
    assert bench["contender"].is_unique
    return bench.set_index("contender")[value]


def test_numbers_of_the_text_are_those_of_the_benchmark():
    text, bench = Prose("02_speed_and_scale"), stored()
    says = text.says
    of_steps(says, bench)
    of_others(says, bench)
    of_widths(says, bench)
    of_machines(says, bench)
    on_the_clock(says, time_to_accuracy())
    says("into *tiles* of 64 examples")
    assert not text.uncovered()


def of_steps(says, bench):
    steps = bench[(bench["measure"] == "training_step") & (bench["sweep"] == "steps")]
    here = {"batch": 128, "threads": 2}
    few, usual = (table(steps, "ratio", density=density, **here) for density in (0.01, 0.046))
    words = "At 1 % of the links a training step in plain dense PyTorch takes {:.0f} times"
    says(words, few["dense_modules"])
    rivals = ["torch_sparse", "sparselab", "sparseprop"]
    ratios = np.concatenate([few[rivals], usual[rivals]])
    words = "A step of other sparse libraries takes {:.0f} to {:.0f} times as long as ours"
    says(words, ratios.min(), ratios.max())
    ours = table(steps, density=0.01, **here)
    says("**{:.2f} ms at 1 % of the links.**", ours["fused"])
    says("Our own fastest dense network takes {:.0f} times as long", few["dense"])
    says("by autograd takes {:.1f} times as long", few["modular"])
    floors = [few["floor"], usual["floor"]]
    assert 0.3 < min(floors) < 0.4 and 0.45 < max(floors) < 0.6  # a third to a half
    says("The network is 784-1000-1000-1000-10 and the batch has 128 random images")
    for _, rows in steps.groupby(["density", "batch", "threads"]):
        median = rows.set_index("contender")["median_ms"]
        assert (median[median.index.intersection(DENSE)] > median["fused"]).all()
    assert steps["density"].max() == 0.2 and steps["batch"].min() == 1
    says("every dense step up to 20 % of the links, and for a single example too")
    says("20 % was the most we timed")


def of_others(says, bench):
    says("one example and of 1,024. Then we time an epoch of 60,000 images")
    epoch = table(bench, measure="epoch", density=0.01, sweep="epochs")
    words = "At 1 % of the links an epoch of ours takes {:.2f} s"
    says(words, epoch["fused"] / 1000)
    assert np.ceil(60_000 / 128) == 469
    layers = bench[bench["measure"] == "layer"]
    for _, rows in layers.groupby(["density", "n_in", "n", "threads"]):
        median = rows.set_index("contender")["median_ms"]
        assert median["dense_modules"] > median["fused"]
    assert set(layers["batch"]) == {128}
    smallest = layers[layers["n"] == layers["n"].min()]
    for _, rows in smallest.groupby("threads"):
        assert rows.set_index("contender")["ratio"]["sparselab"] < 1
    one = bench[(bench["measure"] == "predict_1") & ~bench["contender"].isin(["fused", "floor"])]
    assert (one["ratio"] > 1).all() and len(one) == 24  # six others, two densities, two threads


def of_widths(says, bench):
    peaks = bench[bench["measure"] == "peak_memory"].pivot_table(
        "median_ms", "n", "contender", aggfunc="first"
    )
    widest = int(bench[bench["sweep"] == "width"]["n"].max())
    says("Three layers of {:,} neurons take {:.0f} MiB", widest, peaks["fused"][widest])
    says("Dense layers of {:,} neurons take {:.0f} MiB", 4000, peaks["dense"][4000])
    wide = bench[(bench["sweep"] == "width") & (bench["contender"] == "fused")]
    a_link = (wide["median_ms"] / wide["links"]).set_axis(wide["n"])
    assert a_link[widest] / a_link[1000] == pytest.approx(4, rel=0.1)
    grown = wide.set_index("n").loc[widest] / wide.set_index("n").loc[1000, ["links", "median_ms"]]
    of_memory = peaks["fused"][widest] / peaks["fused"][1000]
    words = "From 1,000 to {:,} neurons a layer the links grow {:.0f} times"
    says(words, widest, grown["links"])
    words = "Memory grows {:.0f} times then, and time {:.0f} times"
    says(words, of_memory, grown["median_ms"])
    says("Each neuron keeps some 20 links")
    links = wide.set_index("n")["links"]
    assert links[widest] / (3 * widest) == pytest.approx(20, rel=0.05)


def of_machines(says, bench):
    rows = bench[(bench["measure"] == "cd1_step") & (bench["n"] == 500)]
    ratio = rows[rows["contender"] == "dense"].set_index("density")["ratio"]
    says("At 1 % of the links dense takes {:.1f} times as long", ratio[0.01])
    says("At 32 % it takes {:.1f} times as long", ratio[0.32])
    with_rivals = rows[rows["density"].between(0.03, 0.039)].set_index("contender")
    assert len(with_rivals) == 4
    says("At {:.1f} % of the links, as in", 100 * with_rivals["density"].iloc[0])
    words = "There our step takes {:.2f} ms, and dense {:.1f} times as long"
    says(words, with_rivals.loc["fused", "median_ms"], with_rivals.loc["dense", "ratio"])
    alone = rows[(rows["density"] == 0.04) & (rows["contender"] == "fused")]
    says("At 4 %, in turn with dense alone, it takes {:.2f} ms", alone["median_ms"].item())


def stays_above(curve, percent):
    """Seconds after which a run no longer falls below an accuracy, inf if it always does."""
    below = np.flatnonzero(curve[1] < percent)
    first = below[-1] + 1 if len(below) else 0
    return curve[0][first] if first < curve.shape[1] else np.inf


def on_the_clock(says, runs):
    times = {
        variant: [stays_above(curve, 98.5) for curve in runs["mnist", variant]]
        for variant in ("tuned", "equal time", "longer")
    }
    dense = min(times["equal time"] + times["longer"])
    assert len(times["tuned"]) == 5 and max(times["tuned"]) < dense
    says("On MNIST all five SET networks stay above 98.5 % before any dense network does")
    words = "On MNIST all its runs stay above 98.5 % after {:.1f} s. The first dense run"
    says(words, max(times["tuned"]))
    says("does so after {:.1f} s", dense)
    ends = {key: np.mean([curve[:, -1] for curve in group], axis=0) for key, group in runs.items()}
    assert ends["mnist", "longer"][0] > 2 * ends["mnist", "tuned"][0]
    assert ends["mnist", "longer"][1] == pytest.approx(ends["mnist", "tuned"][1], abs=0.05)
    assert len(times["longer"]) == 2
    fashion = {variant: ends["fashion_mnist", variant][1] for variant in times}
    assert max(fashion, key=fashion.get) == "tuned"
    says("We train from scratch on 60,000 images")
    says("were chosen from few rates, at 6 epochs")
    config = papers.STORE.of("time_to_accuracy", "paper")
    epochs = {one.config.epochs for one in config if one.config.variant == "equal time"}
    last = (1 + np.cos(np.pi * 4 / 5)) / 2  # the fifth epoch of a cosine
    words = "In {} epochs that leaves dense at {:.0f} % of its first rate in the last one"
    says(words, *epochs, 100 * last)
