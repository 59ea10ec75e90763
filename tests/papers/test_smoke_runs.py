"""Experiments that no notebook shows, itself or as a parent, run in the profile "smoke"."""

import pytest
import torch

from lib.command import notebooks
from lib.runs.records import Store
from papers import EXPERIMENTS

pytestmark = pytest.mark.ci


def not_shown():
    """The names of these."""
    names = {name for path in notebooks.find() for name in notebooks.needed(path)}
    for name in list(names):
        names |= set(EXPERIMENTS[name].parents)
    return sorted(set(EXPERIMENTS) - names)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    return Store(EXPERIMENTS, folder / "runs", folder / "results")


@pytest.fixture
def as_runs_are_made():
    """In float32, as outside of tests."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(usual)


@pytest.mark.parametrize("name", not_shown())
def test_every_run_is_made_and_shipped(store, as_runs_are_made, name):
    for run in EXPERIMENTS[name].runs("smoke"):
        record = store.run(run)
        assert len(record.metrics)
        store.ship(record)
        assert store.stored(run).config == run.resolved()
