"""Corrupted images: what is measured of a network."""

import dataclasses

from lib.robustness import attacks
from papers.frontier import experiments
from papers.frontier.corruptions import corrupted
from papers.shared import study, trained


def test_accuracy_is_that_on_corrupted_images(store):
    (parent,) = (
        run
        for run in experiments.before_corruption("smoke")
        if (run.method, run.variant) == ("rigl", "tuned")
    )
    record = store.run(dataclasses.replace(parent, epochs=4, density=0.2))
    of_network = experiments.study_of("corrupted", record.config, images=100)
    table, _ = corrupted(of_network, record)
    value = table.set_index(["kind", "severity"])["value"]
    model, (x, y) = trained.network(record), study.images(of_network)
    assert value["none", 0] == (model(x).argmax(1) == y).double().mean() > 0.5
    noisy = attacks.corrupt(x, "impulse_noise", 5, generator=of_network.generator())
    assert value["impulse_noise", 5] == (model(noisy).argmax(1) == y).double().mean()
    assert set(table["kind"]) == {"none", *attacks.CORRUPTIONS} and len(table) == 1 + 14 * 5
    means = table.groupby("severity")["value"].mean()
    assert means[0] > means[1] > means[5]
