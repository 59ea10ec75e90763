"""Layers that keep activations feature-major: ``SparseLinear``, its dense twin, dropout,
standardisation.

Modules see ``(B, n_in)`` as in torch.nn. What a layer returns is the transposed view of contiguous
``(n_out, B)`` memory; element-wise operations keep that memory format, so that a stack of these
layers transposes once, at the input. Treat it as a memory format, like ``channels_last``.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from lib import evolution, kernels
from lib.support import Support, make_support


class SparseLinear(nn.Module):
    r"""Linear layer that stores and computes its links only; a drop-in for ``nn.Linear``.

    .. math:: y_{b,i} = \beta_i + \sum_{k: row_k = i} w_k \, x_{b, col_k}

    Source: the sparsely connected layer of [Mocanu2018], Methods. Weights start as
    :math:`w_k \sim N(0, 2 / n_i)` with :math:`n_i` the *actual* number of inputs of the output
    neuron i ([He2015], for a sparse neuron); see :func:`initial_values` for the variants. Biases
    start at 0.

    Args:
        n_in, n_out: widths.
        density: fraction of the n_in · n_out positions with a link, in (0, 1]; or give
        er_epsilon: the SET parameter, :func:`lib.evolution.erdos_renyi_density`; or give
        support: the links themselves.
        bias: whether to add :math:`\beta`.
        generator: source of randomness, on the CPU; default: seeded by a draw from torch's own.
        draw: how links are drawn, see :func:`lib.evolution.random_support`.
        start: how weights start, see :func:`initial_values`.
        device, dtype: of the parameters.
    Raises: ValueError if not exactly one of density, er_epsilon and support is given, or one is
        out of range.

    Example:
        >>> layer = SparseLinear(784, 1000, er_epsilon=20)
        >>> layer(torch.rand(128, 784)).shape
        torch.Size([128, 1000])
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
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
        if sum(given is not None for given in (density, er_epsilon, support)) != 1:
            raise ValueError(
                f"density = {density}, er_epsilon = {er_epsilon}: give one of density, er_epsilon,"
                " support"
            )
        if generator is None:
            generator = torch.Generator().manual_seed(_drawn_seed())
        if er_epsilon is not None:
            density = evolution.erdos_renyi_density(n_in, n_out, er_epsilon)
        if density is not None:
            support = evolution.random_support(n_in, n_out, density, generator=generator, draw=draw)
        if (support.n_in, support.n_out) != (n_in, n_out):
            raise ValueError(
                f"the support is {support.n_in} to {support.n_out}, not {n_in} to {n_out}"
            )
        self.n_in, self.n_out = n_in, n_out
        self.support = support
        values = initial_values(support, start, generator=generator)
        self.values = nn.Parameter(values.to(dtype or torch.get_default_dtype()))
        self.bias = nn.Parameter(torch.zeros(n_out, dtype=self.values.dtype)) if bias else None
        self.to(device)

    @property
    def support(self) -> Support:
        """The links; assigning a support of another size leaves ``values`` to the caller."""
        index = [self._buffers[name] for name in Support._fields[2:]]
        if any(a is not b for a, b in zip(index, self._support[2:], strict=True)):  # they moved
            self._support = Support(self.n_in, self.n_out, *index)
        return self._support

    @support.setter
    def support(self, support: Support) -> None:
        self._support = support
        for name in Support._fields[2:]:
            tensor = getattr(support, name)
            self.register_buffer(name, tensor, persistent=name in ("crow", "col"))

    @property
    def nnz(self) -> int:
        """Number of links."""
        return self.values.numel()

    @property
    def density(self) -> float:
        """Links divided by positions."""
        return self.nnz / (self.n_in * self.n_out)

    def links(self) -> kernels.Layer:
        """What :func:`lib.kernels.chain` takes of this layer."""
        return kernels.Layer(self.support, self.values, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_in) float -> (..., n_out) float. Raises ValueError if the width or the batch
        does not fit.
        """
        if x.shape[-1] != self.n_in:
            raise ValueError(f"input has {x.shape[-1]} features: this layer takes {self.n_in}")
        y = kernels.chain(x.reshape(-1, self.n_in), [self.links()])
        return y.reshape(*x.shape[:-1], self.n_out)

    def replace_values_(self, values: Tensor) -> None:
        """Give the layer other weights, (nnz,) of its support; the parameter stays the object."""
        if values.shape != self.values.shape:  # torch keeps the gradient's shape of a live graph,
            self.values.data = values.new_empty(0, dtype=torch.float16)  # but not its dtype's
        self.values.data = values
        self.values.grad = None

    def to_dense(self) -> Tensor:
        """(n_out, n_in) float, the weight matrix with its zeros."""
        dense = self.values.new_zeros(self.n_out * self.n_in)
        return dense.index_put((self.support.keys,), self.values).view(self.n_out, self.n_in)

    def extra_repr(self) -> str:
        return (
            f"n_in={self.n_in}, n_out={self.n_out}, links={self.nnz}, density={self.density:.2%},"
            f" bias={self.bias is not None}"
        )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        crow, col = state_dict.get(prefix + "crow"), state_dict.get(prefix + "col")
        values = state_dict.get(prefix + "values")
        if crow is not None and col is not None and len(crow) == self.n_out + 1:
            if crow[0] != 0 or crow[-1] != len(col) or (crow.diff() < 0).any():
                raise ValueError(f"{prefix}crow does not index the {len(col)} links of {prefix}col")
            crow, col = crow.to(self.values.device), col.to(self.values.device)
            rows = torch.arange(self.n_out, device=crow.device).repeat_interleave(crow.diff())
            self.support = make_support(rows, col, self.n_in, self.n_out)
            if values is not None and values.shape != self.values.shape:
                self.replace_values_(self.values.new_empty(values.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)


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
    if start == "he":
        n_inputs = support.crow.diff()[support.row.long()].cpu()
        noise = torch.randn(support.nnz, generator=generator, dtype=torch.float64)
        return noise * (2 / n_inputs.float()).sqrt()  # float32 whatever the default dtype is
    if start == "glorot_uniform":
        limit = math.sqrt(6 / (support.n_in + support.n_out))
        uniform = torch.rand(support.nnz, generator=generator, dtype=torch.float64)
        return (2 * uniform - 1) * limit
    if isinstance(start, float | int) and 0 <= start < math.inf:
        return torch.randn(support.nnz, generator=generator, dtype=torch.float64) * start
    raise _unknown_start(start)


def _unknown_start(start: str | float) -> ValueError:
    return ValueError(
        f"start {start!r} is unknown: give 'he', 'glorot_uniform' or a standard deviation"
    )


def _drawn_seed() -> int:
    """A seed from torch's own generator, another at every call."""
    return int(torch.randint(2**62, ()))


