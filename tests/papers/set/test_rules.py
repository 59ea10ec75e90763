"""Growth rules beside each other: tables against numbers worked out by hand."""

import pandas as pd
import pytest
import torch

from lib import evolution
from lib.growth import Site
from lib.papers.set import rules
from tests.papers.untrained import learned, linked

EMPTY = {
    "tuned_courses": rules.tuned_courses,
    "courses": rules.courses,
    "active_neurons": rules.active_neurons,
    "against_links": rules.against_links,
    "costs": rules.costs,
}


@pytest.fixture
def site():
    """Two outputs of two inputs; output 0 has both links, so that only keys 2 and 3 are free."""
    return Site(2, 2, torch.tensor([0, 1]))


def test_first_draws_follow_the_links_of_both_ends(generator):
    site = Site(2, 2, torch.tensor([0]))  # output 0 and input 0 have one link, the others none
    table = rules.first_draws(site, 4000, generator=generator)
    assert table.index.tolist() == [1, 2, 3]
    assert table["expected"].tolist() == pytest.approx([0.4, 0.4, 0.2])
    sd = (0.4 * 0.6 / 4000) ** 0.5
    assert table["share drawn"].tolist() == pytest.approx([0.4, 0.4, 0.2], abs=4 * sd)


def test_first_draws_are_of_free_positions_only(site, generator):
    table = rules.first_draws(site, 10, generator=generator)
    assert table.index.tolist() == [2, 3]
    assert table["share drawn"].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("fraction", "of_sign", "of_size", "shared"),
    [
        (0.5, [1, 2, 3], [1, 2, 3], 1.0),  # one of two negative, two of four positive ones
        (0.34, [2], [1, 2], 0.5),
    ],
)
def test_shared_drops_are_those_of_both_rules(
    fraction, of_sign, of_size, shared, monkeypatch, generator
):
    layer = torch.nn.Module()
    layer.values = torch.nn.Parameter(torch.tensor([-3.0, -0.1, 0.4, 0.5, 0.6, 7.0]))
    monkeypatch.setattr(rules.trained, "network", lambda record: None)
    monkeypatch.setattr(rules.models, "sparse_layers", lambda model: {"linear1": layer})
    for drop, desired in (
        (evolution.drop_per_sign, of_sign),
        (evolution.drop_magnitude, of_size),
    ):
        dropped = drop(layer.values.detach(), fraction, generator=generator)
        assert dropped.nonzero().flatten().tolist() == desired
    assert rules.shared_drops(None, fraction, generator=generator) == [shared]


def test_course_has_the_best_validation_accuracy_of_the_longest_runs():
    grid = [
        learned([0.5, 0.9], decay="cosine"),
        learned([0.5, 0.8], decay="cosine"),
        learned([0.5, 0.7], decay="constant"),
        learned([0.99], decay="constant"),  # shorter
    ]
    table = rules.tuned_courses(grid)
    assert table.loc["set", ["constant", "cosine"]].tolist() == pytest.approx([70, 90])


@pytest.mark.parametrize(
    ("accuracies", "reached", "decided"),
    [
        ([0.951, 0.952, 0.953, 0.952, 0.951], "yes", "reached"),
        ([0.941, 0.942, 0.943, 0.942, 0.941], "no", "missed"),
        ([0.90, 0.99, 0.96, 0.97, 0.95], "yes", "open"),
        ([0.96], "yes", "open"),
    ],
)
def test_target_is_decided_by_the_whole_interval_and_five_seeds(accuracies, reached, decided):
    records = [learned([accuracy], seed=seed) for seed, accuracy in enumerate(accuracies)]
    (row,) = rules.targets(records, {"mnist": 95.0}).to_dict("records")
    assert (row["mean reaches it"], row["decided"]) == (reached, decided)
    assert row["n"] == len(accuracies)


def test_only_data_sets_with_a_goal_have_a_target():
    records = [learned([0.9], dataset="mnist"), learned([0.9], dataset="cifar10")]
    assert rules.targets(records, {"mnist": 95.0})["dataset"].tolist() == ["MNIST"]


def test_courses_are_compared_where_a_seed_has_both():
    both = [
        learned([0.94], drop="sign", decay="cosine"),
        learned([0.92], drop="sign", decay="constant"),
        learned([0.99], drop="sign", decay="cosine", seed=1),
        learned([0.99], drop=None, method="fixed"),
    ]
    table = rules.courses(both)
    assert table.index.tolist() == [("mnist", "set", 0)]
    row = table.iloc[0]
    assert row["cosine minus constant"] == pytest.approx(2)
    assert row["constant, after the last update"] == pytest.approx(92)
    assert table.columns.name is None
    means = rules.mean_courses(table)
    assert means["n"].tolist() == [1] and means["mean"].tolist() == pytest.approx([2])


def test_active_neurons_have_a_link_in_and_a_link_out():
    first = [[1, 0, 1], [0, 0, 0], [1, 0, 0], [1, 1, 1]]  # output 1 has no link in
    second = [[1, 1, 0, 1], [0, 0, 0, 0]]  # its input 2 has no link out
    third = [[1, 1]]
    record = linked([first, second, third])
    row = rules.active_neurons([record]).iloc[0]
    assert row[["hidden 1", "hidden 2", "hidden 3"]].tolist() == [0.5, 0.5, 1]
    assert row["pixels"] == 1
    assert row[["most links in, 1", "most links in, 2", "most links in, 3"]].tolist() == [3, 3, 2]


def test_costs_are_minutes_change_of_links_and_last_loss():
    records = [learned([0.1, 0.2], links=[100, 90], seconds=120.0), learned([0.1, 0.2], seed=1)]
    row = rules.costs(records).loc[("mnist", "set")]
    assert row["minutes"] == 1.5
    assert row["largest change"] == 10
    assert row["training loss"] == 0.5


def test_accuracy_stands_against_links_in_one_panel():
    table = rules.against_links([learned([0.9], links=7), learned([0.8], links=5)])
    assert table["links_training"].tolist() == [7, 5]
    assert table["last_accuracy"].tolist() == [0.9, 0.8]
    assert table["panel"].nunique() == 1


@pytest.mark.parametrize("name", EMPTY)
def test_tables_of_no_records_are_empty(name):
    table = EMPTY[name]([])
    assert isinstance(table, pd.DataFrame) and table.empty
    assert rules.targets([], {"mnist": 95.0}).empty
