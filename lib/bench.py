"""Speed and memory against dense, masked, torch.sparse and sparselab, all in one run.

Contenders take turns, so that a busy moment of the machine meets all of them; the median and the
range of the middle half are reported. A turn begins with a rest and, but for whole epochs, with
calls that are not timed.
"""

import importlib.util
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib import activations, data, evolution, kernels, layers, models, records, train
from lib.names import check_known
from lib.support import Support

BATCH = 128
WIDTHS = (784, 1000, 1000, 1000, 10)
CIFAR_WIDTHS = (3072, 4000, 1000, 4000, 10)  # [Mocanu2018], Table 3
ER_20 = {"er_epsilon": 20.0}
DROPOUT = 0.3
ROUNDS = 11
TURN = 0.1  # seconds
STATUS = Path("/proc/self/status")  # Linux; memory is not measured elsewhere

# ------------------------------------------------------------------------- the contenders


class MaskedLinear(nn.Linear):
    """Dense layer times a mask, the usual emulation of a sparse layer; its weights stay dense."""

    def __init__(self, n_in: int, n_out: int, **law: float) -> None:
        super().__init__(n_in, n_out)
        support = layers.SparseLinear(n_in, n_out, **law).support
        mask = torch.zeros(n_out * n_in)
        self.register_buffer("mask", mask.index_fill(0, support.keys, 1).view_as(self.weight))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class _CSRProduct(torch.autograd.Function):
    """W x by torch.sparse, with the gradient of the stored weights only."""

    @staticmethod
    def forward(ctx, support, values, x):
        ctx.support = support
        ctx.save_for_backward(values, x)
        return csr(support, values) @ x

    @staticmethod
    def backward(ctx, grad_y):
        values, x = ctx.saved_tensors
        pattern = csr(ctx.support, torch.zeros_like(values))
        d = torch.sparse.sampled_addmm(pattern, grad_y.contiguous(), x.t()).values()
        grad_x = csr(ctx.support, values, True) @ grad_y if ctx.needs_input_grad[2] else None
        return None, d, grad_x


def csr(support: Support, values: Tensor, transposed: bool = False) -> Tensor:
    """The weights, or their transpose, as torch's compressed sparse rows."""
    crow, col, shape = support.crow, support.col, (support.n_out, support.n_in)
    if transposed:
        crow, col, shape = support.tcrow, support.trow, (support.n_in, support.n_out)
        values = values[support.perm]
    with warnings.catch_warnings(action="ignore"):  # torch announces that its CSR is in beta
        return torch.sparse_csr_tensor(crow, col, values, shape)


class TorchSparseLinear(layers.SparseLinear):
    """The same layer, its products by torch.sparse."""

    def forward(self, x: Tensor) -> Tensor:
        y = _CSRProduct.apply(self.support, self.values, x.t().contiguous())
        return (y + self.bias[:, None]).t()


class PlainSReLU(nn.Module):
    """SReLU in torch's own operations, as one writes it without a kernel."""

    def __init__(self, n: int) -> None:
        super().__init__()
        starts = activations.SReLU.START.values()  # t_left, a_left, width, a_right
        self.parts = nn.ParameterList(torch.full((n,), start) for start in starts)

    def forward(self, x: Tensor) -> Tensor:
        t_left, a_left, width, a_right = self.parts
        t_right = t_left + width.abs()
        y = torch.where(x <= t_left, t_left + a_left * (x - t_left), x)
        return torch.where(x >= t_right, t_right + a_right * (x - t_right), y)


def _compose(
    widths: Sequence[int], layer: Callable[..., nn.Module], unit: Callable = PlainSReLU
) -> nn.Sequential:
    net = nn.Sequential()
    for n_in, n_out in zip(widths[:-2], widths[1:-1], strict=True):
        net.extend([layer(n_in, n_out), unit(n_out), nn.Dropout(DROPOUT)])
    return net.append(nn.Linear(*widths[-2:]))


def _sparselab(n_in: int, n_out: int, **law: float) -> nn.Module:
    import sparselab  # optional extra "bench"

    density = law.get("density") or evolution.erdos_renyi_density(n_in, n_out, **law)
    with warnings.catch_warnings(action="ignore"):  # it makes a CSR of torch
        return sparselab.SparseLinear(n_in, n_out, sparsity=1 - density)


