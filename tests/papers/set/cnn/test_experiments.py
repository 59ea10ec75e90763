"""What is run in which profile."""

import pytest

from papers import STORE
from papers.set.cnn import experiments
from papers.set.cnn.training import TOPS

PAIRED = (
    "experiment",
    "method",
    "learning_rate",
    "er_epsilon",
    "drop",
    "grow",
    "decay",
    "stand_in",
)


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
@pytest.mark.parametrize("runs_of", [experiments.convolutional, experiments.on_features])
def test_tops_of_a_seed_differ_in_their_links_alone(profile, runs_of):
    runs = runs_of(profile)
    for seed in {run.seed for run in runs}:
        of_seed = [run for run in runs if run.seed == seed]
        assert [run.method for run in of_seed] == list(TOPS)
        same = []
        for run in of_seed:
            fields = run.fields_to_write()
            same.append({name: value for name, value in fields.items() if name not in PAIRED})
        assert all(fields == same[0] for fields in same)
        links = {run.method: run.er_epsilon for run in of_seed}
        assert links.pop("dense") is None and len(set(links.values())) == 1


def test_tuning_sees_no_test_images():
    for run in experiments.tuning("paper") + experiments.tuning("smoke"):
        assert run.validation > 0 and not run.evaluate_test


@pytest.mark.parametrize("method", TOPS)
def test_chosen_rate_is_the_best_of_the_stored_ones(method):
    tried = [run for run in experiments.tuning("paper") if run.method == method]
    found = STORE.records(tried)
    assert len(found) == len(experiments.RATES)
    best = max(found, key=lambda record: record.metrics["valid_accuracy"].iloc[-1])
    assert experiments.CHOSEN_RATES[method] == best.config.learning_rate
    assert min(experiments.RATES) < best.config.learning_rate < max(experiments.RATES)
