"""Activations of the papers by name: torch's own, and SReLU, All-ReLU, SPLASH, APL and maxout.

A unit with parameters for each neuron sees the neurons last, (..., n), as layers do.
"""

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from . import kernels
from ._boundary import check_known, check_whole
from ._compiled import hinges


class SReLU(nn.Module):
    r"""S-shaped rectified linear unit with four learned parameters for each neuron.

    .. math::
        f(x) = \begin{cases} t^l + a^l (x - t^l) & x \le t^l \\ x & t^l < x < t^r \\
               t^r + a^r (x - t^r) & x \ge t^r \end{cases} \qquad t^r = t^l + |width|

    Source: [Jin2016]; the right threshold as a distance is the form of the code of [Mocanu2018].
    Departs: the start (:data:`START`); :meth:`start_as_published_` gives the authors' code.

    Args:
        n: number of neurons.
    """

    START = {"t_left": 0.0, "a_left": 0.2, "width": 0.4, "a_right": 0.2}

    def __init__(self, n: int) -> None:
        super().__init__()
        check_whole("n", n, least=1)
        start = torch.tensor(list(self.START.values()))
        self.pieces = nn.Parameter(start[:, None].repeat(1, n))  # (4, n)

    @property
    def t_left(self) -> Tensor:
        """(n,) float, left threshold."""
        return self.pieces[0]

    @property
    def a_left(self) -> Tensor:
        """(n,) float, slope below the left threshold."""
        return self.pieces[1]

    @property
    def width(self) -> Tensor:
        """(n,) float, signed distance of the thresholds."""
        return self.pieces[2]

    @property
    def a_right(self) -> Tensor:
        """(n,) float, slope above the right threshold."""
        return self.pieces[3]

    def start_as_published_(self, *, generator: torch.Generator) -> "SReLU":
        """Start as the authors' Keras code: t_left 0, a_left U(0, 1), width U(0, 5), a_right 1."""
        n = self.pieces.shape[1]
        with torch.no_grad():
            self.a_left.copy_(torch.rand(n, generator=generator))
            self.width.copy_(5 * torch.rand(n, generator=generator))
            self.a_right.fill_(1)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) float -> (..., n) float."""
        return kernels.srelu(x, self.pieces)

    def extra_repr(self) -> str:
        return str(self.pieces.shape[1])


class AllReLU(nn.LeakyReLU):
    r"""ReLU whose negative side has a slope of alternating sign from layer to layer.

    .. math:: f_l(x) = \begin{cases} x & x > 0 \\ (-1)^{l+1} \alpha x & x \le 0 \end{cases}

    Source: [Curci2021], the definition of All-ReLU.

    Args:
        layer: index l of the hidden layer, from 1.
        alpha: slope of the negative side.
    """

    def __init__(self, layer: int, alpha: float = 0.6) -> None:
        sign = (-1) ** (layer + 1)
        super().__init__(negative_slope=sign * alpha)


def as_srelu(activation: nn.Module, n: int, like: Tensor) -> Tensor | None:
    """The (4, n) parameters with which SReLU is ``activation``, None if it is another function.

    Source: [Jin2016]; (leaky) ReLU is the case t_left = width = 0, a_right = 1.

    Args:
        activation: a module.
        n: number of neurons.
        like: a tensor of the dtype and device wanted.
    """
    if type(activation) is SReLU:
        return activation.pieces
    if type(activation) in (nn.ReLU, nn.LeakyReLU, AllReLU):
        slope = getattr(activation, "negative_slope", 0.0)
        pieces = like.new_tensor([[0.0], [slope], [0.0], [1.0]])
        return pieces.repeat(1, n)
    return None


def fields_of(activation: nn.Module, n: int, like: Tensor) -> dict[str, Any] | None:
    """The fields of a :class:`lib.kernels.Layer` with which it computes ``activation``, None if it
    cannot.

    Args: as in :func:`as_srelu`.
    """
    if type(activation) is nn.ReLU:
        return {"is_relu": True}
    if type(activation) is Splash:
        return {"splash": activation.used, "hinges": activation.hinges}
    srelu = as_srelu(activation, n, like)
    return None if srelu is None else {"srelu": srelu}


# -------------------------------------------------------------------------------------- SPLASH

LAST_HINGE = 2.5  # standard deviations of a normalised input
PUBLISHED_HINGES = (0.0, 1.0, 2.0, 2.5)
STARTS = {"relu": 0.0, "leaky_relu": -0.01, "linear": -1.0}  # first coefficient on the left


class Splash(nn.Module):
    r"""Simple piecewise linear and adaptive unit with symmetric hinges, shared by a whole layer.

    .. math::
        h(x) = \sum_{s=1}^{m} a^+_s \max(0, x - b_s) + \sum_{s=1}^{m} a^-_s \max(0, -x - b_s)

    with m = (S + 1) / 2 fixed hinges :math:`0 = b_1 < b_2 < \dots` on each side, in units of the
    input, and S + 1 learned coefficients: continuous, and 0 at 0 whatever they are. There is no
    output bias. From the start ``"relu"`` the first outputs of finite inputs
    are those of ReLU, to the bit.

    Source: [Tavakoli2021], abstract (learnable, continuous, grounded, symmetric hinges from the
    data, not learned); the formula is the one that the deepxube code of a co-author computes.
    Departs: hinges of S = 7 as remembered of the paper, of other S evenly spaced to the same end.

    Args:
        n_hinges: S, odd.
        positions: the hinges :math:`b_s`, m of them; None: :func:`hinge_positions`.
        start: "relu", "leaky_relu" (slope .01) or "linear".
        bounded: whether the coefficients used are divided by the Lipschitz constant where it
            exceeds 1, so that the unit is as steep as ReLU at most.
        decayed: whether weight decay acts on the coefficients, see
            :func:`lib.train.make_optimiser`.
    Raises: ValueError if S is even, the hinges are not (m,) ascending from 0, or the start is
        unknown.
    """

    def __init__(
        self,
        n_hinges: int = 7,
        *,
        positions: Sequence[float] | None = None,
        start: str = "relu",
        bounded: bool = False,
        decayed: bool = False,
    ) -> None:
        super().__init__()
        check_known("start", start, STARTS)
        if positions is None:
            positions = hinge_positions(n_hinges)
        n = _hinges_of_a_side(n_hinges)
        if len(positions) != n:
            raise ValueError(f"{len(positions)} hinge positions for S = {n_hinges}: give {n}")
        self.bounded = bounded
        self.decayed = decayed
        dtype = torch.get_default_dtype()
        self.register_buffer("hinges", _checked(torch.tensor(positions, dtype=dtype)))  # (m,)
        coefficients = torch.zeros(2, n)
        coefficients[0, 0] = 1
        coefficients[1, 0] = STARTS[start]
        self.coefficients = nn.Parameter(coefficients)  # (2, m)

    @property
    def slopes(self) -> Tensor:
        r"""(2, m) float, slope of each segment going out from the origin, to the right and to the
        left: :math:`\sum_{t \le s} a^+_t` and :math:`-\sum_{t \le s} a^-_t`.
        """
        return self.used.cumsum(1) * self.coefficients.new_tensor([[1.0], [-1.0]])

    @property
    def used(self) -> Tensor:
        """(2, m) float, the coefficients of the function that is computed."""
        if not self.bounded:
            return self.coefficients
        steepest = self.coefficients.cumsum(1).abs().amax()
        return self.coefficients / steepest.clamp(min=1)

    def lipschitz(self) -> float:
        r"""The largest absolute slope, :math:`\max_{x \ne x'} |h(x) - h(x')| / |x - x'|`."""
        return float(self.slopes.detach().abs().max())

    def place_hinges_(self, x: Tensor) -> None:
        """Put the hinges at quantiles of the data, see :func:`hinges_at_quantiles`.

        Raises: ValueError if these are not ascending.
        """
        self.hinges.copy_(hinges_at_quantiles(x, len(self.hinges)))

    def forward(self, x: Tensor) -> Tensor:
        """Float of any shape -> the same."""
        return hinges.hinge_sum(x, self.hinges, self.used)

    def extra_repr(self) -> str:
        positions = ", ".join(f"{b:.3g}" for b in self.hinges.tolist())
        return f"hinges=({positions}), bounded={self.bounded}"


def hinge_positions(n_hinges: int) -> tuple[float, ...]:
    """The hinges of one side for S of both, for inputs of mean 0 and standard deviation 1.

    Source: [Tavakoli2021] for S = 7, from memory; others evenly spaced from 0 to 2.5, as in the
    code of a co-author.

    Raises: ValueError if S is even or below 1.
    """
    n = _hinges_of_a_side(n_hinges)
    if n == len(PUBLISHED_HINGES):
        return PUBLISHED_HINGES
    return tuple(torch.linspace(0, LAST_HINGE, n, dtype=torch.float64).tolist())


def _hinges_of_a_side(n_hinges: int) -> int:
    check_whole("n_hinges", n_hinges, least=1)
    if n_hinges % 2 == 0:
        raise ValueError(
            f"S = {n_hinges} hinges cannot be symmetric: give a positive odd number, as 7"
        )
    return (n_hinges + 1) // 2


def hinges_at_quantiles(x: Tensor, n: int) -> Tensor:
    r"""(n,) float: 0, and the quantiles 1/n, …, (n - 1)/n of :math:`|x|`, hinges that divide the
    data into equal parts.

    Args:
        x: float of any shape, inputs of the unit.
        n: hinges of one side.
    Raises: ValueError if they are not ascending, as for constant data.
    """
    values = x.detach().abs().flatten().double().sort().values
    places = [math.floor(len(values) * part / n) for part in range(1, n)]
    quantiles = values[places]
    return _checked(torch.cat([quantiles.new_zeros(1), quantiles])).to(x.dtype)


def _checked(positions: Tensor) -> Tensor:
    ascending = positions.isfinite().all() and (positions.diff() > 0).all()
    if not ascending or positions[0] != 0:
        given = ", ".join(f"{b:g}" for b in positions.tolist())
        raise ValueError(
            f"hinges ({given}) do not ascend from 0: give positions as (0, 1, 2, 2.5), or data that"
            " vary"
        )
    return positions


def splash_units(model: nn.Module) -> dict[str, Splash]:
    """The SPLASH units of a network, by name, from the input on."""
    return {name: m for name, m in model.named_modules() if isinstance(m, Splash)}


@torch.no_grad()
def place_hinges_(model: nn.Module, x: Tensor) -> None:
    """Put the hinges of every SPLASH unit at quantiles of its inputs, once before training.

    Normalisations use the statistics of these examples, as in training, and remember nothing of it;
    dropout is off.

    Args:
        model: whose units are as at their start; each module keeps its mode.
        x: (B, features...) float, training examples.
    Raises: ValueError if a unit sees constant data.
    """
    handles = []
    for unit in splash_units(model).values():
        hook = unit.register_forward_pre_hook(lambda unit, inputs: unit.place_hinges_(inputs[0]))
        handles.append(hook)
    buffers = copy.deepcopy(dict(model.named_buffers()))
    modes = [(module, module.training) for module in model.modules()]
    for module in model.eval().modules():
        module.training = isinstance(module, nn.modules.batchnorm._BatchNorm)
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
        for name, buffer in model.named_buffers():
            if name.rpartition(".")[2] != "hinges":
                buffer.copy_(buffers[name])


# ----------------------------------------------------------------------------------- other units


class APL(nn.Module):
    r"""Adaptive piecewise linear unit: slopes and hinges learned for each neuron.

    .. math:: h_i(x) = \max(0, x) + \sum_{s=1}^{S} a_i^s \max(0, -x + b_i^s)

    Source: [Agostinelli2015], Eq. (1).
    Departs: it starts as ReLU, slopes at 0 and hinges spaced over [-1, 1]; in a convolutional
    network the parameters belong to a map, not to each of its pixels.

    Args:
        n: number of neurons.
        n_hinges: S, at least 1.
    """

    def __init__(self, n: int, n_hinges: int = 2) -> None:
        super().__init__()
        check_whole("n", n, least=1)
        check_whole("n_hinges", n_hinges, least=1)
        self.slopes = nn.Parameter(torch.zeros(n_hinges, n))
        hinges = torch.linspace(-1, 1, n_hinges + 2)[1:-1]
        self.hinges = nn.Parameter(hinges[:, None].repeat(1, n))

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) float -> (..., n) float."""
        y = x.relu()
        for slope, hinge in zip(self.slopes, self.hinges, strict=True):
            y = y + slope * (hinge - x).relu()
        return y

    def extra_repr(self) -> str:
        n_hinges, n = self.slopes.shape
        return f"{n}, n_hinges={n_hinges}"


