"""Folders that environment variables name."""

import os
from pathlib import Path

import pytest

from lib import _boundary
from lib.data import fetch


@pytest.mark.parametrize(
    ("named", "desired"),
    [("", None), ("runs", Path.cwd() / "runs"), ("~/runs", Path.home() / "runs")],
)
def test_folder_is_absolute_here_and_for_kernels_and_workers(named, desired, monkeypatch):
    monkeypatch.setenv("SPARSE_RUNS_DIR", named)
    assert _boundary.named_folder("SPARSE_RUNS_DIR") == desired
    assert os.environ["SPARSE_RUNS_DIR"] == str(desired or "")


def test_data_sets_lie_in_the_folder_named_where_python_was_started(monkeypatch, tmp_path):
    monkeypatch.setenv("SPARSE_DATA_DIR", "own")
    monkeypatch.chdir(tmp_path)
    desired = tmp_path / "own" / "mnist.npz"
    assert fetch.places("mnist")["SPARSE_DATA_DIR"] == desired
    monkeypatch.chdir("/")
    assert fetch.places("mnist")["SPARSE_DATA_DIR"] == desired
