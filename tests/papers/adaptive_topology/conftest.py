"""Fixtures of the robustness studies: digits, and a network of either kind."""

import pytest

from lib import data
from tests.papers.adaptive_topology.measuring import network


@pytest.fixture(scope="session")
def split():
    return data.load("digits")


@pytest.fixture(params=["sparse", "dense"])
def model(request):
    return network({"sparse": 0.1, "dense": None}[request.param])
