"""What our records say about the claims of [Poyatos2023], in the unit of each claim.

The unit is a run. The paper speaks of six data sets; of the five at hand the one that is worst for
a claim decides, with intervals that hold for all of them at once.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.papers.pruning import numbers
from lib.report.intervals import LEVEL, Measurement, judge, t_interval
from lib.report.verdicts import Claim
from lib.runs.record import Record

Records = Sequence[Record]

MISSING = "data"  # sets of the paper that cannot be had could only be worse
ROW = ["claim", "reading", "rival", "rule", "dataset", "epochs"]
MEASURED = ["value", "low", "high", "n"]


def least(groups: dict[str, Sequence[float]]) -> Measurement | None:
    """The smallest of the means of some groups, with simultaneous bounds."""
    groups = {name: _known(values) for name, values in groups.items()}
    groups = {name: values for name, values in groups.items() if len(values)}
    if not groups:
        return None
    level = 1 - (1 - LEVEL) / len(groups)
    found = [t_interval(values, level=level) for values in groups.values()]
    return Measurement(
        min(one.value for one in found),
        min(one.low for one in found),
        min(one.high for one in found),
        min(one.n for one in found),
        MISSING,
    )


def _known(values: Sequence[float]) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return values[~np.isnan(values)]


def _by(table: pd.DataFrame, column: str) -> dict[str, pd.Series]:
    return {name: rows[column] for name, rows in table.groupby("dataset", sort=False)}


def _fronts(records: Records) -> list[Record]:
    return numbers.chosen(numbers.of_experiment(records, "mask_fronts"), method="nsga2")


def _searches(records: Records) -> list[Record]:
    return numbers.chosen(numbers.of_experiment(records, "mask_search"), method="nsga2")


# --------------------------------------------------------------------------------- the claims


def as_accurate(records: Records) -> Measurement | None:
    """E01: test accuracy of the member of the front that is most accurate on validation images,
    minus that of the full head of the same seed, points; the least of the data sets.
    """
    return least(_by(numbers.selected(_fronts(records)), "gain"))


def smallest_relation(records: Records) -> Measurement | None:
    """E02: the smallest absolute Spearman correlation among the three pairs of objectives on the
    front of a run; the least of the data sets.
    """
    return least(_by(smallest(numbers.relations(_searches(records))), "value"))


def smallest(relations: pd.DataFrame) -> pd.DataFrame:
    """The smallest absolute value of the three pairs, a row a run; what is not known counts 0."""
    of_pairs = relations[relations["pair"].isin(numbers.PAIRS)]
    sizes = of_pairs.assign(value=of_pairs["value"].abs().fillna(0))
    return sizes.groupby(numbers.KEY, sort=False)["value"].min().reset_index()


def hidden_losses(records: Records) -> pd.DataFrame:
    """Accuracy lost when regions are hidden, points: columns of KEY, kept, moved (the same regions
    elsewhere), others (those of other features).
    """
    rows = []
    for record in numbers.of_experiment(records, "mask_regions"):
        mean = 100 * record.metrics.groupby("kind")["accuracy"].mean()
        losses = {kind: mean["nothing"] - mean[kind] for kind in ("kept", "moved", "others")}
        rows.append({**numbers.key(record.config), **losses})
    return pd.DataFrame(rows, columns=[*numbers.KEY, "kept", "moved", "others"])


def more_is_lost(records: Records) -> Measurement | None:
    """E03: the loss in accuracy when what the ten most often kept features see is hidden, minus
    that for the same regions elsewhere, points; the least of the data sets.
    """
    losses = hidden_losses(records)
    return least(_by(losses.assign(gap=losses["kept"] - losses["moved"]), "gap"))


def voting_gains(records: Records, rival: str = "best") -> pd.DataFrame:
    """What the vote that is best on validation images gains over a rival, points on test: columns
    of KEY, accuracy and auroc.
    """
    table = numbers.chosen_votes(_fronts(records))
    gains = table[numbers.KEY].copy()
    for name in ("accuracy", "auroc"):
        gains[name] = table[f"{name} vote"] - table[f"{name} {rival}"]
    return gains


def both_gain(records: Records) -> Measurement | None:
    """E04: the smaller of the gains of the vote over its best member, in accuracy and in AUROC,
    points; the least of the data sets.
    """
    gains = voting_gains(records)
    groups = {}
    for name in ("accuracy", "auroc"):
        for dataset, values in _by(gains, name).items():
            groups[f"{dataset} {name}"] = values
    return least(groups)


# ------------------------------------------------------------------------------- the readings


def _readings(
    claim: str,
    groups: dict[tuple[str, str, str], Sequence[float]],
    rule: str,
    comparison: str,
    threshold: float,
    records: Records,
) -> pd.DataFrame:
    """A row for each (name, rival, data set), with simultaneous intervals over all of them."""
    groups = {place: _known(values) for place, values in groups.items()}
    groups = {place: values for place, values in groups.items() if len(values)}
    level = 1 - (1 - LEVEL) / max(len(groups), 1)
    rows = []
    for (name, rival, dataset), values in groups.items():
        found = t_interval(values, level=level)
        measured = found.value, found.low, found.high, found.n
        place = claim, name, rival, rule, dataset, _epochs(records)
        verdict = judge(found, comparison, str(threshold))
        rows.append((*place, *measured, f"{comparison} {threshold:g}", verdict))
    return pd.DataFrame(rows, columns=[*ROW, *MEASURED, "holds if", "verdict"])


def _epochs(records: Records) -> int:
    """The most that a head of any record was trained."""
    runs = [record.config for record in records]
    return max((getattr(run, "epochs", 0) or run.parent.epochs for run in runs), default=0)


def accuracy_readings(records: Records) -> pd.DataFrame:
    """E01 for every data set: as searched, and trained with fresh seeds."""
    table = numbers.selected(_fronts(records))
    groups = {}
    for name, column in (("as searched", "gain"), ("fresh seeds", "gain_fresh")):
        for dataset, values in _by(table, column).items():
            groups[f"most accurate on validation, {name}", "full", dataset] = values
    return _readings("E01", groups, "nsga2", ">=", 0, records)


def relation_readings(records: Records) -> pd.DataFrame:
    """E02 for every pair of objectives and data set, absolute values of the runs, and for accuracy
    and AUROC when the density is held.
    """
    groups = {}
    for pair, of_pair in numbers.relations(_searches(records)).groupby("pair", sort=False):
        for dataset, values in _by(of_pair, "value").items():
            groups[f"|correlation|, {pair}", "", dataset] = values.abs()
    return _readings("E02", groups, "nsga2", ">=", 0.3, records)


def region_readings(records: Records) -> pd.DataFrame:
    """E03 for every data set, against the same regions elsewhere and those of other features."""
    losses = hidden_losses(records)
    groups = {}
    rivals = (("moved", "the same regions elsewhere"), ("others", "regions of other features"))
    for column, rival in rivals:
        gap = losses.assign(gap=losses["kept"] - losses[column])
        for dataset, values in _by(gap, "gap").items():
            groups[f"loss minus that of {rival}", "", dataset] = values
    return _readings("E03", groups, "nsga2", ">", 0, records)


def vote_readings(records: Records) -> pd.DataFrame:
    """E04 for both gains, every data set, and three rivals."""
    rivals = (("best", "best member"), ("mean", "mean member"), ("alike", "as many seeds"))
    groups = {}
    for rival, words in rivals:
        gains = voting_gains(records, rival)
        for column, word in (("accuracy", "accuracy"), ("auroc", "AUROC")):
            for dataset, values in _by(gains, column).items():
                groups[f"vote minus {words}, {word}", "", dataset] = values
    return _readings("E04", groups, "nsga2", ">", 0, records)


CLAIMS: dict[str, Claim] = {
    "E01": Claim(("mask_fronts",), as_accurate, readings=accuracy_readings),
    "E02": Claim(("mask_search",), smallest_relation, readings=relation_readings),
    "E03": Claim(("mask_regions",), more_is_lost, readings=region_readings),
    "E04": Claim(("mask_fronts",), both_gain, readings=vote_readings),
}
