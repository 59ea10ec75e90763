"""What is promised whatever goes wrong, as the tests that keep it say: the table of a page.

A promise is a test with the mark ``faults(topic)``: its docstring or its name, and its cases.
``python -m lib.command.promises`` lists them as JSON; pages ask for that in a process of its own,
as pytest collects the tests of a process once.
"""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from lib.names import check_known
from lib.paths import ROOT

TESTS = ROOT / "tests"
MARK = "mark.faults("
TOPICS = {  # in the order of the page, each with what it is about
    "killed at any moment": "`kill -9`, Ctrl-C, a worker or a kernel that ends",
    "a full disk": "`ENOSPC`, `EFBIG` and what is left of a write that fails",
    "a read-only store": "records, figures and data where nothing can be written",
    "two writers": "two processes that want the same run, book, data set or notebook",
    "stale locks": "locks and halves that dead processes leave",
    "a clock that was set back": "dates in the future and in the past",
    "damaged records": "files cut short, empty, of another record, or with flipped bits",
    "damaged data": "data sets that are not what their name says",
    "servers that lie": "downloads that stall, drip, break off, pour, or send something else",
    "untrusted files": "pickles, archives, kernels and servers",
    "strange surroundings": "no home, another locale, one processor, no network, little memory",
}


class Catalogue:
    """A plug-in of pytest that keeps the tests it has found."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    def pytest_collection_finish(self, session: Any) -> None:
        """Take down every test with a topic; parametrised ones are so many cases."""
        for item in session.items:
            mark = item.get_closest_marker("faults")
            (topic,) = mark.args
            check_known("topic of a promise", topic, TOPICS)
            place = item.path.relative_to(ROOT).as_posix()
            name = f"{place}::{item.originalname}"
            entry = {
                "topic": topic,
                "promise": promise(item.originalname, item.function.__doc__),
                "test": name,
                "cases": 0,
                "long": item.get_closest_marker("slow") is not None,
            }
            self.found.setdefault(name, entry)["cases"] += 1


def promise(name: str, docstring: str | None) -> str:
    """What a test promises, as a sentence: its docstring, or its name."""
    if docstring:
        first, _, _ = inspect.cleandoc(docstring).partition("\n\n")
        return " ".join(first.split())
    words = name.removeprefix("test_").replace("_", " ")
    return f"{words[0].upper()}{words[1:]}."


def marked_files() -> list[Path]:
    """The files of tests that make promises."""
    files = sorted(TESTS.rglob("test_*.py"))
    return [path for path in files if MARK in path.read_text(encoding="utf-8")]


def collect() -> list[dict[str, Any]]:
    """The promises, as pytest finds them in this process."""
    import pytest  # of the extra "test"

    catalogue = Catalogue()
    words = ["--collect-only", "-qq", "-m", "faults", "-p", "no:cacheprovider", "--no-header"]
    files = [str(path) for path in marked_files()]
    status = pytest.main([*words, *files], plugins=[catalogue])
    if status:
        raise RuntimeError(f"the tests cannot be collected (status {int(status)})")
    return list(catalogue.found.values())


def listed() -> list[dict[str, Any]]:
    """The promises, found by a process of its own. Raises RuntimeError with what it says."""
    words = [sys.executable, "-W", "ignore", "-m", "lib.command.promises"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the promises cannot be listed: {done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def markdown(promises: list[dict[str, Any]]) -> str:
    """The promises as a table a topic, with how many cases each has."""
    lines = [_total(promises), ""]
    for topic, about in TOPICS.items():
        rows = [row for row in promises if row["topic"] == topic]
        if not rows:
            continue
        lines += [f"### {topic[0].upper()}{topic[1:]}", "", f"{about[0].upper()}{about[1:]}.", ""]
        lines += ["| promise | test | cases |", "|---|---|---|"]
        for row in rows:
            cases = f"{row['cases']}, long form" if row["long"] else str(row["cases"])
            text = row["promise"].replace("|", "\\|")
            lines.append(f"| {text} | `{row['test']}` | {cases} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def _total(promises: list[dict[str, Any]]) -> str:
    cases = sum(row["cases"] for row in promises)
    long = sum(row["cases"] for row in promises if row["long"])
    return (
        f"{len(promises)} promises, {cases} cases, of which {long} belong to the long form alone."
    )


if __name__ == "__main__":
    found = collect()
    sys.stdout.write(f"\n{json.dumps(found)}\n")
