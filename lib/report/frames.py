"""Records in one long frame, a row a number: what a notebook filters, groups and draws."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from pandas.api.types import is_number

from lib._boundary import check_known
from lib.report import labels
from lib.runs.config import Run
from lib.runs.record import Record

NETWORK = ["trained", "dataset", "network", "method", "variant", "seed", "epochs"]  # which network


def tidy(records: Iterable[Record], *fields: str) -> pd.DataFrame:
    """Every number of every record.

    A table of metrics with the columns measure and value is long already. Of any other, texts, yes
    or no, and the columns of :data:`lib.report.labels.AXES` (as epoch) say what a row is of, and
    each further column is a measure.

    Args:
        records: of any experiments.
        fields: further ones of the run that trained the network or, where it has none of the name,
            of the study; a column each. One that is a column anyway is not repeated.
    Returns: columns experiment, those of :data:`NETWORK` (trained: the experiment that trained the
        network), fields, the axes that occur, measure, value. What a record says of the network
        after training has the measures "final …". A column of metrics that is named like one of
        these is called "own …". Of no records a frame without rows.
    Raises: ValueError naming the nearest field for one that none of these runs has.
    """
    records = list(records)
    fields = _further(fields, records)
    known = ["experiment", *NETWORK, *fields]
    alike: dict[tuple, list[tuple[pd.DataFrame, dict[str, Any]]]] = {}  # by their columns
    ends = []
    for record in records:
        named, final = facts(record, *fields), record.environment.get("final", {})
        alike.setdefault(tuple(record.metrics), []).append((record.metrics, named))
        final = {f"final {name}": value for name, value in final.items() if is_number(value)}
        ends.append(named | final)
    if not ends:
        return pd.DataFrame(columns=[*known, *labels.AXES, "measure", "value"])
    parts = [_long(_stacked(pairs), known) for pairs in alike.values()]
    parts.append(_long(pd.DataFrame(ends), known))
    return pd.concat([part for part in parts if len(part)] or parts[-1:], ignore_index=True)


def check_cells(rows: pd.DataFrame, keys: Sequence[str]) -> None:
    """Refuse empty cells, whose rows a group or a table would leave out in silence.

    Raises: ValueError naming the first of the keys that has one.
    """
    for name in keys:
        if rows[name].isna().any():
            raise ValueError(f"column {name!r} has empty cells: fill or filter them to group by it")


def check_unique(rows: pd.DataFrame, keys: Sequence[str]) -> None:
    """Refuse rows that would be averaged, or left out, in silence.

    Raises: ValueError if two rows have the same values of the keys.
    """
    twice = rows[rows.duplicated([*keys])]
    if len(twice):
        place = twice.iloc[0][[*keys]].to_dict()
        raise ValueError(f"two numbers where one is expected, at {place}: filter, or add a key")


def check_seeds(rows: pd.DataFrame, keys: Sequence[str]) -> None:
    """Refuse two numbers of one seed, which a mean would count as two. In short profiles one
    network may stand in for several, so nothing is checked.

    Raises: ValueError if in the profile "paper" two rows have the same seed and values of the keys.
    """
    from lib.report.publishing import current_profile  # seaborn, which claims do not need

    if current_profile() == "paper":
        check_unique(rows, [*keys, "seed"])


def rows(records: Iterable[Record], *fields: str) -> pd.DataFrame:
    """Every row of the metrics of every record, with what names its network (:func:`facts`): for
    what compares several numbers of a row, as an exponent and its standard error.

    Returns: columns experiment, those of :data:`NETWORK`, fields, and those of the metrics, with
        "own" before a name that is one of the others. Of no records a frame without rows.
    Raises: ValueError as :func:`tidy`.
    """
    records = list(records)
    fields = _further(fields, records)
    named = ["experiment", *NETWORK, *fields]
    pairs = [(record.metrics, facts(record, *fields)) for record in records]
    table = _stacked(pairs) if pairs else pd.DataFrame(columns=named)
    return table[[*named, *table.columns.difference(named, sort=False)]]


def _further(fields: Iterable[str], records: Sequence[Record]) -> list[str]:
    """The fields that are no column anyway, each once."""
    fields = [name for name in dict.fromkeys(fields) if name not in ("experiment", *NETWORK)]
    check_fields(fields, records)
    return fields


def check_fields(fields: Iterable[str], records: Sequence[Record]) -> None:
    """Refuse a field that none of the runs has, nor the run that trained its network. Raises
    ValueError naming the nearest.
    """
    kinds = {
        type(run): run for record in records for run in (record.config, _trained(record.config))
    }
    for name in fields if records else ():
        if not any(hasattr(run, name) for run in kinds.values()):
            names = [name for kind in kinds for name in kind.field_names()]
            check_known("field", name, [*dict.fromkeys([*names, *NETWORK])])


def _stacked(pairs: list[tuple[pd.DataFrame, dict[str, Any]]]) -> pd.DataFrame:
    """Tables below each other, each with facts of its own, a column each. A column of a table that
    is named like a fact is called "own …".
    """
    lengths = [len(table) for table, _ in pairs]
    columns = {}
    for name in pairs[0][1]:
        values = [named[name] for _, named in pairs]
        kind = object if None in values else None
        columns[name] = pd.Series(values, dtype=kind).repeat(lengths).array
    own = {name: f"own {name}" for name in columns}
    tables = pd.concat([table for table, _ in pairs], ignore_index=True)
    return tables.rename(columns=own).assign(**columns)


def _long(table: pd.DataFrame, known: list[str]) -> pd.DataFrame:
    if "measure" in table and "value" in table:
        return table
    axes, measures = [], []
    for name in table.columns.drop(known):
        is_number = table[name].dtype.kind in "iuf" and name not in labels.AXES
        (measures if is_number else axes).append(name)
    return table.melt([*known, *axes], measures, "measure")


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with data sets and methods as ordered categories, in the order of
    :mod:`lib.report.labels`; its other numbers than value are rounded, so that a query can name a
    fraction of 0.3.
    """
    for name, order in (("dataset", labels.datasets_in), ("method", labels.methods_in)):
        kind = pd.CategoricalDtype(order(frame[name].unique()), ordered=True)
        frame = frame.assign(**{name: frame[name].astype(kind)})
    numbers = frame.select_dtypes("float").columns.difference(["value"])
    return frame.assign(**frame[numbers].round(9))


