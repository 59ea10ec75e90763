"""The command line: ``python -m lib COMMAND``. Exit status 0 only if all that was asked for was
done.
"""

import argparse
import ast
import itertools
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from lib import bench, claims, data, executors, experiments, notebooks, records
from lib.names import check_known


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lib", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (function, words, defaults) in COMMANDS.items():
        text = function.__doc__
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        for word in words.split():
            command.add_argument(word, **OPTIONS[word])
        command.set_defaults(function=function, **defaults)
    try:
        chosen = parser.parse_args(arguments)
        for name, value in vars(chosen).items():
            if name in ("jobs", "seeds") and value is not None and value < 1:
                raise ValueError(f"{name} = {value} is out of range: give at least 1")
        return chosen.function(chosen) or 0
    except BrokenPipeError:  # the reader of our output, as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        remedy = ': pip install -e ".[cluster]"' if isinstance(error, ImportError) else ""
        print(f"error: {error}{remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing is lost, the same command continues", file=sys.stderr)
        return 130


def show_list(chosen: argparse.Namespace) -> None:
    """Experiments, notebooks, profiles, and what is stored."""
    paths = [p for folder in (records.RUNS, records.RESULTS) for p in folder.glob("*-*")]
    stored = {p.name: p for p in paths if p.is_dir() and not p.suffix}  # in both: data/results
    table = records.table([records.read(path) for _, path in sorted(stored.items())])
    counts = []
    for name, profile in itertools.product(experiments.EXPERIMENTS, experiments.PROFILES):
        wanted = {config.name for config in experiments.configs(name, profile)}
        counts.append((name, profile, len(wanted), len(wanted & stored.keys())))
    runs = pd.DataFrame(counts, columns=["experiment", "profile", "runs", "stored"])
    lines = [
        f"experiments: {', '.join(experiments.EXPERIMENTS)}",
        f"notebooks:   {', '.join(path.stem for path in notebooks.find())}",
        f"profiles:    {', '.join(experiments.PROFILES)}",
        runs.to_string(index=False),
    ]
    _report(chosen, table, "\n".join(lines))


def show_data(chosen: argparse.Namespace) -> int:
    """Fetch and verify data sets; say where each came from."""
    rows = data.where(chosen.names)
    print(pd.DataFrame(rows).to_string(index=False))
    damaged = any(row["status"].startswith("damaged") for row in rows)
    missing = chosen.names and not all(row["source"] for row in rows)
    return 1 if damaged or missing else 0


def run(chosen: argparse.Namespace) -> None:
    """Train what is missing of an experiment and print its records."""
    configs = experiments.configs(chosen.experiment, chosen.profile)
    configs, changes = _chosen(configs, dict(map(_assignment, chosen.set)))
    configs = list(dict.fromkeys(config.with_changes(changes) for config in configs))
    data.require_known(*(config.dataset for config in configs))
    for config in configs:
        config.settings()  # refuses what is out of range
    if chosen.seeds is not None:
        seeded = [c.with_changes({"seed": seed}) for c in configs for seed in range(chosen.seeds)]
        configs = list(dict.fromkeys(seeded))
    _say_what_stands_in(configs)
    table = records.table(_sweep(configs, chosen, slim=not changes))
    shown = table.drop(columns=["experiment", "optimiser"])
    _report(chosen, table, shown.to_string(index=False))


def _chosen(
    configs: list[experiments.Config], changes: dict[str, Any]
) -> tuple[list[experiments.Config], dict[str, Any]]:
    """The configurations of the method, variant and data set that the changes name, and the other
    changes. A data set that the experiment does not have changes the runs on its first one.
    """
    rest = dict(changes)
    for label in ("method", "variant", "dataset"):
        if label in changes:
            known = list(dict.fromkeys(getattr(c, label) for c in configs))
            if label == "dataset" and changes[label] not in known:
                return [c for c in configs if c.dataset == known[0]], rest
            value = rest.pop(label)
            check_known(label, value, known)
            configs = [c for c in configs if getattr(c, label) == value]
    return configs, rest


def figures(chosen: argparse.Namespace) -> None:
    """Run what the notebooks miss, then execute them with papermill into figures/PROFILE."""
    check_known("profile", chosen.profile, experiments.PROFILES)
    paths = notebooks.find(chosen.only)
    failed: list[str] = []
    if chosen.profile != "paper" or chosen.train:
        needed = dict.fromkeys(name for path in paths for name in notebooks.needed(path))
        configs = [c for name in needed for c in experiments.configs(name, chosen.profile)]
        _say_what_stands_in(configs)
        try:
            _sweep(configs, chosen)
        except executors.RunsFailed as error:  # notebooks that do not need them are still rendered
            failed.append(str(error))
    if chosen.jobs > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # kernels side by side: one thread each
    print(f"rendering {len(paths)} notebooks into {notebooks.FIGURES / chosen.profile}")
    with tqdm(total=len(paths), unit="notebook") as bar:

        def done(path, seconds):
            bar.write(f"{path.stem}  {seconds:.0f} s")
            bar.update()

        failed += notebooks.execute_all(paths, chosen.profile, chosen.jobs, done)
    if failed:
        raise RuntimeError("; ".join(failed))
    print(f"see {notebooks.write_index(chosen.profile)}")


