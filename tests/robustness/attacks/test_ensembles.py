"""Attacks in turn against what each of them breaks."""

import pytest
import torch
from torch import nn

from lib.robustness import attacks
from tests.robustness.attacks.cases import seeded


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
    two = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 2).to(x)).eval()
    with pytest.raises(ValueError, match="loss 'dlr' of 2 logits is undefined"):
        attacks.ensemble(two, x, y % 2, radius=0.03, generator=seeded())
