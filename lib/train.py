"""The one training loop: ``fit(model, split, settings, seed=...) -> History``, with exact
resume.
"""

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib import models
from lib.augment import augment
from lib.data import Split
from lib.evolution import Evolution, evolve_, remove_

EVALUATION_BATCH = 1000
DEGREE_EPOCHS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Diverged(RuntimeError):
    """The loss is no longer finite."""


@dataclass(frozen=True)
class Settings:
    """How a network is trained: SGD on the cross-entropy.

    Args:
        epochs: passes over the training part, at least 1.
        batch_size: examples a step; the last batch of an epoch may be smaller.
        learning_rate: at the first epoch.
        schedule: "constant", "step" (a tenth from half of the epochs on, a hundredth from three
            quarters on) or "cosine" (towards 0).
        momentum: of SGD, in [0, 1).
        nesterov: whether the momentum is Nesterov's.
        weight_decay: of the weights of links only, times the learning rate (as in torch). The
            authors' SciPy code subtracts wd · w without rate and momentum, from biases too: not
            offered.
        augmentation: strength of the random rotations, shifts and mirrorings of training images, in
            [0, 1], see :func:`lib.augment.augment`; 0: none.
        evolution: how links evolve after each epoch; None for a static support.
    Raises: ValueError if a value is out of range.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.1
    schedule: str = "cosine"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 2e-4
    augmentation: float = 0.0
    evolution: Evolution | None = None

    def __post_init__(self) -> None:
        for name, in_range, advice in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "a positive one"),
            ("momentum", 0 <= self.momentum < 1, "one in [0, 1)"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or a positive one"),
            ("augmentation", 0 <= self.augmentation <= 1, "a strength in [0, 1]"),
        ):
            if not in_range:
                raise ValueError(f"{name} = {getattr(self, name)} is out of range: give {advice}")
        if self.schedule not in ("constant", "step", "cosine"):
            raise ValueError(
                f"schedule {self.schedule!r} is unknown: 'constant', 'step' or 'cosine'"
            )
        if self.nesterov and self.momentum == 0:
            raise ValueError("momentum = 0 with nesterov: give a positive momentum")

    def learning_rate_at_epoch(self, epoch: int) -> float:
        """Learning rate of epoch ``epoch``, from 1."""
        done = (epoch - 1) / self.epochs
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "step":
            return self.learning_rate * (1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01)
        return self.learning_rate * (1 + math.cos(math.pi * done)) / 2


@dataclass
class History:
    """What a run leaves besides the trained model.

    Attributes:
        metrics: one dict an epoch: epoch, learning_rate, train_loss, valid_accuracy, test_accuracy
            (before the update of the links; None where not evaluated), links (trained with),
            replaced (links replaced after the epoch).
        final: test_accuracy (None where not evaluated) and links after what the last epoch's rule
            does.
        degrees: int16 tensors (int32 where needed) named layer.in_degree.epoch and
            layer.out_degree.epoch: links of every output and of every input neuron at epochs 0, 1,
            2, 5, … and the last, and "final".
        links: of every sparse layer at the same epochs, named layer.links.epoch: (nnz,) int32
            (int64 where needed), row · n_in + col.
        best_state: state dict at the best validation epoch (the first of equals), None without a
            validation part.
        seconds: training and evaluation, all sittings together.
        clock: seconds at the end of each epoch.
    """

    metrics: list[dict[str, Any]] = field(default_factory=list)
    final: dict[str, Any] = field(default_factory=dict)
    degrees: dict[str, Tensor] = field(default_factory=dict)
    links: dict[str, Tensor] = field(default_factory=dict)
    best_state: dict[str, Tensor] | None = None
    seconds: float = 0.0
    clock: list[float] = field(default_factory=list)


def fit(
    model: nn.Module,
    split: Split,
    settings: Settings,
    *,
    seed: int,
    evaluate_test: bool = True,
    checkpoint: Path | None = None,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train ``model`` in place and return its history.

    After each epoch: evaluate, then update the links, then write the checkpoint. The bits of the
    result do not depend on where a run was interrupted, nor, for sparse networks, on the number of
    threads.

    Args:
        model: takes (B, features...) and returns (B, n_classes) logits.
        split: the data; its arrays are moved to the model's device and dtype.
        settings: how to train.
        seed: of the order of the examples and of the evolution.
        evaluate_test: False for tuning, which must not see the test part.
        checkpoint: file to write after every epoch and to resume from if it is there; None for
            neither.
        on_epoch: called with the history after every epoch.
    Returns: the history; the model holds the weights of the last epoch, after its last update of
        links.
    Raises: Diverged if a loss is not finite, naming epoch, step and learning rate; ValueError if
        the data are unlabelled or not finite, or not images where they are to be augmented.
    """
    parts = ("train", "valid", "test") if evaluate_test else ("train", "valid")
    data = _examples(split, parts, next(model.parameters()))
    optimiser = make_optimiser(model, settings)
    generator = torch.Generator().manual_seed(seed)
    prepare = _preparation(split, settings.augmentation, generator)
    evolve = partial(_evolve, model, optimiser, data["train"], settings, generator, prepare)
    history = History()
    if checkpoint is not None and checkpoint.exists():
        history = _restore(checkpoint, model, optimiser, generator)
    else:
        _record_links(history, model, 0)
    for epoch in range(len(history.metrics) + 1, settings.epochs + 1):
        start = time.perf_counter()
        rate = settings.learning_rate_at_epoch(epoch)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = _train_epoch(model, optimiser, *data["train"], settings, generator, prepare, epoch)
        row = {"epoch": epoch, "learning_rate": rate, "train_loss": loss}
        for part in ("valid", "test"):
            row[f"{part}_accuracy"] = accuracy(model, *data[part]) if part in data else None
        row["links"] = models.count_links(model)
        valid = row["valid_accuracy"]
        if valid is not None and all(valid > old["valid_accuracy"] for old in history.metrics):
            history.best_state = {k: v.clone() for k, v in model.state_dict().items()}
        last = epoch == settings.epochs
        if last or epoch in DEGREE_EPOCHS:
            _record_links(history, model, epoch)
        row["replaced"] = 0 if last else evolve(epoch)  # the last update is below
        history.metrics.append(row)
        history.seconds += time.perf_counter() - start
        history.clock.append(round(history.seconds, 3))
        if checkpoint is not None:
            _save(checkpoint, model, optimiser, generator, history)
        if on_epoch is not None:
            on_epoch(history)
    start = time.perf_counter()
    evolve(settings.epochs)
    tested = accuracy(model, *data["test"]) if "test" in data else None
    history.final = {"test_accuracy": tested, "links": models.count_links(model)}
    _record_links(history, model, "final")
    history.seconds += time.perf_counter() - start
    return history


