"""How the links of the input follow the images: the maps and tables of notebook 15."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import scipy

from lib import topology
from lib.papers.set import links
from lib.papers.set.links import Runs
from lib.papers.shared import trained
from lib.papers.shared.inputs import Maps, input_links
from lib.report import labels
from lib.runs.record import Record

MAP_EPOCHS: dict[int | str, str] = {epoch: f"epoch {epoch}" for epoch in (0, 2, 5, 10, 20, 50)}
MAP_EPOCHS["final"] = "end"
CORRELATION = "correlation "


def datasets(runs: Runs) -> list[str]:
    """The data sets of some runs, in their order."""
    return list(dict.fromkeys(dataset for dataset, *_ in runs))


def maps_over_epochs(runs: Runs, dataset: str, methods: Sequence[str], seed: int) -> Maps:
    """The links of every pixel of a network of each method (row), at the recorded ones of
    :data:`MAP_EPOCHS` (columns).
    """
    maps = {}
    for method in methods:
        record = runs[dataset, method, seed]
        degrees = trained.degrees(record)
        recorded = topology.recorded_epochs(degrees)
        columns = {}
        for epoch, heading in MAP_EPOCHS.items():
            if epoch in recorded:
                columns[heading] = input_links(record, epoch)
        maps[labels.method_name(method)] = columns
    return maps


def long(maps: Maps) -> pd.DataFrame:
    """Maps as a table: columns network, shown, pixel, links."""
    parts = []
    for network, columns in maps.items():
        for shown, values in columns.items():
            place = {"network": network, "shown": shown, "pixel": np.arange(len(values))}
            parts.append(pd.DataFrame({**place, "links": values}))
    return pd.concat(parts, ignore_index=True)


def correlations(table: pd.DataFrame) -> pd.DataFrame:
    """The rank correlations after every recorded epoch.

    Args:
        table: :func:`lib.papers.set.links.table` of the studies `visible_connectivity`.
    Returns: its rows of correlations from epoch 1 on, and what they are with as column ``short``.
    """
    rows = links.during_training(table)
    correlated = rows["measure"].str.startswith(CORRELATION)
    chosen = rows[correlated & (rows["epoch"] > 0)]
    return chosen.assign(short=chosen["measure"].str.removeprefix(CORRELATION))


# ------------------------------------------------------------------------------------ agreement


def agreement(runs: Runs, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """How alike the maps at the end of any two networks are.

    Args:
        runs: the networks.
        pairs: of methods: of two different ones all pairs of networks, of a method and itself all
            pairs of different seeds.
    Returns: columns dataset, networks, rank correlation (Spearman's), best quarter (Jaccard index
        of the quarters of best linked pixels); a row a pair of networks.
    """
    rows = []
    for dataset, (first, second) in itertools.product(datasets(runs), pairs):
        methods = dict.fromkeys((first, second))
        names = " and ".join(map(labels.method_name, methods))
        for networks in _pairs_of_networks(runs, dataset, first, second):
            both = _agreement(*networks)
            rows.append((labels.dataset(dataset), names, *both))
    columns = ["dataset", "networks", "rank correlation", "best quarter"]
    return pd.DataFrame(rows, columns=columns)


def _pairs_of_networks(
    runs: Runs, dataset: str, first: str, second: str
) -> Iterable[tuple[Record, Record]]:
    networks = links.seeds_of(runs, dataset, first)
    if first == second:
        return itertools.combinations(networks, 2)
    return itertools.product(networks, links.seeds_of(runs, dataset, second))


def _agreement(first: Record, second: Record) -> tuple[float, float]:
    """Rank correlation of two maps, and the Jaccard index of their best linked quarters."""
    a = input_links(first, "final")
    b = input_links(second, "final")
    correlation = scipy.stats.spearmanr(a, b).statistic
    best_a, best_b = _best_quarter(a), _best_quarter(b)
    shared = len(best_a & best_b) / len(best_a | best_b)
    return correlation, shared


def _best_quarter(numbers: np.ndarray) -> set[int]:
    order = np.argsort(-numbers, kind="stable")
    return set(order[: len(numbers) // 4])


# ---------------------------------------------------------------------------------------- ranks


def rank_maps(studies: Iterable[Record], runs: Runs, methods: Sequence[str]) -> Maps:
    """The rank of every pixel by variance, by F value of the classes and by links at the end, mean
    over seeds; the largest has the highest, ties share the lowest.

    Args:
        studies: records of `visible_connectivity`.
        runs: the networks they are about.
        methods: whose links.
    Returns: a row a data set.
    """
    statistics, maps = {}, {}
    for study in studies:
        statistics[study.config.dataset] = study.arrays
    for dataset, pixels in statistics.items():
        ranks = {
            "variance": _ranks(pixels["variance"]),
            "F value of the classes": _ranks(pixels["f_value"]),
        }
        for method in methods:
            name = labels.method_name(method)
            seeds = []
            for record in links.seeds_of(runs, dataset, method):
                seeds.append(input_links(record, "final"))
            ranks[f"links, {name}"] = _ranks(np.mean(seeds, axis=0))
        maps[labels.dataset(dataset)] = ranks
    return maps


def _ranks(numbers: np.ndarray) -> np.ndarray:
    return scipy.stats.rankdata(numbers, "min") - 1
