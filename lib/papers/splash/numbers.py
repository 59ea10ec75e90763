"""What the records of networks and of studies say, one number a row."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from lib.papers.splash.attacking import BLACK, OPEN
from lib.papers.splash.experiments import EVENLY_SPACED, VARIANTS
from lib.papers.splash.training import UNITS, UnitTraining, unit_of
from lib.report import labels
from lib.report.intervals import LEVEL, contrasts
from lib.runs.config import Run
from lib.runs.record import Record

FULL_EPOCHS = 100  # of CIFAR, below which a network is cut short
KEY = ["dataset", "network", "method", "seed"]
PLAIN = "as it is"
ATTACK_NAMES = {
    "clean": "no attack",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "apgd_ce": "APGD-CE",
    "apgd_dlr": "APGD-DLR",
    "pgd l2": "PGD, L2",
    "carlini_wagner": "Carlini–Wagner, L2",
    "deepfool": "DeepFool, L2",
    "square": "Square",
    "worst case": "worst of these in L∞",
    "transfer": "transfer",
    "one pixel": "one pixel",
    "boundary": "Boundary, L2",
}
IN_LINF = ("fgsm", "pgd", "apgd_ce", "apgd_dlr", "square")  # whose worst case is taken
STEEPNESS = {
    "linear product": "product of the layers' constants",
    "unit product": "product of the units' constants",
    "slope": "‖gradient of the margin‖₂",
    "distance to first order": "margin / ‖gradient‖₂",
}


def trained_run(run: Run) -> UnitTraining:
    """The training behind a run: itself, or that of the network that a study measures."""
    return run if isinstance(run, UnitTraining) else run.parent


def key(run: Run) -> dict[str, Any]:
    """What names the network of a run in a table."""
    network = trained_run(run).network
    return {"dataset": run.dataset, "network": network, "method": run.method, "seed": run.seed}


def of_plain(records: Iterable[Record]) -> list[Record]:
    """Those of networks of ``unit_accuracy``."""
    return of_experiment(records, "unit_accuracy")


def of_experiment(records: Iterable[Record], name: str) -> list[Record]:
    """The studies of networks that an experiment trained."""
    return [record for record in records if record.config.parent.experiment == name]


def of_cell(records: Iterable[Record], dataset: str, network: str) -> list[Record]:
    """The records of a network on a data set."""
    found = []
    for record in records:
        run = record.config
        if (run.dataset, trained_run(run).network) == (dataset, network):
            found.append(record)
    return found


def is_cut_short(records: Iterable[Record], dataset: str, network: str) -> bool:
    """Whether a network was trained on part of the data, or on CIFAR for fewer than 100 epochs."""
    runs = [trained_run(record.config) for record in of_cell(records, dataset, network)]
    few = FULL_EPOCHS if dataset.startswith("cifar") else 0
    return any(run.limit is not None or run.epochs < few for run in runs)


def epochs(records: Iterable[Record], dataset: str, network: str) -> int:
    """How long a network was trained at most."""
    runs = [trained_run(record.config) for record in of_cell(records, dataset, network)]
    return max((run.epochs for run in runs), default=0)


# -------------------------------------------------------------------------------- of networks


def accuracies(
    records: Iterable[Record], dataset: str, network: str
) -> dict[str, dict[int, float]]:
    """Test accuracy at the last epoch by unit and seed."""
    found: dict[str, dict[int, float]] = {}
    for record in of_cell(records, dataset, network):
        run = record.config
        accuracy = record.environment["final"]["test_accuracy"]
        found.setdefault(run.method, {})[run.seed] = accuracy
    return found


def accuracy_table(records: Iterable[Record]) -> pd.DataFrame:
    """Columns of :data:`KEY`, variant, measure and value: test accuracy at the end, in percent."""
    rows = []
    for record in records:
        accuracy = 100 * record.environment["final"]["test_accuracy"]
        row = {**key(record.config), "variant": record.config.variant}
        rows.append({**row, "measure": "accuracy", "value": accuracy})
    return pd.DataFrame(rows, columns=[*KEY, "variant", "measure", "value"])


def ablation_table(plain: Iterable[Record], changed: Sequence[Record]) -> pd.DataFrame:
    """As :func:`accuracy_table`, of changed SPLASH units after the plain one, whose variant is
    :data:`PLAIN`, on the same data and network.

    Args:
        plain: of ``unit_accuracy``; others than SPLASH are left out.
        changed: of ``unit_ablation``.
    """
    after = accuracy_table(changed)
    before = accuracy_table(plain).assign(variant=PLAIN)
    before = before[before["method"] == "splash"]
    before = before.merge(after[["dataset", "network"]].drop_duplicates())
    return pd.concat([before, after], ignore_index=True)


def ablation_gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Every changed unit of :func:`ablation_table` minus the plain one, paired by seed.

    Other numbers of hinges are evenly spaced, and compared with seven that are. What has no
    normalisation differs in its hinges and its learning rate too (``experiments.VARIANTS``). The
    intervals hold for all rows together (Bonferroni).

    Returns: columns of :func:`lib.report.intervals.contrasts`, name and series for
        :func:`lib.report.front_figures.gaps`.
    """
    pairs = {}
    for name in dict.fromkeys(table["variant"]):
        if name != PLAIN:
            pairs[name] = (name, EVENLY_SPACED if "n_hinges" in VARIANTS[name] else PLAIN)
    by_variant = table.assign(method=table["variant"])
    n_rows = max(1, len(contrasts(by_variant, pairs)))
    gaps = contrasts(by_variant, pairs, level=1 - (1 - LEVEL) / n_rows)
    return gaps.assign(name=gaps["contrast"], series="last epoch")


