"""Balls are drawn from evenly, and the best points kept."""

import math

import pytest
import torch

from lib.robustness import attacks
from lib.robustness.attacks import iterates
from tests.robustness.attacks.cases import seeded


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_draws_are_uniform_in_the_ball(norm):
    x = torch.full((20_000, 3), 0.5)
    drawn = iterates.Ball(0.4, norm, (0.0, 1.0)).draw(x, seeded())
    distances = attacks.distance(drawn, x, norm)
    inside = (distances <= 0.2).double().mean()  # half the radius, an eighth of the volume
    assert distances.max() <= 0.4
    assert abs(inside - 1 / 8) < 5 * math.sqrt(7 / 64 / 20_000)  # 5 standard errors
    assert (drawn.mean(0) - 0.5).abs().max() < 5 * 0.4 / math.sqrt(20_000)


def test_first_point_of_the_highest_score_is_kept():
    best = iterates.Best(torch.zeros(3, 1))
    everything = torch.arange(3)
    best.keep_(everything, torch.full((3, 1), 1.0), torch.tensor([1.0, 1.0, math.inf]))
    best.keep_(everything, torch.full((3, 1), 2.0), torch.tensor([2.0, 1.0, math.inf]))
    best.keep_(torch.tensor([1]), torch.full((1, 1), 3.0), torch.tensor([-1.0]))
    assert best.x.tolist() == [[2.0], [1.0], [1.0]]
    assert best.broken.tolist() == [False, False, True]
