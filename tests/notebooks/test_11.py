"""What notebook 11 says is what the records say."""

import numpy as np
import pytest
from scipy import stats

import papers
from lib._boundary import ROOT
from papers.set.experiments import SETTINGS
from tests.notebooks.summaries import (
    by_fields,
    final_accuracy,
    first_links,
    interval,
    last_accuracy,
    last_valid_accuracy,
    says_reruns,
)
from tests.prose import Prose

DATASETS = ("mnist", "fashion_mnist")
METHODS = ("fixed", "set", "rigl")
PLACE = "dataset variant method"
ALLOWED = -float(papers.PUBLISHED.set_index("id").loc["S34", "threshold"])  # points


def after(epochs):
    """A function of a record: test accuracy after so many epochs, percent; nan if it had fewer."""

    def accuracy(record):
        curve = record.metrics["test_accuracy"]
        return 100 * curve.iloc[epochs - 1] if len(curve) >= epochs else np.nan

    return accuracy


@pytest.fixture(scope="module")
def ablation():
    """Accuracy by method and setting at the last epoch of SET."""
    return by_fields("set_ablation", "method variant", after(60))


def with_choice(ablation, method, choice):
    """Mean over the settings that have a choice, by seed."""
    chosen = [name for name in SETTINGS if choice in name.split(", ")]
    return np.mean([ablation[method, name] for name in chosen], axis=0)


def test_numbers_of_the_text_are_those_of_the_records(ablation):
    text = Prose("11_set_ablation")
    says = text.says
    removals = by_fields("set_removals", "method")
    assert removals["set_largest_removal"].mean() == pytest.approx(10)
    says(
        "1,000 neurons a layer, and the paper's settings. These are a constant learning rate of"
        " .01 and batches of 100"
    )
    how_many_links(text)
    settings(text, ablation)
    longer()
    fixed_links_catch_up(text)
    close_to_dense(text)
    choices(text)
    variants()
    recipes(text)
    decay(text)
    tuned_for_each(text)
    says("The authors' log of CIFAR-10 has 1,000 epochs")
    with_l1 = sum(name.endswith("L1") for name in SETTINGS)
    says(f"That of S32 counts {with_l1 * (len(SETTINGS) - with_l1)} pairs together")
    says("as long as in the authors' log**, 40 times ours")
    assert not text.uncovered()


def how_many_links(text):
    means = {name: of.mean() for name, of in by_fields("set_sensitivity", "variant").items()}
    spans = []
    for epsilon in (10, 20, 40):
        of_epsilon = [means[f"ε = {epsilon}, ζ = {zeta:g}"] for zeta in (0.1, 0.2, 0.3, 0.4, 0.5)]
        spans.append(np.ptp(of_epsilon))
    assert max(spans) < 0.3
    text.says("changes by less than 0.3 points")
    text.says("10,000 links, is among them")
    links = {
        name: of[0] for name, of in by_fields("set_sensitivity", "variant", first_links).items()
    }
    for words, variant in (
        ("With {:,} links it reaches {:.1f} %", "ε = 5, ζ = 0.3"),
        ("even with {:,} links SET learns.** But it reaches only {:.1f} % then", "ε = 1, ζ = 0.3"),
    ):
        text.says(words, links[variant], means[variant])
    assert min(links, key=links.get) == "ε = 1, ζ = 0.3"
    assert min(means.values()) > 50  # chance: 10 %
    swept = [
        mean for name, mean in means.items() if name.split(",")[0] in ("ε = 10", "ε = 20", "ε = 40")
    ]
    assert len(swept) == 15
    text.says("Over these three ε and five ζ together it ranges by {:.2f} points", np.ptp(swept))
    assert np.ptp(swept) > 2 * max(spans)  # mostly with ε


def settings(text, ablation):
    seconds = {}
    for record in papers.STORE.of("set_ablation", "paper"):
        of_epoch = record.environment["seconds"] / record.config.epochs
        seconds.setdefault(record.config.method, []).append(of_epoch)
    assert 4.5 < np.median(seconds["dense"]) / np.median(seconds["set"]) < 5.5  # some five times
    assert all((ablation["set", name] - ablation["fixed", name]).mean() > 0 for name in SETTINGS)
    at_8 = by_fields("set_ablation", "method variant", after(8))
    assert all((at_8["dense", name] - at_8["set", name]).mean() > 0 for name in SETTINGS)


