"""Figures and verdicts are made again when something that they come from has changed, and kept
otherwise.
"""

import json
import re
import subprocess
import sys
import textwrap

import pytest

import papers
from lib import _boundary
from lib.command import fresh, notebooks
from lib.report import takeaways
from tests.checkouts import check_out, variables, write_notebook

# ------------------------------------------------------------------------------------- digests


@pytest.fixture
def tree(tmp_path):
    """A folder with a file in it and one below it."""
    folder = tmp_path / "tree"
    (folder / "below").mkdir(parents=True)
    (folder / "one.py").write_text("1")
    (folder / "below" / "two.csv").write_text("2")
    return folder


def rewrite(tree):
    (tree / "one.py").write_text("3")


def rename(tree):
    (tree / "one.py").rename(tree / "other.py")


def remove(tree):
    (tree / "below" / "two.csv").unlink()


@pytest.mark.parametrize("change", [rewrite, rename, remove])
def test_any_change_of_a_folder_changes_its_digest(change, tree):
    before = fresh.digest(tree)
    change(tree)
    assert fresh.digest(tree) != before


def test_files_that_lock_the_records_change_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(_boundary, "RESULTS", tmp_path)
    before = fresh.common()
    (tmp_path / ".counting.lock").touch()
    assert fresh.common() == before
    (tmp_path / "bench.json").touch()
    assert fresh.common() != before


def test_dates_places_and_compiled_files_do_not_change_a_digest(tree, tmp_path):
    before = fresh.digest(tree)
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__" / "one.pyc").write_text("compiled")
    (tree / "one.py").write_text("1")
    assert fresh.digest(tree) == before
    (tmp_path / "elsewhere").mkdir()
    assert fresh.digest(tree.rename(tmp_path / "elsewhere" / "tree")) == before


def test_file_that_is_being_written_does_not_change_a_digest(tree):
    before = fresh.digest(tree)
    with _boundary.whole(tree / "three.py") as part:
        part.write_text("half")
        assert fresh.digest(tree) == before
    assert fresh.digest(tree) != before


def test_file_that_vanishes_meanwhile_is_none(tree, monkeypatch):
    before = fresh.digest(tree)
    (tree / "three.py").write_text("3")

    def sha256(path):
        if path.name == "three.py":
            path.unlink()
        return _boundary.sha256(path)

    monkeypatch.setattr(fresh, "sha256", sha256)
    assert fresh.digest(tree) == before


def test_texts_are_told_apart_where_one_ends_and_the_next_begins():
    assert len({fresh.digest("ab", "c"), fresh.digest("a", "bc"), fresh.digest("abc")}) == 3


def experiments(name):
    (path,) = notebooks.find([name])
    return fresh.experiments_of(path)


def test_notebook_depends_on_what_it_shows_and_its_parents():
    assert {"link_removal", "adaptive_topology"} <= experiments("21_link_removal")
    assert "mask_search" not in experiments("21_link_removal")
    assert experiments("quickstart") == set()


def test_notebook_that_reads_the_store_depends_on_every_experiment():
    assert experiments("00_overview") == papers.EXPERIMENTS.keys()


def test_every_experiment_that_a_notebook_obtains_stands_in_its_metadata():
    """So that ``figures`` runs what is missing side by side, before the kernel would."""
    for path in notebooks.find():
        obtained = re.findall(r'papers\.obtain\(\s*"(\w+)", profile', notebooks._code(path))
        assert set(obtained) <= set(notebooks.needed(path)), path.name


def test_every_experiment_in_the_metadata_of_a_notebook_is_one_that_it_reads():
    """So that ``figures`` makes no run that no figure shows."""
    for path in notebooks.find():
        assert set(notebooks.needed(path)) <= fresh.experiments_of(path), path.name


@pytest.mark.parametrize(("profile", "changes"), [("paper", True), ("smoke", False)])
def test_takeaways_that_are_titles_are_sources(tmp_path, monkeypatch, profile, changes):
    (book,) = notebooks.find(["quickstart"])
    before = fresh.of_notebook(book, profile, "")
    monkeypatch.setattr(takeaways, "FILE", tmp_path / "takeaways.csv")
    takeaways.FILE.write_text("notebook,figure,takeaway\nquickstart,update,Links move.\n")
    assert (fresh.of_notebook(book, profile, "") != before) == changes


# --------------------------------------------------------------------------------- stamps


@pytest.fixture
def stamped(tmp_path):
    """A folder with a figure and the stamp of its rendering."""
    (tmp_path / "curve.csv").write_text("x\n1\n")
    fresh.stamp(tmp_path, "sources")
    return tmp_path


def test_nothing_has_changed_since_the_stamp(stamped):
    assert fresh.is_fresh(stamped, "sources")


