"""Notebook 61: every number of its text follows from what is planned and published."""

import numpy as np
import pandas as pd

import papers
from lib._boundary import REFERENCE
from papers.frontier import experiments
from papers.frontier.certificates import CHECKED
from tests.notebooks.test_61_attacks import says_what_attacks_leave
from tests.notebooks.test_61_corruptions import says_what_corruptions_leave
from tests.prose import Prose

NAME = "61_robust_at_one_percent"
STUDIES = papers.EXPERIMENTS["certificates"].runs("paper")
ON_TEST = [study for study in STUDIES if study.parent.experiment == "certified"]
GRID = {run.variant for run in papers.EXPERIMENTS["certified_tuning"].runs("paper")}
TUNED = [study for study in STUDIES if study.parent.experiment == "certified_tuning"]


def test_numbers_of_the_text_follow():
    text = Prose(NAME)
    text.says("The attack is PGD; it starts {} times", *{study.restarts for study in ON_TEST})
    text.says("PGD attacks the first {} images", CHECKED)
    published = pd.read_csv(REFERENCE / "related_results.csv").query("method == 'IBP'")
    error = published[published["note"].str.endswith("radius 0.1")]["value"].item()
    text.says("[Gowal2018] proves {:.2f} % of the test images", 100 - error)
    says_what_was_certified(text)
    says_what_was_tried(text)
    says_what_attacks_leave(text)
    says_what_corruptions_leave(text)
    assert not text.uncovered()


def certificates_made():
    """Percent by measure and radius: of tuning by method and variant, of networks for the test
    images by method and training, seed by seed.
    """
    tuned, final = {}, {}
    for record in papers.obtain("certificates", "paper"):
        run = record.config
        values = 100 * record.metrics.set_index(["measure", "radius"])["value"]
        if run.parent.experiment == "certified_tuning":
            tuned.setdefault(run.method, {})[run.variant] = values
        else:
            final.setdefault((run.method, run.variant), []).append(values)
    return tuned, final


def says_what_was_certified(text):
    _, final = certificates_made()
    mean = {key: pd.concat(of, axis=1).mean(axis=1) for key, of in final.items()}
    rigl, fixed, small = (mean[m, "certified"] for m in ("rigl", "fixed", "dense_small"))
    plain, fixed_plain = mean["rigl", "plain"], mean["fixed", "plain"]
    small_plain = mean["dense_small", "plain"]
    at = "certified", experiments.RADIUS
    (seeds,) = {len(of) for key, of in final.items() if key[0] != "dense"}
    words = "At a radius of {:g} RigL certifies {:.1f} % of the test images, and a small dense "
    words += "network with as many links {:.1f} % ({} seeds each)"
    text.says(words, experiments.RADIUS, rigl[at], small[at], seeds)
    text.says("Fixed links certify {:.1f} %", fixed[at])
    for other in (fixed, small):
        assert (rigl["certified"] > other["certified"]).all()
    pairs = zip(final["rigl", "certified"], final["fixed", "certified"], strict=True)
    ahead = [moved[at] - stayed[at] for moved, stayed in pairs]
    text.says("At {:g} it is {:.1f} points ahead of fixed links", at[1], np.mean(ahead))
    trained_at = {s.method: s.parent.certified_radius for s in ON_TEST if s.variant == "certified"}
    kept = rigl["pgd"] - rigl["certified"]
    words = "Up to {:g}, the radius of its training, PGD leaves at most {:.1f} points more than is"
    text.says(words, trained_at["rigl"], kept[kept.index <= trained_at["rigl"]].max())
    words = "At {:g} PGD leaves {:.0f} %, and intervals certify {:.0f} %"
    text.says(words, 0.2, rigl["pgd", 0.2], rigl["certified", 0.2])
    words = "was chosen for each method: {:g} for RigL and fixed links, {:g} for the small dense"
    text.says(words, trained_at["rigl"], trained_at["dense_small"])
    assert trained_at["fixed"] == trained_at["rigl"]
    at = "pgd", experiments.RADIUS
    words = "PGD leaves {:.1f} % of them right, and {:.1f} % of those of the wide dense network"
    text.says(words, plain[at], mean["dense", "plain"][at])
    text.says("It leaves fixed links {:.1f} %", fixed_plain[at])
    text.says("After certified training it leaves RigL {:.1f} %", rigl[at])
    clean = "clean", 0.0
    text.says("RigL pays {:.1f} points", plain[clean] - rigl[clean])
    words = "The small dense network pays {:.1f} points"
    text.says(words, small_plain[clean] - small[clean])
    words = "Fixed links pay {:.1f} points, and end at {:.1f} %"
    text.says(words, fixed_plain[clean] - fixed[clean], fixed[clean])


