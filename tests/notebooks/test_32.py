"""Every number in the text of notebook 32, computed anew from records."""

import numpy as np
import pandas as pd

from lib.report.intervals import holm, p_value, t_interval
from papers import STORE
from papers.local_learning import spectra
from tests.prose import Prose

MN, FM = "mnist", "fashion_mnist"
ATTACKS = ("noise", "fgsm", "pgd", "deepfool")
SPARSE = ("set", "rigl", "fixed")
KH = ["kh, all links", "kh, evolving links", "kh, fixed links"]


def of(*experiments):
    return [record for name in experiments for record in STORE.of(name, "paper")]


def measured():
    """Accuracy in percent, median norms and layer widths: a row a network."""
    rows = []
    for record in of("sparse_attacks", "sparse_attacks_dense"):
        study, final = record.config, record.environment["final"]
        row = {"dataset": study.dataset, "method": study.method, "seed": study.seed}
        if study.method == "kh":
            row["method"] = f"kh, {study.variant}"
        best = final.get("best_test_accuracy")
        row["accuracy"] = 100 * (final["test_accuracy"] if best is None else best)
        lines = record.metrics.set_index(["attack", "measure"])["value"]
        assert study.images == 400
        row |= {attack: lines[attack, "median"] for attack in ATTACKS}
        each = []  # of each attack the norm by which an image is fooled
        for attack in ATTACKS[1:]:
            norm, fooled = (record.arrays[f"{name}.{attack}"] for name in ("norm", "fooled"))
            each.append(np.where(fooled, norm, np.inf))
        least = np.minimum.reduce(each)
        row["deepfool is smallest"] = 100 * (each[-1] == least).mean()
        rows.append(row | {"smallest": np.median(least)})
    return pd.DataFrame(rows)


def gains(table):
    """{(data set, method, attack): differences to fixed links by seed}, of SET and RigL."""
    networks = {key: rows.set_index("seed") for key, rows in table.groupby(["dataset", "method"])}
    found = {}
    for dataset in (MN, FM):
        for method in ("set", "rigl"):
            for attack in ATTACKS:
                ours, fixed = networks[dataset, method], networks[dataset, "fixed"]
                found[dataset, method, attack] = ours[attack] - fixed[attack]
    return found


def norms_and_accuracies(text):
    table = measured()
    differences = gains(table)
    corrected = holm([p_value(gap) for gap in differences.values()])
    gained = {place for place, p in zip(differences, corrected, strict=True) if p < 0.05}
    assert all(differences[place].mean() > 0 for place in gained)
    assert gained == {
        *((MN, "rigl", attack) for attack in ATTACKS),
        *((MN, "set", attack) for attack in ("pgd", "deepfool")),
        *((FM, "set", attack) for attack in ("fgsm", "pgd", "deepfool")),
        *((FM, "rigl", attack) for attack in ("fgsm", "deepfool")),
    }
    mnist = table[table["dataset"] == MN].groupby("method").mean(numeric_only=True)
    least, accuracy = mnist["smallest"], mnist["accuracy"]
    words = "dense withstands a norm of {:.2f}. RigL withstands {:.2f} and SET {:.2f}"
    text.says(words, least["dense"], least["rigl"], least["set"])
    assert abs(accuracy["rigl"] - accuracy["dense"]) < 0.1
    by_seed = table.set_index(["dataset", "method", "seed"]).sort_index()["smallest"]
    assert t_interval(by_seed[MN, "set"] - by_seed[MN, "dense_small"]).low > 0
    weakest = table.groupby(["dataset", "method"])[["smallest", "accuracy"]].mean()
    gained = []
    for dataset in (MN, FM):
        of_rules = weakest.loc[dataset].drop(index=KH, errors="ignore")
        assert of_rules["smallest"].idxmin() == "fixed"
        gained.append(by_seed[dataset, "dense_small"] - by_seed[dataset, "fixed"])
        assert t_interval(gained[-1]).low > 0
        assert of_rules["accuracy"]["dense_small"] < of_rules["accuracy"]["fixed"]
    words = "Small dense networks, though less accurate, are harder to fool, by {:.2f} on MNIST"
    means = [gap.mean() for gap in gained]
    text.says("But fixed links are the weakest rival here. " + words + " and {:.2f} on", *means)
    most = {attack: mnist[attack].idxmax() for attack in ATTACKS}
    assert most.pop("deepfool") == "dense" and set(most.values()) == {"kh, all links"}
    spread = table.groupby(["dataset", "method"])[["pgd", "deepfool"]].mean()
    assert all(of["pgd"] > of["deepfool"] for at, of in spread.iterrows() if at[1] in SPARSE)
    shares = table.groupby(["dataset", "method"])["deepfool is smallest"].mean()
    assert min(shares[d, m] for d in (MN, FM) for m in ("set", "rigl", "fixed")) > 95
    text.says("For dense it is so on {:.0f} % of the images of MNIST", shares[MN, "dense"])
    words = "With all links a norm of {:.2f} is needed under PGD, and {:.2f} by the smallest"
    text.says(words, mnist["pgd"].max(), least["kh, all links"])
    text.says("Dense withstands {:.2f}", least["dense"])
    behind = (by_seed[MN, "dense"] - by_seed[MN, "kh, all links"]).dropna()
    assert len(behind) == 3 and t_interval(behind).low > 0
    text.says("Local learning is also less accurate, {:.1f} %", accuracy["kh, all links"])
    local = table.set_index(["method", "seed"])[["smallest", "accuracy"]]
    gains_of_links = local.loc["kh, evolving links"] - local.loc["kh, fixed links"]
    words = "evolution raises the smallest norm by {:.2f}, and the accuracy by {:.0f} points"
    text.says(words, *gains_of_links.mean())
    for values in (gains_of_links["smallest"], gains_of_links["accuracy"]):
        found = t_interval(values)
        assert len(values) == 3 and 0 < found.low < 0.25 * found.value
    text.says(
        "A part of these {:.0f} points may come from scale", gains_of_links["accuracy"].mean()
    )
    layers_that_learn(text)