def ranks(table: pd.DataFrame) -> pd.DataFrame:
    """The mean accuracy of every unit, a row a network and data set, with the rank of SPLASH.

    Args:
        table: rows of :func:`accuracy_table`.
    """
    means = table.pivot_table("value", ["dataset", "network"], "method", sort=False)
    rank = means.round(6).rank(axis=1, ascending=False)  # counts of images tie, their floats do not
    means.insert(0, "rank of SPLASH", rank.get("splash", np.nan))
    means.insert(1, "units", means.notna().sum(axis=1) - 1)
    return means


def validation_table(records: Iterable[Record]) -> pd.DataFrame:
    """Accuracy on validation examples at the last epoch, percent: a row a unit, a column a rate."""
    rows = []
    for record in records:
        run = record.config
        accuracy = 100 * record.metrics["valid_accuracy"].iloc[-1]
        rows.append((labels.method_name(run.method), run.learning_rate, accuracy))
    table = pd.DataFrame(rows, columns=["unit", "rate", "accuracy"])
    return table.pivot_table("accuracy", "unit", "rate", sort=False)


def at_own_rates(
    plain: Iterable[Record], own: Iterable[Record], others: Iterable[str]
) -> list[Record]:
    """Every unit at the rate that is best for it, where it was trained at it.

    Args:
        plain: networks of ``unit_accuracy``, all at one rate.
        own: networks of ``unit_rates``.
        others: units that learn best at another rate than that of ``plain``.
    Returns: those of ``own``, and of ``plain`` in the same places those of all other units.
    """
    own = list(own)
    places = {(run.dataset, run.network) for run in (record.config for record in own)}
    units = set(others)
    found = []
    for record in plain:
        run = record.config
        if (run.dataset, run.network) in places and run.method not in units:
            found.append(record)
    return found + own


def shapes(records: Iterable[Record], x: np.ndarray) -> pd.DataFrame:
    """The function that every SPLASH unit computes after every epoch, of each record.

    Returns: columns of :data:`KEY`, layer, epoch, lipschitz, x, y.
    """
    points = torch.from_numpy(x).float()
    parts = []
    for record in records:
        for name, array in record.arrays.items():
            if not name.startswith(UNITS):
                continue
            layer = name.removeprefix(UNITS)
            for epoch, coefficients in enumerate(array):
                unit = unit_of(coefficients, record.arrays[f"hinges.{layer}"]).float()
                part = pd.DataFrame({"x": x, "y": unit(points).detach().numpy()})
                facts = {"layer": layer, "epoch": epoch, "lipschitz": unit.lipschitz()}
                parts.append(part.assign(**key(record.config), **facts))
    columns = [*KEY, "layer", "epoch", "lipschitz", "x", "y"]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


# --------------------------------------------------------------------------------- of studies


def table(records: Iterable[Record]) -> pd.DataFrame:
    """The tables of studies in one, with the columns of :data:`KEY`, variant and epochs."""
    parts = []
    for record in records:
        run = record.config
        named = {**key(run), "variant": run.variant, "epochs": run.parent.epochs}
        parts.append(record.metrics.assign(**named))
    if parts:
        return pd.concat(parts, ignore_index=True)
    return pd.DataFrame(columns=[*KEY, "variant", "epochs", "measure", "norm", "radius", "value"])


