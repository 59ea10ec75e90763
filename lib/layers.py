"""Layers that keep activations feature-major: ``SparseLinear``, its dense twin, dropout,
standardisation; and ``SparseConv2d``, of images as torch has them.

Modules see ``(B, n_in)`` as in torch.nn. What a layer returns is the transposed view of contiguous
``(n_out, B)`` memory; element-wise operations keep that memory format, so that a stack of these
layers transposes once, at the input. Treat it as a memory format, like ``channels_last``.
"""

import functools
import math
import weakref
import zlib
from collections import OrderedDict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.nn import functional as F

from . import kernels
from ._boundary import check_seed, check_type, check_whole
from ._compiled import launch
from ._compiled.convolution import Geometry, Plan
from .support import Support, erdos_renyi_density, random_support, support_from_csr

NO_WEIGHT = (
    "{} is a SparseLinear and has no weight: its values (nnz,) are the weights of its links, and"
    " to_dense() returns the matrix; where the model reads the weight itself, leave the layer out"
    " by the filter of sparsify_"
)
N_LOOKED_AT = 256  # values of a layer by which an average is noticed
FEWEST_LOOKED_AT = 8
NO_MIX = (
    "give the copy to Evolver(averages=[...]), or copy the model after the last update of links"
)
AVERAGED = (
    "a copy of this layer was averaged with it after the links had moved, which mixes values of"
    f" different links: {NO_MIX}"
)
OVERWRITTEN = (
    "the links were overwritten with those of another layer: under DistributedDataParallel make"
    " layers of the same links on every process, by torch.manual_seed(0) before sparsify_ or by"
    " its generator; give an average of weights to an Evolver"
)


LAYERS: weakref.WeakSet["SparseLinear"] = weakref.WeakSet()  # all that there are


class _Behind(NamedTuple):
    """Memory of a layer whose links are those that another layer had before it evolved."""

    origin: weakref.ref["SparseLinear"]
    places: Tensor  # some, (n,) int64, at which the two have different links
    old: Tensor  # (n,) values there

    def share(self, values: Tensor) -> float:
        """The w for which the values are now old + w (those of the other - old); 0 if they are no
        such average. What learns by itself, or is disturbed, goes another way.
        """
        origin = self.origin()
        if origin is None or origin.values.shape != values.shape:
            return 0.0
        now = values.detach().index_select(0, self.places)
        if now.equal(self.old):
            return 0.0
        change = now.double() - self.old
        way = origin.values.detach().index_select(0, self.places).double() - self.old
        product = float(change @ way)
        is_along = product > 0.95 * float(change.norm() * way.norm())
        return product / float(way @ way) if is_along else 0.0


