"""Kinds of runs: their fields, names that no module or class decides, and files of all ages."""

import dataclasses
import json

import pytest

import papers
from lib import data
from lib.runs import config
from lib.runs.config import Run, from_fields
from lib.runs.records import archive
from papers.adaptive_topology import experiments
from papers.shared.sparse_training import SparseTraining
from papers.shared.study import Study, study_of, with_stand_in
from tests.runs.counting import Counting

BASE = SparseTraining(
    "made", dataset="digits", hidden=(40, 30), density=0.2, drop="sign", epochs=6, batch_size=64
)
MNIST = dataclasses.replace(BASE, dataset="mnist", stand_in=BASE)
CHILD = dataclasses.replace(BASE, method="child", drop=None, parent=BASE, inherits="support")
STUDY = Study("link_removal", dataset="digits", parent=BASE, images=30, draws=1, points=3)
RUNS = {"training": BASE, "child": CHILD, "study": STUDY, "counting": Counting("counting")}
each_run = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)


# ------------------------------------------------------------------------------------ the name


def test_identity_ignores_the_stand_in_and_fields_at_their_default():
    other = dataclasses.replace(BASE, dataset="mnist")
    same = dataclasses.replace(BASE, stand_in=other, momentum=0.9)
    assert same.name == BASE.name and same == BASE


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"dataset": "mnist"}, {"epochs": 7}, {"hidden": (40, 31)}, {"decay": "cosine"}],
)
def test_identity_covers_what_decides_a_result(change):
    assert dataclasses.replace(BASE, **change).name != BASE.name


@pytest.mark.parametrize("name", Study.RECIPES)
def test_identity_covers_the_recipes(name, monkeypatch):
    before = STUDY.name
    monkeypatch.setitem(Study.RECIPES, name, Study.RECIPES[name] + 1)
    assert dataclasses.replace(STUDY).name != before


def test_identity_covers_the_parent():
    other = dataclasses.replace(CHILD, parent=dataclasses.replace(BASE, epochs=7))
    assert other.name != CHILD.name


def test_identity_does_not_depend_on_how_a_number_is_written():
    written = SparseTraining("x", er_epsilon=20, learning_rate=1, hidden=[10, 10])
    same = SparseTraining("x", er_epsilon=20.0, learning_rate=1.0, hidden=(10, 10))
    assert written.name == same.name


def test_name_is_that_of_the_experiment_and_a_hash():
    experiment, _, digest = Counting("a-b").name.rpartition("-")
    assert experiment == "a-b" and len(digest) == 12 and int(digest, 16) > 0


def entries():
    """The records of data/results: name, and fields of the configuration."""
    for folder in papers.STORE.results.glob("*/"):
        for name, entry in archive(folder).items():
            yield name, entry["config"]


def test_every_stored_record_has_the_name_of_its_configuration():
    names = {name: from_fields(fields).name for name, fields in entries()}
    assert len(names) >= 861
    assert [name for name, recomputed in names.items() if name != recomputed] == []


def test_every_stored_record_is_written_as_it_is_read():
    for _, fields in entries():
        written = json.loads(json.dumps(from_fields(fields).fields_to_write()))
        assert in_terms_of(written, fields) == fields


def in_terms_of(written, fields):
    """The fields that an earlier version knew; newer ones hold defaults, as the names show."""
    known = {name: written[name] for name in fields}
    if isinstance(fields.get("parent"), dict):
        known["parent"] = in_terms_of(written["parent"], fields["parent"])
    return known


# ----------------------------------------------------------------------------------- the kinds


def test_two_kinds_of_one_name_are_refused():
    sentence = "Study of elsewhere has the name of a kind of run in papers.shared.study"
    with pytest.raises(ValueError, match=sentence):
        type("Study", (Run,), {"__module__": "elsewhere"})
    assert config.KINDS["Study"] is Study


def test_kind_may_be_defined_again_by_its_module():
    again = type("Counting", (Run,), {"__module__": Counting.__module__})
    assert config.KINDS["Counting"] is again
    config.KINDS["Counting"] = Counting