def _examples(split: Split, parts: Sequence[str], like: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """(N, n_in) inputs and (N,) labels of the parts that have both, on the device of ``like``."""
    if split.y_train is None:
        raise ValueError(f"{split.name} has no labels: this loop trains classifiers")
    examples = {}
    for part in parts:
        x, y = getattr(split, f"x_{part}"), getattr(split, f"y_{part}")
        if x is not None and not x.isfinite().all():
            bad = x[~x.isfinite()][0].item()
            raise ValueError(f"x_{part} of {split.name} holds {bad}: give finite numbers only")
        if x is not None and y is not None:
            examples[part] = x.flatten(1).to(like), y.to(like.device)
    return examples


def _preparation(
    split: Split, strength: float, generator: torch.Generator
) -> Callable[[Tensor], Tensor]:
    """What a batch (B, n_in) goes through before every step: augmentation of its images, if any."""
    if strength == 0:
        return lambda x: x
    shape = split.x_train.shape[1:]
    if len(shape) not in (2, 3):
        raise ValueError(
            f"augmentation = {strength} needs images, but an example of {split.name} has shape"
            f" {tuple(shape)}: give 0"
        )
    images = (-1, *(1,) * (3 - len(shape)), *shape)
    return lambda x: augment(x.view(images), generator=generator, strength=strength).flatten(1)


def _train_epoch(model, optimiser, x, y, settings, generator, prepare, epoch) -> float:
    """Mean loss of one pass over the examples in random order, a step a batch."""
    model.train()
    total = 0.0
    rate = optimiser.param_groups[0]["lr"]
    where = "epoch {}, step {}, at learning rate {:g}: lower the learning rate".format
    batches = torch.randperm(len(x), generator=generator).split(settings.batch_size)
    for step, index in enumerate(batches, start=1):
        loss = _loss(model, x, y, index, prepare)
        value = loss.item()
        if not math.isfinite(value):
            raise Diverged(f"the loss is {value} in {where(epoch, step, rate)}")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total += value * len(index)
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise Diverged(f"a weight is no longer finite after {where(epoch, step, rate)}")
    return total / len(x)


def _loss(model, x, y, index, prepare) -> Tensor:
    index = index.to(x.device)
    return F.cross_entropy(model(prepare(x.index_select(0, index))), y.index_select(0, index))


def _evolve(model, optimiser, train, settings, generator, prepare, epoch) -> int:
    """Update the links of every layer that evolves; return how many were replaced."""
    evolution = settings.evolution
    rule = evolution.last_epoch if evolution and epoch == settings.epochs else "evolve"
    if evolution is None or rule == "keep":
        return 0
    layers = models.sparse_layers(model)
    fraction = evolution.fraction_at_epoch(epoch, settings.epochs)
    how = {"fraction": fraction, "generator": generator, "optimiser": optimiser}
    if rule == "remove":
        return sum(remove_(layer, evolution, **how) for layer in layers.values())
    seen = {}
    if evolution.grow == "gradient":
        size = settings.batch_size, evolution.gradient_batches
        seen = collect(model, *train, *size, generator, prepare=prepare)
    return sum(
        evolve_(layer, evolution, **how, **seen.get(name, {})) for name, layer in layers.items()
    )


def make_optimiser(model: nn.Module, settings: Settings) -> torch.optim.SGD:
    """SGD of the settings; weight decay acts on the weights of links, not on biases and
    activations.
    """
    decayed = [p for name, p in model.named_parameters() if name.endswith(("values", "weight"))]
    others = [p for name, p in model.named_parameters() if not name.endswith(("values", "weight"))]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others}]
    speed = {"lr": settings.learning_rate, "momentum": settings.momentum}
    return torch.optim.SGD(groups, **speed, nesterov=settings.nesterov, fused=True)


