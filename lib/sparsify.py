"""Sparse training of any model: its linear layers made sparse, and links that evolve as it learns.

``sparsify_`` replaces the linear layers of a model by sparse ones, an :class:`Evolver` updates
their links while a loop of your own trains it, and ``densify_`` puts dense layers back.
``summary`` shows the layers of a model in a table: links, density, parameters, and multiply-adds
beside dense ones.
"""

import contextlib
import fnmatch
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.nn.utils.parametrize import is_parametrized
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import conv_flop_count, flop_registry

from . import layers
from ._boundary import check_known, check_number, check_type, check_whole, extra, names_of_one
from ._compiled.chains import is_hooked
from .evolution import (
    ADAM,
    AVERAGE,
    LINK_STEPS,
    STEPS,
    Evolution,
    check_held,
    check_optimiser,
    check_untied,
    correct_new_links,
    count_steps,
    evolve_layers_,
    unwrapped_optimiser,
    waits,
)
from .growth import Collector
from .layers import LINKED, SparseConv2d, SparseLinear
from .models import evaluating, hooks_of
from .support import (
    Support,
    draw_free_keys,
    shared_out,
    support_from_keys,
    whole_numbers,
)

STARTS = ("magnitude", "random", "scaled", "new")
DISTRIBUTIONS = ("uniform", "erdos_renyi")
DENSE = (nn.Linear, layers.Linear, nn.Conv2d)
KINDS = {"linear": nn.Linear, "conv": nn.Conv2d}
REPLACED = "replaced_by_another"  # attribute of a weight whose layer a model does not hold any more
WRAPPERS = (
    nn.parallel.DistributedDataParallel,
    nn.DataParallel,
    torch.optim.swa_utils.AveragedModel,
)

Filter = Callable[[str, nn.Module], bool]


# --------------------------------------------------------------------------------- the layers


def sparsify_(
    model: nn.Module,
    *,
    start: str,
    density: float | Mapping[str, float] | None = None,
    er_epsilon: float | None = None,
    distribution: str = "uniform",
    kinds: Sequence[str] = ("linear", "conv"),
    filter: Filter | None = None,
    generator: torch.Generator | None = None,
) -> "Sparsified":
    r"""Replace every ``nn.Linear`` of a model by a :class:`lib.layers.SparseLinear`, and every
    ``nn.Conv2d`` by a :class:`lib.layers.SparseConv2d`, in place.

    Make the optimiser after this: the layers have new parameters. An optimiser that holds the
    parameters of before is refused when it steps.

    Without a filter the first convolution stays dense, as in the uniform distribution of
    [Evci2020], Section 3. Convolutions with groups, as depthwise ones, with a dilation, or with a
    border of other than zeros always do.

    A layer that is used at several places stays one layer. The output projection of
    ``nn.MultiheadAttention`` stays dense, and the filter is not asked, as attention reads its
    weight itself; a ``nn.TransformerEncoderLayer`` whose layers become sparse no longer takes its
    fast path of evaluation, for the same reason.

    Source: [Mocanu2018], Eq. (1) for ``er_epsilon``; [Evci2020], Section 3 for ``"erdos_renyi"``.

    Args:
        model: any module that has such layers; not such a layer itself.
        start: ``"scaled"``: weights at random positions stay, and those of each neuron are scaled
            until their squares have the sum of before, so that its output keeps the variance that
            the model's own start gave it, for a model that begins; ``"new"``: random positions, and
            weights drawn by ``"he"`` of :func:`lib.layers.initial_values`, whatever the model had;
            ``"magnitude"``: the largest weights stay, for a trained model; ``"random"``: those at
            random positions stay.
        density: links divided by positions, over all layers that are replaced, in (0, 1]; or the
            density of each layer by its name or a pattern of names, as
            ``{"encoder.*": 0.1, "head": 1}``, the first that fits: one of density 1, or that none
            fits, stays dense; or give
        er_epsilon: the SET parameter; a layer has er_epsilon · (n_in + n_out) links, at most all.
            A convolution has er_epsilon · (channels in + channels out + height + width of the
            kernel).
        distribution: of the density over the layers. ``"uniform"``: each has it;
            ``"erdos_renyi"``: links in proportion to n_in + n_out, of convolutions to channels in
            + channels out + height + width of the kernel (the Erdős–Rényi kernel), and as many in
            all.
        kinds: which layers: of ``"linear"`` and ``"conv"``.
        filter: (name, module) -> whether a layer is replaced; None for all.
        generator: source of randomness, on the CPU; default: seeded by a draw from torch's own.
    Returns: names of the layers that were replaced, in the model's order; printed, it is a table of
        these and of what stayed dense.
    Raises: ValueError for a value out of range, a model without such a layer, a layer that cannot
        be replaced (tied weights, parametrized, pruned, with hooks, a subclass), or too few links
        for a layer to have one.

    Example:
        >>> net = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10))
        >>> sparsify_(net, density=0.05, start="scaled")
        ['0', '2']
    """
    _check_changeable(model)
    check_known("start", start, STARTS)
    check_known("distribution", distribution, DISTRIBUTIONS)
    if filter is not None and not callable(filter):
        raise ValueError(
            f"filter = {filter!r}: give a function, as lambda name, layer: name != '0'"
        )
    if (density is None) == (er_epsilon is None):
        raise ValueError(f"density = {density}, er_epsilon = {er_epsilon}: give one of the two")
    by_name = {}
    if isinstance(density, Mapping):
        by_name = _densities_by_name(model, density, distribution)
        filter = _both(filter, lambda name, module: by_name.get(name, 1) < 1)
    elif density is not None:
        check_number("density", density, "(0, 1]")
    if isinstance(kinds, str) or not kinds:
        raise ValueError(f"kinds = {kinds!r}: give a tuple, as ('linear', 'conv')")
    for kind in kinds:
        check_known("kinds", kind, KINDS)
    if isinstance(model, DENSE):
        raise ValueError(
            "the model is itself a linear layer or a convolution: put it into a module, or use"
            " layers.SparseLinear or SparseConv2d"
        )
    generator = layers.given_or_seeded(generator)
    chosen = _chosen(model, tuple(KINDS[kind] for kind in kinds), filter)
    for name, number in by_name.items():
        if name in density and number < 1 and name not in chosen:
            raise ValueError(
                f"density of {name!r} = {number}, but this layer stays dense: leave it out, or"
                " change filter and kinds (convolutions with groups or dilation stay dense)"
            )
    shapes = {name: _sides(module) for name, module in chosen.items()}
    numbers = _numbers_of_links(shapes, by_name or density, er_epsilon, distribution)
    made = {}
    for name, linear in chosen.items():
        made[id(linear)] = _sparse_twin(linear, numbers[name], start, generator)
        made[id(linear)].name = f"layer {name}"
    _replace_everywhere(model, made)
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer) and any(
            isinstance(child, SparseLinear) for child in module.children()
        ):
            module.activation_relu_or_gelu = 0  # the fast path reads weights
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # and so does that of the whole encoder
    return Sparsified(chosen, model)