def says_what_was_tried(text):
    tuned, _ = certificates_made()
    at = "certified", experiments.RADIUS
    shares = {m: {v: values[at] for v, values in of.items()} for m, of in tuned.items()}
    best = {method: max(of.values()) for method, of in shares.items()}
    chosen = next(s.parent for s in ON_TEST if (s.method, s.variant) == ("rigl", "certified"))
    variant = f"kappa {chosen.kappa:g}, radius {chosen.certified_radius:g}"
    of_rigl = shares["rigl"][variant]
    words = "certifies {:.1f} % of the validation images at the best of {} settings"
    text.says(words, best["dense"], len(shares["dense"]))
    for method in ("fixed", "dense_small", "dense"):
        assert all(share < shares["rigl"][name] for name, share in shares[method].items())
    words = (
        "It is {:.1f} more than the wide dense network at its best, and {:.1f} more than the small"
    )
    text.says(words, of_rigl - best["dense"], of_rigl - best["dense_small"])
    fast = f"{variant}, rate 0.2"
    assert abs(shares["rigl"][fast] - of_rigl) < 0.1 and shares["dense_small"][fast] < 20
    assert max(shares["fixed"], key=shares["fixed"].get) == fast
    text.says("Fixed links do best at {:g}, and the small dense network fails there", 0.2)


def test_text_says_what_is_not_run_while_that_is_so():
    text = Prose(NAME).text
    tuned, final = certificates_made()
    words = "Attacks with the larger radius lack fixed links and the small dense network"
    attacked = papers.EXPERIMENTS["attacked"].runs("paper")
    stored = {run.method for run in attacked if papers.STORE.stored(run) is not None}
    assert words in text and stored == {"rigl"}
    assert ("dense", "certified") not in final
    assert "Certificates lack the wide dense network after certified training" in text
    assert "The wide dense network is not run on test images with certified training" in text
    missing = {method: len(GRID) - len(of) for method, of in tuned.items()}
    assert missing == {"rigl": 0, "dense_small": 0, "dense": 2, "fixed": 0}
    words = "Two settings of the wide dense network are not run"
    assert words in text


def test_settings_chosen_are_the_best_of_those_tried():
    """The highest certified accuracy on validation images, where all of a grid is there. RigL is
    not trained at the rate at which one of its trainings diverged.
    """
    runs = [run for run in experiments.certified("paper") if run.variant == "certified"]
    found = {}
    for record in papers.obtain("certificates", "paper"):
        run, table = record.config.parent, record.metrics
        if run.experiment == "certified_tuning":
            value = table.loc[table["measure"] == "certified", "value"].item()
            setting = run.kappa, run.certified_radius, run.learning_rate
            found.setdefault(run.method, {})[setting] = value
    for method, values in found.items():
        if len(values) == len(GRID):
            usual = {s: v for s, v in values.items() if method != "rigl" or s[2] < 0.2}
            kappa, radius, rate = max(usual, key=usual.get)
            chosen = next(run for run in runs if run.method == method)
            settings = chosen.kappa, chosen.certified_radius, chosen.learning_rate
            assert settings == (kappa, radius, rate), method
    places = [setting[:2] for setting in found["rigl"]]
    (several,) = {place for place in places if places.count(place) > 1}
    best = {method: max(values, key=values.get)[:2] for method, values in found.items()}
    assert best["rigl"] == best["fixed"] == several != best["dense_small"]
    assert "at one setting, where RigL and fixed links do best" in Prose(NAME).text
