r"""Sums of hinges: continuous piecewise linear functions through the origin, whose gradients follow
from the input alone.

The compiled loops go over the memory of a tensor in chunks, whatever its shape and memory format;
the sums of a chunk belong to one thread, so that results do not depend on the number of threads.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from lib import compiled, loops

CHUNK = 4096  # values: what a pass over the hinges finds in the cache


@compiled.outside_graphs
def hinge_sum(x: Tensor, hinges: Tensor, coefficients: Tensor) -> Tensor:
    r"""Hinges on both sides of the origin, each with a coefficient.

    .. math::
        h(x) = \sum_{s=1}^{m} a^+_s \max(0, x - b_s) + \sum_{s=1}^{m} a^-_s \max(0, -x - b_s)

    The derivative at a hinge is that of the side of the origin, 0 for ReLU. Nothing is stored for
    the backward pass but x; gradients can be differentiated any number of times.

    Source: [Tavakoli2021], the SPLASH unit.

    Args:
        x: float of any shape and memory format; under ``torch.autocast`` it is taken to the dtype
            of the coefficients.
        hinges: (m,) float, :math:`b_s`, not negative; no gradient is computed for them.
        coefficients: (2, m) float, :math:`a^+` and :math:`a^-`.
    Returns: like x.
    Raises: ValueError if a shape or a dtype does not fit.
    """
    if x.dtype != coefficients.dtype and compiled.is_autocast(x):
        x = x.to(coefficients.dtype)
    _check(x, hinges, coefficients)
    if compiled.is_traced():
        return _torch_sum(x, hinges, coefficients)
    return _HingeSum.apply(x, hinges, coefficients)


def _check(x: Tensor, hinges: Tensor, coefficients: Tensor) -> None:
    if hinges.ndim != 1 or coefficients.shape != (2, len(hinges)):
        shapes = f"{tuple(hinges.shape)} and {tuple(coefficients.shape)}"
        raise ValueError(f"hinges and coefficients have shapes {shapes}: give (m,) and (2, m)")
    if not x.dtype == hinges.dtype == coefficients.dtype:
        raise ValueError(
            f"x is {x.dtype}, the hinges {hinges.dtype} and the coefficients {coefficients.dtype}:"
            " give one dtype"
        )


class _HingeSum(torch.autograd.Function):
    """The sum and its gradients, from x and the coefficients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, hinges: Tensor, coefficients: Tensor) -> Tensor:
        ctx.save_for_backward(x, hinges, coefficients)
        if not compiled.runs_compiled(x):
            return _torch_sum(x, hinges, coefficients)
        order = _memory_order(x)
        rows = _permuted(x, order).contiguous()
        y = torch.empty_like(rows)
        compiled.match_threads()
        _values(_flat(rows), hinges.numpy(), compiled.array(coefficients), _flat(y))
        return _permuted(y, _inverse(order))

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        x, hinges, coefficients = ctx.saved_tensors
        if torch.is_grad_enabled() or not compiled.runs_compiled(x):
            grad_x, grad_coefficients = _torch_gradients(x, hinges, coefficients, grad_y)
            return grad_x, None, grad_coefficients
        order = _memory_order(x)
        rows = _permuted(x, order).contiguous()
        grad_rows = _permuted(grad_y, order).contiguous()
        grad_x = torch.empty_like(rows)
        slopes = compiled.array(coefficients)
        sums = None
        if ctx.needs_input_grad[2]:
            n_chunks = -(-x.numel() // CHUNK)
            sums = np.empty((n_chunks, *slopes.shape), slopes.dtype)
        compiled.match_threads()
        operands = _flat(rows), _flat(grad_rows), hinges.numpy(), slopes
        _gradients(*operands, _flat(grad_x), sums)
        grad_coefficients = None
        if sums is not None:
            total = sums.sum(axis=0, dtype=np.float64)  # on one thread, always in one order
            grad_coefficients = torch.from_numpy(total.astype(sums.dtype))
        return _permuted(grad_x, _inverse(order)), None, grad_coefficients


# -------------------------------------------------------------------------------------- memory


def _memory_order(x: Tensor) -> list[int] | None:
    """The axes in the order of their strides, in which a dense tensor is contiguous; None if x is
    as it is.
    """
    if x.is_contiguous():
        return None
    return sorted(range(x.ndim), key=lambda axis: -x.stride(axis))


def _inverse(order: list[int] | None) -> list[int] | None:
    return order and sorted(range(len(order)), key=order.__getitem__)


def _permuted(x: Tensor, order: list[int] | None) -> Tensor:
    return x if order is None else x.permute(order)


def _flat(x: Tensor) -> np.ndarray:
    """The memory of a contiguous tensor."""
    return compiled.array(x).reshape(-1)


# -------------------------------------------------------------------------- the compiled loops


@loops.inline
def _hinge(s, hinges, coefficients):
    """Place of hinge s, and its coefficients to the right and to the left of the origin."""
    return hinges[s], coefficients[0, s], coefficients[1, s]


@loops.inline
def _part(x, hinge, zero):
    """Of the sum at x: a hinge lies on one side of the origin, its twin on the other is 0 there."""
    b, right, left = hinge
    coefficient = right if x > zero else left
    return coefficient * max(abs(x) - b, zero)


@loops.jit
def _values(x, hinges, coefficients, y):
    """Four hinges in each pass over a chunk."""
    n_hinges = hinges.shape[0]
    zero = x.dtype.type(0)
    for k in numba.prange(-(-x.shape[0] // CHUNK)):
        x_k, y_k = x[k * CHUNK : (k + 1) * CHUNK], y[k * CHUNK : (k + 1) * CHUNK]
        s = 0
        while s + 4 <= n_hinges:
            h0 = _hinge(s, hinges, coefficients)
            h1 = _hinge(s + 1, hinges, coefficients)
            h2 = _hinge(s + 2, hinges, coefficients)
            h3 = _hinge(s + 3, hinges, coefficients)
            for i in range(x_k.shape[0]):
                inner = _part(x_k[i], h0, zero) + _part(x_k[i], h1, zero)
                outer = _part(x_k[i], h2, zero) + _part(x_k[i], h3, zero)
                total = inner + outer
                y_k[i] = total if s == 0 else y_k[i] + total
            s += 4
        while s < n_hinges:
            h0 = _hinge(s, hinges, coefficients)
            for i in range(x_k.shape[0]):
                total = _part(x_k[i], h0, zero)
                y_k[i] = total if s == 0 else y_k[i] + total
            s += 1


@loops.jit
def _gradients(x, grad_y, hinges, coefficients, grad_x, sums):
    """grad_x, and the sums of each chunk that make the gradients of the coefficients, if any; two
    hinges in each pass over a chunk.

    The slope is summed first and multiplied last, so that no compiler can fuse products with sums
    in one of several ways.
    """
    n_hinges = hinges.shape[0]
    zero = x.dtype.type(0)
    for k in numba.prange(-(-x.shape[0] // CHUNK)):
        x_k, g_k = x[k * CHUNK : (k + 1) * CHUNK], grad_y[k * CHUNK : (k + 1) * CHUNK]
        d_k = grad_x[k * CHUNK : (k + 1) * CHUNK]
        d_k[:] = zero
        s = 0
        while s + 2 <= n_hinges:
            b0, right0, left0 = _hinge(s, hinges, coefficients)
            b1, right1, left1 = _hinge(s + 1, hinges, coefficients)
            of_right0 = of_left0 = of_right1 = of_left1 = zero
            for i in range(x_k.shape[0]):
                is_right = x_k[i] > zero
                above0, above1 = abs(x_k[i]) - b0, abs(x_k[i]) - b1
                slope0 = right0 if is_right else -left0
                slope1 = right1 if is_right else -left1
                slope0 = slope0 if above0 > zero else zero
                slope1 = slope1 if above1 > zero else zero
                d_k[i] += slope0 + slope1
                if sums is not None:
                    g_right = g_k[i] if is_right else zero
                    g_left = zero if is_right else g_k[i]
                    of_right0 += g_right * max(above0, zero)
                    of_left0 += g_left * max(above0, zero)
                    of_right1 += g_right * max(above1, zero)
                    of_left1 += g_left * max(above1, zero)
            if sums is not None:
                sums[k, 0, s], sums[k, 1, s] = of_right0, of_left0
                sums[k, 0, s + 1], sums[k, 1, s + 1] = of_right1, of_left1
            s += 2
        if s < n_hinges:
            b0, right0, left0 = _hinge(s, hinges, coefficients)
            of_right0 = of_left0 = zero
            for i in range(x_k.shape[0]):
                is_right = x_k[i] > zero
                above0 = abs(x_k[i]) - b0
                slope0 = right0 if is_right else -left0
                d_k[i] += slope0 if above0 > zero else zero
                if sums is not None:
                    g_right = g_k[i] if is_right else zero
                    g_left = zero if is_right else g_k[i]
                    of_right0 += g_right * max(above0, zero)
                    of_left0 += g_left * max(above0, zero)
            if sums is not None:
                sums[k, 0, s], sums[k, 1, s] = of_right0, of_left0
        for i in range(x_k.shape[0]):
            d_k[i] *= g_k[i]


# ------------------------------------------------------------------------ the plain torch form


def _torch_sum(x: Tensor, hinges: Tensor, coefficients: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    for b, right, left in zip(hinges, *coefficients, strict=True):
        y = y + right * (x - b).relu() + left * (-x - b).relu()
    return y


def _torch_gradients(
    x: Tensor, hinges: Tensor, coefficients: Tensor, grad_y: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients at x and at the coefficients, as functions that can be differentiated."""
    slope = torch.zeros_like(x)
    of_right, of_left = [], []
    for b, right, left in zip(hinges, *coefficients, strict=True):
        slope = slope + right * (x > b).to(x) - left * (-x > b).to(x)
        of_right.append((grad_y * (x - b).relu()).sum())
        of_left.append((grad_y * (-x - b).relu()).sum())
    grad_coefficients = torch.stack([torch.stack(of_right), torch.stack(of_left)])
    return grad_y * slope, grad_coefficients
