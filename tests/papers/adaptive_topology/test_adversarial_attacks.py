"""Attacks on trained networks: tables that fall from the clean accuracy, checks, transfer."""

import numpy as np
import pandas as pd
import pytest
import torch

from lib import train
from papers.adaptive_topology import adversarial_attacks
from papers.adaptive_topology.adversarial_attacks import attack_minimal, check_attacks
from papers.shared.study import images
from tests.papers.adaptive_topology.measuring import network, record, record_of, study

MEASURES = {
    "attack_curves": adversarial_attacks.attack_curves,
    "attack_ensemble": adversarial_attacks.attack_ensemble,
}
MINIMAL = ("carlini_wagner", "deepfool", "bisected_pgd", "boundary")


def measured(experiment, model, **fields):
    return MEASURES[experiment](study(experiment, **fields), record_of(model))


def test_attack_curves_fall_from_the_clean_accuracy(model, split):
    table, arrays = measured("attack_curves", model, radii=(0.01, 0.9), radii_l2=(0.1,))
    x, y = images(study("attack_curves"))
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


def test_minimal_distances_are_at_most_those_of_deepfool_and_the_radii_of_pgd(model, split):
    radii = {"radii": (0.03,), "radii_l2": (0.3,)}
    enough = {"images": 300}  # a hundredth of half of them is an image
    _, arrays = measured("attack_curves", model, steps=40, **enough, **radii)
    for norm, radius in (("linf", 0.03), ("l2", 0.3)):
        distances = arrays[f"minimal.{norm}"]
        assert (distances <= arrays[f"deepfool.{norm}"] + 1e-6).all(), norm
        kept = arrays[f"pgd.{norm}.{radius}"][: len(distances)]
        assert (distances > radius).mean() <= kept.mean() + 0.01, norm


def test_ensemble_table_has_the_headline_and_the_checks(model, split):
    table, arrays = measured("attack_ensemble", model, radii=(0.1, 0.2), images=20)
    by_attack = table.groupby("attack").size()
    assert by_attack["square"] == by_attack["apgd_ce"] == 2 and by_attack["square alone"] == 1
    assert list(table[table["attack"] == "pgd steps"]["strength"]) == [1]
    lost = table[table["radius"] == 0.1].set_index("attack")["accuracy"]
    assert lost["square"] <= lost["apgd_dlr"] <= lost["apgd_ce"]
    assert list(arrays) == ["ensemble.0.1", "ensemble.0.2"]
    assert arrays["ensemble.0.1"].mean() == pytest.approx(lost["square"])


@pytest.fixture(scope="module", params=[0.1, None], ids=["sparse", "dense"])
def minimal(request):
    """Table and arrays of the minimal attacks on a network whose siblings are itself."""
    model = network(request.param)
    asked = study("attack_minimal", radii=(0.2,), images=3)
    siblings = dict.fromkeys(["set", "fixed"], model)
    return attack_minimal(asked, record_of(model), others=lambda: siblings)


def test_minimal_study_attacks_the_siblings_with_what_it_found(minimal):
    table, arrays = minimal
    by_attack = [arrays[name] for name in MINIMAL]
    examples = {name for name in arrays if name.startswith("example.")}
    assert {*MINIMAL, "smallest", *examples} == set(arrays)
    assert arrays["smallest"] == pytest.approx(np.min(by_attack, axis=0))
    transfer = table[table["attack"] == "transfer"].set_index("target")["accuracy"]
    assert transfer["set"] == transfer["fixed"] < 0.6  # the same network here, at a large radius


def test_examples_are_the_nearest_points_that_fool_the_network(minimal):
    _, arrays = minimal
    moved = arrays["example.changed"] - arrays["example.pixels"]
    found = np.isfinite(arrays["smallest"])
    distances = np.linalg.norm(moved, axis=1)
    assert distances[found] == pytest.approx(arrays["smallest"][found], abs=1e-5)
    assert (arrays["example.seen"] != arrays["example.classes"])[found].all() and found.any()


def test_curves_of_a_single_image_have_its_distance(model):
    _, arrays = measured("attack_curves", model, radii=(0.1,), images=1)
    assert arrays["deepfool.l2"].shape == arrays["minimal.linf"].shape == (1,)


def test_study_without_bisections_has_no_minimal_distances(model, split):
    _, arrays = measured("attack_curves", model, bisections=0)
    assert "deepfool.l2" in arrays and not any(name.startswith("minimal") for name in arrays)


def test_network_without_gradients_is_counted(monkeypatch):
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).float().eval()
    torch.nn.init.zeros_(flat[1].weight)
    monkeypatch.setattr(adversarial_attacks.trained, "network", lambda record: flat)
    table, _ = measured("attack_ensemble", network(0.1), radii=(0.1,), images=20)
    assert table.set_index("attack")["accuracy"]["zero gradient"] == 1


def test_fewer_pixels_leave_more_accuracy(model, split):
    kept = np.arange(64) % 4 == 0
    how = study("attack_pixels", radii=(0.3,))
    table, _ = adversarial_attacks.attack_pixels(how, record_of(model), kept=kept)
    rows = table.set_index("pixels")
    assert rows["number"].to_dict() == {"all": 64, "linked": 16, "random": 16}
    assert (rows["accuracy"] >= rows["accuracy"]["all"]).all()
    assert rows["accuracy"]["all"] < train.accuracy(model, *images(how))


