"""Notebook 41: every number of its text follows from the records."""

import numpy as np
from scipy import stats

from lib.report.intervals import holm
from papers.pruning.ensembles import PERCENTILE_PAIRS
from tests.notebooks.test_40 import SETS, records
from tests.prose import Prose

RIVALS = ("front_accuracy", "front_auroc", "best", "mean", "alike")


def counts(dataset):
    """(runs, features) how many masks of a run keep each feature."""
    rows = []
    for record in records("mask_search", dataset=dataset):
        masks = np.unpackbits(record.arrays["masks"], axis=1, count=1280)
        rows.append(masks.sum(axis=0, dtype=float))
    return np.array(rows)


def hidden(dataset, kind, variant="corrected"):
    """What hiding what the ten see costs more than hiding something else, a number a run."""
    gaps = []
    for record in records("mask_regions", variant, dataset=dataset):
        accuracy = record.metrics.groupby("kind")["accuracy"].mean()
        gaps.append(100 * (accuracy[kind] - accuracy["kept"]))
    return np.array(gaps)


def read_by_the_head(dataset):
    """Of the ten features that most masks of a run keep, and of ten others, how many the most
    accurate head reads, means over runs.
    """
    fronts, searches = (records(name, dataset=dataset) for name in ("mask_fronts", "mask_search"))
    found = []
    for front, search in zip(fronts, searches, strict=True):
        assert front.config.seed == search.config.seed
        masks = np.unpackbits(search.arrays["masks"], axis=1, count=1280).astype(float)
        rows = front.metrics.query("kind == 'front'")
        best = rows[rows["valid_accuracy"] == rows["valid_accuracy"].max()]
        mask = masks[int(best.loc[best["density"].idxmin(), "member"])]
        ten = np.argsort(-masks.sum(axis=0), kind="stable")[:10]
        found.append((mask[ten].sum(), 10 * np.delete(mask, ten).mean()))
    return np.mean(found, axis=0)


def vote_gains(dataset, measure):
    """{rival: the chosen vote minus it, in points, a number a run}."""
    gains = {rival: [] for rival in RIVALS}
    for record in records("mask_fronts", dataset=dataset):
        table = record.metrics
        front, votes = (table[table["kind"] == kind] for kind in ("front", "vote"))
        vote = votes.loc[votes["valid_accuracy"].idxmax()]
        for rival in RIVALS:
            if rival.startswith("front"):
                by = rival.replace("front", "valid")
                best = front[front[by] == front[by].max()]
                other = best.loc[best["density"].idxmin()]
            else:
                other = table[(table["kind"] == rival) & (table["low"] == vote["low"])].iloc[0]
            gains[rival].append(100 * (vote[f"test_{measure}"] - other[f"test_{measure}"]))
    return {rival: np.array(values) for rival, values in gains.items()}


def test_numbers_of_the_text_follow_from_the_records(rng):
    text = Prose("41_explain_and_ensemble")
    _agreement(text, rng)
    _hidden(text)
    _votes(text)
    lows, highs = zip(*PERCENTILE_PAIRS, strict=True)
    text.says(
        "The next begins and ends {} higher, and so on, up to {}", *set(np.diff(lows)), highs[-1]
    )
    assert {record.config.draws for record in records("mask_regions")} == {3}
    [area] = {record.config.area for record in records("mask_regions")}
    assert area == 1 / 5
    text.says("CC BY 4.0, Rauf et al. 2019")
    text.says("CC BY 2.0, Moroney 2019")
    assert not text.uncovered()


def _agreement(text, rng):
    """Runs agree a little on four of five sets; on four no feature is kept more than by chance."""
    agree, alone = {}, {}
    for dataset in SETS:
        of_runs = counts(dataset)
        spread = (of_runs - of_runs.mean(1, keepdims=True)) / of_runs.std(1, keepdims=True)
        correlations = (spread @ spread.T / 1280)[np.triu_indices(len(spread), 1)]
        agree[dataset] = correlations.mean()
        shuffled = [rng.permuted(of_runs, axis=1).sum(axis=0).max() for _ in range(300)]
        alone[dataset] = np.mean(of_runs.sum(axis=0).max() <= np.array(shuffled))
    # by chance the mean of 45 correlations of 1,280 features has this standard deviation
    chance = 1 / np.sqrt(1279 * 45)
    assert [dataset for dataset in SETS if agree[dataset] < 2 * chance] == ["cifar10"]
    assert {round(agree[dataset], 2) for dataset in SETS if dataset != "cifar10"} == {0.01}
    assert [dataset for dataset in SETS if alone[dataset] < 0.05] == ["rps28"]


def _hidden(text):
    """What hiding costs."""
    shown = ("rsmas", "citrus_leaves", "rps28")
    cells = {(d, kind): hidden(d, kind) for d in shown for kind in ("moved", "others")}
    p = holm([stats.ttest_1samp(values, 0).pvalue for values in cells.values()])
    assert [cell for cell, one in zip(cells, p, strict=True) if one < 0.05] == [
        ("citrus_leaves", "moved")
    ]
    again = hidden("citrus_leaves", "moved", "near duplicates together")
    text.says("the leaves say the same: {:.0f} points", again.mean())
    read = np.array([read_by_the_head(dataset) for dataset in shown])
    assert read[:, 0].min() > 7 and read[:, 1].max() < 4
    text.says("A star marks p < 0.05")


def sure_gain(values):
    """Whether the 95 % interval of the mean lies above zero."""
    return values.mean() > stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)


def _votes(text):
    """What a vote gains."""
    cells = {}
    for measure in ("accuracy", "auroc"):
        for dataset in SETS:
            for rival, values in vote_gains(dataset, measure).items():
                cells[measure, rival, dataset] = values
    p = holm([stats.ttest_1samp(values, 0).pvalue for values in cells.values()])
    certain = {cell for cell, one in zip(cells, p, strict=True) if one < 0.05}
    means = {cell: values.mean() for cell, values in cells.items()}
    gains = {dataset: means["accuracy", "front_accuracy", dataset] for dataset in SETS}
    assert max(gains, key=gains.get) == "cifar10"
    assert not [dataset for dataset in SETS if ("accuracy", "front_accuracy", dataset) in certain]
    below = [-means["auroc", "front_auroc", dataset] for dataset in SETS]
    text.says("Its AUROC lies {:.1f} to {:.1f} points below the front", min(below), max(below))
    assert [d for d in SETS if ("auroc", "front_auroc", d) in certain] == ["citrus_leaves"]
    alike = {cell for cell in certain if cell[1] == "alike"}
    assert alike == {("accuracy", "alike", "eye_fundus"), ("auroc", "alike", "eye_fundus")}
    both = {d for d in SETS if all(sure_gain(cells[m, "best", d]) for m in ("accuracy", "auroc"))}
    assert both == {"rsmas", "eye_fundus"}
    assert {cell for cell in certain if cell[1] == "best"} == {("accuracy", "best", "cifar10")}
    over_mean = [dataset for dataset in SETS if ("auroc", "mean", dataset) in certain]
    assert len(over_mean) == 4
