"""S09 to S24: what our machines say about the claims of [Mocanu2018] on RBMs, in nats and counts.

Of a count the bounds are the data sets decided for and against it. What is not run or has less than
three seeds decides nothing; nor, where two methods are compared, what both schedules of the
estimator do not tell apart, or what was run at one setting alone (the paper took the best of nine).
Beside a printed value one setting can win, but its loss decides nothing.
"""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from lib.report import claims, frames, labels
from lib.report.claims import intervals
from lib.report.intervals import MIN_SEEDS, Measurement, direction, exact, t_interval
from lib.report.tables import Records
from lib.report.verdicts import Claim
from lib.runs.record import Record
from lib.topology import power_law
from papers.set.rbm import ais, studies
from papers.set.rbm.studies import COMPARED, OWN_DATA, PUBLISHED, TABLE_2_NAMES
from papers.set.rbm.training import VISIBLE_STARTS
from papers.shared.claims import chosen
from papers.shared.inputs import input_links

N_SETS = 11  # of Table 2
N_RUNS = 99  # of Fig. 3 and its supplement
FLAT = -85.0  # nats that a machine reaches before its falls count, S20
SIGNIFICANT = 0.05  # p
NO_TEST = "the paper names no test"
CURVE = ("seed", "network", "cd_steps", "epoch")
NO_BIASES = "the paper does not say how the biases of the visible units start"
STARTS = {"zeros": "0", "means": "log odds of the means"}  # of the visible biases, as written
CENTRE = 10.0  # times the links of the frame, S24

# --------------------------------------------------------------------------- counts of data sets


def compared(records: Records) -> pd.DataFrame:
    """The machines of Table 2's data sets among which validation chooses."""
    machines = studies.machines(records)
    in_table = machines["dataset"].isin([*TABLE_2_NAMES])
    return machines[in_table & machines["variant"].isin(COMPARED)]


def with_choice(machines: pd.DataFrame) -> set[tuple[str, str]]:
    """Data sets and methods of which several settings were run with three seeds each, so that one
    could be chosen.
    """
    n_seeds = machines.groupby(["dataset", "method", *studies.SETTING])["seed"].nunique()
    n_settings = (n_seeds >= MIN_SEEDS).groupby(["dataset", "method"]).sum()
    return {*n_settings[n_settings > 1].index}


def decided_leads(records: Records, family: int) -> pd.DataFrame:
    """The lead of SET over each rival on each data set, settings and epochs by validation: rows of
    :func:`papers.set.rbm.studies.ranked`, unbounded where nothing decides them.
    """
    machines = compared(records)
    rows = studies.ranked(studies.leads(studies.selected(machines)), family)
    several = with_choice(machines)
    pairs = zip(rows["dataset"], rows["method"], strict=True)
    both = [{(dataset, "set"), (dataset, rival)} <= several for dataset, rival in pairs]
    decides = rows["told_apart"] & (rows["n"] >= MIN_SEEDS) & np.array(both, bool)
    rows.loc[~decides, ["low", "high"]] = [-math.inf, math.inf]
    return rows


def count(rows: pd.DataFrame) -> Measurement | None:
    """On how many of the eleven data sets a difference is above 0: at least those where all of the
    interval is, at most all but those where it is below; fewer than three seeds say neither.

    Args:
        rows: of :func:`lib.report.claims.intervals`, a row a data set that was run.
    """
    if rows.empty:
        return None
    sure = rows[rows["n"] >= MIN_SEEDS]
    n = int((rows if sure.empty else sure)["n"].min())
    lowest, highest = (sure["low"] > 0).sum(), N_SETS - (sure["high"] < 0).sum()
    unrun = len(rows) < N_SETS or claims.has_unbounded(rows)
    value = float((rows["value"] > 0).sum())
    return Measurement(value, float(lowest), float(highest), n, unrun=unrun)


def wins(records: Records, rival: str) -> Measurement | None:
    """S09, S11: data sets where SET is above a rival."""
    return count(decided_leads(records, N_SETS).query("method == @rival"))


