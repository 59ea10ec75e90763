"""Names that users give: an unknown one is refused with the nearest known one."""

import difflib
from collections.abc import Iterable, Sequence


def check_known(kind: str, value: str, known: Iterable[str]) -> None:
    """Refuse an unknown name. Raises ValueError with the nearest known one."""
    names = list(known)
    if value in names:
        return
    if not names:
        raise ValueError(f"unknown {kind} {value!r}: none is known")
    nearest = _nearest(str(value), names)
    raise ValueError(
        f"unknown {kind} {value!r}: did you mean {nearest!r}? Known: {', '.join(names)}"
    )


def _nearest(value: str, names: Sequence[str]) -> str:
    """The name most like ``value``, whatever the case of the letters."""
    by_lower_case = {}
    for name in names:
        by_lower_case[name.lower()] = name
    matches = difflib.get_close_matches(value.lower(), by_lower_case, n=1, cutoff=0)
    return by_lower_case[matches[0]]
