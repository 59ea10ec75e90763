"""Measurements of a layer or a network, its spectra and what it takes to fool it; and what the
records say, in rows that notebooks and claims read.

Radii and norms are in the unit of images divided by their own L3 norm, but for networks that see
pixels from 0 to 1, which are the sparse ones of [Sulyok2026] and those of notebook 32.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import data
from lib.report.claims import against
from lib.report.frames import NETWORK, facts, in_order
from lib.robustness import attacks
from lib.robustness.perturb import linear_layers
from lib.runs.config import Run
from lib.runs.record import Record
from papers.local_learning import critical, networks, spectra, training
from papers.local_learning import krotov_hopfield as kh
from papers.local_learning.training import FIELDS, RELEASED, HiddenNetwork, LocalLayer
from papers.shared import trained
from papers.shared.study import Study, Table

REPEAT_NOISE = 0.3  # of a pixel's standard deviation, in each of two repeats
BATCH = 1000
DEEPFOOL_STEPS = 50  # what is not found by then is censored at 0, which says nothing
LINES = ["measure", "attack", "value"]
FITS = ["layer", "input", "range", "first", "last", "weighted", "measure", "value"]
ATTACKS = {"noise": "Gaussian noise", "fgsm": "FGSM", "pgd": "PGD", "deepfool": "DeepFool"}
RUN = ["trained", "n_units", "variant", "dataset", "epochs"]  # what two networks have in common
SPARSE_METHODS = {"evolving links": "kh_evolving", "fixed links": "kh_fixed"}
LAW = ["law", "exponent", "decay", "left", "criterion", "behind", "supported"]
SMALLEST = 1e-7  # share of the largest eigenvalue that is drawn

Activity = Callable[[Tensor], Tensor]  # (B, ...) images -> (B, h), before the activation


# -------------------------------------------------------------------------------- critical norms


def fooled(study: Study, parent: Record) -> Table:
    """Critical norms of a network under noise, FGSM and PGD, and of the corrected protocol under
    DeepFool, which looks for the nearest point.

    The variant of the study says which: "as released", the weights of the last epoch under the
    released protocol; others, those of the best validation epoch under the corrected one. DeepFool
    keeps pixels in [0, 1], which on images divided by their norms reaches beyond white.

    Returns: columns measure, attack, value; arrays norm.attack (n,) float32 and fooled.attack (n,)
        bool of the images that are classified correctly, and index (n,), which they are.
    """
    model, pixels = _attacked(study, parent)
    split = data.load_once(study.dataset)
    raw, y = data.stratified(split.x_test.flatten(1).float(), split.y_test, study.images)
    x = raw if pixels else networks.unit_norm(raw)
    white = torch.ones(len(x), 1)
    if not pixels:
        white = 1 / torch.linalg.vector_norm(raw, 3.0, dim=1, keepdim=True)
    right = ~attacks.is_adversarial(model, x, y)
    rows = [("accuracy", "none", right.double().mean().item())]
    arrays = {"index": right.nonzero().squeeze(1).numpy().astype(np.int16)}
    if right.any():
        for name, found in _found(study, model, x[right], y[right], white[right], pixels):
            norms, broken = found.norm.numpy(), found.fooled.numpy()
            rows.append(("median", name, critical.median(norms, broken)))
            rows.append(("median of fooled", name, critical.median_of_fooled(norms, broken)))
            rows.append(("largest tried", name, float(norms.max())))
            rows.append(("fooled", name, float(broken.mean())))
            arrays[f"norm.{name}"] = norms.astype(np.float32)
            arrays[f"fooled.{name}"] = broken
    return pd.DataFrame(rows, columns=LINES), arrays


def _attacked(study: Study, parent: Record) -> tuple[nn.Module, bool]:
    """The network, and whether it sees pixels from 0 to 1."""
    if not isinstance(parent.config, HiddenNetwork):
        return trained.network(parent), True
    model = training.network_of(parent, _weights(study, parent))
    sees_pixels = study.experiment.startswith("sparse")
    return (networks.on_pixels(model).eval() if sees_pixels else model), sees_pixels


def _weights(study: Study, parent: Record) -> str:
    """Weights of the last epoch, as released, or of the best validation epoch if there is one."""
    has_best = any(name.startswith(trained.BEST) for name in parent.arrays)
    return "best" if has_best and study.variant != RELEASED else "last"


def _found(
    study: Study, model: nn.Module, x: Tensor, y: Tensor, white: Tensor, pixels: bool
) -> Iterator[tuple[str, critical.Critical]]:
    """The critical norms under each attack, with its name."""
    noise, steps = study.generator(0), study.steps
    wide, narrow = critical.NOISE_SIZES, critical.GRADIENT_SIZES
    if pixels:
        wide = narrow = critical.PIXEL_SIZES
    wide, narrow = _thinned(wide, study.points), _thinned(narrow, study.points)
    if study.variant == RELEASED:
        yield "noise", critical.released_noise(model, x, y, sizes=wide, generator=noise)
        yield "fgsm", critical.released_fgsm(model, x, y, sizes=narrow)
        yield "pgd", critical.released_pgd(model, x, y, sizes=narrow, steps=steps)
        return
    start = study.generator(1)
    yield "noise", critical.noise(model, x, y, white=white, sizes=wide, generator=noise)
    yield "fgsm", critical.fgsm(model, x, y, white=white, sizes=narrow)
    found = critical.pgd(model, x, y, white=white, sizes=narrow, steps=steps, generator=start)
    yield "pgd", found
    points = attacks.deepfool(model, x, y, norm="l2", steps=DEEPFOOL_STEPS)
    norms = attacks.adversarial_distance(model, x, y, points, "l2")
    broken = norms < torch.inf
    tried = torch.where(broken, norms, attacks.distance(points, x, "l2"))
    yield "deepfool", critical.Critical(tried, tried, broken)


def _thinned(sizes: np.ndarray, n: int) -> np.ndarray:
    """n of the sizes, evenly in their logarithm, with the first and the last."""
    if n >= len(sizes):
        return sizes
    return np.geomspace(sizes[0], sizes[-1], n)


# ---------------------------------------------------------------------------------------- spectra


@torch.no_grad()
def spectrum(study: Study, parent: Record) -> Table:
    """Spectra of the hidden units before their activation: on test images, on noise, on two noisy
    repeats of the images (cvPCA), and before training. Covariances are of float64: a spectrum that
    falls by more than eight powers of ten over its ranks, as that of a penalised layer does, ends
    in rounding errors in float32.

    Returns: columns layer, input, range, first, last, weighted, measure, value; arrays
        eigenvalues.layer.input (h,) float32, and of the images of the first layer draw.measure.w
        (D,) from images drawn anew, w 0 or 1 for weighted.
    """
    split = data.load_once(study.dataset)
    raw, _ = data.stratified(split.x_test.flatten(1).float(), split.y_test, study.images)
    rows, arrays = [], {}
    for layer, given, function, x in _activities(study, parent, raw):
        values = torch.cat([function(batch) for batch in x.split(BATCH)]).double()
        if given == "repeats":
            eigenvalues = spectra.cross_validated(*values.chunk(2))
        else:
            eigenvalues = spectra.covariance_eigenvalues(values)
        arrays[f"eigenvalues.{layer}.{given}"] = eigenvalues.astype(np.float32)
        rows += _fits(layer, given, eigenvalues)
        if given == "images":
            arrays |= _draws(study, values, layer)
    return pd.DataFrame(rows, columns=FITS), arrays


@torch.no_grad()
def _activities(
    study: Study, parent: Record, raw: Tensor
) -> Iterator[tuple[str, str, Activity, Tensor]]:
    """Layers by name, names of inputs, what a layer does with an input, and the inputs."""
    run = parent.config
    local = isinstance(run, LocalLayer | HiddenNetwork)
    x = networks.unit_norm(raw) if local else raw
    noise = torch.randn(x.shape, generator=study.generator(0))
    layers, start = _layers(study, parent, x.shape[1])
    for layer, function in layers.items():
        yield layer, "images", function, x
        if layer != "linear1":
            continue
        yield layer, "noise", function, noise
        spread = REPEAT_NOISE * x.std()
        drawn = [spread * torch.randn(x.shape, generator=study.generator(n)) for n in (1, 2)]
        yield layer, "repeats", function, torch.cat([x + drawn[0], x + drawn[1]])
        if start is not None:
            yield layer, "start", start, x


def _layers(study: Study, parent: Record, n_in: int) -> tuple[dict[str, Activity], Activity | None]:
    """Inputs of the activation of the hidden units of each layer, and those before training; None
    for read-outs and for the networks of another paper.
    """
    run = parent.config
    if isinstance(run, LocalLayer):
        found, start = (
            partial(kh.overlaps, weight=kh.dense_weights(layer), norm_order=run.norm_order)
            for layer in (training.layer_of(parent), run.untrained(n_in))
        )
        return {"linear1": found}, start
    if isinstance(run, HiddenNetwork):
        network = training.network_of(parent, _weights(study, parent))
        start = None
        if run.parent is None:
            start = run.untrained(n_in, network.readout.out_features).hidden
        return {"linear1": network.hidden}, start
    model = trained.network(parent)
    return {name: partial(_at, model, layer) for name, layer in linear_layers(model).items()}, None


@torch.no_grad()
def _at(model: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    """Output of a layer of the model for inputs of the model."""
    seen = []
    handle = layer.register_forward_hook(lambda module, given, result: seen.append(result))
    model(x)
    handle.remove()
    return seen[0].detach()


def _fits(layer: str, given: str, eigenvalues: np.ndarray) -> list[tuple]:
    """Two rows of each range that lies in the spectrum and each weighting: exponent and R²."""
    positive = spectra.leading_positive(eigenvalues)
    rows = []
    for name, ranks in spectra.ranges_within(positive).items():
        for weighted in (False, True):
            fit = spectra.fit(positive, ranks, weighted=weighted)
            place = layer, given, name, *ranks, weighted
            rows.append((*place, "exponent", fit.exponent))
            rows.append((*place, "r_squared", fit.r_squared))
    return rows


def _draws(study: Study, values: Tensor, layer: str) -> dict[str, np.ndarray]:
    """Exponent and R² on images drawn anew, the same ones for every network."""
    generator = torch.Generator().manual_seed(0)
    found: dict[str, list[float]] = {}
    for eigenvalues in spectra.resampled(values, study.draws, generator=generator):
        ranks = spectra.within(spectra.RANGE, eigenvalues)
        for weighted in (False, True):
            fit = spectra.fit(eigenvalues, ranks, weighted=weighted)
            found.setdefault(f"draw.exponent.{layer}.{weighted:d}", []).append(fit.exponent)
            found.setdefault(f"draw.r_squared.{layer}.{weighted:d}", []).append(fit.r_squared)
    return {name: np.array(column, dtype=np.float32) for name, column in found.items()}


# ------------------------------------------------------------------------- what their records say


def critical_norms(records: Iterable[Record]) -> pd.DataFrame:
    """Test accuracy and median critical norms of each network under the protocol of its study.

    As released the accuracy is that of the last epoch, and medians are of the images that were
    fooled. Else the accuracy is that of the best validation epoch, and images that nothing fooled
    are censored values.

    Args:
        records: of studies by :func:`fooled`.
    Returns: columns of :func:`lib.report.frames.facts`, n_units, layer (the seed of the locally
        learned layer below, else of the network itself), measure ("accuracy" or the attack), value,
        reached (where it is False fewer than half of the images were fooled, and the value is the
        largest norm tried, a lower bound).
    """
    rows = []
    for record in records:
        named = _named(record) | {"layer": layer_seed(record.config)}
        is_released = record.config.variant == RELEASED
        final = record.environment["final"]
        best = None if is_released else final.get("best_test_accuracy")
        accuracy = final["test_accuracy"] if best is None else best
        rows.append({**named, "measure": "accuracy", "value": accuracy, "reached": True})
        lines = record.metrics.pivot(index="attack", columns="measure", values="value")
        for attack in ATTACKS:
            if attack not in lines.index:
                continue
            value = lines.loc[attack, "median of fooled" if is_released else "median"]
            reached = is_released or math.isfinite(value)
            if not reached:
                value = lines.loc[attack, "largest tried"]
            rows.append({**named, "measure": attack, "value": value, "reached": reached})
    columns = ["experiment", *NETWORK, "n_units", "layer", "measure", "value", "reached"]
    return in_order(pd.DataFrame(rows, columns=columns).astype({"reached": bool}))


def against_plain(records: Iterable[Record]) -> pd.DataFrame:
    """Measurements of each network minus what plain back-propagation of the same seed does, and
    that (base): a row an independent pair, of read-outs a locally learned layer.

    Args:
        records: of studies by :func:`fooled`.
    Returns: columns of :data:`RUN`, method, measure ("accuracy" or an attack), layer, value, base,
        reached (whether both medians are such, neither the largest norm that was tried).
    """
    rows = critical_norms(records)
    keys = ["trained", "n_units", "variant", "dataset", "measure"]
    gaps = against(rows, "bp", keys=keys)
    ours = rows[[*keys, "epochs", "seed", "method", "layer", "reached"]]
    base = ours.query("method == 'bp'")[[*keys, "seed", "reached"]]
    both = gaps.merge(ours).merge(base, on=[*keys, "seed"], suffixes=("", "_of_base"))
    both["reached"] = both["reached"] & both.pop("reached_of_base")
    return _by_layer(both)


def on_common_images(records: Iterable[Record]) -> pd.DataFrame:
    """As :func:`against_plain`, with medians over the images that both networks of a pair classify
    correctly, under the corrected protocol; there is no row of accuracy.
    """
    networks: dict[tuple, dict[str, tuple]] = {}  # by what a pair has in common, and by method
    for record in records:
        if record.config.variant != RELEASED and "index" in record.arrays:
            named = _named(record) | {"layer": layer_seed(record.config)}
            pair = tuple(named[name] for name in (*RUN[:-1], "seed"))  # epochs may differ
            networks.setdefault(pair, {})[named["method"]] = named, record.arrays
    rows = []
    for of_pair in networks.values():
        _, plain = of_pair.pop("bp", (None, None))
        for named, arrays in of_pair.values() if plain else ():
            common, *places = np.intersect1d(arrays["index"], plain["index"], return_indices=True)
            for attack in ATTACKS if len(common) else ():
                (value, reached), (base, reached_of_base) = (
                    _median(of[f"norm.{attack}"][place], of[f"fooled.{attack}"][place])
                    for of, place in zip((arrays, plain), places, strict=True)
                )
                found = {"measure": attack, "value": value - base, "base": base}
                rows.append(named | found | {"reached": reached and reached_of_base})
    columns = [*RUN, "method", "measure", "layer", "value", "base", "reached"]
    return _by_layer(pd.DataFrame(rows, columns=columns).astype({"reached": bool}))


def _median(norms: np.ndarray, fooled: np.ndarray) -> tuple[float, bool]:
    """The median critical norm and True; the largest norm tried and False where fewer than half of
    the images were fooled.
    """
    value = critical.median(norms, fooled)
    return (value, True) if math.isfinite(value) else (float(norms.max()), False)


def _by_layer(pairs: pd.DataFrame) -> pd.DataFrame:
    """Means over the networks on one locally learned layer."""
    units = pairs.groupby([*RUN, "method", "measure", "layer"], sort=False, observed=True)
    means = units[["value", "base"]].mean()
    return means.assign(reached=units["reached"].all()).reset_index()


def layer_seed(run: Run) -> int:
    """The seed of the locally learned layer that a network stands on, its own if there is none."""
    below: Run | None = run
    while below is not None and not isinstance(below, LocalLayer):
        below = below.parent
    return run.seed if below is None else below.seed


def _named(record: Record) -> dict[str, object]:
    """Facts to name the network of a record; local learning on few links is a method of its own."""
    named = facts(record, "n_units")
    return named | {"method": SPARSE_METHODS.get(named["variant"], named["method"])}


def eigenvalues(records: Iterable[Record]) -> pd.DataFrame:
    """Spectra relative to their largest eigenvalue, at some sixty ranks, down to a ten-millionth.

    Args:
        records: of studies by :func:`spectrum`.
    Returns: columns of :func:`lib.report.frames.facts`, n_units, layer, input, rank, value.
    """
    columns = ["experiment", *NETWORK, "n_units", "layer", "input", "rank", "value"]
    parts = [pd.DataFrame(columns=columns)]
    for record in records:
        for layer, given, spectrum in _spectra(record):
            positive = spectra.leading_positive(spectrum)
            ranks = np.unique(np.geomspace(1, len(spectrum), 60).round().astype(int))
            ranks = ranks[ranks <= len(positive)]  # the same ones for all layers of a width
            part = pd.DataFrame({"rank": ranks, "value": positive[ranks - 1] / positive[0]})
            named = _named(record) | {"layer": layer, "input": given}
            parts.append(part[part["value"] > SMALLEST].assign(**named))
    return in_order(pd.concat([part for part in parts if len(part)] or parts, ignore_index=True))


def _spectra(record: Record) -> Iterator[tuple[str, str, np.ndarray]]:
    """Layer, input and eigenvalues of every spectrum of a record."""
    for name, array in record.arrays.items():
        if name.startswith("eigenvalues."):
            _, layer, given = name.split(".")
            yield layer, given, array.astype(float)


def laws(records: Iterable[Record]) -> pd.DataFrame:
    """How well three laws describe each spectrum on images over the released ranks.

    Args:
        records: of studies by :func:`spectrum`.
    Returns: columns of :func:`lib.report.frames.facts`, n_units, layer, weighted, and those of
        :func:`papers.local_learning.spectra.compare_laws`.
    """
    parts = [pd.DataFrame(columns=["experiment", *NETWORK, "n_units", "layer", "weighted", *LAW])]
    for record in records:
        for layer, given, spectrum in _spectra(record):
            if given != "images":
                continue
            ranks = spectra.within(spectra.RANGE, spectrum)
            for weighted in (False, True):
                table = spectra.compare_laws(spectrum, ranks, weighted=weighted)
                parts.append(table.assign(**_named(record), layer=layer, weighted=weighted))
    return in_order(pd.concat([part for part in parts if len(part)] or parts, ignore_index=True))


def receptive_fields(records: Iterable[Record], seed: int, n: int = 12) -> dict[str, np.ndarray]:
    """Weights of the first units of the layer of a seed as it was learned, as images.

    Returns: {"epoch 5": (n, side, side) float, colours averaged}; none where the records do not
        hold them.
    Raises: ValueError if the records hold several layers of the seed.
    """
    found = {}
    for record in records:
        for name, array in record.arrays.items():
            if name.startswith(FIELDS) and record.config.seed == seed:
                n_channels = 3 if record.config.dataset == "cifar10" else 1
                side = math.isqrt(array.shape[1] // n_channels)
                pixels = array[:n].astype(float).reshape(-1, n_channels, side, side)
                epoch = int(name.removeprefix(FIELDS))
                if epoch in found:
                    raise ValueError(
                        f"the records hold several layers of seed {seed}: give those of one variant"
                    )
                found[epoch] = pixels.mean(1)
    return {f"epoch {epoch}": found[epoch] for epoch in sorted(found)}
