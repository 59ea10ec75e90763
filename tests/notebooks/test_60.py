"""Notebook 60: every number of its text follows from the records and from what is published."""

import math

import numpy as np
import pandas as pd

import papers
from lib._boundary import REFERENCE
from papers.frontier import experiments
from papers.frontier.experiments import LOCAL
from papers.shared import trained
from tests.notebooks import test_11 as ablation
from tests.notebooks import test_61 as certified
from tests.notebooks import test_61_attacks as attacks
from tests.notebooks.summaries import (
    best_accuracy,
    by_fields,
    differs,
    interval,
    last_valid_accuracy,
)
from tests.prose import Prose

RUNS = papers.EXPERIMENTS["cifar10_start"].runs("paper")
TUNING = papers.EXPERIMENTS["cifar10_start_tuning"].runs("paper")


def by_rate(rate):
    """Validation accuracy at the last epoch, percent and seed by seed, by start."""
    return by_fields("cifar10_start_tuning", "variant", last_valid_accuracy, learning_rate=rate)


def reached():
    """That at the rate that all share, of every seed."""
    return pd.DataFrame(by_rate(RUNS[0].learning_rate))


def on_test_images(method="rigl"):
    """Test accuracy at the last epoch, percent, by start and seed."""
    found = by_fields("cifar10_start", "variant", method=method)
    return pd.DataFrame({start: pd.Series(values) for start, values in found.items()})


def says_what_moving_adds(text):
    """RigL and fixed links of equal seeds."""
    rigl, fixed = on_test_images(), on_test_images("fixed")
    (seeds,) = {of.count() for _, of in fixed.items()}
    worth = (fixed[LOCAL] - fixed["random start"]).mean()
    text.says("To fixed links the local start is worth {:.1f} points", worth)
    for start in (LOCAL, "random start", "places shuffled"):
        of = (rigl[start] - fixed[start]).dropna()
        assert len(of) == seeds
        assert differs(of) == (start != LOCAL)
        assert start == LOCAL or 0 < of.mean() < worth / 3
    return fixed[LOCAL].dropna()


