"""Measurements of the claims of [Poyatos2023], in the unit of each claim.

The unit is a run. The paper speaks of six data sets; of those that were run the one that is worst
for a claim decides, with intervals that hold for all of them at once; those that were not run could
be worse still, so that nothing bounds a claim from below. The readings have the 95 % interval of
each row alone; of E01 to E03 also on other divisions of the images, in which near duplicates stay
together, as was decided before these were run.
"""

import math
from dataclasses import replace

import pandas as pd

from lib.report import labels
from lib.report.claims import against, intervals, readings, smallest
from lib.report.frames import in_order, mean_over, tidy
from lib.report.intervals import Measurement
from lib.report.tables import Records
from lib.report.verdicts import Claim
from papers.pruning.experiments import CORRECTED, GROUPED
from papers.pruning.studies import (
    HELD,
    RIVALS,
    chosen_gains,
    chosen_votes,
    pooled_relations,
    relations,
)

ALLOWED = -0.2  # points that count as none lost, as for S01
SILENT = "the paper does not say by what a vote is chosen, and fair readings disagree"
RELATED = 0.3  # correlation from which on objectives count as related
EVOLVED = f"method == 'nsga2' and variant == '{CORRECTED}'"
DIVIDED = {CORRECTED: "", GROUPED: f", {GROUPED}"}  # in the words of a reading


def _worst(rows: pd.DataFrame) -> Measurement | None:
    """The smallest of the rows of :func:`lib.report.claims.intervals`."""
    found = smallest(rows, {"dataset": labels.dataset})
    return found and replace(found, low=-math.inf)


def as_accurate(records: Records) -> Measurement | None:
    """E01: test accuracy of the member of the front that is most accurate on validation images,
    minus that of the full head of the same seed, points; the least of the data sets.
    """
    gains = chosen_gains(records).query(EVOLVED).query("seeds == 'as searched'")
    return _worst(intervals(gains.dropna(subset="value"), ["dataset"]))


def smallest_relation(records: Records) -> Measurement | None:
    """E02: Spearman's correlation of accuracy, share of active features and AUROC on the front of a
    run, mean over runs; the least of the three pairs and the data sets.

    Directly related are three that rise together: a correlation below 0 is none. What is not known
    counts 0.
    """
    of_pairs = relations(records).query(EVOLVED).fillna({"value": 0.0})
    of_pairs = of_pairs[of_pairs["pair"] != HELD]
    return _worst(intervals(of_pairs, ["dataset", "pair"]))


HIDDEN_INSTEAD = {"moved": "the same regions elsewhere", "others": "what ten other features see"}


def hidden_gaps(records: Records) -> pd.DataFrame:
    """Extra cost of hiding the regions of the kept features than hiding others, points, a row a
    run and kind of :data:`HIDDEN_INSTEAD`: columns of :func:`lib.report.claims.against`.
    """
    accuracy = mean_over(tidy(records).query("measure == 'accuracy'"), "draw")
    keys = ["dataset", "method", "variant", "epochs"]
    gaps = against(accuracy, "kept", by="kind", keys=keys).query("kind in @HIDDEN_INSTEAD")
    return gaps.assign(value=100 * gaps["value"])


def more_is_lost(records: Records) -> Measurement | None:
    """E03: the loss in accuracy when what the ten most often kept features see is hidden, minus
    that for the same regions elsewhere, points; the least of the data sets.
    """
    gaps = hidden_gaps(records).query(EVOLVED).query("kind == 'moved'")
    return _worst(intervals(gaps, ["dataset"]))


def vote_gains(records: Records, by: str = "accuracy") -> pd.DataFrame:
    """Gain of the vote that is best on validation images, in accuracy or AUROC, over each of
    :data:`papers.pruning.studies.RIVALS`, points on test, a row a run, measure and rival
    (column who).
    """
    keys = ["dataset", "method", "variant", "epochs", "measure"]
    gains = against(chosen_votes(records, by), "vote", by="who", keys=keys)
    gains = gains.sort_values("who", key=lambda who: who.map([*RIVALS].index), kind="stable")
    return gains.assign(value=-gains["value"])


