"""Fixtures of what papers share."""

import pytest


@pytest.fixture(autouse=True)
def float64():
    """Runs are made in float32, torch's default, as other processes make them."""
