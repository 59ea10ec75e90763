"""What notebooks 30 to 32 show of the records, in tables as people read them."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from lib.papers.local_learning import numbers
from lib.papers.local_learning.measuring import RELEASED
from lib.papers.local_learning.numbers import ATTACK_NAMES, KEY
from lib.papers.local_learning.recipes import CORRECTED, KINDS
from lib.papers.local_learning.spectra import AS_RELEASED
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
Pairs = Mapping[str, tuple[str, str]]
OVER_FIXED: Pairs = {
    "SET − fixed": ("set", "fixed"),
    "RigL − fixed": ("rigl", "fixed"),
}
OVER_DENSE: Pairs = {
    "SET − small dense": ("set", "dense_small"),
    "RigL − small dense": ("rigl", "dense_small"),
    "SET − dense": ("set", "dense"),
    "RigL − dense": ("rigl", "dense"),
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
    seeds. A row a measure and method, with the spectra of the released weights; medians that no
    perturbation reached are lower bounds.
    """
    found = [numbers.accuracies(attacks), numbers.medians(attacks)]
    for given, name in (("images", "exponent"), ("noise", "exponent, noise")):
        rows = numbers.released_range(studies, given)
        rows = rows[rows["layer"] == "linear1"].assign(measure=name)
        found.append(rows)
    found = [part for part in found if len(part)]
    if not found:
        return pd.DataFrame(columns=["measure", "method", "published"])
    texts = _texts(pd.concat(found), ["measure", "method", "network"], digits)
    wide = texts.unstack("network")
    printed = published_numbers()
    if "cifar10" not in {record.config.dataset for record in [*attacks, *studies]}:
        printed = printed.iloc[:0]
    names = printed["measure"].where(printed["input"] == "images", printed["measure"] + ", noise")
    printed = printed.assign(measure=names).set_index(["measure", "method"])["value"]
    wide.insert(0, "published", printed.reindex(wide.index))
    order = [name for name in ("published", RELEASED, CORRECTED) if name in wide]
    return wide.reindex(columns=order).fillna("–")


def _texts(table: pd.DataFrame, keys: list[str], digits: int) -> pd.Series:
    """Mean ± sd over seeds and their number, by some columns; "≥" where one of the medians is but a
    lower bound.
    """
    groups = table.groupby(keys, sort=False)
    texts = {place: _mean_sd(rows, digits) for place, rows in groups}
    index = pd.MultiIndex.from_tuples(texts, names=keys)
    return pd.Series(list(texts.values()), index=index, dtype=object)


def _mean_sd(rows: pd.DataFrame, digits: int) -> str:
    values = rows["value"].dropna()
    if not len(values):
        return "–"
    bound = "" if _are_reached(rows).all() else "≥ "
    spread = f" ± {values.std():.{digits}f}" if len(values) > 1 else ""
    return f"{bound}{values.mean():.{digits}f}{spread} (n={len(values)})"


def _are_reached(table: pd.DataFrame) -> pd.Series:
    """Of every row whether its value is one, no lower bound."""
    if "reached" not in table:
        return pd.Series(True, index=table.index)
    return table["reached"].ne(False)  # accuracies have none


def orders(*groups: Records) -> pd.DataFrame:
    """How networks stand in order by each measure, the largest mean over seeds first, and how many
    pairs of them stand as in the published table.

    Args:
        groups: studies of critical norms, each of one width.
    Returns: columns dataset, network, measure, order, pairs as published.
    """
    printed = published_numbers()
    printed = printed[printed["input"] == "images"]
    rows = []
    for records in groups:
        both = pd.concat([numbers.accuracies(records), numbers.medians(records)])
        table = _with_widths(both, records)
        for place, part in table.groupby(["dataset", "network", "measure"], sort=False):
            means = part.groupby("method")["value"].mean().sort_values(ascending=False)
            theirs = printed[printed["measure"] == place[-1]].set_index("method")["value"]
            known = [method for method in means.index if method in theirs.index]
            pairs = list(combinations(known, 2))
            alike = sum(theirs[first] > theirs[second] for first, second in pairs)
            order = " > ".join(labels.method_name(method) for method in means.index)
            rows.append((*place, order, f"{alike} of {len(pairs)}"))
    columns = ["dataset", "network", "measure", "order", "pairs as published"]
    return pd.DataFrame(rows, columns=columns)


def points(*groups: Records) -> pd.DataFrame:
    """Accuracies and median critical norms of each group of studies, and the published ones, as
    :func:`lib.report.spectrum_figures.norms_against_accuracy` takes them; medians that no
    perturbation reached are left out.
    """
    parts = []
    for records in groups:
        medians = numbers.medians(records)
        medians = medians[medians["reached"].astype(bool)]
        part = pd.concat([numbers.accuracies(records), medians])
        if len(part):
            parts.append(_with_widths(part, records).assign(published=False))
    if not parts:
        return pd.DataFrame(columns=[*KEY, "measure", "value", "published"])
    ours = pd.concat(parts)
    if "cifar10" not in set(ours["dataset"]):  # published numbers are of no other
        return ours[[*KEY, "measure", "value", "published"]]
    printed = published_numbers()
    printed = printed[printed["method"].isin(ours["method"]) & (printed["input"] == "images")]
    printed = printed.assign(dataset="cifar10", network="published", seed=0, published=True)
    return pd.concat([ours, printed])[[*KEY, "measure", "value", "published"]]


