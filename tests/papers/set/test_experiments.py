"""Every run changes what its name says and no more; what is compared trains alike."""

import dataclasses

import pytest

import papers
from lib import data
from lib.runs.experiment import PROFILES
from papers import EXPERIMENTS
from papers.set import experiments
from papers.shared.methods import GROWTH
from papers.shared.sparse_training import SparseTraining


def differences(run, other):
    """The fields in which two runs differ."""
    shared = {field.name for field in dataclasses.fields(SparseTraining)} | {"l1"}
    return {name for name in shared if getattr(run, name, 0.0) != getattr(other, name, 0.0)}


def test_methods_of_a_setting_differ_in_their_links_alone():
    runs = [run for run in experiments.ablation("paper") if run.seed == 0]
    for variant in experiments.SETTINGS:
        ours, fixed, dense = [run for run in runs if run.variant == variant]
        assert differences(ours, fixed) == {"method", "drop"}
        length = set() if variant in experiments.LONG_DENSE else {"epochs"}
        assert differences(fixed, dense) == {"method", "er_epsilon"} | length


@pytest.mark.parametrize(
    ("name", "desired"),
    [
        ("SReLU, momentum, L1", {"l1"}),
        ("SReLU, momentum, L2", {"weight_decay"}),
        ("SReLU, Nesterov, none", {"optimiser"}),
        ("ReLU, momentum, none", {"activation", "published_srelu"}),
    ],
)
def test_setting_changes_what_its_name_says(name, desired):
    runs = {run.variant: run for run in experiments.ablation("paper") if run.method == "set"}
    changed = differences(runs[name], runs["SReLU, momentum, none"])
    assert changed == desired | {"variant"}


def test_twelve_settings_have_five_seeds_of_three_methods():
    runs = experiments.ablation("paper")
    assert len(runs) == 12 * 3 * 5 and len({run.name for run in runs}) == len(runs)


def test_variants_differ_from_the_paper_in_one_thing():
    runs = {run.variant: run for run in experiments.variants("paper") if run.seed == 0}
    base = runs.pop("as in the paper")
    assert len(runs) == len(experiments.VARIANTS) - 1
    for variant, run in runs.items():
        assert len(differences(run, base) - {"variant"}) == 1, variant


def test_every_variant_trains_otherwise_unless_it_only_ends_otherwise():
    curves, ends = {}, {}
    for record in papers.STORE.of("set_variants", "paper"):
        run = record.config
        curves[run.variant, run.seed] = record.metrics["test_accuracy"].tolist()
        ends[run.variant, run.seed] = record.environment["final"]["test_accuracy"]
    base = "as in the paper"
    for variant in {variant for variant, _ in curves} - {base}:
        seeds = [seed for name, seed in curves if name == variant]
        same = {curves[variant, seed] == curves[base, seed] for seed in seeds}
        assert same == {"last_epoch" in experiments.VARIANTS[variant]}, variant
        assert any(ends[variant, seed] != ends[base, seed] for seed in seeds), variant


def test_removals_differ_in_what_is_dropped_alone():
    ours, *others = [run for run in experiments.removals("paper") if run.seed == 0]
    assert [other.drop for other in others] == ["random", "largest"]
    assert all(differences(other, ours) == {"method", "drop"} for other in others)


def test_links_and_drop_fractions_are_those_of_the_claim_and_fewer_links():
    runs = experiments.sensitivity("paper")
    points = {(run.er_epsilon, run.drop_fraction) for run in runs}
    assert len(points) == 18 and len(runs) == 18 * 5
    assert {point for point in points if point[0] < 10} == {(1, 0.3), (2, 0.3), (5, 0.3)}


def test_quick_profile_leaves_out_what_would_be_fetched_first(monkeypatch):
    monkeypatch.setattr(data, "is_here", lambda name: name == "higgs_sample")
    found = {run.dataset for run in EXPERIMENTS["set_mlp"].runs("quick")}
    assert found == {"mnist", "fashion_mnist", "higgs_sample"}
    paper = {run.dataset for run in EXPERIMENTS["set_mlp"].runs("paper")}
    assert "cifar10" in paper and "higgs" not in paper
    monkeypatch.setattr(data, "is_here", lambda name: True)
    assert "higgs" in {run.dataset for run in EXPERIMENTS["set_mlp"].runs("paper")}


def test_published_settings_are_those_of_the_paper_on_mnist():
    runs = [run for run in experiments.set_mlp("paper") if run.dataset == "mnist"]
    published = [run for run in runs if run.variant == "published"]
    settings = {(run.learning_rate, run.batch_size, run.schedule) for run in published}
    assert settings == {(0.01, 100, "constant")}
    assert {(run.method, run.epochs) for run in published} == {("set", 300), ("fixed", 100)}


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_set_is_run_against_dense_for_as_long_and_for_longer(profile):
    runs = EXPERIMENTS["time_to_accuracy"].runs(profile)
    epochs = {run.variant: run.epochs for run in runs if run.dataset in ("mnist", "digits")}
    assert list(epochs) == ["tuned", "equal time", "longer"]
    assert epochs["equal time"] < epochs["longer"] < epochs["tuned"]
    assert EXPERIMENTS["time_to_accuracy"].same_runs_as == ()


def test_timed_networks_are_those_of_set_mlp_for_fewer_epochs():
    timed = [
        run for run in experiments.time_to_accuracy("paper") if (run.method, run.seed) == ("set", 0)
    ]
    trained = experiments.set_mlp("paper")
    for run in timed:
        same = dataclasses.replace(run, experiment="set_mlp", epochs=150)
        assert same in trained


def test_stand_in_of_quick_runs_is_digits_where_there_is_one():
    runs = experiments.set_mlp("quick")
    assert {run.stand_in.dataset for run in runs if run.stand_in} == {"digits"}
    tuned = [run for run in runs if run.dataset.endswith("mnist")]
    assert all(run.stand_in is not None for run in tuned) and len(tuned) > 10


@pytest.mark.parametrize("profile", PROFILES)
def test_growth_rules_are_compared_with_a_fixed_support(profile):
    runs = experiments.growth_rules(profile)
    assert {run.method for run in runs} == {*GROWTH, "fixed"}
    assert {run.density for run in runs} == {0.01}
    assert {run.drop is None for run in runs if run.method == "fixed"} == {True}


@pytest.mark.parametrize("profile", PROFILES)
def test_densities_are_tried_with_both_rules(profile):
    runs = experiments.densities(profile)
    pairs = {(run.density, run.method) for run in runs}
    assert pairs == {
        (d, m) for d in experiments.DENSITIES[profile]["densities"] for m in ("set", "rigl")
    }
    assert {run.epochs for run in runs} == {experiments.DENSITIES[profile]["epochs"]}
