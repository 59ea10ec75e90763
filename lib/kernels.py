r"""The three products of a sparse layer, and whole layers in one pass, on one index layout and
feature-major activations.

A layer with weights :math:`W` of shape (n_out, n_in) stores only its ``nnz`` links. With the batch
as columns (*feature-major*: ``x`` is (n_in, B), contiguous) training needs three products, and
each is the derivative of the other two, so the set is closed under differentiation:

* ``spmm``             y = W x             the output,
* ``spmm_transposed``  z = Wᵀ g            the gradient at the input,
* ``sddmm``            d_k = g[row_k] · x[col_k]   the gradient of the links, and of nothing else.

:func:`chain` runs layers after each other: of every output neuron at once its links, bias,
activation and dropout, while its row is in the cache.

Everything has a compiled form and a plain torch form of the same meaning; the device and the dtype
choose, or :func:`use_implementation` names one. Transforms of ``torch.func`` take the plain torch
form. Under a mode of torch that looks at operations, as ``FlopCounterMode``, a product is one of
them. In the graphs of ``torch.compile`` and ``torch.export`` a product and a chain is one
operation, ``torch.ops.sparse_adaptive.product`` and ``chain``. Outside of graphs these would double
the time of a small layer, and are not called.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import flop_counter

from ._compiled import launch, layout
from ._compiled.hinges import check_hinges, torch_hinge_sum
from ._compiled.launch import DropoutLaw, dropout_law, on_threads, paced, use_implementation
from .support import Support

__all__ = [
    "DropoutLaw",
    "Layer",
    "chain",
    "dense_product",
    "dropout",
    "dropout_law",
    "on_threads",
    "paced",
    "plain_chain",
    "sddmm",
    "spmm",
    "spmm_transposed",
    "srelu",
    "use_implementation",
]


class Layer(NamedTuple):
    """Links, bias, activation and dropout of one layer of a :func:`chain`; what is None is left
    out.

    Source: the layer of [Mocanu2018], Methods. ``values`` (nnz,) and ``bias`` (n_out,) as in
    :func:`spmm`; ``law`` of the dropout. The activation is one of ``srelu`` (4, n_out) as in
    :func:`srelu`, ``is_relu`` for max(x, 0), and ``splash`` (2, m), the coefficients of
    :func:`lib._compiled.hinges.hinge_sum` at its ``hinges`` (m,). ``unit``: number and constant of
    another unit or a normalisation of ``lib._compiled.passes``, in a compiled step alone.
    """

    support: Support | None = None
    values: Tensor | None = None
    bias: Tensor | None = None
    srelu: Tensor | None = None
    law: DropoutLaw | None = None
    is_relu: bool = False
    splash: Tensor | None = None
    hinges: Tensor | None = None
    unit: tuple[int, float] | None = None

    @property
    def pieces(self) -> Tensor | None:
        """Parameters of the activation, None if it has none."""
        return self.srelu if self.splash is None else self.splash


# ------------------------------------------------------------------------- the three products


def spmm(support: Support, values: Tensor, x: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Output of a sparse layer, before its activation.

    .. math:: y_{i,b} = \beta_i + \sum_{k: row_k = i} w_k \, x_{col_k, b}

    Source: the sparsely connected layer of [Mocanu2018], Methods.

    Args:
        support: the links.
        values: (nnz,) float, weight :math:`w_k` of each link.
        x: (n_in, B) float, the batch as columns.
        bias: (n_out,) float, :math:`\beta`, or None.
    Returns: (n_out, B) float, contiguous.
    Raises: ValueError if a shape or a dtype does not fit.
    """
    _check_layer(support, values, bias)
    _check_columns("x", x, support.n_in)
    launch.check_dtype("x", x, "the weights", values)
    if bias is not None:
        launch.check_dtype("bias", bias, "the weights", values)
    return _affine(support, values, x, bias)


def spmm_transposed(support: Support, values: Tensor, grad_y: Tensor) -> Tensor:
    r"""Gradient of the loss at the input of a sparse layer.

    .. math:: z_{j,b} = \sum_{k: col_k = j} w_k \, g_{row_k, b}

    Source: chain rule for the layer of [Mocanu2018], Methods.

    Args:
        support: the links.
        values: (nnz,) float.
        grad_y: (n_out, B) float, the gradient :math:`g` at the output.
    Returns: (n_in, B) float, contiguous.
    Raises: ValueError if a shape or a dtype does not fit.
    """
    _check_layer(support, values)
    _check_columns("grad_y", grad_y, support.n_out)
    launch.check_dtype("grad_y", grad_y, "the weights", values)
    return _product(support, values, None, grad_y.contiguous())


