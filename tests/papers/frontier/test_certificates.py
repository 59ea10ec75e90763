"""Certified training: what its runs change, which epochs have which radius, what is measured."""

import dataclasses

import pytest
import torch

from lib._boundary import PROFILES
from lib.robustness import attacks
from lib.robustness.certified import is_certified
from lib.robustness.defences import Certified
from papers.frontier import experiments
from papers.frontier.certificates import certificates
from papers.shared import trained
from tests.papers import made
from tests.papers.made import differences

SMALL = experiments.certified("smoke")
TRIED = {"kappa", "certified_radius", "plain_epochs", "growing_epochs", "learning_rate"}


def run_of(profile, method, variant):
    (found,) = (
        run
        for run in experiments.certified(profile)
        if (run.method, run.variant, run.seed) == (method, variant, 0)
    )
    return found


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """RigL on digits, trained to be certified."""
    (run,) = (run for run in SMALL if (run.method, run.variant) == ("rigl", "certified"))
    store = made.store(tmp_path_factory.mktemp("records"))
    return store.run(dataclasses.replace(run, epochs=8, growing_epochs=3))


@pytest.mark.parametrize("profile", PROFILES)
def test_trainings_differ_in_their_objective_alone(profile):
    for method in experiments.CERTIFIED_SEEDS[profile]:
        plain, certified = (run_of(profile, method, v) for v in experiments.TRAININGS)
        assert {"variant", "certified_radius"} <= differences(plain, certified)
        assert differences(plain, certified) <= {"variant", *TRIED}
        assert plain.objectives() == {}
        objective = certified.objectives()["objective"]
        assert objective.at_epoch(certified.epochs).radius == certified.certified_radius > 0


def test_methods_differ_in_their_links_and_in_what_was_chosen_for_them():
    of_rule = {"method", "drop", "grow", "decay"}
    first, *others = (run_of("paper", m, "certified") for m in experiments.CERTIFIED_SEEDS["paper"])
    for other in others:
        assert differences(first, other) <= of_rule | TRIED | {"hidden", "density"}


def test_every_method_is_tuned_by_the_same_grid_on_validation_images():
    grids = {}
    for run in experiments.certified_tuning("paper"):
        assert (run.validation, run.evaluate_test, run.seed) == (5000, False, 0)
        tried = run.kappa, run.certified_radius, run.learning_rate
        grids.setdefault(run.method, []).append((*tried, run.epochs))
    assert grids.keys() == experiments.CERTIFIED_SEEDS["paper"].keys()
    assert len(set(grids["rigl"])) == 8 and all(grid == grids["rigl"] for grid in grids.values())


def test_schedule_is_that_of_the_run():
    run = dataclasses.replace(
        SMALL[0], certified_radius=0.2, kappa=0.25, plain_epochs=3, growing_epochs=7
    )
    assert run.objectives() == {"objective": Certified(0.2, 0.25, 3, 7)}


def test_study_says_what_is_certified_and_what_pgd_leaves(record):
    study = experiments.study_of(
        "certificates", record.config, images=60, steps=5, radii=(0.0, 0.02, 0.3)
    )
    table, arrays = certificates(study, record)
    value = table.set_index(["measure", "radius"])["value"]
    assert value["clean", 0.0] == value["certified", 0.0] == value["pgd", 0.0] > 0.3
    assert 0 < value["certified", 0.02] <= value["pgd", 0.02] <= value["clean", 0.0]
    assert value["certified", 0.3] == 0 and (value["broken"] == 0).all()
    model, (x, y) = trained.network(record), experiments.study.images(study)
    right = model(x).argmax(1) == y
    assert torch.equal(torch.from_numpy(arrays["clean"]), right)
    desired = is_certified(model.double(), x.double(), y, radius=0.02)
    assert torch.equal(torch.from_numpy(arrays["certified 0.02"]), desired)


def test_pgd_attacks_the_first_images_and_those_without_a_certificate(record, monkeypatch):
    study = experiments.study_of("certificates", record.config, images=60, steps=5, radii=(0.02,))
    attacked, pgd = [], attacks.pgd
    monkeypatch.setattr(
        attacks, "pgd", lambda m, x, *a, **how: attacked.append(x) or pgd(m, x, *a, **how)
    )
    monkeypatch.setattr("papers.frontier.certificates.CHECKED", 10)
    _, arrays = certificates(study, record)
    certified = torch.from_numpy(arrays["certified 0.02"])
    x, _ = experiments.study.images(study)
    assert 0 < certified[10:].sum() < 50
    assert torch.equal(attacked[0], torch.cat([x[:10], x[10:][~certified[10:]]]))
    assert arrays["pgd 0.02"][10:][certified[10:]].all()


def test_links_move_while_the_radius_grows(record):
    history = record.metrics
    assert (history["replaced"].iloc[:-1] > 0).all()
    assert history["links"].nunique() == 1
