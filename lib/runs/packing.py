"""Arrays in one small file, without loss: bytes of equal weight side by side, then compressed.

Whole numbers that follow each other, as the links of a row, are kept as differences; the file is a
npz with two entries and holds no pickles.
"""

import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lib.files import sha256

INDEX, BYTES = "index", "bytes"
# of a damaged file, besides OSError and ValueError; RuntimeError: its flags ask for the impossible
DAMAGE = (lzma.LZMAError, zlib.error, zipfile.BadZipFile, EOFError, RuntimeError)


class Arrays(Mapping):
    """The arrays of a file by name, read when the first one is asked for; pickled, they are all
    that the file held.

    Args:
        path: of the file; None: there are none.
        digest: its sha256; None: not known, as of earlier versions.
        remedy: what to do if the file is damaged.
    Raises: ValueError, then, if it is.
    """

    def __init__(self, path: Path | None, digest: str | None, remedy: str) -> None:
        self._path = path
        self._digest = digest
        self._remedy = remedy

    @cached_property
    def _read(self) -> dict[str, np.ndarray]:
        if self._path is None:
            return {}
        try:
            if self._digest not in (None, sha256(self._path)):
                raise ValueError("its sha256 is another")
            return read_arrays(self._path)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self._path} cannot be read ({error}): {self._remedy}") from error

    def __getitem__(self, name: str) -> np.ndarray:
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)

    def __repr__(self) -> str:
        return f"Arrays({self._path})"

    def __reduce__(self) -> tuple:
        return dict, (self._read,)


def write_packed(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, by name, of numbers or truth values of any shape."""
    index, parts = [], []
    for name, array in arrays.items():
        entry, packed = _pack(np.asarray(array))
        index.append({"name": name, **entry})
        parts.append(packed)
    text = np.frombuffer(json.dumps(index).encode(), np.uint8)
    stream = np.concatenate([np.empty(0, np.uint8), *parts])
    with zipfile.ZipFile(path, "w") as file:
        for name, content in ((INDEX, text), (BYTES, stream)):
            entry = zipfile.ZipInfo(f"{name}.npy")  # without a date: equal arrays, equal file
            entry.compress_type = zipfile.ZIP_LZMA
            with file.open(entry, "w", force_zip64=True) as part:
                np.lib.format.write_array(part, content, allow_pickle=False)


def write_plain(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a plain npz, in a quarter of the time of one that is compressed: fractions,
    which hardly shrink, as they are.
    """
    with zipfile.ZipFile(file, "w") as entries:
        for name, array in arrays.items():
            array = np.asanyarray(array)
            entry = zipfile.ZipInfo(f"{name}.npy")  # without a date: equal arrays, equal file
            is_fraction = array.dtype.kind == "f"
            entry.compress_type = zipfile.ZIP_STORED if is_fraction else zipfile.ZIP_DEFLATED
            with entries.open(entry, "w", force_zip64=True) as part:
                np.lib.format.write_array(part, array, allow_pickle=False)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of :func:`write_packed`, or of a plain npz.

    Raises: OSError if it is missing, ValueError if it is damaged or cut short.
    """
    with path.open("rb") as file:
        return arrays_in(file, path.name)


def arrays_in(file: BinaryIO, name: str) -> dict[str, np.ndarray]:
    """As :func:`read_arrays`, of an open file with a name."""
    try:
        with np.load(file, allow_pickle=False) as entries:
            arrays = dict(entries)
    except DAMAGE as error:
        raise ValueError(f"{name} is damaged: {error}") from error
    if set(arrays) != {INDEX, BYTES}:
        return arrays
    return _unpack_all(name, arrays)


def _unpack_all(name: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    stream, unpacked, start = arrays[BYTES], {}, 0
    for entry in json.loads(arrays[INDEX].tobytes()):
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        stop = start + dtype.itemsize * int(np.prod(shape))
        array = _unpack(stream[start:stop], dtype, entry["differences"])
        unpacked[entry["name"]] = array.reshape(shape)
        start = stop
    if start != len(stream):
        raise ValueError(f"{name} holds {len(stream)} bytes, not {start}")
    return unpacked


def _pack(array: np.ndarray) -> tuple[dict, np.ndarray]:
    """How to read an array, and its bytes: first the lowest of each number, then the next."""
    native = array.dtype.newbyteorder("=")
    flat = np.ascontiguousarray(array, native).ravel()
    differences = flat.dtype.kind == "i" and bool(_rises_mostly(flat))
    entry = {"dtype": flat.dtype.str, "shape": array.shape, "differences": differences}
    if differences:
        flat = np.diff(flat, prepend=flat.dtype.type(0))
    planes = flat.view(np.uint8).reshape(-1, flat.itemsize)
    return entry, planes.T.ravel()


def _unpack(stream: np.ndarray, dtype: np.dtype, differences: bool) -> np.ndarray:
    planes = stream.reshape(dtype.itemsize, -1)
    flat = np.ascontiguousarray(planes.T).ravel().view(dtype)
    if differences:
        return np.cumsum(flat, dtype=dtype)
    return flat


def _rises_mostly(flat: np.ndarray) -> bool:
    return len(flat) > 1 and (flat[1:] > flat[:-1]).mean() > 0.8
