"""Notebook 40: every number of its text follows from the records."""

from functools import cache

import numpy as np
import pandas as pd
from pymoo.indicators.hv import HV
from scipy import stats

import papers
from lib._boundary import REFERENCE
from lib.report.intervals import holm
from tests.notebooks.summaries import interval, p_values, reading
from tests.prose import Prose

SETS = ("rsmas", "citrus_leaves", "rps28", "eye_fundus", "cifar10")
KINDS = ("random", "magnitude", "penalty", "evolved_links")


@cache
def every(experiment):
    """The records of an experiment, read once."""
    return papers.obtain(experiment, "paper")


def records(experiment, variant="corrected", method="nsga2", **fields):
    """The records of an experiment that are so."""
    wanted = {"variant": variant, "method": method, **fields}
    found = [r for r in every(experiment) if wanted.items() <= vars(r.config).items()]
    return sorted(found, key=lambda record: record.config.seed)


def volumes(**fields):
    """The hypervolume of every search, in the order of seeds."""
    tables = [record.metrics for record in records("mask_search", **fields)]
    corner = HV(ref_point=np.ones(3))
    return np.array(
        [corner(np.stack([1 - t["accuracy"], t["density"], 1 - t["auroc"]], 1)) for t in tables]
    )


@cache
def paired(dataset, kind, measure):
    """Evolved masks minus heads of their density, in points: of each run the densities and gaps."""
    found = []
    for record in records("mask_fronts", dataset=dataset):
        table = record.metrics
        own = table[table["kind"] == "fresh"].set_index(["member", "seed"])[measure]
        others = table[table["kind"] == kind].set_index(["member", "seed"])
        gap = 100 * (own.reindex(others.index) - others[measure])
        found.append((others["density"].to_numpy(), gap))
    return found


def gaps(dataset, kind, measure, least=0.05):
    """The mean gap of heads of at least one density, a number a run."""
    pairs = paired(dataset, kind, measure)
    return np.array([gap[density >= least].mean() for density, gap in pairs])


def lead_lost(dataset, variant="corrected"):
    """What the most accurate member loses of its lead on images that did not choose it."""
    seen, unseen = ("valid", "test") if variant == "corrected" else ("test", "valid")
    lost = []
    for record in records("mask_fronts", variant, dataset=dataset):
        table = record.metrics
        front, full = (table[table["kind"] == kind] for kind in ("front", "full"))
        accuracies = [f"{seen}_accuracy", f"{unseen}_accuracy"]
        best = front.loc[front[accuracies[0]].idxmax(), accuracies].astype(float)
        lead = best - full.iloc[0][accuracies].astype(float)
        lost.append(100 * (lead.iloc[0] - lead.iloc[1]))
    return np.mean(lost)


def test_numbers_of_the_text_follow_from_the_records():
    text = Prose("40_evolutionary_pruning")
    leads = {d: volumes(dataset=d) - volumes(dataset=d, method="random_search") for d in SETS}
    means = {dataset: lead.mean() for dataset, lead in leads.items()}
    assert {round(means[d], 2) for d in SETS if d != "citrus_leaves"} == {0.01}
    text.says("NSGA-II gains {:.2f} on the leaves and about 0.01 elsewhere", means["citrus_leaves"])
    p = holm([stats.ttest_1samp(lead, 0).pvalue for lead in leads.values()])
    assert sum(p < 0.05) == 3
    usual = volumes(dataset="rsmas")[:5]
    changed = ("30 offspring a step", "three times the epochs", "noise as fourth objective")
    for variant in (*changed, "hidden units", "links"):
        gain = volumes(variant=variant) - usual
        assert interval(gain)[1] < 0, variant
    longer = volumes(variant="2,000 evaluations")
    grown = (longer - usual).mean()
    words = "It tries 2,000 masks in place of 200. Its hypervolume is larger by {:.3f}"
    text.says(words, grown)
    text.says("Ours of 2,000 masks is on the corals alone.")
    _at_equal_density(text)
    _chosen(text)
    _beside_the_authors(text)
    _related(text)
    _has_settings(text)
    assert not text.uncovered()


