"""Maps agree with the formula taken by derivatives, and look where the answer is known."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from papers.pruning import grad_cam, occlusion
from papers.shared import backbone


def linear_score(maps, weights):
    """S = sum of weights times maps, a score that is linear in them."""
    return (maps * weights).sum()


def by_derivatives(maps, weights):
    """Grad-CAM++ of one image by first, second and third derivatives of e^S, entry by entry."""
    _, n_maps, height, width = maps.shape
    factor = float(linear_score(maps, weights).exp())
    map_weights = np.zeros(n_maps)
    for k, i, j in np.ndindex(n_maps, height, width):
        entry = maps[0, k, i, j].clone().requires_grad_()
        filled = maps.clone()
        filled[0, k, i, j] = entry
        y = linear_score(filled, weights).exp()
        derivatives = []
        for _ in range(3):
            (y,) = torch.autograd.grad(y, entry, create_graph=True)
            derivatives.append(float(y.detach()))
        first, second, third = derivatives
        alpha = second / (2 * second + float(maps[0, k].sum()) * third)
        map_weights[k] += alpha * max(first, 0) / factor
    return np.maximum(np.einsum("k,kij->ij", map_weights, maps[0]), 0)


@pytest.fixture
def maps(generator):
    return torch.rand(1, 2, 2, 3, generator=generator)


def test_map_is_the_published_formula_by_derivatives(maps, generator):
    weights = torch.randn(2, 2, 3, generator=generator)
    actual = grad_cam.grad_cam_plus_plus(maps, weights[None])
    assert_allclose(actual[0], by_derivatives(maps, weights), rtol=1e-10)


def test_map_of_a_hand_worked_case():
    # one map A = (1 3), gradient 1/2 everywhere: alpha = (1/4) / (1/2 + 4/8) = 1/4, twice 1/2 of it
    maps = torch.tensor([[[[1.0, 3.0]]]], dtype=torch.float64)
    actual = grad_cam.grad_cam_plus_plus(maps, torch.full_like(maps, 0.5))
    assert_allclose(actual, [[[0.25, 0.75]]])


def test_what_speaks_against_a_score_is_not_shown(maps):
    assert not grad_cam.grad_cam_plus_plus(maps, -torch.ones_like(maps)).any()


def test_no_gradient_gives_an_empty_map(maps):
    assert not grad_cam.grad_cam_plus_plus(maps, torch.zeros_like(maps)).any()


def test_map_of_a_pooled_feature_is_that_of_the_gradient_of_its_mean(maps):
    maps.requires_grad_()
    (grads,) = torch.autograd.grad(maps[:, 0].mean(), maps)
    desired = grad_cam.grad_cam_plus_plus(maps.detach(), grads)
    assert_allclose(grad_cam.of_pooled_features(maps.detach(), [0])[:, 0], desired)


@pytest.fixture
def lines():
    """Three black images of one channel, each with a bright line in another row."""
    images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    images[torch.arange(3), 0, torch.tensor([1, 4, 6])] = 16
    return images


@pytest.fixture
def brightness(monkeypatch):
    """An extractor of one feature: the input itself, through a 1x1 convolution of weight 2."""
    network = torch.nn.Conv2d(1, 1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 2.0)
    network.requires_grad_(False)
    found = backbone.Extractor("tiny", network, lambda images: images / 16.0, 1, "")
    monkeypatch.setattr(backbone, "extractor", lambda name: found)


def test_feature_of_brightness_looks_at_the_bright_line(brightness, lines):
    found = occlusion.mean_maps(lines, [0], "tiny")
    assert found.shape == (3, 8, 8)
    assert found.amax(2).argmax(1).tolist() == [1, 4, 6]
    assert ((found > 0) == (lines > 0)[:, 0]).all()
