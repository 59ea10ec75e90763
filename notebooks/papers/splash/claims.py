"""Measurements of the claims of [Tavakoli2021], in the unit of each claim."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pandas as pd
import torch

from lib.report import labels
from lib.report.claims import CELL, against, intervals, largest, readings, scaled, share, smallest
from lib.report.frames import tidy
from lib.report.intervals import MIN_SEEDS, Measurement, exact, ratio_interval
from lib.report.tables import Records
from lib.report.verdicts import Claim
from lib.runs.record import Record
from papers.splash.experiments import TEN, TRAININGS
from papers.splash.studies import (
    BLACK,
    GRADIENT,
    IN_LINF,
    OPEN,
    distance_checks,
    under_attack,
    worst_case,
)
from papers.splash.training import learned_units

CELLS = (*product(("mnist", "cifar10", "cifar100"), ("lenet5", "all_cnn", "resnet20", "nin")),)
DRAWS = 100  # of random coefficients
CLAIMED = 31.0  # percent, of P03
SILENT = "the paper does not say percent of what, nor at which strength of attack"
BASE = 5.0  # percent that ReLU keeps on average, below which a relative gain has no base
FULL_EPOCHS = 100  # of CIFAR, below which a network is cut short
BOXES = {"open": OPEN, "black": BLACK}
ALL_OF = {  # attacks in L-infinity by box, all of which an image must withstand
    "open": ("fgsm", *GRADIENT),
    "black": ("square", "transfer"),
}


def in_paper(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the paper's own pairs of data set and network."""
    return rows.merge(pd.DataFrame(CELLS, columns=CELL))


def grounded(records: Records) -> Measurement | None:
    """P01: the largest |h(0)| of all learned units, and of units with random coefficients at their
    hinges.
    """
    units = [unit for record in records for unit in learned_units(record).values()]
    zero = torch.zeros(1)
    sizes = [unit(zero).abs().item() for unit in units]
    generator = torch.Generator().manual_seed(0)
    with_hinges = {tuple(unit.hinges.tolist()): unit for unit in units}  # many have the same
    for unit in with_hinges.values():
        for _ in range(DRAWS):
            drawn = torch.randn(unit.coefficients.shape, generator=generator)
            unit.coefficients.data.copy_(1e3 * drawn)
            sizes.append(unit(zero).abs().item())
    return exact(max(sizes)) if sizes else None


def share_of_first_ranks(records: Records) -> Measurement | None:
    """P02: the share of the paper's twelve pairs of data set and network in which SPLASH is the
    most accurate of the ten. Its lead over the nearest rival decides, with intervals simultaneous
    over all rivals and pairs; a pair that was not run or cut short may go either way.
    """
    frame = tidy(records, "limit").query("measure == 'final test_accuracy' and method in @TEN")
    leads = against(in_paper(frame), "splash").assign(value=lambda rows: -100 * rows["value"])
    family = (len(TEN) - 1) * len(CELLS)
    leads = intervals(leads, [*CELL, "method"], family=family).groupby(CELL)
    nearest = leads[["value", "low", "high", "n"]].min()[leads.size() == len(TEN) - 1]
    if nearest.empty:
        return None
    is_short = nearest.index.isin(cut_short(frame))
    nearest.loc[is_short, ["low", "high"]] = [-math.inf, math.inf]
    deciding = nearest[~is_short & (nearest["n"] >= MIN_SEEDS)]
    firsts = share(nearest, ">", 0.0, len(CELLS))
    return Measurement(
        (nearest["value"] > 0).mean(),  # of the pairs that were run
        firsts.low / len(CELLS),
        firsts.high / len(CELLS),
        int((nearest if deciding.empty else deciding)["n"].min()),
        at=f"{len(nearest)} of {len(CELLS)}",
        unrun=firsts.unrun,
    )


def cut_short(frame: pd.DataFrame) -> set[tuple[str, str]]:
    """The pairs of data set and network that were trained on part of the data, or on CIFAR for
    fewer than 100 epochs.

    Args:
        frame: of :func:`lib.report.frames.tidy`, with the field limit.
    """
    few = frame["dataset"].str.startswith("cifar") & (frame["epochs"] < FULL_EPOCHS)
    rows = frame[few | frame["limit"].notna()]
    return {*zip(rows["dataset"], rows["network"], strict=True)}


def judging(records: Records) -> list[Record]:
    """The studies of networks of the usual training; where the networks of a data set were attacked
    again on more images and with restarts, that attack and not the first.
    """
    plain = [record for record in records if record.config.parent.experiment == "unit_accuracy"]
    again = {_cell(record) for record in plain if record.config.experiment == "unit_worst"}
    found = []
    for record in plain:
        is_first = record.config.experiment == "unit_robustness"
        if not (is_first and _cell(record) in again):
            found.append(record)
    return found


def _cell(record: Record) -> tuple[str, str]:
    return record.config.dataset, record.config.parent.network


def gains(records: Records) -> pd.DataFrame:
    """SPLASH minus ReLU under every attack at the headline radii, in points, a row a seed: columns
    of :func:`lib.report.claims.against`. An attack is left out if on some network its median
    distance is more than 10 % above the smallest known.
    """
    plain = judging(records)
    minimal = [record for record in plain if record.config.experiment == "unit_minimal"]
    stop_short = distance_checks(minimal).query("not passed")["measure"]
    rows = under_attack(plain)
    rows = rows[rows["measure"].isin({*OPEN, *BLACK} - {*stop_short})]
    return against(rows, "relu", keys=[*CELL, "measure", "attack"]).query("method == 'splash'")