def choices(text):
    """What a choice changes, over all settings that share it."""
    sooner, end = effects(60), effects(300)
    assert surely_differ(sooner) == [("set", "ReLU")]
    assert surely_differ(end) == [("fixed", "L2")]
    words = "After {} epochs ReLU leads SReLU by {:.2f} points with SET; after {} nothing"
    text.says(words, 60, sooner["set", "ReLU"].mean(), 300)
    assert all(end[method, "ReLU"].mean() < 0 for method in ("set", "fixed"))
    steps = 300 * 60000 / 100
    text.says("a weight by {:.3f} at most", steps * 0.01 * 1e-7 / (1 - 0.9))


def effects(epoch):
    """{(method, choice): points by seed} of the long runs after so many epochs."""
    at = at_epoch(epoch)
    bases = {"L2": "none", "L1": "none", "Nesterov": "momentum", "ReLU": "SReLU"}
    return {
        (method, choice): with_choice(at, method, choice) - with_choice(at, method, of)
        for method in ("set", "fixed")
        for choice, of in bases.items()
    }


def surely_differ(effects):
    """Those whose interval excludes zero, if all of them count."""
    level = 1 - 0.05 / len(effects)
    intervals = {key: interval(values, level) for key, values in effects.items()}
    return [key for key, (_, low, high) in intervals.items() if low > 0 or high < 0]


def longer():
    """The settings that the paper names, among all, at the end and after 60 epochs."""
    best, second = "SReLU, momentum, none", "SReLU, momentum, L2"
    end, sooner = ({name: at["set", name] for name in SETTINGS} for at in map(at_epoch, (300, 60)))
    ranked = sorted(SETTINGS, key=lambda name: end[name].mean(), reverse=True)
    assert ranked[0] == best and ranked.index(second) == 4  # the fifth
    with_relu = [sooner[name] for name in SETTINGS if name.startswith("ReLU")]
    assert min(values.mean() for values in with_relu) > sooner[best].mean()
    others = {name: values - end[best] for name, values in end.items() if name != best}
    assert len(surely_behind(others)) == 3


def at_epoch(epoch):
    """{(method, setting): percent by seed} after so many epochs."""
    return long_accuracies(slice(epoch - 1, epoch))


def long_accuracies(epochs=slice(299, 300), of_curve=np.mean):
    """{(method, setting): percent by seed} after 300 epochs, or over other epochs."""
    return of_long_runs(
        lambda record: of_curve(100 * record.metrics["test_accuracy"].to_numpy()[epochs])
    )


def of_long_runs(number):
    """{(method, setting): a number of each long run, by seed}."""
    found = by_fields("set_ablation_long", "method variant", number)
    assert {len(of) for of in found.values()} == {5}
    return found


def long_leads(epochs=slice(299, 300), of_curve=np.mean):
    """SET minus fixed links by setting after 300 epochs, or over other epochs: points by seed."""
    return set_minus_fixed(long_accuracies(epochs, of_curve))


def set_minus_fixed(at):
    """By setting, points by seed."""
    return {name: at["set", name] - at["fixed", name] for name in SETTINGS}


def surely_behind(leads):
    """Settings in which SET is behind for sure, if all of them count."""
    level = 1 - 0.05 / len(leads)
    return [name for name, of in leads.items() if interval(of, level)[2] < 0]


def fixed_links_catch_up(text):
    early, end, late = (long_leads(slice(*of)) for of in ((59, 60), (299, 300), (270, 300)))
    total = [mean_lead(of) for of in (early, end, late)]
    text.says("SET leads early: by {:.2f} points after {} epochs", total[0].mean(), 60)
    assert interval(total[0])[1] > 0
    windows = [mean_lead(long_leads(slice(e, e + 30))).mean() for e in range(0, 300, 30)]
    assert windows == sorted(windows, reverse=True)
    assert interval(total[2])[1] < 0 < interval(total[2])[2]
    assert surely_behind(end) == ["SReLU, momentum, L1"]
    assert not surely_behind({name: -of for name, of in late.items()})
    after_removal = set_minus_fixed(of_long_runs(final_accuracy))
    for other in (late, early, long_leads(slice(0, 300), np.max), after_removal):
        assert not surely_behind(other)
    text.says("the mean lead is {:.2f}, and differs from zero", total[1].mean())
    assert interval(total[1])[2] < 0
    before = [interval(mean_lead(long_leads(slice(e, e + 1))))[2] < 0 for e in range(270, 299)]
    assert sum(before) < len(before) / 4  # at most epochs shortly before it does not
    assert all(of.mean() > 0 for of in early.values())
    assert not surely_behind({name: -of for name, of in early.items()})


