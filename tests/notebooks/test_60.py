"""Notebook 60: every number of its text follows from the records and from what is published."""

import pandas as pd

from lib import papers
from lib.command import planned
from lib.papers.frontier.experiments import LOCAL
from lib.paths import REFERENCE
from tests.prose import Prose

RUNS = papers.EXPERIMENTS["cifar10_start"].runs("paper")
TUNING = papers.EXPERIMENTS["cifar10_start_tuning"].runs("paper")


def reached():
    """Validation accuracy at the last epoch, percent, by start and seed, at the rate that all
    share.
    """
    found = {}
    for record in papers.obtain("cifar10_start_tuning", "paper"):
        run = record.config
        if run.learning_rate == RUNS[0].learning_rate:
            last = 100 * record.metrics["valid_accuracy"].iloc[-1]
            found.setdefault(run.variant, {})[run.seed] = last
    return pd.DataFrame(found)


def published():
    table = pd.read_csv(REFERENCE / "related_results.csv")
    table = table.query("architecture == 'MLP 3072-3072-3072-3072-10'")
    table = table.query("metric == 'test_accuracy_percent'")
    return table.set_index("method")["value"]


def test_numbers_of_the_text_follow():
    text, others = Prose("60_accuracy_at_one_percent"), published()
    ends = reached()
    assert list(ends.index) == [0, 1] and not ends.isna().any(axis=None)
    means = ends.mean()
    words = "RigL reaches {:.1f} % from a local start, and {:.1f} % from a random one (two seeds)"
    text.says(words, means[LOCAL], means["random start"])
    text.says("so that only nearness is lost, it reaches {:.1f} %", means["places shuffled"])
    ahead = ends[LOCAL] - ends["places shuffled"]
    text.says("the local start ends {:.1f} points or more above its control", ahead.min())
    within = (ends["places shuffled"] - ends["random start"]).abs().max()
    text.says("The control stays within {:.1f} points of the random start", within)
    assert ahead.min() > 3 * within
    text.says("ends with 1 % of the links, begins with half of them")
    assert others.idxmax().startswith("CHTss")
    text.says("and reaches {:.2f} % on test images", others.max())
    text.says("A dense one reaches {:.2f} %", others["dense"])
    below = others[others < others["dense"]]
    assert set(below.index) == {"CHT", "SET"}
    text.says("all rules but CHT and SET end above the dense network")
    run = next(run for run in RUNS if run.reaches)
    first, second, last = run.reaches
    assert first == second
    text.says("The local start reaches {} pixels, and {} in the last hidden layer", first, last)
    assert {run.hidden for run in RUNS} == {(3072, 3072, 3072)}
    text.says("three hidden layers of 3,072 neurons")
    assert {run.density for run in RUNS} == {0.01}
    text.says("networks of the same widths with 1 % of the links for 100 epochs")
    log = pd.read_csv(REFERENCE / "related_results.csv").query("dataset == 'CIFAR10'")
    decays = (
        log[log["note"].str.contains("density decays from 0.5")]["method"].str.split(" ").str[0]
    )
    assert set(decays) == {"CHTss", "GraNet", "GMP"}
    text.says("CHTss, GraNet and GMP begin with half of the links")
    links = 3 * round(0.01 * 3072**2) + 10 * 3072
    text.says("They keep 1 % of the links there, and a dense output layer: {:,} links", links)
    assert {run.validation for run in TUNING} == {5000}
    text.says("We hold 5,000 training images back")
    rates = sorted({run.learning_rate for run in TUNING})
    assert rates[0] * 2 == rates[1] == RUNS[0].learning_rate
    text.says("share one learning rate, {:g}. We also train each with half of it", rates[1])
    hours = planned.planned().query("item == '10'")["core_hours"].sum()
    text.says("(some {:.0f} core-hours)", hours)
    text.says("Distance 0 is the place of the neuron itself")
    assert not text.uncovered()


def test_seeds_are_those_that_the_text_names():
    text = Prose("60_accuracy_at_one_percent")
    seeds = {
        method: len({r.seed for r in RUNS if r.method == method}) for method in ("rigl", "fixed")
    }
    assert (seeds, len({run.seed for run in TUNING})) == ({"rigl": 5, "fixed": 3}, 2)
    text.says("Five seeds of RigL and three of fixed links are planned for each start")
    text.says("come two seeds on validation images")


def test_text_says_what_is_not_run_while_that_is_so():
    text = Prose("60_accuracy_at_one_percent").text
    (rate,) = {r.config.learning_rate for r in papers.obtain("cifar10_start_tuning", "paper")}
    assert rate == RUNS[0].learning_rate
    assert "The picture shows the networks that are complete, all at the larger rate." in text
    assert papers.obtain("cifar10_start", "paper") == []
    assert "Test images were not read yet." in text
    assert "None of our networks is trained on all training images yet." in text
