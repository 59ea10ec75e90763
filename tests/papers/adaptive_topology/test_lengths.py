"""What summaries say beside the length of training and the assumptions."""

import numpy as np
import pandas as pd
import pytest

from lib.papers.adaptive_topology import lengths, networks
from lib.papers.shared.study import study_of
from lib.runs.record import Record

N = 20  # images
RUNS = [
    *(*networks.configs("paper"), *networks.shorter("paper")),
    *(*networks.varied("paper"), *networks.other_dropouts("paper")),
]
RUNS += networks.wide("paper")


def summary(experiment="training_length", method="set", epochs=20, variant=None):
    """A summary of the first network that answers, with areas that differ between series."""
    (run, *_) = (
        r
        for r in RUNS
        if (r.experiment, r.method) == (experiment, method)
        and r.epochs in (epochs, 150)
        and variant in (None, r.variant)
    )
    rows = [("accuracy", 0.0, 0, 0.9), ("margin", 0.0, 0, 1.0), ("linear distance", 0.0, 0, 0.1)]
    rows += [("gradient of the margin", 0.0, 0, 10.0)]
    rows += [("weights of linear1", 0.0, 0, 3.0), ("weights of linear2", 0.0, 0, 4.0)]
    rows += [("removal", 0.0, draw, 0.9) for draw in range(2)]
    rows += [("removal", 1.0, draw, 0.1) for draw in range(2)]
    rows += [("pgd linf", radius, 0, 0.9 - 5 * radius) for radius in (0.05, 0.1)]
    table = pd.DataFrame(rows, columns=["measure", "strength", "draw", "value"])
    areas = {"removal": 5000, "removal, rescaled": 6000, "shuffle": 4000}  # of each image
    arrays = {series: np.full(N, area, dtype=np.uint16) for series, area in areas.items()}
    arrays |= {"clean": np.ones(N, bool), "pgd linf 0.095": np.arange(N) < 5}
    facts = {"architecture": "784-1000-10", "final": {"test_accuracy": 0.98}}
    study = study_of("robustness_summary", run, variant=run.variant)
    return Record(study, table, arrays, facts)


def test_numbers_are_those_of_the_network_and_of_its_images():
    found = lengths.numbers(summary())
    assert (found["accuracy"], found["pgd"], found["weights"]) == (0.98, 0.25, 5.0)
    assert found["removal area"] == pytest.approx((0.5 - 0.1) / 0.9)
    assert found["rescaled area"] == pytest.approx((0.6 - 0.1) / 0.9)
    assert found["shuffle area"] == pytest.approx((0.4 - 0.1) / 0.9)
    assert found["half radius"] == pytest.approx(0.08)  # of all images, right at first
    assert (found["margin"], found["linear distance"]) == (1.0, 0.1)


def test_lengths_are_those_of_the_training():
    records = [summary(epochs=20), summary(epochs=60), summary("adaptive_topology", epochs=150)]
    found = lengths.by_length(records)
    accuracies = found[found["measure"] == "accuracy"]
    assert list(accuracies["epochs"]) == [20, 60, 150]
    assert set(found["measure"]) == set(lengths.numbers(records[0]))


def test_assumptions_are_compared_at_the_shortest_training():
    varied = summary("varied", variant="density 0.05")
    longer = [summary(epochs=60), summary("adaptive_topology", epochs=150)]
    others = [summary(method="fixed"), summary(method="dense_small")]
    found = lengths.by_assumption([varied, summary(), *longer, *others])
    usual = "density 0.01, drop fraction 0.3"
    assert list(found["network"].unique()) == ["density 0.05, drop fraction 0.3", usual]
    assert set(found["method"]) == {"set"}
    assert set(found["measure"]) == set(lengths.numbers(varied))


def test_networks_with_each_dropout_are_those_of_the_longest_training():
    records = [summary("adaptive_topology", epochs=150), summary("other_dropouts", epochs=150)]
    records += [summary("adaptive_topology", "dense", 150), summary()]
    found = lengths.by_dropout(records)
    assert set(found["network"]) == {"dropout 0.1", "dropout 0.3"}
    of_set, of_dense = found[found["method"] == "set"], found[found["method"] == "dense"]
    assert len(of_set) == 2 * len(lengths.numbers(records[0]))
    assert set(of_dense["network"]) == {"dropout 0.3"} and len(of_set) + len(of_dense) == len(found)


def test_varied_networks_differ_from_the_usual_in_what_their_variant_says():
    usual = {(run.dataset, run.method, run.seed): run for run in networks.shorter("paper")[::-1]}
    for run in networks.varied("paper"):
        field, _, value = run.variant.rpartition(" ")
        assert getattr(run, field) == float(value)
        assert getattr(usual[run.dataset, run.method, run.seed], field) != float(value)


def test_widths_are_compared_where_both_were_trained():
    records = [summary("adaptive_topology", epochs=150), summary("adaptive_topology_1568")]
    records += [summary("adaptive_topology", "dense", 150), summary()]
    found = lengths.by_width(records)
    assert list(found["network"].unique()) == ["adaptive_topology", "adaptive_topology_1568"]
    assert set(found["method"]) == {"set"}


def test_curves_start_with_the_whole_network():
    found = lengths.curves([summary()], {"removal": "removed", "pgd linf": "PGD"})
    pgd = found[found["panel"] == "PGD"]
    assert pgd[["strength", "accuracy"]].to_numpy().tolist() == [
        [0, 0.9],
        [0.05, pytest.approx(0.65)],
        [0.1, pytest.approx(0.4)],
    ]
    removed = found[found["panel"] == "removed"]
    assert len(removed) == 4 and set(removed["draw"]) == {0, 1}
    assert list(lengths.curves([], {}).columns) == list(found.columns)


def trained(method, epochs):
    """A record of the first such network."""
    (run, *_) = (r for r in RUNS if (r.method, r.epochs) == (method, epochs))
    facts = {"final": {"test_accuracy": 0.9, "links": 100}}
    return Record(run, pd.DataFrame(), {}, facts)


def test_seconds_are_those_of_the_measured_steps():
    rows = [
        ("fused", 0.01, 128, 2, 2.0),
        ("dense", 0.01, 128, 2, 10.0),
        ("fused", 0.05, 128, 2, 7.0),
        ("fused", 0.01, 512, 2, 9.0),
        ("fused", 0.01, 128, 1, 4.0),
    ]
    columns = ["contender", "density", "batch", "threads", "median_ms"]
    steps = pd.DataFrame(rows, columns=columns)
    records = [trained("set", 20), trained("dense", 60), trained("dense_small", 20)]
    records.append(trained("dense_pruned", 50))
    found = lengths.against_cost(records, steps)
    seconds = found[found["cost"] == lengths.SECONDS].set_index("method")["x"]
    assert seconds.to_dict() == pytest.approx({"set": 20 * 469 * 0.002, "dense": 60 * 469 * 0.01})
    assert len(found) == 2
