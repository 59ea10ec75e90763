"""What holds the repository together: pins, the order of imports, style, notebooks."""

import ast
import base64
import dataclasses
import functools
import io
import itertools
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from PIL import Image

import papers
from lib.command import judged
from lib.report.verdicts import verdicts
from tools import pages

ROOT = Path(__file__).resolve().parents[1]
PAPERS = ROOT / "notebooks" / "papers"
LIB = sorted([*(ROOT / "lib").rglob("*.py"), *PAPERS.rglob("*.py")])
TOOLS = sorted((ROOT / "docs" / "tools").glob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# extras of the wheel for its users, whose own pins differ
OF_WHEEL = ("data", "downloads", "images", "topology")

# each imports itself and those before it
ORDER = ("below all", "data", "core", "topology", "robustness")
ORDER += ("runs", "bench", "report", "papers", "command")
SHIPPED = ("_compiled", "data", "topology", "robustness")  # packages in the wheel, besides the core
BELOW_ALL = ("lib", "lib._boundary")

needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")


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


@functools.cache
def parsed(path):
    return ast.parse(path.read_text())


def nodes(path, kinds):
    return [node for node in ast.walk(parsed(path)) if isinstance(node, kinds)]


# imports


def module_name(path):
    """As lib.data.sets or papers.set; a package has the name of its folder."""
    root = PAPERS.parent if path.is_relative_to(PAPERS) else ROOT
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_name(path): path for path in LIB}


@functools.cache
def imports(path):
    """Names of all modules that a module imports, wherever it does so: in functions, for types."""
    names = set()
    for node in nodes(path, ast.Import | ast.ImportFrom):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            module = node.module or ""
            if node.level > 0:
                package = path.relative_to(ROOT).parts[: -node.level]
                module = ".".join([*package, module]).removesuffix(".")
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                names.add(inner if inner in MODULES else module)
    return names


def ships(path):
    """Whether a module is in the wheel."""
    if path.is_relative_to(PAPERS):
        return False
    folder = path.relative_to(ROOT).parts[1]
    return folder in SHIPPED or (path.parent == ROOT / "lib" and folder != "__main__.py")


def lib_imports(name):
    return {other for other in imports(MODULES[name]) if other.split(".")[0] in ("lib", "papers")}


def rank(module):
    """Where the package of a module stands in the order."""
    if module in BELOW_ALL:
        return ORDER.index("below all")
    if module == "lib.__main__":
        return ORDER.index("command")
    first, *others = module.split(".")
    package = others[0] if first == "lib" else "papers"
    return ORDER.index(package if package in ORDER else "core")


