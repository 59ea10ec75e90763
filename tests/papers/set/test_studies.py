"""Studies of links: rows, numbers and overlaps against the records they come from, and scipy."""

import dataclasses
import types
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib import data, topology
from lib.topology import power_law, structure
from papers.set import studies
from papers.shared import trained
from papers.shared.sparse_training import SparseTraining
from papers.shared.study import Study
from tests.papers import made
from tests.papers.untrained import linked

BASE = SparseTraining(
    "made", dataset="digits", hidden=(90, 60), density=0.05, drop="sign", epochs=10, batch_size=256
)
PARENTS = {"set": BASE, "fixed": dataclasses.replace(BASE, method="fixed", drop=None, epochs=2)}
MEASURES = {
    "scale_free": studies.scale_free,
    "network_structure": studies.network_structure,
    "visible_connectivity": studies.visible_connectivity,
}
SEQUENCES = ["inputs", "hidden 1", "hidden 2"]


@pytest.fixture(autouse=True)
def float64():
    """Runs are made in float32, torch's default, as other processes make them."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Where the runs of this module are kept, each made once."""
    return made.store(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def record(store):
    """The network whose links evolve."""
    return store.run(BASE)


def study(experiment, parent=BASE, draws=5):
    same = {name: getattr(parent, name) for name in ("dataset", "method", "hidden", "seed")}
    return Study(experiment, parent=parent, draws=draws, **same)


@pytest.fixture(scope="module")
def measured(store):
    """(experiment, parent) -> the table and arrays of a study, before they were written."""

    def measure(experiment, parent=BASE):
        return MEASURES[experiment](study(experiment, parent), store.run(parent))

    return cache(measure)


@pytest.fixture(scope="module")
def evidence(measured):
    return measured("scale_free")[0]


# degrees


def test_evidence_has_a_row_for_each_sequence_and_its_rivals(evidence):
    rivals = ["random", *(f"power law {exponent}" for exponent in studies.EXPONENTS)]
    desired = [*product((2, 5, 10), SEQUENCES, ["network"])]
    desired += [("final", name, "network") for name in [*SEQUENCES, "hidden 1 in", "hidden 1 out"]]
    desired += [*product(["final"], SEQUENCES, rivals)]
    actual = evidence[["epoch", "neurons", "kind"]].itertuples(index=False, name=None)
    assert sorted(actual, key=str) == sorted(desired, key=str)


@pytest.mark.parametrize("experiment", ["scale_free", "network_structure"])
def test_fixed_support_has_only_its_end(experiment, measured):
    table, _ = measured(experiment, PARENTS["fixed"])
    assert set(table["epoch"]) == {"final"}


def test_degrees_of_a_network_are_those_of_its_record(evidence, record):
    degrees = trained.degrees(record)
    table = evidence[evidence["kind"] == "network"]
    keys = zip(table["epoch"], table["neurons"], strict=True)
    found = [topology.degree_sequences(degrees, e)[n] for e, n in keys]
    desired = [(len(k), k.mean(), k.max(), (k == 0).sum(), k.var() / k.mean()) for k in found]
    actual = table[["n", "mean", "max", "isolated", "variance_ratio"]]
    np.testing.assert_allclose(actual, desired, rtol=1e-12)


def of_kind(table, kind):
    """The rows of one kind at the end, by neurons."""
    found = table[(table["kind"] == kind) & (table["epoch"] == "final")].set_index("neurons")
    return found.loc[SEQUENCES]


def test_random_rows_have_as_many_neurons_and_links(evidence):
    network, random = (of_kind(evidence, kind) for kind in ("network", "random"))
    assert (network["n"] == random["n"]).all()
    links = [rows["mean"] * rows["n"] for rows in (network, random)]
    np.testing.assert_allclose(*links, rtol=1e-12)
    assert (network["variance_ratio"] != random["variance_ratio"]).all()


@pytest.mark.parametrize("exponent", studies.EXPONENTS)
def test_power_law_rows_have_as_many_neurons_as_are_linked(exponent, evidence):
    network, drawn = (of_kind(evidence, kind) for kind in ("network", f"power law {exponent}"))
    assert (drawn["n"] == network["n"] - network["isolated"]).all()
    assert network["isolated"].any()  # or nothing is left out
    assert (drawn["isolated"] == 0).all()
    largest = topology.largest_degrees((64, 90, 60, 10))
    assert (drawn["max"] <= [largest[name] for name in SEQUENCES]).all()


def test_last_sequences_have_all_replicates(evidence):
    whole = (evidence["epoch"] == "final") & (evidence["kind"] == "network")
    assert set(evidence[whole]["replicates"]) == {5} and set(evidence[~whole]["replicates"]) == {1}


@pytest.mark.parametrize("experiment", ["scale_free", "network_structure"])
def test_study_repeats_itself_to_the_bit(experiment, measured):
    functions = measured, measured.__wrapped__  # once more, not from the cache
    (first, arrays), (second, others) = (f(experiment, PARENTS["fixed"]) for f in functions)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert all(np.array_equal(arrays[name], others[name]) for name in arrays | others)


def test_another_seed_draws_other_networks(monkeypatch, record):
    def squares(degrees, *_, rng):
        return {"squares": (degrees.astype(float) ** 2).sum()}

    monkeypatch.setattr(power_law, "evidence", squares)
    asked = study("scale_free")
    pair = asked, asked, dataclasses.replace(asked, seed=1)
    first, same, other = (of_kind(studies.scale_free(s, record)[0], "random") for s in pair)
    assert (first["squares"] == same["squares"]).all()
    assert (first["squares"] != other["squares"]).any()


@pytest.mark.parametrize("kind", ["network", "random", "power law 2.5"])
def test_written_evidence_has_the_category_it_had(kind, evidence, store):
    written = store.run(study("scale_free"))
    read = store.stored(written.config).metrics
    assert list(read["domain"]) == list(evidence["domain"])
    old, new = (power_law.category(table[table["kind"] == kind]) for table in (evidence, read))
    assert old == new and new["inside"] > 0


# links


@pytest.mark.parametrize("epoch", [0, 5, 10, "final"])
def test_supports_have_the_degrees_of_their_epoch(epoch, record):
    first, second = trained.supports_at(record, epoch)
    actual = [first.tcrow.diff(), first.crow.diff() + second.tcrow.diff(), second.crow.diff()]
    desired = topology.degree_sequences(trained.degrees(record), epoch)
    assert [k.tolist() for k in actual] == [desired[name].tolist() for name in SEQUENCES]


def without(record, *parts):
    arrays = {n: a for n, a in record.arrays.items() if not any(part in n for part in parts)}
    return dataclasses.replace(record, arrays=arrays)


@pytest.mark.parametrize(("parts", "epoch"), [([".links."], 5), ([".links.", "state."], "final")])
def test_record_without_links_is_named_with_the_remedy(parts, epoch, record):
    record = without(record, *parts)
    sentence = f"{BASE.name} does not hold the links after epoch {epoch}: give another"
    with pytest.raises(ValueError, match=sentence):
        trained.supports_at(record, epoch)


def test_end_is_taken_from_the_state_where_links_were_not_kept(record):
    kept, derived = (trained.supports_at(r, "final") for r in (record, without(record, ".links.")))
    assert [s.keys.tolist() for s in kept] == [s.keys.tolist() for s in derived]


def test_overlap_is_one_with_itself_and_between_0_and_1_elsewhere(measured):
    table, _ = measured("network_structure")
    overlap = table[table["measure"].str.startswith("overlap")]
    wide = overlap.pivot(index="epoch", columns="measure", values="value")
    assert set(wide.index) == {0, 1, 2, 5, 10, "final"} and wide.notna().all(axis=None)
    layers = ["layer 1", "layer 2"]
    start, end = (
        [f"overlap with {side}, {layer}" for layer in layers] for side in ("start", "end")
    )
    assert (wide.loc[0, start] == 1).all() and (wide.loc["final", end] == 1).all()
    assert wide.loc[10, start].between(0, 1, inclusive="neither").all()
    assert (wide.loc[0, end].to_numpy() == wide.loc["final", start].to_numpy()).all()


@pytest.mark.parametrize("epoch", [10, "final"])
def test_measures_are_those_of_the_supports(epoch, record, measured):
    table, _ = measured("network_structure")
    found = table[table["epoch"] == epoch].set_index("measure")
    supports = trained.supports_at(record, epoch)
    desired = structure.measures(topology.to_matrices(supports), seed=0)
    assert found.loc[list(desired), "value"].to_dict() == desired
    assert (found.loc[list(desired), "n_nulls"] == 5).all() and "small_world_sigma" in found.index
    assert set(table[table["n_nulls"].notna()]["epoch"]) == {10, "final"}


# inputs


def correlation(a, b):
    """Spearman's, by its definition."""
    return np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1]


