"""What SET depends on: accuracies of the runs of :mod:`lib.papers.set.ablation`, and the claims
S32 to S35 and S40 to S42 on them.

The best of several settings is chosen from the runs that it is judged on, so that intervals are
simultaneous (Bonferroni) for all pairs that could have been the best.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from lib.papers.set.ablation import (
    DROP_FRACTIONS,
    ER_EPSILONS,
    LONG_DENSE,
    SETTINGS,
    setting,
)
from lib.report import labels
from lib.report.intervals import LEVEL, Measurement, t_interval
from lib.report.tables import compared_epochs
from lib.report.verdicts import Claim
from lib.runs.record import Record

Records = Sequence[Record]
ByName = dict[str, dict[int, float]]  # percent, by name and seed

NARROWS = 0.9  # of a difference at three quarters of the epochs, or less, is left at the end
CLAIMED_BEST = (setting("SReLU", "momentum", "none"), setting("SReLU", "momentum", "L2"))

EFFECTS = {  # of a choice in Fig. 6, over another
    "ReLU − SReLU": ("ReLU", "SReLU"),
    "Nesterov − momentum": ("Nesterov", "momentum"),
    "L1 − none": ("L1", "none"),
    "L2 − none": ("L2", "none"),
}

RIVALS = {"fixed": "SET − fixed support", "dense": "SET − dense"}
GAP_COLUMNS = ["name", "series", "value", "low", "high", "n"]

# ------------------------------------------------------------------------------------- accuracies


def by_variant(records: Records, method: str, epoch: int | None = None, over: int = 1) -> ByName:
    """Test accuracy of a method after an epoch, the last unless given, or the mean over several
    epochs that end there: {variant: {seed: %}}; of the runs that reached it.
    """
    found: ByName = {}
    for record in records:
        run = record.config
        accuracies = record.metrics["test_accuracy"]
        if run.method == method and len(accuracies) >= (epoch or 1):
            end = epoch or len(accuracies)
            mean = accuracies.iloc[max(0, end - over) : end].mean()
            found.setdefault(run.variant, {})[run.seed] = 100 * mean
    return found


def table(records: Records) -> pd.DataFrame:
    """Test accuracy of every run at its last epoch: dataset, variant, method, seed, epochs, value
    (percent), and final (percent), after what the last epoch's rule does.
    """
    rows = []
    for record in records:
        run, last = record.config, record.metrics["test_accuracy"].iloc[-1]
        final = record.environment["final"]["test_accuracy"]
        rows.append(
            {
                "dataset": run.dataset,
                "variant": run.variant,
                "method": run.method,
                "seed": run.seed,
                "epochs": run.epochs,
                "value": 100 * last,
                "final": 100 * final,
            }
        )
    columns = ["dataset", "variant", "method", "seed", "epochs", "value", "final"]
    return pd.DataFrame(rows, columns=columns)


def rival_gaps(
    records: Records, rival: str, level: float = LEVEL, epoch: int | None = None
) -> dict[str, Measurement]:
    """SET minus a rival in every setting, points, paired by seed, after an epoch, in each setting
    the last that both reached unless given.
    """
    gaps = {}
    for name, by_seed in _leads(records, rival, epoch).items():
        gaps[name] = t_interval(list(by_seed.values()), level=level)
    return gaps


def _leads(records: Records, rival: str, epoch: int | None = None, over: int = 1) -> ByName:
    """SET minus a rival by setting and seed, see :func:`rival_gaps`, :func:`by_variant`."""
    both = _of(records, ("set", rival))
    leads: ByName = {}
    for name in dict.fromkeys(record.config.variant for record in both):
        of_setting = [record for record in both if record.config.variant == name]
        after = epoch or min(compared_epochs(of_setting))
        ours = by_variant(of_setting, "set", after, over).get(name, {})
        theirs = by_variant(of_setting, rival, after, over).get(name, {})
        seeds = sorted(ours.keys() & theirs.keys())
        if seeds:
            leads[name] = {seed: ours[seed] - theirs[seed] for seed in seeds}
    return leads


def _differences(first: dict[int, float], second: dict[int, float]) -> list[float]:
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def gap_rows(records: Records) -> pd.DataFrame:
    """SET minus the fixed support and minus the dense network in every setting of Fig. 6, after
    every number of epochs that a rival was trained for: columns dataset, rival ("SET − dense"),
    name, series ("epoch 8"), value, low, high, n; intervals hold for all of a rival's settings
    after as many epochs together.
    """
    rows = []
    level = _simultaneous(len(SETTINGS))
    for rival, written in RIVALS.items():
        lengths = sorted({len(record.metrics) for record in _of(records, (rival,))})
        for epoch in lengths:
            for name, gap in rival_gaps(records, rival, level, epoch).items():
                rows.append((written, *_gap_row(name, f"epoch {epoch}", gap)))
    return _with_data_set(rows, records, ["rival", *GAP_COLUMNS])


def _gap_row(name: str, series: str, gap: Measurement) -> tuple:
    """Of the columns :data:`GAP_COLUMNS`."""
    return name, series, gap.value, gap.low, gap.high, gap.n


def _with_data_set(
    rows: list[tuple], records: Records, columns: Sequence[str] = GAP_COLUMNS
) -> pd.DataFrame:
    """Rows as a table, with the one data set that the records are of."""
    dataset = next((record.config.dataset for record in records), "")
    return pd.DataFrame(rows, columns=columns).assign(dataset=dataset)


def lead_rows(
    records: Records, variants: Sequence[str] = LONG_DENSE, first: int = 1
) -> pd.DataFrame:
    """SET's lead against epochs in some settings: columns dataset, variant, method (the rival),
    seed, epoch (from ``first`` on), value (points, paired by seed).
    """
    rows = []
    chosen = [record for record in records if record.config.variant in variants]
    for rival in RIVALS:
        longest = max((len(record.metrics) for record in _of(chosen, (rival,))), default=0)
        for epoch in range(first, longest + 1):
            for name, by_seed in _leads(chosen, rival, epoch).items():
                for seed, lead in by_seed.items():
                    rows.append((name, rival, seed, epoch, lead))
    return _with_data_set(rows, records, ["variant", "method", "seed", "epoch", "value"])


def effect_rows(records: Records, over: int = 1) -> pd.DataFrame:
    """What each of :data:`EFFECTS` changes, points, by method: the mean over the settings of Fig. 6
    with it minus that over those with the other, paired by seed, at the last epoch that all runs of
    the method reached; and what it changes of SET's lead over the fixed support. Columns dataset,
    name, series, value, low, high, n; intervals hold for all of a series together. A method that
    lacks a setting, or stopped before SET, is left out.

    Args:
        records: of ``set_ablation``.
        over: epochs at the end whose mean counts.
    """
    rows = []
    level = _simultaneous(len(EFFECTS))
    for series, by_name in _compared(records, over).items():
        for name, (choice, other) in EFFECTS.items():
            differences = _differences(_mean_with(by_name, choice), _mean_with(by_name, other))
            effect = t_interval(differences, level=level)
            rows.append(_gap_row(name, series, effect))
    return _with_data_set(rows, records)


def _compared(records: Records, over: int) -> dict[str, ByName]:
    """Of every method with all settings the accuracies by setting and seed, and SET's lead."""
    found = {}
    last = _epochs_of_set(records)
    if not last:
        return found
    for method in dict.fromkeys(record.config.method for record in records):
        by_name = by_variant(_of(records, (method,)), method, last, over)
        if set(SETTINGS) <= set(by_name):
            found[f"{labels.method_name(method)} (epoch {last})"] = by_name
    leads = _leads(records, "fixed", last, over)
    if set(SETTINGS) <= leads.keys():
        found[f"{RIVALS['fixed']} (epoch {last})"] = leads
    return found


