"""Notebook 61, its section on corruptions: every number of its text follows from records."""

from functools import cache

import papers
from lib.report.claims import against, intervals
from lib.robustness import attacks
from lib.robustness.attacks.corruptions import SEVERITIES as ALL_SEVERITIES
from papers.adaptive_topology.adversarial_attacks import KINDS, SEVERITIES
from tests.notebooks import test_11 as ablation

SETS = ("mnist", "fashion_mnist")
STUDIES = papers.EXPERIMENTS["corrupted"].runs("paper")
LARGER = {study.parent.density for study in STUDIES if study.variant != "tuned"}


@cache
def tuned():
    """Accuracies with every kind, of networks with 1 % of the links or a dense one."""
    rows = papers.frame("corrupted", "paper").query("severity > 0")
    return rows[rows["variant"] == "tuned"]


@cache
def earlier():
    """The same of networks that were trained longer, with fewer kinds."""
    return papers.frame("attack_curves", "paper").query("attack in @KINDS")


def gaps(rows, other, method="rigl", keys=("dataset",)):
    """The interval of the method minus another by data set, in points."""
    means = rows.groupby([*keys, "method", "seed"], observed=True)["value"].mean().reset_index()
    rows = against(means, other, keys=list(keys)).query("method == @method")
    table = intervals(rows.assign(value=100 * rows["value"]), keys, family=1)
    return table.set_index(list(keys))


def says_what_corruptions_leave(text):
    """What :mod:`tests.notebooks.test_61` asks of this section."""
    kinds = len(attacks.CORRUPTIONS)
    text.says("15 kinds, most of them in {} severities", len(ALL_SEVERITIES))
    text.says("We make {} of them", kinds)
    (longer,) = earlier().loc[earlier()["method"] == "rigl", "epochs"].unique()
    words = "trained for {} epochs, has {} of the kinds at {} severities"
    text.says(words, longer, len(KINDS), len(SEVERITIES))
    small = gaps(tuned(), "dense_small")["value"]
    of_set = gaps(tuned(), "fixed", method="set")
    assert of_set["low"]["mnist"] > 0.5 and -0.1 < of_set["low"]["fashion_mnist"] < 0.1
    words = "RigL leads the small dense network by {:.1f} points on MNIST, and trails it by {:.1f}"
    text.says(words, small["mnist"], -small["fashion_mnist"])
    says_what_more_links_leave(text)
    all_links = gaps(tuned(), "dense")
    assert (all_links["n"] == 3).all() and all_links["value"]["mnist"] > 0
    dense = gaps(earlier(), "dense")["value"]
    words = "leads even the dense network with all links on MNIST, by {:.1f} points"
    text.says(f"After {longer} epochs RigL {words}", dense["mnist"])
    text.says("On Fashion-MNIST it trails by {:.1f}", -dense["fashion_mnist"])
    hazy = tuned().query("kind in ['fog', 'glass_blur', 'motion_blur'] and dataset == 'mnist'")
    assert not set(hazy["kind"]) & set(KINDS)
    assert (gaps(hazy, "dense_small", keys=["kind"])["high"] < 0).all()
    wide = gaps(hazy, "dense", keys=["kind"])
    assert len(wide) == 3 and (wide["low"] < 0).all() and (wide["high"] > 0).all()


def says_what_more_links_leave(text):
    """RigL and fixed links with 1 and 5 % of the links, paired by seed."""
    (larger,) = LARGER
    rows = papers.frame("corrupted", "paper", "density").query("severity > 0")
    rows = rows[rows["method"].isin(["rigl", "fixed"])]
    rows = rows.assign(network=rows["method"].astype(str) + rows["density"].map(" {:g}".format))
    means = 100 * rows.groupby(["dataset", "seed", "network"], observed=True)["value"].mean()
    of_network = means.unstack()
    few, many = of_network["rigl 0.01"], of_network[f"rigl {larger:g}"]
    ahead = (few - of_network[f"fixed {larger:g}"])["mnist"]
    assert ablation.interval(ahead.to_numpy())[1] > 0
    gained = {dataset: ablation.interval((many - few)[dataset].to_numpy()) for dataset in SETS}
    assert gained["fashion_mnist"][1] > 0 > gained["mnist"][1]
    words = "Five times the links gain RigL {:.1f} points on Fashion-MNIST"
    text.says(words, gained["fashion_mnist"][0])
    text.says("On MNIST the gain of {:.1f} points may be zero", gained["mnist"][0])
    assert larger == 5 * 0.01


def test_fog_and_brightness_cost_most():
    by_kind = gaps(tuned(), "dense_small", keys=("dataset", "kind"))["value"]
    for dataset in ("mnist", "fashion_mnist"):
        assert set(by_kind[dataset].nsmallest(2).index) == {"fog", "brightness"}
    assert by_kind["mnist"].idxmax() == by_kind["fashion_mnist"].idxmax() == "stripe"