def _with_widths(table: pd.DataFrame, records: Records) -> pd.DataFrame:
    """The table, with the width of each network written behind its protocol.

    Args:
        table: columns of :data:`KEY`, of records of one width and a key each.
        records: the studies.
    """
    widths = {}
    for record in records:
        key = numbers.key(record)
        n_units = getattr(record.config.parent, "n_units", None)
        if n_units is not None and key["network"]:
            widths[tuple(key.values())] = f", {n_units:,} units"
    keys = table[KEY].itertuples(index=False, name=None)
    return table.assign(network=table["network"] + [widths.get(key, "") for key in keys])


# ------------------------------------------------------------------------------------- networks


def couplings(records: Records) -> pd.DataFrame:
    """Accuracy on validation images by penalty and coupling: which coupling the networks have that
    are measured, and which is the largest within a point of the best of its penalty.
    """
    rows = []
    for record in records:
        run = record.config
        rows.append((run.penalty, run.coupling, record.metrics["valid_accuracy"].max()))
    columns = ["penalty", "coupling", "validation accuracy"]
    table = pd.DataFrame(rows, columns=columns)
    largest = []
    for _, tried in table.groupby("penalty"):
        accuracy = tried["validation accuracy"]
        good = tried[accuracy >= accuracy.max() - WITHIN]
        largest.append(good["coupling"].idxmax())
    measured = {
        (kind.fields.get("penalty", "none"), kind.fields.get("coupling", 0.0)) for kind in KINDS
    }
    pairs = zip(table["penalty"], table["coupling"], strict=True)
    table["measured"] = [pair in measured for pair in pairs]
    table["largest within a point"] = table.index.isin(largest)
    return table


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


def law_table(*groups: Records) -> pd.DataFrame:
    """How well each law describes the spectra, means over layers: a row a network and layer.

    Args:
        groups: studies of spectra, each of one width.
    """
    parts = []
    for records in groups:
        laws = numbers.laws(records)
        if len(laws):
            parts.append(_with_widths(laws, records))
    if not parts:
        return pd.DataFrame(columns=[*KEY, "layer", "law"])
    table = _named(pd.concat(parts))
    table = table.assign(fit=np.where(table["weighted"], "weighted", "ordinary"))
    keys = ["dataset", "method", "network", "layer", "fit", "law"]
    means = table.groupby(keys, sort=False)[["left", "behind", "supported"]]
    return means.agg({"left": "mean", "behind": "mean", "supported": "mean"}).unstack().round(2)


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """With methods and data sets as people read them."""
    return table.assign(
        method=table["method"].map(labels.method_name),
        dataset=table["dataset"].map(labels.dataset),
    )


def exponent_table(records: Records) -> pd.DataFrame:
    """Exponents on images over ranks 10 to 500, mean ± sd over seeds: a row a network and layer, a
    column a fit.
    """
    table = numbers.exponents(records)
    table = table[(table["measure"] == "exponent") & (table["range"] == AS_RELEASED)]
    if table.empty:
        return table
    fit = np.where(table["weighted"].astype(bool), "weighted", "ordinary")
    texts = _texts(
        _named(table).assign(fit=fit), ["dataset", "method", "network", "layer", "fit"], 2
    )
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
    texts = _texts(_named(table), ["dataset", "method", "network", "measure"], 3)
    return texts.unstack().fillna("–")


def sparse_contrasts(records: Records, pairs: Pairs) -> pd.DataFrame:
    """Accuracy, in points, and median critical norms of evolving links minus those of a fixed
    support (:data:`OVER_FIXED`), or of dense networks with as many links or neurons
    (:data:`OVER_DENSE`), paired by seed, with t-intervals and Holm's correction for all of the
    pairs. An attack that does not reach the median of each of these networks of a data set has no
    contrast there.
    """
    methods = {method for pair in pairs.values() for method in pair}
    trained = [record for record in records if record.config.method in methods]
    accuracies = numbers.accuracies(trained)
    points = accuracies.assign(value=100 * accuracies["value"], measure="accuracy, points")
    medians = numbers.medians(trained)
    reached = medians.groupby(["dataset", "measure"])["reached"].transform("all").astype(bool)
    medians = medians[reached].replace({"measure": ATTACK_NAMES})
    table = pd.concat([points, medians])
    return contrasts(table[[*KEY, "measure", "value"]], pairs)
