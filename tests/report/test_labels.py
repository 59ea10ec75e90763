"""Names that people read: added by rooms, refused where they contradict, raw where unknown."""

import pytest
from matplotlib import colors

from lib.bench import boltzmann, contenders, convolutions
from lib.report import labels
from lib.report.labels import Labels, look
from papers.shared.labels import LABELS

SET = look("SET", "#0173b2", "-")
FIXED = look("fixed support", "#de8f05", "--", marker="s")


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    """Tables to which no paper has added."""
    for name in ("METHOD_LOOKS", "NETWORK_NAMES"):
        monkeypatch.setattr(labels, name, {})


@pytest.fixture
def room():
    return Labels(
        methods={"set": SET, "fixed": FIXED},
        networks={"mlp": "width 1000"},
    )


def test_every_colour_is_one_that_matplotlib_knows():
    looks = [*LABELS.methods.values(), *labels.CONTENDERS.values()]
    assert all(colors.is_color_like(look["color"]) for look in looks)


def test_rooms_follow_each_other_and_equal_entries_may_be_added_again(room):
    labels.add(room)
    labels.add(Labels(methods={"new": look("new", "#000000", ":"), "fixed": dict(FIXED)}))
    labels.add(room)
    assert list(labels.METHOD_LOOKS) == ["set", "fixed", "new"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Labels(methods={"set": FIXED}), "method 'set' is labelled"),
        (Labels(networks={"mlp": "width 1"}), "network 'mlp' is labelled 'width 1000'"),
    ],
)
def test_another_label_for_a_known_name_is_refused(room, other, words):
    labels.add(room)
    with pytest.raises(ValueError, match=words):
        labels.add(other)
    assert labels.METHOD_LOOKS == room.methods
    assert labels.NETWORK_NAMES == room.networks


def test_refused_labels_are_not_added_in_part(room):
    labels.add(room)
    new = look("new", "#000000", ":")
    with pytest.raises(ValueError, match="'mlp'"):
        labels.add(Labels(methods={"new": new}, networks={"mlp": "other"}))
    assert "new" not in labels.METHOD_LOOKS


def test_known_method_has_its_look_and_keeps_it_where_a_copy_is_changed(room):
    labels.add(room)
    assert labels.method("fixed") == FIXED
    labels.method("fixed")["label"] += " (n = 5)"
    assert labels.method_name("fixed") == "fixed support"


def test_unknown_method_is_grey_and_solid_under_its_raw_name():
    desired = {"label": "krotov", "color": labels.GREY, "ls": "-"}
    assert labels.method("krotov") == desired
    assert labels.method_name("krotov") == "krotov"


def test_networks_and_data_sets_are_written_by_name_and_unknown_ones_raw(room):
    labels.add(room)
    assert (labels.network("mlp"), labels.network("cnn")) == ("width 1000", "cnn")
    assert labels.dataset("fashion_mnist") == "Fashion-MNIST"
    assert labels.dataset("madelon") == "madelon"


def test_methods_of_a_column_come_once_in_the_order_of_the_table(room):
    labels.add(room)
    column = ["late", "fixed", "set", "early", "fixed"]
    desired = ["set", "fixed", "late", "early"]
    assert labels.methods_in(column) == desired


def test_every_contender_of_the_benchmark_has_a_look():
    drawn = {*contenders.CONTENDERS, *boltzmann.STEPS, *convolutions.WAYS, "floor"}
    assert drawn == set(labels.CONTENDERS)
