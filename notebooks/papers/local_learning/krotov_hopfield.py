r"""Local learning by competing hidden units: the rule of Krotov and Hopfield, and a run of it, on
all links or on few.

A unit :math:`\mu` has the weights :math:`W_\mu` and sees an input v through its *overlap*
:math:`I_\mu`. The unit of the largest overlap learns the input, the one of the k-th largest
unlearns it; no error travels back. In a sparse layer a unit sees only a part of the image, and
which part is learned too: a step changes the stored links alone, between epochs the weakest are
dropped and as many grow at random, from zero. A link that grows lives if its unit learns a value
for it.

Look at a run before its weights are used. A unit needs some tens of minibatch steps to reach its
norm, and the layer collapses when it gets many more, as all units then drift to one mean image:
the released setting makes 25 steps a unit (1,000 epochs of 50 steps for 2,000 units). For 500
units, 300 epochs make 30: none of our layers passes :func:`acceptance` then, as too many of its
units are off their norm. After 1,000 epochs they had collapsed in our trials, which
:func:`duplicated_fraction` tells.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy
import torch
from torch import Tensor

from lib import checkpoints, kernels
from lib._boundary import check_number, check_whole
from lib._compiled import launch
from lib.evolution import Evolution, evolve_
from lib.layers import SparseLinear

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

TINY = 1e-30  # guards the division by the largest update
CHECKPOINT_FORMAT = 4
EVOLUTION = Evolution(
    drop="magnitude", grow="random", drop_fraction=0.3, decay="cosine", last_epoch="keep"
)
STARTS = (-7.1, -8.5, -6.5, -6.0)  # means of the components of a mixture, in this order
LOG_VARIANCES = (-9.0, -3.0)  # that mixtures are fitted to
SIGNIFICANCE = 0.01
TOLERANCE = 0.01  # of a unit's norm
ALIKE = 0.99  # cosine of two units above which one is a duplicate
PARAMETERS = 3  # of a component: weight, mean, variance


# ----------------------------------------------------------------------------------- the rule


def overlap_weights(weight: Tensor, norm_order: float) -> Tensor:
    r"""Factors of an input: :math:`sign(W) |W|^{p-1}`, of the shape of ``weight``.

    Source: [Krotov2019], its inner product of order p.

    Raises: ValueError if the order p is not above 1.
    """
    check_number("norm_order", norm_order, "(1, inf)")
    if norm_order == 2:
        return weight
    if norm_order == 3:
        return weight * weight.abs()
    return weight.sign() * weight.abs().pow(norm_order - 1)


def overlaps(x: Tensor, weight: Tensor, *, norm_order: float = 3.0) -> Tensor:
    r"""(B, n_units) overlaps of inputs and units.

    .. math:: I_\mu = \sum_i sign(W_{\mu i}) |W_{\mu i}|^{p-1} v_i

    Source: [Krotov2019].

    Args:
        x: (B, n_in) float, inputs v.
        weight: (n_units, n_in) float, W.
        norm_order: p, above 1.
    Raises: ValueError if the order is not above 1.
    """
    return kernels.dense_product(x, overlap_weights(weight, norm_order).t())


def summed_update(
    weight: Tensor,
    x: Tensor,
    *,
    norm_order: float = 3.0,
    rank: int = 2,
    anti_hebbian: float = 0.4,
) -> Tensor:
    r"""(n_units, n_in) update of a batch before it is scaled, the sum of those of its samples.

    .. math:: \Delta W_{\mu i} = \sum_b g_{\mu b} (v_{bi} - I_{\mu b} W_{\mu i})

    with :math:`g = 1` for the unit of the largest overlap and :math:`-\Delta` for the one of the
    k-th largest, 0 otherwise. As few of the g differ from zero, the first term is a sum over
    winners rather than a product.

    Source: [Krotov2019] Eq. (3), with R = 1 the p-norm that a winning unit approaches, and Eq. (9)
    and (10) for g.

    Args:
        weight, x: as in :func:`overlaps`.
        norm_order: p, above 1.
        rank: k, from 2 to the number of units.
        anti_hebbian: :math:`\Delta`.
    Raises: ValueError if a value is out of range.
    """
    n_units = len(weight)
    check_whole("rank", rank, least=2, most=n_units)
    overlap = overlaps(x, weight, norm_order=norm_order)  # (B, n_units)
    units, signals = winners(overlap, rank, anti_hebbian)
    received = signals[:, None] * overlap.t().gather(0, units)  # (2, B), g · I
    decay = torch.zeros_like(weight[:, 0])
    decay.index_add_(0, units.flatten(), received.flatten())
    update = torch.zeros_like(weight)
    for units_of_rank, signal in zip(units, signals.tolist(), strict=True):
        update.index_add_(0, units_of_rank, x, alpha=signal)
    return update.addcmul_(decay[:, None], weight, value=-1)


def sparse_summed_update(
    layer: SparseLinear,
    x: Tensor,
    *,
    norm_order: float = 3.0,
    rank: int = 2,
    anti_hebbian: float = 0.4,
) -> Tensor:
    r"""(nnz,) update of the stored weights by a batch before it is scaled.

    .. math:: \Delta w_k = \sum_b g_{\mu b} (v_{bi} - I_{\mu b} w_k),
        \qquad \mu = row_k, \; i = col_k

    with the overlaps over the stored links: that of :func:`summed_update` where there is a link.

    Args:
        layer: (n_in -> n_units), without bias.
        x: (B, n_in) float.
        norm_order, rank, anti_hebbian: as in :func:`summed_update`.
    Raises: ValueError if a value is out of range.
    """
    support, values = layer.support, layer.values.detach()
    check_whole("rank", rank, least=2, most=support.n_out)
    columns = launch.feature_major(x)  # (n_in, B)
    overlap = kernels.spmm(support, overlap_weights(values, norm_order), columns)  # (n_units, B)
    units, signals = winners(overlap.t(), rank, anti_hebbian)
    g = torch.zeros_like(overlap)
    g.scatter_(0, units, signals[:, None].expand(units.shape))
    decay = (g * overlap).sum(1)  # (n_units,)
    update = kernels.sddmm(support, columns, g)
    return update.addcmul_(decay[support.row.long()], values, value=-1)


def learning_step(
    layer: Tensor | SparseLinear, x: Tensor, *, step_size: float, **rule: Any
) -> Tensor:
    r"""Change of the weights by a batch, of the stored ones in a sparse layer; its largest
    magnitude is the step size.

    .. math:: \epsilon \, \Delta W / \max |\Delta W|

    Source: [Krotov2019], the released notebook.

    Args:
        layer: (n_units, n_in) float, W; or a sparse layer without bias.
        step_size: :math:`\epsilon`.
        x, rule: as in :func:`summed_update`.
    Raises: ValueError if a value is out of range.
    """
    if isinstance(layer, SparseLinear):
        update = sparse_summed_update(layer, x, **rule)
    else:
        update = summed_update(layer, x, **rule)
    lowest, highest = update.aminmax()
    largest = torch.maximum(-lowest, highest).clamp(min=TINY)
    return update.div_(largest).mul_(step_size)


def winners(overlap: Tensor, rank: int, anti_hebbian: float) -> tuple[Tensor, Tensor]:
    """The two units that change with each sample, (2, B) int64, and their signals g, (2,).

    Args:
        overlap: (B, n_units) float.
        rank, anti_hebbian: as in :func:`summed_update`.
    """
    units = overlap.topk(rank, dim=1).indices.t()[[0, -1]]
    return units, overlap.new_tensor([1, -anti_hebbian])


# ------------------------------------------------------------------------------------- a run


@dataclass(frozen=True)
class KrotovHopfield:
    r"""How a layer learns locally. The defaults are the released setting for CIFAR-10.

    Source: [Holzhausen2025], the released code; for MNIST it has ``rank=7, step_size=0.04,
    batch_size=100``. The demonstration of [Krotov2019] on MNIST: ``n_units=100, norm_order=2,
    epochs=200, batch_size=100``.

    Args:
        n_units: units of the layer.
        epochs: T, passes over the images.
        batch_size: images a step; the last batch of an epoch may be smaller.
        step_size: :math:`\epsilon_0`, at the first epoch; see :meth:`step_size_at_epoch`.
        norm_order, rank, anti_hebbian: of :func:`summed_update`.
    Raises: ValueError if a value is out of range.
    """

    n_units: int = 2000
    epochs: int = 1000
    batch_size: int = 1000
    step_size: float = 0.02
    norm_order: float = 3.0
    rank: int = 2
    anti_hebbian: float = 0.4

    def __post_init__(self) -> None:
        for name, least in (("n_units", 2), ("epochs", 1), ("batch_size", 1)):
            check_whole(name, getattr(self, name), least=least)
        check_number("step_size", self.step_size, "(0, inf)")
        check_number("anti_hebbian", self.anti_hebbian, "[0, inf)")
        check_number("norm_order", self.norm_order, "(1, inf)")
        check_whole("rank", self.rank, least=2, most=self.n_units)

    def rule(self) -> dict[str, Any]:
        """Settings that :func:`learning_step` takes, besides the step size."""
        names = ("norm_order", "rank", "anti_hebbian")
        return {name: getattr(self, name) for name in names}

    def step_size_at_epoch(self, epoch: int) -> float:
        r"""Step size of epoch t, from 1 to T: :math:`\epsilon_0 (1 - (t - 1) / T)`.

        Source: [Krotov2019], the released notebook.
        Departs: the code of [Holzhausen2025] has t for t - 1, so that its last epoch does nothing.
        """
        return self.step_size * (1 - (epoch - 1) / self.epochs)


@dataclass
class Learned:
    """A layer as it is learned.

    Attributes:
        layer: (n_units, n_in) float, its weights; or a sparse layer, whose links have them.
        metrics: one dict an epoch: epoch, step_size, off_norm_fraction, lowest_mean,
            effective_units and duplicated_fraction, see the functions of these names and
            :func:`acceptance`; of a sparse layer also replaced (links replaced after the epoch).
    """

    layer: Tensor | SparseLinear
    metrics: list[dict[str, Any]] = field(default_factory=list)

    @property
    def weight(self) -> Tensor:
        """(n_units, n_in) float, zeros where there is no link."""
        return dense_weights(self.layer)

    @property
    def epoch(self) -> int:
        """Epochs learned so far."""
        return len(self.metrics)


def learn(
    images: Tensor,
    settings: KrotovHopfield,
    *,
    seed: int,
    density: float | None = None,
    evolution: Evolution | None = None,
    checkpoint: Path | None = None,
    measure: Callable[[Tensor | SparseLinear, int], dict[str, Any]] | None = None,
    on_epoch: Callable[[Learned], None] | None = None,
) -> Learned:
    """A layer learned from images, exactly resumable.

    Source: [Krotov2019], the released notebook; links that evolve are ours.

    Args:
        images: (N, ...) float, flattened here, none of them all zeros; the paper divides each by
            its 3-norm, see :func:`papers.local_learning.networks.unit_norm`. The weights
            have their dtype.
        settings: how to learn.
        seed: of the links, the weights at the start, the order of the images and the evolution.
        density: fraction of links, in (0, 1], for a sparse layer; None: all, without a support.
        evolution: of the links of a sparse layer between epochs, see :data:`EVOLUTION`; None for a
            fixed support.
        checkpoint: file to write after every epoch and to resume from if it is there.
        measure: (layer, epoch) -> what it adds to the row of the epoch.
        on_epoch: called with the layer after every epoch, as it is.
    Returns: the layer of the last epoch.
    Raises: ValueError if the density is out of range, or the checkpoint is of another seed, other
        settings or images.
    """
    x = images.flatten(1)
    of = {"seed": seed, "density": density, "evolution": evolution, "data": checkpoints.digest(x)}
    run = checkpoints.described(settings, **of)
    generator = torch.Generator().manual_seed(seed)
    options = {"density": density, "generator": generator, "dtype": x.dtype}
    layer = start_of(settings, x.shape[1], **options)
    learned = Learned(layer)
    if checkpoint is not None and checkpoint.exists():
        state = checkpoints.load(checkpoint, CHECKPOINT_FORMAT, run)
        with checkpoints.readable(checkpoint):
            if isinstance(layer, SparseLinear):
                layer.load_state_dict(state["layer"])
            else:
                layer.copy_(state["layer"]["weight"])
            learned.metrics += state["metrics"]
            generator.set_state(state["generator"])
    for epoch in range(learned.epoch + 1, settings.epochs + 1):
        step_size = settings.step_size_at_epoch(epoch)
        weights = layer.values.data if isinstance(layer, SparseLinear) else layer
        for batch in minibatches(x, settings.batch_size, generator=generator):
            weights.add_(learning_step(layer, batch, step_size=step_size, **settings.rule()))
        row = {"epoch": epoch, "step_size": step_size} | measured(learned.weight, settings)
        if isinstance(layer, SparseLinear):
            row["replaced"] = 0
            if evolution is not None and epoch < settings.epochs and layer.density < 1:
                fraction = evolution.fraction_at_epoch(epoch, settings.epochs)
                replaced = evolve_(layer, evolution, fraction=fraction, generator=generator)
                row["replaced"] = replaced
        if measure is not None:
            row |= measure(layer, epoch)
        learned.metrics.append(row)
        if checkpoint is not None:
            state = {
                "format": CHECKPOINT_FORMAT,
                "run": run,
                "layer": named_tensors(layer),
                "metrics": learned.metrics,
                "generator": generator.get_state(),
            }
            checkpoints.save(checkpoint, state)
        if on_epoch is not None:
            on_epoch(learned)
    return learned


def start_of(
    settings: KrotovHopfield,
    n_in: int,
    *,
    density: float | None = None,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> Tensor | SparseLinear:
    """The layer before its first epoch; arguments as in :func:`learn`."""
    if density is None:
        return torch.randn(settings.n_units, n_in, generator=generator, dtype=dtype)
    options = {"density": density, "bias": False, "start": 1.0}
    return SparseLinear(n_in, settings.n_units, **options, generator=generator, dtype=dtype)


def dense_weights(layer: Tensor | SparseLinear) -> Tensor:
    """(n_units, n_in) float, zeros where there is no link."""
    return layer.to_dense().detach() if isinstance(layer, SparseLinear) else layer


def named_tensors(layer: Tensor | SparseLinear) -> dict[str, Tensor]:
    """Tensors of a layer for a file: its weights, or its links and values."""
    return layer.state_dict() if isinstance(layer, SparseLinear) else {"weight": layer}


def minibatches(x: Tensor, batch_size: int, *, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches (B, n_in) of the images (N, n_in) in random order, all of them once."""
    order = torch.randperm(len(x), generator=generator)
    for index in order.split(batch_size):
        yield x.index_select(0, index)