class SparseLinear(nn.Module):
    r"""Linear layer that stores and computes its links only; a drop-in for ``nn.Linear``.

    .. math:: y_{b,i} = \beta_i + \sum_{k: row_k = i} w_k \, x_{b, col_k}

    Source: the sparsely connected layer of [Mocanu2018], Methods. Weights start as
    :math:`w_k \sim N(0, 2 / n_i)` with :math:`n_i` the *actual* number of inputs of the output
    neuron i ([He2015], for a sparse neuron); see :func:`initial_values` for the variants. Biases
    start at 0.

    The weights are ``values`` (nnz,), in the order of the links; there is no ``weight``, see
    :meth:`to_dense`. Any optimiser of torch but Muon (which takes matrices alone),
    ``copy.deepcopy``, pickles, ``state_dict`` (it brings its own links) and gradients of gradients
    work as for ``nn.Linear``; under ``torch.autocast`` the layer computes in the dtype of its
    weights. In the graphs of ``torch.compile`` and ``torch.export`` it is one operation,
    ``sparse_adaptive::chain``; a program that was exported is loaded where this package was
    imported. In ``torch.func``, and in float16 and bfloat16, the plain torch form of the kernels
    runs: slower, of the same meaning. ``functional_call`` with the links of another layer sorts
    them anew at each call. What cannot work:

    * ``torch.onnx.export``, which does not know this operation: :func:`lib.sparsify.densify_`
      first;
    * ``torch.autograd.forward_ad``: "You must implement the jvp function"; ``torch.func.jvp`` can;
    * ``torch.autograd.grad(is_grads_batched=True)``, and ``torch.autograd.functional`` with
      ``vectorize=True``: "Batching rule not implemented"; ``torch.func.jacrev`` can;
    * ``torch.jit.script``, ``torch.jit.trace`` and ``torch.fx.symbolic_trace``: take
      ``torch.export``, or trace a copy after ``densify_``;
    * ``torch.nn.utils.parametrize`` of the values: "attribute 'values' already exists";
    * links that move under a mask of ``torch.nn.utils.prune`` or ``weight_norm``: make it permanent
      first. A layer that stands still may have one;
    * an average of weights that is older than the links, as of ``torch.optim.swa_utils``, timm or
      Lightning: give it to :class:`lib.sparsify.Evolver`, or make it after the last update. An
      average that is no copy of the model, but a list of tensors, cannot be noticed;
    * an exported program of links that move later: it shares the weights, and keeps its links;
    * a ``load_state_dict`` of other links while an optimiser goes on, whose momentum is that of the
      old ones: load the optimiser's state too, or make a new optimiser.

    Args:
        in_features, out_features: widths.
        density: fraction of the in_features · out_features positions with a link, in (0, 1]; or
            give
        er_epsilon: the SET parameter, :func:`lib.support.erdos_renyi_density`; or give
        support: the links themselves, as those of :func:`lib.support.local_support`.
        bias: whether to add :math:`\beta`.
        generator: source of randomness, on the CPU; default: seeded by a draw from torch's own.
        draw: how links are drawn, see :func:`lib.support.random_support`.
        start: how weights start, see :func:`initial_values`.
        device, dtype: of the parameters.
    Raises: ValueError if not exactly one of density, er_epsilon and support is given, a value is
        out of range, or the density would leave no link at all.

    Example:
        >>> layer = SparseLinear(784, 1000, er_epsilon=20)
        >>> layer(torch.rand(128, 784)).shape
        torch.Size([128, 1000])
    """

    watched_as: int | None = None  # number by which lib.growth sees it in torch's graphs
    name = "the layer"  # in the model that was made sparse, as "layer 0"
    _fingerprint = (0, 0)  # of the links
    _behind: _Behind | None = None  # another layer, whose links have evolved away from these
    _followers: tuple[weakref.ref["SparseLinear"], ...] = ()  # layers behind this one

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        density: float | None = None,
        er_epsilon: float | None = None,
        support: Support | None = None,
        bias: bool = True,
        generator: torch.Generator | None = None,
        draw: str = "exact",
        start: str | float = "he",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        LAYERS.add(self)
        if sum(given is not None for given in (density, er_epsilon, support)) != 1:
            raise ValueError(
                f"density = {density}, er_epsilon = {er_epsilon}: give one of density, er_epsilon,"
                " support"
            )
        if torch.device(device or torch.get_default_device()).type == "meta":
            raise ValueError("links need memory, and the device meta has none: give another one")
        dtype = dtype or torch.get_default_dtype()
        check_type("dtype", dtype, torch.dtype)
        if not dtype.is_floating_point:
            raise ValueError(f"dtype = {dtype} has no gradients: give a floating one")
        generator = given_or_seeded(generator)
        check_whole("in_features", in_features, least=1)
        check_whole("out_features", out_features, least=1)
        widths = in_features, out_features
        if er_epsilon is not None:
            density = erdos_renyi_density(*widths, er_epsilon)
        if density is not None:
            support = random_support(*widths, density, generator=generator, draw=draw)
            if support.nnz == 0:
                raise ValueError(
                    f"density = {density:g} leaves no link at {in_features} x {out_features}"
                    " positions: give a larger one"
                )
        check_type("support", support, Support)
        if (support.n_in, support.n_out) != widths:
            raise ValueError(
                f"the support is {support.n_in} to {support.n_out},"
                f" not {in_features} to {out_features}"
            )
        self.in_features = in_features
        self.out_features = out_features
        self.support = support
        values = initial_values(support, start, generator=generator)
        self.values = nn.Parameter(values.to(dtype))
        self.register_parameter("bias", None)
        if bias:
            self.bias = nn.Parameter(self.values.new_zeros(out_features))
        self.to(device)

    @property
    def support(self) -> Support:
        """The links; assigning a support of another size leaves ``values`` to the caller."""
        known, buffers = self._support, self._buffers
        crow, col = buffers["crow"], buffers["col"]
        if crow is self._shown[0] and col is self._shown[1]:
            if not torch.compiler.is_compiling():
                self._check_links()
            return known
        # given for one call: stand-ins of the layer's own in an export; to torch.func, which reads
        # rows alone, and otherwise perhaps the links of another layer
        if torch.compiler.is_exporting() or launch.is_traced():
            return known._replace(crow=crow, col=col)
        if torch.compiler.is_compiling():
            return _with_columns(crow, col, self.in_features, self.out_features)
        if _fingerprint(crow, col) != self._fingerprint:
            return support_from_csr(crow, col, self.in_features, self.out_features)
        index = [tensor.to(crow.device) for tensor in known[2:]]  # the same links, moved
        self._support = Support(self.in_features, self.out_features, *index)
        self._shown = crow, col
        return self._support

    @support.setter
    def support(self, support: Support) -> None:
        self.check_movable()
        self._support = support
        self._fingerprint = _fingerprint(support.crow, support.col)
        self._behind = None
        self._show_links()

    def _show_links(self) -> None:
        """Register copies of the links as buffers: what a tool writes into them, as an average of
        buffers, changes no link. The buffer ``fingerprint`` is for DistributedDataParallel, which
        sends buffers to all processes: by it a process notices that its links are others.
        """
        support = self._support
        self._shown = support.crow.clone(), support.col.clone()
        self.register_buffer("crow", self._shown[0])
        self.register_buffer("col", self._shown[1])
        fingerprint = support.crow.new_tensor(self._fingerprint)
        self.register_buffer("fingerprint", fingerprint, persistent=False)
        self._written = _times_written(fingerprint)

    def _apply(self, fn: Any, recurse: bool = True) -> "SparseLinear":
        super()._apply(fn, recurse)
        known = self._support
        index = [fn(tensor) for tensor in known[2:]]
        if not known.crow.is_meta:  # what to_empty would lose stays
            index = [tensor.to(new.device) for tensor, new in zip(known[2:], index, strict=True)]
        self._support = Support(self.in_features, self.out_features, *index)
        self._show_links()
        if known.crow.is_meta:
            self._shown = None, None  # there are no links, until those of a state are loaded
        return self

    def check_movable(self) -> None:
        """Raise ValueError if the values are masked or normalised by ``torch.nn.utils``."""
        if "values" not in self._parameters and "values" in self.__dict__:
            raise ValueError(
                "the values are pruned or normalised (torch.nn.utils), so their links cannot move:"
                " make that permanent first, as by prune.remove(layer, 'values')"
            )

    def _check_links(self) -> None:
        """Raise ValueError if the values may be those of other links."""
        self.check_averages()
        fingerprint = self._buffers["fingerprint"]
        if self._written == _times_written(fingerprint) or launch.is_traced():
            return
        check, repeated = fingerprint.tolist()
        if (check, repeated) != self._fingerprint:
            if repeated == _hash(check):  # of other links; an average is that of none
                raise ValueError(OVERWRITTEN)
            with torch.no_grad():
                fingerprint.copy_(torch.tensor(self._fingerprint))
                for shown, known in zip(self._shown, self._support[2:4], strict=True):
                    shown.copy_(known)
        self._written = _times_written(fingerprint)

    def leave_behind(self, before: tuple[int, int]) -> None:
        """Note the layers that keep the links which this one had before, by their fingerprint: from
        now on an average of the two would mix values of different links.
        """
        kept = [ref for ref in self._followers if (other := ref()) and other._behind]
        for other in list(LAYERS):
            values = other._parameters.get("values")  # None: masked or normalised
            if other is self or other._fingerprint != before or values is None:
                continue
            if values.shape != self.values.shape or values.device != self.values.device:
                continue
            places = (other._support.keys != self._support.keys).nonzero().squeeze(1)
            places = places[:: 1 + len(places) // N_LOOKED_AT]
            if len(places) >= FEWEST_LOOKED_AT:
                other._behind = _Behind(weakref.ref(self), places, values.detach()[places])
                kept.append(weakref.ref(other))
        self._followers = tuple(kept)

    def check_averages(self) -> None:
        """Raise ValueError if this layer and one that has other links by now were averaged."""
        if self._behind is None and not self._followers:
            return
        for layer in (self, *[ref() for ref in self._followers]):
            if layer is not None and layer._behind is not None and "values" in layer._parameters:
                if layer._behind.share(layer.values) > 0:
                    raise ValueError(AVERAGED)

    def __getstate__(self) -> dict[str, Any]:
        """State of copies and pickles, without the hooks by which a collector watches the layer."""
        state = self.__dict__ | {"watched_as": None, "_behind": None, "_followers": ()}
        hooks = state["_forward_hooks"].items()
        kept = {key: hook for key, hook in hooks if not getattr(hook, "is_left_behind", False)}
        return state | {"_forward_hooks": OrderedDict(kept)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        LAYERS.add(self)

    def __getattr__(self, name: str) -> Any:
        if name == "weight":
            raise AttributeError(NO_WEIGHT.format(self.name))
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "weight":
            raise AttributeError(NO_WEIGHT.format(self.name))
        super().__setattr__(name, value)

    def register_parameter(self, name: str, parameter: nn.Parameter | None) -> None:
        """As of every module; a ``weight`` is refused, as nothing would read it."""
        if name == "weight":
            raise AttributeError(NO_WEIGHT.format(self.name))
        super().register_parameter(name, parameter)

    @property
    def nnz(self) -> int:
        """Number of links."""
        return self.values.numel()

    @property
    def density(self) -> float:
        """Links divided by positions."""
        return self.nnz / (self.in_features * self.out_features)

    def links(self) -> kernels.Layer:
        """This layer as :func:`lib.kernels.chain` takes it."""
        return kernels.Layer(self.support, self.values, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) float -> (..., out_features) float, also of no examples.

        Raises ValueError if the width or the dtype does not fit, or it is no tensor.
        """
        x = input  # named as in torch.nn.Linear
        _check_input(x, self.in_features)
        if x.ndim == 2 and not launch.is_traced():
            y = kernels.chain(x, [self.links()])
        else:
            rows = x.reshape(-1, self.in_features)
            y = kernels.chain(rows, [self.links()]).reshape(*x.shape[:-1], self.out_features)
        is_watched = self.watched_as is not None and self.training and self.values.requires_grad
        if is_watched and torch.compiler.is_compiling():
            return kernels.watched_operation(y, x, self.watched_as)
        return y

    def replace_values_(self, values: Tensor) -> None:
        """Give the layer other weights, (nnz,) of its support; the parameter stays the object."""
        is_as_long = values.shape == self.values.shape
        if not is_as_long:  # torch keeps the gradient's shape of a live graph, but not its dtype's
            other = torch.float32 if values.dtype == torch.float16 else torch.float16
            self.values.data = values.new_empty(0, dtype=other)
        self.values.data = values
        self.values.grad = None
        if is_as_long and not self.values.is_inference():
            increment_version(self.values)  # so that a graph which needs the old ones refuses

    def replace_links_(self, support: Support, values: Tensor) -> None:
        """Give the layer other links, with these (nnz,) weights; an optimiser that holds the old
        ones knows nothing of it, see :func:`lib.evolution.evolve_`.
        """
        self.support = support
        self.replace_values_(values.to(self.values))

    def to_dense(self) -> Tensor:
        """(out_features, in_features) float, the weight matrix with its zeros."""
        positions = self.out_features * self.in_features
        dense = self.values.new_zeros(positions)
        dense = dense.index_put((self.support.keys,), self.values)
        return dense.view(self.out_features, self.in_features)

    def dense_module(self) -> nn.Module:
        """A dense layer of the same function, which has its own weight and the same bias."""
        return self._with_parameters(
            nn.Linear(self.in_features, self.out_features, bias=False, device="meta")
        )

    def _with_parameters(self, dense: nn.Linear | nn.Conv2d) -> nn.Module:
        dense.weight = nn.Parameter(self.to_dense().detach(), self.values.requires_grad)
        dense.bias = self.bias
        return dense.train(self.training)

    def as_rows(self, x: Tensor, grad_y: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (..., in_features) and gradients at the output as rows (B, in_features) and
        (B, out_features), whose products are the gradients of all positions.
        """
        return x.reshape(-1, self.in_features), grad_y.reshape(-1, self.out_features)

    def extra_repr(self) -> str:
        widths = f"in_features={self.in_features}, out_features={self.out_features}"
        links = f"links={self.nnz}, density={self.density:.2%}"
        return f"{widths}, {links}, bias={self.bias is not None}"

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self._check_links()
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "crow"] = self._support.crow.clone()
        destination[prefix + "col"] = self._support.col.clone()
        if hasattr(destination, "_metadata"):  # no tensor tells the number of inputs
            destination._metadata[prefix[:-1]]["in_features"] = self.in_features

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        name = prefix.removesuffix(".") or "the layer"
        n_in = local_metadata.get("in_features", self.in_features)
        if n_in != self.in_features:
            raise ValueError(
                f"{name}: the state is of a layer of {n_in} inputs, not {self.in_features}: make"
                " the layer as wide, or give dict(state) if you have renamed the keys of a state"
            )
        crow, col, values = (state_dict.get(prefix + key) for key in ("crow", "col", "values"))
        if values is not None and (crow is None or col is None):
            raise ValueError(
                f"{name}: the state has values without their links, crow and col: give the whole"
                " state_dict"
            )
        if crow is not None and col is not None and len(crow) == self.out_features + 1:
            self._move_to(crow, col, values, name)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def _move_to(self, crow: Tensor, col: Tensor, values: Tensor | None, name: str) -> None:
        """Take over the links of a state, unless they are the layer's own."""
        device = self.values.device
        crow, col = crow.to(device), col.to(device)
        known = self._support
        if crow.is_floating_point() and len(crow) == len(known.crow) and len(col) == len(known.col):
            if all(map(torch.allclose, (crow, col), [index.to(crow) for index in known[2:4]])):
                return  # the average of a state and others of the same links
            raise ValueError(f"{name}: the state is an average of states of other links: {NO_MIX}")
        if crow.equal(known.crow.to(crow)) and col.equal(known.col.to(col)):
            return
        if values is None or values.shape != col.shape:
            held = "none" if values is None else f"values of shape {tuple(values.shape)}"
            raise ValueError(f"{name}: the state has {len(col)} links and {held} for them")
        try:
            support = support_from_csr(crow, col, self.in_features, self.out_features)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        behind, before = self._behind, self._fingerprint
        if behind is not None and 0 < behind.share(values.to(device)) < 0.9:  # near 1: no average
            raise ValueError(AVERAGED)
        self.support = support
        if values.shape != self.values.shape:
            self.replace_values_(self.values.new_empty(values.shape))
        self.leave_behind(before)


# ------------------------------------------------------------------------------ convolutions


class SparseConv2d(SparseLinear):
    r"""Convolution that stores and computes its links only; a drop-in for ``nn.Conv2d``.

    .. math:: y_{b,o,i,j} = \beta_o + \sum_{k: o_k = o} w_k \, x_{b, c_k, i s + u_k, j t + v_k}

    with x padded, strides s and t, and link k at output channel o, input channel c and place (u, v)
    of the kernel. Links are positions of an (out_channels, in_channels · height · width of the
    kernel) matrix, so they are drawn, started, saved and evolved as those of a
    :class:`SparseLinear`. Its *in_features* are the columns of this matrix.

    float32 on a CPU runs compiled loops, on 16 examples at a time. Anything else, and what torch
    compiles or transforms, is the dense convolution of :meth:`to_dense`. In a model that torch
    compiles, rules by gradient, as RigL's, see nothing of it, and its links stay.

    Args:
        in_channels, out_channels: maps of the input and of the output.
        kernel_size, stride: one number, or height and width.
        padding: zeros at each side, one number, or rows and columns; "valid", none; or "same", for
            stride 1: the output is as large as the input.
        dilation, groups: 1; others are refused.
        links: one of density, er_epsilon and support, and bias, generator, draw, start, device,
            dtype, as in :class:`SparseLinear`.
    Raises: ValueError for a value out of range, and as :class:`SparseLinear` does.

    Example:
        >>> layer = SparseConv2d(16, 32, 3, padding=1, density=0.1)
        >>> layer(torch.rand(128, 16, 8, 8)).shape
        torch.Size([128, 32, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        **links: Any,
    ) -> None:
        if _pair("dilation", dilation) != (1, 1) or groups != 1:
            raise ValueError(
                f"dilation = {dilation}, groups = {groups}: a sparse convolution has 1 of both, so"
                " keep this layer an nn.Conv2d"
            )
        check_whole("in_channels", in_channels, least=1)
        check_whole("out_channels", out_channels, least=1)
        kernel, stride = _pair("kernel_size", kernel_size), _pair("stride", stride)
        sizes = in_channels, out_channels, kernel, stride, padding
        self.geometry = convolution_geometry(*sizes)
        super().__init__(in_channels * kernel[0] * kernel[1], out_channels, **links)
        self.in_channels, self.out_channels, self.kernel_size, self.stride, self.padding = sizes

    @classmethod
    def like(cls, dense: nn.Conv2d, **links: Any) -> "SparseConv2d":
        """A sparse convolution of the sizes of a dense one, without bias; links as in the class.

        Raises: ValueError if the dense one has groups, a dilation, or a border of other than zeros.
        """
        check_type("dense", dense, nn.Conv2d)
        if dense.padding_mode != "zeros":
            raise ValueError(
                f"padding_mode = {dense.padding_mode!r}: a sparse convolution has a border of zeros"
            )
        sizes = dense.in_channels, dense.out_channels, dense.kernel_size, dense.stride
        place = {"device": dense.weight.device, "dtype": dense.weight.dtype}
        how = dense.padding, dense.dilation, dense.groups
        layer = cls(*sizes, *how, bias=False, **place, **links)
        return layer.train(dense.training)

    @classmethod
    def from_dense(cls, dense: nn.Conv2d, *, support: Support) -> "SparseConv2d":
        """A sparse convolution with the weights of a dense one at these links, and its bias; raises
        ValueError as :meth:`like`.
        """
        layer = cls.like(dense, support=support)
        layer.replace_values_(dense.weight.detach().flatten()[layer.support.keys])
        layer.bias = dense.bias
        return layer

    def to_dense(self) -> Tensor:
        """(out_channels, in_channels, height, width) float, the kernels with their zeros."""
        return super().to_dense().view(self.out_channels, self.in_channels, *self.kernel_size)

    def dense_module(self) -> nn.Module:
        """An ``nn.Conv2d`` of the same function, which has its own weight and the same bias."""
        sizes = self.in_channels, self.out_channels, self.kernel_size, self.stride, self.padding
        return self._with_parameters(nn.Conv2d(*sizes, bias=False, device="meta"))

    def forward(self, input: Tensor) -> Tensor:
        """(B, in_channels, height, width) float -> (B, out_channels, height, width) float; one
        image (in_channels, height, width) likewise.

        Raises ValueError if the shape or the dtype does not fit, or it is no tensor.
        """
        x = input
        kernels.require_tensor(x, "input")
        self._check_images(x)
        if launch.is_autocast(x):
            x = x.to(self.values.dtype)
        launch.check_dtype("x", x, "the weights", self.values)
        images = x if x.ndim == 4 else x[None]
        is_compiled = launch.runs_compiled(x) and x.dtype == torch.float32 and len(images) > 0
        given = images, self.values, self.bias
        if is_compiled and not kernels.is_recorded():
            y = _Convolution.apply(*given, self.support, self.geometry)
        else:
            y = _plain_convolution(self.support, self.geometry, *given)
        return y if x.ndim == 4 else y[0]

    def _check_images(self, x: Tensor) -> None:
        if x.ndim not in (3, 4) or x.shape[-3] != self.in_channels:
            raise ValueError(
                f"input has shape {tuple(x.shape)}: give (B, {self.in_channels}, height, width)"
            )
        if min(self.geometry.size_of_output(*x.shape[-2:])) < 1:
            raise ValueError(
                f"the kernel of {self.kernel_size} is larger than the padded images of"
                f" {tuple(x.shape[-2:])}: give larger images, or more padding"
            )

    def as_rows(self, x: Tensor, grad_y: Tensor) -> tuple[Tensor, Tensor]:
        """Rows whose product is the gradient at all positions of the kernels: of the identity, and
        of this gradient. Rows of what each pixel sees would take up to a hundred times the memory.
        The identity has n_in x n_in numbers, n_in with the places of a kernel.
        """
        x, grad_y = (t if t.ndim == 4 else t[None] for t in (x, grad_y))
        shape = self.out_channels, self.in_channels, *self.kernel_size
        padded = _padded(x, self.geometry)
        gradient = torch.nn.grad.conv2d_weight(padded, shape, grad_y.to(x), self.stride)
        return torch.eye(self.in_features).to(x), gradient.flatten(1).t()

    def extra_repr(self) -> str:
        sizes = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        place = f"stride={self.stride}, padding={self.padding!r}"
        links = f"links={self.nnz}, density={self.density:.2%}"
        return f"{sizes}, {place}, {links}, bias={self.bias is not None}"


def convolution_geometry(
    in_channels: int, out_channels: int, kernel: tuple[int, int], stride: tuple[int, int],
    padding: int | tuple[int, int] | str,
) -> Geometry:  # fmt: skip
    """A convolution as the loops take it. Raises ValueError for padding "same" with strides."""
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(f"padding = 'same' with stride = {stride}: give numbers")
        (above, left), (below, right) = [(k - 1) // 2 for k in kernel], [k // 2 for k in kernel]
        sides = above, left, below, right
    elif padding == "valid":
        sides = 0, 0, 0, 0
    elif isinstance(padding, str):
        raise ValueError(f"padding = {padding!r}: give a number, 'same' or 'valid'")
    else:
        sides = 2 * _pair("padding", padding, least=0)
    return Geometry(in_channels, out_channels, kernel, stride, sides)


def can_be_sparse(convolution: nn.Conv2d) -> bool:
    """True if it has neither groups nor a dilation, and a border of zeros."""
    is_plain = convolution.groups == 1 and tuple(convolution.dilation) == (1, 1)
    return is_plain and convolution.padding_mode == "zeros"


def _pair(name: str, value: Any, least: int = 1) -> tuple[int, int]:
    """A number twice, or two numbers."""
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} = {value}: give a number, or one of height and one of width")
    for one in pair:
        check_whole(name, one, least=least)
    return pair


def _padded(x: Tensor, geometry: Geometry) -> Tensor:
    top, left, bottom, right = geometry.padding
    return F.pad(x, (left, right, top, bottom))


def _plain_convolution(
    support: Support, geometry: Geometry, x: Tensor, values: Tensor, bias: Tensor | None
) -> Tensor:
    """The dense convolution of torch with these links."""
    dense = values.new_zeros(support.n_out * support.n_in).index_put((support.keys,), values)
    weight = dense.view(geometry.n_out, geometry.n_in, *geometry.kernel)
    return F.conv2d(_padded(x, geometry), weight, bias, geometry.stride)


PLANS = 8  # sizes of batches whose plans a support keeps


def _planned(support: Support, geometry: Geometry, x: Tensor) -> Plan:
    """The plan of these links for inputs of this shape; other links are another support."""
    plans = support.__dict__.setdefault("_plans", {})
    batch, _, height, width = x.shape
    key = geometry, batch, height, width
    plan = plans.get(key)
    if plan is None:
        if len(plans) >= PLANS:
            plans.clear()
        plan = plans[key] = Plan(geometry, support.keys.numpy(), batch, height, width)
    return plan


def _array(x: Tensor) -> Any:
    """The memory of a tensor, contiguous."""
    return x.detach().resolve_neg().contiguous().numpy()


class _Convolution(torch.autograd.Function):
    """The compiled passes. The input is kept as torch has it, and packed again backwards."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, values: Tensor, bias: Tensor | None, support: Support,
        geometry: Geometry,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, values, bias)
        ctx.fixed = support, geometry
        plan = _planned(support, geometry, x)
        y = x.new_empty(len(x), geometry.n_out, *geometry.size_of_output(*x.shape[2:]))
        added = values.new_zeros(geometry.n_out) if bias is None else bias
        n_threads = min(launch.match_threads(), plan.n_tiles)
        plan.forward(_array(x), _array(values), _array(added), y.numpy(), n_threads)
        return y

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple:
        x, values, bias = ctx.saved_tensors
        if torch.is_grad_enabled():  # gradients of gradients
            plain = functools.partial(_plain_convolution, *ctx.fixed)
            given = ctx.saved_tensors, grad_y, ctx.needs_input_grad[:3]
            return *kernels.differentiable_gradients(plain, *given), None, None
        plan = _planned(*ctx.fixed, x)
        grad_x, grad = x.new_empty(x.shape), torch.empty_like(values)
        n_threads = min(launch.match_threads(), plan.n_tiles)
        arrays = [_array(one) for one in (x, values, grad_y)]
        plan.backward(*arrays, grad_x.numpy(), grad.numpy(), n_threads)
        # in two sums, of which none is split over threads
        grad_bias = grad_y.sum((2, 3)).sum(0) if ctx.needs_input_grad[2] else None
        return grad_x, grad, grad_bias, None, None


