"""Our own claims from made-up records: which networks count, how they are paired."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import papers
from lib.runs.record import Record
from papers.frontier import claims
from tests.papers.judging import judged as verdict

NOISE = (-0.002, -0.001, 0.0, 0.001, 0.002)


def planned(experiment, **fields):
    """The runs of an experiment with these values of their fields."""
    runs = papers.EXPERIMENTS[experiment].runs("paper")
    return [run for run in runs if all(getattr(run, k) == v for k, v in fields.items())]


def ended(experiment, accuracy, **fields):
    """Records whose test accuracy after training varies around this one."""
    runs = sorted(planned(experiment, **fields), key=lambda run: run.seed)
    records = []
    for run, noise in zip(runs, NOISE, strict=False):
        facts = {"final": {"test_accuracy": accuracy + noise}, "architecture": "784-10"}
        records.append(Record(run, pd.DataFrame({"epoch": [1]}), {}, facts))
    return records


def studied(experiment, rows, **fields):
    """Records of studies with these rows."""
    runs = planned(experiment, **fields)
    facts = {"final": {"test_accuracy": 0.9}, "architecture": "784-10"}
    return [Record(run, pd.DataFrame(rows(run)), {}, facts) for run in runs]


def of_recipe(variant, accuracy, dataset="mnist", method="rigl"):
    where = {"dataset": dataset, "method": method, "variant": variant}
    return ended("accuracy_by_recipe", accuracy, **where)


def test_the_worse_of_the_recipes_that_tied_decides():
    chosen = of_recipe("labels softened", 0.99) + of_recipe("what helps, together", 0.991)
    others = of_recipe("twice the epochs", 0.98) + of_recipe("no decay", 0.97, method="fixed")
    found = claims.accuracy_by_recipe(chosen + others, "mnist")
    assert (found.value, found.n) == (pytest.approx(99), 5) and verdict("F01", found) == "open"
    better = of_recipe("labels softened", 0.994)
    assert claims.accuracy_by_recipe(better + chosen[5:], "mnist").low > 98.83
    assert verdict("F01", claims.accuracy_by_recipe(better, "mnist")) == "open"  # one of two
    assert claims.accuracy_by_recipe(better, "fashion_mnist") is None


def test_corrupted_images_of_the_harder_data_set_decide():
    def rows(run):
        kept = 0.7 if run.method == "dense_small" else 0.8 if run.dataset == "mnist" else 0.6
        table = {"kind": ["none", "fog", "fog"], "severity": [0, 1, 2], "measure": "accuracy"}
        return table | {"value": [0.99, kept + NOISE[run.seed] + 0.1, kept + NOISE[run.seed] - 0.1]}

    records = studied("corrupted", rows, variant="tuned")
    found = claims.withstood([r for r in records if r.config.method != "dense"])
    assert (found.value, found.n, found.at) == (pytest.approx(-10), 5, "Fashion-MNIST")
    assert verdict("F07", found) == "fails" and claims.withstood([]) is None
    on_mnist = claims.withstood([r for r in records if r.config.dataset == "mnist"])
    assert on_mnist.value == pytest.approx(10) and verdict("F07", on_mnist) == "open"


def test_smallest_share_that_signs_keep_decides():
    def rows(run):
        kept = 0.6 if (run.dataset, run.method) == ("mnist", "set") else 0.8
        models = ["signs alone", "shuffled within signs", "as trained"]
        value = [0.1 + 0.8 * (kept + NOISE[run.seed]), 0.2, 0.9]
        table = pd.DataFrame({"null_model": models, "value": value})
        twice = pd.concat([table.assign(draw=0), table.assign(draw=1)])
        return pd.concat([twice.assign(measure="accuracy, scaled"), twice.assign(measure="x")])

    records = studied("null_ladder", rows)
    found = claims.kept_by_signs(records)
    assert (found.value, found.n, found.at) == (pytest.approx(60), 5, "SET, MNIST")
    assert verdict("F08", found) == "holds"
    without = [record for record in records if record.config.method != "rigl"]
    assert verdict("F08", claims.kept_by_signs(without)) == "open"


def with_degrees(experiment, degrees, accuracy, **fields):
    """Records that end with these degrees of four neurons, and this accuracy."""
    records = ended(experiment, accuracy, dataset="fashion_mnist", method="rigl", **fields)
    for i, record in enumerate(records):
        arrays = {f"linear1.{side}_degree.final": degrees for side in ("in", "out")}
        records[i] = dataclasses.replace(record, arrays=arrays)
    return records


def test_start_that_is_remembered_longest_decides():
    usual = with_degrees("adaptive_topology", np.array([1, 2, 3, 4]), 0.9)
    near = with_degrees("start_degrees", np.array([4, 3, 2, 1]), 0.9, variant="power law")
    far = np.array([10, 0, 0, 0])
    far = with_degrees("start_degrees", far, 0.88, variant="degrees of the end")
    same = with_degrees("start_degrees", np.array([1, 2, 3, 4]), 0.9, variant="links of the end")
    found = claims.remembered(usual + near + same + far)
    assert (found.value, found.n, found.at) == (pytest.approx(60), 5, "degrees of the end")
    assert verdict("F09", found) == "fails"
    assert verdict("F09", claims.remembered(usual + far)) == "fails"  # others cannot mend it
    assert verdict("F09", claims.remembered(usual + near + same)) == "open"
    alike = [dataclasses.replace(one, arrays=usual[0].arrays) for one in far]
    assert verdict("F09", claims.remembered(usual + near + same + alike)) == "holds"
    gain = claims.gained_by_degrees(usual + near + far)
    assert (gain.value, gain.n) == (pytest.approx(-2), 5) and verdict("F10", gain) == "fails"
    assert claims.remembered([]) is None and claims.gained_by_degrees(usual) is None