def _epochs_of_set(records: Records) -> int:
    """That all runs of SET reached; 0 without any."""
    return min((len(record.metrics) for record in _of(records, ("set",))), default=0)


def _mean_with(by_name: ByName, choice: str) -> dict[int, float]:
    """Mean over the settings with a choice, of the seeds that all of them have."""
    chosen = [by_name[name] for name in SETTINGS if choice in name.split(", ")]
    seeds = set.intersection(*(set(by_seed) for by_seed in chosen))
    return {seed: float(np.mean([by_seed[seed] for by_seed in chosen])) for seed in sorted(seeds)}


def _of(records: Records, methods: Sequence[str]) -> list[Record]:
    return [record for record in records if record.config.method in methods]


def variant_rows(records: Records, base: str = "as in the paper") -> pd.DataFrame:
    """Every variant of SET minus a base, points at the end, paired by seed: columns dataset, name,
    series ("last epoch", of what trains otherwise, and "after the last update", which drops links),
    value, low, high, n; all intervals hold together.
    """
    compared = []
    runs = table(records)
    rules = {record.config.variant: record.config.last_epoch for record in records}
    for series, column in {"last epoch": "value", "after the last update": "final"}.items():
        by_seed = runs.pivot_table(column, "seed", "variant")
        for name, rule in rules.items():
            trains_otherwise = rule == rules[base]
            if name != base and (trains_otherwise or column == "final"):
                compared.append((name, series, (by_seed[name] - by_seed[base]).dropna()))
    level = _simultaneous(max(1, len(compared)))
    rows = []
    for name, series, differences in compared:
        gap = t_interval(differences, level=level)
        rows.append(_gap_row(name, series, gap))
    return _with_data_set(rows, records)