def close_to_dense(text):
    """How far dense is ahead of SET in the two settings in which it trains as long."""
    windows = [leads_of_dense(slice(first, first + 30)) for first in range(0, 300, 30)]
    relu, srelu = ([window[name].mean() for window in windows] for name in ("ReLU", "SReLU"))
    end, late = leads_of_dense(), leads_of_dense(slice(270, 300))
    assert all(interval(lead)[1] > 0 for lead in [*end.values(), *late.values()])
    assert min(relu[:3]) > max(relu[3:]) and relu[-1] > min(relu[4:])
    text.says("Over the last {} epochs it is {:.2f} points", 30, relu[-1])
    assert srelu[-1] == min(srelu) and srelu[3] - srelu[-1] > 0.3
    text.says("Over the last {} epochs it is {:.2f}.", 30, srelu[-1])
    text.says("We allow {:g} points, and judge at the last epoch", ALLOWED)
    assert surely_above_allowed(end) == ["SReLU"]
    best = leads_of_dense(slice(0, 300), np.max)
    assert surely_above_allowed(late) == surely_above_allowed(best) == ["ReLU"]


def leads_of_dense(epochs=slice(299, 300), of_curve=np.mean):
    """{activation: dense minus SET by seed} after 300 epochs, or over other epochs, points."""
    at = long_accuracies(epochs, of_curve)
    names = [name for method, name in at if method == "dense"]
    return {name.split(",")[0]: at["dense", name] - at["set", name] for name in names}


def surely_above_allowed(leads):
    """Activations with which dense surely leads by more than S34 allows, of twelve settings."""
    level = 1 - 0.05 / len(SETTINGS)
    return sorted(name for name, of in leads.items() if interval(of, level)[1] > ALLOWED)


def mean_lead(leads):
    """Mean over the settings, points by seed."""
    return np.mean([*leads.values()], axis=0)


def variants():
    """What weight decay costs, at the last epoch and after the last removal."""
    for number in (last_accuracy, final_accuracy):
        of = by_fields("set_variants", "variant", number)
        assert 0.05 < of["no weight decay"].mean() - of["as in the paper"].mean() < 0.25


def recipes(text):
    last = by_fields("accuracy_by_recipe", PLACE)
    tuned = by_fields("adaptive_topology_1568", PLACE)
    best = last["mnist", "what helps, together", "rigl"]
    (links,) = {
        r.metrics["links"].iloc[0] for r in papers.STORE.of("adaptive_topology_1568", "paper")
    }
    gain, low, _ = welch(best, tuned["mnist", "tuned", "rigl"])
    words = "bring it to {:.2f} % on MNIST, with {:,} links. That is {:.2f} points above"
    text.says(words, best.mean(), links, gain)
    assert low > 0
    alone = {"mnist": "labels softened", "fashion_mnist": "sharpness-aware"}
    for dataset, variant in alone.items():
        _, low, high = welch(last[dataset, variant, "rigl"], tuned[dataset, "tuned", "rigl"])
        assert low < 0 < high, variant
    tried = by_fields("accuracy_tuning", PLACE, last_valid_accuracy)
    assert {len(of) for of in tried.values()} == {1}
    says_reruns(text)


def numerics_of(experiment, *methods, dataset=None):
    """The numerics of its records, in order."""
    return sorted(
        record.numerics
        for record in papers.STORE.of(experiment, "paper")
        if record.config.method in methods and dataset in (None, record.config.dataset)
    )


def welch(ours, other):
    """Difference of two means with its 95 % interval, unpaired (Welch)."""
    low, high = stats.ttest_ind(ours, other, equal_var=False).confidence_interval()
    return ours.mean() - other.mean(), low, high


def before_and_after():
    """Percent of five seeds by tuning ("tuned": one decay for all, "chosen": for each), data set
    and method.
    """
    fields = "variant dataset method"
    ends = by_fields("adaptive_topology", fields, variant="tuned")
    ends |= by_fields("regularisation", fields, variant="chosen")
    ends = {key: of for key, of in ends.items() if key[2] in (*METHODS, "dense")}
    assert len(ends) == 16 and {len(values) for values in ends.values()} == {5}
    return ends


def leads_of(ends):
    """Leads over fixed links, points of each seed, by tuning, data set and method."""
    return {
        key: values - ends[*key[:2], "fixed"]
        for key, values in ends.items()
        if key[2] in ("set", "rigl")
    }


def leads_of_new_seeds():
    """Points on Fashion-MNIST over fixed links, of each seed that chose nothing, by method."""
    of = by_fields("other_seeds", "method")
    return {method: of[method] - of["fixed"] for method in ("set", "rigl")}


