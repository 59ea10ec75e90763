"""Notebook 61: what training on attacked examples keeps, by the records."""

import pandas as pd

import papers
from papers.frontier import experiments
from tests.notebooks.summaries import interval
from tests.prose import Prose

NAME = "61_robust_at_one_percent"
RADII = experiments.ATTACK_RADII
STUDIES = {name: papers.EXPERIMENTS[f"{name}_summary"].runs("paper") for name in RADII}
ALL = [study for studies in STUDIES.values() for study in studies]
TUNED = [study for study in ALL if study.parent.experiment.endswith("_tuning")]
ON_TEST = [study for study in ALL if study not in TUNED]
SLOW = "learning rate 0.1"


def attacks_made(experiment="attacked"):
    """Percent by measure and strength: of tuning by method and variant, of networks for the test
    images by method, a column a seed.
    """
    tuned, final = {}, {}
    for record in papers.obtain(f"{experiment}_summary", "paper"):
        run = record.config
        values = 100 * record.metrics.groupby(["measure", "strength"])["value"].mean()
        if run.parent.experiment == f"{experiment}_tuning":
            tuned[run.method, run.variant] = values
        else:
            final.setdefault(run.method, []).append(values)
    return tuned, {method: pd.concat(of, axis=1) for method, of in final.items()}


def says_what_attacks_leave(text):
    ((starts, queries, images),) = {(s.restarts, s.queries, s.images) for s in ON_TEST}
    words = (
        "PGD with {} starts, APGD with two losses, and Square with {:,} queries. All numbers are"
    )
    text.says(words + " of all {:,} test images", starts, queries, images)
    trained = {run.experiment: run.adversarial_radius for run in (s.parent for s in ON_TEST)}
    text.says("If {:g} was full from the first epoch, RigL diverged", trained["attacked"])
    small, large = (attacks_made(experiment)[1]["rigl"] for experiment in RADII)
    mean, ends = [], []
    for of, radius in ((small, 0.1), (large, 0.3)):
        at = of.mean(axis=1)
        mean.append([at["all attacks", radius], at["pgd", radius], at["accuracy", 0]])
        ends += interval(of.loc["all attacks", radius])[1:]
    (kept, pgd, clean) = zip(*mean, strict=True)
    text.says("RigL keeps {:.1f} % and {:.1f} %.** That is with 1 % of the links", *kept)
    words = "The 95 % intervals over {} seeds are [{:.1f}, {:.1f}] and [{:.1f}, {:.1f}]"
    text.says(words, 5, *ends)
    text.says("PGD alone leaves {:.1f} % and {:.1f} %", *pgd)
    text.says("If nobody changes them, {:.1f} % and {:.1f} % of the images are right", *clean)
    assert (large.loc["pgd", 0.3] > large.loc["apgd_dlr", 0.3]).all()
    assert (large.loc["apgd_dlr", 0.3] > large.loc["all attacks", 0.3] + 0.5).all()
    words = "RigL classifies {:.1f} % right under all our attacks with a radius of {:g}, and "
    text.says(words + "{:.1f} % with one of {:g}", kept[0], 0.1, kept[1], 0.3)
    says_what_was_tried(text)
    words = "Trained for attacks with a radius of {:g}, RigL still classifies {:.0f} % right "
    words += "without {:.0f} % of its links, and {:.0f} % without {:.0f} %"
    left = [[of.mean(axis=1)["links removed", f] for f in (0.1, 0.3)] for of in (large, small)]
    text.says(words, 0.3, left[0][0], 10, left[0][1], 30)
    text.says("For the smaller radius it is {:.0f} % and {:.0f} %", *left[1])


def says_what_was_tried(text):
    """All settings of RigL but the one that diverges, and one of the small dense network."""
    (images,) = {study.images for study in TUNED}
    chosen = (
        of_rigl("weakly_attacked")[0]["radius 0.2"],
        of_rigl("attacked")[0]["ten steps, " + SLOW],
    )
    words = "On the {:,} validation images, which may be harder, the same trainings kept {:.1f} %"
    text.says(words + " and {:.1f} %", images, *chosen)
    says_what_helps_at_the_smaller_radius(text, images)
    says_what_helps_at_the_larger_radius(text, images)


def chosen_of(kept, clean, images):
    """The most accurate setting of those within one standard error of the best, these, and the
    error.
    """
    share = kept.max() / 100
    error = 100 * (share * (1 - share) / images) ** 0.5
    near = kept[kept > kept.max() - error].index
    return clean[near].idxmax(), set(near), error


def of_rigl(experiment):
    """Of every setting: what all attacks leave, what PGD leaves, and accuracy without an attack."""
    tuned, radius = attacks_made(experiment)[0], RADII[experiment]
    found = {variant: values for (method, variant), values in tuned.items() if method == "rigl"}
    places = ("all attacks", radius), ("pgd", radius), ("accuracy", 0)
    return [pd.Series({name: values[place] for name, values in found.items()}) for place in places]


def says_what_helps_at_the_smaller_radius(text, images):
    kept, _, clean = of_rigl("weakly_attacked")
    chosen, near, error = chosen_of(kept, clean, images)
    assert (chosen, near) == ("radius 0.2", {"radius 0.2", "TRADES"})
    assert clean[kept > kept.max() - 1].idxmax() == "larger radius"
    assert experiments.CHOSEN_LEVERS["weakly_attacked"]["rigl"] == {"adversarial_radius": 0.2}
    words = "*Attacks with a radius of {:g}.* TRADES keeps most at the larger rate, {:.1f} %"
    text.says(words, 0.1, kept["TRADES"])
    text.says("With usual training the smaller rate loses {:.1f}", kept["usual"] - kept[SLOW])


def says_what_helps_at_the_larger_radius(text, images):
    kept, pgd, clean = of_rigl("attacked")
    tried = {(s.method, s.variant) for s in TUNED if s.parent.experiment == "attacked_tuning"}
    tuned = attacks_made()[0]
    assert tried - tuned.keys() - {("rigl", "larger radius")} == {
        key for key in tried - {("dense_small", SLOW)} if key[0] != "rigl"
    }
    gains = [
        kept[SLOW if lever == "usual" else f"{lever}, {SLOW}"] - kept[lever]
        for lever in ("usual", "ten steps", "TRADES")
    ]
    words = (
        "At the smaller rate each training that ended at both keeps {:.1f} to {:.1f} points more"
    )
    text.says(words, min(gains), max(gains))
    chosen, near, _ = chosen_of(kept, clean, images)
    assert near == {SLOW, f"ten steps, {SLOW}", f"TRADES, {SLOW}"}
    width = kept[list(near)].max() - kept[list(near)].min()
    text.says("There usual training, ten steps and TRADES lie within {:.1f} points", width)
    larger = f"larger radius, {SLOW}"
    text.says("loses {:.1f} points under all attacks", kept[SLOW] - kept[larger])
    assert pgd[larger] > pgd[SLOW]
    assert chosen == f"ten steps, {SLOW}"
    assert experiments.CHOSEN_LEVERS["attacked"]["rigl"] == {
        "adversarial_steps": 10,
        "learning_rate": 0.1,
    }
    small = tuned["dense_small", SLOW]["all attacks", 0.3]
    text.says("The small dense network keeps {:.0f} % there, with usual training", small)


def test_text_says_what_is_not_run_while_that_is_so():
    text = Prose(NAME).text
    _, final = attacks_made()
    assert list(final) == ["rigl"]
    assert "fixed links and the small dense network are not run on test images yet." in text