@pytest.fixture(scope="module")
def pixels():
    """Variance and F value of every pixel, and where it varies; scipy's analysis of variance."""
    split = data.load("digits")
    x, y = split.x_train.flatten(1).double().numpy(), split.y_train.numpy()
    varies = np.ptp(x, axis=0) > 0
    f_value = stats.f_oneway(*(x[y == digit][:, varies] for digit in range(10))).statistic
    return x.var(axis=0), f_value, varies


@pytest.mark.parametrize("epoch", [0, 5, "final"])
def test_correlations_of_pixels_are_those_of_their_ranks(epoch, pixels, record, measured):
    variance, f_value, varies = pixels
    links = record.arrays[f"linear1.out_degree.{epoch}"].astype(int)
    table, _ = measured("visible_connectivity")
    found = table[table["epoch"] == epoch].set_index("measure")["value"]
    desired = {
        "correlation with variance": correlation(links, variance),
        "correlation with variance, varying pixels": correlation(links[varies], variance[varies]),
        "correlation with F value": correlation(links[varies], f_value),
    }
    np.testing.assert_allclose(found[list(desired)], list(desired.values()), rtol=1e-9)


def test_statistics_of_pixels_are_0_where_they_are_constant(pixels, measured):
    variance, f_value, varies = pixels
    _, arrays = measured("visible_connectivity")
    assert 0 < (~varies).sum() < 10  # digits has some
    np.testing.assert_array_equal(arrays["variance"] == 0, ~varies)
    np.testing.assert_allclose(arrays["variance"], variance, rtol=1e-6)  # kept as float32
    np.testing.assert_allclose(arrays["f_value"][varies], f_value, rtol=1e-6)
    assert (arrays["f_value"][~varies] == 0).all()


