"""Activations of the papers: ReLU (torch's own), SReLU and All-ReLU, on feature-major memory."""

import torch
from torch import Tensor, nn

from lib import kernels


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


def make(name: str, n: int, layer: int) -> nn.Module:
    """Return the activation ``name`` for ``n`` neurons of hidden layer ``layer`` (from 1).

    Raises: ValueError for an unknown name.
    """
    if name == "relu":
        return nn.ReLU()
    if name == "srelu":
        return SReLU(n)
    if name == "all_relu":
        return AllReLU(layer)
    raise ValueError(f"activation {name!r} is unknown: relu, srelu, all_relu")
