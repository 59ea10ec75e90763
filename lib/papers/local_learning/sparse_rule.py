r"""Local learning on links that evolve: the rule of Krotov and Hopfield where a unit sees only a
part of the image, and which part is learned too.

A step changes the stored links alone. Between epochs the weakest links are dropped and as many
grow at random, from zero: a link that grows lives if its unit learns a value for it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib import checkpoints, compiled, kernels
from lib.evolution import Evolution, evolve_
from lib.layers import SparseLinear
from lib.papers.local_learning.krotov_hopfield import (
    CHECKPOINT_FORMAT,
    KrotovHopfield,
    check_rank,
    checked_images,
    last_epoch,
    measured,
    minibatches,
    overlap_weights,
    scaled_,
    winners,
)

EVOLUTION = Evolution(
    drop="magnitude", grow="random", drop_fraction=0.3, decay="cosine", last_epoch="keep"
)


def sparse_summed_update(
    layer: SparseLinear,
    x: Tensor,
    *,
    norm_order: float = 3.0,
    rank: int = 2,
    anti_hebbian: float = 0.4,
    radius: float = 1.0,
) -> Tensor:
    r"""(nnz,) update of the stored weights by a batch before it is scaled.

    .. math:: \Delta w_k = \sum_b g_{\mu b} (R^p v_{bi} - I_{\mu b} w_k),
        \qquad \mu = row_k, \; i = col_k

    with the overlaps over the stored links: that of :func:`summed_update
    <lib.papers.local_learning.krotov_hopfield.summed_update>` where there is a link.

    Args:
        layer: (n_in -> n_units), without bias.
        x: (B, n_in) float.
        norm_order, rank, anti_hebbian, radius: of the rule.
    Raises: ValueError if a value is out of range.
    """
    support, values = layer.support, layer.values.detach()
    check_rank(rank, support.n_out)
    columns = compiled.feature_major(x)  # (n_in, B)
    overlap = kernels.spmm(support, overlap_weights(values, norm_order), columns)  # (n_units, B)
    units, signals = winners(overlap.t(), rank, anti_hebbian)
    g = torch.zeros_like(overlap)
    g.scatter_(0, units, signals[:, None].expand(units.shape))
    decay = (g * overlap).sum(1)  # (n_units,)
    update = kernels.sddmm(support, columns, g).mul_(radius**norm_order)
    return update.addcmul_(decay[support.row.long()], values, value=-1)


def sparse_learning_step(
    layer: SparseLinear, x: Tensor, *, step_size: float, **rule: Any
) -> Tensor:
    """(nnz,) change of the stored weights by a batch; its largest magnitude is the step size.

    Args:
        layer, x, rule: as in :func:`sparse_summed_update`.
        step_size: of the largest change.
    """
    return scaled_(sparse_summed_update(layer, x, **rule), step_size)


@dataclass
class LearnedSparse:
    """A sparse layer as it is learned.

    Attributes:
        layer: its weights are ``layer.values``; ``layer.to_dense()`` has the zeros too.
        metrics: as of :class:`lib.papers.local_learning.krotov_hopfield.Learned`, and replaced
            (links replaced after the epoch).
    """

    layer: SparseLinear
    metrics: list[dict[str, Any]] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Epochs learned so far."""
        return len(self.metrics)


def learn_sparse(
    images: Tensor,
    settings: KrotovHopfield,
    *,
    density: float,
    seed: int,
    evolution: Evolution | None = EVOLUTION,
    checkpoint: Path | None = None,
    stop_after: int | None = None,
    on_epoch: Callable[[LearnedSparse], None] | None = None,
) -> LearnedSparse:
    """A sparse layer learned from images, exactly resumable.

    Args:
        images: (N, ...) float, on the CPU, as for :func:`learn
            <lib.papers.local_learning.krotov_hopfield.learn>`.
        settings: how to learn.
        density: fraction of links, in (0, 1].
        seed: of links, weights, order of the images and evolution.
        evolution: of the links between epochs; None for a fixed support.
        checkpoint, stop_after, on_epoch: as for ``learn``.
    Returns: the layer of the last epoch.
    Raises: ValueError as ``learn`` does, if the density is out of range, if the evolution grows
        links by a gradient, which there is none of, or if the checkpoint is of another density or
        evolution.
    """
    if evolution is not None and evolution.needs_gradient:
        raise ValueError("grow = 'gradient' in local learning, without a loss: give 'random'")
    x = checked_images(images)
    last = last_epoch(settings, stop_after)
    of = {"seed": seed, "density": density, "evolution": evolution, "data": checkpoints.digest(x)}
    run = checkpoints.described(settings, **of)
    generator = torch.Generator().manual_seed(seed)
    layer = SparseLinear(
        x.shape[1],
        settings.n_units,
        density=density,
        bias=False,
        start=settings.start_std,
        generator=generator,
        dtype=x.dtype,
    )
    learned = LearnedSparse(layer)
    if checkpoint is not None and checkpoint.exists():
        _restore_(learned, generator, checkpoint, run)
    for epoch in range(learned.epoch + 1, last + 1):
        step_size = settings.step_size_at_epoch(epoch)
        for batch in minibatches(x, settings.batch_size, generator=generator):
            step = sparse_learning_step(layer, batch, step_size=step_size, **settings.rule())
            layer.values.data.add_(step)
        row = {"epoch": epoch, "step_size": step_size}
        row |= measured(layer.to_dense().detach(), settings)
        row["replaced"] = _evolved_(layer, evolution, epoch, settings.epochs, generator)
        learned.metrics.append(row)
        if checkpoint is not None:
            checkpoints.save(checkpoint, _state(learned, generator, run))
        if on_epoch is not None:
            on_epoch(learned)
    return learned


def _evolved_(
    layer: SparseLinear,
    evolution: Evolution | None,
    epoch: int,
    epochs: int,
    generator: torch.Generator,
) -> int:
    """Replace links of the layer, unless it is the last epoch; return how many."""
    if evolution is None or epoch == epochs or layer.density == 1:
        return 0
    fraction = evolution.fraction_at_epoch(epoch, epochs)
    return evolve_(layer, evolution, fraction=fraction, generator=generator)


def _state(
    learned: LearnedSparse, generator: torch.Generator, run: dict[str, Any]
) -> dict[str, Any]:
    return {
        "format": CHECKPOINT_FORMAT,
        "run": run,
        "layer": learned.layer.state_dict(),
        "metrics": learned.metrics,
        "generator": generator.get_state(),
    }


def _restore_(
    learned: LearnedSparse, generator: torch.Generator, checkpoint: Path, run: dict[str, Any]
) -> None:
    state = checkpoints.load(checkpoint, CHECKPOINT_FORMAT, run)
    with checkpoints.readable(checkpoint):
        learned.layer.load_state_dict(state["layer"])
        learned.metrics += state["metrics"]
        generator.set_state(state["generator"])
