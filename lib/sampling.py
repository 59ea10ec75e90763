r"""Layers of binary stochastic units, in one pass each: links, logistic function and sample.

A layer of weights :math:`W` (n_out, n_in) joins two sides of units. Upwards the inputs drive the
outputs, ``W x``, downwards the outputs drive the inputs, ``Wᵀ x``; a unit is 1 with the probability
:math:`\sigma(s \, z + b)` of its input z. Samples come from a counter-based hash, so that they do
not depend on threads, nor on whether the layer is sparse or dense.

Batches are columns, (n, B) and contiguous, as in :mod:`lib.kernels`. On a CPU, in float32 and
float64, the loops of :mod:`lib.loops` run; elsewhere the plain torch form of the same meaning.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lib import compiled, kernels, loops
from lib.compiled import array
from lib.layers import SparseLinear

Layer = SparseLinear | nn.Linear
LARGEST = 2**32  # numbers that a law tells apart


class SamplingLaw(NamedTuple):
    """The uniform numbers of one pass over binary units, by their index in feature-major memory;
    see :func:`sampling_law`.

    They are ``(mix(mix(index + key) + flip) + 1/2) / 2³²``, unsigned 32-bit integers within.
    """

    key: int
    flip: int


def sampling_law(seed: int, step: int) -> SamplingLaw:
    """Uniform numbers by a counter-based generator, keyed by a hash of seed and step.

    Two steps whose ranges of keys overlap have other numbers all the same: the flip goes through
    the mixing again.
    """
    return SamplingLaw(*compiled.key_and_flip(seed, step))


def probabilities(layer: Layer, x: Tensor, bias: Tensor, *, down: bool = False) -> Tensor:
    r"""(n, B) probability of a 1 of every unit on the other side, :math:`\sigma(W x + b)`.

    Source: [Hinton2002], the conditionals of a restricted Boltzmann machine.

    Args:
        layer: joins the two sides; its own bias is not used.
        x: (n, B) float, states of the units on one side: of the outputs if ``down``.
        bias: (n,) float, of the units on the other side.
        down: whether the outputs of the layer drive its inputs.
    Raises: ValueError if a shape or a dtype does not fit or the batch is empty.
    """
    p, _ = _units(layer, x, bias, down, 1.0, None)
    return p


def sample(
    layer: Layer,
    x: Tensor,
    bias: Tensor,
    law: SamplingLaw,
    *,
    down: bool = False,
    slope: float = 1.0,
) -> Tensor:
    r"""(n, B) samples, 0 or 1, of the units on the other side, 1 with
    :math:`\sigma(slope \, W x + b)`.

    Args and errors as in :func:`probabilities`; law: of the samples; slope: of what the links sum
    to, as an inverse temperature.
    """
    p, _ = _units(layer, x, bias, down, slope, law)
    return p


def probabilities_and_sample(
    layer: Layer, x: Tensor, bias: Tensor, law: SamplingLaw, *, down: bool = False
) -> tuple[Tensor, Tensor]:
    """:func:`probabilities`, and a sample of them."""
    return _units(layer, x, bias, down, 1.0, law, keep=True)


def tempered(
    layer: Layer, x: Tensor, bias: Tensor, slopes: tuple[float, float], law: SamplingLaw
) -> tuple[Tensor, Tensor]:
    r"""What the outputs, summed over their states, gain by a change of slope, and a sample of them
    at the new one.

    .. math:: \sum_j \ln \frac{1 + e^{\beta' z_j}}{1 + e^{\beta z_j}}, \qquad z = W x + b

    Source: [Salakhutdinov2008], the hidden units' part.
    Departs: the logarithm of a product of up to 64 ratios, with large inputs taken out, in place of
        a sum of logarithms: nothing overflows.

    Args:
        layer: joins the two sides.
        x: (n_in, B) float, states of the inputs.
        bias: (n_out,) float, of the outputs.
        slopes: :math:`\beta, \beta'`, at least 0, of the inputs z, their bias included.
        law: of the samples.
    Returns: (B,) float and (n_out, B) samples, 0 or 1.
    Raises: as :func:`probabilities`.
    """
    operands = _operands(layer, x, bias, down=False)
    if compiled.runs_compiled(x):
        return _compiled_tempered(*operands, bias, slopes, law)
    z = _plain_product(layer, x, down=False) + bias[:, None]
    before, after = slopes
    gains = _softplus(after * z) - _softplus(before * z)
    p = (after * z).sigmoid()
    return gains.sum(0), _plain_sample(p, law)


def contrast(layer: Layer, data: tuple[Tensor, Tensor], model: tuple[Tensor, Tensor]) -> Tensor:
    r"""Mean product of both ends of every link, of the data minus of the model.

    .. math:: \langle x_i y_j \rangle_{data} - \langle x_i y_j \rangle_{model}

    Source: [Hinton2002], the gradient of the log-likelihood by the weights.

    Args:
        layer: joins the two sides.
        data, model: states of the inputs (n_in, B) and of the outputs (n_out, B) each; the two may
            differ in B.
    Returns: in the shape of the weights, (nnz,) or (n_out, n_in).
    Raises: ValueError if a shape does not fit.
    """
    for x, y in (data, model):
        _check_states(layer, x, y)
    if isinstance(layer, nn.Linear):
        return _dense_mean(*data).sub_(_dense_mean(*model))
    of_data, of_model = (kernels.sddmm(layer.support, x, y) / x.shape[1] for x, y in (data, model))
    return of_data - of_model


class Descent(NamedTuple):
    """What a step of contrastive divergence hands to an optimiser that descends.

    Attributes:
        weights, down_bias, up_bias: gradients, in the shapes of what they are of.
        particles: (n_in, B) where the chains are.
    """

    weights: Tensor
    down_bias: Tensor
    up_bias: Tensor
    particles: Tensor


def contrastive_divergence(
    layer: Layer,
    down_bias: Tensor,
    up_bias: Tensor,
    v: Tensor,
    next_law: Callable[[], SamplingLaw],
    *,
    steps: int = 1,
    particles: Tensor | None = None,
) -> Descent:
    r"""Gradients of contrastive divergence for a batch.

    .. math:: \langle P(h|v) \, v^T \rangle_{chains} - \langle P(h|v) \, v^T \rangle_{data}

    Source: [Hinton2002]; with particles [Tieleman2008].

    Args:
        layer: joins visible units, its inputs, and hidden units, its outputs.
        down_bias, up_bias: (n_in,) and (n_out,) float.
        v: (n_in, B) float, the batch, 0 or 1.
        next_law: gives the law of each pass that samples.
        steps: sweeps of the chains, at least 1.
        particles: (n_in, B) where chains go on from; None: they start from the batch.
    Raises: as :func:`probabilities`; ValueError for fewer than one sweep.
    """
    if steps < 1:
        raise ValueError(f"steps = {steps} is out of range: give at least 1")
    if isinstance(layer, SparseLinear) and compiled.runs_compiled(v):
        return _compiled_descent(layer, (down_bias, up_bias), v, next_law, steps, particles)
    p, h = probabilities_and_sample(layer, v, up_bias, next_law())
    if particles is not None:
        h = sample(layer, particles, up_bias, next_law())
    w = sample(layer, h, down_bias, next_law(), down=True)
    for _ in range(1, steps):
        h = sample(layer, w, up_bias, next_law())
        w = sample(layer, h, down_bias, next_law(), down=True)
    q = probabilities(layer, w, up_bias)
    gradient = contrast(layer, (w, q), (v, p))
    return Descent(gradient, w.mean(1) - v.mean(1), q.mean(1) - p.mean(1), w)


def uniforms(shape: tuple[int, int], law: SamplingLaw, *, dtype: torch.dtype) -> Tensor:
    """The uniform numbers in (0, 1) that a pass over (n, B) units samples by."""
    return _plain_uniforms(torch.empty(shape, dtype=dtype), law)


# ------------------------------------------------------------------------------------ mechanics


def _units(
    layer: Layer,
    x: Tensor,
    bias: Tensor,
    down: bool,
    slope: float,
    law: SamplingLaw | None,
    keep: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Probabilities and samples; one tensor, of samples, unless both are to be kept."""
    operands = _operands(layer, x, bias, down)
    if not compiled.runs_compiled(x):
        p = (slope * _plain_product(layer, x, down) + bias[:, None]).sigmoid()
        s = p if law is None else _plain_sample(p, law)
        return (p, s) if keep else (s, s)
    p = x.new_empty(len(bias), x.shape[1])
    s = torch.empty_like(p) if keep else p
    index, values, states = operands
    arrays = array(values), array(states), array(bias)
    numbers = tuple(law or (0, 0))
    compiled.match_threads()
    loops.unit_rows(*index, *arrays, slope, numbers, array(p), array(s), law is not None)
    return p, s


def _compiled_tempered(
    index: tuple,
    values: Tensor | None,
    x: Tensor,
    bias: Tensor,
    slopes: tuple[float, float],
    law: SamplingLaw,
) -> tuple[Tensor, Tensor]:
    n = len(bias)
    s = x.new_empty(n, x.shape[1])
    gains = x.new_zeros(-(-n // loops.BLOCK), x.shape[1])
    arrays = array(values), array(x), array(bias)
    compiled.match_threads()
    loops.tempered_rows(*index, *arrays, slopes, compiled.plain(law), array(s), array(gains))
    return gains.sum(0), s


def _compiled_descent(
    layer: SparseLinear,
    biases: tuple[Tensor, Tensor],
    v: Tensor,
    next_law: Callable[[], SamplingLaw],
    steps: int,
    particles: Tensor | None,
) -> Descent:
    """:func:`contrastive_divergence` in one compiled call: its passes are short."""
    down_bias, up_bias = biases
    start = v if particles is None else particles
    p, h = (v.new_empty(layer.out_features, v.shape[1]) for _ in range(2))
    w, q = torch.empty_like(start), v.new_empty(layer.out_features, start.shape[1])
    rows, values, _ = _operands(layer, v, up_bias, down=False)
    _operands(layer, start, up_bias, down=False)
    columns, _, _ = _operands(layer, q, down_bias, down=True)
    n_laws = 2 * steps + (particles is not None)
    laws = np.array([next_law() for _ in range(n_laws)], dtype=np.int64)
    grads = tuple(torch.empty_like(each.detach()) for each in (values, down_bias, up_bias))
    units = tuple(map(array, (p, h, w, q)))
    biases, states = (array(down_bias), array(up_bias)), (array(v), array(particles))
    compiled.match_threads()
    to_grads = tuple(map(array, grads))
    loops.descent_rows(rows, columns, array(values), biases, *states, laws, units, to_grads)
    return Descent(*grads, w)


def batch(x: Tensor, index: Tensor, dtype: torch.dtype) -> Tensor:
    """(n, B) columns, contiguous: rows of ``x`` (N, n), named by ``index`` (B,), in a dtype."""
    if not compiled.runs_compiled(x.new_empty(0, dtype=dtype)):
        return x.index_select(0, index).t().to(dtype).contiguous()
    columns = x.new_empty(x.shape[1], len(index), dtype=dtype)
    compiled.match_threads()
    loops.gathered(array(x), array(index), array(columns))
    return columns


def _operands(layer: Layer, x: Tensor, bias: Tensor, down: bool) -> tuple:
    """Index, weights and states for the compiled pass; of a dense layer the product."""
    n_in, n_out = layer.in_features, layer.out_features
    if down:
        n_in, n_out = n_out, n_in
    _check_pass(x, bias, n_in, n_out)
    if layer.bias.dtype != x.dtype:
        raise ValueError(f"states are {x.dtype} and the weights {layer.bias.dtype}: give one dtype")
    if not compiled.runs_compiled(x):
        return ()
    if isinstance(layer, nn.Linear):
        return compiled.NO_LINKS, None, _plain_product(layer, x, down)
    index = layer.support.by_column if down else layer.support.by_row
    return index, layer.values, x


def _plain_product(layer: Layer, x: Tensor, down: bool) -> Tensor:
    if isinstance(layer, nn.Linear):
        weight = layer.weight.detach()
        return kernels.dense_product(weight.t() if down else weight, x)
    product = kernels.spmm_transposed if down else kernels.spmm
    return product(layer.support, layer.values.detach(), x)


def _dense_mean(x: Tensor, y: Tensor) -> Tensor:
    return kernels.dense_product(y, x.t()).div_(x.shape[1])


def _softplus(z: Tensor) -> Tensor:
    return torch.logaddexp(z, torch.zeros_like(z))


def _plain_sample(p: Tensor, law: SamplingLaw) -> Tensor:
    return (p > _plain_uniforms(p, law)).to(p)


def _plain_uniforms(like: Tensor, law: SamplingLaw) -> Tensor:
    index = torch.arange(law.key, law.key + like.numel(), device=like.device)
    bits = _mixed((_mixed(index & 0xFFFFFFFF) + law.flip) & 0xFFFFFFFF)
    return (bits.to(like.dtype) * 2.0**-32 + 2.0**-33).view(like.shape)


def _mixed(h: Tensor) -> Tensor:
    """The mixing of the compiled loops, on 32 bits in int64."""
    h = (h ^ (h >> 16)) * 0x7FEB352D & 0xFFFFFFFF
    h = (h ^ (h >> 15)) * 0x846CA68B & 0xFFFFFFFF
    return h ^ (h >> 16)


# --------------------------------------------------------------------------------------- checks


def _check_pass(x: Tensor, bias: Tensor, n_in: int, n_out: int) -> None:
    if x.ndim != 2 or x.shape[0] != n_in or x.shape[1] == 0:
        raise ValueError(f"states have shape {tuple(x.shape)}: give ({n_in}, B), at least one")
    if not x.is_contiguous():
        raise ValueError("states are not contiguous: give x.contiguous()")
    if bias.shape != (n_out,) or bias.dtype != x.dtype:
        raise ValueError(
            f"bias is {bias.dtype} of shape {tuple(bias.shape)}: give {x.dtype} of ({n_out},)"
        )
    if n_out * x.shape[1] > LARGEST:
        raise ValueError(f"{n_out} units of {x.shape[1]} examples are too many: give fewer at once")


def _check_states(layer: Layer, x: Tensor, y: Tensor) -> None:
    n_in, n_out = layer.in_features, layer.out_features
    if (x.shape[0], y.shape[0]) != (n_in, n_out) or x.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"states have shapes {tuple(x.shape)} and {tuple(y.shape)}: give ({n_in}, B) and"
            f" ({n_out}, B)"
        )
