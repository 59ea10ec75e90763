"""Networks that start from a trained one: its links, its degrees or its largest weights."""

import dataclasses

import pytest
import torch

from papers.shared import trained
from papers.shared.inheritance import inherit_
from tests.papers.made import BASE

DENSE = dataclasses.replace(BASE, density=None, drop=None)


def child(inherits, **fields):
    """A static network that starts from the run of another method."""
    parent = DENSE if inherits == "largest" else BASE
    return dataclasses.replace(
        BASE, method="child", drop=None, parent=parent, inherits=inherits, **fields
    )


@pytest.mark.parametrize("inherits", ["support", "degrees"])
def test_run_inherits_links_or_degrees_with_new_weights(inherits, store):
    record = store.run(child(inherits, epochs=1))
    parent = store.stored(BASE)  # was trained for it
    support, old = (trained.supports(r)["linear1"] for r in (record, parent))
    assert (support.crow.diff() == old.crow.diff()).all()
    assert (support.tcrow.diff() == old.tcrow.diff()).all()
    assert (support.col == old.col).all() == (inherits == "support")
    weights = [trained.state(r.arrays)["linear1.values"] for r in (record, parent)]
    assert not torch.isclose(*weights).any()


def test_pruned_network_keeps_the_largest_weights_and_the_rest(store):
    run = child("largest", epochs=1)
    parent = store.run(run.parent)
    model = run.model(trained.widths(parent), (torch.tensor(0.0), torch.tensor(1.0)))
    inherit_(model, parent, run.inherits, start=run.start, seed=run.seed)
    old = trained.state(parent.arrays)
    dense = model.linear1.to_dense()
    n = model.linear1.nnz
    kept = old["linear1.weight"].abs() >= old["linear1.weight"].abs().flatten().topk(n).values[-1]
    assert torch.equal(dense, old["linear1.weight"] * kept)
    assert torch.equal(model.linear3.to_dense(), old["linear3.weight"])
    assert torch.equal(model.activation2.pieces, old["activation2.pieces"])
    assert torch.equal(model.linear1.bias, old["linear1.bias"])


@pytest.mark.parametrize("inherits", ["support", "degrees"])
def test_what_is_inherited_depends_on_the_seed_of_the_heir_alone(inherits, store):
    run = child(inherits)
    parent = store.run(BASE)
    weights = {}
    for seed in (0, 0, 1):
        model = run.model(trained.widths(parent))
        inherit_(model, parent, inherits, start=run.start, seed=seed)
        weights.setdefault(seed, []).append(model.linear2.to_dense())
    assert torch.equal(*weights[0])
    assert not torch.equal(weights[0][0], weights[1][0])


def test_inheriting_another_word_is_refused_with_the_nearest(store):
    with pytest.raises(ValueError, match="unknown inherits 'suport': did you mean 'support'"):
        store.run(child("suport"))
