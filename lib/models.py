"""Networks of the papers as plain compositions of torch modules: perceptrons, and convolutional
networks as published (LeNet-5, All-CNN-C, ResNet-20, Network-in-Network).

Modules of a convolutional network are named standardise, unflatten, conv1, norm1, activation1, …;
it takes images as a data set has them, (B, H, W) or (B, C, H, W), or flat. Its weights are drawn in
one order whatever the activation, so that networks of one seed that differ in it start from the
same weights.
"""

import contextlib
import itertools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from . import activations, kernels, layers
from ._boundary import check_known, check_number, check_seed, check_type, check_whole
from ._compiled import launch
from .support import DRAWS


class MLP(nn.Sequential):
    """A sequence of modules that runs sparse layers, their activation and dropout in one pass.

    It does so for :class:`~lib.layers.SparseLinear` and a ReLU, SReLU, All-ReLU or SPLASH and a
    :class:`~lib.layers.Dropout` that follow it, where none has hooks of its own (hooks on all
    modules at once do not count); other modules run one by one. ``nn.Sequential(*net)`` is the same
    network without such passes: it gives the same finite numbers, to rounding, slower.

    Examples of several dimensions, as images, are flattened where the first module is linear and
    has as many inputs as an example has values. Other inputs reach the first module as they are:
    a convolution gets images, :class:`~lib.layers.Standardise` flattens by itself, and a linear
    layer takes leading dimensions as ``nn.Linear`` does.
    """

    _ready: "_Ready | None" = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, features...) float -> (B, n_out) float; (n_in,) -> (n_out,)."""
        kernels.require_tensor(x)
        x = self._flattened(x)
        joined: list[kernels.Layer] = []
        joins = not launch.is_observed()  # who counts operations wants them by module
        ready, predicts = None, False
        if not kernels.is_recorded():
            ready, predicts = self._ready, not torch.is_grad_enabled()
        first = 0  # of the modules in `joined`
        for i, module in enumerate(self):
            if predicts and ready is not None and ready.first == i and not joined:
                if ready.fits(self, x):
                    return ready.chain(x)
            if joins and x.ndim == 2 and _joined_(joined, module):
                continue
            if joined:
                x = kernels.chain(x, joined)
                joined = []
            x = module(x)
            first = i + 1
        if ready is not None:
            self._ready = None  # it holds memory that may be the network's no more
        if not joined:
            return x
        y = kernels.chain(x, joined)
        if predicts and _Ready.can_be(list(self)[first:], x):
            self._ready = _Ready(self, first, joined, x)
        return y

    def __getstate__(self) -> dict[str, Any]:
        """State of copies and pickles, which have memory of their own."""
        return {name: value for name, value in self.__dict__.items() if name != "_ready"}

    def _flattened(self, x: Tensor) -> Tensor:
        if x.ndim < 3 or len(self) == 0:
            return x
        first = self[0]
        if not isinstance(first, layers.SparseLinear | nn.Linear):
            return x
        if x.shape[1:].numel() != first.in_features:
            return x
        return x.flatten(1)


class _Ready:
    """The pass by which an MLP predicted last, for batches of one size. The network takes it again
    where its modules, their modes and hooks, and the memory of links and parameters are the same:
    that saves most of the time of a single example.

    Args:
        net: the network.
        first: number of the first module of the pass, which goes on to the last.
        chain: these modules.
        x: (B, n) float, the input of the first.
    """

    KINDS = {layers.SparseLinear, layers.Dropout, activations.SReLU, nn.ReLU}

    def __init__(self, net: MLP, first: int, chain: list[kernels.Layer], x: Tensor) -> None:
        self.first = first
        self.chain = kernels.PreparedChain(chain, x)
        self.supports, self.state = self._state_of(net)

    @classmethod
    def can_be(cls, modules: Sequence[nn.Module], x: Tensor) -> bool:
        """True if what :meth:`fits` compares is all that the output of the modules depends on."""
        if not all(type(module) in cls.KINDS and not module.training for module in modules):
            return False
        parameters = [tensor for module in modules for tensor in module.parameters()]
        if not all(tensor.is_contiguous() and not tensor.is_neg() for tensor in parameters):
            return False  # a pass would hold copies of these
        return len(x) > 0 and launch.runs_compiled(x) and x.dtype == modules[0].values.dtype

    def fits(self, net: MLP, x: Tensor) -> bool:
        """True if this is the pass of the network for such a batch."""
        if not self.chain.fits(x):
            return False
        supports, state = self._state_of(net)
        return state == self.state and all(map(operator.is_, supports, self.supports))

    def _state_of(self, net: MLP) -> tuple[list, list]:
        """What the output depends on besides the input and the numbers in the memory: the links of
        each layer, and all else.
        """
        supports, state = [], []
        for module in itertools.islice(net._modules.values(), self.first, None):
            state += type(module), module.training, is_plain(module)
            if type(module) is layers.SparseLinear:
                supports.append(module.support)
                state += supports[-1].place, module.watched_as
            for tensor in module._parameters.values():
                if tensor is not None:
                    state += tensor.data_ptr(), tensor.shape
                    state += tensor.is_contiguous(), tensor.is_neg()
        return supports, state


def _joined_(chain: list[kernels.Layer], module: nn.Module) -> bool:
    """Put the module at the end of the chain, where it can run in one pass with it."""
    if not is_plain(module):
        return False
    if type(module) is layers.SparseLinear and module.watched_as is None:
        chain.append(module.links())
        return True
    if not chain:
        return False
    last = chain[-1]
    if last.law is not None:
        return False
    if type(module) is layers.Dropout and not (module.training and torch.compiler.is_compiling()):
        chain[-1] = last._replace(law=module.next_law())
        return True
    if last.pieces is not None or last.is_relu:
        return False
    fields = activations.fields_of(module, last.support.n_out, last.values)
    if fields is None:
        return False
    chain[-1] = last._replace(**fields)
    return True


def is_plain(module: nn.Module) -> bool:
    """True if a call of the module is the ``forward`` of its class alone: it has no hooks of its
    own, and no ``forward`` that was put on it.
    """
    return not any(hooks_of(module)) and "forward" not in vars(module)


def hooks_of(module: nn.Module) -> tuple[dict, ...]:
    """Its hooks: the module's own dicts."""
    forward = module._forward_hooks, module._forward_pre_hooks
    return *forward, module._backward_hooks, module._backward_pre_hooks


