"""Training as a run: what is recorded, resumed to the same bits, refused."""

import dataclasses

import numpy as np
import pytest
import torch

from lib import train
from papers.shared import backbone, features, trained
from tests.papers.set.cnn.made import SMALL, TOP


@pytest.fixture(autouse=True)
def float32():
    """Networks are trained in it."""
    torch.set_default_dtype(torch.float32)


def test_record_holds_links_of_channels_from_the_start_on(store):
    record = store.run(SMALL)
    links, useful = (record.arrays[f"channels.{name}"] for name in ("links", "usefulness"))
    assert links.shape == useful.shape == (4, 6)  # the start and three epochs, six channels
    assert (links.sum(1) == links[0].sum()).all()  # replaced, not more or fewer
    assert (links[-1] != links[0]).any() and (useful >= 0).all() and (useful <= 1).all()
    degrees = record.arrays["top.linear1.out_degree.0"]
    np.testing.assert_array_equal(links[0], degrees.reshape(6, -1).sum(1))
    assert record.environment["architecture"] == "8-8-24-20-10"
    assert record.environment["weights"]["top"] == record.metrics["links"].iloc[0] + 10


def test_network_of_a_record_is_the_one_that_was_trained(store):
    record = store.run(dataclasses.replace(SMALL, epochs=1))
    split = SMALL.split()
    actual = train.accuracy(trained.network(record), split.x_test, split.y_test)
    assert actual == record.environment["final"]["test_accuracy"]


@pytest.mark.filterwarnings("ignore:fit goes by autograd")
def test_watching_changes_nothing(tmp_path):
    split = SMALL.split()
    losses = []
    for measure in (None, SMALL.watch(split)):
        model = SMALL.model(SMALL.widths(split), SMALL.standardisation(split))
        history = train.fit(model, split, SMALL.settings(), seed=0, measure=measure)
        losses.append([row["train_loss"] for row in history.metrics])
    assert losses[0] == losses[1]


def test_layers_on_features_take_training_and_validation_part(store):
    record = store.run(TOP)
    found = features.load("digits_low", "tiny")
    split = TOP.split()
    assert len(split.x_train) == len(found.x_train) + len(found.x_valid)
    assert torch.equal(split.x_test, found.x_test)
    assert record.environment["architecture"] == f"{found.n_features}-24-20-5"
    made_of = {"weights": backbone.extractor("tiny").sha256, "images": found.sha256}
    assert made_of.items() <= record.environment["data"].items()
    assert record.arrays["channels.links"].shape == (3, found.n_features)


@pytest.mark.parametrize(
    ("run", "change", "sentence"),
    [
        (SMALL, {"method": "rigle"}, "unknown method 'rigle': did you mean 'rigl'"),
        (TOP, {"method": "sett"}, "unknown method 'sett': did you mean 'set'"),
        (TOP, {"limit": 10}, "limit = 10 is not used by training on stored features"),
        (TOP, {"test_images": 10}, "test_images = 10 is not used by"),
        (TOP, {"published_srelu": True}, "published_srelu = True is not used by activation 'relu'"),
        (SMALL, {"sparse_output": True}, "sparse_output = True is not used by this"),
        (SMALL, {"start": "glorot_uniform"}, "start = .glorot_uniform. is not used by this"),
        (SMALL, {"epochs": 0}, "epochs = 0 is out of range"),
        (SMALL, {"grow": "gradients"}, "did you mean 'gradient'"),
    ],
)
def test_what_is_out_of_range_is_refused_before_anything_is_run(run, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(run, **change).check()


def test_features_on_which_all_links_fit_are_refused():
    run = dataclasses.replace(TOP, er_epsilon=100.0)
    with pytest.raises(ValueError, match="32 to 24 dense: give less than 13.7"):
        run.model((32, 24, 20, 5))
