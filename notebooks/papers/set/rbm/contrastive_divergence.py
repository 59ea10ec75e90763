"""Learning by contrastive divergence, CD-n or persistent, with links that evolve between epochs.

A loop of its own, as a machine has no loss; settings, history, optimiser and the form of
checkpoints are those of :mod:`lib.train`.
"""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib import checkpoints, kernels, sampling, train
from lib._compiled import binary_units
from lib.evolution import evolve_, remove_
from lib.layers import SparseLinear
from lib.train import History, Settings
from papers.set.rbm.model import RBM, check_binary

CHECKPOINT_FORMAT = "rbm 2"
STEPS = 16  # in one compiled call
CHECKPOINT_SECONDS = 2.0  # epochs are short: not after each of them is one written

Evaluation = Callable[[RBM, int], dict[str, Any]]


@dataclass(frozen=True)
class Chains:
    """How the model's own states are drawn.

    Source: [Hinton2002] for CD-n; [Tieleman2008] for persistent chains.

    Args:
        steps: n, sweeps of Gibbs sampling before the statistics of the model are taken.
        persistent: whether chains go on from where the last step left them, not from the data.
    Raises: ValueError if ``steps`` is below 1.
    """

    steps: int = 1
    persistent: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"CD-{self.steps} is out of range: give at least one sweep")