def initial_values(
    support: Support, start: str | float = "he", *, generator: torch.Generator
) -> Tensor:
    r"""(nnz,) float64 initial weights of a layer.

    ``"he"``: :math:`N(0, 2 / n_i)`, :math:`n_i` the actual number of inputs of the output neuron;
    ``"glorot_uniform"``: :math:`U(-a, a)`, :math:`a = \sqrt{6 / (n_{in} + n_{out})}`, the fans of
    the dense layer (the authors' Keras code); a number: :math:`N(0, start^2)` (their SciPy code:
    0.1).

    Raises: ValueError for another start.
    """
    drawn = {"generator": generator, "dtype": torch.float64, "device": generator.device}
    if start == "he":
        n_inputs = support.crow.diff()[support.row.long()].cpu()
        noise = torch.randn(support.nnz, **drawn)
        return noise * (2 / n_inputs.float()).sqrt()  # float32 whatever the default dtype is
    if start == "glorot_uniform":
        limit = math.sqrt(6 / (support.n_in + support.n_out))
        uniform = torch.rand(support.nnz, **drawn)
        return (2 * uniform - 1) * limit
    if _is_deviation(start):
        return torch.randn(support.nnz, **drawn) * start
    raise _unknown_start(start)


def _is_deviation(start: str | float) -> bool:
    return isinstance(start, float | int) and 0 <= start < math.inf


