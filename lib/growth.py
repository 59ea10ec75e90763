"""Where links grow: at random, by gradient or momentum, by preferential attachment, by paths of
length 3.

A new rule with a name is a function here and an entry of :data:`GROW_RULES`. A :class:`Collector`
keeps what layers see while a model trains, for rules that ask: their inputs, and the gradients at
their outputs.
"""

import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from . import kernels
from ._compiled import launch, loops
from .layers import SparseLinear
from .support import Support, draw_free_keys, support_from_keys

MOMENTUM = 0.9  # of sparse momentum, as of the optimiser in most training
DENSE_BLOCK = 2**22  # scores of a layer's positions that growth holds at a time


@dataclass(frozen=True)
class Site:
    """A layer as its drop and grow rules see it: widths, links, and what the optimiser remembers
    and the neurons saw.

    Args:
        n_in, n_out: widths.
        occupied_keys: (m,) int64, ascending, row · n_in + col: positions where no link can grow.
        x: (n_in, B) float, inputs of the layer over a few batches, one after the other; given to
            rules that have the attribute ``needs_gradient = True``.
        grad_y: (n_out, B) float, gradients at its output over the same batches.
        kept_keys: (nnz,) int64, ascending: links that the layer has. None: the occupied ones; they
            differ where links just dropped may not come back.
        values: (nnz,) float, weights of the links.
        state: what the optimiser remembers of each link, (nnz,) each, by its names: as
            ``"momentum_buffer"`` of SGD.
        batch_sizes: numbers of examples of the batches; None: one batch.
        steps: number of the optimiser's step that each batch belongs to: a layer that is used twice
            and gradients that accumulate give several batches a step. None: each has its own.
        done: share of the training that is done, in [0, 1].
    """

    n_in: int
    n_out: int
    occupied_keys: Tensor
    x: Tensor | None = None
    grad_y: Tensor | None = None
    kept_keys: Tensor | None = None
    values: Tensor | None = None
    state: Mapping[str, Tensor] = field(default_factory=dict)
    batch_sizes: tuple[int, ...] | None = None
    steps: tuple[int, ...] | None = None
    done: float = 0.0

    @property
    def positions(self) -> int:
        """Number of positions, taken or free."""
        return self.n_in * self.n_out

    @property
    def link_keys(self) -> Tensor:
        """(nnz,) int64, keys of the links that the layer has: all for a drop rule, those that
        stay for a grow rule.
        """
        if self.kept_keys is None:
            return self.occupied_keys
        return self.kept_keys

    def degrees(self) -> tuple[Tensor, Tensor]:
        """Links of each output neuron, (n_out,), and of each input neuron, (n_in,); int64."""
        rows = self.link_keys // self.n_in
        cols = self.link_keys % self.n_in
        k_out = torch.bincount(rows, minlength=self.n_out)
        k_in = torch.bincount(cols, minlength=self.n_in)
        return k_out, k_in

    def gradient(self, rows: slice = slice(None), *, smoothing: float = 1.0) -> Tensor:
        r"""(rows, n_in) gradient of the loss with respect to the weights of some output neurons,
        whether there are links or not, summed over the steps of the optimiser, each counted
        ``smoothing`` times as much as the one after it.

        Raises: ValueError if no gradient was collected.
        """
        x, grad_y = self._seen()
        grad_y = grad_y[rows]
        if smoothing != 1:
            sizes, steps = self.batch_sizes or (x.shape[1],), self._steps()
            weights = [smoothing ** (max(steps) - step) for step in steps]
            counts = torch.tensor(sizes, device=x.device)
            grad_y = grad_y * torch.tensor(weights).to(grad_y).repeat_interleave(counts)
        return grad_y @ x.t()

    def link_gradient(self) -> Tensor:
        """(nnz,) gradient of the loss with respect to the weights of the links, mean of the steps
        of the optimiser.

        Raises: ValueError if no gradient was collected.
        """
        x, grad_y = self._seen()
        support = support_from_keys(self.link_keys.to(x.device), self.n_in, self.n_out)
        return kernels.sddmm(support, x, grad_y) / len(set(self._steps()))

    def _steps(self) -> Sequence[int]:
        return self.steps or range(len(self.batch_sizes or (1,)))

    def _seen(self) -> tuple[Tensor, Tensor]:
        if self.x is None or self.grad_y is None:
            raise ValueError(
                "a rule needs the inputs and gradients of the layer, but none are given: set"
                " needs_gradient = True on the rule"
            )
        return self.x, self.grad_y


