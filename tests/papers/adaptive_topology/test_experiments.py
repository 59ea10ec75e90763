"""The networks of the robustness study and what is measured on them, in three profiles."""

import dataclasses

import numpy as np
import pytest

from lib import data
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


def test_studies_take_the_images_and_radii_of_their_data_set():
    found = EXPERIMENTS["attack_curves"].runs("paper")
    headline = experiments.HEADLINE_RADIUS
    assert all(headline[s.dataset] in s.radii and s.dataset == s.parent.dataset for s in found)
    assert {s.parent.experiment for s in found} == {"adaptive_topology"}
    assert {(s.method, s.seed) for s in found} == {(s.parent.method, s.parent.seed) for s in found}


def test_siblings_share_profile_data_set_and_seed():
    run = EXPERIMENTS["adaptive_topology"].runs("paper")[7]
    found = experiments.siblings(run)
    assert sorted(other.method for other in found) == sorted(experiments.COMPARED)
    assert run in found
    assert {(o.dataset, o.seed, o.epochs > 9) for o in found} == {(run.dataset, 2, True)}
    assert experiments.siblings(SparseTraining("made")) == [SparseTraining("made")]


def test_siblings_of_a_stand_in_are_stand_ins():
    runs = EXPERIMENTS["adaptive_topology"].runs("quick")
    found = experiments.siblings(runs[0].stand_in)
    assert found == [run.stand_in for run in runs]


ATTACKS = ("attack_curves", "attack_ensemble", "attack_minimal")


@pytest.mark.parametrize("experiment", ATTACKS)
def test_stand_in_of_a_study_is_attacked_at_its_own_headline_radius(experiment, monkeypatch):
    def unavailable(name, **options):
        raise data.DataUnavailable(name)

    monkeypatch.setattr(data, "origin", unavailable)
    studies = [study.resolved() for study in EXPERIMENTS[experiment].runs("quick")]
    headline = experiments.HEADLINE_RADIUS["digits"]
    assert all(min(abs(r - headline) for r in s.radii) < 1e-12 for s in studies)
    assert all(s.hidden == s.parent.hidden and s.parent.dataset == "digits" for s in studies)


def test_twin_trains_the_very_same_network():
    run = next(run for run in EXPERIMENTS["set_mlp"].runs("paper") if run.method == "dense")
    name, timed = EXPERIMENTS["set_mlp"].same_runs_as
    assert timed == "time_to_accuracy"
    twin = run.with_changes({"experiment": name})
    assert name == "adaptive_topology" and twin.name != run.name
    assert twin in EXPERIMENTS[name].runs("paper")
    assert EXPERIMENTS[name].same_runs_as == ("set_mlp",)
    assert dataclasses.replace(twin, learning_rate=0.5) not in EXPERIMENTS[name].runs("paper")


def test_radius_is_found_on_the_longest_dense_runs_of_tuning():
    studies = EXPERIMENTS["attack_radius"].runs("paper")
    assert [study.dataset for study in studies] == ["mnist", "fashion_mnist"]
    assert {study.parent.experiment for study in studies} == {"tuning"}
    assert EXPERIMENTS["attack_radius"].parents == ("tuning",)


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
    for run in experiments.dense_on_pixels("paper"):
        rigl = experiments.twin(run.parent, "rigl")
        assert rigl.method == "rigl" and rigl.epochs == run.parent.epochs
        assert (rigl.dataset, rigl.seed) == (run.dataset, run.seed)


def test_varied_networks_differ_from_the_usual_in_what_their_variant_says():
    shorter = experiments.shorter("paper")[::-1]
    usual = {(run.dataset, run.method, run.seed): run for run in shorter}
    for run in experiments.varied("paper"):
        field, _, value = run.variant.rpartition(" ")
        assert getattr(run, field) == float(value)
        assert getattr(usual[run.dataset, run.method, run.seed], field) != float(value)


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_summaries_name_the_headline_radius_first(profile):
    for study in EXPERIMENTS["robustness_summary"].runs(profile):
        assert study.radii[0] == experiments.HEADLINE_RADIUS[study.dataset]


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


def test_other_seeds_differ_from_the_networks_chosen_in_the_seed_alone():
    chosen = {run.name: run for run in experiments.settings_chosen("paper")}
    runs = experiments.other_seeds("paper")
    assert {(run.method, run.seed) for run in runs} == {
        (method, seed) for method in ("set", "rigl", "fixed") for seed in range(5, 10)
    }
    for run in runs:
        changes = {"experiment": "regularisation", "seed": run.seed - 5}
        assert run.with_changes(changes).name in chosen
