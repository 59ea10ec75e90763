"""Fixtures every test shares: seeded randomness, float64, one thread, Ctrl-C, no data."""

import gc
import signal

import hypothesis
import numpy as np
import pytest
import torch

from lib import data
from lib._compiled import launch
from lib.data import fetch

hypothesis.settings.register_profile("repository", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repository")

# torch and pandas hold a million objects: to look through them as often as by default takes some
# four percent of all tests
gc.set_threshold(200_000, 50, 50)


def pytest_collection_finish():
    """Garbage is not looked for among what has been imported: that takes a second each time."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no GPU")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(params=["numba", "torch"])
def implementation(request):
    """What computes products, units and dropout: compiled loops, then plain torch."""
    with launch.use_implementation(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def float64():
    before = torch.get_default_dtype()
    assert before == torch.float32, "something set a default type and did not restore it"
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def float32(float64):
    """As users have it; networks of whole models and compiled steps are of this type."""
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Ctrl-C reaches the processes that tests start, also where a shell has started the tests in
    the background: there it is ignored, and every process inherits that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id):
    """A folder that all processes of pytest-xdist share; without it, one of this session's."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture
def only_digits(monkeypatch, tmp_path):
    """A machine that has no data set but one, and cannot fetch any."""
    origin = data.origin

    def unavailable(name):
        if name != "digits":
            raise data.DataUnavailable(name)
        return origin(name)

    monkeypatch.setattr(data, "origin", unavailable)
    monkeypatch.setenv("SPARSE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(fetch, "RAW", tmp_path)
