"""Measurements of the links of trained networks: the evidence for power laws in their degrees,
their structure beside networks of the same degrees, and how their inputs follow the images.

Studies are stored, a row a degree sequence or a measure; what is cheap is measured when it is read.
"""

from collections.abc import Sequence
from itertools import combinations, product

import networkx as nx
import numpy as np
import pandas as pd
import scipy
import torch

from lib import data, models, topology
from lib.report import labels
from lib.runs.record import Record
from lib.topology import power_law, structure
from papers.shared import trained
from papers.shared.claims import chosen
from papers.shared.inputs import input_links
from papers.shared.study import Study, Table

Epoch = int | str
DEGREE_EPOCHS = (2, 5, 10, 20, 50, 100, 200, "final")
STRUCTURE_EPOCHS = (10, "final")
EXPONENTS = (2.1, 2.5, 2.9)  # of power laws drawn with as many neurons and links


def _shown(recorded: list[Epoch], record: Record, epochs: tuple[Epoch, ...]) -> list[Epoch]:
    """The recorded epochs among some; a fixed support, where all others start, has only one."""
    if record.config.drop is None:
        epochs = ("final",)
    return [epoch for epoch in recorded if epoch in epochs]


# -------------------------------------------------------------------------------------- degrees


def graphs(record: Record) -> dict[str, nx.DiGraph]:
    """A network at its random start and at its end, of networkx, without the dense output layer.

    Args:
        record: of a trained network that holds its last links.
    Returns: {"random start", "evolved": nodes (layer, index), see
        :func:`lib.topology.to_networkx`}.
    """
    untrained = record.config.model(trained.widths(record))
    first = [layer.support for layer in models.sparse_layers(untrained).values()]
    last = trained.supports_at(record, "final")
    found = {}
    for name, supports in {"random start": first, "evolved": last}.items():
        found[name] = topology.to_networkx(topology.to_matrices(supports))
    return found