def _unknown_start(start: str | float) -> ValueError:
    return ValueError(
        f"start {start!r} is unknown: give 'he', 'glorot_uniform' or a standard deviation"
    )


def _times_written(tensor: Tensor) -> int:
    """How often torch has written to a tensor in place; through ``.data`` it does not count."""
    try:
        return tensor._version
    except RuntimeError:  # those of torch.inference_mode are not counted
        return 0


def _fingerprint(crow: Tensor, col: Tensor) -> tuple[int, int]:
    """A checksum of links, and the checksum of that."""
    checksum = 0
    for tensor in (crow, col):
        array = tensor.detach().cpu().contiguous().numpy()
        checksum = zlib.crc32(array.tobytes() if array.size == 0 else array, checksum)
    checksum >>= 1  # as int32 it is not negative
    return checksum, _hash(checksum)


def _with_columns(crow: Tensor, col: Tensor, n_in: int, n_out: int) -> Support:
    """The support of compressed rows by operations of torch alone, for its graphs."""
    row = torch.arange(n_out, dtype=crow.dtype, device=crow.device)
    row = row.repeat_interleave(crow.diff(), output_size=col.numel())
    perm = col.argsort(stable=True)
    tcrow = crow.new_zeros(n_in + 1).index_add(0, col + 1, torch.ones_like(col))
    tcrow = tcrow.cumsum(0, dtype=crow.dtype)
    return Support(n_in, n_out, crow, col, tcrow, row[perm], perm.to(crow.dtype))


