"""Parts of a data set and its strangers."""

from papers.pruning import tasks

from .made import split


def test_strangers_of_a_part_come_from_the_same_part():
    other = split(1, 90)
    task = tasks.of_split(split(0, 30), [other])
    of_test = {tuple(row) for row in other.x_test.tolist()}
    assert {tuple(row) for row in task.strangers["test"].tolist()} <= of_test


def test_images_are_limited_but_not_those_of_test():
    task = tasks.of_split(split(0, 90), [split(1, 90)], train_images=30, valid_images=60)
    assert {part: len(x) for part, x in task.x.items()} == {"train": 30, "valid": 60, "test": 90}


def test_digits_that_are_strange_are_those_the_classes_lack():
    task = tasks.load("digits", "tiny")
    assert task.n_classes == 5
    assert set(task.strangers) == {"valid", "test"}
    assert abs(len(task.strangers["test"]) - len(task.x["test"])) <= 1  # there is one fewer


def test_a_set_is_not_strange_to_itself():
    known, others = tasks.sources("rps28")
    assert known == "rps28" and set(others) == set(tasks.SETS) - {"rps28"}
