r"""Sums of hinges: continuous piecewise linear functions through the origin, whose gradients follow
from the input alone.

The compiled loops go over the memory of a tensor in chunks, whatever its shape and memory format;
the sums of a chunk belong to one thread, so that results do not depend on the number of threads.
They serve feature maps, where they take a fifth less time backwards than rows of
:mod:`lib._compiled.passes`, which compute the same behind the links of a sparse layer.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from . import launch, loops, memory

CHUNK = 4096  # values: what a pass over the hinges finds in the cache


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
    Raises: ValueError if a shape, a dtype or a device does not fit; TypeError for tensors without
        memory of their own.
    """
    if x.dtype != coefficients.dtype and launch.is_autocast(x):
        x = x.to(coefficients.dtype)
    check_hinges(hinges, coefficients)
    launch.check_dtype("x", x, "the hinges", hinges)
    launch.check_dtype("x", x, "the coefficients", coefficients)
    if launch.is_traced() or torch.compiler.is_compiling():
        return torch_hinge_sum(x, hinges, coefficients)
    return _HingeSum.apply(x, hinges, coefficients)


def check_hinges(hinges: Tensor, coefficients: Tensor) -> None:
    """Raise ValueError unless they are (m,) hinges and (2, m) coefficients, m at least 1."""
    if hinges.ndim != 1 or coefficients.shape != (2, len(hinges)):
        shapes = f"{tuple(hinges.shape)} and {tuple(coefficients.shape)}"
        raise ValueError(f"hinges and coefficients have shapes {shapes}: give (m,) and (2, m)")
    if len(hinges) == 0:
        raise ValueError("there are no hinges: give at least one")


