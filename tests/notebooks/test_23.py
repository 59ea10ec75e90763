"""Notebook 23: every number of its text follows from the records."""

import numpy as np
import pandas as pd

import papers
from lib.report import frames
from tests.notebooks.summaries import dropouts_on_fashion_mnist, ends, mean
from tests.prose import Prose

MN, FM = "mnist", "fashion_mnist"
MAIN = ["set", "rigl", "fixed", "dense", "dense_small"]


def curves() -> pd.DataFrame:
    """Percent right after each change, mean over draws and seeds."""
    keys = ["dataset", "method", "kind", "within", "scope", "strength"]
    table = frames.rows(papers.obtain("weight_shuffling", "paper")).fillna({"within": ""})
    table = table[table["method"].isin(MAIN)]
    by_seed = table.groupby([*keys, "seed"])["accuracy"].mean()
    return (100 * by_seed.groupby(keys).mean()).rename("percent").reset_index()


def at(table, **place):
    for name, value in place.items():
        table = table[table[name] == value]
    return table.set_index("method")["percent"]


def area(table, dataset, method, within):
    curve = at(table, dataset=dataset, kind="shuffle", within=within, scope="all")[method] - 10
    return np.trapezoid(curve, np.linspace(0, 1, len(curve))) / curve.iloc[0]


def test_numbers_of_the_text_follow_from_the_records():
    text, table, networks = Prose("23_weight_shuffling"), curves(), ends()
    full = {"kind": "shuffle", "scope": "all", "strength": 1.0}
    assert at(table, within="all", **full).max() < 11
    left = at(table, within="sign", dataset=FM, **full)
    words = "SET still has an accuracy of {:.0f} % on Fashion-MNIST, fixed links {:.0f} %"
    text.says(words, left["set"], left["fixed"])
    left = at(table, within="sign", dataset=MN, **full)
    assert left.idxmax() == "rigl"
    assert left["fixed"] < 11
    at_neuron = [
        area(table, d, m, w) for d in (MN, FM) for m in MAIN for w in ("inputs", "outputs")
    ]
    text.says("the area is at most {:.2f} in every network", max(at_neuron))
    reversed_in = []
    for dataset in (MN, FM):
        for method in MAIN[:4]:
            signs = area(table, dataset, method, "sign")
            neurons = [area(table, dataset, method, within) for within in ("inputs", "outputs")]
            if signs < max(neurons):
                reversed_in.append((dataset, method))
    assert reversed_in == [(MN, "fixed")]
    for dataset in (MN, FM):
        within = {method: area(table, dataset, method, "sign") for method in MAIN[:4]}
        assert min(within, key=within.get) == "fixed"
    equal = networks[networks["trained"].isin(["adaptive_topology", "other_dropouts"])]

    def gain(dataset, method, dropout=0.1, measure="shuffled"):
        both = [mean(equal, measure, dataset, m, dropout=dropout) for m in (method, "fixed")]
        return both[0] - both[1]

    text.says("RigL gains {:.2f} on MNIST", gain(MN, "rigl"))
    text.says("it depends on dropout: with {:g} RigL loses {:.2f}", 0.1, -gain(FM, "rigl"))
    text.says("With {:g} it gains {:.2f}", 0.3, gain(FM, "rigl", 0.3))
    text.says("SET gains {:.2f} on MNIST. It gains nothing on Fashion-MNIST:", gain(MN, "set"))
    found = [gain(MN, method, measure="within signs") for method in ("set_retrained", "set")]
    text.says("Within signs they gain {:.2f}, and SET {:.2f}", *found)
    assert gain(MN, "set_retrained") > gain(MN, "set") and abs(gain(FM, "set", 0.3)) < 0.005
    flipped = at(table, kind="flip signs", strength=table.loc[_is(table, 0.3), "strength"].iloc[0])
    text.says("Flipping that many leaves no network with more than 26 %")
    assert 25 < flipped.max() < 26
    text.says("no network bears that 30 % of the signs are flipped")
    few = table.loc[_is(table, 0.1), "strength"].iloc[0]
    few = at(table, dataset=MN, kind="flip signs", strength=few)
    text.says("With 10 % flipped, dense still has {:.0f} % on MNIST", few["dense"])
    for dataset in (MN, FM):
        still, noisy = (at(table, dataset=dataset, kind="noise", strength=s) for s in (0.0, 1.0))
        lost = (still - noisy).sort_values()
        assert lost.index[0] == "dense" and lost.iloc[0] < 1 < lost.iloc[1]
    text.says("On Fashion-MNIST small dense loses {:.0f} points", lost["dense_small"])
    noise = [at(table, dataset=FM, kind="noise", strength=s)["rigl"] for s in (0.0, 1.0)]
    assert 0.4 < noise[1] / noise[0] < 0.6
    _says_what_null_models_keep(text)
    _has_settings(text)
    assert not text.uncovered()


def _says_what_null_models_keep(text):
    left = ladder()
    scaled, attacked = left["accuracy, scaled"], left["pgd, scaled"]
    without = ["shuffled within inputs", "shuffled within outputs", "shuffled"]
    without += ["links switched", "new links"]
    assert left[["accuracy", "accuracy, scaled"]].loc[without].max(axis=None) < 13
    text.says("no method has more than 13 % in the mean")
    equal, misplaced = scaled["signs alone"], scaled["shuffled within signs"]
    text.says("SET still has an accuracy of {:.0f} % on MNIST", equal[MN, "set"])
    dropouts = dropouts_on_fashion_mnist()
    assert [dropouts[method] for method in ("set", "rigl", "fixed")] == [0.3, 0.1, 0.1]
    assert equal[FM, "rigl"] < equal[FM, "fixed"]
    assert (equal > misplaced).all()
    words = (
        "fixed links keep {:.0f} % on MNIST with signs alone, {:.0f} % after a shuffle within signs"
    )
    text.says(words, equal[MN, "fixed"], misplaced[MN, "fixed"])
    as_trained = attacked["as trained"] / scaled["as trained"]
    assert (attacked["signs alone"] / equal < as_trained).all()
    found = attacked["as trained", MN, "set"], attacked["signs alone", MN, "set"]
    text.says("on MNIST SET keeps {:.0f} % as trained, {:.0f} % with signs alone", *found)
    assert left["accuracy"]["signs alone", MN, "fixed"] < 10
    assert misplaced[MN, "set"] > misplaced[MN, "rigl"]
    text.says("scaled, it keeps {:.0f} %", misplaced[MN, "set"])
    ((draws, seen),) = {(run.draws, run.images) for run in _runs("null_ladder")}
    text.says("is drawn {} times. All see {:,} test images", draws, seen)


def ladder():
    """Percent of each measure, a column, by null model, data set and method, mean over draws and
    seeds.
    """
    rows, keys = (
        frames.rows(papers.obtain("null_ladder", "paper")),
        ["null_model", "dataset", "method"],
    )
    by_seed = rows.groupby(["measure", *keys, "seed"])["value"].mean()
    return (100 * by_seed.groupby(["measure", *keys]).mean()).unstack("measure")


def _is(table, fraction):
    return np.isclose(table["strength"], fraction) & (table["kind"] == "flip signs")


def _runs(experiment):
    return papers.EXPERIMENTS[experiment].runs("paper")


def _has_settings(text):
    runs = _runs("weight_shuffling")
    assert {run.draws for run in runs if run.method == "dense"} == {2}
    assert {run.draws for run in runs if run.method != "dense"} == {10}
    text.says("are drawn 10 times, twice for the dense network")
