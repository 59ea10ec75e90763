"""Compare two checkouts of the repository: what they say, and what they make of the same input.

    python -m tests.gate BEFORE AFTER [--parts names claims ...] [--jobs 2] [--allow PATTERN ...]

BEFORE and AFTER are folders or revisions of git. Parts, see :mod:`tests.dump`:

- ``names``: the runs of all experiments and profiles
- ``list``, ``claims``, ``readings``: what these commands write as JSON
- ``records``: every value of every record that a side brings, read by its own code
- ``notebooks``: text stored in notebooks, tables in ``figures/paper`` and ``data/reference``
- ``smoke``: the smoke runs of all experiments, trained on both sides, compared bit by bit
- ``figures``: the notebooks, executed on both sides

All other parts read the records of BEFORE.

What may differ is given by patterns of :mod:`fnmatch` for PART/THING/VALUE: ``*/other_decay/*``
allows that an experiment goes, ``records/*/came`` that there are new records. ``@FILE`` stands for
arguments in a file, one a line. The exit status is 0 if every part compared something and nothing
else differs.
"""

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests import dump
from tests.checkouts import ROOT, variables
from tests.dump import FAILED, PARTS, Dump

LONG = ("smoke", "figures")  # parts that take minutes: begun first
FROM_RECORDS = ("list", "claims", "readings", "records", "figures")
SHOWN = 10  # differences
WENT, CAME, MISSING = "went", "came", "missing"  # things of one side, and a value of the other


class PartFailed(RuntimeError):
    """A checkout could not say or make a part."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare two checkouts; return the exit status."""
    chosen = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        work = Path(folder)
        before = check_out(chosen.before, work / "before")
        after = check_out(chosen.after, work / "after")
        with ThreadPoolExecutor(chosen.jobs) as pool:
            made = {}
            for part in sorted(chosen.parts, key=lambda part: part not in LONG):
                second = after if part == "records" else before  # whose records AFTER reads
                made[part] = [
                    pool.submit(dump_of, side, part, records.folder / "data" / "results", work)
                    for side, records in ((before, before), (after, second))
                ]
            try:
                agree = [_agrees(part, made[part], chosen.allow) for part in chosen.parts]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return int(not all(agree))


def _agrees(part: str, dumps: Sequence[Future], allowed: Sequence[str]) -> bool:
    """Report on a part when both sides have said it; whether they agree."""
    try:
        before, after = [future.result() for future in dumps]
    except PartFailed as error:
        print(f"{part:<10}{error}", flush=True)
        return False
    return report(part, compare(before, after), allowed)


def _parser() -> argparse.ArgumentParser:
    how = {"formatter_class": argparse.RawDescriptionHelpFormatter, "fromfile_prefix_chars": "@"}
    parser = argparse.ArgumentParser("python -m tests.gate", description=__doc__, **how)
    parser.add_argument("before", metavar="BEFORE")
    parser.add_argument("after", metavar="AFTER")
    parts = {"nargs": "+", "choices": PARTS, "default": list(PARTS), "metavar": "PART"}
    parser.add_argument("--parts", **parts)
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    parser.add_argument("--allow", nargs="+", action="extend", default=[], metavar="PATTERN")
    return parser


# ------------------------------------------------------------------------------------------- sides


@dataclass(frozen=True)
class Side:
    """A checkout, and its commit; None where files differ from it."""

    folder: Path
    commit: str | None


