"""Every run changes what its name says and no more; what is compared trains alike."""

import dataclasses

import pytest

import papers
from papers import EXPERIMENTS
from papers.set import experiments
from tests.papers.made import differences


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
