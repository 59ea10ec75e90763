r"""Layers of binary stochastic units, in one pass each: links, logistic function and sample.

A layer of weights :math:`W` (n_out, n_in) joins two sides of units. Upwards the inputs drive the
outputs, ``W x``, downwards the outputs drive the inputs, ``Wᵀ x``; a unit is 1 with the probability
:math:`\sigma(s \, z + b)` of its input z. Samples come from a counter-based hash, so that they do
not depend on threads, nor on whether the layer is sparse or dense.

Batches are columns, (n, B) and contiguous, as in :mod:`lib.kernels`. On a CPU, in float32 and
float64, compiled loops run; elsewhere the plain torch form of the same meaning.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from . import kernels
from ._boundary import check_whole
from ._compiled import binary_units, launch, layout, step
from ._compiled.launch import array
from ._compiled.rows import Tile
from .layers import SparseLinear
from .support import Support, every_link

LinearLayer = SparseLinear | nn.Linear
LARGEST = 2**32  # numbers that a law tells apart
SMALL = 2**17  # weights of a dense layer that is taken for a sparse one of all links


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
    return SamplingLaw(*launch.key_and_flip(seed, step))


def probabilities(layer: LinearLayer, x: Tensor, bias: Tensor, *, down: bool = False) -> Tensor:
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
    layer: LinearLayer,
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
    layer: LinearLayer, x: Tensor, bias: Tensor, law: SamplingLaw
) -> tuple[Tensor, Tensor]:
    """:func:`probabilities` of the outputs, and a sample of them."""
    return _units(layer, x, bias, False, 1.0, law, keep=True)


def tempered(
    layer: LinearLayer, x: Tensor, bias: Tensor, slopes: tuple[float, float], law: SamplingLaw
) -> tuple[Tensor, Tensor]:
    r"""Gain of the outputs, summed over their states, by a change of slope, and a sample of them
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
    if not launch.runs_compiled(x):
        z = _plain_product(layer, x, down=False) + bias[:, None]
        before, after = slopes
        zero = torch.zeros_like(z)
        gains = torch.logaddexp(after * z, zero) - torch.logaddexp(before * z, zero)
        return gains.sum(0), _plain_sample((after * z).sigmoid(), law)
    index, values, x = operands
    s, gains = x.new_empty(len(bias), x.shape[1]), x.new_empty(x.shape[1])
    arrays = array(values), array(x), array(bias)
    units = _states(x, x.shape[1], len(x), len(s))
    launch.match_threads()
    numbers, outputs = np.array(law, np.uint32), (array(s), array(gains))
    binary_units.tempered_rows(index, *arrays, slopes, numbers, units, *outputs, _tile(x))
    return gains, s


def contrast(
    layer: LinearLayer, data: tuple[Tensor, Tensor], model: tuple[Tensor, Tensor]
) -> Tensor:
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
    n_in, n_out = layer.in_features, layer.out_features
    for x, y in (data, model):
        if (len(x), len(y)) != (n_in, n_out) or x.shape[1:] != y.shape[1:]:
            shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
            raise ValueError(f"states have shapes {shapes}: give ({n_in}, B) and ({n_out}, B)")
    if isinstance(layer, nn.Linear):
        return _dense_mean(*data).sub_(_dense_mean(*model))
    of_data, of_model = (kernels.sddmm(layer.support, x, y) / x.shape[1] for x, y in (data, model))
    return of_data - of_model


class Descent(NamedTuple):
    """Gradients of a step of contrastive divergence, for an optimiser that descends.

    Attributes:
        weights, down_bias, up_bias: gradients, in the shapes of what they are of.
        particles: (n_in, B) where the chains are.
    """

    weights: Tensor
    down_bias: Tensor
    up_bias: Tensor
    particles: Tensor