def _hash(checksum: int) -> int:
    return zlib.crc32(checksum.to_bytes(4, "little", signed=True)) >> 1


def _check_input(x: Any, n_in: int) -> None:
    """Raise ValueError if a layer of ``n_in`` inputs cannot take it."""
    kernels.require_tensor(x)
    if x.shape[-1] != n_in:
        given, remedy = f"{x.shape[-1]} features", ""
        if x.dim() > 2:
            given += f" in examples of shape {tuple(x.shape[1:])}"
            remedy = ", so flatten them first" if x.shape[1:].numel() == n_in else ""
        raise ValueError(f"input has {given}: this layer takes {n_in}{remedy}")


def _drawn_seed() -> int:
    """A seed from torch's own generator, another at every call."""
    return int(torch.randint(2**62, (), device="cpu"))


def given_or_seeded(generator: torch.Generator | None) -> torch.Generator:
    """The generator; in place of None one that is seeded by a draw from torch's own. Raises
    ValueError for anything else.
    """
    if generator is None:
        return torch.Generator().manual_seed(_drawn_seed())
    check_type("generator", generator, torch.Generator)
    return generator


class Linear(nn.Linear):
    """Dense layer in the feature-major format, started as :class:`SparseLinear` is; the dense
    baseline.

    Source: [He2015] for the start ``"he"``, N(0, 2 / in_features); the others as in
    :func:`initial_values`.

    Raises: ValueError for another start.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        start: str | float = "he",
        generator: torch.Generator | None = None,
    ) -> None:
        check_whole("in_features", in_features, least=1)
        check_whole("out_features", out_features, least=1)
        super().__init__(in_features, out_features)
        if start == "he":
            nn.init.kaiming_normal_(self.weight, nonlinearity="relu", generator=generator)
        elif start == "glorot_uniform":
            nn.init.xavier_uniform_(self.weight, generator=generator)
        elif _is_deviation(start):
            nn.init.normal_(self.weight, std=start, generator=generator)
        else:
            raise _unknown_start(start)
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(B, in_features) float -> (B, out_features) float, feature-major; other numbers of
        dimensions as ``nn.Linear``.
        """
        x = input
        _check_input(x, self.in_features)
        if x.ndim != 2:
            return super().forward(x)
        return (kernels.dense_product(self.weight, x.t()) + self.bias[:, None]).t()


