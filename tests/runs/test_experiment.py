"""Experiments: their profiles, and the catalogue that refuses what contradicts itself."""

import dataclasses
import pickle

import numpy as np
import pytest

from lib.runs import experiment
from lib.runs.experiment import PROFILES, Experiment, catalogue, choose
from tests.runs import counting
from tests.runs.counting import Counting


def profiled(profile):
    """As many runs as the place of the profile says; the last ones have others that stand in."""
    n = PROFILES.index(profile) + 1
    stand_in = Counting("counting", seed=9, steps=n)
    return [Counting("counting", seed=seed, stand_in=stand_in) for seed in range(n)]


@pytest.fixture
def one():
    return counting.experiment(configs=profiled)


@pytest.mark.parametrize(("profile", "n"), [("smoke", 1), ("quick", 2), ("paper", 3)])
def test_experiment_has_runs_in_each_profile(profile, n, one):
    assert [run.seed for run in one.runs(profile)] == [*range(n)]


def test_unknown_profile_is_refused_with_the_nearest(one):
    with pytest.raises(ValueError, match="unknown profile 'papr': did you mean 'paper'"):
        one.runs("papr")


@pytest.mark.parametrize(
    ("fields", "profile"),
    [
        ({"seed": 2}, "paper"),
        ({"seed": 0}, "paper"),  # of all three the last
        ({"seed": 3}, "custom"),
        ({"seed": 9, "steps": 1}, "smoke"),
        ({"seed": 9, "steps": 2}, "quick"),
    ],
)
def test_run_belongs_to_the_profile_that_has_it_or_its_stand_in(fields, profile, one):
    assert one.profile_of(Counting("counting", **fields)) == profile


def test_experiment_keeps_and_adds_nothing_unless_said():
    one = Experiment("plain", counting.no_runs, counting.count)
    assert not one.keeps(None, "anything") and one.numbers(None) == {}
    assert one.parents == one.same_runs_as == ()


def test_experiment_is_sent_to_other_processes(one):
    assert pickle.loads(pickle.dumps(one)) == one


def test_catalogue_has_every_experiment_by_its_name():
    first, second = counting.experiment("first"), counting.experiment("second", parents=("first",))
    assert catalogue([first, second]) == {"first": first, "second": second}
    assert catalogue([]) == {}


def test_two_experiments_of_one_name_are_refused():
    pair = [counting.experiment("same"), counting.experiment("same", configs=profiled)]
    with pytest.raises(ValueError, match="two experiments are named 'same': rename one"):
        catalogue(pair)


@pytest.mark.parametrize("name", ["of.0.5", "a/b", ""])
def test_name_that_no_folder_can_have_is_refused(name):
    with pytest.raises(ValueError, match=f"an experiment is named '{name}': take letters"):
        catalogue([counting.experiment(name)])


@pytest.mark.parametrize("field", ["parents", "same_runs_as"])
@pytest.mark.parametrize("lazily", [False, True])
def test_unknown_parent_or_twin_is_refused_with_the_nearest(field, lazily):
    found = [counting.experiment("set_mlp"), counting.experiment("x", **{field: ("set_mpl",)})]
    sentence = "unknown experiment that 'x' names, 'set_mpl': did you mean 'set_mlp'"
    with pytest.raises(ValueError, match=sentence):
        catalogue(iter(found) if lazily else found)


def test_experiment_may_name_itself_and_what_comes_later():
    first = counting.experiment("first", parents=("first", "second"))
    assert set(catalogue([first, counting.experiment("second")])) == {"first", "second"}


def test_chosen_experiment_is_known_or_refused_with_the_nearest(one):
    assert choose({"counting": one}, "counting") is one
    with pytest.raises(ValueError, match="unknown experiment 'couting': did you mean 'counting'"):
        choose({"counting": one}, "couting")
    with pytest.raises(ValueError, match="unknown experiment 'counting': none is known"):
        choose({}, "counting")


def test_experiments_and_contents_are_what_rooms_fill_in():
    assert [field.name for field in dataclasses.fields(experiment.Experiment)][:3] == [
        "name",
        "configs",
        "make",
    ]
    assert experiment.Contents._fields == ("metrics", "arrays", "facts")


def test_what_is_kept_of_a_record_can_depend_on_it(tmp_path):
    def keeps(record, name):
        return record.config.seed == 0 and name == "step"

    made = counting.store(tmp_path, counting.experiment(keeps=keeps))
    for seed, names in ((0, ["step"]), (1, [])):
        run = Counting("counting", seed=seed)
        made.ship(made.run(run))
        assert list(made.stored(run).arrays) == names
    np.testing.assert_array_equal(made.stored(Counting("counting")).arrays["step"], range(4))
