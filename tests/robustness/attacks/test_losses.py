"""Losses against tables, the cross-entropy and finite differences."""

import copy

import pytest
import torch
from torch import nn

from lib.robustness.attacks import losses
from tests.robustness.attacks.cases import seeded


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_gradient_of_the_loss_is_that_of_finite_differences(small, loss):
    model, x, y = small
    frozen = copy.deepcopy(model).requires_grad_(False)
    x = (0.2 + 0.6 * x[3:]).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: losses.LOSSES[loss](frozen(x), y[3:]), x)


def test_log_odds_follow_the_cross_entropy_and_do_not_saturate():
    z = torch.randn(50, 5, generator=seeded())
    y = torch.arange(50) % 5
    loss = nn.functional.cross_entropy(z, y, reduction="none")
    torch.testing.assert_close(losses.log_odds(z, y), loss.expm1().log())
    confident = torch.tensor([[1e4, 0.0, 0.0]], requires_grad=True)
    losses.log_odds(confident, torch.tensor([0])).backward()
    torch.testing.assert_close(confident.grad, torch.tensor([[-1.0, 0.5, 0.5]]))


@pytest.mark.parametrize(
    ("z", "y", "desired"),
    [
        ([4.0, 3.0, 2.0, 0.0], 0, -0.5),
        ([4.0, 3.0, 2.0, 0.0], 2, 1.0),
        ([1.0, 1.0, 1.0, 1.0], 0, 0.0),
    ],
)
def test_dlr_is_that_of_a_table(z, y, desired):
    actual = losses.difference_of_logits_ratio(torch.tensor([z]), torch.tensor([y]))
    assert actual.tolist() == [desired]


@pytest.mark.parametrize(("y", "desired"), [(0, -1.0), (1, 1.0), (2, torch.inf)])
def test_margin_is_that_of_a_table_and_positive_if_another_logit_is_largest(y, desired):
    z, y = torch.tensor([[4.0, 3.0, -torch.inf]]), torch.tensor([y])
    assert losses.margin(z, y).tolist() == [desired]
    assert losses.is_misclassified(z, y).tolist() == [desired > 0]


@pytest.mark.parametrize(("place", "y"), [(0, 1), (2, 2)])
def test_logits_that_are_nan_have_no_class(place, y):
    z = torch.tensor([[4.0, 3.0, 0.0], [0.0, 3.0, 4.0]])
    z[1, place] = torch.nan
    with pytest.raises(ValueError, match="logits of 1 of 2 inputs are nan, so the model gives"):
        losses.is_misclassified(z, torch.tensor([0, y]))
