"""Notebook 62: accuracy by the number of links, by the records."""

from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

import papers
from lib._boundary import ROOT
from lib.report.intervals import holm
from papers.frontier import experiments
from tests.notebooks import test_11 as ablation
from tests.notebooks.summaries import by_fields, final_accuracy, interval, last_valid_accuracy
from tests.prose import Prose

CURVE = papers.EXPERIMENTS["links_curve"].runs("paper")
DENSITIES = experiments.CURVE_DENSITIES["paper"]
METHODS = {  # that are complete, beside fixed links
    **{"set": "SET", "rigl": "RigL", "mest": "MEST", "granet": "GraNet"},
    **{"gradual_pruning": "gradual pruning", "dense_small": "small dense", "chts": "CHTs"},
}
GRID = ("learning_rate", "weight_decay", "dropout")


def on_test_images():
    """Test accuracy at the last epoch, percent: a row a seed, a column a method and a density of
    the hidden layers.
    """
    found = by_fields("links_curve", "method variant", final_accuracy)
    return pd.DataFrame(
        {
            (method, float(variant.removeprefix("density "))): of
            for (method, variant), of in found.items()
            if method != "dense"
        }
    )


def dense_on_test_images():
    """Test accuracy at the last epoch of the dense network with all links, percent, a seed each."""
    return by_fields("links_curve", "method", final_accuracy, method="dense")["dense"]


def percent_of_output_layer():
    """Of the links of networks that keep one hidden link in a thousand, those of the output layer,
    which is dense.
    """
    runs = [run for run in CURVE if run.variant == "density 0.001" and run.method == "rigl"]
    (links,) = {papers.STORE.stored(run).environment["final"]["links"] for run in runs}
    (last,) = {run.hidden[-1] for run in runs}
    assert links - 10 * last == round(0.001 * 1000 * (784 + 2 * 1000))
    return 100 * 10 * last / links


def lead(ends, method, density):
    """Over fixed links, paired by seed: mean, lowest and highest of a 95 % interval."""
    gaps = ends[method, density] - ends["fixed", density]
    assert gaps.notna().all() and len(gaps) == 5
    return interval(gaps)


def test_chosen_settings_are_the_best_of_those_with_which_no_network_diverged():
    """The best of fixed links and of the small dense network diverged on the curve: the second."""
    found = by_fields("links_curve_tuning", f"method {' '.join(GRID)}", last_valid_accuracy)
    whole = pd.Series({place: of.mean() for place, of in found.items() if len(of) == 2})
    for method, chosen in experiments.CURVE_CHOSEN.items():
        place = 1 if method in ("fixed", "dense_small") else 0
        best = whole[method].sort_values(ascending=False).index[place]
        assert best == tuple(chosen[name] for name in GRID)


def says_at_one_percent(text):
    sparse = [run for run in CURVE if run.variant == "density 0.01" and run.method == "rigl"]
    counts = {papers.STORE.stored(run).environment["final"]["links"] for run in sparse}
    text.says("{:,} links with the output layer", *counts)
    means = on_test_images().mean()
    shown = "fixed", "set", "rigl", "gradual_pruning"
    few, some, many = ([means[name, share] for name in shown] for share in (0.001, 0.003, 0.01))
    dense = dense_on_test_images()
    small = means["dense_small", 0.01]
    says_below_dense(text, dense)
    words = "At one in a thousand {:.0f} % of all links are those of the output layer"
    text.says(words, percent_of_output_layer())
    assert small < min(many)
    assert max(many) < dense.mean() < min(many) + 0.5
    assert np.ptp(many) < 0.2 < np.ptp(some) < np.ptp(few)
    assert len(experiments.CURVE_CHOSEN) == 9  # shown: four, the small dense network, and dense


def says_below_dense(text, dense):
    """With one link in a hundred, paired by seed with ``dense``."""
    ends, rules = on_test_images(), {*METHODS, "fixed"} - {"dense_small"}
    gaps = {name: dense - ends[name, 0.01].loc[: len(dense) - 1].to_numpy() for name in rules}
    sure = {name for name in rules if interval(gaps[name])[1] > 0}
    assert sure == {"fixed", "set"}
    (points,) = {f"{gaps[name].mean():.1f}" for name in sure}
    assert all(interval(gaps[name])[1] < 0 for name in rules - sure)
    assert (len(rules - sure), len(dense)) == (5, 3)
    takeaways = pd.read_csv(ROOT / "docs" / "takeaways.csv").set_index(["notebook", "figure"])
    said = takeaways.loc[("62_few_links", "by_links"), "takeaway"]
    assert f"SET and fixed links end {points} points below dense" in said
    text.says("SET and fixed links end {} points below dense", points)


def says_answer(text):
    """The table on top: leads in points, bold where they differ from zero."""
    ends = on_test_images()
    for density in (0.001, 0.01, 0.1):
        cells = []
        for method in ("set", "rigl", "granet", "gradual_pruning"):
            mean, low, high = lead(ends, method, density)
            bold = "" if low < 0 < high else "**"
            cells.append(f"{bold}{mean:.2f}{bold}".replace("-", "−"))
        assert f"| {100 * density:g} % | {' | '.join(cells)} |" in text.cells[0].source


def test_numbers_of_the_text_follow():
    text = Prose("62_few_links")
    says_answer(text)
    says_at_one_percent(text)
    ends = on_test_images()
    assert lead(ends, "chts", 0.001)[1] < 0 < lead(ends, "chts", 0.003)[1]
    more = ends["gradual_pruning", 0.001] - ends["rigl", 0.001]
    assert interval(more)[1] > 0
    tuned = ablation.leads_of(ablation.before_and_after())["chosen", "fashion_mnist", "set"]
    words = "After 150 epochs, each tuned by itself, SET leads there by {:.2f} points"
    text.says(words, tuned.mean())
    assert max(lead(ends, method, 0.1)[0] for method in METHODS) < 0.5
    dense = dense_on_test_images()
    words = (
        "no lower than the dense network, which has all links and reaches {:.1f} % (three seeds)"
    )
    text.says(words, dense.mean())
    surviving = survive_correction(ends)
    assert ("chts", 0.003) not in surviving
    says_costs()
    assert not text.uncovered()


def survive_correction(ends):
    """Differences from fixed links whose p is below .05 after Holm's correction for all of them."""
    places = list(product(METHODS, DENSITIES))
    p = holm([stats.ttest_1samp(ends[m, d] - ends["fixed", d], 0).pvalue for m, d in places])
    return {place for place, value in zip(places, p, strict=True) if value < 0.05}


def says_costs():
    """Mean links in training over those of the last epoch."""
    cost = {}
    for record in papers.obtain("links_curve", "paper"):
        links = record.metrics["links"]
        cost.setdefault(record.config.method, set()).add(links.mean() / links.iloc[-1])
    above = {method for method, of in cost.items() if min(of) > 1}
    assert above == {"granet", "gradual_pruning"}
    assert all(of == {1} for method, of in cost.items() if method not in above)
