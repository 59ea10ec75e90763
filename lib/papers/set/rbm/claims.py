"""S09 to S24: what our machines say about the claims of [Mocanu2018] on RBMs, in nats and counts.

Of a count the bounds are the data sets decided for and against it. What is not run or has less than
three seeds decides nothing; nor, where two methods are compared, what both schedules of the
estimator do not tell apart, or what was run at one setting alone (the paper took the best of nine).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from lib.papers.set.rbm import connectivity, tables
from lib.papers.set.rbm.experiments import TABLE_2, VISIBLE_STARTS
from lib.papers.shared.claims import chosen
from lib.papers.shared.inputs import input_links
from lib.paths import REFERENCE
from lib.report.intervals import LEVEL, MIN_SEEDS, Measurement, direction, exact, t_interval
from lib.report.verdicts import Claim
from lib.runs.record import Record

Records = Sequence[Record]
N_SETS = 11  # of Table 2
N_RUNS = 99  # of Fig. 3 and its supplement
SIMULTANEOUS = 1 - (1 - LEVEL) / N_SETS
FLAT = -85.0  # nats that a machine reaches before its falls count, S20
MNIST_EPOCHS = TABLE_2["mnist"]["epochs"]
NO_TEST = "the paper names no test"
NO_BIASES = "the paper does not say how the biases of the visible units start"
STARTS = {"zeros": "0", "means": "log odds of the means"}  # of the visible biases, as written
CENTRE = 10.0  # times the links of the frame, S24
ROW = ["claim", "reading", "rival", "rule", "dataset", "epochs"]  # that readings begin with

# --------------------------------------------------------------------------- counts of data sets


def _count(outcomes: Sequence[tuple[bool, Measurement]]) -> Measurement | None:
    """How many data sets speak for a claim, of 11.

    Args:
        outcomes: of each that was run, whether its estimate speaks for the claim, and the
            difference that decides it: above 0 for, below 0 against.
    """
    if not outcomes:
        return None
    ahead = sum(speaks for speaks, _ in outcomes)
    for_it = sum(difference.low > 0 for _, difference in outcomes)
    against = sum(difference.high < 0 for _, difference in outcomes)
    deciding = [difference.n for _, difference in outcomes if difference.n >= MIN_SEEDS]
    n = min(deciding or [difference.n for _, difference in outcomes])
    return Measurement(float(ahead), float(for_it), float(N_SETS - against), n)


def _open(difference: Measurement) -> Measurement:
    return replace(difference, low=-math.inf, high=math.inf)


def wins(records: Records, rival: str) -> Measurement | None:
    """S09, S11: data sets where SET is above a rival, settings and epochs by validation."""
    outcomes = tables.outcomes(records)
    best = tables.selected(outcomes)
    found = []
    for dataset in best["dataset"].unique():
        gain = tables.gains(best, dataset, rival) if dataset in tables.PAPER_NAMES else None
        if gain is None:
            continue
        difference = t_interval(gain["full"], level=SIMULTANEOUS)
        is_tuned = _has_choice(outcomes, dataset, ("set", rival))
        if difference.n < MIN_SEEDS or not is_tuned or not tables.are_apart(gain):
            difference = _open(difference)
        found.append((difference.value > 0, difference))
    return _count(found)


def _has_choice(outcomes: pd.DataFrame, dataset: str, methods: Sequence[str]) -> bool:
    """Whether each of these methods was run at several settings on a data set."""
    own = outcomes[outcomes["dataset"] == dataset]
    settings = own.groupby("method").apply(lambda runs: len(runs[tables.SETTING].drop_duplicates()))
    return all(settings[method] > 1 for method in methods)


def wins_over_xbm(records: Records) -> Measurement | None:
    """S10: data sets where SET is above the printed value of the XBM. Sets of our own split or
    binarisation decide nothing.
    """
    best = tables.selected(tables.outcomes(records))
    printed = pd.read_csv(REFERENCE / "set_table2_rbm.csv")
    printed = printed[printed["model"] == "XBM"].set_index("dataset")["log_prob_nats"]
    found = []
    for dataset, group in best[best["method"] == "set"].groupby("dataset", sort=False):
        values = group["test"].dropna()
        if dataset not in tables.PAPER_NAMES or values.empty:
            continue
        gap = t_interval(values - printed[tables.PAPER_NAMES[dataset]], level=SIMULTANEOUS)
        if dataset in tables.OWN_DATA or gap.n < MIN_SEEDS:
            gap = _open(gap)
        found.append((gap.value > 0, gap))
    return _count(found)


# ----------------------------------------------------------------------------------------- MNIST


def mnist_likelihood(records: Records) -> Measurement | None:
    """S12: test log-probability of SET on MNIST, nats, the setting chosen on validation; without an
    upper bound where but one setting was run, as others could only be better.
    """
    outcomes = tables.outcomes(records)
    best = tables.selected(outcomes)
    values = best.query("dataset == 'mnist' and method == 'set'")["test"].dropna()
    if values.empty:
        return None
    found = t_interval(values)
    return found if _has_choice(outcomes, "mnist", ["set"]) else replace(found, high=math.inf)


def mnist_gain(records: Records) -> Measurement | None:
    """S13: SET minus dense on MNIST, nats, each with the setting chosen on validation; it decides
    nothing where such a difference does not count for S09 either.
    """
    outcomes = tables.outcomes(records)
    gain = tables.gains(tables.selected(outcomes), "mnist", "dense")
    if gain is None:
        return None
    counts = _has_choice(outcomes, "mnist", ["set", "dense"]) and tables.are_apart(gain)
    found = t_interval(gain["full"])
    return found if counts else _open(found)


def mnist_weights(records: Records) -> Measurement | None:
    """S14: links of SET over those of the dense machine, the settings chosen on validation; nothing
    bounds it where either was run with one number of hidden units, of which none could be chosen.
    """
    outcomes = tables.outcomes(records).query("dataset == 'mnist'")
    best = tables.selected(outcomes)
    links = best.groupby("method")["links"].mean()
    if not {"set", "dense"} <= set(links.index):
        return None
    ratio = links["set"] / links["dense"]
    compared = outcomes[outcomes["variant"].isin(tables.COMPARED)]
    widths = compared.groupby("method")["hidden"].nunique()
    has_choice = min(widths["set"], widths["dense"]) > 1
    return exact(ratio) if has_choice else Measurement(ratio, 0.0, math.inf)


# --------------------------------------------------------------------------- settings and weights


def best_is_largest(records: Records, method: str) -> tuple[bool, Measurement] | None:
    """Whether a method is best on DNA with the most hidden units, and the difference of its best
    such setting and of the best other, by seed; validation says which settings these are.
    """
    grid = tables.outcomes(chosen(records, variant="grid"))
    own = grid[(grid["dataset"] == "dna") & (grid["method"] == method)]
    if own["hidden"].nunique() < 2:
        return None
    top = own["hidden"].max()
    sides = []
    for side in (own[own["hidden"] == top], own[own["hidden"] < top]):
        means = side.groupby(["hidden", "cd"])["valid"].mean()
        if means.isna().all():
            return None
        hidden, cd = means.idxmax()
        setting = side.query("hidden == @hidden and cd == @cd")
        sides.append(setting.set_index("seed")["test"])
    gap = (sides[0] - sides[1]).dropna()
    if gap.empty:
        return None
    difference = t_interval(gap, level=SIMULTANEOUS)
    if difference.n < MIN_SEEDS:
        difference = _open(difference)
    return difference.value > 0, difference


def fixed_is_best_when_large(records: Records) -> Measurement | None:
    """S15: data sets where the fixed support is best with the most hidden units; DNA alone has
    several.
    """
    found = best_is_largest(records, "fixed_final")
    return None if found is None else _count([found])


def set_is_best_when_medium(records: Records) -> Measurement | None:
    """S17: data sets where SET is best with fewer hidden units than the most; DNA alone has
    several.
    """
    found = best_is_largest(records, "set")
    if found is None:
        return None
    ahead, gap = found
    turned = Measurement(-gap.value, -gap.high, -gap.low, gap.n)
    return _count([(not ahead, turned)])


def weights_at_equal_width(records: Records) -> Measurement | None:
    """S16: links of SET over those of the fixed support in the paper's own Table 2, at equal
    numbers of hidden units; what we run copies these counts.
    """
    if not records:
        return None
    table = pd.read_csv(REFERENCE / "set_table2_rbm.csv")
    counts = table.pivot_table("n_weights", ["dataset", "n_hidden"], "model")
    ratios = (counts["SET-RBM"] / counts["RBM_FixProb"]).dropna()
    return Measurement(ratios.mean(), ratios.min(), ratios.max())


def saving(records: Records) -> Measurement | None:
    """S18: smallest ratio of weights, dense over SET, of the data sets that S09 counts as won;
    another data set can only make it smaller.
    """
    outcomes = tables.outcomes(records)
    best = tables.selected(outcomes)
    ratios = []
    for dataset in best["dataset"].unique():
        gain = tables.gains(best, dataset, "dense") if dataset in tables.PAPER_NAMES else None
        if gain is None or len(gain) < MIN_SEEDS or not tables.are_apart(gain):
            continue
        if not _has_choice(outcomes, dataset, ("set", "dense")):
            continue
        if t_interval(gain["full"], level=SIMULTANEOUS).low > 0:
            links = best[best["dataset"] == dataset].groupby("method")["links"].mean()
            ratios.append(links["dense"] / links["set"])
    if not ratios:
        return None
    return Measurement(min(ratios), 0.0, min(ratios))


# --------------------------------------------------------------------------------- DNA over epochs


def dense_falls(records: Records) -> Measurement | None:
    """S19: last minus best test log-probability of the dense machine on DNA, CD-1, nats, the worst
    number of hidden units of each seed.
    """
    runs = chosen(records, dataset="dna", method="dense", cd_steps=1, variant="grid")
    by_seed: dict[int, list[float]] = {}
    for record in runs:
        test = record.metrics["test"].dropna()
        if len(test):
            by_seed.setdefault(record.config.seed, []).append(test.iloc[-1] - test.max())
    if not by_seed:
        return None
    return t_interval([min(falls) for falls in by_seed.values()])


def set_stays(records: Records) -> Measurement | None:
    """S20: the largest fall of SET's test log-probability below its running best after it first
    reached -85 nats on DNA, the worst setting of each seed; not bounded from above where such a
    fall is largest at the last epoch, as it still grows then.
    """
    runs = chosen(records, dataset="dna", method="set", variant="grid")
    by_seed: dict[int, list[tuple[float, bool]]] = {}
    for record in runs:
        test = record.metrics["test"].dropna()
        reached = test[(test >= FLAT).cummax()]
        if len(reached):
            falls = reached.cummax() - reached
            grows = bool(falls.iloc[-1] == falls.max() > 0)
            by_seed.setdefault(record.config.seed, []).append((float(falls.max()), grows))
    if not by_seed:
        return None
    worst = [max(falls) for falls in by_seed.values()]
    found = t_interval([fall for fall, _ in worst])
    return replace(found, high=math.inf) if any(grows for _, grows in worst) else found


# ---------------------------------------------------------------------------------------- degrees


def _p_of_settings(records: Records, epoch: int | str) -> pd.DataFrame:
    """p of the rank correlation of degree and frequency of the hidden units, a row a seed, a column
    a setting, of SET on DNA.
    """
    rows = []
    for record in chosen(records, dataset="dna", method="set", variant="grid"):
        degrees = connectivity.hidden_degrees(record, epoch)
        if len(degrees):
            run = record.config
            p = connectivity.power_law.frequency_correlation(degrees)
            rows.append((run.seed, run.hidden[0], run.cd_steps, p))
    table = pd.DataFrame(rows, columns=["seed", "hidden", "cd", "p"])
    return table.pivot_table("p", "seed", ["hidden", "cd"])


def initial_p(records: Records) -> Measurement | None:
    """S21: the smallest p before training of the nine settings on DNA, by seed."""
    p = _p_of_settings(records, 0)
    return None if p.empty else replace(t_interval(p.min(axis=1)), undecidable=NO_TEST)


def significant_settings(records: Records) -> Measurement | None:
    """S23: settings on DNA that end with p below .05, by seed."""
    p = _p_of_settings(records, "final")
    if p.empty:
        return None
    settings = t_interval((p < connectivity.SIGNIFICANT).sum(axis=1))
    return replace(settings, undecidable=NO_TEST)


def significant_runs(records: Records) -> Measurement | None:
    """S22: of 99 runs those that end with p below .05; ours have one seed each and are shorter, so
    that all of the paper's may fall either way.
    """
    ends = []
    for record in chosen(records, method="set", seed=0):
        run = record.config
        if run.variant in tables.PUBLISHED and run.dataset in tables.PAPER_NAMES:
            degrees = connectivity.hidden_degrees(record, "final")
            if len(degrees):
                ends.append(connectivity.power_law.frequency_correlation(degrees))
    if not ends:
        return None
    n_below = float(sum(p < connectivity.SIGNIFICANT for p in ends))
    return Measurement(n_below, 0.0, float(N_RUNS), undecidable=NO_TEST)


def centre_over_frame(records: Records) -> Measurement | None:
    """S24: mean links of a pixel of the central 14 x 14 over those of the outer two pixels, SET
    with 500 hidden units on MNIST.

    The first biases of the visible units decide, and the paper does not state them. Judged by
    those of the guide that its other settings are from, the log odds of the means, where that is
    run; undecidable unless both say the same.
    """
    found = list(_centre_by_start(records).values())
    if not found:
        return None
    verdicts = {direction(each, ">=", f"{CENTRE:g}") for each in found}
    agree = len(found) == len(VISIBLE_STARTS) and len(verdicts) == 1
    return found[-1] if agree else replace(found[-1], undecidable=NO_BIASES)


def centre_readings(records: Records) -> pd.DataFrame:
    """S24 by either start, a row each, with the columns of the other claims' readings."""
    rows = []
    for start, found in _centre_by_start(records).items():
        reading = f"first visible biases: {STARTS[start]}"
        measured = found.value, found.low, found.high, found.n
        judged = f">= {CENTRE:g}", direction(found, ">=", f"{CENTRE:g}")
        rows.append(("S24", reading, "", "set", "mnist", MNIST_EPOCHS, *measured, *judged))
    return pd.DataFrame(rows, columns=[*ROW, "value", "low", "high", "n", "holds if", "verdict"])


