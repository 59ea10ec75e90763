"""What weight decay has to do with the lead of evolving links over fixed ones."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import pandas as pd

from lib.papers.set.experiments import WIDE, WITH_DECAY
from lib.papers.shared.sparse_training import SparseTraining
from lib.report import labels
from lib.report.intervals import contrasts
from lib.runs.record import Record

RIVAL = "fixed"
COMPARED_SMALL = {WIDE: ("set", RIVAL)}  # of the small profiles
WITHOUT = {"experiment", "variant", "weight_decay"}
READINGS = {  # the decay of the network whose links evolve, that of the fixed support
    "both with weight decay": ("with", "with"),
    "both without": ("without", "without"),
    "the fixed support alone without": ("with", "without"),
}


def compared(profile: str) -> dict[str, tuple[str, ...]]:
    """The methods that are trained without weight decay, by the experiment that has the same
    networks with it.
    """
    return WITH_DECAY if profile == "paper" else COMPARED_SMALL


def leads(records: Iterable[Record]) -> pd.DataFrame:
    """How far evolving links lead over as many fixed ones, in test accuracy at the last epoch,
    paired by seed, in each of :data:`READINGS`.

    Args:
        records: of ``without_decay``, of ``accuracy_by_recipe`` (those without decay count), and of
            the same networks with decay; others are left out.
    Returns: columns dataset, name (method and links in training), series (the reading), value,
        low, high (points), n, p, p_holm (over all rows, :func:`lib.report.intervals.contrasts`).
    """
    table = _accuracies(records)
    pairs, written = {}, {}
    for method in labels.methods_in(table.loc[table["of"] != RIVAL, "of"]):
        for reading, (ours, theirs) in READINGS.items():
            contrast = f"{method}, {reading}"
            pairs[contrast] = f"{method} {ours}", f"{RIVAL} {theirs}"
            written[contrast] = labels.method_name(method), reading
    found = contrasts(table, pairs)
    methods = found["contrast"].map(lambda contrast: written[contrast][0])
    readings = found["contrast"].map(lambda contrast: written[contrast][1])
    found = found.assign(name=methods + ", " + found["network"], series=readings)
    return found.drop(columns=["network", "measure", "contrast"])


def narrowing(records: Iterable[Record]) -> pd.DataFrame:
    """By how much the lead of evolving links over as many fixed ones is smaller where neither has
    weight decay than where both have, points, paired by seed: of the records of :func:`leads`,
    columns dataset, network ("37,840 links"), measure, contrast (the method), value, low, high, n,
    p, p_holm. The last row, a test of its own, is the mean over all others.
    """
    leads = _leads_by_seed(records)
    pairs = {name: (f"{name} with", f"{name} without") for name in leads["of"].unique()}
    found = contrasts(leads, pairs)
    whole = leads.groupby(["seed", "decay"], sort=False)["value"].agg(["mean", "size"])
    whole = whole[whole["size"] == whole["size"].max()]["mean"].rename("value").reset_index()
    whole = whole.assign(dataset="all", network="all", measure="lead", method=whole["decay"])
    return pd.concat([found, contrasts(whole, {"mean": ("with", "without")})])


def _leads_by_seed(records: Iterable[Record]) -> pd.DataFrame:
    """Columns dataset, network ("37,840 links"), of (the evolving method), decay ("with"), method
    ("SET with"), seed, measure, value (points above as many fixed links).
    """
    table = _accuracies(records)
    place = ["dataset", "network", "seed", "decay"]
    fixed = table[table["of"] == RIVAL].rename(columns={"value": "rival"})
    evolving = table[table["of"] != RIVAL].merge(fixed[[*place, "rival"]], on=place)
    names = evolving["of"].map(labels.method_name)
    return evolving.assign(
        of=names,
        method=names + " " + evolving["decay"],
        measure="lead",
        value=evolving["value"] - evolving["rival"],
    )


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
    network ("37,840 links"), of (a method), decay ("with"), method ("set with"), seed, measure,
    value (percent).
    """
    sides = {"with": [], "without": []}
    for record in records:
        if record.config.weight_decay == 0:
            sides["without"].append(record)
        elif type(record.config) is SparseTraining:  # neither softened nor aware of sharpness
            sides["with"].append(record)
    networks = {_but_decay(record.config) for record in sides["without"]}
    rows = []
    for decay, of_side in sides.items():
        for record in of_side:
            run = record.config
            if _but_decay(run) in networks:
                links = f"{record.metrics['links'].iloc[0]:,.0f} links"
                last = 100 * record.metrics["test_accuracy"].iloc[-1]
                place = run.dataset, links, run.method, decay, f"{run.method} {decay}", run.seed
                rows.append((*place, "accuracy", last))
    columns = ["dataset", "network", "of", "decay", "method", "seed", "measure", "value"]
    return pd.DataFrame(rows, columns=columns)


def _but_decay(run: SparseTraining) -> tuple[Any, ...]:
    """All that a run is, but its weight decay and where it belongs."""
    names = {field.name for field in dataclasses.fields(SparseTraining)} - {*WITHOUT, "stand_in"}
    return tuple(getattr(run, name) for name in sorted(names))
