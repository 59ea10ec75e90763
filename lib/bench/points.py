"""The points of the benchmark, their table, and the file that holds it."""

import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from lib import activations, layers, train
from lib._boundary import PROFILES, RESULTS, check_known
from lib.bench import boltzmann, contenders, convolutions, own, roofline, timing
from lib.bench.contenders import BATCH, WIDTHS
from lib.runs.environment import environment
from lib.support import erdos_renyi_density, random_support

STORED = RESULTS / "bench.json"
TIMES = ["median_ms", "low_ms", "high_ms"]
RATIOS = ["ratio", "ratio_low", "ratio_high"]
PLACE = ["density", "batch", "n_in", "n", "links", "sweep"]  # of a point
COLUMNS = ["measure", "contender", *TIMES, *RATIOS, *PLACE, "threads", "rounds", "cpu"]
REFERENCES = ("fused", "modular", "relu")  # ratios are over the first of them that was measured
QUARTILES = (0.25, 0.5, 0.75)
HEADLINES = (0.01, 0.046)  # densities that the pages speak of
CIFAR_WIDTHS = (3072, 4000, 1000, 4000, 10)  # [Mocanu2018], Table 3
MEASURED = ("fused", "dense")  # whose epochs and memory are measured
UNIT_SHAPES = ((1000, 128), (128, 64, 32, 32))  # of a layer's neurons and batch, and of images

Samples = dict[str, dict[str, np.ndarray]]  # {measure: {contender: (rounds,) seconds}}


@dataclass(frozen=True)
class Point:
    """A measurement of contenders side by side, of all unless some are named.

    Args:
        sweep: the part of the table.
        measure: its measurement, which gives samples of one measure or several.
        widths: of the network, or n_in and n_out of a layer.
        density: of the sparse contenders' links.
        er_epsilon: the SET parameter, instead of a density.
        batch: examples.
        names: contenders.
        examples: of an epoch.
        is_main: whether the command measures it without ``--sweeps``.
        on_one: whether it is measured on one thread, too.
        rounds, turn, tries: see :func:`lib.bench.compare`.
    """

    sweep: str
    measure: Callable[["Point"], Samples]
    widths: tuple[int, ...] = WIDTHS
    density: float | None = None
    er_epsilon: float | None = None
    batch: int = BATCH
    names: tuple[str, ...] = ()
    examples: int = 60_000
    is_main: bool = False
    on_one: bool = False
    rounds: int = 5
    turn: float = 0.05
    tries: int = timing.TRIES

    @property
    def pace(self) -> tuple[int, float, int]:
        """How :func:`lib.bench.compare` measures it."""
        return self.rounds, self.turn, self.tries

    @property
    def links(self) -> dict[str, float]:
        """How sparse contenders are told their links."""
        if self.er_epsilon is not None:
            return {"er_epsilon": self.er_epsilon}
        return {} if self.density is None else {"density": self.density}

    @property
    def n_links(self) -> float:
        """Links of a sparse contender, the dense output layer of a network included."""
        if not self.links:
            return math.nan
        sizes = list(itertools.pairwise(self.widths))
        n_links = math.prod(sizes.pop()) if len(sizes) > 1 else 0
        for n_in, n_out in sizes:
            density = self.density or erdos_renyi_density(n_in, n_out, **self.links)
            n_links += round(density * n_in * n_out)
        return n_links


# --------------------------------------------------------------------------------- the points


def points_of(profile: str) -> list[Point]:
    """All that a profile measures: *quick* some of the points in two short rounds, *smoke* some of
    those in networks of 64 neurons a layer.

    Raises: ValueError for an unknown profile.
    """
    check_known("profile", profile, PROFILES)
    if profile == "paper":
        return _paper()
    chosen = []
    for point in _paper():
        if point.sweep in ("epochs", "cifar10_mlp", "peaks", "convolutions"):
            continue  # they take minutes
        if point.sweep == "width":
            is_wanted = max(point.widths) in (500, 1000, 2000, 16_384)
        elif point.batch != BATCH and point.sweep == "steps":
            is_wanted = point.density == HEADLINES[0]
        else:
            densities = (None, *HEADLINES, 0.04, 0.2)
            is_wanted = point.density in densities or point.sweep == "boltzmann"
        point = replace(point, rounds=2, turn=0.03, tries=1, on_one=False)
        if profile == "smoke":
            widths = tuple(min(n, 64) for n in point.widths)
            point = replace(point, turn=0.002, widths=widths)
        if is_wanted and point not in chosen:
            chosen.append(point)
    return chosen


