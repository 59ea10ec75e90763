"""The site: links between notebooks and references, and that it builds without a warning."""

import json
import re
import subprocess
import sys

import pytest

from lib.command import notebooks, site
from lib.paths import ROOT

NUMBERS = {"10": "10_set_mlp", "21": "21_link_removal", "22": "22_adversarial_attacks"}


@pytest.mark.parametrize(
    ("text", "desired"),
    [
        ("see notebook 21.", "see notebook [21](../notebooks/21_link_removal.ipynb)."),
        (
            "notebooks 21 and 22",
            "notebooks [21](../notebooks/21_link_removal.ipynb) and"
            " [22](../notebooks/22_adversarial_attacks.ipynb)",
        ),
        ("notebook 99 and 10 of 21", "notebook 99 and 10 of 21"),
        ("our own notebook 10", "our own notebook 10"),
        ("[Mocanu2018], Eq. 1", "[\\[Mocanu2018\\]](../REFERENCES.md#mocanu2018), Eq. 1"),
        ("[Nobody2018] and [Mocanu2018](x)", "[Nobody2018] and [Mocanu2018](x)"),
        ("21 links", "21 links"),
    ],
)
def test_texts_link_to_notebooks_and_references(text, desired):
    assert site.linked(text, NUMBERS, "../", own="10") == desired


def test_notebook_is_linked_in_its_texts_alone():
    path = notebooks.find(["21"])[0]
    before = json.loads(path.read_text())
    after = json.loads(site.linked_notebook(path, NUMBERS))
    for old, new in zip(before["cells"], after["cells"], strict=True):
        if old["cell_type"] == "code":
            assert old == new
    assert "REFERENCES.md#sulyok2026" in json.dumps(after)


def test_gallery_leads_to_what_the_site_has(tmp_path):
    folder = tmp_path / "source"
    site.assemble(folder)
    text = (folder / "GALLERY.md").read_text(encoding="utf-8")
    places = re.findall(r'(?:src|href)="([^"]*)"', text) + re.findall(r"\]\(([^)]*)\)", text)
    assert len(places) > 100
    assert [place for place in places if not (folder / place).is_file()] == []


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    site.assemble(folder / "source")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    places = [str(folder / "source"), str(folder / "html")]
    done = subprocess.run([*build, *places], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_site_has_a_page_for_every_notebook_and_document(built):
    pages = {path.stem for path in built.glob("*.html")}
    assert {path.stem for path in site.DOCS.glob("*.md")} | {"GALLERY"} <= pages
    books = {path.stem for path in (built / "notebooks").glob("*.html")}
    assert books == {path.stem for path in notebooks.find()}


def test_site_takes_nothing_from_elsewhere(built):
    text = (built / "notebooks" / "14_scale_free.html").read_text()
    loaded = [line for line in text.splitlines() if "<script" in line or "<link" in line]
    assert not [
        line for line in loaded if 'src="http' in line or 'rel="stylesheet" href="http' in line
    ]
    assert "mathjax" in text.lower()
