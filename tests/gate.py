"""Compare two checkouts of the repository: what they say, and what they make of the same input.

    python -m tests.gate BEFORE AFTER [--parts names claims ...] [--jobs 2] [--allow PATTERN ...]

BEFORE and AFTER are folders or revisions of git. Parts, see :mod:`tests.dump`:

- ``names``: the runs of all experiments and profiles
- ``list``, ``claims``, ``readings``: what these commands write as JSON
- ``records``: every value of every record that a side brings, read by its own code
- ``notebooks``: text stored in notebooks, tables in ``figures/paper`` and ``data/reference``
- ``smoke``: the smoke runs of all experiments, trained on both sides, compared bit by bit
- ``figures``: the notebooks, executed on both sides

All other parts read one copy of the records of BEFORE. Where AFTER has another format of records,
``--results-after`` names a folder that holds the same ones in it.

What a clean checkout said is kept in ``--cache`` and taken from there when it is BEFORE again;
AFTER is always asked.

What may differ is given by patterns of :mod:`fnmatch` for PART/THING/VALUE: ``*/other_decay/*``
allows that an experiment goes, ``records/*/came`` that there are new records. ``@FILE`` stands for
arguments in a file, one a line. The exit status is 0 if every part compared something and nothing
else differs.
"""

import argparse
import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from tests import dump
from tests.checkouts import ROOT, variables
from tests.dump import FAILED, PARTS, Dump

CACHE = ROOT / "build" / "gate"
LONG = ("smoke", "figures")  # parts that take minutes: begun first
FROM_RECORDS = ("list", "claims", "readings", "records", "figures")
PACKAGES = ("torch", "numba", "numpy", "scipy", "scikit-learn", "pandas")
SHOWN = 10  # differences
WENT, CAME, MISSING = "went", "came", "missing"  # things of one side, and a value of the other


class PartFailed(RuntimeError):
    """A checkout could not say or make a part."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare two checkouts; return the exit status."""
    chosen = _parser().parse_args(arguments)
    cache = chosen.cache.resolve()
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        work = Path(folder)
        before = check_out(chosen.before, work / "before")
        after = check_out(chosen.after, work / "after")
        own_before = freeze(before.folder / "data" / "results", cache)
        own_after = freeze(after.folder / "data" / "results", cache)
        read_before = freeze(chosen.results, cache) if chosen.results else own_before
        read_after = freeze(chosen.results_after, cache) if chosen.results_after else read_before
        with ThreadPoolExecutor(chosen.jobs) as pool:
            made = {}
            for part in sorted(chosen.parts, key=lambda part: part not in LONG):
                own = part == "records"
                results = (own_before, own_after) if own else (read_before, read_after)
                first = pool.submit(dump_of, before, part, results[0], cache, work, reuse=True)
                second = pool.submit(dump_of, after, part, results[1], cache, work, reuse=False)
                made[part] = first, second
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
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="records that are read")
    parser.add_argument("--results-after", type=Path, metavar="FOLDER")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="FOLDER")
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


def freeze(results: Path, cache: Path) -> Path:
    """A copy of a folder of records, named by its contents."""
    digest = hashlib.sha256()
    for path in sorted(path for path in results.rglob("*") if path.is_file()):
        if path.suffix != ".lock":
            digest.update(path.relative_to(results).as_posix().encode())
            digest.update(path.read_bytes())
    frozen = cache / f"records-{digest.hexdigest()[:12]}"
    if not frozen.is_dir():
        part = frozen.with_suffix(f".{os.getpid()}")
        shutil.copytree(results, part, ignore=shutil.ignore_patterns("*.lock"))
        part.rename(frozen)
    return frozen


def dump_of(side: Side, part: str, results: Path, cache: Path, work: Path, *, reuse: bool) -> Dump:
    """What a checkout says of a part; with ``reuse`` what it said before, if that is kept.

    Args:
        side: the checkout.
        part: one of PARTS.
        results: the records that it reads, where it does.
        cache: where what clean checkouts say is kept.
        work: a folder for what is made.
        reuse: whether what is kept is taken.
    Raises: PartFailed with the end of what the checkout printed.
    """
    kept = None
    if side.commit is not None:
        kept = cache / side.commit[:12] / f"{part}-{_key(part, results)}.json"
        if reuse and kept.is_file():
            return json.loads(kept.read_text())
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
    if kept is not None and not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        written = kept.with_suffix(f".{os.getpid()}")
        written.write_text(text)
        written.rename(kept)
    return json.loads(text)


def _key(part: str, results: Path) -> str:
    """What else than the commit decides what a checkout says."""
    versions = [f"{name} {version(name)}" for name in PACKAGES]
    read = results.name if part in FROM_RECORDS else ""
    text = "\n".join([Path(dump.__file__).read_text(), sys.version, *versions, read])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


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
