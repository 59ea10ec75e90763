"""Configurations: profiles, identity of their names, the settings chosen on validation data."""

import dataclasses

import numpy as np
import pytest
import torch

from lib import experiments, methods, models, records, tuning

ALL = [(name, profile) for name in experiments.EXPERIMENTS for profile in experiments.PROFILES]


@pytest.mark.parametrize(("name", "profile"), ALL)
def test_configurations_are_valid_and_distinct(name, profile):
    configs = experiments.configs(name, profile)
    assert len({config.name for config in configs}) == len(configs) > 0
    assert all(config.settings().epochs == config.epochs for config in configs)


@pytest.mark.parametrize("name", ["set_mlp", "adaptive_topology", "adaptive_topology_1568"])
def test_paper_profile_trains_on_all_data_with_five_seeds(name):
    configs = experiments.configs(name, "paper")
    assert {config.seed for config in configs} == set(range(5))
    assert {(c.validation, c.limit, c.fallback) for c in configs} == {(0, None, None)}
    sparse = [c for c in configs if not c.method.startswith("dense")]
    tuned = [c for c in sparse if c.variant == "tuned" and c.dataset.endswith("mnist")]
    assert all(c.epochs >= 150 for c in tuned) and len(tuned) >= 15


@pytest.mark.parametrize("profile", experiments.PROFILES)
def test_tuning_never_evaluates_the_test_part(profile):
    configs = experiments.configs("tuning", profile)
    assert not any(config.evaluate_test for config in configs)
    assert all(config.validation > 0 for config in configs)


@pytest.mark.parametrize("dataset", methods.N_FEATURES)
@pytest.mark.parametrize("hidden", [(1000,) * 3, (1568,) * 3], ids=["1000", "1568"])
def test_small_dense_network_is_the_largest_with_no_more_links(hidden, dataset):
    n_in = methods.N_FEATURES[dataset]
    sparse = models.count_links(models.mlp((n_in, *hidden, 10), density=0.01))
    small = methods.small_widths(hidden, dataset)
    larger = tuple(n + 1 for n in small)
    links = [models.count_links(models.mlp((n_in, *h, 10))) for h in (small, larger)]
    assert links[0] <= sparse < links[1]


@pytest.mark.parametrize(
    "change",
    [{"epochs": "abc"}, {"epochs": 1.5}, {"hidden": 50}, {"dropout": "high"}, {"seed": None}],
)
def test_fields_of_another_type_are_refused(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} = .* is of the wrong type"):
        experiments.Config("x", **change)


def test_identity_does_not_depend_on_how_a_number_is_written():
    written = experiments.Config("x", er_epsilon=20, learning_rate=1, hidden=[10, 10])
    assert (
        written.name
        == experiments.Config("x", er_epsilon=20.0, learning_rate=1.0, hidden=(10, 10)).name
    )


def chosen_and_tried():
    """(experiment, method) of every chosen setting."""
    return [pytest.param(*key, id="-".join(key)) for key in methods.CHOSEN]


@pytest.mark.parametrize(("experiment", "method"), chosen_and_tried())
def test_chosen_settings_are_the_best_of_the_stored_grid(experiment, method):
    chosen = methods.CHOSEN[experiment, method]
    if method not in tuning.tuned_methods(experiment):
        pytest.skip("takes the settings of another method or network, see the table in lib")
    tried = tuning.tuned(experiment, method)
    found = records.records(tried)
    diverged = {"dense_small": 2}.get(method, 0)  # have no record, see tuning.tuning
    assert len(found) == len(tried) - diverged
    best = max(found, key=lambda record: record.metrics["valid_accuracy"].iloc[-1])
    assert {key: getattr(best.config, key) for key in chosen} == chosen


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: experiments.configs("set_mpl", "paper"), "did you mean 'set_mlp'"),
        (lambda: experiments.configs("set_mlp", "papr"), "did you mean 'paper'"),
        (lambda: experiments.Config("x").with_changes({"epoch": 1}), "did you mean 'epochs'"),
        (lambda: experiments.Config("x", epochs=0).settings(), "epochs = 0"),
        (lambda: experiments.Config("x", density=0.1, er_epsilon=2.0), "give one of them"),
        (lambda: experiments.Config("x", method="dense", density=0.1), "has all links"),
        (lambda: experiments.Config("x", optimiser="sdg").settings(), "did you mean 'sgd'"),
        (
            lambda: experiments.Config("x", drop="sgin").settings(),
            "did you mean 'sign'",
        ),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_links_of_the_start_do_not_depend_on_the_standardisation():
    config = experiments.Config("x", density=0.1, hidden=(20, 20))
    plain = config.model((64, 20, 20, 10))
    standardised = config.model((64, 20, 20, 10), (torch.tensor(0.5), torch.tensor(2.0)))
    assert torch.equal(plain.linear2.col, standardised.linear2.col)
    assert plain.linear1.values.dtype == torch.float32


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_headline_radius_is_where_the_dense_network_keeps_half_its_accuracy(dataset):
    found = records.records(experiments.configs("attack_radius", "paper"))
    (record,) = [record for record in found if record.config.dataset == dataset]
    assert record.config.parent.validation > 0 and not record.config.parent.evaluate_test
    table = record.metrics[record.metrics["norm"] != "l2"]
    curve = table[table["attack"].isin(["none", "pgd"])].sort_values("accuracy")
    half = np.interp(curve["accuracy"].max() / 2, curve["accuracy"], curve["radius"])
    assert abs(experiments.HEADLINE_RADIUS[dataset] - half) <= 0.0025  # given to .005


