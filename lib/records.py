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
import time
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
from torch import Tensor, nn

from lib import data, models, networks, perturb, robustness, train
from lib.config import Config, Study
from lib.evolution import support_from_keys
from lib.experiments import profile_of, resolve, siblings, twins
from lib.layers import initial_values
from lib.names import check_known
from lib.support import Support, make_support

ROOT = Path(__file__).resolve().parents[1]
RUNS = Path(os.environ.get("SPARSE_RUNS_DIR", ROOT / "data" / "runs"))
RESULTS = Path(os.environ.get("SPARSE_RESULTS_DIR", ROOT / "data" / "results"))


SUMMARY = (
    "experiment dataset architecture method variant optimiser epochs seed profile best_accuracy"
    " best_on_test_accuracy last_accuracy final_accuracy links_training links_final seconds record"
).split()

_Contents = tuple[pd.DataFrame, dict[str, np.ndarray], dict[str, Any]]


@dataclass(frozen=True)
class Record:
    """What one run left. Accuracies are fractions.

    Attributes:
        config: the configuration, with the data set actually loaded.
        metrics: one row an epoch, see :class:`lib.train.History`.
        arrays: degrees, named layer.in_degree.epoch and layer.out_degree.epoch; in a full record
            also the links, named layer.links.epoch (:class:`lib.train.History`), and the final
            state, named state.<name in the state dict>; in a slim one its links, where kept.
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

    def state(self) -> dict[str, Tensor]:
        """The state dict of the trained network, as far as the record holds it."""
        kept = {n.removeprefix("state."): a for n, a in self.arrays.items() if n[:6] == "state."}
        tensors = {name: torch.from_numpy(array) for name, array in kept.items()}
        return {n: t.int() if t.dtype == torch.int16 else t for n, t in tensors.items()}

    def model(self) -> nn.Sequential:
        """The trained network after its last update, in evaluation mode.

        Raises: ValueError if the record does not hold the whole network.
        """
        state = self.state()
        try:
            standardisation = state["standardise.mean"], state["standardise.std"]
            model = self.config.model(self.widths, standardisation)
            model.load_state_dict(state)
        except (KeyError, RuntimeError) as error:
            raise ValueError(
                f"record {self.path} does not hold the whole network: train it on this machine,"
                " in a notebook with retrain = True"
            ) from error
        return model.eval()

    def summary(self) -> dict[str, Any]:
        """The record as one flat object, see the command line."""
        study = isinstance(self.config, Study)  # whose table is no history of training
        history = self.metrics.iloc[:0] if study else self.metrics
        test, valid, links = (
            history.get(name, pd.Series(dtype=float))
            for name in ("test_accuracy", "valid_accuracy", "links")
        )
        tested = len(test) > 0 and test.notna().all()
        final = self.environment["final"]
        return {
            "experiment": self.config.experiment,
            "dataset": self.config.dataset,
            "architecture": self.environment["architecture"],
            "method": self.config.method,
            "variant": self.config.variant,
            "optimiser": self.config.optimiser,
            "epochs": (self.config.parent if study else self.config).epochs,
            "seed": self.config.seed,
            "profile": profile_of(self.config),
            "best_accuracy": test[valid.idxmax()] if tested and valid.notna().all() else None,
            "best_on_test_accuracy": test.max() if tested else None,
            "last_accuracy": test.iloc[-1] if tested else None,
            "final_accuracy": final["test_accuracy"],
            "links_training": final["links"] if study else int(links.iloc[-1]),
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
        fields = json.loads((path / "config.json").read_text())
        config = (Study if "images" in fields else Config)(**fields)
        environment = json.loads((path / "environment.json").read_text())
        metrics = pd.read_csv(path / "metrics.csv")
        with (path / "arrays.npz").open("rb") as file, np.load(file) as arrays:
            arrays = dict(arrays)
        if len(metrics) != config.epochs and not isinstance(config, Study):
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
    return pd.DataFrame([record.summary() for record in found], columns=SUMMARY)


# ------------------------------------------------------------------------------------- run


def run(config: Config, *, on_epoch: Callable[[train.History], None] | None = None) -> Record:
    """Return the record of a run: the stored one, or train it, from its checkpoint if there is one.

    What another experiment has trained with the same configuration is taken over, and named in the
    record's environment.

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
        for twin in filter(None, (stored(c, full=True) for c in twins(config))):
            if twin.environment["data"]["sha256"] == data.load(config.dataset).sha256:
                facts = {**twin.environment, "same_run_as": twin.config.name}
                _write(path, config, twin.metrics, twin.arrays, facts)
                shutil.rmtree(work, ignore_errors=True)
                return read(path)
        work.mkdir(parents=True, exist_ok=True)
        if isinstance(config, Study):
            table, arrays, facts = _measure(config)
        else:
            table, arrays, facts = _train(config, work / "checkpoint.pt", on_epoch)
        _write(path, config, table, arrays, {**facts, **code})
        shutil.rmtree(work)
        return read(path)


