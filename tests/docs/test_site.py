"""The site: links between notebooks and references, and that it builds without a warning."""

import json
import re
import urllib.parse
from html.parser import HTMLParser

import pytest

from lib import papers
from lib.command import notebooks
from lib.paths import ROOT
from tools import site

OWN = "notebooks/10_set_mlp"


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
        ("[notebook 21](x.ipynb)", "[notebook 21](x.ipynb)"),
        ("[see notebook 21 here](x) too", "[see notebook 21 here](x) too"),
        ("our own notebook 10", "our own notebook 10"),
        ("[Mocanu2018], Eq. 1", "[\\[Mocanu2018\\]](../docs/REFERENCES.md#mocanu2018), Eq. 1"),
        ("[Nobody2018] and [Mocanu2018](x)", "[Nobody2018] and [Mocanu2018](x)"),
        ("21 links", "21 links"),
    ],
)
def test_texts_link_to_notebooks_and_references(text, desired):
    assert site.linked(text, OWN) == desired


def test_links_start_from_the_folder_of_the_page():
    link = "[21]({}notebooks/21_link_removal.ipynb)"
    assert site.linked("notebook 21", "index") == f"notebook {link.format('')}"
    gallery = site.linked("notebook 21", "figures/paper/README")
    assert gallery == f"notebook {link.format('../../')}"


def test_notebook_is_linked_in_its_texts_alone():
    (path,) = notebooks.find(["13"])
    before = json.loads(path.read_text())
    text = {"cell_type": "markdown", "metadata": {}, "source": "Source: [Mocanu2018], Fig. 2."}
    before["cells"].append(text)
    source = [json.dumps(before)]
    site.read_page(None, "notebooks/13_set_rbm", source)
    after = json.loads(source[0])
    for old, new in zip(before["cells"], after["cells"], strict=True):
        if old["cell_type"] == "code":
            assert old == new
    assert "../docs/REFERENCES.md#mocanu2018" in json.dumps(after)


def test_controls_show_the_picture_that_was_stored():
    (path,) = [path for path in notebooks.find() if path.stem == "quickstart"]
    source = [path.read_text()]
    site.read_page(None, "notebooks/quickstart", source)
    assert site.WIDGET_VIEW in path.read_text() and site.WIDGET_VIEW not in source[0]
    before, after = json.loads(path.read_text()), json.loads(source[0])
    for old, new in zip(before["cells"], after["cells"], strict=True):
        if site.WIDGET_VIEW in json.dumps(old):
            assert [list(output["data"])[0] for output in new["outputs"]] == ["image/png"]
        else:
            assert old.get("outputs") == new.get("outputs")


def test_site_has_a_page_for_every_notebook_and_document(built):
    pages = {path.relative_to(built).with_suffix("") for path in built.rglob("*.html")}
    sources = [*ROOT.glob("docs/**/*.md"), *notebooks.find(), ROOT / "figures/paper/README.md"]
    assert {path.relative_to(ROOT).with_suffix("") for path in sources} <= pages


class Page(HTMLParser):
    """Where a page leads, and the places on it to which others can lead."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src"):
                self.links.append(value)
            elif name == "id":
                self.places.add(value)


def test_every_link_of_the_site_leads_somewhere(built):
    pages = {path: Page(path) for path in built.rglob("*.html") if "_static" not in path.parts}
    n_pictures, dead = 0, []
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path
            if parts.path:
                target = (path.parent / urllib.parse.unquote(parts.path)).resolve()
            n_pictures += target.suffix == ".png"
            place = urllib.parse.unquote(parts.fragment)
            if not target.is_file() or (
                place and target in pages and place not in pages[target].places
            ):
                dead.append((path.name, link))
    assert n_pictures > 200 and dead == []


def test_every_paper_has_its_question_notebooks_and_verdicts():
    text = site.five_papers()
    claims = papers.PUBLISHED[~papers.is_ours(papers.PUBLISHED)]
    assert text.count("\n## ") + text.startswith("## ") == claims["paper"].nunique()
    assert [claim for claim in claims["id"] if f"[{claim}]" not in text] == []
    of_papers = [path.stem for path in notebooks.find() if "10" <= path.stem[:2] < "60"]
    assert [name for name in of_papers if f":link: /notebooks/{name}\n" not in text] == []


def test_site_begins_at_its_first_page(built):
    assert "url=docs/index.html" in (built / "index.html").read_text()


def test_site_takes_nothing_from_elsewhere(built):
    for path in built.rglob("*.html"):
        lines = path.read_text(encoding="utf-8").splitlines()
        loaded = [line for line in lines if "<script" in line or "<link" in line]
        elsewhere = [
            line for line in loaded if 'src="http' in line or 'rel="stylesheet" href="http' in line
        ]
        assert elsewhere == [], path
    assert "mathjax" in (built / "notebooks" / "14_scale_free.html").read_text().lower()


def test_claim_without_a_row_is_left_out(monkeypatch):
    class Without(type(ROOT)):
        def read_text(self, *how, **more):
            text = super().read_text(*how, **more)
            return re.sub(r"^\| \[S06\].*\n", "S06 ", text, flags=re.MULTILINE)

    monkeypatch.setattr(site, "ROOT", Without(ROOT))
    assert "| [S05]" in site.five_papers() and "| [S06]" not in site.five_papers()