class _HingeSum(torch.autograd.Function):
    """The sum and its gradients, from x and the coefficients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, hinges: Tensor, coefficients: Tensor) -> Tensor:
        ctx.save_for_backward(x, hinges, coefficients)
        return _sum(x, hinges, coefficients)

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        x, hinges, coefficients = ctx.saved_tensors
        if torch.is_grad_enabled() or not launch.runs_compiled(x):
            grad_x, grad_coefficients = _torch_gradients(x, hinges, coefficients, grad_y)
            return grad_x, None, grad_coefficients
        grad_x, grad_coefficients = _compiled_gradients(
            x, hinges, coefficients, grad_y, ctx.needs_input_grad[2]
        )
        return grad_x, None, grad_coefficients


def _sum(x: Tensor, hinges: Tensor, coefficients: Tensor) -> Tensor:
    if not launch.runs_compiled(x):
        return torch_hinge_sum(x, hinges, coefficients)
    y = torch.empty_like(x)
    x = _laid_out(x, y)
    hinges, coefficients = hinges.detach().contiguous(), coefficients.detach().contiguous()
    launch.match_threads()
    _values(*_sizes(x, hinges), *launch.addresses(x.dtype, x, hinges, coefficients, y))
    return y


def _compiled_gradients(
    x: Tensor, hinges: Tensor, coefficients: Tensor, grad_y: Tensor, of_coefficients: bool
) -> tuple[Tensor, Tensor | None]:
    grad_x = torch.empty_like(x)
    x, grad_y = _laid_out(x, grad_x), _laid_out(grad_y, grad_x)
    hinges, coefficients = hinges.detach().contiguous(), coefficients.detach().contiguous()
    grad_coefficients = torch.empty_like(coefficients) if of_coefficients else None
    launch.match_threads()
    tensors = x, grad_y, hinges, coefficients, grad_x, grad_coefficients
    *read, totals = launch.addresses(x.dtype, *tensors)
    _gradients(*_sizes(x, hinges), *read, totals or None)
    return grad_x, grad_coefficients


def _laid_out(x: Tensor, like: Tensor) -> Tensor:
    """x in the memory order of a dense tensor of its shape."""
    x = x.detach()
    return x if x.stride() == like.stride() else torch.empty_like(like).copy_(x)


def _sizes(x: Tensor, hinges: Tensor) -> tuple[int, int, np.floating]:
    """Numbers of values and of hinges, and a 0 of their dtype."""
    return x.numel(), hinges.numel(), launch.ZEROS[x.dtype]


# -------------------------------------------------------------------------- the compiled loops


@loops.inline
def _hinge(s, hinges, coefficients):
    """Place of hinge s, and its coefficients to the right and to the left of the origin."""
    return hinges[s], coefficients[0, s], coefficients[1, s]


@loops.inline
def _part(x, hinge, zero):
    """Part of a hinge in the sum at x: the hinge lies on one side of the origin, its twin on the
    other is 0 there.
    """
    b, right, left = hinge
    coefficient = right if x > zero else left
    return coefficient * max(abs(x) - b, zero)


@loops.jit
def _values(n, n_hinges, zero, x, hinges, coefficients, y):
    """Four hinges in each pass over a chunk. x, hinges, coefficients and y are addresses."""
    x, y = memory.at(x, zero, n), memory.at(y, zero, n)
    hinges = memory.at(hinges, zero, n_hinges)
    coefficients = memory.at(coefficients, zero, (2, n_hinges))
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


@loops.inline
def _beyond(x, hinge, zero, one):
    """How far |x| lies beyond a hinge, and the slopes there, right and left of the origin."""
    b, right, left = hinge
    step = one if abs(x) > b else zero
    return max(abs(x) - b, zero), right * step, -left * step


@loops.inline
def _sides(x, g, zero):
    """g to the right and to the left of the origin, 0 on the other side."""
    return g if x > zero else zero, zero if x > zero else g


@loops.jit
def _gradients(n, n_hinges, zero, x, grad_y, hinges, coefficients, grad_x, totals):
    """grad_x, and the gradients of the coefficients, if any, as totals of the sums of each chunk;
    four hinges in each pass over a chunk. All but sizes and zero are addresses, totals perhaps
    None.

    Slopes are summed first and multiplied last, so that no compiler can fuse products with sums in
    one of several ways.
    """
    n_chunks = -(-n // CHUNK)
    x, grad_y, grad_x = (
        memory.at(x, zero, n),
        memory.at(grad_y, zero, n),
        memory.at(grad_x, zero, n),
    )
    hinges = memory.at(hinges, zero, n_hinges)
    coefficients = memory.at(coefficients, zero, (2, n_hinges))
    one = x.dtype.type(1)
    if totals is not None:
        parts = np.empty((n_chunks, 2, n_hinges), x.dtype)
        whole = memory.at(totals, zero, (2, n_hinges))
    for k in numba.prange(n_chunks):
        x_k, g_k = x[k * CHUNK : (k + 1) * CHUNK], grad_y[k * CHUNK : (k + 1) * CHUNK]
        d_k = grad_x[k * CHUNK : (k + 1) * CHUNK]
        s = 0
        while s + 4 <= n_hinges:
            h0 = _hinge(s, hinges, coefficients)
            h1 = _hinge(s + 1, hinges, coefficients)
            h2 = _hinge(s + 2, hinges, coefficients)
            h3 = _hinge(s + 3, hinges, coefficients)
            is_last = s + 4 == n_hinges
            right0 = right1 = right2 = right3 = left0 = left1 = left2 = left3 = zero
            for i in range(x_k.shape[0]):
                beyond0, r0, l0 = _beyond(x_k[i], h0, zero, one)
                beyond1, r1, l1 = _beyond(x_k[i], h1, zero, one)
                beyond2, r2, l2 = _beyond(x_k[i], h2, zero, one)
                beyond3, r3, l3 = _beyond(x_k[i], h3, zero, one)
                slope = (r0 + r1) + (r2 + r3) if x_k[i] > zero else (l0 + l1) + (l2 + l3)
                slope = slope if s == 0 else d_k[i] + slope
                d_k[i] = slope * g_k[i] if is_last else slope
                if totals is not None:
                    g_right, g_left = _sides(x_k[i], g_k[i], zero)
                    right0 += g_right * beyond0
                    right1 += g_right * beyond1
                    right2 += g_right * beyond2
                    right3 += g_right * beyond3
                    left0 += g_left * beyond0
                    left1 += g_left * beyond1
                    left2 += g_left * beyond2
                    left3 += g_left * beyond3
            if totals is not None:
                parts[k, 0, s], parts[k, 1, s] = right0, left0
                parts[k, 0, s + 1], parts[k, 1, s + 1] = right1, left1
                parts[k, 0, s + 2], parts[k, 1, s + 2] = right2, left2
                parts[k, 0, s + 3], parts[k, 1, s + 3] = right3, left3
            s += 4
        while s < n_hinges:
            h0 = _hinge(s, hinges, coefficients)
            is_last = s + 1 == n_hinges
            right0 = left0 = zero
            for i in range(x_k.shape[0]):
                beyond0, r0, l0 = _beyond(x_k[i], h0, zero, one)
                slope = r0 if x_k[i] > zero else l0
                slope = slope if s == 0 else d_k[i] + slope
                d_k[i] = slope * g_k[i] if is_last else slope
                if totals is not None:
                    g_right, g_left = _sides(x_k[i], g_k[i], zero)
                    right0 += g_right * beyond0
                    left0 += g_left * beyond0
            if totals is not None:
                parts[k, 0, s], parts[k, 1, s] = right0, left0
            s += 1
    if totals is not None:
        for side in range(2):
            for s in range(n_hinges):
                total = 0.0  # in float64, on one thread, in one order
                for k in range(n_chunks):
                    total += parts[k, side, s]
                whole[side, s] = total


# ------------------------------------------------------------------------ the plain torch form


def torch_hinge_sum(x: Tensor, hinges: Tensor, coefficients: Tensor) -> Tensor:
    """The definition of :func:`hinge_sum`, in operations of torch."""
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
