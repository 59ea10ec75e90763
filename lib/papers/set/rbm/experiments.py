"""SET-RBM: the runs behind Fig. 2 to 4 and Table 2 of [Mocanu2018]."""

import copy
import dataclasses
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lib import data
from lib.evolution import Evolution
from lib.names import check_known
from lib.papers.set.rbm import ais, exact, images, learning
from lib.papers.set.rbm.model import RBM
from lib.papers.shared import trained
from lib.runs.config import Run
from lib.runs.experiment import Contents, Experiment, Workspace
from lib.runs.record import Record
from lib.settings import History, Settings

EVALUATED = (1, 2, 5, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 500, 1000, 2000, 3000, 4000)
TRAIN_ROWS = 10_000  # of the training part, whose likelihood is told too
LARGE = 10**6  # weights of a dense machine that is trained on a GPU where there is one
SCHEDULES = ("short", "full")
VISIBLE_STARTS = ("zeros", "means")
BEST = "best."  # arrays of the machine that is best by validation
DRAWN = ("digits", "mnist", "ocr_letters", "caltech28")


@dataclass(frozen=True)
class RBMTraining(Run):
    """Training of one restricted Boltzmann machine, as literals.

    Args:
        hidden: number of hidden units, as (250,).
        er_epsilon: of the links; None: dense.
        start: standard deviation of the first weights.
        visible_start: first biases of the visible units: "zeros", or "means", the log odds of the
            smoothed means of the training data, as [Hinton2010] advises.
        cd_steps, persistent: see :class:`lib.papers.set.rbm.learning.Chains`.
        epochs, batch_size, learning_rate, momentum, weight_decay: see :class:`lib.train.Settings`.
        drop: None for a static support, else, as drop_fraction, see
            :class:`lib.evolution.Evolution`.
        temperatures: of the schedule after the evaluated epochs.
        final_temperatures: of the schedule at the end, for the best machine by validation.
        chains: of the estimates of log Z.
        validation: validation examples taken out of the training part; 0 where the set brings a
            validation part.
        limit: training examples used; None for all.
        evaluate_test: False in tuning, which must not see the test part.
    Raises: ValueError if a field is of another type or contradicts another.
    """

    DIGITS: ClassVar[str] = "%.7g"

    hidden: tuple[int, ...] = (250,)
    er_epsilon: float | None = None
    start: float = 0.05
    visible_start: str = "zeros"
    cd_steps: int = 1
    persistent: bool = False
    epochs: int = 300
    batch_size: int = 10
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 2e-4
    drop: str | None = None
    drop_fraction: float = 0.3
    temperatures: int = 1000
    final_temperatures: int = ais.N_PUBLISHED
    chains: int = ais.CHAINS
    validation: int = 0
    limit: int | None = None
    evaluate_test: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_known("visible_start", self.visible_start, VISIBLE_STARTS)
        if len(self.hidden) != 1 or self.hidden[0] < 1:
            raise ValueError(f"hidden = {self.hidden}: give one number of hidden units, as (250,)")
        if self.er_epsilon is not None and self.method == "dense":
            raise ValueError("method 'dense' has all links: give no er_epsilon")
        if self.er_epsilon is None and self.drop is not None:
            raise ValueError(f"drop = {self.drop!r} needs links that evolve: give an er_epsilon")

    @property
    def size(self) -> int:
        """Progress is counted in epochs."""
        return self.epochs

    @property
    def evaluated_epochs(self) -> list[int]:
        """After which the likelihood is estimated: some, and the last."""
        return [epoch for epoch in EVALUATED if epoch < self.epochs] + [self.epochs]

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        self.settings()
        learning.Chains(self.cd_steps, self.persistent)
        for n in (self.temperatures, self.final_temperatures):
            ais.schedule(n)
        if self.chains < 2:
            raise ValueError(f"chains = {self.chains} is out of range: give at least 2")

    def settings(self) -> Settings:
        """How to train; raises ValueError if a value is out of range."""
        evolution = None
        if self.drop is not None:
            evolution = Evolution(drop=self.drop, drop_fraction=self.drop_fraction)
        return Settings(
            self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule="constant",
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            evolution=evolution,
        )

    def machine(self, n_visible: int) -> RBM:
        """The untrained machine, float32."""
        generator = torch.Generator().manual_seed(self.seed)
        options = {"start": self.start, "generator": generator, "dtype": torch.float32}
        return RBM(n_visible, *self.hidden, er_epsilon=self.er_epsilon, **options)

    def device(self, n_visible: int) -> str:
        """Where it is trained: large dense machines on a GPU, if there is one."""
        is_large = self.er_epsilon is None and n_visible * self.hidden[0] >= LARGE
        return "cuda" if is_large and torch.cuda.is_available() else "cpu"

    def check_table(self, metrics: pd.DataFrame) -> None:
        """Refuse a table that lacks evaluated epochs. Raises ValueError."""
        n = len(self.evaluated_epochs)
        if len(metrics) != n:
            raise ValueError(f"its table holds {len(metrics)} of {n} evaluated epochs")


