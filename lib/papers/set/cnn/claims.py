"""What our records say about the claims of [Mocanu2018] on convolutional networks."""

import math
from collections.abc import Sequence
from functools import partial

import pandas as pd
import torch

from lib.convnets import count_parameters
from lib.evolution import Evolution, remove_
from lib.models import sparse_layers
from lib.papers.set.cnn import network
from lib.papers.shared.claims import chosen
from lib.paths import REFERENCE
from lib.report import labels
from lib.report.intervals import Measurement, exact, t_interval
from lib.report.verdicts import Claim
from lib.runs.record import Record

Records = Sequence[Record]

IMAGE, N_CLASSES = (3, 32, 32), 10  # CIFAR-10
EPOCHS = 1000  # at which the axis of Fig. 7 ends
MODELS = {"CNN": "dense", "CNN_FixProb": "fixed", "SET-CNN": "set"}
THEIRS = "paper, CIFAR-10: best"

# ------------------------------------------------------------------------------------- weights


def weights_beside_paper() -> pd.DataFrame:
    """The numbers of weights of Fig. 7, and those of our networks, counted in the same way.

    Returns: by model: method; of the paper and ours: weights of the convolutions and of the top
        layers (in training), and ours after the last removal.
    """
    published = pd.read_csv(REFERENCE / "set_table4_or_text_cnn.csv").set_index("model")
    rows = []
    for model, method in MODELS.items():
        convolutions, top, top_final = weights(method)
        row = {
            "model": model,
            "method": labels.method_name(method),
            "paper: convolutions": published.loc[model, "n_conv_weights"],
            "convolutions": convolutions,
            "paper: top": published.loc[model, "n_top_weights"],
            "top, in training": top,
            "top, at the end": top_final,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def weights(method: str) -> tuple[int, int, int]:
    """Weights of the convolutions, of the top in training, and after the last removal of SET."""
    er_epsilon = None if method == "dense" else network.ER_EPSILON
    net = network.set_cnn(IMAGE, N_CLASSES, er_epsilon=er_epsilon)
    convolutions, top = count_parameters(net.features), network.top_weights(net.top)
    if method == "set":
        rule, generator = Evolution(), torch.Generator().manual_seed(0)
        for layer in sparse_layers(net).values():
            remove_(layer, rule, fraction=rule.drop_fraction, generator=generator)
    return convolutions, top, network.top_weights(net.top)


def share_of_weights(records: Records) -> Measurement:
    """S38: weights of SET-CNN in training over those of CNN, convolutions included; counted, no
    run needed.
    """
    return exact(_share(SET_IN_TRAINING))


SET_IN_TRAINING, SET_AT_THE_END = 1, 2  # of :func:`weights`


def _share(top: int) -> float:
    of_dense, of_set = weights("dense"), weights("set")
    return (of_set[0] + of_set[top]) / (of_dense[0] + of_dense[1])


def shares_of_weights() -> pd.Series:
    """Every way to count SET's share of the weights of the dense network."""
    of_dense, of_set = weights("dense"), weights("set")
    return pd.Series(
        {
            "in training": _share(SET_IN_TRAINING),
            "at the end": _share(SET_AT_THE_END),
            "in training, top layers alone": of_set[1] / of_dense[1],
            "at the end, top layers alone": of_set[2] / of_dense[1],
        },
        name="share",
    )


# ------------------------------------------------------------------------------------ accuracy


def outcomes(records: Records) -> pd.DataFrame:
    """Test accuracy of every run: columns method, seed; best (over epochs), last, lost (best minus
    last) and final (after the last update), percent.
    """
    rows = []
    for record in records:
        test = 100 * record.metrics["test_accuracy"]
        best, last = test.max(), test.iloc[-1]
        final = 100 * record.environment["final"]["test_accuracy"]
        rows.append((record.config.method, record.config.seed, best, last, best - last, final))
    return pd.DataFrame(rows, columns=["method", "seed", "best", "last", "lost", "final"])


def outcomes_beside_paper(records: Records) -> pd.DataFrame:
    """Mean and sd over seeds of :func:`outcomes`, the paper's best on CIFAR-10 beside them."""
    published = pd.read_csv(REFERENCE / "set_table4_or_text_cnn.csv")
    theirs = published.assign(method=published["model"].map(MODELS))
    theirs = theirs.set_index("method")["accuracy_percent"]
    found = outcomes(records)
    rows = []
    for method in labels.methods_in(found["method"]):
        of_method = found[found["method"] == method]
        row = {"method": labels.method_name(method), "n": len(of_method)}
        for name in ("best", "last", "lost", "final"):
            row[name] = of_method[name].mean()
            row[f"{name} sd"] = of_method[name].std()
        row[THEIRS] = theirs.get(method)
        rows.append(row)
    return pd.DataFrame(rows)


def rates(records: Records) -> pd.DataFrame:
    """Validation accuracy at the last epoch, percent: mean over seeds by method (rows) and learning
    rate (columns).

    Args:
        records: of ``set_cnn_tuning``.
    """
    rows = []
    for record in records:
        run, valid = record.config, record.metrics["valid_accuracy"]
        name = labels.method_name(run.method)
        rows.append((name, f"{run.learning_rate:g}", 100 * valid.iloc[-1]))
    table = pd.DataFrame(rows, columns=["method", "learning rate", "accuracy"])
    return table.pivot_table("accuracy", "method", "learning rate", sort=False)


def difference(records: Records, rival: str, what: str = "best") -> Measurement | None:
    """SET minus a rival, points, paired by seed, on CIFAR-10.

    Args:
        records: of ``set_cnn``.
        rival: method.
        what: column of :func:`outcomes`.
    """
    runs = chosen(records, dataset="cifar10")
    by_seed = outcomes(runs).pivot_table(what, "seed", "method")
    pairs = by_seed.reindex(columns=["set", rival]).dropna()
    if pairs.empty:
        return None
    return t_interval(pairs["set"] - pairs[rival])


def overfitting(records: Records) -> Measurement | None:
    """S39: what the dense network loses from its best epoch to the last one, minus what SET loses,
    points; unbounded where all runs are best at their last epoch, so that none could lose.
    """
    found = difference(records, "dense", "lost")
    if found is None:
        return None
    compared = outcomes(chosen(records, dataset="cifar10")).query("method in ['set', 'dense']")
    if (compared["lost"] == 0).all():
        return Measurement(0.0, -math.inf, math.inf, found.n)
    value, low, high = 0 - found.value, 0 - found.high, 0 - found.low  # 0, not -0
    return Measurement(value, low, high, found.n)


CNN = ("set_cnn",)
SHORT = "toy: 15 epochs, half of the images"
CLAIMS: dict[str, Claim] = {
    "S36": Claim(
        CNN,
        partial(difference, rival="dense"),
        "SET minus dense layers on the CNN is {value:.2f} points.",
        SHORT,
    ),
    "S37": Claim(
        CNN,
        partial(difference, rival="fixed"),
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
