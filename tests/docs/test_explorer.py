"""The explorer: its numbers are those of the project, its sentences fail with the records."""

import base64
import copy
import json
import re

import numpy as np
import pytest

from lib import papers
from lib.papers.adaptive_topology.experiments import HEADLINE_RADIUS
from lib.report.claims import against, intervals
from lib.report.intervals import t_interval
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


def test_sentences_have_at_most_two_numbers(shown):
    steps = [step["text"] for step in shown["story"]["steps"]]
    for sentence in re.split(r"(?<=[.!?]) ", " ".join([*shown["story"]["answer"], *steps])):
        assert len(re.findall(r"\d+(?:\.\d+)?", sentence)) <= 2, sentence


def turn_lead(datasets):
    datasets["mnist"]["settings"]["tuned"]["set"]["leadEnd"] = [-0.1, -0.2, 0.0]


def keep_lead_when_tuned_together(datasets):
    datasets["mnist"]["settings"]["both"]["rigl"]["leadEnd"] = [0.6, 0.5, 0.7]


def keep_lead_without_decay(datasets):
    datasets["fashion_mnist"]["settings"]["decay"]["set"]["leadEnd"] = [0.3, 0.2, 0.4]


def find_the_digits_by_chance(datasets):
    datasets["mnist"]["maps"]["set_random_removal"]["match"] = [0.5] * 9


@pytest.mark.parametrize(
    "change",
    [
        turn_lead,
        keep_lead_when_tuned_together,
        keep_lead_without_decay,
        find_the_digits_by_chance,
    ],
)
def test_page_is_not_built_where_records_contradict_its_sentences(shown, change, monkeypatch):
    def under_attack(setting, dataset, method):
        ahead = dataset == "mnist" or setting == "tuned"
        return [1.0, 0.5, 1.5] if ahead else [-1.0, -1.5, -0.5]

    monkeypatch.setattr(explorer, "lead_under_attack", under_attack)
    datasets = copy.deepcopy(shown["datasets"])
    assert explorer.story(datasets)["answer"] == shown["story"]["answer"]
    change(datasets)
    with pytest.raises(ValueError, match="contradict the explorer's sentence"):
        explorer.story(datasets)


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_page_is_not_built_where_attacks_contradict_its_sentences(shown, dataset, monkeypatch):
    turned = [-1.0, -1.5, -0.5] if dataset == "mnist" else [1.0, 0.5, 1.5]
    known = explorer.lead_under_attack

    def under_attack(setting, of_dataset, method):
        return turned if of_dataset == dataset else known(setting, of_dataset, method)

    monkeypatch.setattr(explorer, "lead_under_attack", under_attack)
    with pytest.raises(ValueError, match="contradict the explorer's sentence"):
        explorer.story(shown["datasets"])


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
