"""Studies: made once on a trained network, which is trained if need be, and kept whole."""

import dataclasses
import shutil

import pandas as pd
import pytest
import torch

from lib import data
from papers.shared.study import Study, images, study_of, with_stand_in
from tests.papers.made import BASE, STUDY


def test_study_trains_its_parent_and_is_made_once(store):
    record = store.run(STUDY)
    assert store.stored(BASE, whole=True) is not None
    assert type(record.config) is Study and record.config.parent == BASE
    stamp = record.path.stat().st_mtime_ns
    assert store.run(STUDY).path.stat().st_mtime_ns == stamp
    summary = record.summary()
    assert summary["architecture"] == "64-40-30-10" and summary["epochs"] == BASE.epochs
    assert summary["last_accuracy"] is None and summary["final_accuracy"] > 0.5
    assert summary["links_training"] is None and summary["links_final"] > 0  # of the end


def test_study_is_measured_from_a_shipped_record_of_the_robustness_network(store):
    parent = dataclasses.replace(BASE, experiment="adaptive_topology", seed=1)
    store.ship(store.run(parent))
    shutil.rmtree(store.runs)
    record = store.run(dataclasses.replace(STUDY, parent=parent, seed=1))
    assert not (store.runs / parent.name).exists() and len(record.metrics) > 10


@pytest.mark.parametrize(
    ("experiment", "drop", "trained"),
    [
        ("scale_free", "sign", False),
        ("visible_connectivity", "sign", False),
        ("network_structure", "sign", True),  # of the links of every epoch
        ("network_structure", None, False),
    ],
)
def test_study_of_links_trains_its_parent_only_for_links(experiment, drop, trained, store):
    parent = dataclasses.replace(BASE, experiment="adaptive_topology", drop=drop, epochs=1)
    store.ship(store.run(parent))
    shutil.rmtree(store.runs)
    store.run(dataclasses.replace(STUDY, experiment=experiment, parent=parent))
    assert (store.runs / parent.name).is_dir() == trained


def test_shipped_study_keeps_its_table_and_arrays(store):
    record = store.run(dataclasses.replace(STUDY, experiment="attack_curves", radii=(0.1,)))
    store.ship(record)
    shipped = store.stored(record.config)
    assert shipped.path == store.results / "attack_curves"
    pd.testing.assert_frame_equal(shipped.metrics, record.metrics)
    assert set(shipped.arrays) == set(record.arrays) >= {"clean", "deepfool.l2"}


def test_study_has_the_data_set_method_and_seed_of_its_parent():
    parent = dataclasses.replace(BASE, seed=3, method="fixed", stand_in=BASE)
    study = study_of("link_removal", parent, draws=2)
    for name in ("dataset", "method", "hidden", "seed"):
        assert getattr(study, name) == getattr(parent, name)
    assert study.parent == parent and study.parent.stand_in is None and study.draws == 2


@pytest.mark.parametrize("stand_in", [None, dataclasses.replace(BASE, seed=5)])
def test_study_has_a_stand_in_where_its_parent_has_one(stand_in):
    parent = dataclasses.replace(BASE, dataset="mnist", stand_in=stand_in)
    study = with_stand_in(lambda run: study_of("link_removal", run), parent)
    assert (study.stand_in is None) == (stand_in is None)
    assert stand_in is None or study.stand_in == study_of("link_removal", stand_in)


def test_draws_of_seeds_have_streams_of_their_own():
    studies = [dataclasses.replace(STUDY, seed=seed) for seed in (0, 1)]
    seeds = {study.generator(draw).initial_seed() for study in studies for draw in range(10)}
    assert len(seeds) == 20


def test_parent_out_of_range_is_refused_before_anything_is_run():
    with pytest.raises(ValueError, match="epochs = 0"):
        STUDY.with_changes({"epochs": 0}).check()


@pytest.mark.parametrize(
    "change",
    [
        {"images": 0},
        {"queries": 0},
        {"points": 1},
        {"bisections": -1},
        {"radii": (0.1, -0.1)},
        {"radii_l2": (float("nan"),)},
    ],
    ids=str,
)
def test_field_out_of_range_is_refused_before_anything_is_run(change):
    STUDY.check()
    (name,) = change
    with pytest.raises(ValueError, match=rf"{name} = .* is out of range: give"):
        STUDY.with_changes(change).check()


def test_images_are_stratified_nested_and_of_the_test_part():
    study = dataclasses.replace(STUDY, images=100)
    (x, y), (smaller, _) = images(study), images(study, 40)
    assert len(x) == 100 and torch.equal(x[:40], smaller)
    split = data.load_once(BASE.dataset)
    share = torch.bincount(split.y_test, minlength=10) / len(split.y_test)
    assert ((torch.bincount(y, minlength=10) - 100 * share).abs() <= 1).all()


def test_images_of_a_split_with_validation_are_of_that_part():
    parent = dataclasses.replace(BASE, validation=200)
    x, _ = images(dataclasses.replace(STUDY, parent=parent, images=5))
    split = data.load_once(BASE.dataset, validation=200)
    assert all((split.x_valid == image).flatten(1).all(1).any() for image in x)