def network(contender: str, widths: Sequence[int] = WIDTHS, **law: float) -> nn.Module:
    """The network of a contender, with SReLU (``torch_sparse``: ReLU) and dropout .3.

    Args:
        contender: ``fused`` and ``modular`` (ours), ``dense`` (our SReLU and dropout),
            ``dense_modules`` (plain torch modules), ``masked`` (those times a mask),
            ``torch_sparse`` (CSR, plain torch around it) or ``sparselab`` (its layer, likewise).
        widths: n_in, hidden widths, n_out.
        law: ``density`` or ``er_epsilon``, of the sparse ones.
    """
    relu = partial(activations.make, "relu", layer=1)
    make = {
        "fused": lambda: models.mlp(widths, dropout=DROPOUT, **law),
        "modular": lambda: nn.Sequential(*models.mlp(widths, dropout=DROPOUT, **law)),
        "dense": lambda: models.mlp(widths, dropout=DROPOUT),
        "dense_modules": lambda: _compose(widths, nn.Linear),
        "masked": lambda: _compose(widths, partial(MaskedLinear, **law)),
        "torch_sparse": lambda: _compose(widths, partial(TorchSparseLinear, **law), relu),
        "sparselab": lambda: _compose(widths, partial(_sparselab, **law)),
    }
    return make[contender]()


def contenders() -> list[str]:
    """Names of :func:`network`, sparselab's only where it is installed."""
    installed = ["sparselab"] if importlib.util.find_spec("sparselab") else []
    return ["fused", "modular", "dense", "dense_modules", "masked", "torch_sparse", *installed]


class Trainer:
    """A call is one training step: draw a batch, loss, gradients, SGD with momentum.

    Args:
        contender: see :func:`network`; plain torch and sparselab take torch's default SGD, the
            others its fused one.
        widths, law: see :func:`network`.
        batch: examples a step.
    """

    def __init__(
        self, contender: str, widths: Sequence[int] = WIDTHS, batch: int = BATCH, **law: float
    ) -> None:
        self.net, self.batch = network(contender, widths, **law), batch
        fused = contender not in ("dense_modules", "masked", "sparselab")
        self.optimiser = torch.optim.SGD(
            self.net.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4, fused=fused
        )
        generator = torch.Generator().manual_seed(0)
        self.x = torch.rand(10_000, widths[0], generator=generator)
        self.y = torch.randint(widths[-1], (10_000,), generator=generator)
        self.parts: dict[str, list[float]] = {}

    def __call__(self) -> float:
        times = [time.perf_counter()]

        def done(part: str) -> None:
            times.append(time.perf_counter())
            self.parts.setdefault(part, []).append(times[-1] - times[-2])

        index = torch.randint(len(self.x), (self.batch,))
        x, y = self.x.index_select(0, index), self.y[index]
        done("batch")
        logits = self.net(x)
        done("forward")
        loss = F.cross_entropy(logits, y)
        value = loss.item()
        done("loss")
        self.optimiser.zero_grad()
        loss.backward()
        done("backward")
        self.optimiser.step()
        done("optimiser")
        return value


def products(support: Support) -> dict[str, dict[str, Callable[[], object]]]:
    """The three products of a layer at batch 128, {product: {contender: call}}.

    Contenders: ``modular`` (ours), ``torch_sparse`` (CSR and sampled_addmm), ``dense``.
    """
    generator = torch.Generator().manual_seed(0)
    values, x, grad_y = (
        torch.randn(*shape, generator=generator, dtype=torch.float32)
        for shape in ((support.nnz,), (support.n_in, BATCH), (support.n_out, BATCH))
    )
    sparse, turned = csr(support, values), csr(support, values, True)
    pattern, weights = csr(support, torch.zeros_like(values)), sparse.to_dense()
    transposed = weights.t().contiguous()
    return {
        "spmm": {
            "modular": lambda: kernels.spmm(support, values, x),
            "torch_sparse": lambda: sparse @ x,
            "dense": lambda: weights @ x,
        },
        "spmm_transposed": {
            "modular": lambda: kernels.spmm_transposed(support, values, grad_y),
            "torch_sparse": lambda: turned @ grad_y,
            "dense": lambda: transposed @ grad_y,
        },
        "sddmm": {
            "modular": lambda: kernels.sddmm(support, x, grad_y),
            "torch_sparse": lambda: torch.sparse.sampled_addmm(pattern, grad_y, x.t()),
            "dense": lambda: grad_y @ x.t(),
        },
    }


