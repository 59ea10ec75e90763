"""The gate finds what differs between two checkouts, and refuses to have compared nothing."""

import shutil
import subprocess

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from lib.runs.records import archive
from tests import dump, gate
from tests.checkouts import ROOT
from tests.stored import rewrite

# a library with one experiment of two runs, one of them in all profiles
LIBRARY = """
from dataclasses import dataclass
from types import SimpleNamespace


@dataclass(frozen=True)
class Tiny:
    step_size: float = 0.1
    seed: int = 0

    @property
    def name(self):
        return f"tiny-{self.step_size}-{self.seed}"


def runs(profile):
    return [Tiny(), Tiny(seed=1)] if profile == "paper" else [Tiny()]


EXPERIMENTS = {"tiny": SimpleNamespace(runs=runs)}
"""
OF_RUNS = 4  # in three profiles


def git(folder, *words):
    known = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *known, *words], cwd=folder, check=True, capture_output=True)


def commit(folder):
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Change")


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "__init__.py").touch()
    (folder / "lib" / "papers.py").write_text(LIBRARY)
    (folder / "data" / "results").mkdir(parents=True)
    (folder / "data" / "results" / "bench.json").write_text("[]")
    git(folder, "init", "-q")
    commit(folder)
    return folder


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


# --------------------------------------------------------------------------------------- comparing


SAID = {"a": {"rate": 0.5, "n": 3}, "b": {"rate": 0.25}}


@pytest.mark.parametrize(
    ("after", "places"),
    [
        (SAID, []),
        ({"b": {"rate": 0.25}, "a": {"n": 3, "rate": 0.5}}, []),
        (SAID | {"a": {"rate": 0.5, "n": 4}}, ["a/n"]),
        (SAID | {"a": {"rate": 0.5}}, ["a/n"]),
        (SAID | {"b": {"rate": 0.25, "n": None}}, ["b/n"]),
        ({"a": SAID["a"]}, ["b/went"]),
        (SAID | {"c": {}}, ["c/came"]),
    ],
)
def test_every_value_that_differs_is_named(after, places):
    found = gate.compare(SAID, after).differences
    assert [f"{one.thing}/{one.value}" for one in found] == places


def test_what_failed_on_both_sides_differs():
    failed = {"a": {dump.FAILED: "no data"}}
    assert len(gate.compare(failed, failed).differences) == 1


