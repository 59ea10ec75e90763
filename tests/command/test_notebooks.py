"""Every notebook: executed by papermill in smoke, and its stored outputs compared by nbval."""

import contextlib
import errno
import os
import re
import sys
import textwrap

import nbformat
import pandas as pd
import papermill
import pytest
from nbclient import NotebookClient

import papers
from lib import _boundary
from lib.command import forked, fresh, notebooks
from tests import kernels
from tests.checkouts import write_notebook

PATHS = notebooks.find()
TRAINING = notebooks.TRAINING
SHIPPED = _boundary.ROOT / "figures"
WITHOUT = "cacheprovider faulthandler threadexception unraisableexception"
COMPARING = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_ADDOPTS": "",
    "PYTHONPATH": str(_boundary.ROOT),  # a kernel of nbval starts beside its notebook
}
NOTING = """
def note_what_is_read():
    from lib.runs.records import Store

    stored = Store.stored

    def noted(self, run, **how):
        with open({!r}, "a") as file:
            print(run.experiment, file=file)
        return stored(self, run, **how)

    Store.stored = noted

note_what_is_read()
del note_what_is_read
"""
UNDRAWN = """
def draw_nothing():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    blank = Image.new("RGB", (1, 1))
    Figure.savefig = lambda self, file, **how: blank.save(file, "png")
    for kind, method in (
        (FigureCanvasAgg, "draw"),
        (Figure, "draw"),  # which seaborn calls where the canvas drew nothing
        (Figure, "draw_without_rendering"),
        (Figure, "tight_layout"),
    ):
        setattr(kind, method, lambda self, *where, **how: None)

draw_nothing()
del draw_nothing
"""
TIMED_ONCE = """
from lib.bench import timing

timing.OTHERS = float("inf")  # of turns beside other tests none is quiet
del timing
"""
SMALLER = {  # these train in every profile, and at full length in the test of stored outputs
    "quickstart": {"epochs": 2},
    "03_your_own_network": {"n_seeds": 2, "n_steps": 30},
}
each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
each_or_ci = pytest.mark.parametrize(  # those that train take a minute each
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.ci] * (path.stem in TRAINING))
        for path in PATHS
    ],
)


@pytest.fixture(scope="module")
def folders(shared_folder):
    """Runs and figures of the smoke profile go to a folder of the tests' own, which the processes
    of pytest-xdist share: what one notebook has trained, another loads.
    """
    root = shared_folder / "smoke"
    patch = pytest.MonkeyPatch()
    patch.setenv("SPARSE_RUNS_DIR", str(root / "runs"))
    patch.setenv("SPARSE_FIGURES_DIR", str(root / "figures"))
    patch.setenv("OMP_NUM_THREADS", "1")
    patch.setattr(_boundary, "FIGURES", root / "figures")
    yield root
    patch.undo()


def beginning(tmp_path, code):
    """Kernels that run this code before the first cell."""
    begin = tmp_path / "begin.py"
    begin.write_text(code)
    return kernels.forked(f"--IPKernelApp.exec_files={begin}")


@pytest.mark.ci
@each
def test_notebook_runs_in_smoke(path, folders, tmp_path):
    as_anywhere = path.stem == "quickstart"  # the others' kernels begin in less time
    with contextlib.nullcontext() if as_anywhere else beginning(tmp_path, TIMED_ONCE):
        executed = nbformat.read(notebooks.execute(path, "smoke", SMALLER.get(path.stem)), 4)
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    assert not [o for cell in cells for o in cell.outputs if o.get("name") == "stderr"]
    figures = {f.stem for f in (folders / "figures" / "smoke" / path.stem).glob("*.png")}
    tables = {f.stem for f in (folders / "figures" / "smoke" / path.stem).glob("*.csv")}
    assert figures <= tables and tables


class Failures(list):
    """What a session of pytest within this one says of its failures."""

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.append(report.longreprtext)

    pytest_collectreport = pytest_runtest_logreport


