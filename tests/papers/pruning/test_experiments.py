"""Searches and studies as runs: the smallest ones, killed and made again."""

import dataclasses

import numpy as np
import pytest

from lib.runs.experiment import PROFILES
from lib.runs.records import Store
from papers import EXPERIMENTS
from papers.pruning import experiments, fronts, studies, training
from papers.pruning.studies import FrontStudy
from papers.pruning.training import MaskSearch
from tests import processes

from .made import SMALL, task


@pytest.fixture
def store(tmp_path):
    return Store(EXPERIMENTS, tmp_path / "runs", tmp_path / "results")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store in which the small search is made."""
    folder = tmp_path_factory.mktemp("whole")
    made = Store(EXPERIMENTS, folder / "runs", folder / "results")
    made.run(SMALL)
    return made


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.ci
def test_killed_search_goes_on_to_the_same_front(steps, whole, store):
    processes.kill_after(store, SMALL, steps)
    resumed, desired = store.run(SMALL), whole.stored(SMALL)
    np.testing.assert_array_equal(resumed.arrays[training.MASKS], desired.arrays[training.MASKS])
    np.testing.assert_array_equal(resumed.metrics.to_numpy(), desired.metrics.to_numpy())


def test_front_of_a_record_is_that_of_its_table(whole):
    record = whole.stored(SMALL)
    measured = record.metrics[list(SMALL.measured)].to_numpy()
    rows = fronts.front(training.minimised(measured, SMALL.measured))
    np.testing.assert_array_equal(record.arrays[training.FRONT], rows)


def test_densities_of_a_record_are_those_of_its_masks(whole):
    record = whole.stored(SMALL)
    n_features = int(record.environment["architecture"].split("-")[0])
    masks = training.front_masks(record, n_features)
    front = record.metrics.iloc[record.arrays[training.FRONT]]
    np.testing.assert_allclose(masks.mean(axis=1), front["density"], atol=1e-6)


def test_study_measures_members_as_the_search_did(whole):
    run = FrontStudy("mask_fronts", parent=SMALL, dataset="digits", fresh=1, compared=3)
    record = whole.run(run)
    front = record.metrics[record.metrics["kind"] == "front"]
    searched = whole.stored(SMALL).metrics.iloc[whole.stored(SMALL).arrays[training.FRONT]]
    for objective in ("accuracy", "auroc"):
        np.testing.assert_allclose(front[f"valid_{objective}"], searched[objective], atol=1e-6)
    rivals = record.metrics[record.metrics["kind"].isin(["random", "magnitude", "penalty"])]
    desired = front.set_index("member")["density"].loc[rivals["member"]]
    np.testing.assert_allclose(rivals["density"], desired, atol=1e-6)


@pytest.mark.parametrize("objective", training.OBJECTIVES)
def test_mask_of_all_ones_has_the_measures_of_the_full_head(objective):
    known = task()
    ones = np.ones((1, known.n_features), dtype=bool)
    units = np.ones((1, SMALL.n_hidden), dtype=bool)
    by_units = dataclasses.replace(SMALL, mode="hidden")
    [full] = training.trained(SMALL, known, ones, [3])
    [same] = training.trained(by_units, known, units, [3])
    actual = training.measure(SMALL, known, full, "valid", objective)
    assert actual == pytest.approx(training.measure(by_units, known, same, "valid", objective))


def test_minimised_objectives_are_undone_by_themselves(rng):
    values = rng.random((5, 3))
    names = ("accuracy", "density", "auroc")
    np.testing.assert_allclose(training.minimised(training.minimised(values, names), names), values)


def test_members_compared_are_spread_over_densities_and_hold_both_ends():
    densities = np.array([0.5, 0.1, 0.9, 0.3, 0.7])
    rows = studies.spread_over(densities, 3)
    np.testing.assert_array_equal(densities[rows], [0.1, 0.5, 0.9])


@pytest.mark.parametrize("profile", PROFILES)
def test_every_run_of_a_profile_is_in_range_and_named_once(profile):
    runs = []
    for experiment in experiments.EXPERIMENTS:
        runs += experiment.runs(profile)
    assert [run.check() for run in runs] == [None] * len(runs)
    assert len({run.name for run in runs}) == len(runs)


def test_ten_runs_of_both_methods_stand_behind_every_front():
    counts = {}
    for run in experiments.searches("paper"):
        if run.variant != "corrected":
            continue
        assert (run.population, run.offspring, run.evaluations) == (30, 2, 200)
        place = run.dataset, run.method
        counts[place] = counts.get(place, 0) + 1
    assert set(counts.values()) == {10} and len(counts) == 10


@pytest.mark.parametrize(
    ("fields", "nearest"),
    [
        ({"objectives": "acuracy density"}, "accuracy"),
        ({"fitness_part": "vald"}, "valid"),
        ({"score": "softmx"}, "softmax"),
        ({"mode": "feature"}, "features"),
        ({"extractor": "mobilenet"}, "mobilenet_v2"),
        ({"method": "nsga"}, "nsga2"),
        ({"dataset": "rsma"}, "rsmas"),
    ],
)
def test_unknown_name_is_refused_with_the_nearest(fields, nearest):
    with pytest.raises(ValueError, match=nearest):
        MaskSearch("mask_search", **fields).check()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"objectives": ""}, "objectives = '' names none, or one twice"),
        ({"objectives": "accuracy accuracy"}, "'accuracy accuracy' names none, or one twice"),
        ({"objectives": "accuracy", "stale": True}, "stale = True is not .* without 'auroc'"),
        ({"objectives": "accuracy", "coarse": True}, "coarse = True is not .* without 'auroc'"),
        ({"noise_std": 0.7}, "noise_std = 0.7 is not used by objectives without 'noise'"),
        ({"method": "random_search", "stale": True}, "stale = True is not used by method 'random_"),
        ({"train_images": -5}, "train_images = -5 is out of range"),
        ({"train_images": 0}, "train_images = 0 is out of range"),
        ({"valid_images": 0}, "valid_images = 0 is out of range"),
        ({"division": -1}, "division = -1 is out of range"),
        ({"noise_std": -1.0}, "noise_std = -1.0 is out of range"),
        ({"weight_decay": -1.0}, "weight_decay = -1.0 is out of range"),
    ],
)
def test_search_out_of_range_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        MaskSearch("mask_search", **fields).check()


def test_heads_evolved_at_densities_that_are_not_compared_are_refused():
    run = FrontStudy("mask_fronts", parent=SMALL, dataset="digits", compared=2, set_heads=2)
    run.check()
    with pytest.raises(ValueError, match="set_heads = 2 of 0 densities compared: give no more"):
        dataclasses.replace(run, compared=0).check()
