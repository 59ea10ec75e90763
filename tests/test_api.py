"""The pages of the API: every example runs, says what it prints, and every module that ships and
that people call has its place.
"""

import contextlib
import io
import re
import subprocess
import sys

import nbformat
import pytest

import lib
from tests.checkouts import ROOT

PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


pytestmark = pytest.mark.usefixtures("float32")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem != "index"], ids=lambda p: p.stem
)
def test_example_prints_what_the_page_says(page):
    """In a clone the package is `lib`."""
    ((code, printed),) = EXAMPLE.findall(page.read_text())
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code.replace("sparse_adaptive", "lib"), {})
    assert out.getvalue() == printed


def test_index_names_every_page():
    named = re.findall(r"\]\((\w+)\.md\)", (ROOT / "docs" / "api" / "index.md").read_text())
    assert sorted(set(named)) == [page.stem for page in PAGES if page.stem != "index"]


@pytest.mark.parametrize("page", ["README.md", "docs/EXTEND.md", "docs/api/index.md"])
def test_pages_say_the_same_of_the_two_names(page):
    assert (ROOT / page).read_text().count(
        "`lib` in the repository is `sparse_adaptive` in the wheel."
    ) == 1


# the front door

USED = [*PAGES, ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PRIVATE = re.compile(
    r"^.*(?:\b(?:lib|sparse_adaptive)[\w.]*\._[a-z]|import (?:.*, )?_[a-z]).*$", re.M
)


def test_page_of_the_front_door_names_what_it_holds():
    page = (ROOT / "docs" / "api" / "index.md").read_text().partition("## The front door")[2]
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", "".join(rows))) == lib.__all__


def test_every_name_of_the_front_door_says_what_it_is():
    for name in lib.__all__:
        assert getattr(lib, name).__doc__ and name in dir(lib), name


def test_front_door_loads_a_module_when_it_is_asked():
    before, after = "assert 'torch' not in sys.modules", "assert 'lib.train' in sys.modules"
    code = f"import lib, sys\n{before}\nlib.fit\n{after}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_front_door_refuses_another_name():
    with pytest.raises(AttributeError, match="has no attribute 'sparsify_all'"):
        lib.sparsify_all  # noqa: B018


def test_pages_and_notebooks_use_no_private_name():
    for page in USED:
        assert not PRIVATE.findall(page.read_text(encoding="utf-8")), page
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            assert cell.cell_type != "code" or not PRIVATE.findall(cell.source), path
