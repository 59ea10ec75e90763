"""The papers' rooms. A new paper is a folder here, and its name in :data:`ROOMS`.

A room exports ``EXPERIMENTS`` (:class:`lib.runs.experiment.Experiment`), ``CLAIMS`` (by id,
:class:`lib.report.verdicts.Claim`), ``LABELS`` (:class:`lib.report.labels.Labels`) and ``PAPER``,
the name of its paper in the table of claims; a folder may bring rows of its own in ``claims.csv``.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pandas as pd

from lib._boundary import REFERENCE, ROOT  # noqa: F401  the tables of the papers, for notebooks
from lib.report import frames, labels
from lib.report.tables import Folded, Sentences
from lib.report.verdicts import Claim, check_claims, in_full, published
from lib.report.verdicts import readings as readings_of
from lib.report.verdicts import verdicts as verdicts_of
from lib.runs import executors
from lib.runs.experiment import Experiment, catalogue, choose
from lib.runs.progress import no_progress
from lib.runs.record import Record
from lib.runs.records import Store

if Path(__file__).resolve().parents[2] != ROOT:
    raise ImportError(
        f"papers of {Path(__file__).resolve().parents[2]} do not go with the library of {ROOT}:"
        " import lib before papers, or use the .venv of the folder that you work in"
    )

NO_PAPER = "No paper"  # begins the name of the paper of a room whose claims are ours
ROOMS = ("set", "adaptive_topology", "local_learning", "pruning", "splash", "frontier")


def gather(rooms: list[ModuleType]) -> tuple[dict[str, Experiment], dict[str, Claim], pd.DataFrame]:
    """Experiments and claims of rooms by name, and the table of published claims; their labels are
    added to :mod:`lib.report.labels`.

    Raises: ValueError if two experiments or claims have one name, an experiment names an unknown
        one, a claim has no row in the table or a row of a room's paper no claim, or two rooms give
        one name different looks.
    """
    experiments: list[Experiment] = []
    claims: dict[str, Claim] = {}
    owners: dict[str, str] = {}  # papers of the claims
    tables: list[Path] = []
    for room in rooms:
        experiments += room.EXPERIMENTS
        labels.add(room.LABELS)
        for name, claim in room.CLAIMS.items():
            if name in claims:
                raise ValueError(f"two rooms measure claim {name}: remove one")
            claims[name] = claim
            owners[name] = room.PAPER
        table = Path(room.__file__).with_name("claims.csv")
        if table.exists():
            tables.append(table)
    table = published(*tables)
    check_claims(claims, table, [room.PAPER for room in rooms])
    written = table.set_index("id")["paper"]
    for name, paper in owners.items():
        if written[name] != paper:
            raise ValueError(
                f"claim {name} is one of {written[name]!r}, not of {paper!r}: give another id"
            )
    return catalogue(experiments), claims, table


_ROOMS = [import_module(f"{__name__}.{name}") for name in ROOMS]
EXPERIMENTS, CLAIMS, PUBLISHED = gather(_ROOMS)
BY_PAPER = {room.PAPER: list(room.EXPERIMENTS) for room in _ROOMS}
STORE = Store(EXPERIMENTS)


def obtain(experiment: str, profile: str, *, retrain: bool = False) -> list[Record]:
    """The records of an experiment, see :func:`lib.runs.executors.obtain`."""
    return executors.obtain(STORE, experiment, profile, retrain=retrain)


def frame(experiment: str, profile: str, *fields: str, retrain: bool = False) -> pd.DataFrame:
    """Every number of an experiment, a row each, see :func:`lib.report.frames.tidy`; data sets and
    methods are categories in the order of our pictures.

    Args:
        experiment, profile, retrain: see :func:`obtain`.
        fields: settings of the training, a column each.
    """
    records = obtain(experiment, profile, retrain=retrain)
    return frames.in_order(frames.tidy(records, *fields))


def settings(experiment: str, profile: str = "paper") -> Folded:
    """The settings of an experiment: a row a kind of run, with its seeds and those settings in
    which two rows differ; the settings that all rows share stand in the line above.

    Raises: ValueError for an unknown experiment or profile, with the nearest name.
    """
    runs = choose(EXPERIMENTS, experiment).runs(profile)
    hidden = "experiment", "stand_in", "parent", "parent's stand_in", "parent's parent"
    rows = []
    for run in runs:
        row = {name: getattr(run, name) for name in run.field_names()}
        if run.parent is not None:
            row |= {
                f"parent's {name}": getattr(run.parent, name) for name in run.parent.field_names()
            }
        rows.append({name: str(value) for name, value in row.items() if name not in hidden})
    table = pd.DataFrame(rows).fillna("")
    if "parent's seed" in table and table["parent's seed"].equals(table["seed"]):
        table = table.drop(columns="parent's seed")
    kinds = table.groupby([*table.columns.drop("seed")], sort=False)["seed"].agg(_from_to)
    kinds = kinds.rename("seeds").reset_index()
    shared = [name for name in kinds if kinds[name].nunique() == 1]
    said = [f"{name} {kinds[name][0]}" for name in shared if kinds[name][0] != ""]
    line = f"Settings of {experiment} in the profile {profile}. All runs: {', '.join(said)}"
    return Folded(kinds.drop(columns=shared), line)


def _from_to(seeds: pd.Series) -> str:
    """Seeds in a few signs, as 0–4."""
    first, last = int(seeds.iloc[0]), int(seeds.iloc[-1])
    if [*map(int, seeds)] == [*range(first, last + 1)] and last > first:
        return f"{first}–{last}"
    return ", ".join(seeds)


def verdicts(
    profile: str = "paper",
    ids: list[str] | None = None,
    progress: Callable[[int], None] = no_progress,
) -> pd.DataFrame:
    """Every claim with its verdict, see :func:`lib.report.verdicts.verdicts`."""
    return verdicts_of(CLAIMS, STORE.of, PUBLISHED, profile, ids, progress)


def is_ours(claims: pd.DataFrame) -> pd.Series:
    """Which claims are our own, of a table with the column paper."""
    return claims["paper"].str.startswith(NO_PAPER)


def judged(profile: str, ids: list[str]) -> Sentences:
    """The verdicts on some claims, as a notebook shows them: the claim, what was found and why, and
    how far what was run is from what the paper ran.
    """
    rows = []
    for row in verdicts(profile, ids).to_dict("records"):
        said = in_full(row, PUBLISHED.set_index("id").loc[row["id"]])
        rows.append((row["id"], said["statement"], said["found"], said["measured"], said["scale"]))
    columns = ["id", "claim", "what we found", "value", "scale"]
    return Sentences(pd.DataFrame(rows, columns=columns))


def readings(profile: str = "paper", ids: list[str] | None = None) -> pd.DataFrame:
    """Every reading of the claims that have several, see :func:`lib.report.verdicts.readings`."""
    return readings_of(CLAIMS, STORE.of, profile, ids)
