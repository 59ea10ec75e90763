"""What layers see while a model trains: their inputs, and the gradients at their outputs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from . import kernels
from .layers import SparseLinear

Batches = dict[str, list[tuple[Tensor, Tensor]]]  # of each layer


class Collector:
    """Collects the inputs of layers and the gradients at their outputs, from :meth:`start` to
    :meth:`stop`, for rules of evolution that ask for them.

    A batch counts when its gradient comes to the layer, in training mode, if that is finite.

    Attributes:
        layers: those that it collects of, by name.
        batches: of each, inputs (B, n_in) and gradients (B, n_out) of each batch; examples of any
            leading shape are in rows.
    """

    def __init__(self) -> None:
        self.layers: dict[str, SparseLinear] = {}
        self.batches: Batches = {}
        self._handles: list[RemovableHandle] = []

    def start(self, layers: Mapping[str, SparseLinear]) -> None:
        """Collect of these layers from now on."""
        self.stop()
        self.layers = dict(layers)
        for name, layer in layers.items():
            self.batches.setdefault(name, [])
            self._handles.append(layer.register_forward_hook(partial(self._watch, name)))
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

    def _watch(self, name: str, layer: SparseLinear, args: tuple[Tensor, ...], y: Tensor) -> None:
        if torch.compiler.is_compiling():
            return  # the layer does it
        if layer.training and y.requires_grad:
            y.register_hook(partial(self._keep, name, layer, args[0].detach()))

    def _keep(self, name: str, layer: SparseLinear, x: Tensor, grad_y: Tensor) -> None:
        if grad_y.isfinite().all():
            x = x.detach().reshape(-1, layer.in_features).to(layer.values.dtype)
            grad_y = grad_y.detach().reshape(-1, layer.out_features).to(x)
            self.batches[name].append((x, grad_y))

    def collected(self, parts: Sequence[Batches] | None = None) -> dict[str, dict[str, Any]]:
        """By layer, what :func:`lib.evolution.evolve_` takes of it.

        Args:
            parts: batches of several processes, in place of those collected here.
        Returns: ``x`` (n_in, B) and ``grad_y`` (n_out, B) of all batches one after the other, and
            ``batch_sizes``.
        Raises: ValueError if a layer has seen none.
        """
        seen = {}
        for name, layer in self.layers.items():
            batches = [batch for part in parts or [self.batches] for batch in part[name]]
            if not batches:
                raise ValueError(
                    f"layer {name} saw no batch with a finite gradient before its update: was it"
                    " called in training mode?"
                )
            device = layer.values.device
            x = torch.cat([x.t().to(device) for x, _ in batches], dim=1)
            grad_y = torch.cat([grad_y.t().to(device) for _, grad_y in batches], dim=1)
            sizes = tuple(len(x) for x, _ in batches)
            seen[name] = {"x": x, "grad_y": grad_y, "batch_sizes": sizes}
        return seen
