"""What holds the repository together: pins, layers of imports, size, sources, notebooks."""

import ast
import functools
import io
import re
import statistics
import subprocess
import sys
import tokenize
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lib import notebooks as books

ROOT = Path(__file__).resolve().parents[1]
LIB = sorted((ROOT / "lib").glob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

LEVELS = {
    "__init__": 0, "names": 0, "support": 0, "intervals": 0,
    "kernels": 1, "activations": 1, "data": 1, "augment": 1,
    "layers": 2, "evolution": 2, "link_prediction": 2,
    "models": 3, "regularizers": 3, "local_learning": 3,
    "train": 4, "perturb": 4, "attacks": 4, "pruning": 4, "topology": 4,
    "power_law": 4,
    "structure": 4,
    "plotting": 4,
    "config": 5, "methods": 5, "tuning": 5, "experiments": 5, "robustness": 5, "records": 5,
    "networks": 5, "network_plots": 5,
    "executors": 5, "claims": 5, "tables": 5, "bench": 5,
    "notebooks": 6, "__main__": 6,
}  # fmt: skip
SOURCED = ("support", "kernels", "activations", "evolution", "perturb", "attacks", "local_learning")
SOURCED += ("power_law", "regularizers", "pruning", "topology", "augment", "link_prediction")
SOURCED += ("structure",)
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
LAYOUT |= {tokenize.ENDMARKER}

needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
each_module = pytest.mark.parametrize("path", LIB, ids=lambda path: path.stem)
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def pins(lines):
    """{canonical name: version} of requirements that are all pinned exactly."""
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert [str(r) for r in requirements if not re.fullmatch(r"==[^*,]+", str(r.specifier))] == []
    return {canonicalize_name(r.name): str(r.specifier)[2:] for r in requirements}


def git(*arguments):
    command = ["git", "-c", "safe.directory=*", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def tracked():
    return {ROOT / name for name in git("ls-files", "-z").split("\0") if name}


def code_lines(path):
    """Number of lines of a module that are not docstring, comment or blank."""
    source = path.read_text()
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    documented = [n for n in ast.walk(ast.parse(source)) if isinstance(n, kinds)]
    docstrings = [n.body[0] for n in documented if ast.get_docstring(n, clean=False) is not None]
    prose = {line for d in docstrings for line in range(d.lineno, d.end_lineno + 1)}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    spans = [range(t.start[0], t.end[0] + 1) for t in tokens if t.type not in LAYOUT]
    return len({line for span in spans for line in span} - prose)


@functools.cache
def imports(path):
    """Names a module imports when it runs, wherever it does so: `lib` modules as `lib.name`."""
    names, nodes = set(), list(ast.walk(ast.parse(path.read_text())))
    guards = [n for n in nodes if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    for node in set(nodes) - {n for guard in guards for part in guard.body for n in ast.walk(part)}:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = ".".join(filter(None, ["lib" if node.level else "", node.module]))
            names |= {f"lib.{a.name}" for a in node.names} if source == "lib" else {source}
    return names


def lib_imports(name):
    modules = {n.split(".")[1] for n in imports(ROOT / "lib" / f"{name}.py") if n[:4] == "lib."}
    return modules & {path.stem for path in LIB}


def reachable(name):
    """Modules of `lib` that importing one of them brings along."""
    seen, todo = set(), [name]
    while todo:
        found = lib_imports(todo.pop()) - seen
        seen |= found
        todo += found
    return seen


# pins


def test_every_direct_dependency_is_pinned_in_requirements():
    direct = pins(PROJECT["dependencies"] + EXTRAS["test"])
    tree = pins((ROOT / "requirements.txt").read_text().splitlines())
    assert direct.items() <= tree.items()


@pytest.mark.parametrize("name", EXTRAS)
def test_every_extra_is_pinned_exactly(name):
    assert pins(EXTRAS[name])


def test_installed_packages_are_the_pinned_ones():
    desired = pins(PROJECT["dependencies"] + EXTRAS["test"])
    assert {name: metadata.version(name).split("+")[0] for name in desired} == desired


def test_conda_environment_installs_the_requirements_and_the_project():
    python, pip, section = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert pip == "pip" and section == {"pip": ["-r requirements.txt", "-e ."]}
    assert python.split("=")[1] in SpecifierSet(PROJECT["requires-python"])


def test_precommit_runs_the_pinned_ruff():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    revisions = [repo["rev"] for repo in repos if repo["repo"].endswith("/ruff-pre-commit")]
    assert revisions == ["v" + pins(EXTRAS["test"])["ruff"]]


@each_module
def test_module_imports_only_declared_packages(path):
    declared = pins(PROJECT["dependencies"] + sum(EXTRAS.values(), []))
    distributions = metadata.packages_distributions()
    outside = {n.split(".")[0] for n in imports(path)} - sys.stdlib_module_names - {"lib"}
    packages = {n: {canonicalize_name(d) for d in distributions.get(n, [n])} for n in outside}
    assert {name for name, found in packages.items() if not found & declared.keys()} == set()


# the library


@needs_git
def test_lib_is_tracked_by_git():
    assert set(LIB) and set(LIB) <= tracked()


@needs_git
def test_no_tracked_text_names_a_path_of_a_machine():
    place = re.compile(rf"{re.escape(str(ROOT))}\b|(?<![\w./~])/(home|root|Users|work|mnt)/\w")
    texts = {p: p.read_bytes() for p in tracked() if p.is_file()}
    decoded = {p: t.decode(errors="replace") for p, t in texts.items() if b"\0" not in t}
    assert {str(p): m[0] for p, t in decoded.items() if (m := place.search(t))} == {}


@each_module
def test_imports_point_downwards_only(path):
    higher = {n for n in lib_imports(path.stem) if LEVELS[n] > LEVELS[path.stem]}
    assert higher == set()


@each_module
def test_imports_have_no_cycle(path):
    assert path.stem not in reachable(path.stem)


@each_module
def test_module_has_at_most_350_code_lines(path):
    assert code_lines(path) <= 350


@pytest.mark.parametrize(("levels", "bound"), [(range(5), 3000), (range(5, 7), 2500)])
def test_library_and_what_runs_the_experiments_are_thin(levels, bound):
    assert sum(code_lines(path) for path in LIB if LEVELS[path.stem] in levels) <= bound


def test_tests_have_six_lines_for_ten_of_lib():
    assert sum(map(code_lines, (ROOT / "tests").glob("*.py"))) >= 0.6 * sum(map(code_lines, LIB))


@pytest.mark.parametrize("name", sorted({path.stem for path in LIB} & set(SOURCED)))
def test_public_names_state_their_source(name):
    body = ast.parse((ROOT / "lib" / f"{name}.py").read_text()).body
    public = [n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name[0] != "_"]
    assert [n.name for n in public if "Source:" not in (ast.get_docstring(n) or "")] == []


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_is_content(arguments):
    command = [sys.executable, "-m", "ruff", *arguments, "--output-format=concise", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# notebooks


@functools.cache
def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tagged(path, tag):
    return [cell for cell in code_cells(path) if tag in cell.metadata.get("tags", [])]


def lengths(path):
    """Code lines of each code cell, without comments and blanks."""
    cells = [[line.strip() for line in cell.source.splitlines()] for cell in code_cells(path)]
    return [sum(bool(line) and line[0] != "#" for line in lines) for lines in cells]


@each_notebook
def test_notebook_is_valid_and_names_the_kernel_python3(path):
    nbformat.validate(read(path))
    assert read(path).metadata.kernelspec.name == "python3"


@each_notebook
def test_notebook_was_run_in_order_and_without_errors(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))
    assert [o.ename for c in code_cells(path) for o in c.outputs if o.output_type == "error"] == []


@each_notebook
def test_notebook_has_one_parameters_cell_of_literals(path):
    (cell,) = tagged(path, "parameters")
    parameters = {s.targets[0].id: ast.literal_eval(s.value) for s in ast.parse(cell.source).body}
    assert parameters.get("profile", "paper") == "paper" and not parameters.get("retrain", False)
    assert len(parameters) <= 7


@each_notebook
def test_notebook_is_short(path):
    assert len(read(path).cells) <= 30
    assert sum(lengths(path)) <= 150 and max(lengths(path)) <= 25
    assert statistics.median(lengths(path)) <= 6
    assert sum(cell.source.count("def ") for cell in code_cells(path)) <= 1


@each_notebook
def test_notebook_hides_little_output_from_comparison(path):
    assert len(tagged(path, "nbval-ignore-output")) <= 3


@each_notebook
def test_notebook_is_a_small_file(path):
    assert path.stat().st_size <= 400 * 1024


@pytest.mark.parametrize("name", ["accuracies", "verdicts"])
def test_readme_shows_what_the_records_say(name):
    assert books.readme_tables()[name] in (ROOT / "README.md").read_text()
