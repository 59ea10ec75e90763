"""Density by distance against a count of all pairs."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from lib.papers.frontier.experiments import IMAGES
from lib.papers.frontier.studies import density_by_distance
from lib.papers.shared import trained
from lib.runs.record import Record
from tests.papers.frontier.test_training import LOCAL


@pytest.mark.parametrize("image", [(8, 8), (2, 6, 4)])
def test_density_by_distance_is_that_of_all_pairs(image, monkeypatch):
    *_, height, width = image
    hidden = (2 * height * width, height * width)
    run = dataclasses.replace(LOCAL, hidden=hidden, reaches=())
    model = run.model((int(np.prod(image)), *hidden, 10))
    arrays = {trained.STATE + name: array.numpy() for name, array in model.state_dict().items()}
    facts = {"architecture": "-".join(map(str, (int(np.prod(image)), *hidden, 10)))}
    monkeypatch.setitem(IMAGES, "digits", image)
    found = density_by_distance(Record(run, pd.DataFrame(), arrays, facts))
    assert found["layer"].unique().tolist() == ["linear1", "linear2"]
    for layer, rows in found.groupby("layer"):
        is_link = model.get_submodule(layer).to_dense() != 0
        index = [torch.arange(n) % (height * width) for n in is_link.shape]
        down = (index[0][:, None] // width - index[1] // width).abs()
        right = (index[0][:, None] % width - index[1] % width).abs()
        apart = torch.maximum(down, right)
        desired = [is_link[apart == d].double().mean().item() for d in range(max(height, width))]
        assert rows["density"].tolist() == pytest.approx(desired)


def test_links_of_a_local_start_that_stay_have_no_greater_distance(store):
    record = store.run(dataclasses.replace(LOCAL, method="fixed", drop=None, grow="random"))
    found = density_by_distance(record).query("density > 0")
    assert found.groupby("layer")["distance"].max().tolist() == [1, 2]


def test_record_without_links_gives_no_rows():
    record = Record(LOCAL, pd.DataFrame(), {}, {"architecture": "64-128-64-10"})
    assert density_by_distance(record).empty