class Sparsified(list):
    """Names of the layers that :func:`sparsify_` has replaced; printed, a table of all layers that
    have weights of links: which are sparse, which stayed dense and why.

    Attributes:
        table: layer, kind, weights (of the links, or all), density, and what is said of it.
        density: of the whole model, weights of links divided by positions.
    """

    def __init__(self, names: Iterable[str], model: nn.Module) -> None:
        super().__init__(names)
        rows, positions = [], 0
        attention = [m for m in model.modules() if isinstance(m, nn.MultiheadAttention)]
        counted = {id(one.out_proj) for one in attention}  # with the attention that reads them
        for name, module in model.named_modules():
            if isinstance(module, SparseLinear):
                n, of_layer = module.nnz, module.in_features * module.out_features
                note = "" if name in self else "sparse before"
            elif isinstance(module, LINKED) and id(module) not in counted:
                own = dict(module.named_parameters()).items()
                n = of_layer = sum(p.numel() for key, p in own if "bias" not in key)
                note = _why_dense(module)
            else:
                continue
            positions += of_layer
            rows.append((name, type(module).__name__, n, n / of_layer, note))
        n_weights = sum(row[2] for row in rows)
        self.density = n_weights / positions
        self.table = [(*row[:3], row[2] / n_weights, *row[3:]) for row in rows]

    def __str__(self) -> str:
        width = 2 + max(len("the whole model"), *[len(row[0]) for row in self.table])
        head = f"{'layer':<{width}}{'kind':<20}{'weights':>12}{'share':>9}{'density':>10}"
        lines = [
            f"{name:<{width}}{kind:<20}{n:>12,}{share:>9.1%}{density:>10.2%}  {note}".rstrip()
            for name, kind, n, share, density, note in self.table
        ]
        n = sum(row[2] for row in self.table)
        whole = f"{'the whole model':<{width + 20}}{n:>12,}{1:>9.1%}{self.density:>10.2%}"
        return "\n".join([head, *lines, whole])


def _why_dense(module: nn.Module) -> str:
    if isinstance(module, nn.MultiheadAttention):
        return "dense: attention reads the weights of its layers itself"
    if isinstance(module, nn.Conv2d) and not layers.can_be_sparse(module):
        return "dense: a convolution with groups, a dilation or a border of other than zeros"
    if isinstance(module, nn.Linear):
        return "dense: left out by kinds, the filter or the density"
    if isinstance(module, nn.Conv2d):
        return "dense: the first convolution, or left out by kinds, the filter or the density"
    return f"dense: sparsify_ replaces no {type(module).__name__}"


def _both(filter: Filter | None, other: Filter) -> Filter:
    return lambda *layer: other(*layer) and (filter is None or filter(*layer))


def _densities_by_name(
    model: nn.Module, density: Mapping[str, float], distribution: str
) -> dict[str, float]:
    """The density of each layer that a name or a pattern fits. Raises ValueError."""
    if distribution != "uniform":
        raise ValueError(f"distribution = {distribution!r} with densities by name: give 'uniform'")
    names = [name for name, module in model.named_modules() if isinstance(module, DENSE)]
    found = {}
    for pattern, number in density.items():
        check_number(f"density of {pattern!r}", number, "(0, 1]")
        fitting = fnmatch.filter(names, pattern)
        if not fitting:
            known = ", ".join(names)
            raise ValueError(f"{pattern!r} fits the name of no layer: there are {known}")
        for name in fitting:
            found.setdefault(name, number)
    return found


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise ValueError(f"the model is a {type(model).__name__}: give an nn.Module")
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError("the model has parameters on the device meta: give them memory first")


def _check_changeable(model: Any) -> None:
    if isinstance(model, nn.parallel.DistributedDataParallel):
        raise ValueError(
            "the model is wrapped in DistributedDataParallel, which would go on with the layers of"
            " before: change it first, then wrap it"
        )
    _check_model(model)