def check_out(place: str, folder: Path) -> Side:
    """The checkout that a folder or a revision names: as a new one in ``folder``, so that nobody
    changes it meanwhile, or the folder itself where its files differ from its commit.

    Raises: ValueError if it is neither.
    """
    source, revision = ROOT, place
    if (Path(place) / "lib").is_dir():
        source, revision = Path(place).resolve(), "HEAD"
        if _git(source, "rev-parse", "--show-toplevel") != str(source):
            return Side(source, None)
        if _git(source, "status", "--porcelain"):
            return Side(source, None)
    commit = _git(source, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if not commit:
        raise ValueError(f"{place} is neither a checkout nor a revision of {ROOT}")
    clone = ["git", "clone", "--quiet", "--shared", "--no-checkout", source, folder]
    subprocess.run(clone, check=True)
    subprocess.run(["git", "-C", folder, "checkout", "--quiet", "--detach", commit], check=True)
    return Side(folder, commit)


def _git(folder: Path, *words: str) -> str:
    """What git says; "" where it fails."""
    done = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def dump_of(side: Side, part: str, results: Path, work: Path) -> Dump:
    """What a checkout says of a part.

    Args:
        side: the checkout.
        part: one of PARTS.
        results: the records that it reads, where it does.
        work: a folder for what is made.
    Raises: PartFailed with the end of what the checkout printed.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f"{part}-", dir=work) as own:
        path = Path(own, "dump.json")
        command = [sys.executable, "-P", dump.__file__, part, str(path)]
        folders = {
            "PYTHONPATH": str(side.folder),
            "SPARSE_DATA_DIR": os.environ.get("SPARSE_DATA_DIR", str(ROOT / "data" / "raw")),
            "SPARSE_RUNS_DIR": str(Path(own, "runs")),
            "SPARSE_RESULTS_DIR": str(results if part in FROM_RECORDS else Path(own, "none")),
            "SPARSE_FIGURES_DIR": str(Path(own, "figures")),
        }
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run(command, cwd=side.folder, env=variables(**folders), **how)
        if done.returncode != 0:
            raise PartFailed(f"failed in {side.folder}:\n{done.stdout[-3000:]}")
        text = path.read_text()
    where = "as it is" if side.commit is None else f"at {side.commit[:7]}"
    print(f"{part} of {side.folder} {where}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return json.loads(text)


# --------------------------------------------------------------------------------------- comparing


class Difference(NamedTuple):
    """A value that is not the same, or a thing that went or came."""

    thing: str
    value: str
    before: Any
    after: Any


class Comparison(NamedTuple):
    """How many things and values both sides have, and what differs."""

    things: int
    values: int
    differences: list[Difference]


def compare(before: Dump, after: Dump) -> Comparison:
    """Compare two dumps. What could not be made differs, also where it failed alike."""
    differences = []
    things = values = 0
    for thing in dict.fromkeys([*before, *after]):
        if thing not in before or thing not in after:
            what = WENT if thing in before else CAME
            differences.append(Difference(thing, what, thing in before, thing in after))
            continue
        things += 1
        old, new = before[thing], after[thing]
        for name in dict.fromkeys([*old, *new]):
            values += name in old and name in new
            pair = old.get(name, MISSING), new.get(name, MISSING)
            if pair[0] != pair[1] or name == FAILED:
                differences.append(Difference(thing, name, *pair))
    return Comparison(things, values, differences)


def report(part: str, comparison: Comparison, allowed: Sequence[str]) -> bool:
    """Print how many things of a part were compared, and what differs; return whether they agree:
    something was compared, and nothing differs but what is allowed.
    """
    counts = dict.fromkeys(allowed, 0)
    left = []
    for difference in comparison.differences:
        place = f"{part}/{difference.thing}/{difference.value}"
        patterns = [pattern for pattern in allowed if fnmatch.fnmatchcase(place, pattern)]
        for pattern in patterns:
            counts[pattern] += 1
        if not patterns:
            left.append(difference)
    compared = f"{comparison.things} things, {comparison.values} values compared"
    print(f"{part:<10}{compared}, {len(left)} differ", flush=True)
    for pattern, count in counts.items():
        if count:
            print(f"    allowed by {pattern}: {count}")
    for one in left[:SHOWN]:
        said = "" if one.value in (WENT, CAME) else f": {_short(one.before)} -> {_short(one.after)}"
        print(f"    {one.thing}  {one.value}{said}")
    if len(left) > SHOWN:
        print(f"    and {len(left) - SHOWN} more")
    if not comparison.values:
        print("    nothing was compared")
    return bool(comparison.values) and not left


def _short(value: Any) -> str:
    text = str(value).replace("\n", " ")
    return text if len(text) <= 80 else f"{text[:77]}..."


if __name__ == "__main__":
    raise SystemExit(main())
