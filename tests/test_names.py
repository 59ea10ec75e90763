"""Unknown names are refused with the nearest known one, and known ones are not."""

import pytest

from lib._boundary import check_known

KNOWN = ("random", "gradient", "preferential", "ch3_l3")


@pytest.mark.parametrize(
    ("value", "nearest"), [("gradent", "gradient"), ("ch3_l2", "ch3_l3"), ("Random", "random")]
)
def test_unknown_name_is_refused_with_the_nearest(value, nearest):
    with pytest.raises(ValueError) as refusal:
        check_known("grow", value, KNOWN)
    assert str(refusal.value) == (
        f"unknown grow {value!r}: did you mean {nearest!r}?"
        " Known: random, gradient, preferential, ch3_l3"
    )


@pytest.mark.parametrize("value", ["ZZZ", 3, None])
def test_values_that_resemble_no_name_are_refused_all_the_same(value):
    with pytest.raises(ValueError) as refusal:
        check_known("grow", value, KNOWN[:2])
    assert str(refusal.value) == f"unknown grow {value!r}: known are random, gradient"


@pytest.mark.parametrize("kind", [list, dict.fromkeys, iter])
def test_known_names_may_be_of_any_iterable(kind):
    check_known("grow", "ch3_l3", kind(KNOWN))
    with pytest.raises(ValueError, match="did you mean 'gradient'"):
        check_known("grow", "gradent", kind(KNOWN))


def test_of_many_names_some_are_shown():
    known = [f"name{i:02}" for i in range(40)]
    with pytest.raises(ValueError, match="known are name00, .*, name11 and 28 others$"):
        check_known("grow", "zzz", known)
    with pytest.raises(ValueError, match="did you mean 'name39'\\? Known: .* and 28 others$"):
        check_known("grow", "nama39", known)