def _paper() -> list[Point]:
    points = [Point("roofline", machine, rounds=11, is_main=True, on_one=True)]
    for density in (0.001, 0.01, 0.046, 0.05, 0.1, 0.2):
        step = Point("steps", training_steps, density=density, on_one=True)
        if density in HEADLINES:
            step = replace(step, is_main=True, rounds=9, turn=0.06)
        points.append(step)
    for batch, density in itertools.product((1, 16, 512), HEADLINES):
        points.append(Point("steps", training_steps, density=density, batch=batch, on_one=True))
    for batch, density in itertools.product((1, 1024), HEADLINES):
        prediction = Point("predictions", predictions, density=density, batch=batch)
        points.append(replace(prediction, is_main=True, on_one=True, rounds=15))
    for n_in, n_out, density in (
        *((512, 256, 0.01), (1000, 1000, 0.01), (1000, 1000, 0.05)),
        *((1000, 1000, 0.1), (4000, 1000, 0.01)),
    ):
        layer = Point("layers", layer_passes, widths=(n_in, n_out), density=density, on_one=True)
        points.append(replace(layer, rounds=7))
    for n in (250, 500, 1000, 2000, 4000):
        points.append(Point("products", products, (n, n), 0.04, is_main=n == 1000, rounds=3))
    for density in (0.005, 0.01, 0.02, 0.1, 0.2, 0.5):
        points.append(Point("products", products, (1000, 1000), density, rounds=3))
    points += [Point("updates", updates, density=density, is_main=True) for density in HEADLINES]
    for density in HEADLINES:
        names = (*MEASURED, "dense_modules")
        epoch = Point("epochs", epochs, density=density, names=names, is_main=True)
        points.append(replace(epoch, rounds=3))
    for n in (250, 500, 1000, 2000, 4000, 8192, 16_384, 32_768, 65_536):
        widths = (WIDTHS[0], n, n, n, WIDTHS[-1])
        names = MEASURED if n <= 4000 else MEASURED[:1]
        wide = Point("width", training_steps, widths=widths, er_epsilon=10.0, names=names)
        points.append(replace(wide, rounds=3))
        if n in (1000, 2000, 4000, 16_384, 65_536):
            points.append(replace(wide, sweep="peaks", measure=peak_memory))
    for _ in range(5):  # a row a round: what claims compare
        mlp = Point("cifar10_mlp", epochs, CIFAR_WIDTHS, er_epsilon=20.0, names=MEASURED)
        mlp = replace(mlp, rounds=1, examples=10_000)
        points += [mlp, replace(mlp, measure=peak_memory)]
    for shape in UNIT_SHAPES:
        points.append(Point("units", unit_passes, widths=shape))
    for name, density in itertools.product((*own.MODELS, own.OURS), HEADLINES):
        step = Point("own", partial(own_steps, name), density=density, on_one=True)
        points.append(replace(step, rounds=7, names=own.WAYS))
    for n in (1000, 8000):
        widths = (WIDTHS[0], n, n, n, WIDTHS[-1])
        points.append(Point("own", own_peaks, widths, density=0.01, names=own.WAYS, rounds=1))
    for density in convolutions.DENSITIES:
        for name, batch in itertools.product(convolutions.LAYERS, (BATCH, 1)):
            layer = Point("convolutions", partial(convolution, name), density=density, batch=batch)
            points.append(replace(layer, on_one=True))
        for name in convolutions.NETWORKS:
            step = Point("convolutions", partial(convolutional_steps, name), density=density)
            points.append(replace(step, on_one=True, turn=0.2))
    for n_hidden in (500, 2500):
        sizes = (boltzmann.N_VISIBLE, n_hidden)
        density = erdos_renyi_density(*sizes, boltzmann.ER_EPSILON)
        points.append(Point("boltzmann", cd1_steps, sizes, density, batch=boltzmann.BATCH))
    sizes = (boltzmann.N_VISIBLE, 500)
    for density in (0.01, 0.04, 0.16, 0.32):
        step = Point("boltzmann", cd1_steps, sizes, density, batch=boltzmann.BATCH)
        points.append(replace(step, names=MEASURED))
    return points


