"""Networks of the papers as plain compositions of torch modules."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from . import activations, compiled, kernels, layers
from .names import check_known, check_seed, check_whole
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

    def forward(self, x: Tensor) -> Tensor:
        """(B, features...) float -> (B, n_out) float; (n_in,) -> (n_out,)."""
        kernels.require_tensor(x)
        x = self._flattened(x)
        joined: list[kernels.Layer] = []
        joins = not compiled.is_observed()  # who counts operations wants them by module
        for module in self:
            if joins and x.ndim == 2 and _joined_(joined, module):
                continue
            if joined:
                x = kernels.chain(x, joined)
                joined = []
            x = module(x)
        if joined:
            x = kernels.chain(x, joined)
        return x

    def _flattened(self, x: Tensor) -> Tensor:
        if x.ndim < 3 or len(self) == 0:
            return x
        first = self[0]
        if not isinstance(first, layers.SparseLinear | nn.Linear):
            return x
        if x.shape[1:].numel() != first.in_features:
            return x
        return x.flatten(1)


def _joined_(chain: list[kernels.Layer], module: nn.Module) -> bool:
    """Put the module at the end of the chain, where it can run in one pass with it."""
    if has_hooks(module):
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


def has_hooks(module: nn.Module) -> bool:
    """Whether the module has hooks of its own."""
    return any(hooks_of(module))


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
        if not isinstance(standardisation, Sequence) or len(standardisation) != 2:
            raise ValueError(
                f"standardisation is a {type(standardisation).__name__}: give (mean, std), as"
                " split.standardisation()"
            )
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
    """Whether the results of ``model`` do not depend on the number of threads: it has sparse layers
    and modules of :data:`ANY_THREADS` alone, and is on a CPU. Dense products and torch's softmax
    sum in other orders.
    """
    kinds = {type(module) for module in model.modules()}
    is_known = layers.SparseLinear in kinds and kinds <= ANY_THREADS
    return is_known and all(compiled.runs_compiled(tensor) for tensor in model.parameters())


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