def tuned_for_each(text):
    ends = before_and_after()
    leads = leads_of(ends)
    mean = {key: lead.mean() for key, lead in leads.items()}
    words = "SET leads by {:.2f} points on MNIST and {:.2f} on Fashion-MNIST. With one weight decay"
    text.says(words, *(mean["chosen", dataset, "set"] for dataset in DATASETS))
    words = "RigL now leads by {:.2f} points on MNIST and {:.2f} on Fashion-MNIST"
    text.says(words, *(mean["chosen", dataset, "rigl"] for dataset in DATASETS))
    new = [lead.mean() for lead in leads_of_new_seeds().values()]
    text.says("there SET leads by {:.2f} points and RigL by {:.2f}", *new)
    how_far_leads_shrink(text, leads)
    _, low, high = interval(leads["chosen", "mnist", "set"])
    assert low < 0 < high and interval(leads["chosen", "fashion_mnist", "set"])[1] > 0
    what_tuning_gains(text, ends)
    beside_dense(text, ends)
    what_was_tried(text)


def how_far_leads_shrink(text, leads):
    for dataset in DATASETS:
        for method in ("set", "rigl"):
            before, now = (leads[tuning, dataset, method] for tuning in ("tuned", "chosen"))
            _, low, high = interval(now - before / 2)
            if (dataset, method) == ("fashion_mnist", "rigl"):
                assert high < 0  # it shrinks by more than half
                _, low, high = interval(now)
                assert low < 0 < high < 0.2
            else:
                assert low < 0 < high and 0.4 < now.mean() / before.mean() < 0.6


def what_tuning_gains(text, ends):
    gains = {key: values - ends["tuned", *key[1:]] for key, values in ends.items()}
    gains = {key[1:]: gain for key, gain in gains.items() if key[0] == "chosen"}
    fixed = [gains[dataset, "fixed"] for dataset in DATASETS]
    assert all(interval(gain)[1] > 0 for gain in fixed)
    words = "Tuning gains them {:.2f} points on MNIST and {:.2f} on Fashion-MNIST"
    text.says(words, *(gain.mean() for gain in fixed))
    for dataset in DATASETS:
        assert gains[dataset, "fixed"].mean() == max(gains[dataset, m].mean() for m in METHODS)
        mean, _, high = interval(gains[dataset, "rigl"])
        assert mean < 0 < high
    settings, at = "weight_decay dropout learning_rate", {"dataset": "mnist", "method": "set"}
    usual = by_fields("adaptive_topology", settings, variant="tuned", **at)
    chosen = by_fields("regularisation", settings, variant="chosen", **at)
    assert usual.keys() == chosen.keys() and len(usual) == 1


def beside_dense(text, ends):
    behind = {}
    for dataset in DATASETS:
        for method in METHODS:
            lead = ends["chosen", dataset, "dense"] - ends["chosen", dataset, method]
            behind[dataset, method] = interval(lead)
    points = [behind[dataset, "rigl"][0] for dataset in DATASETS]
    words = "RigL is {:.2f} points behind dense on MNIST and {:.2f} on Fashion-MNIST"
    text.says(words, *points)
    points = [behind[dataset, "set"][0] for dataset in DATASETS]
    text.says("SET is {:.2f} and {:.2f} behind", *points)
    may_be_zero = {key for key, (_, low, high) in behind.items() if low < 0 < high}
    assert may_be_zero == {("mnist", "rigl"), ("fashion_mnist", "set")}
    assert all(low > 0 for key, (_, low, _) in behind.items() if key not in may_be_zero)
    tried = {
        dataset: dense_settings("regularisation", dataset, tuning=True) for dataset in DATASETS
    }
    assert [len(tried[dataset]) for dataset in DATASETS] == [5, 4]
    ended = {dropout for _, dropout in tried["fashion_mnist"]}
    assert 0.5 not in ended and 0.3 in ended
    text.says("it is 0.3, as before; at 0.5 dense diverged")
    for dataset in DATASETS:
        (before,) = dense_settings("adaptive_topology", dataset)
        (now,) = dense_settings("regularisation", dataset)
        assert before[0] == now[0]  # its weight decay
    assert before == now and now[1] == max(dropout for _, dropout in tried["fashion_mnist"])
    text.says("On Fashion-MNIST it is {:g}, as before", now[1])
    text.says("On MNIST its dropout is {:g} now, by {:.2f} points", 0.1, tie_of_dense())
    page = (ROOT / "docs" / "RUNS.md").read_text(encoding="utf-8")
    assert "On Fashion-MNIST it also diverged with a dropout of 0.5" in page


