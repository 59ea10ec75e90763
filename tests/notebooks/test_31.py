"""Every number in the text of notebook 31, computed anew from records."""

import numpy as np
import pandas as pd
import pytest

import papers
from lib._boundary import FIGURES, REFERENCE
from papers import STORE
from papers.local_learning import spectra
from tests.notebooks.test_30 import below
from tests.prose import Prose

ATTACKS = ("noise", "fgsm", "pgd")
NAMES = {"kh": "local learning (KH)", "bp": "backpropagation (BP)", "l2": "BP + L2"}
NAMES |= {"jreg": "BP + Jacobian", "specreg": "BP + spectral"}
LOG = pd.read_csv(REFERENCE / "related_results.csv")
LOG = LOG[LOG["source"].str.startswith("Holzhausen") & (LOG["dataset"] == "CIFAR10")]
LOG = LOG.set_index(["metric", "method"])["value"].sort_index()
PUBLISHED = {  # norms that are read off the released figures, by attack and method
    attack: {method: LOG["median_critical_l2_norm_" + metric, NAMES[method]] for method in NAMES}
    for attack, metric in {"noise": "noise", "fgsm": "FGSM", "pgd": "PGD"}.items()
}


def published_gain(method, attack):
    """By how much a published network withstands more than plain, as a share."""
    return PUBLISHED[attack][method] / PUBLISHED[attack]["bp"] - 1


def measured(experiment):
    """Accuracy and median critical norm of each network by its protocol: a row a network."""
    rows = []
    for record in STORE.of(experiment, "paper"):
        study, final = record.config, record.environment["final"]
        released = study.variant == "as released"
        lines = record.metrics.set_index(["attack", "measure"])["value"]
        row = {"method": study.method, "variant": study.variant, "seed": study.seed}
        row["n_units"] = study.parent.n_units
        row["layer"] = study.seed if study.parent.parent is None else study.parent.parent.seed
        row["accuracy"] = final["test_accuracy" if released else "best_test_accuracy"]
        for attack in ATTACKS:
            row[attack] = lines[attack, "median of fooled" if released else "median"]
        rows.append(row)
    return pd.DataFrame(rows)


def gain(table, method, attack, variant="corrected"):
    """Percent by which a method withstands more than plain, mean over independent units."""
    of = table[table["variant"] == variant].set_index("seed")
    ours, plain = of[of["method"] == method], of[of["method"] == "bp"]
    both = pd.DataFrame({"ours": ours[attack], "plain": plain[attack], "layer": ours["layer"]})
    units = both.dropna().groupby("layer").mean()
    return 100 * (units["ours"] / units["plain"] - 1).mean()


def never_fooled(text):
    """What the images are that no noise fooled, of networks of 2,000 units that saw all images."""
    kept, medians = [], {}
    for record in STORE.of("all_images_attacks", "paper"):
        parent = record.config.parent
        if parent.n_units == 2000:
            noise = record.metrics.query("attack == 'noise'").set_index("measure")["value"]
            kept.append(100 * (1 - noise["fooled"]))
            medians[parent.method, parent.seed] = noise["median of fooled"]
    words = "These are {:.0f} to {:.0f} % of a network's images"
    text.says(words, min(kept), max(kept))
    gains = [100 * (medians["kh", seed] / medians["bp", seed] - 1) for seed in range(3)]
    text.says("On the others alone, local learning gains {:.0f} % too", np.mean(gains))


def loss(table, method):
    """Points of accuracy below plain, as corrected."""
    means = table[table["variant"] == "corrected"].groupby("method")["accuracy"].mean()
    return 100 * (means["bp"] - means[method])


def of_2000_units():
    """What :func:`measured` says of the networks of 2,000 units that saw all images."""
    rows = measured("all_images_attacks")
    return rows[rows["n_units"] == 2000]


def readings(claim, ending):
    """Values of the readings of a claim whose name ends so, by how it begins."""
    table = papers.readings("paper", [claim]).query("reading.str.endswith(@ending)")
    return table.set_index(table["reading"].str.removesuffix(ending))["value"]


