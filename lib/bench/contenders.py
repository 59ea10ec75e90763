"""The contenders: networks that compute the same, and the products of which they consist."""

import importlib.util
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib import activations, kernels, layers, models
from lib.names import check_known
from lib.support import Support, erdos_renyi_density, random_support

BATCH = 128
WIDTHS = (784, 1000, 1000, 1000, 10)
ER_20 = {"er_epsilon": 20.0}
DROPOUT = 0.3
UNIT_SHAPES = ((1000, 128), (128, 64, 32, 32))  # of a layer's neurons and batch, and of images

Call = Callable[[], object]

# -------------------------------------------------------------------------------------- layers


class MaskedLinear(nn.Linear):
    """Dense layer times a mask, the usual emulation of a sparse layer; its weights stay dense."""

    def __init__(self, in_features: int, out_features: int, **links: float) -> None:
        super().__init__(in_features, out_features)
        sparse = layers.SparseLinear(in_features, out_features, **links)
        mask = torch.zeros(out_features * in_features)
        mask.index_fill_(0, sparse.support.keys, 1)
        self.register_buffer("mask", mask.view_as(self.weight))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class TorchSparseLinear(layers.SparseLinear):
    """The same layer, its products by torch.sparse."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.t().contiguous()  # (n_in, B)
        y = _CSRProduct.apply(self.support, self.values, x)
        return (y + self.bias[:, None]).t()


class _CSRProduct(torch.autograd.Function):
    """W x by torch.sparse, with the gradient of the stored weights only."""

    @staticmethod
    def forward(ctx, support, values, x):
        ctx.support = support
        ctx.save_for_backward(values, x)
        return csr(support, values) @ x

    @staticmethod
    def backward(ctx, grad_y):
        support = ctx.support
        values, x = ctx.saved_tensors
        pattern = csr(support, torch.zeros_like(values))
        grad_y = grad_y.contiguous()
        grad_w = torch.sparse.sampled_addmm(pattern, grad_y, x.t())
        grad_x = None
        if ctx.needs_input_grad[2]:
            grad_x = csr(support, values, transposed=True) @ grad_y
        return None, grad_w.values(), grad_x


def csr(support: Support, values: Tensor, transposed: bool = False) -> Tensor:
    """The weights, or their transpose, as torch's compressed sparse rows."""
    crow, col = support.crow, support.col
    shape = (support.n_out, support.n_in)
    if transposed:
        crow, col = support.tcrow, support.trow
        shape = (support.n_in, support.n_out)
        values = values[support.perm]
    with warnings.catch_warnings(action="ignore"):  # torch announces that its CSR is in beta
        return torch.sparse_csr_tensor(crow, col, values, shape)


class PlainSReLU(nn.Module):
    """SReLU in torch's own operations, as one writes it without a kernel."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.parts = nn.ParameterList()  # t_left, a_left, width, a_right
        for start in activations.SReLU.START.values():
            self.parts.append(torch.full((n,), start))

    def forward(self, x: Tensor) -> Tensor:
        t_left, a_left, width, a_right = self.parts
        t_right = t_left + width.abs()
        left = t_left + a_left * (x - t_left)
        right = t_right + a_right * (x - t_right)
        y = torch.where(x <= t_left, left, x)
        return torch.where(x >= t_right, right, y)


# ------------------------------------------------------------------------------------ networks


def network(contender: str, widths: Sequence[int] = WIDTHS, **links: float) -> nn.Module:
    """The network of a contender, with SReLU (``torch_sparse``: ReLU) and dropout .3.

    Args:
        contender: ``fused`` and ``modular`` (ours), ``dense`` (our SReLU and dropout),
            ``dense_modules`` (plain torch modules), ``masked`` (those times a mask),
            ``torch_sparse`` (CSR, plain torch around it) or ``sparselab`` (its layer, likewise).
        widths: n_in, hidden widths, n_out.
        links: ``density`` or ``er_epsilon``, of the sparse ones.
    Raises: ValueError for an unknown contender.
    """
    check_known("contender", contender, BUILDERS)
    return BUILDERS[contender](widths, **links)


def names() -> list[str]:
    """Names of :func:`network`, sparselab's only where it is installed."""
    known = list(BUILDERS)
    if importlib.util.find_spec("sparselab") is None:
        known.remove("sparselab")
    return known


