"""Links removed and weights shuffled: what the tables begin and end with, counted links, draws."""

import copy
from functools import cache

import pytest
import torch

from lib import data, models, train
from lib.robustness import attacks, perturb
from papers.adaptive_topology import weight_shuffling
from papers.adaptive_topology.link_removal import link_removal
from papers.adaptive_topology.weight_shuffling import NULL_MODELS, null_ladder
from papers.shared.study import images
from tests.papers.adaptive_topology.measuring import network, record_of, study

MEASURES = {
    "link_removal": link_removal,
    "weight_shuffling": weight_shuffling.weight_shuffling,
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


# null models

LINKS = {"links", "degrees"}
KEPT = {
    "as trained": {*LINKS, "signs", "weights", "inputs", "outputs"},
    "shuffled within signs and inputs": {*LINKS, "signs", "weights", "inputs"},
    "shuffled within signs": {*LINKS, "signs", "weights"},
    "signs alone": {*LINKS, "signs"},
    "shuffled within inputs": {*LINKS, "weights", "inputs"},
    "shuffled within outputs": {*LINKS, "weights", "outputs"},
    "shuffled": {*LINKS, "weights"},
    "links switched": {"degrees", "weights", "inputs"},
    "new links": {"weights"},
}


@pytest.mark.parametrize("name", NULL_MODELS)
def test_null_model_keeps_what_it_should_and_nothing_else(name):
    model = network(0.1)
    changed = NULL_MODELS[name](model, generator=torch.Generator().manual_seed(0))
    before, after = model.linear1.to_dense(), changed.linear1.to_dense()
    quantities = {
        "links": lambda w: w != 0,
        "degrees": lambda w: torch.cat([(w != 0).sum(0), (w != 0).sum(1)]),
        "signs": torch.sign,
        "weights": lambda w: w.flatten().sort().values,
        "inputs": lambda w: w.sort(dim=1).values,  # into each output neuron
        "outputs": lambda w: w.sort(dim=0).values,
    }
    kept = {what for what, of in quantities.items() if torch.equal(of(after), of(before))}
    assert kept == KEPT[name]
    assert torch.equal(changed.linear4.values, model.linear4.values)


@cache
def ladder():
    """The ladder of null models of a small network: the network, its study, a value a row."""
    model, how = network(0.1), study("null_ladder", radii=(0.1,))
    table, _ = null_ladder(how, record_of(model))
    return model, how, table.set_index(["null_model", "measure", "draw"])["value"]


def test_ladder_has_every_null_model_in_its_draws(split):
    _, how, values = ladder()
    draws = values.groupby(["null_model", "measure"]).size().unstack()
    assert set(draws) == {"accuracy", "factor", "accuracy, scaled", "pgd, scaled", "cosine"}
    for name in NULL_MODELS:
        assert set(draws.loc[name]) == {1 if name in ("as trained", "signs alone") else how.draws}


@pytest.mark.parametrize("name", ["as trained", "signs alone", "shuffled"])
def test_null_model_is_scaled_by_training_images_and_then_attacked(name, split):
    model, how, values = ladder()
    x, y = images(how)
    changed = NULL_MODELS[name](model, generator=how.generator(0))
    assert values[name, "accuracy", 0] == train.accuracy(changed, x, y)
    seen = data.stratified(split.x_train, split.y_train, how.images)
    found = {}
    for factor in weight_shuffling.FACTORS:
        scaled = copy.deepcopy(changed)
        for layer in (scaled.linear1, scaled.linear2, scaled.linear3):
            layer.values.data *= factor
        found[factor] = train.accuracy(scaled, *seen), scaled
    factor = values[name, "factor", 0]
    best, scaled = found[factor]
    assert best == max(accuracy for accuracy, _ in found.values())
    assert values[name, "accuracy, scaled", 0] == train.accuracy(scaled, x, y)
    x_adv = attacks.pgd(scaled, x, y, radius=0.1, steps=how.steps, generator=how.generator())
    kept = ~attacks.is_adversarial(scaled, x_adv, y)
    assert values[name, "pgd, scaled", 0] == pytest.approx(kept.float().mean().item())


def test_cosine_of_signs_alone_is_mean_over_root_mean_square(split):
    model, _, values = ladder()
    desired = []
    for layer in (model.linear1, model.linear2, model.linear3):
        weights = layer.values.detach()
        desired.append(float(weights.abs().mean() / weights.square().mean().sqrt()))
    assert values["signs alone", "cosine", 0] == pytest.approx(sum(desired) / 3)
    assert values["as trained", "cosine", 0] == pytest.approx(1)
