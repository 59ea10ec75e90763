"""The summary of a network: against the tables of the other studies, and closed forms."""

import numpy as np
import pandas as pd
import pytest
import torch

from lib.robustness import areas, attacks, perturb
from papers.adaptive_topology import link_removal, studies
from papers.adaptive_topology.weight_shuffling import weight_shuffling
from papers.shared.study import images
from tests.papers.adaptive_topology.measuring import network, record, record_of, study


def measured(model, **fields):
    fields = {"radii": (0.1,), "radii_l2": (0.5,), **fields}
    return studies.robustness_summary(study("robustness_summary", **fields), record_of(model))


def values(table, measure):
    return table[table["measure"] == measure].groupby("strength")["value"].mean()


def test_outcomes_average_to_the_values_of_the_table(model, split):
    table, arrays = measured(model)
    assert arrays["clean"].mean() == values(table, "accuracy")[0]
    assert arrays["pgd linf 0.1"].mean() == values(table, "pgd linf")[0.1]
    curve = values(table, "removal, rescaled")
    area = np.trapezoid(curve, curve.index)
    assert arrays["removal, rescaled"].mean() / studies.AREA_UNITS == pytest.approx(area, abs=1e-4)


def test_removal_is_that_of_the_study_of_removal(model, split):
    table, _ = measured(model)
    desired, _ = link_removal.link_removal(study("link_removal"), record_of(model))
    desired = desired[(desired["order"] == "random") & (desired["scope"] == "all")]
    desired = desired.groupby("fraction")["accuracy"].mean()
    np.testing.assert_allclose(values(table, "removal"), desired)


def test_rescaling_changes_neither_the_whole_network_nor_the_empty_one(model, split):
    table, _ = measured(model)
    plain, rescaled = values(table, "removal"), values(table, "removal, rescaled")
    assert plain[0] == rescaled[0] and plain[1] == rescaled[1]


def test_only_a_dense_network_is_brought_down_to_numbers_of_links(split):
    names = [
        {*studies.changes_of(network(density), method)}
        for density, method in ((None, "dense"), (0.1, "set"))
    ]
    assert names[0] - names[1] == {
        "removal, equal number left",
    }


def test_linear_distance_of_an_affine_model_is_exact():
    weight = torch.tensor([[1.0, -2.0], [0.5, 1.0]])
    model = torch.nn.Linear(2, 2).eval()
    model.weight.data, model.bias.data = weight, torch.zeros(2)
    x, y = torch.tensor([[0.6, 0.2]]), torch.tensor([0])
    found = studies.margins(model, x, y)
    margin = float((weight[0] - weight[1]) @ x[0])
    assert found["margin"] == pytest.approx(margin)
    assert found["linear distance"] == pytest.approx(margin / 3.5)


def test_attacked_outcomes_are_those_of_pgd(model, split):
    _, arrays = measured(model)
    how = study("robustness_summary")
    x, y = images(how)
    x_adv = attacks.pgd(
        model, x, y, radius=0.1, steps=how.steps, restarts=how.restarts, generator=how.generator()
    )
    kept = ~attacks.is_adversarial(model, x_adv, y).numpy()
    assert (arrays["pgd linf 0.1"] == kept).all()


def test_weight_norms_are_those_of_the_matrices(model):
    norms = studies.weight_norms(model)
    dense = model.linear1.to_dense() if hasattr(model.linear1, "nnz") else model.linear1.weight
    assert norms["weights of linear1"] == pytest.approx(dense.square().sum().sqrt().item())
    gain = np.linalg.svd(dense.detach().numpy(), compute_uv=False)[0]
    assert norms["gain of linear1"] == pytest.approx(gain, rel=1e-5)


@pytest.mark.parametrize(
    ("measure", "within"), [("shuffle", "all"), ("shuffle within sign", "sign")]
)
def test_shuffles_are_those_of_the_study_of_shuffling(model, split, measure, within):
    table, _ = measured(model)
    desired, _ = weight_shuffling(study("weight_shuffling"), record_of(model))
    whole = (desired["kind"] == "shuffle") & (desired["scope"] == "all")
    desired = desired[whole & (desired["within"] == within)].groupby("strength")["accuracy"].mean()
    np.testing.assert_allclose(values(table, measure), desired)


