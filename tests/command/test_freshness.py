"""Notebooks are rendered again when something they come from has changed, and kept otherwise."""

import json
import re
import subprocess
import sys
import textwrap

import pytest

from lib import papers, paths
from lib.command import freshness, notebooks, sources
from tests.checkouts import ROOT, check_out, variables, write_notebook

# ------------------------------------------------------------------------- what a notebook reaches

TREE = {
    "__init__": "",
    "low": '"""Nothing below."""',
    "middle": "def late():\n    from lib import low\n",
    "other": "import lib.low as below\n",
    "room/__init__": "from lib.room.inner import thing\n",
    "room/inner": "from lib.middle import late\nthing = 1\n",
    "room/beside": "",
    "one": "from lib import two\n",
    "two": "from lib import one\n",
}


@pytest.fixture
def tree(tmp_path):
    """A small library."""
    for name, text in TREE.items():
        path = tmp_path / "lib" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("code", "desired"),
    [
        ("import numpy", ""),
        ("from lib import low", "lib lib.low"),
        ("import lib.middle", "lib lib.low lib.middle"),
        ("def f():\n    from lib.other import below", "lib lib.low lib.other"),
        ("from lib.room import thing", "lib lib.low lib.middle lib.room lib.room.inner"),
        ("from lib.room import beside", "lib lib.low lib.middle lib.room lib.room.beside"),
        ("from lib import one", "lib lib.one lib.two"),
        ("%matplotlib inline\n!ls\nfrom lib import low", "lib lib.low"),
        ("import library", ""),
        ("files = !ls\nfrom lib import low", "lib lib.low"),
        ("x = (1\n     % 3)\nfrom lib import low", "lib lib.low"),
    ],
)
def test_modules_that_code_reaches(code, desired, tree):
    found = sources.modules(code, tree)
    rooms = {"lib.room", "lib.room.inner"} if "beside" in code else set()
    assert set(found) == {*desired.split(), *rooms}


@pytest.mark.parametrize("code", ["x = (", "%%bash\nif true; then echo; fi\n)", "from lib import"])
def test_code_that_cannot_be_read_reaches_everything(code, tree):
    names = {name.replace("/", ".").removesuffix(".__init__") for name in TREE} - {"__init__"}
    assert set(sources.modules(code, tree)) == {"lib", *(f"lib.{name}" for name in names)}
    assert sources.imports(code, "lib.low")


def code_of(name):
    (path,) = notebooks.find([name])
    return notebooks._code(path)


IMPORTED = """
import json, sys
exec(sys.argv[1])
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "lib"]))
"""


def test_all_that_a_notebook_imports_when_it_runs_is_known():
    """Against the modules that Python itself has loaded."""
    code = code_of("01_sparse_kernels")
    lines = [line for line in code.splitlines() if line.startswith(("from lib", "import "))]
    words = [sys.executable, "-c", IMPORTED, "\n".join(lines)]
    done = subprocess.run(words, cwd=ROOT, env=variables(), capture_output=True, text=True)
    loaded, known = set(json.loads(done.stdout)), sources.modules(code, ROOT)
    assert len(loaded) > 20 and loaded - known.keys() == set()


def state(name, profile="paper"):
    (path,) = notebooks.find([name])
    return freshness.state(notebooks._read(path), profile)


def test_notebook_depends_on_the_rooms_of_what_it_shows():
    modules = state("50_splash_activations")["modules"]
    assert {"lib.papers", "lib.papers.splash.claims", "lib.train"} <= modules.keys()
    assert "lib.command.cli" not in modules and "lib.papers.set.rbm.ais" not in modules


def test_notebook_without_papers_depends_on_none():
    found = state("quickstart")
    assert found["records"] == {} and "lib.papers" not in found["modules"]


def test_overview_depends_on_every_room_and_experiment():
    found = state("00_overview")
    assert found["records"].keys() == papers.EXPERIMENTS.keys()
    assert {f"lib.papers.{room}" for room in papers.ROOMS} <= found["modules"].keys()
    assert "claims.csv" in found["tables"] and "10_set_mlp.ipynb" in found["tables"]


def test_measured_times_are_tables_of_the_notebooks_that_show_them():
    assert "bench.json" in state("02_speed_and_scale")["tables"]
    assert "bench.json" not in state("quickstart")["tables"]


def test_parents_of_an_experiment_are_among_the_records():
    assert "adaptive_topology" in state("21_link_removal")["records"]


@pytest.mark.parametrize("path", notebooks.find(), ids=lambda path: path.stem)
def test_every_experiment_that_a_notebook_obtains_stands_in_its_metadata(path):
    """So that ``figures`` runs what is missing side by side, before the kernel would."""
    obtained = re.findall(r'papers\.obtain\(\s*"(\w+)", profile', notebooks._code(path))
    assert set(obtained) <= set(notebooks.needed(path))


# --------------------------------------------------------------------------------- stamps


