"""One record for each run of an experiment, made once.

A run is (configuration, seed). Its record lies in a folder named by the hash of both, is written
to a temporary name and renamed at the end: present means complete, and what is present is never
done again. An interrupted run goes on from its checkpoint, to the same bits.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import torch

from lib import data, train
from lib.experiments import Config, profile_of, resolve
from lib.support import Support, make_support

ROOT = Path(__file__).resolve().parents[1]
RUNS = Path(os.environ.get("SPARSE_RUNS_DIR", ROOT / "data" / "runs"))
RESULTS = Path(os.environ.get("SPARSE_RESULTS_DIR", ROOT / "data" / "results"))


@dataclass(frozen=True)
class Record:
    """What one run left. Accuracies are fractions.

    Attributes:
        config: the configuration, with the data set actually loaded.
        metrics: one row an epoch, see :class:`lib.train.History`.
        arrays: degrees, named layer.in_degree.epoch and layer.out_degree.epoch; in a full record
            also the final state, named state.<name in the state dict>; in a slim one its links,
            where kept.
        environment: architecture, final accuracy and links, seconds, commit, versions, hardware,
            data.
        path: its folder.
    """

    config: Config
    metrics: pd.DataFrame
    arrays: dict[str, np.ndarray]
    environment: dict[str, Any]
    path: Path

    @property
    def widths(self) -> tuple[int, ...]:
        """Input, hidden and output widths."""
        return tuple(int(n) for n in self.environment["architecture"].split("-"))

    def supports(self) -> dict[str, Support]:
        """The links at the end of each sparse layer, by layer; empty where they were not kept."""
        found = {}
        for i, (n_in, n_out) in enumerate(pairwise(self.widths), start=1):
            names = [f"state.linear{i}.{part}" for part in ("crow", "col")]
            if names[0] in self.arrays:
                crow, col = (torch.from_numpy(self.arrays[name]).long() for name in names)
                rows = torch.arange(n_out).repeat_interleave(crow.diff())
                found[f"linear{i}"] = make_support(rows, col, n_in, n_out)
        return found

    def summary(self) -> dict[str, Any]:
        """The record as one flat object, see the command line."""
        test, valid = self.metrics["test_accuracy"], self.metrics["valid_accuracy"]
        tested = test.notna().all()
        last = self.metrics.iloc[-1]
        final = self.environment["final"]
        return {
            "experiment": self.config.experiment,
            "dataset": self.config.dataset,
            "architecture": self.environment["architecture"],
            "method": self.config.method,
            "variant": self.config.variant,
            "optimiser": self.config.optimiser,
            "epochs": self.config.epochs,
            "seed": self.config.seed,
            "profile": profile_of(self.config),
            "best_accuracy": test[valid.idxmax()] if tested and valid.notna().all() else None,
            "best_on_test_accuracy": test.max() if tested else None,
            "last_accuracy": last["test_accuracy"] if tested else None,
            "final_accuracy": final["test_accuracy"],
            "links_training": int(last["links"]),
            "links_final": final["links"],
            "seconds": self.environment["seconds"],
            "record": self.config.name,
        }


def stored(config: Config, *, full: bool = False) -> Record | None:
    """The record of a run, or None if it was not run. ``full`` asks for the trained weights too."""
    folders = (RUNS,) if full else (RESULTS, RUNS)
    found = (folder / config.name for folder in folders if (folder / config.name).is_dir())
    path = next(found, None)
    return None if path is None else read(path)


def read(path: Path) -> Record:
    """Read a record. Raises ValueError naming the file that cannot be read."""
    try:
        config = Config(**json.loads((path / "config.json").read_text()))
        environment = json.loads((path / "environment.json").read_text())
        metrics = pd.read_csv(path / "metrics.csv")
        with (path / "arrays.npz").open("rb") as file, np.load(file) as arrays:
            arrays = dict(arrays)
        if len(metrics) != config.epochs:
            raise ValueError(f"metrics.csv holds {len(metrics)} of {config.epochs} epochs")
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile) as error:
        raise ValueError(
            f"record {path} cannot be read ({error}): delete the folder and run again"
        ) from error
    return Record(config, metrics, arrays, environment, path)


def records(configs: Sequence[Config], *, full: bool = False) -> list[Record]:
    """The stored records (:func:`stored`) of the configurations; what was not run is left out."""
    found = (stored(resolve(config), full=full) for config in configs)
    return [record for record in found if record is not None]


def table(found: Sequence[Record]) -> pd.DataFrame:
    """The summaries of records, one row each."""
    return pd.DataFrame([record.summary() for record in found])


# ------------------------------------------------------------------------------------- run


def run(config: Config, *, on_epoch: Callable[[train.History], None] | None = None) -> Record:
    """Return the record of a run: the stored one, or train it, from its checkpoint if there is one.

    Two processes that want the same run: one trains, the other waits and then loads.

    Args:
        config: the run.
        on_epoch: called with the history after every epoch.
    Raises: ValueError if the configuration is out of range, lib.data.DataUnavailable without data,
        lib.train.Diverged if the loss is not finite.
    """
    config = resolve(config)
    code = environment()  # now: by the end of the run the checkout may have moved on
    path = RUNS / config.name
    with _lock(path.with_suffix(".lock")):
        if path.is_dir():
            return read(path)
        work = path.with_suffix(".work")
        work.mkdir(parents=True, exist_ok=True)
        split = data.load(config.dataset, validation=config.validation, limit=config.limit)
        widths = config.widths(split)
        model = config.model(widths, config.standardisation(split))
        how = {"seed": config.seed, "evaluate_test": config.evaluate_test, "on_epoch": on_epoch}
        how["checkpoint"] = work / "checkpoint.pt"
        history = train.fit(model, split, config.settings(), **how)
        arrays = {name: tensor.numpy() for name, tensor in history.degrees.items()}
        for name, tensor in model.state_dict().items():
            arrays[f"state.{name}"] = tensor.numpy()
        for name, tensor in (history.best_state or {}).items():
            arrays[f"best.{name}"] = tensor.numpy()
        facts = {
            "architecture": "-".join(map(str, widths)),
            "final": history.final,
            "seconds": round(history.seconds, 1),
            "clock": history.clock,
            "data": {"source": split.source, "sha256": split.sha256},
            **code,
        }
        _write(path, config, pd.DataFrame(history.metrics), arrays, facts)
        shutil.rmtree(work)
        return read(path)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an advisory lock, freed by the kernel when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path, config, metrics, arrays, environment) -> None:
    part = path.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    fields = {**dataclasses.asdict(config), "fallback": None}
    (part / "config.json").write_text(json.dumps(fields, indent=1) + "\n")
    (part / "environment.json").write_text(json.dumps(environment, indent=1) + "\n")
    metrics.to_csv(part / "metrics.csv", index=False)
    np.savez_compressed(part / "arrays.npz", **arrays)
    shutil.rmtree(path, ignore_errors=True)
    part.rename(path)


def write_slim(record: Record) -> None:
    """Store in data/results, once, what a clone needs of a record; see the README."""
    config = record.config
    if (RESULTS / config.name).is_dir():
        return
    kept = (".crow", ".col") if config.seed == 0 else ()
    if config.experiment == "adaptive_topology":
        kept = (".crow", ".col", ".values")
    found = {} if config.experiment == "tuning" else record.arrays
    arrays = {}
    for name, array in found.items():
        if name.startswith("linear") or (name.startswith("state.linear") and name.endswith(kept)):
            fits = array.dtype == np.int32 and array.max(initial=0) < 2**15
            arrays[name] = array.astype(np.int16) if fits else array
    with _lock((RUNS / config.name).with_suffix(".lock")):
        _write(RESULTS / config.name, config, record.metrics, arrays, record.environment)


@cache
def environment() -> dict[str, Any]:
    """Commit, versions and hardware of this process."""

    def git(*words: str) -> str:
        with contextlib.suppress(OSError):  # no git on this machine
            done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
            return done.stdout.strip() if done.returncode == 0 else ""
        return ""

    cpu = platform.processor()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(x.split(":")[1].strip() for x in lines if x.startswith("model name"))
    versions = {name: version(name) for name in ("torch", "numba", "numpy", "scipy")}
    files = sorted(Path(__file__).parent.glob("*.py"))  # whose hash tells a run's code apart from
    code = b"".join(path.name.encode() + path.read_bytes() for path in files)  # that of its commit
    return {
        "commit": git("rev-parse", "--verify", "-q", "HEAD") or None,
        "code_sha256": hashlib.sha256(code).hexdigest(),
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no", "lib")),
        "versions": {"python": platform.python_version(), **versions},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }
