"""Every method that can be trained has a name and a look."""

import pytest

from lib.report import labels
from papers.shared import methods
from papers.shared.labels import LABELS


def test_every_method_has_a_look():
    assert set(LABELS.methods) == set(methods.METHODS)


def test_no_two_methods_have_one_name_or_are_drawn_alike():
    looks = LABELS.methods.values()
    assert len({look["label"] for look in looks}) == len(looks)
    assert len({(look["color"], look["ls"]) for look in looks}) == len(looks)


@pytest.mark.parametrize(
    ("table", "known"),
    [
        ("methods", labels.METHOD_LOOKS),
        ("networks", labels.NETWORK_NAMES),
    ],
)
def test_labels_can_be_added_to_the_tables_again(table, known):
    labels.add(LABELS)
    labels.add(LABELS)
    added = getattr(LABELS, table)
    assert added.items() <= known.items()