def wins_over_xbm(records: Records) -> Measurement | None:
    """S10: data sets where SET is above the printed value of the XBM. Sets of our own split or
    binarisation decide nothing, and another setting could win where a single one was run.
    """
    printed = studies.table_2().query("method == 'xbm'").set_index("dataset")["value"]
    machines = compared(records).query("method == 'set'")
    best = studies.selected(machines).dropna(subset="test")
    gaps = best.assign(value=best["test"] - best["dataset"].map(printed))
    rows = intervals(gaps, ["dataset"], family=N_SETS)
    several = [dataset for dataset, _ in with_choice(machines)]
    rows.loc[~rows["dataset"].isin(several), "high"] = math.inf
    rows.loc[rows["dataset"].isin([*OWN_DATA]), ["low", "high"]] = [-math.inf, math.inf]
    return count(rows)


# ----------------------------------------------------------------------------------------- MNIST


def mnist_likelihood(records: Records) -> Measurement | None:
    """S12: test log-probability of SET on MNIST, nats, the setting chosen on validation; without an
    upper bound unless machines of the paper's size and sweeps were run, as they could be better.
    """
    machines = compared(records).query("dataset == 'mnist' and method == 'set'")
    values = studies.selected(machines)["test"].dropna()
    if values.empty:
        return None
    found = t_interval(values)
    return found if reach_paper(machines, "set") else replace(found, high=math.inf)


def reach_paper(machines: pd.DataFrame, method: str) -> bool:
    """True if three machines on MNIST have the hidden units and the sweeps of the paper's best."""
    paper = studies.table_2().query("dataset == 'mnist' and method == @method").iloc[0]
    is_papers = machines["method"] == method
    is_papers &= machines["hidden"] >= int(paper["n_hidden"])
    is_papers &= machines["cd_steps"] >= int(paper["cd_steps"])
    return is_papers.sum() >= MIN_SEEDS


def mnist_gain(records: Records) -> Measurement | None:
    """S13: SET minus dense on MNIST, nats, each with the setting chosen on validation; nothing
    bounds it unless machines of the paper's size and sweeps were run, as they could be better.
    """
    rows = decided_leads(records, family=1)
    found = claims.largest(rows.query("dataset == 'mnist' and method == 'dense'"))
    machines = compared(records).query("dataset == 'mnist'")
    if found is None or all(reach_paper(machines, method) for method in ("set", "dense")):
        return found
    return replace(found, low=-math.inf, high=math.inf)


def mnist_weights(records: Records) -> Measurement | None:
    """S14: links of SET over those of the dense machine, the settings chosen on validation; nothing
    bounds it unless machines of the paper's size and sweeps were run, as they could be chosen.
    """
    machines = compared(records).query("dataset == 'mnist' and method in ['set', 'dense']")
    links = studies.selected(machines).groupby("method")["links"].mean()
    if len(links) < 2:
        return None
    ratio = links["set"] / links["dense"]
    if all(reach_paper(machines, method) for method in links.index):
        return exact(ratio)
    return Measurement(ratio, 0.0, math.inf)


# --------------------------------------------------------------------------- settings and weights


def best_is_largest(records: Records, method: str) -> pd.DataFrame:
    """The best setting of a method on DNA with the most hidden units minus its best with fewer, by
    validation: rows of :func:`lib.report.claims.intervals`, none if one of the two was not run.
    """
    grid = studies.machines(chosen(records, variant="grid", dataset="dna", method=method))
    is_largest = grid["hidden"] == grid["hidden"].max()
    sides = [studies.selected(grid[side]) for side in (is_largest, ~is_largest)]
    pairs = sides[0].merge(sides[1], on=["dataset", "seed"], suffixes=("", "_fewer"))
    gaps = pairs.assign(value=pairs["test"] - pairs["test_fewer"]).dropna(subset="value")
    return intervals(gaps, ["dataset"], family=N_SETS)


def fixed_is_best_when_large(records: Records) -> Measurement | None:
    """S15: data sets where the fixed support is best with the most hidden units; DNA alone has
    several.
    """
    return count(best_is_largest(records, "fixed_final"))


def set_is_best_when_medium(records: Records) -> Measurement | None:
    """S17: data sets where SET is best with fewer hidden units than the most; DNA alone has
    several.
    """
    rows = best_is_largest(records, "set")
    return count(rows.assign(value=-rows["value"], low=-rows["high"], high=-rows["low"]))


