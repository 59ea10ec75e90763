"""What weight decay has to do with the lead of evolving links over fixed ones."""

from collections.abc import Iterable

import pandas as pd

from lib.papers.shared.methods import Fields, profiled
from lib.papers.shared.sparse_training import SparseTraining, training
from lib.report import labels
from lib.report.intervals import contrasts
from lib.runs.experiment import keep_nothing
from lib.runs.record import Record

RIVAL = "fixed"
COMPARED: dict[str, tuple[str, ...]] = {  # by experiment, whose runs have the decay of all others
    "adaptive_topology": ("set", "rigl", RIVAL),
    "set_mlp": ("set", RIVAL),
}
COMPARED_SMALL = {"adaptive_topology_1568": ("set", RIVAL)}  # of the small profiles
WITHOUT: Fields = {"experiment": "without_decay", "variant": "no decay", "weight_decay": 0.0}
READINGS = {  # the decay of the network whose links evolve, that of the fixed support
    "both with weight decay": ("with", "with"),
    "both without": ("without", "without"),
    "the fixed support alone without": ("with", "without"),
}


def compared(profile: str) -> dict[str, tuple[str, ...]]:
    """The methods that are trained without weight decay, by the experiment that has the same
    networks with it.
    """
    return COMPARED if profile == "paper" else COMPARED_SMALL


def without_decay(profile: str) -> list[SparseTraining]:
    """The networks of :func:`compared` without weight decay, all else as chosen with it."""
    changes: Fields = {"datasets": ("mnist",)} if profile == "quick" else {}
    runs = []
    for experiment, methods in compared(profile).items():
        for run in profiled(experiment, profile, methods, **changes):
            runs.append(run.with_changes(WITHOUT))
    return runs


def leads(records: Iterable[Record]) -> pd.DataFrame:
    """How far evolving links lead over as many fixed ones, in test accuracy at the last epoch,
    paired by seed, in each of :data:`READINGS`.

    Args:
        records: of ``without_decay``, and of the same networks with decay; others are left out.
    Returns: columns dataset, name (method and links in training), series (the reading), value,
        low, high (points), n, p, p_holm (over all rows, :func:`lib.report.intervals.contrasts`).
    """
    table = _accuracies(records)
    pairs, written = {}, {}
    for method in labels.methods_in(table["of"]):
        for reading, (ours, theirs) in READINGS.items():
            if method != RIVAL:
                contrast = f"{method}, {reading}"
                pairs[contrast] = f"{method} {ours}", f"{RIVAL} {theirs}"
                written[contrast] = labels.method_name(method), reading
    found = contrasts(table, pairs)
    methods = found["contrast"].map(lambda contrast: written[contrast][0])
    readings = found["contrast"].map(lambda contrast: written[contrast][1])
    found = found.assign(name=methods + ", " + found["network"], series=readings)
    return found.drop(columns=["network", "measure", "contrast"])


def gains(records: Iterable[Record]) -> pd.DataFrame:
    """What every network gains without weight decay, points, paired by seed: of the records of
    :func:`leads`, columns dataset, network ("37,840 links"), measure, contrast (the method), value,
    low, high, n, p, p_holm.
    """
    table = _accuracies(records)
    pairs = {}
    for method in labels.methods_in(table["of"]):
        pairs[labels.method_name(method)] = f"{method} without", f"{method} with"
    return contrasts(table, pairs)


def _accuracies(records: Iterable[Record]) -> pd.DataFrame:
    """Of every network that was trained without decay, with and without it: columns dataset,
    network ("37,840 links"), of (a method), method ("set with"), seed, measure, value (percent).
    """
    records = list(records)
    without = {record.config for record in records if record.config.experiment == "without_decay"}
    rows = []
    for record in records:
        run = record.config
        decay = "without" if run in without else "with"
        if run.with_changes(WITHOUT) in without:
            links = f"{record.metrics['links'].iloc[0]:,.0f} links"
            last = 100 * record.metrics["test_accuracy"].iloc[-1]
            name = f"{run.method} {decay}"
            rows.append((run.dataset, links, run.method, name, run.seed, "accuracy", last))
    columns = ["dataset", "network", "of", "method", "seed", "measure", "value"]
    return pd.DataFrame(rows, columns=columns)


WITHOUT_DECAY = training("without_decay", without_decay, keep_nothing)
