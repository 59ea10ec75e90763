"""Fixtures of the papers' tests: a store in a folder of the test's own."""

import pytest

from tests.papers import made


@pytest.fixture
def store(tmp_path):
    return made.store(tmp_path)