def sddmm(support: Support, x: Tensor, grad_y: Tensor) -> Tensor:
    r"""Gradient of the loss with respect to the stored weights only.

    .. math:: d_k = \sum_b g_{row_k, b} \, x_{col_k, b}

    Source: chain rule for the layer of [Mocanu2018], Methods.
    Departs: the (n_out, n_in) gradient is never formed; summed over the batch.

    Args:
        support: the links.
        x: (n_in, B) float, input of the layer.
        grad_y: (n_out, B) float, gradient at its output.
    Returns: (nnz,) float, in the order of the support.
    Raises: ValueError if a shape or a dtype does not fit or the batch sizes differ.
    """
    _check_columns("x", x, support.n_in)
    _check_columns("grad_y", grad_y, support.n_out)
    if x.shape[1] != grad_y.shape[1]:
        raise ValueError(f"x has {x.shape[1]} columns and grad_y {grad_y.shape[1]}: give one batch")
    launch.check_dtype("grad_y", grad_y, "x", x)
    return _product(support, None, x.contiguous(), grad_y.contiguous())


def _affine(support: Support, values: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
    y = _product(support, values, x.contiguous(), None)
    if bias is None:
        return y
    return y + bias[:, None]


def _product(
    support: Support, values: Tensor | None, x: Tensor | None, grad_y: Tensor | None
) -> Tensor:
    """The one of the three that is None, differentiable any number of times."""
    if torch.jit.is_tracing():
        raise ValueError(
            "torch.jit.trace, and what calls it (add_graph of tensorboard, onnx.export with"
            " dynamo=False, fvcore), cannot see into a sparse layer: trace a copy after densify_,"
            " or use torch.export"
        )
    if launch.is_traced():
        return _torch_product(support, values, x, grad_y)
    if torch.compiler.is_compiling() or launch.is_observed():
        return product_operation(*support, values, x, grad_y)
    return _Product.apply(support, values, x, grad_y)


class _Product(torch.autograd.Function):
    """Derivative of the form sum_k w_k · x[col_k] · g[row_k] by the one of w, x, g that is None.

    The gradients at the two others are derivatives of the same form.
    """

    @staticmethod
    def forward(ctx: Any, support: Support, *factors: Tensor | None) -> Tensor:
        ctx.support = support
        ctx.save_for_backward(*factors)
        return _product_of(support, *factors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        product = functools.partial(_product, ctx.support)
        return None, *_product_gradients(product, ctx.saved_tensors, grad, ctx.needs_input_grad[1:])


def _product_gradients(
    product: Callable[..., Tensor],
    factors: Sequence[Tensor | None],
    grad: Tensor,
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients at the factors: products of the two others, with ``grad`` in the place of the one
    that is None.
    """
    factors = [grad.contiguous() if factor is None else factor for factor in factors]
    grads = [None, None, None]
    for i, is_needed in enumerate(needed):
        if is_needed:
            others = factors.copy()
            others[i] = None
            grads[i] = product(*others)
    return grads


def _product_of(
    support: Support, values: Tensor | None, x: Tensor | None, grad_y: Tensor | None
) -> Tensor:
    columns = grad_y if x is None else x
    if launch.runs_compiled(columns) and columns.shape[1] > 0:
        return _compiled_product(support, values, x, grad_y)
    return _torch_product(support, values, x, grad_y)


def _compiled_product(
    support: Support, values: Tensor | None, x: Tensor | None, grad_y: Tensor | None
) -> Tensor:
    layer = Layer(support, _held(values))
    if grad_y is None:
        return launch.forward([layer], _held(x).t(), keep=False)[0]
    if x is None:
        nothing = launch.Kept(grad_y.new_empty(1, 0), launch.NO_MASKS, support.n_in)
        return launch.backward([layer], nothing, grad_y, [True, False, False, False])[0]
    _, kept = launch.forward([Layer()], _held(x).t(), keep=True)
    return launch.backward([layer], kept, grad_y, [False, True, False, False])[1]


def _torch_product(
    support: Support, values: Tensor | None, x: Tensor | None, grad_y: Tensor | None
) -> Tensor:
    row, col = support.row, support.col
    if values is None:
        if launch.is_observed():  # the same as products of matrices, which torch counts
            return (x[col][:, None] @ grad_y[row][:, :, None])[:, 0, 0]
        return (x[col] * grad_y[row]).sum(1)
    if x is None:
        return _sum_by(col, support.n_in, _scaled(values, grad_y[row]))
    return _sum_by(row, support.n_out, _scaled(values, x[col]))


def _scaled(values: Tensor, terms: Tensor) -> Tensor:
    """(nnz, B) terms, each row times its value."""
    if launch.is_observed():
        return (values[:, None, None] @ terms[:, None])[:, 0]
    return values[:, None] * terms


def _sum_by(index: Tensor, n: int, terms: Tensor) -> Tensor:
    """(n, B) sums of the terms (nnz, B) of each index; not in place, for torch.func.vmap. Those of
    half precision are summed in float32, as torch's own products do.
    """
    dtype = terms.dtype
    if dtype.itemsize < 4:
        terms = terms.float()
    zeros = terms.new_zeros(n, terms.shape[1])
    return zeros.index_add(0, index, terms).to(dtype)


# ---------------------------------------------------------------------- whole layers in a pass


def srelu(x: Tensor, parameters: Tensor) -> Tensor:
    """S-shaped rectified linear unit, with the formula of :class:`lib.activations.SReLU`.

    Source: [Jin2016].

    Args:
        x: (..., n) float.
        parameters: (4, n) float, t_left, a_left, width and a_right of each neuron.
    Returns: (..., n) float; of a matrix feature-major.
    """
    return _on_rows(x, Layer(srelu=parameters))


def dropout(x: Tensor, law: DropoutLaw) -> Tensor:
    """The values of ``x`` (..., n) float that the law keeps, scaled; the others are 0.

    Source: [Srivastava2014]; the mask is recomputed in the backward pass, never stored.
    """
    return _on_rows(x, Layer(law=law))


@torch.library.custom_op("sparse_adaptive::dropout", mutates_args=())
def dropout_operation(x: Tensor, step: Tensor, p: float, seed: int) -> Tensor:
    """:func:`dropout` by a :func:`dropout_law`, as an operation of torch's graphs, in which the
    step is a tensor: another step needs no other graph.

    Args:
        x: (..., n) float.
        step: () int64, on any device.
        p: probability of a zero.
        seed: of the layer.
    Returns: as x; of a matrix feature-major.
    """
    return dropout(x.detach(), launch.dropout_law(p, seed, int(step)))


@dropout_operation.register_fake
def _(x, step, p, seed):
    rows = x.reshape(-1, x.shape[-1])
    return x.new_empty(rows.t().shape).t().reshape(x.shape)


def _keep_step(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _, step, *ctx.of_layer = inputs
    ctx.save_for_backward(step)


def _dropout_gradients(ctx: Any, grad: Tensor) -> tuple:
    return dropout_operation(grad, *ctx.saved_tensors, *ctx.of_layer), None, None, None


dropout_operation.register_autograd(_dropout_gradients, setup_context=_keep_step)


def require_tensor(x: Any, name: str = "input") -> None:
    """Raise ValueError unless it is a dense tensor of at least one dimension."""
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} is a {type(x).__name__}: give a tensor, as torch.as_tensor(x)")
    if x.ndim == 0:
        raise ValueError(f"{name} is a single number: give (B, n_in), or (n_in,)")
    if x.layout is not torch.strided:
        raise ValueError(f"{name} is of layout {x.layout}: give it dense, as x.to_dense()")


def _on_rows(x: Tensor, layer: Layer) -> Tensor:
    require_tensor(x)
    if x.ndim == 2:
        return chain(x, [layer])
    rows = x.reshape(-1, x.shape[-1])
    return chain(rows, [layer]).reshape(x.shape)


def chain(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """Layers after each other, each in one pass over its neurons: links, bias, activation, dropout.

    The same as :func:`spmm`, :func:`srelu` and :func:`dropout` in turn. Backward is one pass a
    layer too: of each neuron the gradient by the links above it, then its dropout, activation and
    own links.

    Source: the layers of [Mocanu2018], Methods.

    Args:
        x: (B, n_in) float, fastest if feature-major; under ``torch.autocast`` it is taken to the
            dtype of the layers.
        layers: of matching widths, on the device and in the dtype of ``x``.
    Returns: (B, n_out) float, feature-major.
    Raises: ValueError if a shape, a dtype or a device does not fit.
    """
    if layers and x.ndim != 2:
        raise ValueError(f"x has shape {tuple(x.shape)}: give (B, n_in)")
    layers = _without_empty(layers)
    if not layers:
        return x
    _check_layers(x.shape[1], layers)
    x = _fitted_to(layers, x)
    is_seen = launch.is_traced() or launch.is_observed() or torch.jit.is_tracing()
    if x.shape[0] == 0 or not launch.runs_compiled(x) or is_seen:
        return plain_chain(x, layers)
    if torch.compiler.is_compiling():
        return _chain_in_graph(x, layers)
    fixed, tensors = _split(layers)
    if torch.is_grad_enabled() or _has_tangents():
        return _Chain.apply(fixed, x, *tensors).t()
    y, _ = launch.forward(_contiguous_layers(fixed, tensors), x.detach(), keep=False)
    return y.t()


class PreparedChain:
    """A :func:`chain` for predictions of batches of one size: checked and laid out once.

    It holds the memory that contiguous layers have now, and reads it at each call; of others it
    holds copies. Whoever calls it makes sure that the layers still have this memory, that kernels
    on the input run compiled, and that no gradient is wanted.

    Args: as of :func:`chain`, which takes them too.
    """

    def __init__(self, layers: Sequence[Layer], x: Tensor) -> None:
        width, n_in = self.shape = x.shape
        self.dtype = x.dtype
        self.layers = _contiguous_layers(*_split(layers))
        self.plan = layout.planned(self.layers, n_in, width, self.dtype, keep=False)
        self.table = launch.filled(self.plan, self.layers, self.dtype)

    def fits(self, x: Tensor) -> bool:
        """True if it can take this input."""
        return x.shape == self.shape and x.dtype == self.dtype and launch.runs_compiled(x)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, n_in) float -> (B, n_out) float."""
        y, _ = launch.run_forward(self.plan, self.table, x.detach(), keep=False)
        return y.t()


def plain_chain(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """The definition of :func:`chain`, product by product, for batches of any size.

    It can be differentiated any number of times, also by transforms of ``torch.func``.
    """
    fixed, tensors = _split(layers)
    return _composed(fixed, x, *tensors).t()


def _without_empty(layers: Sequence[Layer]) -> list[Layer]:
    kept = []
    for layer in layers:
        if any(part is not None and part is not False for part in layer):
            kept.append(layer)
    return kept


def _split(layers: Sequence[Layer]) -> tuple[list[tuple], list[Tensor | None]]:
    """Support, law, ReLU and hinges of each layer, and three parameters of each."""
    fixed = []
    tensors = []
    for layer in layers:
        fixed.append((layer.support, layer.law, layer.is_relu, layer.hinges))
        tensors += layer.values, layer.bias, layer.pieces
    return fixed, tensors


class _Chain(torch.autograd.Function):
    """Layers after each other as one node of the graph.

    Inputs: support, law, whether it has a ReLU, and hinges, of each layer; x (B, n); values, bias
    and parameters of the activation of each layer. The output is (n, B).
    """

    @staticmethod
    def forward(ctx: Any, fixed: list[tuple], x: Tensor, *tensors: Tensor | None) -> Tensor:
        layers = _contiguous_layers(fixed, tensors)
        y, kept = launch.forward(layers, x.detach(), keep=True)
        ctx.fixed, ctx.is_rows = fixed, kept.is_rows
        ctx.save_for_backward(x, *tensors, kept.memory, kept.masks)
        return y

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple:
        saved = ctx.saved_tensors
        x, *tensors, memory, masks = saved
        # a gradient that will be differentiated, or of many losses at once: the definition's
        if torch.is_grad_enabled() or launch.is_traced():
            composed = functools.partial(_composed, ctx.fixed)
            needed = ctx.needs_input_grad[1:]
            return None, *differentiable_gradients(composed, (x, *tensors), grad_y, needed)
        layers = _contiguous_layers(ctx.fixed, tensors)
        kept = launch.Kept(memory, masks, x.shape[1], ctx.is_rows)
        grad_x, *grads = launch.backward(layers, kept, grad_y, ctx.needs_input_grad[1:])
        return None, None if grad_x is None else grad_x.t(), *grads


def _contiguous_layers(fixed: list[tuple], tensors: Sequence[Tensor | None]) -> list[Layer]:
    """Layers from what :func:`_split` makes of them, for one pass.

    Raises: RuntimeError if the weights are no longer those of the links.
    """
    layers = []
    for i, (support, law, is_relu, hinges) in enumerate(fixed):
        values, bias, pieces = map(_held, tensors[3 * i : 3 * i + 3])
        srelu, splash = (pieces, None) if hinges is None else (None, pieces)
        layer = Layer(support, values, bias, srelu, law, is_relu, splash, _held(hinges))
        if support is not None and layer.values.numel() != support.nnz:
            raise RuntimeError(
                f"{layer.values.numel()} weights for {support.nnz} links: the links were replaced"
                " between the forward and the backward pass"
            )
        layers.append(layer)
    return layers


def _held(tensor: Tensor | None) -> Tensor | None:
    """The tensor, contiguous, on memory that stays whatever others do to the tensor."""
    if tensor is None:
        return None
    held = tensor.detach()
    if held.is_contiguous() and not held.is_neg():
        return held
    return held.resolve_neg().contiguous()


def differentiable_gradients(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor | None],
    grad_y: Tensor,
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of a function of torch's operations at those inputs where they are needed. Where
    torch keeps a graph they can be differentiated again.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():  # by aliases: one input may depend on another
        aliases = [None if tensor is None else tensor.view_as(tensor) for tensor in inputs]
        y = function(*aliases)
    wanted = list(itertools.compress(aliases, needed))
    gradients = iter(torch.autograd.grad(y, wanted, grad_y, create_graph=differentiable))
    return [next(gradients) if is_needed else None for is_needed in needed]


def _composed(fixed: list[tuple], x: Tensor, *tensors: Tensor | None) -> Tensor:
    y = x.t()
    for i, (support, law, is_relu, hinges) in enumerate(fixed):
        values, bias, pieces = tensors[3 * i : 3 * i + 3]
        if support is None:
            y = y.contiguous()
        else:
            y = _affine(support, values, y, bias)
        if is_relu:
            y = y.relu()
        if hinges is not None:
            y = torch_hinge_sum(y, hinges, pieces)
        elif pieces is not None:
            y = _torch_srelu(y, pieces)
        if law is not None:
            y = _torch_dropout(y, law)
    return y


def _torch_srelu(x: Tensor, parameters: Tensor) -> Tensor:
    t_left, a_left, width, a_right = parameters[:, :, None]  # (n, 1) each
    t_right = t_left + width.abs()
    below = (x - t_left).clamp(max=0)
    above = (x - t_right).clamp(min=0)
    return x + (a_left - 1) * below + (a_right - 1) * above


def _torch_dropout(x: Tensor, law: DropoutLaw) -> Tensor:
    index = torch.arange(law.key, law.key + x.numel(), device=x.device)
    keep = (mixed(index.view(x.shape) & 0xFFFFFFFF) ^ law.flip) >= law.threshold
    return torch.where(keep, x * law.scale, torch.zeros_like(x))


def mixed(h: Tensor) -> Tensor:
    """The hash of the compiled loops, on 32 bits in int64."""
    h = (h ^ (h >> 16)) * 0x7FEB352D & 0xFFFFFFFF
    h = (h ^ (h >> 15)) * 0x846CA68B & 0xFFFFFFFF
    return h ^ (h >> 16)


# ------------------------------------------------------------- operations of torch's graphs


@torch.library.custom_op("sparse_adaptive::product", mutates_args=())
def product_operation(
    n_in: int,
    n_out: int,
    crow: Tensor,
    col: Tensor,
    tcrow: Tensor,
    trow: Tensor,
    perm: Tensor,
    values: Tensor | None,
    x: Tensor | None,
    grad_y: Tensor | None,
) -> Tensor:
    """The one of the three products whose factor is None: the support as
    :class:`lib.support.Support` has it, and ``values``, ``x`` and ``grad_y`` of the other two.
    """
    support = Support(n_in, n_out, crow, col, tcrow, trow, perm)
    return _product_of(support, values, x, grad_y)


@product_operation.register_fake
def _(n_in, n_out, crow, col, tcrow, trow, perm, values, x, grad_y):
    if values is None:
        return x.new_empty(col.shape)
    if x is None:
        return grad_y.new_empty(n_in, grad_y.shape[1])
    return x.new_empty(n_out, x.shape[1])


def _keep_factors(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.widths = inputs[:2]
    ctx.save_for_backward(*inputs[2:])


def _gradients_of_product(ctx: Any, grad: Tensor) -> tuple:
    *index, values, x, grad_y = ctx.saved_tensors
    product = functools.partial(product_operation, *ctx.widths, *index)
    needed = ctx.needs_input_grad[7:]
    return *[None] * 7, *_product_gradients(product, (values, x, grad_y), grad, needed)


product_operation.register_autograd(_gradients_of_product, setup_context=_keep_factors)


def _chain_in_graph(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """:func:`chain` as one operation. What backward reads is kept if a gradient may be asked for;
    an exported program keeps nothing, and computes it again if it is trained.
    """
    tensors = []
    parts = []
    for layer in layers:
        n_in, n_out, *index = layer.support or (0, 0)
        hinges = None if layer.hinges is None else layer.hinges.detach()
        given = (layer.values, layer.bias, layer.srelu, layer.splash, hinges)
        tensors += [*index, *[tensor for tensor in given if tensor is not None]]
        parts += [n_in, n_out, int(layer.is_relu), *[int(tensor is not None) for tensor in given]]
    keep = torch.is_grad_enabled() and not torch.compiler.is_exporting()
    keep = keep and any(tensor.requires_grad for tensor in (x, *tensors))
    return chain_operation(x, tensors, parts, keep)[0].t()


PARTS = 8  # numbers that say what a layer of a chain has


def _layers_of(tensors: Sequence[Any], parts: Sequence[int]) -> list[Layer]:
    """The layers, of their tensors or of what is given for each of them."""
    remaining = iter(tensors)
    layers = []
    for start in range(0, len(parts), PARTS):
        n_in, n_out, is_relu, *given = parts[start : start + PARTS]
        support = Support(n_in, n_out, *itertools.islice(remaining, 5)) if n_out else None
        values, bias, srelu, splash, hinges = [next(remaining) if has else None for has in given]
        layers.append(Layer(support, values, bias, srelu, None, bool(is_relu), splash, hinges))
    return layers


@torch.library.custom_op("sparse_adaptive::chain", mutates_args=())
def chain_operation(
    x: Tensor, tensors: Sequence[Tensor], parts: Sequence[int], keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`chain` without dropout.

    Args:
        x: (B, n_in) float.
        tensors: of each layer those that it has of crow, col, tcrow, trow, perm, values, bias,
            srelu, splash and hinges.
        parts: of each layer n_in and n_out of its links (0 without), whether it has a ReLU, and
            whether it has each of the last five tensors.
        keep: whether to keep what backward reads.
    Returns: (n_out, B) float, and what is kept: memory and masks, empty if nothing is.
    """
    x = x.detach()
    y, kept = launch.forward(_held_layers(tensors, parts), x, keep=keep)
    if kept is None or kept.memory is x:  # an output may not be an input
        return y, x.new_empty(1, 0), torch.empty(1, 0, dtype=torch.uint8)
    return y, kept.memory, kept.masks


def _held_layers(tensors: Sequence[Tensor], parts: Sequence[int]) -> list[Layer]:
    fixed, given = _split(_layers_of(tensors, parts))
    return _contiguous_layers(fixed, given)


@chain_operation.register_fake
def _(x, tensors, parts, keep):
    layers = _layers_of(tensors, parts)
    n_out = next((layer.support.n_out for layer in layers[::-1] if layer.support), x.shape[1])
    memory, masks = (1, 0), (1, 0)
    if keep:
        memory, masks = launch.kept_shapes(layers, x)
    return (
        x.new_empty(n_out, x.shape[0]),
        x.new_empty(memory),
        x.new_empty(masks, dtype=torch.uint8),
    )


@torch.library.custom_op("sparse_adaptive::chain_backward", mutates_args=())
def chain_backward_operation(
    grad_y: Tensor,
    x: Tensor,
    tensors: Sequence[Tensor],
    memory: Tensor,
    masks: Tensor,
    parts: Sequence[int],
    needed: Sequence[bool],
) -> list[Tensor]:
    """Gradients of ``chain``: of x and of each of its tensors, those that are needed."""
    layers = _held_layers(tensors, parts)
    x = x.detach()
    kept = launch.Kept(memory, masks, x.shape[1], launch.lies_in_rows(x))
    if launch.is_unit(layers):
        kept = kept._replace(memory=x)
    elif memory.numel() == 0:
        _, kept = launch.forward(layers, x, keep=True)
    grad_x, *grads = launch.backward(layers, kept, grad_y, _needed_of(needed, parts))
    found = [] if grad_x is None else [grad_x.t()]
    return found + [grad for grad in grads if grad is not None]


def _needed_of(needed: Sequence[bool], parts: Sequence[int]) -> list[bool]:
    """Needed gradients in the order of the backward pass: three parameters a layer."""
    by_layer = [needed[0]]
    for layer in _layers_of(needed[1:], parts):
        by_layer += [bool(layer.values), bool(layer.bias), bool(layer.pieces)]
    return by_layer


@chain_backward_operation.register_fake
def _(grad_y, x, tensors, memory, masks, parts, needed):
    found = []
    if needed[0]:
        lies_in_rows = launch.lies_in_rows(x) and not launch.is_unit(_layers_of(tensors, parts))
        found.append(x.new_empty(x.shape) if lies_in_rows else x.new_empty(x.t().shape).t())
    for tensor in itertools.compress(tensors, needed[1:]):
        found.append(tensor.new_empty(tensor.shape))
    return found


def _keep_chain(ctx: Any, inputs: tuple, output: tuple) -> None:
    x, tensors, parts, _ = inputs
    _, memory, masks = output
    ctx.parts = parts
    ctx.save_for_backward(x, *tensors, memory, masks)
    ctx.mark_non_differentiable(memory, masks)
    ctx.set_materialize_grads(False)


def _chain_gradients(ctx: Any, grad_y: Tensor | None, *_: None) -> tuple:
    x, *tensors, memory, masks = ctx.saved_tensors
    needs_x, needs_tensors, *_ = ctx.needs_input_grad
    if grad_y is None:
        return None, [None] * len(tensors), None, None
    needed = [needs_x, *needs_tensors]
    found = iter(
        chain_backward_operation(grad_y, x, tensors, memory, masks, list(ctx.parts), needed)
    )
    grad_x, *grads = [next(found) if is_needed else None for is_needed in needed]
    return grad_x, grads, None, None


chain_operation.register_autograd(_chain_gradients, setup_context=_keep_chain)


# what is called with the input and the gradient at the output of a layer, by the layer's number
WATCHERS: dict[int, Callable[[Tensor, Tensor], None]] = {}


@torch.library.custom_op("sparse_adaptive::watched", mutates_args=())
def watched_operation(y: Tensor, x: Tensor, number: int) -> Tensor:
    """A copy of the output y of a layer, whose gradient goes to its watcher too, with the input x:
    in torch's graphs, which leave hooks out.
    """
    return y.clone()


@torch.library.custom_op("sparse_adaptive::watched_backward", mutates_args=())
def watched_backward_operation(grad_y: Tensor, x: Tensor, number: int) -> Tensor:
    """A copy of the gradient, which the watcher has seen."""
    if number in WATCHERS:
        WATCHERS[number](x, grad_y)
    return grad_y.clone()


@watched_operation.register_fake
@watched_backward_operation.register_fake
def _(y, x, number):
    return torch.empty_like(y)


def _keep_watched(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _, x, ctx.number = inputs
    ctx.save_for_backward(x)


def _watched_gradients(ctx: Any, grad_y: Tensor) -> tuple:
    return watched_backward_operation(grad_y, *ctx.saved_tensors, ctx.number), None, None


watched_operation.register_autograd(_watched_gradients, setup_context=_keep_watched)


# ------------------------------------- what these cost, for torch.utils.flop_counter
# It gives the formulas the shape of each tensor in its place.


@flop_counter.register_flop_formula(torch.ops.sparse_adaptive.product)
def _(n_in, n_out, crow, col, tcrow, trow, perm, values, x, grad_y, **_):
    _, width = grad_y if x is None else x
    return 2 * col.numel() * width


@flop_counter.register_flop_formula(torch.ops.sparse_adaptive.chain)
def _(x, tensors, parts, keep, **_):
    return 2 * launch.forward_products(_layers_of(tensors, parts)) * x[0]


@flop_counter.register_flop_formula(torch.ops.sparse_adaptive.chain_backward)
def _(grad_y, x, tensors, memory, masks, parts, needed, **_):
    layers = _layers_of(tensors, parts)
    products = launch.backward_products(layers, _needed_of(needed, parts))
    if memory.numel() == 0:  # nothing was kept: forwards again
        products += launch.forward_products(layers)
    return 2 * products * x[0]


# --------------------------------------------------------------------------- the dense product


def dense_product(a: Tensor, b: Tensor) -> Tensor:
    """(m, n) product of dense matrices (m, k) and (k, n), by the faster library.

    In float32 on a CPU that is oneDNN: the library behind ``a @ b`` leaves half of the width of
    AVX-512 unused on processors of AMD. Elsewhere, and where torch traces, compiles or
    differentiates forwards, it is ``a @ b``.

    Raises: RuntimeError, torch's own, if the shapes do not fit.
    """
    fits = a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0]
    if fits and not is_recorded() and _suits_onednn(a) and _suits_onednn(b):
        return _DenseProduct.apply(a, b)
    return a @ b


def is_recorded() -> bool:
    """True if torch looks at the operations rather than only at their results."""
    if torch.compiler.is_compiling() or launch.is_traced() or torch.jit.is_tracing():
        return True
    return launch.is_observed() or _has_tangents()


def _has_tangents() -> bool:
    """True if torch differentiates forwards."""
    return torch.autograd.forward_ad._current_level >= 0


def _suits_onednn(x: Tensor) -> bool:
    if torch.is_autocast_enabled("cpu"):
        return False
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    return x.is_cpu and x.dtype == torch.float32 and x.numel() > 0


class _DenseProduct(torch.autograd.Function):
    """Its gradients are products of the same kind, so that they have gradients too."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        if launch.is_observed():
            launch.multiply_adds(a.numel() * b.shape[1])
        return torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        grad_a = grad_b = None
        if ctx.needs_input_grad[0]:
            grad_a = _DenseProduct.apply(grad, b.t())
        if ctx.needs_input_grad[1]:
            grad_b = _DenseProduct.apply(a.t(), grad)
        return grad_a, grad_b


# -------------------------------------------------------------------------------------- checks


def _check_columns(name: str, x: Tensor, n: int) -> None:
    if x.ndim != 2 or x.shape[0] != n:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: give ({n}, B), the batch as columns")


def _check_layers(width: int, layers: Sequence[Layer]) -> None:
    """Raise ValueError unless the layers fit each other and an input of this width."""
    n = width
    for support, values, bias, srelu, _, is_relu, splash, hinges, _ in layers:
        if is_relu and srelu is not None:
            raise ValueError("a layer has a ReLU and an SReLU: give one activation")
        if splash is not None and (is_relu or srelu is not None):
            raise ValueError("a layer has SPLASH and a ReLU or an SReLU: give one activation")
        if (splash is None) != (hinges is None):
            raise ValueError("a layer has one of splash and hinges: give both")
        if support is not None:
            if support.n_in != n:
                raise ValueError(
                    f"{n} values meet a layer of {support.n_in} inputs: make them equal"
                )
            _check_layer(support, values, bias)
            n = support.n_out
        elif values is not None or bias is not None:
            raise ValueError("values or bias without a support: give the links too")
        if srelu is not None and srelu.shape != (4, n):
            raise ValueError(f"srelu has shape {tuple(srelu.shape)}: give (4, {n})")
        if splash is not None:
            check_hinges(hinges, splash)


def _check_layer(support: Support, values: Tensor, bias: Tensor | None = None) -> None:
    if values.shape != support.col.shape:  # not nnz, a property
        raise ValueError(
            f"values has shape {tuple(values.shape)}: the support has {support.nnz} links"
        )
    if bias is not None and bias.shape != (support.n_out,):
        raise ValueError(f"bias has shape {tuple(bias.shape)}: give ({support.n_out},)")


def _fitted_to(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """``x``, under autocast in the dtype of the layers; ValueError where its dtype is another, or
    one of both is on a CPU alone.
    """
    for layer in layers:
        # not layer.pieces: torch 2.7 traces no property of a named tuple
        pieces = layer.srelu if layer.splash is None else layer.splash
        weights = pieces if layer.values is None else layer.values
        if weights is not None and weights.dtype != x.dtype and launch.is_autocast(x):
            x = x.to(weights.dtype)
        for name, tensor in (
            ("the weights", layer.values),
            ("the bias", layer.bias),
            ("the weights", pieces),
            ("the hinges", layer.hinges),
        ):
            if tensor is not None:
                launch.check_dtype("x", x, name, tensor)
    return x
