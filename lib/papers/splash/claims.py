"""What our records say about the claims of [Tavakoli2021], in the unit of each claim."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

import pandas as pd
import torch

from lib.papers.splash import checks, numbers
from lib.papers.splash.attacking import BLACK, OPEN
from lib.papers.splash.experiments import TEN, TRAININGS
from lib.papers.splash.training import learned_units
from lib.report import labels
from lib.report.intervals import (
    LEVEL,
    MIN_SEEDS,
    Measurement,
    direction,
    exact,
    ratio_interval,
    t_interval,
)
from lib.report.verdicts import Claim
from lib.runs.record import Record

Records = Sequence[Record]
Measure = Callable[[pd.DataFrame, float], Measurement]  # gains of an attack, level

DATASETS = ("mnist", "cifar10", "cifar100")  # of the paper
NETWORKS = ("lenet5", "all_cnn", "resnet20", "nin")
CELLS = tuple(product(DATASETS, NETWORKS))
DRAWS = 100  # of random coefficients, for each learned unit
BASE = 5.0  # percent that ReLU keeps on average, below which a relative gain has no base
RIVAL, OURS = "relu", "splash"
CLAIMED = 31.0  # percent, of P03
SILENT = "the paper does not say percent of what, nor at which strength of attack"
MAJORITY = 0.5  # of P02


# ------------------------------------------------------------------------------------- P01


def grounded(records: Records) -> Measurement | None:
    """P01: the largest |h(0)| of all learned units, and of units with random coefficients at their
    hinges.
    """
    generator = torch.Generator().manual_seed(0)
    largest = []
    for record in records:
        for unit in learned_units(record).values():
            largest.append(unit(torch.zeros(1)).abs().item())
            for _ in range(DRAWS):
                drawn = torch.randn(unit.coefficients.shape, generator=generator)
                unit.coefficients.data.copy_(1e3 * drawn)
                largest.append(unit(torch.zeros(1)).abs().item())
    return exact(max(largest)) if largest else None


# ------------------------------------------------------------------------------------- P02


def share_of_first_ranks(records: Records) -> Measurement | None:
    """P02: the share of the paper's twelve pairs of data set and architecture in which SPLASH is
    the most accurate of the ten.

    The bounds count what is not decided both ways: pairs that were not run or cut short, and those
    where SPLASH minus its best rival has an interval on both sides of 0.
    """
    outcomes = [_is_first(records, *cell) for cell in CELLS]
    run = [outcome for outcome in outcomes if outcome is not None]
    if not run:
        return None
    low = sum(outcome.low > 0 for outcome in run) / len(CELLS)
    high = 1 - sum(outcome.high < 0 for outcome in run) / len(CELLS)
    value = sum(outcome.value > 0 for outcome in run) / len(run)
    deciding = [outcome.n for outcome in run if outcome.high < math.inf]
    n = min(deciding or [outcome.n for outcome in run])
    return Measurement(value, low, high, n, at=f"{len(run)} of {len(CELLS)}")


def _is_first(records: Records, dataset: str, network: str) -> Measurement | None:
    """SPLASH minus its best rival in points, with simultaneous intervals over all rivals; None
    unless all ten were run. The rival that is nearest decides; nothing does where runs were cut
    short or have less than three seeds.
    """
    by_unit = numbers.accuracies(records, dataset, network)
    if not set(TEN) <= set(by_unit):
        return None
    level = 1 - (1 - LEVEL) / (len(TEN) - 1)
    gaps = []
    for rival in TEN:
        if rival != OURS:
            gaps.append(t_interval(_paired(by_unit, rival), level=level))
    n = min(gap.n for gap in gaps)
    is_open = n < MIN_SEEDS or numbers.is_cut_short(records, dataset, network)
    return Measurement(
        min(gap.value for gap in gaps),
        -math.inf if is_open else min(gap.low for gap in gaps),
        math.inf if is_open else min(gap.high for gap in gaps),
        n,
    )


def _paired(by_unit: dict[str, dict[int, float]], rival: str) -> list[float]:
    """SPLASH minus a rival, points, for every seed that both have."""
    ours, theirs = by_unit[OURS], by_unit[rival]
    return [100 * (ours[seed] - theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())]


# -------------------------------------------------------------------------------- P03 and P04


def gains(records: Records) -> pd.DataFrame:
    """SPLASH minus ReLU under every attack at the headline radii, a row a seed.

    Args:
        records: of ``unit_robustness`` and ``unit_minimal``; plain networks alone are taken.
    Returns: columns dataset, network, attack, seed, value (points), base (what ReLU keeps,
        percent). Attacks that stop far from the nearest point known, see
        :func:`lib.papers.splash.checks.check_distances`, are left out.
    """
    plain = numbers.of_plain(records)
    table = numbers.under_attack(plain)
    table = table[~table["attack"].isin(_stop_short(plain))]
    keys = ["dataset", "network", "attack", "seed"]
    wide = table.pivot_table("value", keys, "method").reindex(columns=[OURS, RIVAL]).dropna()
    points = pd.DataFrame({"value": 100 * (wide[OURS] - wide[RIVAL]), "base": 100 * wide[RIVAL]})
    return points.reset_index()


def _stop_short(records: Records) -> set[str]:
    """The attacks of minimal norm that stopped far from the nearest point on some network."""
    minimal = [record for record in records if record.config.experiment == "unit_minimal"]
    failed = checks.check_distances(minimal).query("not passed")
    return set(failed["attack"])


def of_paper(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the paper's own pairs of data set and architecture."""
    places = zip(table["dataset"], table["network"], strict=True)
    chosen = pd.Series([place in CELLS for place in places], table.index, bool)
    return table[chosen]