def mean_over(frame: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The mean over an axis, as the draws: rows that differ in nothing else become one."""
    keys = [name for name in frame if name not in (axis, "value")]
    groups = frame.groupby(keys, dropna=False, sort=False, observed=True)
    return groups["value"].mean().reset_index()


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean, sd and n over seeds of rows that differ in nothing else, in place of seed and value.

    Raises: ValueError as :func:`check_seeds`.
    """
    keys = [name for name in frame if name not in ("seed", "value")]
    check_seeds(frame, keys)
    groups = frame.groupby(keys, dropna=False, sort=False, observed=True)["value"]
    return groups.agg(mean="mean", sd="std", n="count").reset_index()


def _trained(run: Run) -> Run:
    """The run that trained the network of a run: its own, or that of its parent."""
    return run if hasattr(run, "epochs") or run.parent is None else run.parent


def facts(record: Record, *fields: str) -> dict[str, Any]:
    """Facts to name the network of a record: the columns experiment, :data:`NETWORK` and fields."""
    run, trained = record.config, _trained(record.config)
    network = getattr(trained, "network", record.environment.get("architecture"))
    named = {"experiment": run.experiment, "trained": trained.experiment, "network": network}
    named |= {name: getattr(run, name) for name in ("dataset", "method", "variant", "seed")}
    for name in ("epochs", *fields):
        named.setdefault(name, getattr(trained, name, getattr(run, name, None)))
    return named
