"""Every number in the text of notebook 51, computed anew from records."""

import numpy as np

import papers
from lib.report.intervals import holm, p_value, t_interval
from papers import STORE
from papers.splash.studies import HEADLINE_RADIUS, HEADLINE_RADIUS_L2
from tests.notebooks.summaries import differs
from tests.prose import Prose

LINF = ("fgsm", "pgd", "apgd_ce", "apgd_dlr", "square")
SETS = ("mnist", "fashion_mnist")
OF_LENET5 = (*SETS, "cifar10")


def of(records, dataset, method, network="lenet5", trained="unit_accuracy", epochs=None):
    """Records by seed."""
    found = {}
    for record in records:
        run, parent = record.config, record.config.parent
        place = run.dataset, run.method, parent.network, parent.experiment
        if place == (dataset, method, network, trained) and epochs in (None, parent.epochs):
            found[run.seed] = record
    return [found[seed] for seed in sorted(found)]


def kept(records, *attacks):
    """Percent of the images that withstand all of some attacks, by seed."""
    shares = []
    for record in records:
        images = [record.arrays[f"right.{attack}"] for attack in attacks]
        shares.append(100 * np.logical_and.reduce(images).mean())
    return np.array(shares)


def gain(records, dataset, *attacks, **where):
    pair = [kept(of(records, dataset, unit, **where), *attacks) for unit in ("splash", "relu")]
    return pair[0] - pair[1]


def gain_under_transfer(studied, network, dataset):
    """The mean gain of SPLASH in points, of the networks of `unit_accuracy`: if only those images
    count that the networks get right on which the points were found, and if all do.
    """
    pair = [of(studied, dataset, unit, network=network) for unit in ("splash", "relu")]
    gains = []
    for seed, ours in enumerate(zip(*pair, strict=True)):
        others = [records[(seed + 1) % len(records)] for records in pair]
        both = np.logical_and.reduce([one.arrays["right.clean"] for one in others])
        kept = [record.arrays["right.transfer"] for record in ours]
        gains.append([kept[0][rows].mean() - kept[1][rows].mean() for rows in (both, ...)])
    return 100 * np.mean(gains, 0)


def measured(records, name):
    """The mean of a measure."""
    tables = [record.metrics.set_index("measure")["value"] for record in records]
    return np.mean([table[name] for table in tables])