# ------------------------------------------------------------------------------------ rules


def grow_random(site: Site, n: int, *, generator: torch.Generator) -> Tensor:
    """SET: ``n`` new links, uniformly among the free positions; (n,) int64 keys, ascending.

    Source: [Mocanu2018], Algorithm 1. Raises ValueError if they do not fit.
    """
    occupied = site.occupied_keys.cpu()
    return draw_free_keys(site.positions, n, generator=generator, occupied=occupied)


def grow_gradient(site: Site, n: int, *, generator: torch.Generator) -> Tensor:
    r"""RigL: the ``n`` free positions of largest absolute gradient; (n,) int64 keys, ascending.

    .. math:: \left| \sum_b g_{i,b} \, x_{j,b} \right|

    Source: [Evci2020], Section 3 (grow criterion).
    Departs: the gradient is that of a few batches together; it is computed block by block of output
    neurons, never stored whole. Raises ValueError if the links do not fit or no gradient was
    collected.
    """
    return _by_gradient(site, n)


grow_gradient.needs_gradient = True


def _by_gradient(site: Site, n: int, smoothing: float = 1.0) -> Tensor:
    def magnitude(rows: slice) -> Tensor:
        return site.gradient(rows, smoothing=smoothing).abs_()

    with kernels.on_threads(1):
        keys, _ = _largest(site, n, magnitude)
    return keys


def grow_preferential(site: Site, n: int, *, generator: torch.Generator) -> Tensor:
    r"""Preferential attachment: ``n`` free positions drawn one after the other without replacement,
    with chances in proportion to the links, plus one, that their two neurons have after the drop;
    (n,) int64 keys, ascending.

    .. math:: P(i, j) \propto (k_i + 1) \, (k_j + 1)

    with :math:`k_i, k_j` the links of output neuron i and input neuron j, the same during the draw.

    Source: suggested in [Mocanu2018], Discussion; the law of [Barabasi1999], for both ends of a
    link. Drawn by adding Gumbel noise to log P and taking the n largest [Yellott1977], block by
    block. Raises ValueError if the links do not fit.
    Departs: the one lets neurons without links come back.
    """
    k_out, k_in = site.degrees()
    log_out = (k_out + 1.0).log()
    log_in = (k_in + 1.0).log()

    def noisy(rows: slice) -> Tensor:
        log_p = log_out[rows, None] + log_in
        return log_p + gumbel(log_p.shape, generator).to(log_p)

    keys, _ = _largest(site, n, noisy)
    return keys


