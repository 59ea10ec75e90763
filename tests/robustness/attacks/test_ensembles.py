"""Attacks in turn against what each of them breaks."""

import math
import re

import pytest
import torch
from torch import nn

from lib.robustness import attacks
from tests.robustness.attacks.cases import affine, seeded


def test_ensemble_is_cumulative_and_says_what_is_broken(small):
    model, x, y = small
    x_adv, broken = attacks.ensemble(model, x, y, radius=0.03, queries=50, generator=seeded())
    assert list(broken) == ["apgd_ce", "apgd_dlr", "square"]
    stages = torch.stack([attacks.is_adversarial(model, x, y), *broken.values()])
    assert (stages[1:] >= stages[:-1]).all() and 3 < stages[1].sum() < 12
    assert torch.equal(broken["square"], attacks.is_adversarial(model, x_adv, y))
    assert attacks.distance(x_adv, x, "linf").max() <= 0.03 + 1e-12


def test_first_stage_of_the_ensemble_is_auto_pgd_alone(small):
    model, x, y = small
    settings = {"radius": 0.03, "steps": 10}
    _, broken = attacks.ensemble(model, x, y, queries=10, generator=seeded(), **settings)
    x_adv = attacks.apgd(model, x, y, generator=seeded(), **settings)
    assert torch.equal(broken["apgd_ce"], attacks.is_adversarial(model, x_adv, y))


def test_what_a_later_attack_refuses_is_refused_before_the_first(small, monkeypatch):
    monkeypatch.setattr("lib.robustness.attacks.ensembles.apgd", None)
    model, x, y = small
    with pytest.raises(ValueError, match="queries"):
        attacks.ensemble(model, x, y, radius=0.03, queries=0, generator=seeded())


PARTS = [
    (2, (6, 6), ["apgd_ce", "square"], ["without apgd_dlr, whose loss needs three classes"]),
    (2, (16,), ["apgd_ce", "square"], ["without apgd_dlr"]),
    (3, (8,), ["apgd_ce", "apgd_dlr"], [r"without square: examples of shape \(8,\) are no images"]),
    (3, (2, 2, 3, 3), ["apgd_ce", "apgd_dlr"], ["without square: examples of shape"]),
    (2, (13,), ["apgd_ce"], ["without apgd_dlr", "without square"]),
    (3, (1, 6, 6), ["apgd_ce", "apgd_dlr", "square"], []),
]


@pytest.mark.parametrize(("n_classes", "shape", "parts", "said"), PARTS)
def test_parts_of_the_ensemble_that_cannot_run_are_left_out_and_named(
    n_classes, shape, parts, said, caplog
):
    model = nn.Sequential(nn.Flatten(), affine(n_classes, math.prod(shape))).eval()
    x = torch.rand(30, *shape, generator=seeded())
    y = model(x).argmax(1)
    settings = {"radius": 0.2, "steps": 10, "queries": 20, "generator": seeded()}
    x_adv, broken = attacks.ensemble(model, x, y, **settings)
    assert list(broken) == parts and 3 < broken[parts[-1]].sum()
    assert torch.equal(broken[parts[-1]], attacks.is_adversarial(model, x_adv, y))
    assert len(caplog.messages) == len(said)
    assert all(map(re.search, said, caplog.messages))
