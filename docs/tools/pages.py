"""Generated tables of the pages, from records and references: each stands between two comments."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from pybtex.database import Entry, parse_file

import papers
from lib import bench
from lib._boundary import REFERENCE, ROOT, whole
from lib.bench.convolutions import IMAGE, PASS, STEP
from lib.bench.points import OWN_PEAK
from lib.command import judged, notebooks, planned
from lib.report import benchmark, labels, tables
from lib.report.verdicts import in_full, readings
from lib.runs.record import Record, summaries

PAGES = (
    *("docs/NOTEBOOKS.md", "docs/PAPERS.md", "docs/VERDICTS.md", "docs/RESULTS.md"),
    *("docs/REFERENCES.md", "docs/RUNS.md", "docs/SPEED.md"),
)
SHOWN = ("set_mlp", "set_mlp_long", "adaptive_topology", "adaptive_topology_1568")
BIBLIOGRAPHY = REFERENCE / "references.bib"


def update(root: Path = ROOT) -> None:
    """Judge the verdicts that a clone shows anew, and write the generated tables of every page, all
    from the records of the paper profile.
    """
    judged.ship()
    for page in PAGES:
        path = root / page
        new = renewed(path.read_text(encoding="utf-8"))
        with whole(path) as part:
            part.write_text(new, encoding="utf-8")


def renewed(text: str) -> str:
    """A page with each of its generated tables as it is now."""
    for name, table in TABLES.items():
        if f"<!-- begin {name} -->" in text:
            text = replace_between(text, name, table())
    return text


# ---------------------------------------------------------------------------------------- tables


def all_accuracies() -> str:
    """Every network of :data:`SHOWN`."""
    shipped = papers.STORE.shipped
    parts = [accuracies(shipped.of(name, "paper")) for name in SHOWN]
    return as_markdown(pd.concat(parts).fillna("–"))


def all_verdicts(*, ours: bool = False) -> str:
    """Every claim of the papers, or every one of our own."""
    rows = pd.DataFrame(judged.shipped())
    return as_markdown(written_verdicts(rows[papers.is_ours(rows) == ours]))


def verdicts_of(paper: str) -> str:
    """Every claim of one paper, and what we found."""
    rows = pd.DataFrame(judged.shipped())
    return as_markdown(written_verdicts(rows[rows["paper"] == paper])[["claim", "what we found"]])


def written_verdicts(rows: pd.DataFrame) -> pd.DataFrame:
    """Verdicts as pages show them, each with a link to the notebook that judges the claim.

    Args:
        rows: of :func:`lib.report.verdicts.verdicts`.
    """
    judging = notebooks.naming(list(rows["id"]))
    claims = papers.PUBLISHED.set_index("id")
    lines = []
    for row in rows.to_dict("records"):
        claim = row["id"]
        said = in_full(row, claims.loc[claim])
        link = f"[{claim}](../notebooks/{judging[claim].name})" if claim in judging else claim
        lines.append(
            {
                "claim": f"{link}: {said['statement']}",
                "what we found": f"**{said['found']}".replace(":", ":**", 1),
                "scale": said["scale"],
                "quantity and criterion": said["criterion"],
                "value": said["measured"],
                "n": said["n"],
            }
        )
    return pd.DataFrame(lines)


def all_readings() -> str:
    """Every reading of the claims that leave some open."""
    table = readings(papers.CLAIMS, papers.STORE.shipped.of, "paper")
    parts = []
    for claim, rows in table.groupby("claim", sort=False):
        written = tables.written_readings(rows)
        written.columns = [", ".join(column) for column in written.columns]
        parts.append(f"**{claim}**\n\n{as_markdown(written.reset_index())}")
    return "\n\n".join(parts)


def planned_runs() -> str:
    """Table of the runs that would decide open claims, and how many of them are made."""
    return as_markdown(planned.written(papers.STORE.shipped))


def all_notebooks() -> str:
    """A line a notebook; the site shows cards in their place."""
    books = notebooks.find()
    return "\n".join(
        f"- [{path.stem}](../notebooks/{path.name}): {notebooks.title(path)}" for path in books
    )


def speed(measure: str) -> str:
    """How many times as long as ours the others take for a measure of the benchmark."""
    table = bench.stored()
    rows = table[(table["measure"] == measure) & ~table["sweep"].isin(["width", "cifar10_mlp"])]
    written = multiples(rows)
    if measure != "layer":
        written = written.drop(columns=["n_in", "n"])
    return measured(written, rows)


def multiples(rows: pd.DataFrame) -> pd.DataFrame:
    """How many times as long as ours the others take, with densities in percent."""
    written = benchmark.multiples(rows).reset_index()
    written["density"] = [f"{100 * density:.3g} %" for density in written["density"]]
    return written


def measured(written: pd.DataFrame, rows: pd.DataFrame) -> str:
    """A table as a page has it, and the machines that measured its rows."""
    return f"{as_markdown(written)}\n\nMeasured on {benchmark.machines(rows)}."


def speed_of_each(prefix: str, called: str) -> str:
    """The same for measures that begin alike, a row each."""
    table = bench.stored()
    rows = table[table["measure"].str.startswith(prefix)]
    tables = []
    for measure, of_one in rows.groupby("measure", sort=False):
        written = multiples(of_one)
        written.insert(0, called, measure.removeprefix(prefix))
        tables.append(written)
    written = pd.concat(tables).drop(columns=["batch", "n_in", "n"])
    return measured(written, rows)


def memory_of_own() -> str:
    """MiB that a training step of models of torch's own modules takes, a row a width."""
    table = bench.stored()
    rows = table[table["measure"] == OWN_PEAK]
    rows = rows.assign(contender=rows["contender"].map(benchmark.name_of))
    table = rows.pivot_table("median_ms", "n", "contender", sort=False).round()
    written = table.map("{:,.0f} MiB".format).rename_axis("neurons in a layer").reset_index()
    return measured(written, rows)


