"""Links of a run start where its reaches say; the control has the same degrees."""

import dataclasses

import pytest
import torch

from lib import models
from lib.papers.frontier.training import StartTraining
from lib.papers.shared import trained

LOCAL = StartTraining(
    "made",
    dataset="digits",
    hidden=(128, 64),
    density=0.05,
    reaches=(1, 2),
    drop="magnitude",
    epochs=1,
)
SHUFFLED = dataclasses.replace(LOCAL, shuffled=True)


def supports_at_start(run):
    split = run.split()
    model = run.model(run.widths(split))
    run.prepare_(model, split, None)
    return [layer.support for layer in models.sparse_layers(model).values()]


def distances(support):
    """Of links, along the further side, between neurons on grids of 8 × 8."""
    rows, cols = support.row.long() % 64, support.col.long() % 64
    return torch.maximum((rows // 8 - cols // 8).abs(), (rows % 8 - cols % 8).abs())


def test_links_start_within_the_reach_of_their_layer():
    first, second = supports_at_start(LOCAL)
    assert (first.nnz, second.nnz) == (round(0.05 * 64 * 128), round(0.05 * 128 * 64))
    assert (distances(first).max(), distances(second).max()) == (1, 2)


def test_control_has_the_degrees_of_the_local_start_and_no_places():
    pairs = zip(supports_at_start(LOCAL), supports_at_start(SHUFFLED), strict=True)
    for local, shuffled in pairs:
        assert torch.equal(shuffled.crow, local.crow)
        degrees = local.tcrow.diff().sort().values
        assert torch.equal(shuffled.tcrow.diff().sort().values, degrees)
        assert distances(shuffled).double().mean() > 2 > distances(local).double().mean()


def test_start_is_that_of_the_seed():
    again = dataclasses.replace(LOCAL)
    other = dataclasses.replace(LOCAL, seed=1)
    first = supports_at_start(LOCAL)[0].keys
    assert torch.equal(supports_at_start(again)[0].keys, first)
    assert not torch.equal(supports_at_start(other)[0].keys, first)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"reaches": (1,)}, r"reaches = \(1,\) for hidden layers of \(128, 64\): give one each"),
        ({"density": None}, r"reaches = \(1, 2\) without a density"),
        ({"reaches": (), "shuffled": True}, "shuffled = True without reaches"),
    ],
)
def test_fields_that_contradict_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(LOCAL, **changes).check()


def test_hidden_neurons_that_do_not_share_out_are_refused():
    with pytest.raises(ValueError, match="100 hidden neurons do not share out over 8 x 8 pixels"):
        dataclasses.replace(LOCAL, hidden=(128, 100)).grids((8, 8))
    with pytest.raises(ValueError, match=r"an example has shape \(64,\)"):
        LOCAL.grids((64,))
    assert LOCAL.grids((3, 8, 8)) == [(3, 8, 8), (2, 8, 8), (1, 8, 8)]


def test_record_gives_the_trained_network_back(store):
    record = store.run(LOCAL)
    network = trained.network(record)
    split = LOCAL.split()
    right = network(split.x_test.float()).argmax(1) == split.y_test
    assert right.double().mean() == pytest.approx(record.environment["final"]["test_accuracy"])
