"""Leads that notebook 18 puts beside each other are those of the notebooks that it names."""

from functools import partial
from itertools import product

import pandas as pd
import pytest

from lib._boundary import ROOT
from tests.notebooks.summaries import by_fields, first_links, interval
from tests.notebooks.test_11 import leads_of_new_seeds
from tests.prose import Prose

# two accuracies that are published with six digits, times 100
is_same = partial(
    pd.testing.assert_series_equal, atol=0.006, rtol=0, check_names=False, check_index_type=False
)
FIGURES = ROOT / "figures" / "paper"
KEYS = ["dataset", "links", "method", "seed"]


def published(name):
    return pd.read_csv(FIGURES / f"{name}.csv")


@pytest.fixture(scope="module")
def leads():
    return published("18_do_moving_links_help/leads")


def tuned_or_not(tuning):
    """Of notebook 11; networks have 37,840 links."""
    rows = published("11_set_ablation/leads_tuned").query("tuning == @tuning")
    return rows.assign(links=37840)


def new_seeds():
    """Of notebook 11's records, seed by seed; its table has their means."""
    parts = [
        pd.DataFrame({"value": lead, "method": method, "seed": range(5, 10)})
        for method, lead in leads_of_new_seeds().items()
    ]
    return pd.concat(parts).assign(dataset="fashion_mnist", links=37840)


def with_or_without_decay(decay):
    """Of notebook 11; its wide networks without decay are of another experiment."""
    return published("11_set_ablation/leads_without_decay").query("decay == @decay")


def mean_of_twelve_settings():
    rows = published("11_set_ablation/longer_gaps").query("epoch == 300")
    return rows.assign(links=125680, method="set")


def by_links():
    """Leads of notebook 62, from its accuracies."""
    rows = published("62_few_links/by_links")
    place = ["dataset", "links", "seed"]
    fixed = rows.query("method == 'fixed'").set_index(place)["value"].rename("fixed")
    rows = rows.query("method in ['set', 'rigl']").merge(fixed, left_on=place, right_index=True)
    return rows.assign(value=100 * (rows["value"] - rows["fixed"]))


def of_notebook_10(dataset):
    rows = published("10_set_mlp/gains").query("method == 'fixed' and dataset == @dataset")
    links = {"cifar10": 381440, "higgs_sample": 102560}.get(dataset, 125680)
    return rows.assign(links=links, method="set", value=rows["points"])


@pytest.mark.parametrize(
    ("experiment", "elsewhere"),
    [
        ("regularisation", lambda: tuned_or_not("tuned for each")),
        ("other_seeds", new_seeds),
        ("adaptive_topology", lambda: tuned_or_not("one decay for all")),
        ("without_decay", lambda: with_or_without_decay("without").query("links != 77145")),
        ("set_ablation_long", mean_of_twelve_settings),
        ("links_curve", by_links),
        ("set_mlp_long", lambda: of_notebook_10("cifar10")),
        (
            "set_mlp",
            lambda: pd.concat(map(of_notebook_10, ["mnist", "fashion_mnist", "higgs_sample"])),
        ),
    ],
)
def test_leads_are_those_of_the_notebook_that_is_named(leads, experiment, elsewhere):
    ours = leads.query("experiment == @experiment").set_index(KEYS)["value"]
    theirs = elsewhere().set_index(KEYS)["value"]
    assert len(ours)
    is_same(ours.sort_index(), theirs.sort_index())


def test_the_wide_networks_lead_as_in_notebook_11(leads):
    """Where it has them: those of which it has no decay too."""
    wide = with_or_without_decay("with decay").query("links == 77145").set_index(KEYS)["value"]
    ours = leads.query("experiment == 'adaptive_topology_1568'").set_index(KEYS)["value"]
    assert len(wide)
    is_same(ours[wide.index], wide)


