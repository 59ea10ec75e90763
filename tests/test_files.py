"""Files that appear whole or not at all, whoever else writes them."""

import os
import subprocess
import sys

import pytest

from lib.files import whole

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
