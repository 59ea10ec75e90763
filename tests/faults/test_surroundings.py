"""Surroundings that differ: the same commands, the same bits, or one sentence."""

import json
import subprocess
import sys

import pytest

import papers
from lib._boundary import ROOT
from lib.command import cli
from lib.runs.experiment import Experiment
from tests.checkouts import check_out, variables, write_notebook

pytestmark = pytest.mark.faults("strange surroundings")

# Trains, measures, ships, reads, fits a power law and draws; says the bits of all that.
DRIVER = """
import hashlib, json, os, sys
from pathlib import Path

folder = Path(sys.argv[1])
folder.mkdir(exist_ok=True)
os.environ |= {"SPARSE_RUNS_DIR": str(folder / "runs"), "SPARSE_RESULTS_DIR": str(folder / "none")}
os.environ["SPARSE_FIGURES_DIR"] = str(folder / "figures")
import dataclasses
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from lib import data
import papers
from lib.report import publishing
from lib.runs.records import archive
from lib.topology import power_law

run = papers.EXPERIMENTS["link_removal"].runs("smoke")[0].with_changes({"dataset": "digits"})
record = papers.STORE.run(run)
trained = papers.STORE.run(run.parent)
papers.STORE.ship(trained)
shipped = dataclasses.replace(papers.STORE, runs=folder / "elsewhere").stored(run.parent)
fig, ax = plt.subplots()
ax.plot(record.metrics.select_dtypes("number"))
publishing.use_style()
picture = publishing.save_figure(fig, "curve", "90_try", "smoke", record.metrics)
exponent, _ = power_law.package_fit(np.random.default_rng(0).zipf(2.5, 500))
said = {path.suffix: hashlib.sha256(path.read_bytes()).hexdigest() for path in
        [picture.with_suffix(".csv"), *trained.path.glob("*.npz")]}
for name, one in (("record", record), ("trained", trained)):
    said[name] = archive(one.path)[one.config.name]["table"]
said["shipped"] = {}
for name, array in sorted(shipped.arrays.items()):
    said["shipped"][name] = np.ravel(array)[:5].tolist()
said["exponent"] = float(exponent)
said["notice"] = data.notice("mnist", fallback="digits")
sys.__stdout__.write(json.dumps(said))
"""

PRELUDES = {
    "no home, locale C": "",
    "no network": """
import socket

def refuse(*words, **options):
    raise OSError(101, "Network is unreachable")

socket.getaddrinfo = socket.socket.connect = refuse
""",
    "one processor, 4 GiB of memory": """
import os, resource

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
""",
    "no pickle is read": """
import sys

ITS_OWN = ("numba/core/caching.py", "numba/core/serialize.py")  # of compiled code, beside bytecode

def refuse_pickles(event, words):
    if event == "pickle.find_class":
        frame, places = sys._getframe(), []
        while frame is not None:
            places.append(frame.f_code.co_filename)
            frame = frame.f_back
        if not any(place.endswith(ITS_OWN) for place in places):
            raise RuntimeError(f"a pickle was read: {words} in {places}")

sys.addaudithook(refuse_pickles)
""",
}
NO_HOME = ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "PYTHONIOENCODING")
LOCALE_C = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
VARIABLES = {
    "no home, locale C": dict.fromkeys(NO_HOME, None) | LOCALE_C,
    "one processor, 4 GiB of memory": {"OMP_NUM_THREADS": None},
}


def run(code, *words, place=ROOT, **changes):
    """What a program prints that is run in a place, with the code that is there."""
    environment = variables(PYTHONPATH=str(place), **changes)
    how = {"cwd": place, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", code, *words], **how)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def drive(folder, prelude="", **changes):
    """What the driver says of a folder, after a prelude."""
    return json.loads(run(prelude + DRIVER, str(folder), **changes))


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """What the driver says where nothing is strange."""
    said = drive(tmp_path_factory.mktemp("usual") / "here")
    assert said["shipped"] and said["exponent"] > 1
    return {name: value for name, value in said.items() if name != "notice"}


@pytest.mark.slow
@pytest.mark.parametrize("surroundings", PRELUDES)
def test_strange_surroundings_give_the_same_bits(surroundings, usual, tmp_path):
    """Training, measuring, storing, reading, fitting and drawing give the bits of any other day."""
    changes = VARIABLES.get(surroundings, {})
    said = drive(tmp_path / "here", PRELUDES[surroundings], **changes)
    notice = said.pop("notice")
    assert said == usual
    if surroundings == "no network":
        assert notice.startswith("digits stands in for mnist, as mnist could not be had from ")


def test_audit_that_refuses_pickles_would_see_one(tmp_path):
    """The check of the case above can fail."""
    code = PRELUDES["no pickle is read"] + "import pickle; pickle.loads(pickle.dumps(Exception()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0 and "a pickle was read" in done.stderr


@pytest.mark.slow
def test_folder_of_200_letters_with_spaces_beyond_ascii_is_a_place_like_any(tmp_path):
    """Runs are made and notebooks rendered in a folder with spaces, strange letters, long names."""
    start = len(str(tmp_path)) + 1
    name = ("zoë's ε notes " * 20)[: max(20, 200 - start)].rstrip()
    folder = tmp_path / name
    folder.mkdir()
    check_out(folder)
    code = "from lib._boundary import ROOT\nfrom pathlib import Path\nassert ROOT == Path.cwd()"
    write_notebook(folder / "notebooks" / "90_try.ipynb", code)
    one = "--set method=dense variant=tuned epochs=1"
    commands = [f"run set_mlp --profile smoke --seeds 1 {one}", "figures --profile smoke"]
    code = "from lib.command import cli; import sys; sys.exit(cli.main(sys.argv[1:]))"
    assert len(str(folder)) >= 190
    for words in commands:
        run(code, *words.split(), place=folder, SPARSE_DATA_DIR=str(folder))
    assert (folder / "figures" / "smoke" / "90_try" / "90_try.ipynb").is_file()


# -------------------------------------------------------------------------------- memory, versions


@pytest.mark.parametrize("reason", ["Unable to allocate 9 GiB for an array", ""])
def test_memory_that_does_not_suffice_is_one_sentence(reason, monkeypatch, capsys, tmp_path):
    """No traceback, and what is done is kept."""

    def too_large(profile):
        raise MemoryError(reason)

    large = Experiment("large", too_large, lambda *_: None)
    monkeypatch.setitem(papers.EXPERIMENTS, "large", large)
    assert cli.main(["run", "large"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: not enough memory (") and error.count("\n") == 1
    assert (reason or "an array did not fit") in error and "take fewer --jobs" in error