class Linear(nn.Linear):
    """Dense layer in the feature-major format, started as :class:`SparseLinear` is; the dense
    baseline.

    Source: [He2015] for the start ``"he"``, N(0, 2 / n_in); the others as in
    :func:`initial_values`.

    Raises: ValueError for another start.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        start: str | float = "he",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(n_in, n_out)
        if start == "he":
            nn.init.kaiming_normal_(self.weight, nonlinearity="relu", generator=generator)
        elif start == "glorot_uniform":
            nn.init.xavier_uniform_(self.weight, generator=generator)
        elif isinstance(start, float | int) and 0 <= start < math.inf:
            nn.init.normal_(self.weight, std=start, generator=generator)
        else:
            raise _unknown_start(start)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias[:, None], self.weight, x.t()).t()


class Standardise(nn.Module):
    """(x - mean) / std on flattened examples, by constants of the training part.

    Args:
        mean, std: scalars or (n_features,) float.
    """

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        if not (std > 0).all():
            raise ValueError(f"std holds {float(std.min())}: give positive standard deviations")
        dtype = torch.get_default_dtype()
        self.register_buffer("mean", mean.to(dtype))
        self.register_buffer("std", std.to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - self.mean) / self.std


# --------------------------------------------------------------------------------- dropout


class Dropout(nn.Module):
    r"""Inverted dropout: in training each value is 0 with probability ``p``, else x / (1 - p).

    The mask is a counter-based hash of (seed, step, index in feature-major memory), recomputed in
    the backward pass: it needs no generator, no memory, and does not depend on threads. Every
    forward pass in training is one step; the step is part of the state dict.

    Source: [Srivastava2014]; scaled in training, so that evaluation needs no scaling.

    Args:
        p: probability of a zero, in [0, 1).
        seed: give every layer of a network its own.
    Raises: ValueError if ``p`` is out of range.
    """

    def __init__(self, p: float = 0.5, seed: int | None = None) -> None:
        super().__init__()
        self.p, self.step = p, 0
        self.seed = _drawn_seed() if seed is None else seed
        kernels.dropout_law(p, self.seed, 0)  # refuses a p out of range

    def forward(self, x: Tensor) -> Tensor:
        law = self.next_law()
        return x if law is None else kernels.dropout(x, law)

    def next_law(self) -> kernels.DropoutLaw | None:
        """Law of the coming step, which this counts; None where nothing is dropped."""
        if not self.training or self.p == 0:
            return None
        self.step += 1
        return kernels.dropout_law(self.p, self.seed, self.step - 1)

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.step)

    def set_extra_state(self, state: Tensor) -> None:
        self.step = int(state)

    def extra_repr(self) -> str:
        return f"p={self.p}"