def scale_free(study: Study, record: Record, widths: tuple[int, ...] | None = None) -> Table:
    """The evidence (:func:`lib.topology.power_law.evidence`) on every degree sequence of a network.

    Inputs and hidden neurons, the latter with all their links and, at the end, with links in and
    links out alone. Beside the last sequences those of a random network with as many links, and
    power laws drawn with as many linked neurons, a mean as near as can be and the same largest
    possible degree. The last sequences have all replicates, everything else a fifth.

    Args:
        study: how many replicates.
        record: of the network.
        widths: input, hidden and output widths, where the record does not say them so.
    Returns: columns epoch, neurons ("inputs", "hidden 1", "hidden 1 in", …), kind ("network",
        "random", "power law 2.5", …) and those of the evidence.
    """
    rng = np.random.default_rng(int(study.name.rpartition("-")[2], 16))
    largest = topology.largest_degrees(widths or trained.widths(record))
    degrees = trained.degrees(record)
    rows = []

    def add(epoch: Epoch, neurons: str, kind: str, sequence: np.ndarray) -> None:
        replicates = study.draws
        if (epoch, kind) != ("final", "network"):
            replicates = -(-study.draws // 5)
        evidence = power_law.evidence(sequence, largest[neurons], replicates, rng=rng)
        rows.append({"epoch": epoch, "neurons": neurons, "kind": kind, **evidence})

    for epoch in _shown(topology.recorded_epochs(degrees), record, DEGREE_EPOCHS):
        sequences = topology.degree_sequences(degrees, epoch)
        for neurons, sequence in sequences.items():
            if epoch == "final" or neurons in _groups(sequences):
                add(epoch, neurons, "network", sequence)
    generator = torch.Generator().manual_seed(10**7 + study.seed)
    drawn = topology.random_degrees(degrees, "final", generator=generator)
    at_random = topology.degree_sequences(drawn, "final")
    sequences = topology.degree_sequences(degrees, "final")
    for neurons in _groups(sequences):
        linked = sequences[neurons][sequences[neurons] > 0]
        if len(linked):
            add("final", neurons, "random", at_random[neurons])
            size = linked.mean(), largest[neurons], len(linked)
            for exponent in EXPONENTS:
                sequence = power_law.draw_bounded(exponent, *size, rng=rng)
                add("final", neurons, f"power law {exponent}", sequence)
    return pd.DataFrame(rows), {}


def _groups(sequences: dict[str, np.ndarray]) -> list[str]:
    """Inputs, and hidden neurons with all their links."""
    return ["inputs", *topology.hidden_groups(sequences)]


def epochs_until_significant(record: Record) -> float:
    """Share of the epochs at the first recorded one after which half of the hidden layers have a
    :func:`lib.topology.power_law.frequency_correlation` below .05, inf if there is none.
    """
    degrees = trained.degrees(record)
    for epoch in topology.recorded_epochs(degrees)[:-1]:
        sequences = topology.degree_sequences(degrees, epoch)
        significant = []
        for sequence in topology.hidden_groups(sequences).values():
            significant.append(power_law.frequency_correlation(sequence) < 0.05)
        if np.mean(significant) >= 0.5:
            return epoch / record.config.epochs
    return np.inf


# ------------------------------------------------------------------------------------ structure


def network_structure(study: Study, record: Record) -> Table:
    """Structural measures (:func:`lib.topology.structure.measures`) over epochs beside networks
    with the same degrees, and the overlap of the links with those of the first and the last epoch.

    Returns: columns epoch, measure, value, null_mean, null_sd, z, n_nulls.
    """
    generator = torch.Generator().manual_seed(10**6 + study.seed)
    recorded = trained.link_epochs(record)
    shown = _shown(recorded, record, STRUCTURE_EPOCHS)
    first = trained.supports_at(record, recorded[0])
    last = trained.supports_at(record, "final")
    rows = []
    for epoch in recorded:
        supports = trained.supports_at(record, epoch)
        for name, others in (("start", first), ("end", last)):
            for i, pair in enumerate(zip(supports, others, strict=True), start=1):
                measure = f"overlap with {name}, layer {i}"
                rows.append({"measure": measure, "epoch": epoch, "value": structure.overlap(*pair)})
        if epoch in shown:
            beside = structure.beside_nulls(supports, study.draws, generator=generator)
            beside = beside.assign(epoch=epoch, n_nulls=study.draws)
            rows += beside.to_dict("records")
    return pd.DataFrame(rows), {}


# --------------------------------------------------------------------------------- input pixels


def visible_connectivity(study: Study, record: Record) -> Table:
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
    variance, f_value = pixel_statistics(record.config.dataset)
    varies = variance > 0
    rows = []
    for epoch in topology.recorded_epochs(trained.degrees(record)):
        links = input_links(record, epoch).astype(float)
        measures = {
            "correlation with variance": _rank_correlation(links, variance),
            "correlation with variance, varying pixels": _rank_correlation(
                links[varies], variance[varies]
            ),
            "correlation with F value": _rank_correlation(links[varies], f_value[varies]),
            "pixels without links": (links == 0).sum(),
            "links of constant pixels": links[variance == 0].sum() / links.sum(),
            "frame over centre": _frame_over_centre(links),
        }
        for measure, value in measures.items():
            rows.append((epoch, measure, value))
    statistics = {"variance": variance.astype("f4"), "f_value": f_value.astype("f4")}
    return pd.DataFrame(rows, columns=["epoch", "measure", "value"]), statistics


def agreement(records: Sequence[Record], first: str, second: str) -> pd.DataFrame:
    """How alike the links of the inputs of two networks of different seeds are at the end, of all
    pairs. Those of one seed began with the same links.

    Args:
        records: of trained networks that hold their degrees.
        first, second: methods.
    Returns: columns dataset, networks (the methods, as people read them), rank correlation
        (Spearman's), best quarter (Jaccard index of the quarters of pixels with most links; of
        equals both networks take the first pixels, which makes it a little too large); a row a pair
        of networks.
    """
    networks = " and ".join(map(labels.method_name, dict.fromkeys((first, second))))
    rows = []
    for dataset in dict.fromkeys(record.config.dataset for record in records):
        maps = []
        for method in (first, second):
            of_method = chosen(records, dataset=dataset, method=method)
            maps.append([(one.config.seed, input_links(one, "final")) for one in of_method])
        pairs = combinations(maps[0], 2) if first == second else product(*maps)
        for (seed, a), (other, b) in pairs:
            if seed == other:
                continue
            best_a, best_b = (
                set(np.argsort(-links, kind="stable")[: len(a) // 4]) for links in (a, b)
            )
            shared = len(best_a & best_b) / len(best_a | best_b)
            rows.append((dataset, networks, _rank_correlation(a, b), shared))
    columns = ["dataset", "networks", "rank correlation", "best quarter"]
    return pd.DataFrame(rows, columns=columns)


def pixel_statistics(dataset: str) -> tuple[np.ndarray, np.ndarray]:
    """(n,) variance and (n,) F value of the classes of every pixel of the training images."""
    split = data.load_once(dataset)
    x, y = split.x_train.flatten(1).double().numpy(), split.y_train.numpy()
    variance = x.var(axis=0)
    varies = variance > 0
    classes = [x[y == label][:, varies] for label in np.unique(y)]
    f_value = np.zeros(len(variance))
    f_value[varies] = scipy.stats.f_oneway(*classes).statistic
    return variance, f_value


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    return scipy.stats.spearmanr(x, y).statistic


def _frame_over_centre(links: np.ndarray) -> float:
    side = int(len(links) ** 0.5)
    centre, inner = np.zeros((2, side, side), bool)
    quarter = slice(side // 4, -side // 4)
    centre[quarter, quarter] = True
    inner[2:-2, 2:-2] = True
    return links[~inner.ravel()].mean() / links[centre.ravel()].mean()
