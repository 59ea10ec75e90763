"""Every notebook: executed by papermill in smoke, and its stored outputs compared by nbval."""

import os
import subprocess
import sys

import nbformat
import pytest

from lib import experiments, notebooks, plotting

PATHS = notebooks.find()
each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Runs and figures of the smoke profile go to a folder of the test's own."""
    root = tmp_path_factory.mktemp("smoke")
    patch = pytest.MonkeyPatch()
    patch.setenv("SPARSE_RUNS_DIR", str(root / "runs"))
    patch.setenv("SPARSE_FIGURES_DIR", str(root / "figures"))
    patch.setenv("OMP_NUM_THREADS", "1")
    patch.setattr(notebooks, "FIGURES", root / "figures")
    yield root
    patch.undo()


@pytest.mark.notebook
@each
def test_notebook_runs_in_smoke(path, folders):
    executed = nbformat.read(notebooks.execute(path, "smoke"), 4)
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    assert not [o for cell in cells for o in cell.outputs if o.get("name") == "stderr"]
    figures = {f.stem for f in (folders / "figures" / "smoke" / path.stem).glob("*.png")}
    tables = {f.stem for f in (folders / "figures" / "smoke" / path.stem).glob("*.csv")}
    assert figures <= tables and tables


@pytest.mark.notebook
@each
def test_stored_outputs_are_those_of_the_records(path, folders):
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", str(path)]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-W", "ignore"],
        capture_output=True, text=True, cwd=notebooks.ROOT, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


@each
def test_notebook_names_known_experiments_only(path):
    assert set(notebooks.needed(path)) <= set(experiments.EXPERIMENTS)
    assert notebooks.title(path)[0].isupper()


def test_undeclared_parameter_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"parameter of 10_set_mlp 'sead': did you mean 'seed'"):
        notebooks.check_parameters(PATHS[0].with_name("10_set_mlp.ipynb"), {"sead": 1})


def test_notebooks_are_found_by_number_and_by_name():
    stems = [path.stem for path in notebooks.find(["10", "00_overview"])]
    assert stems == ["00_overview", "10_set_mlp"]
    with pytest.raises(ValueError, match="unknown notebook '77'"):
        notebooks.find(["77"])


def test_failing_cell_is_named_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "FIGURES", tmp_path / "figures")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    book = nbformat.v4.new_notebook(metadata=kernel)
    book.cells = [
        nbformat.v4.new_code_cell('profile = "paper"', metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell('raise RuntimeError("out of luck")'),
    ]
    nbformat.write(book, tmp_path / "99_broken.ipynb")
    sentences = notebooks.execute_all([tmp_path / "99_broken.ipynb"], "smoke", 1, lambda *_: None)
    assert len(sentences) == 1 and "99_broken" in sentences[0] and "out of luck" in sentences[0]
    assert not list((tmp_path / "figures").rglob("*.ipynb"))


def test_figures_folder_is_tracked_for_the_paper_profile_only():
    assert plotting.FIGURES.name in {"figures"} or "SPARSE_FIGURES_DIR" in os.environ
    ignored = (notebooks.ROOT / ".gitignore").read_text().split()
    assert {"figures/*/", "!figures/paper/"} <= set(ignored)
