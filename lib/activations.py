"""Activations of the papers: ReLU (torch's own), SReLU and All-ReLU, on feature-major memory."""

import numba
import numpy as np
import torch
from torch import Tensor, nn

from lib import kernels


@kernels.jit
def _srelu_numba(x, t_left, a_left, width, a_right, y):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for r in numba.prange(x.shape[0]):
        low, high = t_left[r], t_left[r] + abs(width[r])
        left_slope, right_slope = a_left[r] - one, a_right[r] - one
        for b in range(x.shape[1]):
            v = x[r, b]
            y[r, b] = v + left_slope * min(v - low, zero) + right_slope * max(v - high, zero)


@kernels.jit
def _srelu_grad_numba(x, t_left, a_left, width, a_right, grad_y, grad_x, grads):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for r in numba.prange(x.shape[0]):
        low, high = t_left[r], t_left[r] + abs(width[r])
        left_slope, right_slope = a_left[r] - one, a_right[r] - one
        left = left_x = right = right_x = zero
        for b in range(x.shape[1]):
            g, below, above = grad_y[r, b], x[r, b] - low, x[r, b] - high
            g_left = g if below <= zero else zero
            g_right = g if above >= zero else zero
            left += g_left
            left_x += g_left * below
            right += g_right
            right_x += g_right * above
            grad_x[r, b] = g + left_slope * g_left + right_slope * g_right
        grads[0, r] = -left_slope * left - right_slope * right
        grads[1, r] = left_x
        grads[2, r] = -right_slope * right * np.sign(width[r])
        grads[3, r] = right_x


def _srelu(x, t_left, a_left, width, a_right):
    """The definition, in torch; (n, B) values and (n,) parameters."""
    low = t_left[:, None]
    high = low + width.abs()[:, None]
    left, right = (a_left[:, None] - 1), (a_right[:, None] - 1)
    return x + left * (x - low).clamp(max=0) + right * (x - high).clamp(min=0)


class _SReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, *parameters):
        ctx.save_for_backward(x, *parameters)
        y = torch.empty_like(x)
        _srelu_numba(*(t.detach().numpy() for t in (x, *parameters, y)))
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_y):
        x, *parameters = ctx.saved_tensors
        grad_x, grads = torch.empty_like(x), x.new_empty(4, x.shape[0])
        tensors = (x, *parameters, grad_y.contiguous(), grad_x, grads)
        _srelu_grad_numba(*(t.detach().numpy() for t in tensors))
        return grad_x, *grads


class SReLU(nn.Module):
    r"""S-shaped rectified linear unit with four learned parameters for each neuron.

    .. math::
        f(x) = \begin{cases} t^l + a^l (x - t^l) & x \le t^l \\ x & t^l < x < t^r \\
               t^r + a^r (x - t^r) & x \ge t^r \end{cases} \qquad t^r = t^l + |width|

    Source: [Jin2016]; the right threshold as a distance is the form of the code of [Mocanu2018].
    Departs: the start (:data:`START`) is ours; :meth:`start_as_published_` gives the authors'
    code.

    Args:
        n: number of neurons.
    """

    START = {"t_left": 0.0, "a_left": 0.2, "width": 0.4, "a_right": 0.2}

    def __init__(self, n: int) -> None:
        super().__init__()
        for name, value in self.START.items():
            self.register_parameter(name, nn.Parameter(torch.full((n,), value)))

    def start_as_published_(self, *, generator: torch.Generator) -> "SReLU":
        """Start as the authors' Keras code: t_left 0, a_left U(0, 1), width U(0, 5), a_right 1."""
        with torch.no_grad():
            self.a_left.copy_(torch.rand(len(self.a_left), generator=generator))
            self.width.copy_(5 * torch.rand(len(self.width), generator=generator))
            self.a_right.fill_(1)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(B, n) float -> (B, n) float."""
        parameters = (self.t_left, self.a_left, self.width, self.a_right)
        columns = x.t().contiguous()  # (n, B)
        srelu = _SReLU.apply if kernels.compiled(columns) else _srelu
        return srelu(columns, *parameters).t()

    def extra_repr(self) -> str:
        return str(len(self.t_left))


class AllReLU(nn.LeakyReLU):
    r"""ReLU whose negative side has a slope of alternating sign from layer to layer.

    .. math:: f_l(x) = \begin{cases} x & x > 0 \\ (-1)^{l+1} \alpha x & x \le 0 \end{cases}

    Source: [Curci2021], the definition of All-ReLU.

    Args:
        layer: index l of the hidden layer, from 1.
        alpha: slope of the negative side.
    """

    def __init__(self, layer: int, alpha: float = 0.6) -> None:
        super().__init__(negative_slope=(-1) ** (layer + 1) * alpha)


def make(name: str, n: int, layer: int) -> nn.Module:
    """Return the activation ``name`` for ``n`` neurons of hidden layer ``layer`` (from 1).

    Source: ours; the classes name theirs. Raises: ValueError for an unknown name.
    """
    known = {"relu": nn.ReLU, "srelu": lambda: SReLU(n), "all_relu": lambda: AllReLU(layer)}
    if name not in known:
        raise ValueError(f"activation {name!r} is unknown: {', '.join(known)}")
    return known[name]()