def _support(n_in: int, n_out: int, density: float) -> Support:
    generator = torch.Generator().manual_seed(0)
    return evolution.random_support(n_in, n_out, density, generator=generator)


def _floor_calls(widths: Sequence[int]) -> dict[str, Callable[[], object]]:
    """The products of every layer of the network, by ours and by torch.sparse."""
    calls = {}
    for i, (n_in, n_out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        density = evolution.erdos_renyi_density(n_in, n_out, 20) if n_out > 10 else 1.0
        for product, rivals in products(_support(n_in, n_out, density)).items():
            if i > 0 or product != "spmm_transposed":  # no gradient at the pixels
                rivals = {name: rivals[name] for name in ("modular", "torch_sparse")}
                calls |= {f"{i} {product} {name}": call for name, call in rivals.items()}
    return calls


# ------------------------------------------------------------------------------ measuring


def compare(
    calls: dict[str, Callable[[], object]], rounds: int = ROUNDS, turn: float = TURN
) -> dict[str, np.ndarray]:
    """Seconds of each call, (rounds,): the calls take turns, each repeated for ``turn`` seconds.

    A turn begins with a rest, in which threads that another contender left spinning go to sleep,
    and with calls that are not timed, so that it finds its own data in the caches.
    """
    repeats = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(turn / max(time.perf_counter() - start, 1e-7)))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(3 * turn)
            for _ in range(1 + repeats[name] // 5):
                call()
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            seconds[name].append((time.perf_counter() - start) / repeats[name])
    return {name: np.array(times) for name, times in seconds.items()}


def epochs(
    names: Sequence[str], widths: Sequence[int], examples: int, rounds: int
) -> dict[str, np.ndarray]:
    """Seconds of a whole epoch, in turn: steps, evaluation of 10,000 test images, evolution.

    On random images; of two sparse epochs the first is timed, as the last does not evolve.
    """
    generator = torch.Generator().manual_seed(0)
    parts = []
    for n in (examples, min(examples, 10_000)):
        parts.append(torch.rand(n, widths[0], generator=generator))
        parts.append(torch.randint(widths[-1], (n,), generator=generator))
    split = data.Split(*parts, None, None, *["random"] * 4)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            rule = evolution.Evolution() if name == "fused" else None
            settings = train.Settings(2 if rule else 1, learning_rate=0.01, evolution=rule)
            net = network(name, widths, **ER_20)
            seconds[name].append(train.fit(net, split, settings, seed=0).clock[0])
    return {name: np.array(times) for name, times in seconds.items()}


def peak_memory(
    contender: str, widths: Sequence[int] = WIDTHS, batch: int = BATCH, **law: float
) -> float:
    """MiB by which building the network and training three steps raise a new process's peak."""
    program = "import sys, json; from lib import bench; bench.print_peak(*json.loads(sys.argv[1]))"
    arguments = json.dumps([contender, list(widths), batch, law])
    command = [sys.executable, "-c", program, arguments]
    return float(
        subprocess.run(command, cwd=records.ROOT, stdout=subprocess.PIPE, check=True).stdout
    )


def print_peak(contender: str, widths: Sequence[int], batch: int, law: dict[str, float]) -> None:
    """What the process of :func:`peak_memory` does."""
    Trainer("fused", (8, 8, 8, 2), 4, er_epsilon=1.0)()  # loads the kernels
    before = _peak()
    step = Trainer(contender, widths, batch, **law)
    for _ in range(3):
        step()
    print(_peak() - before)


def _peak() -> float:
    """MiB; not by getrusage, which reports the peak of the parent process too."""
    return int(STATUS.read_text().partition("VmHWM:")[2].split()[0]) / 1024


# ------------------------------------------------------------------- the tables and their files

STORED = records.RESULTS / "bench.json"
SWEEPS = records.RESULTS / "sweeps.json"
COLUMNS = "measure contender median_ms low_ms high_ms threads cpu".split()
MEASURED = ("fused", "dense")  # whose epochs and memory are measured


def measure(rounds: int = ROUNDS) -> pd.DataFrame:
    """The benchmark of the command line, 784-1000-1000-1000-10 with er_epsilon 20, batch 128.

    Returns: columns measure, contender, median_ms, low_ms, high_ms (quartiles), threads, cpu;
        measures training_step (:func:`measure_steps`), epoch (60,000 random images), predict_1,
        predict_1024, and the products of a layer 1000 x 1000 of density .04.
    """
    tables = [measure_steps(rounds)]
    networks = {name: network(name, **ER_20) for name in contenders()}
    for n in (1, 1024):
        x = torch.rand(n, WIDTHS[0])
        calls = {name: partial(train.predict, net, x, n) for name, net in networks.items()}
        tables.append(_rows(f"predict_{n}", compare(calls, rounds)))
    for product, calls in products(_support(1000, 1000, 0.04)).items():
        tables.append(_rows(product, compare(calls, rounds)))
    tables.append(_rows("epoch", epochs(MEASURED, WIDTHS, 60_000, min(rounds, 5))))
    return pd.concat(tables, ignore_index=True)


def measure_steps(
    rounds: int = ROUNDS, turn: float = TURN, widths: Sequence[int] = WIDTHS
) -> pd.DataFrame:
    """One training step of every contender, and the ``floor``: the products of all layers alone,
    each by ours or by torch.sparse, whichever is faster.
    """
    steps = {name: Trainer(name, widths, **ER_20) for name in contenders()}
    floor = _floor_calls(widths)
    seconds = compare(steps | floor, rounds, turn)
    rivals: dict[str, list[np.ndarray]] = {}
    for name in floor:
        rivals.setdefault(name.rpartition(" ")[0], []).append(seconds.pop(name))
    seconds["floor"] = sum(min(pair, key=np.median) for pair in rivals.values())
    return _rows("training_step", seconds)


SIZES: dict[str, dict[str, Any]] = {
    "smoke": {
        "rounds": 2, "turn": 0.005, "middle": 128, "widths": (64, 128), "wide": (),
        "densities": (0.05,), "batches": (8, 128),
    },
    "quick": {
        "rounds": 2, "turn": TURN, "middle": 1000, "widths": (500, 1000, 2000), "wide": (16_384,),
        "densities": (0.01, 0.04, 0.2), "batches": (32, 128, 512),
    },
    "paper": {
        "rounds": 3, "turn": TURN, "middle": 1000, "widths": (250, 500, 1000, 2000, 4000),
        "wide": (8192, 16_384, 32_768, 65_536), "batches": (1, 8, 32, 128, 512, 2048),
        "densities": (0.005, 0.01, 0.02, 0.04, 0.1, 0.2, 0.5),
    },
}  # fmt: skip
RIVALS = ("fused", "torch_sparse", "dense")


def obtain(kind: str, profile: str, retrain: bool = False) -> pd.DataFrame:
    """A table of the benchmark, as notebooks want it.

    Args:
        kind: "contenders", see :func:`measure` (of which other profiles than "paper" measure
            :func:`measure_steps` alone), "products", see :func:`sweep_products`, or "steps", see
            :func:`sweep_steps`.
        profile: "paper" loads what ``python -m lib bench`` stored (an empty table if that was not
            run); another measures in its sizes now.
        retrain: measure now in the profile "paper" too.
    Raises: ValueError for an unknown profile.
    """
    check_known("profile", profile, list(SIZES))
    if profile != "paper" or retrain:
        if kind != "contenders":
            return {"products": sweep_products, "steps": sweep_steps}[kind](profile)
        sizes, hidden = SIZES[profile], [SIZES[profile]["middle"]] * 3
        return measure_steps(sizes["rounds"], sizes["turn"], (WIDTHS[0], *hidden, WIDTHS[-1]))
    path = STORED if kind == "contenders" else SWEEPS
    columns = [*COLUMNS, "kind", "sweep", "n", "density", "batch", "links"]
    table = pd.read_json(path) if path.exists() else pd.DataFrame(columns=columns)
    return table if kind == "contenders" else table[table["kind"] == kind]


def sweep_products(profile: str) -> pd.DataFrame:
    """The three products of a layer n x n against width and density, in the sizes of a profile.

    Returns: the columns of :func:`measure`, and kind, sweep ("width" or "density"), n, density.
    """
    sizes, middle = SIZES[profile], SIZES[profile]["middle"]
    points = [("width", n, 0.04) for n in sizes["widths"]]
    tables = []
    for sweep, n, density in points + [("density", middle, d) for d in sizes["densities"]]:
        for product, calls in products(_support(n, n, density)).items():
            table = _rows(product, compare(calls, sizes["rounds"], sizes["turn"]))
            tables.append(table.assign(kind="products", sweep=sweep, n=n, density=density))
    return pd.concat(tables, ignore_index=True)


def sweep_steps(profile: str) -> pd.DataFrame:
    """Training step and memory against width, density and batch, in the sizes of a profile.

    Returns: the columns of :func:`measure`, and kind, sweep, n, density, batch, links. Sweeps:
        "width" (three hidden layers of n, er_epsilon 10: 20 links a neuron), "density" and "batch"
        (er_epsilon 20) of the middle width, "parts" (``measure`` is a part of the step), and in the
        profile "paper" "cifar10_mlp" (3072-4000-1000-4000-10: epochs of 50,000 random images and
        memory, a row for each of five rounds). Rows of measure peak_memory hold MiB.
    """
    sizes, middle = SIZES[profile], SIZES[profile]["middle"]
    points = [("width", n, BATCH, {"er_epsilon": 10.0}) for n in sizes["widths"] + sizes["wide"]]
    points += [("density", middle, BATCH, {"density": d}) for d in sizes["densities"]]
    points += [("batch", middle, batch, ER_20) for batch in sizes["batches"]]
    tables = []
    for sweep, n, batch, law in points:
        names = RIVALS[:1] if n in sizes["wide"] else RIVALS
        widths = (WIDTHS[0], n, n, n, WIDTHS[-1])
        steps = {name: Trainer(name, widths, batch, **law) for name in names}
        links = {name: models.count_links(step.net) for name, step in steps.items()}
        found = [_rows("training_step", compare(steps, sizes["rounds"], sizes["turn"]))]
        if sweep == "width" and (n == middle or profile != "smoke") and STATUS.exists():
            found.append(_memory([name for name in names if name in MEASURED], widths, law))
        for table in found:
            facts = {"sweep": sweep, "n": n, "batch": batch, "density": law.get("density")}
            tables.append(table.assign(**facts, links=table["contender"].map(links)))
        if (sweep, batch) == ("batch", BATCH):
            for part in steps["fused"].parts:
                times = {name: np.array(step.parts[part]) for name, step in steps.items()}
                tables.append(_rows(part, times).assign(sweep="parts", n=n, batch=batch))
    for _ in range(5 if profile == "paper" else 0):
        for table in (
            _rows("epoch", epochs(MEASURED, CIFAR_WIDTHS, 50_000, 1)),
            _memory(MEASURED, CIFAR_WIDTHS, ER_20),
        ):
            tables.append(table.assign(sweep="cifar10_mlp", batch=BATCH))
    return pd.concat(tables, ignore_index=True).assign(kind="steps")


def _memory(names: Sequence[str], widths: Sequence[int], law: dict[str, float]) -> pd.DataFrame:
    peaks = {name: np.array([peak_memory(name, widths, **law)]) for name in names}
    return _rows("peak_memory", peaks, 1)


def _rows(measure: str, samples: dict[str, np.ndarray], scale: float = 1e3) -> pd.DataFrame:
    """Median and quartiles of each contender's samples, in milliseconds unless scaled otherwise."""
    quantiles = {"median": 0.5, "low": 0.25, "high": 0.75}
    rows = [
        {"measure": measure, "contender": name}
        | {f"{k}_ms": scale * np.quantile(v, q) for k, q in quantiles.items()}
        for name, v in samples.items()
    ]
    facts = {"threads": torch.get_num_threads(), "cpu": records.environment()["cpu"]}
    return pd.DataFrame(rows).assign(**facts)
