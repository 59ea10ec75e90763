"""Which models a compiled step runs: chains of layers, and how one is found in a model.

A chain is an ``nn.Sequential``, nested or not, or a class of one's own whose ``forward`` is traced
by ``torch.fx`` to modules and functions that follow each other. Nothing is computed here.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from .. import activations, kernels, layers
from ..growth import Watch
from ..models import MLP, hooks_of
from ..support import Support, every_link
from . import launch, passes
from .hinges import check_hinges

ONE_EXAMPLE = (
    "a batch has one example, and batch normalisation needs two: give larger batches, or a"
    " batch_size that does not leave one example for the last batch of an epoch"
)
LOOPS_OFF = "this process was forked, or the loops are off: train by autograd"
DENSE = (nn.Linear, layers.Linear)
LINEAR = (layers.SparseLinear, *DENSE)
NORMS = (nn.LayerNorm, nn.BatchNorm1d)
LEARNED = (activations.SReLU, activations.Splash)  # have one parameter
PIECEWISE = (nn.ReLU, nn.LeakyReLU, activations.AllReLU, *LEARNED)
SMOOTH = {  # each with its number among the passes
    nn.ELU: passes.ELU,
    nn.SiLU: passes.SILU,
    nn.Tanh: passes.TANH,
    nn.Sigmoid: passes.SIGMOID,
}
UNITS = (*PIECEWISE, *SMOOTH, nn.GELU, *NORMS)
DROPOUTS = (layers.Dropout, nn.Dropout)
UNCHANGED = (nn.Flatten, nn.Identity)  # of rows
KINDS = (*LINEAR, *UNITS, *DROPOUTS, *UNCHANGED, layers.Standardise)


class CannotCompile(ValueError):
    """A model, a loss or an optimiser that a compiled step does not take: the sentence says why."""


class Part(NamedTuple):
    """A layer of the chain: links or none, a unit or a normalisation or none, a dropout or none."""

    linear: nn.Module | None
    unit: nn.Module | None = None
    dropout: layers.Dropout | None = None
    width: int = 0  # of its output


class Chain(NamedTuple):
    """What a compiled step runs of a model.

    Attributes:
        standardise: before the first part, or None.
        parts: its layers.
        twins: dropouts of our own in place of ``nn.Dropout``, each with the module that it follows.
    """

    standardise: layers.Standardise | None
    parts: list[Part]
    twins: list[tuple[layers.Dropout, nn.Module]]


class Snapshot:
    """What a trace of a model depends on: its modules, their modes, parameters, hooks, and the
    attributes of classes of the user's own, which a forward may ask.
    """

    def __init__(self, model: nn.Module) -> None:
        modules = list(model.modules())
        own = [vars(m) for m in modules if not is_of_a_library(m)]
        self._switches = [(attributes, simple_ones(attributes)) for attributes in own]
        self._modes = [(module, module.training) for module in modules]
        self._children = [(module._modules, [*module._modules.values()]) for module in modules]
        self._own = [module._parameters for module in modules]
        self._n_own = sum(map(len, self._own))
        self._named = [
            (own, name, p, p.requires_grad)
            for own in self._own
            for name, p in own.items()
            if p is not None
        ]
        self._hooks = [hooks for module in modules for hooks in hooks_of(module)]

    def holds(self) -> bool:
        """True if all is as it was, and nothing has hooks; in some microseconds."""
        if any([*now.values()] != before for now, before in self._children) or any(self._hooks):
            return False
        if any(module.training is not before for module, before in self._modes):
            return False
        if any(simple_ones(now) != before for now, before in self._switches):
            return False
        for own, name, p, learns in self._named:
            if own.get(name) is not p or p.requires_grad is not learns:
                return False
            if p._backward_hooks or p._post_accumulate_grad_hooks:
                return False
        return sum(map(len, self._own)) == self._n_own


def find_chain(model: nn.Module) -> Chain:
    """The chain of a model. Raises CannotCompile, naming the first thing that is no part of one."""
    standardise, parts, twins = None, [], []
    modules = list(_flattened(model, ""))
    norms = [id(module) for _, module in modules if isinstance(module, nn.BatchNorm1d)]
    if len(set(norms)) < len(norms):
        raise CannotCompile("a BatchNorm1d is used twice: make two, or train by autograd")
    for name, module in modules:
        kind = type(module)
        if kind is layers.Standardise and not parts and standardise is None:
            standardise = module
            continue
        if kind in UNCHANGED:
            start, end = getattr(module, "start_dim", 1), getattr(module, "end_dim", -1)
            if (start, end) != (1, -1):  # takes examples together
                raise CannotCompile(f"{name} flattens from {start} to {end}: {ROWS}")
            continue
        if kind in (nn.Dropout, _Drop):
            if module.p >= 1:
                raise CannotCompile(f"{name} has p = {module.p}, and leaves nothing: use autograd")
            twin = layers.Dropout(module.p)
            if kind is nn.Dropout:
                twins.append((twin, module))
            module = twin
        elif kind not in KINDS or kind is layers.Standardise:
            raise CannotCompile(f"{name} is {kind.__name__}, which {NO_STEP}")
        _check_module(name, module)
        width = parts[-1].width if parts else _first_width(modules)
        parts.append(_part_of(module, width))
    if not any(isinstance(part.linear, layers.SparseLinear) for part in parts):
        raise CannotCompile("the model has no SparseLinear: call sparsify_ first")
    parts = _joined(parts)
    last = parts[-1]
    if last.unit is not None or last.dropout is not None:
        raise CannotCompile("the last module is no linear layer: end with the layer of the outputs")
    _check_parameters(model, parts)
    if standardise is not None:
        n = n_inputs(parts)
        for constant in (standardise.mean, standardise.std):
            if constant.numel() not in (1, n):
                sizes = f"{constant.numel()} features, linear takes {n}"
                raise CannotCompile(f"Standardise has {sizes}")
    return Chain(standardise, parts, twins)


NO_STEP = "a compiled step does not run: train by autograd"


def is_of_a_library(module: nn.Module) -> bool:
    """True if its class is one of torch, or a layer or a unit of this library: it is not traced."""
    where = type(module).__module__
    return where.startswith("torch.nn.") or where in (layers.__name__, activations.__name__)


def simple_ones(attributes: dict[str, Any]) -> dict[str, Any]:
    """Those that a forward may branch on: numbers, texts and None."""
    kinds = (bool, int, float, str, type(None))
    return {name: value for name, value in attributes.items() if type(value) in kinds}


def _part_of(module: nn.Module, width: int) -> Part:
    """The module alone as a part, behind so many values. Raises CannotCompile."""
    if isinstance(module, LINEAR):
        if width not in (0, module.in_features):
            raise CannotCompile(f"{width} values meet a layer of {module.in_features} inputs")
        return Part(module, width=module.out_features)
    if isinstance(module, layers.Dropout):
        return Part(None, dropout=module, width=width)
    expected = width
    if isinstance(module, activations.SReLU):
        expected = module.pieces.shape[1]
    elif isinstance(module, nn.LayerNorm):
        (expected,) = module.normalized_shape
    elif isinstance(module, nn.BatchNorm1d):
        expected = module.num_features
    if width not in (0, expected):
        kind = type(module).__name__
        raise CannotCompile(f"{width} values meet a {kind} of {expected} neurons")
    return Part(None, unit=module, width=expected)


def _joined(parts: list[Part]) -> list[Part]:
    """A unit goes into one part with the links before it, a dropout with either."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if last is None or part.linear is not None or last.dropout is not None:
            joined.append(part)
        elif part.dropout is not None:
            joined[-1] = last._replace(dropout=part.dropout)
        elif last.unit is None and not isinstance(part.unit, NORMS):
            joined[-1] = last._replace(unit=part.unit)
        else:
            joined.append(part)
    return joined


