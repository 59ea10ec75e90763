"""Balls against the distances of their points, scores against tables."""

import math

import pytest
import torch

from lib.robustness import attacks
from lib.robustness.attacks import iterates
from tests.robustness.attacks.cases import seeded

each_norm = pytest.mark.parametrize("norm", ["linf", "l2"])


@pytest.fixture
def x():
    return torch.rand(500, 3, generator=seeded(1))


@each_norm
def test_projection_leads_into_the_ball_and_keeps_what_is_inside(x, norm):
    ball = iterates.Ball(0.2, norm, (0.0, 1.0))
    outside = x + torch.randn(500, 3, generator=seeded(2))
    projected = ball.project(outside, x)
    assert attacks.distance(projected, x, norm).max() <= 0.2 + 1e-12
    assert projected.min() >= 0 and projected.max() <= 1
    torch.testing.assert_close(ball.project(projected, x), projected)


@each_norm
def test_every_example_may_have_a_radius_of_its_own(x, norm):
    radius = torch.linspace(0, 0.5, 500)[:, None]
    rows = torch.tensor([0, 7, 400])
    ball = iterates.Ball(radius, norm, (0.0, 1.0)).of(rows)
    x = x[rows]
    projected = ball.project(x + 5 * torch.randn(3, 3, generator=seeded(2)), x)
    points = torch.stack([projected, ball.draw(x, seeded())])
    distances = (points - x).norm(p={"linf": math.inf, "l2": 2}[norm], dim=2)
    assert (distances <= radius[rows].T + 1e-12).all() and torch.equal(points[:, 0], x[[0, 0]])


@each_norm
def test_draws_are_uniform_in_the_ball(norm):
    x = torch.full((20_000, 3), 0.5)
    drawn = iterates.Ball(0.4, norm, (0.0, 1.0)).draw(x, seeded())
    distances = attacks.distance(drawn, x, norm)
    inside = (distances <= 0.2).double().mean()  # half the radius, an eighth of the volume
    assert distances.max() <= 0.4
    assert abs(inside - 1 / 8) < 5 * math.sqrt(7 / 64 / 20_000)  # 5 standard errors
    assert (drawn.mean(0) - 0.5).abs().max() < 5 * 0.4 / math.sqrt(20_000)


@pytest.mark.parametrize(
    ("norm", "desired"),
    [("linf", [[0.6, 0.4], [0.5, 0.5]]), ("l2", [[0.56, 0.42], [0.5, 0.5]])],
)
def test_steps_of_steepest_ascent_are_those_of_a_table(norm, desired):
    ball = iterates.Ball(0.3, norm, (0.0, 1.0))
    x = torch.full((2, 2), 0.5)
    grad_x = torch.tensor([[3.0, -4.0], [0.0, 0.0]])
    stepped = ball.ascend(x, 0.1, grad_x)
    torch.testing.assert_close(stepped, torch.tensor(desired))


def test_first_point_of_the_highest_score_is_kept():
    best = iterates.Best(torch.zeros(3, 1))
    everything = torch.arange(3)
    best.keep_(everything, torch.full((3, 1), 1.0), torch.tensor([1.0, 1.0, math.inf]))
    best.keep_(everything, torch.full((3, 1), 2.0), torch.tensor([2.0, 1.0, math.inf]))
    best.keep_(torch.tensor([1]), torch.full((1, 1), 3.0), torch.tensor([-1.0]))
    assert best.x.tolist() == [[2.0], [1.0], [1.0]]
    assert best.broken.tolist() == [False, False, True]