# ----------------------------------------------------------------------- what became of a run


def norms(weight: Tensor, norm_order: float = 3.0) -> Tensor:
    r"""(n_units,) float, :math:`\|W_\mu\|_p` of each unit."""
    return torch.linalg.vector_norm(weight, norm_order, dim=1)


class Acceptance(NamedTuple):
    """Learning of a layer, measured in parts.

    Attributes:
        off_norm_fraction: units whose norm is not 1 to within :data:`TOLERANCE`, a fraction.
        lowest_mean: lowest mean weight of a unit.
        n_negative: units whose mean weight is below -1/2.
    """

    off_norm_fraction: float
    lowest_mean: float
    n_negative: int

    @property
    def accepted(self) -> bool:
        """Fewer than a tenth of the units are off the norm, and none is negative."""
        return self.off_norm_fraction < 0.1 and self.n_negative == 0


def acceptance(weight: Tensor, *, norm_order: float = 3.0) -> Acceptance:
    """The test by which runs are accepted: norms near 1, and no negative unit.

    Source: [Holzhausen2025], the released code.

    Args:
        weight: (n_units, n_in) float.
        norm_order: p of the rule.
    """
    off_norm = (norms(weight, norm_order) - 1).abs() > TOLERANCE
    means = weight.mean(1)
    n_negative = int((means < -1 / 2).sum())
    return Acceptance(off_norm.double().mean().item(), means.min().item(), n_negative)