def mlp(
    widths: Sequence[int],
    *,
    density: float | None = None,
    er_epsilon: float | None = None,
    activation: str = "srelu",
    options: Mapping[str, Any] | None = None,
    dropout: float = 0.3,
    standardisation: tuple[Tensor, Tensor] | None = None,
    sparse_output: bool = False,
    draw: str = "exact",
    start: str | float = "he",
    published_srelu: bool = False,
    seed: int = 0,
) -> nn.Sequential:
    """Multilayer perceptron: standardise, then (linear, activation, dropout) for each hidden
    layer, linear.

    With ``density`` or ``er_epsilon`` the hidden layers are :class:`~lib.layers.SparseLinear`; the
    output layer is one of density 1, so that a whole step does not depend on threads.
    :func:`lib.train.fit` never evolves it; an :class:`lib.sparsify.Evolver` with a density schedule
    removes links of it too. With neither, every layer is dense.

    Source: SET-MLP of [Mocanu2018], Methods; the three sparse layers and a dense one of
    [Sulyok2026].

    Args:
        widths: n_in, hidden widths, n_out.
        density: fraction of links kept in every hidden layer, in (0, 1].
        er_epsilon: the SET parameter, instead of a density.
        activation: a name of :data:`lib.activations.UNITS`.
        options: of the activation, as :func:`lib.activations.make` takes them.
        dropout: probability of a zero after each hidden layer, in [0, 1).
        standardisation: (mean, std) of the training part; None leaves the input as it is.
        sparse_output: whether the output layer is sparse and evolves too (the authors' SciPy code).
        draw, start: see :class:`~lib.layers.SparseLinear`; dense layers start in the same way.
        published_srelu: whether SReLU starts as in the authors' Keras code.
        seed: of links, weights and dropout.
    Returns: the network, modules named standardise, linear1, activation1, dropout1, …, linearN.
    Raises: ValueError if there are fewer than two widths, one is below 1, a value is out of range,
        density and er_epsilon are both given, or neither is with a sparse output.
    """
    if not isinstance(widths, Sequence) or len(widths) < 2:
        raise ValueError(f"widths = {widths!r} is out of range: give at least two, as (784, 10)")
    for i, width in enumerate(widths):
        check_whole(f"widths[{i}]", width, least=1)
    seed = check_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    started = {"start": start, "generator": generator}
    drawn = {"density": density, "er_epsilon": er_epsilon, "draw": draw}
    is_sparse = density is not None or er_epsilon is not None
    check_known("draw", draw, DRAWS)
    if density is not None and er_epsilon is not None:
        raise ValueError(f"density = {density}, er_epsilon = {er_epsilon}: give one of them")
    if sparse_output and not is_sparse:
        raise ValueError("sparse_output = True for a dense network: give density or er_epsilon")
    n_layers = len(widths) - 1
    net = MLP()
    if standardisation is not None:
        standardise = layers.Standardise(*standardisation)
        if standardise.mean.numel() not in (1, widths[0]):
            raise ValueError(
                f"the standardisation is of {standardise.mean.numel()} features, but widths begin"
                f" with {widths[0]}: give that of the same data"
            )
        net.add_module("standardise", standardise)
    for i in range(1, n_layers + 1):
        n_in, n = widths[i - 1], widths[i]
        is_output = i == n_layers
        n_out = n if is_output else n * activations.pieces(activation, options)
        if not is_sparse:
            linear = layers.Linear(n_in, n_out, **started)
        elif is_output and not sparse_output:
            linear = layers.SparseLinear(n_in, n_out, density=1.0, **started)
        else:
            linear = layers.SparseLinear(n_in, n_out, **drawn, **started)
        net.add_module(f"linear{i}", linear)
        if is_output:
            break
        activation_i = activations.make(activation, n, i, **options or {})
        if published_srelu and isinstance(activation_i, activations.SReLU):
            activation_i.start_as_published_(generator=generator)
        net.add_module(f"activation{i}", activation_i)
        net.add_module(f"dropout{i}", layers.Dropout(dropout, seed=1000 * seed + i))
    return net


