"""Figures and verdicts are made again when something that they come from has changed, and kept
otherwise.
"""

import re

import pytest

import papers
from lib import _boundary
from lib.command import cli, fresh, notebooks
from lib.report import takeaways
from lib.runs.records import Store
from tests import kernels
from tests.checkouts import write_notebook

# ------------------------------------------------------------------------------------- digests


@pytest.fixture
def tree(tmp_path):
    """A folder with a file in it and one below it."""
    folder = tmp_path / "tree"
    (folder / "below").mkdir(parents=True)
    (folder / "one.py").write_text("1")
    (folder / "below" / "two.csv").write_text("2")
    return folder


CHANGES = {
    "rewrite": lambda tree: (tree / "one.py").write_text("3"),
    "rename": lambda tree: (tree / "one.py").rename(tree / "other.py"),
    "remove": lambda tree: (tree / "below" / "two.csv").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
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
        obtained = re.findall(r'papers\.obtain\(\s*"(\w+)", profile', fresh.code_of(path))
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


def test_other_sources_make_figures_out_of_date(stamped):
    assert fresh.is_fresh(stamped, "sources")
    assert not fresh.is_fresh(stamped, "other sources")


@pytest.mark.parametrize(
    ("file", "text"), [(fresh.STAMP, ""), (fresh.STAMP, "null"), ("curve.csv", "x\n2\n")]
)
def test_stamp_or_figure_that_was_changed_or_lost_makes_figures_out_of_date(file, text, stamped):
    (stamped / file).write_text(text)
    assert not fresh.is_fresh(stamped, "sources")
    (stamped / file).unlink()
    assert not fresh.is_fresh(stamped, "sources")


def test_stamps_are_not_tracked():
    assert f"figures/paper/**/{fresh.STAMP}" in (_boundary.ROOT / ".gitignore").read_text()


# ------------------------------------------------------------------------- of two small notebooks

ONE = """
from lib import _boundary
with _boundary.whole(_boundary.FIGURES / profile / "90_one" / "first.csv") as part:
    part.write_text("x")
"""
TWO = ONE.replace("90_one", "91_two").replace("first", "old")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder of two notebooks, a library, records and figures in place of the repository's."""
    (tmp_path / "lib").mkdir()
    write_notebook(tmp_path / "90_one.ipynb", ONE)
    write_notebook(tmp_path / "91_two.ipynb", TWO)
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)
    monkeypatch.setattr(_boundary, "LIBRARY", tmp_path / "lib")
    monkeypatch.setattr(_boundary, "FIGURES", tmp_path / "figures")
    monkeypatch.setenv("SPARSE_FIGURES_DIR", str(tmp_path / "figures"))
    monkeypatch.setattr(papers, "STORE", Store({}, tmp_path / "runs", tmp_path / "results"))
    return tmp_path


@pytest.fixture
def figures(monkeypatch):
    """The command, which gives the names of the notebooks that it renders."""
    rendered, execute_all = [], notebooks.execute_all

    def noted(books, *others):
        rendered.extend(path.stem for path in books)
        return execute_all(books, *others)

    def render(*words):
        rendered.clear()
        with kernels.forked():
            assert cli.main(["figures", "--profile", "smoke", *words]) == 0
        return rendered

    monkeypatch.setattr(notebooks, "execute_all", noted)
    return render


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.ci
def test_only_what_comes_from_something_that_changed_is_rendered(small, figures, capsys):
    folder = small / "figures" / "smoke"
    page = folder / "README.md"
    assert figures("--only", "91") == ["91_two"]
    assert "## 91_two" in page.read_text() and "## 90_one" not in page.read_text()
    assert figures() == ["90_one"]
    before = page.read_text()
    assert "## 90_one" in before and "[old](91_two/old.csv)" in before
    capsys.readouterr()
    assert figures() == [] and page.read_text() == before
    assert "of 2 nothing has changed (--force" in capsys.readouterr().out
    (small / "lib" / "module.py").write_text("of the library")
    assert figures() == ["90_one", "91_two"]
    replace(small / "90_one.ipynb", "# Try", "# Try it")
    assert figures() == ["90_one"]
    (folder / "90_one" / "first.csv").unlink()
    assert figures() == ["90_one"]
    replace(small / "91_two.ipynb", "old.csv", "new.csv")
    assert figures() == ["91_two"]
    assert "[new](91_two/new.csv)" in page.read_text() and "old.csv" not in page.read_text()
    assert sorted(path.name for path in folder.rglob("*.csv")) == ["first.csv", "new.csv"]
    assert figures("--force", "--only", "91") == ["91_two"]