def largest_gain(records: Records) -> Measurement | None:
    """P03: the largest mean gain over ReLU among the paper's architectures and data sets and all
    attacks, in points.

    Intervals of all are simultaneous, since the largest of many is large by chance. What was not
    run could only raise it.
    """
    found = _largest(of_paper(gains(records)))
    if found is None or found.low >= CLAIMED:
        return found
    return replace(found, undecidable=SILENT)


def _points(gain: pd.DataFrame, level: float) -> Measurement:
    return t_interval(gain["value"], level=level)


def _percent(gain: pd.DataFrame, level: float) -> Measurement:
    """In percent of what ReLU keeps, of which the mean is uncertain as well."""
    ratio = ratio_interval(gain["value"], gain["base"], level=level)
    return Measurement(100 * ratio.value, 100 * ratio.low, 100 * ratio.high, ratio.n)


def _largest(table: pd.DataFrame, measure: Measure = _points) -> Measurement | None:
    """The largest of the mean gains of a table, with simultaneous bounds."""
    groups = [group for _, group in table.groupby(["dataset", "network", "attack"])]
    if not groups:
        return None
    level = 1 - (1 - LEVEL) / len(groups)
    found = [measure(group, level) for group in groups]
    return Measurement(
        max(one.value for one in found),
        max(one.low for one in found),
        max(one.high for one in found),
        min(one.n for one in found),
    )


def both_boxes(records: Records) -> Measurement | None:
    """P04: the smaller of the mean gains over ReLU under open-box and black-box attacks, points.

    Means over attacks, then over the paper's architectures and data sets that were run, by seed;
    both intervals are simultaneous. Pairs that were not run could turn either mean: unbounded then.
    """
    table = of_paper(gains(records))
    level = 1 - (1 - LEVEL) / 2
    found = []
    for attacks in (OPEN, BLACK):
        of_box = table[table["attack"].isin(attacks)]
        if of_box.empty:
            return None
        by_attack = of_box.groupby(["seed", "dataset", "network"])["value"].mean()
        found.append(t_interval(by_attack.groupby("seed").mean(), level=level))
    is_whole = len(table.groupby(["dataset", "network"])) == len(CELLS)
    return Measurement(
        min(one.value for one in found),
        min(one.low for one in found) if is_whole else -math.inf,
        min(one.high for one in found) if is_whole else math.inf,
        min(one.n for one in found),
    )


READING = ["claim", "reading", "rival", "rule", "dataset", "epochs"]
READING += ["value", "low", "high", "n", "holds if", "verdict"]
BOXES = {"open": OPEN, "black": BLACK}
WORST = {  # attacks in L-infinity by box, all of which an image must withstand
    "open": ("fgsm", "pgd", "apgd_ce", "apgd_dlr"),
    "black": ("square", "transfer"),
}


