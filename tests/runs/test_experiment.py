"""Experiments: their profiles, and the catalogue that refuses what contradicts itself."""

import pickle

import numpy as np
import pytest

from lib.runs.experiment import PROFILES, catalogue, choose
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


def test_experiment_is_sent_to_other_processes(one):
    assert pickle.loads(pickle.dumps(one)) == one


def named(name, **fields):
    return lambda: catalogue([counting.experiment("set_mlp"), counting.experiment(name, **fields)])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (named("set_mlp"), "two experiments are named 'set_mlp': rename one"),
        (named("of.0.5"), "an experiment is named 'of.0.5': take letters"),
        (named("a/b"), "an experiment is named 'a/b': take letters"),
        (named(""), "an experiment is named '': take letters"),
        (named("x", parents=("set_mpl",)), "'x' names, 'set_mpl': did you mean 'set_mlp'"),
        (named("x", same_runs_as=("set_mpl",)), "'x' names, 'set_mpl': did you mean 'set_mlp'"),
        (lambda: choose({"set_mlp": 1}, "set_mpl"), "unknown experiment 'set_mpl': did you mean"),
        (lambda: counting.experiment().runs("papr"), "unknown profile 'papr': did you mean"),
    ],
)
def test_names_that_contradict_or_are_unknown_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_what_is_kept_of_a_record_can_depend_on_it(tmp_path):
    def keeps(record, name):
        return record.config.seed == 0 and name == "step"

    made = counting.store(tmp_path, counting.experiment(keeps=keeps))
    for seed, names in ((0, ["step"]), (1, [])):
        run = Counting("counting", seed=seed)
        made.ship(made.run(run))
        assert list(made.stored(run).arrays) == names
    np.testing.assert_array_equal(made.stored(Counting("counting")).arrays["step"], range(4))