def densify_(model: nn.Module) -> list[str]:
    """Replace every sparse layer of a model by an ``nn.Linear`` or ``nn.Conv2d`` of the same
    function, in place.

    Returns: names of the layers that were replaced, in the model's order.
    Raises: ValueError if the model is itself such a layer, one has hooks or two share weights.
    """
    _check_changeable(model)
    if isinstance(model, SparseLinear):
        raise ValueError(
            "the model is itself a sparse layer: put it into a module, or use to_dense"
        )
    modules = model.named_modules()
    sparse = {name: module for name, module in modules if isinstance(module, SparseLinear)}
    tied = names_of_one({name: layer.values for name, layer in sparse.items()})
    if tied is not None:
        raise ValueError(f"layers {tied[0]} and {tied[1]} share their weights: untie them first")
    made = {}
    for name, module in sparse.items():
        if is_hooked(module):
            raise ValueError(
                f"layer {name} has hooks, which would be lost: remove them first, those of"
                " torch.nn.utils.prune by prune.remove(layer, 'values')"
            )
        _check_plain_forward(name, module)
        made[id(module)] = module.dense_module()
    _replace_everywhere(model, made)
    return list(sparse)


def _sides(module: nn.Linear | nn.Conv2d) -> tuple[int, ...]:
    """Shape of the weights, whose sum the links of an Erdős–Rényi graph are in proportion to."""
    if isinstance(module, nn.Conv2d):
        return module.in_channels, module.out_channels, *module.kernel_size
    return module.in_features, module.out_features


def _chosen(
    model: nn.Module, kinds: tuple[type, ...], filter: Filter | None
) -> dict[str, nn.Linear | nn.Conv2d]:
    """The layers to replace, by name, each once."""
    owners: dict[int, set[int]] = {}  # modules that hold a parameter
    in_attention: set[int] = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), set()).add(id(module))
        if isinstance(module, nn.MultiheadAttention):
            in_attention.add(id(module.out_proj))
    modules = dict(model.named_modules())
    linear = {
        name: module
        for name, module in modules.items()
        if isinstance(module, kinds) and id(module) not in in_attention
    }
    first = next((name for name, m in linear.items() if isinstance(m, nn.Conv2d)), None)
    chosen = {}
    for name, module in linear.items():
        is_left = name == first if filter is None else not filter(name, module)
        if is_left or (isinstance(module, nn.Conv2d) and not layers.can_be_sparse(module)):
            continue
        _check_replaceable(name, module)
        if len(owners[id(module.weight)]) > 1:
            raise ValueError(
                f"layer {name} shares its weight with another module: untie them, or leave it out"
                " by the filter"
            )
        chosen[name] = module
    if not chosen:
        if any(isinstance(module, SparseLinear) for module in modules.values()):
            why = "others are sparse already" if linear else "its layers are sparse already"
        elif linear:
            names = ", ".join(linear)
            why = f"the filter leaves out {names}"
            if filter is None:
                why = f"by default {names} stays dense"
        elif in_attention:
            why = "nn.MultiheadAttention reads the weights of its layers itself"
        else:
            why = "it has none, and other layers stay as they are"
        raise ValueError(f"no layer of the model is an nn.Linear or nn.Conv2d to replace: {why}")
    return chosen


def _check_replaceable(name: str, module: nn.Linear | nn.Conv2d) -> None:
    if isinstance(module, nn.LazyLinear | nn.LazyConv2d):
        raise ValueError(f"layer {name} has no shape yet: call the model on a batch first")
    if type(module) not in DENSE:
        raise ValueError(
            f"layer {name} is a {type(module).__name__}, which may compute something else than"
            " nn.Linear or nn.Conv2d: leave it out by the filter"
        )
    if "weight" not in module._parameters:
        raise ValueError(f"layer {name} has no parameter weight (pruned?): make it permanent first")
    if any(hooks_of(module)):
        raise ValueError(f"layer {name} has hooks, which would be lost: register them afterwards")
    _check_plain_forward(name, module)


def _check_plain_forward(name: str, module: nn.Module) -> None:
    if "forward" in vars(module):
        raise ValueError(f"layer {name} has a forward of its own, which would be lost: remove it")


def _numbers_of_links(
    shapes: dict[str, tuple[int, ...]],
    density: float | dict[str, float] | None,
    er_epsilon: float | None,
    distribution: str,
) -> dict[str, int]:
    """Links of each layer; their sum is the density of all positions, rounded."""
    positions = {name: math.prod(shape) for name, shape in shapes.items()}
    if er_epsilon is not None:
        check_number("er_epsilon", er_epsilon, "(0, inf)", "a positive one, as 20")
        exact = {n: min(er_epsilon * sum(shapes[n]), positions[n]) for n in shapes}
    elif distribution == "uniform":
        of_each = density if isinstance(density, dict) else dict.fromkeys(shapes, density)
        exact = {name: of_each[name] * positions[name] for name in shapes}
    else:
        sides = {name: sum(shape) for name, shape in shapes.items()}
        exact = shared_out(density * sum(positions.values()), sides, positions)
    numbers = whole_numbers(exact)
    for name, n in numbers.items():
        if n == 0:
            raise ValueError(
                f"layer {name} of {positions[name]} positions would have no link: give a larger"
                " density, or leave it out by the filter"
            )
    return numbers


