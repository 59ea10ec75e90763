"""Measurements of trained machines: likelihoods chosen by validation and the differences that
the estimator can tell, their degrees, and their visible units as images.
"""

import numpy as np
import pandas as pd
from torch import Tensor

from lib import topology
from lib._boundary import REFERENCE
from lib.report import frames
from lib.report.claims import intervals
from lib.report.tables import Records
from lib.runs.record import Record
from papers.set import studies
from papers.set.rbm import ais
from papers.shared import trained
from papers.shared.study import Study, Table

PUBLISHED = ("grid", "one setting")  # variants with the rate and the weight decay of the paper
COMPARED = (*PUBLISHED, "tuned")  # among these validation chooses
SETTING = ["hidden", "cd_steps", "learning_rate", "weight_decay", "visible_start", "epochs"]
NUMBERS = ["best_epoch", "links", "valid", "test", "se", "ess", "valid_short", "test_short"]
NUMBERS += ["se_short", "best_on_test", "last_test", "impossible"]
TABLE_2_NAMES = {
    "adult": "ADULT",
    "connect4": "Connect4",
    "dna": "DNA",
    "mushrooms": "Mushrooms",
    "nips": "NIPS-0-12",
    "ocr_letters": "OCR-letters",
    "web": "Web",
    "caltech28": "CalTech 101 Silhouettes 28x28",
    "mnist": "MNIST",
}
MODELS = {"RBM": "dense", "RBM_FixProb": "fixed_final", "SET-RBM": "set", "XBM": "xbm"}
OWN_DATA = {  # why nats are not those of the paper
    "web": "own split",
    "caltech28": "own split",
    "mnist": "sampled once",
}
BY_COLUMN = ("caltech28",)  # images stored column by column

# ---------------------------------------------------------------------------------- likelihoods


def machines(records: Records) -> pd.DataFrame:
    """Every run, a row: its machine of the evaluated epoch that is best by validation.

    Returns: columns of :data:`lib.report.frames.NETWORK`, those of the setting, best_epoch, links,
        valid and test (mean log-probability of a part, nats, by the schedule of most temperatures),
        se (standard error of its log Z), ess (effective chains), valid_short, test_short, se_short
        (by the other schedule), best_on_test (the largest after any evaluated epoch), last_test,
        impossible (estimates above their ceiling after epochs, or at the end). Likelihoods that are
        impossible, rest on fewer than :data:`papers.set.rbm.ais.LEAST_ESS` effective chains or
        were not estimated are missing.
    """
    fields = [name for name in SETTING if name != "epochs"]
    rows = []
    for record in records:
        final, metrics = record.environment["final"], record.metrics
        best = final["best"]
        row = frames.facts(record, *fields) | {"hidden": record.config.hidden[0]}
        row |= {"best_epoch": final["best_epoch"], "links": best["links"]}
        for end, schedule in (("", "full"), ("_short", "short")):
            estimate = best[schedule]
            for part in ("valid", "test"):
                possible = estimate.get(f"{part}_possible", False)
                is_sound = possible and estimate["ess"] >= ais.LEAST_ESS
                row[part + end] = estimate[part] if is_sound else np.nan
            row["se" + end] = estimate["se"]
        row["ess"] = best["full"]["ess"]
        if "test" in metrics:
            row |= {"best_on_test": metrics["test"].max(), "last_test": metrics["test"].iloc[-1]}
        at_end = not best["full"].get("test_possible", True)
        rows.append(row | {"impossible": int(metrics["impossible"].sum()) + int(at_end)})
    columns = ["experiment", *frames.NETWORK, *fields, *NUMBERS]
    return pd.DataFrame(rows, columns=columns)


def selected(machines: pd.DataFrame) -> pd.DataFrame:
    """Machines of each data set and method, all seeds, of the setting whose mean validation
    likelihood is the largest; none where no likelihood is known.

    Args:
        machines: rows of :func:`machines`, those among which is chosen.
    """
    keys = ["dataset", "method"]
    grouped = machines.groupby([*keys, *SETTING], sort=False, observed=True)
    means = grouped["valid"].mean().dropna()
    best = means[means.groupby(keys, observed=True).idxmax()].index.to_frame(index=False)
    return machines.merge(best)


