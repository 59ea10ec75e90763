"""What the records of layers, networks and studies say, one number a row."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lib.papers.local_learning import critical, spectra
from lib.papers.local_learning.layers import FIELDS, LocalLayer
from lib.papers.local_learning.measuring import RELEASED
from lib.papers.local_learning.recipes import CORRECTED
from lib.report import labels
from lib.report.measurement import Measurement
from lib.runs.config import Run
from lib.runs.record import Record

KEY = ["dataset", "network", "method", "seed"]
ATTACK_NAMES = {
    "noise": "Gaussian noise",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "deepfool": "DeepFool",
}
SMALLEST = 1e-7  # share of the largest eigenvalue that is drawn
SPARSE_METHODS = {"evolving links": "kh_evolving", "fixed links": "kh_fixed"}
ATTACKS = ("noise", "fgsm", "pgd")  # of the paper
AT_THE_END = (  # what is shown of a layer
    "off_norm_fraction",
    "effective_units",
    "changed",
    "exponent",
    "r_squared",
    "probe_accuracy",
)


def key(record: Record) -> dict[str, Any]:
    """What names the network of a record in a table; the network is the protocol, none for those of
    notebook 32.
    """
    run = record.config
    protocol = run.variant if run.variant in (RELEASED, CORRECTED) else ""
    return {
        "dataset": run.dataset,
        "network": protocol,
        "method": SPARSE_METHODS.get(run.variant, run.method),
        "seed": run.seed,
    }


def described(records: Sequence[Record]) -> str:
    """Data set and width of the first record, as "CIFAR-10, 500 units"; "" without records."""
    if not records:
        return ""
    run = records[0].config
    n_units = getattr(run, "n_units", None) or getattr(run.parent, "n_units", None)
    width = f", {n_units:,} units" if n_units else ""
    return labels.dataset(run.dataset) + width


def local_layer(run: Run | None) -> LocalLayer | None:
    """The locally learned layer that a run learns, stands on or measures; None if there is none."""
    while run is not None and not isinstance(run, LocalLayer):
        run = run.parent
    return run


# ------------------------------------------------------------------------------------- layers


def learning(records: Iterable[Record]) -> pd.DataFrame:
    """The tables of locally learned layers in one, with columns of :data:`KEY`, units, and steps
    (minibatch steps a unit so far).
    """
    parts = []
    for record in records:
        run = record.config
        steps = record.metrics["epoch"] * _steps(record) / run.n_units
        parts.append(record.metrics.assign(**key(record), units=run.n_units, steps=steps))
    columns = [*KEY, "units", "steps"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _steps(record: Record) -> float:
    """Minibatch steps of an epoch."""
    run = record.config
    n_images = run.limit or N_IMAGES.get(run.dataset, run.batch_size)
    return n_images / run.batch_size


N_IMAGES = {"mnist": 60_000, "fashion_mnist": 60_000, "cifar10": 50_000, "digits": 1437}


def accepted(records: Iterable[Record]) -> pd.DataFrame:
    """What became of every layer at its last epoch."""
    rows = []
    for record in records:
        run, last = record.config, record.metrics.iloc[-1]
        row = {**key(record), "units": run.n_units, "epochs": run.epochs}
        row |= {name: last[name] for name in AT_THE_END}
        rows.append({**row, "accepted": is_accepted(record)})
    return pd.DataFrame(rows, columns=[*KEY, "units", "epochs", *AT_THE_END, "accepted"])


def is_accepted(record: Record) -> bool:
    """Whether a layer passes the released test: norms near 1, no unit negative on average."""
    last = record.metrics.iloc[-1]
    return bool(last["off_norm_fraction"] < 0.1 and last["lowest_mean"] >= -0.5)


def fields(record: Record, n: int = 12) -> dict[str, np.ndarray]:
    """Receptive fields of the first units as they were learned, as images: {epoch: (n, side, side)}
    with the colours averaged; none where the record does not hold them.
    """
    found = {}
    for name, array in record.arrays.items():
        if not name.startswith(FIELDS):
            continue
        epoch = int(name.removeprefix(FIELDS))
        pixels = array[:n].astype(float)
        n_channels = 3 if record.config.dataset == "cifar10" else 1
        side = math.isqrt(pixels.shape[1] // n_channels)
        found[epoch] = pixels.reshape(len(pixels), n_channels, side, side).mean(1)
    return {f"epoch {epoch}": found[epoch] for epoch in sorted(found)}


# ------------------------------------------------------------------------------------- networks


def accuracies(attacks: Iterable[Record]) -> pd.DataFrame:
    """Test accuracy of every network and protocol: columns of :data:`KEY`, measure, value.

    Args:
        attacks: studies of critical norms; as released the weights are those of the last epoch,
            else those of the best.
    """
    rows = []
    for record in attacks:
        final = record.environment["final"]
        name = "test_accuracy" if record.config.variant == RELEASED else "best_test_accuracy"
        value = final.get(name)
        if value is None:
            value = final["test_accuracy"]
        rows.append({**key(record), "measure": "accuracy", "value": value})
    return pd.DataFrame(rows, columns=[*KEY, "measure", "value"])


def medians(attacks: Iterable[Record]) -> pd.DataFrame:
    """Median critical norms: as released of the images that were fooled, else with those that were
    not as censored values; where fewer than half were fooled, the largest norm that was tried, a
    lower bound.

    Returns: columns of :data:`KEY`, measure (the attack), value, reached (whether it is a median).
    """
    rows = []
    for record in attacks:
        metrics = record.metrics
        places = zip(metrics["attack"], metrics["measure"], strict=True)
        lines = dict(zip(places, metrics["value"], strict=True))
        for attack in ATTACK_NAMES:
            if (attack, "median") not in lines:
                continue
            value, reached = lines[attack, "median"], True
            if record.config.variant == RELEASED:
                value = lines[attack, "median of fooled"]
            elif not np.isfinite(value):
                value, reached = lines[attack, "largest tried"], False
            rows.append({**key(record), "measure": attack, "value": value, "reached": reached})
    return pd.DataFrame(rows, columns=[*KEY, "measure", "value", "reached"])


def fooled_shares(attacks: Iterable[Record]) -> pd.DataFrame:
    """Share of the images that were fooled at all: columns of :data:`KEY`, measure, value."""
    rows = []
    for record in attacks:
        lines = record.metrics[record.metrics["measure"] == "fooled"]
        for line in lines.to_dict("records"):
            rows.append({**key(record), "measure": line["attack"], "value": line["value"]})
    return pd.DataFrame(rows, columns=[*KEY, "measure", "value"])


def survival(attacks: Iterable[Record], norms: Sequence[float]) -> pd.DataFrame:
    """Share of images that need more than each of some norms, by the product-limit estimate.

    Returns: columns of :data:`KEY`, attack, norm, share.
    """
    rows = []
    for record in attacks:
        for attack in ATTACK_NAMES:
            if f"norm.{attack}" not in record.arrays:
                continue
            curve = critical.survival(
                record.arrays[f"norm.{attack}"], record.arrays[f"fooled.{attack}"]
            )
            place = np.searchsorted(curve["norm"], norms, side="right")
            shares = np.concatenate([[1.0], curve["share"]])[place]
            for norm, share in zip(norms, shares, strict=True):
                rows.append({**key(record), "attack": attack, "norm": norm, "share": share})
    return pd.DataFrame(rows, columns=[*KEY, "attack", "norm", "share"])


# -------------------------------------------------------------------------------------- spectra


def exponents(studies: Iterable[Record], given: str = "images") -> pd.DataFrame:
    """Exponents and R² by range and weighting: columns of :data:`KEY`, layer, range, weighted,
    measure, value.

    Args:
        studies: of spectra.
        given: "images", "noise", "repeats" or "start".
    """
    parts = []
    for record in studies:
        rows = record.metrics[record.metrics["input"] == given]
        parts.append(rows.assign(**key(record)))
    columns = [*KEY, "layer", "range", "first", "last", "weighted", "measure", "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def released_range(studies: Iterable[Record], given: str = "images") -> pd.DataFrame:
    """The unweighted exponent over the ranks of the released code; on noise 10 to 100."""
    rows = exponents(studies, given)
    wanted = "10 to 100" if given == "noise" else spectra.AS_RELEASED
    if given == "noise" and wanted not in set(rows["range"]):
        wanted = spectra.AS_RELEASED
    chosen = (rows["range"] == wanted) & ~rows["weighted"].astype(bool)
    return rows[chosen & (rows["measure"] == "exponent")]


def eigenvalues(
    studies: Iterable[Record], given: str = "images", layer: str = "linear1"
) -> pd.DataFrame:
    """Spectra, each relative to its largest: columns of :data:`KEY`, rank, share."""
    parts = []
    for record in studies:
        found = record.arrays.get(f"eigenvalues.{layer}.{given}")
        if found is None:
            continue
        found = spectra.leading_positive(found.astype(float))
        rank = np.arange(1, len(found) + 1)
        part = pd.DataFrame({"rank": rank, "share": found / found[0]})
        parts.append(part[part["share"] > SMALLEST].assign(**key(record)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=KEY)


def laws(studies: Iterable[Record], *, layer: str | None = None) -> pd.DataFrame:
    """How well three laws describe each spectrum on images over the released ranks: columns of
    :data:`KEY`, layer, law, exponent, left, behind, supported, ordinary and weighted by 1/n.
    """
    parts = []
    for record in studies:
        for name, found in record.arrays.items():
            start, _, given = name.rpartition(".")
            of_layer = start.removeprefix("eigenvalues.")
            if given != "images" or not start.startswith("eigenvalues."):
                continue
            if layer not in (None, of_layer):
                continue
            ranks = spectra.within(spectra.RANGE, found)
            for weighted in (False, True):
                table = spectra.compare_laws(found.astype(float), ranks, weighted=weighted)
                parts.append(table.assign(**key(record), layer=of_layer, weighted=weighted))
    columns = [*KEY, "layer", "weighted", "law", "exponent", "left", "behind", "supported"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def over_seeds_and_images(
    studies: Sequence[Record], measure: str, *, layer: str = "linear1", weighted: bool = False
) -> Measurement | None:
    """Exponent or R² over the released ranks, with an interval for other seeds and images; None
    without records.
    """
    values, draws = [], []
    name = f"draw.{measure}.{layer}.{weighted:d}"
    for record in studies:
        rows = exponents([record])
        chosen = (rows["range"] == spectra.AS_RELEASED) & (rows["measure"] == measure)
        chosen &= (rows["weighted"].astype(bool) == weighted) & (rows["layer"] == layer)
        if not chosen.any() or name not in record.arrays:
            continue
        values.append(float(rows.loc[chosen, "value"].iloc[0]))
        draws.append(record.arrays[name])
    if not values:
        return None
    shortest = min(len(draw) for draw in draws)
    return spectra.over_seeds_and_images(values, np.array([draw[:shortest] for draw in draws]))
