"""What travels between machines: the files of a folder, as bytes by name."""

import shutil
from pathlib import Path

from lib.files import PART, explained, half_of, whole

Files = dict[str, bytes]


def packed(folder: Path) -> Files:
    """The whole files of a folder, none if it does not exist. One file is read in one go, so that
    each is whole also while another process replaces it.
    """
    files: Files = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix != PART:
                files[path.name] = path.read_bytes()
    return files


def unpack(files: Files, folder: Path) -> None:
    """Write files into a folder, each whole or not at all.

    Raises: ValueError for a name that would lead out of the folder; lib.files.NotWritten if there
        is no room for them.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        with whole(_inside(folder, name)) as part:
            part.write_bytes(content)


def unpack_new(files: Files, folder: Path) -> None:
    """Write files as a folder that appears whole, in place of what may be there. What killed
    processes left of it stays, see :func:`lib.files.remove_all_halves`.

    Raises: as :func:`unpack`.
    """
    part = half_of(folder)
    try:
        with explained(folder):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            for name, content in files.items():
                _inside(part, name).write_bytes(content)
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _inside(folder: Path, name: str) -> Path:
    """The path of a file. Raises ValueError if it would lie elsewhere than in the folder."""
    if name in ("", "..") or Path(name).name != name:
        raise ValueError(f"{name!r} is no name of a file: it leads out of {folder}")
    return folder / name


def stamps(folder: Path) -> dict[str, int]:
    """When each file of a folder was last written, in nanoseconds."""
    found = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix != PART:
                found[path.name] = path.stat().st_mtime_ns
    return found
