"""Density by distance against a count of all pairs."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import wasserstein_distance

from lib.runs.record import Record
from papers.frontier.experiments import IMAGES, start_degrees
from papers.frontier.studies import degree_distances, density_by_distance
from papers.shared import trained
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


def test_record_without_links_gives_no_rows():
    record = Record(LOCAL, pd.DataFrame(), {}, {"architecture": "64-128-64-10"})
    assert density_by_distance(record).empty


def made(run, seed, degrees):
    """A record of a run with other seed, with degrees of one layer by side and epoch."""
    arrays = {f"linear1.{side}_degree.{epoch}": k for (side, epoch), k in degrees.items()}
    return Record(dataclasses.replace(run, seed=seed), pd.DataFrame(), arrays, {})


def drawn(rng, run, seed):
    degrees = {}
    for side in ("in", "out"):
        for epoch in (0, "final"):
            degrees[side, epoch] = rng.multinomial(200, rng.dirichlet(np.ones(40))).astype("int16")
    return made(run, seed, degrees)


def test_distance_is_wassersteins_over_twice_the_mean_to_other_seeds(rng):
    (other, *_) = start_degrees("smoke")
    usual = start_degrees("smoke")[1].parent
    starts = [drawn(rng, usual, seed) for seed in range(3)]
    record = drawn(rng, other, 1)
    unlike = drawn(rng, dataclasses.replace(usual, method="set"), 5)
    found = degree_distances([record], [*starts, unlike])
    assert set(found["epoch"]) == {0, other.epochs}
    assert found.groupby("start").size().to_dict() == {"random start": 12, "power law": 4}
    for row in found.itertuples():
        degree = f"linear1.{row.side}_degree"
        one = record if row.start == "power law" else starts[row.seed]
        others = [start for start in starts if start.config.seed != row.seed]
        k = one.arrays[f"{degree}.{'final' if row.epoch else 0}"]
        apart = [wasserstein_distance(k, o.arrays[f"{degree}.final"]) for o in others]
        assert row.value == pytest.approx(np.mean(apart) / (2 * 200 / 40))


def test_distance_is_the_share_of_links_to_move():
    run = start_degrees("smoke")[1]
    usual = [made(run.parent, seed, {("in", "final"): np.array([4, 4, 2])}) for seed in (0, 1)]
    moved = made(run, 0, {("in", 0): np.array([5, 0, 5])})  # two links of ten give 4, 2, 4
    found = degree_distances([moved], usual).set_index(["start", "seed"])["value"]
    assert found["degrees of the end", 0] == pytest.approx(0.2)
    assert found["random start", 0] == found["random start", 1] == 0


def test_one_seed_and_no_record_have_no_distance():
    run = start_degrees("smoke")[1]
    k = {("in", "final"): np.array([1, 2])}
    usual = [made(run.parent, 0, k)]
    for found in (degree_distances([made(run, 0, k)], usual), degree_distances([], usual)):
        assert found.empty and "value" in found