def room(module):
    """The room that a module of papers lies in; None for the list of rooms."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def is_allowed(module, other):
    """Whether a module may import another."""
    if rank(module) != ORDER.index("papers") or rank(other) != ORDER.index("papers"):
        return rank(other) <= rank(module)
    if room(module) is None:
        return True
    parents = f"papers.{room(other)}.experiments"
    names_parents = room(module) != "shared" and f"{other}.".startswith(f"{parents}.")
    return room(other) in ("shared", room(module)) or names_parents


def reachable(name):
    """Modules of `lib` that importing one of them brings along."""
    seen, todo = set(), [name]
    while todo:
        new = lib_imports(todo.pop()) - seen
        seen |= new
        todo += new
    return seen


# pins


def test_every_direct_dependency_is_pinned_in_requirements():
    direct = pins(EXTRAS["companion"] + EXTRAS["test"])
    tree = pins((ROOT / "requirements.txt").read_text().splitlines())
    assert direct.items() <= tree.items()


@pytest.mark.parametrize("name", sorted(EXTRAS.keys() - set(OF_WHEEL)))
def test_every_extra_of_the_repository_is_pinned_exactly(name):
    assert pins(EXTRAS[name])


def test_companion_pins_what_the_wheel_takes_in_ranges():
    ranges = PROJECT["dependencies"] + sum((EXTRAS[name] for name in OF_WHEEL), [])
    names = {canonicalize_name(Requirement(text).name) for text in ranges}
    assert names <= pins(EXTRAS["companion"]).keys()


def test_installed_packages_are_the_pinned_ones():
    desired = pins(EXTRAS["companion"] + EXTRAS["test"])
    assert {name: metadata.version(name).split("+")[0] for name in desired} == desired


def test_conda_environment_installs_the_requirements_and_the_project():
    python, pip, section = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert pip == "pip" and section == {"pip": ["-r requirements.txt", "-e ."]}
    assert python.split("=")[1] in SpecifierSet(PROJECT["requires-python"])


def test_precommit_runs_the_pinned_ruff():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    revisions = [repo["rev"] for repo in repos if repo["repo"].endswith("/ruff-pre-commit")]
    assert revisions == ["v" + pins(EXTRAS["test"])["ruff"]]


def test_modules_import_only_declared_packages():
    texts = PROJECT["dependencies"] + sum(EXTRAS.values(), [])
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    distributions = metadata.packages_distributions()
    for path in [*LIB, *TOOLS]:
        ours = {"lib", "papers", "tools"} if path in TOOLS else {"lib", "papers"}
        outside = {n.split(".")[0] for n in imports(path)} - sys.stdlib_module_names - ours
        packages = {n: {canonicalize_name(d) for d in distributions.get(n, [n])} for n in outside}
        undeclared = {name for name, found in packages.items() if not found & declared}
        assert undeclared == set(), path


# the library


def test_walk_of_the_library_is_not_empty():
    assert len(LIB) > 50 and len(NOTEBOOKS) > 10
    assert {"lib", "lib.train", "lib.data.sets", "papers.set.claims"} <= MODULES.keys()


@needs_git
def test_lib_is_tracked_by_git():
    assert set(LIB) <= tracked()


@needs_git
def test_no_tracked_text_names_a_path_of_a_machine():
    place = re.compile(rf"{re.escape(str(ROOT))}\b|(?<![\w./~])/(home|root|Users|work|mnt)/\w")
    texts = {p: p.read_bytes() for p in tracked() if p.is_file()}
    decoded = {p: t.decode(errors="replace") for p, t in texts.items() if b"\0" not in t}
    assert {str(p): m[0] for p, t in decoded.items() if (m := place.search(t))} == {}


@needs_git
def test_a_table_of_a_page_ends_before_the_next_paragraph():
    for page in (path for path in tracked() if path.suffix == ".md" and path.is_file()):
        lines = page.read_text(encoding="utf-8").splitlines()
        for row, below in itertools.pairwise(lines):
            assert not row.startswith("|") or below.startswith(("|", "<!--")) or not below, below


def test_findings_explain_themselves_and_need_nothing_of_ours():
    scripts = sorted((ROOT / "findings").glob("*.sh"))
    page = (ROOT / "findings" / "README.md").read_text()
    assert scripts
    for script in scripts:
        first, *lines = script.read_text().splitlines()
        said = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
        assert first == "#!/usr/bin/env bash" and len(said) >= 10, script
        assert os.access(script, os.X_OK) and f"]({script.name})" in page, script
        ours = re.compile(r"sparse_adaptive|(from|import) (lib|papers)\b")
        assert not ours.search(script.read_text()), script


def test_every_package_has_its_place_in_the_order():
    packages = {path.parent.name for path in (ROOT / "lib").glob("*/__init__.py")}
    assert packages == set(ORDER) - {"below all", "core", "papers"} | {"_compiled"}


def test_imports_lead_to_modules_in_front():
    for name in MODULES:
        assert lib_imports(name) <= MODULES.keys(), name
        assert {o for o in lib_imports(name) if not is_allowed(name, o)} == set(), name


def test_what_ships_names_lib_relatively_and_nothing_else_does():
    """The wheel installs it under another name."""
    for path in LIB:
        for node in nodes(path, ast.Import | ast.ImportFrom):
            named = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                named = [node.module or ""]
            relative = getattr(node, "level", 0) > 0
            of_lib = relative or any(name.split(".")[0] in ("lib", "papers") for name in named)
            assert not of_lib or relative == ships(path), f"{path}, line {node.lineno}"


def test_wheel_holds_what_the_order_of_imports_allows():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    included = {f"/lib/{name}" for name in ("*.py", *SHIPPED)}
    assert set(wheel["targets"]["wheel"]["include"]) == included
    for name in MODULES:
        if ships(MODULES[name]):
            assert {o for o in lib_imports(name) if not ships(MODULES[o])} == set(), name


def test_imports_have_no_cycle():
    assert [name for name in MODULES if name in reachable(name)] == []


def test_papers_are_imported_by_the_command_line_alone():
    for name in MODULES:
        papers = {other for other in lib_imports(name) if other.startswith("papers")}
        assert not papers or name.startswith(("papers", "lib.command")), name


@pytest.mark.parametrize(
    ("module", "other", "allowed"),
    [
        ("lib.kernels", "lib._compiled.launch", True),
        ("lib.data.sets", "lib.kernels", False),
        ("lib._boundary", "lib.data", False),
        ("lib.report.tables", "papers", False),
        ("lib.command.cli", "papers", True),
        ("papers", "papers.set", True),
        ("papers.set.links", "papers.shared.trained", True),
        ("papers.set.links", "papers", False),
        ("papers.set.links", "papers.pruning.experiments.mlp", True),
        ("papers.set.links", "papers.pruning.experiments_of_others", False),
        ("papers.set.links", "papers.pruning.claims", False),
        ("papers.shared.trained", "papers.set.experiments", False),
    ],
)
def test_order_of_imports(module, other, allowed):
    assert is_allowed(module, other) == allowed


# style


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


def outputs(path):
    return [output for cell in code_cells(path) for output in cell.outputs]


def test_notebooks_are_valid_and_were_run_in_order_by_python3_and_without_errors():
    for path in NOTEBOOKS:
        nbformat.validate(read(path))
        assert read(path).metadata.kernelspec.name == "python3", path.name
        counts = [cell.execution_count for cell in code_cells(path)]
        assert counts == list(range(1, len(counts) + 1)), path.name
        assert [o.ename for o in outputs(path) if o.output_type == "error"] == [], path.name


def test_notebooks_have_one_parameters_cell_of_literals():
    for path in NOTEBOOKS:
        (cell,) = tagged(path, "parameters")
        values = {s.targets[0].id: ast.literal_eval(s.value) for s in ast.parse(cell.source).body}
        # the quickstart trains whenever it is run, and draws where git ignores it
        default = "quick" if path.stem == "quickstart" else "paper"
        assert values.get("profile", default) == default, path.name
        assert not values.get("retrain", False) and len(values) <= 7, path.name


def test_notebooks_are_small_files_and_hide_little_output_from_comparison():
    for path in NOTEBOOKS:
        assert len(tagged(path, "nbval-ignore-output")) <= 3, path.name
        assert path.stat().st_size <= 2 * 2**20, path.name
    assert sum(path.stat().st_size for path in NOTEBOOKS) <= 25 * 2**20


@pytest.mark.parametrize(
    ("only", "names"), [("13", ["13_set_rbm"]), ("00 quick", ["00_overview", "quickstart"])]
)
def test_make_notebooks_stores_those_that_are_asked_for(only, names):
    words = ["make", "-n", "-s", "-C", str(ROOT), "notebooks", f"ONLY={only}"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    [line] = [line for line in said.splitlines() if "transport_encryption" in line]
    assert re.findall(r"notebooks/(\w+).ipynb", line) == names


def test_no_notebook_has_an_output_widget():
    """What executes a notebook answers one while it waits for the kernel, and may wait for ever:
    https://github.com/jupyter/nbclient/issues/312.
    """
    for path in NOTEBOOKS:
        assert '"OutputModel"' not in path.read_text(encoding="utf-8"), path.stem


def test_notebooks_store_pictures_in_true_colours():
    for path in NOTEBOOKS:
        for output in outputs(path):
            if "image/png" in output.get("data", {}):
                picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
                assert picture.mode == "RGB", path.name


@pytest.mark.parametrize("page", pages.PAGES)
@pytest.mark.ci
def test_page_shows_what_the_records_say(page):
    text = (ROOT / page).read_text()
    assert pages.renewed(text) == text and "<!-- begin" in text


def test_verdicts_that_come_with_a_clone_are_not_judged_anew(monkeypatch, tmp_path):
    """Run pages.update() after any change of the library, a table or a record."""
    monkeypatch.setattr(papers, "STORE", dataclasses.replace(papers.STORE, runs=tmp_path))
    monkeypatch.delattr(papers, "verdicts")
    assert len(judged.verdicts("paper")) == len(papers.PUBLISHED)


@pytest.mark.ci
def test_verdicts_that_come_with_a_clone_are_those_on_its_records():
    table = verdicts(papers.CLAIMS, papers.STORE.shipped.of, papers.PUBLISHED, "paper")
    shown = pd.DataFrame(judged.shipped()).astype(table.dtypes)
    pd.testing.assert_frame_equal(shown, table)
