"""The command line: ``python -m lib COMMAND``. Exit status 0 only if all that was asked for was
done.
"""

import argparse
import ast
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd
from tqdm import tqdm

from lib import bench, claims, data, executors, experiments, notebooks, records


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lib", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (function, words) in COMMANDS.items():
        text = (function.__doc__ or "").splitlines()[0]
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(function=function)
        for word in words:
            flags, options = OPTIONS[word]
            command.add_argument(*flags, **options)
    try:
        chosen = parser.parse_args(arguments)
        return chosen.function(chosen)
    except BrokenPipeError:  # the reader of our output, as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ImportError as error:
        print(f'error: {error}: pip install -e ".[cluster]"', file=sys.stderr)
        return 1
    except (ValueError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing is lost, the same command continues", file=sys.stderr)
        return 130


def show_list(chosen: argparse.Namespace) -> int:
    """Experiments, notebooks, profiles, and what is stored."""
    rows = []
    for folder in (records.RESULTS, records.RUNS):
        for path in sorted(folder.glob("*-*")) if folder.is_dir() else []:
            if path.is_dir() and not path.suffix and path.name not in {r["record"] for r in rows}:
                rows.append(records.read(path).summary())
    if chosen.json:
        return _write_json(chosen.json, rows)
    print("experiments:", ", ".join(experiments.EXPERIMENTS))
    print("notebooks:  ", ", ".join(path.stem for path in notebooks.find()))
    print("profiles:   ", ", ".join(experiments.PROFILES))
    counts = []
    for name in experiments.EXPERIMENTS:
        for profile in experiments.PROFILES:
            wanted = {config.name for config in experiments.configs(name, profile)}
            n_stored = len(wanted & {row["record"] for row in rows})
            counts.append(
                {"experiment": name, "profile": profile, "runs": len(wanted), "stored": n_stored}
            )
    print(pd.DataFrame(counts).to_string(index=False))
    return 0


def show_data(chosen: argparse.Namespace) -> int:
    """Fetch and verify data sets; say where each came from."""
    rows = data.where(chosen.names or data.NAMES)
    print(pd.DataFrame(rows).to_string(index=False))
    damaged = any(row["status"].startswith("damaged") for row in rows)
    missing = chosen.names and not all(row["source"] for row in rows)
    return 1 if damaged or missing else 0


def run(chosen: argparse.Namespace) -> int:
    """Train what is missing of an experiment and print its records."""
    _check_jobs(chosen.jobs)
    configs = experiments.configs(chosen.experiment, chosen.profile)
    if chosen.set:
        changes = dict(_assignment(text) for text in chosen.set)
        configs = [c.with_changes(changes) for c in configs]
        for config in configs:
            config.settings()
            if config.dataset not in data.NAMES:
                raise ValueError(experiments.unknown("data set", config.dataset, data.NAMES))
    if chosen.seeds is not None:
        configs = _with_seeds(configs, chosen.seeds)
    _say_what_stands_in(configs)
    try:
        found = executors.sweep(configs, jobs=chosen.jobs, scheduler=chosen.scheduler)
    finally:  # what is finished is stored, whatever became of the rest
        if chosen.profile == "paper" and not chosen.set:
            for record in records.records(configs):
                if record.path.parent == records.RUNS:
                    records.write_slim(record)
    table = records.table(found)
    if chosen.json:
        return _write_json(chosen.json, table.to_dict("records"))
    print(table.drop(columns=["experiment", "optimiser"]).to_string(index=False))
    return 0


def figures(chosen: argparse.Namespace) -> int:
    """Run what the notebooks miss, then execute them with papermill into figures/PROFILE."""
    _check_jobs(chosen.jobs)
    if chosen.profile not in experiments.PROFILES:
        raise ValueError(experiments.unknown("profile", chosen.profile, experiments.PROFILES))
    paths = notebooks.find(chosen.only)
    failed: list[str] = []
    needed = dict.fromkeys(name for path in paths for name in notebooks.needed(path))
    if chosen.profile != "paper":
        configs = [c for name in needed for c in experiments.configs(name, chosen.profile)]
        _say_what_stands_in(configs)
        try:
            executors.sweep(configs, jobs=chosen.jobs)
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
    return 0


def show_claims(chosen: argparse.Namespace) -> int:
    """The published claims and our verdicts."""
    table = claims.verdicts(chosen.profile)
    if chosen.json:
        return _write_json(chosen.json, table.to_dict("records"))
    table["statement"] = table["statement"].str.slice(0, 70)
    shown = table.drop(columns=["paper", "published", "profile"])
    shown["n"] = shown["n"].astype("string").fillna("")
    print(shown.to_string(index=False, na_rep="", float_format="{:.3f}".format))
    print(f"profile {chosen.profile}: " + _count(table["verdict"]))
    return 0


def show_bench(chosen: argparse.Namespace) -> int:
    """Kernels and training step against dense, masked and torch.sparse."""
    if chosen.threads is not None:
        if not 1 <= chosen.threads <= (os.cpu_count() or 1):
            raise ValueError(f"threads = {chosen.threads}: this machine has {os.cpu_count()} cores")
        bench.torch.set_num_threads(chosen.threads)
    kinds = (bench.sweep_products, bench.sweep_steps) if chosen.sweeps else ()
    table = bench.pd.concat([k("paper") for k in kinds]) if kinds else bench.measure()
    if chosen.json:
        return _write_json(chosen.json, table.to_dict("records"))
    print(table.to_string(index=False, float_format="{:.3f}".format))
    return 0


def _say_what_stands_in(configs: Sequence[experiments.Config]) -> None:
    """Print one line for every data set that another stands in for."""
    for config in {(c.dataset, c.fallback): c for c in configs if c.fallback}.values():
        if notice := data.load(config.dataset, fallback=config.fallback).notice:
            print(notice, file=sys.stderr)


def _check_jobs(jobs: int) -> None:
    if jobs < 1:
        raise ValueError(f"jobs = {jobs} is out of range: give at least 1")


def _count(verdicts: pd.Series) -> str:
    return ", ".join(f"{n} {name}" for name, n in verdicts.value_counts().items())


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text!r} is not key=value")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def _with_seeds(configs: list[experiments.Config], seeds: int) -> list[experiments.Config]:
    if seeds < 1:
        raise ValueError(f"seeds = {seeds} is out of range: give at least 1")
    changed = [c.with_changes({"seed": seed}) for c in configs for seed in range(seeds)]
    return list(dict.fromkeys(changed))