def sparse_layers(model: nn.Module) -> dict[str, layers.SparseLinear]:
    """The layers of ``model`` that evolve, by name: its SparseLinear modules with room for other
    links.
    """
    evolving = {}
    for name, module in model.named_modules():
        if isinstance(module, layers.SparseLinear):
            positions = module.in_features * module.out_features
            if module.nnz < positions:
                evolving[name] = module
    return evolving


def check_evaluating(model: nn.Module) -> None:
    """Raise ValueError if the model is in training mode."""
    if any(module.training for module in model.modules()):
        raise ValueError("the model is in training mode: call model.eval() first")


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """While it is entered, all modules are in evaluation mode; then each in the mode it had."""
    with keeping_modes(model):
        if any(module.training for module in model.modules()):
            model.eval()
        yield


@contextlib.contextmanager
def keeping_modes(model: nn.Module) -> Iterator[None]:
    """At the end of the block each module is in the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            if module.training != training:
                module.training = training


ANY_THREADS = {nn.Sequential, MLP, nn.Flatten, nn.Identity}
ANY_THREADS |= {layers.Standardise, layers.SparseLinear, layers.Dropout, layers.Scale}
ANY_THREADS |= {nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.SiLU}
ANY_THREADS |= {activations.AllReLU, activations.SReLU, activations.Splash, activations.Maxout}


def runs_on_any_threads(model: nn.Module) -> bool:
    """True if the results of ``model`` do not depend on the number of threads: it has sparse layers
    and modules of :data:`ANY_THREADS` alone, and is on a CPU. Dense products and torch's softmax
    sum in other orders.
    """
    kinds = {type(module) for module in model.modules()}
    is_known = layers.SparseLinear in kinds and kinds <= ANY_THREADS
    return is_known and all(launch.runs_compiled(tensor) for tensor in model.parameters())


def count_links(model: nn.Module) -> int:
    """Number of links of ``model``: weights of all linear layers, without biases and activation
    parameters.
    """
    links = 0
    for module in model.modules():
        if isinstance(module, layers.SparseLinear):
            links += module.nnz
        elif isinstance(module, nn.Linear):
            links += module.weight.numel()
    return links


# ------------------------------------------------------------------------------------ convolutional


Image = tuple[int, int, int]  # channels, height, width

LEAST_SIDE = {"lenet5": 28, "all_cnn": 9, "resnet20": 4, "nin": 4}  # pixels
CHANNELS_LAST = ("all_cnn", "resnet20", "nin")  # networks that run faster in this memory format
LENET_C3 = (  # maps of S2 that each map of C3 sees: [LeCun1998], Table I
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)


# -------------------------------------------------------------------------------------- modules


class PartialConv2d(nn.Conv2d):
    r"""Convolution in which each output map sees some of the input maps; kernels are stored for
    these alone.

    Source: [LeCun1998], layer C3 of LeNet-5, Section II-B.

    Args:
        in_channels: maps of the input.
        sees: for each output map the input maps that it sees.
        kernel_size: of the square kernels.
        bias: whether each output map has one.
    """

    def __init__(
        self,
        in_channels: int,
        sees: Sequence[tuple[int, ...]],
        kernel_size: int,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, len(sees), kernel_size, bias=bias)
        rows, columns = [], []
        for row, maps in enumerate(sees):
            rows += [row] * len(maps)
            columns += maps
        self.register_buffer("rows", torch.tensor(rows), persistent=False)
        self.register_buffer("columns", torch.tensor(columns), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(rows), kernel_size, kernel_size))

    def dense_weight(self) -> Tensor:
        """(out_channels, in_channels, k, k) float, the kernels with those that are missing as 0."""
        shape = self.out_channels, self.in_channels, *self.kernel_size
        place = self.rows, self.columns
        return self.weight.new_zeros(shape).index_put(place, self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) float -> (B, out_channels, H - k + 1, W - k + 1) float."""
        return F.conv2d(x, self.dense_weight(), self.bias)


