"""A table of a model's layers: links, density, parameters, and multiply-adds beside dense ones."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import conv_flop_count, flop_registry

from .layers import SparseLinear
from .models import evaluating
from .names import extra
from .optimisers import LINKED

if TYPE_CHECKING:
    import pandas as pd


class Summary:
    """What :func:`summary` returns; prints as a table.

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
    """Of a module, without those in it."""
    own = [*module.parameters(recurse=False)]
    links, positions = _added(weights)
    shape = max((tuple(p.shape) for p in own), key=lambda shape: (len(shape), shape), default=())
    if isinstance(module, SparseLinear):
        shape = module.out_features, module.in_features
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
        """Of the module that computes; "" for the model."""
        if self.running:
            return self.running[-1][0]
        number = node._sequence_nr()
        return next((name for name, first, end in self.calls if first <= number < end), "")
