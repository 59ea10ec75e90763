"""The command line: ``python -m lib COMMAND``. Exit status 0 only if all that was asked for was
done.
"""

import argparse
import ast
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from lib import bench, data, papers, paths
from lib.command import freshness, gallery, notebooks
from lib.command.options import OPTIONS
from lib.files import whole
from lib.names import check_known
from lib.report.verdicts import in_full
from lib.runs import executors, replay
from lib.runs.clusters import Cluster
from lib.runs.config import Run
from lib.runs.experiment import PROFILES, choose
from lib.runs.record import summaries

Chosen = argparse.Namespace  # the words of a command
LABELS = ("method", "variant", "dataset")  # fields that choose among the runs


class Command(NamedTuple):
    """A command: what it does, its arguments, and defaults other than those of OPTIONS."""

    function: Callable[[Chosen], int | None]
    arguments: tuple[str, ...]
    defaults: dict[str, Any] = {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    os.environ.setdefault("PYTHONUTF8", "1")  # of kernels and workers, whatever the locale is
    try:
        chosen = _parser().parse_args(arguments)
        for name in ("jobs", "seeds", "epochs", "workers", "runs"):
            value = getattr(chosen, name, None)
            if value is not None and value < 1:
                raise ValueError(f"{name} = {value} is out of range: give at least 1")
        return chosen.function(chosen) or 0
    except BrokenPipeError:  # the reader of our output, as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        remedy = ': pip install -e ".[cluster]"' if isinstance(error, ImportError) else ""
        print(f"error: {error}{remedy}", file=sys.stderr)
        return 1
    except MemoryError as error:
        reason = str(error) or "an array did not fit"
        remedy = "free some, or take fewer --jobs; what is done is kept"
        print(f"error: not enough memory ({reason}): {remedy}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lib", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        text = command.function.__doc__
        words = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        for argument in command.arguments:
            words.add_argument(argument, **OPTIONS[argument])
        words.set_defaults(function=command.function, **command.defaults)
    return parser


# -------------------------------------------------------------------------------- list and data


def show_list(chosen: Chosen) -> None:
    """Experiments, notebooks, profiles, and what is stored."""
    stored = papers.STORE.names()
    counts = []
    for name, experiment in papers.EXPERIMENTS.items():
        for profile in PROFILES:
            wanted = {run.name for run in experiment.runs(profile)}
            counts.append((name, profile, len(wanted), len(wanted & stored)))
    runs = pd.DataFrame(counts, columns=["experiment", "profile", "runs", "stored"])
    books = [path.stem for path in notebooks.find()]
    lines = (
        f"experiments: {', '.join(papers.EXPERIMENTS)}",
        f"notebooks:   {', '.join(books)}",
        f"profiles:    {', '.join(PROFILES)}",
        runs.to_string(index=False),
    )
    table = summaries(papers.STORE.everything()) if chosen.json else runs
    _report(chosen, table, "\n".join(lines))


def show_data(chosen: Chosen) -> int:
    """Fetch and verify data sets; say where each came from."""
    rows = data.where(chosen.names)
    print(pd.DataFrame(rows).to_string(index=False))
    for row in rows:
        damaged = row["status"].startswith("damaged")
        if damaged or (chosen.names and not row["source"]):
            return 1
    return 0


# ------------------------------------------------------------------------------------------ run


def run(chosen: Chosen) -> None:
    """Train what is missing of an experiment and print its records."""
    runs = choose(papers.EXPERIMENTS, chosen.experiment).runs(chosen.profile)
    changes = dict(map(_assignment, chosen.set))
    runs, changes = _chosen(runs, changes)
    runs = [run.with_changes(changes) for run in runs]
    if chosen.seeds is not None:
        runs = [run.with_changes({"seed": seed}) for run in runs for seed in range(chosen.seeds)]
    runs = list(dict.fromkeys(runs))
    data.require_known(*(run.dataset for run in runs))
    for one in runs:
        one.check()
    _say_what_stands_in(runs)
    table = summaries(papers.STORE.records(_sweep(runs, chosen, ship=not changes)))
    shown = table.drop(columns=["experiment", "optimiser"])
    _report(chosen, table, shown.to_string(index=False))


def _chosen(runs: list[Run], changes: dict[str, Any]) -> tuple[list[Run], dict[str, Any]]:
    """The runs of the method, variant and data set that the changes name, and the other changes. A
    data set that the experiment does not have changes the runs on its first one.
    """
    others = dict(changes)
    for label in LABELS:
        if label not in changes:
            continue
        known = list(dict.fromkeys(getattr(run, label) for run in runs))
        if label == "dataset" and changes[label] not in known:
            return [run for run in runs if run.dataset == known[0]], others
        value = others.pop(label)
        check_known(label, value, known)
        runs = [run for run in runs if getattr(run, label) == value]
    return runs, others


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text!r} is not key=value")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def _sweep(runs: Sequence[Run], chosen: Chosen, *, ship: bool = True) -> list[Run]:
    """Run what is missing; with ``ship`` store what a clone needs of the profile "paper"."""
    store = papers.STORE
    try:
        return executors.make_missing(store, runs, jobs=chosen.jobs, cluster=_cluster(chosen))
    finally:  # what is finished is stored, whatever became of the others
        if ship and chosen.profile == "paper":
            for record in store.records(runs):
                store.ship(record)


def _cluster(chosen: Chosen) -> Cluster | None:
    """Where the runs are made, if not on this machine alone."""
    words = (chosen.scheduler, chosen.cluster, chosen.workers, chosen.hosts, chosen.wire)
    if not any(words):
        return None
    address, kind, workers, hosts, wire = words
    return Cluster(address, kind, workers, tuple(hosts or ()), wire)


def _say_what_stands_in(runs: Iterable[Run]) -> None:
    """Print one line for every data set that another stands in for."""
    pairs = {(run.dataset, run.stand_in.dataset): None for run in runs if run.stand_in}
    for name, fallback in pairs:
        notice = data.notice(name, fallback=fallback)
        if notice:
            print(notice, file=sys.stderr)


# --------------------------------------------------------------------------------------- replay


def replay_records(chosen: Chosen) -> int:
    """Train the first epochs of stored records anew, compare them bit by bit, and store nothing."""
    records = []
    for name in _with_epochs(chosen.experiments):
        records += replay.choose_records(
            papers.STORE, name, chosen.profile, dirty=chosen.dirty, every=chosen.all
        )
    rows = replay.replay(papers.STORE, records, chosen.epochs)
    table = pd.DataFrame(rows, columns=list(replay.COLUMNS)).astype({"epoch": "Int64"})
    _report(chosen, table, _replayed(table))
    return int(replay.DIFFERS in set(table["outcome"]))


def _with_epochs(names: Sequence[str]) -> list[str]:
    """Those experiments, of all if none is named, that can be replayed; print which cannot."""
    names = list(dict.fromkeys(names or papers.EXPERIMENTS))
    chosen = [choose(papers.EXPERIMENTS, name) for name in names]
    able = [experiment.name for experiment in chosen if experiment.replay is not None]
    others = [name for name in names if name not in able]
    if others:
        print(f"skipped, as their runs have no epochs: {', '.join(others)}", file=sys.stderr)
    return able


def _replayed(table: pd.DataFrame) -> str:
    """A line for each record that was replayed, and what became of them all."""
    if table.empty:
        return "no such record is stored"
    shown = table[["experiment", "dataset", "method", "variant", "seed", "epochs", "outcome"]]
    shown = shown.assign(
        loss_difference=table["loss_difference"].map("{:.1g}".format, na_action="ignore"),
        first_difference=table.apply(_first_difference, axis=1),
        dirty=table["dirty"],
        commit=table["commit"].str.slice(0, 7),
        changed_here=table["changed_here"],
        record=table["record"],
    )
    counts = [f"{n} {outcome}" for outcome, n in table["outcome"].value_counts().items()]
    return f"{shown.to_string(index=False, na_rep='')}\n{', '.join(counts)}"


def _first_difference(row: pd.Series) -> str:
    """Where a record differs first, or why it was not replayed."""
    if pd.notna(row["note"]):
        return row["note"]
    if pd.isna(row["column"]):
        return ""
    place = f"{row['column']} of epoch {row['epoch']}"
    return f"{place}: {row['stored']}, now {row['replayed']}"


# ------------------------------------------------------------------------------ figures, claims


def figures(chosen: Chosen) -> None:
    """Run what the notebooks miss, then execute those with papermill into figures/PROFILE of which
    something has changed.
    """
    check_known("profile", chosen.profile, PROFILES)
    trains = chosen.profile != "paper" or chosen.train
    if not trains and _cluster(chosen) is not None:
        raise ValueError("the profile paper shows stored records: a cluster goes with --train")
    paths_of_notebooks = notebooks.find(chosen.only)
    failed: list[str] = []
    if trains:
        try:
            _sweep(_needed(paths_of_notebooks, chosen.profile), chosen)
        except executors.RunsFailed as error:  # notebooks that do not need them are still rendered
            failed.append(str(error))
    if chosen.jobs > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # kernels side by side: one thread each
    changed = _changed(paths_of_notebooks, chosen)
    if changed:
        failed += notebooks.execute_all(changed, chosen.profile, chosen.jobs)
    page = gallery.write(chosen.profile)
    if failed:
        raise RuntimeError("; ".join(failed))
    print(f"see {page}")


def _changed(books: Sequence[Path], chosen: Chosen) -> list[Path]:
    """The notebooks that must be rendered; print how many, and why where they were before."""
    reasons = dict.fromkeys(books, "")
    changed = list(books)
    if not chosen.force:
        reasons = {path: notebooks.why(path, chosen.profile) for path in books}
        changed = [path for path, reason in reasons.items() if reason]
    kept = len(books) - len(changed)
    line = f"rendering {len(changed)} notebooks into {paths.FIGURES / chosen.profile}"
    if kept:
        line += f"; of {kept} nothing has changed (--force renders them too)"
    print(line)
    for path in changed:
        if reasons[path] not in ("", freshness.NEW):
            print(f"{path.stem}: {reasons[path]}")
    sys.stdout.flush()
    return changed


def _needed(books: Iterable[Path], profile: str) -> list[Run]:
    """The runs that notebooks show."""
    runs: list[Run] = []
    for path in books:
        for name in notebooks.needed(path):
            check_known(f"experiment in the metadata of {path.name},", name, papers.EXPERIMENTS)
            runs += papers.EXPERIMENTS[name].runs(profile)
    runs = list(dict.fromkeys(runs))
    _say_what_stands_in(runs)
    return runs


def show_claims(chosen: Chosen) -> None:
    """The published claims and our verdicts, or every reading of those that have several."""
    ids = _ids_of(chosen.claims)
    if chosen.readings:
        table = papers.readings(chosen.profile, ids)
        text = "none of these claims has several readings"
        if len(table):
            text = table.to_string(index=False, float_format="{:.3f}".format)
        _report(chosen, table, text)
        return
    table = papers.verdicts(chosen.profile, ids)
    shown = table.drop(columns=["paper", "published", "profile"])
    shown["statement"] = shown["statement"].str.slice(0, 70)
    shown["n"] = shown["n"].astype("string").fillna("")
    text = shown.to_string(index=False, na_rep="", float_format="{:.3f}".format)
    if len(table) == 1:
        text = _one_claim(table.iloc[0].to_dict())
    counts = [f"{n} {verdict}" for verdict, n in table["verdict"].value_counts().items()]
    _report(chosen, table, f"{text}\nprofile {chosen.profile}: {', '.join(counts)}")


def _one_claim(row: dict[str, Any]) -> str:
    """A line for each thing that is said of a claim."""
    claim = papers.PUBLISHED.set_index("id").loc[row["id"]]
    said = {"claim": row["id"], **in_full(row, claim)}
    return "\n".join(f"{name:<10}{text}" for name, text in said.items() if text)


def _ids_of(names: Sequence[str]) -> list[str] | None:
    """The claims that are named, by id or by the letter of their paper; None where none is."""
    known = list(papers.PUBLISHED["id"])
    if not names:
        return None
    papers_of = {claim: claim.rstrip("0123456789") for claim in known}
    for name in names:
        check_known("claim", name, [*dict.fromkeys(papers_of.values()), *known])
    return [claim for claim in known if claim in names or papers_of[claim] in names]


def show_bench(chosen: Chosen) -> None:
    """Training step, epoch, prediction and products against dense and other libraries."""
    if chosen.threads is not None:
        if not 1 <= chosen.threads <= (os.cpu_count() or 1):
            raise ValueError(f"threads = {chosen.threads}: this machine has {os.cpu_count()} cores")
        torch.set_num_threads(chosen.threads)
    cluster = _cluster(chosen)
    if cluster is not None or chosen.runs is not None:
        cluster = cluster or Cluster(kind="local")
        table = bench.measure_cluster(cluster, chosen.runs or bench.RUNS)
    else:
        table = bench.measure_all() if chosen.sweeps else bench.measure()
    shown = table.drop(columns=["cpu", "sweep", "rounds"], errors="ignore")
    _report(chosen, table, shown.to_string(index=False, float_format="{:.3f}".format))


# ---------------------------------------------------------------------------------------- output


def _report(chosen: Chosen, table: pd.DataFrame, text: str) -> None:
    """Print the text; where JSON is asked for, write the rows of the table in its place."""
    if chosen.json:
        known = table.notna() & ~table.isin([math.inf, -math.inf])  # JSON has neither inf nor nan
        rows = table.astype(object).where(known, None).to_dict("records")
        text = json.dumps(rows, indent=1)
    if chosen.json in (None, "-"):
        print(text)
        return
    with whole(Path(chosen.json)) as part:
        part.write_text(f"{text}\n")


ON_CLUSTER = ("--scheduler", "--cluster", "--workers", "--hosts", "--wire")
RUN = ("experiment", "--profile", "--seeds", "--jobs", "--set", *ON_CLUSTER, "--json")
FIGURES = ("--profile", "--only", "--jobs", "--train", "--force", *ON_CLUSTER)
CLAIMS = ("claims", "--profile", "--readings", "--json")
REPLAY = ("experiments", "--epochs", "--profile", "--all", "--dirty", "--json")
COMMANDS: dict[str, Command] = {
    "list": Command(show_list, ("--json",)),
    "data": Command(show_data, ("names",)),
    "run": Command(run, RUN),
    "replay": Command(replay_records, REPLAY, {"profile": "paper"}),
    "figures": Command(figures, FIGURES),
    "claims": Command(show_claims, CLAIMS, {"profile": "paper"}),
    "bench": Command(show_bench, ("--threads", "--sweeps", "--runs", *ON_CLUSTER, "--json")),
}