class Subsample(nn.Module):
    r"""The sum of four neighbours times a learned coefficient of the map, plus a learned bias.

    .. math:: y_c = w_c (x_{c,1} + x_{c,2} + x_{c,3} + x_{c,4}) + \beta_c

    Source: [LeCun1998], layers S2 and S4 of LeNet-5, Section II-B.
    Departs: it starts as the mean.

    Args:
        channels: maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels, 1), 0.25))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float -> (B, C, H / 2, W / 2) float."""
        height, width = (size - size % 2 for size in x.shape[2:])
        rows = x[..., :height, :width].unflatten(2, (-1, 2))  # in pairs
        top, bottom = rows.unbind(3)
        # as F.avg_pool2d sums, to the bit, in half of the time
        sums = top[..., ::2] + top[..., 1::2] + bottom[..., ::2] + bottom[..., 1::2]
        return sums * self.weight[:, :, None] + self.bias[:, None, None]


class ImageDropout(layers.Dropout):
    """:class:`lib.layers.Dropout` of every value of images."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float -> (B, C, H, W) float."""
        if not self.training or self.p == 0:
            return x
        maps = x.flatten(0, 1).flatten(1)  # (B C, H W), in memory as the kernel wants columns
        return super().forward(maps.t()).t().view(x.shape)


class OverChannels(nn.Module):
    """A unit that sees neurons last, on images, whose maps are its neurons."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float -> (B, C', H, W) float."""
        return self.unit(x.movedim(1, -1)).movedim(-1, 1)


class Residual(nn.Module):
    r"""Two convolutions and a shortcut past them: :math:`y = h(f(x) + s(x))`.

    Where a block halves the sides, the shortcut takes every other pixel; maps that the input lacks
    are 0. A unit of several pieces (maxout) finds each map of the shortcut in all of them.

    Source: [He2016], Eq. (1) and Section 4.2, shortcuts of kind A.

    Args:
        branch: f.
        unit: h.
        missing: maps that the input lacks.
        stride: of the shortcut.
        pieces: maps of the branch for each of the unit.
    """

    def __init__(
        self, branch: nn.Module, unit: nn.Module, missing: int, stride: int, pieces: int = 1
    ) -> None:
        super().__init__()
        self.branch = branch
        self.activation = unit
        self.missing = missing
        self.pieces = pieces
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float -> (B, C', H', W') float."""
        shortcut = x[:, :, :: self.stride, :: self.stride]
        shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.missing))
        if self.pieces > 1:
            shortcut = shortcut.repeat_interleave(self.pieces, dim=1)
        return self.activation(self.branch(x) + shortcut)


