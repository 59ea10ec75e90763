"""The explorer: its numbers are those of the project, its sentences are what the records say."""

import base64
import json
import re

import numpy as np
import pandas as pd
import pytest

import papers
from lib._boundary import ROOT
from lib.report.claims import against, intervals
from lib.report.intervals import t_interval
from papers.adaptive_topology.experiments import HEADLINE_RADIUS
from tools import explorer

SHADES = {"light": "#ffffff", "dark": "#182029"}  # grounds of the panels, see docs/explorer


@pytest.fixture(scope="module")
def page(built):
    return (built / "explorer.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shown(page):
    (data,) = re.findall(r"^window\.EXPLORER = (.*);$", page, re.MULTILINE)
    return json.loads(data)


def test_page_is_one_small_file_that_loads_nothing(page):
    assert len(page.encode()) <= 1e6
    assert re.findall(r'(?:<script|<img|<link|@import)[^>]*(?:src|href)="(?!data:)', page) == []
    assert "Permission to use, copy, modify" in page  # the licence of what it brings along


def test_band_is_the_interval_over_seeds_at_every_place(rng):
    by_seed = rng.uniform(size=(5, 3))
    desired = [t_interval(column) for column in by_seed.T]
    actual = np.array(explorer.band(by_seed))
    sides = [[getattr(one, side) for one in desired] for side in ("value", "low", "high")]
    np.testing.assert_allclose(actual, 10_000 * np.array(sides), atol=0.5)


def test_accuracies_and_leads_are_those_of_the_frames(shown):
    frame = papers.frame("adaptive_topology", "paper")
    ends = frame.query("measure == 'test_accuracy' and epoch == epochs")
    leads = intervals(against(ends, "fixed", keys=["dataset"]), ["dataset", "method"], family=1)
    assert len(leads) == 2 * (len(explorer.METHODS) - 1)
    for row in leads.itertuples():
        network = shown["datasets"][row.dataset]["settings"]["tuned"][row.method]
        desired = [100 * row.value, 100 * row.low, 100 * row.high]
        np.testing.assert_allclose(network["leadEnd"], desired, atol=0.005)
    for (dataset, method), rows in ends.groupby(["dataset", "method"], observed=True):
        network = shown["datasets"][dataset]["settings"]["tuned"][method]
        assert abs(network["accuracy"][0][-1] - 1e4 * rows["value"].mean()) <= 0.5


@pytest.fixture(scope="module")
def summary():
    frame = papers.frame("robustness_summary", "paper", "dropout").query("dropout == .1")
    return frame[frame["trained"].isin(["adaptive_topology", "other_dropouts"])]


@pytest.mark.parametrize(
    ("tab", "variant", "measure", "strength"),
    [
        ("removal", "random", "removal", 0.3),
        ("shuffle", "sign", "shuffle within sign", 0.2),
        ("attack", "linf", "pgd linf", None),  # at the headline radius
    ],
)
def test_disturbed_networks_are_those_of_the_frames(
    shown, summary, tab, variant, measure, strength
):
    measured = summary[summary["measure"] == measure]
    for (dataset, method), rows in measured.groupby(["dataset", "method"], observed=True):
        at = HEADLINE_RADIUS[dataset] if strength is None else strength
        desired = rows.loc[rows["strength"] == at, "value"].mean()
        curve = shown["datasets"][dataset]["settings"]["dropout"][method][tab][variant]
        assert abs(curve["y"][0][curve["x"].index(at)] - 1e4 * desired) <= 0.5


def test_maps_are_those_of_the_study(shown):
    frame = papers.frame("visible_connectivity", "paper")
    means = frame.groupby(["dataset", "method", "epoch", "measure"], observed=True)["value"].mean()
    for dataset, of_dataset in shown["datasets"].items():
        for method in ("set", "rigl", "set_random_removal", "fixed"):
            drawn = of_dataset["maps"][method]
            for k, epoch in enumerate(drawn["epochs"]):
                study = means[dataset, method, str(epoch)]
                assert abs(drawn["match"][k] - study["correlation with variance"]) <= 0.005
                assert abs(drawn["empty"][k] - study["pixels without links"]) <= 0.5
                counted = np.frombuffer(base64.b64decode(drawn["one"][k]), np.uint8)
                assert counted.shape == (784,) and counted.sum() == 7840  # 1 % of 784 · 1000


def leads(shown, setting):
    """By data set and method: lead over fixed links in points, low and high end."""
    return {
        (dataset, method): shown["datasets"][dataset]["settings"][setting][method]["leadEnd"]
        for dataset in shown["datasets"]
        for method in ("set", "rigl")
    }


@pytest.mark.parametrize("setting", ["tuned", "both", "decay"])
def test_leads_are_those_that_notebook_18_shows_under_the_same_name(shown, setting):
    rows = pd.read_csv(ROOT / "figures" / "paper" / "18_do_moving_links_help" / "leads.csv")
    rows = rows[(rows["settings"] == explorer.SETTINGS[setting].name) & (rows["epochs"] == 150)]
    rows = rows[rows["experiment"] != "other_seeds"]  # which the page does not have
    means = rows.query("links == 37840").groupby(["dataset", "method"])["value"].mean()
    assert len(means) == 4
    of_page = {place: lead for place, (lead, *_) in leads(shown, setting).items()}
    assert of_page == pytest.approx(means.to_dict(), abs=0.006)


def test_networks_whose_links_move_lead_by_less_than_half_when_all_is_tuned(shown):
    tuned, together = leads(shown, "tuned"), leads(shown, "both")
    assert all(low > 0 for _, low, _ in tuned.values())
    assert sum(lead for lead, _, _ in together.values()) < sum(x for x, _, _ in tuned.values()) / 2


def test_links_find_the_digits_unless_any_link_is_dropped(shown):
    maps = shown["datasets"]["mnist"]["maps"]
    match = {
        method: drawn["match"][drawn["epochs"].index(20)]
        for method, drawn in maps.items()
        if 20 in drawn["epochs"]
    }
    assert min(match["set"], match["rigl"]) > 0.5 and abs(match["set_random_removal"]) < 0.1


def test_networks_whose_links_move_withstand_attacks_better_on_mnist_alone(summary):
    at = summary["strength"] == summary["dataset"].astype(str).map(HEADLINE_RADIUS)
    ends = against(summary[at & (summary["measure"] == "pgd linf")], "fixed", keys=["dataset"])
    rows = intervals(ends, ["dataset", "method"], family=1).query("method in ['set', 'rigl']")
    assert len(rows) == 4
    assert list(rows["low"] > 0) == list(rows["dataset"] == "mnist")


def luminance(color):
    """Source: WCAG 2.2, relative luminance."""
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("mode", SHADES)
def test_names_of_methods_can_be_read(shown, mode):
    for name, method in shown["methods"].items():
        both = sorted([luminance(method[mode]), luminance(SHADES[mode])])
        assert (both[1] + 0.05) / (both[0] + 0.05) >= 4.5, name
