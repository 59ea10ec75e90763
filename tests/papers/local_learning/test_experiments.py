"""Which layers are learned and which networks trained: pairs, published settings, substitutes."""

import dataclasses

import pytest

from lib.runs.experiment import PROFILES
from papers.local_learning import experiments
from papers.local_learning.experiments import EXPERIMENTS

WIDTHS = [(name, profile) for name in experiments.SCALES for profile in PROFILES]
PENALTY = ("method", "variant", "penalty", "coupling", "stand_in")
SPECTRAL = (*PENALTY, "batch_norm", "law", "epochs", "batch_size")
OWN = {experiment.name: experiment for experiment in EXPERIMENTS}
STUDIES = {"bio_attacks": "bio_networks", "wide_attacks": "wide_networks"}


def same_but(run, names):
    """The fields of a run but for some."""
    fields = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    return {name: value for name, value in fields.items() if name not in names}


def of_method(experiment, profile, method):
    return [run for run in experiments.networks(experiment, profile) if run.method == method]


# the networks


@pytest.mark.parametrize(("experiment", "profile"), WIDTHS)
def test_networks_of_a_seed_differ_in_their_penalty_alone(experiment, profile):
    plain = {run.seed: run for run in of_method(experiment, profile, "bp")}
    for run in experiments.networks(experiment, profile):
        changed = SPECTRAL if run.method == "specreg" else PENALTY
        if run.method != "kh":
            assert same_but(run, changed) == same_but(plain[run.seed], changed)


@pytest.mark.parametrize(("experiment", "profile"), WIDTHS)
def test_read_outs_have_the_data_and_the_validation_images_of_the_others(experiment, profile):
    runs = experiments.networks(experiment, profile)
    assert len({(run.dataset, run.limit, run.validation, run.n_units) for run in runs}) == 1
    for run in of_method(experiment, profile, "kh"):
        assert (run.parent.dataset, run.parent.n_units) == (run.dataset, run.n_units)


@pytest.mark.parametrize(
    ("experiment", "layers"),
    [
        ("bio_networks", [0, 1, 2, 0, 1]),
        ("wide_networks", [0] * 5),
        ("all_images_500", [0, 1, 2, 3, 4]),
        ("all_images_2000", [0, 1, 2]),
    ],
)
def test_read_outs_stand_on_the_layers_in_turn(experiment, layers):
    runs = of_method(experiment, "paper", "kh")
    corrected = {run.seed: run.parent.seed for run in runs if run.variant == "corrected"}
    assert [corrected[seed] for seed in range(len(layers))] == layers


@pytest.mark.parametrize("experiment", experiments.SCALES)
def test_every_network_of_the_paper_has_five_seeds_or_three(experiment):
    """Three where each takes longest."""
    seeds = {}
    for run in experiments.networks(experiment, "paper"):
        seeds.setdefault((run.method, run.variant), set()).add(run.seed)
    n = 3 if experiment == "all_images_2000" else 5
    assert set(map(frozenset, seeds.values())) == {frozenset(range(n))}


@pytest.mark.parametrize("experiment", experiments.ALL_IMAGES)
def test_networks_of_all_images_leave_none_out(experiment):
    assert {run.limit for run in experiments.networks(experiment, "paper")} == {None}


def test_the_spectral_penalty_sees_more_images_a_batch_than_there_are_units():
    [*runs] = of_method("all_images_2000", "paper", "specreg")
    assert len(runs) == 3
    assert all(run.batch_size >= 1.5 * run.n_units for run in runs)


def test_the_wide_layers_are_learned_as_published():
    runs = experiments.layers("kh_long", "paper")
    assert [run.seed for run in runs] == [0, 1, 2]
    for run in runs:
        assert (run.n_units, run.epochs, run.batch_size, run.limit) == (2000, 1000, 1000, None)
        assert (run.norm_order, run.rank, run.anti_hebbian, run.step_size) == (3, 2, 0.4, 0.02)


def test_layers_of_mnist_have_the_settings_of_the_released_script():
    for run in experiments.layers("kh_mnist", "paper"):
        assert (run.n_units, run.rank, run.step_size, run.batch_size) == (2000, 7, 0.04, 100)


