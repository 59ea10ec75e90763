"""Kernels and training step against dense, masked and torch.sparse, all in one run.

Every contender is warmed up; then the contenders take turns, so that a busy moment of the machine
meets all of them; the median and the range of the middle half are reported.
"""

import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib import evolution, experiments, kernels, models, records

BATCH = 128
WIDTHS = (784, 1000, 1000, 1000, 10)
ROUNDS = 15
TURN = 0.1  # seconds


class MaskedLinear(nn.Linear):
    """Dense layer times a mask, the usual emulation of a sparse layer; its weights stay dense."""

    def __init__(self, support: kernels.Support) -> None:
        super().__init__(support.n_in, support.n_out)
        mask = torch.zeros(support.n_out * support.n_in)
        self.register_buffer("mask", mask.index_fill(0, support.keys, 1).view_as(self.weight))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class PlainSReLU(nn.Module):
    """SReLU in torch's own operations, as one writes it without a kernel."""

    def __init__(self, n: int) -> None:
        super().__init__()
        starts = (0.0, 0.2, 0.4, 0.2)  # t_left, a_left, width, a_right
        self.parts = nn.ParameterList(torch.full((n,), start) for start in starts)

    def forward(self, x: Tensor) -> Tensor:
        t_left, a_left, width, a_right = self.parts
        t_right = t_left + width.abs()
        y = torch.where(x <= t_left, t_left + a_left * (x - t_left), x)
        return torch.where(x >= t_right, t_right + a_right * (x - t_right), y)


def _plain(layer: Callable[[int, int], nn.Module], dropout: float) -> nn.Sequential:
    net = nn.Sequential()
    for i, (n_in, n_out) in enumerate(zip(WIDTHS[:-1], WIDTHS[1:], strict=True)):
        net.append(layer(n_in, n_out) if i < len(WIDTHS) - 2 else nn.Linear(n_in, n_out))
        if i < len(WIDTHS) - 2:
            net.extend([PlainSReLU(n_out), nn.Dropout(dropout)])
    return net


def _masked(n_in: int, n_out: int) -> MaskedLinear:
    p = evolution.erdos_renyi_density(n_in, n_out, 20)
    generator = torch.Generator().manual_seed(0)
    return MaskedLinear(evolution.random_support(n_in, n_out, p, generator=generator))