def _sparse_twin(
    linear: nn.Linear | nn.Conv2d, n_links: int, start: str, generator: torch.Generator
) -> SparseLinear:
    """A sparse layer with some of a dense layer's weights, and its bias."""
    n_out, n_in = linear.weight.flatten(1).shape
    weights = linear.weight.detach().flatten()
    if start == "magnitude":
        keys = weights.abs().topk(n_links).indices.sort().values.cpu()
    else:
        none = torch.empty(0, dtype=torch.int64, device="cpu")
        keys = draw_free_keys(n_in * n_out, n_links, generator=generator, occupied=none)
    support: Support = support_from_keys(keys, n_in, n_out)
    if isinstance(linear, nn.Conv2d):
        layer = SparseConv2d.like(linear, support=support, generator=generator)
    else:
        like = {"device": weights.device, "dtype": weights.dtype}
        layer = SparseLinear(n_in, n_out, support=support, bias=False, generator=generator, **like)
    if start != "new":
        values = weights[keys.to(weights.device)].clone()
        if start == "scaled":
            row, dtype = layer.support.row.long(), torch.promote_types(values.dtype, torch.float32)
            squares = values.to(dtype) ** 2  # in float16 they would underflow
            kept = squares.new_zeros(n_out).index_add(0, row, squares)
            wanted = linear.weight.detach().flatten(1).to(dtype).square().sum(1)
            values *= (wanted / kept.where(kept > 0, 1)).sqrt()[row].to(values.dtype)
        layer.replace_values_(values)
    layer.values.requires_grad_(linear.weight.requires_grad)
    layer.bias = linear.bias
    return layer.train(linear.training)


def _replace_everywhere(model: nn.Module, made: dict[int, nn.Module]) -> None:
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute != "_modules" and any(id(one) in made for one in _flat(value)):
                place = f"{name}.{attribute}".removeprefix(".")
                raise ValueError(
                    f"{place} is a {type(value).__name__} that holds layers, and would go on to"
                    " hold those of before: make it a torch.nn.ModuleList or ModuleDict"
                )
    for module in list(model.modules()):
        for name, child in list(module._modules.items()):
            if id(child) in made:
                module._modules[name] = made[id(child)]
                weight = child.values if isinstance(child, SparseLinear) else child.weight
                if weight.requires_grad:
                    setattr(weight, REPLACED, True)
    _watch_optimisers()


@cache
def _watch_optimisers() -> None:
    """From now on, whenever an optimiser of torch steps."""
    register_optimizer_step_pre_hook(_refuse_replaced)


def _refuse_replaced(optimiser: torch.optim.Optimizer, *_: Any) -> None:
    """Such an optimiser trains nothing of the layers that came in place of others. Where a replaced
    weight has a gradient, another model still holds it.
    """
    for group in optimiser.param_groups:
        if any(p.grad is None and hasattr(p, REPLACED) for p in group["params"]):
            raise ValueError(
                "the optimiser holds weights of layers that sparsify_ or densify_ has replaced:"
                " make it after them, of the model's parameters"
            )


