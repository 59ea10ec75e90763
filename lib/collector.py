"""What layers see while a model trains: their inputs, and the gradients at their outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from . import kernels
from .layers import SparseLinear

Batches = dict[str, list[tuple[Tensor, Tensor, int]]]  # of each layer


class Collector:
    """Collects the inputs of layers and the gradients at their outputs, from :meth:`start` to
    :meth:`stop`, for rules of evolution that ask for them.

    A batch counts when its gradient comes to the layer, in training mode, if that is finite.

    Args:
        scaler: the one that scales the loss, whose scale of the batch gradients are divided by.

    Attributes:
        layers: those that it collects of, by name.
        step: number of the optimiser's step that the coming batches belong to.
        batches: of each, inputs (B, n_in), gradients (B, n_out) and step of each batch; examples of
            any leading shape are in rows.
    """

    def __init__(self, scaler: torch.amp.GradScaler | None = None) -> None:
        self.scaler = scaler
        self.layers: dict[str, SparseLinear] = {}
        self.step = 0
        self.batches: Batches = {}
        self._handles: list[RemovableHandle] = []

    def start(self, layers: Mapping[str, SparseLinear]) -> None:
        """Collect of these layers from now on."""
        self.stop()
        self.layers = dict(layers)
        for name, layer in layers.items():
            self.batches.setdefault(name, [])
            self._handles.append(layer.register_forward_hook(Watch(self, name)))
            layer.watched_as = id(layer)
            kernels.WATCHERS[id(layer)] = partial(self._keep, name, layer)

    def stop(self) -> None:
        """Collect no more; what was collected stays."""
        for handle in self._handles:
            handle.remove()
        if self._handles:
            for layer in self.layers.values():
                layer.watched_as = None
                kernels.WATCHERS.pop(id(layer), None)
        self._handles = []

    def watch(self, name: str, layer: SparseLinear, args: tuple[Tensor, ...], y: Tensor) -> None:
        """Collect of a layer that was called."""
        if torch.compiler.is_compiling():
            return  # the layer does it
        if layer.training and y.requires_grad:
            y.register_hook(partial(self._keep, name, layer, args[0].detach()))

    def _keep(self, name: str, layer: SparseLinear, x: Tensor, grad_y: Tensor) -> None:
        if grad_y.isfinite().all():
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
        Raises: ValueError if a layer has seen none.
        """
        parts = parts or [self.batches]
        seen = {}
        for name, layer in self.layers.items():
            batches = [batch for part in parts for batch in part[name]]
            if not batches:
                raise ValueError(
                    f"layer {name} saw no batch with a finite gradient before its update: was it"
                    " called in training mode?"
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

    collector: Collector
    name: str
    is_left_behind = True  # see lib.layers.SparseLinear.__getstate__

    def __call__(self, layer: SparseLinear, args: tuple[Tensor, ...], y: Tensor) -> None:
        self.collector.watch(self.name, layer, args, y)
