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
    best_accuracy,
    by_fields,
    differs,
    interval,
    last_valid_accuracy,
)
from tests.prose import Prose

METHODS = ("set", "rigl", "fixed", "dense")
PAIRS = list(combinations(METHODS, 2))


def correlations(method, epoch):
    """Spearman's, of the links and the usefulness of channels, by seed."""

    def correlation(record):
        names = ("channels.links", "channels.usefulness")
        return stats.spearmanr(*(record.arrays[name][epoch] for name in names))[0]

    return by_fields("set_cnn", "method", correlation, method=method)[method]


def by_method(experiment):
    """Records by method."""
    found = {}
    for record in papers.STORE.of(experiment, "paper"):
        found.setdefault(record.config.method, []).append(record)
    return found


def published():
    return pd.read_csv(REFERENCE / "set_table4_or_text_cnn.csv").set_index("model")


def test_numbers_of_the_text_are_those_of_the_records():
    text = Prose("12_set_cnn")
    text.says("about 4 % of the connections")
    text.says("after about 1,000 epochs")
    of_runs(text)
    of_features(text)
    counts(text)
    links_that_follow(text)
    assert not text.uncovered()


def of_runs(text):
    last, best = (by_fields("set_cnn", "method", *how) for how in ((), (best_accuracy,)))
    assert not any(differs(last[one] - last[other]) for one, other in PAIRS)
    _, low, high = interval(best["set"] - best["dense"])
    assert max(abs(low), abs(high)) < 2.2
    assert 1000 / by_method("set_cnn")["set"][0].config.epochs == pytest.approx(70, rel=0.06)
    theirs = published()["accuracy_percent"]
    for rival, name in {"dense": "CNN", "fixed": "CNN_FixProb"}.items():
        _, low, high = interval(best["set"] - best[rival])
        assert not low < theirs["SET-CNN"] - theirs[name] < high
    valid = by_fields("set_cnn_tuning", "learning_rate", last_valid_accuracy, method="dense")
    middle = [valid[rate].item() for rate in (0.02, 0.05, 0.1)]
    assert max(valid[0.01], valid[0.2]) < min(middle)
    text.says("rates from 0.02 to 0.1 differ by {:.0f} points", max(middle) - min(middle))


def of_features(text):
    record = by_method("set_on_features")["set"][0]
    widths = [int(n) for n in record.environment["architecture"].split("-")]
    text.says("learn on {:,} features of each image", widths[0])
    text.says("We train on 4,000 images for {} epochs", record.config.epochs)
    last, n_test = by_fields("set_on_features", "method"), features.SOURCES["cifar10"].n_test
    means = [of.mean() for of in last.values()]
    words = "All end between {:.1f} % and {:.1f} %, on {:,} test images"
    text.says(words, min(means), max(means), n_test)
    assert not any(differs(last[one] - last[other]) for one, other in PAIRS)


def counts(text):
    theirs, dense = published(), by_method("set_cnn")["dense"][0].environment["weights"]
    assert dense["convolutions"] == theirs.loc["CNN", "n_conv_weights"]
    assert dense["top"] == theirs.loc["CNN", "n_top_weights"]
    text.says("The paper prints {:,}", theirs.loc["SET-CNN", "n_top_weights"])
    printed = theirs["n_conv_weights"] + theirs["n_top_weights"]
    printed = 100 * printed["SET-CNN"] / printed["CNN"]
    words = "With the printed numbers the share is {:.1f} % too. The text says about 4 %"
    text.says(words, printed)


def links_that_follow(text):
    last = {method: correlations(method, -1) for method in ("set", "rigl", "fixed")}
    drop_fraction = by_method("set_cnn")["set"][0].config.drop_fraction
    text.says("SET's own correlation is {:.2f} at the end", last["set"].mean())
    assert np.std(last["fixed"]) > 2 * np.std(last["set"])
    text.says("SET moves {:.0f} % after every epoch", 100 * drop_fraction)
    assert interval(last["rigl"] - last["fixed"])[1] > 0 > interval(last["set"] - last["fixed"])[1]
    assert abs(correlations("rigl", 1).mean()) < 0.1  # before it
    assert correlations("rigl", 2).mean() > 0.3
    arrays = by_method("set_cnn")["rigl"][0].arrays
    links, useful = (arrays[f"channels.{name}"][-1] for name in ("links", "usefulness"))
    assert ((links > 2 * links.mean()) & (useful < 0.25)).any()