class Standardise(nn.Module):
    """(x - mean) / std on flattened examples, by constants of the training part.

    Args:
        mean, std: scalars or (n_features,) float.
    Raises: ValueError if a standard deviation is not positive and finite, or they are of other
        shapes.
    """

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        check_type("mean", mean, Tensor)
        check_type("std", std, Tensor)
        if mean.ndim > 1 or mean.shape != std.shape:
            shapes = f"{tuple(mean.shape)} and {tuple(std.shape)}"
            raise ValueError(f"mean and std have shapes {shapes}: give two numbers or two vectors")
        is_valid = (std > 0) & std.isfinite()
        if not is_valid.all():
            bad = float(std[~is_valid][0])
            raise ValueError(f"std holds {bad}: give positive standard deviations")
        dtype = torch.get_default_dtype()
        self.register_buffer("mean", mean.to(dtype))
        self.register_buffer("std", std.to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(B, features...) float -> (B, n_features) float; one example (n_features,) likewise."""
        kernels.require_tensor(x)
        if x.ndim > 1:
            x = x.flatten(1)
        if self.mean.ndim > 0 and x.shape[-1] != len(self.mean):
            raise ValueError(
                f"input has {x.shape[-1]} features: this standardisation is of {len(self.mean)}"
            )
        return (x - self.mean) / self.std


class Scale(nn.Module):
    """Multiplies by a number, as logits whose network has a limited slope."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Float of any shape -> the same."""
        return self.factor * x

    def extra_repr(self) -> str:
        return f"{self.factor:g}"


# --------------------------------------------------------------------------------- dropout


class Dropout(nn.Module):
    r"""Inverted dropout: in training each value is 0 with probability ``p``, else x / (1 - p).

    The mask is a counter-based hash of (seed, step, index in feature-major memory), recomputed in
    the backward pass: it needs no generator, no memory, and does not depend on threads. Every
    forward pass in training is one step; the step is part of the state dict. So a forward pass that
    is computed again, as under ``torch.utils.checkpoint``, would draw another mask: it is refused.
    A layer compiled by ``torch.compile`` cannot see it and draws another mask.

    Source: [Srivastava2014]; scaled in training, so that evaluation needs no scaling.

    Args:
        p: probability of a zero, in [0, 1).
        seed: give every layer of a network its own; None: one drawn from torch's generator. The
            state dict does not hold it: training goes on from a state to the same bits only where
            the layers are made with the same seeds.
    Raises: ValueError if ``p`` is out of range.
    """

    def __init__(self, p: float = 0.5, seed: int | None = None) -> None:
        super().__init__()
        self.p = p
        self._step = 0
        self._in_graphs = torch.zeros((), dtype=torch.int64)  # steps that a compiled graph counted
        self.seed = _drawn_seed() if seed is None else check_seed(seed)
        kernels.dropout_law(p, self.seed, 0)  # refuses a p out of range

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) float -> (..., n) float; one index runs over all leading dimensions."""
        kernels.require_tensor(x)
        if torch.compiler.is_compiling():
            return self._in_graph(x)
        law = self.next_law()
        if law is None:
            return x
        return kernels.dropout(x, law)

    @property
    def step(self) -> int:
        """Steps that were taken."""
        return self._step + int(self._in_graphs)

    @step.setter
    def step(self, step: int) -> None:
        self._step = step
        self._in_graphs.zero_()

    def _in_graph(self, x: Tensor) -> Tensor:
        """:meth:`forward` where torch makes a graph, which counts steps in a tensor."""
        if not self.training or self.p == 0:
            return x
        step = self._in_graphs + self._step
        self._in_graphs.add_(1)
        return kernels.dropout_operation(x, step, self.p, self.seed)

    def next_law(self) -> launch.DropoutLaw | None:
        """Law of the coming step, which this counts; None where nothing is dropped.

        Raises: ValueError in a backward pass, which would draw another mask than the forward pass.
        """
        if not self.training or self.p == 0:
            return None
        if torch._C._current_graph_task_id() != -1:
            raise ValueError(
                "the backward pass computes this dropout anew, as under torch.utils.checkpoint, and"
                " would draw another mask: leave it out of what is checkpointed, or take"
                " torch.nn.Dropout"
            )
        step = self.step
        self._step += 1
        return kernels.dropout_law(self.p, self.seed, step)

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.step)

    def set_extra_state(self, state: Tensor) -> None:
        self.step = int(state)

    def extra_repr(self) -> str:
        return f"p={self.p}"


# kinds of modules whose parameters, biases excepted, are weights of links
LINKED = SparseLinear | nn.Linear | nn.Bilinear | nn.MultiheadAttention
LINKED |= nn.RNNBase | nn.RNNCellBase | nn.Conv1d | nn.Conv2d | nn.Conv3d
LINKED |= nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
