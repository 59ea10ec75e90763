"""Networks of the papers as plain compositions of torch modules."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lib import activations, kernels, layers


class MLP(nn.Sequential):
    """A sequence of modules that runs sparse layers, their activation and dropout in one pass.

    It does so for :class:`~lib.layers.SparseLinear` and a ReLU, SReLU or All-ReLU and a
    :class:`~lib.layers.Dropout` that follow it, where none has hooks of its own (hooks on all
    modules at once do not count); other modules run one by one. ``nn.Sequential(*net)`` is the same
    network without such passes: it gives the same finite numbers, to rounding, slower.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, features...) float -> (B, n_out) float."""
        chain: list[kernels.Layer] = []
        for module in self:
            if x.ndim != 2 or not _joined_(chain, module):
                x, chain = module(kernels.chain(x, chain) if chain else x), []
        return kernels.chain(x, chain) if chain else x


def _joined_(chain: list[kernels.Layer], module: nn.Module) -> bool:
    """Put the module at the end of the chain, where it can run in one pass with it."""
    if module._forward_hooks or module._forward_pre_hooks:
        return False
    if module._backward_hooks or module._backward_pre_hooks:
        return False
    if type(module) is layers.SparseLinear:
        chain.append(module.links())
        return True
    if not chain or chain[-1].law is not None:
        return False
    if type(module) is layers.Dropout:
        chain[-1] = chain[-1]._replace(law=module.next_law())
        return True
    last = chain[-1]
    srelu = activations.as_srelu(module, last.support.n_out, last.values)
    if srelu is None or last.srelu is not None:
        return False
    chain[-1] = last._replace(srelu=srelu)
    return True


def mlp(
    widths: Sequence[int],
    *,
    density: float | None = None,
    er_epsilon: float | None = None,
    activation: str = "srelu",
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
    output layer is one of density 1 that is never evolved, so that a whole step does not depend on
    threads. With neither, every layer is dense.

    Source: SET-MLP of [Mocanu2018], Methods; the three sparse layers and a dense one of
    [Sulyok2026].

    Args:
        widths: n_in, hidden widths, n_out.
        density: fraction of links kept in every hidden layer, in (0, 1].
        er_epsilon: the SET parameter, instead of a density.
        activation: "relu", "srelu" or "all_relu".
        dropout: probability of a zero after each hidden layer, in [0, 1).
        standardisation: (mean, std) of the training part; None leaves the input as it is.
        sparse_output: whether the output layer is sparse and evolves too (the authors' SciPy code).
        draw, start: see :class:`~lib.layers.SparseLinear`; dense layers start in the same way.
        published_srelu: whether SReLU starts as in the authors' Keras code.
        seed: of links, weights and dropout.
    Returns: the network, modules named standardise, linear1, activation1, dropout1, …, linearN.
    Raises: ValueError if there are fewer than two widths, one is below 1, or a value is out of
        range.
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(
            f"widths = {tuple(widths)} is out of range: give at least two widths of at least 1"
        )
    generator = torch.Generator().manual_seed(seed)
    sparse = density is not None or er_epsilon is not None
    net = MLP()
    if standardisation is not None:
        net.add_module("standardise", layers.Standardise(*standardisation))
    last = len(widths) - 1
    for i, (n_in, n_out) in enumerate(zip(widths[:-1], widths[1:], strict=True), start=1):
        if not sparse:
            linear = layers.Linear(n_in, n_out, start=start, generator=generator)
        elif i == last and not sparse_output:
            linear = layers.SparseLinear(n_in, n_out, density=1.0, generator=generator, start=start)
        else:
            law = {"density": density, "er_epsilon": er_epsilon, "draw": draw, "start": start}
            linear = layers.SparseLinear(n_in, n_out, generator=generator, **law)
        net.add_module(f"linear{i}", linear)
        if i < last:
            unit = activations.make(activation, n_out, i)
            if published_srelu and isinstance(unit, activations.SReLU):
                unit.start_as_published_(generator=generator)
            net.add_module(f"activation{i}", unit)
            net.add_module(f"dropout{i}", layers.Dropout(dropout, seed=1000 * seed + i))
    return net


def sparse_layers(model: nn.Module) -> dict[str, layers.SparseLinear]:
    """The layers of ``model`` that evolve, by name: its SparseLinear modules with room for other
    links.
    """
    modules = ((n, m) for n, m in model.named_modules() if isinstance(m, layers.SparseLinear))
    return {name: layer for name, layer in modules if layer.nnz < layer.n_in * layer.n_out}


def count_links(model: nn.Module) -> int:
    """Number of links of ``model``: weights of all linear layers, without biases and activation
    parameters.
    """
    linear = (m for m in model.modules() if isinstance(m, layers.SparseLinear | nn.Linear))
    return sum(m.nnz if isinstance(m, layers.SparseLinear) else m.weight.numel() for m in linear)
