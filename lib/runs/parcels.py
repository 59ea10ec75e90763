"""What travels between machines: the files of a folder, as bytes by name."""

import os
import shutil
import uuid
from pathlib import Path

Files = dict[str, bytes]
PART = ".part"  # end of the name of a file that is not whole


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

    Raises: ValueError for a name that would lead out of the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if name in ("", "..") or Path(name).name != name:
            raise ValueError(f"{name!r} is no name of a file: it leads out of {folder}")
        part = folder / f"{name}{PART}"
        part.write_bytes(content)
        os.replace(part, folder / name)


def unpack_new(files: Files, folder: Path) -> None:
    """Write files as a folder that appears whole, in place of what may be there."""
    part = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}{PART}")
    try:
        unpack(files, part)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def stamps(folder: Path) -> dict[str, int]:
    """When each file of a folder was last written, in nanoseconds."""
    found = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix != PART:
                found[path.name] = path.stat().st_mtime_ns
    return found