def gain_readings(records: Records) -> pd.DataFrame:
    """P03 for every cell: the largest gain of its attacks in points and relative to ReLU, and the
    gain where an image must withstand all of L-infinity.
    """
    rows = []
    table = gains(records)
    mean_base = table.groupby(["dataset", "network", "attack"])["base"].transform("mean")
    readings = {
        "largest gain of all attacks, points": (table, _points),
        "largest gain of all attacks, percent of what ReLU keeps": (
            table[mean_base >= BASE],
            _percent,
        ),
        "worst of five attacks in L∞, points": (worst_gains(records, numbers.IN_LINF), _points),
    }
    for name, (rows_read, measure) in readings.items():
        for cell, group in rows_read.groupby(["dataset", "network"], sort=False):
            found = _largest(group, measure)
            rows.append(_reading("P03", name, records, cell, found, ">=", CLAIMED))
    return pd.DataFrame(rows, columns=READING)


def box_readings(records: Records) -> pd.DataFrame:
    """P04 for every cell and box: the mean over its attacks, and the gain where an image must
    withstand all of the box in L-infinity, with intervals simultaneous for each of the two.
    """
    table = gains(records)
    readings = {}
    for box, attacks in BOXES.items():
        of_box = table[table["attack"].isin(attacks)]
        readings[f"mean gain, {box} box, points"] = of_box
        readings[f"worst of the {box} box in L∞, points"] = worst_gains(records, WORST[box])
    rows = []
    level = 1 - (1 - LEVEL) / (len(BOXES) * max(1, len(table.groupby(["dataset", "network"]))))
    for name, rows_read in readings.items():
        for cell, group in rows_read.groupby(["dataset", "network"], sort=False):
            by_seed = group.groupby("seed")["value"].mean()
            found = t_interval(by_seed, level=level)
            rows.append(_reading("P04", name, records, cell, found, ">", 0.0))
    return pd.DataFrame(rows, columns=READING)


def worst_gains(records: Records, attacks: Sequence[str]) -> pd.DataFrame:
    """SPLASH minus ReLU where an image must withstand all of some attacks, as :func:`gains`."""
    rows = []
    for record in numbers.of_plain(records):
        share = numbers.kept_of_all(record, attacks)
        if share is not None:
            rows.append({**numbers.key(record.config), "share": 100 * share})
    keys = ["dataset", "network", "seed"]
    table = pd.DataFrame(rows, columns=[*keys, "method", "share"])
    wide = table.pivot_table("share", keys, "method").reindex(columns=[OURS, RIVAL]).dropna()
    found = pd.DataFrame({"value": wide[OURS] - wide[RIVAL], "base": wide[RIVAL]})
    return found.reset_index().assign(attack="worst case")


def _reading(
    claim: str,
    name: str,
    records: Records,
    cell: tuple[str, str],
    found: Measurement,
    comparison: str,
    threshold: float,
) -> tuple:
    """The row of a reading on a data set and network."""
    dataset, network = cell
    place = claim, f"{name}, {labels.network(network)}", RIVAL, OURS, dataset
    measured = found.value, found.low, found.high, found.n
    verdict = direction(found, comparison, str(threshold))
    epochs = numbers.epochs(records, *cell)
    return (*place, epochs, *measured, f"{comparison} {threshold:g}", verdict)


STUDIES = ("unit_robustness", "unit_minimal")
CLAIMS: dict[str, Claim] = {
    "P01": Claim(
        TRAININGS,
        grounded,
        "At zero the largest value of any SPLASH unit is {value:.0f}.",
        "as published",
    ),
    "P02": Claim(
        ("unit_accuracy",),
        share_of_first_ranks,
        "SPLASH ranks first in {value:.0%} of the pairs that were run ({at}).",
        "smaller: few architectures",
    ),
    "P03": Claim(
        STUDIES,
        largest_gain,
        "The largest gain of SPLASH over ReLU is {value:.1f} points.",
        "smaller: few architectures",
        readings=gain_readings,
    ),
    "P04": Claim(
        STUDIES,
        both_boxes,
        "SPLASH keeps {value:.1f} points more than ReLU in the box where it gains less.",
        "smaller: few architectures",
        readings=box_readings,
    ),
}