def _first_width(modules: Sequence[tuple[str, nn.Module]]) -> int:
    """Number of inputs: that of the first module that tells it."""
    for name, module in modules:
        if isinstance(module, LINEAR):
            return module.in_features
        if isinstance(module, NORMS):
            _check_module(name, module)
            return _part_of(module, 0).width
    return 0


# -------------------------------------------------------------------------- what a model runs


def _flattened(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a chain in their order, by name. Raises CannotCompile."""
    if type(module) in KINDS and name:
        yield name, module
        return
    check_plain(name or "the model", module)
    if type(module).forward in (nn.Sequential.forward, MLP.forward):
        for key, child in module._modules.items():  # one that is there twice included
            yield from _flattened(child, f"{name}.{key}".removeprefix("."))
    elif is_of_a_library(module):
        raise CannotCompile(f"{name or 'the model'} is {type(module).__name__}, which {NO_STEP}")
    else:
        yield from _traced(module, name)


class _Tracer(fx.Tracer):
    """Looks into modules that are no leaf."""

    def __init__(self, is_leaf: Callable[[nn.Module], bool]) -> None:
        super().__init__()
        self.is_leaf = is_leaf

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return self.is_leaf(module)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        if not torch.is_grad_enabled():  # which a trace does not see
            raise CannotCompile("its forward turns gradients off: freeze parameters instead")
        return super().create_node(*args, **kwargs)


def graph_of(module: nn.Module, name: str, is_leaf: Callable[[nn.Module], bool]) -> fx.Graph:
    """What the forward of a module of the user's own calls. Raises CannotCompile."""
    kind = type(module).__name__
    for inner_name, inner in module.named_modules(prefix=name):
        check_plain(inner_name or "the model", inner)
    try:
        with torch.enable_grad():
            graph = _Tracer(is_leaf).trace(module)
    except Exception as error:  # whatever the user's code raises on stand-ins for tensors
        raise CannotCompile(f"torch.fx cannot trace {kind}: {error}") from error
    n_inputs = sum(node.op == "placeholder" and bool(node.users) for node in graph.nodes)
    if n_inputs != 1:
        raise CannotCompile(f"{kind} takes {n_inputs} inputs, and a compiled step takes one")
    return graph


def _is_leaf(module: nn.Module) -> bool:
    return type(module) in KINDS or isinstance(module, nn.Sequential)


def _traced(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a class of the user's own, as its forward calls them."""
    kind = type(module).__name__
    nodes = list(graph_of(module, name, _is_leaf).nodes)
    now = next(node for node in nodes if node.op == "placeholder" and node.users)
    for node in nodes:
        if node.op in ("placeholder", "output", "get_attr") or _is_of_shape(node):
            continue
        where = name_of(node)
        values = [one for one in node.all_input_nodes if not _is_of_shape(one)]
        if values != [now]:
            raise CannotCompile(f"{where} in {kind} does not take the value before it alone: {ONE}")
        now = node
        if node.op == "call_module":
            inner = module.get_submodule(node.target)
            yield from _flattened(inner, f"{name}.{node.target}".removeprefix("."))
        else:
            yield where, _module_of(node, kind)
    if nodes[-1].args[0] is not now:
        raise CannotCompile(f"{kind} does not return its last value alone: {ONE}")


def name_of(node: fx.Node) -> str:
    """Name of the module, method or function that a node calls."""
    target = node.target
    return target if isinstance(target, str) else getattr(target, "__name__", str(target))


ROWS = "give 1 and -1, or train by autograd"
ONE = "a compiled step runs one module after the other; train by autograd"
OF_SHAPE = ("size", "dim", "numel")


def _is_of_shape(node: fx.Node) -> bool:
    """True if the node tells a shape, or a number made of one."""
    if node.op == "call_method":
        return node.target in OF_SHAPE
    if node.target is getattr:
        return node.args[1] in ("shape", "ndim")
    return node.target in (operator.getitem, operator.mul, operator.floordiv) and all(
        _is_of_shape(one) for one in node.all_input_nodes
    )


class _Drop(NamedTuple):
    """A dropout that a forward calls as a function."""

    p: float


def _dropout(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """A call of ``F.dropout``; a forward is traced anew when the mode of the model changes."""
    return _Drop(p) if training else nn.Identity()


def module_like(kind: type[nn.Module]) -> Callable[..., nn.Module]:
    """A function of the arguments of a call, as those of ``F.relu(x, inplace)``, that makes the
    module which computes the same.
    """
    return lambda x, *args, **options: kind(*args, **options)


def _flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> nn.Module:
    return nn.Flatten(start_dim, end_dim)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    F.dropout: _dropout,
    torch.flatten: _flatten,
    "flatten": _flatten,
    "view": module_like(nn.Identity),
    "reshape": module_like(nn.Identity),
    "contiguous": module_like(nn.Identity),
}
for _kind, _functions in {
    nn.LeakyReLU: [F.leaky_relu],
    nn.ELU: [F.elu],
    nn.GELU: [F.gelu],
    nn.SiLU: [F.silu],
    nn.ReLU: [F.relu, torch.relu, "relu"],
    nn.Tanh: [F.tanh, torch.tanh, "tanh"],
    nn.Sigmoid: [F.sigmoid, torch.sigmoid, "sigmoid"],
}.items():
    FUNCTIONS |= dict.fromkeys(_functions, module_like(_kind))


def _module_of(node: fx.Node, kind: str) -> Any:
    """The module that does what a function of the forward does. Raises CannotCompile."""
    make = FUNCTIONS.get(node.target)
    if make is None:
        raise CannotCompile(f"{kind} calls {name_of(node)}, which {NO_STEP}")
    return make(*node.args, **node.kwargs)


# --------------------------------------------------------------------------------- what is refused


def is_hooked(module: nn.Module) -> bool:
    """True if a module has hooks, those of a collector of gradients not counted."""
    hooks = (hook for kind in hooks_of(module) for hook in kind.values())
    return any(not isinstance(hook, Watch) for hook in hooks)


def check_plain(name: str, module: nn.Module) -> None:
    """Raise CannotCompile for hooks, or a forward that was put in place of the class's."""
    if is_hooked(module):
        raise CannotCompile(f"{name} has hooks: remove them, or train by autograd")
    if "forward" in vars(module):
        raise CannotCompile(f"{name} has a forward of its own: remove it, or train by autograd")


def _check_module(name: str, module: nn.Module) -> None:
    """Raise CannotCompile for options of a module that the passes do not know."""
    check_plain(name, module)
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) != 1:
        raise CannotCompile(f"{name} normalises over {module.normalized_shape}: train by autograd")
    if isinstance(module, activations.Splash) and module.bounded:
        raise CannotCompile(
            f"{name} is a bounded Splash, which divides its coefficients: train by autograd"
        )
    if isinstance(module, nn.BatchNorm1d) and not module.training:
        raise CannotCompile(f"{name} is in evaluation mode: call model.train(), or use autograd")


def _check_parameters(model: nn.Module, parts: list[Part]) -> None:
    of_parts = [id(p) for part in parts for p in parameters_of(part)]
    if len(set(of_parts)) != len(of_parts):
        raise CannotCompile("layers share parameters: train by autograd")
    for name, parameter in model.named_parameters():
        if id(parameter) not in of_parts:
            raise CannotCompile(
                f"{name} is of no layer that a compiled step runs: train by autograd"
            )
        if not parameter.requires_grad:
            raise CannotCompile(f"{name} is frozen: train by autograd")
        if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
            raise CannotCompile(f"{name} has hooks: remove them, or train by autograd")
        check_place(name, parameter)


def check_place(name: str, parameter: Tensor) -> None:
    """Raise CannotCompile unless the loops take it as it lies."""
    if parameter.dtype != torch.float32 or not parameter.is_cpu:
        raise CannotCompile(
            f"{name} is {parameter.dtype} on {parameter.device}: a compiled step takes float32 on a"
            " CPU"
        )
    if not launch.runs_compiled(parameter):
        raise CannotCompile(LOOPS_OFF)


# ---------------------------------------------------------------------------- of a part


def n_inputs(parts: list[Part]) -> int:
    """Number of inputs of the first part."""
    first = parts[0]
    return first.width if first.linear is None else first.linear.in_features


def parameters_of(part: Part) -> list[nn.Parameter]:
    """Its parameters: weights, biases, those of its unit."""
    found = [] if part.linear is None else list(part.linear.parameters(recurse=False))
    if part.unit is not None:
        found += part.unit.parameters(recurse=False)
    return found


def support_of(part: Part) -> Support | None:
    """The links of a part; those of a dense layer are all."""
    linear = part.linear
    if linear is None:
        return None
    if isinstance(linear, layers.SparseLinear):
        return linear.support
    return every_link(linear.in_features, linear.out_features)


def weights_of(part: Part) -> tuple[nn.Parameter | None, nn.Parameter | None]:
    """Weights and biases: of its links, or of its normalisation."""
    if isinstance(part.linear, layers.SparseLinear):
        return part.linear.values, part.linear.bias
    if part.linear is not None:
        return part.linear.weight, part.linear.bias
    if isinstance(part.unit, NORMS):
        return part.unit.weight, part.unit.bias
    return None, None


def layer_of(part: Part) -> kernels.Layer:
    """The part as the passes take it."""
    values, bias = (None if one is None else one.detach() for one in weights_of(part))
    layer = kernels.Layer(support_of(part), None if values is None else values.view(-1), bias)
    unit = part.unit
    if type(unit) in PIECEWISE:
        like = next(iter(parameters_of(part)), torch.empty(0))
        layer = layer._replace(**activations.fields_of(unit, part.width, like.detach()))
    elif unit is not None:
        layer = layer._replace(unit=smooth_unit(unit))
    if layer.hinges is not None:
        check_hinges(layer.hinges, layer.splash)
        layer = layer._replace(hinges=layer.hinges.contiguous())
    if part.dropout is not None and part.dropout.p > 0:
        layer = layer._replace(law=launch.dropout_law(part.dropout.p, part.dropout.seed, 0))
    return kernels.Layer(*(one.detach() if isinstance(one, Tensor) else one for one in layer))


def smooth_unit(unit: nn.Module) -> tuple[int, float]:
    """Number and constant of a unit that has neither pieces nor hinges, or of a normalisation."""
    if isinstance(unit, nn.GELU):
        return passes.GELU_TANH if unit.approximate == "tanh" else passes.GELU, 0.0
    if isinstance(unit, nn.LayerNorm):
        return passes.LAYER_NORM, unit.eps
    if isinstance(unit, nn.BatchNorm1d):
        return passes.BATCH_NORM, unit.eps
    return SMOOTH[type(unit)], getattr(unit, "alpha", 0.0)


def running_numbers(norm: nn.Module) -> list[int]:
    """Addresses of the running mean and variance of a batch normalisation; 0 where there are none.
    Raises CannotCompile.
    """
    buffers = norm.running_mean, norm.running_var
    for one in buffers:
        if one is not None and not (one.shape == (norm.num_features,) and one.is_contiguous()):
            raise CannotCompile(
                f"the running numbers of {norm} are not {norm.num_features}, contiguous"
            )
    return launch.addresses(torch.float32, *buffers)


def share_of_batch(norm: nn.Module) -> float:
    """Count a batch; return the share of it that the running numbers take."""
    norm.num_batches_tracked.add_(1)
    share = norm.momentum
    return 1 / int(norm.num_batches_tracked) if share is None else share