def test_links_of_pixels_are_counted_by_place(pixels, record, measured):
    links = record.arrays["linear1.out_degree.final"].astype(int)
    table, _ = measured("visible_connectivity")
    found = table[table["epoch"] == "final"].set_index("measure")["value"]
    assert found["links of constant pixels"] == links[~pixels[2]].sum() / links.sum() > 0
    assert found["pixels without links"] == (links == 0).sum()
    square = links.reshape(8, 8)
    centre = square[2:6, 2:6].sum()
    ratio = ((square.sum() - centre) / 48) / (centre / 16)
    np.testing.assert_allclose(found["frame over centre"], ratio, rtol=1e-12)


# how alike maps are


def network(degrees, method="set", seed=0):
    """A network whose pixels have these links at the end."""
    matrix = (np.arange(max(degrees))[:, None] < np.array(degrees)).astype(int)
    return linked([matrix], dataset="mnist", method=method, seed=seed)


NETWORKS = [  # of SET two seeds that agree, of RigL one that prefers the other pixels
    network([4, 3, 2, 1]),
    network([4, 3, 2, 1], seed=1),
    network([1, 2, 3, 4], "rigl"),
]


@pytest.mark.parametrize(
    ("first", "second", "names", "correlations", "shared"),
    [
        ("set", "set", ["SET"], [1], [1]),
        ("set", "rigl", ["SET and RigL"], [-1], [0]),
        ("rigl", "rigl", [], [], []),
    ],
)
def test_agreement_takes_all_pairs_of_different_seeds(first, second, names, correlations, shared):
    table = studies.agreement(NETWORKS, first, second)
    assert table["networks"].tolist() == names
    assert table["rank correlation"].tolist() == pytest.approx(correlations)
    assert table["best quarter"].tolist() == shared


def test_networks_of_two_data_sets_are_not_compared():
    other = linked([[[1, 0], [1, 1]]], dataset="fashion_mnist", method="set")
    assert studies.agreement([NETWORKS[0], other], "set", "set").empty


def test_best_quarters_are_compared_as_sets():
    """Of eight pixels two are best: {0, 1} and {1, 2} share one of three."""
    a, b = network([5, 4, 3, 1, 1, 1, 1, 1]), network([3, 4, 5, 1, 1, 1, 1, 1], seed=1)
    (row,) = studies.agreement([a, b], "set", "set").to_dict("records")
    assert row["best quarter"] == pytest.approx(1 / 3)


# epochs until significant

FALLING, RISING = (np.repeat(range(1, 6), n) for n in ([50, 20, 10, 5, 1], [1, 5, 10, 20, 66]))


def with_degrees(**hidden):
    """A record of 20 epochs in which hidden layers have these degrees after some: {e5: (…, …)}."""
    arrays = {}
    for epoch, layers in hidden.items():
        for i, counts in enumerate(layers, start=1):
            arrays[f"linear{i}.in_degree.{epoch.removeprefix('e')}"] = counts
            below = np.zeros(len(layers[i - 2]) if i > 1 else 9, int)
            arrays[f"linear{i}.out_degree.{epoch.removeprefix('e')}"] = below
    return types.SimpleNamespace(arrays=arrays, config=types.SimpleNamespace(epochs=20))


NONE, HALF, FEW = (RISING, RISING), (RISING, FALLING), (RISING, RISING, FALLING)


@pytest.mark.parametrize(
    ("hidden", "share"),
    [
        ({"e0": HALF, "e1": NONE, "final": NONE}, 0.0),
        ({"e0": NONE, "e10": NONE, "e5": HALF, "final": NONE}, 0.25),  # in order of the epochs
        ({"e0": NONE, "e2": NONE, "final": HALF}, np.inf),  # after the final removal
        ({"e0": FEW, "e1": FEW[::-1], "final": FEW}, np.inf),
        ({"e0": (RISING, np.full(60, 4)), "final": NONE}, np.inf),  # no correlation to speak of
    ],
)
def test_epochs_are_counted_until_half_of_the_layers_are_significant(hidden, share):
    assert studies.epochs_until_significant(with_degrees(**hidden)) == share


# what notebooks measure


@pytest.mark.parametrize(("name", "epoch"), [("random start", 0), ("evolved", "final")])
def test_graphs_have_the_degrees_of_their_epoch(name, epoch, record):
    graph = studies.graphs(record)[name]
    desired = topology.degree_sequences(trained.degrees(record), epoch)
    for layer, neurons in enumerate(SEQUENCES):
        nodes = [node for node in graph if node[0] == layer]
        assert [graph.degree[node] for node in sorted(nodes)] == desired[neurons].tolist()
