"""Notebook 21: every number of its text follows from the records."""

import numpy as np
import pandas as pd

import papers
from lib._boundary import FIGURES
from lib.report.intervals import t_interval
from tests.notebooks.summaries import ends, mean
from tests.prose import Prose

MN, FM = "mnist", "fashion_mnist"
MAIN = ["set", "rigl", "fixed", "dense", "dense_small"]


def half_fractions() -> pd.DataFrame:
    """Percent of the links at which half of the accuracy above chance is lost, mean over seeds."""
    rows = []
    for record in papers.obtain("link_removal", "paper"):
        run, table = record.config, record.metrics
        whole = table[table["scope"] == "all"]
        for order, part in whole[~whole["order"].str.contains(",")].groupby("order"):
            curve = part.groupby("fraction")["accuracy"].mean() - 0.1
            k = np.flatnonzero(curve < curve.iloc[0] / 2)[0]
            (x0, x1), (y0, y1) = curve.index[[k - 1, k]], curve.iloc[[k - 1, k]]
            at = x0 + (x1 - x0) * (y0 - curve.iloc[0] / 2) / (y0 - y1)
            rows.append((run.dataset, run.method, order, 100 * at))
    columns = ["dataset", "method", "order", "percent"]
    table = pd.DataFrame(rows, columns=columns)
    return table.groupby(columns[:3])["percent"].mean()


def test_numbers_of_the_text_follow_from_the_records():
    text, networks, half = Prose("21_link_removal"), ends(), half_fractions()
    usual = networks[networks["trained"] == "adaptive_topology"]
    shown = half[half.index.get_level_values("method").isin(MAIN)]
    found = [half[MN, method, "random"] for method in ("set", "dense")]
    text.says("when {:.0f} % of the links are gone, dense when {:.0f} % are", *found)
    areas = usual.set_index(["dataset", "method", "seed"])["rescaled"].sort_index()
    for dataset, words in (
        (MN, "On MNIST RigL gains {:.2f} and SET {:.2f}"),
        (FM, "On Fashion-MNIST RigL gains {:.2f}, and SET {:.2f}"),
    ):
        found = [areas[dataset, method] - areas[dataset, "fixed"] for method in ("rigl", "set")]
        assert all(t_interval(gain).low > 0 for gain in found)
        text.says(words, *(gain.mean() for gain in found))
    returned = {}
    for dataset in (MN, FM):
        drawn, scaled = (mean(usual, name, dataset, "dense") for name in ("area", "rescaled"))
        returned[dataset] = (scaled - drawn) / (1 - drawn)
    assert returned[MN] > 0.75 and 0.45 < returned[FM] < 0.55
    equal = networks[networks["trained"].isin(["adaptive_topology", "other_dropouts"])]
    both = [mean(equal, "area", FM, m, dropout=0.3) for m in ("set", "fixed")]
    text.says("With equal dropout SET gains {:.2f} there", both[0] - both[1])
    assert shown[:, :, "ascending"].min() > 75  # three quarters
    text.says("at most {:.0f} % of them are enough", shown[:, :, "descending"].max())
    _has_settings(text)
    assert not text.uncovered()


def _beside_small_dense(text):
    """At equal numbers of links left, sparse networks minus small dense, mean accuracy."""
    shown = pd.read_csv(FIGURES / "paper" / "21_link_removal" / "links_left.csv")
    for dataset, rows in shown.groupby("dataset"):
        means = rows.groupby(["method", "left"])["accuracy"].mean()
        small = means["dense_small"]
        for method in ("set", "rigl", "fixed"):
            own = means[method]
            assert own.index.max() < small.index.max()
            lead = own - np.interp(own.index, small.index, small)
            share = own.index / own.index.max()
            assert (lead[share > 0.79] > 0).all()
            if dataset == "mnist":
                assert (lead[(share < 0.51) & (share > 0.3)] < 0).all()


def _has_settings(text):
    """What was run, and how many links there are."""
    links = {}
    for record in papers.obtain("link_removal", "paper"):
        run, table = record.config, record.metrics
        links[run.method] = table.query("scope == 'all' and order == 'random'")["removed"].max()
        assert run.images == 2000 and run.draws == (2 if run.method == "dense" else 10)
    text.says("All {:,} links of the sparse layers are 1 %", links["fixed"])
    assert links["dense"] == 100 * links["fixed"]
    _beside_small_dense(text)
    text.says("Random orders are drawn 10 times, twice for the dense network")
