"""Other divisions into parts: every image once, near duplicates together, a fifth of each class."""

import numpy as np
import pytest
import torch

from papers.pruning import experiments, occlusion, splits, studies, tasks
from papers.pruning.splits import PARTS
from papers.shared import features


@pytest.fixture
def images():
    """200 features of two classes, of which every fourth is nearly that before it, and groups."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 50, generator=generator)
    x[3::4] = x[2::4] + 0.01 * torch.randn(50, 50, generator=generator)
    group = np.arange(200)
    group[3::4] = group[2::4]
    return x, group


def test_near_duplicates_are_those_that_were_made(images):
    x, group = images
    found = splits.near_duplicates(x)
    assert np.array_equal(found[:, None] == found, group[:, None] == group)


def test_a_chain_of_near_duplicates_is_one_group():
    angles = torch.tensor([0.0, 0.5, 1.0, np.pi, np.pi + 0.5, np.pi + 1.0])  # neighbours: .88
    x = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert torch.cosine_similarity(x[0], x[2], dim=0) < splits.NEAR
    found = splits.near_duplicates(x)
    assert len(set(found[:3])) == len(set(found[3:])) == 1 and found[0] != found[3]


@pytest.mark.parametrize("number", [1, 2, 5])
def test_groups_stay_together_and_every_image_is_in_one_part(images, number):
    _, group = images
    y = np.repeat([0, 1], 100)
    rows = splits.rows_of_parts(group, y, number)
    assert sorted(np.concatenate([rows[part] for part in PARTS])) == list(range(200))
    of_parts = [set(group[rows[part]]) for part in PARTS]
    assert not (of_parts[0] & of_parts[1] or of_parts[0] & of_parts[2] or of_parts[1] & of_parts[2])
    for part in ("valid", "test"):
        for label in (0, 1):
            assert 20 <= (y[rows[part]] == label).sum() <= 21  # a group has two at most


def test_divisions_differ_and_are_repeated(images):
    _, group = images
    y = np.repeat([0, 1], 100)
    first, again, second = (splits.rows_of_parts(group, y, n)["test"] for n in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, second)


def test_a_task_in_another_division_has_the_same_images():
    usual, other = tasks.load("digits", "tiny"), tasks.load("digits", "tiny", division=1)
    rows = [torch.cat([task.x[part] for part in PARTS]) for task in (usual, other)]
    sums = [torch.sort(x.double().sum(1)).values for x in rows]
    torch.testing.assert_close(*sums)
    assert not torch.equal(usual.y["test"], other.y["test"])


def test_regions_are_hidden_from_the_images_that_test_in_the_division():
    searched = experiments.searches("smoke")[0]
    divided = searched.with_changes({"division": 2})
    task = divided.task()
    pictures, y = studies.test_images(divided, len(task.y["test"]))
    x = occlusion.pooled(pictures, divided.extractor)
    places = torch.cdist(x.double(), task.x["test"].double()).argmin(1)
    assert sorted(places.tolist()) == list(range(len(task.y["test"])))
    torch.testing.assert_close(x, task.x["test"][places])
    assert torch.equal(y, task.y["test"][places])


def test_arrays_come_in_the_parts_of_the_features():
    split = features.load("digits_low", "tiny")
    parts = features.in_parts("digits_low", features.images("digits_low").arrays)
    for part in PARTS:
        assert np.array_equal(parts[f"y_{part}"], getattr(split, f"y_{part}").numpy())