@pytest.fixture
def stamped(tmp_path):
    """A folder with a figure and the stamp of its rendering."""
    (tmp_path / "curve.csv").write_text("x\n1\n")
    now = {"profile": "smoke", "modules": {"lib.a": "1", "lib.b": "2"}, "records": {"toy": "3"}}
    freshness.stamp(tmp_path, now)
    return tmp_path, now


def test_nothing_has_changed_since_the_stamp(stamped):
    folder, now = stamped
    assert freshness.reason(folder, now) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"profile": "quick"}, "profile changed"),
        ({"modules": {"lib.a": "1", "lib.b": "9"}}, "modules changed: lib.b"),
        ({"modules": {"lib.a": "1"}}, "modules changed: lib.b"),
        ({"modules": {"lib.a": "1", "lib.b": "2", "lib.c": "3"}}, "modules changed: lib.c"),
        ({"records": {"toy": "4"}}, "records changed: toy"),
        ({"tables": {"claims.csv": "5"}}, "tables changed"),
    ],
)
def test_what_has_changed_is_named(change, reason, stamped):
    folder, now = stamped
    assert freshness.reason(folder, {**now, **change}) == reason


@pytest.mark.parametrize("damage", ["[1]", "", "{", '{"from": 3, "files": {}}', "null"])
def test_stamp_that_cannot_be_read_is_none(damage, stamped):
    folder, now = stamped
    (folder / freshness.STAMP).write_text(damage)
    assert freshness.reason(folder, now) != ""


def test_figure_that_was_changed_or_lost_is_named(stamped):
    folder, now = stamped
    (folder / "curve.csv").write_text("x\n2\n")
    assert freshness.reason(folder, now) == "figures changed: curve.csv"
    (folder / "curve.csv").unlink()
    assert freshness.reason(folder, now) == "figures changed: curve.csv"


def test_stamps_are_not_tracked():
    assert f"figures/paper/**/{freshness.STAMP}" in (paths.ROOT / ".gitignore").read_text()


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
        begun = time.perf_counter()
        assert cli.main(["figures", "--profile", "smoke", *words]) == 0
        page = Path("figures/smoke/README.md").read_text()
        said[step] = {"rendered": sorted(rendered), "page": page}
        said[step]["seconds"] = time.perf_counter() - begun

    def replace(path, old, new):
        text = Path(path).read_text()
        assert old in text
        Path(path).write_text(text.replace(old, new, 1))

    one, two = "notebooks/90_one.ipynb", "notebooks/91_two.ipynb"
    figures("first", "--only", "91")
    figures("the other")
    figures("again")
    replace("lib/names.py", '\"\"\"', '\"\"\"Another word. ')
    figures("a docstring of names")
    replace("lib/files.py", '\"\"\"', '\"\"\"Another word. ')
    figures("a docstring of files")
    replace("lib/growth.py", '\"\"\"', '\"\"\"Another word. ')
    figures("a docstring of what neither imports")
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
from lib import files, paths
with files.whole(paths.FIGURES / profile / "90_one" / "first.csv") as part:
    part.write_text("x")
"""
TWO = """
from lib import files, names, paths
with files.whole(paths.FIGURES / profile / "91_two" / "old.csv") as part:
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


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("step", "rendered"),
    [
        ("first", ["91_two"]),
        ("the other", ["90_one"]),
        ("again", []),
        ("a docstring of names", ["91_two"]),
        ("a docstring of files", ["90_one", "91_two"]),
        ("a docstring of what neither imports", []),
        ("a title", ["90_one"]),
        ("a lost table", ["90_one"]),
        ("another table", ["91_two"]),
        ("forced", ["91_two"]),
    ],
)
def test_only_what_comes_from_something_that_changed_is_rendered(step, rendered, said):
    assert said[0][step]["rendered"] == rendered


@pytest.mark.notebook
def test_second_call_takes_seconds(said):
    assert said[0]["again"]["seconds"] < 10


@pytest.mark.notebook
def test_page_of_figures_agrees_with_what_was_rendered(said):
    steps, _, tables = said
    assert "## 91_two" in steps["first"]["page"] and "## 90_one" not in steps["first"]["page"]
    assert "## 90_one" in steps["the other"]["page"]
    assert steps["again"]["page"] == steps["the other"]["page"]
    assert "[old](91_two/old.csv)" in steps["again"]["page"]
    assert "[new](91_two/new.csv)" in steps["another table"]["page"]
    assert "old.csv" not in steps["another table"]["page"]  # it is published no more
    assert tables == ["first.csv", "new.csv"]


@pytest.mark.notebook
def test_command_says_what_it_renders_and_why(said):
    _, shown, _ = said
    assert "rendering 0 notebooks into" in shown and "of 2 nothing has changed (--force" in shown
    assert "91_two: modules changed: lib.names" in shown
    assert "90_one: figures changed: first.csv" in shown
