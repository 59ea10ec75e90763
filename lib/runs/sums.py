"""Checksums of a record: ``SHA256SUMS`` in its folder, which ``sha256sum -c`` reads too."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from lib.files import sha256

NAME = "SHA256SUMS"


def text(files: Mapping[str, bytes]) -> str:
    """The sums of files, given by name."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
    return "".join(lines)


def write(folder: Path, names: Iterable[str]) -> None:
    """Write the sums of files of a folder."""
    files = {name: (folder / name).read_bytes() for name in names}
    (folder / NAME).write_text(text(files))


def check(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Refuse files that are not as they were written; records of earlier versions have no sums.

    Returns: the sums of the folder by file, none of an earlier version.
    Raises: ValueError naming the file, OSError if it is missing.
    """
    try:
        text = (folder / NAME).read_text()
    except FileNotFoundError:
        return {}
    sums = {}
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        sums[name] = digest
    for name in names:
        if name not in sums:
            raise ValueError(f"{NAME} has no line for {name}")
        if sha256(folder / name) != sums[name]:
            raise ValueError(f"{name} is not what {NAME} says")
    return sums
