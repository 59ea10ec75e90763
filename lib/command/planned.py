"""Runs that would decide what is open: which, how many of them are made, and what they cost.

They stand in ``data/planned_runs.csv``, a row an experiment or a part of it. Those without an
experiment are not on the list: nothing is configured for them.
"""

import shlex
from typing import Any

import pandas as pd

import papers
from lib._boundary import ROOT
from lib.runs.config import Run
from lib.runs.experiment import chosen
from lib.runs.records import Store

TABLE = ROOT / "data" / "planned_runs.csv"


def planned() -> pd.DataFrame:
    """The table.

    Returns: columns item, experiment (empty where none is configured), choose (what selects among
        its runs, as words after its name), what, core_hours (an estimate, on one thread, for the
        runs that were missing when the list was written), basis (of it) and decides (ids of
        claims, between spaces).
    """
    return pd.read_csv(TABLE, keep_default_na=False)


def counted(rows: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Rows of :func:`planned` with the columns runs and made; NA where nothing is configured."""
    runs = [_runs(row) for row in rows.to_dict("records")]
    made = [sum(map(store.holds, some)) if some else None for some in runs]
    totals = [len(some) or None for some in runs]
    return rows.assign(runs=pd.array(totals, "Int64"), made=pd.array(made, "Int64"))


def deciding(claim: str) -> list[str]:
    """Ways to decide a claim: a sentence for each row of the table that is not made, with the
    command that makes it and its cost. Longer runs have experiments of their own: a claim that does
    not read them yet is to be judged on them when they are complete, and the sentence says so.
    """
    rows = planned()
    rows = counted(rows[[claim in ids.split() for ids in rows["decides"]]], papers.STORE)
    sentences = []
    for row in rows.to_dict("records"):
        cost = f"{row['core_hours']:g} core-hours"
        if not row["experiment"]:
            sentences.append(f"{row['what']}: {cost}, and no command makes these runs yet")
        elif row["made"] < row["runs"]:
            chosen = f"{row['experiment']} {row['choose']}".strip()
            command = f"python -m lib run {chosen} --profile paper"
            state = f"{row['made']} of {row['runs']} runs made, {cost} planned for all"
            if row["experiment"] not in papers.CLAIMS[claim].experiments:
                state += "; the claim counts none of them yet, and will be judged on all"
            sentences.append(f"{command} ({row['what']}: {state})")
    return sentences


def written(store: Store) -> pd.DataFrame:
    """The table as a page shows it."""
    rows = []
    for row in counted(planned(), store).to_dict("records"):
        name = f"`{row['experiment']}` {row['choose']}".strip()
        rows.append(
            {
                "item": row["item"],
                "experiment": name if row["experiment"] else "not configured",
                "what is run": row["what"],
                "made": f"{row['made']} of {row['runs']}" if row["experiment"] else "–",
                "core-hours": f"{row['core_hours']:g} ({row['basis']})",
                "decides": row["decides"].replace(" ", ", "),
            }
        )
    return pd.DataFrame(rows)


def _runs(row: dict[str, Any]) -> list[Run]:
    """The runs of a row, in the profile paper."""
    if not row["experiment"]:
        return []
    changes = dict(word.split("=", 1) for word in shlex.split(row["choose"]))
    runs, others = chosen(papers.EXPERIMENTS[row["experiment"]].runs("paper"), changes)
    assert not others, row
    return [run.resolved() for run in runs]
