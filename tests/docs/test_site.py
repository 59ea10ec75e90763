"""The site: every link leads somewhere, and it builds without a warning."""

import json
import urllib.parse
from html.parser import HTMLParser

from lib._boundary import ROOT
from lib.command import notebooks
from tools import site


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
            if path.name == "explorer.html" and "=" in place:  # what its controls are set to
                continue
            if not target.is_file() or (
                place and target in pages and place not in pages[target].places
            ):
                dead.append((path.name, link))
    assert n_pictures > 200 and dead == []


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
