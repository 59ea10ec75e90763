"""What the summaries of trained networks (``robustness_summary``) say beside the length of training
and beside the assumptions, as figures and tables take it.
"""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from lib.bench import BATCH
from lib.papers.adaptive_topology.attacking import HEADLINE_RADIUS
from lib.papers.adaptive_topology.networks import LENGTHENED, SHORTER
from lib.papers.adaptive_topology.readings import (
    RULES,
    at_equal_length,
    groups,
    half_radius,
    outcomes,
    relative_areas,
)
from lib.runs.record import Record

PLACE = ["dataset", "method", "seed"]
SECONDS = "seconds of training steps"
DENSITY = 0.01
TRAINING_IMAGES = 60_000  # of MNIST and of Fashion-MNIST
SPARSE = (*RULES, "fixed")
WIDTHS = ("adaptive_topology", "adaptive_topology_1568")


def by_length(records: Iterable[Record]) -> pd.DataFrame:
    """What each network of width 1000 keeps, and why, beside how long it was trained.

    Args:
        records: of ``robustness_summary``.
    Returns: columns dataset, method, seed, epochs, measure, value. Measures: those of
        :func:`numbers`.
    """
    rows = []
    for group in groups(records):
        for method, by_seed in group.summaries.items():
            for seed, record in by_seed.items():
                place = group.dataset, method, seed, group.epochs
                rows += [(*place, *pair) for pair in numbers(record).items()]
    return pd.DataFrame(rows, columns=[*PLACE, "epochs", "measure", "value"])


def by_assumption(records: Iterable[Record]) -> pd.DataFrame:
    """SET and RigL of the shortest training under each density and drop fraction.

    Args:
        records: of ``robustness_summary``.
    Returns: columns dataset, network (the assumptions), method, seed, measure, value. Measures:
        those of :func:`numbers`.
    """
    rows = []
    for record in records:
        run = record.config.parent
        usual = run.experiment == "training_length" and run.epochs in _shortest()
        if run.method in RULES and (usual or run.experiment == "varied"):
            assumed = f"density {run.density:g}, drop fraction {run.drop_fraction:g}"
            rows += _rows(record, assumed)
    return pd.DataFrame(rows, columns=["dataset", "network", *PLACE[1:], "measure", "value"])


def by_dropout(records: Iterable[Record]) -> pd.DataFrame:
    """SET, RigL, the fixed support and the dense network of the longest training with each dropout
    that they were trained with, as :func:`by_assumption`; network: the dropout.
    """
    rows = []
    for record in at_equal_length(records):
        run = record.config.parent
        trained = run.experiment in ("adaptive_topology", "other_dropouts")
        if run.method in (*SPARSE, "dense") and trained:
            rows += _rows(record, f"dropout {run.dropout:g}")
    return pd.DataFrame(rows, columns=["dataset", "network", *PLACE[1:], "measure", "value"])


def by_width(records: Iterable[Record]) -> pd.DataFrame:
    """What was trained at both widths, as :func:`by_assumption`; network: the experiment."""
    rows = []
    for record in records:
        network = record.config.parent.experiment
        if network in WIDTHS and record.config.method in SPARSE:
            rows += _rows(record, network)
    return pd.DataFrame(rows, columns=["dataset", "network", *PLACE[1:], "measure", "value"])


def _rows(record: Record, network: str) -> list[tuple]:
    run = record.config
    place = run.dataset, network, run.method, run.seed
    return [(*place, *pair) for pair in numbers(record).items()]


def _shortest() -> set[int]:
    """The shortest training of each profile."""
    return {min(lengths) for lengths in SHORTER.values()}


def against_cost(records: Iterable[Record], steps: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of the networks of width 1000 beside what they cost.

    The seconds are those of the training steps alone, as the benchmark measured one of the same
    network: records were made side by side with others, on a busy machine.

    Args:
        records: of training.
        steps: of :func:`lib.bench.obtain`, "steps": those of the usual batch on most threads.
    Returns: columns dataset, method, seed, epochs, cost (:data:`SECONDS`), x, accuracy; nothing of
        a network whose step was not measured.
    """
    milliseconds = _step_of(steps)
    rows = []
    for record in records:
        run = record.config
        if run.method not in LENGTHENED or run.method == "dense_small":
            continue
        accuracy = record.environment["final"]["test_accuracy"]
        place = run.dataset, run.method, run.seed, run.epochs
        contender = "dense" if run.method == "dense" else "fused"
        step = milliseconds.get((contender, DENSITY))
        if step is not None:
            n_steps = run.epochs * math.ceil(TRAINING_IMAGES / run.batch_size)
            rows.append((*place, SECONDS, n_steps * step / 1000, accuracy))
    return pd.DataFrame(rows, columns=[*PLACE, "epochs", "cost", "x", "accuracy"])


def _step_of(steps: pd.DataFrame) -> dict[tuple[str, float], float]:
    """Milliseconds of a training step by contender and density."""
    measured = steps[(steps["batch"] == BATCH) & (steps["threads"] == steps["threads"].max())]
    return measured.groupby(["contender", "density"])["median_ms"].median().to_dict()


def numbers(record: Record) -> dict[str, float]:
    """What a summary says of its network: accuracy (of all test images), removal area, rescaled
    area, shuffle area, pgd (accuracy at the headline radius), half radius (L-infinity), margin,
    gradient of the margin, linear distance, weights (Frobenius norm of all layers).
    """
    single = record.metrics[record.metrics["strength"] == 0].groupby("measure")["value"].mean()
    norms = single[single.index.str.startswith("weights of")]
    headline = HEADLINE_RADIUS[record.config.dataset]
    return {
        "accuracy": record.environment["final"]["test_accuracy"],
        "removal area": relative_areas(record, "removal").mean(),
        "rescaled area": relative_areas(record, "removal, rescaled").mean(),
        "shuffle area": relative_areas(record, "shuffle").mean(),
        "pgd": outcomes(record, f"pgd linf {headline:g}").mean(),
        "half radius": half_radius(record, "linf"),
        "margin": single["margin"],
        "gradient of the margin": single["gradient of the margin"],
        "linear distance": single["linear distance"],
        "weights": float(np.sqrt((norms**2).sum())),
    }


def curves(records: Iterable[Record], measures: dict[str, str]) -> pd.DataFrame:
    """The curves of summaries, from strength 0 on, where all of the accuracy is left.

    Args:
        records: of ``robustness_summary`` or ``robust_summary``.
        measures: {measure of the summary: name of its panel}.
    Returns: columns dataset, method, seed, draw, variant, panel, strength, accuracy.
    """
    parts = []
    for record in records:
        run = record.config
        table = record.metrics
        whole = table[table["measure"] == "accuracy"]
        for measure, panel in measures.items():
            curve = table[table["measure"] == measure]
            if (curve["strength"] > 0).all():
                curve = pd.concat([whole, curve])
            labelled = curve.assign(dataset=run.dataset, method=run.method, seed=run.seed)
            parts.append(labelled.assign(variant=run.variant, panel=panel))
    columns = [*PLACE, "draw", "variant", "panel", "strength", "accuracy"]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts).rename(columns={"value": "accuracy"})[columns]