def _fused(widths: Sequence[int], **links: float) -> nn.Module:
    return models.mlp(widths, dropout=DROPOUT, **links)


def _modular(widths: Sequence[int], **links: float) -> nn.Module:
    return nn.Sequential(*_fused(widths, **links))


def _dense(widths: Sequence[int], **links: float) -> nn.Module:
    return models.mlp(widths, dropout=DROPOUT)


def _dense_modules(widths: Sequence[int], **links: float) -> nn.Module:
    return _compose(widths, nn.Linear, PlainSReLU)


def _masked(widths: Sequence[int], **links: float) -> nn.Module:
    layer = partial(MaskedLinear, **links)
    return _compose(widths, layer, PlainSReLU)


def _torch_sparse(widths: Sequence[int], **links: float) -> nn.Module:
    layer = partial(TorchSparseLinear, **links)
    relu = partial(activations.make, "relu", layer=1)
    return _compose(widths, layer, relu)


def _sparselab(widths: Sequence[int], **links: float) -> nn.Module:
    layer = partial(_sparselab_layer, **links)
    return _compose(widths, layer, PlainSReLU)


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "fused": _fused,
    "modular": _modular,
    "dense": _dense,
    "dense_modules": _dense_modules,
    "masked": _masked,
    "torch_sparse": _torch_sparse,
    "sparselab": _sparselab,
}


def _compose(
    widths: Sequence[int],
    layer: Callable[..., nn.Module],
    unit: Callable[[int], nn.Module],
) -> nn.Sequential:
    net = nn.Sequential()
    for n_in, n_out in zip(widths[:-2], widths[1:-1], strict=True):
        net.append(layer(n_in, n_out))
        net.append(unit(n_out))
        net.append(nn.Dropout(DROPOUT))
    return net.append(nn.Linear(*widths[-2:]))


def _sparselab_layer(n_in: int, n_out: int, **links: float) -> nn.Module:
    import sparselab  # optional extra "bench"

    density = links.get("density")
    if not density:
        density = erdos_renyi_density(n_in, n_out, **links)
    with warnings.catch_warnings(action="ignore"):  # it makes a CSR of torch
        return sparselab.SparseLinear(n_in, n_out, sparsity=1 - density)


class Trainer:
    """A call is one training step: draw a batch, loss, gradients, SGD with momentum.

    Args:
        contender: see :func:`network`; plain torch and sparselab take torch's default SGD, the
            others its fused one.
        widths, links: see :func:`network`.
        batch: examples a step.
    """

    def __init__(
        self,
        contender: str,
        widths: Sequence[int] = WIDTHS,
        batch: int = BATCH,
        **links: float,
    ) -> None:
        self.net = network(contender, widths, **links)
        self.batch = batch
        default = ("dense_modules", "masked", "sparselab")
        self.optimiser = torch.optim.SGD(
            self.net.parameters(),
            lr=0.01,
            momentum=0.9,
            weight_decay=2e-4,
            fused=contender not in default,
        )
        generator = torch.Generator().manual_seed(0)
        n = 10_000
        self.x = torch.rand(n, widths[0], generator=generator)
        self.y = torch.randint(widths[-1], (n,), generator=generator)
        self.parts: dict[str, list[float]] = {}  # seconds of each part of a step

    def __call__(self) -> float:
        start = time.perf_counter()
        index = torch.randint(len(self.x), (self.batch,))
        x, y = self.x.index_select(0, index), self.y[index]
        start = self._clock("batch", start)
        logits = self.net(x)
        start = self._clock("forward", start)
        loss = F.cross_entropy(logits, y)
        value = loss.item()
        start = self._clock("loss", start)
        self.optimiser.zero_grad()
        loss.backward()
        start = self._clock("backward", start)
        self.optimiser.step()
        self._clock("optimiser", start)
        return value

    def _clock(self, part: str, start: float) -> float:
        now = time.perf_counter()
        self.parts.setdefault(part, []).append(now - start)
        return now


