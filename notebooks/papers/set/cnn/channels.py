"""Channels of the convolutions as the top layers see them: how many links each channel has, and how
much it says of the class.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib.layers import SparseLinear
from lib.report.frames import NETWORK, facts
from lib.runs.record import Record


def usefulness(maps: Tensor, y: Tensor) -> Tensor:
    r"""The share of a channel's variance over examples that lies between classes.

    .. math:: \eta_c^2 = \frac{\sum_k n_k (\bar m_{kc} - \bar m_c)^2}{\sum_i (m_{ic} - \bar m_c)^2}

    with :math:`m_{ic}` the mean of map c of example i, :math:`\bar m_{kc}` its mean over the
    :math:`n_k` examples of class k.

    Args:
        maps: (N, C, pixels) float.
        y: (N,) int64, classes.
    Returns: (C,) float64 in [0, 1]; 0 of a channel that is the same for all examples.
    """
    m = maps.double().mean(2)  # (N, C)
    deviation = m - m.mean(0)
    within = deviation.clone()
    for label in y.unique():
        of_class = y == label
        within[of_class] -= deviation[of_class].mean(0)
    total = deviation.square().sum(0)
    between = total - within.square().sum(0)
    varies = m.amax(0) > m.amin(0)
    share = between / total.where(varies, torch.ones_like(total))
    return share.clamp(0, 1).where(varies, torch.zeros_like(share))


def links_of_channels(layer: nn.Module, n_channels: int) -> Tensor:
    """(n_channels,) int64, links from the pixels of every channel to the first top layer; all that
    there can be where it is dense.
    """
    pixels = layer.in_features // n_channels
    if not isinstance(layer, SparseLinear):
        return torch.full((n_channels,), pixels * layer.out_features)
    of_pixels = layer.support.tcrow.diff().cpu().long()
    return of_pixels.view(n_channels, pixels).sum(1)


def keep(record: Record, name: str) -> bool:
    """Shipped arrays of a record."""
    return name.startswith("channels.")


def by_epoch(records: Sequence[Record]) -> pd.DataFrame:
    """Links and usefulness of every channel after every epoch, from the start (epoch 0) on.

    Args:
        records: of networks that this room trains.
    Returns: what names the network (:data:`lib.report.frames.NETWORK`), epoch, channel, links,
        usefulness.
    """
    measures = ["links", "usefulness"]
    parts = [pd.DataFrame(columns=["experiment", *NETWORK, "epoch", "channel", *measures])]
    for record in records:
        values = {name: record.arrays[f"channels.{name}"] for name in measures}  # (epochs + 1, C)
        epoch, channel = np.indices(values["links"].shape)
        columns = {"epoch": epoch, "channel": channel, **values}
        table = pd.DataFrame({name: array.ravel() for name, array in columns.items()})
        parts.append(table.assign(**facts(record)))
    return pd.concat(parts[1:] or parts, ignore_index=True)[parts[0].columns]
