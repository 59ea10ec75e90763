"""Surroundings that differ: the same commands, the same bits, or one sentence."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

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
VARIABLES = {
    "no home, locale C": {
        "HOME": None,
        "USER": None,
        "LOGNAME": None,
        "XDG_CACHE_HOME": None,
        "LC_ALL": "C",
        "LANG": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": None,
    },
    "one processor, 4 GiB of memory": {"OMP_NUM_THREADS": None},
}


def drive(folder, prelude="", place=ROOT, **changes):
    """What the driver says of a folder, after a prelude."""
    words = [sys.executable, "-c", prelude + DRIVER, str(folder)]
    environment = variables(PYTHONPATH=str(place), **changes)
    done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """What the driver says where nothing is strange."""
    said = drive(tmp_path_factory.mktemp("usual") / "here")
    assert said["shipped"] and said["exponent"] > 1
    return {name: value for name, value in said.items() if name != "notice"}


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
        done = subprocess.run(
            [sys.executable, "-c", code, *words.split()],
            cwd=folder,
            env=variables(SPARSE_DATA_DIR=str(folder), PYTHONPATH=str(folder)),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert (folder / "figures" / "smoke" / "90_try" / "90_try.ipynb").is_file()


# -------------------------------------------------------------------------------- memory, versions


@pytest.mark.parametrize("reason", ["Unable to allocate 9 GiB for an array", ""])
def test_memory_that_does_not_suffice_is_one_sentence(reason, monkeypatch, capsys, tmp_path):
    """No traceback, and what is done is kept."""

    def too_large(profile):
        raise MemoryError(reason)

    monkeypatch.setitem(
        papers.EXPERIMENTS, "large", Experiment("large", too_large, lambda *_: None)
    )
    assert cli.main(["run", "large"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: not enough memory (") and error.count("\n") == 1
    assert (reason or "an array did not fit") in error and "take fewer --jobs" in error


def interpreter(version):
    """A Python of this version that starts, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [shutil.which(f"python{version}")]
    found += sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/python{version}")))
    for path in filter(None, found):
        words = [path, "-c", "import sys; print(sys.version_info[:2])"]
        if subprocess.run(words, capture_output=True).returncode == 0:
            return path
    return None


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_later_python_compiles_every_module_without_a_warning(version, tmp_path):
    """No word of the library or of its tests has fallen out of a later Python."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    for name in ("lib", "tests"):
        copied = shutil.ignore_patterns("__pycache__", "*.npz")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=copied)
    words = [python, "-W", "error", "-m", "compileall", "-q", "-j", "1", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    code = "import lib._boundary, lib._boundary, lib._boundary; print(lib._boundary.ROOT)"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == str(tmp_path), done.stderr
