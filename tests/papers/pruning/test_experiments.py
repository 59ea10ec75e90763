"""Searches and studies as runs: the smallest ones, killed and made again."""

from dataclasses import replace

import numpy as np
import pytest

from papers.pruning import fronts, studies, training
from papers.pruning.studies import FrontStudy, RegionStudy
from tests.papers import made

from .made import SMALL, task


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store in which the small search is made."""
    store = made.store(tmp_path_factory.mktemp("whole"))
    store.run(SMALL)
    return store


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
    by_units = replace(SMALL, mode="hidden")
    [full] = training.trained(SMALL, known, ones, [3])
    [same] = training.trained(by_units, known, units, [3])
    actual = training.measure(SMALL, known, full, "valid", objective)
    assert actual == pytest.approx(training.measure(by_units, known, same, "valid", objective))


def test_members_compared_are_spread_over_densities_and_hold_both_ends():
    densities = np.array([0.5, 0.1, 0.9, 0.3, 0.7])
    rows = studies.spread_over(densities, 3)
    np.testing.assert_array_equal(densities[rows], [0.1, 0.5, 0.9])


STUDY = FrontStudy("mask_fronts", parent=SMALL, dataset="digits")
REGIONS = RegionStudy("mask_regions", parent=SMALL)


@pytest.mark.parametrize(
    ("run", "fields", "sentence"),
    [
        (SMALL, {"objectives": "acuracy density"}, "did you mean 'accuracy'"),
        (SMALL, {"fitness_part": "vald"}, "did you mean 'valid'"),
        (SMALL, {"score": "softmx"}, "did you mean 'softmax'"),
        (SMALL, {"mode": "feature"}, "did you mean 'features'"),
        (SMALL, {"extractor": "mobilenet"}, "did you mean 'mobilenet_v2'"),
        (SMALL, {"method": "nsga"}, "did you mean 'nsga2'"),
        (SMALL, {"dataset": "rsma"}, "did you mean 'rsmas'"),
        (SMALL, {"stop_on": "test"}, "unknown loss to stop on"),
        (SMALL, {"objectives": ""}, "objectives = '' names none, or one twice"),
        (SMALL, {"objectives": "accuracy accuracy"}, "'accuracy accuracy' names none, or one"),
        (
            SMALL,
            {"objectives": "accuracy", "stale": True},
            "stale = True is not .* without 'auroc'",
        ),
        (SMALL, {"objectives": "accuracy", "coarse": True}, "coarse = True is not .* without"),
        (SMALL, {"noise_std": 0.7}, "noise_std = 0.7 is not used by objectives without 'noise'"),
        (SMALL, {"method": "random_search", "stale": True}, "stale = True is not used by method"),
        (SMALL, {"train_images": 0}, "train_images = 0 is out of range"),
        (SMALL, {"division": -1}, "division = -1 is out of range"),
        (SMALL, {"noise_std": -1.0}, "noise_std = -1.0 is out of range"),
        (SMALL, {"learning_rate": float("inf")}, "learning_rate = inf is out of range"),
        (SMALL, {"population": 1}, "population = 1 is out of range"),
        (SMALL, {"evaluations": 5}, "5 evaluations do not fill a population of 6: give more"),
        (STUDY, {"compared": 0}, "set_heads = 3 of 0 densities compared: give no more"),
        (REGIONS, {"area": 1.0}, "area = 1.0 is out of range"),
        (REGIONS, {"draws": 0}, "draws = 0 is out of range"),
        (REGIONS, {"parent": replace(SMALL, mode="hidden")}, "give a search whose masks are of"),
    ],
)
def test_what_would_fail_or_mislead_is_refused_before_the_run(run, fields, sentence):
    run.check()
    with pytest.raises(ValueError, match=sentence):
        replace(run, **fields).check()