def cosines(weight: Tensor) -> Tensor:
    """(n_units, n_units) float, of the weights of every two units; 0 of units of zeros."""
    directions = torch.nn.functional.normalize(weight, dim=1)
    return kernels.dense_product(directions, directions.t())


def effective_units(cosines: Tensor) -> float:
    r"""How many different units a layer has: n if all are orthogonal, 1 if all point alike.

    .. math:: n_{eff} = \left(\sum_\mu c_{\mu\mu}\right)^2 \Big/ \sum_{\mu\nu} c_{\mu\nu}^2

    with c of :func:`cosines`, the participation ratio of their eigenvalues;
    :math:`n_{eff}^{-1/2}` is the root mean square cosine. Units of zeros do not count.
    """
    n_units = cosines.diagonal().sum()
    return (n_units.square() / cosines.square().sum().clamp(min=TINY)).item()


def duplicated_fraction(cosines: Tensor) -> float:
    """Fraction of the units that point as another one does, to within the cosine :data:`ALIKE`: of
    a collapsed layer 1.
    """
    others = cosines.clone().fill_diagonal_(-1)
    return (others.amax(1) > ALIKE).double().mean().item()


def measured(weight: Tensor, settings: KrotovHopfield) -> dict[str, float]:
    """Numbers of the weights of an epoch, for its row of the metrics."""
    test = acceptance(weight, norm_order=settings.norm_order)
    of_pairs = cosines(weight)
    return {
        "off_norm_fraction": test.off_norm_fraction,
        "lowest_mean": test.lowest_mean,
        "effective_units": effective_units(of_pairs),
        "duplicated_fraction": duplicated_fraction(of_pairs),
    }


