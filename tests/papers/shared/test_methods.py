"""Methods and their settings: what each network, method and data set is trained with."""

import pytest

from lib import data, models
from papers.shared import methods
from papers.shared.methods import METHODS, PARENTS, profiled, trainings


@pytest.mark.parametrize(
    ("dataset", "hidden", "density"),
    [
        ("digits", (1000,) * 3, 0.01),
        ("digits", (1568,) * 3, 0.001),
        ("mnist", (1000,) * 3, 0.001),
        ("fashion_mnist", (1568,) * 3, 0.01),
    ],
)
def test_small_dense_network_is_the_largest_with_no_more_links(hidden, dataset, density):
    n_in = methods.N_FEATURES[dataset]
    sparse = models.count_links(models.mlp((n_in, *hidden, 10), density=density))
    small = methods.small_widths(hidden, dataset, density)
    larger = tuple(n + 1 for n in small)
    links = [models.count_links(models.mlp((n_in, *h, 10))) for h in (small, larger)]
    assert links[0] <= sparse < links[1]


SETTINGS = {**methods.NETWORKS["adaptive_topology"], "tuned_as": "adaptive_topology"}
SETTINGS |= {"dataset": ["mnist", "digits"], "epochs": {"dense": 2, "others": 5}, "seed": range(2)}


@pytest.mark.parametrize("method", PARENTS)
def test_network_that_inherits_starts_from_the_same_seed_and_data_set(method):
    parents = trainings("x", **SETTINGS, method=[PARENTS[method]])
    assert [run.parent for run in trainings("x", **SETTINGS, method=[method])] == parents


@pytest.mark.parametrize("method", ["set", "dense_small", "set_retrained"])
def test_stand_ins_are_the_runs_on_their_own_data_set(method):
    settings = {**SETTINGS, "method": [method], "dataset": ["mnist"]}
    found = trainings("x", **settings, fallback={"dataset": "digits"})
    others = trainings("x", **{**settings, "dataset": ["digits"]})
    assert [run.stand_in for run in found] == others
    assert all(run.parent is None or run.parent.stand_in is None for run in found)


def test_settings_of_a_data_set_go_before_those_of_the_network():
    chosen = methods.chosen_settings("adaptive_topology", "set", "fashion_mnist")
    usual = methods.CHOSEN["adaptive_topology", "set"]
    assert usual["dropout"] != 0.3 and chosen == {**usual, "dropout": 0.3}
    higgs = [methods.chosen_settings("set_mlp", "set", name) for name in ("higgs", "higgs_sample")]
    assert higgs[0] == higgs[1] != methods.CHOSEN["set_mlp", "set"]
    assert methods.chosen_settings("unheard_of", "set", "mnist") == {}


def test_support_of_the_final_links_has_as_many_as_set_keeps():
    settings = {**methods.ER_20, "dataset": ["mnist"], "seed": range(1)}
    ours, fixed = trainings("x", **settings, method=["set", "fixed_final"])
    kept = ours.er_epsilon * (1 - ours.drop_fraction)
    assert fixed.er_epsilon == pytest.approx(kept) and fixed.drop is None


@pytest.mark.parametrize("method", sorted({*METHODS} - {"fixed_final"}))  # of er_epsilon alone
def test_smoke_networks_are_narrow_and_on_digits(method):
    (run,) = profiled("adaptive_topology", "smoke", [method])
    assert run.dataset == "digits" and run.epochs == 3
    assert run.hidden == (200,) * 3 or method == "dense_small"
    assert max(run.hidden) <= 200


def test_runs_that_would_fetch_their_data_first_are_left_out(monkeypatch):
    settings = {**SETTINGS, "method": ["set"], "dataset": ["higgs"], "if_here": True}
    found = []
    for is_here in (False, True):
        monkeypatch.setattr(data, "is_here", lambda name, is_here=is_here: is_here)
        found.append(len(trainings("x", **settings)))
    assert found == [0, 2]
