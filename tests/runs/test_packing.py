"""Packed arrays: what is read is what was written, in few bytes, and damage is noticed."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra import numpy as arrays_of

from lib.runs.packing import read_arrays, write_packed, write_plain

INTEGERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
FLOATS = ["f2", "f4", "f8"]
DTYPES = strategies.sampled_from(["?", *INTEGERS, *FLOATS, ">i4", ">f8"])
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)
ARRAYS = arrays_of.arrays(DTYPES, SHAPES)
ANY_ARRAYS = strategies.dictionaries(strategies.text(min_size=1, max_size=5), ARRAYS, max_size=4)
STATES = strategies.dictionaries(strategies.from_regex(r"[a-z.]{1,9}[0-9]", fullmatch=True), ARRAYS)
KEYS = np.sort(np.random.default_rng(0).choice(10**6, 10_000, replace=False)).astype("i4")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "arrays.npz"


def read_back(path, **arrays):
    write_packed(path, arrays)
    return read_arrays(path)


def assert_same_bits(actual, desired):
    assert actual.shape == desired.shape
    assert actual.dtype == desired.dtype.newbyteorder("=")
    np.testing.assert_array_equal(actual, desired)
    if desired.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(actual), np.signbit(desired))


@hypothesis.given(ANY_ARRAYS)
@hypothesis.settings(max_examples=60)
def test_any_arrays_are_read_back_to_the_bit(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("packed") / "arrays.npz"
    write_packed(path, arrays)
    actual = read_arrays(path)
    assert list(actual) == list(arrays)
    for name, desired in arrays.items():
        assert_same_bits(actual[name], desired)


@hypothesis.given(STATES)
@hypothesis.settings(max_examples=60)
def test_plain_arrays_are_read_by_numpy(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("plain") / "arrays.npz"
    with path.open("wb") as file:
        write_plain(file, arrays)
    with np.load(path) as actual:
        assert list(actual) == list(arrays)
        for name, desired in arrays.items():
            np.testing.assert_array_equal(actual[name], desired)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_differences_of_extreme_values_wrap_around(dtype, path):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    rising = np.array([low, low + 1, low + 2, 3, 4, 5, 6, high - 1, high, low], dtype)
    assert_same_bits(read_back(path, rising=rising)["rising"], rising)


@pytest.mark.parametrize("dtype", FLOATS)
def test_special_numbers_are_kept(dtype, path):
    info = np.finfo(dtype)
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, info.max, info.tiny], dtype)
    assert_same_bits(read_back(path, special=special)["special"], special)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24).reshape(4, 6).T,
        np.arange(24, dtype="f4")[::-3],
        np.arange(24).reshape(2, 3, 4)[:, 1:, ::2],
        np.broadcast_to(np.float32(2.0), (3, 4)),
        np.asfortranarray(np.eye(4, 3)),
    ],
    ids=["transposed", "reversed", "sliced", "broadcast", "by columns"],
)
def test_memory_order_does_not_matter(array, path):
    assert_same_bits(read_back(path, array=array)["array"], array)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (1, 1)])
@pytest.mark.parametrize("dtype", ["?", "i4", "f8"])
def test_single_numbers_and_empty_arrays_keep_their_shape(shape, dtype, path):
    array = np.ones(shape, dtype)
    assert_same_bits(read_back(path, array=array)["array"], array)


def test_no_arrays_are_read_back_as_none(path):
    assert read_back(path) == {}


def test_equal_arrays_give_equal_files(path, tmp_path):
    arrays = {"a": KEYS, "b": KEYS[:50].reshape(5, 10)}
    copies = {"a": KEYS.copy(), "b": np.asfortranarray(arrays["b"])}
    write_packed(path, arrays)
    write_packed(tmp_path / "again.npz", copies)
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_links_in_order_take_less_than_two_bytes_each(path):
    write_packed(path, {"keys": KEYS})
    assert path.stat().st_size < 1.5 * len(KEYS)


def test_plain_npz_is_read(path):
    np.savez_compressed(path, keys=KEYS, empty=np.empty((0, 2)))
    actual = read_arrays(path)
    assert_same_bits(actual["keys"], KEYS)
    assert_same_bits(actual["empty"], np.empty((0, 2)))


@pytest.mark.parametrize("array", [np.array([None]), np.array([{}], object)])
def test_objects_are_refused(array, path):
    with pytest.raises(TypeError):
        write_packed(path, {"objects": array})


def test_pickles_are_refused(path):
    np.savez(path, objects=np.array([None]))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_arrays(path)


# --------------------------------------------------------------------------------------- damage


def written(kind, path):
    """The bytes of a file of either kind."""
    if kind == "packed":
        write_packed(path, {"keys": KEYS[:400], "weights": np.linspace(0, 1, 50)})
    else:
        np.savez_compressed(path, keys=KEYS[:400], weights=np.linspace(0, 1, 50))
    return path.read_bytes()


each_kind = pytest.mark.parametrize("kind", ["packed", "plain"])


@each_kind
def test_file_cut_short_is_refused(kind, path):
    whole = written(kind, path)
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError):
            read_arrays(path)


@each_kind
@pytest.mark.parametrize("part", range(8))
def test_damaged_bytes_are_refused(kind, part, path):
    whole = bytearray(written(kind, path))
    at = len(whole) * (2 * part + 1) // 20  # among the arrays, the first 80 % of the file
    for place in range(at, at + 8):
        whole[place] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(ValueError):
        read_arrays(path)


def test_stream_of_another_length_is_refused(path):
    write_packed(path, {"keys": KEYS[:10]})
    with np.load(path) as entries:
        index, stream = entries["index"], entries["bytes"]
    np.savez(path, index=index, bytes=np.append(stream, np.uint8(0)))
    with pytest.raises(ValueError, match="holds 41 bytes, not 40"):
        read_arrays(path)
    np.savez(path, index=index, bytes=stream[:-1])
    with pytest.raises(ValueError):
        read_arrays(path)


def test_missing_file_is_an_error_of_the_system(path):
    with pytest.raises(FileNotFoundError):
        read_arrays(path)