def test_starts_lead_as_in_notebook_60(leads):
    rows = published("60_accuracy_at_one_percent/start_or_rule")
    wide = rows.pivot_table("value", ["variant", "seed"], "method")
    theirs = 100 * (wide["rigl"] - wide["fixed"]).dropna().drop("places shuffled")
    ours = leads.query("experiment == 'cifar10_start'").set_index(["variant", "seed"])["value"]
    assert len(ours)
    is_same(ours.sort_index(), theirs.sort_index())


def ends_of_control(dataset, epochs):
    """Percent at the end, seeds in order, and links, both by method."""
    ends, links = {}, {}
    at = {"dataset": dataset, "epochs": epochs}
    for name in ("training_length", "adaptive_topology", "working_widths"):
        ends |= by_fields(name, "method", **at)
        links |= by_fields(name, "method", first_links, **at)
    return ends, {method: of[0] for method, of in links.items()}


def test_the_dense_control_is_drawn_beside_networks_of_as_many_epochs():
    rows = published("18_do_moving_links_help/disguise").sort_values("seed")
    assert set(rows["method"]) == {"dense_small", "fixed", "dense_working", "dense"}
    for (dataset, epochs, method), of in rows.groupby(["dataset", "epochs", "method"]):
        ends, _ = ends_of_control(dataset, epochs)
        ahead = ends[method] - ends["rigl"][: len(of)]
        assert of["value"].to_numpy() == pytest.approx(ahead, abs=1e-4), (dataset, epochs, method)


def test_numbers_of_the_text_are_shown(leads):
    text = Prose("18_do_moving_links_help")
    shares = leads.set_index("experiment")["share"]
    text.says("With {:.1f} % of the links on Fashion-MNIST SET", shares["regularisation"].iloc[0])
    by_density = leads.query("experiment == 'links_curve'").groupby("variant")
    shares = by_density["share"].first()
    chosen, most = shares["density 0.01"], shares.idxmax()
    text.says("With {:.2f} % of the links RigL leads by", shares.min())
    text.says("*tuned at {:.1f} %*: the same, with {:.1f} % of the links", chosen, chosen)
    text.says("Their settings were chosen with {:.1f} % of the links", chosen)
    text.says("With {:.1f} % no such lead is seen after 40 epochs", chosen)
    for _, lead in by_density.get_group(most).groupby("method")["value"]:
        words = "and with {:.0f} % SET and RigL lead by {:.1f} points"
        text.says(words, shares[most], lead.mean())
    on_fashion = leads.query("dataset == 'fashion_mnist' and links == 37840 and method == 'set'")
    undecayed = on_fashion.query("experiment == 'without_decay'")["value"].mean()
    text.says("and without weight decay by {:.2f}. So", undecayed)
    starts = leads.query("experiment == 'cifar10_start' and variant == 'local start'")["value"]
    words = "From a local start no lead is seen: {:.2f} [{:.2f}, {:.2f}]"
    text.says(words, *interval(starts.to_numpy()))
    for dataset, words in (
        ("fashion_mnist", "ends {:.2f} points ahead of RigL on Fashion-MNIST"),
        ("mnist", "and {:.2f} on MNIST. After 60 epochs no difference"),
    ):
        ends, _ = ends_of_control(dataset, 20)  # finding 2 has the intervals
        text.says(words, (ends["dense_working"] - ends["rigl"]).mean())
    for epochs, dataset in product((20, 60), ("fashion_mnist", "mnist")):
        ends, links = ends_of_control(dataset, epochs)
        assert 8.5 < links["dense_working"] / links["rigl"] < 10.5
        assert (ends["dense_small"] - ends["rigl"]).mean() < 0
    ends, _ = ends_of_control("fashion_mnist", 20)
    behind = (ends["rigl"] - ends["dense_small"]).mean()
    text.says("behind RigL on both sets, by {:.2f} points on Fashion-MNIST", behind)
    assert not text.uncovered()
