"""Which regions are hidden, and with what."""

import pytest
import torch

from papers.pruning import occlusion, studies
from papers.pruning.studies import RegionStudy

from .made import SMALL


def test_largest_share_is_the_share_and_the_largest(generator):
    maps = torch.rand(3, 10, 10, generator=generator)
    marked = occlusion.largest_share(maps, 0.2)
    assert marked.sum(dim=(1, 2)).tolist() == [20, 20, 20]
    assert (maps[marked].min() >= maps.flatten(1).kthvalue(80).values.min()).item()
    assert all(maps[i][marked[i]].min() > maps[i][~marked[i]].max() for i in range(3))


def test_largest_share_of_a_flat_map_is_still_the_share():
    assert occlusion.largest_share(torch.zeros(1, 4, 5), 0.25).sum() == 5


def test_moved_region_has_its_area_and_its_neighbours(generator, rng):
    marked = torch.zeros(1, 8, 8, dtype=torch.bool)
    marked[0, 2:4, 5:8] = True
    placed = occlusion.moved(marked, rng=rng)[0]
    rows = [placed.roll((i, j), dims=(0, 1)) for i in range(8) for j in range(8)]
    assert any(bool((row == marked[0]).all()) for row in rows)  # a block is its own mirror image


def test_moved_regions_fall_everywhere_equally(rng):
    marked = torch.zeros(4000, 4, 4, dtype=torch.bool)
    marked[:, 0, :2] = True
    share = occlusion.moved(marked, rng=rng).double().mean(dim=0)
    spread = (2 / 16 * 14 / 16 / 4000) ** 0.5
    assert (share - 2 / 16).abs().max() < 4.5 * spread


def test_covered_pixels_have_the_mean_colour_and_others_stay(generator):
    images = torch.randint(0, 256, (2, 3, 6, 6), generator=generator, dtype=torch.uint8)
    marked = torch.zeros(2, 6, 6, dtype=torch.bool)
    marked[:, :3] = True
    actual = occlusion.covered(images, marked)
    assert (actual[:, :, 3:] == images[:, :, 3:]).all()
    desired = images.double().mean(dim=(2, 3)).round()
    assert (actual[:, :, 0, 0].double() == desired).all()


def test_nothing_hidden_is_the_accuracy_of_the_member(store):
    run = RegionStudy("mask_regions", parent=SMALL, dataset="digits", images=40, draws=2)
    record = store.run(run)
    table = record.metrics.set_index("kind")
    assert table.loc["nothing", "area"] == 0
    assert table.drop("nothing")["area"].tolist() == pytest.approx([13 / 64] * 4)
    assert record.arrays["example images"].shape[0] == studies.EXAMPLES
    assert not set(record.arrays["kept"]) & set(record.arrays["others"])


def test_more_than_half_of_the_features_leave_too_few_others(store):
    n_features = SMALL.task().n_features
    run = RegionStudy("mask_regions", parent=SMALL, dataset="digits", kept=n_features // 2 + 1)
    with pytest.raises(ValueError, match=f"leaves fewer others: give at most {n_features // 2}"):
        store.run(run)
