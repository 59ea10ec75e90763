"""Files that appear whole or not at all, whoever else writes them."""

import errno
import os
import subprocess
import sys

import pytest

from lib._boundary import NotWritten, explained, refusing_damage, whole

pytestmark = pytest.mark.faults("two writers")


def other_process(monkeypatch):
    """Be another process, which lives, as far as names of files go."""
    monkeypatch.setattr(os, "getpid", os.getppid)


def test_two_writers_of_one_file_do_not_see_each_other(tmp_path, monkeypatch):
    """The file is that of the last to end, whole, and nothing else is left."""
    path = tmp_path / "page.md"
    with whole(path) as first:
        first.write_text("first")
        with monkeypatch.context() as patch:
            other_process(patch)
            with whole(path) as second:
                second.write_text("the second")
        assert path.read_text() == "the second"
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]


@pytest.mark.faults("stale locks")
def test_half_of_a_killed_writer_is_removed_by_the_next(tmp_path):
    """Half a file, left by a process that is gone; those of living processes and of others stay."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path = tmp_path / "page[1].md"
    (tmp_path / f"{path.name}.{gone.pid}.part").write_text("half")
    others = [tmp_path / f"{path.name}.{os.getppid()}.part", tmp_path / f"page.{gone.pid}.part"]
    for other in others:
        other.write_text("of others")
    with whole(path) as part:
        part.write_text("page")
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


def test_link_stays_a_link_to_what_is_written(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "page.md", tmp_path / "page.md"
    link.symlink_to(target)
    for text in ("first", "second"):
        with whole(link) as part:
            part.write_text(text)
        assert link.is_symlink() and target.read_text() == text
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(os.devnull), None]
)  # None: a device itself
def test_what_is_no_regular_file_is_refused_and_stays(tmp_path, make):
    path = type(tmp_path)(os.devnull) if make is None else tmp_path / "page.md"
    if make is not None:
        make(path)
    before = path.lstat().st_mode
    with pytest.raises(NotWritten, match="is no regular file"), whole(path):
        pytest.fail("nothing is written")
    assert path.lstat().st_mode == before


def test_file_of_a_folder_that_is_not_there_is_refused(tmp_path):
    path = tmp_path / "none" / "page.md"
    with pytest.raises(NotWritten, match="none is no folder: make it first"), whole(path):
        pytest.fail("nothing is written")


@pytest.mark.faults("a full disk")
@pytest.mark.parametrize(
    ("named", "said"),
    [
        (None, "here/page.md"),
        ("here/page.md.7.part", "here/page.md"),
        ("here/pages/2.md", "here/page.md"),
        ("here", "here/page.md"),
        ("elsewhere/cache", "elsewhere/cache"),
    ],
)
def test_sentence_names_the_file_that_could_not_be_written(tmp_path, named, said):
    file = named and str(tmp_path / named)
    sentence = f"^no space is left to write {tmp_path / said}: "
    with pytest.raises(NotWritten, match=sentence), explained(tmp_path / "here" / "page.md"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file)


@pytest.mark.parametrize("error", [ValueError("no magic"), OSError(errno.EINVAL, "bad seek")])
def test_damage_is_refused_in_the_sentence_of_its_reader(error):
    with (
        pytest.raises(ValueError, match=r"^page\.npz is damaged: .*(magic|seek)"),
        refusing_damage(lambda error: f"page.npz is damaged: {error}"),
    ):
        raise error


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EMFILE, "too many open files")])
def test_what_says_nothing_of_a_file_passes(error):
    with (
        pytest.raises(type(error)) as caught,
        refusing_damage(lambda _: "damaged"),
    ):
        raise error
    assert caught.value is error


def test_damage_shows_itself_by_the_errors_that_are_named():
    with pytest.raises(KeyError), refusing_damage(lambda _: "damaged", (ValueError,)):
        raise KeyError("x")