@each_or_ci
def test_stored_outputs_are_those_of_the_records(path, folders, tmp_path, monkeypatch):
    """So are published tables, and the records are those of the experiments that the notebook is
    known to read. Pictures are not compared, so none is drawn here; the test above draws those of
    the profile smoke.
    """
    for name, value in COMPARING.items():
        monkeypatch.setenv(name, value)
    words = "-p nbval.plugin --nbval --nbval-current-env -s -W ignore".split()
    words += [word for name in WITHOUT.split() for word in ("-p", f"no:{name}")]
    read = tmp_path / "read"
    read.touch()
    failures = Failures()
    with beginning(tmp_path, NOTING.format(str(read)) + UNDRAWN + TIMED_ONCE):
        status = pytest.main([*words, f"--rootdir={_boundary.ROOT}", str(path)], [failures])
    if status == pytest.ExitCode.INTERRUPTED and not failures:
        raise KeyboardInterrupt
    assert (status, failures) == (pytest.ExitCode.OK, [])
    found = set(read.read_text().split())
    assert found <= fresh.experiments_of(path)
    assert found or not notebooks.needed(path)
    if not notebooks.needed(path):
        return  # what a notebook trains itself differs from machine to machine
    stored, made = (root / "paper" / path.stem for root in (SHIPPED, folders / "figures"))
    tables = {table.name: pd.read_csv(table, low_memory=False) for table in stored.glob("*.csv")}
    assert {table.name for table in made.glob("*.csv")} == set(tables)
    for name, table in tables.items():  # the text of a notebook is held to these, see tests/prose
        again = pd.read_csv(made / name, low_memory=False)
        pd.testing.assert_frame_equal(again, table, rtol=1e-4, atol=1e-5, obj=name)


def test_stored_outputs_come_from_a_commit():
    for path in PATHS:
        outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
        texts = [o["data"]["text/plain"] for o in outputs if "text/plain" in o.get("data", {})]
        (machine,) = (text for text in texts if "code_sha256" in text)
        assert re.search(r"^dirty +False$", machine, re.MULTILINE), path.stem


def test_stored_cells_have_no_times():
    """They would differ whenever a notebook is executed; `make notebooks` leaves them out."""
    for path in PATHS:
        cells = nbformat.read(path, 4).cells
        assert not [cell for cell in cells if "execution" in cell.metadata], path.stem


def test_notebooks_name_known_experiments_and_have_a_title():
    for path in PATHS:
        assert set(notebooks.needed(path)) <= set(papers.EXPERIMENTS), path.stem
        assert notebooks.title(path)[0].isupper(), path.stem


def test_undeclared_parameter_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"parameter of 10_set_mlp 'sead': did you mean 'seed'"):
        notebooks.check_parameters(PATHS[0].with_name("10_set_mlp.ipynb"), {"sead": 1})


def test_notebooks_are_found_by_number_and_by_name():
    stems = [path.stem for path in notebooks.find(["10", "00_overview"])]
    assert stems == ["00_overview", "10_set_mlp"]
    assert [path.stem for path in PATHS[:3]] == [*notebooks.FIRST, "00_overview"]
    with pytest.raises(ValueError, match="unknown notebook '77'"):
        notebooks.find(["77"])


def test_pictures_are_in_the_order_of_the_notebook():
    found = notebooks.pictures(notebooks.find(["10"])[0])
    assert found[0] == "accuracy" and found[-1] == "main_result"


def test_picture_has_the_name_that_it_is_published_under(tmp_path):
    code = 'report.publish(draw(rows, "PGD"), "curves", rows)\nreport.publish(fig, name, rows)'
    write_notebook(tmp_path / "99_one.ipynb", code)
    assert notebooks.pictures(tmp_path / "99_one.ipynb") == ["curves"]


def test_claim_is_found_in_the_notebook_that_judges_it():
    found = notebooks.naming(["R03", "S02", "not a claim"])
    assert {name: path.stem[:2] for name, path in found.items()} == {"R03": "21", "S02": "02"}


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """A folder of figures of the test's own, drawn by forked kernels, which begin at once."""
    monkeypatch.setattr(_boundary, "FIGURES", tmp_path / "figures")
    with kernels.forked():
        yield tmp_path / "figures"


def test_failing_cell_is_named_and_leaves_no_file(tmp_path, figures):
    write_notebook(tmp_path / "99_broken.ipynb", 'raise RuntimeError("out of luck")')
    sentences = notebooks.execute_all([tmp_path / "99_broken.ipynb"], "smoke", 1)
    assert len(sentences) == 1 and "99_broken" in sentences[0] and "out of luck" in sentences[0]
    assert not list(figures.rglob("*.ipynb"))


@pytest.mark.faults("killed at any moment")
def test_kernel_that_ends_is_named_and_spares_the_other_notebooks(tmp_path, figures, capsys):
    write_notebook(tmp_path / "98_ends.ipynb", "import os; os._exit(9)")
    write_notebook(tmp_path / "99_fine.ipynb", "1 + 1")
    books = [tmp_path / "98_ends.ipynb", tmp_path / "99_fine.ipynb"]
    (sentence,) = notebooks.execute_all(books, "smoke", 1)
    assert sentence.startswith("notebook 98_ends: ") and "died" in sentence
    rendered = [path.name for path in figures.rglob("*") if path.is_file()]
    assert sorted(rendered) == [fresh.STAMP, "99_fine.ipynb"]
    assert "99_fine  " in capsys.readouterr().err