def test_numbers_of_the_text():
    text, studied = Prose("51_splash_robustness"), STORE.of("unit_robustness", "paper")
    again = STORE.of("unit_worst", "paper")
    text.says("up to 31 percent more robust than ReLU")  # the paper's
    text.says("Whether 31 percent is reached")
    text.says('"Up to 31 percent" may mean')
    text.says("In points no gain reaches 31, in percent some do, on MNIST")
    text.says("the range from 0 to 1")
    text.says("On CIFAR-10 it is {:.4f}, which is 2/255", HEADLINE_RADIUS["cifar10"])
    assert HEADLINE_RADIUS["cifar10"] == 2 / 255
    lengths = [HEADLINE_RADIUS_L2[name] for name in SETS]
    text.says("a length of at most {} on MNIST and {} on Fashion-MNIST", *lengths)
    text.says("On CIFAR-10 it is {}. We set", HEADLINE_RADIUS_L2["cifar10"])
    text.says("Elsewhere it changes by less than 0.2 points")
    cells = [(network, name) for network in ("lenet5", "sparse_mlp") for name in SETS]
    changes = [np.subtract(*gain_under_transfer(studied, *cell)) for cell in cells]
    assert 0.1 < np.abs(changes).max() < 0.2

    # attack by attack
    mnist, fashion, cifar = (gain(studied, name, *LINF) for name in OF_LENET5)
    text.says("LeNet-5 keeps {:.1f} points more accuracy", mnist.mean())
    less = -fashion.mean(), -cifar.mean()
    text.says("It keeps {:.1f} points less on Fashion-MNIST and {:.1f} less on CIFAR-10", *less)
    text.says("withstand all five attacks it is {:.1f} points", mnist.mean())
    words = "SPLASH loses {:.1f} points on Fashion-MNIST then, and {:.1f} on CIFAR-10. The SET-MLP"
    in_mlp = (-gain(studied, name, *LINF, network="sparse_mlp").mean() for name in SETS)
    text.says(words + " loses {:.1f} and {:.1f} points", *less, *in_mlp)
    pgd = [gain(studied, name, "pgd") for name in OF_LENET5]
    pgd += [gain(studied, name, "pgd", network="sparse_mlp") for name in SETS]
    assert [bool(t_interval(one).low > 0) for one in pgd] == [True, *[False] * 4]
    assert sum(t_interval(one).high < 0 for one in pgd) == 4

    # attacked again
    worst = [gain(again, name, *LINF) for name in OF_LENET5[1:]]
    words = "SPLASH loses {:.1f} points on Fashion-MNIST and {:.1f} on CIFAR-10"
    text.says(words, *(-one.mean() for one in worst))
    changes = [
        t_interval(gain(again, name, *LINF) - gain(studied, name, *LINF)) for name in OF_LENET5
    ]
    assert all(change.low < 0 < change.high for change in changes)
    assert min(change.high - change.value for change in changes) > 2  # points that would be missed
    means = [gain(again, "mnist", name).mean() for name in ("fgsm", "pgd", "apgd_ce")]
    text.says(
        "On MNIST the gain is {:.1f} points under FGSM and {:.1f} under PGD. Under", *means[:2]
    )
    text.says("APGD-CE it is {:.1f}", means[2])
    clean = gain(again, "cifar10", "clean")
    assert t_interval(clean).low > 0
    text.says("On CIFAR-10 SPLASH is ahead without attack, by {:.1f} points", clean.mean())

    # checks
    weak = 0
    for record in studied:
        alone = record.arrays["right.pgd"].mean()
        weak += alone - min(record.arrays[f"right.{name}"].mean() for name in LINF) > 0.01 + 1e-9
    text.says("too weak on {} of {} networks", weak, len(studied))
    far = {"carlini_wagner": 0, "deepfool": 0, "boundary": 0}
    minimal = STORE.of("unit_minimal", "paper")
    for record in minimal:
        nearest = np.median(record.arrays["l2.smallest"])
        for name in far:
            far[name] += np.median(record.arrays[f"l2.{name}"]) > 1.1 * nearest
    assert min(far.values()) >= 10 and far["boundary"] == len(minimal)
    text.says("often stop 10 % too far from it, Boundary always")

    # 31 percent
    largest = {name: gain(studied, "mnist", name).mean() for name in (*LINF, "transfer", "pgd l2")}
    assert max(largest, key=largest.get) == "fgsm"
    (in_points,) = papers.verdicts("paper", ["P03"]).to_dict("records")
    assert in_points["low"] < largest["fgsm"] < 31 < in_points["high"]
    relu = of(studied, "mnist", "relu")

    # steepness
    splash = of(studied, "mnist", "splash")
    words = "rises from {:.0f} to {:.1f}. That of the layers falls from {:.0f} to {:.0f}"
    products = [measured(pair, "unit product") for pair in (relu, splash)]
    products += [measured(pair, "linear product") for pair in (relu, splash)]
    text.says(words, *products)
    pair = [of(studied, "cifar10", unit) for unit in ("relu", "splash")]
    measures = {name for name in pair[0][0].metrics["measure"] if name.startswith("linear ")}
    layers = sorted(measures - {"linear product"})
    steeper = sum(measured(pair[1], name) >= measured(pair[0], name) for name in layers)
    assert (steeper, len(layers)) == (3, 7)

    # at equal accuracy
    by_accuracy = {name: at_equal(studied, name, accuracy, at=1) for name in SETS}
    assert all(differs(one) for one in by_accuracy.values())
    by_slope = {name: at_equal(studied, name, steepness, at=0.5) for name in SETS}
    assert not any(differs(one) for one in by_slope.values())
    norms = {name: gain(studied, name, *LINF, trained="unit_lipschitz") for name in SETS}
    trained = {name: gain(studied, name, *LINF) for name in SETS}
    cells = [each[name] for each in (trained, by_accuracy, by_slope, norms) for name in SETS]
    corrected = holm([p_value(values) for values in cells])
    assert len(corrected) == 8 and all(corrected[2:] > 0.05)  # all but those at equal training

    # trained on attacks
    least, p_values = [], {"swish": [], "splash": []}
    for name in SETS:
        units = [of(studied, name, unit, trained="unit_defended") for unit in UNITS]
        shares = [kept(records, *LINF) for records in units]
        least.append(min(share.mean() for share in shares))
        for unit, share in zip(UNITS[1:], shares[1:], strict=True):
            p_values[unit].append(p_value(share - shares[0]))
    text.says("All keep at least {:.0f} % on MNIST and {:.0f} % on Fashion-MNIST", *least)
    adjusted = holm(p_values["splash"] + p_values["swish"])
    assert max(adjusted[:2]) < 0.05 < min(adjusted[2:])
    assert not text.uncovered(), text.uncovered()


UNITS = ("relu", "swish", "splash")


def accuracy(record):
    return record.environment["final"]["test_accuracy"]


def steepness(record):
    table = record.metrics.set_index("measure")["value"]
    return table["slope"] / table["margin"]


def at_equal(studied, dataset, of_what, at):
    """SPLASH minus ReLU where the curves of both, over lengths of training, have this in common."""
    gaps = []
    for seed in range(5):
        curves = []
        for unit in ("splash", "relu"):
            records = [*of(studied, dataset, unit)[seed : seed + 1]]
            for epochs in (1, 2, 4):
                where = {"trained": "unit_lengths", "epochs": epochs}
                records += of(studied, dataset, unit, **where)[seed : seed + 1]
            points = sorted((of_what(one), kept([one], *LINF)[0]) for one in records)
            curves.append(np.array(points).T)
        low = max(x[0] for x, _ in curves)
        high = min(x[-1] for x, _ in curves)
        place = low + at * (high - low)
        ours, theirs = (np.interp(place, *curve) for curve in curves)
        gaps.append(ours - theirs)
    return np.array(gaps)
