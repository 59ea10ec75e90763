"""Tables of records with given numbers, beside the published ones."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from lib.papers.local_learning import summary
from lib.papers.shared.sparse_training import SparseTraining
from lib.report import labels
from lib.runs.record import Record

from .made import CORRECTED, RELEASED, attacked, local, network, spectrum, study

RANKS = np.arange(1.0, 601.0)


def test_published_numbers_are_those_of_the_released_figures():
    # the fact sheet's table, test accuracy and median norms under PGD, read off the figures
    table = summary.published_numbers().set_index(["measure", "method", "input"])["value"]
    accuracies = {"kh": 0.472, "bp": 0.562, "l2": 0.519, "jreg": 0.559, "specreg": 0.448}
    norms = {"kh": 0.120, "bp": 0.039, "l2": 0.101, "jreg": 0.065, "specreg": 0.037}
    for method in accuracies:
        assert table["accuracy", method, "images"] == accuracies[method]
        assert table["pgd", method, "images"] == norms[method]
    assert table["exponent", "kh", "images"] == 2.67 and table["exponent", "kh", "noise"] == 1.29


def test_three_columns_hold_published_released_and_corrected_numbers():
    attacks = [attacked("bp", seed, 1.0 + seed, 0.5) for seed in range(2)]
    attacks += [attacked("bp", 0, 3.0, variant=RELEASED, last_accuracy=0.25)]
    studies = [spectrum(network("bp", 0), {"images": 2.5, "noise": 0.75}, variant=RELEASED)]
    table = summary.three_columns(attacks, studies)
    assert list(table.columns) == ["published", RELEASED, CORRECTED]
    assert table.loc[("accuracy", "bp"), "published"] == 0.562
    assert table.loc[("accuracy", "bp"), RELEASED] == "0.250 (n=1)"
    spread = math.sqrt(0.5)  # of 1 and 2
    assert table.loc[("pgd", "bp"), CORRECTED] == f"1.500 ± {spread:.3f} (n=2)"
    assert table.loc[("exponent", "bp"), RELEASED] == "2.500 (n=1)"
    assert table.loc[("exponent, noise", "bp"), [RELEASED, CORRECTED]].tolist() == [
        "0.750 (n=1)",
        "–",
    ]


def test_medians_that_are_not_reached_are_written_as_bounds():
    attacks = [attacked("bp", 0, 1.0, 0.5, reached=False)]
    table = summary.three_columns(attacks, [])
    assert table.loc[("pgd", "bp"), CORRECTED] == "≥ 2.000 (n=1)"
    assert table.loc[("accuracy", "bp"), CORRECTED] == "0.500 (n=1)"
    norms = summary.norm_table(attacks)
    assert norms["PGD"].tolist() == ["≥ 2.000 (n=1)"]
    assert norms["fooled by PGD"].tolist() == ["0.300 (n=1)"]


def test_points_of_two_widths_stand_apart_with_the_published_ones_beside_them():
    wide, narrow = attacked("bp", 0, 1.0), attacked("bp", 0, 2.0, n_units=500)
    table = summary.points([narrow], [wide])
    ours = table[~table["published"] & (table["measure"] == "pgd")]
    networks = ours.set_index("network")["value"].to_dict()
    assert networks == {"corrected, 500 units": 2, "corrected, 2,000 units": 1}
    printed = table[table["published"] & (table["measure"] == "pgd")]
    assert printed["value"].tolist() == [0.039]


def test_points_are_no_lower_bounds():
    table = summary.points([attacked("bp", 0, 1.0, reached=False)])
    assert set(table.loc[~table["published"], "measure"]) == {"accuracy"}


def sparse(method, seed, median, accuracy, reached=True):
    """A study of critical norms of a network of another paper."""
    run = SparseTraining("adaptive_topology", dataset="mnist", method=method, seed=seed)
    record = attacked("bp", seed, median, accuracy, reached=reached)
    return study("sparse_attacks", run, record.metrics, {}, record.environment["final"], "tuned")


def test_published_numbers_do_not_stand_beside_networks_of_another_paper():
    table = summary.points([sparse("set", 0, 1.0, 0.9)])
    assert not table["published"].any() and set(table["network"]) == {""}


def test_contrasts_are_paired_by_seed_in_points_and_norms():
    records = []
    for seed in range(5):
        records.append(sparse("set", seed, 1.2 + seed, 0.90 + seed / 1000))
        records.append(sparse("fixed", seed, 1.0 + seed, 0.89))
    table = summary.sparse_contrasts(records, summary.OVER_FIXED).set_index("measure")
    assert set(table["contrast"]) == {"SET − fixed"}
    assert table.loc["accuracy, points", "value"] == pytest.approx(1.2)
    row = table.loc["PGD"]
    assert (row["value"], row["low"], row["high"]) == pytest.approx((0.2, 0.2, 0.2))
    assert set(table["n"]) == {5}


def test_lower_bounds_have_no_contrast():
    records = [sparse("set", seed, 1.0, 0.9, reached=seed > 0) for seed in range(3)]
    records += [sparse("fixed", seed, 1.0, 0.9) for seed in range(3)]
    found = summary.sparse_contrasts(records, summary.OVER_FIXED)
    assert set(found["measure"]) == {"accuracy, points"}
    assert summary.sparse_contrasts([], summary.OVER_FIXED).empty


def test_contrasts_over_dense_are_evolving_minus_dense_and_a_family_of_their_own():
    medians = {"set": 1.0, "rigl": 2.0, "dense_small": 4.0, "dense": 8.0, "fixed": 16.0}
    records = []
    for seed in range(5):
        for method, median in medians.items():
            noise = 0.1 * seed if method in ("set", "rigl") else 0.0
            records.append(sparse(method, seed, median + noise, 0.9))
    table = summary.sparse_contrasts(records, summary.OVER_DENSE)
    norms = table[table["measure"] == "PGD"].set_index("contrast")["value"]
    assert norms.to_dict() == pytest.approx(
        {
            "SET − small dense": -2.8,
            "RigL − small dense": -1.8,
            "SET − dense": -6.8,
            "RigL − dense": -5.8,
        }
    )
    alone = [record for record in records if record.config.method != "fixed"]
    pd.testing.assert_frame_equal(table, summary.sparse_contrasts(alone, summary.OVER_DENSE))


def test_a_rival_without_a_median_takes_no_contrast_from_others():
    records = [sparse("set", seed, 1.0 + seed, 0.9) for seed in range(3)]
    records += [sparse("fixed", seed, 1.0, 0.9) for seed in range(3)]
    records += [sparse("dense", seed, 1.0, 0.9, reached=False) for seed in range(3)]
    assert "PGD" in set(summary.sparse_contrasts(records, summary.OVER_FIXED)["measure"])
    assert "PGD" not in set(summary.sparse_contrasts(records, summary.OVER_DENSE)["measure"])


def test_orders_are_compared_with_the_published_pair_by_pair():
    # published under PGD: KH .120 > L2 .101 > BP .039
    medians = {"kh": 1.0, "l2": 3.0, "bp": 2.0, "jreg_units": 9.0}
    records = [attacked(method, 0, median) for method, median in medians.items()]
    table = summary.orders(records).set_index("measure")
    assert table.loc["pgd", "order"].split(" > ") == [
        labels.method_name(method) for method in ("jreg_units", "l2", "bp", "kh")
    ]
    assert table.loc["pgd", "pairs as published"] == "1 of 3"  # L2 above BP
    assert table.loc["pgd", "network"] == "corrected, 2,000 units"
    assert summary.orders([]).empty


def tried(penalty, coupling, accuracy):
    run = dataclasses.replace(network("l2", 0), penalty=penalty, coupling=coupling)
    metrics = pd.DataFrame({"epoch": [1, 2, 3], "valid_accuracy": [0.1, accuracy, 0.2]})
    return Record(run, metrics, {}, {})


def test_couplings_within_a_point_of_the_best_are_found():
    records = [
        tried("weights", 5e-5, 0.50),
        tried("weights", 5e-4, 0.495),
        tried("weights", 5e-3, 0.48),
        tried("logits", 1e-3, 0.40),
    ]
    table = summary.couplings(records)
    assert table["validation accuracy"].tolist() == [0.50, 0.495, 0.48, 0.40]
    assert table["largest within a point"].tolist() == [False, True, False, True]
    assert table["measured"].tolist() == [False, True, False, False]


def test_movement_is_the_mean_ratio_of_squared_norms():
    records = []
    for seed, end in enumerate((6.0, 10.0)):
        facts = {"final": {"squared_weights": [4.0, end]}}
        records.append(Record(network("bp", seed), pd.DataFrame(), {}, facts))
    records.append(Record(network("kh", 0), pd.DataFrame(), {}, facts))
    [row] = summary.movement(records).to_dict("records")
    assert row == {"at the start": 4, "at the end": 8, "ratio": 2}


def test_laws_of_two_widths_are_not_averaged():
    exponential = np.exp(-RANKS / 40)
    wide = [spectrum(local(seed), {}, variant=RELEASED) for seed in range(2)]
    narrow = [spectrum(local(0, 500), {}, eigenvalues=exponential, variant=RELEASED)]
    table = summary.law_table(wide, narrow)["supported"]["power law"]
    by_network = table.groupby("network").mean().to_dict()
    assert by_network == {"as released, 2,000 units": 1, "as released, 500 units": 0}
    assert summary.law_table([]).empty


def test_exponents_are_written_for_the_released_ranks():
    records = [spectrum(local(seed), {"images": 2.0 + seed}) for seed in range(2)]
    extra = ("linear1", "images", "1 to 500", 1, 500, False, "exponent", 9.0)
    records[0].metrics.loc[len(records[0].metrics)] = extra
    table = summary.exponent_table(records)
    assert table.columns.tolist() == ["ordinary"]
    assert table["ordinary"].tolist() == ["2.50 ± 0.71 (n=2)"]
    assert table.index[0][1] == labels.method_name("kh")
