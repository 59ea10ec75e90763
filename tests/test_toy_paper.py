"""A new paper is one folder, one word in the list of rooms and its notebook; nothing else."""

import hashlib
import json
import re
import shutil
import subprocess
import sys

import pytest

from lib.command.fresh import STAMP
from tests.checkouts import ROOT, check_out, variables

GUIDE = (ROOT / "docs" / "EXTEND.md").read_text().partition("## Add your paper")[2]
STEPS = [block.split("\n") for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)]
ROOM, LOOK = ([line.strip() for line in step if line.strip()] for step in STEPS[:2])
COMMANDS = {line.split()[3]: line.removeprefix(".venv/bin/python -m lib ") for line in LOOK}
COMMANDS = {"run": COMMANDS["run"], "run again": COMMANDS["run"]} | COMMANDS
DRIVER = """
import json, sys
from pathlib import Path
from lib.command.cli import main

times = {}
for name, words in json.loads(sys.argv[1]).items():
    assert main(words) == 0, words
    written = Path("data/runs").rglob("records.jsonl")
    times[name] = {str(path): path.stat().st_mtime_ns for path in written}
Path(sys.argv[2]).write_text(json.dumps(times))
"""


def contents(folder):
    """{path: hash} of all files in a folder, without what Python and numba have compiled."""
    hashes = {}
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(folder).as_posix()
            hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashes


def add_room(folder):
    """What the guide says: its room, its notebook, its name in the list of rooms."""
    without_caches = shutil.ignore_patterns("__pycache__")
    place = folder / "tests" / "toy_paper"
    shutil.copytree(ROOT / "tests" / "toy_paper", place, ignore=without_caches)
    for command in ROOM:
        subprocess.run(command.split(), cwd=folder, check=True)
    shutil.rmtree(place.parent)
    rooms = folder / "notebooks" / "papers" / "__init__.py"
    lines = rooms.read_text().splitlines(keepends=True)
    (place,) = (i for i, line in enumerate(lines) if line.startswith("ROOMS = ("))
    lines[place] = lines[place].replace(")", ', "toy")')
    rooms.write_text("".join(lines))


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """A checkout with the new room, before and after all commands were run there."""
    folder = check_out(tmp_path_factory.mktemp("paper"))
    answers = tmp_path_factory.mktemp("answers")
    before = contents(folder)
    add_room(folder)
    commands = {name: words.split() for name, words in COMMANDS.items()}
    for name in ("run", "run again", "list", "claims"):
        commands[name] += ["--json", str(answers / f"{name}.json")]
    words = [sys.executable, "-c", DRIVER, json.dumps(commands), str(answers / "times.json")]
    done = subprocess.run(words, cwd=folder, env=variables(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = {path.stem: json.loads(path.read_text()) for path in answers.iterdir()}
    return folder, before, shown


def test_guide_names_the_commands_that_are_run_here():
    assert list(COMMANDS) == ["run", "run again", "list", "claims", "figures"]
    assert 'add `"toy"` to `ROOMS`' in GUIDE


@pytest.mark.ci
def test_run_makes_the_runs_of_the_room_once(paper):
    _, _, shown = paper
    assert [row["seed"] for row in shown["run"]] == [0, 1, 2, 3, 4]
    assert {row["method"] for row in shown["run"]} == {"k_means"}
    assert shown["run again"] == shown["run"]
    times = shown["times"]
    assert len(times["run"]) == 5 and times["run again"] == times["figures"] == times["run"]


@pytest.mark.ci
def test_list_shows_the_records_of_the_room(paper):
    _, _, shown = paper
    assert {row["experiment"] for row in shown["list"]} == {"clusters"}
    records = {row["record"] for row in shown["run"]}
    assert {row["record"] for row in shown["list"]} == records


@pytest.mark.ci
def test_claims_judges_the_claim_of_the_room(paper):
    _, _, shown = paper
    (claim,) = (row for row in shown["claims"] if row["paper"] == "Toy")
    assert (claim["id"], claim["n"], claim["verdict"]) == ("T01", 5, "holds")
    assert claim["low"] <= claim["value"] <= claim["high"]


@pytest.mark.ci
def test_figures_renders_the_notebook_of_the_room(paper):
    folder, _, _ = paper
    figures = folder / "figures" / "smoke"
    files = sorted(path.name for path in (figures / "90_toy").iterdir())
    assert files == [STAMP, "90_toy.ipynb", "explained.csv", "explained.png", "explained.svg"]
    assert "k-means" in (figures / "90_toy" / "explained.svg").read_text()
    assert "90_toy: Cluster digits" in (figures / "README.md").read_text()


@pytest.mark.ci
def test_nothing_but_the_list_of_rooms_changed(paper):
    folder, before, _ = paper
    after = contents(folder)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {"notebooks/papers/__init__.py"}
    places = ("notebooks/papers/toy/", "notebooks/90_toy.ipynb", "data/runs/", "figures/smoke/")
    assert [name for name in after.keys() - before.keys() if not name.startswith(places)] == []
