"""The one training loop: ``fit(model, split, settings, seed=...) -> History``, with exact
resume.

Beside it stand its :class:`Settings` and :class:`History`, averages of the weights over the steps,
links that move included, and the optimiser: which parameters decay.
"""

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from . import checkpoints, kernels, models
from ._boundary import check_known, check_number, check_regular, check_seed, check_type, check_whole
from ._compiled import losses
from ._compiled.backbone import BackboneStep
from ._compiled.chains import ONE_EXAMPLE, CannotCompile
from ._compiled.step import NO_INPUT_GRADIENT, CompiledStep
from .activations import Splash
from .data import Split
from .data.augment import augment
from .evolution import (
    AVERAGE,
    Evolution,
    check_held,
    check_optimiser,
    check_untied,
    evolve_layers_,
    held_by,
    needs_gradient,
    remove_,
    unwrapped_optimiser,
)
from .growth import Collector
from .layers import LINKED, SparseConv2d, SparseLinear, Standardise

# ----------------------------------------------------------------------------------------- settings


SCHEDULES = ("constant", "step", "cosine", "one_cycle")
PEAK = 0.3  # of the epochs: where the rate of one cycle is highest


@dataclass(frozen=True)
class Settings:
    """How a network is trained, by SGD unless :func:`lib.train.fit` is given another optimiser.

    Args:
        epochs: passes over the training part, at least 1.
        batch_size: examples a step; the last batch of an epoch may be smaller, and for batch
            normalisation must not be a single example.
        learning_rate: at the first epoch; of one cycle, the highest.
        schedule: "constant", "step" (a tenth from half of the epochs on, a hundredth from three
            quarters on), "cosine" (towards 0) or "one_cycle" (up to it over three tenths of the
            epochs, then down towards 0, both linearly; [Smith2018], without its momentum).
        momentum: of SGD, in [0, 1).
        nesterov: whether the momentum is Nesterov's.
        weight_decay: of the weights of links only, times the learning rate (as in torch). The
            authors' SciPy code subtracts wd · w without rate and momentum, from biases too: not
            offered.
        augmentation: strength of the random rotations, shifts and mirrorings of training images, in
            [0, 1], see :func:`lib.data.augment.augment`; 0: none.
        averaging: decay of the moving average of the weights, see
            :class:`lib.train.WeightAverage`, in [0, 1): that is what is evaluated after each
            epoch and left in the model; 0: none.
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
    averaging: float = 0.0
    evolution: Evolution | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            check_whole(name, getattr(self, name), least=1)
            object.__setattr__(self, name, int(getattr(self, name)))  # numpy's too
        for name, interval in (
            ("learning_rate", "(0, inf)"),
            ("momentum", "[0, 1)"),
            ("weight_decay", "[0, inf)"),
            ("augmentation", "[0, 1]"),
            ("averaging", "[0, 1)"),
        ):
            check_number(name, getattr(self, name), interval)
            object.__setattr__(self, name, float(getattr(self, name)))
        check_known("schedule", self.schedule, SCHEDULES)
        check_type("nesterov", self.nesterov, bool)
        if self.evolution is not None:
            check_type("evolution", self.evolution, Evolution)
            falls = self.evolution.density_schedule != "constant"
            if falls and self.evolution.after_last_epoch == "keep" and self.epochs == 1:
                raise ValueError(
                    "epochs = 1 with a density_schedule leaves no update of the links: give at"
                    " least 2, or last_epoch='evolve'"
                )

    def learning_rate_at_epoch(self, epoch: int) -> float:
        """Learning rate of epoch ``epoch``, from 1."""
        done = (epoch - 1) / self.epochs
        if self.schedule == "cosine":
            return self.learning_rate * (1 + math.cos(math.pi * done)) / 2
        if self.schedule == "one_cycle":
            middle = (epoch - 0.5) / self.epochs  # of the epoch
            return self.learning_rate * min(middle / PEAK, (1 - middle) / (1 - PEAK))
        if self.schedule == "constant" or done < 0.5:
            return self.learning_rate
        if done < 0.75:
            return self.learning_rate * 0.1
        return self.learning_rate * 0.01


@dataclass
class History:
    """Result of a training besides the trained model.

    Attributes:
        metrics: one dict an epoch: epoch, learning_rate, train_loss, valid_accuracy, test_accuracy
            (before the update of the links; None where not evaluated, NaN where undefined, see
            :func:`lib.train.accuracy`), links (trained with),
            replaced (links replaced after the epoch).
        final: test_accuracy (None where not evaluated) and links after what the last epoch's rule
            does.
        degrees: one dict for each sparse layer, side and epoch of 0, 1, 2, 5, … and the last, and
            "final": layer (its name in the model), side ("in": links of every output neuron;
            "out": links of every input neuron), epoch, links ((width,) int16, int32 where needed).
        links: one dict for each sparse layer and each of these epochs: layer, epoch, keys ((nnz,)
            int32, int64 where needed, row · n_in + col).
        best_state: state dict at the best validation epoch (the first of equals), None without a
            validation part.
        seconds: training and evaluation, all sittings together.
        clock: seconds at the end of each epoch.
    """

    metrics: list[dict[str, Any]] = field(default_factory=list)
    final: dict[str, Any] = field(default_factory=dict)
    degrees: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    best_state: dict[str, Tensor] | None = None
    seconds: float = 0.0
    clock: list[float] = field(default_factory=list)


EVALUATION_BATCH = 1000
EVALUATION_VALUES = 2**26  # of the widest layer, in a batch of an evaluation
DEGREE_EPOCHS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
IGNORED = -100  # a label that torch's cross-entropy leaves out
OF_CLASSES = (nn.CrossEntropyLoss, nn.NLLLoss)  # losses that take labels as fit does
CHECKPOINT_FORMAT = 3  # of what fit writes
LARGE_INPUT = 10.0  # beyond it a divergence may be one of inputs that nobody scaled

Loss = Callable[[Tensor, Tensor], Tensor]
Objective = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]
Gradient = Callable[[Tensor, Tensor], Tensor]  # of the loss at inputs, of inputs and classes
Preparation = Callable[[Tensor], Tensor]


class Diverged(RuntimeError):
    """The loss is no longer finite."""


def fit(
    model: nn.Module,
    split: Split,
    settings: Settings,
    *,
    seed: int,
    loss: Loss = F.cross_entropy,
    objective: Objective | None = None,
    grow_objective: Objective | None = None,
    optimiser: torch.optim.Optimizer | None = None,
    evaluate_test: bool = True,
    checkpoint: Path | str | None = None,
    stop_after: int | None = None,
    on_epoch: Callable[[History], None] | None = None,
    measure: Callable[[nn.Module], dict[str, Any]] | None = None,
) -> History:
    """Train ``model`` in place and return its history.

    After each epoch: evaluate, then update the links, then write the checkpoint. The bits of the
    result do not depend on where a run was interrupted, nor, for sparse networks, on the number of
    threads. A module that draws from torch's global generator, as ``nn.Dropout`` does, draws anew
    after an interruption; :class:`lib.layers.Dropout` goes on.

    Args:
        model: takes a batch (B, features...) in the shape that the split has, images as (B, H, W)
            or (B, C, H, W), and returns (B, n_classes) logits.
        split: the data; its arrays are moved to the model's device and dtype.
        settings: how to train.
        seed: of the order of the examples and of the evolution; another one than the network's,
            or the first update may grow links where they just were.
        loss: takes logits (B, n_classes) and classes (B,), returns their mean loss, a scalar. With
            one output, ``nn.BCEWithLogitsLoss()`` learns the classes 0 and 1, and
            ``nn.MSELoss()`` a regression; targets are (N,).
        objective: (model, inputs (B, features...), classes (B,), generator) -> the scalar that a
            step lowers, where that is not the loss of the model's logits, see
            :mod:`lib.robustness.defences`. One that is the cross-entropy at other inputs has a
            method ``perturbed(x, y, generator, gradient_at)`` that returns these: its steps are
            compiled where those on the loss are. One that changes from epoch to epoch has a method
            ``at_epoch(epoch)`` that returns the objective of an epoch, from 1.
        grow_objective: the one whose gradient growth by gradient follows; None: that of the steps.
        optimiser: of the model's parameters; None: :func:`lib.train.make_optimiser`. The
            schedule of the settings sets the learning rate of all its groups, so a new one has to
            be made with that of the settings; its momentum and decay are its own. Under Adam a
            link that grows counts the steps of its layer as its own, unlike in
            :class:`lib.sparsify.Evolver`.
        evaluate_test: False for tuning, which must not see the test part.
        checkpoint: file to write after every epoch and to resume from if it is there; None for
            neither. Seed, settings, kind of optimiser and training examples have to be those that
            it was written with. Weights, links and the optimiser's own settings are taken from it;
            loss, objectives, dropout, ``measure`` and the other parts of the data are not compared.
        stop_after: epochs in all after which to leave, as if interrupted there; None: none.
        on_epoch: called with the history after every epoch.
        measure: what a row of the metrics holds besides, of the model that is evaluated after the
            epoch, which it leaves as it is: numbers and strings, in lists and dicts, under names
            that the row does not have yet. Of a sparse network it runs on one thread or on all, see
            :func:`lib.kernels.paced`.
    Returns: the history; the model holds the weights of the last epoch, after its last update of
        links.
    Raises: Diverged if a loss is not finite, naming epoch, step and learning rate; ValueError if
        the data are unlabelled, of unequal lengths or not finite, or not images where they are to
        be augmented; if classes are not int64 or beyond the model's outputs, labels of a binary
        cross-entropy are beyond 0 and 1, the optimiser is older than the model's layers or of a
        kind that cannot train it, there is an evolution and no sparse layer, a loss is no single
        number, batch normalisation meets a batch of one example, ``seed`` or ``stop_after`` is out
        of range, what is measured is not what a row can hold, or the checkpoint is of another seed,
        of other settings, training examples or another kind of optimiser;
        lib._boundary.NotWritten if there is no place for the checkpoint.
    """
    seed = check_seed(seed)
    if not isinstance(split, Split):
        raise ValueError(
            f"split is a {type(split).__name__}: give a Split, as data.load and data.from_arrays"
            " return"
        )
    check_type("settings", settings, Settings)
    if stop_after is not None:
        check_whole("stop_after", stop_after, least=1)
    if checkpoint is not None:
        checkpoint = Path(checkpoint)
        check_regular(checkpoint)
    if optimiser is not None:
        check_type("optimiser", optimiser, torch.optim.Optimizer)
    else:
        optimiser = make_optimiser(model, settings)
    _check_optimiser(model, optimiser)
    if settings.evolution is not None:
        _check_evolving(model, optimiser)
    _check_rates(optimiser, settings.learning_rate)
    parameter = next(model.parameters(), None)
    if parameter is None:
        raise ValueError(f"the {type(model).__name__} has no parameters: give a model that learns")
    examples = _examples(split, evaluate_test, parameter)
    generator = torch.Generator().manual_seed(seed)
    prepare = _preparation(split, settings.augmentation, generator)
    perturbs = _perturbs(objective)
    step_loss = loss if objective is None else F.cross_entropy if perturbs else None
    takes_classes = step_loss is F.cross_entropy or (objective is None and type(loss) in OF_CLASSES)
    ignored = getattr(loss, "ignore_index", IGNORED)
    objective = objective or _mean_loss(loss)
    objectives = objective, grow_objective or objective
    run = {}
    if checkpoint is not None:
        x, y = examples["train"]
        read = checkpoints.digest(x, y if y.is_floating_point() else y.long())
        kind = type(optimiser).__name__
        run = checkpoints.described(settings, seed=seed, optimiser=kind, data=read)
    fixed = settings, examples, generator, prepare, measure, run
    training = _Training(model, optimiser, objectives, *fixed)
    try:
        if takes_classes:
            _check_classes(model, examples, ignored)
        elif type(loss) is nn.BCEWithLogitsLoss or loss is F.binary_cross_entropy_with_logits:
            _check_shares(examples)
        if step_loss is not None:
            training.compile_step(step_loss, perturbs)
        history = _begin(training, checkpoint)
        _train(training, history, checkpoint, stop_after, on_epoch)
    finally:
        if training.average is not None:
            training.average.stop()
    return history


def _train(
    training: "_Training",
    history: History,
    checkpoint: Path | None,
    stop_after: int | None,
    on_epoch: Callable[[History], None] | None,
) -> None:
    """Go on from where the history ends, see :func:`fit`."""
    epochs = training.settings.epochs
    last = epochs if stop_after is None else stop_after
    for epoch in range(len(history.metrics) + 1, min(last, epochs) + 1):
        start = time.perf_counter()
        with kernels.on_threads(torch.get_num_threads()):  # an epoch may leave another number
            _run_epoch(training, history, epoch)
        history.seconds += time.perf_counter() - start
        history.clock.append(round(history.seconds, 3))
        if checkpoint is not None:
            checkpoints.save(checkpoint, _state(training, history))
        if on_epoch is not None:
            on_epoch(history)
    if stop_after is not None:
        return
    start = time.perf_counter()
    _finish(training, history)
    history.seconds += time.perf_counter() - start


@dataclass
class _Training:
    """State that the steps of a training read and change."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    objectives: tuple[Objective, Objective]  # of a step, and of growth by gradient
    settings: Settings
    examples: dict[str, tuple[Tensor, Tensor]]  # inputs and labels of each part
    generator: torch.Generator
    prepare: Preparation  # what a batch goes through before a step
    measure: Callable[[nn.Module], dict[str, Any]] | None
    run: dict[str, Any]  # what its checkpoints are of

    def __post_init__(self) -> None:
        self.average: WeightAverage | None = None
        if self.settings.averaging > 0:
            self.average = WeightAverage(self.model, self.optimiser, self.settings.averaging)
        self.compiled: CompiledStep | BackboneStep | None = None  # its steps, where there is one

    def compile_step(self, loss: Loss, perturbs: bool) -> None:
        """Take steps on a loss of the outputs, of perturbed inputs or not, in one compiled call,
        where there is one for this model, this optimiser and these labels; else say why not.
        """
        x, y = self.examples["train"]
        is_possible = x.dtype == torch.float32 and kernels.launch.runs_compiled(x)
        if not is_possible or not models.sparse_layers(self.model):
            return
        try:
            step = compiled_step(self.model, self.optimiser, loss, average=self.average)
            labels = step.fitting(x, y)
        except CannotCompile as error:
            warnings.warn(f"fit goes by autograd, which is slower: {error}", stacklevel=3)
            return
        if perturbs and not step.finds_gradients_at_inputs:
            why = f"fit goes by autograd, which is slower: {NO_INPUT_GRADIENT}"
            warnings.warn(why, stacklevel=3)
            return
        if labels is not None:
            self.examples["train"] = x, labels
            self.compiled = step

    def step(self, objective: Objective, x: Tensor, y: Tensor, index: Tensor) -> float:
        """Take a step on a batch of the examples, unless its loss is not finite; return that."""
        perturbs = _perturbs(objective)
        if self.compiled is not None and self.settings.augmentation == 0 and not perturbs:
            return self.compiled(x, y, index)
        x, y = self.prepare(x.index_select(0, index)).contiguous(), y.index_select(0, index)
        if self.compiled is not None:
            if perturbs:
                x = objective.perturbed(x, y, self.generator, self.compiled.gradient_at)
            return self.compiled(x, y)
        loss = _loss_of(objective, self.model, x, y, self.generator)
        value = loss.item()
        if math.isfinite(value):
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
        return value

    def accuracy(self, part: str) -> float | None:
        """Accuracy on a part of the data, None where it is not evaluated."""
        if part not in self.examples:
            return None
        return accuracy(self.model, *self.examples[part])

    def evaluated(self) -> contextlib.AbstractContextManager:
        """While it is entered, the model has the weights that are evaluated: the averaged ones."""
        return self.average.in_place() if self.average else contextlib.nullcontext()


