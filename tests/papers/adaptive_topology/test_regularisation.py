"""Decay and dropout tried together: the best is chosen."""

from lib.report.frames import tidy
from papers import STORE
from papers.adaptive_topology import experiments


def test_chosen_settings_are_the_best_on_stored_validation_images():
    """Of equal ones the weakest decay, then the weakest dropout."""
    tried = experiments.settings_tried("paper")
    records = STORE.records(tried)
    assert len(records) == len(tried)
    rows = tidy(records, "weight_decay", "dropout")
    rows = rows.query("measure == 'valid_accuracy' and epoch == epochs")
    place = ["method", "dataset"]
    means = rows.groupby([*place, "weight_decay", "dropout"])["value"].mean()
    best = means.groupby(place).idxmax()
    assert {key: setting[2:] for key, setting in best.items()} == experiments.BEST