# sanity checks

ENSEMBLE = {
    ("apgd_dlr", 0.1): 0.5, ("square", 0.1): 0.5, ("square alone", 0.1): 0.8,
    ("pgd", 0.1): 0.5, ("fgsm", 0.1): 0.6, ("pgd steps", 0.1): 0.5, ("pgd", 1.0): 0.0,
    ("pgd, logits scaled", 0.1): 0.5,
    ("zero gradient", 0.0): 0.0,
}  # fmt: skip


def checked(**changes):
    """The checks that fail for a table of the ensemble with some accuracies changed."""
    numbers = {**ENSEMBLE, **{tuple(k): v for k, v in changes.get("to", [])}}
    rows = [{"attack": a, "radius": r, "accuracy": v} for (a, r), v in numbers.items()]
    rows += [{"attack": "pgd steps", "radius": 0.1, "accuracy": changes.get("more_steps", 0.5)}]
    table = check_attacks([], [record("attack_ensemble", rows, radii=(0.1,))])
    return list(table[~table["passed"]]["check"])


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({"more_steps": 0.505}, []),
        ({"more_steps": 0.52}, ["stronger with steps"]),
        ({"to": [(("pgd", 1.0), 0.1)]}, ["all broken at radius 1"]),
        ({"to": [(("square alone", 0.1), 0.4)]}, ["white box as strong as black box"]),
        ({"to": [(("pgd, logits scaled", 0.1), 0.4)]}, ["no scale of the logits breaks more"]),
        ({"to": [(("pgd, logits scaled", 0.1), 0.7)]}, []),
        ({"to": [(("pgd", 0.1), 0.4)]}, ["ensemble as strong as PGD with restarts"]),
        ({"to": [(("zero gradient", 0.0), 0.02)]}, ["no zero gradients"]),
    ],
)
def test_violated_check_is_flagged(changes, failed):
    assert checked(**changes) == failed


@pytest.mark.parametrize(
    ("pgd", "failed"),
    [
        ([0.8, 0.5], []),
        ([0.8, 0.72], ["iterative attack as strong as one step"]),
        ([0.4, 0.5], ["stronger with radius"]),
    ],
)
def test_curves_are_checked_against_one_step_and_smaller_radii(pgd, failed):
    rows = {"attack": ["fgsm", "fgsm", "pgd", "pgd"], "norm": "linf", "radius": [0.1, 0.2] * 2}
    table = check_attacks([record("attack_curves", rows | {"accuracy": [0.85, 0.7, *pgd]})], [])
    assert list(table[~table["passed"]]["check"]) == failed


@pytest.mark.parametrize(
    ("distances", "failed"),
    [
        ([0.05, 0.3], []),  # half of the images are beyond .1, and half survive PGD
        ([0.3, 0.3], ["minimal norms as small as PGD's"]),
    ],
)
def test_minimal_norms_are_checked_against_pgd_on_the_same_images(distances, failed):
    rows = {"attack": ["fgsm", "pgd"], "norm": "linf", "radius": 0.1, "accuracy": [0.8, 0.75]}
    arrays = {"minimal.linf": np.array(distances)}
    arrays["pgd.linf.0.1"] = np.array([False, True, True, True])
    found = [record("attack_curves", rows, arrays, radii=(0.1, 0.2))]
    table = check_attacks(found, [])
    assert list(table[~table["passed"]]["check"]) == failed and len(table) == 3


@pytest.mark.parametrize(
    "arrays",
    [{}, {"minimal.linf": np.zeros(2)}, {"pgd.linf.0.1": np.ones(4, dtype=bool)}],
    ids=["none", "distances", "outcomes"],
)
def test_records_without_minimal_norms_or_outcomes_lack_their_check(arrays):
    rows = {"attack": ["fgsm", "pgd"], "norm": "linf", "radius": 0.1, "accuracy": [0.8, 0.75]}
    table = check_attacks([record("attack_curves", rows, arrays, radii=(0.1,))], [])
    assert len(table) == 2


def test_transfer_stronger_than_the_white_box_is_flagged():
    def found(method, own, other):
        rows = {"attack": "transfer", "target": ["set", "fixed"], "accuracy": [own, other]}
        return record("attack_minimal", rows, method=method)

    table = check_attacks([], [], [found("set", 0.5, 0.9), found("fixed", 0.3, 0.4)])
    assert dict(zip(table["method"], table["passed"], strict=True)) == {"set": False, "fixed": True}


def test_radii_of_both_norms_are_checked_in_their_order():
    rows = {"norm": ["l2"] * 2 + ["linf"] * 3, "radius": [0.2, 0.5, 0.01, 0.1, 0.2]}
    rows["accuracy"] = [0.9, 0.5, 0.9, 0.5, 0.1]
    table = pd.concat([pd.DataFrame(rows | {"attack": name}) for name in ("fgsm", "pgd")])
    found = check_attacks([record("attack_curves", table)], [])
    assert found["passed"].all()