def all_references() -> str:
    """Every reference below a heading, to which links lead."""
    entries = parse_file(BIBLIOGRAPHY).entries
    return "\n\n".join(f"## {key}\n\n{cited(entries[key])}" for key in sorted(entries))


def cited(entry: Entry) -> str:
    """A reference as a line: authors, title, where, link."""
    names = [" ".join(person.last_names) for person in entry.persons["author"]]
    authors = ", ".join(name.replace("others", "et al.") for name in names)
    title = entry.fields["title"].replace("{", "").replace("}", "")
    where = entry.fields.get("journal") or entry.fields.get("booktitle") or ""
    volume = entry.fields.get("volume", "")
    place = f"{where} {volume}".strip()
    venue = f", {place}" if place else ""
    year = entry.fields["year"]
    return f"{authors}, [*{title}*]({address(entry)}){venue}, {year}"


def address(entry: Entry) -> str:
    """Where a reference is found."""
    if "doi" in entry.fields:
        return f"https://doi.org/{entry.fields['doi']}"
    return entry.fields["url"]


TABLES: dict[str, Callable[[], str]] = {  # by the name that the comments around them have
    "accuracies": all_accuracies,
    "verdicts": all_verdicts,
    "own verdicts": partial(all_verdicts, ours=True),
    **{
        f"verdicts of {paper}": partial(verdicts_of, paper)
        for paper in set(papers.PUBLISHED["paper"])
    },
    "readings": all_readings,
    "planned runs": planned_runs,
    "cards": all_notebooks,
    "references": all_references,
    "speed of own": partial(speed_of_each, "own_step: ", "model"),
    "memory of own": memory_of_own,
    "speed of convolutions": partial(speed_of_each, PASS, "layer"),
    "speed of images": partial(speed_of_each, IMAGE, "layer"),
    "speed of convolutional networks": partial(speed_of_each, STEP, "network"),
    **{
        f"speed of {measure}": partial(speed, measure)
        for measure in ("training_step", "epoch", "predict_1", "predict_1024", "layer")
    },
}


def accuracies(records: Sequence[Record]) -> pd.DataFrame:
    """Accuracy of an experiment at the last epoch, a row a method and a column a data set."""
    table = summaries(records)
    is_named = (table["variant"].nunique() > 1) & (table["variant"] != "tuned")
    names = table["method"].map(labels.method_name)
    table = table.assign(
        network=table["architecture"],
        method=names.where(~is_named, names + ", " + table["variant"]),
        dataset=table["dataset"].map(labels.dataset),
        value=100 * table["last_accuracy"],
    )
    rows = ["network", "method", "epochs"]
    links = table.groupby([*rows, "dataset"], sort=False)["links_training"].mean()
    links = links.groupby(rows, sort=False).first().map("{:,.0f}".format)
    wide = table.pivot_table("value", rows, "dataset", tables.mean_sd, sort=False)
    return links.rename("links").to_frame().join(wide).reset_index()


# -------------------------------------------------------------------------------------- markdown


def as_markdown(table: pd.DataFrame) -> str:
    """A table as Markdown."""
    lines = [f"| {' | '.join(table.columns)} |", f"|{'---|' * len(table.columns)}"]
    for row in table.to_numpy():
        cells = [str(cell).replace("|", r"\|") for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def replace_between(text: str, name: str, new: str) -> str:
    """``text`` with what stands between the comments begin/end ``name`` replaced by ``new``.

    Raises: ValueError if the comments are missing.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the text has no comments {begin} and {end}")
    head, _, tail = text.partition(begin)
    return f"{head}{begin}\n{new}\n{end}{tail.partition(end)[2]}"