def both_gain(records: Records) -> Measurement | None:
    """E04: the smaller of the gains of the vote over the best member of its front, in accuracy and
    in AUROC, each chosen on validation images, points; the least of the data sets. The vote is
    chosen by accuracy; chosen by AUROC for its AUROC it loses less.
    """
    gains = vote_gains(records).query(EVOLVED)
    gains = gains[gains["who"] == "front_" + gains["measure"]]
    found = _worst(intervals(gains, ["dataset", "measure"]))
    return found and replace(found, undecidable=SILENT)


# ------------------------------------------------------------------------------- the readings


def _readings(rows: pd.DataFrame, claim: str, comparison: str, threshold: float) -> pd.DataFrame:
    """A row for each reading, rival, method and data set, readings as they come.

    Args:
        rows: columns method, variant, dataset, epochs, reading, rival, value; a row a run.
    """
    rows = rows.query("variant in @DIVIDED").dropna(subset="value")
    reading = rows["reading"] + rows["variant"].map(DIVIDED)
    as_they_come = pd.CategoricalDtype(reading.unique(), ordered=True)
    rows = in_order(rows.assign(reading=reading.astype(as_they_come), rule=rows["method"]))
    rows = rows.sort_values(["reading", "dataset"])
    named = ["reading", "rival", "rule", "dataset", "epochs"]
    found = intervals(rows, named, family=1)
    return readings(found[[*named, "value", "low", "high", "n"]], claim, comparison, threshold)


def accuracy_readings(records: Records) -> pd.DataFrame:
    """E01 for every data set: as searched, and trained with fresh seeds."""
    gains = chosen_gains(records).query("method == 'nsga2'").sort_values("seeds", kind="stable")
    reading = "most accurate on validation, " + gains["seeds"]
    return _readings(gains.assign(reading=reading, rival="full"), "E01", ">=", ALLOWED)


def relation_readings(records: Records) -> pd.DataFrame:
    """E02 for every pair of objectives and data set: on the front of a run, on the front of all
    fronts together as published, and over all masks of random search, which nothing selected; there
    also for accuracy and AUROC when the density is held.
    """
    of_run = relations(records).query("method == 'nsga2'")
    pooled = pooled_relations(records).query(EVOLVED)  # each division judges on images of its own
    of_all = relations(records, of_front=False).query("method == 'random_search'")
    parts = [
        of_run[of_run["pair"] != HELD].assign(of="front of a run"),  # it presses that below 0
        pooled[pooled["pair"] != HELD].assign(of="fronts of all runs pooled"),
        of_all.assign(of="all masks"),
    ]
    rows = pd.concat(parts)
    rows = rows.assign(reading=rows["pair"] + ", " + rows["of"], rival="")
    return _readings(rows, "E02", ">=", RELATED)


def region_readings(records: Records) -> pd.DataFrame:
    """E03 for every data set, against the same regions elsewhere and those of other features."""
    gaps = hidden_gaps(records).sort_values("kind", kind="stable")
    reading = "loss minus that of " + gaps["kind"].map(HIDDEN_INSTEAD)
    return _readings(gaps.assign(reading=reading, rival=""), "E03", ">", 0)


def vote_readings(records: Records) -> pd.DataFrame:
    """E04 for both gains and every data set, against all rivals; and the gain in AUROC of the vote
    that is chosen by it.
    """
    by_auroc = vote_gains(records, "auroc").query("who == 'front_auroc' and measure == 'auroc'")
    gains = vote_gains(records).assign(vote="vote")
    rows = pd.concat([gains, by_auroc.assign(vote="vote chosen by AUROC")]).query(EVOLVED)
    measure = rows["measure"].replace({"auroc": "AUROC"})
    reading = rows["vote"] + " minus " + rows["who"].map(RIVALS) + ", " + measure
    return _readings(rows.assign(reading=reading, rival=""), "E04", ">", 0)


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
