"""Tables as the notebooks show them."""

import html
import math
import re
from collections.abc import Sequence

import pandas as pd

from lib.report import frames, labels
from lib.runs.environment import environment
from lib.runs.record import Record

Records = Sequence[Record]
WRITTEN = {
    "dataset": labels.dataset,
    "method": labels.method_name,
    "network": labels.network,
    "trained": labels.network,  # the experiment that trained it
}


def mean_sd(values: pd.Series) -> str:
    """The values of a group, as "0.91 ± 0.02 (5)", or "0.91 (1)"; "0.91 (1 of 5)" where the others
    have no number, and "–" where none has one.
    """
    known = values.dropna()
    if known.empty:
        return "–"
    spread = f" ± {known.std():.2f}" if len(known) > 1 else ""
    n = len(known) if len(known) == len(values) else f"{len(known)} of {len(values)}"
    return f"{known.mean():z.2f}{spread} ({n})"


def settings(records: Records, columns: Sequence[str]) -> pd.DataFrame:
    """Fields of the runs, as :func:`lib.report.frames.tidy` has them, a row for each combination,
    and how many seeds have it.

    Raises: ValueError naming the nearest field for one that none of these runs has.
    """
    frames.check_fields(columns, records)
    columns = list(dict.fromkeys(columns))
    fields = [frames.facts(record, *columns) for record in records]
    table = pd.DataFrame(fields, columns=[*columns, "seed"])
    groups = table.groupby(list(columns), sort=False, dropna=False)
    return groups["seed"].nunique().rename("seeds").reset_index()


def written_readings(readings: pd.DataFrame) -> pd.DataFrame:
    """Every reading of a claim as a text, as "-0.16 [-0.20, -0.12] fails", or "-0.16, n = 1": a row
    a reading, a column a rule and a data set.

    Args:
        readings: columns reading, rival, rule, dataset, value, low, high, holds if, verdict, as
            :func:`lib.report.verdicts.readings` gives them.
    """
    texts = []
    for row in readings.to_dict("records"):
        interval = f"[{row['low']:.3g}, {row['high']:.3g}]"
        measured = f"{row['value']:.3g} {interval} {row['verdict']}"
        texts.append(f"{row['value']:.3g}, n = 1" if row["n"] == 1 else measured)
    table = readings.assign(
        text=texts,
        rival=readings["rival"].map(
            lambda name: labels.method_name(name) if name and pd.notna(name) else ""
        ),
        rule=readings["rule"].map(labels.method_name),
        dataset=readings["dataset"].map(labels.dataset),
    )
    rows, columns = ["reading", "rival", "holds if"], ["rule", "dataset"]
    frames.check_cells(table, [*rows, *columns])
    frames.check_unique(table, [*rows, *columns])
    wide = table.pivot_table("text", rows, columns, aggfunc="first", sort=False)
    return wide.fillna("")


def this_machine() -> pd.DataFrame:
    """Commit, versions and hardware, as a notebook ends with them."""
    return pd.Series(environment(), name="this machine").to_frame()


# ------------------------------------------------------------------------------- long tables


class Folded:
    """A long table under one line, which unfolds it where a notebook is read in a browser.

    Args:
        table: what is folded.
        line: what it holds.
    """

    def __init__(self, table: pd.DataFrame, line: str):
        self.table = table
        self.line = line

    def __repr__(self) -> str:
        return f"{self.line}\n{self.table!r}"

    def _repr_html_(self) -> str:
        line = html.escape(f"{self.line} ({len(self.table)} rows)")
        with pd.option_context("display.max_rows", None):
            return f"<details><summary>{line}</summary>{self.table._repr_html_()}</details>"


class Sentences:
    """A table of texts, read from the left and in full, without its index.

    Args:
        table: what is shown.
    """

    LEFT = "<style>.sentences th, .sentences td {text-align: left !important}</style>"

    def __init__(self, table: pd.DataFrame):
        self.table = table

    def __repr__(self) -> str:
        rows = [self.table.columns, *self.table.to_numpy()]
        return "\n".join("   ".join(map(str, row)) for row in rows)

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):
            return self.LEFT + self.table.to_html(index=False, border=0, classes="sentences")


def minus(text: str) -> str:
    """The text with minus signs in place of hyphens before numbers."""
    return re.sub(r"(?<![\w])-(?=[\d.])", "−", text)


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers of all sizes as texts: "24,011,530", "275", "0.033", "0.0001", "1e-05"; "–" for
    none.
    """
    return table.map(_rounded)


def _rounded(x: float) -> str:
    if math.isnan(x):
        return "–"
    if abs(x) >= 100:
        return f"{x:,.0f}"
    return f"{x:z.3f}" if abs(x) >= 0.001 or x == 0 else f"{x:.2g}"


def named(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its data sets, methods and networks as people read them, in columns as in
    levels of the index and of the head.
    """
    for name, written in WRITTEN.items():
        if name in table.columns:
            table = table.assign(**{name: table[name].map(written, na_action="ignore")})
        if name in table.index.names:
            table = table.rename(index=written, level=name)
        if name in table.columns.names:
            table = table.rename(columns=written, level=name)
    return table