WRONG_TYPE = "{} = .* is of the wrong type"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: from_fields({"kind": "Stdy"}), "unknown kind of run 'Stdy': did you mean 'Study'"),
        (
            lambda: from_fields({"kind": "SparseTraining", "experiment": "x", "epoch": 3}),
            "unknown field .* 'epoch': did you mean 'epochs'",
        ),
        (lambda: SparseTraining("x", epochs="abc"), WRONG_TYPE.format("epochs")),
        (lambda: SparseTraining("x", epochs=1.5), WRONG_TYPE.format("epochs")),
        (lambda: SparseTraining("x", hidden=50), WRONG_TYPE.format("hidden")),
        (lambda: SparseTraining("x", dropout="high"), WRONG_TYPE.format("dropout")),
        (lambda: Counting("x", seed=None), WRONG_TYPE.format("seed")),
        (lambda: Counting("x", seed=True), WRONG_TYPE.format("seed")),
        (lambda: Counting(3), WRONG_TYPE.format("experiment")),
        (lambda: Counting("x", parent="set_mlp-0"), WRONG_TYPE.format("parent")),
        (lambda: BASE.with_changes({"epoch": 1}), "unknown key 'epoch': did you mean 'epochs'"),
        (lambda: STUDY.with_changes({"epoch": 1}), "unknown key 'epoch': did you mean 'epochs'"),
        (lambda: STUDY.with_changes({"drws": 1}), "unknown key 'drws': did you mean 'draws'"),
        (lambda: STUDY.with_changes({"stand_in": None}), "unknown key 'stand_in'"),
        (lambda: STUDY.with_changes({"parent": None}), "unknown key 'parent'"),
        (
            lambda: dataclasses.replace(BASE, momentum=0.5).check_unused(["momentum"], "Adam"),
            "momentum = 0.5 is not used by Adam: give 0.9, or",
        ),
    ],
)
def test_wrong_fields_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


# ------------------------------------------------------------------------------------- changes


def test_changes_of_a_study_reach_what_only_its_parent_has():
    changed = STUDY.with_changes({"epochs": 2, "points": 5, "seed": 4})
    assert (changed.points, changed.seed) == (5, 4)
    assert changed.parent == dataclasses.replace(BASE, epochs=2, seed=4)
    labels = {"experiment": "other", "method": "other", "variant": "other"}
    assert STUDY.with_changes(labels).parent == BASE  # they are those of a run alone


def test_changes_reach_the_parent_of_the_parent():
    changed = dataclasses.replace(STUDY, parent=CHILD).with_changes({"epochs": 2})
    assert changed.parent.epochs == changed.parent.parent.epochs == 2
    assert (changed.parent.inherits, changed.parent.parent.inherits) == ("support", None)


def test_other_data_set_leaves_the_stand_in_on_its_own():
    changed = MNIST.with_changes({"dataset": "cifar10", "epochs": 2})
    assert changed.dataset == "cifar10" and changed.stand_in.dataset == BASE.dataset
    assert changed.stand_in.epochs == 2


def test_changes_reach_the_stand_in():
    study = with_stand_in(lambda parent: study_of("link_removal", parent), MNIST)
    changed = study.with_changes({"epochs": 2, "draws": 3})
    assert (changed.dataset, changed.parent.epochs, changed.draws) == ("mnist", 2, 3)
    other = changed.stand_in
    assert (other.dataset, other.parent.epochs, other.draws) == ("digits", 2, 3)


# ------------------------------------------------------------------------------------ stand-ins


def test_run_is_its_own_where_its_data_are(monkeypatch):
    monkeypatch.setattr(data, "origin", lambda name: None)
    assert MNIST.resolved() == MNIST and MNIST.resolved().stand_in is None


def test_run_without_its_data_is_the_one_that_stands_in(only_digits):
    assert MNIST.resolved() is BASE
    again = dataclasses.replace(MNIST, dataset="fashion_mnist", stand_in=MNIST)
    assert again.resolved() is BASE


def test_run_without_a_stand_in_is_not_replaced(only_digits):
    mnist = dataclasses.replace(BASE, dataset="mnist")
    assert mnist.resolved() is mnist
    fashion = dataclasses.replace(BASE, dataset="fashion_mnist", stand_in=mnist)
    assert fashion.resolved() == mnist  # whose data are not here either: loading them will say so


def test_stand_in_of_a_study_is_that_of_its_parent(only_digits):
    headline = experiments.HEADLINE_RADIUS

    def make(parent):
        return study_of("attack_minimal", parent, radii=(headline[parent.dataset],))

    study = with_stand_in(make, MNIST)
    assert study.parent.stand_in is None and study.radii == (headline["mnist"],)
    assert study.resolved() == study_of("attack_minimal", BASE, radii=(headline["digits"],))


# --------------------------------------------------------------------------------------- files


@each_run
def test_run_is_read_as_it_was_written(run):
    text = json.dumps(run.fields_to_write())
    again = from_fields(json.loads(text))
    assert again == run and type(again) is type(run) and again.name == run.name


def test_changed_default_is_seen_by_the_names_of_what_is_stored(monkeypatch):
    written = Counting("counting", seed=2).fields_to_write()
    name = Counting("counting", seed=2).name
    steps = Counting.__dataclass_fields__["steps"]
    monkeypatch.setattr(steps, "default", 5)
    assert from_fields(written).steps == 4 and from_fields(written).name != name
