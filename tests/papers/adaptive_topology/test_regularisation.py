"""Decay and dropout tried together: the same for every sparse method, and the best is chosen."""

from itertools import product

import pandas as pd
import pytest

from lib.runs.experiment import PROFILES
from papers import STORE
from papers.adaptive_topology import experiments
from papers.adaptive_topology.experiments import (
    BEST,
    DECAY_DROPOUTS,
    DECAYS,
    DIVERGED,
    EXTENDED,
    TRIED,
)

SPARSE = ("fixed", "set", "rigl")


def best(records):
    """The setting of the highest validation accuracy at the last epoch, mean over seeds, by method
    and data set; of equal ones the weakest decay, then the weakest dropout.

    Args:
        records: of ``regularisation``; networks that were chosen are left out.
    """
    rows = []
    for record in records:
        run = record.config
        if run.variant != "chosen":
            value = record.metrics["valid_accuracy"].iloc[-1]
            rows.append((run.method, run.dataset, run.weight_decay, run.dropout, value))
    table = pd.DataFrame(rows, columns=["method", "dataset", "decay", "dropout", "value"])
    means = table.groupby(["method", "dataset", "decay", "dropout"])["value"].mean()
    found = {}
    for place, values in means.groupby(["method", "dataset"]):
        *_, decay, dropout = values.idxmax()
        found[place] = float(decay), float(dropout)
    return found


def extension(settings, best):
    """What is tried next where the best of some settings stands on their edge: the next value of
    :data:`DECAYS`, with every dropout tried, or of :data:`DECAY_DROPOUTS`, with every decay tried.
    It is empty where the best is inside, or at the end of these.
    """
    decays, dropouts = (set(values) for values in zip(*settings, strict=True))
    more = product(beyond(decays, best[0], DECAYS), dropouts)
    return sorted([*more, *product(decays, beyond(dropouts, best[1], DECAY_DROPOUTS))])


def beyond(values, best, scale):
    """The value of a scale next to the best one, on the side where nothing was tried."""
    place = scale.index(best)
    neighbours = []
    if best == max(values) and place + 1 < len(scale):
        neighbours.append(scale[place + 1])
    if best == min(values) and place > 0:
        neighbours.append(scale[place - 1])
    return neighbours


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_tried_never_sees_the_test_part(profile):
    runs = experiments.settings_tried(profile)
    assert runs and not any(run.evaluate_test for run in runs)
    assert all(run.validation > 0 for run in runs)


def test_every_sparse_method_is_tried_with_the_same_settings_and_seeds():
    places = {method: set() for method in TRIED}
    for run in experiments.settings_tried("paper"):
        place = run.dataset, run.weight_decay, run.dropout
        if (run.weight_decay, run.dropout) in TRIED[run.method]:
            places[run.method].add((*place, run.seed))
    settings = list(product((0.0, 5e-5, 2e-4, 5e-4), (0.0, 0.1, 0.3), (0, 1)))
    wanted = {(name, *setting) for name in ("mnist", "fashion_mnist") for setting in settings}
    assert [places[method] for method in SPARSE] == [wanted] * 3
    of_dense = product(("mnist", "fashion_mnist"), (0.0, 2e-4), (0.1, 0.3), (0,))
    assert places["dense"] == {of for of in of_dense if of[1:3] not in DIVERGED["dense", of[0]]}


def test_all_but_the_setting_is_that_of_the_reported_networks():
    others = {
        (run.method, run.dataset): run for run in experiments.networks("paper") if run.seed == 0
    }
    for run in experiments.settings_tried("paper"):
        other = others[run.method, run.dataset]
        names = "hidden density epochs learning_rate schedule drop grow decay batch_size start"
        for name in names.split():
            assert getattr(run, name) == getattr(other, name)


GRID = list(product((0.0, 5e-5, 2e-4, 5e-4), (0.0, 0.1, 0.3)))


@pytest.mark.parametrize(
    ("best", "more"),
    [
        ((5e-5, 0.1), []),  # inside
        ((0.0, 0.0), []),  # nothing is below
        ((5e-4, 0.1), [(1e-3, 0.0), (1e-3, 0.1), (1e-3, 0.3)]),
        ((5e-5, 0.3), [(0.0, 0.5), (5e-5, 0.5), (2e-4, 0.5), (5e-4, 0.5)]),
    ],
)
def test_an_edge_that_wins_is_extended(best, more):
    assert extension(GRID, best) == more


def test_chosen_networks_train_on_all_images_with_five_seeds(monkeypatch):
    monkeypatch.setitem(BEST, ("fixed", "mnist"), (0.0, 0.1))
    runs = [run for run in experiments.settings_chosen("paper") if run.method == "fixed"]
    runs = [run for run in runs if run.dataset == "mnist"]
    assert [run.seed for run in runs] == [0, 1, 2, 3, 4]
    settings = {(r.weight_decay, r.dropout, r.validation, r.evaluate_test) for r in runs}
    assert settings == {(0.0, 0.1, 0, True)}
    assert set(runs) <= set(experiments.tried_and_chosen("paper"))


def test_the_tables_are_what_the_records_say():
    """Of a method and data set nothing is chosen before all that was tried is there."""
    tried_of = {}
    for run in experiments.settings_tried("paper"):
        tried_of.setdefault((run.method, run.dataset), []).append(run)
    complete = [runs for runs in tried_of.values() if all(STORE.holds(run) for run in runs)]
    records = [record for runs in complete for record in STORE.records(runs)]
    assert best(records) == BEST
    for (method, dataset), setting in BEST.items():
        tried = (*TRIED[method], *EXTENDED.get((method, dataset), ()))
        assert set(extension(tried, setting)) <= set(tried)