def layers_that_learn(text):
    """How far the layers came, and when their read-outs are best."""
    ends = pd.DataFrame(
        record.metrics[["off_norm_fraction", "mean_norm"]].iloc[-1].to_dict()
        | {"links": record.config.variant}
        for record in of("kh_sparse")
    )
    assert len(ends) == 9 and ends["off_norm_fraction"].min() > 0.1  # the test asks for less
    sparse = ends[ends["links"] != "all links"]
    least = 100 * sparse["off_norm_fraction"].min()
    text.says("with 5 % of the links at least {:.0f} % of their units are off the norm", least)
    norms = sparse.groupby("links")["mean_norm"].mean()
    words = "The mean norm is {:.1f} with evolving links and {:.1f} with fixed ones"
    text.says(words, norms["evolving links"], norms["fixed links"])
    best = [record.environment["final"]["best_epoch"] for record in of("sparse_readouts")]
    assert len(best) == 9 and min(best) > 95


def spectra_by_layer():
    """Eigenvalues of each network, by data set, method and layer."""
    found = {}
    for record in of("sparse_spectra", "sparse_spectra_dense"):
        for layer in (1, 2, 3) if record.config.method != "kh" else ():
            eigenvalues = record.arrays[f"eigenvalues.linear{layer}.images"].astype(float)
            place = record.config.dataset, record.config.method, layer
            found.setdefault(place, []).append(eigenvalues)
    return found


def spectra_of_layers(text):
    refused, ends, found = {}, [], spectra_by_layer()
    for place, of_seeds in found.items():
        for eigenvalues in of_seeds:
            ranks = spectra.within(spectra.RANGE, eigenvalues)
            if place[1:] == ("rigl", 3):
                ends.append(ranks[1])
            for weighted in (False, True):
                table = spectra.compare_laws(eigenvalues, ranks, weighted=weighted)
                behind = table.set_index("law").loc["power law", "behind"]
                refused.setdefault((*place, weighted), []).append(behind >= 2)
    text.says("whose spectrum ends by rank {}", max(ends))
    text.says("over ranks 10 to 500, by Schwarz's criterion")
    text.says("when it is less than 2 behind the best")
    for dataset in (MN, FM):
        for layer in (1, 2, 3):
            for method in ("set", "fixed", "dense"):
                assert all(refused[dataset, method, layer, False])
        assert not any(refused[dataset, "rigl", 3, False])
        assert not any(refused[dataset, "dense", 3, True])
        assert not all(refused[dataset, "dense_small", 2, False])
    assert refused[FM, "rigl", 1, False].count(False) == 4
    for place in ((MN, 1), (MN, 2), (FM, 2)):
        of_place = refused[place[0], "rigl", place[1], False]
        assert len(of_place) == 5 and of_place.count(False) <= 1

    means = {  # of logarithms of shares, by rank from 0
        place: np.mean([np.log10(one[:300].clip(1e-99) / one[0]) for one in of_seeds], axis=0)
        for place, of_seeds in found.items()
        if place[1] in (*SPARSE, "dense")
    }
    for layer in (1, 2, 3):
        for dataset in (MN, FM):
            of_rules = [means[dataset, method, layer][99] for method in ("set", "rigl")]
            assert max(of_rules) < means[dataset, "fixed", layer][99]
            falls = {m: np.diff(means[dataset, m, layer][[99, 299]]) for m in ("set", "fixed")}
            assert (falls["set"] > falls["fixed"]) == (dataset == FM and layer > 1)
    above = means[FM, "rigl", 1] - means[FM, "fixed", 1]
    assert above[19] > 0 > above[59]
    text.says("RigL's in the first layer on Fashion-MNIST is above until rank 50")
    text.says("falls by two decades between ranks 9 and 11, at the number of classes")
    of_dense = means[MN, "dense", 3]
    assert round(of_dense[8] - of_dense[10]) == 2


def test_numbers_of_the_text_follow_from_the_records():
    text = Prose("32_sparse_spectra")
    norms_and_accuracies(text)
    spectra_of_layers(text)
    text.says("and −0.1 for the second")
    text.says("**Try 0: the links stay.**")
    text.says("400 are attacked, the same ones for all networks")
    attacked = [r.config.parent for r in of("sparse_attacks", "sparse_attacks_dense")]
    assert {run.method for run in attacked if run.validation} == {"kh"}
    assert not text.uncovered()