# -------------------------------------------------------------------------------- measurements


def machine(point: Point) -> Samples:
    """Peaks of the machine, each in its own unit."""
    measured = roofline.peaks(point.rounds) | roofline.memory(point.rounds)
    return {measure: {"machine": values} for measure, values in measured.items()}


def training_steps(point: Point) -> Samples:
    """Points of training steps of networks."""
    trainer = partial(contenders.Trainer, widths=point.widths, batch=point.batch, **point.links)
    steps = {name: trainer(name) for name in point.names or contenders.names()}
    return {"training_step": timing.compare(steps, *point.pace)}


def own_steps(name: str, point: Point) -> Samples:
    """Points of training steps of a model of torch's own modules, see :mod:`lib.bench.own`."""
    steps = {}
    for way in point.names:
        if name == own.OURS:
            steps[way] = contenders.Trainer(way, point.widths, point.batch, **point.links)
        else:
            steps[way] = own.OwnStep(name, way, point.widths, point.density, point.batch)
    return {f"own_step: {name}": timing.compare(steps, *point.pace)}


def own_peaks(point: Point) -> Samples:
    """MiB that such models take; nothing but on Linux."""
    if not timing.STATUS.exists():
        return {}
    peak = partial(own.peak_memory, widths=point.widths, density=point.density)
    return {OWN_PEAK: {way: np.array([peak(way)]) for way in point.names}}


def convolution(name: str, point: Point) -> Samples:
    """Forward and backward passes of a convolution, or, of one image, its output."""
    if point.batch == 1:
        calls = convolutions.predictions(name, point.density)
        return {f"{convolutions.IMAGE}{name}": timing.compare(calls, *point.pace)}
    calls = convolutions.passes(name, point.density, point.batch)
    return {f"{convolutions.PASS}{name}": timing.compare(calls, *point.pace)}


def convolutional_steps(name: str, point: Point) -> Samples:
    """Points of training steps of convolutional networks."""
    ways = (way for way in convolutions.WAYS if way != "sparseprop")
    steps = {way: convolutions.NetworkStep(name, way, point.density, point.batch) for way in ways}
    return {f"{convolutions.STEP}{name}": timing.compare(steps, *point.pace)}


def predictions(point: Point) -> Samples:
    """Points of predictions of networks, for a batch; "modular" predicts as "fused" does."""
    x = torch.rand(point.batch, point.widths[0])
    calls = {}
    for name in point.names or contenders.names():
        if name != "modular":
            net = contenders.network(name, point.widths, **point.links).eval()
            calls[name] = partial(train.predict, net, x, point.batch)
    return {f"predict_{point.batch}": timing.compare(calls, *point.pace)}


def layer_passes(point: Point) -> Samples:
    """Forward and backward passes of a layer."""
    n_in, n_out = point.widths
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(point.batch, n_in, generator=generator)
    calls = {}
    for name, layer in {"fused": layers.SparseLinear, **contenders.LAYERS}.items():
        if name == "fused" or name in contenders.names():
            module = layer(n_in, n_out, **point.links)
            calls[name] = contenders.Pass(module, x, generator=generator)
    return {"layer": timing.compare(calls, *point.pace)}


def products(point: Point) -> Samples:
    """The three products of a layer."""
    generator = torch.Generator().manual_seed(0)
    support = random_support(*point.widths, point.density, generator=generator)
    calls = contenders.products(support, point.batch)
    return {product: timing.compare(of, *point.pace) for product, of in calls.items()}