def test_dense_network_is_brought_down_to_as_many_links_as_a_sparse_one_has_left():
    model = network(None).eval()
    changes = studies.changes_of(model, "dense")
    layers = perturb.perturbed_layers(model).values()
    n = sum(layer.weight.numel() for layer in layers)
    for fraction in (0.0, 0.5, 1.0):
        generator = torch.Generator().manual_seed(0)
        changed = changes["removal, equal number left"](model, fraction, generator=generator)
        left = sum(
            int(layer.weight.count_nonzero())
            for layer in perturb.perturbed_layers(changed).values()
        )
        assert left == pytest.approx(link_removal.SPARSE_DENSITY * (1 - fraction) * n, abs=1)


def test_ensemble_attacks_the_first_images_at_the_first_radius(model, split, monkeypatch):
    asked = {}

    def under_ensemble(how, model, x, y, *, radius, steps):
        asked.update(radius=radius, steps=steps, images=len(x))
        return {"square": torch.ones(len(x), dtype=torch.bool)}

    monkeypatch.setattr(studies, "right_under_ensemble", under_ensemble)
    monkeypatch.setattr(studies, "ENSEMBLE_IMAGES", 7)
    measured(model, radii=(0.2, 0.1), steps=4)
    assert asked == {"radius": 0.2, "steps": 10, "images": 7}


# what a summary says


def summed_up(curve=None, n=40):
    """A summary of 40 images, of which 36 are right, with areas about one half."""
    rng = np.random.default_rng(0)
    area = np.clip(rng.normal(0.5, 0.2, n), 0, 1)
    arrays = {"clean": np.arange(n) < 0.9 * n}
    arrays["removal"] = np.round(area * studies.AREA_UNITS).astype(np.uint16)
    rows = [("pgd linf", radius, value) for radius, value in (curve or {}).items()]
    table = pd.DataFrame(rows, columns=["measure", "strength", "value"])
    return record("robustness_summary", table, arrays)


def test_relative_areas_average_to_the_area_of_the_curve():
    one = summed_up()
    relative = (one.arrays["removal"].mean() / studies.AREA_UNITS - 0.1) / (0.9 - 0.1)
    assert studies.relative_areas(one, "removal").mean() == pytest.approx(relative)


def test_relative_areas_spread_as_the_ratio_does_over_images():
    """Against the spread of the ratio itself when images are drawn anew (bootstrap)."""
    one, n = summed_up(), 40
    stored = one.arrays["removal"] / studies.AREA_UNITS
    drawn = np.random.default_rng(1).integers(n, size=(20000, n))
    ratios = (stored[drawn].mean(1) - 0.1) / (one.arrays["clean"][drawn].mean(1) - 0.1)
    by_image = studies.relative_areas(one, "removal")
    assert by_image.std() / n**0.5 == pytest.approx(ratios.std(), rel=0.1)


def test_half_radius_is_interpolated():
    assert studies.half_radius(summed_up({0.1: 0.6, 0.2: 0.3}), "linf") == pytest.approx(0.15)
    assert np.isnan(studies.half_radius(summed_up({0.1: 0.8, 0.2: 0.7}), "linf"))


def test_areas_of_a_frame_are_those_of_its_curves():
    fractions, first, second = [0.0, 0.5, 1.0], [0.9, 0.6, 0.1], [0.9, 0.3, 0.1]
    curves = [
        pd.DataFrame({"seed": seed, "strength": fractions, "value": accuracies})
        for seed, accuracies in enumerate((first, second))
    ]
    frame = pd.concat(curves).sample(frac=1, random_state=0)
    frame = frame.assign(network="64-30-10", measure="removal")
    found = studies.areas_of(frame).set_index(["measure", "seed"])["value"]
    for seed, accuracies in enumerate((first, second)):
        desired = areas.relative_area(fractions, accuracies, 10)
        assert found["area of removal", seed] == pytest.approx(desired)
        desired = areas.half_fraction(fractions, accuracies, 10)
        assert found["half fraction of removal", seed] == pytest.approx(desired)
