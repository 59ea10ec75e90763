"""Random layers to compare with: the same degrees, or only as many links."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .._boundary import check_number
from ..support import Support, random_support, support_from_keys
from .degrees import COLUMNS, degrees_at


def switch_links(
    support: Support,
    switches_per_link: float = 10,
    *,
    generator: torch.Generator,
) -> tuple[Support, Tensor]:
    """Links rewired at random with all degrees kept: pairs of links exchange their inputs.

    ⌊switches_per_link · nnz⌋ times, two links are drawn uniformly and exchange their input
    neurons, unless that repeats a link. The chain is symmetric, so that in the long run all
    layers with these degrees are equally likely.

    Source: [Maslov2002], the local rewiring algorithm.
    Departs: a fixed number of attempts; those that would repeat a link count.

    Args:
        support: the links.
        switches_per_link: attempts for each link, at least 0.
        generator: source of randomness, on the CPU.
    Returns: the new support, and (nnz,) int64 ``origin``: link k of the new support is old link
        origin[k] with another input neuron, so weights[origin] stay with their output neurons.
    Raises: ValueError if ``switches_per_link`` is negative or not finite.
    """
    check_number("switches_per_link", switches_per_link, "[0, inf)")
    n_attempts = int(switches_per_link * support.nnz)
    n_links = max(1, support.nnz)
    pairs = torch.randint(n_links, (2, n_attempts), generator=generator)
    row_keys = support.row.long() * support.n_in  # a key is row · n_in + col
    col, of_row, taken = support.col.tolist(), row_keys.tolist(), set(support.keys.tolist())
    for a, b in zip(*pairs.tolist(), strict=True):
        col_a, col_b = col[a], col[b]
        new_a, new_b = of_row[a] + col_b, of_row[b] + col_a
        if new_a in taken or new_b in taken:
            continue
        taken -= {of_row[a] + col_a, of_row[b] + col_b}
        taken |= {new_a, new_b}
        col[a], col[b] = col_b, col_a
    keys, origin = (row_keys + support.col.new_tensor(col)).sort()
    return support_from_keys(keys, support.n_in, support.n_out), origin


def support_of_degrees(
    in_degrees: np.ndarray, out_degrees: np.ndarray, *, generator: torch.Generator
) -> Support:
    """Random links with given degrees on both sides: one support with these degrees, then its links
    switched (:func:`switch_links`).

    The first support comes from giving each output neuron, the one of most links first, the input
    neurons that miss most links. It exists if any support with these degrees does.

    Source: [Ryser1957], the construction.

    Args:
        in_degrees: (n_out,) integers, links of each output neuron.
        out_degrees: (n_in,) integers, links of each input neuron, of the same sum.
        generator: source of randomness, on the CPU.
    Raises: ValueError if no support has these degrees.
    """
    n_out, n_in = len(in_degrees), len(out_degrees)
    missing = np.array(out_degrees, dtype=np.int64)
    keys = []
    for row in np.argsort(-np.asarray(in_degrees), kind="stable"):
        cols = np.argsort(-missing, kind="stable")[: in_degrees[row]]
        missing[cols] -= 1
        keys.append(row * n_in + cols)
    n_links = np.sum(in_degrees)
    if missing.any() or sum(map(len, keys)) != n_links:
        raise ValueError(
            f"no support has these degrees: {n_links} links of {n_out} output neurons, at most"
            f" {max(in_degrees)} each, and {sum(out_degrees)} of {n_in} input neurons, at most"
            f" {max(out_degrees)} each"
        )
    drawn = torch.from_numpy(np.sort(np.concatenate(keys)))
    return switch_links(support_from_keys(drawn, n_in, n_out), generator=generator)[0]


def shuffle_inputs(support: Support, *, generator: torch.Generator) -> Support:
    """Links after the input neurons have changed places, all permutations being equally
    likely: every output neuron keeps its number of links, and two that shared inputs share as many.

    In a layer that was drawn by distance (:func:`lib.support.local_support`) nothing is near any
    more, while the layer is the same graph.

    Args:
        support: the links.
        generator: source of randomness, on the CPU.
    """
    place = torch.randperm(support.n_in, generator=generator)
    keys = support.row.long() * support.n_in + place[support.col.long()]
    return support_from_keys(keys.sort().values, support.n_in, support.n_out)


def random_degrees(
    degrees: pd.DataFrame,
    epoch: int | str,
    *,
    generator: torch.Generator,
) -> pd.DataFrame:
    """Degrees of random layers (:func:`lib.support.random_support`) with as many links as those
    of a network.

    Source: the Erdős–Rényi start of [Mocanu2018], Eq. (1), at another number of links.

    Args:
        degrees: columns layer, side, epoch, links, see :mod:`lib.topology.degrees`.
        epoch: which of the recorded ones, or "final".
        generator: source of randomness, on the CPU.
    Returns: the same columns, for each layer a row "in" and a row "out" of this epoch; those of a
        layer without links are as they were. No rows if the epoch was not recorded.
    Raises: ValueError if a layer lacks one of its sides.
    """
    layers = degrees["layer"][degrees["epoch"] == epoch].unique()
    rows = []
    for layer in layers:
        into = degrees_at(degrees, layer, "in", epoch)
        out = degrees_at(degrees, layer, "out", epoch)
        if into.any():
            n_in, n_out = len(out), len(into)
            density = into.sum() / (n_in * n_out)
            support = random_support(n_in, n_out, density, generator=generator)
            into = support.crow.diff().numpy()
            out = support.tcrow.diff().numpy()
        rows.append((layer, "in", epoch, into))
        rows.append((layer, "out", epoch, out))
    return pd.DataFrame(rows, columns=COLUMNS)