class UnitPass:
    """A call is a forward and a backward pass of an activation.

    Args:
        unit: a name of :data:`lib.activations.UNITS`.
        shape: of its input, float32 and normal.
    """

    def __init__(self, unit: str, shape: tuple[int, ...]) -> None:
        generator = torch.Generator().manual_seed(0)
        self.unit = activations.make(unit, shape[1]).float()
        self.x = torch.randn(shape, generator=generator, dtype=torch.float32).requires_grad_()
        self.grad_y = torch.ones(shape, dtype=torch.float32)

    def __call__(self) -> tuple[Tensor, ...]:
        inputs = self.x, *self.unit.parameters()
        return torch.autograd.grad(self.unit(self.x), inputs, self.grad_y)

    def kept_mib(self) -> float:
        """MiB that the forward pass leaves, see :func:`kept_mib`."""
        return kept_mib(self.unit, self.x)


def kept_mib(module: nn.Module, x: Tensor) -> float:
    """MiB that a forward pass leaves: its output and what the backward pass needs besides, the
    module's own numbers not counted, each piece of memory once.
    """
    own = {tensor.data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        note(module(x))
    return sum(sizes.values()) / 2**20


# ------------------------------------------------------------------------------------ products


def products(support: Support, batch: int = BATCH) -> dict[str, dict[str, Call]]:
    """The three products of a layer, {product: {contender: call}}.

    Contenders: ``modular`` (ours), ``torch_sparse`` (CSR and sampled_addmm), ``dense``.
    """
    values, x, grad_y = _operands(support, batch)
    weights = csr(support, values)  # (n_out, n_in)
    transposed = csr(support, values, transposed=True)
    pattern = csr(support, torch.zeros_like(values))
    dense = weights.to_dense()
    dense_transposed = dense.t().contiguous()
    return {
        "spmm": {
            "modular": lambda: kernels.spmm(support, values, x),
            "torch_sparse": lambda: weights @ x,
            "dense": lambda: dense @ x,
        },
        "spmm_transposed": {
            "modular": lambda: kernels.spmm_transposed(support, values, grad_y),
            "torch_sparse": lambda: transposed @ grad_y,
            "dense": lambda: dense_transposed @ grad_y,
        },
        "sddmm": {
            "modular": lambda: kernels.sddmm(support, x, grad_y),
            "torch_sparse": lambda: torch.sparse.sampled_addmm(pattern, grad_y, x.t()),
            "dense": lambda: grad_y @ x.t(),
        },
    }


def _operands(support: Support, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """(nnz,) values, (n_in, B) inputs and (n_out, B) gradients, all normal and float32."""
    draw = partial(
        torch.randn,
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float32,
    )
    values = draw(support.nnz)
    x = draw(support.n_in, batch)
    grad_y = draw(support.n_out, batch)
    return values, x, grad_y


def layer_support(n_in: int, n_out: int, density: float) -> Support:
    """The support of a layer that is measured."""
    generator = torch.Generator().manual_seed(0)
    return random_support(n_in, n_out, density, generator=generator)


def our_products(widths: Sequence[int], batch: int) -> Call:
    """A call computes the products of every layer of a step, one after the other, by ours."""
    calls = floor_calls(widths, batch)
    ours = [call for name, call in calls.items() if name.endswith(" modular")]

    def compute() -> None:
        for call in ours:
            call()

    return compute


def floor_calls(widths: Sequence[int], batch: int = BATCH) -> dict[str, Call]:
    """The products of every layer of the network, by ours and by torch.sparse.

    Returns: {"layer product contender": call}; there is no gradient at the pixels.
    """
    calls = {}
    for i, (n_in, n_out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        density = 1.0
        if n_out > 10:
            density = erdos_renyi_density(n_in, n_out, 20)
        support = layer_support(n_in, n_out, density)
        for product, rivals in products(support, batch).items():
            if i == 0 and product == "spmm_transposed":
                continue
            for name in ("modular", "torch_sparse"):
                calls[f"{i} {product} {name}"] = rivals[name]
    return calls
