"""The networks of the robustness study and what is measured on them, in three profiles."""

import dataclasses

import numpy as np
import pytest

from papers import EXPERIMENTS, STORE
from papers.adaptive_topology import experiments
from papers.shared import trained
from papers.shared.sparse_training import SparseTraining


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_headline_radius_is_where_the_dense_network_keeps_half_its_accuracy(dataset):
    found = STORE.of("attack_radius", "paper")
    (record,) = [record for record in found if record.config.dataset == dataset]
    assert record.config.parent.validation > 0 and not record.config.parent.evaluate_test
    table = record.metrics[record.metrics["norm"] != "l2"]
    curve = table[table["attack"].isin(["none", "pgd"])].sort_values("accuracy")
    half = np.interp(curve["accuracy"].max() / 2, curve["accuracy"], curve["radius"])
    assert abs(experiments.HEADLINE_RADIUS[dataset] - half) <= 0.0025  # given to .005


def test_networks_alike_share_profile_data_set_and_seed():
    run = EXPERIMENTS["adaptive_topology"].runs("paper")[7]
    found = experiments.alike(run)
    assert sorted(other.method for other in found) == sorted(experiments.COMPARED)
    assert run in found
    assert {(o.dataset, o.seed, o.epochs > 9) for o in found} == {(run.dataset, 2, True)}
    assert experiments.alike(SparseTraining("made")) == []


def test_networks_like_a_stand_in_are_stand_ins():
    runs = EXPERIMENTS["adaptive_topology"].runs("quick")
    found = experiments.alike(runs[0].stand_in)
    assert found == [run.stand_in for run in runs]


def test_twin_trains_the_very_same_network():
    run = next(run for run in EXPERIMENTS["set_mlp"].runs("paper") if run.method == "dense")
    name, timed = EXPERIMENTS["set_mlp"].same_runs_as
    assert timed == "time_to_accuracy"
    twin = run.with_changes({"experiment": name})
    assert name == "adaptive_topology" and twin.name != run.name
    assert twin in EXPERIMENTS[name].runs("paper")
    assert EXPERIMENTS[name].same_runs_as == ("set_mlp",)
    assert dataclasses.replace(twin, learning_rate=0.5) not in EXPERIMENTS[name].runs("paper")


STUDIES = (
    *("robustness_summary", "link_removal", "weight_shuffling", "null_ladder"),
    *("attack_curves", "attack_ensemble", "attack_minimal", "attack_pixels", "robust_summary"),
)


@pytest.mark.parametrize("name", STUDIES)
def test_stored_study_is_of_the_stored_network(name):
    shipped = STORE.shipped
    for record in shipped.of(name, "paper"):
        parent = shipped.stored(record.config.parent)
        if parent is not None:
            assert record.environment["final"] == parent.environment["final"], record.config.name


def test_dense_networks_are_attacked_on_the_pixels_of_their_twins():
    for run in experiments.studied("attack_pixels", experiments.dense, "paper"):
        rigl = experiments.twin(run.parent, "rigl")
        assert rigl.method == "rigl" and rigl.epochs == run.parent.epochs
        assert (rigl.dataset, rigl.seed) == (run.dataset, run.seed)


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_dense_control_has_the_mean_width_that_works_after_rigl(dataset):
    counts = []
    for record in STORE.of("adaptive_topology", "paper"):
        if (record.config.dataset, record.config.method) == (dataset, "rigl"):
            into, out_of, third = trained.supports_at(record, "final")
            both = [set(into.row.tolist()) & set(out_of.col.tolist())]
            both += [set(out_of.row.tolist()) & set(third.col.tolist())]
            counts.append([*map(len, both), len(set(third.row.tolist()))])
    assert len(counts) == 5
    widths = np.round(np.mean(counts, axis=0))
    assert experiments.WORKING[dataset] == {"hidden": tuple(widths)}


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_dense_control_has_the_best_of_all_settings_tried(dataset):
    records = STORE.of("working_tuning", "paper")
    records = [record for record in records if record.config.dataset == dataset]
    assert len(records) == 5 and not any(record.config.evaluate_test for record in records)
    best = max(records, key=lambda record: record.metrics["valid_accuracy"].iloc[-1]).config
    chosen = {"learning_rate": best.learning_rate, "dropout": best.dropout}
    assert chosen == experiments.WORKING_CHOSEN
