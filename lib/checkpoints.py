"""Checkpoints of training loops: written whole or not at all, read without pickles; and which
numerics this code has.

Numerics are how the code sums, and so the last bits of all that it computes. Their number goes up
when a change of the code alters these bits and nothing else. The name of a run and what a run means
stay as they are. Records and checkpoints say which numerics made them. Within one numerics a run
gives the same bits, whatever interrupts it.
"""

import dataclasses
import functools
import numbers
import zipfile
import zlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._boundary import refusing_damage, whole

# ----------------------------------------------------------------------------------------- numerics


NUMERICS = 2  # 1: before the passes of a training step went through a batch tile by tile
UNNAMED = 1  # that of records and checkpoints which name none
# Within numerics 1 such changes were not counted: where a record of it differs at that last commit,
# the one that the record names gives its bits.
LAST_COMMITS = {1: "33748967bdc0f10294473f0f6d1d9646002022ad"}  # of each earlier numerics


def place_of(numerics: int) -> str:
    """Where the code of another numerics is: the end of a sentence that says what to do there."""
    commit = LAST_COMMITS.get(numerics)
    if commit is None:
        return f"with a version of this repository whose numerics is {numerics}"
    return f"at commit {commit} (git worktree add ../numerics-{numerics} {commit})"


DATA = "data"  # of a run: the digest of what it learns from


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint: at every moment ``path`` holds a whole one, the last or this one.

    It says which numerics made it, see :data:`NUMERICS`.

    Args:
        path: the file.
        state: tensors, numbers, strings and None, in lists and dicts.
    Raises: lib._boundary.NotWritten if there is no room for it.
    """
    with whole(path) as part, part.open("wb") as file:
        torch.save({**state, "numerics": NUMERICS}, file)


def load(
    path: Path, form: str | int | None = None, run: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The state that :func:`save` wrote, with its tensors on the CPU.

    Args:
        path: the file.
        form: what its entry ``format`` must be; None: anything.
        run: what its entry ``run`` must be, of :func:`described`; None: anything.
    Raises: ValueError if it cannot be read, is of another format or another run, or was made by
        code of another numerics: a run that goes on from it would match neither.
    """
    with readable(path):
        _check_sums(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    if form is not None and state.get("format") != form:
        raise ValueError(
            f"checkpoint {path} is of another version of this loop: delete it to start anew"
        )
    numerics = state.pop("numerics", UNNAMED)
    if numerics != NUMERICS:
        raise ValueError(
            f"checkpoint {path} is of numerics {numerics}, this code of {NUMERICS}: delete it to"
            f" start anew, or let the run end {place_of(numerics)}"
        )
    if run is not None:
        _check_same(path, state["run"], run)
    return state


def described(*settings: Any, **more: Any) -> dict[str, Any]:
    """The settings of a run by name: ``more``, and the fields of dataclasses. Functions are told
    apart by their names; two closures or lambdas of one place count as equal.
    """
    values = dict(more)
    for one in settings:
        values |= {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    names = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(value):
            names |= {f"{name}.{inner}": of for inner, of in described(value).items()}
        else:
            names[name] = _plain(value)
    return names


def _plain(value: Any) -> Any:
    """A value as it can be written and compared."""
    if isinstance(value, functools.partial):
        return [_plain(value.func), *map(_plain, value.args), *map(_plain, value.keywords.items())]
    if callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if value is None else str(value)


def extended(row: dict[str, Any], added: Any, function: str) -> dict[str, Any]:
    """A row of a history with the entries that a reader's function adds. Numbers of NumPy, and
    tensors without dimensions, become numbers of Python, which a checkpoint can hold.

    Args:
        row: as the loop makes it.
        added: what the function returned.
        function: its name.
    Raises: ValueError if that is no dict, has a name of the row, or holds anything but numbers,
        strings and None, in lists and dicts.
    """
    if not isinstance(added, dict):
        raise ValueError(
            f"{function} returns a {type(added).__name__}: return a dict, as {{'norm': 3.0}}"
        )
    for name in added:
        if name in row:
            raise ValueError(f"{function} returns {name!r}, which the row has: give another name")
    try:
        return row | _literal(added)
    except ValueError as error:
        raise ValueError(f"{function} returns what no row can hold: {error}") from error


def _literal(value: Any) -> Any:
    if isinstance(value, dict):
        return {_scalar(key): _literal(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_literal(one) for one in value]
    return _scalar(value)


def _scalar(value: Any) -> bool | int | float | str | None:
    if isinstance(value, np.generic | np.ndarray | Tensor) and value.ndim == 0:
        value = value.item()
    if value is None:
        return None
    for kind in (bool, int, float, str):
        if isinstance(value, kind):  # of a class of one's own, torch would keep a pickle
            return kind(value)
    raise ValueError(
        f"a {type(value).__name__}: give numbers and strings, in lists and dicts, as tolist() does"
    )


def digest(*tensors: Tensor) -> str:
    """A checksum of the data that a run is of, and of its shapes."""
    checksum = 0
    for tensor in tensors:
        checksum = zlib.crc32(str(tuple(tensor.shape)).encode(), checksum)
        array = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        checksum = zlib.crc32(array, checksum)
    return f"{checksum:08x}"


def _check_same(path: Path, was: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise ValueError at the first value in which two runs differ."""
    for name in now | was:
        if was.get(name) != now.get(name):
            if name == DATA:
                raise ValueError(f"checkpoint {path} is of other data: give those, or another file")
            raise ValueError(
                f"checkpoint {path} is of {name} = {was.get(name)}, not {now.get(name)}: give that"
                " value, or another file"
            )


def _check_sums(path: Path) -> None:
    """Refuse a file of which a part is not what its checksum says; torch does not look at them."""
    with zipfile.ZipFile(path) as file:
        damaged = file.testzip()
        for entry in file.infolist():
            if entry.external_attr:  # torch writes 0; a folder's flag would hide the bytes from it
                damaged = entry.filename
    if damaged is not None:
        raise ValueError(f"{damaged} is damaged")


def readable(path: Path) -> AbstractContextManager[None]:
    """Whatever fails in the enclosed block is the checkpoint's fault. Raises ValueError."""
    return refusing_damage(
        lambda error: (
            f"checkpoint {path} cannot be read ({type(error).__name__}): delete it to start anew"
        )
    )