def norms_and_accuracies(text):
    wide, narrow = of_2000_units(), measured("bio_attacks")
    ratios = readings("H02", ", corrected, 2,000 units, all images")
    noise, pgd = (100 * (ratios[attack] - 1) for attack in ("Gaussian noise", "PGD"))
    assert 95 < 100 * (ratios["FGSM"] - 1) < 105 and 95 < pgd < 105
    words = "withstands twice the gradient attack that plain back-propagation does, and {:.0f} %"
    text.says(words + " more noise", noise)
    words = (
        "withstands {:.0f} % more than plain back-propagation under PGD, and {:.0f} % more under"
    )
    text.says(words, pgd, noise)
    text.says("The L2 penalty gains {:.0f} % under PGD: three seeds", gain(wide, "l2", "pgd"))
    never_fooled(text)
    layers = below("all_images_2000")
    pruned = [record.environment["pruned_units"] for record in layers]
    words = "of the 2,000 units of each, between {} and {:,} were set to zero"
    text.says(words, min(pruned), max(pruned))
    off_norm = [2000 * record.environment["off_norm_fraction"] for record in layers]
    learned = [most - least for most, least in zip(pruned, off_norm, strict=True)]
    assert sum(units > 100 for units in learned) == 1
    text.says("in one layer at least {:,.0f} of them had learned", max(learned))
    gains = [100 * published_gain("kh", attack) for attack in ATTACKS]
    text.says("The published gains are about {:.0f} %", round(np.mean(gains), -2))

    jacobian = gain(narrow, "jreg", "pgd")
    text.says("it withstands {:.0f} % more than plain under PGD", jacobian)
    corrected = narrow[narrow["variant"] == "corrected"].groupby("method")["pgd"].mean()
    assert corrected.idxmax() == "jreg"
    others = [abs(gain(narrow, m, "noise")) for m in ("kh", "l2", "jreg", "jreg_units")]
    text.says("all but the spectral network stand within {:.0f} % of plain", np.ceil(max(others)))
    assert gain(narrow, "specreg", "noise") < -20

    common = readings("H02", ", corrected, images both get right, 2,000 units, all images")
    words = "local learning withstands {:.2f} times the PGD norm of plain"
    text.says(words, common["PGD"])
    text.says("There its gain under noise is {:.1f} %, and", 100 * (common["Gaussian noise"] - 1))
    text.says("It costs {:.1f} points of accuracy", loss(wide, "kh"))
    text.says("At 2,000 units local learning is {:.1f} points less accurate", loss(wide, "kh"))
    words = "L2 and the Jacobian of units lose {:.1f} and {:.1f} points"
    text.says(words, loss(wide, "l2"), loss(wide, "jreg_units"))
    text.says("The spectral network loses {:.1f} points", loss(wide, "specreg"))
    assert gain(wide, "specreg", "pgd") < -50


def penalties(text):
    text.says("logs 0.334 of this squared norm, divided by 1,000")
    assert (1 + 2 / 1000) / 3 == pytest.approx(0.334)
    text.says("The published run logged 1.338 for all its epochs")  # the fact sheet, defect c
    ours = gain(measured("bio_attacks"), "specreg", "pgd", "as released")
    theirs = 100 * published_gain("specreg", "pgd")
    text.says(
        "Under PGD the published one stands {:.0f} % below plain, ours {:.0f} %", -theirs, -ours
    )

    best = {}
    for record in STORE.of("bio_tuning", "paper"):
        run = record.config
        best[run.penalty, run.coupling] = 100 * record.metrics["valid_accuracy"].max()
    costs = []
    for record in STORE.of("bio_networks", "paper"):
        run = record.config
        if (run.penalty, run.coupling) in best and run.penalty != "none":
            costs.append(best["none", 0.0] - best[run.penalty, run.coupling])
    text.says("Those measured cost up to {:.1f} points on validation images", max(costs))
    for penalty, coupling in (("weights", 5e-4), ("logits", 1e-2), ("activations", 1e-3)):
        assert best[penalty, coupling / 10] > best[penalty, coupling]
    assert best["spectrum", 0.1] < best["spectrum", 1.0]


def fitted(record, given="images", first=10, last=500):
    """Minus the slope of the logarithms by numpy, and R²."""
    eigenvalues = record.arrays[f"eigenvalues.linear1.{given}"].astype(float)
    last = min(last, int((eigenvalues > 1e-12 * eigenvalues[0]).sum()))
    x, y = np.log(np.arange(first, last + 1)), np.log(eigenvalues[first - 1 : last])
    return -np.polyfit(x, y, 1)[0], np.corrcoef(x, y)[0, 1] ** 2