def test_studies_take_the_images_and_radii_of_their_data_set():
    found = experiments.configs("attack_curves", "paper")
    headline = experiments.HEADLINE_RADIUS
    assert all(headline[c.dataset] in c.radii and c.dataset == c.parent.dataset for c in found)
    assert {c.parent.experiment for c in found} == {"adaptive_topology"}
    assert {(c.method, c.seed) for c in found} == {(c.parent.method, c.parent.seed) for c in found}


LINKS = list(experiments._LINKS)
each_study_of_links = pytest.mark.parametrize("experiment", LINKS)


@each_study_of_links
@pytest.mark.parametrize("profile", experiments.PROFILES)
def test_studies_of_links_are_of_the_sparse_networks(experiment, profile):
    parents = [c.parent for c in experiments.configs(experiment, profile)]
    networks = experiments.configs("adaptive_topology", profile)
    methods = {"set", "rigl", "set_random_removal", "fixed"}
    asked = [c for c in networks if c.method in methods]
    assert {c.method for c in asked} == methods and all(c in parents for c in asked)
    assert all((c.density or c.er_epsilon) and c.inherits is None for c in parents)
    trained = {c for c in parents if c.experiment != "adaptive_topology"}
    assert bool(trained) == ((experiment, profile) == ("scale_free", "paper"))


@each_study_of_links
@pytest.mark.parametrize("profile", experiments.PROFILES)
def test_studies_of_links_keep_what_labels_their_parent(experiment, profile):
    found = experiments.configs(experiment, profile)
    names = ("dataset", "method", "variant", "hidden", "seed", "fallback")
    pairs = [[[getattr(c, name) for name in names] for c in (s, s.parent)] for s in found]
    assert all(own == parents for own, parents in pairs) and len(pairs) > 3


def test_degrees_are_studied_in_sets_own_network_on_mnist_with_five_seeds():
    parents = [c.parent for c in experiments.configs("scale_free", "paper")]
    own = [c for c in parents if c.experiment == "set_mlp" and c.dataset == "mnist"]
    seeds = {(c.method, c.variant, c.seed) for c in own}
    kinds = {("set", "tuned"), ("set", "published"), ("fixed", "tuned")}
    assert {(*kind, seed) for kind in kinds for seed in range(5)} <= seeds
    assert not any(c.dataset.startswith("higgs") for c in parents)


def test_siblings_share_profile_data_set_and_seed():
    config = experiments.configs("adaptive_topology", "paper")[7]
    found = experiments.siblings(config)
    assert len({c.method for c in found}) == len(found) == 9 and config in found
    assert {(c.dataset, c.seed, c.epochs > 9) for c in found} == {(config.dataset, 2, True)}
    assert experiments.siblings(experiments.Config("made")) == [experiments.Config("made")]


def test_stand_in_of_a_study_is_attacked_at_its_own_headline_radius(monkeypatch):
    digits = experiments.data.load("digits")
    monkeypatch.setattr(experiments.data, "load", lambda *_, **__: digits)
    for experiment in ("attack_curves", "attack_ensemble", "attack_minimal"):
        configs = [experiments.resolve(c) for c in experiments.configs(experiment, "quick")]
        headline = experiments.HEADLINE_RADIUS["digits"]
        assert all(min(abs(r - headline) for r in c.radii) < 1e-12 for c in configs)
        assert all(c.hidden == c.parent.hidden and c.parent.dataset == "digits" for c in configs)


def test_twins_train_the_very_same_network():
    config = next(c for c in experiments.configs("set_mlp", "paper") if c.method == "dense")
    (twin,) = experiments.twins(config)
    assert twin.experiment == "adaptive_topology" and twin.name != config.name
    assert dataclasses.replace(twin, experiment="set_mlp") == config
    assert experiments.twins(dataclasses.replace(config, learning_rate=0.5)) == []


def test_runs_whose_time_counts_and_studies_have_no_twins():
    for profile in experiments.PROFILES:
        timed = experiments.configs("time_to_accuracy", profile)
        assert not any(experiments.twins(config) for config in timed)
    study = experiments.configs("link_removal", "paper")[0].with_changes({"points": 11})
    assert study.with_changes({"experiment": "weight_shuffling"}).name in {
        c.name for c in experiments.configs("weight_shuffling", "paper")
    }
    assert experiments.twins(study) == []


@pytest.mark.parametrize("key", methods.CHOSEN_ON, ids="-".join)
def test_settings_of_a_data_set_are_the_best_of_its_own_grid(key):
    experiment, method, dataset = key
    if method not in tuning.tuned_methods(experiment, dataset):
        pytest.skip("takes the settings of another method, see the table in lib")
    tried = tuning.tuned(experiment, method, dataset)
    found = records.records(tried)
    assert len(found) == len(tried)
    best = max(found, key=lambda record: record.metrics["valid_accuracy"].iloc[-1])
    chosen = methods.CHOSEN_ON[key]
    assert {name: getattr(best.config, name) for name in chosen} == chosen


def test_quick_profile_leaves_out_what_would_be_fetched_first(monkeypatch):
    monkeypatch.setattr(experiments.data, "is_here", lambda name: name == "higgs_sample")
    found = {c.dataset for c in experiments.configs("set_mlp", "quick")}
    assert found == {"mnist", "fashion_mnist", "higgs_sample"}
    paper = {c.dataset for c in experiments.configs("set_mlp", "paper")}
    assert "cifar10" in paper and "higgs" not in paper
    monkeypatch.setattr(experiments.data, "is_here", lambda name: True)
    assert "higgs" in {c.dataset for c in experiments.configs("set_mlp", "paper")}