# ------------------------------------------------------- units that count as not having learned


@dataclass(frozen=True)
class Pruned:
    """A layer without the units that count as not having learned.

    Attributes:
        weight: (n_units, n_in) float, pruned units are zeros.
        kept: (n_units,) bool.
        threshold: largest variance of a unit that is kept; infinite where none is pruned.
        n_components: components of the mixture.
    """

    weight: Tensor
    kept: Tensor
    threshold: float
    n_components: int


def log_variances(weight: Tensor) -> Tensor:
    """(n_units,) natural logarithm of the variance of each unit's weights, -inf of constant ones.

    Source: [Holzhausen2025], the released code (the variance of a sample, n - 1).
    """
    return weight.var(dim=1).log()


def prune_by_mixture(weight: Tensor, *, last_fitted: bool = False) -> Pruned:
    """The layer without units above the midpoint of the two highest components of a mixture.

    These are meant to be the units that did not learn. But the rule looks at variances alone: of a
    layer whose units all reached their norm it may take many.

    Gaussian mixtures are fitted to the log-variances that lie in :data:`LOG_VARIANCES`, see
    :func:`select_mixture`. One component: nothing is pruned.

    Source: [Holzhausen2025], the released code.
    Departs: as :func:`select_mixture`, unless ``last_fitted``.

    Args:
        weight: (n_units, n_in) float.
        last_fitted: of :func:`select_mixture`.
    Raises: ValueError if fewer units than components lie in the range.
    """
    values = log_variances(weight).double().cpu().numpy()
    lowest, highest = LOG_VARIANCES
    values = values[(values > lowest) & (values < highest)]
    if len(values) < len(STARTS):
        raise ValueError(
            f"{len(values)} units have a log-variance in ({lowest:g}, {highest:g}): a mixture needs"
            f" at least {len(STARTS)}, has the layer learned?"
        )
    mixture = select_mixture(values, last_fitted=last_fitted)
    means = np.sort(mixture.means_[:, 0])
    threshold = math.inf
    if len(means) > 1:
        threshold = math.exp((means[-1] + means[-2]) / 2)
    kept = weight.var(dim=1) <= threshold
    return Pruned(torch.where(kept[:, None], weight, 0), kept, threshold, len(means))