def differences(least=0.05):
    """What heads of at least one density are worth, and p by Holm, by measure, kind and set."""
    cells = {}
    for measure in ("test_accuracy", "test_auroc"):
        for kind in KINDS:
            for dataset in SETS:
                values = gaps(dataset, kind, measure, least)
                cells[measure, kind, dataset] = values[~np.isnan(values)]
    p = holm([stats.ttest_1samp(values, 0).pvalue for values in cells.values()])
    return cells, dict(zip(cells, p, strict=True))


def _at_equal_density(text):
    """What heads of one density are worth."""
    cells, p = differences()
    means = {cell: values.mean() for cell, values in cells.items()}
    lead = [means["test_auroc", "random", dataset] for dataset in SETS]
    text.says("Random masks have {:.1f} to {:.1f} points of AUROC less", min(lead), max(lead))
    lead = [-means["test_auroc", "magnitude", dataset] for dataset in SETS]
    text.says("The largest weights gain {:.0f} to {:.0f} points of AUROC", min(lead), max(lead))
    text.says("from 0.05 on")
    _with_other_limits(text)
    ahead = {
        kind: [
            -means["test_accuracy", kind, dataset]
            for dataset in SETS
            if p["test_accuracy", kind, dataset] < 0.05
            and means["test_accuracy", kind, dataset] < 0
        ]
        for kind in KINDS
    }
    assert {kind: len(leads) for kind, leads in ahead.items()} == {
        **{"random": 0, "evolved_links": 4},
        **{"penalty": 3, "magnitude": 1},
    }
    sparse, group = ahead["evolved_links"], ahead["penalty"]
    text.says("by {:.1f} to {:.1f} points on four sets", min(sparse), max(sparse))
    text.says("is ahead by {:.1f} to {:.1f} on three", min(group), max(group))
    less = {d for d in SETS if p["test_auroc", "evolved_links", d] < 0.05}
    less -= {d for d in SETS if means["test_auroc", "evolved_links", d] < 0}
    assert less == {"citrus_leaves", "eye_fundus"}
    per_run = {}
    for record in records("mask_fronts"):
        counts = record.metrics.query("density >= 0.05")["kind"].value_counts()
        for kind in KINDS:
            per_run.setdefault(kind, []).append(counts[kind])
    assert set(per_run.pop("evolved_links")) == {2, 3}
    assert max(max(counts) for counts in per_run.values()) == 8


def _with_other_limits(text):
    """On how many sets evolved masks are ahead of random ones, by the limit on the density."""
    counts = {}
    for least in (0, 0.01, 0.02, 0.03, 0.07, 0.1):
        _, p = differences(least)
        sure = {d for d in SETS if p["test_auroc", "random", d] < 0.05}
        assert "eye_fundus" in sure
        assert all(p["test_accuracy", "random", d] > 0.05 for d in SETS)
        counts[least] = len(sure)
    assert (min(counts.values()), max(counts.values()), len(counts)) == (2, 4, 6)


def _chosen(text):
    """The mask that one would choose, by the readings of E01, and what it overstates."""
    rows = papers.readings("paper", ["E01"])
    gains = rows.set_index(["reading", "dataset"])[["value", "low", "high"]].sort_index()
    searched = "most accurate on validation, as searched"
    fresh = "most accurate on validation, fresh seeds"
    text.says("On the corals it loses {:.1f} points", -gains["value"][searched, "rsmas"])
    both = (gains["value"][seeds, "eye_fundus"] for seeds in (searched, fresh))
    words = "On the eyes the chosen mask gains {:.1f} points. With fresh seeds {:.1f} points are"
    text.says(words, *both)
    (certain,) = rows[np.array(holm(p_values(rows))) < 0.05].to_dict("records")
    assert (certain["reading"], certain["dataset"]) == (searched, "eye_fundus")
    without_zero = gains.index[(gains["low"] > 0) | (gains["high"] < 0)]
    assert {*without_zero} == {
        *((searched, "rsmas"), (searched, "eye_fundus"), (fresh, "rsmas")),
        (f"{fresh}, near duplicates together", "citrus_leaves"),
    }
    hands = gains.loc[(searched, "rps28")]
    text.says("is uncertain by {:.0f} points", hands["high"] - hands["value"])
    lost = [lead_lost(dataset) for dataset in SETS]
    text.says("the most accurate mask loses {:.0f} to {:.0f} points", min(lost), max(lost))