@pytest.mark.parametrize("said", [{}, {"a": {}}])
def test_nothing_compared_is_no_agreement(said, capsys):
    assert not gate.report("names", gate.compare(said, said), [])
    assert "nothing was compared" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pattern", "agree"), [("*/b/*", True), ("claims/*/went", True), ("claims/*/came", False)]
)
def test_what_is_allowed_is_printed_with_its_number(pattern, agree, capsys):
    comparison = gate.compare(SAID, {"a": SAID["a"]})
    assert gate.report("claims", comparison, [pattern]) == agree
    assert (f"allowed by {pattern}: 1" in capsys.readouterr().out) == agree


# ------------------------------------------------------------------------------------------- dumps


ONE = np.ones(2)


@pytest.mark.parametrize(
    "other",
    [
        np.array([1, np.nextafter(1, 2)]),
        np.ones(2, np.float32),
        np.ones((2, 1)),
        np.ones(3),
        np.ones(2, int),
    ],
)
def test_digest_of_an_array_covers_type_shape_and_every_bit(other):
    assert dump._digest(ONE) == dump._digest(np.ones(4)[::2])
    assert dump._digest(ONE) != dump._digest(other)


def test_digest_of_a_column_tells_minus_zero_and_text():
    zero, minus, text = pd.Series([0.0]), pd.Series([-0.0]), pd.Series(["0.0"])
    assert len({dump._digest_of_column(column) for column in (zero, minus, text)}) == 3


def test_rows_of_seconds_are_not_compared():
    measures = ["milliseconds", "MiB"]
    metrics = pd.DataFrame({"measure": measures, "part": ["top", "top"], "median": [3.5, 0.25]})
    kept = dump._without_seconds(metrics)
    assert kept["median"].isna().tolist() == [True, False]
    assert kept["median"][1] == 0.25
    assert kept[["measure", "part"]].equals(metrics[["measure", "part"]])


def test_texts_of_a_notebook_are_those_that_nbval_compares(tmp_path):
    printed = new_output("stream", name="stdout", text="kept\n")
    data = {"text/plain": "1", "text/html": "<b>1</b>", "image/png": "AAAA"}
    shown = new_output("execute_result", data, execution_count=1)
    cells = [new_code_cell(id="a", outputs=[printed, shown])]
    cells += [new_code_cell(id="b", outputs=[printed], metadata={"tags": ["nbval-ignore-output"]})]
    nbformat.write(new_notebook(cells=cells), tmp_path / "10_try.ipynb")
    assert dump._texts(tmp_path.glob("*.ipynb")) == {
        "10_try.ipynb": {
            "cell a output 0 stdout": "kept\n",
            "cell a output 1 text/plain": "1",
            "cell a output 1 text/html": "<b>1</b>",
        }
    }


# --------------------------------------------------------------------------------------- checkouts


def test_changed_folder_has_no_commit(checkout, tmp_path):
    side = gate.check_out(str(checkout), tmp_path / "copy")
    assert side.commit and (side.folder / "lib" / "papers.py").is_file()
    assert side.folder != checkout
    (checkout / "lib" / "new.py").touch()
    assert gate.check_out(str(checkout), tmp_path / "other") == gate.Side(checkout, None)


def test_what_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no-such-revision is neither"):
        gate.check_out("no-such-revision", tmp_path)


def test_two_checkouts_are_compared(checkout, tmp_path, capsys):
    before = tmp_path / "before"
    shutil.copytree(checkout, before)
    words = [str(before), str(checkout), "--parts", "names"]
    assert gate.main(words) == 0
    said = capsys.readouterr().out
    assert f"names     {OF_RUNS} things, " in said and " 0 differ" in said

    change(checkout / "lib" / "papers.py", "step_size: float = 0.1", "step_size: float = 0.2")
    commit(checkout)
    assert gate.main(words) == 1
    said = capsys.readouterr().out
    assert f" {2 * OF_RUNS} differ" in said and "tiny/paper/tiny-0.2-1  came" in said
    assert gate.main([*words, "--allow", "names/tiny/*"]) == 1  # then nothing is compared


@pytest.mark.parametrize(
    ("break_", "said"),
    [
        (lambda lib: (lib / "papers.py").write_text("raise ValueError('no room')"), "no room"),
        (lambda lib: (lib / "__init__.py").unlink(), "is not found, but"),  # that is installed
    ],
)
def test_checkout_that_fails_is_no_agreement(checkout, capsys, break_, said):
    break_(checkout / "lib")
    assert gate.main([str(checkout), str(checkout), "--parts", "names"]) == 1
    assert said in capsys.readouterr().out


# ------------------------------------------------------------------------- this repository, slowly


@pytest.mark.slow
def test_commit_agrees_with_itself():
    """Two trainings of the smoke runs give the same bits."""
    parts = [part for part in dump.PARTS if part != "figures"]
    assert gate.main(["HEAD", "HEAD", "--parts", *parts]) == 0


@pytest.mark.slow
def test_changed_digit_rate_and_threshold_are_found(tmp_path, capsys):
    folder = tmp_path / "clone"
    git(ROOT, "clone", "-q", str(ROOT), str(folder))
    rates = folder / "data" / "results" / "unit_rates"
    rewrite(rates, min(archive(rates)), table=lambda text: text.replace("0.", "1.", 1))
    change(folder / "notebooks" / "papers" / "splash" / "experiments.py", "0.03", "0.04")
    change(folder / "data" / "reference" / "claims.csv", ">=,-0.2,ours", ">=,99,ours")
    for part, thing in {"records": "unit_rates", "names": "unit", "claims": "S01"}.items():
        assert gate.main(["HEAD", str(folder), "--parts", part]) == 1
        assert thing in capsys.readouterr().out