def _centre_by_start(records: Records) -> dict[str, Measurement]:
    """By the first biases of the visible units, in the order of VISIBLE_STARTS."""
    runs = chosen(records, dataset="mnist", method="set", hidden=(500,))
    found = {}
    for start in VISIBLE_STARTS:
        ratios = _centre_ratios(chosen(runs, visible_start=start))
        if ratios:
            found[start] = t_interval(ratios)
    return found


def _centre_ratios(records: Records) -> list[float]:
    """Of each record; a frame without links counts as one that has a single link."""
    ratios = []
    for record in records:
        image = input_links(record, "final").reshape(28, 28)
        frame = np.ones((28, 28), bool)
        frame[2:-2, 2:-2] = False
        on_frame = max(image[frame].sum(), 1) / frame.sum()
        ratios.append(image[7:21, 7:21].mean() / on_frame)
    return ratios


ALL = ("set_rbm_dna", "set_rbm")
DNA = ("set_rbm_dna",)
OTHERS = ("set_rbm",)
FEW_SETS = "smaller: nine data sets, fewer epochs"
DNA_ALONE = "smaller: DNA alone, 300 epochs"
TOY = "toy: 500 units, 120 epochs, CD-1"

CLAIMS: dict[str, Claim] = {
    "S09": Claim(
        ALL,
        partial(wins, rival="dense"),
        "SET-RBM is ahead of dense on {value:.0f} of eleven data sets, surely on {low:.0f}.",
        FEW_SETS,
    ),
    "S10": Claim(
        ALL,
        wins_over_xbm,
        "SET-RBM is ahead of XBM on {value:.0f} of eleven data sets, surely on {low:.0f}.",
        FEW_SETS,
    ),
    "S11": Claim(
        ALL,
        partial(wins, rival="fixed_final"),
        "SET-RBM is ahead of fixed links on {value:.0f} of eleven data sets, surely on {low:.0f}.",
        FEW_SETS,
    ),
    "S12": Claim(
        OTHERS,
        mnist_likelihood,
        "SET-RBM reaches {value:.1f} nats on MNIST.",
        TOY,
    ),
    "S13": Claim(
        OTHERS,
        mnist_gain,
        "SET-RBM minus the dense RBM is {value:.1f} nats on MNIST.",
        TOY,
    ),
    "S14": Claim(
        OTHERS,
        mnist_weights,
        "The chosen SET-RBM has {value:.2%} of the weights of the chosen dense RBM.",
        TOY,
    ),
    "S15": Claim(
        DNA,
        fixed_is_best_when_large,
        "Fixed links are best with the most hidden units on {value:.0f} of eleven data sets.",
        DNA_ALONE,
    ),
    "S16": Claim(
        ALL,
        weights_at_equal_width,
        "In the paper's table SET-RBM has {value:.3f} times the weights of fixed links.",
        "as published",
    ),
    "S17": Claim(
        DNA,
        set_is_best_when_medium,
        "SET-RBM is best with fewer than the most hidden units on {value:.0f} data set of eleven.",
        DNA_ALONE,
    ),
    "S18": Claim(
        ALL,
        saving,
        "Where SET-RBM wins, the dense RBM has {value:.0f} times its weights or less.",
        FEW_SETS,
    ),
    "S19": Claim(
        DNA,
        dense_falls,
        "The dense RBM ends {value:.1f} nats from its best on DNA.",
        "smaller: 300 of 5,000 epochs",
    ),
    "S20": Claim(
        DNA,
        set_stays,
        "SET-RBM falls {value:.1f} nats below its best on DNA in the worst setting.",
        "smaller: 300 of 5,000 epochs",
    ),
    "S21": Claim(
        DNA,
        initial_p,
        "By a rank test of degrees, the smallest p at the start is {value:.2f}.",
        "as published",
    ),
    "S22": Claim(
        ALL,
        significant_runs,
        "By a rank test of degrees, {value:.0f} of our runs end with p below .05.",
        FEW_SETS,
    ),
    "S23": Claim(
        DNA,
        significant_settings,
        "By a rank test of degrees, {value:.0f} of nine settings end with p below .05.",
        "smaller: 300 of 5,000 epochs",
    ),
    "S24": Claim(
        OTHERS,
        centre_over_frame,
        "A pixel of the centre has {value:.1f} times the links of one of the frame.",
        "smaller: 120 epochs",
        readings=centre_readings,
    ),
}