def _train(config: Config, checkpoint: Path, on_epoch) -> _Contents:
    split = data.load(config.dataset, validation=config.validation, limit=config.limit)
    widths = config.widths(split)
    model = config.model(widths, config.standardisation(split))
    if config.parent is not None and not checkpoint.exists():
        inherit_(model, _whole(config.parent), config)
    how = {"seed": config.seed, "evaluate_test": config.evaluate_test, "on_epoch": on_epoch}
    history = train.fit(model, split, config.settings(), checkpoint=checkpoint, **how)
    counted = history.degrees | history.links
    arrays = {name: tensor.numpy() for name, tensor in counted.items()}
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
    }
    return pd.DataFrame(history.metrics), arrays, facts


def _measure(study: Study) -> _Contents:
    start = time.perf_counter()
    if study.experiment in networks.MEASURES:
        needs_links = study.experiment == "network_structure" and study.parent.drop is not None
        parent = _whole(study.parent, f"linear1.{'links' if needs_links else 'in_degree'}.0")
        table, arrays = networks.MEASURES[study.experiment](study, parent)
    else:
        parent = _whole(study.parent)
        split = data.load(study.parent.dataset, validation=study.parent.validation)

        def others() -> dict[str, nn.Module]:
            return {c.method: _whole(c).model() for c in siblings(study.parent)}

        table, arrays = robustness.MEASURES[study.experiment](study, parent.model(), split, others)
    facts = {name: parent.environment[name] for name in ("architecture", "final", "data")}
    return table, arrays, {**facts, "seconds": round(time.perf_counter() - start, 1)}


def _whole(config: Config, array: str = "state.linear1.bias") -> Record:
    """The record of a run that holds an array, by default those of the trained network; made if
    need be.
    """
    found = stored(config)
    return found if found and array in found.arrays else run(config)


def inherit_(model: nn.Module, parent: Record, config: Config) -> None:
    """Give the layers of ``model`` that could evolve what ``config`` inherits from a trained run.

    "support": its links, with new weights; "degrees": the same after switching links
    (:func:`lib.perturb.switch_links`), which keeps the degrees of all neurons; "largest": of a
    dense network the weights of largest magnitude, as many in each layer as that has room for, and
    everything else that is trained.

    Raises: ValueError for another word.
    """
    check_known("inherits", config.inherits, ("support", "degrees", "largest"))
    generator = torch.Generator().manual_seed(10**6 + config.seed)  # not that of the parent's links
    state, supports = parent.state(), parent.supports()
    for name, layer in models.sparse_layers(model).items():
        if config.inherits == "largest":
            weight = state.pop(f"{name}.weight").flatten()
            keys = weight.abs().topk(layer.nnz).indices.sort().values
            support, values = support_from_keys(keys, layer.n_in, layer.n_out), weight[keys]
        else:
            support = supports[name]
            if config.inherits == "degrees":
                support, _ = perturb.switch_links(support, generator=generator)
            values = initial_values(support, config.start, generator=generator)
        layer.support = support
        layer.replace_values_(values.to(layer.values))
    if config.inherits == "largest":
        links = {
            n.replace("weight", "values"): w.flatten() for n, w in state.items() if "weight" in n
        }
        model.load_state_dict({**model.state_dict(), **state, **links}, strict=False)


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
    digits = "%.7g" if isinstance(config, Study) else None
    metrics.to_csv(part / "metrics.csv", index=False, float_format=digits)
    np.savez_compressed(part / "arrays.npz", **arrays)
    shutil.rmtree(path, ignore_errors=True)
    part.rename(path)


def write_slim(record: Record) -> None:
    """Store in data/results, once, what a clone needs of a record; see the README."""
    config = record.config
    if (RESULTS / config.name).is_dir():
        return
    sparse = "state.linear1.crow" in record.arrays

    def kept(name: str) -> bool:
        if isinstance(config, Study):
            return True
        if config.experiment == "tuning":
            return False
        if config.experiment == "adaptive_topology" and name.startswith("state."):
            return sparse
        links = config.seed == 0 and name.endswith((".crow", ".col"))
        return "_degree." in name or name.startswith("state.linear") and links

    arrays = {}
    for name, array in record.arrays.items():
        if kept(name):
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
