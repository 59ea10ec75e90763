"""Experiments as tables: the settings of their runs, in the profile "paper" and in small ones."""

from typing import Any

Fields = dict[str, Any]
Table = dict[str, Fields]  # settings by profile

# The rule for small profiles: what these settings are there, whatever they are in "paper".
SMALL: Table = {
    "smoke": {"dataset": ["digits"], "epochs": 3, "seed": range(1)},
    # digits stand in for what cannot be had
    "quick": {"epochs": 3, "seed": range(1), "fallback": {"dataset": "digits"}},
}
BY_RULE: Fields = {}


def part(paper: Fields, *, smoke: Fields | None = BY_RULE, quick: Fields | str = BY_RULE) -> Table:
    """Settings by profile: those of the paper, changed by :data:`SMALL` and by these exceptions.

    Args:
        paper: settings of the profile "paper", see :func:`grid`.
        smoke: exceptions from the rule; None where there are no runs in this profile.
        quick: exceptions from the rule; "smoke" for the settings of that profile.

    What is run in "paper" alone needs no call: ``{"paper": settings}``.
    """
    table = {"paper": paper}
    if smoke is not None:
        table["smoke"] = {**paper, **SMALL["smoke"], **smoke}
    table["quick"] = table["smoke"] if quick == "smoke" else {**paper, **SMALL["quick"], **quick}
    return table


def grid(settings: Fields, differences: dict[str, dict[Any, Fields]]) -> list[Fields]:
    """The settings of every run of a table.

    A list or a range is an axis: its values are combined with those of every other axis, the last
    one fastest. A dict has values by method, "others" for those that it does not name. A variant
    may name settings, as "rate {learning_rate:g}". Anything else is the same for all runs.

    Args:
        settings: by name.
        differences: by axis and value, what this value changes of the settings; axes among these
            are combined too.

    Example:
        >>> grid({"method": ["set", "dense"], "seed": range(1)}, {"method": {"dense": {"l1": 1}}})
        [{'method': 'set', 'seed': 0}, {'method': 'dense', 'seed': 0, 'l1': 1}]
    """
    for axis, values in settings.items():
        if isinstance(values, list | range):
            points = []
            for value in values:
                changes = differences.get(axis, {}).get(value, {})
                narrower = settings | {axis: value} | changes
                if axis == "method":
                    narrower = {name: _of_method(one, value) for name, one in narrower.items()}
                points += grid(narrower, differences)
            return points
    if "variant" in settings:
        return [settings | {"variant": settings["variant"].format(**settings)}]
    return [settings]


def _of_method(value: Any, method: str) -> Any:
    return value.get(method, value.get("others")) if isinstance(value, dict) else value