def at_headline(records: Iterable[Record]) -> pd.DataFrame:
    """The rows of :func:`table` at the headline radii, and those without a radius; and "worst
    case", the share of images that withstand every attack of :data:`IN_LINF`.
    """
    parts = []
    for record in records:
        rows = table([record])
        radius = record.config.radii[0]
        chosen = rows["radius"].isna() | (rows["norm"] != "linf")
        chosen |= np.isclose(rows["radius"], radius)
        parts.append(rows[chosen])
        share = kept_of_all(record, IN_LINF)
        if share is not None:
            worst = {"measure": "worst case", "norm": "linf", "radius": radius, "value": share}
            parts.append(rows.iloc[:1].assign(**worst))
    return pd.concat(parts, ignore_index=True) if parts else table([])


def kept_of_all(record: Record, attacks: Sequence[str]) -> float | None:
    """Share of images that withstand every one of some attacks at the headline radius; None if one
    was not made.
    """
    right = [record.arrays.get(f"right.{name}") for name in attacks]
    if any(one is None for one in right):
        return None
    return float(np.all(right, axis=0).mean())


def under_attack(records: Iterable[Record]) -> pd.DataFrame:
    """Accuracy under every attack at the headline radius: columns of :data:`KEY`, variant, attack,
    value.
    """
    rows = at_headline(records)
    rows = rows[rows["measure"].isin([*OPEN, *BLACK])]
    return rows.rename(columns={"measure": "attack"})


def named_attacks(records: Iterable[Record]) -> pd.DataFrame:
    """Accuracy without attack and under each, the attacks as people read them: the columns that
    :func:`lib.report.tables.mean_table` takes.
    """
    rows = at_headline(records)
    rows = rows[rows["measure"].isin(ATTACK_NAMES)]
    return rows.assign(measure=rows["measure"].map(ATTACK_NAMES))


def steepness(records: Iterable[Record]) -> pd.DataFrame:
    """Lipschitz constants and slopes, as :func:`lib.report.tables.mean_table` takes them: the
    products as their decimal logarithm.
    """
    rows = table(records)
    rows = rows[rows["measure"].isin(STEEPNESS)]
    logarithm = rows["measure"].str.endswith("product")
    value = rows["value"].where(~logarithm, np.log10(rows["value"].where(rows["value"] > 0)))
    names = rows["measure"].map(STEEPNESS)
    return rows.assign(value=value, measure=names.where(~logarithm, "log₁₀ of the " + names))


def layer_constants(records: Iterable[Record]) -> pd.DataFrame:
    """The Lipschitz constant of every layer and unit: columns of :data:`KEY`, kind, layer, value,
    in the order of the network.
    """
    rows = table(records)
    parts = rows["measure"].str.extract(r"^(?P<kind>linear|unit) (?P<layer>(?!product).+)$")
    rows = rows.assign(**parts).dropna(subset=["kind"])
    return rows[[*KEY, "kind", "layer", "value"]]


def by_radius(records: Iterable[Record], attack: str = "pgd") -> pd.DataFrame:
    """Accuracy under an attack in L-infinity against the radius, that without attack at 0."""
    rows = table(records)
    clean = rows[rows["measure"] == "clean"]
    rows = pd.concat([clean, rows[(rows["measure"] == attack) & (rows["norm"] == "linf")]])
    return rows.rename(columns={"value": "accuracy"})


def survival(
    records: Iterable[Record], attacks: Mapping[str, str], distances: Sequence[float]
) -> pd.DataFrame:
    """Share of images whose smallest distance is larger than each of some distances.

    Args:
        records: of ``unit_minimal``.
        attacks: {name of the attack: as people read it}.
        distances: in L2.
    Returns: columns of :data:`KEY`, attack, distance, share.
    """
    rows = []
    for record in records:
        for attack, name in attacks.items():
            found = record.arrays[f"l2.{attack}"]
            for distance in distances:
                share = float((found > distance).mean())
                row = {"attack": name, "distance": distance, "share": share}
                rows.append({**key(record.config), **row})
    return pd.DataFrame(rows, columns=[*KEY, "attack", "distance", "share"])


def median_distances(records: Iterable[Record], attacks: Mapping[str, str]) -> pd.DataFrame:
    """The median over images of the smallest distance in L2 that each of some attacks finds.

    Args:
        records: of ``unit_minimal``.
        attacks: {name of the attack: as people read it}.
    Returns: columns of :data:`KEY`, measure, value.
    """
    rows = []
    for record in records:
        for attack, name in attacks.items():
            median = float(np.median(record.arrays[f"l2.{attack}"]))
            rows.append({**key(record.config), "measure": name, "value": median})
    return pd.DataFrame(rows, columns=[*KEY, "measure", "value"])


def in_points(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with accuracies in points."""
    return rows.assign(value=100 * rows["value"])
