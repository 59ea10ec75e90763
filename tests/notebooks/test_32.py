"""Every number in the text of notebook 32, computed anew from records."""

import numpy as np
import pandas as pd

from lib.papers import STORE
from lib.papers.local_learning import spectra
from lib.report.statistics import holm, p_value
from tests.prose import Prose

MN, FM = "mnist", "fashion_mnist"
ATTACKS = ("noise", "fgsm", "pgd", "deepfool")


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
        rows.append(row | {attack: lines[attack, "median"] for attack in ATTACKS})
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
    pgd, accuracy = mnist["pgd"], mnist["accuracy"]
    words = "dense withstands a norm of {:.2f}. RigL withstands {:.2f} and SET {:.2f}"
    text.says(words, pgd["dense"], pgd["rigl"], pgd["set"])
    assert abs(accuracy["rigl"] - accuracy["dense"]) < 0.1
    text.says("are easier to fool than SET: {:.2f}", pgd["dense_small"])
    words = "With all links a norm of {:.2f} is needed under PGD, more than for any other network"
    text.says(words + " here, at {:.1f} % accuracy", pgd.max(), accuracy[pgd.idxmax()])
    most = {attack: mnist[attack].idxmax() for attack in ATTACKS}
    assert most.pop("deepfool") == "dense" and set(most.values()) == {"kh, all links"}
    text.says("withstands most on MNIST under three of the four attacks")
    rose = accuracy["kh, fixed links"], accuracy["kh, evolving links"]
    text.says("The other two rows have 5 % of the links")
    text.says("There evolution raises the accuracy from {:.1f} % to {:.1f} %", *rose)
    evolving, fixed = mnist.loc["kh, evolving links"], mnist.loc["kh, fixed links"]
    assert all(evolving[attack] < fixed[attack] for attack in ATTACKS[:3])
    text.says("On MNIST the last three rows of that picture are layers of 1,000 units")
    text.says("Three layers each, with one read-out")


def spectra_of_layers(text):
    refused, ends = {}, []
    for record in of("sparse_spectra", "sparse_spectra_dense"):
        study = record.config
        for name, array in record.arrays.items():
            if not (name.startswith("eigenvalues.linear") and name.endswith(".images")):
                continue
            layer, eigenvalues = int(name.split(".")[1][-1]), array.astype(float)
            ranks = spectra.within(spectra.RANGE, eigenvalues)
            if study.method == "rigl" and layer == 3:
                ends.append(ranks[1])
            for weighted in (False, True):
                table = spectra.compare_laws(eigenvalues, ranks, weighted=weighted)
                behind = table.set_index("law").loc["power law", "behind"]
                key = study.dataset, study.method, layer, weighted
                refused.setdefault(key, []).append(behind >= 2)
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
    text.says("Small dense networks have 43 units")

    shares = {}  # logarithms at ranks 9, 11 and 100
    for record in of("sparse_spectra", "sparse_spectra_dense"):
        study = record.config
        if study.dataset == MN and study.method in ("set", "rigl", "fixed", "dense"):
            for layer in (1, 2, 3):
                found = record.arrays[f"eigenvalues.linear{layer}.images"].astype(float)
                key = study.method, layer
                shares.setdefault(key, []).append(np.log10(found[[8, 10, 99]] / found[0]))
    means = {key: np.mean(found, axis=0) for key, found in shares.items()}
    for layer in (1, 2, 3):
        assert max(means["set", layer][2], means["rigl", layer][2]) < means["fixed", layer][2]
    text.says("falls by two decades between ranks 9 and 11, at the number of classes")
    at_nine, at_eleven, _ = means["dense", 3]
    assert round(at_nine - at_eleven) == 2


def test_numbers_of_the_text_follow_from_the_records():
    text = Prose("32_sparse_spectra")
    norms_and_accuracies(text)
    spectra_of_layers(text)
    text.says("1 for the unit of the largest overlap")
    text.says("and −0.1 for the second")
    text.says("pixels go from 0 to 1")
    text.says("**Try 0: the links stay.**")
    text.says("dense has a dropout of 0.3, most sparse networks 0.1")
    dropouts = {r.config.method: r.config.dropout for r in STORE.of("adaptive_topology", "paper")}
    assert dropouts["dense"] == 0.3
    text.says("400 are attacked, the same ones for all networks")
    names = ("sparse_attacks", "sparse_spectra", "sparse_attacks_dense", "sparse_spectra_dense")
    names += ("kh_sparse", "sparse_readouts")
    again = ("dense", "dense_small")  # a clone does not have their weights
    trained = [r for r in STORE.of("adaptive_topology", "paper") if r.config.method in again]
    records = of(*names) + trained
    seconds = sum(record.environment["seconds"] for record in records)
    text.says("trains everything anew ({:.0f} core-hours)", seconds / 3600)
    assert not text.uncovered()
