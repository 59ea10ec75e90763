"""Names that users give: an unknown one is refused with the nearest known one."""

import difflib
from collections.abc import Iterable

PROFILES = ("smoke", "quick", "paper")
NEAR = 0.6  # likeness of two names, from 0 to 1, from which one is suggested


def check_known(kind: str, value: str, known: Iterable[str]) -> None:
    """Refuse an unknown name. Raises ValueError with the nearest known one, whatever the case of
    the letters, if one is near.
    """
    names = list(known)
    if value in names:
        return
    if not names:
        raise ValueError(f"unknown {kind} {value!r}: none is known")
    by_lower_case = {name.lower(): name for name in names}
    nearest = difflib.get_close_matches(str(value).lower(), by_lower_case, n=1, cutoff=NEAR)
    hint = f" did you mean {by_lower_case[nearest[0]]!r}? Known:" if nearest else " known are"
    raise ValueError(f"unknown {kind} {value!r}:{hint} {', '.join(names)}")