def select_mixture(values: np.ndarray, *, last_fitted: bool = False) -> "GaussianMixture":
    """The mixture with the fewest components that one more does not improve on significantly.

    Twice the difference of log-likelihoods is compared with the chi-squared distribution of three
    degrees of freedom, one component against two, two against three, three against four. The law
    of that ratio is not quite this distribution: of one group two are found more often than in one
    case of a hundred.

    Source: [Holzhausen2025], the released code.
    Departs: each mixture is the likelier of two fits, from the published starts and from those of
    k-means, as the published ones miss a group that is far above them. ``last_fitted`` has the
    published starts alone and returns the mixture that was fitted last, the one that was refused:
    as in the released code, it never finds one group.

    Args:
        values: (n,) float.
        last_fitted: as above.
    """
    mixture = _fitted(values, 1, STARTS[:1])
    for n_components in range(2, len(STARTS) + 1):
        larger = _fitted(values, n_components, STARTS[:n_components])
        if not last_fitted:
            other = _fitted(values, n_components, None)
            larger = max(larger, other, key=lambda fit: fit.score(values[:, None]))
        gain = larger.score(values[:, None]) - mixture.score(values[:, None])
        is_refused = scipy.stats.chi2.sf(2 * len(values) * gain, PARAMETERS) >= SIGNIFICANCE
        if last_fitted or not is_refused:
            mixture = larger
        if is_refused:
            break
    return mixture


def _fitted(
    values: np.ndarray, n_components: int, starts: tuple[float, ...] | None
) -> "GaussianMixture":
    """The mixture that is found from these means, or from those of k-means."""
    from sklearn.exceptions import ConvergenceWarning  # a fifth of a second to import
    from sklearn.mixture import GaussianMixture

    means = None if starts is None else np.array(starts)[:, None]
    mixture = GaussianMixture(n_components, means_init=means, max_iter=2000, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # such a fit has a low likelihood
        return mixture.fit(values[:, None])
