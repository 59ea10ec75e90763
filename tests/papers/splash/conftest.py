"""A store in which nothing is."""

import pytest

from lib.runs.records import Store
from papers import EXPERIMENTS


@pytest.fixture
def store(tmp_path):
    return Store(EXPERIMENTS, tmp_path / "runs", tmp_path / "results")
