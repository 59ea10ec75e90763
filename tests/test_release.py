"""A release: one version everywhere, pins that fit each other, a wheel that works by itself."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.checkouts import ROOT, variables
from tests.test_repository import EXTRAS, OF_WHEEL, PROJECT, git, needs_git, pins, tracked

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
ZENODO = json.loads((ROOT / ".zenodo.json").read_text())
HEADINGS = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
HEADING = re.compile(r"(\d+\.\d+\.\d+) \((unreleased|\d{4}-\d\d-\d\d)\)")
TREE = pins((ROOT / "requirements.txt").read_text().splitlines())
INSTALLER = {"setuptools", "pip", "wheel"}  # what pip does not name among what it installed
USE = (ROOT / "tests" / "wheel.py").read_text()
WITHOUT_EXTRAS = """
import numpy as np
import torch
from sparse_adaptive import data, layers, models, sparsify, train
from sparse_adaptive.robustness import attacks

x = np.random.default_rng(0).random((100, 4))
split = data.from_arrays(x, (x[:, 0] > 0.5).astype(int), validation=20)
net = torch.nn.Sequential(torch.nn.Linear(4, 8))
assert sparsify.sparsify_(net, start="new", density=0.5) == ["0"]

open("own.csv", "w").write("length,species\\n1,a\\n2,b\\n")
missing = []
for use in (
    lambda: data.load("digits"),
    lambda: data.from_csv("own.csv", "species"),
    lambda: __import__("sparse_adaptive.topology"),
    lambda: __import__("sparse_adaptive.robustness.perturb"),
    lambda: data.load("mnist"),
):
    try:
        use()
    except (ImportError, data.DataUnavailable) as error:
        missing.append(str(error))
print("\\n".join(missing))
"""


# -------------------------------------------------------------------------------------- version


def test_pins_run_on_the_oldest_python_that_is_promised():
    """Debian 12 has 3.11.2, which pins made with a newer 3.11 may refuse."""
    oldest = PYPROJECT["project"]["requires-python"].removeprefix(">=") + ".0"
    refusing = []
    for name in TREE:
        wanted = metadata.metadata(name).get("Requires-Python")
        if wanted and not SpecifierSet(wanted).contains(oldest):
            refusing.append(f"{name} wants {wanted}")
    assert not refusing


def test_every_release_has_a_heading_and_only_the_newest_may_be_open():
    found = [HEADING.fullmatch(heading) for heading in HEADINGS]
    assert None not in found
    versions = [Version(match[1]) for match in found]
    assert versions == sorted(set(versions), reverse=True)
    assert "unreleased" not in [match[2] for match in found[1:]]


def test_citation_archive_and_folder_without_git_have_the_version_of_the_newest_heading():
    newest = HEADING.fullmatch(HEADINGS[0])[1]
    fallback = PYPROJECT["tool"]["hatch"]["version"]["fallback-version"]
    assert (CITATION["version"], ZENODO["version"], fallback) == (newest, newest, newest)


@needs_git
def test_every_tag_is_that_of_a_release():
    released = {HEADING.fullmatch(heading)[1] for heading in HEADINGS if "unrel" not in heading}
    assert {tag.removeprefix("v") for tag in git("tag").split()} <= released


def test_citation_and_archive_say_the_same():
    assert ZENODO["title"] == CITATION["title"]
    assert ZENODO["license"] == CITATION["license"] == PROJECT["license"]
    assert ZENODO["keywords"] == CITATION["keywords"]
    names = [author["name"] for author in CITATION["authors"]]
    assert [creator["name"] for creator in ZENODO["creators"]] == names


def test_archive_names_every_paper_by_its_doi_or_else_its_preprint():
    papers = CITATION["references"]
    named = [paper.get("doi") or paper["identifiers"][0]["value"] for paper in papers]
    assert [related["identifier"] for related in ZENODO["related_identifiers"]] == named
    kinds = ["arxiv" if name.startswith("arXiv:") else "doi" for name in named]
    assert [related["scheme"] for related in ZENODO["related_identifiers"]] == kinds


# ----------------------------------------------------------------------------------------- pins


def test_what_builds_a_wheel_is_pinned_as_in_the_tests():
    assert pins(PYPROJECT["build-system"]["requires"]).items() <= TREE.items()


def test_pins_fit_each_other():
    """What each package asks for is pinned too, in a version that it takes."""
    for name in TREE:
        for text in metadata.requires(name) or []:
            asked = Requirement(text)
            wanted = asked.marker is None or asked.marker.evaluate({"extra": ""})
            other = canonicalize_name(asked.name)
            if wanted and other not in INSTALLER and "torch" not in name:
                fits = asked.specifier.contains(TREE.get(other, "0"), prereleases=True)
                assert other in TREE and fits, f"{name} asks for {text}"


# ------------------------------------------------------------------------------------ container


def instructions():
    """(word, rest) of each instruction of the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line]


def of(word):
    return [rest for name, rest in instructions() if name == word]


def test_container_starts_from_one_python_that_the_project_takes():
    (base,) = of("FROM")
    name, _, tag = base.partition(":")
    assert name == "python" and re.match(r"\d\.\d+-", tag)
    python = tag.partition("-")[0]
    assert python in SpecifierSet(PROJECT["requires-python"])
    assert f"python={python}" in (ROOT / "environment.yml").read_text()


@needs_git
def test_container_copies_what_is_tracked_and_its_packages_are_the_pins():
    first, everything = (copied.split() for copied in of("COPY"))
    assert first[1:] == ["requirements.txt", "./"] and ROOT / first[1] in tracked()
    assert everything[1:] == [".", "./"]
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv*", "data/raw", "data/runs"} <= set(ignored)
    needed = ("lib", "data/reference", "data/results", "pyproject.toml")
    assert not set(needed) & set(ignored)
    packages, rest = of("RUN")[1:]
    assert "pip install" in packages and packages.endswith("-r requirements.txt")
    assert rest == "make .venv/.stamp"