def _beside_the_authors(text):
    """The best masks of the authors' fronts and of ours, on the images that chose them."""
    log = pd.read_csv(REFERENCE / "related_results.csv")
    log = log[log["source"].str.contains("MO-EvoPruneDeepTL")]
    theirs = log.groupby(["dataset", "metric"])["value"].max()
    ours = {}
    for dataset in SETS[:2]:
        released = records("mask_search", "as released", dataset=dataset)
        assert {(r.config.fitness_part, len(released)) for r in released} == {("test", 10)}
        tables = pd.concat([r.metrics.iloc[r.arrays["front"]] for r in released])
        ours[dataset] = tables[["accuracy", "auroc"]].max()
    accurate = theirs["LEAVES", "test_accuracy_fraction"], ours["citrus_leaves"]["accuracy"]
    words = "the authors' most accurate mask reaches {:.0f} %, and ours {:.0f} %"
    text.says(words, *(100 * value for value in accurate))
    strange = theirs["LEAVES", "ood_auroc"], ours["citrus_leaves"]["auroc"]
    text.says("the best have {:.2f} and {:.2f}", *strange)
    assert ours["rsmas"]["accuracy"] > theirs["SRSMAS", "test_accuracy_fraction"]


def _related(text):
    """Accuracy and AUROC on fronts, and over random masks of one density: readings of E02."""

    def related(name):
        return reading("E02", name).droplevel("rule")

    both = related("accuracy and AUROC, front of a run").loc[["citrus_leaves", "eye_fundus"]]
    assert (both["low"] < 0).all() and (both["high"] > 0).all()
    text.says("shows: {:.2f} and {:.2f}, with intervals around zero", *both["value"])
    together = related("accuracy and AUROC, front of a run, near duplicates together")
    assert together["low"]["citrus_leaves"] > 0
    text.says("they correlate by {:.2f} on the leaves", together["value"]["citrus_leaves"])
    assert (related("accuracy and density, all masks")["low"] > 0).all()
    eyes = related("AUROC and density, all masks").loc["eye_fundus"]
    assert eyes["low"] < 0 < eyes["high"]
    held = related("accuracy and AUROC, density held, all masks")["value"]
    text.says("with the density held, the correlation is {:.2f} to {:.2f}", held.min(), held.max())


def _has_settings(text):
    """What was run."""
    text.says("The features are the 1,280 of a MobileNetV2.")
    text.says("of the large sets we train on 600 images")
    claims = papers.PUBLISHED.set_index("id")["threshold"]
    text.says("E01 allows a loss of {:.1f} points", -float(claims["E01"]))
    text.says("E02 asks for a correlation of {:.1f}", float(claims["E02"]))
    text.says("ResNet-50 with 2,048 features")  # the paper's
    for dataset, n in (("rsmas", 146), ("citrus_leaves", 119)):
        fronts = [
            r.metrics.query("kind == 'front'") for r in records("mask_fronts", dataset=dataset)
        ]
        right = pd.concat(fronts)["test_accuracy"] * n
        assert np.allclose(right, right.round(), atol=1e-3)  # of as many images
        text.says(f"{n} of {'corals' if dataset == 'rsmas' else 'leaves'}")
