"""Certified training: which epochs have which radius, and what is measured."""

import dataclasses

import pytest
import torch

from lib.robustness import attacks
from lib.robustness.certified import is_certified
from lib.robustness.defences import Certified
from papers.frontier import experiments
from papers.frontier.certificates import certificates
from papers.shared import trained
from tests.papers import made

SMALL = experiments.certified("smoke")


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """RigL on digits, trained to be certified."""
    (run,) = (run for run in SMALL if (run.method, run.variant) == ("rigl", "certified"))
    store = made.store(tmp_path_factory.mktemp("records"))
    return store.run(dataclasses.replace(run, epochs=8, growing_epochs=3))


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