# ---------------------------------------------------------------------------------------- wheel


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel and a source distribution, built as pip would but with what is installed here."""
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    return folder


def unpacked_source(built, folder):
    (archive,) = built.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder, filter="data")
    (place,) = folder.iterdir()
    return place


def brought(names):
    """Distributions that these bring along, and they themselves, as far as they are needed here."""
    found, todo = set(), list(names)
    while todo:
        name = canonicalize_name(todo.pop())
        if name in found:
            continue
        try:
            asked = map(Requirement, metadata.requires(name) or [])
        except metadata.PackageNotFoundError:  # a part of another build of torch
            continue
        found.add(name)
        todo += [o.name for o in asked if o.marker is None or o.marker.evaluate({"extra": ""})]
    return found


def installed(built, tmp_path, *extras):
    """The Python of an environment with the wheel, and links to the packages that it asks for,
    installed here, and to no other; it is called beside a user's own folder ``lib``.
    """
    words = [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "clean")]
    subprocess.run(words, check=True)
    (place,) = tmp_path.glob("clean/lib/python3.*/site-packages")
    (wheel,) = built.glob("*.whl")
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*words, "--target", str(place), str(wheel)], cwd=tmp_path, check=True)
    (made,) = metadata.distributions(name="sparse-adaptive", path=[str(place)])
    asked = [Requirement(text) for text in made.requires]
    among = [{"extra": extra} for extra in ("", *extras)]
    needed = [o.name for o in asked if o.marker is None or any(map(o.marker.evaluate, among))]
    for name in brought(needed):
        for file in metadata.files(name):
            top = file.parts[0]
            target = place / top
            if top != ".." and not target.exists():
                target.symlink_to(metadata.distribution(name).locate_file(top))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("raise RuntimeError('a folder of the user')\n")
    return tmp_path / "clean" / "bin" / "python"


def run(python, *words, folder):
    # the wheel's loops are compiled for one test: quickly, not well
    environment = variables(PYTHONPATH=None, NUMBA_OPT="0")
    done = subprocess.run(
        [python, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.ci
def test_wheel_sparsifies_trains_saves_loads_and_compiles_beside_a_folder_lib(built, tmp_path):
    python = installed(built, tmp_path, "data", "topology")
    run(python, "-c", USE, folder=tmp_path)
    listed = run(python, "-c", "import sparse_adaptive as s; print(s.__file__)", folder=tmp_path)
    assert listed.startswith(str(tmp_path / "clean"))


@pytest.mark.ci
def test_wheel_without_extras_works_and_names_the_extra_that_is_missing(built, tmp_path):
    python = installed(built, tmp_path)
    said = run(python, "-c", WITHOUT_EXTRAS, folder=tmp_path).splitlines()
    extras = [re.search(r"pip install 'sparse-adaptive\[(\w+)\]'", line)[1] for line in said]
    assert extras == ["data", "data", "topology", "topology", "downloads"]


def test_wheel_asks_for_few_packages_besides_those_of_torch():
    needed = brought(Requirement(text).name for text in PROJECT["dependencies"])
    assert {"torch", "numba", "numpy"} <= needed
    assert needed - brought(["torch"]) == {"llvmlite", "numba", "numpy", "scipy"} - brought(
        ["torch"]
    )


@pytest.mark.parametrize("text", [*PROJECT["dependencies"], *sum(map(EXTRAS.get, OF_WHEEL), [])])
def test_wheel_takes_a_range_of_versions_that_holds_the_pin(text):
    """The lower end is tried by hosted continuous integration, the pin by all tests."""
    asked = Requirement(text)
    assert sorted(one.operator for one in asked.specifier) == ["<", ">="]
    (lowest,) = (one.version for one in asked.specifier if one.operator == ">=")
    pin = TREE[canonicalize_name(asked.name)]
    assert asked.specifier.contains(pin) and Version(lowest) < Version(pin)


@pytest.mark.ci
def test_source_distribution_and_wheel_have_one_version_also_without_git(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    (source,) = built.glob("*.tar.gz")
    version = wheel.name.split("-")[1]
    assert source.name == f"sparse_adaptive-{version}.tar.gz"
    words = ("-m", "hatchling", "version")
    place = unpacked_source(built, tmp_path / "source")
    assert run(sys.executable, *words, folder=place).strip() == version
    bare = tmp_path / "bare"
    shutil.copytree(place, bare, ignore=shutil.ignore_patterns("PKG-INFO"))
    fallback = PYPROJECT["tool"]["hatch"]["version"]["fallback-version"]
    assert run(sys.executable, *words, folder=bare).strip() == fallback


def test_container_is_small_where_it_can_be_and_not_run_by_root():
    system = of("RUN")[0]
    assert "--no-install-recommends" in system and "rm -rf /var/lib/apt/lists/*" in system
    assert {"git", "make", "libgomp1"} <= set(system.split())
    (user,) = of("USER")
    assert f" {user} " in system and user != "root"
    owners = {flag for copied in of("COPY") for flag in copied.split() if flag.startswith("--")}
    assert owners == {f"--chown={user}"}


def test_container_runs_a_command_of_ours():
    (command,) = of("CMD")
    assert json.loads(command) == ["python", "-m", "lib", "list"]
    (place,) = of("WORKDIR")
    (path,) = of("ENV")
    assert path == f'PATH="{place}/.venv/bin:$PATH"'