def training_steps(dropout: float = 0.3) -> dict[str, Callable[[], float]]:
    """One training step of 784-1000-1000-1000-10 with SReLU, dropout, SGD with momentum.

    Returns: by contender a call that returns the loss: ``dense_modules`` (plain torch modules and
        SGD), ``dense`` (our SReLU and dropout, fused SGD), ``masked`` (dense times a mask) and
        ``modular`` (ours, sparse at er_epsilon 20).
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, WIDTHS[0], generator=generator, dtype=torch.float32)
    y = torch.randint(WIDTHS[-1], (BATCH,), generator=generator)
    networks = {
        "modular": models.mlp(WIDTHS, er_epsilon=20, dropout=dropout),
        "dense": models.mlp(WIDTHS, dropout=dropout),
        "dense_modules": _plain(nn.Linear, dropout),
        "masked": _plain(_masked, dropout),
    }

    def make_step(net: nn.Module, fused: bool) -> Callable[[], float]:
        optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, fused=fused)

        def step() -> float:
            loss = F.cross_entropy(net(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            return loss.item()

        return step

    return {name: make_step(net, name in ("modular", "dense")) for name, net in networks.items()}


def products(n: int, density: float) -> dict[str, dict[str, Callable[[], object]]]:
    """The three products of an n x n layer at a density, {product: {contender: call}}.

    Contenders: ``modular`` (ours), ``torch_sparse`` (CSR and sampled_addmm), ``dense``.
    """
    generator = torch.Generator().manual_seed(0)
    support = evolution.random_support(n, n, density, generator=generator)
    values = torch.randn(support.nnz, generator=generator, dtype=torch.float32)
    x = torch.randn(n, BATCH, generator=generator, dtype=torch.float32)
    grad_y = torch.randn(n, BATCH, generator=generator, dtype=torch.float32)
    weights = torch.zeros(n * n, dtype=torch.float32).index_put((support.keys,), values).view(n, n)
    transposed = weights.t().contiguous()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces that its CSR is in beta
        csr, csr_t = weights.to_sparse_csr(), transposed.to_sparse_csr()
    pattern = (csr * 0).to_sparse_csr()
    return {
        "spmm": {
            "modular": lambda: kernels.spmm(support, values, x),
            "torch_sparse": lambda: csr @ x,
            "dense": lambda: weights @ x,
        },
        "spmm_transposed": {
            "modular": lambda: kernels.spmm_transposed(support, values, grad_y),
            "torch_sparse": lambda: csr_t @ grad_y,
            "dense": lambda: transposed @ grad_y,
        },
        "sddmm": {
            "modular": lambda: kernels.sddmm(support, x, grad_y),
            "torch_sparse": lambda: torch.sparse.sampled_addmm(pattern, grad_y, x.t()),
            "dense": lambda: grad_y @ x.t(),
        },
    }


def compare(
    calls: dict[str, Callable[[], object]], rounds: int = ROUNDS, turn: float = TURN
) -> dict[str, np.ndarray]:
    """Seconds of each call, (rounds,): the calls take turns, each repeated for ``turn`` seconds.

    A turn begins with calls that are not timed, so that it finds its own data in the caches.
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
            for _ in range(1 + repeats[name] // 5):
                call()
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            seconds[name].append((time.perf_counter() - start) / repeats[name])
    return {name: np.array(times) for name, times in seconds.items()}


COLUMNS = "measure contender n density median_ms low_ms high_ms threads cpu".split()
STORED = records.RESULTS / "bench.json"
SIZES: dict[str, dict[str, Sequence[float]]] = {  # widths at 4 %, and densities at width 1000
    "smoke": {"widths": (64, 128), "densities": (0.05,)},
    "quick": {"widths": (500, 1000, 2000), "densities": (0.01, 0.04, 0.2)},
    "paper": {"widths": (500, 1000, 2000, 4000), "densities": (0.005, 0.01, 0.02, 0.1, 0.2, 0.5)},
}


def measure(rounds: int = ROUNDS) -> pd.DataFrame:
    """The benchmark of the command line: the training step, and the products against size.

    Returns: columns measure, contender, n, density, median_ms, low_ms, high_ms (quartiles),
        threads, cpu; ``n`` and ``density`` are those of the layer, missing for the step.
    """
    step = _rows(compare(training_steps(), rounds)).assign(measure="training_step")
    table = pd.concat([step, sweep_products(**SIZES["paper"], rounds=rounds)], ignore_index=True)
    return table[COLUMNS]


def obtain(profile: str, retrain: bool = False) -> pd.DataFrame:
    """The products against width and density, as notebooks want them.

    In the profile "paper" as stored by ``python -m lib bench --json data/results/bench.json`` (an
    empty table if that was not run); in another profile, or with ``retrain``, measured now.

    Raises: ValueError for an unknown profile.
    """
    if profile not in SIZES:
        raise ValueError(experiments.unknown("profile", profile, list(SIZES)))
    if profile == "paper" and not retrain:
        return pd.read_json(STORED) if STORED.exists() else pd.DataFrame(columns=COLUMNS)
    return sweep_products(**SIZES[profile], rounds=2 if profile == "smoke" else ROUNDS)


def sweep_products(
    widths: Sequence[int], densities: Sequence[float], rounds: int = ROUNDS
) -> pd.DataFrame:
    """The products against width at 4 % and against density at the second width.

    Returns: the columns of :func:`measure`.
    """
    points = [(n, 0.04) for n in widths] + [(widths[1], density) for density in densities]
    points = dict.fromkeys(points)
    tables = [
        _rows(compare(calls, rounds)).assign(measure=name, n=n, density=density)
        for n, density in points
        for name, calls in products(n, density).items()
    ]
    return pd.concat(tables, ignore_index=True)


def _rows(seconds: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = [
        {
            "contender": name,
            "median_ms": 1e3 * np.median(times),
            "low_ms": 1e3 * np.quantile(times, 0.25),
            "high_ms": 1e3 * np.quantile(times, 0.75),
        }
        for name, times in seconds.items()
    ]
    environment = records.environment()
    return pd.DataFrame(rows).assign(threads=torch.get_num_threads(), cpu=environment["cpu"])
