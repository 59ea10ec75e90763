"""Methods and their settings: what each network, method and data set is trained with."""

import pytest

from lib import data, models
from papers.shared import methods
from papers.shared.methods import trainings


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


@pytest.mark.parametrize("method", ["set", "dense_small", "set_retrained"])
def test_stand_ins_are_the_runs_on_their_own_data_set(method):
    settings = {**SETTINGS, "method": [method], "dataset": ["mnist"]}
    found = trainings("x", **settings, fallback={"dataset": "digits"})
    others = trainings("x", **{**settings, "dataset": ["digits"]})
    assert [run.stand_in for run in found] == others
    assert all(run.parent is None or run.parent.stand_in is None for run in found)


def test_runs_that_would_fetch_their_data_first_are_left_out(monkeypatch):
    settings = {**SETTINGS, "method": ["set"], "dataset": ["higgs"], "if_here": True}
    found = []
    for is_here in (False, True):
        monkeypatch.setattr(data, "is_here", lambda name, is_here=is_here: is_here)
        found.append(len(trainings("x", **settings)))
    assert found == [0, 2]
