"""The benchmark runs in float32, torch's default, and on a small network here."""

import pytest
import torch


@pytest.fixture(autouse=True)
def float64():
    """Not here: what is measured is float32."""


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
