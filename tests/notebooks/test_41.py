"""Notebook 41: every number of its text follows from the records."""

import numpy as np

import papers
from lib.report.intervals import holm
from papers.pruning.ensembles import PERCENTILE_PAIRS
from tests.notebooks.summaries import p_values
from tests.notebooks.test_40 import SETS, records
from tests.prose import Prose


def counts(dataset):
    """(runs, features) how many masks of a run keep each feature."""
    rows = []
    for record in records("mask_search", dataset=dataset):
        masks = np.unpackbits(record.arrays["masks"], axis=1, count=1280)
        rows.append(masks.sum(axis=0, dtype=float))
    return np.array(rows)


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
    """What hiding costs, by the readings of E03."""
    rows = papers.readings("paper", ["E03"]).set_index(["reading", "dataset"])
    grouped = rows.index.get_level_values("reading").str.endswith("near duplicates together")
    elsewhere = "loss minus that of the same regions elsewhere"
    (certain,) = rows[~grouped].index[np.array(holm(p_values(rows[~grouped]))) < 0.05]
    assert certain == (elsewhere, "citrus_leaves")
    again = rows["value"][f"{elsewhere}, near duplicates together", "citrus_leaves"]
    text.says("the leaves say the same: {:.0f} points", again)
    read = np.array([read_by_the_head(name) for name in ("rsmas", "citrus_leaves", "rps28")])
    assert read[:, 0].min() > 7 and read[:, 1].max() < 4
    text.says("A star marks p < 0.05")


def _votes(text):
    """What a vote gains, by the readings of E04, corrected for all of them together."""
    rows = papers.readings("paper", ["E04"]).query("reading.str.startswith('vote minus')")
    rows = rows.assign(is_sure=np.array(holm(p_values(rows))) < 0.05)
    by_rival = {name.removeprefix("vote minus "): of for name, of in rows.groupby("reading")}
    gains = {rival: of.set_index("dataset") for rival, of in by_rival.items()}
    sure = {rival: [*of.index[of["is_sure"]]] for rival, of in gains.items()}
    assert len(rows) == 50 and not sure["the front's most accurate, accuracy"]
    assert gains["the front's most accurate, accuracy"]["value"].idxmax() == "cifar10"
    below = -gains["the front's best in AUROC, AUROC"]["value"]
    text.says("Its AUROC lies {:.1f} to {:.1f} points below the front", below.min(), below.max())
    assert sure["the front's best in AUROC, AUROC"] == ["citrus_leaves"]
    for measure in ("accuracy", "AUROC"):
        assert sure[f"as many seeds of one mask, {measure}"] == ["eye_fundus"]
    best = [gains[f"the most accurate that votes, {name}"] for name in ("accuracy", "AUROC")]
    both = (best[0]["low"] > 0) & (best[1]["low"] > 0)
    assert {*both.index[both]} == {"rsmas", "eye_fundus"}
    assert sure["the most accurate that votes, accuracy"] == ["cifar10"]
    assert not sure["the most accurate that votes, AUROC"]
    assert len(sure["the mean of those that vote, AUROC"]) == 4