def gumbel(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Noise that, added to log P, makes the n largest n draws by P without replacement: float64.

    Source: [Yellott1977].
    """
    device = generator.device
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64, device=device)
    return uniform.log_().neg_().log_().neg_()


def grow_momentum(site: Site, n: int, *, generator: torch.Generator) -> Tensor:
    r"""Sparse momentum: the ``n`` free positions of largest absolute momentum; (n,) int64 keys,
    ascending.

    .. math:: \left| \sum_t \beta^{T - t} g_t \right|, \qquad \beta = .9

    with :math:`g_t` the gradient of step t of T.

    Source: [Dettmers2019]; the formula as in ``sparselearning/funcs.py`` of the authors' repository
    (TimDettmers/sparse_learning).
    Departs: the momentum of a position without a link is that of the collected batches alone, the
    last ``gradient_batches``: nothing dense is kept between updates. Under Adam the source divides
    by the root of the second moment, :math:`m / (\sqrt{v} + 10^{-8})`; here it is the momentum
    itself under every optimiser. Raises ValueError if the links do not fit or no gradient was
    collected.
    """
    return _by_gradient(site, n, MOMENTUM)


grow_momentum.needs_gradient = True


def grow_ch3_l3(site: Site, n: int, *, generator: torch.Generator) -> Tensor:
    """Cannistraci-Hebb: the ``n`` free positions of largest CH3-L3 score, see
    :func:`lib.growth.ch3_l3`; (n,) int64 keys, ascending.

    Source: [Zhang2024], epitopological growth. Positions without a path of length 3 score 0: where
    too few have one, the rest is drawn at random. Raises ValueError if the links do not fit.
    """
    support = support_from_keys(site.link_keys, site.n_in, site.n_out)
    keys, scores = _largest(site, n, _ch3_l3_of(support))
    return _with_others(site, n, keys[scores > 0].cpu(), generator)


def grow_ch2_l3n(site: Site, n: int, *, generator: torch.Generator) -> Tensor:
    """CHTs: ``n`` free positions drawn one after the other without replacement, with chances in
    proportion to the CH2-L3n score, see :func:`lib.growth.ch2_l3n`; (n,) int64 keys, ascending.

    Source: [Zhang2025], Section 3.1 (soft regrowth). Positions that score 0 are drawn at random
    where too few others are free. Raises ValueError if the links do not fit.
    """
    score_of = _ch2_l3n_of(support_from_keys(site.link_keys, site.n_in, site.n_out))

    def noisy(rows: slice) -> Tensor:
        score = score_of(rows)
        return score.log_() + gumbel(score.shape, generator)

    keys, scores = _largest(site, n, noisy)
    return _with_others(site, n, keys[scores > -math.inf], generator)


def _with_others(site: Site, n: int, keys: Tensor, generator: torch.Generator) -> Tensor:
    """``n`` keys, ascending: these and, drawn at random, others that are free."""
    taken = torch.cat([site.occupied_keys.cpu(), keys]).sort().values
    n_missing = n - len(keys)
    at_random = draw_free_keys(site.positions, n_missing, generator=generator, occupied=taken)
    return torch.cat([keys, at_random]).sort().values


GrowRule = Callable[..., Tensor]  # (site, n, generator=) -> (n,) int64
GROW_RULES: dict[str, GrowRule] = {
    "random": grow_random,
    "gradient": grow_gradient,
    "preferential": grow_preferential,
    "ch3_l3": grow_ch3_l3,
    "ch2_l3n": grow_ch2_l3n,
    "momentum": grow_momentum,
}


# ------------------------------------------------------------- the largest of many positions


def _largest(site: Site, n: int, score: Callable[[slice], Tensor]) -> tuple[Tensor, Tensor]:
    """Keys, ascending, and scores of the ``n`` free positions of largest score.

    ``score`` gives the scores (rows, n_in) of a block of output neurons; they are never stored
    whole. Raises ValueError if there are fewer free positions.
    """
    free = site.positions - len(site.occupied_keys)
    if n > free:
        raise ValueError(f"{n} new links do not fit into the {free} free positions of a layer")
    keys = scores = None  # of the blocks so far
    n_rows = max(1, DENSE_BLOCK // site.n_in)
    for start in range(0, site.n_out, n_rows):
        block = score(slice(start, min(start + n_rows, site.n_out))).flatten()
        first_key = start * site.n_in
        ends = site.occupied_keys.new_tensor([first_key, first_key + len(block)])
        first, last = torch.searchsorted(site.occupied_keys, ends)
        occupied = site.occupied_keys[first:last] - first_key
        block[occupied.to(block.device)] = -math.inf
        top = block.topk(min(n, len(block)))
        new_scores, new_keys = top.values, top.indices + first_key
        if scores is not None:
            new_scores, new_keys = torch.cat([scores, new_scores]), torch.cat([keys, new_keys])
        scores, best = new_scores.topk(min(n, len(new_scores)))
        keys = new_keys[best]
    keys, order = keys.sort()
    return keys, scores[order]


# ------------------------------------------------------------------------ paths of length 3


def ch3_l3(support: Support) -> Tensor:
    r"""CH3-L3 score of every position of a layer.

    .. math:: s(u, v) = \sum_{z_1, z_2 \in L_3(u, v)}
        \frac{a_{u, z_1} \, a_{z_1, z_2} \, a_{z_2, v}}{\sqrt{(1 + d^e_{z_1}) (1 + d^e_{z_2})}}

    with :math:`d^e_z` the links of z to neurons outside the local community other than u and v. In
    a bipartite graph :math:`1 + d^e_{z_1} = k_{z_1} - |N(z_1) \cap N(v)|` and
    :math:`1 + d^e_{z_2} = k_{z_2} - |N(z_2) \cap N(u)|`, with degrees k and neighbours N.

    Source: CH3-L3 of [Muscoloni2022], on paths; [Zhang2024] for layers.

    Args:
        support: the links, of any device.
    Returns: (n_out, n_in) float64 on the CPU, 0 at positions that have a link. Time: the
        walks of length 3 that start at the output neurons; memory: besides the result the pairs
        of inputs that share an output, as a sparse matrix, and a few vectors a thread.
    """
    return _ch3_l3_of(support)(slice(0, support.n_out))


def _ch3_l3_of(support: Support) -> Callable[[slice], Tensor]:
    """:func:`ch3_l3` of the output neurons in a slice; what all share is computed once."""
    crow = support.crow.cpu().numpy()
    col = support.col.cpu().numpy()
    tcrow = support.tcrow.cpu().numpy()
    trow = support.trow.cpu().numpy()
    ones = np.ones(len(col), np.int32)
    shape = support.n_out, support.n_in
    links = scipy.sparse.csr_array((ones, col, crow), shape=shape)
    shared = (links.T @ links).tocsr()  # outputs that two inputs share
    pairs = shared.indptr, shared.indices, shared.data

    def score(rows: slice) -> Tensor:
        scores = torch.zeros(rows.stop - rows.start, support.n_in, dtype=torch.float64)
        launch.match_threads()
        _ch3_l3_numba(crow, col, tcrow, trow, *pairs, rows.start, scores.numpy())
        return scores

    return score


def ch2_l3n(support: Support) -> Tensor:
    r"""CH2-L3n score of every position of a layer.

    .. math:: s(u, v) = \sum_{z \in L_3(u, v)} \frac{1 + i_z}{1 + e_z}

    over the neurons z between u and v on paths of length 3: neighbours of v that share a neighbour
    with u, and neighbours of u that share one with v. Of the links of z, :math:`i_z` go to
    neighbours of the seed on its own side, and :math:`e_z` elsewhere, but for the one to the other
    seed.

    Source: [Zhang2025], Section 3.1; the formula as in ``llm/dst_scheduler.py`` of the authors'
    repository (biomedical-cybernetics/Cannistraci-Hebb-Training-Soft-Rule-), as the text at hand
    leaves out equations.

    Args:
        support: the links, of any device.
    Returns: (n_out, n_in) float64 on the CPU; at positions that have a link it means
        nothing. Memory: besides the result the pairs of neurons of one side that share a
        neighbour, as a sparse matrix.
    """
    return _ch2_l3n_of(support)(slice(None))


def _ch2_l3n_of(support: Support) -> Callable[[slice], Tensor]:
    """:func:`ch2_l3n` of the output neurons in a slice; what all share is computed once."""
    crow, col = support.crow.cpu().numpy(), support.col.cpu().numpy()
    shape = support.n_out, support.n_in
    links = scipy.sparse.csr_array((np.ones(len(col)), col, crow), shape=shape)
    by_input = links.T.tocsr()
    input_weights = _local_weights(by_input, by_input).T

    def score(rows: slice) -> Tensor:
        seeds = links[rows]
        scores = _local_weights(seeds, links) @ links + seeds @ input_weights
        return torch.from_numpy(scores.toarray())

    return score


def _local_weights(
    seeds: scipy.sparse.csr_array, links: scipy.sparse.csr_array
) -> scipy.sparse.csr_array:
    """(1 + i) / (1 + e) of neurons (column) that share neighbours with seeds (row) of their side,
    whose links these are.
    """
    shared = (seeds @ links.T).tocoo()  # how many neighbours
    external = links.sum(axis=1)[shared.col] - shared.data - 1  # but for the other seed
    weight = (1 + shared.data) / (1 + np.maximum(external, 0))
    return scipy.sparse.csr_array((weight, (shared.row, shared.col)), shape=shared.shape)


@loops.jit
def _ch3_l3_numba(crow, col, tcrow, trow, pair_crow, pair_col, n_shared, start, scores):
    n_out = len(crow) - 1
    n_in = len(tcrow) - 1
    widest = max(np.diff(crow).max(), np.diff(tcrow).max())
    inverse = 1 / np.sqrt(np.maximum(np.arange(widest + 1), 1))
    for r in loops.numba.prange(len(scores)):
        v = start + r
        with_v = np.zeros(n_out, np.int32)  # inputs that an output shares with v
        for k in range(crow[v], crow[v + 1]):
            z2 = col[k]
            for j in range(tcrow[z2], tcrow[z2 + 1]):
                with_v[trow[j]] += 1
        factor = np.empty(n_in)  # of the path's other half, for every u that z2 shares outputs with
        for k in range(crow[v], crow[v + 1]):
            z2 = col[k]
            degree = tcrow[z2 + 1] - tcrow[z2]
            for j in range(pair_crow[z2], pair_crow[z2 + 1]):
                u = pair_col[j]
                factor[u] = inverse[degree - n_shared[j]]
            for j in range(tcrow[z2], tcrow[z2 + 1]):
                z1 = trow[j]
                degree_z1 = crow[z1 + 1] - crow[z1]
                weight = inverse[degree_z1 - with_v[z1]]
                for i in range(crow[z1], crow[z1 + 1]):
                    u = col[i]
                    scores[r, u] += weight * factor[u]
        for k in range(crow[v], crow[v + 1]):
            scores[r, col[k]] = 0


# ---------------------------------------------------------------------------------------- collector


Batches = dict[str, list[tuple[Tensor, Tensor, int]]]  # of each layer


class Collector:
    """Collects the inputs of layers and the gradients at their outputs, from :meth:`start` to
    :meth:`stop`, for rules of evolution that ask for them.

    A batch is collected if the layer is in training mode, its weights are not frozen, and the
    gradient at its output is finite.

    Args:
        scaler: the one that scales the loss, whose scale of the batch gradients are divided by.

    Attributes:
        layers: those that it collects of, by name.
        step: number of the optimiser's step that the coming batches belong to.
        batches: of each, inputs (B, n_in), gradients (B, n_out) and step of each batch; examples of
            any leading shape are in rows.
        overflowed: names of layers that saw a gradient that is not finite.
    """

    def __init__(self, scaler: torch.amp.GradScaler | None = None) -> None:
        self.scaler = scaler
        self.layers: dict[str, SparseLinear] = {}
        self.step = 0
        self.batches: Batches = {}
        self.overflowed: set[str] = set()
        self._watched: list[tuple[SparseLinear, Watch, RemovableHandle]] = []

    def start(self, layers: Mapping[str, SparseLinear]) -> None:
        """Collect of these layers from now on."""
        self.stop()
        self.layers = dict(layers)
        for name, layer in layers.items():
            self.batches.setdefault(name, [])
            watch = Watch(weakref.ref(self), name)
            first = {"prepend": True, "with_kwargs": True}  # before hooks that change the output
            handle = layer.register_forward_hook(watch, **first)
            self._watched.append((layer, watch, handle))
            layer.watched_as = id(layer)
            kernels.WATCHERS[id(layer)] = watch.keep

    def stop(self) -> None:
        """Collect no more; what was collected stays."""
        for layer, watch, handle in self._watched:
            handle.remove()
            if kernels.WATCHERS.get(id(layer)) == watch.keep:  # else another one collects of it
                layer.watched_as = None
                del kernels.WATCHERS[id(layer)]
        self._watched = []

    def __del__(self) -> None:
        """Leave the layers as they were, where nobody has the collector any more."""
        self.stop()

    def watch(self, name: str, x: Tensor, y: Tensor) -> None:
        """Collect of a layer that was called in training mode."""
        if torch.compiler.is_compiling():
            return  # in a graph the layer does it
        values = self.layers[name].values
        if not y.requires_grad or not values.requires_grad or _unseen.get():
            return
        x = x.detach().to(values.dtype, copy=True)  # it may be written to
        if y._base is None:
            y.register_hook(partial(self.keep, name, x))
            return
        place = y.size(), y.stride(), y.storage_offset()

        def keep(grad: Tensor) -> None:
            self.keep(name, x, grad.contiguous().as_strided(*place))

        y._base.register_hook(keep)  # an operation in place would take that of y away

    def keep(self, name: str, x: Tensor, grad_y: Tensor) -> None:
        """Add a batch of a layer, unless its gradient is not finite.

        Raises: ValueError for a gradient that is to be differentiated, as no step follows it; those
            of ``torch.func``, which always may be, are taken.
        """
        if torch.is_grad_enabled() and not launch.is_traced():
            raise ValueError(
                "a rule by gradient cannot use a gradient that is to be differentiated"
                " (create_graph=True): compute what that takes within lib.growth.unseen()"
            )
        layer = self.layers[name]
        if not grad_y.isfinite().all():
            self.overflowed.add(name)
            return
        x, grad_y = layer.as_rows(x.detach().to(layer.values.dtype), grad_y.detach())
        grad_y = grad_y.to(x)
        if self.scaler is not None:
            grad_y = grad_y / self.scaler.get_scale()
        self.batches[name].append((x, grad_y, self.step))

    def collected(self, parts: Sequence[Batches] | None = None) -> dict[str, dict[str, Any]]:
        """By layer, what :func:`lib.evolution.evolve_` takes of it.

        Args:
            parts: batches of several processes, in place of those collected here; the gradient is
                the mean of theirs, as under ``DistributedDataParallel``.
        Returns: ``x`` (n_in, B) and ``grad_y`` (n_out, B) of all batches one after the other,
            ``batch_sizes`` and ``steps``, as in :class:`lib.growth.Site`.
            With a scaler, which skips steps that overflow, a layer that saw nothing else is left
            out.
        Raises: ValueError if a layer has seen none.
        """
        parts = parts or [self.batches]
        seen = {}
        for name, layer in self.layers.items():
            batches = [batch for part in parts for batch in part[name]]
            if not batches:
                if self.scaler is not None and name in self.overflowed:
                    continue
                raise ValueError(
                    f"layer {name} saw no batch with a finite gradient before its update: that"
                    " needs training mode, a finite loss, and loss.backward() before the update"
                )
            device = layer.values.device
            x = torch.cat([x.t().to(device) for x, _, _ in batches], dim=1)
            grad_y = torch.cat([grad_y.t().to(device) for _, grad_y, _ in batches], dim=1)
            seen[name] = {
                "x": x,
                "grad_y": grad_y / len(parts),
                "batch_sizes": tuple(len(x) for x, _, _ in batches),
                "steps": tuple(step for _, _, step in batches),
            }
        return seen


@dataclass(eq=False)
class Watch:
    """The hook by which a collector sees a layer; a copy of the layer is without it."""

    collector: weakref.ref[Collector]  # nothing is collected for one that nobody has any more
    name: str
    is_left_behind = True  # see lib.layers.SparseLinear.__getstate__

    def __call__(
        self, layer: SparseLinear, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], y: Tensor
    ) -> None:
        collector = self.collector()
        if collector is not None and layer.training:
            collector.watch(self.name, args[0] if args else kwargs["input"], y)

    def keep(self, x: Tensor, grad_y: Tensor) -> None:
        """A batch that torch's graph has seen."""
        collector = self.collector()
        if collector is not None:
            collector.keep(self.name, x, grad_y)


_unseen = ContextVar("unseen", default=False)


@contextmanager
def unseen() -> Iterator[None]:
    """While it is entered, no collector sees what layers compute: a gradient that no step takes.
    In networks that ``torch.compile`` has compiled it has no effect.
    """
    token = _unseen.set(True)
    try:
        yield
    finally:
        _unseen.reset(token)
