"""What layers see while a model trains: their inputs, and the gradients at their outputs."""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from . import compiled, kernels
from .layers import SparseLinear

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
        if torch.is_grad_enabled() and not compiled.is_traced():
            raise ValueError(
                "a rule by gradient cannot use a gradient that is to be differentiated"
                " (create_graph=True): compute what that takes within lib.collector.unseen()"
            )
        layer = self.layers[name]
        if not grad_y.isfinite().all():
            self.overflowed.add(name)
            return
        x = x.detach().reshape(-1, layer.in_features).to(layer.values.dtype)
        grad_y = grad_y.detach().reshape(-1, layer.out_features).to(x)
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
