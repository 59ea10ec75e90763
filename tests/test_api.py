"""The pages of the API: every example runs, says what it prints, and every module that ships and
that people call has its place.
"""

import contextlib
import io
import re

import pytest
import torch

from tests.checkouts import ROOT

PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


@pytest.fixture(autouse=True)
def float32():
    """As a user has it."""
    torch.set_default_dtype(torch.float32)


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
    assert sorted(named) == [page.stem for page in PAGES if page.stem != "index"]


@pytest.mark.parametrize("page", ["README.md", "docs/EXTEND.md", "docs/api/index.md"])
def test_pages_say_the_same_of_the_two_names(page):
    assert (ROOT / page).read_text().count(
        "`lib` in the repository is `sparse_adaptive` in the wheel."
    ) == 1
