"""Studies of trained networks: their tables, the numbers drawn from them, the checks of attacks."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest
import torch

from lib import data, experiments, models, perturb, robustness, train

SMALL = {"images": 60, "draws": 2, "points": 3, "steps": 4, "restarts": 1, "queries": 10}
LINKS = ("link_removal", "weight_shuffling")


@pytest.fixture(scope="module")
def split():
    return data.load("digits")


def network(density):
    standardisation = torch.tensor(0.3), torch.tensor(0.4)
    net = models.mlp([64, 30, 30, 20, 10], density=density, standardisation=standardisation)
    return net.eval().float()


@pytest.fixture(params=["sparse", "dense"])
def model(request):
    return network({"sparse": 0.1, "dense": None}[request.param])


def study(experiment, method="set", **fields):
    parent = experiments.Config("made", dataset="digits", method=method)
    return experiments.Study(
        experiment, dataset="digits", method=method, parent=parent, **{**SMALL, **fields}
    )


def measured(experiment, model, split, **fields):
    siblings = dict.fromkeys(["set", "fixed"], model)
    return robustness.MEASURES[experiment](
        study(experiment, **fields), model, split, lambda: siblings
    )


def record(experiment, metrics, arrays=None, **fields):
    """What the summaries take of a record: a table with given columns."""
    config = dataclasses.replace(study(experiment), hidden=(30, 30, 20), **fields)
    return types.SimpleNamespace(
        config=config, metrics=pd.DataFrame(metrics), arrays=arrays or {}, widths=(64, 30, 10)
    )


# the images


def test_subset_is_stratified_nested_and_of_the_test_part(split):
    (x, y), (smaller, _) = robustness.subset(split, 100), robustness.subset(split, 40)
    assert torch.equal(x[:40], smaller)
    share = torch.bincount(split.y_test, minlength=10) / len(split.y_test)
    assert ((torch.bincount(y, minlength=10) - 100 * share).abs() <= 1).all()


def test_subset_of_a_split_with_validation_is_of_that_part():
    split = data.load("digits", validation=200)
    x, _ = robustness.subset(split, 5)
    assert all((split.x_valid == image).flatten(1).all(1).any() for image in x)


# links and weights


def test_link_removal_starts_at_the_network_and_ends_at_its_biases(model, split):
    table, _ = measured("link_removal", model, split, method="dense")
    x, y = robustness.subset(split, 60)
    assert (table[table["fraction"] == 0]["accuracy"] == train.accuracy(model, x, y)).all()
    bare = perturb.remove_links(model, 1.0, generator=torch.Generator().manual_seed(0))
    whole = table[(table["fraction"] == 1) & (table["scope"] == "all")]
    ends = whole[whole["order"] != "random, equal number"]
    assert (ends["accuracy"] == train.accuracy(bare, x, y)).all() and (ends["paths"] == 0).all()


def test_link_removal_counts_links_and_draws(split):
    model = network(0.1)
    table, _ = measured("link_removal", model, split, draws=4)
    n = {"linear1": 192, "linear2": 90, "linear3": 60, "all": 342}
    ends = table[table["fraction"] == 1].groupby("scope")["removed"].agg(["min", "max"])
    assert ends["min"].to_dict() == ends["max"].to_dict() == n
    draws = table[table["order"] == "random"].groupby("scope")["draw"].nunique()
    assert draws.to_dict() == {"linear1": 2, "linear2": 2, "linear3": 2, "all": 4}
    half = table[table["fraction"] == 0.5]
    assert (half["removed"] == half["scope"].map(n) // 2).all()


def test_dense_network_also_loses_as_many_links_as_a_sparse_one_has(split):
    model = network(None)
    table, _ = measured("link_removal", model, split, method="dense")
    equal = table[table["order"] == "random, equal number"]
    assert equal["removed"].max() == round(19.2) + round(9) + round(6)
    assert "random, equal number" not in set(measured("link_removal", model, split)[0]["order"])


def test_shuffling_leaves_the_network_at_strength_zero(model, split):
    table, _ = measured("weight_shuffling", model, split)
    x, y = robustness.subset(split, 60)
    assert (table[table["strength"] == 0]["accuracy"] == train.accuracy(model, x, y)).all()
    kinds = {"shuffle", "noise", "flip signs"}
    kinds |= {"switch links", "new links"} if models.sparse_layers(model) else set()
    assert set(table["kind"]) == kinds


@pytest.mark.parametrize("experiment", LINKS)
def test_study_repeats_itself_and_leaves_the_model(experiment, model, split):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (measured(experiment, model, split)[0] for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# attacks


def test_attack_curves_fall_from_the_clean_accuracy(model, split):
    table, arrays = measured("attack_curves", model, split, radii=(0.01, 0.9), radii_l2=(0.1,))
    x, y = robustness.subset(split, 60)
    clean = train.accuracy(model, x, y)
    assert table["accuracy"][0] == pytest.approx(clean)
    attacked = table[table["attack"].isin(["fgsm", "pgd"])]
    assert (attacked["accuracy"] <= clean).all() and len(attacked) == 6
    wrong = train.predict(model, x).argmax(1) != y
    assert ((arrays["deepfool.l2"] == 0) == wrong[:30].numpy()).all()


def test_ensemble_table_has_the_headline_and_the_checks(model, split):
    table, _ = measured("attack_ensemble", model, split, radii=(0.1, 0.2), images=20)
    by_attack = table.groupby("attack").size()
    assert by_attack["square"] == by_attack["apgd_ce"] == 2 and by_attack["square alone"] == 1
    assert list(table[table["attack"] == "pgd steps"]["strength"]) == [1]
    lost = table[table["radius"] == 0.1].set_index("attack")["accuracy"]
    assert lost["square"] <= lost["apgd_dlr"] <= lost["apgd_ce"]


def test_minimal_study_attacks_the_siblings_with_what_it_found(model, split):
    table, arrays = measured("attack_minimal", model, split, radii=(0.2,), images=3)
    assert {"carlini_wagner", "deepfool", "boundary"} == set(arrays)
    transfer = table[table["attack"] == "transfer"].set_index("target")["accuracy"]
    assert transfer["set"] == transfer["fixed"] < 0.6  # the same network here, at a large radius


def test_network_without_gradients_is_counted(split):
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).float().eval()
    torch.nn.init.zeros_(flat[1].weight)
    table, _ = measured("attack_ensemble", flat, split, radii=(0.1,), images=20)
    assert table.set_index("attack")["accuracy"]["zero gradient"] == 1


# numbers a network


def test_area_of_link_removal_is_that_of_the_mean_curve():
    curve = {"fraction": [0, 0.5, 1] * 2, "draw": [0] * 3 + [1] * 3}
    curve |= {"accuracy": [0.9, 0.5, 0.1, 0.9, 0.7, 0.1], "scope": "all", "order": "random"}
    numbers = robustness.sum_up([record("link_removal", curve)]).set_index("measure")["value"]
    assert numbers["removal area random"] == pytest.approx((1 + 2 * (0.5 / 0.8) + 0) / 4)
    assert numbers["removal f50 random"] == pytest.approx(0.5 + 0.5 * (0.1 / 0.5))


def test_layer_shuffle_is_the_mean_of_full_shuffles_of_single_layers():
    rows = {"scope": ["linear1", "linear1", "linear2", "linear2", "linear2", "all", "all"]}
    rows |= {"strength": [0.0, 1.0, 0.0, 0.5, 1.0, 0.0, 1.0], "kind": "shuffle", "within": "all"}
    rows |= {"accuracy": [0.9, 0.2, 0.9, 0.8, 0.4, 0.9, 0.1]}
    found = record("weight_shuffling", rows)
    numbers = robustness.sum_up([found]).set_index("measure")["value"]
    assert numbers["layer shuffle"] == pytest.approx(0.3)
    assert numbers["layer shuffle, relative"] == pytest.approx(0.2 / 0.8)
    assert numbers["shuffle area all"] == pytest.approx(0.5)


def test_pgd_is_taken_at_the_headline_radius():
    rows = {"attack": ["none", "pgd", "pgd"], "norm": ["", "linf", "l2"]}
    rows |= {"radius": [0.0, 0.1, 0.1], "accuracy": [0.9, 0.5, 0.7]}
    distances = {"deepfool.l2": np.array([0, 1, np.inf]), "deepfool.linf": np.array([0, 0, 1])}
    found = record("attack_curves", rows, distances)
    numbers = robustness.sum_up([found]).set_index("measure")["value"]
    assert numbers["pgd"] == 0.5 and numbers["deepfool l2"] == 1 and numbers["deepfool linf"] == 0


def test_tables_name_the_network():
    table = robustness.tables([record("link_removal", {"accuracy": [0.5]}, seed=3)])
    assert table.to_dict("records") == [
        {"accuracy": 0.5, "dataset": "digits", "network": "made", "method": "set", "seed": 3}
    ]
    assert robustness.tables([]).empty


# sanity checks

ENSEMBLE = {
    ("apgd_dlr", 0.1): 0.5, ("square", 0.1): 0.5, ("square alone", 0.1): 0.8,
    ("pgd", 0.1): 0.5, ("fgsm", 0.1): 0.6, ("pgd steps", 0.1): 0.5, ("pgd", 1.0): 0.0,
    ("pgd, logits scaled", 0.1): 0.5,
    ("zero gradient", 0.0): 0.0,
}  # fmt: skip


def checked(**changes):
    """The checks that fail for a table of the ensemble with some accuracies changed."""
    numbers = {**ENSEMBLE, **{tuple(k): v for k, v in changes.get("to", [])}}
    rows = [{"attack": a, "radius": r, "accuracy": v} for (a, r), v in numbers.items()]
    rows += [{"attack": "pgd steps", "radius": 0.1, "accuracy": changes.get("more_steps", 0.5)}]
    table = robustness.check_attacks([], [record("attack_ensemble", rows, radii=(0.1,))])
    return list(table[~table["passed"]]["check"])


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({"more_steps": 0.505}, []),
        ({"more_steps": 0.52}, ["stronger with steps"]),
        ({"to": [(("pgd", 1.0), 0.1)]}, ["all broken at radius 1"]),
        ({"to": [(("square alone", 0.1), 0.4)]}, ["white box as strong as black box"]),
        ({"to": [(("pgd, logits scaled", 0.1), 0.4)]}, ["no scale of the logits breaks more"]),
        ({"to": [(("pgd, logits scaled", 0.1), 0.7)]}, []),
        ({"to": [(("pgd", 0.1), 0.4)]}, ["ensemble as strong as PGD with restarts"]),
        ({"to": [(("zero gradient", 0.0), 0.02)]}, ["no zero gradients"]),
    ],
)
def test_violated_check_is_flagged(changes, failed):
    assert checked(**changes) == failed


@pytest.mark.parametrize(
    ("pgd", "failed"),
    [
        ([0.8, 0.5], []),
        ([0.8, 0.72], ["iterative attack as strong as one step"]),
        ([0.4, 0.5], ["stronger with radius"]),
    ],
)
def test_curves_are_checked_against_one_step_and_smaller_radii(pgd, failed):
    rows = {"attack": ["fgsm", "fgsm", "pgd", "pgd"], "norm": "linf", "radius": [0.1, 0.2] * 2}
    table = robustness.check_attacks(
        [record("attack_curves", rows | {"accuracy": [0.85, 0.7, *pgd]})], []
    )
    assert list(table[~table["passed"]]["check"]) == failed


def test_transfer_stronger_than_the_white_box_is_flagged():
    def found(method, own, other):
        rows = {"attack": "transfer", "target": ["set", "fixed"], "accuracy": [own, other]}
        return record("attack_minimal", rows, method=method)

    table = robustness.check_attacks([], [], [found("set", 0.5, 0.9), found("fixed", 0.3, 0.4)])
    assert dict(zip(table["method"], table["passed"], strict=True)) == {"set": False, "fixed": True}


def test_radii_of_both_norms_are_checked_in_their_order():
    rows = {"norm": ["l2"] * 2 + ["linf"] * 3, "radius": [0.2, 0.5, 0.01, 0.1, 0.2]}
    rows["accuracy"] = [0.9, 0.5, 0.9, 0.5, 0.1]
    table = pd.concat([pd.DataFrame(rows | {"attack": name}) for name in ("fgsm", "pgd")])
    found = robustness.check_attacks([record("attack_curves", table)], [])
    assert found["passed"].all()
