"""The search for masks: NSGA-II as published, and random search with as many evaluations.

Masks are rows of bits, objectives are minimised. A search is a sequence of steps; after each its
whole state is arrays and can be stored, so that an interrupted search goes on to the same front.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from pymoo.algorithms.moo.nsga2 import binary_tournament
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.mutation.bitflip import BitflipMutation
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from lib import checkpoints
from lib._boundary import check_known, check_whole

METHODS = ("nsga2", "random_search")
FORMAT = "mask search 3"

Fitness = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Settings:
    """How masks are searched. The defaults are the published ones.

    Source: [Poyatos2023], as released.

    Args:
        method: "nsga2", or "random_search": masks of the initial population all along.
        population: masks that survive a step.
        offspring: masks that a step adds.
        evaluations: in all, repeated masks counted.
        stale: objectives (columns) of which a repeated mask keeps what its parent had, as released;
            none: it has all of its own.
    Raises: ValueError if a value is out of range.
    """

    method: str = "nsga2"
    population: int = 30
    offspring: int = 2
    evaluations: int = 200
    stale: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_known("method", self.method, METHODS)
        for name in ("population", "offspring"):
            check_whole(name, getattr(self, name), least=2)
        check_whole("evaluations", self.evaluations, least=1)
        if self.evaluations < self.population:
            raise ValueError(
                f"{self.evaluations} evaluations do not fill a population of {self.population}:"
                " give more"
            )


@dataclass
class Search:
    """All that a search has evaluated, in order, and what it goes on from.

    Attributes:
        length: bits of a mask.
        rng: source of randomness.
        packed: (E, ⌈length/8⌉) uint8, the masks evaluated.
        objectives: (E, m) float64, minimised.
        repeated: (E,) bool, whether the mask had been evaluated before.
        population: (P,) int64, which of them survive.
        rank, crowding: (P,) of the survivors, as the last step left them.
    """

    length: int
    rng: np.random.Generator
    packed: np.ndarray
    objectives: np.ndarray
    repeated: np.ndarray
    population: np.ndarray
    rank: np.ndarray
    crowding: np.ndarray

    @property
    def evaluations(self) -> int:
        """How many masks were evaluated, repeated ones counted."""
        return len(self.packed)

    def masks(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(n, length) bool, some of the masks."""
        return unpack(self.packed[rows], self.length)


def unpack(packed: np.ndarray, length: int) -> np.ndarray:
    """(n, length) bool masks of packed bits."""
    return np.unpackbits(packed, axis=1, count=length).astype(bool)


def initial_masks(n: int, length: int, *, rng: np.random.Generator) -> np.ndarray:
    r"""(n, length) bool, masks of every density.

    .. math:: p \sim U(0, 1), \quad \mathrm{round}(p \cdot \mathrm{length}) \text{ ones}

    at random positions. Source: [Poyatos2023], as released.
    """
    masks = np.zeros((n, length), dtype=bool)
    for mask in masks:
        n_ones = round(rng.random() * length)
        mask[rng.permutation(length)[:n_ones]] = True
    return masks


def run(
    fitness: Fitness,
    length: int,
    settings: Settings,
    *,
    seed: int,
    checkpoint: Path | None = None,
    on_step: Callable[[Search], None] | None = None,
) -> Search:
    """Search masks until the evaluations are used up.

    Args:
        fitness: (n, length) bool masks -> (n, m) objectives, minimised; the same for the same mask.
            A repeated mask is not handed to it again.
        length: bits of a mask.
        settings: how.
        seed: of the search.
        checkpoint: file of the state after every step, from which a search goes on.
        on_step: called after every step.
    Returns: the search.
    Raises: ValueError if the checkpoint cannot be read, or is of another seed, other settings or
        masks of another length.
    """
    run = checkpoints.described(settings, seed=seed, length=length)

    def report(search: Search) -> None:
        if checkpoint is not None:
            save(search, checkpoint, run)
        if on_step is not None:
            on_step(search)

    if checkpoint is not None and checkpoint.exists():
        search = load(checkpoint, run)
    else:
        search = start(fitness, length, settings, seed=seed)
        report(search)
    while search.evaluations < settings.evaluations:
        step_(search, fitness, settings)
        report(search)
    return search


# ---------------------------------------------------------------------------------------- steps