def weights_at_equal_width(records: Records) -> Measurement | None:
    """S16: links of SET over those of the fixed support in the paper's own Table 2, at equal
    numbers of hidden units; what we run copies these counts.
    """
    if not records:
        return None
    counts = studies.table_2().pivot(
        index=["dataset", "n_hidden"], columns="method", values="n_weights"
    )
    ratios = (counts["set"] / counts["fixed_final"]).dropna()
    return Measurement(ratios.mean(), ratios.min(), ratios.max())


def saving(records: Records) -> Measurement | None:
    """S18: smallest ratio of weights, dense over SET, of the data sets that S09 counts as won;
    another data set can only make it smaller.
    """
    won = decided_leads(records, N_SETS).query("method == 'dense' and low > 0")["dataset"]
    best = studies.selected(compared(records))
    links = best.pivot_table("links", "dataset", "method").loc[won]
    if links.empty:
        return None
    ratios = links["dense"] / links["set"]
    where = labels.dataset(ratios.idxmin())
    return Measurement(ratios.min(), 0.0, ratios.min(), at=where)


# --------------------------------------------------------------------------------- DNA over epochs


def dna_curves(records: Records, method: str) -> pd.DataFrame:
    """Test log-probabilities on DNA after epochs: columns seed, network, cd_steps, epoch, value;
    without estimates that rest on too few effective chains.
    """
    machines = chosen(records, dataset="dna", method=method, variant="grid")
    curves = frames.rows(machines, "cd_steps").reindex(columns=[*CURVE, "test", "ess"])
    is_sound = curves["test"].notna() & (curves["ess"] >= ais.LEAST_ESS)
    return curves.assign(value=curves["test"])[is_sound].astype({"value": float})


def dense_falls(records: Records) -> Measurement | None:
    """S19: last minus best test log-probability of the dense machine on DNA, CD-1, nats, the worst
    number of hidden units of each seed. The last is the last epoch whose estimate is sound.
    """
    curves = dna_curves(records, "dense").query("cd_steps == 1").groupby(["seed", "network"])
    falls = (curves["value"].last() - curves["value"].max()).groupby("seed").min()
    return None if falls.empty else t_interval(falls)


def set_stays(records: Records) -> Measurement | None:
    """S20: the largest fall of SET's test log-probability below its running best after it first
    reached -85 nats on DNA, in 5,000 epochs as in the paper, the worst setting of each seed.
    """
    curves = dna_curves(records, "set")
    best = curves.groupby(["seed", "network", "cd_steps"])["value"].cummax()
    falls = (best - curves["value"])[best >= FLAT]
    return None if falls.empty else t_interval(falls.groupby(curves["seed"]).max())


# ---------------------------------------------------------------------------------------- degrees


def p_of(record: Record, epoch: int | str) -> float:
    """p of the rank correlation of degree and frequency of the hidden units, which stands for the
    test that the paper does not name; missing where degrees were not recorded.
    """
    degrees = studies.hidden_degrees(record, epoch)
    return power_law.frequency_correlation(degrees) if len(degrees) else math.nan


def p_on_dna(records: Records, epoch: int | str) -> pd.Series:
    """Likelihoods of SET's machines in the nine settings, by seed and setting."""
    runs = chosen(records, dataset="dna", method="set", variant="grid")
    keys = [(run.config.seed, run.config.hidden, run.config.cd_steps) for run in runs]
    index = pd.MultiIndex.from_tuples(keys, names=["seed", "hidden", "cd_steps"]) if keys else None
    return pd.Series([p_of(run, epoch) for run in runs], index, float).dropna()


def initial_p(records: Records) -> Measurement | None:
    """S21: the smallest p before training of the nine settings on DNA, by seed."""
    p = p_on_dna(records, 0)
    return None if p.empty else replace(t_interval(p.groupby("seed").min()), undecidable=NO_TEST)


def significant_settings(records: Records) -> Measurement | None:
    """S23: settings on DNA that end with p below .05, by seed."""
    p = p_on_dna(records, "final")
    if p.empty:
        return None
    counts = (p < SIGNIFICANT).groupby("seed").sum()
    return replace(t_interval(counts), undecidable=NO_TEST)


def significant_runs(records: Records) -> Measurement | None:
    """S22: of 99 runs those that end with p below .05; ours have one seed each and are shorter, so
    that all of the paper's may fall either way.
    """
    runs = [run for run in chosen(records, method="set", seed=0) if run.config.variant in PUBLISHED]
    ends = [p_of(run, "final") for run in runs if run.config.dataset in TABLE_2_NAMES]
    if np.isnan(ends).all():
        return None
    known = [p for p in ends if not np.isnan(p)]
    n_below = float(sum(p < SIGNIFICANT for p in known))
    return Measurement(n_below, 0.0, float(N_RUNS), at=str(len(known)), undecidable=NO_TEST)


