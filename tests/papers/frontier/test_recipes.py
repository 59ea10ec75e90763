"""A card says what the records say; the network is that of the record."""

import dataclasses
import re
import shutil
from pydoc import locate

import pytest
import torch

from lib import data, train
from lib.command import cli
from lib.runs.records import Store
from papers import EXPERIMENTS
from papers.frontier import recipes

NAME = "cifar10-1pct"


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """Nothing is stored, in float32."""
    torch.set_default_dtype(torch.float32)
    store = Store(EXPERIMENTS, tmp_path / "runs", tmp_path / "results")
    monkeypatch.setattr(recipes, "STORE", store)
    yield store
    torch.set_default_dtype(torch.float64)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_recipe_has_five_seeds_on_all_training_images(name):
    runs = recipes.runs_of(name)
    assert [run.seed for run in runs] == list(range(5))
    assert {(run.validation, run.limit) for run in runs} == {(0, None)}


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_card_names_every_setting_that_is_not_the_default(name):
    (run, *_) = recipes.runs_of(name)
    changed = {f.name for f in dataclasses.fields(run) if getattr(run, f.name) != f.default}
    changed -= {"experiment", "dataset", "method", "variant"}  # words, data set and command
    changed -= {"hidden", "stand_in"}  # of the line of links; where no data are had
    (settings,) = re.findall("^settings +(.*)$", recipes.card(name), re.MULTILINE)
    named = {words.split()[0] for words in settings.split(", ")}
    assert changed <= named


def test_card_of_what_was_not_run_says_so():
    assert recipes.names().startswith(
        f"{NAME}: fixed links from a local start, 200 epochs, on CIFAR-10"
    )
    text = recipes.card(NAME)
    assert recipes.RECIPES[NAME].tuning in text
    assert re.search("^result +not run$", text, re.MULTILINE) and "\ncertified" not in text
    assert "CIFAR-10" in text and "learning_rate 0.1" in text and "reaches (2, 2, 3)" in text
    assert "drop None" in text and "grow" not in text
    for place in re.findall(r'help\("(.*?)"\)', text):
        assert "Args:" in locate(place).__doc__
    with pytest.raises(ValueError, match="is not stored: python -m lib run cifar10_longer"):
        recipes.load(NAME)


def test_card_and_network_are_those_of_the_record(store):
    run = recipes.runs_of(NAME, "smoke")[0]
    record = store.run(run)
    store.ship(record)
    shutil.rmtree(store.runs)
    text = recipes.card(NAME, "smoke")
    last = 100 * record.metrics["test_accuracy"].iloc[-1]
    assert re.search(f"^result +{last:.2f} %, one seed", text, re.MULTILINE)
    assert re.search(
        f"^curve +mean test accuracy after epochs .*, 2: {last:.1f} %", text, re.MULTILINE
    )
    assert f"the network of seed 0: test accuracy {last:.2f} %" in text
    split = data.load("digits")
    found = train.accuracy(recipes.load(NAME, "smoke"), split.x_test.float(), split.y_test)
    assert found == pytest.approx(record.environment["final"]["test_accuracy"], abs=1e-12)


@pytest.mark.parametrize(
    ("name", "study", "measured", "line", "setting"),
    [
        (
            *("mnist-certified-1pct", "certificates", "measure == 'certified' and radius == 0.1"),
            *("^certified +{:.2f} %, one seed", "certified_radius 0.15"),
        ),
        (
            *("mnist-attacked-1pct", "attacked_summary", "measure == 'all attacks'"),
            *("^attacked +{:.2f} %, one seed.* L-infinity 0.3$", "adversarial_radius 0.3"),
        ),
    ],
    ids=["certified", "attacked"],
)
def test_card_says_what_is_withstood_and_the_network_is_shipped(
    store, name, study, measured, line, setting
):
    run = recipes.runs_of(name, "smoke")[0]
    (of_run,) = (s for s in EXPERIMENTS[study].runs("smoke") if s.parent.name == run.name)
    share = 100 * store.run(of_run).metrics.query(measured)["value"].item()
    store.ship(store.run(run))
    text = recipes.card(name, "smoke")
    assert re.search(line.format(share), text, re.MULTILINE)
    assert setting in text and "reaches" not in text
    shutil.rmtree(store.runs)
    assert recipes.load(name, "smoke").linear1.density < 0.1


def test_unknown_recipe_is_refused_with_the_nearest(capsys):
    assert cli.main(["recipe", "cifar-1pct"]) == 1
    assert "did you mean 'cifar10-1pct'" in capsys.readouterr().err


def test_command_prints_the_card(capsys):
    assert cli.main(["recipe", NAME]) == 0
    assert capsys.readouterr().out.strip() == recipes.card(NAME)
    assert cli.main(["recipe"]) == 0
    assert NAME in capsys.readouterr().out
