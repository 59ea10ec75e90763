"""What our records say about the claims of [Poyatos2023], in the unit of each claim.

The unit is a run. The paper speaks of six data sets; of those that were run the one that is worst
for a claim decides, with intervals that hold for all of them at once. The readings have the 95 %
interval of each row alone.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lib.papers.pruning import numbers
from lib.report import labels
from lib.report.intervals import LEVEL, Measurement, direction, t_interval
from lib.report.verdicts import Claim
from lib.runs.record import Record

Records = Sequence[Record]

ALLOWED = -0.2  # points that count as none lost, as for S01
ROW = ["claim", "reading", "rival", "rule", "dataset", "epochs"]
MEASURED = ["value", "low", "high", "n"]


def least(groups: Mapping[object, Sequence[float]]) -> Measurement | None:
    """The smallest of the means of some groups, with simultaneous bounds."""
    groups = {name: _known(values) for name, values in groups.items()}
    groups = {name: values for name, values in groups.items() if len(values)}
    if not groups:
        return None
    level = 1 - (1 - LEVEL) / len(groups)
    found = [t_interval(values, level=level) for values in groups.values()]
    worst = list(groups)[np.argmin([one.value for one in found])]
    at = labels.dataset(worst if isinstance(worst, str) else worst[0])
    return Measurement(
        min(one.value for one in found),
        min(one.low for one in found),
        min(one.high for one in found),
        min(one.n for one in found),
        at=at,
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
    """E02: Spearman's correlation of accuracy, share of active features and AUROC on the front of a
    run, mean over runs; the least of the three pairs and the data sets.

    Directly related are three that rise together: a correlation below 0 is none. What is not known
    counts 0.
    """
    table = numbers.relations(_searches(records))
    of_pairs = table[table["pair"].isin(numbers.PAIRS)].fillna({"value": 0})
    return least(dict(iter(of_pairs.groupby(["dataset", "pair"])["value"])))


def hidden_losses(records: Records) -> pd.DataFrame:
    """Accuracy lost when regions are hidden, points: columns of KEY, kept, moved (the same regions
    elsewhere), others (those of other features).
    """
    rows = []
    for record in numbers.chosen(numbers.of_experiment(records, "mask_regions")):
        mean = 100 * record.metrics.groupby("kind")["accuracy"].mean()
        losses = {kind: mean["nothing"] - mean[kind] for kind in ("kept", "moved", "others")}
        rows.append({**numbers.key(record.config), **losses})
    return pd.DataFrame(rows, columns=[*numbers.KEY, "kept", "moved", "others"])


def hidden_gaps(records: Records) -> pd.DataFrame:
    """What hiding the regions of the kept features costs more than hiding others, points, paired by
    run: columns dataset, seed, name (of what was hidden instead), value.
    """
    losses = hidden_losses(records)
    parts = []
    for kind, words in HIDDEN_INSTEAD.items():
        part = losses[["dataset", "seed"]].assign(value=losses["kept"] - losses[kind])
        parts.append(part.assign(name=words))
    return pd.concat(parts, ignore_index=True)


HIDDEN_INSTEAD = {
    "moved": "the same regions elsewhere",
    "others": "what ten other features see",
}


def more_is_lost(records: Records) -> Measurement | None:
    """E03: the loss in accuracy when what the ten most often kept features see is hidden, minus
    that for the same regions elsewhere, points; the least of the data sets.
    """
    gaps = hidden_gaps(records)
    return least(_by(gaps[gaps["name"] == HIDDEN_INSTEAD["moved"]], "value"))


def voting_gains(records: Records, rival: str, by: str = "accuracy") -> pd.DataFrame:
    """What the vote that is best on validation images, in accuracy or AUROC, gains over one of
    :data:`numbers.RIVALS`, points on test: columns of KEY, accuracy and auroc.
    """
    table = numbers.chosen_votes(_fronts(records), by)
    gains = table[numbers.KEY].copy()
    for name in numbers.JUDGED:
        gains[name] = table[f"{name} vote"] - table[f"{name} {rival}"]
    return gains


def both_gain(records: Records) -> Measurement | None:
    """E04: the smaller of the gains of the vote over the best member of its front, in accuracy and
    in AUROC, each chosen on validation images, points; the least of the data sets.
    """
    groups = {}
    for name in numbers.JUDGED:
        for dataset, values in _by(voting_gains(records, f"front_{name}"), name).items():
            groups[dataset, name] = values
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
    """A row for each (name, rival, data set), with the 95 % interval of its own mean."""
    groups = {place: _known(values) for place, values in groups.items()}
    rows = []
    for (name, rival, dataset), values in groups.items():
        if not len(values):
            continue
        found = t_interval(values)
        measured = found.value, found.low, found.high, found.n
        place = claim, name, rival, rule, dataset, _epochs(records)
        verdict = direction(found, comparison, str(threshold))
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
    return _readings("E01", groups, "nsga2", ">=", ALLOWED, records)


def relation_readings(records: Records) -> pd.DataFrame:
    """E02 for every pair of objectives and data set: on the front of a run, on the front of all
    fronts together as published, and over all masks of random search, which nothing selected; there
    also for accuracy and AUROC when the density is held.
    """
    searches = _searches(records)
    at_random = numbers.chosen(
        numbers.of_experiment(records, "mask_search"), method="random_search"
    )
    tables = (
        ("front of a run", "nsga2", numbers.relations(searches)),
        ("fronts of all runs pooled", "nsga2", numbers.pooled_relations(searches)),
        ("all masks", "random_search", numbers.relations(at_random, of_front=False)),
    )
    parts = []
    for words, rule, table in tables:
        if rule == "nsga2":  # a front presses the correlation below 0 when the density is held
            table = table[table["pair"] != numbers.HELD]
        groups = {}
        for pair, of_pair in table.groupby("pair", sort=False):
            for dataset, values in _by(of_pair, "value").items():
                groups[f"{pair}, {words}", "", dataset] = values
        parts.append(_readings("E02", groups, rule, ">=", 0.3, records))
    return pd.concat(parts, ignore_index=True)


def region_readings(records: Records) -> pd.DataFrame:
    """E03 for every data set, against the same regions elsewhere and those of other features."""
    groups = {}
    for name, gaps in hidden_gaps(records).groupby("name", sort=False):
        for dataset, values in _by(gaps, "value").items():
            groups[f"loss minus that of {name}", "", dataset] = values
    return _readings("E03", groups, "nsga2", ">", 0, records)


def vote_readings(records: Records) -> pd.DataFrame:
    """E04 for both gains and every data set, against all rivals; and the gain in AUROC of the vote
    that is chosen by it.
    """
    compared = []
    for rival, words in numbers.RIVALS.items():
        gains = voting_gains(records, rival)
        compared += [(f"vote minus {words}", name, gains) for name in numbers.JUDGED]
    by_auroc = voting_gains(records, "front_auroc", by="auroc")
    words = f"vote chosen by AUROC minus {numbers.RIVALS['front_auroc']}"
    compared.append((words, "auroc", by_auroc))
    groups = {}
    for words, name, gains in compared:
        written = {"auroc": "AUROC"}.get(name, name)
        for dataset, values in _by(gains, name).items():
            groups[f"{words}, {written}", "", dataset] = values
    return _readings("E04", groups, "nsga2", ">", 0, records)


FEWER = "smaller: part of the data sets"
CLAIMS: dict[str, Claim] = {
    "E01": Claim(
        ("mask_fronts",),
        as_accurate,
        "The most accurate mask changes accuracy by {value:.1f} points on {at}, the worst set.",
        FEWER,
        readings=accuracy_readings,
    ),
    "E02": Claim(
        ("mask_search",),
        smallest_relation,
        "The weakest of the three correlations is {value:.2f}, on {at}.",
        FEWER,
        readings=relation_readings,
    ),
    "E03": Claim(
        ("mask_regions",),
        more_is_lost,
        "Hiding what kept features see costs {value:.1f} points more than elsewhere, on {at}.",
        FEWER,
        readings=region_readings,
    ),
    "E04": Claim(
        ("mask_fronts",),
        both_gain,
        "Voting changes the worse of accuracy and AUROC by {value:.1f} points on {at}.",
        FEWER,
        readings=vote_readings,
    ),
}
