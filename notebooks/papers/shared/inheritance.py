"""Inheritance of an untrained network from a trained one."""

import torch
from torch import nn

from lib import models
from lib._boundary import check_known
from lib.layers import initial_values
from lib.runs.record import Record
from lib.support import support_from_keys
from lib.topology.nulls import switch_links
from papers.shared import trained

INHERITED = ("support", "degrees", "largest")


def inherit_(
    model: nn.Module, parent: Record, inherits: str, *, start: str | float, seed: int
) -> None:
    """Give the layers of ``model`` that could evolve what they inherit from a trained run.

    "support": its links, with new weights; "degrees": the same after switching links
    (:func:`lib.topology.nulls.switch_links`), which keeps the degrees of all neurons; "largest": of
    a dense network the weights of largest magnitude, as many in each layer as that has room for,
    and everything else that is trained.

    Args:
        model: the untrained network, changed in place.
        parent: record of the trained one, whole.
        inherits: one of :data:`INHERITED`.
        start: of new weights, see :func:`lib.layers.initial_values`.
        seed: of the run that inherits.
    Raises: ValueError for another word.
    """
    check_known("inherits", inherits, INHERITED)
    if inherits == "largest":
        # links of largest weight for the layers that could evolve; of the others the whole state
        state = trained.state(parent.arrays)
        for name, layer in models.sparse_layers(model).items():
            weight = state.pop(f"{name}.weight").flatten()
            keys = weight.abs().topk(layer.nnz).indices.sort().values
            widths = layer.support.n_in, layer.support.n_out
            layer.replace_links_(support_from_keys(keys, *widths), weight[keys])
        for name in [name for name in state if "weight" in name]:  # dense there, here sparse, full
            state[name.replace("weight", "values")] = state.pop(name).flatten()
        model.load_state_dict({**model.state_dict(), **state}, strict=False)
        return
    generator = torch.Generator().manual_seed(10**6 + seed)  # not that of the parent's links
    supports = trained.supports(parent)
    for name, layer in models.sparse_layers(model).items():
        support = supports[name]
        if inherits == "degrees":
            support, _ = switch_links(support, generator=generator)
        values = initial_values(support, start, generator=generator)
        layer.replace_links_(support, values)