def tie_of_dense():
    """By how much the dropout of dense on MNIST was chosen, points of validation accuracy."""
    tried = {"dataset": "mnist", "method": "dense", "evaluate_test": False}
    fields = "weight_decay dropout"
    valid = by_fields("regularisation", fields, last_valid_accuracy, **tried)
    best, second = sorted(valid, key=valid.get)[:-3:-1]
    assert (best, second) == ((2e-4, 0.1), (2e-4, 0.3))
    return (valid[best] - valid[second]).item()


def dense_settings(name, dataset, tuning=False):
    """Weight decay and dropout of dense networks of an experiment, on validation images or not."""
    where = {"dataset": dataset, "method": "dense", "evaluate_test": not tuning}
    return {*by_fields(name, "weight_decay dropout", **where)}


def what_was_tried(text):
    setting, valid = "weight_decay dropout", {}
    for dataset in DATASETS:
        decays = {}
        for method in METHODS:
            at = {"dataset": dataset, "method": method}
            ((decays[method], dropout),) = by_fields(
                "regularisation", setting, variant="chosen", **at
            )
            at["evaluate_test"] = False
            tried = by_fields("regularisation", setting, last_valid_accuracy, **at)
            assert {len(values) for values in tried.values()} == {2}
            valid[dataset, method] = {key: values.mean() for key, values in tried.items()}
            best = max(valid[dataset, method].values())
            assert valid[dataset, method][decays[method], dropout] == best
        assert len(valid[dataset, "fixed"]) == len(valid[dataset, "set"]) == 12
        assert decays["fixed"] < decays["set"]
        assert (decays["rigl"] == decays["fixed"]) == (dataset == "fashion_mnist")
    counts = [len(valid[dataset, "rigl"]) for dataset in DATASETS]
    text.says("RigL has {} on MNIST and {} on Fashion-MNIST", *counts)
    of_largest = {dropout for decay, dropout in valid["mnist", "rigl"] if decay == 1e-3}
    assert of_largest == {0.1, 0.3}  # the setting that is missing has no record
    best = sorted(valid["fashion_mnist", "rigl"].values(), reverse=True)
    assert best[0] - best[2] < 0.05 < best[0] - best[3]


def decay_leads():
    """Leads over fixed links, points of five seeds, by data set, links, method and variant."""
    every = {}
    for name in (
        "adaptive_topology",
        "set_mlp",
        "adaptive_topology_1568",
        "without_decay",
        "accuracy_by_recipe",
    ):
        for record in papers.STORE.of(name, "paper"):
            run = record.config
            if run.method in METHODS and run.variant in ("tuned", "no decay"):
                key = run.dataset, record.metrics["links"].iloc[0], run.method, run.variant
                every.setdefault(key, {})[run.seed] = 100 * record.metrics["test_accuracy"].iloc[-1]
    return {
        key: np.array([of[seed] - every[*key[:2], "fixed", key[3]][seed] for seed in range(5)])
        for key, of in every.items()
        if key[2] != "fixed" and (*key[:2], "fixed", key[3]) in every
    }


def shrinking():
    """By how much leads are smaller without decay, points of five seeds, by data set, links and
    method.
    """
    leads = decay_leads()
    return {
        key[:3]: leads[*key[:3], "tuned"] - lead
        for key, lead in leads.items()
        if key[3] == "no decay"
    }


WIDE = "fashion_mnist", 77145, "set"


def decay(text):
    narrower = shrinking()
    assert len(narrower) == 6
    assert sum(interval(values)[1] < 0 < interval(values)[2] for values in narrower.values()) == 2
    with_decay, without = (decay_leads()["mnist", 37840, "set", of] for of in ("tuned", "no decay"))
    text.says("On MNIST {:.2f} points of SET's {:.2f} remain", without.mean(), with_decay.mean())
    for (dataset, *_, variant), lead in decay_leads().items():
        if (dataset, variant) == ("fashion_mnist", "no decay"):
            assert interval(lead)[1] < 0 < interval(lead)[2]
    methods = "set", "fixed"
    with_decay = numerics_of("adaptive_topology_1568", *methods, dataset="fashion_mnist")
    assert with_decay == [1] + [2] * 9
    assert {*numerics_of("accuracy_by_recipe", *methods, dataset="fashion_mnist")} == {1}
    others = [values for key, values in narrower.items() if key != WIDE]
    text.says("If we leave them out, the mean is {:.2f}", np.mean(others))