def spectra_of_layers(text):
    layers = [r for r in STORE.of("wide_spectra", "paper") if r.config.method == "kh"]
    exponents, r_squared = zip(*map(fitted, layers), strict=True)
    text.says("The line explains {:.1f} % of the variance of the", 100 * np.mean(r_squared))
    theirs = -LOG["covariance_spectrum_slope", NAMES["kh"]]
    text.says("The mean exponent is {:.2f} (published: {:.2f})", np.mean(exponents), theirs)
    learned = readings("H01", ", ordinary, minus that before learning, 2,000 units")
    before = np.mean(r_squared) - learned["R², ranks 10 to 500"]
    text.says("pass too: there the line explains {:.1f} %", 100 * before)
    plain = [r for r in STORE.of("wide_spectra", "paper") if r.config.method == "bp"]
    assert min(r_squared) > 0.997 and max(fitted(record)[1] for record in plain) < 0.983
    slopes = [(fitted(one, last=100)[0], fitted(one, first=100)[0]) for one in plain]
    assert all(first - last > 0.5 for first, last in slopes)  # that of back-propagation is not
    narrow = [r for r in STORE.of("bio_spectra", "paper") if r.config.method == "kh"]
    bent = np.mean([fitted(record)[1] for record in narrow])
    text.says("At 500 units the spectrum bends, and the line explains {:.0f} %", 100 * bent)

    behind = {}
    for record in STORE.of("wide_spectra", "paper"):
        eigenvalues = record.arrays["eigenvalues.linear1.images"].astype(float)
        table = spectra.compare_laws(eigenvalues).set_index("law")["behind"]
        laws = table["power law"], table["cut-off"]
        behind.setdefault(record.config.method, []).append(laws)
    (third, _), *refused = sorted(behind["kh"])
    words = "they are {:.0f} and {:.0f} behind a law with a cut-off"
    text.says(words, *(power_law for power_law, _ in refused))
    assert third == 0 and [cut_off for _, cut_off in refused] == [0, 0]
    text.says("up to 2 behind the best")

    low = np.mean([fitted(record, last=100)[0] for record in narrow])
    high = np.mean([fitted(record, first=100)[0] for record in narrow])
    others = [np.mean([fitted(one, first=first)[0] for one in narrow]) for first in (1, 10, 11)]
    assert low < min(others) and max(others) < high
    text.says("its smallest exponent over ranks 10 to 100, and its largest over the ranks above")
    text.says("These two are {:.1f} and {:.1f}", low, high)
    assert high - low > 1
    ranges = [(1, 500), (10, 100), (10, 500), (100, 500), (1, 799)]
    by_range = {"kh": [], "bp": []}
    for record in STORE.of("wide_spectra", "paper"):
        if record.config.method in by_range:
            found = [fitted(record, first=first, last=last)[0] for first, last in ranges]
            by_range[record.config.method].append(max(found) - min(found))
    assert 0.3 < max(by_range["kh"]) < 0.4 and min(by_range["bp"]) > 1
    text.says("At 2,000 units the ranges of each locally learned layer agree to within 0.4")

    farther = readings("H05", ", corrected, 2,000 units, all images")
    words = "At the published width, on all images, it ends {:.2f} farther"
    text.says(words, farther["exponent by ranks 10 to 500"])


def settings(text):
    text.says("as corrected, but for {:,} that choose the epoch", 5000)
    text.says("As released they saw 20,000. Local learning")
    text.says("Some that saw 20,000 were measured as corrected, too")
    text.says("Read-outs stand on three layers, those of 20,000 images on a fourth")
    wide = {(r.config.limit, r.config.epochs) for r in STORE.of("wide_networks", "paper")}
    limits = {limit for limit, _ in wide}
    words = (
        "Of 2,000 units, these layers of local learning saw all images. The others saw {:,}, for {}"
    )
    plain = {r.config.epochs for r in STORE.of("wide_networks", "paper") if r.config.method != "kh"}
    text.says(words, *limits, *plain)
    text.says("a typical pixel is about 0.07")
    text.says("over the ranks 10 to 500 of the released code")


def test_numbers_of_the_text_follow_from_the_records():
    text = Prose("31_spectra_and_regularisers")
    for part in (norms_and_accuracies, penalties, spectra_of_layers, settings):
        part(text)
    assert not text.uncovered()


def test_published_gains_of_the_figure_are_over_plain():
    shown = pd.read_csv(FIGURES / "paper" / "31_spectra_and_regularisers" / "order.csv")
    gains = shown.query("variant == 'published'").set_index(["measure", "method"])["value"]
    assert len(gains) == 12  # four methods, three attacks
    for label, attack in (("Gaussian noise", "noise"), ("FGSM", "fgsm"), ("PGD", "pgd")):
        for method, actual in gains[label].items():
            assert actual == pytest.approx(published_gain(method, attack), rel=1e-5)