class Maxout(nn.Module):
    r"""The largest of k affine functions: :math:`h_i = \max_j x_{ik + j}`.

    The layer before has k outputs for each neuron.

    Source: [Goodfellow2013], Section 2.

    Args:
        k: pieces.
    """

    def __init__(self, k: int = 2) -> None:
        super().__init__()
        check_whole("k", k, least=1)
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        """(..., k n) float -> (..., n) float. Raises ValueError if the width does not divide."""
        if x.shape[-1] % self.k:
            raise ValueError(f"{x.shape[-1]} values cannot be divided by {self.k} pieces")
        return x.unflatten(-1, (-1, self.k)).amax(-1)

    def extra_repr(self) -> str:
        return f"k={self.k}"


# --------------------------------------------------------------------------------- by their names

Builder = Callable[..., nn.Module]  # (number of neurons, hidden layer from 1, options)
UNITS: dict[str, Builder] = {
    "relu": lambda n, layer: nn.ReLU(),  # max(0, x)
    "leaky_relu": lambda n, layer: nn.LeakyReLU(0.01),  # slope .01 on the left
    "prelu": lambda n, layer: nn.PReLU(n),  # a learned slope on the left for each neuron
    "tanh": lambda n, layer: nn.Tanh(),
    "sigmoid": lambda n, layer: nn.Sigmoid(),
    "elu": lambda n, layer: nn.ELU(),  # exp(x) - 1 on the left
    "swish": lambda n, layer: nn.SiLU(),  # x sigmoid(x), its factor fixed at 1
    "maxout": lambda n, layer, **options: Maxout(**options),
    "apl": lambda n, layer, **options: APL(n, **options),
    "srelu": lambda n, layer: SReLU(n),
    "all_relu": lambda n, layer: AllReLU(layer),
    "splash": lambda n, layer, **options: Splash(**options),
}
OPTIONED = {"maxout": Maxout, "apl": APL, "splash": Splash}  # units that take options


def make(name: str, n: int, layer: int = 1, /, **options: Any) -> nn.Module:
    """Return the activation ``name`` for ``n`` neurons of hidden layer ``layer`` (from 1).

    Args:
        name: of :data:`UNITS`.
        n, layer: as above.
        options: of :class:`Splash`, :class:`APL` or :class:`Maxout`.
    Raises: ValueError naming the nearest activation, or the nearest option.
    """
    check_known("activation", name, UNITS)
    known = inspect.signature(OPTIONED[name]).parameters if name in OPTIONED else ()
    for option in options:
        check_known(f"option of {name}", option, [other for other in known if other != "n"])
    return UNITS[name](n, layer, **options)


def pieces(name: str, options: Mapping[str, Any] | None = None) -> int:
    """How many outputs the layer before needs for each neuron of the activation, see
    :func:`make`.
    """
    unit = make(name, 1, **options or {})
    return unit.k if isinstance(unit, Maxout) else 1