# ----------------------------------------------------------------------------------- one run


@dataclass(frozen=True)
class _Judge:
    """Estimates the likelihoods of a machine on the parts of a data set."""

    run: RBMTraining
    parts: dict[str, Tensor]  # (N, n_features) each
    base: ais.Base
    ceilings: dict[str, float]

    def log_z(self, rbm: RBM, temperatures: int, step: int) -> ais.LogZ:
        betas = ais.schedule(temperatures)
        seed = 10**6 * (self.run.seed + 1) + step
        return ais.forward(rbm, self.base, betas, chains=self.run.chains, seed=seed)

    def likelihoods(self, rbm: RBM, estimate: ais.LogZ) -> dict[str, ais.LogLikelihood]:
        found = {}
        for part, x in self.parts.items():
            found[part] = ais.log_likelihood(rbm, estimate, x, ceiling=self.ceilings[part])
        return found

    def columns(self, rbm: RBM, epoch: int) -> dict[str, Any]:
        """Of the metrics after an epoch. An impossible likelihood is no result: it stands in
        ``impossible``, which counts the parts, and its column is empty.
        """
        estimate = self.log_z(rbm, self.run.temperatures, epoch)
        found = self.likelihoods(rbm, estimate)
        columns: dict[str, Any] = {}
        for part, likelihood in found.items():
            columns[part] = likelihood.value if likelihood.is_possible else None
        columns["impossible"] = sum(not one.is_possible for one in found.values())
        columns |= {"log_z": estimate.value, "se": estimate.se}
        return columns | {"sd_log_weights": estimate.sd, "ess": estimate.ess}

    def final(self, rbm: RBM) -> dict[str, Any]:
        """Of one machine, the likelihoods by two schedules."""
        found: dict[str, Any] = {"links": rbm.n_links}
        temperatures = self.run.temperatures, self.run.final_temperatures
        for name, n in zip(SCHEDULES, temperatures, strict=True):
            estimate = self.log_z(rbm, n, self.run.epochs + 1)
            likelihoods = self.likelihoods(rbm, estimate)
            found[name] = dataclasses.asdict(estimate)
            for part, likelihood in likelihoods.items():
                found[name][part] = likelihood.value
                found[name][f"{part}_possible"] = likelihood.is_possible
        return found


def make(run: RBMTraining, workspace: Workspace) -> Contents:
    """Train the machine of a run, from its checkpoint if there is one, and estimate likelihoods."""
    start = time.perf_counter()
    split = data.load(run.dataset, validation=run.validation, limit=run.limit)
    parts = images.binarised(split)
    judge = _judge(run, parts)
    rbm, history = _trained(run, parts["train"], judge, workspace)
    best = _best(history, rbm)
    final = {**history.final, "best_epoch": _best_epoch(history), "best": judge.final(best)}
    facts = {
        "architecture": f"{split.n_features}-{run.hidden[0]}",
        "final": final,
        "seconds": round(history.seconds, 1),
        "seconds_in_all": round(time.perf_counter() - start, 1),
        "ceilings": judge.ceilings,
        "independent_units": exact.independent_units(judge.base.log_odds, parts["test"]),
        "notice": judge.base.notice,
        "data": {"source": split.source, "sha256": split.sha256},
    }
    arrays = _arrays(history, rbm, best)
    return Contents(pd.DataFrame(history.metrics), arrays, facts)


def _judge(run: RBMTraining, parts: dict[str, Tensor]) -> _Judge:
    judged = {**parts, "train": parts["train"][:TRAIN_ROWS]}
    if not run.evaluate_test:
        del judged["test"]
    ceilings = {part: exact.ceiling(x) for part, x in judged.items()}
    return _Judge(run, judged, ais.base_of(parts["train"]), ceilings)


