"""What notebook 12 says is what the records say."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import papers
from lib._boundary import REFERENCE
from papers.shared import features
from tests.notebooks.summaries import (
    by_fields,
    interval,
    last_valid_accuracy,
)
from tests.prose import Prose

METHODS = ("set", "rigl", "fixed", "dense")


def by_method(experiment):
    """Records by method, in the order of seeds."""
    found = {}
    for record in papers.STORE.of(experiment, "paper"):
        found.setdefault(record.config.method, []).append(record)
    return {name: sorted(runs, key=lambda one: one.config.seed) for name, runs in found.items()}


@pytest.fixture(scope="module")
def runs():
    return by_method("set_cnn")


@pytest.fixture(scope="module")
def on_features():
    return by_method("set_on_features")


def percent(records, which="last"):
    """Test accuracy of every seed, at the last epoch or the best."""
    curves = np.array([100 * record.metrics["test_accuracy"] for record in records])
    return curves[:, -1] if which == "last" else curves.max(axis=1)


def paired(runs, one, other, which="last"):
    return percent(runs[one], which) - percent(runs[other], which)


def correlations(records, epoch):
    """Spearman's, of the links and the usefulness of channels, by seed."""
    arrays = [record.arrays for record in records]
    return np.array(
        [
            stats.spearmanr(one["channels.links"][epoch], one["channels.usefulness"][epoch])[0]
            for one in arrays
        ]
    )


def published():
    return pd.read_csv(REFERENCE / "set_table4_or_text_cnn.csv").set_index("model")


def test_numbers_of_the_text_are_those_of_the_records(runs, on_features):
    text = Prose("12_set_cnn")
    says = text.says
    says("about 4 % of the connections")
    _, low, high = interval(paired(runs, "set", "dense", "best"))
    assert max(abs(low), abs(high)) < 2.2
    says("after about 1,000 epochs")
    of_runs(says, runs)
    of_features(says, on_features)
    counts(says, runs)
    links_that_follow(says, runs)
    assert not text.uncovered()


def of_runs(says, runs):
    for one, other in combinations(METHODS, 2):
        _, low, high = interval(paired(runs, one, other))
        assert low < 0 < high
    assert 1000 / runs["set"][0].config.epochs == pytest.approx(70, rel=0.06)
    theirs = published()["accuracy_percent"]
    for rival, name in {"dense": "CNN", "fixed": "CNN_FixProb"}.items():
        _, low, high = interval(paired(runs, "set", rival, "best"))
        assert not low < theirs["SET-CNN"] - theirs[name] < high
    of_rate = {"number": last_valid_accuracy, "method": "dense"}
    valid = by_fields("set_cnn_tuning", "learning_rate", **of_rate)
    middle = [valid[rate].item() for rate in (0.02, 0.05, 0.1)]
    assert max(valid[0.01], valid[0.2]) < min(middle)
    says("rates from 0.02 to 0.1 differ by {:.0f} points", max(middle) - min(middle))


def of_features(says, on_features):
    widths = [int(n) for n in on_features["set"][0].environment["architecture"].split("-")]
    says("learn on {:,} features of each image", widths[0])
    says("We train on 4,000 images for {} epochs", on_features["set"][0].config.epochs)
    means = [percent(on_features[method]).mean() for method in METHODS]
    n_test = features.SOURCES["cifar10"].n_test
    words = "All end between {:.1f} % and {:.1f} %, on {:,} test images"
    says(words, min(means), max(means), n_test)
    right = np.concatenate([percent(on_features[method]) for method in METHODS]) * n_test / 100
    assert np.allclose(right, right.round())  # whole images
    for one, other in combinations(METHODS, 2):
        _, low, high = interval(paired(on_features, one, other))
        assert low < 0 < high


def counts(says, runs):
    weights = {method: runs[method][0].environment["weights"] for method in METHODS}
    theirs = published()
    dense = weights["dense"]
    assert dense["convolutions"] == theirs.loc["CNN", "n_conv_weights"]
    assert dense["top"] == theirs.loc["CNN", "n_top_weights"]
    says("The paper prints {:,}", theirs.loc["SET-CNN", "n_top_weights"])
    printed = theirs["n_conv_weights"] + theirs["n_top_weights"]
    printed = 100 * printed["SET-CNN"] / printed["CNN"]
    says("With the printed numbers the share is {:.1f} % too. The text says about 4 %", printed)


def links_that_follow(says, runs):
    last = {method: correlations(runs[method], -1) for method in ("set", "rigl", "fixed")}
    above = {method: last[method] - last["fixed"] for method in ("set", "rigl")}
    says("SET's own correlation is {:.2f} at the end", last["set"].mean())
    assert np.std(last["fixed"]) > 2 * np.std(last["set"])
    says("SET moves {:.0f} % after every epoch", 100 * runs["set"][0].config.drop_fraction)
    assert interval(above["rigl"])[1] > 0 and interval(above["set"])[1] < 0
    assert abs(correlations(runs["rigl"], 1).mean()) < 0.1  # before it
    assert correlations(runs["rigl"], 2).mean() > 0.3
    arrays = runs["rigl"][0].arrays
    links, useful = (arrays[f"channels.{name}"][-1] for name in ("links", "usefulness"))
    assert ((links > 2 * links.mean()) & (useful < 0.25)).any()
