"""Training on attacked examples: its objective, what is refused, what is measured of a network."""

import dataclasses

import pytest
import torch

from lib.robustness import attacks, perturb
from lib.robustness.defences import Adversarial, Trades
from papers.frontier import experiments
from papers.frontier.attacked import FRACTIONS, under_attacks
from papers.shared import study, trained
from tests.papers import made


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    store = made.store(tmp_path_factory.mktemp("records"))
    (run,) = (run for run in experiments.attacked("attacked", "smoke") if run.method == "rigl")
    return store.run(dataclasses.replace(run, epochs=8, growing_epochs=4))


def test_objective_is_that_of_the_fields():
    run = experiments.attacked("attacked", "smoke")[0]
    schedule = {"steps": 7, "growing_epochs": 5}
    run = dataclasses.replace(run, adversarial_radius=0.2, adversarial_steps=7, growing_epochs=5)
    assert run.objectives() == {"objective": Adversarial(0.2, **schedule)}
    run = dataclasses.replace(run, trades_beta=3.0)
    assert run.objectives() == {"objective": Trades(0.2, **schedule, beta=3.0)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"growing_epochs": 3, "adversarial_radius": 0.0}, "growing_epochs = 3 without attacked"),
        (
            {"trades_beta": 6.0, "adversarial_radius": 0.0, "growing_epochs": 0},
            "trades_beta = 6.0 without attacked examples: give an adversarial_radius",
        ),
        ({"growing_epochs": 40}, "growing_epochs = 40 of 3 epochs: give no more"),
        ({"trades_beta": 6.0, "drop_connect": 0.5}, "drop_connect = 0.5: give one of them"),
        ({"trades_beta": -1.0}, "beta = -1.0 is out of range"),
        ({"adversarial_radius": -0.1}, "radius = -0.1 is out of range"),
        ({"grow_radius": -0.1}, "radius = -0.1 is out of range"),
        ({"drop_connect": -0.5}, "largest = -0.5 is out of range"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(experiments.attacked("attacked", "smoke")[0], **changes).check()


def test_study_says_what_attacks_and_removals_leave(record):
    amounts = {"images": 60, "steps": 4, "queries": 30, "draws": 2, "radii": (0.05, 0.0)}
    of_network = study.study_of("attacked_summary", record.config, **amounts)
    table, _ = under_attacks(of_network, record)
    value = table.set_index(["measure", "strength", "draw"])["value"]
    model, (x, y) = trained.network(record), study.images(of_network)
    accuracy = value["accuracy", 0.0, 0]
    assert accuracy == (model(x).argmax(1) == y).double().mean() > 0.3
    assert value["pgd", 0.0, 0] == accuracy
    x_adv = attacks.pgd(model, x, y, radius=0.05, steps=4, generator=of_network.generator())
    assert value["pgd", 0.05, 0] == (model(x_adv).argmax(1) == y).double().mean()
    first, second = value["apgd_ce", 0.05, 0], value["apgd_dlr", 0.05, 0]
    least = value["all attacks", 0.05, 0]
    assert 0 < least <= second <= first <= accuracy and least <= value["pgd", 0.05, 0]
    assert ("all attacks", 0.0, 0) not in value.index
    fewer = perturb.remove_links(model, 0.3, generator=of_network.generator(1))
    assert value["links removed", 0.3, 1] == (fewer(x).argmax(1) == y).double().mean()
    assert (table["measure"] == "links removed").sum() == 2 * len(FRACTIONS)


def test_image_counts_as_kept_only_if_no_attack_breaks_it(record, monkeypatch):
    amounts = {"images": 40, "steps": 4, "queries": 10, "draws": 1, "radii": (0.05,)}
    of_network = study.study_of("attacked_summary", record.config, **amounts)
    by_pgd, by_others = torch.arange(40) % 2 == 0, torch.arange(40) % 5 == 0
    broken = dict.fromkeys(("apgd_ce", "apgd_dlr", "square"), ~by_others)
    place = "papers.frontier.attacked.right_under_pgd"
    monkeypatch.setattr(place, lambda study, model, x, y, **how: by_pgd)
    monkeypatch.setattr(attacks, "ensemble", lambda model, x, y, **how: (x, broken))
    table, _ = under_attacks(of_network, record)
    value = table.set_index("measure")["value"]
    assert (value["pgd"], value["apgd_ce"], value["all attacks"]) == (0.5, 0.2, 0.1)