def sensitivity_rows(records: Records) -> pd.DataFrame:
    """Accuracy of SET by links and drop fraction, a row a run: dataset, method, seed, er_epsilon,
    drop_fraction, links (in training), value (percent), panel ("ε = 20").
    """
    rows = []
    for record in records:
        run = record.config
        rows.append(
            {
                "dataset": run.dataset,
                "method": run.method,
                "seed": run.seed,
                "er_epsilon": run.er_epsilon,
                "drop_fraction": run.drop_fraction,
                "links": int(record.metrics["links"].iloc[-1]),
                "value": 100 * record.metrics["test_accuracy"].iloc[-1],
                "panel": f"ε = {run.er_epsilon:g}",
            }
        )
    columns = ["dataset", "method", "seed", "er_epsilon", "drop_fraction", "links", "value"]
    return pd.DataFrame(rows, columns=[*columns, "panel"])


PERCENT = 0.0, 100.0
POINTS = -100.0, 100.0  # of differences


def around(values: pd.Series, within: tuple[float, float] = PERCENT) -> tuple[float, float]:
    """The axis of accuracies, or of their differences: a little more than they span."""
    lowest, highest = within
    if values.empty:
        return within
    margin = 0.1 * (values.max() - values.min()) + 0.2
    return max(lowest, values.min() - margin), min(highest, values.max() + margin)


# ----------------------------------------------------------------------------------------- Fig. 6


def _simultaneous(comparisons: int) -> float:
    """The level of each of several intervals that are to hold together."""
    return 1 - (1 - LEVEL) / comparisons


def cost_of_l1(records: Records) -> Measurement | None:
    """S32: SET in its best setting with L1 minus in its best one with none or L2, points, at the
    last epoch.
    """
    by_name = by_variant(records, "set")
    if not set(SETTINGS) <= set(by_name):
        return None
    with_l1 = [name for name in SETTINGS if name.endswith("L1")]
    others = [name for name in SETTINGS if name not in with_l1]
    level = _simultaneous(len(with_l1) * len(others))
    differences = _differences(by_name[_best(by_name, with_l1)], by_name[_best(by_name, others)])
    return t_interval(differences, level=level)


def _best(by_name: ByName, names: Sequence[str]) -> str:
    """The name of the highest mean."""
    return max(names, key=lambda name: np.mean(list(by_name[name].values())))


def rank_of_claimed(records: Records) -> Measurement | None:
    """S33: rank among the twelve settings of the better of the two that the paper calls best.

    A setting counts as better for sure if it is ahead of both with its whole interval, and may be
    better unless one of both is ahead of it so. The rank is not bounded from below where another
    one is ahead for sure and its lead still narrows with the epochs.
    """
    by_name = by_variant(records, "set")
    if not set(SETTINGS) <= set(by_name):
        return None
    level = _simultaneous(len(CLAIMED_BEST) * (len(SETTINGS) - len(CLAIMED_BEST)))
    claimed = by_name[_best(by_name, CLAIMED_BEST)]
    value = low = high = 1
    n = len(claimed)
    for name in SETTINGS:
        if name in CLAIMED_BEST:
            continue
        ahead = np.mean(list(by_name[name].values())) > np.mean(list(claimed.values()))
        gaps = []
        for best in CLAIMED_BEST:
            gaps.append(t_interval(_differences(by_name[name], by_name[best]), level=level))
        value += ahead
        low += all(gap.low > 0 for gap in gaps)
        high += all(gap.high > 0 for gap in gaps)
        n = min(n, *(gap.n for gap in gaps))
    sooner = by_variant(records, "set", _three_quarters(records))
    narrows = low > 1 and 0 < _lead(by_name) < NARROWS * _lead(sooner)
    if narrows:
        low = 1
    return Measurement(float(value), float(low), float(high), n)


def _lead(by_name: ByName) -> float:
    """Of the best other setting over the better of the two that the paper calls best, points."""
    means = {name: np.mean(list(by_name[name].values())) for name in SETTINGS}
    claimed = max(means[name] for name in CLAIMED_BEST)
    return max(mean - claimed for name, mean in means.items() if name not in CLAIMED_BEST)


def _three_quarters(records: Records) -> int:
    """Of the epochs that the runs of SET have in common."""
    return 3 * _epochs_of_set(records) // 4


def worst_gap(records: Records) -> Measurement | None:
    """S34: smallest of the twelve differences SET minus dense, points, at the last epoch, over the
    settings in which dense trained as long as SET; without a lower bound while some did not, and
    without an upper one while the worst of them still narrows with the epochs.
    """
    level = _simultaneous(len(SETTINGS))
    last = _epochs_of_set(records)
    gaps = rival_gaps(records, "dense", level, last)
    if not gaps:
        return None
    worst = min(gaps, key=lambda name: gaps[name].value)
    sooner = rival_gaps(records, "dense", level, _three_quarters(records))[worst]
    narrows = 0 > gaps[worst].value > NARROWS * sooner.value
    are_all = len(gaps) == len(SETTINGS)
    return Measurement(
        gaps[worst].value,
        min(gap.low for gap in gaps.values()) if are_all else -math.inf,
        math.inf if narrows else min(gap.high for gap in gaps.values()),
        min(gap.n for gap in gaps.values()),
        at=worst,
    )


