"""Links of some layers, and their degrees as records hold them."""

import numpy as np
import pytest

from lib.support import random_support
from tests.oracles import seeded

WIDTHS = [(6, 8), (8, 7), (7, 4)]


@pytest.fixture
def supports(generator):
    first = random_support(12, 15, 0.2, generator=generator)
    last = random_support(15, 9, 0.2, generator=generator)
    return [first, last]


def names_of(supports, epoch):
    """Degrees of layers as arrays with names."""
    arrays = {}
    for i, support in enumerate(supports, start=1):
        into = support.crow.diff().numpy().astype(np.int16)
        out = support.tcrow.diff().numpy().astype(np.int16)
        arrays[f"linear{i}.in_degree.{epoch}"] = into
        arrays[f"linear{i}.out_degree.{epoch}"] = out
    return arrays


def layered(density, widths=WIDTHS, seed=0):
    """Supports of a random network."""
    generator = seeded(seed)
    return [random_support(*w, density, generator=generator) for w in widths]
