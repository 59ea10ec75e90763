"""The contenders: networks that are trained side by side, and the layers of which they consist."""

import ctypes
import importlib
import importlib.util
import itertools
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib import evolution, kernels, layers, models
from lib.support import Support, erdos_renyi_density
from lib.train import compiled_step

BATCH = 128
WIDTHS = (784, 1000, 1000, 1000, 10)
DROPOUT = 0.3
EXAMPLES = 10_000

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
    """A sparse layer whose products are those of torch.sparse."""

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


def sparselab_layer(n_in: int, n_out: int, **links: float) -> nn.Module:
    """The layer of sparselab 0.2.2, see ``make bench-rivals``; links are its own, as many.

    It keeps the transposed places of a layer's links by the layer's address, and may give those of
    a freed layer to a new one at the same address. So they are forgotten before a layer is made.
    """
    import sparselab

    sparselab.ops._clear_transpose_cache()

    density = links.get("density")
    if not density:
        density = erdos_renyi_density(n_in, n_out, **links)
    with warnings.catch_warnings(action="ignore"):  # it makes a CSR of torch
        return sparselab.SparseLinear(n_in, n_out, sparsity=1 - density)


def sparseprop_layer(n_in: int, n_out: int, **links: float) -> nn.Module:
    """The layer of SparseProp 0.1.14, see ``make bench-rivals``.

    It takes inputs example by example (B, n_in), contiguous. Of a transposed view with sizes that
    16 divides it reads the wrong numbers without a word. What it returns is such a view where 16
    does not divide B and n_out, and then none of its own layers reads it wrongly.
    """
    modules = importlib.import_module("sparseprop.modules")  # no extra: pip alone cannot build it
    sparse = layers.SparseLinear(n_in, n_out, **links)
    dense = nn.Linear(n_in, n_out)
    with torch.no_grad():
        dense.weight.copy_(sparse.to_dense())
    return modules.SparseLinear.from_dense(dense)


LAYERS: dict[str, Callable[..., nn.Module]] = {
    "dense_modules": lambda n_in, n_out, **links: nn.Linear(n_in, n_out),
    "masked": MaskedLinear,
    "torch_sparse": TorchSparseLinear,
    "sparselab": sparselab_layer,
    "sparseprop": sparseprop_layer,
}
CONTENDERS = ("fused", "modular", "dense", *LAYERS)
LIBRARIES = {"sparselab": "sparselab._core", "sparseprop": "backend"}  # which compiled module

# ------------------------------------------------------------------------------------ networks


def network(contender: str, widths: Sequence[int] = WIDTHS, **links: float) -> nn.Module:
    """The network of a contender, with dropout .3.

    Args:
        contender: ``fused`` (our step) and ``modular`` (ours, by autograd) with SReLU, ``dense``
            (the same network with all links, products by oneDNN), and with torch's own ReLU and
            dropout around the layers ``dense_modules`` (``nn.Linear``), ``masked`` (those times a
            mask), ``torch_sparse`` (CSR), ``sparselab`` and ``sparseprop``.
        widths: n_in, hidden widths, n_out.
        links: ``density`` or ``er_epsilon``, of the sparse ones.
    """
    if contender == "dense":
        return models.mlp(widths, dropout=DROPOUT)
    if contender in ("fused", "modular"):
        return models.mlp(widths, dropout=DROPOUT, **links)
    net = nn.Sequential()
    for n_in, n_out in itertools.pairwise(widths[:-1]):
        net.extend([LAYERS[contender](n_in, n_out, **links), nn.ReLU(), nn.Dropout(DROPOUT)])
    return net.append(nn.Linear(*widths[-2:]))


def names() -> list[str]:
    """Names of :func:`network`, rivals only where they are installed."""
    return [name for name in CONTENDERS if name not in LIBRARIES or is_installed(name)]


def is_installed(rival: str) -> bool:
    """True if a library of :data:`LIBRARIES` can be imported."""
    return importlib.util.find_spec(rival) is not None


def set_threads(number: int) -> None:
    """Let torch, our loops and the libraries of rivals run on so many threads.

    Rivals may carry an OpenMP of their own, which torch does not set.
    """
    torch.set_num_threads(number)
    for rival, module in LIBRARIES.items():
        if is_installed(rival):
            importlib.import_module(rival)
            ctypes.CDLL(importlib.import_module(module).__file__).omp_set_num_threads(number)


# --------------------------------------------------------------------------------------- steps