def worst_gains(records: Records, attacks: Sequence[str]) -> pd.DataFrame:
    """Gains where an image must withstand all of some attacks in L-infinity."""
    rows = worst_case(judging(records), attacks)
    rows = rows.assign(value=100 * rows["value"])
    return against(rows, "relu").query("method == 'splash'")


def largest_gain(records: Records) -> Measurement | None:
    """P03: the largest mean gain over ReLU among the paper's data sets and networks and all
    attacks, in points, with simultaneous intervals. What was not run could only raise it.
    """
    rows = intervals(in_paper(gains(records)), [*CELL, "attack"])
    found = largest(rows, at={"attack": str, "dataset": labels.dataset})
    if found is None or found.low >= CLAIMED:
        return found
    return replace(found, high=math.inf, undecidable=SILENT)


def both_boxes(records: Records) -> Measurement | None:
    """P04: the smaller of the mean gains over ReLU under open-box and black-box attacks, points:
    means over attacks, then over the paper's pairs, by seed. Pairs that were not run could turn it.
    """
    rows = in_paper(gains(records))
    box = {attack: name for name, attacks in BOXES.items() for attack in attacks}
    rows = rows.assign(box=rows["measure"].map(box))
    by_pair = rows.groupby(["box", "seed", *CELL], observed=True)["value"].mean()
    by_box = intervals(by_pair.groupby(["box", "seed"]).mean().reset_index(), ["box"], family=2)
    if len(by_box) < len(BOXES):
        return None
    found = smallest(by_box, at={"box": str})
    if len(rows.groupby(CELL, observed=True)) < len(CELLS):
        found = replace(found, low=-math.inf, high=math.inf)
    return found


# ---------------------------------------------------------------------------------- the readings


def gain_readings(records: Records) -> pd.DataFrame:
    """P03 for every pair: the largest gain of its attacks in points and relative to ReLU, and the
    gain where an image must withstand all of L-infinity.
    """
    rows = gains(records)
    base = rows.groupby([*CELL, "measure"], observed=True)["base"].transform("mean")
    read = {
        "largest gain of all attacks, points": (rows, None),
        "largest gain of all attacks, percent of what ReLU keeps": (rows[base >= BASE], _relative),
        "worst of five attacks in L∞, points": (worst_gains(records, IN_LINF), None),
    }
    parts = []
    for name, (of_attacks, estimate) in read.items():
        for _, pair in of_attacks.groupby(CELL, sort=False, observed=True):
            found = intervals(pair, [*CELL, "measure"], estimate=estimate)
            bounds = found[["value", "low", "high"]].max()
            parts.append(found[:1].assign(**bounds, n=found["n"].min(), reading=name))
    return _read(records, parts, "P03", ">=", CLAIMED)


def _relative(rows: pd.DataFrame, level: float) -> Measurement:
    """In percent of what ReLU keeps, of which the mean is uncertain as well."""
    return scaled(ratio_interval(rows["value"], rows["base"], level=level), 100)


def box_readings(records: Records) -> pd.DataFrame:
    """P04 for every pair and box: the mean over its attacks, and the gain where an image must
    withstand all of the box in L-infinity, with intervals simultaneous for each of the two.
    """
    rows, parts = gains(records), []
    n_pairs = max(1, len(rows.groupby(CELL, observed=True)))
    for box, attacks in BOXES.items():
        read = {
            f"mean gain, {box} box, points": rows[rows["measure"].isin(attacks)],
            f"worst of the {box} box in L∞, points": worst_gains(records, ALL_OF[box]),
        }
        for name, of_attacks in read.items():
            by_seed = of_attacks.groupby([*CELL, "seed"], sort=False, observed=True)["value"]
            found = intervals(by_seed.mean().reset_index(), CELL, family=len(BOXES) * n_pairs)
            parts.append(found.assign(reading=name))
    return _read(records, parts, "P04", ">", 0.0)


def _read(
    records: Records, parts: list[pd.DataFrame], claim: str, comparison: str, threshold: float
) -> pd.DataFrame:
    """The parts as readings of a claim, with what names a row of them for people."""
    if not parts:
        return pd.DataFrame(columns=["verdict"])
    rows = pd.concat(parts, ignore_index=True)
    epochs = tidy(records).groupby(CELL)["epochs"].max().rename("epochs").reset_index()
    network = rows["network"].map(labels.network)
    rows = rows.merge(epochs).assign(rival="relu", rule="splash")
    rows["reading"] = rows["reading"] + ", " + network
    named = ["reading", "rival", "rule", "dataset", "epochs", "value", "low", "high", "n"]
    return readings(rows[named], claim, comparison, threshold)


STUDIES = ("unit_robustness", "unit_worst", "unit_minimal")
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
        "SPLASH is the most accurate of ten units in {value:.0%} of the pairs of data set and"
        " network that were run ({at}).",
        "smaller: few architectures",
    ),
    "P03": Claim(
        STUDIES,
        largest_gain,
        "The largest gain of SPLASH over ReLU is {value:.1f} points ({at}).",
        "smaller: few architectures",
        readings=gain_readings,
    ),
    "P04": Claim(
        STUDIES,
        both_boxes,
        "SPLASH keeps {value:.1f} points more than ReLU in the box where it gains less ({at} box).",
        "smaller: few architectures",
        readings=box_readings,
    ),
}
