"""The site in a browser: links and pictures are alive, nothing complains, pages fit their windows,
and the explorer answers.

Skipped where there is no browser; where $BROWSER_BINARY names one, it has to run.
"""

import functools
import http.server
import threading

import pytest

from tests import browser

pytestmark = [
    pytest.mark.ci,
    pytest.mark.skipif(browser.found() is None, reason="no Chromium on this machine"),
]
WIDTHS = (390, 1280)
WHAT_FITS = """(() => {
    const wide = [...document.querySelectorAll('.bd-header a, .bd-header button, .bd-header img')]
        .filter((one) => one.getClientRects().length)
        .map((one) => one.getBoundingClientRect())
        .filter((place) => place.left < 0 || place.right > innerWidth || place.bottom > 100);
    return [document.documentElement.scrollWidth, wide.length];
})()"""
BROKEN = "[...document.images].filter((one) => one.naturalWidth === 0).map((one) => one.src)"
PRESS = "document.querySelector({!r}).click()"


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def served(built):
    """Where the site is served."""
    handler = functools.partial(Silent, directory=built)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    running = browser.Browser(tmp_path_factory.mktemp("browser"))
    yield running
    running.close()


def visit(tab, served, names):
    """Assert that pages show every picture, fit both windows, and complain of nothing."""
    for name in names:
        tab.size(WIDTHS[0])
        tab.open(f"{served}/{name}")
        assert tab(BROKEN) == [], name
        for width in WIDTHS:
            tab.size(width)
            assert tab(WHAT_FITS) == [width, 0], (name, width)
        assert tab.complaints() == [], name


def test_pages_fit_their_window_and_show_every_picture(tab, served):
    """Those with the widest tables, the most pictures, formulas and controls."""
    documents = [f"docs/{name}.html" for name in ("index", "PAPERS", "SPEED", "api/layers")]
    books = [f"notebooks/{name}.html" for name in ("quickstart", "20_adaptive_topology")]
    visit(tab, served, [*documents, *books, "figures/paper/README.html"])


@pytest.mark.slow
def test_all_pages_fit_their_window_and_show_every_picture(tab, served, built):
    pages = [path for path in built.rglob("*.html") if "_static" not in path.parts]
    pages.remove(built / "index.html")  # leads on to another
    assert len(pages) > 40
    visit(tab, served, [path.relative_to(built) for path in pages])


def test_search_finds_a_word(tab, served):
    tab.open(f"{served}/search.html?q=dropout")
    browser.until(lambda: tab("document.querySelectorAll('#search-results li').length") > 0)
    assert tab.complaints() == []


@pytest.fixture(params=[(390, "dark"), (1280, "light")])
def explorer(tab, built, request):
    """The explorer as a file, in a narrow and in a wide window."""
    width, scheme = request.param
    tab.size(width)
    tab.scheme(scheme)
    tab.open(f"file://{built}/explorer.html")
    yield tab
    assert tab("document.documentElement.scrollWidth") == width
    assert tab("/NaN|undefined|null/.test(document.body.innerText)") is False
    assert tab.complaints() == []
    tab.scheme("light")


PANELS = {  # of places: a narrow window shows one at a time
    **{"accuracy-chart": "accuracy", "accuracy-caption": "accuracy", "maps": "maps"},
    **{"robust-chart": "robust", "variants": "robust", "card": "numbers", "table": "numbers"},
}


def shown(tab, *places):
    """What the places of the explorer hold; of maps, their pixels."""
    held = []
    for place in places:
        tab(PRESS.format(f"#panels input[value={PANELS[place]}]"))
        held.append(
            tab(
                f"[document.getElementById({place!r}).innerHTML, ...[...document.querySelectorAll("
                f"'#{place} canvas')].map((one) => one.toDataURL())].join()"
            )
        )
    return held


CHANGES = [
    ("#datasets input[value=mnist]", ("accuracy-chart", "maps", "robust-chart", "card", "table")),
    ("#methods button[value=rigl]", ("accuracy-chart", "robust-chart", "card", "table")),
    ("#methods input[value=set_retrained]", ("accuracy-chart", "maps", "robust-chart", "table")),
    ("#views input[value=lead]", ("accuracy-chart",)),
    ("#whiches input[value=mean]", ("maps",)),
    ("#tab-attack", ("robust-chart", "card", "table", "variants")),
    ("#variants input[value=l2]", ("robust-chart",)),
]


def test_explorer_answers_a_click(explorer):
    for control, places in CHANGES:
        before = shown(explorer, *places)
        explorer(PRESS.format(control))
        after = shown(explorer, *places)
        assert [p for p, old, new in zip(places, before, after, strict=True) if old == new] == []


def test_explorer_shows_every_setting(explorer):
    names = explorer("[...document.querySelectorAll('#setting option')].map((one) => one.value)")
    assert len(names) == 7
    seen = set()
    for name in names:
        explorer(
            f"setting.value = {name!r}; setting.dispatchEvent(new Event('change'));"
            "document.querySelector('#tab-removal').click()"
        )
        seen.add(shown(explorer, "accuracy-chart", "robust-chart")[0])
        curves = explorer("document.querySelectorAll('#robust-chart .series').length")
        says_why = "Not measured" in explorer("document.querySelector('#robust-caption').innerText")
        assert (curves > 0) != says_why, name
    assert len(seen) == len(names)


LABELS = """[...document.querySelectorAll('#{} .series > text')].map((one) => {{
    const name = one.getBoundingClientRect(), chart = one.ownerSVGElement.getBoundingClientRect();
    return [name.top, name.bottom, name.left >= chart.left && name.right <= chart.right];
}})"""


def test_names_at_the_ends_of_curves_do_not_overlap(explorer):
    while explorer("document.querySelectorAll('#methods input:not(:checked)').length"):
        explorer(PRESS.format("#methods input:not(:checked)"))
    for chart in ("accuracy-chart", "robust-chart"):
        shown(explorer, chart)
        tops, bottoms, is_inside = zip(*sorted(explorer(LABELS.format(chart))), strict=True)
        assert len(tops) == 9 and all(is_inside)
        assert all(bottom <= top for bottom, top in zip(bottoms, tops[1:], strict=False))


def test_sentence_sets_the_controls_and_the_address_keeps_them(explorer):
    explorer(PRESS.format(".story li:last-child a"))
    browser.until(lambda: explorer("document.getElementById('setting').value") == "dropout")
    explorer(PRESS.format("#variants input[value=l2]"))
    address, before = explorer("location.href"), shown(explorer, "card", "table", "robust-chart")
    explorer.open("about:blank")
    explorer.open(address)
    assert shown(explorer, "card", "table", "robust-chart") == before


def test_epoch_moves_accuracy_and_maps(explorer):
    before = shown(explorer, "accuracy-chart", "maps", "card")
    explorer("epoch.value = 5; epoch.dispatchEvent(new Event('input'))")
    after = shown(explorer, "accuracy-chart", "maps", "card")
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert "after epoch 5" in explorer("document.getElementById('card').textContent")


def test_narrow_explorer_shows_one_panel_at_a_time(explorer):
    count = "[...document.querySelectorAll('.panel')].filter((p) => p.offsetHeight).length"
    is_narrow = explorer("innerWidth") < 960
    for panel in ("maps", "robust", "numbers", "accuracy"):
        explorer(PRESS.format(f"#panels input[value={panel}]"))
        assert explorer(count) == (1 if is_narrow else 4)
    assert explorer("document.querySelectorAll('#accuracy-chart .series').length") == 4