def _perturbs(objective: Objective) -> bool:
    """True if it is the cross-entropy at other inputs, see :func:`fit`: the class that finds these
    also calls the model. One that inherits them and computes another loss is not.
    """
    for kind in type(objective).__mro__:
        if "perturbed" in vars(kind) or "__call__" in vars(kind):
            return {"perturbed", "__call__"} <= vars(kind).keys()
    return False


def _at_epoch(objective: Objective, epoch: int) -> Objective:
    """The objective of an epoch, see :func:`fit`."""
    return objective.at_epoch(epoch) if hasattr(objective, "at_epoch") else objective


def _mean_loss(loss: Loss) -> Objective:
    """The objective of plain training."""
    return lambda model, x, y, generator: losses.matched(loss, model(x), y)


def _loss_of(
    objective: Objective, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
) -> Tensor:
    """The objective of a batch. Raises ValueError if it is no single number, or batch normalisation
    meets a single example.
    """
    try:
        loss = objective(model, x, y, generator)
    except ValueError as error:
        if len(x) > 1 or "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(ONE_EXAMPLE) from error
    if not isinstance(loss, Tensor):
        raise ValueError(
            f"the loss is a {type(loss).__name__}: return a tensor of one number, the mean over the"
            " batch"
        )
    if loss.numel() != 1:
        raise ValueError(
            f"the loss has shape {tuple(loss.shape)}: return its mean over the batch, as with"
            " reduction='mean'"
        )
    return loss


