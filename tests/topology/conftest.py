"""Links of two layers, and their degrees as records hold them."""

import numpy as np
import pytest

from lib.support import random_support


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
