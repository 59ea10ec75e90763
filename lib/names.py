"""Names that users give: an unknown one is refused with the nearest known one."""

import difflib
from collections.abc import Iterable


def check_known(kind: str, value: str, known: Iterable[str]) -> None:
    """Refuse an unknown name. Raises ValueError with the nearest known one."""
    known = list(known)
    if value not in known:
        spelled = {name.lower(): name for name in known}
        near = difflib.get_close_matches(str(value).lower(), spelled, n=1, cutoff=0)[0]
        raise ValueError(
            f"unknown {kind} {value!r}: did you mean {spelled[near]!r}? Known: {', '.join(known)}"
        )
