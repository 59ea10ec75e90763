"""Measurements of the claims of [Mocanu2018] on convolutional networks."""

import math
from functools import partial

import pandas as pd

from lib.models import count_parameters
from lib.report.claims import against
from lib.report.frames import tidy
from lib.report.intervals import Measurement, exact, t_interval
from lib.report.tables import Records
from lib.report.verdicts import Claim
from papers.set.cnn import network


def share_of_weights(records: Records) -> Measurement:
    """S38: weights of SET-CNN in training over those of CNN, convolutions included; counted, no
    run needed.
    """
    by_top = {}
    for top, er_epsilon in {"set": network.ER_EPSILON, "dense": None}.items():
        net = network.set_cnn((3, 32, 32), 10, er_epsilon=er_epsilon)  # of CIFAR-10
        by_top[top] = count_parameters(net.features) + network.top_weights(net.top)
    return exact(by_top["set"] / by_top["dense"])


def best_and_lost(records: Records) -> pd.DataFrame:
    """Test accuracy on CIFAR-10 at the best epoch on test, as in the paper, and what is lost from
    there to the last epoch, percent.

    Returns: columns measure ("best", "lost"), dataset, method, seed, value.
    """
    rows = tidy(records).query("measure == 'test_accuracy' and dataset == 'cifar10'")
    curves = 100 * rows.set_index(["dataset", "method", "seed"])["value"]
    epochs = curves.groupby(level=["dataset", "method", "seed"])
    best, last = epochs.max(), epochs.last()
    return pd.concat({"best": best, "lost": best - last}, names=["measure"]).reset_index()


def gain(records: Records, rival: str) -> Measurement | None:
    """S36, S37: best accuracy of SET minus that of a rival, points, paired by seed."""
    best = best_and_lost(records).query("measure == 'best'")
    gains = against(best, rival, keys=["dataset"]).query("method == 'set'")
    return t_interval(gains["value"]) if len(gains) else None


def overfitting(records: Records) -> Measurement | None:
    """S39: what the dense network loses from its best epoch to the last one, minus what SET loses,
    points; unbounded where all runs are best at their last epoch, so that none could lose.
    """
    lost = best_and_lost(records).query("measure == 'lost' and method in ['set', 'dense']")
    more = against(lost, "set", keys=["dataset"])
    if more.empty:
        return None
    if (lost["value"] == 0).all():
        return Measurement(0.0, -math.inf, math.inf, len(more))
    return t_interval(more["value"])


CNN = ("set_cnn",)
SHORT = "toy: 15 epochs, half of the images"
CLAIMS: dict[str, Claim] = {
    "S36": Claim(
        CNN,
        partial(gain, rival="dense"),
        "SET minus dense layers on the CNN is {value:.2f} points.",
        SHORT,
    ),
    "S37": Claim(
        CNN,
        partial(gain, rival="fixed"),
        "SET minus fixed layers on the CNN is {value:.2f} points.",
        SHORT,
    ),
    "S38": Claim(
        (), share_of_weights, "SET-CNN has {value:.1%} of the connections.", "as published"
    ),
    "S39": Claim(
        CNN,
        overfitting,
        "From its best to its last epoch the dense CNN loses {value:.2f} points more than SET.",
        SHORT,
    ),
}