def centre_by_start(records: Records) -> dict[str, Measurement]:
    """Mean links of a pixel of the central 14 x 14 over those of the outer two pixels, of SET with
    500 hidden units on MNIST, by the first biases of the visible units. A frame without links
    counts as one that has a single link.
    """
    frame, centre = np.ones((28, 28), bool), np.zeros((28, 28), bool)
    frame[2:-2, 2:-2], centre[7:21, 7:21] = False, True
    found = {}
    for start in VISIBLE_STARTS:
        setting = {"dataset": "mnist", "method": "set", "hidden": (500,), "visible_start": start}
        ratios = []
        for record in chosen(records, **setting):
            links = input_links(record, "final").reshape(28, 28)
            ratios.append(links[centre].mean() * frame.sum() / max(links[frame].sum(), 1))
        if ratios:
            found[start] = t_interval(ratios)
    return found


def centre_over_frame(records: Records) -> Measurement | None:
    """S24. The first biases of the visible units decide, and the paper does not state them. Judged
    by those of the guide that its other settings are from, the log odds of the means, where that is
    run; undecidable unless both say the same.
    """
    found = [*centre_by_start(records).values()]
    if not found:
        return None
    verdicts = {direction(each, ">=", f"{CENTRE:g}") for each in found}
    agree = len(found) == len(VISIBLE_STARTS) and len(verdicts) == 1
    return found[-1] if agree else replace(found[-1], undecidable=NO_BIASES)


def centre_readings(records: Records) -> pd.DataFrame:
    """S24 by either start, a row each."""
    by_start = centre_by_start(records)
    if not by_start:
        return pd.DataFrame()
    found = {f"first visible biases: {STARTS[start]}": one for start, one in by_start.items()}
    epochs = chosen(records, dataset="mnist", method="set", hidden=(500,))[0].config.epochs
    rows = claims.by_reading(found, rival="", rule="set", dataset="mnist", epochs=epochs)
    return claims.readings(rows, "S24", ">=", CENTRE)


ALL = ("set_rbm_dna", "set_rbm")
DNA = ("set_rbm_dna",)
OTHERS = ("set_rbm",)
MNIST = ("set_rbm", "set_rbm_wide")
FEW_SETS = "smaller: nine data sets, fewer epochs"
DNA_ALONE = "smaller: DNA alone, 300 epochs"
NARROWER = "smaller: up to 2,500 units, 120 epochs, CD-1"

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
        MNIST,
        mnist_likelihood,
        "SET-RBM reaches {value:.1f} nats on MNIST.",
        "smaller: 2,500 of 5,000 units, 120 epochs, CD-1",
    ),
    "S13": Claim(
        MNIST, mnist_gain, "SET-RBM minus the dense RBM is {value:.1f} nats on MNIST.", NARROWER
    ),
    "S14": Claim(
        MNIST,
        mnist_weights,
        "The chosen SET-RBM has {value:.2%} of the weights of the chosen dense RBM.",
        NARROWER,
    ),
    "S15": Claim(
        DNA,
        fixed_is_best_when_large,
        "At the paper's rate fixed links are best with the most hidden units on {value:.0f} of"
        " eleven data sets.",
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
        "At the paper's rate SET-RBM is best with fewer than the most hidden units on {value:.0f}"
        " data set of eleven.",
        DNA_ALONE,
    ),
    "S18": Claim(
        ALL,
        saving,
        "On {at}, where SET-RBM wins, the dense RBM has {value:.0f} times its weights.",
        FEW_SETS,
    ),
    "S19": Claim(
        DNA,
        dense_falls,
        "The dense RBM's last sound estimate minus its best is {value:.1f} nats on DNA.",
        "smaller: 300 of 5,000 epochs",
    ),
    "S20": Claim(
        ("set_rbm_dna_long",),
        set_stays,
        "In the worst setting of each seed SET-RBM falls {value:.1f} nats below its best on DNA.",
        "as published",
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
        "By a rank test of degrees, {value:.0f} of our {at} runs end with p below .05.",
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