def _flat(value: Any) -> Iterator[Any]:
    """Everything that lists, tuples, sets and dicts hold, however deep."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _flat(one)
    else:
        yield value


# ---------------------------------------------------------------------------------- evolution


class Evolver:
    r"""Updates the links of a model's sparse layers while a loop of your own trains it: call
    :meth:`step` once after every step of the optimiser, as with a learning-rate scheduler.

    After every ``every`` steps, until ``until`` of the planned steps are done, a fraction of the
    links of each layer is dropped and as many grow (:func:`lib.evolution.evolve_layers_`). What the
    optimiser remembers of a link moves with it. For rules by gradient, inputs and gradients of the
    layers are collected in the last ``evolution.gradient_batches`` steps before an update, and at
    no other time.

    Under Adam and AdamW a grown link counts its own steps. The optimiser counts those of the whole
    layer; by its count the first update of a link that is new at a late step is
    :math:`(1 - \beta_1) / \sqrt{1 - \beta_2}` = 3.2 times as large as that of a new network.

    Under Adagrad a grown link starts with a sum of squares of 0, as by default.

    Works with gradient accumulation, ``clip_grad_norm_``, ``torch.autocast`` and, if it is given,
    a gradient scaler (a batch whose gradient is not finite is not counted). What a rule sees is the
    gradient of a step of the optimiser, before clipping; what is computed within
    :func:`lib.growth.unseen`, as an attack or a penalty on gradients, is none. Under
    ``DistributedDataParallel`` give the wrapped model, on every process: all get the same links;
    their number in a layer must stay.

    Source: [Mocanu2018], Algorithm 1; [Evci2020], Section 3 (update schedule).

    The Evolver counts the steps that the optimiser takes: a call without one, as after a batch
    whose gradients are only summed up or one that a gradient scaler skips, does not count.

    Args:
        model: its sparse layers evolve. A layer that has all links stays as it is, unless the
            rules change numbers of links.
        optimiser: SGD, Adam, AdamW, RMSprop or Adagrad, also as accelerate and Lightning wrap them;
            it holds their values.
        evolution: the rules; ``last_epoch`` is not used.
        every: steps from one update to the next, at least 1.
        steps: planned number of optimiser steps, at least 1.
        until: share of them after which links stand still, in (0, 1]; None: they never do.
        averages: models that hold moving averages of the same weights, as
            ``torch.optim.swa_utils.AveragedModel`` and timm's ``ModelEmaV3``; their links move
            along.
        scaler: the gradient scaler of the loop, if there is one; rules by gradient see gradients
            divided by its scale.
        generator: source of randomness, on the CPU; default: seeded by a draw from torch's own.
    Raises: ValueError if a value is out of range, ``every`` leaves no update within the steps, the
        model has no sparse layer, the optimiser is of another kind or does not hold the values of
        a layer, or a model of averages is the model itself or has other links.

    Example:
        >>> net = nn.Sequential(SparseLinear(64, 32, density=0.1))
        >>> optimiser = torch.optim.AdamW(net.parameters())
        >>> evolver = Evolver(net, optimiser, every=1, steps=4, generator=torch.Generator())
        >>> net(torch.rand(8, 64)).sum().backward()
        >>> optimiser.step()
        >>> n_replaced = evolver.step()
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        evolution: Evolution | None = None,
        *,
        every: int,
        steps: int,
        until: float | None = 0.75,
        averages: Sequence[nn.Module] = (),
        scaler: torch.amp.GradScaler | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        check_whole("every", every, least=1)
        check_whole("steps", steps, least=1)
        if until is not None:
            check_number("until", until, "(0, 1]", "a number in (0, 1], or None")
        last = steps if until is None else math.floor(until * steps + 1e-9)
        if every > last:
            raise ValueError(
                f"every = {every} leaves no update within {last} steps (until = {until}, steps ="
                f" {steps}): give a smaller every, more steps or a larger until"
            )
        generator = layers.given_or_seeded(generator)
        if evolution is not None:
            check_type("evolution", evolution, Evolution)
        if scaler is not None:
            check_type("scaler", scaler, torch.amp.GradScaler)
        _check_model(model)
        optimiser = unwrapped_optimiser(optimiser)
        check_optimiser(optimiser)
        self.model, self.layers = model, _sparse_layers(model)
        self.evolution = evolution or Evolution()
        check_untied(self._learning())
        for name, layer in self.layers.items():
            check_held(f"layer {name}", layer, optimiser)
            if isinstance(optimiser, ADAM) and layer.values.dtype.itemsize < 4:
                raise ValueError(
                    f"the values of layer {name} are {layer.values.dtype}, in which Adam cannot"
                    " count the steps of a link: keep weights in float32, and use torch.autocast"
                )
        self.n_at_start = {name: layer.nnz for name, layer in self.layers.items()}
        if isinstance(averages, nn.Module):
            raise ValueError(f"averages is one {type(averages).__name__}: give a list of them")
        missing = "a model of averages has no sparse layer: copy the model after sparsify_"
        self.averages = []
        for average in averages:
            if not isinstance(average, nn.Module):
                raise ValueError(
                    f"averages holds a {type(average).__name__}: give modules alone (a"
                    " WeightAverage moves by itself)"
                )
            found = _sparse_layers(average, missing)
            while found.keys() != self.layers.keys() and hasattr(average, "module"):
                average = average.module  # as timm's averages hold theirs
                found = _sparse_layers(average, missing)
            if found.keys() != self.layers.keys():
                raise ValueError(
                    "a model of averages has other sparse layers than the model: make it after"
                    " sparsify_"
                )
            if any(found[name] is layer for name, layer in self.layers.items()):
                raise ValueError("averages holds the model itself: give a copy of it")
            self.averages.append(found)
        self._check_averages()
        self.optimiser = optimiser
        self.every, self.steps, self.until = every, steps, until
        self.last = last
        self.scaler = scaler
        self.generator = generator
        shared = nn.parallel.DistributedDataParallel
        self.is_shared = any(isinstance(module, shared) for module in model.modules())
        if self.is_shared:
            if self.evolution.changes_numbers:
                raise ValueError(
                    "under DistributedDataParallel a layer keeps its number of links: give the"
                    " density_schedule 'constant' and no redistribution"
                )
            state = [self.generator.get_state()]
            dist.broadcast_object_list(state)
            self.generator.set_state(state[0])
        self.steps_taken = 0
        count_steps(optimiser)
        self._counted = STEPS[optimiser]
        self._has_stepped = False  # since it was made, or its state loaded
        self._versions_seen = self._versions()
        self.collector = Collector(self.scaler)
        if not any(layer.values.requires_grad for layer in self.layers.values()):
            warnings.warn(
                "all sparse layers of the model are frozen, so no links move: call requires_grad_()"
                " on those that shall learn",
                stacklevel=2,
            )
        if isinstance(optimiser, ADAM):
            hooks = optimiser._optimizer_step_post_hooks.values()
            if correct_new_links not in hooks:  # once, however many evolvers there are
                optimiser.register_step_post_hook(correct_new_links)
        self._collect_before_update()

    def step(self) -> int:
        """Count the step that the optimiser has taken, and update the links if that is due; return
        how many were replaced. Without a step of the optimiser since the last call, do nothing.

        Raises: ValueError if the optimiser has taken several steps since the last call, a model of
            averages has other links, or an update is due and a layer is no longer in the model, or
            has a gradient that the optimiser has not used.
        """
        if not self._has_stepped:
            self._check_averages()
        for layer in self.layers.values():
            layer.check_averages()
        n_steps = STEPS[self.optimiser] - self._counted
        if n_steps > 1:
            raise ValueError(
                f"the optimiser has taken {n_steps} steps since the last evolver.step(), or since"
                " the Evolver was made: call it after each optimiser.step(), and give the number"
                " of steps between updates as every"
            )
        if n_steps == 0:
            self._warn_if_another_steps()
            return 0
        if self._is_due(self.steps_taken + 1):
            self._check_used()
        self._counted += n_steps
        self._has_stepped = True
        self.steps_taken += 1
        n_replaced = 0
        if self._is_due(self.steps_taken):
            n_replaced = self._update()
        self._collect_before_update()
        self._versions_seen = self._versions()
        return n_replaced

    def __repr__(self) -> str:
        if not self.__dict__:
            return f"{type(self).__name__}(a copy, without model and optimiser)"
        plan = f"every={self.every}, steps={self.steps}, until={self.until}"
        return f"{type(self).__name__}({plan}, steps_taken={self.steps_taken})"

    def state_dict(self) -> dict[str, Any]:
        """State for a resumed training, besides those of model and optimiser."""
        return {
            "steps_taken": self.steps_taken,
            "every": self.every,
            "n_at_start": dict(self.n_at_start),
            "widths": self._widths(),
            "averages": len(self.averages),
            "generator": self.generator.get_state(),
            "seen": {name: list(batches) for name, batches in self.collector.batches.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken; load those of model and optimiser as well. The
        rules, ``steps`` and ``until`` are those of this Evolver.

        Raises: ValueError if it is of a model with other sparse layers, of an Evolver with another
            ``every``, of a later step than this one plans (unless ``until`` is None), of one with
            more or fewer models of averages, or of something else.
        """
        state = {"every": self.every, **state}  # older states lack it
        missing = sorted(self.state_dict().keys() - state.keys())
        if missing:
            raise ValueError(
                f"the state has no {missing[0]!r}: give one that an Evolver's state_dict returned"
            )
        if state["widths"] != self._widths():
            raise ValueError(
                "the state is of a model with other sparse layers: load it into an Evolver of the"
                " model that it was taken of"
            )
        if state["every"] != self.every:
            raise ValueError(
                f"the state is of an Evolver with every = {state['every']}, and this one has every"
                f" = {self.every}: give every = {state['every']}"
            )
        if state["averages"] != len(self.averages):
            raise ValueError(
                f"the state is of an Evolver with averages = {state['averages']} models, and this"
                f" one has {len(self.averages)}: give as many, and load the state of each"
            )
        if self.until is not None and state["steps_taken"] > self.steps:
            raise ValueError(
                f"the state is of step {state['steps_taken']}, and this Evolver plans {self.steps}"
                " steps: give steps = those of the whole training"
            )
        self.collector.stop()
        self._counted = STEPS[self.optimiser]
        self._has_stepped = False
        self.steps_taken = state["steps_taken"]
        self.n_at_start = dict(state["n_at_start"])
        self.generator.set_state(state["generator"].cpu())
        self.collector = Collector(self.scaler)
        self.collector.batches = {name: list(batches) for name, batches in state["seen"].items()}
        self._collect_before_update()

    def __reduce_ex__(self, protocol: int) -> tuple:
        """A copy is empty, so that a module which holds an Evolver can be copied and pickled."""
        return object.__new__, (type(self),)

    def __getattr__(self, name: str) -> NoReturn:
        if self.__dict__:
            raise AttributeError(f"an Evolver has no attribute {name!r}")
        raise AttributeError(
            "this copy of an Evolver has no model and no optimiser: make another Evolver of their"
            " copies, and load the state_dict of the first into it"
        )

    def _widths(self) -> dict[str, tuple[int, int]]:
        return {name: (each.in_features, each.out_features) for name, each in self.layers.items()}

    def _warn_if_another_steps(self) -> None:
        """Warn if weights have changed all the same, as where a later optimiser takes the steps."""
        versions = self._versions()
        if versions != self._versions_seen:
            self._versions_seen = versions
            warnings.warn(
                "the weights have changed without a step of the Evolver's optimiser, so no links"
                " move: if another optimiser trains them now, make an Evolver of that",
                stacklevel=3,
            )

    def _versions(self) -> list[int]:
        return [layer.values._version for layer in self.layers.values()]

    def _check_used(self) -> None:
        """Refuse an update of links while gradients wait, which it would throw away."""
        for name, layer in self._learning().items():
            if waits(layer.values):
                raise ValueError(
                    f"layer {name} has a gradient that the optimiser has not used: call"
                    " evolver.step() after optimiser.step(), before the next loss.backward()"
                )

    def _check_averages(self) -> None:
        """Refuse averages whose links are not those of the model, as where only the states of the
        others were loaded: their weights would be taken for those of other links.
        """
        for average in self.averages:
            for name, layer in self.layers.items():
                if not layer.support.keys.equal(average[name].support.keys):
                    raise ValueError(
                        f"layer {name} has other links in a model of averages than in the model:"
                        " copy the model after sparsify_; to go on later, load the states of both"
                    )

    def _is_due(self, step: int) -> bool:
        """True if links are updated after so many steps."""
        return step % self.every == 0 and (self.until is None or step <= self.last)

    def _update(self) -> int:
        modules = set(self.model.modules())
        lost = [name for name, layer in self.layers.items() if layer not in modules]
        if lost:
            raise ValueError(
                f"layer {lost[0]} is no longer in the model, as after densify_: make an Evolver of"
                " the model as it is now, or train on without one"
            )
        self._check_averages()
        self.collector.stop()
        learning, seen = self._learning(), {}
        if self.evolution.needs_gradient:  # one frozen or not since collecting began waits a turn
            watched = self.collector.layers
            self.collector.layers = {
                name: each for name, each in learning.items() if name in watched
            }
            seen = self._seen()
            learning = {name: each for name, each in learning.items() if name in seen}
        for name, layer in learning.items():
            state = self.optimiser.state[layer.values]
            if isinstance(self.optimiser, ADAM) and "step" in state and LINK_STEPS not in state:
                state[LINK_STEPS] = torch.full_like(layer.values.detach(), float(state["step"]))
            for i, average in enumerate(self.averages):  # they move as what it remembers does
                state[f"{AVERAGE} {i}"] = average[name].values.detach()
        n_replaced = evolve_layers_(
            learning,
            self.evolution,
            min(self.steps_taken, self.last),
            self.last,
            generator=self.generator,
            optimiser=self.optimiser,
            seen=seen,
            n_at_start=self.n_at_start,
            last=self.last // self.every * self.every,
        )
        self.collector = Collector(self.scaler)
        for name, layer in learning.items():
            for i, average in enumerate(self.averages):
                index = [tensor.clone() for tensor in layer.support[2:]]
                support = Support(layer.in_features, layer.out_features, *index)
                moved = self.optimiser.state[layer.values].pop(f"{AVERAGE} {i}")
                average[name].replace_links_(support, moved)
        return n_replaced

    # ------------------------------------------------------------------ what layers see

    def _collect_before_update(self) -> None:
        """Collect if the coming step is one of the last before an update by gradient."""
        update = (self.steps_taken // self.every + 1) * self.every
        is_near = update - self.steps_taken <= self.evolution.gradient_batches
        if self.evolution.needs_gradient and is_near and self._is_due(update):
            self.collector.step = self.steps_taken
            self.collector.start(self._learning())

    def _learning(self) -> dict[str, SparseLinear]:
        """The layers whose links move now: not frozen ones, nor, where numbers of links stay, those
        that have all of them.
        """
        learning = {name: each for name, each in self.layers.items() if each.values.requires_grad}
        if self.evolution.changes_numbers:
            return learning
        return {name: each for name, each in learning.items() if each.density < 1}

    def _seen(self) -> dict[str, dict[str, Any]]:
        """Inputs and gradients that the layers have seen, in all processes."""
        if not self.is_shared:
            return self.collector.collected()
        parts = [None] * dist.get_world_size()
        dist.all_gather_object(parts, self.collector.batches)
        return self.collector.collected(parts)


def _unwrapped(model: nn.Module) -> nn.Module:
    """The model within wrappers for processes, averages and compilation."""
    while isinstance(model, WRAPPERS) or hasattr(model, "_orig_mod"):
        model = model.module if isinstance(model, WRAPPERS) else model._orig_mod
    return model


def _sparse_layers(
    model: nn.Module, missing: str = "the model has no sparse layer: call sparsify_ first"
) -> dict[str, SparseLinear]:
    """The sparse layers of a model, by name, without what wrappers put before it; ``missing`` is
    said where there are none.
    """
    named = {}
    for name, module in _unwrapped(model).named_modules():
        if isinstance(module, SparseLinear):
            named[name] = module
    if not named:
        raise ValueError(missing)
    return named


# ------------------------------------------------------------------------------------------ summary


if TYPE_CHECKING:
    import pandas as pd


class Summary:
    """Result of :func:`summary`; prints as a table.

    Attributes:
        table: a row for each layer and the ``total``, columns as in :func:`summary`.
    """

    def __init__(self, table: "pd.DataFrame") -> None:
        self.table = table

    def __repr__(self) -> str:
        return self._written().to_string()

    def _repr_html_(self) -> str:
        return self._written().to_html()

    def _written(self) -> "pd.DataFrame":
        """The numbers as texts, empty where there is none."""
        table = self.table.copy()
        for name in table:
            if name in SHARES:
                table[name] = [f"{x:.2%}" if x == x else "" for x in table[name]]
            elif name in COUNTS:
                table[name] = [f"{n:,}" if n else "" for n in table[name]]
        return table.rename_axis(None)


COUNTS = ("links", "parameters", "forward", "step")
SHARES = ("density", "forward_share", "step_share")


def summary(model: nn.Module, *inputs: Tensor | tuple[int, ...], **named: Any) -> Summary:
    """The layers of a model, what they hold, and the multiply-adds of a batch.

    They are half of the operations that ``torch.utils.flop_counter`` has a formula for: products of
    matrices, convolutions, attention, and the products of sparse layers. Those of a training step
    are of a forward pass and of ``loss.backward()``, in which the first layer has no gradient at
    its input. They are counted on the model in evaluation mode, which is left as it was. A rule by
    gradient, as RigL's, costs more at its updates.

    Args:
        model: also one of dense layers alone.
        inputs: what the model is called with: tensors, or in place of each its shape, as (128, 784)
            for a batch of 128 examples.
        named: further arguments of the call.
    Returns: a :class:`Summary`. Its rows are the modules that hold parameters or multiply, and the
        total, in which what modules share counts once. Its columns are ``kind``; ``shape`` of the
        weights, (n_out, n_in) of a linear layer; ``links``, the weights that are stored, and their
        ``density``; ``parameters``; multiply-adds ``forward`` and of a training ``step``;
        ``forward_share`` and ``step_share`` of those of the same layers with all links.
    Raises: ValueError if the model returns no tensor.

    Example:
        >>> summary(models.mlp([784, 1000, 10], density=0.01), (128, 784))
    """
    with extra("data"):
        import pandas as pd

    counter = _Counter(model)
    given = [_tensor(model, each) for each in inputs]
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        with _in_plain_products(), counter:
            result = model(*given, **named)
            outputs = [y for y in tree_leaves(result) if isinstance(y, Tensor)]
            ends = [y.sum() for y in outputs if y.requires_grad]
            if ends and trained:
                torch.autograd.grad(ends, trained, allow_unused=True)
    if not outputs:
        raise ValueError(f"the model returns a {type(result).__name__}: return tensors")
    rows, weights = {}, {}
    for name, module in model.named_modules():
        forward, backward = counter.products[name]
        if forward or [*module.parameters(recurse=False)]:
            weights |= (own := _weights(module))
            rows[name or type(module).__name__] = _row(module, own, forward, forward + backward)
    n_parameters = sum(p.numel() for p in model.parameters())
    costs = (sum(row[i] for row in rows.values()) for i in range(5, 9))
    rows["total"] = ["", "", *_added(weights), n_parameters, *costs]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)
    table["density"] = table["links"] / table["positions"]
    table["forward_share"] = table["forward"] / table["dense_forward"]
    table["step_share"] = table["step"] / table["dense_step"]
    columns = ["kind", "shape", "links", "density", "parameters", "forward", "step"]
    return Summary(table[[*columns, *SHARES[1:]]])


COLUMNS = ["kind", "shape", "links", "positions", "parameters", "forward", "step"]
COLUMNS += ["dense_forward", "dense_step"]


def _weights(module: nn.Module) -> dict[int, tuple[int, int]]:
    """Links and positions of the weights that the module holds itself, by their id."""
    if not isinstance(module, LINKED):
        return {}
    held = {name: (id(p), p) for name, p in module.named_parameters(recurse=False)}
    if is_parametrized(module):  # what it multiplies by is no parameter then
        for name, law in module.parametrizations.items():
            held[name] = id(law), getattr(module, name)
    weights = {key: p.numel() for name, (key, p) in held.items() if "bias" not in name}
    if isinstance(module, SparseLinear):
        positions = module.in_features * module.out_features
        return {key: (links, positions) for key, links in weights.items()}
    return {key: (links, links) for key, links in weights.items()}


def _added(weights: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Links and positions of all of them."""
    pairs = weights.values()
    return sum(links for links, _ in pairs), sum(positions for _, positions in pairs)


def _row(
    module: nn.Module, weights: dict[int, tuple[int, int]], forward: int, step: int
) -> list[Any]:
    """Row of a module, without the modules in it."""
    own = [*module.parameters(recurse=False)]
    links, positions = _added(weights)
    shape = max((tuple(p.shape) for p in own), key=lambda shape: (len(shape), shape), default=())
    if isinstance(module, SparseLinear):
        shape = module.out_features, module.in_features
    if isinstance(module, SparseConv2d):  # while operations are counted, it is a dense convolution
        forward, step = forward * links // positions, step * links // positions
    n_parameters = sum(p.numel() for p in own)
    kind, scale = type(module).__name__, positions / links if links else 1
    costs = forward, step, scale * forward, scale * step
    return [kind, " x ".join(map(str, shape)), links, positions, n_parameters, *costs]


def _tensor(model: nn.Module, given: Tensor | tuple[int, ...]) -> Tensor:
    """An input, zeros where its shape is given."""
    if isinstance(given, Tensor):
        return given.detach()
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    return like.new_zeros(given)


@contextlib.contextmanager
def _in_plain_products() -> Iterator[None]:
    """While it is entered, torch computes attention and recurrent layers by operations that it has
    a formula for.
    """
    is_fast, has_mkldnn = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.mkldnn.enabled = False
    try:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)
        torch.backends.mkldnn.enabled = has_mkldnn


def _of_convolution(grad_y: Tensor, x: Tensor, weight: Tensor, *options: Any) -> int:
    """Operations of its backward pass: as many as forwards for each gradient that is needed. (The
    formula of torch is right for one group alone.)
    """
    is_transposed, needed = options[4], options[7]
    forward = conv_flop_count(x.shape, weight.shape, grad_y.shape, transposed=is_transposed)
    return forward * (needed[0] + needed[1])


class _Counter(TorchDispatchMode):
    """Multiply-adds of each module, by its name: [forward, backward].

    An operation of the backward pass is that of the module in whose call its node of the graph was
    made. Nodes are numbered; ``calls`` has the first and the last number of each call, inner calls
    before outer ones. (``FlopCounterMode`` finds modules by gradients at their inputs, and loses
    its way where an input has none.)
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.names = {module: name for name, module in model.named_modules()}
        self.products: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self.running: list[tuple[str, int]] = []
        self.calls: list[tuple[str, int, int]] = []

    def __enter__(self) -> "_Counter":
        self.handles = [
            register_module_forward_pre_hook(self._begin),
            register_module_forward_hook(self._end),
        ]
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        for handle in self.handles:
            handle.remove()
        super().__exit__(*error)

    def _begin(self, module: nn.Module, inputs: Any) -> None:
        name = self.names.get(module, self.running[-1][0] if self.running else "")
        self.running.append((name, torch.autograd._get_sequence_nr()))

    def _end(self, module: nn.Module, inputs: Any, output: Any) -> None:
        name, first = self.running.pop()
        self.calls.append((name, first, torch.autograd._get_sequence_nr()))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **kwargs or {})
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            node = torch._C._current_autograd_node()
            if func is torch.ops.aten.convolution_backward.default:
                operations = _of_convolution(*args)
            else:
                operations = formula(*args, **kwargs or {}, out_val=out)
            self.products[self._name(node)][node is not None] += operations // 2
        return out

    def _name(self, node: Any) -> str:
        """Name of the module that computes; "" for the model."""
        if self.running:
            return self.running[-1][0]
        number = node._sequence_nr()
        return next((name for name, first, end in self.calls if first <= number < end), "")
