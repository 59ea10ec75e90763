"""Attacks on trained networks: tables that fall from the clean accuracy, checks, transfer."""

import numpy as np
import pytest
import torch

from lib import train
from lib.papers.adaptive_topology import attacking, experiments, networks, removal
from tests.papers.adaptive_topology.measuring import network, record_of, study

MEASURES = {
    "attack_curves": attacking.attack_curves,
    "attack_ensemble": attacking.attack_ensemble,
}
MINIMAL = ("carlini_wagner", "deepfool", "bisected_pgd", "boundary")


def measured(experiment, model, **fields):
    return MEASURES[experiment](study(experiment, **fields), record_of(model))


def test_attack_curves_fall_from_the_clean_accuracy(model, split):
    table, arrays = measured("attack_curves", model, radii=(0.01, 0.9), radii_l2=(0.1,))
    x, y = removal.subset(split, 60)
    clean = train.accuracy(model, x, y)
    assert table["accuracy"][0] == pytest.approx(clean)
    attacked = table[table["attack"].isin(["fgsm", "pgd"])]
    assert (attacked["accuracy"] <= clean).all() and len(attacked) == 6
    wrong = train.predict(model, x).argmax(1) != y
    assert ((arrays["deepfool.l2"] == 0) == wrong[:30].numpy()).all()
    assert ((arrays["minimal.l2"] == 0) == wrong[:30].numpy()).all()
    assert (arrays["clean"] == ~wrong.numpy()).all()


def test_outcomes_of_pgd_are_those_of_its_accuracies(model, split):
    table, arrays = measured("attack_curves", model, radii=(0.01, 0.03), radii_l2=(0.5,))
    accuracy = table[table["attack"] == "pgd"].set_index(["norm", "radius"])["accuracy"]
    kept = {name: right for name, right in arrays.items() if name.startswith("pgd.")}
    assert list(kept) == ["pgd.linf.0.01", "pgd.linf.0.03", "pgd.l2.0.5"]
    assert [right.mean() for right in kept.values()] == pytest.approx(accuracy.tolist())
    assert not any((right & ~arrays["clean"]).any() for right in kept.values())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_minimal_distances_are_at_most_those_of_deepfool_and_the_radii_of_pgd(model, split, norm):
    radius = {"linf": 0.03, "l2": 0.3}[norm]
    radii = {"radii": (0.03,), "radii_l2": (0.3,)}
    enough = {"images": 300}  # a hundredth of half of them is an image
    _, arrays = measured("attack_curves", model, steps=40, **enough, **radii)
    distances = arrays[f"minimal.{norm}"]
    assert (distances <= arrays[f"deepfool.{norm}"] + 1e-6).all()
    kept = arrays[f"pgd.{norm}.{radius}"][: len(distances)]
    assert (distances > radius).mean() <= kept.mean() + 0.01


def test_ensemble_table_has_the_headline_and_the_checks(model, split):
    table, arrays = measured("attack_ensemble", model, radii=(0.1, 0.2), images=20)
    by_attack = table.groupby("attack").size()
    assert by_attack["square"] == by_attack["apgd_ce"] == 2 and by_attack["square alone"] == 1
    assert list(table[table["attack"] == "pgd steps"]["strength"]) == [1]
    lost = table[table["radius"] == 0.1].set_index("attack")["accuracy"]
    assert lost["square"] <= lost["apgd_dlr"] <= lost["apgd_ce"]
    assert list(arrays) == ["ensemble.0.1", "ensemble.0.2"]
    assert arrays["ensemble.0.1"].mean() == pytest.approx(lost["square"])


def test_minimal_study_attacks_the_siblings_with_what_it_found(model, split):
    siblings = dict.fromkeys(["set", "fixed"], model)
    asked = study("attack_minimal", radii=(0.2,), images=3)
    table, arrays = attacking.attack_minimal(asked, record_of(model), others=lambda: siblings)
    by_attack = [arrays[name] for name in MINIMAL]
    examples = {name for name in arrays if name.startswith("example.")}
    assert {*MINIMAL, "smallest", *examples} == set(arrays)
    assert arrays["smallest"] == pytest.approx(np.min(by_attack, axis=0))
    transfer = table[table["attack"] == "transfer"].set_index("target")["accuracy"]
    assert transfer["set"] == transfer["fixed"] < 0.6  # the same network here, at a large radius


def test_examples_are_the_nearest_points_that_fool_the_network(model, split):
    asked = study("attack_minimal", radii=(0.2,), images=3)
    _, arrays = attacking.attack_minimal(asked, record_of(model), others=dict)
    moved = arrays["example.changed"] - arrays["example.pixels"]
    found = np.isfinite(arrays["smallest"])
    distances = np.linalg.norm(moved, axis=1)
    assert distances[found] == pytest.approx(arrays["smallest"][found], abs=1e-5)
    assert (arrays["example.seen"] != arrays["example.classes"])[found].all() and found.any()


def test_study_without_bisections_has_no_minimal_distances(model, split):
    _, arrays = measured("attack_curves", model, bisections=0)
    assert "deepfool.l2" in arrays and not any(name.startswith("minimal") for name in arrays)


def test_network_without_gradients_is_counted(monkeypatch):
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).float().eval()
    torch.nn.init.zeros_(flat[1].weight)
    monkeypatch.setattr(attacking.trained, "network", lambda record: flat)
    table, _ = measured("attack_ensemble", network(0.1), radii=(0.1,), images=20)
    assert table.set_index("attack")["accuracy"]["zero gradient"] == 1


def test_scaled_network_multiplies_its_outputs():
    scaled = attacking.Scale(100.0)(torch.tensor([1.0, -2.0]))
    assert scaled.tolist() == [100.0, -200.0]


def test_fewer_pixels_leave_more_accuracy(model, split):
    kept = np.arange(64) % 4 == 0
    how = study("attack_pixels", radii=(0.3,))
    table, _ = attacking.attack_pixels(how, record_of(model), kept=kept)
    rows = table.set_index("pixels")
    assert rows["number"].to_dict() == {"all": 64, "linked": 16, "random": 16}
    assert (rows["accuracy"] >= rows["accuracy"]["all"]).all()
    assert rows["accuracy"]["all"] < attacking._kept(model, *removal.images(how))


def test_dense_networks_are_attacked_on_the_pixels_of_their_twins():
    for run in experiments.dense_on_pixels("paper"):
        rigl = networks.twin(run.parent, "rigl")
        assert rigl.method == "rigl" and rigl.epochs == run.parent.epochs
        assert (rigl.dataset, rigl.seed) == (run.dataset, run.seed)
