"""The style of all figures, which are closed after each test."""

import matplotlib.pyplot as plt
import pytest

from lib.report import publishing


@pytest.fixture(autouse=True)
def style():
    publishing.use_style()
    yield
    plt.close("all")
