"""Every number in the text of notebook 50, computed anew from records."""

import numpy as np
import pandas as pd

from lib.report.intervals import holm, p_value, t_interval
from papers import STORE
from papers.splash.experiments import OWN_RATES
from tests.notebooks.summaries import (
    by_fields,
    differs,
    final_accuracy,
    last_valid_accuracy,
)
from tests.prose import Prose

SETS = ("mnist", "fashion_mnist", "cifar10")


def ends(experiment, network="lenet5"):
    """Test accuracy at the end, percent: a row a seed; columns data set, unit, variant."""
    fields = "dataset method variant"
    found = by_fields(experiment, fields, final_accuracy, network=network)
    table = pd.DataFrame({place: pd.Series(of) for place, of in found.items()})
    return table.rename_axis(columns=["dataset", "unit", "variant"])


def gains_over_relu():
    """Every unit minus ReLU in LeNet-5: {(data set, unit): differences by seed}."""
    table = ends("unit_accuracy").droplevel("variant", axis=1)
    units = [place for place in table if place[1] != "relu"]
    return {place: (table[place] - table[place[0], "relu"]).dropna() for place in units}


def test_numbers_of_the_text():
    text, gains = Prose("50_splash_activations"), gains_over_relu()
    accuracy = STORE.of("unit_accuracy", "paper")
    text.says("ResNet-20 saw 5,000 images for six epochs")
    short = [r.config for r in accuracy if r.config.network == "resnet20"]
    assert {(run.limit, run.epochs) for run in short} == {(5000, 6)}

    # units at one rate
    mnist, fashion, cifar = (gains[name, "splash"] for name in SETS)
    assert not differs(mnist) and not differs(fashion)
    cifar_means = ends("unit_accuracy")["cifar10"].mean().droplevel("variant")
    assert cifar_means.idxmax() == "maxout"
    assert abs(cifar_means["splash"] - cifar_means["apl"]) < 0.2
    text.says("APL ends within 0.2 points of SPLASH")
    of_seeds = [len(gain) for (name, _), gain in gains.items() if name == "cifar10"]
    assert of_seeds.count(3) == 7 and set(of_seeds) == {3, 5}
    epochs = {r.config.dataset: r.config.epochs for r in accuracy if r.config.network == "lenet5"}
    assert epochs["mnist"] == epochs["fashion_mnist"] == 10
    corrected = holm([p_value(gain) for gain in gains.values()])
    differ = [place for place, p in zip(gains, corrected, strict=True) if p < 0.05]
    assert {unit for _, unit in differ} == {"sigmoid"}
    assert {name for name, _ in differ} == {"fashion_mnist", "cifar10"} and cifar.min() > 0
    assert (fashion - gains["fashion_mnist", "elu"]).min() > 0
    for dataset in SETS:
        best = max((gain.mean(), unit) for (name, unit), gain in gains.items() if name == dataset)
        assert best[0] > 0 and best[1] != "splash"
    means = ends("unit_accuracy")["mnist"].mean()
    spread = max(means) - min(means)
    text.says("On MNIST all units end within {:.1f} points of each other", spread)

    # learning rates
    rates = best_rates()
    words = "The highest mean of SPLASH is at {}, that of ReLU at {}."
    text.says(words, rates["splash"], rates["relu"])
    at_edge = {unit for unit, rate in rates.items() if rate == 0.3}
    assert at_edge == {"splash", "swish", "sigmoid", "srelu"} == set(OWN_RATES)
    text.says("The highest means of Swish, sigmoid and SReLU are at {} too", 0.3)
    own = ends("unit_rates").droplevel("variant", axis=1)
    relu = ends("unit_accuracy").droplevel("variant", axis=1)
    own = {name: own[name, "splash"] - relu[name, "relu"] for name in ("mnist", "fashion_mnist")}
    others = [gain for (name, unit), gain in gains.items() if unit not in OWN_RATES and name in own]
    assert min(holm([p_value(gain) for gain in [*own.values(), *others]])[:2]) > 0.05

    # the sparse network
    sparse = ends("unit_accuracy", "sparse_mlp").droplevel("variant", axis=1)
    names = ("mnist", "fashion_mnist")
    leads = [sparse[name, "splash"] - sparse[name, "relu"] for name in names]
    assert not any(differs(lead) for lead in leads)
    for lead in leads:
        text.says("SPLASH ends {:.1f} points above ReLU", lead.mean())
    own = [r.config for r in accuracy if r.config.network == "sparse_mlp"]
    assert all(run.quantiles for run in own)
    assert slope(accuracy, "fashion_mnist") > 0.02

    # changes of the unit
    changed = ends("unit_ablation")["fashion_mnist", "splash"]
    plain = ends("unit_accuracy")["fashion_mnist", "splash", "lenet5"]
    bare = changed.pop("no normalisation, quantiles") - plain
    level = 1 - 0.05 / 10
    assert t_interval(bare, level=level).high < 0
    evenly = changed.pop("hinges evenly spaced")
    assert abs(t_interval(evenly - plain, level=level).value) < 0.1
    for name, values in changed.items():
        found = t_interval(values - (evenly if name.startswith("S = ") else plain), level=level)
        assert found.low < 0 < found.high
    halves = [t_interval(values - plain, level=level) for _, values in changed.items()]
    assert max(found.high - found.value for found in halves) > 0.3

    assert not text.uncovered(), text.uncovered()


def best_rates():
    """The learning rate of the best mean validation accuracy, by unit."""
    of_rate = by_fields("unit_tuning", "method learning_rate", last_valid_accuracy)
    means = pd.Series({place: of.mean() for place, of in of_rate.items()})
    return means.unstack().idxmax(axis=1).to_dict()


def slope(records, dataset):
    """The least slope of both units' mean accuracy in the SET-MLP over the last 20 epochs, points
    an epoch.
    """
    slopes = []
    for unit in ("relu", "splash"):
        curves = [
            100 * r.metrics["test_accuracy"].to_numpy()[-20:]
            for r in records
            if (r.config.network, r.config.dataset, r.config.method)
            == ("sparse_mlp", dataset, unit)
        ]
        slopes.append(np.polyfit(range(20), np.mean(curves, axis=0), 1)[0])
    return min(slopes)


def test_what_the_text_says_of_shapes():
    """Ends of the units of LeNet-5, at ±3.5, of all seeds."""
    others = []
    for record in STORE.of("unit_accuracy", "paper"):
        run = record.config
        if (run.network, run.method) != ("lenet5", "splash"):
            continue
        for number in (1, 2, 3, 4):
            right, left = record.arrays[f"units.activation{number}"][-1]
            hinges = record.arrays[f"hinges.activation{number}"]
            ramps = np.maximum(3.5 - hinges, 0)
            sign = -1 if (run.dataset, number) == ("mnist", 4) else 1
            assert right @ ramps > 0
            if sign * (left @ ramps) <= 0:
                others.append((run.dataset, run.seed))
    assert others == [("cifar10", 4)]  # one unit of one seed, and not the one that is drawn
