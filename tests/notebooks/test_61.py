"""Notebook 61: every number of its text follows from what is planned and published."""

import pandas as pd

from lib import papers
from lib.command import planned
from lib.papers.frontier import experiments
from lib.papers.frontier.certificates import CHECKED
from lib.paths import REFERENCE
from tests.prose import Prose

NAME = "61_robust_at_one_percent"
STUDIES = papers.EXPERIMENTS["certificates"].runs("paper")
ON_TEST = [study for study in STUDIES if study.parent.experiment == "certified"]
GRID = {run.variant for run in papers.EXPERIMENTS["certified_tuning"].runs("paper")}
TUNED = [study for study in STUDIES if study.parent.experiment == "certified_tuning"]


def test_numbers_of_the_text_follow():
    text = Prose(NAME)
    text.says("Pixels go from 0 to 1")
    widths = {study.parent.hidden for study in ON_TEST if study.method != "dense_small"}
    assert widths == {(1568,) * 3} and {study.parent.activation for study in ON_TEST} == {"relu"}
    text.says("but for the narrow ones these have 1,568 neurons")
    assert {s.parent.density for s in ON_TEST if s.method in ("rigl", "fixed")} == {0.01}
    text.says("The attack is PGD; it starts {} times", *{study.restarts for study in ON_TEST})
    images = {study.method == "dense": study.images for study in ON_TEST}
    text.says("all {:,}, and for the dense network {:,} of them", images[False], images[True])
    text.says("plain and certified training at the radius of {:g}", experiments.RADIUS)
    text.says("We hold {:,} training images back", *{s.parent.validation for s in TUNED})
    text.says("at the radius of {:g}. No test image", *{r for s in TUNED for r in s.radii})
    text.says("PGD attacks the first {} images", CHECKED)
    published = pd.read_csv(REFERENCE / "related_results.csv").query("method == 'IBP'")
    error = published[published["note"].str.endswith("radius 0.1")]["value"].item()
    text.says("[Gowal2018] proves {:.2f} % of the test images", 100 - error)
    hours = planned.planned().query("item == '11'")["core_hours"].sum()
    text.says("(some {:.0f} core-hours)", hours)
    says_what_was_certified(text)
    assert not text.uncovered()


def says_what_was_certified(text):
    found = {}
    for record in papers.obtain("certificates", "paper"):
        values = 100 * record.metrics.set_index("measure")["value"]
        found.setdefault(record.config.method, []).append(values)
    best = {method: max(of, key=lambda v: v["certified"]) for method, of in found.items()}
    rigl, fixed, small = (best[method] for method in ("rigl", "fixed", "dense_small"))
    words = "at a radius of {:g}, RigL certifies {:.1f} % and fixed links {:.1f} % (one seed)"
    text.says(words, experiments.RADIUS, rigl["certified"], fixed["certified"])
    words = "certifies {:.1f} % at the best of {} settings"
    text.says(words, small["certified"], len(found["dense_small"]))
    gap = rigl["certified"] - fixed["certified"]
    text.says("It certifies {:.1f} points more than fixed links", gap)
    gap = rigl["certified"] - small["certified"]
    text.says("It certifies {:.1f} points more than the small dense network", gap)
    words = "It is also ahead on unchanged images, with {:.1f} % to {:.1f} %"
    text.says(words, rigl["clean"], small["clean"])


def test_seeds_and_grids_are_those_that_the_text_names():
    text, seeds = Prose(NAME), experiments.CERTIFIED_SEEDS["paper"]
    assert seeds == {"rigl": 5, "fixed": 5, "dense_small": 5, "dense": 3}
    text.says("Five seeds of each sparse network and three of the dense one are planned")
    assert (len(experiments.KAPPAS), len(experiments.TRAINED_RADII)) == (2, 3)
    text.says("trained with two shares of the worst logits and three radii, and at one of these")
    assert len(experiments.CERTIFIED_RATES) == 2
    text.says("settings with two more learning rates")
    assert experiments.KAPPAS == (1 / 2, 1 / 4)
    text.says("lowers one half or one quarter of it, and for the rest that of the worst logits")


def test_text_says_what_is_not_run_while_that_is_so():
    text = Prose(NAME).text
    records = papers.obtain("certificates", "paper")
    assert {record.config.parent.experiment for record in records} == {"certified_tuning"}
    assert "Test images were not read yet." in text and text.count("Not run yet.") == 3
    n = pd.Series([record.config.method for record in records]).value_counts()
    assert n.to_dict() == {"rigl": 1, "fixed": 1, "dense_small": len(GRID)}
    assert "The other settings of RigL and of fixed links are not run yet" in text


def test_settings_chosen_are_the_best_of_those_tried():
    """The highest certified accuracy on validation images, where all of a grid is there."""
    found = {}
    for record in papers.obtain("certificates", "paper"):
        run, table = record.config.parent, record.metrics
        if run.experiment == "certified_tuning":
            value = table.loc[table["measure"] == "certified", "value"].item()
            setting = run.kappa, run.certified_radius, run.learning_rate
            found.setdefault(run.method, {})[setting] = value
    for method, values in found.items():
        if len(values) == len(GRID):
            kappa, radius, rate = max(values, key=values.get)
            chosen = experiments.in_certificates("certified", "paper", "certified", method)
            settings = chosen.kappa, chosen.certified_radius, chosen.learning_rate
            assert settings == (kappa, radius, rate), method
