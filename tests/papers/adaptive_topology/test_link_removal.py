"""Links removed and weights shuffled: what the tables begin and end with, counted links, draws."""

import pandas as pd
import pytest
import torch

from lib import models, train
from lib.papers.adaptive_topology.link_removal import link_removal
from lib.papers.adaptive_topology.weight_shuffling import weight_shuffling
from lib.papers.shared.study import images
from lib.robustness import perturb
from tests.papers.adaptive_topology.measuring import network, record_of, study

MEASURES = {
    "link_removal": link_removal,
    "weight_shuffling": weight_shuffling,
}


def measured(experiment, model, **fields):
    return MEASURES[experiment](study(experiment, **fields), record_of(model))


def test_link_removal_starts_at_the_network_and_ends_at_its_biases(model, split):
    table, _ = measured("link_removal", model, method="dense")
    x, y = images(study("link_removal"))
    assert (table[table["fraction"] == 0]["accuracy"] == train.accuracy(model, x, y)).all()
    bare = perturb.remove_links(model, 1.0, generator=torch.Generator().manual_seed(0))
    whole = table[(table["fraction"] == 1) & (table["scope"] == "all")]
    ends = whole[whole["order"] != "random, equal number"]
    assert (ends["accuracy"] == train.accuracy(bare, x, y)).all() and (ends["paths"] == 0).all()


def test_link_removal_counts_links_and_draws(split):
    model = network(0.1)
    table, _ = measured("link_removal", model, draws=4)
    n = {"linear1": 192, "linear2": 90, "linear3": 60, "all": 342}
    ends = table[table["fraction"] == 1].groupby("scope")["removed"].agg(["min", "max"])
    assert ends["min"].to_dict() == ends["max"].to_dict() == n
    draws = table[table["order"] == "random"].groupby("scope")["draw"].nunique()
    assert draws.to_dict() == {"linear1": 2, "linear2": 2, "linear3": 2, "all": 4}
    half = table[table["fraction"] == 0.5]
    assert (half["removed"] == half["scope"].map(n) // 2).all()


def test_dense_network_also_loses_as_many_links_as_a_sparse_one_has(split):
    model = network(None)
    table, _ = measured("link_removal", model, method="dense")
    equal = table[table["order"] == "random, equal number"]
    assert equal["removed"].max() == round(19.2) + round(9) + round(6)
    assert "random, equal number" not in set(measured("link_removal", model)[0]["order"])


def test_shuffling_leaves_the_network_at_strength_zero(model, split):
    table, _ = measured("weight_shuffling", model)
    x, y = images(study("link_removal"))
    assert (table[table["strength"] == 0]["accuracy"] == train.accuracy(model, x, y)).all()
    kinds = {"shuffle", "noise", "flip signs"}
    kinds |= {"switch links", "new links"} if models.sparse_layers(model) else set()
    assert set(table["kind"]) == kinds


@pytest.mark.parametrize("experiment", MEASURES)
def test_study_repeats_itself_and_leaves_the_model(experiment, model, split):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (measured(experiment, model)[0] for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