def settings_won(records: Records) -> Measurement | None:
    """S35: settings, of twelve, in which SET is more accurate than the fixed support."""
    gaps = list(rival_gaps(records, "fixed", _simultaneous(len(SETTINGS))).values())
    if len(gaps) < len(SETTINGS):
        return None
    ahead = sum(gap.value > 0 for gap in gaps)
    won = sum(gap.low > 0 for gap in gaps)
    lost = sum(gap.high < 0 for gap in gaps)
    return Measurement(
        float(ahead), float(won), float(len(gaps) - lost), min(gap.n for gap in gaps)
    )


# ------------------------------------------------------------------------- links and what is moved


def range_of_accuracy(records: Records) -> Measurement | None:
    """S40: range of SET's mean accuracy over the drop fractions .1 to .5 at er_epsilon 10, 20 and
    40, points, at the last epoch; not bounded from below where it still narrows with the epochs.
    """
    by_cell: dict[tuple, dict[int, float]] = {}
    before: dict[tuple, list[float]] = {}  # at three quarters of the epochs
    for record in records:
        run, test = record.config, 100 * record.metrics["test_accuracy"]
        if run.er_epsilon in ER_EPSILONS and run.drop_fraction in DROP_FRACTIONS:
            cell = run.er_epsilon, run.drop_fraction
            by_cell.setdefault(cell, {})[run.seed] = test.iloc[-1]
            before.setdefault(cell, []).append(test.iloc[3 * len(test) // 4 - 1])
    if len(by_cell) < len(ER_EPSILONS) * len(DROP_FRACTIONS):
        return None
    pairs = list(combinations(by_cell.values(), 2))
    gaps = []
    for first, second in pairs:
        gaps.append(t_interval(_differences(first, second), level=_simultaneous(len(pairs))))
    widest = max(abs(gap.value) for gap in gaps)
    narrows = widest < NARROWS * np.ptp([np.mean(of_cell) for of_cell in before.values()])
    return Measurement(
        widest,
        0.0 if narrows else max(max(gap.low, -gap.high, 0.0) for gap in gaps),
        max(max(gap.high, -gap.low) for gap in gaps),
        min(gap.n for gap in gaps),
    )


def cost_of_random_removal(records: Records) -> Measurement | None:
    """S41: SET minus SET that drops random links, CIFAR-10, points, at the last epoch."""
    gaps = rival_gaps(_cifar10(records), "set_random_removal")
    return next(iter(gaps.values()), None)


def accuracy_without_largest(records: Records) -> Measurement | None:
    """S42: accuracy of SET that drops its largest weights, CIFAR-10, percent, at the last epoch."""
    for by_seed in by_variant(_cifar10(records), "set_largest_removal").values():
        return t_interval(list(by_seed.values()))
    return None


def _cifar10(records: Records) -> list[Record]:
    return [record for record in records if record.config.dataset == "cifar10"]


SIXTY = "smaller: 60 epochs"

CLAIMS = {
    "S32": Claim(
        ("set_ablation",),
        cost_of_l1,
        "With L1, SET's best accuracy changes by {value:.2f} points.",
        SIXTY,
    ),
    "S33": Claim(
        ("set_ablation",),
        rank_of_claimed,
        "The better of the two settings that the paper names ranks {value:.0f} of twelve.",
        SIXTY,
    ),
    "S34": Claim(
        ("set_ablation",),
        worst_gap,
        "SET minus dense is {value:.2f} points in the worst setting ({at}).",
        "smaller: 60 epochs, two settings",
    ),
    "S35": Claim(
        ("set_ablation",),
        settings_won,
        "SET is ahead of fixed links in {value:.0f} of twelve settings, surely in {low:.0f}.",
        SIXTY,
    ),
    "S40": Claim(
        ("set_sensitivity",),
        range_of_accuracy,
        "Accuracy on MNIST moves by {value:.2f} points over the choices.",
        "smaller: 40 epochs",
    ),
    "S41": Claim(
        ("set_removals",),
        cost_of_random_removal,
        "Dropping random links instead of the smallest costs {value:.1f} points on CIFAR-10.",
        "smaller: 25 epochs",
    ),
    "S42": Claim(
        ("set_removals",),
        accuracy_without_largest,
        "A SET that drops its largest weights reaches {value:.0f} % on CIFAR-10.",
        "smaller: 25 epochs",
    ),
}