def _trained(
    run: RBMTraining, x: Tensor, judge: _Judge, workspace: Workspace
) -> tuple[RBM, History]:
    """The machine of the last epoch, and the history of its training."""
    rbm = run.machine(x.shape[1]).to(run.device(x.shape[1]))
    if run.visible_start == "means":
        rbm.visible_bias.data.copy_(judge.base.log_odds)
    history = learning.fit(
        rbm,
        x,
        run.settings(),
        seed=run.seed,
        chains=learning.Chains(run.cd_steps, run.persistent),
        evaluate=judge.columns,
        at_epochs=run.evaluated_epochs,
        checkpoint=workspace.folder / "checkpoint.pt",
        on_epoch=workspace.progress,
    )
    return rbm, history


def _best_epoch(history: History) -> int:
    """The evaluated epoch of the largest validation likelihood, the last where none is possible."""
    rows = [row for row in history.metrics if row["valid"] is not None]
    best = max(rows, key=lambda row: row["valid"], default=history.metrics[-1])
    return best["epoch"]


def _best(history: History, last: RBM) -> RBM:
    """The machine of that epoch."""
    if history.best_state is None:
        return last
    rbm = copy.deepcopy(last)
    rbm.load_state_dict(history.best_state)
    return rbm


def _arrays(history: History, rbm: RBM, best: RBM) -> dict[str, np.ndarray]:
    tensors = trained.named_degrees(history.degrees)
    for name, machine in (("state", rbm), ("best", best)):
        for key, tensor in machine.state_dict().items():
            tensors[f"{name}.{key}"] = tensor
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def machine_of(record: Record) -> RBM:
    """The machine of a record, the best by validation.

    Raises: ValueError if the record does not hold it.
    """
    tensors = {}
    for name, array in record.arrays.items():
        if name.startswith(BEST):
            tensor = torch.from_numpy(array)
            narrow = tensor.dtype == torch.int16  # as shipped
            tensors[name.removeprefix(BEST)] = tensor.int() if narrow else tensor
    if not tensors:
        raise ValueError(
            f"record {record.path} does not hold the machine: train it on this machine, in a"
            " notebook with retrain = True"
        )
    rbm = record.config.machine(trained.widths(record)[0])
    rbm.load_state_dict(tensors)
    return rbm


def numbers(record: Record) -> dict[str, Any]:
    """What the summary says of a machine; likelihoods are no accuracies, and stay out of it."""
    return {
        "optimiser": "sgd",
        "epochs": record.config.epochs,
        "links_training": int(record.metrics["links"].iloc[-1]),
        "links_final": record.environment["final"]["links"],
    }


def keeps(record: Record, name: str) -> bool:
    """What is shipped: degrees, and of seed 0 the best machine where it is sparse and drawn."""
    if "_degree." in name:
        return True
    run = record.config
    drawn = run.dataset in DRAWN and run.seed == 0 and run.er_epsilon is not None
    return drawn and name.startswith(BEST)


def keeps_reported(record: Record, name: str) -> bool:
    """What is shipped where machines that were only tried leave their table alone."""
    return record.config.variant != "tried" and keeps(record, name)


# ---------------------------------------------------------------------------------- the runs

