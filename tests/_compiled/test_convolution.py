"""The compiled convolution against torch's in float64, over random shapes."""

import numba
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lib._compiled.convolution import Geometry, Plan

KERNELS = [(1, 1), (3, 3), (5, 5), (1, 3), (4, 2)]
STRIDES = [(1, 1), (2, 2), (1, 2), (3, 1)]  # loops are compiled anew for each second number
BATCHES = (1, 2, 15, 16, 17, 33, 128, 200)


def random_case(seed):
    """A geometry, links, input, weights and bias, and the gradient at the output."""
    rng = np.random.default_rng(seed)
    kernel, stride = KERNELS[seed % 5], STRIDES[seed // 5 % 4]
    padding = tuple(int(rng.integers(0, k + 1)) for k in (*kernel, *kernel))
    n_in, n_out = (int(n) for n in rng.integers(1, 10, 2))
    geometry = Geometry(n_in, n_out, kernel, stride, padding)
    height, width = int(rng.integers(5, 14)), int(rng.choice([5, 7, 8, 16, 17, 32]))
    mask = rng.random((n_out, n_in, *kernel)) < rng.choice([0.02, 0.2, 0.6, 1])
    mask[rng.integers(n_out)] &= rng.random() < 0.5  # a map without links
    mask[0, 0, 0, 0] = True
    batch = BATCHES[seed % len(BATCHES)]
    x = rng.standard_normal((batch, n_in, height, width), np.float32)
    weight = np.where(mask, rng.standard_normal(mask.shape), 0).astype(np.float32)
    bias = rng.standard_normal(n_out).astype(np.float32)
    grad_y = rng.standard_normal(
        (batch, n_out, *geometry.size_of_output(height, width)), np.float32
    )
    return geometry, mask, x, weight, bias, grad_y


def computed(geometry, mask, x, weight, bias, grad_y, n_threads=1):
    plan = Plan(geometry, np.flatnonzero(mask), len(x), *x.shape[2:])
    y, grad_x, values = np.empty_like(grad_y), np.empty_like(x), weight[mask]
    grad = np.empty_like(values)
    plan.forward(x, values, bias, y, n_threads)
    plan.backward(x, values, grad_y, grad_x, grad, n_threads)
    return y, grad_x, grad


def expected(geometry, mask, x, weight, bias, grad_y):
    """By torch in float64, in which errors of rounding are far below those of float32."""
    x, weight, grad_y = (torch.from_numpy(a).double() for a in (x, weight, grad_y))
    x.requires_grad_()
    weight.requires_grad_()
    top, left, bottom, right = geometry.padding
    padded = F.pad(x, (left, right, top, bottom))
    y = F.conv2d(padded, weight, torch.from_numpy(bias).double(), geometry.stride)
    y.backward(grad_y)
    return y.detach(), x.grad, weight.grad[torch.from_numpy(mask)]


@pytest.mark.parametrize("seed", range(40))
def test_output_and_gradients_are_those_of_the_dense_convolution(seed):
    case = random_case(seed)
    for actual, desired in zip(computed(*case), expected(*case), strict=True):
        largest = max(float(desired.abs().max()), 1.0)  # float32: 1e-7 of it a sum
        np.testing.assert_allclose(actual, desired.numpy(), rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("seed", [3, 5, 6, 7])  # of several tiles
def test_two_threads_give_the_bytes_of_one(seed):
    case = random_case(seed)
    before = numba.get_num_threads()
    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    try:
        one, two = computed(*case, n_threads=1), computed(*case, n_threads=2)
    finally:
        numba.set_num_threads(before)
    assert [a.tobytes() for a in one] == [a.tobytes() for a in two]
