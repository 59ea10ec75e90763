"""Identity of a run: frozen dataclasses of literals, and the name that follows from them.

A kind of run derives from :class:`Run` and adds the fields that decide its result.
"""

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

import pandas as pd
import torch

from lib import data
from lib._boundary import check_known, check_seed

_fields, _signature = cache(dataclasses.fields), cache(inspect.signature)
KINDS: dict[str, type["Run"]] = {}  # every kind of run, by the name of its class


class UnknownFields(ValueError):
    """A record was written by another version, with a kind or a field that this one lacks."""


@dataclass(frozen=True)
class Run:
    """One run: what, on which data, under which seed. The fields of a kind are literals.

    The name of a run is that of its experiment and a hash, which covers the experiment, the seed,
    the recipe, the data set actually loaded and the fields that differ from their defaults: a new
    field with a default keeps old records valid, and no module or class is in it.

    Args:
        experiment, method, variant: names; the method and the variant label tables and figures.
        dataset: name for :func:`lib.data.load`, or path of one's own data, to which the digest of
            its content is added; the name of the run covers that digest.
        seed: of everything random.
        parent: run whose result this one starts from, itself made where it is absent.
        stand_in: the run to make where the data set cannot be had (not part of the identity).
    Raises: ValueError if a field is of another type, or the seed is out of range.
    """

    RECIPES: ClassVar[dict[str, int]] = {"recipe": 1}  # raised when the meaning of a run changes
    DIGITS: ClassVar[str | None] = None  # of the numbers of a table; None: all
    UNSHARED: ClassVar[tuple[str, ...]] = ("experiment", "method", "variant", "parent")

    experiment: str
    dataset: str = "mnist"
    method: str = "set"
    variant: str = "tuned"
    seed: int = 0
    parent: "Run | None" = None
    stand_in: "Run | None" = dataclasses.field(default=None, compare=False, repr=False)

    def __init_subclass__(cls) -> None:
        known = KINDS.setdefault(cls.__name__, cls)
        if known.__module__ != cls.__module__:
            raise ValueError(
                f"{cls.__name__} of {cls.__module__} has the name of a kind of run in"
                f" {known.__module__}: give it another"
            )
        KINDS[cls.__name__] = cls

    def __post_init__(self) -> None:
        if isinstance(self.parent, dict):  # as read from a file
            object.__setattr__(self, "parent", from_fields(self.parent))
        for name, declared in _declared(type(self)).items():
            value = getattr(self, name)
            if type(value) is declared:
                continue  # most are, and thousands of runs are made to judge a claim
            if name not in ("parent", "stand_in"):
                object.__setattr__(self, name, as_declared(name, declared, value))
            elif not isinstance(value, Run | None):
                raise ValueError(f"{name} = {value!r} is of the wrong type: give a run or None")
        check_seed(self.seed)
        object.__setattr__(self, "dataset", data.named(self.dataset))

    @classmethod
    def field_names(cls) -> list[str]:
        """The names of the fields."""
        return [field.name for field in _fields(cls)]

    def device(self) -> torch.device:
        """Where it is made."""
        return torch.device("cpu")

    def fields_of(self, target: Callable) -> dict[str, Any]:
        """The values of those fields that ``target``, a dataclass or a function, takes too."""
        names = _signature(target).parameters
        return {name: getattr(self, name) for name in self.field_names() if name in names}

    @property
    def identity(self) -> dict[str, Any]:
        """Fields that the hash of the name covers."""
        covered = {"experiment": self.experiment, "dataset": self.dataset, "seed": self.seed}
        covered |= self.RECIPES
        for field in _fields(type(self)):
            value = getattr(self, field.name)
            if field.name != "stand_in" and value != field.default:
                covered[field.name] = value.name if isinstance(value, Run) else value
        covered["dataset"] = data.identity(self.dataset)
        return covered

    @cached_property
    def name(self) -> str:
        """Name of the record: experiment and hash of the identity."""
        text = json.dumps(self.identity, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return f"{self.experiment}-{digest[:12]}"

    @property
    def size(self) -> int:
        """Steps in which progress is counted, as epochs."""
        return 1

    def check(self) -> None:
        """Refuse what is out of range, before anything is run. Raises ValueError."""

    def check_unused(self, names: Iterable[str], what: str) -> None:
        """Refuse a field that was changed though ``what`` does not use it. Raises ValueError."""
        for name in names:
            value, default = getattr(self, name), self.__dataclass_fields__[name].default
            if value != default:
                raise ValueError(
                    f"{name} = {value!r} is not used by {what}: give {default!r}, or choose runs"
                    " that use it"
                )

    def with_changes(self, changes: dict[str, Any]) -> Self:
        """This run with some fields changed, its parent's too where the parent has them.

        Raises: ValueError naming the nearest field.
        """
        known = self._changeable()
        for key in changes:
            check_known("key", key, known)
        names = self.field_names()
        own = {key: value for key, value in changes.items() if key in names}
        if self.parent is not None:
            shared = self._shared_with_parent()
            passed_on = {key: value for key, value in changes.items() if key in shared}
            own["parent"] = self.parent.with_changes(passed_on)
        if self.stand_in is not None:  # it stays on its data set
            others = {key: value for key, value in changes.items() if key != "dataset"}
            own["stand_in"] = self.stand_in.with_changes(others)
        return dataclasses.replace(self, **own)

    def _changeable(self) -> list[str]:
        """Fields of this run, and those that a change passes on to its parent."""
        names = [name for name in self.field_names() if name not in ("parent", "stand_in")]
        if self.parent is not None:
            names += self._shared_with_parent()
        return list(dict.fromkeys(names))

    def _shared_with_parent(self) -> list[str]:
        return [name for name in self.parent._changeable() if name not in self.UNSHARED]

    def resolved(self) -> "Run":
        """The run whose data set would be loaded: this one, or the one that stands in.

        Raises: lib.data.DataUnavailable if neither data set can be had.
        """
        if self.stand_in is None:
            return self
        if not self.can_be_had():
            return self.stand_in.resolved()
        return dataclasses.replace(self, stand_in=None)

    def can_be_had(self) -> bool:
        """True if its data are on disk or can be downloaded."""
        try:
            data.origin(self.dataset)
        except data.DataUnavailable:
            return False
        return True

    def fields_to_write(self) -> dict[str, Any]:
        """Fields as a file keeps them: the kind and all values, whatever the defaults."""
        written: dict[str, Any] = {"kind": type(self).__name__}
        for name in self.field_names():
            value = getattr(self, name)
            if name != "stand_in":
                written[name] = value.fields_to_write() if isinstance(value, Run) else value
        return written

    def check_table(self, metrics: pd.DataFrame) -> None:
        """Refuse a table that is not that of this run. Raises ValueError."""

    def table_text(self, metrics: pd.DataFrame) -> str:
        """The table as a file has it."""
        return metrics.to_csv(index=False, float_format=self.DIGITS)


KINDS["Run"] = Run


def from_fields(fields: dict[str, Any]) -> Run:
    """The run whose fields a record holds.

    Raises: UnknownFields for an unknown kind or field; ValueError for a value of another type.
    """
    fields = dict(fields)
    name = fields.pop("kind", None)
    try:
        check_known("kind of run", name, KINDS)
        known = KINDS[name].field_names()
        for field in fields.keys() - set(known):
            check_known(f"field of {name}", field, known)
    except ValueError as error:
        raise UnknownFields(str(error)) from None
    return KINDS[name](**fields)


@cache
def _declared(kind: type[Run]) -> dict[str, Any]:
    """The declared type of each field of a kind, also of one that is written as a string."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in _fields(kind)}


def as_declared(name: str, declared: Any, value: Any) -> Any:
    """The value in the declared type: 20 is 20.0 for a float, a list of widths is a tuple.

    Raises: ValueError naming field and value if it is of another type.
    """
    is_tuple, kinds = _kinds(declared)
    if is_tuple:
        kind = kinds[0]
        if isinstance(value, list | tuple):
            if all(type(number) in (int, kind) for number in value):
                return tuple(map(kind, value))
        wanted = "numbers, as (1000, 1000)" if kind is int else "numbers, as (0.1, 0.2)"
    else:
        if float in kinds and type(value) is int:
            return float(value)
        if type(value) in kinds or (str in kinds and isinstance(value, str)):
            return value
        wanted = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
    raise ValueError(f"{name} = {value!r} is of the wrong type: give {wanted}")


@cache
def _kinds(declared: Any) -> tuple[bool, tuple[type, ...]]:
    """Whether a declared type is a tuple, and the kinds of a value, or of each in the tuple."""
    return get_origin(declared) is tuple, get_args(declared) or (declared,)