def fit(
    rbm: RBM,
    x: Tensor,
    settings: Settings,
    *,
    seed: int,
    chains: Chains | None = None,
    evaluate: Evaluation | None = None,
    at_epochs: Collection[int] = (),
    checkpoint: Path | None = None,
    stop_after: int | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> History:
    r"""Train ``rbm`` in place and return its history.

    .. math:: \Delta W \propto \langle P(h|v) \, v^T \rangle_{data} - \langle P(h|v) \, v^T
        \rangle_{chains}

    Source: [Mocanu2018], Performance on RBMs; the update of [Hinton2002], hidden units as
    probabilities in both statistics and visible ones as samples, as in the code of
    [Salakhutdinov2008].

    After each epoch: links evolve (after the last one they are removed only), and in the epochs
    asked for the machine is evaluated: links just grown have the weight 0, so that it is the one
    after the removal. Where a run was interrupted changes no bit of it, nor do threads where links
    are sparse.

    Args:
        rbm: the machine.
        x: (N, n_visible) training examples, 0 or 1.
        settings: epochs, batch size, learning rate, momentum, weight decay (of the links alone) and
            the rules of evolution; for what is refused see :func:`check_settings`.
        seed: of the order of the examples, the samples and the evolution.
        chains: None: CD-1.
        evaluate: (rbm, epoch) -> columns of the history's metrics. Where it gives a ``valid``, the
            largest of them, first of equals, decides on ``best_state``.
        at_epochs: when; the last epoch always.
        checkpoint: file to write now and then, and to resume from if it is there; None for neither.
        stop_after: epochs in all after which to leave, as if interrupted there; None: none.
        on_epoch: called with the number of epochs done after each.
    Returns: the history: its metrics have a row for each evaluated epoch, with the columns epoch,
        links (trained with), kept (whose weight is not 0) and those of ``evaluate``; degrees and
        links as :class:`lib.train.History` has them; final: links.
    Raises: ValueError if the examples are not binary or of another width, the settings ask for what
        this loop does not do, ``stop_after`` is below 1, or the checkpoint is of another seed,
        other settings, chains or examples; lib.train.Diverged if a weight is no longer finite.
    """
    check_settings(settings)
    check_binary(x, "x_train")
    if x.shape[1] != rbm.n_visible:
        raise ValueError(f"x_train has {x.shape[1]} features: the machine takes {rbm.n_visible}")
    chains = chains or Chains()
    if stop_after is not None and stop_after < 1:
        raise ValueError(f"stop_after = {stop_after} is out of range: give at least 1")
    evaluations = {*at_epochs, settings.epochs} if evaluate else set()
    learner = _Learner(rbm, x, settings, chains, seed)
    history = History()
    done = 0
    if checkpoint is not None and checkpoint.exists():
        done, history = _restore_(learner, checkpoint)
    else:
        train.record_links(history, rbm, 0)
    last = settings.epochs if stop_after is None else min(stop_after, settings.epochs)
    written = time.perf_counter()
    for epoch in range(done + 1, last + 1):
        start = time.perf_counter()
        trained_links = learner.run_epoch(epoch, history)
        if epoch in evaluations:
            _evaluate(learner, history, {"epoch": epoch, "links": trained_links}, evaluate)
        history.seconds += time.perf_counter() - start
        if checkpoint is not None:
            if epoch == last or time.perf_counter() - written > CHECKPOINT_SECONDS:
                state = {
                    "format": CHECKPOINT_FORMAT,
                    "run": learner.run,
                    "epoch": epoch,
                    "model": rbm.state_dict(),
                    "optimiser": learner.optimiser.state_dict(),
                    "generator": learner.generator.get_state(),
                    "passes": learner.passes,
                    "particles": learner.particles,
                    "history": vars(history),
                }
                checkpoints.save(checkpoint, state)
                written = time.perf_counter()
        if on_epoch is not None:
            on_epoch(epoch)
    return history


def check_settings(settings: Settings) -> None:
    """Refuse what this loop does not do: augmentation, averaging, rules that ask for gradients of
    layers, numbers of links that change. Raises ValueError.
    """
    for name in ("augmentation", "averaging"):
        if getattr(settings, name) != 0:
            raise ValueError(f"{name} = {getattr(settings, name)} is not for a machine: give 0")
    evolution = settings.evolution
    if evolution is None:
        return
    if evolution.needs_gradient:
        raise ValueError(
            f"drop = {evolution.drop!r} with grow = {evolution.grow!r} needs gradients of a loss,"
            " which a machine lacks: choose rules that go without, as 'sign' and 'random'"
        )
    if evolution.changes_numbers:
        raise ValueError(
            f"density_schedule = {evolution.density_schedule!r} with redistribution ="
            f" {evolution.redistribution!r} changes the number of links, which a machine keeps:"
            " give 'constant' and None"
        )


@dataclass
class _Learner:
    """State that the steps of a training read and change."""

    rbm: RBM
    x: Tensor  # (N, n_visible); in bytes here, of which a batch is read faster
    settings: Settings
    chains: Chains
    seed: int
    passes: int = 0  # over units that were sampled
    particles: Tensor | None = None  # (n_visible, B), persistent chains
    run: dict[str, Any] = field(init=False)  # what its checkpoints are of
    generator: torch.Generator = field(init=False)
    optimiser: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.x = self.x.to(self.rbm.weights.device, torch.uint8)
        data = checkpoints.digest(self.x)
        self.run = checkpoints.described(self.settings, self.chains, seed=self.seed, data=data)
        self.generator = torch.Generator().manual_seed(self.seed)
        self.optimiser = train.make_optimiser(self.rbm, self.settings)

    def run_epoch(self, epoch: int, history: History) -> int:
        """A pass over the examples in random order, and the update of the links; how many there
        were before it.
        """
        settings = self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate_at_epoch(epoch)
        order = torch.randperm(len(self.x), generator=self.generator).to(self.x.device)
        batch_size = settings.batch_size
        if sampling.descends_in_one_call(self.rbm.links, batch_size) and not settings.nesterov:
            self._run_compiled(order)
        else:
            for index in order.split(batch_size):
                self._step(sampling.batch(self.x, index, self.rbm.weights.dtype))
        for parameter in self.rbm.parameters():
            if not parameter.isfinite().all():
                raise train.Diverged(
                    f"a weight is no longer finite after epoch {epoch}, at learning rate"
                    f" {settings.learning_rate_at_epoch(epoch):g}: lower the learning rate"
                )
        is_last = epoch == settings.epochs
        if is_last or epoch in train.DEGREE_EPOCHS:
            train.record_links(history, self.rbm, epoch)
        n_links = self.rbm.weights.numel()
        self._update_links(epoch, is_last)
        if is_last:
            train.record_links(history, self.rbm, "final")
            history.final["links"] = self.rbm.n_links
        return n_links

    @torch.no_grad()
    def _run_compiled(self, order: Tensor) -> None:
        """The steps of an epoch, :data:`STEPS` in a call; of batches of one tile on one thread."""
        batch_size, dtype = self.settings.batch_size, self.rbm.weights.dtype
        if self.chains.persistent and self.particles is None:
            self.particles = sampling.batch(self.x, order[:batch_size], dtype)
        parts = order.split(STEPS * batch_size)
        is_one_tile = min(batch_size, len(order)) <= binary_units.LANES
        with kernels.on_threads(1 if is_one_tile else torch.get_num_threads()):
            for index in parts if is_one_tile else kernels.paced(parts):
                steps = math.ceil(len(index) / batch_size)
                shape = steps, sampling.passes(self.chains.steps, self.particles)
                laws = sampling.laws_of(self.seed, self.passes + 1, shape)
                self.passes += shape[0] * shape[1]
                particles = sampling.descend_(
                    self.rbm.links,
                    self.rbm.visible_bias,
                    self.x,
                    index,
                    min(batch_size, len(index)),
                    laws,
                    self.optimiser,
                    particles=self.particles,
                )
                if self.chains.persistent:
                    self.particles = particles

    def _law(self) -> sampling.SamplingLaw:
        self.passes += 1
        return sampling.sampling_law(self.seed, self.passes)

    @torch.no_grad()
    def _step(self, v: Tensor) -> None:
        """One step of the optimiser, for a batch (n_visible, B)."""
        rbm = self.rbm
        if self.chains.persistent and self.particles is None:
            self.particles = v
        descent = sampling.contrastive_divergence(
            rbm.links,
            rbm.visible_bias,
            rbm.hidden_bias,
            v,
            self._law,
            steps=self.chains.steps,
            particles=self.particles,
        )
        if self.chains.persistent:
            self.particles = descent.particles
        rbm.weights.grad = descent.weights
        rbm.visible_bias.grad = descent.down_bias
        rbm.hidden_bias.grad = descent.up_bias
        self.optimiser.step()

    def _update_links(self, epoch: int, is_last: bool) -> None:
        evolution = self.settings.evolution
        if evolution is None or not isinstance(self.rbm.links, SparseLinear):
            return
        rule = evolution.after_last_epoch if is_last else "evolve"
        if rule == "keep":
            return
        update = remove_ if rule == "remove" else evolve_
        update(
            self.rbm.links,
            evolution,
            fraction=evolution.fraction_at_epoch(epoch, self.settings.epochs),
            generator=self.generator,
            optimiser=self.optimiser,
            done=epoch / self.settings.epochs,
        )


def _evaluate(
    learner: _Learner, history: History, row: dict[str, Any], evaluate: Evaluation
) -> None:
    """Append a row to the metrics, and keep the machine where it is the best so far."""
    rbm = learner.rbm
    row["kept"] = rbm.n_links
    row = checkpoints.extended(row, evaluate(rbm, row["epoch"]), "evaluate")
    earlier = [old["valid"] for old in history.metrics if old.get("valid") is not None]
    history.metrics.append(row)
    valid = row.get("valid")
    if valid is not None and valid > max(earlier, default=-math.inf):
        state = rbm.state_dict()
        history.best_state = {name: tensor.clone() for name, tensor in state.items()}


# ------------------------------------------------------------------------------- checkpoints


def _restore_(learner: _Learner, checkpoint: Path) -> tuple[int, History]:
    """Put the learner where the checkpoint left off; the epochs done, and the history of them."""
    state = checkpoints.load(checkpoint, CHECKPOINT_FORMAT, learner.run)
    with checkpoints.readable(checkpoint):
        learner.rbm.load_state_dict(state["model"])
        learner.optimiser.load_state_dict(state["optimiser"])
        learner.generator.set_state(state["generator"])
        learner.passes = state["passes"]
        particles = state["particles"]
        learner.particles = particles if particles is None else particles.to(learner.x.device)
        return state["epoch"], History(**state["history"])
