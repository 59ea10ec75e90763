"""What notebook 15 says is what the records say."""

from itertools import product

import numpy as np
from scipy import stats

import papers
from tests.notebooks.summaries import says_dropouts
from tests.prose import Prose


def links_of(experiment, layer, key, method=None, epoch="final"):
    """Links of each unit of a layer, of every seed, by a key of the run."""
    runs = [study.config.parent for study in papers.STORE.of(experiment, "paper")]
    found = {}
    for record in papers.STORE.records(runs):
        if (
            method in (None, record.config.method)
            and f"{layer}.out_degree.{epoch}" in record.arrays
        ):
            links = record.arrays[f"{layer}.out_degree.{epoch}"].astype(int)
            found.setdefault(key(record.config), []).append(links)
    return found


def correlation(a, b):
    """Spearman's, by its definition."""
    return np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1]


def shared(a, b):
    """Of the quarters of best linked pixels: those in both over those in either."""
    first, second = (set(np.argsort(-links, kind="stable")[: len(a) // 4]) for links in (a, b))
    return len(first & second) / len(first | second)


def centre_over_frame(links):
    image = links.reshape(28, 28)
    inner = image[2:26, 2:26].sum()
    return image[7:21, 7:21].mean() / ((image.sum() - inner) / (28**2 - 24**2))


def test_numbers_of_the_text_are_those_of_the_records():
    text = Prose("15_visible_connectivity")
    networks = links_of("visible_connectivity", "linear1", lambda run: (run.dataset, run.method))
    studies = papers.STORE.of("visible_connectivity", "paper")
    variances = {study.config.dataset: study.arrays["variance"] for study in studies}
    says = text.says
    ends = {}
    for dataset, variance in variances.items():
        for method in ("set", "rigl", "set_random_removal"):
            seeds = [correlation(links, variance) for links in networks[dataset, method]]
            ends[dataset, method] = np.mean(seeds)
    on = [ends["mnist", "set"], ends["mnist", "rigl"]]
    says("ends at {:.2f} for SET and {:.2f} for RigL. Most of that is there by epoch 20", *on)
    assert (variances["fashion_mnist"] > 0).all()
    assert all(abs(ends[dataset, "set_random_removal"]) < 0.02 for dataset in variances)
    says("RigL's links begin to gather by epoch 2, those of SET by epoch 5")
    assert course(variances, 2)["rigl"] > 0.5 and course(variances, 2)["set"] < 0.1
    assert 0.2 < course(variances, 5)["set"] < 0.4
    says("Epoch 1 still has the random links")
    agreement(text, networks)
    of_machines(text)
    unlinked = {}
    for method in ("set", "rigl", "set_random_removal"):
        unlinked[method] = np.mean([(links == 0).sum() for links in networks["mnist", method]])
    assert unlinked["set_random_removal"] == 0
    border = np.mean([1 / centre_over_frame(links) for links in networks["mnist", "set"]])
    says("ends with {:.0f} % of the links of a central one", 100 * border)
    says_dropouts(text)
    assert not text.uncovered()


def course(variances, epoch):
    """Mean rank correlation on MNIST after an epoch, by method."""
    networks = links_of(
        "visible_connectivity", "linear1", lambda run: (run.dataset, run.method), epoch=epoch
    )
    found = {}
    for method in ("set", "rigl"):
        seeds = [correlation(links, variances["mnist"]) for links in networks["mnist", method]]
        found[method] = np.mean(seeds)
    return found


def between(ours, theirs):
    """Correlations of networks of two methods, of different seeds."""
    pairs = product(enumerate(ours), enumerate(theirs))
    return [correlation(a, b) for (seed, a), (other, b) in pairs if seed != other]


def agreement(text, networks):
    """Of pairs of networks."""
    ours, theirs = networks["mnist", "set"], networks["mnist", "rigl"]
    across = np.mean(between(ours, theirs))
    within = np.mean([correlation(a, b) for i, a in enumerate(ours) for b in ours[:i]])
    assert abs(across - within) < 0.02
    assert max(shared(a, b) for a, b in zip(ours, theirs, strict=True)) < 0.5


def of_machines(text):
    machines = links_of("rbm_visible", "links", lambda run: (run.dataset, run.visible_start), "set")
    means, zeros = machines["mnist", "means"], machines["mnist", "zeros"]
    unlinked = np.mean([(links == 0).sum() for links in means])
    text.says("On average over seeds {:.0f} pixels have none", unlinked)
    assert max(centre_over_frame(links) for links in zeros) < 1
    for start in ("means", "zeros"):
        ratios = [centre_over_frame(links) for links in machines["caltech28", start]]
        assert 0.9 < np.mean(ratios) < 1.1
    text.says("fails where they start at 0")
    runs = [
        record for record in papers.STORE.of("set_rbm", "paper") if record.config.hidden[0] == 500
    ]
    nats = {}
    for record in runs:
        run = record.config
        if (run.dataset, run.method) == ("mnist", "set"):
            test = record.environment["final"]["best"]["full"]["test"]
            nats.setdefault(run.visible_start, []).append(test)
    cost = np.mean(nats["zeros"]) - np.mean(nats["means"])
    text.says("costs SET {:.1f} nats on MNIST", cost)
    (epochs,) = {run.config.epochs for run in runs if run.config.dataset == "mnist"}
    text.says("Ours had {} epochs on MNIST, the paper's 5,000", epochs)