def test_other_sources_make_figures_out_of_date(stamped):
    assert not fresh.is_fresh(stamped, "other sources")


@pytest.mark.parametrize("damage", ["", "null"])
def test_stamp_that_cannot_be_read_is_none(damage, stamped):
    (stamped / fresh.STAMP).write_text(damage)
    assert not fresh.is_fresh(stamped, "sources")


def test_figure_that_was_changed_or_lost_is_made_again(stamped):
    (stamped / "curve.csv").write_text("x\n2\n")
    assert not fresh.is_fresh(stamped, "sources")
    (stamped / "curve.csv").unlink()
    assert not fresh.is_fresh(stamped, "sources")


def test_stamps_are_not_tracked():
    assert f"figures/paper/**/{fresh.STAMP}" in (_boundary.ROOT / ".gitignore").read_text()


# ---------------------------------------------------------------------------- on a small copy

DRIVER = textwrap.dedent(
    """
    import json, sys, time
    from pathlib import Path
    from lib.command import cli, notebooks

    said, rendered, execute_all = {}, [], notebooks.execute_all

    def noted(books, *others):
        rendered.extend(path.stem for path in books)
        return execute_all(books, *others)

    notebooks.execute_all = noted

    def figures(step, *words):
        rendered.clear()
        begun = time.process_time()  # not that of other work on the machine
        assert cli.main(["figures", "--profile", "smoke", *words]) == 0
        page = Path("figures/smoke/README.md").read_text()
        said[step] = {"rendered": sorted(rendered), "page": page}
        said[step]["seconds"] = time.process_time() - begun

    def replace(path, old, new):
        text = Path(path).read_text()
        assert old in text
        Path(path).write_text(text.replace(old, new, 1))

    one, two = "notebooks/90_one.ipynb", "notebooks/91_two.ipynb"
    figures("first", "--only", "91")
    figures("the other")
    figures("again")
    replace("lib/_boundary.py", '\"\"\"', '\"\"\"Another word. ')
    figures("a word in the library")
    replace(one, "# Try", "# Try it")
    figures("a title")
    Path("figures/smoke/90_one/first.csv").unlink()
    figures("a lost table")
    replace(two, "old.csv", "new.csv")
    figures("another table")
    figures("forced", "--force", "--only", "91")
    sys.__stdout__.write("\\n" + json.dumps(said))
    """
)
ONE = """
from lib import _boundary
with _boundary.whole(_boundary.FIGURES / profile / "90_one" / "first.csv") as part:
    part.write_text("x")
"""
TWO = """
from lib import _boundary, runs
with _boundary.whole(_boundary.FIGURES / profile / "91_two" / "old.csv") as part:
    part.write_text("x")
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What ``figures`` has rendered after each of several changes to a copy of the repository."""
    folder = check_out(tmp_path_factory.mktemp("copy") / "here")
    write_notebook(folder / "notebooks" / "90_one.ipynb", ONE)
    write_notebook(folder / "notebooks" / "91_two.ipynb", TWO)
    words = [sys.executable, "-c", DRIVER]
    own = variables(PYTHONPATH=str(folder))
    done = subprocess.run(words, cwd=folder, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    tables = sorted(path.name for path in (folder / "figures" / "smoke").rglob("*.csv"))
    return json.loads(done.stdout.splitlines()[-1]), done.stdout, tables


@pytest.mark.parametrize(
    ("step", "rendered"),
    [
        ("first", ["91_two"]),
        ("the other", ["90_one"]),
        ("again", []),
        ("a word in the library", ["90_one", "91_two"]),
        ("a title", ["90_one"]),
        ("a lost table", ["90_one"]),
        ("another table", ["91_two"]),
        ("forced", ["91_two"]),
    ],
)
@pytest.mark.ci
def test_only_what_comes_from_something_that_changed_is_rendered(step, rendered, said):
    assert said[0][step]["rendered"] == rendered


@pytest.mark.ci
def test_second_call_computes_for_seconds(said):
    assert said[0]["again"]["seconds"] < 10


@pytest.mark.ci
def test_page_of_figures_agrees_with_what_was_rendered(said):
    steps, _, tables = said
    assert "## 91_two" in steps["first"]["page"] and "## 90_one" not in steps["first"]["page"]
    assert "## 90_one" in steps["the other"]["page"]
    assert steps["again"]["page"] == steps["the other"]["page"]
    assert "[old](91_two/old.csv)" in steps["again"]["page"]
    assert "[new](91_two/new.csv)" in steps["another table"]["page"]
    assert "old.csv" not in steps["another table"]["page"]  # it is published no more
    assert tables == ["first.csv", "new.csv"]


@pytest.mark.ci
def test_command_says_how_many_it_renders(said):
    _, shown, _ = said
    assert "rendering 0 notebooks into" in shown and "of 2 nothing has changed (--force" in shown
