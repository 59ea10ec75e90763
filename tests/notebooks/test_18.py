"""What notebook 18 shows and says is what the records say."""

import pandas as pd
import pytest

import papers
from lib._boundary import ROOT
from tests.notebooks.summaries import by_fields, first_links, interval, last_accuracy
from tests.prose import Prose

FIGURES = ROOT / "figures" / "paper"
KEYS = ["experiment", "dataset", "variant", "epochs", "links", "seed"]


def published(name):
    return pd.read_csv(FIGURES / f"{name}.csv")


@pytest.fixture(scope="module")
def leads():
    return published("18_do_moving_links_help/leads")


def test_leads_over_fixed_links_are_those_of_the_records(leads):
    """At the last epoch; in the SET paper's settings the mean of all twelve."""
    rows = []
    for name in leads["experiment"].unique():
        for record in papers.STORE.of(name, "paper"):
            run = record.config
            variant = "mean of settings" if name == "set_ablation_long" else run.variant
            if "test_accuracy" in record.metrics:
                place = name, run.dataset, variant, run.epochs, first_links(record), run.seed
                rows.append((*place, run.method, last_accuracy(record)))
    table = pd.DataFrame(rows, columns=[*KEYS, "method", "value"])
    ends = table.pivot_table("value", KEYS, "method")
    for method in ("set", "rigl"):
        shown = leads.query("method == @method").set_index(KEYS)["value"]
        ahead = (ends[method] - ends["fixed"])[shown.index]
        assert shown.to_numpy() == pytest.approx(ahead.to_numpy(), abs=1e-4)


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
    starts = leads.query("experiment == 'cifar10_start' and variant == 'local start'")["value"]
    words = "From a local start no lead is seen: {:.2f} [{:.2f}, {:.2f}]"
    text.says(words, *interval(starts.to_numpy()))
    for dataset, words in (
        ("fashion_mnist", "ends {:.2f} points ahead of RigL on Fashion-MNIST"),
        ("mnist", "and {:.2f} on MNIST. After 60 epochs no difference"),
    ):
        ends, _ = ends_of_control(dataset, 20)  # finding 2 has the intervals
        text.says(words, (ends["dense_working"] - ends["rigl"]).mean())
    for epochs, dataset in (
        (20, "fashion_mnist"),
        (60, "fashion_mnist"),
        (20, "mnist"),
        (60, "mnist"),
    ):
        ends, links = ends_of_control(dataset, epochs)
        assert 8.5 < links["dense_working"] / links["rigl"] < 10.5
        assert (ends["dense_small"] - ends["rigl"]).mean() < 0
    assert not text.uncovered()