def says_where_links_end(text):
    """By pairs of neurons one by one, of the networks of seed 0."""
    near, far = {}, {}
    for record in papers.obtain("cifar10_start", "paper"):
        run = record.config
        if (run.seed, run.method) != (0, "rigl"):
            continue
        hidden = list(trained.supports(record).values())[:3]
        for support, reach in zip(hidden, (2, 2, 3), strict=True):
            place = support.row.numpy() % 1024, support.col.numpy() % 1024
            down = abs(place[0] // 32 - place[1] // 32)
            apart = np.maximum(down, abs(place[0] % 32 - place[1] % 32))
            far.setdefault(run.variant, []).append(apart > reach)
            near.setdefault(run.variant, []).append(np.bincount(apart, minlength=32)[:9])
    pairs = np.zeros(32, int)
    for i in range(32):
        down = abs(np.arange(32) - i)
        for j in range(32):
            apart = np.maximum(down[:, None], abs(np.arange(32) - j))
            pairs += np.bincount(apart.flatten(), minlength=32)
    most = 100 * (np.array(near["random start"]) / (9 * pairs[:9])).max()
    words = "at no distance up to {} pixels has more than {:.1f} % of the pairs a link"
    text.says(words, 8, math.ceil(10 * most) / 10)
    beyond = 100 * np.concatenate(far[LOCAL]).mean()
    text.says("At the end {:.0f} % of them lie beyond it", beyond)


def says_verdicts(text):
    others = pd.read_csv(REFERENCE / "related_results.csv")
    others = others[others["architecture"].str.contains("1568", na=False)]
    assert others["note"].str.contains("100 epochs").all()
    place = "fashion_mnist", "sharpness-aware", "rigl"
    last = by_fields("accuracy_by_recipe", ablation.PLACE)[place]
    best = by_fields("accuracy_by_recipe", ablation.PLACE, best_accuracy)[place]
    others = others.query("dataset == 'Fashion-MNIST' and density < 1")
    others = others.query("metric == 'test_accuracy_percent'")
    assert others["note"].str.contains("keeps the best test epoch").all()
    most = others["value"].max()
    assert interval(last)[2] < most
    words = "By best epochs RigL has {:.2f} %, and the interval holds the published {:.2f}"
    text.says(words, best.mean(), most)
    _, low, high = interval(best)
    assert low < most < high


def says_levers(text):
    """By the records of the tunings, without the library's comparison of groups."""
    most = {}
    for dataset in ("mnist", "fashion_mnist"):
        at = {"dataset": dataset, "method": "rigl"}
        last = by_fields("accuracy_tuning", "variant", last_valid_accuracy, **at)
        last = {variant: of.item() for variant, of in last.items()}
        without = last.pop("as tuned")
        most[dataset] = max((value - without, lever) for lever, value in last.items())
    assert most["fashion_mnist"][0] > most["mnist"][0]
    assert most["fashion_mnist"][1] == "sharpness-aware"
    words = "no recipe gains more than {:.1f} points (one seed each)"
    text.says(words, most["fashion_mnist"][0])
    on_test = by_fields("accuracy_by_recipe", ablation.PLACE)
    tuned = by_fields("adaptive_topology_1568", ablation.PLACE)
    gain, low, high = ablation.welch(
        on_test["fashion_mnist", "sharpness-aware", "rigl"],
        tuned["fashion_mnist", "tuned", "rigl"],
    )
    assert low < 0 < high
    text.says("On test images they gain {:.2f} points, which may be zero", gain)
    ends = reached()
    gain = (ends[LOCAL] - ends["random start"]).mean()
    assert len(ends) == 2
    text.says("A local start on CIFAR-10 gains most, {:.1f} points (two seeds)", gain)
    says_levers_of_start(text, ends[LOCAL])
    tried = certified.certificates_made()[0]["rigl"]
    proved = {variant: values["certified", 0.1] for variant, values in tried.items()}
    text.says("compared with κ = {:g} and a radius of {:g} in training", 0.5, 0.1)
    assert max(proved, key=proved.get) == "kappa 0.5, radius 0.15, rate 0.2"
    (images,) = {study.images for study in attacks.TUNED}
    words = "There attacks have a radius of {:g} or {:g}, on {:,} of the validation images"
    text.says(words, 0.1, 0.3, images)
    small, large = (attacks.of_rigl(name)[0] for name in ("weakly_attacked", "attacked"))
    assert attacks.SLOW == "learning rate 0.1" and small[attacks.SLOW] < small["usual"]
    for kept, best in ((large, attacks.SLOW), (small, "TRADES")):
        alone = [name for name in kept.index if name == attacks.SLOW or attacks.SLOW not in name]
        assert kept[alone].idxmax() == best


def says_levers_of_start(text, without):
    """Of RigL from a local start; ``without``: its validation accuracy without any, by seed."""
    levers = by_fields("cifar10_levers", "variant", last_valid_accuracy)
    gains = {variant: of.item() - without[0] for variant, of in levers.items()}
    assert set(gains) == set(experiments.START_LEVERS)
    first, second = sorted(gains, key=gains.get)[:-3:-1]
    assert (first, second) == ("twice the epochs", "links that stay")
    assert min(gains, key=gains.get) == "five times the decay"
    words = "With half of that our RigL from a local start lost {:.1f} points on validation images"
    loss = -gains["images moved less"]
    text.says(words, loss)
    assert experiments.START_LEVERS["images moved less"] == {"augmentation": 0.5}
    assert loss > on_test_images()[LOCAL].mean() - published().max()
    log = pd.read_csv(REFERENCE / "related_results.csv")
    notes = log.query("architecture == 'MLP 3072-3072-3072-3072-10'")["note"]
    assert not notes.str.contains("augment").any()


def longer_curves():
    """Validation accuracy of longer training, percent: a row an epoch, from 1; a column a variant
    and a seed.
    """
    curves = {}
    for record in papers.obtain("cifar10_longer_tuning", "paper"):
        run, table = record.config, record.metrics.set_index("epoch")
        curves[run.variant, run.seed] = 100 * table["valid_accuracy"]
    return pd.DataFrame(curves).sort_index(axis=1)


def says_longer(text, without, fixed):
    """Of longer training; ``without``: validation accuracy of RigL from a local start, by seed;
    ``fixed``: test accuracy of fixed links from there, by seed.
    """
    stay, near, move = experiments.LONGER_TRIED
    end = pd.DataFrame(by_fields("cifar10_longer_tuning", "variant", last_valid_accuracy))
    loss = by_fields("cifar10_longer_tuning", "variant", last_loss)
    loss = {variant: of.mean() for variant, of in loss.items()}
    assert list(end.index) == [0, 1]
    assert end.mean().idxmax() == experiments.LONGER_CHOSEN == stay
    assert (end[[stay, near]].min(axis=1) > end[move]).all()
    words = "They end {:.1f} points above RigL from a local start, which had half the epochs"
    text.says(words, (end[stay] - without).mean())
    (short,) = by_fields("cifar10_levers", "variant", last_valid_accuracy)[stay]
    text.says("The longer training adds {:.1f} points there", end[stay][0] - short)
    words = "With equal epochs, averages and reaches, links that stay end {:.1f} points above RigL"
    text.says(words, (end[near] - end[move]).mean())
    gain = (end[move] - without).mean()
    text.says("RigL gains only {:.1f} points by three levers at once", gain)
    words = "Its training loss ends at {:.2f}, and that of links that stay with the same reaches at"
    text.says(words + " {:.2f}", loss[move], loss[near])
    words = "links that stay end {:.1f} points apart, which may be chance"
    text.says(words, (end[stay] - end[near]).mean())
    mean = longer_curves().T.groupby(level=0).mean().T
    words = "RigL is highest after {} epochs, and then loses {:.1f} points"
    text.says(words, mean[move].idxmax(), mean[move].max() - mean[move].iloc[-1])
    text.says("After some {:.0f} epochs it loses accuracy", round(mean[move].idxmax(), -1))
    words = "Even at the best epoch of each, links that stay lead by {:.1f} points"
    text.says(words, mean[near].max() - mean[move].max())
    words = "From there several levers together gain up to {:.1f} points (two seeds)"
    text.says(words, (end[stay] - without).mean())
    says_longer_on_test_images(text, fixed)


def last_loss(record):
    return record.metrics["train_loss"].iloc[-1]


def says_longer_on_test_images(text, fixed):
    """``fixed``: test accuracy of fixed links from a local start after fewer epochs, by seed."""
    (reached,) = by_fields("cifar10_longer", "method").values()
    assert len(reached) == 5
    gained = (pd.Series(reached) - fixed).dropna()
    assert len(gained) == 3
    _, low, high = interval(gained)
    zero = "" if low > 0 else ", which may be zero"
    text.says("with longer averages, gain {:.1f} points" + zero + ".", gained.mean())
    text.says("The {} % interval of this gain goes from {:.1f} to {:.1f}", 95, low, high)


def says_aims(text):
    """The aims are those of the table of the notebook."""
    by_recipe = by_fields("accuracy_by_recipe", "dataset variant", method="rigl")
    mean = {key: of.mean() for key, of in by_recipe.items()}
    tied = mean["mnist", "labels softened"], mean["mnist", "what helps, together"]
    assert 0 < 99.3 - max(tied) and 99.3 - min(tied) < 0.5
    assert 0 < 91.2 - mean["fashion_mnist", "sharpness-aware"] < 0.5
    text.says("the better one of the two recipes RigL reaches {:.2f} % on MNIST", max(tied))
    kept = {
        radius: attacks.attacks_made(experiment)[1]["rigl"].mean(axis=1)
        for experiment, radius in attacks.RADII.items()
    }
    assert kept[0.1]["all attacks", 0.1] > 97
    text.says("There PGD alone leaves {:.1f} %", kept[0.3]["pgd", 0.3])


def published():
    table = pd.read_csv(REFERENCE / "related_results.csv")
    table = table.query("architecture == 'MLP 3072-3072-3072-3072-10'")
    table = table.query("metric == 'test_accuracy_percent'")
    return table.set_index("method")["value"]


def test_numbers_of_the_text_follow():
    text, others = Prose("60_accuracy_at_one_percent"), published()
    on_test = on_test_images()
    local, other = on_test[LOCAL], on_test.drop(columns=LOCAL)
    assert local.notna().all()
    anywhere, shuffled = (other[s].dropna() for s in ("random start", "places shuffled"))
    assert len(local) == len(anywhere) == len(shuffled)
    stay = on_test_images("fixed").mean()
    for words, start in {
        "near their neuron (local start)": LOCAL,
        "the same, but places shuffled": "places shuffled",
        "anywhere (random start)": "random start",
    }.items():
        row = f"| {words} | {on_test[start].mean():.1f} | {stay[start]:.1f} |"
        assert row in text.cells[0].source
    fixed = says_what_moving_adds(text)
    assert not differs(shuffled - anywhere) and interval(local - shuffled)[1] > 0
    least = math.floor(10 * (local.min() - other.max(axis=None))) / 10
    words = "Every seed of RigL from the local start ends {} points or more above both other starts"
    text.says(words, least)
    mean, low, high = interval(local)
    assert low > others.max()
    mean, least, most = interval(fixed)
    assert least < others.max() < mean and most - least > high - low
    assert anywhere.min() > others["RigL"]
    elsewhere = anywhere.mean() - others["RigL"]
    text.says("our RigL ends some {:.0f} points above published RigL", elsewhere)
    says_where_links_end(text)
    ends = reached()
    assert list(ends.index) == [0, 1] and not ends.isna().any(axis=None)
    ahead = ends[LOCAL] - ends["places shuffled"]
    within = (ends["places shuffled"] - ends["random start"]).abs().max()
    assert ahead.min() > 3 * within
    words = "In both seeds the local start ends {:.1f} points or more above its control"
    text.says(words, math.floor(10 * ahead.min()) / 10)
    assert others.idxmax().startswith("CHTss")
    below = others[others < others["dense"]]
    assert set(below.index) == {"CHT", "SET"}
    run = next(run for run in RUNS if run.reaches)
    first, second, last = run.reaches
    assert first == second
    log = pd.read_csv(REFERENCE / "related_results.csv").query("dataset == 'CIFAR10'")
    decays = (
        log[log["note"].str.contains("density decays from 0.5")]["method"].str.split(" ").str[0]
    )
    assert set(decays) == {"CHTss", "GraNet", "GMP"}
    links = 3 * round(0.01 * 3072**2) + 10 * 3072
    text.says("They keep 1 % of the links there, and a dense output layer: {:,} links", links)
    rates = sorted({run.learning_rate for run in TUNING})
    assert rates[1] == RUNS[0].learning_rate
    usual, slow = reached(), by_rate(rates[0])
    gains = {
        start: np.mean([of - usual[start][i] for i, of in enumerate(values)])
        for start, values in slow.items()
    }
    words = (
        "With {:g} in place of {:g} a local start ends {:.1f} points higher on validation images"
    )
    text.says(words, *rates, gains[LOCAL])
    text.says("places shuffled end {:.1f} points lower", -gains["places shuffled"])
    text.says("A random start ends {:.1f} points lower (two seeds)", -gains["random start"])
    says_levers(text)
    says_longer(text, ends[LOCAL], fixed)
    says_aims(text)
    says_verdicts(text)
    assert not text.uncovered()


def test_text_says_what_is_not_run_while_that_is_so():
    text = Prose("60_accuracy_at_one_percent").text
    slow = {start: len(values) for start, values in by_rate(RUNS[0].learning_rate / 2).items()}
    assert slow == {"random start": 2, LOCAL: 1, "places shuffled": 1}
    assert "One seed of two starts is not run" in text
    made = on_test_images().notna().sum()
    assert made.eq(5).all() and on_test_images("fixed").notna().sum().eq(3).all()
