"""Claims of records with given numbers: units, intervals, what nothing bounds, readings."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.report.intervals import share_interval
from papers.local_learning import studies
from papers.local_learning.claims import CLAIMS, share_that_holds
from papers.local_learning.training import CORRECTED, RELEASED
from tests.papers import judging

from .made import ATTACKS, attacked, local, network, spectrum

NOISE = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])


def judged(claim, records):
    return judging.judged(claim, CLAIMS[claim].measure(records))


def compared(method, ratio=2.0, seeds=5, layers=None, **fields):
    """A method and back-propagation: medians around ``ratio`` and 1, accuracies .4 and .5."""
    records = []
    for seed in range(seeds):
        shift = NOISE[seed % 5]
        own = {} if layers is None else {"layer": layers[seed]}
        records.append(attacked(method, seed, ratio + shift, 0.4 + shift, **own, **fields))
        records.append(attacked("bp", seed, 1.0 - shift / 2, 0.5 + shift / 2, **fields))
    return records


# H02 and H04


def test_read_outs_on_one_layer_are_one_unit():
    # layers 0 and 1 have two read-outs each, layer 2 has one
    ours = [1.0, 2.0, 9.0, 3.0, 4.0]
    records = [attacked("kh", seed, ours[seed], layer=seed % 3) for seed in range(5)]
    records += [attacked("bp", seed, 1.0) for seed in range(5)]
    found = CLAIMS["H02"].measure(records)
    assert found.n == 3
    assert found.value == pytest.approx(np.mean([(1 + 3) / 2, (2 + 4) / 2, 9]))
    three = compared("kh", layers=[0, 1, 2, 0, 1])
    assert CLAIMS["H02"].measure(three).n == 3 and judged("H02", three) == "holds"
    two = compared("kh", layers=[0, 1, 1, 0, 1])
    assert CLAIMS["H02"].measure(two).n == 2 and judged("H02", two) == "open"


def test_bases_are_averaged_with_the_read_outs_that_they_are_paired_with():
    base = [1.0, 2.0, 3.0, 5.0]
    records = [attacked("kh", seed, 1.0, layer=seed % 2) for seed in range(4)]
    records += [attacked("bp", seed, base[seed]) for seed in range(4)]
    both = studies.against_plain(records).query("measure == 'pgd'")
    assert both["base"].tolist() == [(1 + 3) / 2, (2 + 5) / 2]
    assert both["value"].tolist() == [1 - (1 + 3) / 2, 1 - (2 + 5) / 2]


@pytest.mark.parametrize("claim", ["H02", "H03"])
def test_one_layer_has_no_interval_however_many_read_outs_stand_on_it(claim):
    records = compared("kh", layers=[0] * 5)
    found = CLAIMS[claim].measure(records)
    assert (found.n, found.low, found.high) == (1, -math.inf, math.inf)
    assert judged(claim, records) == "open"


@pytest.mark.parametrize("claim", ["H02", "H03"])
@pytest.mark.parametrize(("layers", "n"), [([0] * 5, 1), ([0, 1, 2, 0, 1], 3)])
def test_readings_count_layers(claim, layers, n):
    rows = CLAIMS[claim].readings(compared("kh", layers=layers))
    assert set(rows["n"]) == {n}
    if n == 1:
        desired = 2.0 if claim == "H02" else 0.1  # means over all five
        assert rows["value"].tolist() == pytest.approx([desired] * len(rows))
        assert set(rows["verdict"]) == {"open"} and set(rows["high"]) == {math.inf}


def test_a_penalty_that_was_not_run_leaves_h04_not_run():
    assert CLAIMS["H04"].measure(compared("l2")) is None
    assert len(CLAIMS["H04"].readings(compared("l2"))) == len(ATTACKS)


def test_seeds_without_a_partner_are_left_out():
    records = [*compared("kh"), attacked("kh", 7, 100.0)]
    assert CLAIMS["H02"].measure(records).n == 5


def test_where_nothing_was_fooled_as_released_a_seed_is_left_out():
    records = compared("kh", variant=RELEASED)
    records[0].metrics.loc[records[0].metrics["measure"] == "median of fooled", "value"] = np.nan
    both = studies.against_plain(records).query("measure == 'pgd'")
    assert both["layer"].tolist() == [1, 2, 3, 4]


# H03


def test_as_released_accuracy_is_that_of_the_last_epoch():
    records = [attacked("kh", 0, 1.0, 0.9, last_accuracy=0.2, variant=RELEASED)]
    records.append(attacked("bp", 0, 1.0, 0.9, last_accuracy=0.5, variant=RELEASED))
    rows = CLAIMS["H03"].readings(records)
    assert rows["value"].tolist() == pytest.approx([0.3])
    assert rows["reading"].str.startswith("test accuracy, as released").all()


# what nothing bounds


@pytest.mark.parametrize("claim", ["H02", "H04"])
@pytest.mark.parametrize("ratio", [2.0, 0.8])
def test_medians_that_no_perturbation_reached_bound_nothing(claim, ratio):
    methods = {"H02": ["kh", "bp"], "H04": ["l2", "jreg_units", "bp"]}[claim]
    records = []
    for seed in range(5):
        for method in methods:
            median = 1.0 if method == "bp" else ratio
            records.append(attacked(method, seed, median, reached=method == "bp"))
    found = CLAIMS[claim].measure(records)
    assert (found.low, found.high) == (-math.inf, math.inf) and judged(claim, records) == "open"
    rows = CLAIMS[claim].readings(records)
    assert len(rows) > 0 and set(rows["verdict"]) == {"open"}
    assert np.isinf(rows[["low", "high"]].to_numpy()).all()


def test_sizes_of_perturbations_do_not_matter_to_accuracy():
    assert judged("H03", compared("kh", reached=False)) == "holds"


@pytest.mark.parametrize("epochs", [300, 1000])
def test_readings_as_released_tell_their_epochs_and_are_judged_at_those(epochs):
    rows = CLAIMS["H02"].readings(compared("kh", variant=RELEASED, epochs=epochs))
    assert set(rows["verdict"]) == {"holds"} and set(rows["epochs"]) == {epochs}


def test_the_widest_networks_decide_where_they_were_run():
    narrow = compared("kh", 5.0, n_units=500)
    assert CLAIMS["H02"].measure(narrow + compared("kh", 2.0)).value == pytest.approx(2)
    unpaired = [attacked("kh", seed, 2.0) for seed in range(5)]
    assert CLAIMS["H02"].measure(narrow + unpaired).value == pytest.approx(5)


def with_images(record, index, norms, never=()):
    """A study with the norms of these images under each attack, of which some are never fooled."""
    record.arrays["index"] = np.array(index, np.int16)
    for attack in studies.ATTACKS:
        record.arrays[f"norm.{attack}"] = np.array(norms, np.float32)
        record.arrays[f"fooled.{attack}"] = ~np.isin(index, never)
    return record


def test_common_images_are_those_that_both_networks_get_right():
    ours = with_images(attacked("kh", 0, 9.0), [1, 4, 6, 8], [2.0, 3.0, 4.0, 50.0])
    plain = with_images(attacked("bp", 0, 9.0), [0, 1, 4, 6], [70.0, 1.0, 2.0, 3.0])
    rows = studies.on_common_images([ours, plain])
    assert rows["measure"].tolist() == [*studies.ATTACKS] and set(rows["method"]) == {"kh"}
    assert set(rows["value"]) == {1.0} and set(rows["base"]) == {2.0} and rows["reached"].all()
    censored = with_images(ours, [1, 4, 6, 8], [2.0, 3.0, 4.0, 50.0], never=(4, 6))
    rows = studies.on_common_images([censored, plain])
    assert not rows["reached"].any() and set(rows["value"]) == {2.0}  # of the largest tried, 4
    elsewhere = with_images(attacked("kh", 0, 9.0), [8, 9], [2.0, 3.0])
    assert studies.on_common_images([elsewhere, plain]).empty
    released = attacked("kh", 0, 9.0, variant=RELEASED)
    assert studies.on_common_images([with_images(released, [1], [2.0]), plain]).empty


def test_common_images_are_readings_of_their_own():
    records = compared("kh")
    for record in records:
        norm = 3.0 if record.config.method == "kh" else 1.0
        with_images(record, [0, 1, 2], np.array([0.9, 1.0, 1.1]) * norm)
    rows = CLAIMS["H02"].readings(records).set_index("reading")
    assert rows.loc["PGD, corrected, 2,000 units", "value"] == pytest.approx(2.0)
    common = rows.loc["PGD, corrected, images both get right, 2,000 units"]
    assert common["value"] == pytest.approx(3.0) and common["n"] == 5


@pytest.mark.parametrize("method", ["kh", "bp"])
def test_median_that_is_not_reached_bounds_nothing_on_common_images(method):
    records = compared("kh")
    for record in records:
        never = (1, 2) if record.config.method == method else ()
        with_images(record, [0, 1, 2], [0.9, 1.0, 1.1], never=never)
    rows = CLAIMS["H02"].readings(records).set_index("reading")
    common = rows.loc["PGD, corrected, images both get right, 2,000 units"]
    assert math.isfinite(common["value"]) and common["verdict"] == "open"
    assert (common["low"], common["high"]) == (-math.inf, math.inf)


# H01


def straight(r_squared):
    """Spectra of layers with this R², on average."""
    records = []
    for seed in range(5):
        value = r_squared + NOISE[seed] / 20
        one = spectrum(local(seed), {"images": 2.5}, r_squared=value, variant=RELEASED)
        records.append(one)
    return records


def test_share_that_holds_has_the_level_of_its_table():
    found = share_that_holds(pd.DataFrame({"value": [1.0, 0.0, 1.0]}), 0.99)
    assert found == share_interval(2, 3, level=0.99)


def test_what_was_straight_before_learning_is_told():
    records = straight(0.99)
    for record in records:
        before = record.metrics.query("input == 'images'").assign(input="start")
        before.loc[before["measure"] == "r_squared", "value"] -= 0.04
        metrics = pd.concat([record.metrics, before], ignore_index=True)
        object.__setattr__(record, "metrics", metrics)
    assert CLAIMS["H01"].measure(records).at == "95.00%"
    rows = CLAIMS["H01"].readings(records).set_index("reading")
    learned = rows.loc["R², ranks 10 to 500, ordinary, minus that before learning, 2,000 units"]
    assert learned["value"] == pytest.approx(0.04) and learned["verdict"] == "holds"


def test_shares_of_layers_have_exact_intervals():
    rows = CLAIMS["H01"].readings(straight(0.99))
    shares = rows[rows["reading"].str.startswith("no law")]
    low = stats.binomtest(5, 5).proportion_ci().low
    assert shares["value"].tolist() == [1, 1]  # the eigenvalues are an exact power law
    assert shares["low"].tolist() == pytest.approx([low, low])
    assert low < 0.5 and set(shares["verdict"]) == {"open"}


def test_networks_that_learn_by_back_propagation_do_not_enter_h01():
    records = [spectrum(network("bp", seed), {"images": 2.0}) for seed in range(5)]
    assert CLAIMS["H01"].measure(records) is None and CLAIMS["H01"].readings(records).empty


# H05


def regularised(after, before, seeds=5, protocol=CORRECTED, **fields):
    records = []
    for seed in range(seeds):
        exponents = {"images": after + NOISE[seed], "start": before}
        run = network("specreg", seed, **fields)
        records.append(spectrum(run, exponents, variant=protocol))
    return records


@pytest.mark.parametrize(
    ("after", "value", "verdict"),
    [(1.2, -0.3, "holds"), (2.0, 0.5, "fails"), (0.8, -0.3, "holds")],
)
def test_the_exponent_is_nearer_to_one_or_farther(after, value, verdict):
    records = regularised(after, before=1.5)
    assert CLAIMS["H05"].measure(records).value == pytest.approx(value)
    assert judged("H05", records) == verdict


def test_h05_has_a_reading_for_each_protocol():
    records = regularised(1.2, 1.5) + regularised(2.0, 1.5, protocol=RELEASED, epochs=1000)
    verdicts = CLAIMS["H05"].readings(records).set_index("reading")["verdict"]
    assert verdicts.filter(like="corrected").tolist() == ["holds"]
    assert verdicts.filter(like="as released").tolist() == ["fails"]
    assert CLAIMS["H05"].measure(records).value == pytest.approx(-0.3)


def test_networks_that_see_all_images_decide_and_are_told_apart():
    records = compared("kh", 2.0)
    for record in compared("kh", 3.0):
        parent = dataclasses.replace(record.config.parent, experiment="all_images_2000")
        config = dataclasses.replace(record.config, parent=parent)
        records.append(dataclasses.replace(record, config=config))
    assert CLAIMS["H02"].measure(records).value == pytest.approx(3)
    values = CLAIMS["H02"].readings(records).set_index("reading")["value"]
    assert values["PGD, corrected, 2,000 units"] == pytest.approx(2)
    assert values["PGD, corrected, 2,000 units, all images"] == pytest.approx(3)
