"""Every number in the text of notebook 30, computed anew from records."""

import numpy as np
import pandas as pd
import torch

from papers import STORE
from papers.local_learning.networks import krotov_hopfield_network
from papers.local_learning.training import PROBE
from tests.prose import Prose

IMAGES = {"cifar10": 50_000, "mnist": 60_000}
LAYERS = ("kh", "kh_long", "kh_mnist")


def courses(records):
    """The tables of some layers, with the steps a unit so far."""
    parts = []
    for record in records:
        run = record.config
        steps = record.metrics["epoch"] * IMAGES[run.dataset] / run.batch_size / run.n_units
        parts.append(record.metrics.assign(seed=run.seed, steps=steps))
    return pd.concat(parts)


def below(experiment):
    """The records of read-outs, which say what became of the locally learned layer below."""
    return [record for record in STORE.of(experiment, "paper") if record.config.method == "kh"]


def short(text, tables, accuracy, best):
    """What the read-outs of 30 epochs see, and what longer ones of the last layers reach."""
    text.says("Each number is the best of the read-out's {} epochs", PROBE["epochs"])
    norms = {name: table.groupby("epoch")["mean_norm"].mean() for name, table in tables.items()}
    starts = sorted({round(of_epoch.iloc[0]) for of_epoch in norms.values()})
    words = "The norms of units fall from {} or {} to about {} while they learn"
    text.says(words, *starts, *{round(of_epoch.iloc[-1]) for of_epoch in norms.values()})
    weight = torch.rand(3, 4, generator=torch.Generator().manual_seed(0)) + 0.1
    activations = [
        krotov_hopfield_network(w, 2, generator=torch.Generator()).activations(torch.ones(1, 4))
        for w in (weight, 2 * weight)
    ]
    assert torch.allclose(activations[1], 2.0**9 * activations[0])
    assert min((of.iloc[0] / of.iloc[-1]) ** 9 for of in norms.values()) > 1e9
    at_best = [norms[name][at.name] for name, at in best.items()]
    words = "In all three kinds of layer the peak lies at a norm between {:.0f} and {:.0f}, before"
    text.says(words, np.floor(min(at_best)), np.ceil(max(at_best)))
    longer = [r for r in below("all_images_2000") if r.config.parent.experiment == "kh_long"]
    assert len(longer) == 3 and all(r.config.epochs > PROBE["epochs"] for r in longer)
    assert all(r.config.limit is None and r.environment["pruned_units"] for r in longer)
    reached = [100 * r.environment["final"]["best_test_accuracy"] for r in longer]
    text.says("reach {:.0f} to {:.0f} % of test images", min(reached), max(reached))


def test_numbers_of_the_text_follow_from_the_records():
    text = Prose("30_local_learning")
    records = {name: STORE.of(name, "paper") for name in LAYERS}
    tables = {name: courses(records[name]) for name in LAYERS}
    layers = [record for name in LAYERS for record in records[name]]

    # rule and settings
    text.says("no unit may have a mean weight below −0.5")
    text.says("all others 0")
    text.says("is 3 and")
    assert {record.config.norm_order for record in layers} == {3}
    text.says("0.4 as released")
    assert {record.config.anti_hebbian for record in layers} == {0.4}
    text.says("which falls to 0 during learning")
    text.says("its first weights is below 0.9")
    text.says("its L3 norm differs from 1 by more than 0.01")
    text.says("The read-out is trained on 5,000 images")
    text.says("All weights start with a standard deviation of 1")

    # read-outs
    probes = {}
    for name, table in tables.items():
        of_epoch = table.dropna(subset="probe_accuracy").groupby("epoch")
        probes[name] = of_epoch[["steps", "probe_accuracy", "changed"]].mean()
    best = {name: probe.loc[probe["probe_accuracy"].idxmax()] for name, probe in probes.items()}
    assert all(1 <= at["steps"] <= 2 and at["changed"] == 0 for at in best.values())
    accuracy = {name: 100 * probe["probe_accuracy"] for name, probe in probes.items()}
    cifar = accuracy["kh"]
    short(text, tables, accuracy, best)
    words = (
        "the layer of 500 units gains {:.1f} points over its random start. At the end {:.1f} points"
    )
    text.says("On CIFAR-10 " + words, cifar.max() - cifar.iloc[0], cifar.iloc[-1] - cifar.iloc[0])
    counts = {len(probe) for probe in probes.values()}
    assert (min(counts), max(counts)) == (9, 18)

    # units that leave and arrive
    at_three = tables["kh_mnist"].query("steps == 3")
    words = (
        "After three steps a unit on MNIST {:.0f} % of the units have left, and {:.0f} % are off"
    )
    text.says(words, *(100 * at_three[name].mean() for name in ("changed", "off_norm_fraction")))
    leave = []
    for name in ("kh", "kh_long"):
        seen = tables[name].dropna(subset="changed")
        leave += [seen.query("changed < 0.1").groupby("seed")["steps"].max().min()]
        leave += [seen.query("changed > 0.9").groupby("seed")["steps"].min().max()]
    text.says("between steps {:g} and {:.0f}", min(leave), max(leave))

    # the released test
    ends = {name: table.groupby("seed").tail(1) for name, table in tables.items()}
    off = sorted(100 * ends["kh"]["off_norm_fraction"])
    assert len(off) == 5
    every = pd.concat(ends.values())
    passes = (every["off_norm_fraction"] < 0.1) & (every["lowest_mean"] > -0.5)
    assert len(every) == 11 and passes.sum() == 1
    wide = ends["kh_long"]
    passed, *others = sorted(100 * wide["off_norm_fraction"])
    assert passed == 100 * every["off_norm_fraction"][passes].item()
    text.says("It has 2,000 units on CIFAR-10, and {:.1f} % of them are off the norm", passed)
    text.says("The two others like it have {:.0f} % and {:.0f} %", *others)
    on_cpu = {r.environment["off_norm_fraction"] for r in below("wide_networks")}
    text.says(
        "A fourth, learned on a CPU with the settings of one of them, had {:.0f} %",
        100 * min(on_cpu),
    )
    assert len(on_cpu) == 1 and not on_cpu & {*wide["off_norm_fraction"].round(4)}
    assert 1 < wide["effective_units"].min() and wide["effective_units"].max() < 2

    # what pictures show
    text.says("most units leave the noise between epochs 5 and 20")
    text.says("The tenth unit is a 7 at epoch 10. From epoch 30 on it is noise again")
    text.says("hardly change from epoch 200 on")

    assert not text.uncovered()
