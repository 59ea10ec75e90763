"""A store in which nothing is."""

import pytest

from lib.papers import EXPERIMENTS
from lib.runs.records import Store


@pytest.fixture
def store(tmp_path):
    return Store(EXPERIMENTS, tmp_path / "runs", tmp_path / "results")