FIXED_FINAL = 8.0  # Table 2's counts: what SET's 11 leaves after the final removal, rounded
METHODS: dict[str, dict[str, Any]] = {
    "set": {"er_epsilon": 11.0, "drop": "sign"},
    "fixed": {"er_epsilon": 11.0},
    "fixed_final": {"er_epsilon": FIXED_FINAL},
    "dense": {},
}
HIDDEN = (100, 250, 500)
CD_STEPS = (1, 3, 10)
PAPER_EPOCHS = 5000
LONG_HIDDEN = (100, 250)  # of the runs of so many epochs
ONE = {"variant": "one setting"}
SMALL = {"batch_size": 10}  # sets of up to 5,000 training examples
LARGER = {"batch_size": 100}
TABLE_2: dict[str, dict[str, Any]] = {  # what is run on the sets beside DNA
    "nips": {"hidden": (500,), "cd_steps": 3, "epochs": 100, **SMALL},
    "mushrooms": {"hidden": (250,), "cd_steps": 3, "epochs": 500, "temperatures": 10_000, **SMALL},
    "adult": {"hidden": (500,), "cd_steps": 3, "epochs": 300, **SMALL},
    "connect4": {"hidden": (500,), "cd_steps": 3, "epochs": 100, **LARGER},
    "ocr_letters": {"hidden": (500,), "cd_steps": 3, "epochs": 100, **LARGER},
    "web": {"hidden": (500,), "cd_steps": 3, "epochs": 100, **LARGER},
    "caltech28": {"hidden": (500,), "cd_steps": 1, "epochs": 100, **SMALL},
    "mnist": {"hidden": (500,), "epochs": 120, "validation": 5000, **LARGER},
}
FIVE_SEEDS = ("mushrooms", "nips")  # of the others 3, and 5 of SET on MNIST, for S24
WIDE = {"hidden": (2500,), "epochs": 60, "validation": 5000, **LARGER}  # MNIST
WIDE_TRIED = {  # of as wide machines on MNIST, one seed, each with each
    "learning_rate": (0.003, 0.01, 0.03),
    "weight_decay": (2e-4, 2e-3),
    "visible_start": VISIBLE_STARTS,
}
WIDE_TRIED_EPOCHS, WIDE_EPOCHS = 20, 120
WIDE_METHODS = ("set", "fixed", "dense")
WIDE_SEEDS = 3  # of the chosen setting, fixed before the first of them began
# Filled in from the records of what was tried, by method: see `tables.best_tried`.
WIDE_TUNED: dict[str, dict[str, Any]] = {}
DIGITS = {"dataset": "digits", "validation": 300}
SHORT = {"temperatures": 100, "final_temperatures": 1000}
TRIED = {  # rates and weight decays, each with each, by number of hidden units; DNA, every method
    250: ((0.0003, 0.001, 0.003, 0.01, 0.03), (2e-4, 2e-3, 2e-2)),
    500: ((0.001, 0.003, 0.01), (2e-4, 2e-3)),
}
TUNED = {  # rate and decay that validation chooses of these
    250: {
        "set": (0.01, 2e-4),
        "fixed": (0.003, 2e-4),
        "fixed_final": (0.01, 2e-4),
        "dense": (0.001, 2e-3),
    },
    500: {
        "set": (0.003, 2e-4),
        "fixed": (0.003, 2e-4),
        "fixed_final": (0.003, 2e-4),
        "dense": (0.001, 2e-3),
    },
}
TUNED_EPOCHS = {250: 1000, 500: 600}  # as slow machines still improve at the end of 300


def _runs(
    experiment: str, methods: Iterable[str], seeds: Iterable[int], **fields: Any
) -> list[RBMTraining]:
    runs = []
    for method in methods:
        for seed in seeds:
            own = {**METHODS[method], **fields}
            runs.append(RBMTraining(experiment, method=method, seed=seed, **own))
    return runs


def _with_digits(runs: list[RBMTraining]) -> list[RBMTraining]:
    """The runs, digits standing in where their data set cannot be had."""
    return [dataclasses.replace(run, stand_in=dataclasses.replace(run, **DIGITS)) for run in runs]


def dna(profile: str) -> list[RBMTraining]:
    """Fig. 2: CD-1, 3 and 10 with 100, 250 and 500 hidden units; CD-1 with 100 and 250 for the
    paper's 5,000 epochs too, one seed; beside it rates and weight decays chosen by validation for
    every method.
    """
    name = "set_rbm_dna"
    fields = {"dataset": "dna", "variant": "grid"}
    if profile == "smoke":
        tiny = {**DIGITS, **SHORT, "epochs": 2, "variant": "grid", "limit": 200}
        few = _runs(name, ("set", "fixed"), (0, 1), hidden=(20,), **tiny)
        tried = {**tiny, "variant": "tried", "hidden": (20,)}
        few += _runs(name, ("set", "dense"), (0,), weight_decay=0.02, **tried)
        return few + _runs(name, ("dense",), (0,), hidden=(20,), **tiny)
    if profile == "quick":
        short = {**fields, **SHORT, "epochs": 40}
        return _with_digits(_runs(name, METHODS, (0,), hidden=(100,), **short))
    runs = []
    for cd_steps in CD_STEPS:
        for hidden in HIDDEN:
            setting = {**fields, "hidden": (hidden,), "cd_steps": cd_steps}
            runs += _runs(name, METHODS, range(5), **setting)
    long = {**fields, "variant": "long", "epochs": PAPER_EPOCHS}
    for hidden in LONG_HIDDEN:
        runs += _runs(name, METHODS, (0,), hidden=(hidden,), **long)
    return runs + _tuning(name)


