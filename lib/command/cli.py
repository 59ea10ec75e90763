"""The command line: ``python -m lib COMMAND``. Exit status 0 only if all that was asked for was
done.

What a command needs is imported in it, so that the help answers at once.
"""

import ast
import json
import math
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lib import _boundary
from lib._boundary import CUSTOM, PROFILES, check_known, check_regular, check_whole, whole

if TYPE_CHECKING:
    import pandas as pd

    from lib.runs.config import Run


class Commands(click.Group):
    """Commands, of which an unknown one is refused as all other names are."""

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of this name. Raises UsageError with the nearest one."""
        try:
            check_known("command", name, self.commands)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        return super().get_command(context, name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 1 if it failed, 2 if it could not be understood."""
    os.environ.setdefault("PYTHONUTF8", "1")  # of kernels and workers, whatever the locale is
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with commands.make_context("python -m lib", words) as context:
            return commands.invoke(context) or 0
    except click.exceptions.Exit as end:  # after --help and --version
        return end.exit_code
    except click.UsageError as error:
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()
            return 2
        where = error.ctx.command_path if error.ctx else "python -m lib"
        message = error.format_message().rstrip(".")
        print(f"error: {message} (see {where} --help)", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        is_import = isinstance(error, ImportError)
        remedy = ": make install, then use .venv/bin/python" if is_import else ""
        print(f"error: {error}{remedy}", file=sys.stderr)
        return 1
    except MemoryError as error:
        reason = str(error) or "an array did not fit"
        remedy = "free some, or take fewer --jobs; what is done is kept"
        print(f"error: not enough memory ({reason}): {remedy}", file=sys.stderr)
        return 1


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sparse-adaptive", message="%(version)s")
def commands() -> None:
    """Experiments on sparse, adaptive and robust networks: run them, draw them, judge them."""


# ------------------------------------------------------------------------------------- options


def _positive(context: click.Context, option: click.Parameter, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise ValueError(f"{option.name} = {value} is out of range: give at least 1")
    return value


def _regular(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value not in (None, "-"):
        check_regular(Path(value))
    return value


def _address(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None and "://" not in value:
        raise ValueError(
            f"scheduler {value!r} is no address: give that of a Dask scheduler, as"
            " tcp://10.0.0.1:8786 (docs/CLUSTER.md says how to start one)"
        )
    return value


def _profile(default: str, known: Sequence[str] = PROFILES) -> Callable:
    def check(context: click.Context, option: click.Parameter, value: str) -> str:
        check_known("profile", value, known)
        return value

    return click.option(
        "--profile",
        default=default,
        show_default=True,
        callback=check,
        help=f"One of {', '.join(known)}.",
    )


def _number(name: str, text: str, default: int | None = None) -> Callable:
    return click.option(
        name,
        type=int,
        metavar="N",
        default=default,
        show_default=default is not None,
        callback=_positive,
        help=text,
    )


as_json = click.option(
    "--json",
    "target",
    metavar="FILE",
    callback=_regular,
    help="Write a list of objects ('-': print it).",
)
jobs = _number("--jobs", "Runs, or notebooks, side by side.", default=1)
scheduler = click.option(
    "--scheduler",
    metavar="ADDRESS",
    callback=_address,
    help="Of a Dask cluster that makes the runs, as tcp://10.0.0.1:8786.",
)


# -------------------------------------------------------------------------------- list and data


@commands.command("list", short_help="Papers, experiments, notebooks, what is stored.")
@click.argument("name", required=False)
@as_json
def show_list(name: str | None, target: str | None) -> None:
    """Show the papers, their experiments and notebooks, and how much is stored.

    With NAME, an experiment: its stored runs, also those with changes. A notebook by number or
    name, or a claim: its experiments.
    """
    import papers
    from lib.command import notebooks
    from lib.runs.record import summaries

    books = [path.stem for path in notebooks.find()]
    of_one: Iterable[str] | None = None  # experiments of a claim or a notebook
    claim = _as_id(name or "")
    if claim in papers.CLAIMS:
        of_one = papers.CLAIMS[claim].experiments
    elif name is not None and (name[:2].isdigit() or name in books):
        [book] = notebooks.find([name])
        of_one = notebooks.needed(book)
    if of_one is not None:
        table = _how_many(of_one, papers.STORE.names())
        none = "no experiment belongs to this notebook or claim"
        lines = [table.to_string(index=False) if len(table) else none]
        if claim in papers.CLAIMS:
            lines.append(f"python -m lib claims {claim}  # its verdict, and what is missing")
        else:
            for experiment in table.query("stored < runs")["experiment"]:
                lines.append(f"python -m lib run {experiment} --profile paper  # what is missing")
        _report(target, table, "\n".join(lines))
        return
    if name is not None:
        known = (*papers.EXPERIMENTS, *books, *papers.CLAIMS)
        check_known("experiment, notebook or claim", name, known)
        chosen = papers.EXPERIMENTS[name]
        planned = [run.name for profile in PROFILES for run in chosen.runs(profile)]
        places = {name: place for place, name in enumerate(dict.fromkeys(planned))}
        records = papers.STORE.everything(chosen.name)
        records.sort(key=lambda record: places.get(record.config.name, len(places)))
        table = summaries(records)
        shown = table.drop(columns=["experiment", "optimiser"], errors="ignore")
        text = shown.to_string(index=False) if len(table) else "none of its runs is stored"
        [count] = _how_many([name], papers.STORE.names()).to_dict("records")
        text += f"\n{count['stored']} of {count['runs']} runs of the profile paper are stored"
        if count["stored"] < count["runs"]:
            text += f": python -m lib run {name} --profile paper"
        _report(target, table, text)
        return
    if target is not None:
        _report(target, summaries(papers.STORE.everything()), "")
        return
    stored = papers.STORE.names()
    lines = []
    for paper, experiments in papers.BY_PAPER.items():
        names = []
        for row in _how_many((one.name for one in experiments), stored).to_dict("records"):
            names.append(row["experiment"])
            if row["stored"] < row["runs"]:
                names[-1] += f" {row['stored']}/{row['runs']}"
        lines += _wrapped(f"{paper}: {', '.join(names)}")
    lines += _wrapped(f"notebooks: {', '.join(books)}")
    lines += [
        f"{len(stored):,} runs are stored. 3/5: three of five runs of the profile paper are.",
        "python -m lib list NAME            the runs of an experiment, notebook or claim",
        "python -m lib run EXPERIMENT       make those of the quick profile",
        "python -m lib figures --only 10    draw the stored records that a notebook shows",
        "python -m lib claims               what is claimed, and what we found",
    ]
    print("\n".join(lines))


def _how_many(experiments: Iterable[str], stored: set[str]) -> "pd.DataFrame":
    """Table of experiments: runs of the profile paper that are stored, and all of them.

    Args:
        experiments: their names.
        stored: names of all records.
    """
    import pandas as pd

    import papers

    rows = []
    for experiment in experiments:
        runs = {run.name for run in papers.EXPERIMENTS[experiment].runs("paper")}
        rows.append({"experiment": experiment, "stored": len(runs & stored), "runs": len(runs)})
    return pd.DataFrame(rows, columns=["experiment", "stored", "runs"])


def _wrapped(text: str) -> list[str]:
    """Lines no wider than the terminal, all but the first indented."""
    width = shutil.get_terminal_size().columns
    return textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)


@commands.command("data", short_help="Fetch and verify data sets.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def show_data(names: tuple[str, ...]) -> int:
    """Fetch and verify data sets, and say where each came from, or why it is not here."""
    import pandas as pd

    from lib import data

    rows = data.where(list(names))
    here = pd.DataFrame([row for row in rows if row["source"]])
    if len(here):
        print(here.assign(sha256=here["sha256"].str[:12]).to_string(index=False))
    missing = [row for row in rows if not row["source"]]
    for row in missing:
        print(f"{row['dataset']}: {row['status']}")
    is_damaged = any(row["status"].startswith("damaged") for row in missing)
    return 1 if is_damaged or (names and missing) else 0


# ------------------------------------------------------------------------------------------ run


@commands.command("run", short_help="Train what is missing of an experiment.")
@click.argument("experiment")
@click.argument("more", nargs=-1, metavar="[KEY=VALUE]...")
@_profile("quick")
@_number("--seeds", "Of each run the seeds 0 to N - 1, instead of those of the profile.")
@jobs
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a field of the runs; method, variant and dataset choose among them.",
)
@scheduler
@as_json
def run(
    experiment: str,
    more: tuple[str, ...],
    profile: str,
    seeds: int | None,
    jobs: int,
    changes: tuple[str, ...],
    scheduler: str | None,
    target: str | None,
) -> None:
    """Train what is missing of EXPERIMENT and show its records.

    KEY=VALUE after the name is the same as --set KEY=VALUE.
    """
    import papers
    from lib import data
    from lib.runs.experiment import choose, chosen
    from lib.runs.record import summaries

    runs = choose(papers.EXPERIMENTS, experiment).runs(profile)
    assigned = _assigned((*changes, *more))
    if "experiment" in assigned:
        raise ValueError(
            f"experiment={assigned['experiment']} is no change of a run of {experiment}: name the"
            " experiment after run"
        )
    for option in ("profile", "seeds", "jobs", "scheduler"):
        if option in assigned:
            value = assigned[option]
            raise ValueError(f"{option}={value} is no change of a run: write --{option} {value}")
    if seeds is not None and "seed" in assigned:
        raise ValueError(
            f"seed={assigned['seed']} and --seeds {seeds} both choose seeds: give one of them"
        )
    runs, fields = chosen(runs, assigned)
    runs = [run.with_changes(fields) for run in runs]
    if seeds is not None:
        runs = [run.with_changes({"seed": seed}) for run in runs for seed in range(seeds)]
    runs = list(dict.fromkeys(runs))
    data.require_known(*(run.dataset for run in runs))
    for one in runs:
        one.check()
    _say_what_stands_in(runs)
    if profile == "smoke":
        print("profile smoke tests the code: its accuracies mean nothing", file=sys.stderr)
    ship = profile == "paper" and not fields
    records = papers.STORE.records(_sweep(runs, jobs, scheduler, ship))
    table = summaries(records)
    for name in fields:
        if name not in table:
            table[name] = [getattr(record.config, name) for record in records]
    shown = table.drop(columns=["experiment", "optimiser"])
    _report(target, table, shown.to_string(index=False))


def _assigned(texts: Iterable[str]) -> dict[str, Any]:
    """The values of texts as key=value, by key."""
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"{text!r} is not key=value: give a value too, as epochs=5")
        if key in values:
            raise ValueError(f"{key} is given twice, the second time as {text!r}: give it once")
        try:
            values[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError):
            values[key] = value
    return values


def _sweep(runs: "Sequence[Run]", jobs: int, scheduler: str | None, ship: bool) -> "list[Run]":
    """Make the runs that are missing; with ``ship`` store what a clone needs of them."""
    import papers
    from lib.runs import executors

    try:
        return executors.make_missing(papers.STORE, runs, jobs=jobs, scheduler=scheduler)
    finally:  # what is finished is stored, whatever became of the others
        if ship:
            for record in papers.STORE.records(runs, whole=True):
                if record.profile == "paper":  # --seeds may ask for others
                    papers.STORE.ship(record)


def _say_what_stands_in(runs: "Iterable[Run]") -> None:
    """Print one line for every data set that another stands in for."""
    from lib import data

    pairs = {(run.dataset, run.stand_in.dataset): None for run in runs if run.stand_in}
    for name, fallback in pairs:
        notice = data.notice(name, fallback=fallback)
        if notice:
            print(notice, file=sys.stderr)


# --------------------------------------------------------------------------------------- replay


@commands.command("replay", short_help="Train again, compare bit by bit.")
@click.argument("experiments", nargs=-1, metavar="[EXPERIMENT]...")
@_number("--epochs", "How many of the first epochs.", default=2)
@_profile("paper", (*PROFILES, CUSTOM))
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Every record, not only the lowest seed of each data set, method and variant.",
)
@click.option("--dirty", is_flag=True, help="Only records of a tree with uncommitted changes.")
@as_json
def replay_records(
    experiments: tuple[str, ...],
    epochs: int,
    profile: str,
    every: bool,
    dirty: bool,
    target: str | None,
) -> int:
    """Train the first epochs of stored records anew and compare them, bit by bit.

    Nothing is stored. Without EXPERIMENT: all that train in epochs. The profile custom is that of
    runs made with --set.
    """
    import pandas as pd

    import papers
    from lib.runs import replay
    from lib.runs.experiment import choose

    names = list(dict.fromkeys(experiments or papers.EXPERIMENTS))
    able = [name for name in names if choose(papers.EXPERIMENTS, name).replay is not None]
    others = [name for name in names if name not in able]
    if others:
        print(f"skipped, as their runs have no epochs: {', '.join(others)}", file=sys.stderr)
    records = []
    for name in able:
        records += replay.choose_records(papers.STORE, name, profile, dirty=dirty, every=every)
    rows = replay.replay(papers.STORE, records, epochs)
    table = pd.DataFrame(rows)
    _report(target, table, _replayed(table))
    return int(any(row["outcome"] == replay.DIFFERS for row in rows))


def _replayed(table: "pd.DataFrame") -> str:
    """A line for each record that was replayed, and what became of them all."""
    if table.empty:
        return "no such record is stored"
    columns = (
        "experiment dataset method variant seed epochs outcome first_difference dirty commit"
        " changed_here record"
    )
    commit, first = table["commit"].str.slice(0, 7), table["note"].fillna("")
    shown = table.assign(commit=commit, first_difference=first)[columns.split()]
    counts = [f"{n} {outcome}" for outcome, n in table["outcome"].value_counts().items()]
    return f"{shown.to_string(index=False, na_rep='')}\n{', '.join(counts)}"


# ------------------------------------------------------------------------------------- figures


@commands.command("figures", short_help="Draw the figures that are out of date.")
@click.argument("more", nargs=-1, metavar="[NN]...")
@_profile("paper")
@click.option("--only", multiple=True, metavar="NN", help="A notebook, by number or name.")
@jobs
@click.option(
    "--train",
    is_flag=True,
    help="Make what is missing in the profile paper too (hours; resumable).",
)
@click.option("--force", is_flag=True, help="Draw also where nothing has changed.")
@scheduler
def figures(
    more: tuple[str, ...],
    profile: str,
    only: tuple[str, ...],
    jobs: int,
    train: bool,
    force: bool,
    scheduler: str | None,
) -> None:
    """Draw the figures that are out of date.

    papermill executes the notebooks NN (all, if none is named) into figures/PROFILE. The profile
    paper draws stored records. It leaves out the notebooks 03 and quickstart, which train, unless
    they are named. The other profiles first make the runs that the notebooks miss. NN after the
    options is the same as --only NN.
    """
    from lib.command import gallery, notebooks
    from lib.runs.executors import RunsFailed

    trains = profile != "paper" or train
    if not trains and scheduler is not None:
        raise ValueError("the profile paper shows stored records: a cluster goes with --train")
    books = notebooks.find([*only, *more] or None)
    if profile == "paper" and not (only or more):
        # processors round differently: the pictures of what is trained here would change
        books = [path for path in books if path.stem not in notebooks.TRAINING]
    failed: list[str] = []
    if trains:
        print("first the runs that are missing, then the figures", flush=True)
        try:
            _sweep(_needed(books, profile), jobs, scheduler, ship=profile == "paper")
        except RunsFailed as error:  # notebooks that do not need them are still rendered
            failed.append(str(error))
    if jobs > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # kernels side by side: one thread each
    changed = books if force else notebooks.out_of_date(books, profile)
    line = f"rendering {len(changed)} notebooks into {_boundary.FIGURES / profile}"
    if len(changed) < len(books):
        kept = len(books) - len(changed)
        line += f"; of {kept} nothing has changed (--force renders them too)"
    print(line, flush=True)
    if changed:
        failed += notebooks.execute_all(changed, profile, jobs)
    page = gallery.write(profile)
    if failed:
        raise RuntimeError("; ".join(failed))
    print(f"see {page}")
    if not (trains or only or more):
        print("these are stored records; to train small networks anew: make figures PROFILE=quick")


def _needed(books: Iterable[Path], profile: str) -> "list[Run]":
    """The runs that notebooks show."""
    import papers
    from lib.command import notebooks

    runs: list[Run] = []
    for path in books:
        for name in notebooks.needed(path):
            runs += papers.EXPERIMENTS[name].runs(profile)
    runs = list(dict.fromkeys(runs))
    _say_what_stands_in(runs)
    return runs


# -------------------------------------------------------------------------------------- claims


@commands.command("recipe", short_help="How networks that anyone can load were made.")
@click.argument("name", required=False)
def show_recipe(name: str | None) -> None:
    """Show the recipe NAME: settings, accuracy by epoch, result, and how to load its network.

    Without NAME, a line for each.
    """
    from papers.frontier import recipes

    print(recipes.names() if name is None else recipes.card(name))


@commands.command("claims", short_help="What the papers claim, and what we found.")
@click.argument("claims", nargs=-1, metavar="[CLAIM]...")
@_profile("paper")
@click.option(
    "--readings", is_flag=True, help="Every fair reading of the claims that leave one open."
)
@as_json
def show_claims(claims: tuple[str, ...], profile: str, readings: bool, target: str | None) -> None:
    """Show what the papers claim and what we found.

    CLAIM is one claim, as S03, of which all is shown, or the letter of a paper.
    """
    import papers
    from lib.command import judged, planned
    from lib.report.verdicts import in_full

    ids = _ids_of(claims)
    if readings:
        table = papers.readings(profile, ids)
        text = "none of these claims has several readings"
        if len(table):
            text = table.to_string(index=False, float_format="{:.3f}".format)
        _report(target, table, text)
        return
    table = judged.verdicts(profile, ids)
    still_open = table.query("verdict == 'open'")["id"]
    ways: dict[str, list[str]] = {}  # to decide these, where all is shown
    if target is not None or len(table) == 1:
        ways = {claim: planned.deciding(claim) for claim in still_open}
    if len(table) == 1:
        row = table.iloc[0].to_dict()
        claim = papers.PUBLISHED.set_index("id").loc[row["id"]]
        said = {"claim": row["id"], **in_full(row, claim)}
        text = "\n".join(f"{name:<10}{text}" for name, text in said.items() if text)
        for way in ways.get(row["id"], ()):
            text += f"\n{'decide':<10}{way}"
    else:
        text = "\n".join(_lines_of_claims(table))
    for of, rows in table.groupby(papers.is_ours(table)):
        counts = [f"{n} {verdict}" for verdict, n in rows["verdict"].value_counts().items()]
        whose = "our own claims" if of else "claims of papers"
        text += f"\nprofile {profile}, {whose}: {', '.join(counts)}"
    if len(table) > 1:
        shown = f"{table['id'].iloc[0]} shows all of one"
        if len(still_open):
            shown = f"{still_open.iloc[0]} shows why it is open, and what decides it"
        text += f"\npython -m lib claims {shown}"
    table = table.assign(to_decide=["; ".join(ways.get(claim, ())) for claim in table["id"]])
    _report(target, table, text)


def _ids_of(names: Sequence[str]) -> list[str] | None:
    """The claims that are named, by id or by the letter of their paper; None where none is."""
    import papers

    known = list(papers.PUBLISHED["id"])
    if not names:
        return None
    papers_of = {claim: claim.rstrip("0123456789") for claim in known}
    wanted = {_as_id(name) for name in names}
    for name in wanted:
        letters = dict.fromkeys(papers_of.values())
        check_known("claim", name, [*letters, *known], "python -m lib claims lists all")
    return [claim for claim in known if {claim, papers_of[claim]} & wanted]


def _as_id(name: str) -> str:
    """The name of a claim as its id: S03 for s3."""
    return re.sub(r"^([A-Z])(\d)$", r"\g<1>0\2", name.upper())


def _lines_of_claims(table: "pd.DataFrame") -> Iterator[str]:
    """Lines of each claim: id, verdict, and what was measured, in as many lines as that takes."""
    width = shutil.get_terminal_size().columns
    for row in table.to_dict("records"):
        _, _, measured = row["sentence"].partition(": ")
        start = f"{row['id']}  {row['verdict']:<12}  "
        text = f"{start}{measured or row['statement']}"
        yield textwrap.fill(text, width, subsequent_indent=" " * len(start))


# -------------------------------------------------------------------------------------- bench


@commands.command("bench", short_help="Time it against dense and other libraries.")
@click.argument("sweep", required=False)
@click.option("--threads", type=int, metavar="N", help="Of torch and of the loops.")
@click.option("--sweeps", is_flag=True, help="All points, on one thread too (8 min).")
@as_json
def show_bench(sweep: str | None, threads: int | None, sweeps: bool, target: str | None) -> None:
    """Time training steps, epochs and predictions against dense and other libraries.

    SWEEP is one part of all that is measured: "own" times models of torch's own modules,
    "convolutions" layers and networks with sparse convolutions.
    """
    import torch

    from lib import bench

    if threads is not None:
        check_whole("threads", threads, least=1, most=os.cpu_count())
        torch.set_num_threads(threads)
    table = bench.measure_all() if sweeps else bench.measure(sweep)
    shown = table.drop(columns=["cpu", "sweep", "rounds"], errors="ignore")
    _report(target, table, shown.to_string(index=False, float_format="{:.3f}".format))


# ---------------------------------------------------------------------------------------- output


def _report(target: str | None, table: "pd.DataFrame", text: str) -> None:
    """Print the text; where JSON is asked for, write the rows of the table in its place."""
    if target is not None:
        known = table.notna() & ~table.isin([math.inf, -math.inf])  # JSON has neither inf nor nan
        rows = table.astype(object).where(known, None).to_dict("records")
        text = json.dumps(rows, indent=1)
    if target in (None, "-"):
        print(text)
        return
    with whole(Path(target)) as part:
        part.write_text(f"{text}\n")
