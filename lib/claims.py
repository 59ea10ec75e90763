"""Published claims against our records: a verdict with a number and its interval for each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from lib import bench, evolution, experiments, records
from lib.records import ROOT, Record

REFERENCE = ROOT / "data" / "reference"
LEVEL = 0.95
MIN_SEEDS = 5  # fewer: inconclusive at best


@dataclass(frozen=True)
class Measurement:
    """What our records say about the quantity of a claim, in the claim's unit.

    Args:
        value: the estimate.
        low, high: its 95 % interval, or the bounds of a count.
        n: units (seeds, or draws) behind it; None for a quantity without randomness.
        limit: why the verdict could still change: "" (it cannot), "data" (part of the claim's data
            sets were run: they can only add what is missing), or else, as "epochs" (shorter than
            the paper) or "settings" (other settings decide it).
    """

    value: float
    low: float
    high: float
    n: int | None = None
    limit: str = ""


def exact(value: float, limit: str = "") -> Measurement:
    """A quantity that has no randomness."""
    return Measurement(value, value, value, None, limit)


def t_interval(samples: Sequence[float], limit: str = "") -> Measurement:
    """Mean of independent units with its two-sided 95 % t-interval; unbounded below two units."""
    samples = np.asarray(samples, float)
    n, mean = len(samples), float(np.mean(samples))
    if n < 2:
        return Measurement(mean, -math.inf, math.inf, n, limit)
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * samples.std(ddof=1) / math.sqrt(n)
    return Measurement(mean, mean - half, mean + half, n, limit)


def judge(measurement: Measurement, comparison: str, threshold: str) -> str:
    """The verdict: "reproduced", "not reproduced" or "inconclusive" with its reason.

    A claim is decided if the whole interval lies on one side of the threshold. Fewer than five
    seeds are inconclusive at best, and so is a claim that the missing data sets or epochs could
    turn.

    Raises: ValueError for an unknown comparison.
    """
    low, high = measurement.low, measurement.high
    first, _, last = threshold.partition("..")
    bound, top = float(first), float(last or first)
    outcomes = {  # comparison: (true on the whole interval, true somewhere on it)
        ">=": (low >= bound, high >= bound),
        "<=": (high <= bound, low <= bound),
        ">": (low > bound, high > bound),
        "<": (high < bound, low < bound),
        "==": (low == bound == high, low <= bound <= high),
        "between": (bound <= low and high <= top, low <= top and bound <= high),
    }
    if comparison not in outcomes:
        raise ValueError(f"comparison {comparison!r} is unknown: {', '.join(outcomes)}")
    always, ever = outcomes[comparison]
    if measurement.n is not None and measurement.n < MIN_SEEDS:
        return "inconclusive (seeds)"
    if always and not measurement.limit:
        return "reproduced"
    if not ever and measurement.limit in ("", "data"):
        return "not reproduced"
    return f"inconclusive ({measurement.limit})" if measurement.limit else "inconclusive"


def paired(
    found: Sequence[Record], dataset: str, methods: tuple[str, str], column: str = "last_accuracy"
) -> list[float]:
    """First minus second method, in points, for every seed that has both."""
    table = records.table(found)
    if table.empty:
        return []
    table = table[table["dataset"] == dataset].pivot_table(
        index="seed", columns="method", values=column
    )
    if not set(methods) <= set(table.columns):
        return []
    return list(100 * (table[methods[0]] - table[methods[1]]).dropna())


# ------------------------------------------------------------------- the quantity of each claim


def _stored(experiment: str, profile: str, method: str, dataset: str | None = None) -> list[Record]:
    configs = [c for c in experiments.configs(experiment, profile) if c.method == method]
    found = records.records(configs)  # the data set loaded counts, not the one asked for
    return [record for record in found if dataset in (None, record.config.dataset)]


def _links_against_width(profile: str) -> Measurement:
    """S02: slope of log links against log width for square layers of the SET start."""
    generator = torch.Generator().manual_seed(0)
    widths = [2**k for k in range(8, 14)]
    links = []
    for n in widths:
        p = evolution.erdos_renyi_density(n, n, 20.0)
        links.append(evolution.random_support(n, n, p, generator=generator).nnz)
    return exact(float(np.polyfit(np.log(widths), np.log(links), 1)[0]))


def _initial_links(profile: str) -> Measurement:
    """S06: mean relative error of the initial number of links over 100 draws of Eq. (1)."""
    n, er_epsilon = 1000, 20.0
    generator = torch.Generator().manual_seed(0)
    p = evolution.erdos_renyi_density(n, n, er_epsilon)
    draws = [
        evolution.random_support(n, n, p, generator=generator, draw="bernoulli").nnz
        for _ in range(100)
    ]
    expected = er_epsilon * 2 * n
    return t_interval([abs(links - expected) / expected for links in draws])


def _links_constant(profile: str) -> Measurement | None:
    """S07: largest change of a layer's links between recorded epochs, and of all links between any
    two, over all SET runs.
    """
    found = _stored("set_mlp", profile, "set") + _stored("adaptive_topology_1568", profile, "set")
    if not found:
        return None
    changes = [float(np.ptp(record.metrics["links"])) for record in found]
    for record in found:
        names = [name for name in record.arrays if ".in_degree." in name and "final" not in name]
        for layer in {name.split(".")[0] for name in names}:
            sums = [record.arrays[name].sum() for name in names if name.startswith(f"{layer}.")]
            changes.append(float(np.ptp(sums)))
    return exact(max(changes))


def _final_removal(profile: str) -> Measurement | None:
    """S08: absolute change of test accuracy by the final removal, SET-MLP on MNIST, points.

    Our learning rate ends near 0, so that the links grown last never learn and their removal cannot
    matter; the paper's is constant.
    """
    found = _stored("set_mlp", profile, "set", "mnist")
    changes = [
        100 * abs(r["final_accuracy"] - r["last_accuracy"]) for r in map(Record.summary, found)
    ]
    return t_interval(changes, "settings") if changes else None


def _worst_loss(profile: str) -> Measurement | None:
    """S01: worst of SET minus dense over three data sets, points; MNIST bounds it from above."""
    found = [r for m in ("set", "dense") for r in _stored("set_mlp", profile, m, "mnist")]
    differences = paired(found, "mnist", ("set", "dense"))
    if not differences:
        return None
    gain = t_interval(differences)
    return Measurement(gain.value, -math.inf, gain.high, gain.n, "epochs")


def _count_wins(profile: str, rival: str) -> Measurement | None:
    """S25, S26: data sets of MNIST, CIFAR10 and HIGGS where SET beats a rival; MNIST is run
    here.
    """
    found = [r for m in ("set", rival) for r in _stored("set_mlp", profile, m, "mnist")]
    differences = paired(found, "mnist", ("set", rival))
    if not differences:
        return None
    gain = t_interval(differences)
    decided = gain.n >= MIN_SEEDS
    won, lost = decided and gain.low > 0, decided and gain.high < 0
    not_run = 2
    low, high = float(won), float(not_run + (not lost))
    return Measurement(float(gain.value > 0), low, high, gain.n, "data, epochs")


def _weight_ratio(profile: str) -> Measurement | None:
    """S27: smallest ratio of weights, dense to SET; another data set can only make it smaller."""
    found = _stored("set_mlp", profile, "set", "mnist")
    if not found:
        return None
    widths = found[0].widths
    dense = sum(a * b for a, b in zip(widths[:-1], widths[1:], strict=True))
    ratio = dense / found[0].summary()["links_final"]
    return Measurement(ratio, 0.0, ratio, None, "data")


def _rounds(measure: str, profile: str) -> list[float]:
    """Dense divided by SET at 3072-4000-1000-4000-10, in each round of the stored benchmark."""
    table = bench.obtain("steps", "paper") if profile == "paper" else pd.DataFrame()
    if table.empty:
        return []
    table = table[(table["sweep"] == "cifar10_mlp") & (table["measure"] == measure)]
    sides = (table.loc[table["contender"] == c, "median_ms"] for c in ("dense", "fused"))
    return [dense / ours for dense, ours in zip(*sides, strict=True)]


def _less_memory(profile: str) -> Measurement | None:
    """S04: peak memory of training, SET divided by dense."""
    ratios = _rounds("peak_memory", profile)
    return t_interval([1 / ratio for ratio in ratios]) if ratios else None


def _faster(profile: str) -> Measurement | None:
    """S05: seconds of an epoch, dense divided by SET."""
    ratios = _rounds("epoch", profile)
    return t_interval(ratios) if ratios else None


def _accuracy_gap(experiment: str, dataset: str) -> Callable[[str], Measurement | None]:
    """R01, R02: dense minus adaptive sparse test accuracy at equal widths, points.

    The dense network is trained for a fraction of the epochs, not until its curve is flat.
    """

    def measure(profile: str) -> Measurement | None:
        found = [r for m in ("dense", "set") for r in _stored(experiment, profile, m, dataset)]
        differences = paired(found, dataset, ("dense", "set"))
        return t_interval(differences, "epochs") if differences else None

    return measure


QUANTITIES: dict[str, Callable[[str], Measurement | None]] = {
    "S01": _worst_loss,
    "S02": _links_against_width,
    "S04": _less_memory,
    "S05": _faster,
    "S06": _initial_links,
    "S07": _links_constant,
    "S08": _final_removal,
    "S25": lambda profile: _count_wins(profile, "fixed"),
    "S26": lambda profile: _count_wins(profile, "dense"),
    "S27": _weight_ratio,
    "R01": _accuracy_gap("adaptive_topology", "mnist"),
    "R02": _accuracy_gap("adaptive_topology", "fashion_mnist"),
}


def published() -> pd.DataFrame:
    """The claims as published, data/reference/claims.csv."""
    return pd.read_csv(REFERENCE / "claims.csv", dtype=str, keep_default_na=False)


def verdicts(profile: str = "paper", ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Every claim with its verdict in a profile; see the command line.

    Args:
        profile: whose records are judged.
        ids: which claims; None for all.
    Returns: columns id, paper, statement, verdict, value, low, high, n, profile, published.
    Raises: ValueError for an unknown profile or claim.
    """
    if profile not in experiments.PROFILES:
        raise ValueError(experiments.unknown("profile", profile, experiments.PROFILES))
    table = published()
    for claim in ids or ():
        if claim not in set(table["id"]):
            raise ValueError(experiments.unknown("claim", claim, list(table["id"])))
    rows = []
    for claim in table.to_dict("records"):
        if ids is not None and claim["id"] not in ids:
            continue
        measure = QUANTITIES.get(claim["id"])
        rows.append(_row(claim, measure(profile) if measure else None, profile))
    types = {"value": float, "low": float, "high": float, "n": "Int64"}
    return pd.DataFrame(rows).astype(types)


