"""Corrupted images: which networks are compared, and what is measured of one."""

import dataclasses

import pytest
import torch

from lib._boundary import PROFILES
from lib.robustness import attacks
from papers.frontier import experiments
from papers.frontier.corruptions import corrupted
from papers.shared import study, trained


@pytest.mark.parametrize("profile", PROFILES)
def test_networks_differ_in_method_and_density_alone(profile):
    runs = experiments.before_corruption(profile)
    assert len({run.epochs for run in runs}) == 1
    larger = {run.density for run in runs if run.variant.startswith("density")}
    assert len(larger) == 1 and larger.pop() > 0.01
    for method, seeds in {"rigl": 2, "fixed": 2}.items():
        one = [run for run in runs if run.method == method and run.seed == 0]
        assert len({run.density for run in one}) == seeds
        chosen = {(run.learning_rate, run.dropout, run.decay) for run in one}
        assert len(chosen) == len({run.dataset for run in one}) or len(chosen) == 1


def test_every_network_is_measured_on_the_same_images():
    studies = experiments.all_corrupted("paper")
    assert {run.images for run in studies} == {2000}
    assert [run.parent for run in studies] == experiments.before_corruption("paper")
    assert all(run.variant == run.parent.variant for run in studies)


def test_accuracy_is_that_on_corrupted_images(store):
    (parent,) = (
        run
        for run in experiments.before_corruption("smoke")
        if (run.method, run.variant) == ("rigl", "tuned")
    )
    record = store.run(dataclasses.replace(parent, epochs=4, density=0.2))
    of_network = experiments.study_of("corrupted", record.config, images=100)
    table, _ = corrupted(of_network, record)
    value = table.set_index(["kind", "severity"])["value"]
    model, (x, y) = trained.network(record), study.images(of_network)
    assert value["none", 0] == (model(x).argmax(1) == y).double().mean() > 0.5
    noisy = attacks.corrupt(x, "impulse_noise", 5, generator=of_network.generator())
    assert value["impulse_noise", 5] == (model(noisy).argmax(1) == y).double().mean()
    assert set(table["kind"]) == {"none", *attacks.CORRUPTIONS} and len(table) == 1 + 14 * 5
    means = table.groupby("severity")["value"].mean()
    assert means[0] > means[1] > means[5]


def test_networks_of_one_seed_see_the_same_corrupted_images():
    first, other = (
        next(run for run in experiments.all_corrupted("paper") if run.method == method)
        for method in ("rigl", "dense_small")
    )
    x = torch.rand(3, 28, 28)
    one, two = (attacks.corrupt(x, "fog", 1, generator=r.generator()) for r in (first, other))
    assert torch.equal(one, two)