def start(fitness: Fitness, length: int, settings: Settings, *, seed: int) -> Search:
    """The search after its initial population is evaluated."""
    none, rng = np.zeros(0, dtype=np.int64), np.random.default_rng(seed)
    packed, objectives = np.zeros((0, (length + 7) // 8), dtype=np.uint8), np.zeros((0, 0))
    search = Search(length, rng, packed, objectives, none.astype(bool), none, none, none)
    rows = _evaluate_(search, fitness, initial_masks(settings.population, length, rng=rng))
    _survive_(search, rows, settings.population)
    return search


def step_(search: Search, fitness: Fitness, settings: Settings) -> None:
    """Evaluate the next masks and keep the best."""
    n = min(settings.offspring, settings.evaluations - search.evaluations)
    if settings.method == "random_search":
        _evaluate_(search, fitness, initial_masks(n, search.length, rng=search.rng))
        return
    masks, parents = _offspring(search, n)
    rows = _evaluate_(search, fitness, masks)
    for row, parent in zip(rows, parents, strict=True):
        if search.repeated[row]:
            for column in settings.stale:
                search.objectives[row, column] = search.objectives[parent, column]
    _survive_(search, np.concatenate([search.population, rows]), settings.population)


def _offspring(search: Search, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n new masks, and for each the row of the parent that it took its other bits from.

    Binary tournaments by rank and crowding, uniform crossover of every pair, flips of a bit with
    probability 1/length. Source: [Deb2002]; [Poyatos2023], as released.
    """
    problem = Problem(n_var=search.length, n_obj=search.objectives.shape[1], vtype=bool)
    population = _as_population(search, search.population)
    population.set("rank", search.rank, "crowding", search.crowding)
    rules = SimpleNamespace(tournament_type="comp_by_rank_and_crowding", random_state=search.rng)
    select = TournamentSelection(func_comp=binary_tournament)
    cross = UniformCrossover(prob=1.0)
    mutate = BitflipMutation()
    n_matings = (n + 1) // 2
    drawn = {"random_state": search.rng, "algorithm": rules}
    pairs = select(problem, population, n_matings, n_parents=2, **drawn)  # (n_matings, 2)
    children = cross(problem, pairs, **drawn)  # first of all pairs, then second of all
    children = mutate(problem, children, **drawn)
    parents = np.array([parent.get("row") for parent in pairs.T.ravel()])
    return children.get("X").astype(bool)[:n], parents[:n]


def _survive_(search: Search, rows: np.ndarray, n: int) -> None:
    """Keep n of some rows, by rank and crowding."""
    problem = Problem(n_var=search.length, n_obj=search.objectives.shape[1], vtype=bool)
    population = _as_population(search, rows)
    kept = RankAndCrowding().do(problem, population, n_survive=n, random_state=search.rng)
    search.population = kept.get("row").astype(np.int64)
    search.rank = kept.get("rank").astype(np.int64)
    search.crowding = kept.get("crowding").astype(float)


def _as_population(search: Search, rows: np.ndarray) -> Population:
    return Population.new("X", search.masks(rows), "F", search.objectives[rows], "row", rows)


def _evaluate_(search: Search, fitness: Fitness, masks: np.ndarray) -> np.ndarray:
    """Add masks with their objectives; return their rows.

    Those that were evaluated before take their whole vector of objectives from the first time.
    """
    rows = np.arange(search.evaluations, search.evaluations + len(masks))
    packed = np.concatenate([search.packed, np.packbits(masks, axis=1)])
    first: dict[bytes, int] = {}  # the row in which each mask came for the first time
    for row, key in enumerate(map(bytes, packed)):
        first.setdefault(key, row)
    source = np.array([first[bytes(packed[row])] for row in rows])
    is_new = source == rows
    fresh = np.asarray(fitness(masks[is_new]) if is_new.any() else search.objectives[:0])
    before = search.objectives.reshape(rows[0], fresh.shape[1])
    search.objectives = np.concatenate([before, np.empty((len(rows), fresh.shape[1]))])
    search.objectives[rows[is_new]] = fresh
    search.objectives[rows] = search.objectives[source]
    search.repeated = np.concatenate([search.repeated, ~is_new])
    search.packed = packed
    return rows


# ------------------------------------------------------------------------------------- its state


def save(search: Search, path: Path, run: dict[str, Any]) -> None:
    """Write the state of a search, and what it is of, whole or not at all."""
    arrays = {}
    for name in ("packed", "objectives", "repeated", "population", "rank", "crowding"):
        arrays[name] = torch.from_numpy(np.ascontiguousarray(getattr(search, name)))
    state = json.dumps(search.rng.bit_generator.state)
    about = {"format": FORMAT, "run": run, "length": search.length, "rng": state}
    checkpoints.save(path, about | arrays)


def load(path: Path, run: dict[str, Any]) -> Search:
    """The search that :func:`save` wrote.

    Raises: ValueError if the file cannot be read or is of another format or another run.
    """
    state = checkpoints.load(path, FORMAT, run)
    with checkpoints.readable(path):
        del state["format"], state["run"]
        rng = np.random.default_rng()
        rng.bit_generator.state = json.loads(state.pop("rng"))
        length = state.pop("length")
        arrays = {name: tensor.numpy() for name, tensor in state.items()}
        return Search(length=length, rng=rng, **arrays)
