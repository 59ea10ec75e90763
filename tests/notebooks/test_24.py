"""Notebook 24: every number of its text follows from the records."""

import numpy as np
import pandas as pd

import papers
from lib.report.intervals import holm, p_value, t_interval, two_way_interval
from papers.adaptive_topology.experiments import RECIPES
from papers.adaptive_topology.studies import ENSEMBLE_IMAGES
from tests.prose import Prose

MN, FM = "mnist", "fashion_mnist"


def numbers(of_trials: bool = False) -> pd.DataFrame:
    """A row a network: percent right, under the ensemble, and of the links that can go; of all
    networks but the trials, or of these, whose test images stay unseen.
    """
    rows = []
    for record in papers.obtain("robust_summary", "paper"):
        run, table = record.config, record.metrics
        if run.parent.evaluate_test != of_trials:
            curve = table[table["measure"] == "removal"].groupby("strength")["value"].mean() - 0.1
            k = np.flatnonzero(curve < curve.iloc[0] / 2)[0]
            ends = curve.index[[k, k - 1]], curve.iloc[[k, k - 1]]
            row = {"dataset": run.dataset, "method": run.method, "recipe": run.variant}
            (of_images,) = table.loc[table["measure"] == "accuracy", "value"]
            accuracy = of_images if of_trials else record.environment["final"]["test_accuracy"]
            row |= {"seed": run.seed, "accuracy": 100 * accuracy}
            row["attacked"] = 100 * record.arrays["ensemble linf"].mean()
            row["half removed"] = 100 * (curve[0.5] + 0.1)
            row["can go"] = 100 * np.interp(curve.iloc[0] / 2, ends[1], ends[0])
            rows.append(row)
    return pd.DataFrame(rows).set_index(["dataset", "method", "recipe", "seed"]).sort_index()


def test_numbers_of_the_text_follow_from_the_records():
    text, table = Prose("24_make_it_robust"), numbers()
    means = table.groupby(["dataset", "method", "recipe"]).mean()
    attacked, can_go = means["attacked"], means["can go"]
    found = [attacked[MN, "rigl", recipe] for recipe in ("attacked examples", "tuned")]
    text.says(
        "keeps {:.0f} % of MNIST under attack, where the tuned network keeps {:.0f} %", *found
    )
    text.says("RigL rises from {:.0f} % to {:.0f} % under attack on MNIST", *found[::-1])
    found = [attacked[FM, "rigl", recipe] for recipe in ("tuned", "attacked examples")]
    text.says("On Fashion-MNIST it rises from {:.0f} % to {:.0f} %", *found)
    found = [can_go[MN, "rigl", recipe] for recipe in ("links left out", "tuned")]
    text.says("only when {:.0f} % of its links are gone", found[0])
    text.says("until {:.0f} % of the links are gone on MNIST, instead of {:.0f} %", *found)
    accuracy = means["accuracy"]

    def cost(dataset, recipe):
        return accuracy[dataset, "rigl", "tuned"] - accuracy[dataset, "rigl", recipe]

    costs = [cost(dataset, "links left out") for dataset in (MN, FM)]
    text.says("Links left out cost {:.1f} and {:.1f} points", *costs)
    more = attacked[FM, "rigl", "links left out"] - attacked[FM, "rigl", "tuned"]
    text.says("it adds {:.0f} points.", more)
    grown = attacked[MN, "rigl", "growth by attacked examples"] - attacked[MN, "rigl", "tuned"]
    text.says("growth by attacked examples adds {:.0f} points under the ensemble", grown)
    for dataset in (MN, FM):
        assert attacked[dataset, "rigl"].drop("both").idxmax() == "attacked examples"
    found = [can_go[MN, "rigl", recipe] for recipe in ("attacked examples", "tuned")]
    text.says("when {:.0f} % of the links are gone, instead of {:.0f} %", *found)
    leads = leads_of_rigl()
    words = "RigL is {:.1f} points behind there, and {:.1f} on MNIST"
    text.says(words, -leads["tuned", FM].value, -leads["tuned", MN].value)
    assert leads["tuned", FM].high < leads["tuned", MN].high < 0 and len(leads) == 6
    _says_what_dropout_and_length_do(text)
    found = [leads["attacked examples", dataset].value for dataset in (MN, FM)]
    text.says("RigL is {:.1f} points ahead on MNIST, and {:.1f} on Fashion-MNIST. Taken", *found)
    alone = leads_of_rigl(family=1)
    assert alone["attacked examples", MN].low > 0 > alone["attacked examples", FM].low
    for dataset in (MN, FM):
        lead = leads["attacked examples", dataset]
        assert lead.low < 0 < lead.high
        assert accuracy[dataset, "dense"].drop("tuned").gt(accuracy[dataset, "rigl"]).sum() == 2
    assert leads["links left out", FM].low > 0
    assert leads["links left out", MN].low < 0 < leads["links left out", MN].high
    harm = table.loc[FM, "dense", "links left out"] - table.loc[FM, "dense", "tuned"]
    text.says("Dense loses {:.0f} by it", -harm["attacked"].mean())
    assert t_interval(harm["attacked"]).high < 0
    for dataset in (MN, FM):
        assert can_go[dataset, "dense", "tuned"] > can_go[dataset, "rigl", "tuned"]
    words = "It loses half of its accuracy on MNIST at {:.0f} %, RigL at {:.0f} %"
    text.says(words, *(can_go[MN, method, "tuned"] for method in ("dense", "rigl")))
    removed = means["half removed"].xs("links left out", level="recipe")
    assert all(removed[dataset, "dense"] > removed[dataset, "rigl"] for dataset in (MN, FM))
    found = [removed[MN, method] for method in ("dense", "rigl")]
    text.says("dense has {:.0f} % of MNIST and RigL {:.0f} %", *found)
    found = [removed[FM, method] for method in ("dense", "rigl")]
    text.says("On Fashion-MNIST it is {:.0f} % and {:.0f} %. Later RigL", *found)
    words = (
        "half of its accuracy on MNIST when {:.0f} % of its links are gone, and RigL when {:.0f} %"
    )
    text.says(words, *(can_go[MN, method, "links left out"] for method in ("dense", "rigl")))
    found = [can_go[FM, method, "links left out"] for method in ("dense", "rigl")]
    text.says("On Fashion-MNIST it is {:.0f} % and {:.0f} %. There each", *found)
    text.says("Attacks met {} images only", ENSEMBLE_IMAGES)
    text.says("the other 99 % of the links")
    text.says("Our ensemble has {} images", ENSEMBLE_IMAGES)
    _says_how_settings_were_chosen(text)
    assert not text.uncovered()


