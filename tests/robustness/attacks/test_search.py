"""Square against its schedule, one pixel against brute force."""

import itertools

import pytest
import torch
from torch import nn

from lib.robustness import attacks
from tests.robustness.attacks.cases import Changed, affine, seeded


@pytest.fixture
def square_queries():
    """What Square asks in 20 queries about one 20 x 20 image, where nothing raises the margin."""
    x = torch.full((1, 20, 20), 0.5)
    y = torch.tensor([1])
    constant = nn.Sequential(nn.Flatten(), nn.Linear(400, 2)).eval()
    constant[1].weight.data.zero_()
    constant[1].bias.data = torch.tensor([0.0, 1.0])
    seen = []
    model = Changed(constant, see=seen.append)
    attacks.square(model, x, y, radius=0.1, queries=20, generator=seeded())
    return torch.cat(seen[2:])


def test_square_starts_from_vertical_stripes(square_queries):
    stripes = square_queries[0]
    assert len(square_queries) == 20
    torch.testing.assert_close((stripes - 0.5).abs(), torch.full((20, 20), 0.1))
    assert (stripes == stripes[0]).all() and stripes.unique().numel() == 2


def test_every_query_of_square_changes_one_square_of_the_scheduled_side(square_queries):
    torch.testing.assert_close((square_queries - 0.5).abs(), torch.full((20, 20, 20), 0.1))
    changed = square_queries[1:] != square_queries[0]
    rows = changed.any(2)
    columns = changed.any(1)  # columns that had the sign do not change
    assert torch.equal(changed, rows[:, :, None] & columns[:, None, :])
    # area 320 / 2^k, k the marks of the paper below 500, 1000, ..., 9500
    desired = [6, 4, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1]
    assert rows.sum(1).tolist() == desired
    assert (columns.sum(1) <= torch.tensor(desired)).all()


@pytest.mark.parametrize("shape", [(36,), (6, 6), (1, 6, 6)])
def test_square_takes_rows_and_images_alike(small, shape):
    model, x, y = small
    model = nn.Sequential(nn.Flatten(), model).eval()
    settings = {"radius": 0.05, "queries": 30}
    desired = attacks.square(model, x, y, generator=seeded(), **settings)
    x_adv = attacks.square(model, x.view(-1, *shape), y, generator=seeded(), **settings)
    assert torch.equal(x_adv, desired.view_as(x_adv))


def test_one_pixel_goes_from_the_lowest_to_the_highest_value():
    model = nn.Linear(1, 2).eval()
    model.weight.data = torch.tensor([[0.0], [1.0]])
    model.bias.data = torch.zeros(2)
    x, y = torch.tensor([[-0.5]]), torch.tensor([0])
    x_adv = attacks.one_pixel(model, x, y, bounds=(-1.0, 3.0))
    assert x_adv.tolist() == [[3.0]]


def test_one_pixel_agrees_with_brute_force():
    model = affine(n_classes=3, n_in=9)
    x = torch.rand(30, 9, generator=seeded(4))
    y = model(x).argmax(1)
    values = (0.0, 0.25, 0.5, 0.75, 1.0)
    x_adv = attacks.one_pixel(model, x, y)
    margins = []
    for pixel, value in itertools.product(range(9), values):
        change = x.index_fill(1, torch.tensor([pixel]), value)
        margins.append(attacks.margin(model(change), y))
    desired = torch.stack(margins).amax(0)
    torch.testing.assert_close(attacks.margin(model(x_adv), y), desired)
    assert (attacks.distance(x_adv, x, "l0") <= 1).all() and (desired > 0).any()
