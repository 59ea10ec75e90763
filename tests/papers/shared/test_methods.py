"""Methods and their settings: what each network, method and data set is trained with."""

import dataclasses

import pytest

from lib import models
from papers.shared import methods
from papers.shared.methods import METHODS, PARENTS, profiled, training_runs


@pytest.mark.parametrize("dataset", methods.N_FEATURES)
@pytest.mark.parametrize("hidden", [(1000,) * 3, (1568,) * 3], ids=["1000", "1568"])
@pytest.mark.parametrize("density", [0.001, 0.01])
def test_small_dense_network_is_the_largest_with_no_more_links(hidden, dataset, density):
    n_in = methods.N_FEATURES[dataset]
    sparse = models.count_links(models.mlp((n_in, *hidden, 10), density=density))
    small = methods.small_widths(hidden, dataset, density)
    larger = tuple(n + 1 for n in small)
    links = [models.count_links(models.mlp((n_in, *h, 10))) for h in (small, larger)]
    assert links[0] <= sparse < links[1]


SCALE = {"epochs": {"sparse": 5, "dense": 2}, "seeds": 2, "datasets": ("mnist", "digits")}
NETWORK = methods.NETWORKS["adaptive_topology"]


def test_runs_are_one_for_each_data_set_method_and_seed():
    found = training_runs("x", NETWORK, ["set", "dense"], **SCALE)
    cases = [(run.dataset, run.method, run.seed) for run in found]
    pairs = [(d, m) for d in SCALE["datasets"] for m in ("set", "dense")]
    assert cases == [(*pair, seed) for pair in pairs for seed in range(2)]
    assert {(run.method, run.epochs) for run in found} == {("set", 5), ("dense", 2)}


@pytest.mark.parametrize("method", PARENTS)
def test_network_that_inherits_starts_from_the_same_seed_and_data_set(method):
    for run in training_runs("adaptive_topology", NETWORK, [method], **SCALE):
        parent = run.parent
        assert (parent.method, parent.seed) == (PARENTS[method], run.seed)
        assert (parent.dataset, parent.experiment) == (run.dataset, "adaptive_topology")
        assert parent in training_runs("adaptive_topology", NETWORK, [PARENTS[method]], **SCALE)


@pytest.mark.parametrize("method", ["set", "dense_small", "set_retrained"])
def test_stand_ins_are_the_runs_on_their_own_data_set(method):
    scale = {**SCALE, "datasets": ("mnist",)}
    found = training_runs("adaptive_topology", NETWORK, [method], **scale, fallback="digits")
    scale["datasets"] = ("digits",)
    others = training_runs("adaptive_topology", NETWORK, [method], **scale)
    assert [run.stand_in for run in found] == others
    assert all(run.parent is None or run.parent.stand_in is None for run in found)


def test_settings_of_a_data_set_go_before_those_of_the_network():
    key = ("set_mlp", "set")
    assert methods.chosen_settings(*key, "mnist") == methods.CHOSEN[key]
    assert methods.chosen_settings(*key, "higgs") == methods.CHOSEN_ON[*key, "higgs_sample"]
    assert methods.chosen_settings("unheard_of", "set", "mnist") == {}


def test_support_of_the_final_links_has_as_many_as_set_keeps():
    (run,) = training_runs(
        "set_mlp", methods.ER_20, ["fixed_final"], epochs={"sparse": 1}, seeds=1
    )[:1]
    assert run.er_epsilon == pytest.approx(14) and run.drop is None


@pytest.mark.parametrize("method", sorted({*METHODS} - {"fixed_final"}))  # of er_epsilon alone
def test_smoke_networks_are_narrow_and_on_digits(method):
    (run,) = profiled("adaptive_topology", "smoke", [method])
    assert run.dataset == "digits" and run.epochs == 3
    assert run.hidden == (200,) * 3 or method == "dense_small"
    assert max(run.hidden) <= 200


def test_narrowed_network_is_otherwise_the_same():
    narrow = methods.narrowed(NETWORK)
    assert narrow == {**NETWORK, "hidden": (200, 200, 200)}


def test_variant_and_other_fields_can_be_changed_for_all():
    found = training_runs("x", NETWORK, ["set", "fixed"], **SCALE, variant="published", limit=9)
    assert {(run.variant, run.limit) for run in found} == {("published", 9)}
    plain = [dataclasses.replace(run, variant="tuned", limit=None) for run in found]
    assert plain == training_runs("x", NETWORK, ["set", "fixed"], **SCALE)