def leads_of_rigl(family=6):
    """Over dense under the ensemble, points, by recipe and data set, both trained alike, for other
    seeds and images; the intervals of so many leads hold together.
    """
    right = {}
    for record in papers.obtain("robust_summary", "paper"):
        run, images = record.config, record.arrays["ensemble linf"].astype(float)
        if run.parent.evaluate_test:
            right.setdefault((run.variant, run.dataset), {})[run.method, run.seed] = images
    gaps = {}
    for place, of in right.items():
        seeds = sorted(seed for method, seed in of if method == "dense")
        if seeds:
            assert seeds == [0, 1, 2]
            gaps[place] = np.stack([of["rigl", seed] - of["dense", seed] for seed in seeds])
    level = 1 - 0.05 / family
    return {place: two_way_interval(100 * gap, level=level) for place, gap in gaps.items()}


def _says_what_dropout_and_length_do(text):
    runs = papers.EXPERIMENTS["robust_summary"].runs("paper")
    tuned = [run for run in runs if run.variant == "tuned"]
    dropout = {run.method: run.parent.dropout for run in tuned}
    assert all(run.parent.dropout == dropout[run.method] for run in tuned)
    epochs = {run.parent.epochs for run in tuned}
    text.says("These networks trained for {} epochs. After {} epochs PGD shows no", *epochs, 150)
    text.says("or far behind (finding 4)")  # its test has both
    kept = {}
    for record in papers.STORE.records(tuned):
        run = record.config
        for radius in run.radii[1:]:
            images = record.arrays[f"pgd linf {radius:g}"].astype(float)
            kept[run.dataset, radius, run.method, run.seed] = images
    for radius in {radius for dataset, radius, *_ in kept if dataset == MN}:
        of = [[kept[MN, radius, method, seed] for seed in range(3)] for method in dropout]
        lead = two_way_interval(100 * np.subtract(*of))
        assert lead.low < 0 < lead.high


def _says_how_settings_were_chosen(text):
    tried = numbers(of_trials=True).reset_index()
    runs = papers.EXPERIMENTS["robust_summary"].runs("paper")
    images = {run.images for run in runs if not run.parent.evaluate_test}
    text.says("measured on {:,} images, of which {} were attacked", *images, ENSEMBLE_IMAGES)
    chosen = RECIPES["links left out"]["drop_connect"]
    assert chosen == 0.5  # at most half of them
    for _, part in tried.groupby("dataset"):
        of = part.set_index("recipe")
        left_out = [f"links left out, drop_connect {share:g}" for share in (0.4, chosen, 0.6)]
        assert of.loc[left_out, "can go"].is_monotonic_increasing
        assert of.loc[left_out[2], "accuracy"] < of.loc[left_out[1], "accuracy"]
        slower = f"{left_out[1]}, learning_rate 0.03"
        assert of.loc[slower, "can go"] < of.loc[left_out[1], "can go"]
        small, large = (f"attacked examples, learning_rate {rate:g}" for rate in (0.1, 0.3))
        assert of.loc[large, "attacked"] > of.loc[small, "attacked"]
        assert of.loc[large, "can go"] < of.loc[small, "can go"]
    assert RECIPES["attacked examples"]["learning_rate"] == 0.3


def test_the_cost_of_attacked_examples_on_mnist_does_not_differ_from_zero():
    accuracy = numbers()["accuracy"].xs("rigl", level="method").unstack("recipe")
    gaps = accuracy.drop(columns="tuned").sub(accuracy["tuned"], axis=0)
    p = {
        (dataset, recipe): p_value(part[recipe].dropna())
        for dataset, part in gaps.groupby("dataset")
        for recipe in gaps
    }
    assert len(p) == 10
    corrected = dict(zip(p, holm(list(p.values())), strict=True))
    assert corrected[MN, "attacked examples"] > 0.05 > corrected[FM, "attacked examples"]


def test_networks_of_rigl_come_from_an_earlier_training_step():
    runs = papers.EXPERIMENTS["robust_summary"].runs("paper")
    parents = [run.parent for run in runs if run.parent.evaluate_test]
    versions, anew = {}, []
    for record in papers.STORE.records(parents):
        versions.setdefault(record.config.method, set()).add(record.numerics)
        if (record.config.method, record.numerics) == ("rigl", 2):
            anew.append(record.config.variant)
    assert versions == {"rigl": {1, 2}, "dense": {1, 2}}
    assert anew == ["growth by attacked examples"]


def test_links_left_out_let_rigl_lose_more_on_fashion_mnist():
    can_go = numbers()["can go"].xs((FM, "links left out"), level=("dataset", "recipe"))
    rigl, dense = (can_go.xs(method, level="method") for method in ("rigl", "dense"))
    assert (len(rigl), len(dense)) == (5, 3) and rigl.min() > dense.max()