ENDING = {
    "sys.exit(0)": ["import sys; sys.exit(0)", "1 + 1"],
    "os._exit(0) at last": ["import os; os._exit(0)"],
}


@pytest.mark.parametrize("cells", ENDING.values(), ids=ENDING)
def test_notebook_that_ends_early_fails_and_keeps_its_figures(tmp_path, figures, cells):
    figure = figures / "smoke" / "99_ends" / "curve.png"
    figure.parent.mkdir(parents=True)
    figure.touch()
    write_notebook(tmp_path / "99_ends.ipynb", *cells)
    with pytest.raises(notebooks.NotebookFailed, match=r"99_ends(, cell 3: SystemExit|: .* died)"):
        notebooks.execute(tmp_path / "99_ends.ipynb", "smoke")
    assert [*figure.parent.iterdir()] == [figure]


def test_cell_that_takes_too_long_is_given_up(tmp_path, figures, monkeypatch):
    monkeypatch.setattr(notebooks, "CELL_SECONDS", 1)
    write_notebook(tmp_path / "99_long.ipynb", "import time; time.sleep(60)")
    with pytest.raises(notebooks.NotebookFailed, match="notebook 99_long: .*timed out"):
        notebooks.execute(tmp_path / "99_long.ipynb", "smoke")


@pytest.mark.faults("killed at any moment")
def test_what_a_kernel_was_writing_when_it_ended_is_removed(tmp_path, figures):
    part = figures / "smoke" / "99_ends" / "curve.svg.part"
    code = f"import os, pathlib; pathlib.Path({str(part)!r}).touch(); os._exit(9)"
    write_notebook(tmp_path / "99_ends.ipynb", code)
    with pytest.raises(notebooks.NotebookFailed):
        notebooks.execute(tmp_path / "99_ends.ipynb", "smoke")
    assert list(part.parent.iterdir()) == []


def test_figures_folder_is_tracked_for_the_paper_profile_only():
    assert _boundary.FIGURES.name in {"figures"} or "SPARSE_FIGURES_DIR" in os.environ
    ignored = (_boundary.ROOT / ".gitignore").read_text().split()
    assert {"figures/*/", "!figures/paper/"} <= set(ignored)


def test_kernel_that_cannot_be_started_is_not_a_place_that_is_read_only(
    tmp_path, figures, monkeypatch
):
    def execute(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "/opt/python")

    monkeypatch.setattr(papermill, "execute_notebook", execute)
    write_notebook(tmp_path / "99_fine.ipynb")
    with pytest.raises(
        notebooks.NotebookFailed, match="notebook 99_fine: .*Permission denied: '/opt/python"
    ):
        notebooks.execute(tmp_path / "99_fine.ipynb", "smoke")


@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")
@pytest.mark.ci
def test_forked_kernels_give_what_started_ones_give(tmp_path, monkeypatch):
    code = """
        import os, pandas, torch, matplotlib
        from matplotlib import pyplot
        print(torch.get_num_threads(), os.getcwd(), os.environ["OMP_NUM_THREADS"])
        print(matplotlib.get_backend(), pandas.get_option("display.max_columns"), __name__)
        pyplot.plot([1, 2]);
    """
    books = [tmp_path / "98_one.ipynb", tmp_path / "99_other.ipynb"]
    for book in books:
        write_notebook(book, textwrap.dedent(code))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shown = []
    for how in ("forked", "started"):
        monkeypatch.setattr(_boundary, "FIGURES", tmp_path / how)
        monkeypatch.setattr(forked, "is_possible", lambda how=how: how == "forked")
        assert notebooks.execute_all(books, "smoke", 2) == []
        cells = [nbformat.read(path, 4).cells for path in sorted((tmp_path / how).rglob("*.ipynb"))]
        shown.append([[cell.get("outputs") for cell in cells_of] for cells_of in cells])
    assert shown[0] == shown[1] and len(shown[0]) == 2


def test_kernels_are_forked_from_one_thread_alone(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert not forked.is_possible()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert forked.is_possible()


def test_kernels_are_ended_without_waiting_for_them(monkeypatch, tmp_path):
    given = {}

    def execute(path, output, **options):
        given.update(options)
        output.touch()
        return nbformat.v4.new_notebook()

    monkeypatch.setattr(_boundary, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(papermill, "execute_notebook", execute)
    write_notebook(tmp_path / "99_fine.ipynb")
    assert notebooks.execute(tmp_path / "99_fine.ipynb", "smoke").is_file()
    traits = NotebookClient.class_traits()
    assert given["shutdown_kernel"] in traits["shutdown_kernel"].values
    assert given["shutdown_kernel"] != NotebookClient.shutdown_kernel.default_value
