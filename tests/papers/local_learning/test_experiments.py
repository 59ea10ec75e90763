"""Which layers are learned and which networks trained: pairs, published settings, substitutes."""

import pytest

from lib.runs.experiment import PROFILES
from papers.local_learning import experiments
from papers.local_learning.experiments import EXPERIMENTS
from tests.papers.made import same_but

WIDTHS = [(name, profile) for name in experiments.NETWORKS for profile in PROFILES]
PENALTY = ("method", "variant", "penalty", "coupling", "stand_in")
SPECTRAL = (*PENALTY, "batch_norm", "law", "epochs", "batch_size")
OWN = {experiment.name: experiment for experiment in EXPERIMENTS}
STUDIES = {"bio_attacks": "bio_networks", "wide_attacks": "wide_networks"}


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


def test_narrow_layers_get_at_least_the_published_steps_a_unit():
    published = 1000 * 50 / 2000
    for run in experiments.layers("kh", "paper"):
        assert run.epochs * 50_000 / run.batch_size / run.n_units >= published


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


def test_digits_stand_in_in_the_quick_profile_alone():
    stand_ins = [run.stand_in for run in all_runs("quick")]
    for run in filter(None, stand_ins):
        run.check()
        assert run.dataset == "digits"
        assert run.parent is None or run.parent.dataset == "digits"
    assert {run.stand_in for run in all_runs("paper")} == {None}
