"""Notebook 61: what training on attacked examples keeps, by the records."""

import pandas as pd
from scipy import stats

from lib import papers
from lib.papers.frontier import experiments
from tests.prose import Prose

NAME = "61_robust_at_one_percent"
STUDIES = papers.EXPERIMENTS["attacked_summary"].runs("paper")
TUNED = [study for study in STUDIES if study.parent.experiment == "attacked_tuning"]
ON_TEST = [study for study in STUDIES if study.parent.experiment == "attacked"]


def attacks_made():
    """Percent by measure and strength: of tuning by method and variant, of networks for the test
    images by method, a column a seed.
    """
    tuned, final = {}, {}
    for record in papers.obtain("attacked_summary", "paper"):
        run = record.config
        values = 100 * record.metrics.groupby(["measure", "strength"])["value"].mean()
        if run.parent.experiment == "attacked_tuning":
            tuned[run.method, run.variant] = values
        else:
            final.setdefault(run.method, []).append(values)
    return tuned, {method: pd.concat(of, axis=1) for method, of in final.items()}


def says_what_attacks_leave(text):
    tuned, final = attacks_made()
    radius = experiments.ATTACK_RADIUS
    text.says("We do so at a radius of {:g}, where no network above keeps much", radius)
    schedule = {(s.parent.growing_epochs, s.parent.epochs) for s in STUDIES}
    assert schedule == {(20, 40)}
    text.says("The radius grows from zero over the first half of the {} epochs", 40)
    assert {s.parent.hidden for s in ON_TEST if s.method != "dense_small"} == {(1568,) * 3}
    text.says("SReLUs, and 1,568 neurons in each hidden layer of the sparse ones")
    ((starts, queries, images),) = {(s.restarts, s.queries, s.images) for s in ON_TEST}
    words = (
        "PGD with {} starts, APGD with two losses, and Square with {:,} queries. All numbers are"
    )
    text.says(words + " of all {:,} test images", starts, queries, images)
    (rigl,) = final.values()
    assert list(final) == ["rigl"] and rigl.shape[1] == 5
    mean, at = rigl.mean(axis=1), ("all attacks", radius)
    half = stats.t.ppf(0.975, 4) * rigl.loc[at].sem()
    assert {study.parent.density for study in ON_TEST if study.method == "rigl"} == {0.01}
    text.says("RigL keeps {:.1f} %.** That is with {} % of the links, under all", mean[at], 1)
    assert (rigl.loc["pgd", radius] > rigl.loc["apgd_dlr", radius]).all()
    assert (rigl.loc["apgd_dlr", radius] > rigl.loc[at] + 0.5).all()
    text.says(
        "APGD leaves less, and then Square, which needs no gradient, still breaks some images"
    )
    words = "RigL classifies {:.1f} % right under all our attacks with a radius of {:g}"
    text.says(words, mean[at], radius)
    words = "The 95 % interval over {} seeds is [{:.1f}, {:.1f}]"
    text.says(words, 5, mean[at] - half, mean[at] + half)
    text.says("PGD alone leaves {:.1f} %", mean["pgd", radius])
    text.says("{:.1f} % of the images are right if nobody changes them", mean["accuracy", 0])
    text.says("With a radius of {:g} PGD leaves {:.1f} %", 0.1, mean["pgd", 0.1])
    says_what_was_tried(text, tuned)
    words = "Without {:.0f} % of its links RigL still classifies {:.0f} % right, without {:.0f} %"
    kept = [mean["links removed", fraction] for fraction in (0.1, 0.3)]
    text.says(words + " it is {:.0f} %", 10, kept[0], 30, kept[1])


def says_what_was_tried(text, tuned):
    """All settings of RigL but the one that diverges, and one of the small dense network."""
    radius, slow = experiments.ATTACK_RADIUS, "learning rate 0.1"
    at = "all attacks", radius
    tried = {(s.method, s.variant) for s in TUNED}
    text.says("We hold {:,} training images back", *{s.parent.validation for s in TUNED})
    usual = experiments.ATTACKED
    assert usual["adversarial_steps"] == 5
    words = "has five steps of PGD and a radius of {:g}, at the rate of {:g} if no other is named"
    text.says(words, radius, usual["learning_rate"])
    text.says("that is what we chose above, at the rate of {:g}", 0.1)
    larger = experiments.levers("attacked")["larger radius"]["adversarial_radius"]
    text.says("A *larger radius* of {:g} replaces {:g}", larger, radius)
    assert tried - tuned.keys() - {("rigl", "larger radius")} == {
        key for key in tried - {("dense_small", slow)} if key[0] != "rigl"
    }
    text.says("attack {:,} of the validation images", *{study.images for study in TUNED})
    kept = {variant: values[at] for (method, variant), values in tuned.items() if method == "rigl"}
    gains = [
        kept[slow if lever == "usual" else f"{lever}, {slow}"] - kept[lever]
        for lever in ("usual", "ten steps", "TRADES")
    ]
    words = (
        "At the smaller rate each training that ended at both keeps {:.1f} to {:.1f} points more"
    )
    text.says(words, min(gains), max(gains))
    best = max(kept.values())
    tie = [variant for variant, value in kept.items() if best - value < 1]
    assert sorted(tie) == ["TRADES, " + slow, slow, "ten steps, " + slow]
    width = best - min(kept[variant] for variant in tie)
    text.says("There usual training, ten steps and TRADES lie within {:.1f} points, a tie", width)
    larger, usual = tuned["rigl", f"larger radius, {slow}"], tuned["rigl", slow]
    text.says("loses {:.1f} points under all attacks", usual[at] - larger[at])
    pgd = "pgd", radius
    assert larger[pgd] > usual[pgd]
    clean = {variant: tuned["rigl", variant]["accuracy", 0] for variant in tie}
    assert max(clean, key=clean.get) == "ten steps, " + slow
    text.says("We take ten steps at the rate of {:g}: of the tie it is the most accurate", 0.1)
    assert experiments.CHOSEN_LEVERS["attacked"]["rigl"] == {
        "adversarial_steps": 10,
        "learning_rate": 0.1,
    }
    small = tuned["dense_small", slow]
    text.says("The small dense network keeps {:.0f} % there, with usual training", small[at])
    assert {study.parent.seed for study in TUNED} == {0}


def test_text_says_what_is_not_run_while_that_is_so():
    text = Prose(NAME).text
    _, final = attacks_made()
    assert list(final) == ["rigl"]
    assert "Fixed links and the small dense network are not run on test images yet." in text