def contrastive_divergence(
    layer: LinearLayer,
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
    check_whole("steps", steps, least=1)
    if isinstance(layer, SparseLinear) and launch.runs_compiled(v):
        for states in (v, particles):
            if states is not None:
                _check_layer(layer, states)
                _check_pass(states, up_bias, layer.in_features, layer.out_features)
        laws = np.array([next_law() for _ in range(passes(steps, particles))], np.uint32)[None]
        x, biases = v.t().contiguous(), (down_bias, up_bias)
        return _compiled_descent(layer, biases, x, torch.arange(len(x)), len(x), laws, particles)
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


def descend_(
    layer: LinearLayer,
    down_bias: Tensor,
    x: Tensor,
    order: Tensor,
    batch_size: int,
    laws: np.ndarray,
    optimiser: torch.optim.SGD,
    *,
    particles: Tensor | None = None,
) -> Tensor:
    """Steps of :func:`contrastive_divergence` and of the optimiser in turn, in one compiled call.

    Args:
        layer: one that :func:`descends_in_one_call`.
        down_bias: (n_in,) float.
        x: (N, n_in) of any dtype, 0 or 1, contiguous.
        order: (n,) int64, examples of the batches one after another; the last may have fewer.
        batch_size: of the others.
        laws: (steps, passes, 2), see :func:`laws_of`.
        optimiser: its momentum of weights and biases moves; neither Nesterov nor damped, and it
            minimises.
        particles: (n_in, B) where chains go on from; None: they start from each batch.
    Returns: where the chains are.
    Raises: as :func:`contrastive_divergence`; ValueError for an example that is not there, and for
        momentum of Nesterov, dampening or ``maximize=True``.
    """
    if x.ndim != 2 or x.shape[1] != layer.in_features:
        raise ValueError(f"x has shape {tuple(x.shape)}: give (N, {layer.in_features})")
    _check_index("order", order, len(x))
    check_whole("batch_size", batch_size, least=1)
    if any(group["nesterov"] or group["dampening"] for group in optimiser.param_groups):
        raise ValueError("the optimiser has Nesterov's momentum or dampening: give SGD without it")
    if any(group["maximize"] for group in optimiser.param_groups):
        raise ValueError("the optimiser has maximize=True: give SGD without it")
    if particles is not None:
        _check_layer(layer, particles)
        _check_pass(particles, layer.bias, layer.in_features, layer.out_features)
    n_steps = -(-len(order) // batch_size)
    if laws.shape[0] != n_steps or laws.shape[1] < 2:
        raise ValueError(f"laws have shape {laws.shape}: give ({n_steps}, passes, 2)")
    _check_bias(down_bias, layer.bias, layer.in_features)
    _, weights = _links(layer)
    motion = step.motion(optimiser, (weights, down_bias, layer.bias))
    biases = down_bias, layer.bias
    descent = _compiled_descent(layer, biases, x, order, batch_size, laws, particles, motion)
    return descent.particles


def descends_in_one_call(layer: LinearLayer, batch_size: int) -> bool:
    """True if :func:`descend_` takes the layer: on a CPU, in float32 or float64, sparse, or dense
    and so small, as its batches are, that calls of products take longer than they.
    """
    if not launch.runs_compiled(layer.bias):
        return False
    if isinstance(layer, SparseLinear):
        return True
    is_small = layer.weight.numel() <= SMALL and batch_size <= binary_units.LANES
    return is_small and layer.weight.is_contiguous()


def passes(steps: int, particles: Tensor | None) -> int:
    """Passes that sample in a step of contrastive divergence."""
    return 2 * steps + (particles is not None)


def laws_of(seed: int, start: int, shape: tuple[int, int]) -> np.ndarray:
    """(steps, passes, 2) uint32, the key and the flip of :func:`sampling_law` of seed and of start,
    start + 1, … .
    """
    count = shape[0] * shape[1]
    each = (launch.key_and_flip_bytes(seed, step) for step in range(start, start + count))
    words = b"".join(each)
    return np.frombuffer(words, "<u4").reshape(*shape, 2)


def uniforms(shape: tuple[int, int], law: SamplingLaw, *, dtype: torch.dtype) -> Tensor:
    """The uniform numbers in (0, 1) that a pass over (n, B) units samples by; in float32 those
    nearest to 1 are rounded to it.
    """
    return _plain_uniforms(torch.empty(shape, dtype=dtype), law)


# ------------------------------------------------------------------------------------ mechanics


def _units(
    layer: LinearLayer,
    x: Tensor,
    bias: Tensor,
    down: bool,
    slope: float,
    law: SamplingLaw | None,
    keep: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Probabilities and samples; one tensor, of samples, unless both are to be kept."""
    operands = _operands(layer, x, bias, down)
    if not launch.runs_compiled(x):
        p = (slope * _plain_product(layer, x, down) + bias[:, None]).sigmoid()
        s = p if law is None else _plain_sample(p, law)
        return (p, s) if keep else (s, s)
    p = x.new_empty(len(bias), x.shape[1])
    s = torch.empty_like(p) if keep else p
    index, values, x = operands
    arrays = array(values), array(x), array(bias)
    units = _states(x, x.shape[1], len(x), len(p), 0 if law is None else len(p))
    launch.match_threads()
    numbers = np.array(law or (0, 0), np.uint32)
    binary_units.unit_rows(index, *arrays, slope, numbers, units, array(p), array(s), _tile(x))
    return p, s


def _tile(x: Tensor) -> Tile:
    return layout.tile_of(x.dtype, binary_units.LANES)


def _states(like: Tensor, width: int, *sides: int) -> tuple[np.ndarray, ...]:
    """Memory for the states of these numbers of units, torch's, as its rows begin where lines of
    the cache do.
    """
    tile = _tile(like)
    size = layout.n_tiles(width, tile) * tile.lanes
    memory = array(like.new_empty(size * sum(sides)))
    ends = [0, *itertools.accumulate(size * n for n in sides)]
    return tuple(memory[start:end] for start, end in itertools.pairwise(ends))


def _compiled_descent(
    layer: LinearLayer,
    biases: tuple[Tensor, Tensor],
    x: Tensor,
    order: Tensor,
    batch_size: int,
    laws: np.ndarray,
    particles: Tensor | None,
    motion: tuple | None = None,
) -> Descent:
    """Steps of contrastive divergence in one call, see :func:`binary_units.descend`; along the
    gradients of each goes the motion, if one is given.
    """
    down_bias, up_bias = biases
    n_in, n_out = layer.in_features, layer.out_features
    support, weights = _links(layer)
    like = weights.detach()
    _check_bias(down_bias, like, n_in)
    _check_bias(up_bias, like, n_out)
    tile, width = _tile(like), batch_size if particles is None else particles.shape[1]
    v, p, h = _states(like, max(batch_size, width), n_in, n_out, n_out)
    w, q = _states(like, width, n_in, n_out)
    if particles is not None:
        binary_units.pack_columns(array(particles), w, tile)
    parameters = weights, down_bias, up_bias
    grads = tuple(torch.empty_like(each.detach()) for each in parameters)
    to_grads = tuple(array(each).reshape(-1) for each in grads)
    rates, momenta = motion or (np.zeros((3, 3), tile.dtype), to_grads)
    launch.match_threads()
    binary_units.descend(
        support.by_row,
        support.by_column,
        array(weights).reshape(-1),
        (array(down_bias), array(up_bias)),
        array(x),
        array(order),
        batch_size,
        laws,
        0 if particles is None else width,
        (v, p, h, w, q),
        to_grads,
        (motion is not None, rates, momenta),
        tile,
    )
    last = (len(order) - 1) % batch_size + 1  # examples of the last batch
    moved = like.new_empty(n_in, last if particles is None else width)
    binary_units.unpack_columns(w, array(moved), tile)
    return Descent(*grads, moved)


def _links(layer: LinearLayer) -> tuple[Support, nn.Parameter]:
    """The links and their weights, of a dense layer all there are."""
    if isinstance(layer, SparseLinear):
        return layer.support, layer.values
    return every_link(layer.in_features, layer.out_features), layer.weight


def batch(x: Tensor, index: Tensor, dtype: torch.dtype) -> Tensor:
    """(n, B) columns, contiguous: rows of ``x`` (N, n), named by ``index`` (B,), in a dtype.

    Raises: ValueError for a row that is not there, and for no rows.
    """
    _check_index("index", index, len(x))
    if not launch.runs_compiled(x.new_empty(0, dtype=dtype)):
        return x.index_select(0, index).t().to(dtype).contiguous()
    columns = x.new_empty(x.shape[1], len(index), dtype=dtype)
    launch.match_threads()
    binary_units.gathered(array(x), array(index), array(columns))
    return columns


def _operands(layer: LinearLayer, x: Tensor, bias: Tensor, down: bool) -> tuple:
    """Index, weights and states for the compiled pass; of a dense layer the product."""
    n_in, n_out = layer.in_features, layer.out_features
    if down:
        n_in, n_out = n_out, n_in
    _check_pass(x, bias, n_in, n_out)
    _check_layer(layer, x)
    if not launch.runs_compiled(x):
        return ()
    if isinstance(layer, nn.Linear):
        return launch.NO_LINKS, None, _plain_product(layer, x, down)
    index = layer.support.by_column if down else layer.support.by_row
    return index, layer.values, x


def _plain_product(layer: LinearLayer, x: Tensor, down: bool) -> Tensor:
    if isinstance(layer, nn.Linear):
        weight = layer.weight.detach()
        return kernels.dense_product(weight.t() if down else weight, x)
    product = kernels.spmm_transposed if down else kernels.spmm
    return product(layer.support, layer.values.detach(), x)


def _dense_mean(x: Tensor, y: Tensor) -> Tensor:
    return kernels.dense_product(y, x.t()).div_(x.shape[1])


def _plain_sample(p: Tensor, law: SamplingLaw) -> Tensor:
    return (p > _plain_uniforms(p, law)).to(p)


def _plain_uniforms(like: Tensor, law: SamplingLaw) -> Tensor:
    index = torch.arange(law.key, law.key + like.numel(), device=like.device)
    bits = kernels.mixed((kernels.mixed(index & 0xFFFFFFFF) + law.flip) & 0xFFFFFFFF)
    return (bits.to(like.dtype) * 2.0**-32 + 2.0**-33).view(like.shape)


# --------------------------------------------------------------------------------------- checks


def _check_layer(layer: LinearLayer, x: Tensor) -> None:
    dtype = next(layer.parameters()).dtype
    if dtype != x.dtype:
        raise ValueError(f"states are {x.dtype} and the weights {dtype}: give one dtype")


def _check_index(name: str, index: Tensor, n: int) -> None:
    smallest, largest = index.aminmax() if len(index) else (-1, -1)
    if smallest < 0 or largest >= n:
        raise ValueError(
            f"{name} holds {int(smallest)} to {int(largest)}: name some of the {n} examples"
        )


def _check_bias(bias: Tensor, like: Tensor, n: int) -> None:
    if bias.shape != (n,) or bias.dtype != like.dtype:
        raise ValueError(
            f"bias is {bias.dtype} of shape {tuple(bias.shape)}: give {like.dtype} of ({n},)"
        )


def _check_pass(x: Tensor, bias: Tensor, n_in: int, n_out: int) -> None:
    if x.ndim != 2 or x.shape[0] != n_in or x.shape[1] == 0:
        raise ValueError(f"states have shape {tuple(x.shape)}: give ({n_in}, B), at least one")
    if not x.is_contiguous():
        raise ValueError("states are not contiguous: give x.contiguous()")
    _check_bias(bias, x, n_out)
    if n_out * x.shape[1] > LARGEST:
        raise ValueError(f"{n_out} units of {x.shape[1]} examples are too many: give fewer at once")
