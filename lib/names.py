"""Names and numbers that users give: an unknown name is refused with the nearest known one. Names
of the extras of the wheel, for packages that are not there.
"""

import difflib
import functools
import numbers
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

PROFILES = ("smoke", "quick", "paper")
CUSTOM = "custom"  # the profile of records that are in no other
LARGEST_SEED = 2**62  # seeds that are made of it still fit into 64 bits
NEAR = 0.6  # likeness of two names, from 0 to 1, from which one is suggested
SHOWN = 12  # names of a list that a refusal shows


def check_known(kind: str, value: str, known: Iterable[str], advice: str = "") -> None:
    """Refuse an unknown name. Raises ValueError with the nearest known one, whatever the case of
    the letters, if one is near; the advice stands behind it.
    """
    names = list(known)
    if value in names:
        return
    if not names:
        raise ValueError(f"unknown {kind} {value!r}: none is known")
    by_lower_case = {name.lower(): name for name in names}
    nearest = difflib.get_close_matches(str(value).lower(), by_lower_case, n=1, cutoff=NEAR)
    hint = f" did you mean {by_lower_case[nearest[0]]!r}? Known:" if nearest else " known are"
    shown = ", ".join(names)
    if len(names) > SHOWN + 1:
        shown = f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} others"
    behind = f"; {advice}" if advice else ""
    raise ValueError(f"unknown {kind} {value!r}:{hint} {shown}{behind}")


def check_whole(name: str, value: Any, *, least: int, most: int | None = None) -> None:
    """Refuse what is no whole number in range, as 1.5, True and "3". Raises ValueError."""
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if is_whole and value >= least and (most is None or value <= most):
        return
    in_range = f"at least {least}" if most is None else f"from {least} to {most}"
    raise ValueError(f"{name} = {value!r} is out of range: give a whole number, {in_range}")


def check_number(name: str, value: Any, interval: str, advice: str | None = None) -> None:
    """Refuse what is no number in the interval, as "3", None and True. Raises ValueError.

    Args:
        name, value: of what is given.
        interval: as "[0, 1)" or "(0, inf)".
        advice: what to give; None: a number in the interval.
    """
    low, high = _ends(interval)
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if is_number:
        is_above = value >= low if interval[0] == "[" else value > low
        if is_above and (value <= high if interval[-1] == "]" else value < high):
            return
    if advice is None:
        advice = f"a number in {interval}"
        if interval.endswith(" inf)"):
            word = "from {} on" if interval[0] == "[" else "above {}"
            advice = "a finite number " + word.format(interval[1 : interval.index(",")])
    wrong = "out of range" if is_number else "of the wrong type"
    raise ValueError(f"{name} = {value!r} is {wrong}: give {advice}")


@functools.cache
def _ends(interval: str) -> tuple[float, float]:
    low, high = interval[1:-1].split(", ")
    return float(low), float(high)


def check_type(name: str, value: Any, kind: type) -> None:
    """Refuse a value of another type. Raises ValueError."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise ValueError(f"{name} = {value!r} is of the wrong type: give {article} {kind.__name__}")


def names_of_one(named: Mapping[str, object]) -> tuple[str, str] | None:
    """The first two names that stand for one object; None if each has its own."""
    first: dict[int, str] = {}
    for name, one in named.items():
        other = first.setdefault(id(one), name)
        if other != name:
            return other, name
    return None


def check_seed(seed: Any) -> int:
    """The seed, NumPy's as an int; what is none is refused. Raises ValueError."""
    check_whole("seed", seed, least=0, most=LARGEST_SEED)
    return int(seed)


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around the import of a package that the wheel asks for only with an extra.

    Raises: ModuleNotFoundError that names the extra, if the package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is not installed: pip install 'sparse-adaptive[{name}]'",
            name=error.name,
        ) from error