def collect(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    batch_size: int,
    n_batches: int,
    generator: torch.Generator,
    *,
    prepare: Callable[[Tensor], Tensor] = lambda x: x,
) -> dict[str, dict[str, Tensor]]:
    """Inputs and output gradients of every layer that evolves, over a few random training batches.

    Args:
        model: put into training mode for this, as its gradients are those of training; its
            dropout goes on by ``n_batches`` steps.
        x, y: training part, (N, n_in) and (N,).
        batch_size, n_batches: size and number of batches.
        generator: source of randomness.
        prepare: what a batch goes through before a step of training, as augmentation.
    Returns: for each layer's name ``x`` (n_in, n_batches · B) and ``grad_y`` (n_out, n_batches ·
        B).
    """
    inputs, grads = defaultdict(list), defaultdict(list)

    def watch(layer, args, output):
        inputs[layer].append(args[0].detach().t())
        output.register_hook(lambda grad: grads[layer].append(grad.t()))

    layers = models.sparse_layers(model)
    was_training = model.training
    handles = [layer.register_forward_hook(watch) for layer in layers.values()]
    model.train()
    for _ in range(n_batches):
        index = torch.randint(len(x), (batch_size,), generator=generator)
        _loss(model, x, y, index, prepare).backward()
    for handle in handles:
        handle.remove()
    model.zero_grad()
    model.train(was_training)
    return {
        name: {"x": torch.cat(inputs[layer], 1), "grad_y": torch.cat(grads[layer], 1)}
        for name, layer in layers.items()
    }


@torch.no_grad()
def predict(model: nn.Module, x: Tensor, batch_size: int | None = None) -> Tensor:
    """(N, n_classes) logits of ``x`` (N, features...), in evaluation mode; the model's mode is
    kept. By default batches have 1000 examples, fewer where a layer is wider than 67,000.
    """
    if batch_size is None:
        widest = max(getattr(m, "n_out", getattr(m, "out_features", 1)) for m in model.modules())
        batch_size = max(1, min(EVALUATION_BATCH, 2**26 // widest))
    was_training = model.training
    model.eval()
    logits = torch.cat([model(batch) for batch in x.split(batch_size)])
    model.train(was_training)
    return logits


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Fraction of the examples ``x`` (N, features...) whose largest logit is that of their class
    ``y``.
    """
    return (predict(model, x).argmax(1) == y).double().mean().item()


def _record_links(history: History, model: nn.Module, epoch: int | str) -> None:
    for name, layer in models.sparse_layers(model).items():
        for side, pointer in (("in_degree", layer.crow), ("out_degree", layer.tcrow)):
            degrees = pointer.diff().cpu()
            fits = int(degrees.max()) < 2**15
            history.degrees[f"{name}.{side}.{epoch}"] = degrees.to(torch.int16) if fits else degrees
        keys, fits = layer.support.keys.cpu(), layer.n_in * layer.n_out <= 2**31
        history.links[f"{name}.links.{epoch}"] = keys.int() if fits else keys


# ------------------------------------------------------------------------------ checkpoints


def _save(path: Path, model, optimiser, generator, history: History) -> None:
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "generator": generator.get_state(),
        "history": vars(history),
    }
    part = path.with_name(path.name + ".part")
    torch.save(state, part)
    os.replace(part, path)


def _restore(path: Path, model, optimiser, generator) -> History:
    try:
        state = torch.load(path, weights_only=True)
        history = History(**state["history"])
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        generator.set_state(state["generator"])
    except Exception as error:
        raise ValueError(
            f"checkpoint {path} cannot be read ({type(error).__name__}): delete it to start anew"
        ) from error
    return history
