"""Files that travel: the same bytes, whole or not at all, never outside of their folder."""

import pytest

from lib.files import half_of
from lib.runs import parcels

FILES = {"a.txt": b"one", "b.bin": bytes(range(256))}


def test_what_is_packed_is_unpacked_to_the_same_bytes(tmp_path):
    parcels.unpack(FILES, tmp_path / "x" / "y")
    assert parcels.packed(tmp_path / "x" / "y") == FILES


def test_parts_and_folders_stay(tmp_path):
    parcels.unpack(FILES, tmp_path)
    (tmp_path / "c.part").write_text("half")
    (tmp_path / "folder").mkdir()
    assert parcels.packed(tmp_path) == FILES
    assert parcels.packed(tmp_path / "missing") == {}
    assert set(parcels.stamps(tmp_path)) == set(FILES)


@pytest.mark.parametrize("name", ["../out", "/etc/out", "folder/in", "..", ""])
def test_names_that_lead_elsewhere_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="no name of a file: it leads out of"):
        parcels.unpack({name: b""}, tmp_path / "here")
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


def test_new_folder_takes_the_place_of_the_old_one(tmp_path):
    folder = tmp_path / "record"
    parcels.unpack({"old": b""}, folder)
    parcels.unpack_new(FILES, folder)
    assert parcels.packed(folder) == FILES and [*tmp_path.iterdir()] == [folder]


def test_folder_that_cannot_be_written_whole_leaves_the_old_one(tmp_path):
    folder = tmp_path / "record"
    parcels.unpack(FILES, folder)
    with pytest.raises(ValueError, match="leads out"):
        parcels.unpack_new({"new": b"", "../x": b""}, folder)
    assert parcels.packed(folder) == FILES and [*tmp_path.iterdir()] == [folder]


def test_half_of_a_process_of_the_same_number_is_no_part_of_the_new_folder(tmp_path):
    parcels.unpack({"old": b""}, half_of(tmp_path / "record"))
    parcels.unpack_new(FILES, tmp_path / "record")
    assert parcels.packed(tmp_path / "record") == FILES
    assert [*tmp_path.iterdir()] == [tmp_path / "record"]
