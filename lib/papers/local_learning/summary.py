"""What notebooks 30 to 32 show of the records, in tables as people read them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.papers.local_learning import numbers
from lib.papers.local_learning.measuring import RELEASED
from lib.papers.local_learning.numbers import ATTACK_NAMES, KEY
from lib.papers.local_learning.recipes import CORRECTED
from lib.paths import REFERENCE
from lib.report import labels
from lib.report.intervals import contrasts
from lib.runs.record import Record

Records = Sequence[Record]

PUBLISHED_NAMES = {  # of related_results.csv
    "local learning (KH)": "kh",
    "backpropagation (BP)": "bp",
    "BP + L2": "l2",
    "BP + Jacobian": "jreg",
    "BP + spectral": "specreg",
    "input data": "images",
    "initialized": "start",
}
MEASURES = {
    "test_accuracy_fraction": "accuracy",
    "median_critical_l2_norm_noise": "noise",
    "median_critical_l2_norm_FGSM": "fgsm",
    "median_critical_l2_norm_PGD": "pgd",
    "covariance_spectrum_slope": "exponent",
}
SPARSE_CONTRASTS = {
    "SET − fixed": ("set", "fixed"),
    "RigL − fixed": ("rigl", "fixed"),
}
WITHIN = 0.01  # of the best accuracy on validation images


# -------------------------------------------------------------------------- beside the published


def published_numbers() -> pd.DataFrame:
    """What the released figures show: columns method, measure, input, value."""
    table = pd.read_csv(REFERENCE / "related_results.csv")
    table = table[table["source"].str.startswith("Holzhausen")]
    rows = pd.DataFrame(
        {
            "method": table["method"].map(PUBLISHED_NAMES),
            "measure": table["metric"].map(MEASURES),
            "input": np.where(table["dataset"] == "white noise", "noise", "images"),
            "value": table["value"].abs(),
        }
    )
    return rows.reset_index(drop=True)


def three_columns(
    attacks: Sequence[Record], studies: Sequence[Record], digits: int = 3
) -> pd.DataFrame:
    """The table of the paper in three columns: published, as released, corrected; mean ± sd over
    seeds. A row a measure and method, with the spectra of the released weights.
    """
    found = [numbers.accuracies(attacks), numbers.medians(attacks)[[*KEY, "measure", "value"]]]
    for given, name in (("images", "exponent"), ("noise", "exponent, noise")):
        rows = numbers.released_range(studies, given)
        rows = rows[rows["layer"] == "linear1"].assign(measure=name)
        found.append(rows[[*KEY, "measure", "value"]])
    found = [part for part in found if len(part)]
    if not found:
        return pd.DataFrame(columns=["measure", "method", "published"])
    ours = pd.concat(found, ignore_index=True)
    texts = ours.groupby(["measure", "method", "network"], sort=False)["value"].agg(
        lambda values: _mean_sd(values, digits)
    )
    wide = texts.unstack("network")
    printed = published_numbers()
    names = printed["measure"].where(printed["input"] == "images", printed["measure"] + ", noise")
    printed = printed.assign(measure=names).set_index(["measure", "method"])["value"]
    wide.insert(0, "published", printed.reindex(wide.index))
    order = [name for name in ("published", RELEASED, CORRECTED) if name in wide]
    return wide.reindex(columns=order).fillna("–")


def _mean_sd(values: pd.Series, digits: int) -> str:
    values = values.dropna()
    if not len(values):
        return "–"
    spread = f" ± {values.std():.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread} (n={len(values)})"


def points(*groups: Records) -> pd.DataFrame:
    """Accuracies and median critical norms of each group of studies, and the published ones, as
    :func:`lib.report.spectrum_figures.norms_against_accuracy` takes them.
    """
    parts = []
    for records in groups:
        both = [numbers.accuracies(records), numbers.medians(records)]
        units = {}
        for record in records:
            named = pd.DataFrame([numbers.key(record)])
            units[_names(named)[0]] = _width(record)
        for part in both:
            if len(part):
                widths = [units[name] for name in _names(part)]
                parts.append(part.assign(network=part["network"] + widths, published=False))
    if not parts:
        return pd.DataFrame(columns=[*KEY, "measure", "value", "published"])
    ours = pd.concat(parts)
    if not set(ours["method"]) & set(PUBLISHED_NAMES.values()) - {"kh"}:
        return ours[[*KEY, "measure", "value", "published"]]
    printed = published_numbers()
    printed = printed[printed["method"].isin(ours["method"]) & (printed["input"] == "images")]
    printed = printed.assign(dataset="cifar10", network="published", seed=0, published=True)
    return pd.concat([ours, printed])[[*KEY, "measure", "value", "published"]]


def _names(table: pd.DataFrame) -> list[tuple]:
    """What tells the studies of a group apart, of every row."""
    return list(table[KEY].itertuples(index=False, name=None))


def _width(record: Record) -> str:
    """The width of a network that is measured under a protocol, as it is written behind that."""
    n_units = getattr(record.config.parent, "n_units", None)
    if n_units is None or not numbers.key(record)["network"]:
        return ""
    return f", {n_units:,} units"


# ------------------------------------------------------------------------------------- networks


def couplings(records: Records) -> pd.DataFrame:
    """Accuracy on validation images by penalty and coupling, and which coupling is taken: the
    largest within a point of the best of its penalty.
    """
    rows = []
    for record in records:
        run = record.config
        accuracy = record.metrics["valid_accuracy"].max()
        rows.append((run.penalty, run.coupling, accuracy))
    table = pd.DataFrame(rows, columns=["penalty", "coupling", "validation accuracy"])
    taken = []
    for _, tried in table.groupby("penalty"):
        accuracy = tried["validation accuracy"]
        good = tried[accuracy >= accuracy.max() - WITHIN]
        taken.append(good["coupling"].idxmax())
    return table.assign(taken=table.index.isin(taken))


def movement(records: Records) -> pd.DataFrame:
    """The squared norm of the hidden layer before and after training: mean over seeds."""
    rows = []
    for record in records:
        run = record.config
        if run.parent is None:
            start, end = record.environment["final"]["squared_weights"]
            name = labels.method_name(run.method)
            rows.append((name, run.variant, start, end, end / start))
    columns = ["method", "variant", "at the start", "at the end", "ratio"]
    table = pd.DataFrame(rows, columns=columns)
    means = table.groupby(["method", "variant"], sort=False).mean()
    return means.round(2)


# --------------------------------------------------------------------------------- spectra, norms


def law_table(records: Records) -> pd.DataFrame:
    """How well each law describes the spectra, means over layers: a row a network and layer."""
    table = numbers.laws(records)
    if table.empty:
        return table
    table = table.assign(
        method=table["method"].map(labels.method_name),
        dataset=table["dataset"].map(labels.dataset),
        fit=np.where(table["weighted"], "weighted", "ordinary"),
    )
    keys = ["dataset", "method", "network", "layer", "fit", "law"]
    means = table.groupby(keys, sort=False)[["left", "behind", "supported"]]
    return means.agg({"left": "mean", "behind": "mean", "supported": "mean"}).unstack().round(2)


def exponent_table(records: Records) -> pd.DataFrame:
    """Exponents on images over ranks 10 to 500, mean ± sd over seeds: a row a network and layer, a
    column a fit.
    """
    table = numbers.exponents(records)
    table = table[(table["measure"] == "exponent") & (table["first"] <= 11)]
    if table.empty:
        return table
    fit = np.where(table["weighted"].astype(bool), "weighted", "ordinary")
    table = table.assign(
        method=table["method"].map(labels.method_name),
        dataset=table["dataset"].map(labels.dataset),
        fit=table["range"] + ", " + fit,
    )
    keys = ["dataset", "method", "network", "layer", "fit"]
    texts = table.groupby(keys, sort=False)["value"].agg(lambda values: _mean_sd(values, 2))
    return texts.unstack().fillna("–")


def norm_table(records: Records) -> pd.DataFrame:
    """Test accuracy, median critical norms and the share of images that were fooled at all, mean ±
    sd over seeds: a row a network.
    """
    fooled = numbers.fooled_shares(records)
    fooled = fooled.assign(measure="fooled by " + fooled["measure"].map(ATTACK_NAMES))
    medians = numbers.medians(records)
    medians = medians.assign(measure=medians["measure"].map(ATTACK_NAMES))
    table = pd.concat([numbers.accuracies(records), medians, fooled])
    if table.empty:
        return table
    table = table.assign(
        method=table["method"].map(labels.method_name),
        dataset=table["dataset"].map(labels.dataset),
    )
    keys = ["dataset", "method", "network", "measure"]
    texts = table.groupby(keys, sort=False)["value"].agg(lambda values: _mean_sd(values, 3))
    return texts.unstack().fillna("–")


def sparse_contrasts(records: Records) -> pd.DataFrame:
    """Accuracy and median critical norms of evolving links minus those of a fixed support, paired
    by seed, with t-intervals and Holm's correction.
    """
    trained = [record for record in records if record.config.method != "kh"]
    table = pd.concat([numbers.accuracies(trained), numbers.medians(trained)])
    table = table.assign(measure=table["measure"].replace(ATTACK_NAMES))
    return contrasts(table[[*KEY, "measure", "value"]], SPARSE_CONTRASTS)
