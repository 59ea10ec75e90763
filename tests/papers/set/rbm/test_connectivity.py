"""Degrees of machines: their course, the evidence at the end, maps of visible units; dreams."""

import numpy as np
import pytest

from lib import papers, topology
from lib.papers import EXPERIMENTS
from lib.papers.set.rbm import connectivity, dreams, experiments
from lib.papers.shared import trained
from lib.runs.records import Store
from tests.papers.set.rbm.records import record, with_degrees
from tests.papers.set.rbm.test_experiments import TINY

RUN = experiments.RBMTraining(**{**TINY, "variant": "grid", "method": "set"})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    place = tmp_path_factory.mktemp("records")
    return Store(EXPERIMENTS, place / "runs", place / "results")


@pytest.fixture(scope="module")
def machine(store):
    """A record of a small machine of SET."""
    return store.run(RUN)


def test_course_has_a_row_a_recorded_epoch(machine):
    course = connectivity.degree_course([machine])
    assert course["epoch"].tolist() == [0, 1, 2, 5]
    assert set(course["setting"]) == {"12 hidden"} and set(course["dataset"]) == {"CD-1"}
    degrees = machine.arrays["links.in_degree.2"]
    assert course["ratio"].iloc[2] == pytest.approx(degrees.var() / degrees.mean())


def test_hidden_units_have_no_layer_above(machine):
    hidden = connectivity.hidden_degrees(machine, 0)
    assert len(hidden) == 12 and hidden.sum() == 4 * (64 + 12)
    assert len(connectivity.hidden_degrees(machine, 77)) == 0


def test_evidence_is_that_of_hidden_units_at_the_end(store, machine):
    run = connectivity.study_of("rbm_scale_free", RUN, variant="grid", draws=5)
    studied = store.run(run)
    ends = studied.metrics.query("kind == 'network' and epoch == 'final'")
    assert set(ends["neurons"]) == {"inputs", "hidden 1"}
    sequences = topology.degree_sequences(trained.degrees(machine), "final")
    row = ends.set_index("neurons").loc["hidden 1"]
    assert row["mean"] == pytest.approx(sequences["hidden 1"][sequences["hidden 1"] > 0].mean())
    (found,) = connectivity.evidence([studied]).to_dict("records")
    assert (found["hidden"], found["cd"], found["n"]) == (12, 1, 1)


def test_visible_units_are_studied_with_their_pixels(store, machine):
    run = connectivity.study_of("rbm_visible", RUN, variant="one setting", draws=1)
    ends = connectivity.named_ends([store.run(run)]).set_index("measure")["value"]
    links = machine.arrays["links.out_degree.final"]
    assert ends["pixels without links"] == (links == 0).sum()


def test_tables_of_nothing_are_empty():
    assert connectivity.evidence([]).empty and connectivity.named_ends([]).empty
    assert connectivity.degree_course([]).empty and connectivity.visible_maps([], 0) == {}


def test_maps_are_those_of_one_seed_upright():
    image = np.arange(784)
    runs = []
    for seed, dataset in ((0, "mnist"), (0, "caltech28"), (1, "mnist")):
        one = record("set", seed, dataset=dataset, hidden=(500,))
        runs.append(with_degrees(with_degrees(one, 0, visible=image), "final", visible=image))
    maps = connectivity.visible_maps(runs, 0)
    assert len(maps) == 2
    mnist, caltech = (row["end"] for row in maps.values())
    assert np.array_equal(mnist, image)
    assert np.array_equal(caltech.reshape(28, 28), image.reshape(28, 28).T)


def test_studies_are_of_machines_whose_degrees_are_kept():
    for name in ("rbm_scale_free", "rbm_visible"):
        for run in papers.EXPERIMENTS[name].runs("paper"):
            assert run.parent.er_epsilon is not None and run.hidden == run.parent.hidden


# dreams


def test_samples_weights_and_dreams_are_pictures(machine):
    (shown,) = dreams.machines([machine], 0)
    (samples,) = dreams.samples([shown]).values()
    (weights,) = dreams.weights([shown]).values()
    moving = dreams.dream(shown, frames=3, sweeps=2)
    assert samples.shape == (12, 8, 8) and weights.shape == (12, 8, 8)
    assert list(moving) == ["2 sweeps", "4 sweeps", "6 sweeps"]
    assert {images.shape for images in moving.values()} == {(12, 8, 8)}
    assert samples.min() >= 0 and samples.max() <= 1
    linked = (weights != 0).sum((1, 2))
    assert (np.diff(linked) <= 0).all() and linked[0] > 0


def test_dream_goes_on_from_frame_to_frame(machine):
    whole, split = dreams.dream(machine, frames=1, sweeps=6), dreams.dream(machine, 2, 3)
    assert np.array_equal(whole["6 sweeps"], split["6 sweeps"])
    assert dreams.machines([record("set")], 0) == []


def test_percentages_are_those_of_the_pixels(rng):
    images = rng.random((2, 3, 4))
    table = dreams.percentages({"one": images, "two": images})
    assert len(table) == 2 * 2 * 3
    row = table.query("name == 'two' and image == 1 and row == 2")
    assert row[[0, 1, 2, 3]].to_numpy()[0].tolist() == np.round(100 * images[1, 2]).tolist()
