"""The rates of the tops are those that were best."""

import pytest

from papers import STORE
from papers.set.cnn import experiments
from papers.set.cnn.training import TOPS


@pytest.mark.parametrize("method", TOPS)
def test_chosen_rate_is_the_best_of_the_stored_ones(method):
    tried = [run for run in experiments.tuning("paper") if run.method == method]
    found = STORE.records(tried)
    assert len(found) == len(experiments.RATES)
    best = max(found, key=lambda record: record.metrics["valid_accuracy"].iloc[-1])
    assert experiments.CHOSEN_RATES[method] == best.config.learning_rate
    assert min(experiments.RATES) < best.config.learning_rate < max(experiments.RATES)
