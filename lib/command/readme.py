"""The tables of the README that follow from records."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lib import papers
from lib.paths import ROOT
from lib.report import tables
from lib.report.verdicts import markdown, verdicts
from lib.runs.record import Record

SHOWN = ("set_mlp", "adaptive_topology", "adaptive_topology_1568")


def update(path: Path = ROOT / "README.md") -> None:
    """Write the generated tables of the README anew, from the records of the paper profile."""
    text = path.read_text()
    for name, table in readme_tables().items():
        text = replace_between(text, name, table)
    path.write_text(text)


def readme_tables() -> dict[str, str]:
    """The tables of the README by name: accuracies and verdicts of the paper profile."""
    shipped = dataclasses.replace(papers.STORE, runs=papers.STORE.results)  # not this machine's own
    parts = [accuracies(shipped.of(name, "paper")) for name in SHOWN]
    table = verdicts(papers.CLAIMS, shipped.of, papers.PUBLISHED, "paper")
    return {
        "accuracies": as_markdown(pd.concat(parts).fillna("–")),
        "verdicts": markdown(table, papers.PUBLISHED),
    }


def accuracies(records: Sequence[Record]) -> pd.DataFrame:
    """Accuracy of an experiment at the last epoch, a row a method and a column a data set."""
    table = tables.summary(records)
    table = table.assign(text=table["last epoch"] + " (" + table["n"].astype(str) + ")")
    if "settings" in table:
        named = table["settings"].where(table["settings"] != "tuned", "")
        table["method"] += (", " + named).where(named != "", "")
    rows = ["network", "method", "epochs"]
    links = table.groupby(rows, sort=False)["links in training"].first().rename("links")
    wide = table.set_index([*rows, "dataset"])["text"].unstack()
    datasets = list(dict.fromkeys(table["dataset"]))
    wide = wide.reindex(index=links.index, columns=datasets)
    return pd.concat([links, wide], axis=1).reset_index()


def as_markdown(table: pd.DataFrame) -> str:
    """A table as Markdown."""
    lines = [" | ".join(table.columns), "|".join(["---"] * len(table.columns))]
    header = [f"| {lines[0]} |", f"|{lines[1]}|"]
    for row in table.to_numpy():
        header.append(f"| {' | '.join(map(str, row))} |")
    return "\n".join(header)


def replace_between(text: str, name: str, new: str) -> str:
    """``text`` with what stands between the comments begin/end ``name`` replaced by ``new``.

    Raises: ValueError if the comments are missing.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the text has no comments {begin} and {end}")
    head, _, tail = text.partition(begin)
    return f"{head}{begin}\n{new}\n{end}{tail.partition(end)[2]}"
