"""Degrees of the machines of SET: Fig. 3 with the evidence of notebook 14, Fig. 4 with the maps of
notebook 15.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from lib import topology
from lib.papers.set import links, studies
from lib.papers.set.rbm import experiments, images
from lib.papers.set.rbm.experiments import RBMTraining
from lib.papers.shared import study, trained
from lib.papers.shared.inputs import Maps, input_links
from lib.papers.shared.study import Study, Table, study_of
from lib.report import labels, tables
from lib.runs.experiment import Contents, Experiment, Workspace, keep_all
from lib.runs.record import Record
from lib.topology import power_law

REPLICATES = {"smoke": 10, "quick": 50, "paper": 200}
SIGNIFICANT = 0.05
MAP_EPOCHS: dict[int | str, str] = {epoch: f"epoch {epoch}" for epoch in (0, 2, 10, 50)}
MAP_EPOCHS["final"] = "end"

# -------------------------------------------------------------------------------- the experiments


def scale_free(study: Study, record: Record) -> Table:
    """The evidence of :func:`lib.papers.set.studies.scale_free` on a machine, whose hidden units
    have no layer above them.
    """
    return studies.scale_free(study, record, widths=(*trained.widths(record), 0))


def _degrees_runs(profile: str) -> list[RBMTraining]:
    runs = experiments.dna(profile)
    return [run for run in runs if (run.method, run.variant) == ("set", "grid")]


def _image_runs(profile: str) -> list[RBMTraining]:
    runs = experiments.table_2(profile)
    shown = ("mnist", "caltech28", "digits")
    return [run for run in runs if run.method in ("set", "fixed") and run.dataset in shown]


def _configs(
    profile: str, experiment: str, parents: Callable[[str], list[RBMTraining]]
) -> list[Study]:
    """A study of each of these machines."""

    def make(parent: RBMTraining) -> Study:
        fields = {"variant": parent.variant, "draws": REPLICATES[profile]}
        return study_of(experiment, parent, **fields)

    return [study.with_stand_in(make, parent) for parent in parents(profile)]


def _make(run: Study, workspace: Workspace, measure: Callable[[Study, Record], Table]) -> Contents:
    parent = workspace.record_of(run.parent, trained.holds_degrees)
    return study.contents(run, parent, measure)


def numbers(record: Record) -> dict[str, Any]:
    """What the summary says of a study: the machine it was made on."""
    n_links = record.environment["final"]["links"]
    return {"optimiser": "sgd", "epochs": record.config.parent.epochs, "links_final": n_links}


def _experiment(
    name: str,
    parents: Callable[[str], list[RBMTraining]],
    measure: Callable[[Study, Record], Table],
    parent: str,
) -> Experiment:
    return Experiment(
        name,
        partial(_configs, experiment=name, parents=parents),
        partial(_make, measure=measure),
        numbers=numbers,
        keeps=keep_all,
        parents=(parent,),
    )


RBM_SCALE_FREE = _experiment("rbm_scale_free", _degrees_runs, scale_free, "set_rbm_dna")
RBM_VISIBLE = _experiment("rbm_visible", _image_runs, studies.visible_connectivity, "set_rbm")

# ------------------------------------------------------------------------------------- the tables


def named(studies: Iterable[Record]) -> pd.DataFrame:
    """The rows of studies with the setting of the machine: columns dataset, method, seed, variant,
    hidden, cd and start (first biases of the visible units) beside their own.
    """
    parts = []
    for record in studies:
        parent = record.config.parent
        names = {"dataset": parent.dataset, "method": parent.method, "seed": parent.seed}
        names |= {"variant": parent.variant, "hidden": parent.hidden[0], "cd": parent.cd_steps}
        names |= {"start": parent.visible_start}
        parts.append(record.metrics.assign(**names))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def named_ends(studies: Iterable[Record]) -> pd.DataFrame:
    """The rows of studies that describe the end, data sets and methods as people read them."""
    rows = named(studies)
    if rows.empty:
        columns = ["dataset", "method", "hidden", "start", "measure", "value"]
        return pd.DataFrame(columns=columns)
    return tables.named(links.at_end(rows))


def evidence(studies: Iterable[Record]) -> pd.DataFrame:
    """What the procedure says of the hidden degrees at the end, by setting.

    Returns: a row a setting: n (seeds), medians of α, tail and p, shares plausible (p >= .1) and
        strong, largest degree over the mean.
    """
    columns = ["dataset", "hidden", "cd"]
    rows = named(studies)
    if rows.empty:
        return pd.DataFrame(columns=columns)
    ends = rows[(rows["kind"] == "network") & (rows["neurons"] == "hidden 1")]
    ends = links.at_end(ends)
    found = []
    for key, group in ends.groupby(columns, sort=False):
        row = dict(zip(columns, key, strict=True)) | {"n": len(group)}
        row |= {"α": group["exponent"].median(), "tail": group["n_tail"].median()}
        row |= {"p": group["p"].median(), "plausible": group["p"].ge(power_law.REJECT_BELOW).mean()}
        row["strong"] = group["strong"].eq(True).mean()
        row["max / mean"] = (group["max"] / group["mean"]).mean()
        found.append(row)
    return pd.DataFrame(found)


def hidden_degrees(record: Record, epoch: int | str) -> np.ndarray:
    """(n_hidden,) links of every hidden unit after an epoch, or "final"; empty if not recorded."""
    sequences = topology.degree_sequences(trained.degrees(record), epoch)
    return sequences.get("hidden 1", np.empty(0, int))


def degree_course(records: Iterable[Record]) -> pd.DataFrame:
    """Fig. 3: how the hidden degrees of machines spread over the recorded epochs, and p of the rank
    correlation of degree and frequency that stands for the test which the paper does not name.

    Returns: columns dataset ("CD-1", …), setting ("100 hidden", …), method, seed, epoch, ratio
        (variance over mean), p.
    """
    rows = []
    for record in records:
        run = record.config
        names = f"CD-{run.cd_steps}", f"{run.hidden[0]} hidden", run.method, run.seed
        for epoch in topology.recorded_epochs(trained.degrees(record)):
            if epoch == "final":
                continue
            degrees = hidden_degrees(record, epoch)
            ratio = degrees.var() / degrees.mean()
            rows.append((*names, epoch, ratio, power_law.frequency_correlation(degrees)))
    columns = ["dataset", "setting", "method", "seed", "epoch", "ratio", "p"]
    return pd.DataFrame(rows, columns=columns)


def visible_maps(records: Sequence[Record], seed: int) -> Maps:
    """Fig. 4: the links of every pixel over epochs: a row a machine, a column an epoch."""
    maps: Maps = {}
    for record in records:
        run = record.config
        if run.seed != seed:
            continue
        recorded = topology.recorded_epochs(trained.degrees(record))
        name = (
            f"{labels.dataset(run.dataset)}\n{run.hidden[0]} hidden, biases {run.visible_start}\n"
        )
        row = {}
        for epoch, heading in MAP_EPOCHS.items():
            if epoch in recorded:
                row[heading] = images.turned(input_links(record, epoch), run.dataset)
        maps[name + labels.method_name(run.method)] = row
    return maps