def _row(claim: dict[str, str], measurement: Measurement | None, profile: str) -> dict[str, Any]:
    row = {name: claim[name] for name in ("id", "paper", "statement")}
    if measurement is None:
        row |= {"verdict": "not run", "value": None, "low": None, "high": None, "n": None}
    else:
        row["verdict"] = judge(measurement, claim["comparison"], claim["threshold"])
        row |= {"value": measurement.value, "low": measurement.low, "high": measurement.high}
        row["n"] = measurement.n
    return row | {"profile": profile, "published": claim["printed_evidence"]}


def markdown(table: pd.DataFrame) -> str:
    """The claims that some run touches as a Markdown table, and how many wait for one."""
    asked = published().set_index("id")
    lines = [
        "| claim | quantity and criterion | value [95 % interval or bounds] | n | verdict |",
        "|---|---|---|---|---|",
    ]
    for row in table[table["verdict"] != "not run"].to_dict("records"):
        spread = "" if row["low"] == row["high"] else f" [{row['low']:.3g}, {row['high']:.3g}]"
        spread = " (no interval)" if row["n"] == 1 and row["high"] == math.inf else spread
        n = "" if pd.isna(row["n"]) else f"{row['n']:.0f}"
        claim = asked.loc[row["id"]]
        criterion = f"{claim['comparison']} {claim['threshold']} ({claim['threshold_origin']})"
        lines.append(
            f"| {row['id']}: {row['statement']} | {claim['quantity']}: {criterion}"
            f" | {row['value']:.3g}{spread} | {n} | {row['verdict']} |"
        )
    waiting = table[table["verdict"] == "not run"].groupby("paper", sort=False).size()
    counts = ", ".join(f"{paper} {n}" for paper, n in waiting.items())
    return "\n".join([*lines, "", f"Not run yet, {waiting.sum()} of {len(table)}: {counts}."])


def replace_between(text: str, name: str, new: str) -> str:
    """``text`` with what stands between the comments begin/end ``name`` replaced by ``new``.

    Raises: ValueError if the comments are missing.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the text has no comments {begin} and {end}")
    head, _, rest = text.partition(begin)
    return f"{head}{begin}\n{new}\n{end}{rest.partition(end)[2]}"
