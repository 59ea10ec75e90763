"""What the links of a trained network look like over its epochs: the tables behind notebooks 14, 15
and 17, one row a degree sequence or a measure.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy import stats

from lib import data, power_law, structure, topology
from lib.config import Study
from lib.evolution import support_from_keys
from lib.support import Support

if TYPE_CHECKING:
    from lib.records import Record

EPOCHS = {"degrees": (2, 5, 10, 20, 50, 100, 200, "final"), "links": (10, "final")}
EXPONENTS = (2.1, 2.5, 2.9)  # of power laws drawn with as many neurons and links
Table = tuple[pd.DataFrame, dict[str, np.ndarray]]


def _recorded(record: "Record", name: str) -> list[int | str]:
    """The epochs at which an array of layer 1 was recorded, in order."""
    start = f"linear1.{name}."
    found = [key.removeprefix(start) for key in record.arrays if key.startswith(start)]
    return [*sorted(int(epoch) for epoch in found if epoch != "final"), "final"]


def _shown(record: "Record", name: str, epochs: tuple[int | str, ...]) -> list[int | str]:
    """The recorded epochs among some; a fixed support, where all others start, has only one."""
    epochs = epochs if record.config.drop else ("final",)
    return [epoch for epoch in _recorded(record, name) if epoch in epochs]


def scale_free(study: Study, record: "Record") -> Table:
    """The evidence (:func:`lib.power_law.evidence`) on every degree sequence of a network.

    Inputs and hidden neurons, the latter with all their links and, at the end, with links in and
    links out alone. Beside the last sequences those of a random network with as many links, and
    power laws drawn with as many linked neurons, a mean as near as can be and the same largest
    possible degree. The last sequences have all replicates, everything else a fifth.

    Returns: columns epoch, neurons ("inputs", "hidden 1", "hidden 1 in", …), kind ("network",
        "random", "power law 2.5", …) and those of the evidence.
    """
    rng, rows = np.random.default_rng(int(study.name.rsplit("-", 1)[1], 16)), []
    largest = topology.largest_degrees(record.widths)

    def add(epoch: int | str, neurons: str, kind: str, degrees: np.ndarray) -> None:
        share = 1 if (epoch, kind) == ("final", "network") else 5
        found = power_law.evidence(degrees, largest[neurons], -(-study.draws // share), rng=rng)
        rows.append({"epoch": epoch, "neurons": neurons, "kind": kind} | found)

    for epoch in _shown(record, "in_degree", EPOCHS["degrees"]):
        for neurons, degrees in topology.degree_sequences(record.arrays, epoch).items():
            if epoch == "final" or not neurons.endswith((" in", " out")):
                add(epoch, neurons, "network", degrees)
    generator = torch.Generator().manual_seed(10**7 + study.seed)
    drawn = topology.random_degrees(record.arrays, "final", generator=generator)
    at_random = topology.degree_sequences(drawn, "final")
    for neurons, degrees in topology.degree_sequences(record.arrays, "final").items():
        linked = degrees[degrees > 0]
        if len(linked) and not neurons.endswith((" in", " out")):
            add("final", neurons, "random", at_random[neurons])
            size = linked.mean(), largest[neurons], len(linked)
            for exponent in EXPONENTS:
                drawn = power_law.draw_bounded(exponent, *size, rng=rng)
                add("final", neurons, f"power law {exponent}", drawn)
    return pd.DataFrame(rows), {}


def supports_at(record: "Record", epoch: int | str) -> list[Support]:
    """The links of every layer that could evolve, after an epoch or "final".

    Raises: ValueError if the record does not hold them.
    """
    widths, found = record.widths, record.supports()
    for i, pair in enumerate(pairwise(widths[:-1]), start=1):
        name = f"linear{i}.links.{epoch}"
        if name in record.arrays:
            keys = torch.from_numpy(record.arrays[name]).long()
            found[f"linear{i}"] = support_from_keys(keys, *pair)
        elif epoch != "final" or not found:
            raise ValueError(
                f"record {record.path} does not hold the links after epoch {epoch}: delete the"
                " folder and run again"
            )
    return [found[f"linear{i}"] for i in range(1, len(widths) - 1)]


def network_structure(study: Study, record: "Record") -> Table:
    """Structural measures (:func:`lib.structure.measures`) over epochs beside networks with the
    same degrees, and the overlap of the links with those of the first and the last epoch.

    Returns: columns epoch, measure, value, null_mean, null_sd, z, n_nulls.
    """
    generator, rows = torch.Generator().manual_seed(10**6 + study.seed), []
    recorded = _recorded(record, "links") if record.config.drop else ["final"]
    shown = _shown(record, "links", EPOCHS["links"])
    first, last = (supports_at(record, epoch) for epoch in (recorded[0], "final"))
    for epoch in recorded:
        supports = supports_at(record, epoch)
        for name, others in (("start", first), ("end", last)):
            for i, pair in enumerate(zip(supports, others, strict=True), start=1):
                measure = f"overlap with {name}, layer {i}"
                rows.append({"measure": measure, "epoch": epoch, "value": structure.overlap(*pair)})
        if epoch in shown:
            found = structure.beside_nulls(supports, study.draws, generator=generator)
            rows += found.assign(epoch=epoch, n_nulls=study.draws).to_dict("records")
    return pd.DataFrame(rows), {}


def visible_connectivity(study: Study, record: "Record") -> Table:
    """How the links of the input pixels follow the training images, square and of one channel, over
    epochs.

    Rank correlations (Spearman's) of the links of a pixel with its variance, and with the F value
    of the classes (between-class over within-class variance). Pixels that never vary have no F
    value; with the variance the correlation is that of all pixels, and of those that vary.

    Returns: columns epoch, measure ("correlation with variance", "correlation with variance,
        varying pixels", "correlation with F value", "pixels without links", "links of constant
        pixels", a share of all, "frame over centre", the mean links of a pixel in the outer two
        rows over one in the central quarter), value;
        arrays variance and f_value of the pixels (0 where constant).
    """
    split = data.load(record.config.dataset)
    x, y = split.x_train.flatten(1).double().numpy(), split.y_train.numpy()
    variance = x.var(axis=0)
    varies = variance > 0
    f_value = np.zeros(len(variance))
    f_value[varies] = stats.f_oneway(*(x[y == c][:, varies] for c in np.unique(y))).statistic
    side, rows = int(len(variance) ** 0.5), []
    centre, inner = np.zeros((2, side, side), bool)
    centre[side // 4 : -side // 4, side // 4 : -side // 4] = inner[2:-2, 2:-2] = True
    centre, frame = centre.ravel(), ~inner.ravel()
    for epoch in _recorded(record, "out_degree"):
        links = record.arrays[f"linear1.out_degree.{epoch}"].astype(float)
        values = {
            "correlation with variance": stats.spearmanr(links, variance).statistic,
            "correlation with variance, varying pixels": stats.spearmanr(
                links[varies], variance[varies]
            ).statistic,
            "correlation with F value": stats.spearmanr(links[varies], f_value[varies]).statistic,
            "pixels without links": (links == 0).sum(),
            "links of constant pixels": links[~varies].sum() / links.sum(),
            "frame over centre": links[frame].mean() / links[centre].mean(),
        }
        rows += [(epoch, *item) for item in values.items()]
    statistics = {"variance": variance.astype("f4"), "f_value": f_value.astype("f4")}
    return pd.DataFrame(rows, columns=["epoch", "measure", "value"]), statistics


def epochs_until_significant(record: "Record") -> float:
    """Share of the epochs at the first recorded one after which half of the hidden layers have a
    :func:`lib.power_law.frequency_correlation` below .05, inf if there is none.
    """
    for epoch in _recorded(record, "in_degree")[:-1]:
        sequences = topology.degree_sequences(record.arrays, epoch)
        hidden = [links for name, links in sequences.items() if name[-1].isdigit()]
        significant = [power_law.frequency_correlation(links) < 0.05 for links in hidden]
        if np.mean(significant) >= 0.5:
            return epoch / record.config.epochs
    return np.inf


MEASURES = {f.__name__: f for f in (scale_free, network_structure, visible_connectivity)}


def table(found: Iterable["Record"]) -> pd.DataFrame:
    """The rows of several studies, with the columns dataset, network (experiment of the trained
    network), variant, method and seed.
    """
    parts = []
    for record in found:
        config = record.config
        names = {name: getattr(config, name) for name in ("dataset", "variant", "method", "seed")}
        parts.append(record.metrics.assign(network=config.parent.experiment, **names))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