def show_claims(chosen: argparse.Namespace) -> None:
    """The published claims and our verdicts."""
    table = claims.verdicts(chosen.profile)
    shown = table.drop(columns=["paper", "published", "profile"])
    shown["statement"] = shown["statement"].str.slice(0, 70)
    shown["n"] = shown["n"].astype("string").fillna("")
    text = shown.to_string(index=False, na_rep="", float_format="{:.3f}".format)
    counts = ", ".join(f"{n} {name}" for name, n in table["verdict"].value_counts().items())
    _report(chosen, table, f"{text}\nprofile {chosen.profile}: {counts}")


def show_bench(chosen: argparse.Namespace) -> None:
    """Kernels and training step against dense, masked and torch.sparse."""
    if chosen.threads is not None:
        if not 1 <= chosen.threads <= (os.cpu_count() or 1):
            raise ValueError(f"threads = {chosen.threads}: this machine has {os.cpu_count()} cores")
        bench.torch.set_num_threads(chosen.threads)
    kinds = (bench.sweep_products, bench.sweep_steps) if chosen.sweeps else ()
    table = pd.concat([k("paper") for k in kinds]) if kinds else bench.measure()
    _report(chosen, table, table.to_string(index=False, float_format="{:.3f}".format))


def _sweep(
    configs: Sequence[experiments.Config], chosen: argparse.Namespace, *, slim: bool = True
) -> list[records.Record]:
    """Run what is missing; with ``slim`` store what a clone needs of the profile "paper"."""
    options = vars(chosen)
    try:
        return executors.sweep(configs, jobs=chosen.jobs, scheduler=options.get("scheduler"))
    finally:  # what is finished is stored, whatever became of the rest
        if slim and chosen.profile == "paper":
            for record in records.records(configs):
                records.write_slim(record)


def _say_what_stands_in(configs: Sequence[experiments.Config]) -> None:
    """Print one line for every data set that another stands in for."""
    for name, fallback in dict.fromkeys((c.dataset, c.fallback) for c in configs if c.fallback):
        if notice := data.load(name, fallback=fallback).notice:
            print(notice, file=sys.stderr)


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text!r} is not key=value")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def _report(chosen: argparse.Namespace, table: pd.DataFrame, text: str) -> None:
    """Print the text; where JSON is asked for, write the rows of the table in its place."""
    if chosen.json:
        known = table.notna() & ~table.isin([math.inf, -math.inf])  # JSON has neither inf nor nan
        text = json.dumps(table.astype(object).where(known, None).to_dict("records"), indent=1)
    if (chosen.json or "-") == "-":
        print(text)
    else:
        part = Path(f"{chosen.json}.part")
        part.write_text(f"{text}\n")
        part.replace(chosen.json)


OPTIONS: dict[str, dict[str, Any]] = {
    "names": {"nargs": "*", "metavar": "NAME"},
    "experiment": {"metavar": "EXPERIMENT"},
    "--profile": {"default": "quick", "metavar": "P"},
    "--seeds": {"type": int, "metavar": "N"},
    "--jobs": {"type": int, "default": 1, "metavar": "N"},
    "--set": {
        "nargs": "+",
        "default": [],
        "metavar": "key=value",
        "help": "change a field of the runs; method, variant and dataset choose among them",
    },
    "--scheduler": {"metavar": "ADDRESS"},
    "--only": {"nargs": "+", "metavar": "NN"},
    "--train": {
        "action": "store_true",
        "help": "run what is missing in the profile paper too (hours; resumable)",
    },
    "--threads": {"type": int, "metavar": "N"},
    "--sweeps": {
        "action": "store_true",
        "help": "against width, density and batch, for notebooks (1 h)",
    },
    "--json": {"metavar": "FILE", "help": "write a list of objects ('-': print it)"},
}
COMMANDS = {  # function, arguments, defaults other than those of OPTIONS
    "list": (show_list, "--json", {}),
    "data": (show_data, "names", {}),
    "run": (run, "experiment --profile --seeds --jobs --set --scheduler --json", {}),
    "figures": (figures, "--profile --only --jobs --train", {}),
    "claims": (show_claims, "--profile --json", {"profile": "paper"}),
    "bench": (show_bench, "--threads --sweeps --json", {}),
}


if __name__ == "__main__":
    sys.exit(main())