def _write_json(path: str, rows: list[dict[str, Any]]) -> int:
    missing = (math.inf, -math.inf)  # JSON has neither infinity nor nan
    cleaned = [
        {k: None if pd.isna(v) or v in missing else v for k, v in row.items()} for row in rows
    ]
    text = json.dumps(cleaned, indent=1, default=lambda value: value.item()) + "\n"
    if path == "-":
        print(text, end="")
    else:
        part = f"{path}.part"
        with open(part, "w") as file:
            file.write(text)
        os.replace(part, path)
    return 0


OPTIONS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "names": (("names",), {"nargs": "*", "metavar": "NAME"}),
    "experiment": (("experiment",), {"metavar": "EXPERIMENT"}),
    "profile": (("--profile",), {"default": "quick", "metavar": "P"}),
    "profile paper": (("--profile",), {"default": "paper", "metavar": "P"}),
    "seeds": (("--seeds",), {"type": int, "metavar": "N"}),
    "jobs": (("--jobs",), {"type": int, "default": 1, "metavar": "N"}),
    "set": (("--set",), {"nargs": "+", "metavar": "key=value"}),
    "scheduler": (("--scheduler",), {"metavar": "ADDRESS"}),
    "only": (("--only",), {"nargs": "+", "metavar": "NN"}),
    "threads": (("--threads",), {"type": int, "metavar": "N"}),
    "sweeps": (
        ("--sweeps",),
        {"action": "store_true", "help": "against width, density and batch, for notebooks (1 h)"},
    ),
    "json": (("--json",), {"metavar": "FILE", "help": "write a list of objects ('-': print it)"}),
}
COMMANDS = {
    "list": (show_list, ["json"]),
    "data": (show_data, ["names"]),
    "run": (run, ["experiment", "profile", "seeds", "jobs", "set", "scheduler", "json"]),
    "figures": (figures, ["profile", "only", "jobs"]),
    "claims": (show_claims, ["profile paper", "json"]),
    "bench": (show_bench, ["threads", "sweeps", "json"]),
}


if __name__ == "__main__":
    sys.exit(main())
