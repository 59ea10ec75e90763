"""Critical norms of linear classifiers, whose boundaries are known; survival by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from papers.local_learning import critical

N = 12


@pytest.fixture
def line():
    """Two classes on either side of sum(x) = n / 2, and images of both."""
    model = nn.Linear(N, 2)
    with torch.no_grad():
        model.weight.copy_(torch.stack([-torch.ones(N), torch.ones(N)]))
        model.bias.copy_(torch.tensor([N / 2, -N / 2]))
    generator = torch.Generator().manual_seed(1)
    x = 0.3 + 0.4 * torch.rand(40, N, generator=generator)
    y = (x.sum(1) > N / 2).long()
    return model.eval(), x, y


def gap(x):
    """How much every pixel must move for the class to change."""
    return (x.mean(1) - 0.5).abs()


SIZES = np.logspace(-5, 0, 200)
RATIO = SIZES[1] / SIZES[0]
GRADIENT = {
    "released_fgsm": critical.released_fgsm,
    "released_pgd": critical.released_pgd,
    "fgsm": critical.fgsm,
    "pgd": critical.pgd,
}


def options(name, generator):
    chosen = {}
    if not name.startswith("released"):
        chosen["white"] = 1.0
    if name in ("pgd", "noise", "released_noise"):
        chosen["generator"] = generator
    return chosen


@pytest.mark.parametrize("name", GRADIENT)
def test_the_critical_size_of_a_line_is_its_distance(name, line, generator):
    model, x, y = line
    found = GRADIENT[name](model, x, y, sizes=SIZES, **options(name, generator))
    assert found.fooled.all()
    assert (found.size >= gap(x) * (1 - 1e-9)).all()
    assert (found.size <= gap(x) * RATIO * 1.02).all()  # a start at random may lose a step of 40
    assert (found.norm <= found.size * math.sqrt(N) * (1 + 1e-9)).all()


@pytest.mark.parametrize("name", ["released_fgsm", "fgsm"])
def test_one_step_within_bounds_moves_every_pixel(name, line, generator):
    model, x, y = line
    found = GRADIENT[name](model, x, y, sizes=SIZES, **options(name, generator))
    torch.testing.assert_close(found.norm, found.size * math.sqrt(N))


def test_noise_of_one_direction_is_first_fooling_where_it_crosses(line):
    model, x, y = line
    generator = torch.Generator().manual_seed(7)
    n = torch.randn(x.shape, generator=torch.Generator().manual_seed(7))
    along = n.mean(1) * (1 - 2.0 * y)  # towards the boundary if positive
    crossing = torch.where(along > 0, gap(x) / along, math.inf)
    wide = np.logspace(-3, 0, 300)
    found = critical.noise(model, x, y, white=1e9, sizes=wide, generator=generator)
    # black bounds the pixels from below, which matters only where they are left
    inside = (x + found.size[:, None] * n > 0).all(1) & (crossing < 1)
    assert inside.sum() > 5
    ratio = found.size[inside] / crossing[inside]
    assert ((ratio >= 1) & (ratio <= wide[1] / wide[0] * 1.001)).all()


def test_released_noise_is_not_clipped(line):
    model, x, y = line
    generator = torch.Generator().manual_seed(0)
    found = critical.released_noise(model, x, y, sizes=np.array([50.0]), generator=generator)
    assert (found.norm > math.sqrt(N)).all()  # longer than any difference of two images in [0, 1]


@pytest.mark.parametrize("name", ["noise", "fgsm", "pgd"])
def test_corrected_points_stay_between_black_and_white(name, line, generator):
    model, x, y = line
    white = x.amax(1, keepdim=True)  # each image has a pixel that is white
    found = getattr(critical, name)(
        model, x, y, sizes=np.array([100.0]), **{**options(name, generator), "white": white}
    )
    farthest = torch.maximum(x, white - x).norm(dim=1)
    assert (found.norm <= farthest * (1 + 1e-9)).all()


@pytest.mark.parametrize("name", [*GRADIENT, "noise", "released_noise"])
def test_what_nothing_fools_keeps_the_largest_norm_tried(name, line, generator):
    model, x, y = line
    tiny = np.array([1e-9, 1e-8])
    found = getattr(critical, name)(model, x, y, sizes=tiny, **options(name, generator))
    assert not found.fooled.any()
    torch.testing.assert_close(found.size, torch.full((len(x),), 1e-8), atol=0, rtol=1e-6)
    assert (found.norm > 0).all()


def test_a_saturated_loss_stops_the_released_attack_alone(line):
    model, x, y = line
    with torch.no_grad():
        model.weight.mul_(1e5)
        model.bias.mul_(1e5)
    far = gap(x) > 0.02
    released = critical.released_fgsm(model, x[far], y[far], sizes=SIZES)
    corrected = critical.fgsm(model, x[far], y[far], sizes=SIZES, white=1.0)
    assert not released.fooled.any()
    assert corrected.fooled.all()


# ------------------------------------------------------------------------------------ medians


def test_survival_is_the_product_by_hand():
    norms = np.array([1.0, 2.0, 2.0, 3.0, 4.0])
    fooled = np.array([True, True, False, True, False])
    curve = critical.survival(norms, fooled).set_index("norm")["share"]
    assert curve[1.0] == pytest.approx(4 / 5)
    assert curve[2.0] == pytest.approx(4 / 5 * 3 / 4)
    assert curve[3.0] == pytest.approx(4 / 5 * 3 / 4 * 1 / 2)
    assert curve.iloc[-1] == curve[3.0]


def test_the_median_of_an_odd_number_is_the_middle_one(rng):
    norms = rng.exponential(size=101)
    everything = np.ones(101, bool)
    assert critical.median(norms, everything) == pytest.approx(np.median(norms))
    assert critical.median_of_fooled(norms, everything) == pytest.approx(np.median(norms))


def test_a_median_that_is_not_reached_is_infinite():
    assert critical.median(np.array([1.0, 2.0, 2.0]), np.array([True, False, False])) == math.inf


def test_dropping_what_was_not_fooled_makes_the_median_smaller(rng):
    norms = rng.exponential(size=400)
    fooled = norms < 1.2
    kept = np.minimum(norms, 1.2)
    assert critical.median_of_fooled(kept, fooled) < 0.6
    assert critical.median(kept, fooled) == pytest.approx(math.log(2), abs=0.12)  # exponential's


def test_no_image_has_no_curve():
    with pytest.raises(ValueError, match="no image is left"):
        critical.survival(np.array([]), np.array([], bool))


def test_where_nothing_was_fooled_there_is_no_released_median():
    assert math.isnan(critical.median_of_fooled(np.array([1.0]), np.array([False])))