# ------------------------------------------------------------------------------------- building


@dataclass
class _Parts:
    """The modules of a network so far, named as they are added; weights are drawn in that order.

    Args:
        activation, options: of every unit.
        norm: whether a normalisation of the batch precedes every unit.
        dropout: whether dropout is as published.
        spectral: whether the matrices of weights have norm 1.
        seed: of weights and dropout.
    """

    activation: str
    options: Mapping[str, Any]
    norm: bool
    dropout: bool
    spectral: bool
    seed: int

    def __post_init__(self) -> None:
        self.pieces = activations.pieces(self.activation, self.options)
        self.generator = torch.Generator().manual_seed(self.seed)
        self.counts: dict[str, int] = {}
        self.n_units = 0  # one behind a shortcut is no module of the network, and has no count
        self.network = nn.Sequential()

    def add(self, kind: str, module: nn.Module, into: nn.Module | None = None) -> None:
        """Append a module under the name of its kind and its number."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        target = self.network if into is None else into
        target.add_module(f"{kind}{self.counts[kind]}", module)

    def weighted(self, layer: nn.Module, fan_in: int) -> nn.Module:
        """The layer, its weights drawn as in [He2015], its bias 0."""
        with torch.no_grad():
            layer.weight.normal_(std=math.sqrt(2 / fan_in), generator=self.generator)
            if layer.bias is not None:
                layer.bias.zero_()
        return self.limited(layer)

    def limited(self, layer: nn.Module) -> nn.Module:
        """The layer, the matrix of its weights held at norm 1 if that is asked for."""
        if not self.spectral:
            return layer
        with torch.random.fork_rng(devices=()):  # its first vectors come from torch's generator
            torch.manual_seed(self.seed)
            return spectral_norm(layer)

    def conv(
        self,
        n_in: int,
        n_out: int,
        size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        into: nn.Module | None = None,
    ) -> None:
        """A convolution to n_out maps, wider where the unit needs it, and its normalisation."""
        width = n_out * self.pieces
        layer = nn.Conv2d(n_in, width, size, stride, padding, bias=not self.norm)
        self.add("conv", self.weighted(layer, n_in * size**2), into)
        self.normalise(nn.BatchNorm2d(width), into)

    def normalise(self, module: nn.Module, into: nn.Module | None = None) -> None:
        """The module, if there are normalisations."""
        if self.norm:
            self.add("norm", module, into)

    def unit(self, n: int, *, flat: bool = False) -> nn.Module:
        """A unit for n maps, or n neurons where its input is flat."""
        self.n_units += 1
        unit = activations.make(self.activation, n, self.n_units, **self.options)
        by_neuron = activations.SReLU | activations.APL | activations.Maxout
        return OverChannels(unit) if isinstance(unit, by_neuron) and not flat else unit

    def active_conv(self, n_in: int, n_out: int, size: int, **how: int) -> None:
        """A convolution, its normalisation and its unit."""
        self.conv(n_in, n_out, size, **how)
        self.add("activation", self.unit(n_out))

    def drop(self, p: float) -> None:
        """Dropout, if it is as published."""
        if self.dropout:
            seed = 1000 * self.seed + self.counts.get("dropout", 0) + 1
            self.add("dropout", ImageDropout(p, seed=seed))

    def average(self, n_in: int = 0, n_classes: int = 0) -> None:
        """The mean of each map; with n_classes the logits, after a 1 x 1 convolution to them."""
        if n_classes:
            last = nn.Conv2d(n_in, n_classes, 1)
            self.add("conv", self.weighted(last, n_in))
        self.network.add_module("average", nn.AdaptiveAvgPool2d(1))
        self.network.add_module("flatten", nn.Flatten())


def _lenet5(parts: _Parts, image: Image, n_classes: int) -> None:
    """[LeCun1998], Section II-B: C1, S2, C3, S4, C5, F6 and an output.

    Departs: a unit follows C1, C3, C5 and F6, not S2 and S4; the output is linear, not by distances
    to fixed codes; the frame that is added to small images has the value of the mean.
    """
    channels, side, _ = image
    if side < 32:
        before = (32 - side) // 2
        after = 32 - side - before
        parts.network.add_module("pad", nn.ZeroPad2d((before, after, before, after)))
    k, biased = parts.pieces, not parts.norm
    parts.active_conv(channels, 6, 5)
    parts.add("subsample", parts.limited(Subsample(6)))
    sees = [maps for maps in LENET_C3 for _ in range(k)]
    c3 = PartialConv2d(6, sees, 5, bias=biased)
    parts.add("conv", parts.weighted(c3, 25 * 60 // 16))
    parts.normalise(nn.BatchNorm2d(16 * k))
    parts.add("activation", parts.unit(16))
    parts.add("subsample", parts.limited(Subsample(16)))
    parts.active_conv(16, 120, 5)
    parts.network.add_module("flatten", nn.Flatten())
    n = 120 * ((max(side, 32) - 12) // 4 - 4) ** 2
    parts.add("linear", parts.weighted(nn.Linear(n, 84 * k, bias=biased), n))
    parts.normalise(nn.BatchNorm1d(84 * k))
    parts.add("activation", parts.unit(84, flat=True))
    parts.add("linear", parts.weighted(nn.Linear(84, n_classes), 84))


def _all_cnn(parts: _Parts, image: Image, n_classes: int) -> None:
    """[Springenberg2015], Tables 1 and 2: model C, its pooling replaced by convolutions.

    Departs: no unit follows the last convolution, so that units bounded from above can give any
    logits.
    """
    parts.drop(0.2)
    n_in = image[0]
    for width in (96, 192):
        parts.active_conv(n_in, width, 3, padding=1)
        parts.active_conv(width, width, 3, padding=1)
        parts.active_conv(width, width, 3, stride=2, padding=1)
        parts.drop(0.5)
        n_in = width
    parts.active_conv(192, 192, 3)
    parts.active_conv(192, 192, 1)
    parts.average(192, n_classes)


def _resnet20(parts: _Parts, image: Image, n_classes: int) -> None:
    """[He2016], Section 4.2: n = 3, shortcuts of kind A."""
    parts.active_conv(image[0], 16, 3, padding=1)
    n_in = 16
    for n_out in (16, 32, 64):
        for number in range(3):
            stride = 2 if number == 0 and n_out > 16 else 1
            parts.add("block", _block(parts, n_in, n_out, stride))
            n_in = n_out
    parts.average()
    parts.add("linear", parts.weighted(nn.Linear(64, n_classes), 64))


def _block(parts: _Parts, n_in: int, n_out: int, stride: int) -> Residual:
    branch = nn.Sequential()
    parts.conv(n_in, n_out, 3, stride=stride, padding=1, into=branch)
    parts.add("activation", parts.unit(n_out), into=branch)
    parts.conv(n_out, n_out, 3, padding=1, into=branch)
    return Residual(branch, parts.unit(n_out), n_out - n_in, stride, parts.pieces)


def _nin(parts: _Parts, image: Image, n_classes: int) -> None:
    """[Lin2014], Section 4.1: three blocks of a convolution and two layers of 1 x 1; sizes as in
    the authors' CIFAR-10 definition.

    Departs: no unit follows the last convolution, as in All-CNN.
    """
    n_in = image[0]
    pools = nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(3, 2, ceil_mode=True)
    for widths, pool in zip(((192, 160, 96), (192, 192, 192)), pools, strict=True):
        parts.active_conv(n_in, widths[0], 5, padding=2)
        parts.active_conv(widths[0], widths[1], 1)
        parts.active_conv(widths[1], widths[2], 1)
        parts.add("pool", pool)
        parts.drop(0.5)
        n_in = widths[2]
    parts.active_conv(192, 192, 3, padding=1)
    parts.active_conv(192, 192, 1)
    parts.average(192, n_classes)


NETWORKS = {
    "lenet5": _lenet5,
    "all_cnn": _all_cnn,
    "resnet20": _resnet20,
    "nin": _nin,
}


def convnet(
    name: str,
    image: tuple[int, ...],
    n_classes: int,
    *,
    activation: str = "relu",
    options: Mapping[str, Any] | None = None,
    norm: bool = True,
    dropout: bool = False,
    logit_scale: float | None = None,
    enlarge: int = 1,
    standardisation: tuple[Tensor, Tensor] | None = None,
    seed: int = 0,
) -> nn.Sequential:
    """A convolutional network by its name.

    Source: [LeCun1998] ("lenet5"), [Springenberg2015] ("all_cnn": All-CNN-C), [He2016]
    ("resnet20"), [Lin2014] ("nin").
    Departs: a normalisation of the batch [Ioffe2015] before every unit, as ResNet-20 has it, unless
    ``norm`` is False; weights are drawn as in [He2015]; see also the functions of each network.

    Args:
        name: of :data:`NETWORKS`.
        image: shape of an example, (H, W) or (C, H, W), of equal sides.
        n_classes: number of logits.
        activation, options: see :func:`lib.activations.make`.
        norm: whether units see normalised values.
        dropout: whether dropout is as published (All-CNN and Network-in-Network).
        logit_scale: None, or the matrix of kernels of every layer is held at norm 1 [Miyato2018]
            (of a partial convolution the kernels that are there, of subsampling the vector of its
            coefficients) and the logits are multiplied by this; without ``norm``. The operator of a
            convolution may have a larger norm, see
            :func:`lib.robustness.lipschitz.lipschitz_constants`.
        enlarge: factor by which the sides of images are enlarged first.
        standardisation: (mean, std) of the training part; None leaves the input as it is.
        seed: of weights and dropout.
    Returns: the network: (B, image...) or (B, n) float -> (B, n_classes) float.
    Raises: ValueError if a name is unknown, a value is out of range, images are too small or of
        unequal sides, or normalisation and a scale are both asked for.
    """
    check_known("network", name, NETWORKS)
    check_whole("n_classes", n_classes, least=1)
    check_whole("enlarge", enlarge, least=1)
    seed = check_seed(seed)
    image = _checked_image(name, image, enlarge)
    if logit_scale is not None and norm:
        raise ValueError(f"logit_scale = {logit_scale} with normalisation: give norm = False")
    if logit_scale is not None:
        check_number("logit_scale", logit_scale, "(0, inf)")
    parts = _Parts(activation, options or {}, norm, dropout, logit_scale is not None, seed)
    channels, side, _ = image
    small = side // enlarge
    if standardisation is not None:
        parts.network.add_module("standardise", layers.Standardise(*standardisation))
    else:
        parts.network.add_module("flat", nn.Flatten())
    parts.network.add_module("unflatten", nn.Unflatten(1, (channels, small, small)))
    if enlarge > 1:
        parts.network.add_module("enlarge", nn.Upsample(scale_factor=enlarge))
    NETWORKS[name](parts, image, n_classes)
    if logit_scale is not None:
        parts.network.add_module("scale", layers.Scale(logit_scale))
    if name in CHANNELS_LAST:
        parts.network.to(memory_format=torch.channels_last)
    return parts.network


def _checked_image(name: str, image: tuple[int, ...], enlarge: int) -> Image:
    """Channels and enlarged sides."""
    check_type("image", image, Sequence)
    for i, size in enumerate(image):
        check_whole(f"image[{i}]", size, least=1)
    shape = image if len(image) == 3 else (1, *image)
    if len(shape) != 3 or shape[1] != shape[2]:
        raise ValueError(f"{name} takes square images, not {image}: give (H, W) or (C, H, W)")
    channels, side = shape[0], shape[1] * enlarge
    if side < LEAST_SIDE[name]:
        raise ValueError(
            f"images of {side} x {side} are too small for {name}: give sides of at least"
            f" {LEAST_SIDE[name]}, or enlarge them"
        )
    return channels, side, side


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
