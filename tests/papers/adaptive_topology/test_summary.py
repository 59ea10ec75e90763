"""The summary of a network: against the tables of the other studies, and closed forms."""

import numpy as np
import pytest
import torch

from lib.papers.adaptive_topology import removal, summary
from lib.robustness import attacks
from tests.papers.adaptive_topology.measuring import network, record_of, study


def measured(model, **fields):
    fields = {"radii": (0.1,), "radii_l2": (0.5,), **fields}
    return summary.robustness_summary(study("robustness_summary", **fields), record_of(model))


def values(table, measure):
    return table[table["measure"] == measure].groupby("strength")["value"].mean()


def test_outcomes_average_to_the_values_of_the_table(model, split):
    table, arrays = measured(model)
    assert arrays["clean"].mean() == values(table, "accuracy")[0]
    assert arrays["pgd linf 0.1"].mean() == values(table, "pgd linf")[0.1]
    curve = values(table, "removal, rescaled")
    area = np.trapezoid(curve, curve.index)
    assert arrays["removal, rescaled"].mean() / summary.AREA_UNITS == pytest.approx(area, abs=1e-4)


def test_removal_is_that_of_the_study_of_removal(model, split):
    table, _ = measured(model)
    desired, _ = removal.link_removal(study("link_removal"), record_of(model))
    desired = desired[(desired["order"] == "random") & (desired["scope"] == "all")]
    desired = desired.groupby("fraction")["accuracy"].mean()
    np.testing.assert_allclose(values(table, "removal"), desired)


def test_rescaling_changes_neither_the_whole_network_nor_the_empty_one(model, split):
    table, _ = measured(model)
    plain, rescaled = values(table, "removal"), values(table, "removal, rescaled")
    assert plain[0] == rescaled[0] and plain[1] == rescaled[1]


def test_only_a_dense_network_is_brought_down_to_numbers_of_links(split):
    names = [
        {series.measure for series in summary.series_of(network(density), method)}
        for density, method in ((None, "dense"), (0.1, "set"))
    ]
    assert names[0] - names[1] == {
        "removal, equal number left",
    }


def test_linear_distance_of_an_affine_model_is_exact():
    weight = torch.tensor([[1.0, -2.0], [0.5, 1.0]])
    model = torch.nn.Linear(2, 2)
    model.weight.data, model.bias.data = weight, torch.zeros(2)
    x, y = torch.tensor([[0.6, 0.2]]), torch.tensor([0])
    found = summary.margins(model, x, y)
    margin = float((weight[0] - weight[1]) @ x[0])
    assert found["margin"] == pytest.approx(margin)
    assert found["linear distance"] == pytest.approx(margin / 3.5)


def test_attacked_outcomes_are_those_of_pgd(model, split):
    _, arrays = measured(model)
    how = study("robustness_summary")
    x, y = removal.subset(split, how.images)
    x_adv = attacks.pgd(
        model, x, y, radius=0.1, steps=how.steps, restarts=how.restarts, generator=how.generator()
    )
    kept = ~attacks.is_adversarial(model, x_adv, y).numpy()
    assert (arrays["pgd linf 0.1"] == kept).all()


def test_weight_norms_are_those_of_the_matrices(model):
    norms = summary.weight_norms(model)
    dense = model.linear1.to_dense() if hasattr(model.linear1, "nnz") else model.linear1.weight
    assert norms["weights of linear1"] == pytest.approx(dense.square().sum().sqrt().item())
    gain = np.linalg.svd(dense.detach().numpy(), compute_uv=False)[0]
    assert norms["gain of linear1"] == pytest.approx(gain, rel=1e-5)


def test_ensemble_attacks_at_the_first_radius(model, split):
    table, arrays = measured(model, radii=(0.2, 0.1))
    row = table[table["measure"] == "ensemble linf"].iloc[0]
    assert (row["strength"], row["value"]) == (0.2, arrays["ensemble linf"].mean())
    assert row["value"] <= arrays["pgd linf 0.1"].mean()