class Step:
    """A call is one training step of a network on some examples, compiled or by autograd.

    Args:
        net, optimiser: what is trained, and by what.
        x, y: the examples.
        is_compiled: whether the step is that of :func:`lib.train.compiled_step`.
        loss: of the outputs and ``y``.
    """

    def __init__(
        self,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        x: Tensor,
        y: Tensor,
        *,
        is_compiled: bool,
        loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    ) -> None:
        self.net, self.optimiser = net, optimiser
        self.x, self.y, self.loss = x, y, loss
        self.compiled = compiled_step(net, optimiser, loss) if is_compiled else None

    def __call__(self) -> float:
        if self.compiled is not None:
            return self.compiled(self.x, self.y)
        return self.by_autograd(self.x, self.y)

    def by_autograd(self, x: Tensor, y: Tensor) -> float:
        """A step on these examples by autograd."""
        loss = self.loss(self.net(x), y)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()


class Trainer(Step):
    """A call is one training step: draw a batch, loss, gradients, SGD with momentum.

    Args:
        contender: see :func:`network`. ``fused`` is :func:`lib.train.compiled_step`, all others go
            by autograd; ``dense_modules`` and ``masked`` have torch's default SGD, the others its
            fused one.
        widths, links: see :func:`network`.
        batch: examples a step.
        examples: random ones, of which a step draws its batch.
    """

    def __init__(
        self,
        contender: str,
        widths: Sequence[int] = WIDTHS,
        batch: int = BATCH,
        examples: int = EXAMPLES,
        **links: float,
    ) -> None:
        net = network(contender, widths, **links)
        self.batch = batch
        optimiser = torch.optim.SGD(
            net.parameters(),
            lr=0.01,
            momentum=0.9,
            weight_decay=2e-4,
            fused=contender not in ("dense_modules", "masked"),
        )
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(examples, widths[0], generator=generator)
        y = torch.randint(widths[-1], (examples,), generator=generator)
        super().__init__(net, optimiser, x, y, is_compiled=contender == "fused")

    def __call__(self) -> float:
        index = torch.randint(len(self.x), (self.batch,))
        if self.compiled is not None:
            return self.compiled(self.x, self.y, index)
        return self.by_autograd(self.x.index_select(0, index), self.y[index])

    def move_links(self, generator: torch.Generator) -> None:
        """Let the links of its sparse layers move as SET's do after an epoch."""
        for layer in models.sparse_layers(self.net).values():
            evolution.evolve_(
                layer,
                evolution=evolution.Evolution(),
                fraction=0.3,
                generator=generator,
                optimiser=self.optimiser,
            )


class Pass:
    """A call is a forward and a backward pass of a module: its output, and the gradients of its
    input, which lies example by example, as every rival wants it, and of its parameters.

    Args:
        module: a layer or an activation.
        x: (B, ...) its input.
        generator: of the gradient at its output.
    """

    def __init__(self, module: nn.Module, x: Tensor, *, generator: torch.Generator) -> None:
        self.module, self.x = module, x.clone().requires_grad_()
        y = module(x).detach()
        self.grad_y = torch.empty_like(y).uniform_(generator=generator)  # in its memory format

    def __call__(self) -> tuple[Tensor, ...]:
        inputs = self.x, *self.module.parameters()
        return torch.autograd.grad(self.module(self.x), inputs, self.grad_y)


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
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator, dtype=torch.float32)
    values = draw(support.nnz)
    x, grad_y = draw(support.n_in, batch), draw(support.n_out, batch)
    weights = csr(support, values)  # (n_out, n_in)
    transposed = csr(support, values, transposed=True)
    pattern = csr(support, torch.zeros_like(values))
    dense = weights.to_dense()
    dense_transposed = dense.t().contiguous()
    return {
        "spmm": {
            "modular": lambda: kernels.spmm(support, values, x),
            "torch_sparse": lambda: weights @ x,
            "dense": lambda: kernels.dense_product(dense, x),
        },
        "spmm_transposed": {
            "modular": lambda: kernels.spmm_transposed(support, values, grad_y),
            "torch_sparse": lambda: transposed @ grad_y,
            "dense": lambda: kernels.dense_product(dense_transposed, grad_y),
        },
        "sddmm": {
            "modular": lambda: kernels.sddmm(support, x, grad_y),
            "torch_sparse": lambda: torch.sparse.sampled_addmm(pattern, grad_y, x.t()),
            "dense": lambda: kernels.dense_product(grad_y, x.t()),
        },
    }
