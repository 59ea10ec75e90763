"""The tables of the benchmark, and the files that hold them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch

from lib import models, train
from lib.bench import contenders, machines, memory, timing
from lib.bench.contenders import BATCH, ER_20, WIDTHS
from lib.bench.timing import ROUNDS, TURN
from lib.names import check_known
from lib.paths import RESULTS
from lib.runs.environment import environment

STORED = RESULTS / "bench.json"
SWEEPS = RESULTS / "sweeps.json"
TIMES = ["median_ms", "low_ms", "high_ms"]
RATIOS = ["ratio", "ratio_low", "ratio_high"]
COLUMNS = ["measure", "contender", *TIMES, *RATIOS, "threads", "cpu"]
REFERENCES = ("fused", "modular", "relu")  # ratios are over the first of them that was measured
KINDS = ("contenders", "units", "products", "steps", "machines")
VARIED = ("width", "density", "batch")
MEASURED = ("fused", "dense")  # whose epochs and memory are measured
RIVALS = ("fused", "torch_sparse", "dense")
QUARTILES = (0.25, 0.5, 0.75)
CIFAR_WIDTHS = (3072, 4000, 1000, 4000, 10)  # [Mocanu2018], Table 3


@dataclass(frozen=True)
class Sizes:
    """How much a profile measures.

    Args:
        rounds, turn: see :func:`lib.bench.compare`.
        middle: width of a layer where another quantity varies.
        widths: of the layers, for all rivals.
        wide: widths that ours alone is measured at.
        densities, batches: at the middle width.
        cifar_rounds: of the network of [Mocanu2018] for CIFAR-10.
    """

    rounds: int
    turn: float
    middle: int
    widths: tuple[int, ...]
    wide: tuple[int, ...]
    densities: tuple[float, ...]
    batches: tuple[int, ...]
    cifar_rounds: int = 0


@dataclass(frozen=True)
class Point:
    """A training step to be measured: three hidden layers of n neurons.

    Args:
        sweep: what varies: "width", "density" or "batch".
        n: width.
        links: ``density`` or ``er_epsilon`` of the sparse contenders.
        batch: examples a step.
        peaks: whether the memory is measured too.
    """

    sweep: str
    n: int
    links: dict[str, float]
    batch: int = BATCH
    peaks: bool = False


SIZES = {
    "smoke": Sizes(
        rounds=2,
        turn=0.005,
        middle=128,
        widths=(64, 128),
        wide=(),
        densities=(0.05,),
        batches=(8, 128),
    ),
    "quick": Sizes(
        rounds=2,
        turn=TURN,
        middle=1000,
        widths=(500, 1000, 2000),
        wide=(16_384,),
        densities=(0.01, 0.04, 0.2),
        batches=(32, 128, 512),
    ),
    "paper": Sizes(
        rounds=5,
        turn=TURN,
        middle=1000,
        widths=(250, 500, 1000, 2000, 4000),
        wide=(8192, 16_384, 32_768, 65_536),
        densities=(0.005, 0.01, 0.02, 0.04, 0.1, 0.2, 0.5),
        batches=(1, 8, 32, 128, 512, 2048),
        cifar_rounds=5,
    ),
}

# ----------------------------------------------------------------------------- the benchmark


def measure(rounds: int = ROUNDS) -> pd.DataFrame:
    """The benchmark of the command line, 784-1000-1000-1000-10 with er_epsilon 20, batch 128.

    Returns: columns measure, contender, median_ms, low_ms, high_ms (quartiles), ratio, ratio_low,
        ratio_high (median and quartiles over rounds of the time over ours, of units over ReLU's,
        in the same round), threads, cpu; measures training_step (:func:`measure_steps`), epoch
        (60,000 random images), predict_1, predict_1024, the products of a layer 1000 x 1000 of
        density .04, the units of :func:`measure_units`, and the memory of the machine
        (:func:`measure_machine`).
    """
    tables = [measure_machine(rounds), measure_steps(rounds)]
    tables += _measure_predictions(rounds)
    support = contenders.layer_support(1000, 1000, 0.04)
    for product, calls in contenders.products(support).items():
        seconds = timing.compare(calls, rounds)
        tables.append(quartiles(product, seconds))
    seconds = timing.epochs(MEASURED, WIDTHS, 60_000, min(rounds, 5))
    tables.append(quartiles("epoch", seconds))
    tables.append(measure_units(rounds))
    return pd.concat(tables, ignore_index=True)


def measure_units(
    rounds: int = ROUNDS,
    turn: float = TURN,
    shapes: Sequence[tuple[int, ...]] = contenders.UNIT_SHAPES,
) -> pd.DataFrame:
    """Forward and backward pass of SPLASH and of ReLU, in turn, on inputs of some shapes, and the
    MiB that are kept between them.

    Returns: the columns of :func:`measure`; contenders "relu" and "splash", measures
        "unit, ms (shape)" and "unit memory, MiB (shape)".
    """
    tables = []
    for shape in shapes:
        passes = {name: contenders.UnitPass(name, shape) for name in ("relu", "splash")}
        name = " x ".join(map(str, shape))
        seconds = timing.compare(passes, rounds, turn)
        tables.append(quartiles(f"unit, ms ({name})", seconds))
        kept = {unit: np.array([one.kept_mib()]) for unit, one in passes.items()}
        tables.append(quartiles(f"unit memory, MiB ({name})", kept, scale=1))
    return pd.concat(tables, ignore_index=True)


def measure_machine(rounds: int = ROUNDS) -> pd.DataFrame:
    """Latency and bandwidth of the machine's memory (:mod:`lib.bench.memory`), in the columns of
    :func:`measure`; contender "machine", measures "latency, ns" and "bandwidth, GB/s".
    """
    latency = quartiles("latency, ns", {"machine": memory.latency(rounds)}, scale=1)
    bandwidth = quartiles("bandwidth, GB/s", {"machine": memory.bandwidth(rounds)}, scale=1)
    return pd.concat([latency, bandwidth], ignore_index=True)


def _measure_predictions(rounds: int) -> list[pd.DataFrame]:
    networks = {}
    for name in contenders.names():
        networks[name] = contenders.network(name, **ER_20).eval()
    tables = []
    for n in (1, 1024):
        x = torch.rand(n, WIDTHS[0])
        calls = {}
        for name, net in networks.items():
            calls[name] = partial(train.predict, net, x, n)
        seconds = timing.compare(calls, rounds)
        tables.append(quartiles(f"predict_{n}", seconds))
    return tables


def measure_steps(
    rounds: int = ROUNDS,
    turn: float = TURN,
    widths: Sequence[int] = WIDTHS,
) -> pd.DataFrame:
    """One training step of every contender, and the ``floor``: the products of all layers alone,
    each by ours or by torch.sparse, whichever is faster.
    """
    steps = {}
    for name in contenders.names():
        steps[name] = contenders.Trainer(name, widths, **ER_20)
    floor = contenders.floor_calls(widths)
    seconds = timing.compare(steps | floor, rounds, turn)
    rivals: dict[str, list[np.ndarray]] = {}
    for name in floor:
        product, _, _ = name.rpartition(" ")
        rivals.setdefault(product, []).append(seconds.pop(name))
    faster = [min(pair, key=np.median) for pair in rivals.values()]
    seconds["floor"] = sum(faster)
    return quartiles("training_step", seconds)


def obtain(
    kind: str,
    profile: str,
    retrain: bool = False,
    varied: str | None = None,
) -> pd.DataFrame:
    """A table of the benchmark, as notebooks want it.

    Args:
        kind: "contenders", see :func:`measure` (of which other profiles than "paper" measure
            :func:`measure_steps` alone), "units", see :func:`measure_units`, "products", see
            :func:`sweep_products`, "steps", see :func:`sweep_steps`, or "machines", see
            :func:`sweep_machines`.
        profile: "paper" loads what ``python -m lib bench`` stored (an empty table if that was not
            run); another measures in its sizes now.
        retrain: measure now in the profile "paper" too.
        varied: of "steps" alone, see :func:`sweep_steps`.
    Raises: ValueError for an unknown kind, profile or quantity, or a quantity of another kind.
    """
    check_known("table", kind, KINDS)
    check_known("profile", profile, SIZES)
    if varied is not None:
        check_known("quantity", varied, VARIED)
        if kind != "steps":
            raise ValueError(f"varied = {varied!r} with {kind!r}: give it with 'steps' alone")
    if profile == "paper" and not retrain:
        table = _load(kind)
        return table if varied is None else table[table["sweep"] == varied]
    if kind == "products":
        return sweep_products(profile)
    if kind == "steps":
        return sweep_steps(profile, varied)
    if kind == "machines":
        return sweep_machines(profile)
    sizes = SIZES[profile]
    if kind == "units":
        return measure_units(sizes.rounds, sizes.turn)
    return measure_steps(sizes.rounds, sizes.turn, _three_layers(sizes.middle))


def _load(kind: str) -> pd.DataFrame:
    path = STORED if kind in ("contenders", "units") else SWEEPS
    if not path.exists():
        more = ["kind", "sweep", "n", "density", "batch", "links"]
        return pd.DataFrame(columns=[*COLUMNS, *more])
    table = pd.read_json(path)
    if path == SWEEPS:
        return table[table["kind"] == kind]
    of_units = table["measure"].str.startswith("unit")
    return table[of_units if kind == "units" else ~of_units]


def _three_layers(n: int) -> tuple[int, ...]:
    return (WIDTHS[0], n, n, n, WIDTHS[-1])


# -------------------------------------------------------------------------------- the sweeps


def sweep_products(profile: str) -> pd.DataFrame:
    """The three products of a layer n x n against width and density, in the sizes of a profile.

    Returns: the columns of :func:`measure`, and kind, sweep ("width" or "density"), n, density.
    """
    sizes = SIZES[profile]
    points = [("width", n, 0.04) for n in sizes.widths]
    points += [("density", sizes.middle, density) for density in sizes.densities]
    tables = []
    for sweep, n, density in points:
        support = contenders.layer_support(n, n, density)
        for product, calls in contenders.products(support).items():
            seconds = timing.compare(calls, sizes.rounds, sizes.turn)
            table = quartiles(product, seconds)
            table = table.assign(kind="products", sweep=sweep, n=n, density=density)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def sweep_machines(profile: str) -> pd.DataFrame:
    """A CD-1 step of restricted Boltzmann machines, 784 visible units, in the sizes of a profile.

    Returns: the columns of :func:`measure`, and kind, sweep, n (hidden units), batch, density (of
        ours). Measures: cd1_step, cd1_epoch and cd1_step_at_density, see
        :func:`lib.bench.machines.compare_machines`.
    """
    return pd.concat(machines.rows(profile, quartiles), ignore_index=True)


def sweep_steps(profile: str, varied: str | None = None) -> pd.DataFrame:
    """Training step and memory against width, density and batch, in the sizes of a profile.

    Args:
        profile: whose sizes.
        varied: the one quantity wanted, of :data:`VARIED`; None: all, and the network for CIFAR-10.
    Returns: the columns of :func:`measure`, and kind, sweep, n, density, batch, links. Sweeps:
        "width" (three hidden layers of n, er_epsilon 10: 20 links a neuron), "density" and "batch"
        (er_epsilon 20) of the middle width, "parts" (``measure`` is a part of the step; of ours at
        every batch, and with its products alone), and in the profile "paper" "cifar10_mlp"
        (3072-4000-1000-4000-10: epochs of 50,000 random images and memory, a row for each of five
        rounds). Rows of measure peak_memory hold MiB.
    """
    sizes = SIZES[profile]
    tables = []
    for point in _points(profile):
        if varied in (None, point.sweep):
            tables += _measure_point(point, sizes)
    if varied is None:
        for _ in range(sizes.cifar_rounds):
            tables += _measure_cifar()
    return pd.concat(tables, ignore_index=True).assign(kind="steps")


def _points(profile: str) -> list[Point]:
    sizes = SIZES[profile]
    points = []
    for n in sizes.widths + sizes.wide:
        peaks = profile != "smoke" or n == sizes.middle
        points.append(Point("width", n, {"er_epsilon": 10.0}, peaks=peaks))
    for density in sizes.densities:
        points.append(Point("density", sizes.middle, {"density": density}))
    for batch in sizes.batches:
        points.append(Point("batch", sizes.middle, ER_20, batch))
    return points


def _measure_point(point: Point, sizes: Sizes) -> list[pd.DataFrame]:
    """Steps and memory of the rivals; against the batch the parts of steps too."""
    names = RIVALS
    if point.n in sizes.wide:
        names = RIVALS[:1]
    widths = _three_layers(point.n)
    steps, n_links = {}, {}
    for name in names:
        steps[name] = contenders.Trainer(name, widths, point.batch, **point.links)
        n_links[name] = models.count_links(steps[name].net)
    calls = dict(steps)
    if point.sweep == "batch":
        calls["products"] = contenders.our_products(widths, point.batch)
    seconds = timing.compare(calls, sizes.rounds, sizes.turn)
    alone = {"fused": seconds.pop("products", None)}
    table = quartiles("training_step", seconds)
    if point.peaks and timing.STATUS.exists():
        measured = [name for name in names if name in MEASURED]
        table = pd.concat([table, _measure_peaks(measured, widths, point.links)])
    table = table.assign(
        sweep=point.sweep,
        n=point.n,
        batch=point.batch,
        density=point.links.get("density"),
        links=table["contender"].map(n_links),
    )
    if point.sweep != "batch":
        return [table]
    parts = [quartiles("products", alone), *_parts_of_steps(steps, point)]
    facts = {"sweep": "parts", "n": point.n, "batch": point.batch}
    return [table, *(part.assign(**facts) for part in parts)]


def _parts_of_steps(steps: dict[str, contenders.Trainer], point: Point) -> list[pd.DataFrame]:
    """The parts of the steps of ours, at the usual batch those of the rivals too."""
    names = list(steps) if point.batch == BATCH else ["fused"]
    tables = []
    for part in steps["fused"].parts:
        seconds = {name: np.array(steps[name].parts[part]) for name in names}
        tables.append(quartiles(part, seconds, in_rounds=False))
    return tables


def _measure_cifar() -> list[pd.DataFrame]:
    seconds = timing.epochs(MEASURED, CIFAR_WIDTHS, 50_000, 1)
    epoch = quartiles("epoch", seconds)
    peaks = _measure_peaks(MEASURED, CIFAR_WIDTHS, ER_20)
    facts = {"sweep": "cifar10_mlp", "batch": BATCH}
    return [epoch.assign(**facts), peaks.assign(**facts)]


def _measure_peaks(
    names: Sequence[str],
    widths: Sequence[int],
    links: dict[str, float],
) -> pd.DataFrame:
    """Rows that hold MiB, in columns named as those of milliseconds."""
    peaks = {}
    for name in names:
        peak = timing.peak_memory(name, widths, **links)
        peaks[name] = np.array([peak])
    return quartiles("peak_memory", peaks, scale=1)


def quartiles(
    measure: str,
    samples: dict[str, np.ndarray],
    scale: float = 1e3,
    in_rounds: bool = True,
) -> pd.DataFrame:
    """Median and quartiles of each contender's samples, in milliseconds unless scaled otherwise.

    Args:
        measure: what was measured.
        samples: {contender: (n,) seconds}.
        scale: from the samples' unit to that of the table.
        in_rounds: whether samples of the same place were taken in the same round.
    Returns: a row a contender, with the columns of :func:`measure`; ratios are over the first of
        :data:`REFERENCES`, and missing where there were no rounds, or one.
    """
    reference = next((samples[name] for name in REFERENCES if name in samples), np.empty(0))
    rows = []
    for contender, values in samples.items():
        low, median, high = scale * np.quantile(values, QUARTILES)
        ratios = [np.nan] * 3
        if in_rounds and 1 < len(values) == len(reference):
            ratios = np.quantile(values / reference, QUARTILES)
        ratio_low, ratio, ratio_high = ratios
        rows.append((measure, contender, median, low, high, ratio, ratio_low, ratio_high))
    table = pd.DataFrame(rows, columns=COLUMNS[:-2])
    table["threads"] = torch.get_num_threads()
    table["cpu"] = environment()["cpu"]
    return table
