"""The run that trains one restricted Boltzmann machine, and what its record holds."""

import copy
import dataclasses
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
import torch
from torch import Tensor

from lib import data
from lib._boundary import check_known, check_number, check_whole
from lib.evolution import Evolution
from lib.runs.config import Run
from lib.runs.environment import dense_device
from lib.runs.experiment import Contents, Workspace
from lib.runs.record import Record
from lib.train import Settings
from papers.set.rbm import ais, contrastive_divergence, exact
from papers.set.rbm.contrastive_divergence import Chains
from papers.set.rbm.model import RBM, check_binary
from papers.shared import trained

EVALUATED = (1, 2, 5, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 500, 1000, 2000, 3000, 4000)
PARTS = ("train", "valid", "test")
TRAIN_ROWS = 10_000  # of the training part, whose likelihood is estimated too
SCHEDULES = ("short", "full")
VISIBLE_STARTS = ("zeros", "means")
DRAWN = ("digits", "mnist", "ocr_letters", "caltech28")  # whose machines are shipped


@dataclass(frozen=True)
class RBMTraining(Run):
    """Training of one restricted Boltzmann machine, as literals.

    Args:
        hidden: number of hidden units, as (250,).
        er_epsilon: of the links; None: dense.
        start: standard deviation of the first weights.
        visible_start: first biases of the visible units: "zeros", or "means", the log odds of the
            smoothed means of the training data, as [Hinton2010] advises.
        cd_steps, persistent: see :class:`papers.set.rbm.contrastive_divergence.Chains`.
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
        """Refuse what is out of range, or would change nothing. Raises ValueError."""
        contrastive_divergence.check_settings(self.settings())
        Chains(self.cd_steps, self.persistent)
        check_number("start", self.start, "[0, inf)")
        check_whole("validation", self.validation, least=0)
        if self.limit is not None:
            check_whole("limit", self.limit, least=1)
        if self.er_epsilon is not None:
            check_number("er_epsilon", self.er_epsilon, "(0, inf)")
        if self.drop is None:
            self.check_unused(["drop_fraction"], "links that stay (drop = None)")
        for n in (self.temperatures, self.final_temperatures):
            ais.schedule(n)
        if self.chains < 2:
            raise ValueError(f"chains = {self.chains} is out of range: give at least 2")

    def settings(self) -> Settings:
        """How to train; raises ValueError if a value is out of range."""
        evolution = None
        if self.drop is not None:
            evolution = Evolution(**self.fields_of(Evolution))
        return Settings(**self.fields_of(Settings), schedule="constant", evolution=evolution)

    def machine(self, n_visible: int) -> RBM:
        """The untrained machine, float32."""
        generator = torch.Generator().manual_seed(self.seed)
        options = {"start": self.start, "generator": generator, "dtype": torch.float32}
        return RBM(n_visible, *self.hidden, er_epsilon=self.er_epsilon, **options)

    def device(self) -> torch.device:
        """Where it is trained: a dense machine on that of :func:`dense_device`."""
        return dense_device() if self.er_epsilon is None else torch.device("cpu")

    def check_table(self, metrics: pd.DataFrame) -> None:
        """Refuse a table that lacks evaluated epochs. Raises ValueError."""
        n = len(self.evaluated_epochs)
        if len(metrics) != n:
            raise ValueError(f"its table holds {len(metrics)} of {n} evaluated epochs")


# --------------------------------------------------------------------------------------- examples


def binarised(split: data.Split) -> dict[str, Tensor]:
    """Every part of a data set as rows (N, n_features) float32 of 0 and 1.

    Grey values are sampled once, as the probabilities of a 1, every part by seed 0: all runs see
    the same test part. Nats of other binarisations (a threshold, a new sample at every
    presentation) are nats of other data.

    Raises: ValueError if a set is neither binary nor grey values in [0, 1].
    """
    parts = {}
    for part in PARTS:
        x = getattr(split, f"x_{part}")
        if x is None:
            continue
        rows = x.flatten(1)
        is_grey = ((rows >= 0) & (rows <= 1)).all() and ((rows != 0) & (rows != 1)).any()
        if is_grey:
            generator = torch.Generator().manual_seed(0)
            rows = torch.bernoulli(rows.double(), generator=generator).float()
        check_binary(rows, f"x_{part} of {split.name}")
        parts[part] = rows
    return parts


# ----------------------------------------------------------------------------------- one training


@dataclass(frozen=True)
class Estimator:
    """Estimates the likelihoods of machines on the parts of a data set.

    Args:
        run: says how many temperatures and chains.
        parts: {name: (N, n_features) float32 of 0 and 1}.
        base: from which chains start.
        ceilings: of the parts, nats.
    """

    run: RBMTraining
    parts: dict[str, Tensor]
    base: ais.Base
    ceilings: dict[str, float]

    def likelihoods(
        self, rbm: RBM, temperatures: int, step: int
    ) -> tuple[ais.LogZ, dict[str, ais.LogLikelihood]]:
        """log Z of a machine, by random numbers that belong to a step, and what each part has."""
        betas = ais.schedule(temperatures)
        seed = 10**6 * (self.run.seed + 1) + step
        log_z = ais.forward(rbm, self.base, betas, chains=self.run.chains, seed=seed)
        by_part = {}
        for part, x in self.parts.items():
            by_part[part] = ais.log_likelihood(rbm, log_z, x, self.ceilings[part])
        return log_z, by_part

    def columns(self, rbm: RBM, epoch: int) -> dict[str, Any]:
        """Columns of the metrics after an epoch. An impossible likelihood is no result: its column
        is empty, and ``impossible`` counts the parts that have one.
        """
        log_z, by_part = self.likelihoods(rbm, self.run.temperatures, epoch)
        columns: dict[str, Any] = {}
        for part, likelihood in by_part.items():
            columns[part] = likelihood.value if likelihood.is_possible else None
        columns["impossible"] = sum(not one.is_possible for one in by_part.values())
        columns |= {"log_z": log_z.value, "se": log_z.se}
        return columns | {"sd_log_weights": log_z.sd, "ess": log_z.ess}

    def final(self, rbm: RBM) -> dict[str, Any]:
        """Links of a machine, and its likelihoods by two schedules."""
        final: dict[str, Any] = {"links": rbm.n_links}
        temperatures = self.run.temperatures, self.run.final_temperatures
        for schedule, n in zip(SCHEDULES, temperatures, strict=True):
            log_z, by_part = self.likelihoods(rbm, n, self.run.epochs + 1)
            final[schedule] = dataclasses.asdict(log_z)
            for part, likelihood in by_part.items():
                final[schedule][part] = likelihood.value
                final[schedule][f"{part}_possible"] = likelihood.is_possible
        return final


def estimator_of(run: RBMTraining, parts: dict[str, Tensor]) -> Estimator:
    """Estimator of the likelihoods of a run; in tuning it does not see the test part.

    Args:
        parts: of :func:`binarised`.
    """
    seen = {**parts, "train": parts["train"][:TRAIN_ROWS]}
    if not run.evaluate_test:
        del seen["test"]
    ceilings = {part: exact.ceiling(x) for part, x in seen.items()}
    return Estimator(run, seen, ais.base_of(parts["train"]), ceilings)


def make(run: RBMTraining, workspace: Workspace) -> Contents:
    """Train the machine of a run, from its checkpoint if there is one, and estimate likelihoods."""
    start = time.perf_counter()
    split = data.load(run.dataset, validation=run.validation, limit=run.limit)
    parts = binarised(split)
    estimator = estimator_of(run, parts)
    rbm = run.machine(split.n_features).to(run.device())
    if run.visible_start == "means":
        rbm.visible_bias.data.copy_(estimator.base.log_odds)
    history = contrastive_divergence.fit(
        rbm,
        parts["train"],
        run.settings(),
        seed=run.seed,
        chains=Chains(run.cd_steps, run.persistent),
        evaluate=estimator.columns,
        at_epochs=run.evaluated_epochs,
        checkpoint=workspace.checkpoint(run.device()),
        on_epoch=workspace.progress,
    )
    # the machine of the largest validation likelihood; the last where no likelihood is possible
    best_epoch, best = history.metrics[-1]["epoch"], rbm
    if history.best_state is not None:
        rows = [row for row in history.metrics if row["valid"] is not None]
        best_epoch, best = max(rows, key=lambda row: row["valid"])["epoch"], copy.deepcopy(rbm)
        best.load_state_dict(history.best_state)
    facts = {
        "architecture": f"{split.n_features}-{run.hidden[0]}",
        "final": {**history.final, "best_epoch": best_epoch, "best": estimator.final(best)},
        "seconds": round(history.seconds, 1),
        "seconds_in_all": round(time.perf_counter() - start, 1),
        "ceilings": estimator.ceilings,
        "notice": estimator.base.notice,
        "data": {"source": split.source, "sha256": split.sha256},
    }
    if run.evaluate_test:
        independent = exact.independent_units(estimator.base.log_odds, parts["test"])
        facts["independent_units"] = independent
    tensors = trained.named_degrees(history.degrees)
    for prefix, machine in ((trained.STATE, rbm), (trained.BEST, best)):
        for name, tensor in machine.state_dict().items():
            tensors[prefix + name] = tensor
    arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    return Contents(pd.DataFrame(history.metrics), arrays, facts)


# --------------------------------------------------------------------------- what a record holds


def holds_machine(record: Record) -> bool:
    """True if a record holds the machine that is best by validation."""
    return any(name.startswith(trained.BEST) for name in record.arrays)


def machine_of(record: Record) -> RBM:
    """The machine of a record, the best by validation.

    Raises: ValueError if the record does not hold it.
    """
    if not holds_machine(record):
        raise ValueError(
            f"record {record.path} does not hold the machine: train it on this machine, in a"
            " notebook with retrain = True"
        )
    rbm = record.config.machine(trained.widths(record)[0])
    rbm.load_state_dict(trained.state(record.arrays, trained.BEST))
    return rbm


def numbers(record: Record) -> dict[str, Any]:
    """Numbers of a machine for the summary; likelihoods are no accuracies, and stay out of it."""
    return {
        "optimiser": "sgd",
        "epochs": record.config.epochs,
        "links_training": int(record.metrics["links"].iloc[-1]),
        "links_final": record.environment["final"]["links"],
    }


def keeps(record: Record, name: str) -> bool:
    """Shipped arrays: degrees, and of seed 0 the best machine where it is sparse and drawn."""
    if "_degree." in name:
        return True
    run = record.config
    drawn = run.dataset in DRAWN and run.seed == 0 and run.er_epsilon is not None
    return drawn and name.startswith(trained.BEST)


def keeps_reported(record: Record, name: str) -> bool:
    """Shipped arrays where machines that were only tried leave their table alone."""
    return record.config.variant != "tried" and keeps(record, name)