def leads(machines: pd.DataFrame) -> pd.DataFrame:
    """SET minus every other method on every data set, paired by seed, nats.

    Args:
        machines: rows of :func:`selected`.
    Returns: columns dataset, method (the rival), seed, value (of test), se (of the difference),
        short, se_short (by the other schedule); seeds without both likelihoods are left out.
    Raises: pandas.errors.MergeError if SET has two machines of a data set and seed.
    """
    of_set = machines[machines["method"] == "set"]
    others = machines[machines["method"] != "set"]
    pairs = others.merge(
        of_set, on=["dataset", "seed"], suffixes=("", "_set"), validate="many_to_one"
    )
    rows = pairs[["dataset", "method", "seed"]].assign(
        value=pairs["test_set"] - pairs["test"],
        se=np.hypot(pairs["se_set"], pairs["se"]),
        short=pairs["test_short_set"] - pairs["test_short"],
        se_short=np.hypot(pairs["se_short_set"], pairs["se_short"]),
    )
    return rows.dropna(subset="value")


def ranked(leads: pd.DataFrame, family: int = 1) -> pd.DataFrame:
    """The mean lead over each rival on each data set with its interval over seeds, nats.

    Args:
        leads: of :func:`leads`.
        family: how many intervals hold together.
    Returns: columns dataset, method, those of :func:`lib.report.claims.intervals`, told_apart: see
        :func:`are_told_apart`.
    """
    keys = ["dataset", "method"]
    groups = leads.groupby(keys, sort=False, observed=True)
    apart = [are_told_apart(group) for _, group in groups]
    return intervals(leads, keys, family=family).assign(told_apart=np.array(apart, bool))


def are_told_apart(leads: pd.DataFrame) -> bool:
    """True if both schedules see the same difference: each by more than three standard errors of
    its mean, and closer to each other than the difference is large. Not where the short schedule
    estimates a seed by too few effective chains.

    Args:
        leads: of :func:`leads`, of one rival on one data set.
    """
    if leads["short"].isna().any():
        return False
    full, short = leads["value"].mean(), leads["short"].mean()
    for mean, se in ((full, leads["se"]), (short, leads["se_short"])):
        if abs(mean) <= ais.APART * np.sqrt(se.pow(2).sum()) / len(leads):
            return False
    return bool(np.sign(full) == np.sign(short) and abs(full - short) < abs(full))


def table_2() -> pd.DataFrame:
    """Table 2 as printed.

    Source: [Mocanu2018] Table 2.

    Returns: columns dataset (by our name, where that set is run), method, n_hidden, n_weights,
        cd_steps, value (nats).
    """
    table = pd.read_csv(REFERENCE / "set_table2_rbm.csv")
    ours = {printed: name for name, printed in TABLE_2_NAMES.items()}
    table = table.replace({"dataset": ours, "model": MODELS})
    names = {"model": "method", "cd_n": "cd_steps", "log_prob_nats": "value"}
    return table.rename(columns=names)


# ---------------------------------------------------------------------------------------- links


def scale_free(study: Study, record: Record) -> Table:
    """The evidence of :func:`papers.set.studies.scale_free` on a machine, whose hidden units
    have no layer above them.
    """
    return studies.scale_free(study, record, widths=(*trained.widths(record), 0))


def hidden_degrees(record: Record, epoch: int | str) -> np.ndarray:
    """(n_hidden,) links of every hidden unit after an epoch, or "final"; empty if not recorded."""
    sequences = topology.degree_sequences(trained.degrees(record), epoch)
    return sequences.get("hidden 1", np.empty(0, int))


def as_images(rows: np.ndarray | Tensor, dataset: str) -> np.ndarray | Tensor:
    """Images (N, height, width), as people look at them, of rows (N, n_features) of a data set:
    its examples, probabilities of its visible units, or numbers of their links.

    Raises: ValueError if the rows are no images that are square, or of letters of 16 x 8 pixels.
    """
    n = rows.shape[-1]
    if dataset == "ocr_letters":
        return rows.reshape(-1, 16, 8)
    side = round(n**0.5)
    if side * side != n:
        raise ValueError(f"{dataset} has {n} features: its rows are no square images")
    images = rows.reshape(-1, side, side)
    return images.swapaxes(1, 2) if dataset in BY_COLUMN else images
