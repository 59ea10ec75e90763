"""The rule on links: the dense one where there is a link, and links that evolve between epochs."""

import pytest
import torch

from lib.layers import SparseLinear
from papers.local_learning import krotov_hopfield as rule
from papers.local_learning.krotov_hopfield import EVOLUTION, KrotovHopfield

SMALL = KrotovHopfield(n_units=12, epochs=4, batch_size=10)


@pytest.fixture
def x(generator):
    return torch.rand(30, 20, generator=generator)


def layer_of(density, generator):
    return SparseLinear(20, 12, density=density, bias=False, start=1.0, generator=generator)


@pytest.mark.parametrize("density", [0.3, 1.0])
@pytest.mark.parametrize(("order", "rank"), [(2, 2), (3, 4)])
def test_update_is_the_dense_one_at_the_links(x, density, order, rank, generator):
    layer = layer_of(density, generator)
    options = {"norm_order": order, "rank": rank}
    desired = rule.summed_update(layer.to_dense().detach(), x, **options)
    actual = rule.sparse_summed_update(layer, x, **options)
    torch.testing.assert_close(actual, desired.flatten()[layer.support.keys])


def test_largest_change_is_the_step_size_exactly(x, generator):
    layer = layer_of(0.3, generator)
    step = rule.learning_step(layer, x, step_size=0.07)
    assert step.shape == layer.values.shape and step.abs().max() == 0.07


def test_evolution_keeps_the_number_of_links_and_changes_which(x):
    fixed = rule.learn(x, SMALL, density=0.3, seed=0, evolution=None)
    evolved = rule.learn(x, SMALL, density=0.3, seed=0, evolution=EVOLUTION)
    assert fixed.layer.nnz == evolved.layer.nnz == 72
    assert [row["replaced"] for row in fixed.metrics] == [0, 0, 0, 0]
    replaced = [row["replaced"] for row in evolved.metrics]
    assert min(replaced[:-1]) > 0 and replaced[-1] == 0
    assert not torch.equal(fixed.layer.support.keys, evolved.layer.support.keys)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seed": 1}, "seed = 0, not 1"),
        ({"density": 0.4}, "density = 0.3, not 0.4"),
        ({"evolution": None}, "drop = .*, not None"),
    ],
)
def test_checkpoint_of_another_run_is_refused(x, changes, sentence, tmp_path):
    options = {"density": 0.3, "seed": 0, "evolution": EVOLUTION}
    options["checkpoint"] = tmp_path / "checkpoint.pt"
    rule.learn(x, SMALL, **options)
    with pytest.raises(ValueError, match=sentence):
        rule.learn(x, SMALL, **options | changes)


def test_links_move_to_where_the_images_vary():
    """A border that is always 0 teaches nothing: its links are as they started, others learn."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(200, 20, generator=generator)
    x[:, 10:] = 0
    settings = KrotovHopfield(n_units=12, epochs=60, batch_size=20, step_size=0.05)
    learned = rule.learn(x, settings, density=0.3, seed=0, evolution=EVOLUTION)
    at_start = SparseLinear(20, 12, density=0.3, generator=torch.Generator().manual_seed(0))
    share_at_start = (at_start.support.col < 10).double().mean()
    share = (learned.layer.support.col < 10).double().mean()
    assert share > 1.5 * share_at_start