def _examples(split: Split, evaluate_test: bool, like: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """(N, features...) inputs and (N,) labels of the parts that have both, on the device of
    ``like``.
    """
    if split.y_train is None:
        raise ValueError(f"{split.name} has no labels: this loop trains classifiers")
    parts = ["train", "valid"]
    if evaluate_test:
        parts.append("test")
    examples = {}
    for part in parts:
        x = getattr(split, f"x_{part}")
        y = getattr(split, f"y_{part}")
        if x is None:
            continue
        if y is not None and len(x) != len(y):
            raise ValueError(
                f"x_{part} of {split.name} has {len(x)} examples and y_{part} {len(y)} labels: give"
                " one each"
            )
        if len(x) == 0:
            raise ValueError(f"x_{part} of {split.name} has no example: give one at least")
        _check_finite(x, f"x_{part} of {split.name}")
        if y is not None:
            examples[part] = x.to(like).contiguous(), y.to(like.device)
    return examples


def _check_classes(
    model: nn.Module, examples: dict[str, tuple[Tensor, Tensor]], ignored: int
) -> None:
    """Raise ValueError if a label is no class of the model's outputs, nor the one to ignore, or
    labels are of a type that torch takes for no class.
    """
    x, _ = examples["train"]
    n_classes = predict(model, x[:1]).shape[-1]
    for part, (_, y) in examples.items():
        if y.ndim > 1:
            continue
        if y.dtype not in (torch.int64, torch.uint8):
            raise ValueError(f"y_{part} is {y.dtype}: give classes as torch.int64")
        beyond = y[((y < 0) | (y >= n_classes)) & (y != ignored)]
        if len(beyond):
            outputs = f"{n_classes} outputs, for classes 0 to {n_classes - 1}"
            if n_classes == 1:
                outputs = (
                    "one output: give each class one, or train two classes by"
                    " loss=nn.BCEWithLogitsLoss()"
                )
            raise ValueError(f"y_{part} holds class {int(beyond[0])}, but the model has {outputs}")


def _check_shares(examples: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Raise ValueError if a label is no share of 0 to 1, as a binary cross-entropy takes it."""
    for part, (_, y) in examples.items():
        beyond = y[(y < 0) | (y > 1)]
        if len(beyond):
            raise ValueError(
                f"y_{part} holds {beyond[0]:g}: a binary cross-entropy takes labels from 0 to 1, so"
                f" give (y_{part} == {y.max():g}).float() for two classes"
            )


def _check_rates(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Raise ValueError if an optimiser that has made no step has another learning rate than the
    settings, whose schedule would replace it.
    """
    if any(state.get("step", 1) > 0 for state in optimiser.state.values()):  # Adagrad begins at 0
        return
    own = sorted({float(group.get("lr", rate)) for group in optimiser.param_groups})
    if not all(math.isclose(each, rate, rel_tol=1e-6) for each in own):  # a tensor is float32
        rates = " and ".join(f"{each:g}" for each in own)
        raise ValueError(
            f"the optimiser has the learning rate {rates}, and the settings have {rate:g}, which"
            " fit sets for all its parameters, by the schedule of the settings: make both the same,"
            " and leave out a scheduler of your own"
        )


def _check_optimiser(model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Raise ValueError if an optimiser holds the weights of before a layer became sparse or dense,
    or asks for the loss several times in a step.
    """
    if isinstance(optimiser, torch.optim.LBFGS):
        raise ValueError(
            "an LBFGS asks for the loss several times in a step, which this loop does not: give"
            " another optimiser"
        )
    own = {id(parameter) for parameter in model.parameters()}
    held = held_by(optimiser)
    if held <= own:
        return
    for name, module in model.named_modules():
        trained = [p for p in module.parameters(recurse=False) if p.requires_grad]
        missing = [p for p in trained if id(p) not in held]
        in_part = 0 < len(missing) < len(trained)  # of a dense layer the bias stays what it was
        if missing and (in_part or isinstance(module, SparseLinear) or held.isdisjoint(own)):
            raise ValueError(
                f"the optimiser does not hold all weights of layer {name}, but parameters that are"
                " none of the model: make it after sparsify_ or densify_, of the model's parameters"
            )


def _check_evolving(model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Raise ValueError unless the model has links that can evolve under this optimiser."""
    check_optimiser(optimiser)
    if not any(isinstance(module, SparseLinear) for module in model.modules()):
        raise ValueError(
            "the model has no sparse layer, whose links could evolve: call sparsify_ first, or give"
            " settings without evolution"
        )
    evolving = _evolving(model)
    check_untied(evolving)
    for name, layer in evolving.items():
        check_held(f"layer {name}", layer, optimiser)


def _evolving(model: nn.Module) -> dict[str, SparseLinear]:
    """The layers whose links evolve: frozen ones stay as they are."""
    layers = models.sparse_layers(model)
    return {name: layer for name, layer in layers.items() if layer.values.requires_grad}


def _check_finite(x: Tensor, name: str) -> None:
    if x.sum().isfinite():  # a tenth of the time; no sum hides a number that is not
        return
    is_finite = x.isfinite()
    if not is_finite.all():
        bad = x[~is_finite][0].item()
        raise ValueError(f"{name} holds {bad}: give finite numbers only")


def _preparation(split: Split, strength: float, generator: torch.Generator) -> Preparation:
    """Augmentation of the images of a batch, if any."""
    if strength == 0:
        return lambda x: x
    shape = split.x_train.shape[1:]
    if len(shape) not in (2, 3):
        raise ValueError(
            f"augmentation = {strength} needs images, but an example of {split.name} has shape"
            f" {tuple(shape)}: give 0"
        )

    def augmented(x: Tensor) -> Tensor:
        if x.ndim == 4:
            return augment(x, generator=generator, strength=strength)
        grey = augment(x.unsqueeze(1), generator=generator, strength=strength)
        return grey.squeeze(1)

    return augmented


def _run_epoch(training: _Training, history: History, epoch: int) -> None:
    """Train for an epoch, evaluate, and update the links unless it is the last one."""
    loss = _train_epoch(training, epoch)
    row = {
        "epoch": epoch,
        "learning_rate": training.settings.learning_rate_at_epoch(epoch),
        "train_loss": loss,
    }
    with training.evaluated():
        row["valid_accuracy"] = training.accuracy("valid")
        row["test_accuracy"] = training.accuracy("test")
        row |= {"links": models.count_links(training.model), "replaced": 0}
        if training.measure is not None:
            row = checkpoints.extended(row, training.measure(training.model), "measure")
        if _is_best(row, history):
            state = training.model.state_dict()
            history.best_state = {name: tensor.clone() for name, tensor in state.items()}
    is_last = epoch == training.settings.epochs
    if is_last or epoch in DEGREE_EPOCHS:
        record_links(history, training.model, epoch)
    if not is_last:
        row["replaced"] = _update_links(training, history, epoch)
    history.metrics.append(row)


def _finish(training: _Training, history: History) -> None:
    """Take the averaged weights, if any, and do what the last epoch's rule does to the links."""
    if training.average is not None:
        training.average.take_()
    _update_links(training, history, training.settings.epochs)
    history.final["test_accuracy"] = training.accuracy("test")
    history.final["links"] = models.count_links(training.model)
    record_links(history, training.model, "final")


def _train_epoch(training: _Training, epoch: int) -> float:
    """Mean loss of one pass over the examples in random order, a step a batch."""
    rate = training.settings.learning_rate_at_epoch(epoch)
    for group in training.optimiser.param_groups:
        group["lr"] = rate
    x, y = training.examples["train"]
    order = torch.randperm(len(x), generator=training.generator)
    batches = order.to(x.device).split(training.settings.batch_size)
    if models.runs_on_any_threads(training.model):
        batches = kernels.paced(batches)
    training.model.train()
    total = 0.0
    objective = _at_epoch(training.objectives[0], epoch)
    for step, index in enumerate(batches, start=1):
        value = training.step(objective, x, y, index)
        if not math.isfinite(value):
            raise _diverged(training, f"the loss is {value} in epoch {epoch}, step {step}", rate)
        total += value * len(index)
    for parameter in training.model.parameters():
        if not parameter.isfinite().all():
            raise _diverged(training, f"a weight is no longer finite after epoch {epoch}", rate)
    return total / len(x)


def _diverged(training: _Training, what: str, rate: float) -> Diverged:
    """The error that says what happened, and what may help."""
    remedy = "lower the learning rate"
    largest = training.examples["train"][0].abs().max()
    standardises = any(isinstance(each, Standardise) for each in training.model.modules())
    if largest > LARGE_INPUT and not standardises:
        remedy += (
            f", or, if nothing scales the inputs, which reach {largest:g}, standardise them, as by"
            " models.mlp(..., standardisation=split.standardisation())"
        )
    return Diverged(f"{what}, at learning rate {rate:g}: {remedy}")


def _update_links(training: _Training, history: History, epoch: int) -> int:
    """Update the links of every layer that evolves; return how many were replaced."""
    settings, evolution = training.settings, training.settings.evolution
    if evolution is None:
        return 0
    rule = "evolve"
    if epoch == settings.epochs:
        rule = evolution.after_last_epoch
    if rule == "keep":
        return 0
    layers = _evolving(training.model)
    how = {"generator": training.generator, "optimiser": training.optimiser}
    if rule == "evolve":
        seen = _seen_by_layers(training, epoch) if evolution.needs_gradient else {}
        at_start = {row["layer"]: len(row["keys"]) for row in history.links if row["epoch"] == 0}
        last = settings.epochs - (evolution.after_last_epoch != "evolve")
        how |= {"seen": seen, "n_at_start": at_start, "last": last}
        return evolve_layers_(layers, evolution, epoch, settings.epochs, **how)
    seen = _seen_by_layers(training, epoch) if needs_gradient(evolution.drop_rule) else {}
    fraction = evolution.fraction_at_epoch(epoch, settings.epochs)
    n_removed = 0
    for name, layer in layers.items():
        what = {"done": 1.0, **seen.get(name, {})}
        n_removed += remove_(layer, evolution, fraction=fraction, **how, **what)
    return n_removed


def _seen_by_layers(training: _Training, epoch: int) -> dict[str, dict[str, Any]]:
    """Inputs and gradients of each layer after an epoch, for rules by gradient."""
    x, y = training.examples["train"]
    objective = _at_epoch(training.objectives[1], epoch)
    return collect(
        training.model,
        x,
        y,
        training.settings.batch_size,
        training.settings.evolution.gradient_batches,
        training.generator,
        prepare=training.prepare,
        objective=objective,
    )


def _is_best(row: dict[str, Any], history: History) -> bool:
    """True if an epoch has the best validation accuracy so far; NaN is none."""
    if row["valid_accuracy"] is None:
        return False
    earlier = [old["valid_accuracy"] for old in history.metrics]
    return row["valid_accuracy"] > max(filter(math.isfinite, earlier), default=-math.inf)


def record_links(history: History, model: nn.Module, epoch: int | str) -> None:
    """Append degrees and links of every sparse layer to the history, as those after an epoch, or
    "final".
    """
    for name, layer in models.sparse_layers(model).items():
        support = layer.support
        for side, pointer in (("in", support.crow), ("out", support.tcrow)):
            degrees = pointer.diff().cpu()
            if int(degrees.max()) < 2**15:
                degrees = degrees.to(torch.int16)
            row = {"layer": name, "side": side, "epoch": epoch, "links": degrees}
            history.degrees.append(row)
        keys = support.keys.cpu()
        if support.n_in * support.n_out <= 2**31:
            keys = keys.int()
        history.links.append({"layer": name, "epoch": epoch, "keys": keys})


# ------------------------------------------------------------------------- a whole step in one call


def compiled_step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Loss = F.cross_entropy,
    *,
    clip_norm: float | None = None,
    average: "WeightAverage | None" = None,
) -> CompiledStep | BackboneStep:
    """A training step of a sparse model as one call; ``step(x, y)`` returns the loss before it.

    It takes the place of the forward pass, ``loss.backward()`` and ``optimiser.step()``, and gives
    the same numbers to rounding. State lies in the optimiser where torch's lies, so steps by
    autograd may stand between compiled ones. The page docs/SPEED.md says what it takes beside
    these and beside dense layers.

    Links may be replaced between steps, as by :class:`lib.sparsify.Evolver`, whose rules by
    gradient have their steps by autograd; weights may change in place, modules be put in evaluation
    mode. A loss that is not finite is returned before any update, and is no step of the averages;
    dropout and batch normalisation go on all the same, as in a forward pass.

    Args:
        model: on a CPU, in float32, an ``nn.Sequential``, nested or not, or a class whose
            ``forward`` calls one module after the other. It has sparse layers, and may have
            ``nn.Linear``, ``nn.Flatten``, ReLU, LeakyReLU, ELU, GELU, SiLU, Tanh, Sigmoid,
            ``nn.LayerNorm``, ``nn.BatchNorm1d``, ``nn.Dropout``, and the units and the dropout of
            this library; Standardise first, a linear layer last. The random numbers of
            ``nn.Dropout`` are others than torch's, of the same law. With :class:`SparseConv2d` it
            is any model whose convolutions are joined by batch normalisations, units, poolings and
            sums, as in a VGG or a ResNet; what follows the last convolution may be anything.
        optimiser: SGD, Adam or AdamW of all its parameters; rates, momentum and decay of each group
            are read at every step. With convolutions: any whose ``step`` takes no closure.
        loss: a function or a module of torch: cross-entropy, also with weights of classes or label
            smoothing; binary cross-entropy with logits; mean squared error. With convolutions: any.
        clip_norm: the norm of all gradients is at most this, as ``clip_grad_norm_`` has it; None:
            no limit.
        average: a :class:`WeightAverage` of this model, if its weights are averaged.
    Returns: a function of ``x`` (N, features...) float32 and ``y``, classes (N,) int64 or, for a
        loss of numbers, targets (N, n_out) float32; and of ``index`` (B,) int64, which of them are
        the batch.
    Raises: CannotCompile, a ValueError, naming the first thing that it cannot run.

    Example:
        >>> net = models.mlp((784, 1000, 10), density=0.01)
        >>> step = compiled_step(net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9))
        >>> loss = step(torch.rand(128, 784), torch.randint(10, (128,)))
    """
    if clip_norm is not None:
        check_number("clip_norm", clip_norm, "(0, inf)")
    if average is not None:
        check_type("average", average, WeightAverage)
    has_convolutions = any(isinstance(module, SparseConv2d) for module in model.modules())
    kind = BackboneStep if has_convolutions else CompiledStep
    return kind(model, optimiser, loss, clip_norm=clip_norm, average=average)


# ------------------------------------------------------------------ what layers see, and say


def collect(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    batch_size: int,
    n_batches: int,
    generator: torch.Generator,
    *,
    prepare: Preparation = lambda x: x,
    objective: Objective | None = None,
) -> dict[str, dict[str, Any]]:
    """Inputs and output gradients of every layer that evolves, over a few random training batches.

    Args:
        model: put into training mode for this, as its gradients are those of training; its
            dropout goes on by ``n_batches`` steps, and gradients that it had are cleared.
        x, y: training part, (N, features...) and (N,).
        batch_size, n_batches: size and number of batches.
        generator: source of randomness.
        prepare: what a batch goes through before a step of training, as augmentation.
        objective: whose gradients they are, as in :func:`fit`, None for the cross-entropy; what it
            does in evaluation mode, as an attack, is not collected.
    Returns: what :meth:`lib.growth.Collector.collected` says of each layer.
    """
    objective = objective or _mean_loss(F.cross_entropy)
    collector = Collector()
    collector.start(_evolving(model))
    try:
        with models.keeping_modes(model):
            model.train()
            for step in range(n_batches):
                collector.step = step
                index = torch.randint(len(x), (batch_size,), generator=generator).to(x.device)
                batch = prepare(x.index_select(0, index))
                labels = y.index_select(0, index)
                _loss_of(objective, model, batch, labels, generator).backward()
    finally:
        collector.stop()
        model.zero_grad()
    return collector.collected()


@torch.no_grad()
def predict(model: nn.Module, x: Tensor, batch_size: int | None = None) -> Tensor:
    """(N, n_classes) logits of ``x`` (N, features...), in evaluation mode; the modules keep theirs.
    By default batches have 1000 examples, fewer where a layer is wider than 67,000. An example that
    is alone in its batch is summed in another order, which differs by rounding.

    Raises: ValueError if batch_size is below 1.
    """
    kernels.require_tensor(x)
    if batch_size is None:
        widest = max(getattr(module, "out_features", 1) for module in model.modules())
        fitting = max(1, EVALUATION_VALUES // widest)
        batch_size = min(EVALUATION_BATCH, fitting)
    check_whole("batch_size", batch_size, least=1)
    with models.evaluating(model):
        return torch.cat([model(batch) for batch in x.split(batch_size)])


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Fraction of the examples ``x`` (N, features...) whose largest logit is that of their class
    ``y`` (N,).

    A model with one output, (N,) or (N, 1), has the classes 0 and 1, or -1 and 1: a positive logit
    means class 1, and so does a probability above one half if the model ends with a sigmoid.

    Returns: the fraction; NaN if a logit is NaN, or ``y`` holds fractions, as the targets of a
        regression.
    Raises: ValueError if there is not one class an example.
    """
    logits = predict(model, x)
    has_one = logits.ndim == 1 or logits.shape[1] == 1
    if has_one:
        predicted = logits > (0.5 if _ends_with_sigmoid(model, x) else 0.0)
        if y.ndim < predicted.ndim:
            predicted = predicted.squeeze(1)
    else:
        predicted = logits.argmax(1)
    if y.shape != predicted.shape:
        raise ValueError(
            f"y has shape {tuple(y.shape)}: give one class an example, {tuple(predicted.shape)}"
        )
    if has_one:
        classes = y > 0
        are_classes = (y == classes).all() or (y.abs() == 1).all()
    else:
        classes = y
        are_classes = not y.is_floating_point() or (y == y.round()).all()
    if logits.isnan().any() or not are_classes:
        return math.nan
    return (predicted == classes).double().mean().item()


UNCHANGED = ("Squeeze", "Unsqueeze", "View", "UnsafeView", "Reshape", "Select", "T", "Clamp")


def _ends_with_sigmoid(model: nn.Module, x: Tensor) -> bool:
    """True if the last operation of a model is a sigmoid, but for changes of shape."""
    few = x[:2].detach().requires_grad_(x.is_floating_point())
    with torch.enable_grad(), models.evaluating(model):
        node = model(few).grad_fn
    while node is not None and node.name().startswith(tuple(f"{n}Backward" for n in UNCHANGED)):
        node = node.next_functions[0][0]
    return node is not None and node.name().startswith("SigmoidBackward")


# ------------------------------------------------------------------------------ checkpoints


def _begin(training: _Training, checkpoint: Path | None) -> History:
    """A new history with the links of the start, or where the checkpoint left off."""
    if checkpoint is not None and checkpoint.exists():
        return _restore_(training, checkpoint)
    history = History()
    record_links(history, training.model, 0)
    return history


def _state(training: _Training, history: History) -> dict[str, Any]:
    return {
        "format": CHECKPOINT_FORMAT,
        "run": training.run,
        "model": training.model.state_dict(),
        "optimiser": training.optimiser.state_dict(),
        "generator": training.generator.get_state(),
        "history": vars(history),
    }


def _restore_(training: _Training, checkpoint: Path) -> History:
    """Put the training where the checkpoint left off, and return its history."""
    state = checkpoints.load(checkpoint, CHECKPOINT_FORMAT, training.run)
    _check_links(checkpoint, state, training.model)
    with checkpoints.readable(checkpoint):
        training.generator.set_state(state["generator"])
    try:
        training.model.load_state_dict(state["model"])
        training.optimiser.load_state_dict(state["optimiser"])
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"checkpoint {checkpoint} is of another network or optimiser: give those, or another"
            " file"
        ) from error
    with checkpoints.readable(checkpoint):
        return History(**state["history"])


def _check_links(checkpoint: Path, state: dict[str, Any], model: nn.Module) -> None:
    """Refuse a network with a number of links that the training of the checkpoint never had: loaded
    into it, the links of the checkpoint would take its place. Raises ValueError.
    """
    for name, layer in models.sparse_layers(model).items():
        with checkpoints.readable(checkpoint):
            links = state["history"]["links"]
            counts = [len(row["keys"]) for row in links if row["layer"] == name]
            now = len(state["model"].get(f"{name}.values", ()))
        given = layer.support.nnz
        if counts and given not in (*counts, now):
            raise ValueError(
                f"checkpoint {checkpoint} is of another network: its {name} began with"
                f" {counts[0]:,} links, this one has {given:,}: give that network as it was before"
                " training, or another file"
            )


# ---------------------------------------------------------------------------------------- averaging


class WeightAverage:
    r"""The exponential moving average of all parameters over the steps of an optimiser.

    .. math:: \bar w_t = d_t \bar w_{t-1} + (1 - d_t) w_t, \qquad d_t = \min(d, (1 + t) / (10 + t))

    It lives in the optimiser's state: :func:`lib.evolution.evolve_` moves it with the links, and a
    checkpoint of the optimiser holds it. Parameters that the optimiser does not train stay out of
    it. The average of a new link starts at its weight, and follows as slowly as the others: links
    grown within the last 1 / (1 - d) steps are averaged to less than they have learned.

    Source: [Polyak1992]; the first steps, of little weight, after TensorFlow's moving averages.

    Args:
        model: the network.
        optimiser: of its parameters; where an :class:`lib.sparsify.Evolver` corrects the first
            steps of new links under Adam, make that first.
        decay: d, in (0, 1); it looks back over 1 / (1 - d) steps.
    Raises: ValueError if the decay is out of range.
    """

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer, decay: float) -> None:
        check_number("decay", decay, "(0, 1)")
        self.model = model
        self.optimiser = optimiser = unwrapped_optimiser(optimiser)
        self.decay = decay
        held = held_by(optimiser)
        own = model.parameters()
        self._trained = [p for p in own if p.requires_grad and id(p) in held]
        self._hook = optimiser.register_step_post_hook(self._follow)

    def __reduce_ex__(self, protocol: int) -> NoReturn:
        raise ValueError(
            "a WeightAverage belongs to its optimiser and cannot be copied or pickled: make another"
            " one of the copied model and optimiser, whose state holds the averages"
        )

    @torch.no_grad()
    def _follow(self, *_) -> None:
        for parameter in self._trained:
            state = self.optimiser.state[parameter]
            if parameter.grad is None and AVERAGE not in state:
                continue  # it has not begun to learn, and the optimiser has yet to make its state
            weight = self._begin(parameter)
            state["averaged"] = state.get("averaged", 0) + 1
            state[AVERAGE].lerp_(parameter, weight)

    def _begin(self, parameter: nn.Parameter) -> float:
        """1 - d of the coming step of a parameter; 1 at the first, when its average is made."""
        state = self.optimiser.state[parameter]
        t = state.get("averaged", 0)
        if t == 0:
            state[AVERAGE] = torch.zeros_like(parameter)
            return 1.0
        return 1 - min(self.decay, (1 + t) / (10 + t))

    def weight_of_step(self) -> float:
        """1 - d of the coming step, in which all parameters learn that did before."""
        weight = 1.0
        for parameter in self._trained:
            weight = self._begin(parameter)
        return weight

    @property
    def is_even(self) -> bool:
        """True if all averages have followed the same number of steps."""
        states = [self.optimiser.state.get(parameter, {}) for parameter in self._trained]
        return len({state.get("averaged", 0) for state in states}) <= 1

    def count_step(self) -> None:
        """Count the step that the averages have followed."""
        for parameter in self._trained:
            state = self.optimiser.state[parameter]
            state["averaged"] = state.get("averaged", 0) + 1

    def _averages(self) -> list[tuple[nn.Parameter, Tensor]]:
        pairs = []
        for parameter in self._trained:
            state = self.optimiser.state[parameter]
            if state.get("averaged", 0) > 0:
                pairs.append((parameter, state[AVERAGE]))
        return pairs

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """While it is entered, the model has the averaged weights."""
        pairs = self._averages()
        trained = [parameter.data for parameter, _ in pairs]
        for parameter, average in pairs:
            parameter.data = average
        try:
            yield
        finally:
            for (parameter, _), values in zip(pairs, trained, strict=True):
                parameter.data = values

    def stop(self) -> None:
        """Follow no further steps of the optimiser."""
        self._hook.remove()

    def take_(self) -> None:
        """Leave the averaged weights in the model."""
        for parameter, average in self._averages():
            parameter.data = average.clone()


# ---------------------------------------------------------------------------------------- optimiser


def make_optimiser(model: nn.Module, settings: Settings) -> torch.optim.SGD:
    """SGD of the settings, with the weight decay of :func:`decay_groups`."""
    return torch.optim.SGD(
        decay_groups(model, settings.weight_decay),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        fused=True,
    )


def decay_groups(
    model: nn.Module, weight_decay: float, *, also: Sequence[type[nn.Module]] = ()
) -> list[dict[str, Any]]:
    """Two parameter groups for an optimiser of torch: those that decay, and all others.

    Weights of sparse, linear, convolutional, recurrent and attention layers decay. Biases,
    normalisations, embeddings and activations do not, nor do parameters of modules of other kinds.
    A parameter that two modules share decays if it is the weight of one of them. Units of SPLASH
    decay only if they were made with ``decayed``.

    Args:
        model: may lie in a wrapper, as ``DistributedDataParallel``.
        weight_decay: of the first group, 0 or more.
        also: further kinds of modules whose parameters decay, biases excepted.
    Raises: ValueError if the weight decay is out of range.

    Example:
        >>> optimiser = torch.optim.AdamW(decay_groups(model, 0.05), lr=1e-3)
    """
    check_number("weight_decay", weight_decay, "[0, inf)")
    weights = _decayed(model, tuple(also))
    decayed = [p for p in model.parameters() if id(p) in weights]
    others = [p for p in model.parameters() if id(p) not in weights]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},  # AdamW's own is not 0
    ]


def _decayed(model: nn.Module, also: tuple[type[nn.Module], ...]) -> set[int]:
    """The ids of the parameters that hold the weights of links, or coefficients that decay too."""
    weights = set()
    for module in model.modules():
        if isinstance(module, LINKED) or isinstance(module, also):
            own = dict(module.named_parameters(recurse=False))
            if is_parametrized(module):
                own |= module.parametrizations.named_parameters()
            weights |= {id(parameter) for name, parameter in own.items() if "bias" not in name}
        elif isinstance(module, Splash) and module.decayed:
            weights.add(id(module.coefficients))
    return weights