def _tuning(experiment: str) -> list[RBMTraining]:
    """Every rate with every weight decay, one seed, and the chosen ones, five."""
    runs = []
    for hidden, (rates, decays) in TRIED.items():
        machine = {"dataset": "dna", "hidden": (hidden,), "cd_steps": 3}
        for rate, decay in product(rates, decays):
            fields = {**machine, "learning_rate": rate, "weight_decay": decay}
            runs += _runs(experiment, METHODS, (0,), variant="tried", **fields)
        for method, (rate, decay) in TUNED[hidden].items():
            fields = {**machine, "learning_rate": rate, "weight_decay": decay}
            fields |= {"variant": "tuned", "epochs": TUNED_EPOCHS[hidden]}
            runs += _runs(experiment, (method,), range(5), **fields)
    return runs


def table_2(profile: str) -> list[RBMTraining]:
    """Table 2, every other set that can be had, one setting each."""
    name = "set_rbm"
    if profile == "smoke":
        tiny = {**ONE, **DIGITS, **SHORT, "epochs": 2, "limit": 200}
        return _runs(name, ("set", "fixed"), (0,), hidden=(20,), **tiny)
    if profile == "quick":
        runs = _runs(name, METHODS, (0,), dataset="mushrooms", **ONE, **SHORT, epochs=20)
        short = {**ONE, **SHORT, **LARGER, "epochs": 2, "validation": 1000, "limit": 10_000}
        runs += _runs(name, ("set",), (0,), dataset="mnist", hidden=(500,), **short)
        return _with_digits(runs)
    runs = []
    for dataset, fields in TABLE_2.items():
        seeds = range(5 if dataset in FIVE_SEEDS else 3)
        runs += _runs(name, METHODS, seeds, dataset=dataset, **ONE, **fields)
    runs += _runs(name, ("set",), (3, 4), dataset="mnist", **ONE, **TABLE_2["mnist"])
    means = {"variant": "means", "visible_start": "means"}
    for dataset in ("mnist", "caltech28"):
        fields = {"dataset": dataset, **means, **TABLE_2[dataset]}
        runs += _runs(name, ("set",), range(5), **fields)
        runs += _runs(name, ("fixed", "fixed_final", "dense"), range(3), **fields)
    runs += _runs(name, ("set",), range(3), dataset="mnist", **ONE, **WIDE)
    return runs + _runs(name, ("fixed", "dense"), (0,), dataset="mnist", **ONE, **WIDE)


def wide(profile: str) -> list[RBMTraining]:
    """2,500 hidden units on MNIST, CD-1: rates, weight decays and first biases of the visible units
    by validation, and the chosen ones for each method.
    """
    name = "set_rbm_wide"
    if profile != "paper":
        tiny = {"variant": "tried", **DIGITS, **SHORT, "epochs": 1, "limit": 200}
        tiny["evaluate_test"] = False
        return _runs(name, ("set",), (0,), hidden=(20,), **tiny)
    machine = {**WIDE, "dataset": "mnist"}
    runs = []
    for values in product(*WIDE_TRIED.values()):
        setting = dict(zip(WIDE_TRIED, values, strict=True))
        tried = {**machine, **setting, "epochs": WIDE_TRIED_EPOCHS, "evaluate_test": False}
        runs += _runs(name, WIDE_METHODS, (0,), variant="tried", **tried)
    for method, setting in WIDE_TUNED.items():
        tuned = {**machine, **setting, "variant": "tuned", "epochs": WIDE_EPOCHS}
        runs += _runs(name, (method,), range(WIDE_SEEDS), **tuned)
    return runs


def _experiment(
    name: str,
    configs: Callable[[str], list[RBMTraining]],
    keeps: Callable[[Record, str], bool] = keeps,
) -> Experiment:
    return Experiment(name, configs, make, numbers=numbers, keeps=keeps)


SET_RBM_DNA = _experiment("set_rbm_dna", dna)
SET_RBM = _experiment("set_rbm", table_2)
SET_RBM_WIDE = _experiment("set_rbm_wide", wide, keeps_reported)
