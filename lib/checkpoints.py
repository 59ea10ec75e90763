"""Checkpoints of training loops: written whole or not at all, read without pickles."""

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from .files import whole
from .numerics import NUMERICS, UNNAMED, place_of


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint: at every moment ``path`` holds a whole one, the last or this one.

    It says which numerics made it, see :mod:`lib.numerics`.

    Args:
        path: the file.
        state: tensors, numbers, strings and None, in lists and dicts.
    Raises: lib.files.NotWritten if there is no room for it.
    """
    with whole(path) as part, part.open("wb") as file:
        torch.save({**state, "numerics": NUMERICS}, file)


def load(path: Path, form: str | None = None) -> dict[str, Any]:
    """The state that :func:`save` wrote.

    Args:
        path: the file.
        form: what its entry ``format`` must be; None: anything.
    Raises: ValueError if it cannot be read, is of another format, or was made by code of another
        numerics: what goes on from it would have the bits of neither.
    """
    with readable(path):
        _check_sums(path)
        state = torch.load(path, weights_only=True)
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
    return state


def _check_sums(path: Path) -> None:
    """Refuse a file of which a part is not what its checksum says; torch does not look at them."""
    with zipfile.ZipFile(path) as file:
        damaged = file.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} is damaged")


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Whatever fails in the enclosed block is the checkpoint's fault. Raises ValueError."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"checkpoint {path} cannot be read ({type(error).__name__}): delete it to start anew"
        ) from error