def updates(point: Point) -> Samples:
    """Points of updates of the links of our network: SET after an epoch."""
    trainer = contenders.Trainer("fused", point.widths, point.batch, **point.links)
    trainer()  # the optimiser has its momentum
    generator = torch.Generator().manual_seed(0)
    calls = {"fused": lambda: trainer.move_links(generator)}
    return {"update_links": timing.compare(calls, *point.pace)}


def epochs(point: Point) -> Samples:
    """Whole epochs, see :func:`lib.bench.timing.epochs`."""
    sizes = point.widths, point.examples, point.rounds
    return {"epoch": timing.epochs(point.names, *sizes, **point.links)}


def peak_memory(point: Point) -> Samples:
    """MiB, not seconds; nothing but on Linux."""
    if not timing.STATUS.exists():
        return {}
    peak = partial(timing.peak_memory, widths=point.widths, batch=point.batch, **point.links)
    return {"peak_memory": {name: np.array([peak(name)]) for name in point.names}}


def unit_passes(point: Point) -> Samples:
    """Forward and backward passes of activations, and the MiB that they keep in between."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(point.widths, generator=generator)
    units = {name: activations.make(name, point.widths[1]) for name in ("relu", "splash")}
    passes = {name: contenders.Pass(unit, x, generator=generator) for name, unit in units.items()}
    kept = {}
    for name, one in passes.items():
        kept[name] = np.array([contenders.kept_mib(one.module, one.x)])
    shape = " x ".join(map(str, point.widths))
    seconds = timing.compare(passes, *point.pace)
    return {f"unit, ms ({shape})": seconds, f"unit memory, MiB ({shape})": kept}


def cd1_steps(point: Point) -> Samples:
    """Points of training steps of Boltzmann machines."""
    n_visible, n_hidden = point.widths
    sizes = n_hidden, point.density, n_visible
    calls = {name: boltzmann.Machine(name, *sizes) for name in point.names or boltzmann.STEPS}
    return {"cd1_step": timing.compare(calls, *point.pace)}


FLOORED = ("steps", "predictions", "layers")  # sweeps whose floors the pages show
OWN_PEAK = "own_peak_memory"
UNSCALED = ("peak_memory", OWN_PEAK, "unit memory", "multiply-adds", "L2", "bandwidth", "latency")


def measure_points(chosen: Sequence[Point], threads: Sequence[int] | None = None) -> pd.DataFrame:
    """The table of some points, on torch's threads unless others are given, with progress.

    Args:
        chosen: the points.
        threads: numbers of threads; on smaller ones than the first those points that want it.
    Returns: columns :data:`COLUMNS`: measure, contender, median and quartiles in milliseconds
        (``peak_memory`` in MiB; the roofline's measures name their unit), median and quartiles of
        the time over ours in the same round (units: over ReLU's), density of the links that were
        asked for, batch, n_in, n (neurons of the last hidden layer, outputs of a layer), links (of
        the sparse contenders), sweep, threads, rounds, cpu. Contender ``floor`` is the roofline:
        what the multiply-adds of the links take, or their reading from L2 if that takes longer.
    """
    usual = torch.get_num_threads()
    threads = threads or [usual]
    tables = []
    bar = tqdm(total=len(threads) * len(chosen), desc="bench", disable=None, file=sys.stderr)
    try:
        for number in threads:
            contenders.set_threads(number)
            peaks = roofline.peaks(11)
            for point in chosen:
                bar.set_postfix_str(f"{point.sweep}, {number} threads")
                if number == threads[0] or point.on_one:
                    tables += _tables(point, peaks)
                bar.update()
    finally:
        contenders.set_threads(usual)
        bar.close()
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _tables(point: Point, peaks: dict[str, np.ndarray]) -> Iterator[pd.DataFrame]:
    for measure, of_measure in point.measure(point).items():
        if point.sweep in FLOORED:
            bound = floor_seconds(point, peaks)
            of_measure["floor"] = np.full(len(next(iter(of_measure.values()))), bound)
        yield quartiles(measure, of_measure).assign(
            density=point.density,
            batch=point.batch,
            n_in=point.widths[0],
            n=point.widths[-2] if len(point.widths) > 2 else point.widths[-1],
            links=point.n_links,
            sweep=point.sweep,
        )


def floor_seconds(point: Point, peaks: dict[str, np.ndarray]) -> float:
    """Seconds that the machine takes at least for the multiply-adds, or to read from L2, if that
    takes longer, for a point of one of the sweeps :data:`FLOORED`.

    Of a training step and a layer's passes, three multiply-adds a link and example (in the first
    layer of a network two, as there is no gradient at the pixels); of each link the row of its
    input or gradient is read in each direction, and its weight and place. Of a prediction one
    multiply-add, in one direction.
    """
    if point.sweep == "predictions":
        products, directions = point.n_links, 1
    else:
        products, directions = 3 * point.n_links, 2
        if point.sweep == "steps":
            products -= replace(point, widths=point.widths[:2]).n_links
    numbers = directions * point.n_links * (point.batch + 2)  # of 4 bytes
    by_arithmetic = 2e-9 * products * point.batch / peaks["multiply-adds, Gflop/s"].max()
    by_reading = 4e-9 * numbers / peaks["L2, GB/s"].max()
    return max(by_arithmetic, by_reading)


def quartiles(measure: str, samples: dict[str, np.ndarray]) -> pd.DataFrame:
    """Median and quartiles of each contender's samples, in milliseconds unless :data:`UNSCALED`.

    Args:
        measure: what was measured.
        samples: {contender: (rounds,) seconds}, samples of the same place of the same round.
    Returns: a row a contender; ratios are over the first of :data:`REFERENCES`, and missing where
        there were no rounds, or one.
    """
    scale = 1 if measure.startswith(UNSCALED) else 1e3
    reference = next((samples[name] for name in REFERENCES if name in samples), np.empty(0))
    rows = []
    for contender, values in samples.items():
        low, median, high = scale * np.quantile(values, QUARTILES)
        ratios = [np.nan] * 3
        if 1 < len(values) == len(reference):
            ratios = np.quantile(values / reference, QUARTILES)
        ratio_low, ratio, ratio_high = ratios
        times = median, low, high, ratio, ratio_low, ratio_high
        rows.append((measure, contender, *times, len(values)))
    table = pd.DataFrame(rows, columns=["measure", "contender", *TIMES, *RATIOS, "rounds"])
    return table.assign(threads=torch.get_num_threads(), cpu=environment()["cpu"])


# ----------------------------------------------------------------------------------- the table


def measure(sweep: str | None = None) -> pd.DataFrame:
    """The benchmark of the command line: the main points, 784-1000-1000-1000-10 at 1 and 4.6 % of
    the links, or those of a sweep, on torch's threads; see :func:`measure_points`.

    Raises: ValueError for an unknown sweep.
    """
    if sweep is None:
        return measure_points([point for point in _paper() if point.is_main])
    check_known("sweep", sweep, dict.fromkeys(point.sweep for point in _paper()))
    return measure_points([point for point in _paper() if point.sweep == sweep])


def measure_all() -> pd.DataFrame:
    """All points, on torch's threads and on one: what notebooks and pages read."""
    return measure_points(_paper(), sorted({torch.get_num_threads(), 1}, reverse=True))


def obtain(*sweeps: str, profile: str, retrain: bool = False) -> pd.DataFrame:
    """Parts of the table, as notebooks want them: "paper" loads what ``python -m lib bench
    --sweeps --json data/results/bench.json`` stored (an empty table if that was not run); another
    profile measures now.

    Args:
        sweeps: which parts, see :func:`points_of`.
        profile: in whose sizes.
        retrain: measure now in the profile "paper" too.
    Raises: ValueError for an unknown part or profile.
    """
    known = list(dict.fromkeys(point.sweep for point in _paper()))
    for sweep in sweeps:
        check_known("sweep", sweep, known)
    chosen = [point for point in points_of(profile) if point.sweep in sweeps]
    if profile == "paper" and not retrain:
        table = stored()
        return table[table["sweep"].isin(sweeps)]
    return measure_points(chosen)


def stored() -> pd.DataFrame:
    """The whole table as measured last; empty if it was not."""
    if not STORED.exists():
        return pd.DataFrame(columns=COLUMNS)
    return pd.read_json(STORED)