def test_narrow_layers_get_at_least_the_published_steps_a_unit():
    published = 1000 * 50 / 2000
    for run in experiments.layers("kh", "paper"):
        assert run.epochs * 50_000 / run.batch_size / run.n_units >= published


@pytest.mark.parametrize(("method", "coupling"), [("l2", 5e-4), ("jreg", 1e-3), ("specreg", 1.0)])
def test_released_penalties_have_the_published_couplings(method, coupling):
    runs = of_method("bio_networks", "paper", method)
    assert {r.coupling for r in runs if r.variant.startswith("as released")} == {coupling}


# tuning


def test_tuning_sees_no_test_images():
    runs = experiments.tuning("paper")
    assert {run.evaluate_test for run in runs} == {False}
    assert all(run.validation > 0 for run in runs)


def test_every_coupling_that_is_used_was_tried():
    tried = {(run.penalty, run.coupling) for run in experiments.tuning("paper")}
    used = set()
    for run in experiments.networks("bio_networks", "paper"):
        if "released" not in run.penalty:
            used.add((run.penalty, run.coupling))
    assert used <= tried


# studies


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("experiment", STUDIES)
def test_every_network_is_attacked_once_under_every_protocol_that_it_stands_for(
    experiment, profile
):
    found = {}
    for study in OWN[experiment].runs(profile):
        found.setdefault(study.parent.name, []).append(study.variant)
    runs = experiments.networks(STUDIES[experiment], profile)
    assert found == {run.name: run.variant.split(" and ") for run in runs}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_layer_and_every_network_but_read_outs_has_a_spectrum(profile):
    studied = [study.parent for study in OWN["bio_spectra"].runs(profile)]
    networks = [r for r in experiments.networks("bio_networks", profile) if r.method != "kh"]
    wanted = {run.name for run in [*experiments.layers("kh", profile), *networks]}
    assert {run.name for run in studied} == wanted and len(studied) == len(wanted)


def test_longer_attacks_are_on_more_images_with_more_steps():
    usual = {study.parent.n_units: study for study in OWN["wide_attacks"].runs("paper")}
    runs = OWN["all_images_attacks"].runs("paper")
    assert {study.parent.n_units for study in runs} == {500, 2000}
    for study in runs:
        assert (study.images, study.steps, study.variant) == (1000, 100, "corrected")
        assert study.points == usual[2000].points


def test_spectra_have_more_images_than_units():
    for name in ("bio_spectra", "wide_spectra", "mnist_spectra", "all_images_spectra"):
        for study in OWN[name].runs("paper"):
            assert study.images > 2 * study.parent.n_units


def test_wide_spectra_are_drawn_anew_less_often():
    draws = {study.draws for study in OWN["wide_spectra"].runs("paper")}
    assert draws == {experiments.WIDE_DRAWS}


# sparse layers


@pytest.mark.parametrize("profile", PROFILES)
def test_sparse_layers_of_a_seed_differ_in_their_links_alone(profile):
    by_seed = {}
    for run in experiments.layers("kh_sparse", profile):
        fields = same_but(run, ("variant", "density", "evolving", "stand_in"))
        by_seed.setdefault(run.seed, []).append(fields)
    for runs in by_seed.values():
        assert len(runs) == 3 and all(fields == runs[0] for fields in runs)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_sparse_layer_has_a_read_out(profile):
    layers = {run.name for run in experiments.layers("kh_sparse", profile)}
    runs = experiments.sparse_readouts(profile)
    assert {run.parent.name for run in runs} == layers and len(runs) == len(layers)


# profiles


def all_runs(profile):
    """Of the experiments of this room."""
    return [run for experiment in EXPERIMENTS for run in experiment.runs(profile)]


def test_smoke_sees_digits_alone():
    assert {run.dataset for run in all_runs("smoke")} == {"digits"}


def test_digits_stand_in_in_the_quick_profile_alone():
    stand_ins = [run.stand_in for run in all_runs("quick")]
    for run in filter(None, stand_ins):
        run.check()
        assert run.dataset == "digits"
        assert run.parent is None or run.parent.dataset == "digits"
    assert {run.stand_in for run in all_runs("paper")} == {None}
