"""Links of a run start where its reaches say; the control has the same degrees."""

import dataclasses

import numpy as np
import pytest
import torch

from lib import activations, models
from papers.frontier.training import CertifiedTraining, DegreeTraining, StartTraining

LOCAL = StartTraining(
    "made",
    dataset="digits",
    hidden=(128, 64),
    density=0.05,
    reaches=(1, 2),
    drop="magnitude",
    epochs=1,
)
SHUFFLED = dataclasses.replace(LOCAL, shuffled=True)


def supports_at_start(run):
    split = run.split()
    model = run.model(run.widths(split))
    run.prepare_(model, split, None)
    return [layer.support for layer in models.sparse_layers(model).values()]


def distances(support):
    """Of links, along the further side, between neurons on grids of 8 × 8."""
    rows, cols = support.row.long() % 64, support.col.long() % 64
    return torch.maximum((rows // 8 - cols // 8).abs(), (rows % 8 - cols % 8).abs())


def test_links_start_within_the_reach_of_their_layer():
    first, second = supports_at_start(LOCAL)
    assert (first.nnz, second.nnz) == (round(0.05 * 64 * 128), round(0.05 * 128 * 64))
    assert (distances(first).max(), distances(second).max()) == (1, 2)


def test_control_has_the_degrees_of_the_local_start_and_no_places():
    pairs = zip(supports_at_start(LOCAL), supports_at_start(SHUFFLED), strict=True)
    for local, shuffled in pairs:
        assert torch.equal(shuffled.crow, local.crow)
        degrees = local.tcrow.diff().sort().values
        assert torch.equal(shuffled.tcrow.diff().sort().values, degrees)
        assert distances(shuffled).double().mean() > 2 > distances(local).double().mean()


HEAVY = DegreeTraining(
    "made", dataset="digits", hidden=(300, 200), density=0.05, drop="magnitude", exponent=2.5
)


def test_drawn_degrees_are_uneven_on_both_sides_with_as_many_links():
    usual = supports_at_start(dataclasses.replace(HEAVY, exponent=None))
    for heavy, random in zip(supports_at_start(HEAVY), usual, strict=True):
        assert heavy.nnz == random.nnz
        for name in ("crow", "tcrow"):
            k, at_random = (getattr(s, name).diff().double() for s in (heavy, random))
            assert k.var() / k.mean() > 2 * at_random.var() / at_random.mean()


def test_drawn_degrees_follow_the_power_law():
    """Of weights w with p(w > x) = x ** -1.5, that of which 5 % are above is 10 ** (1 / 1.5) times
    the median; of 1,000 its logarithm has a standard deviation of .09, and rounding adds .05.
    """
    wide = dataclasses.replace(HEAVY, hidden=(1000, 1000), density=0.02)
    into = supports_at_start(wide)[1].crow.diff().numpy()
    ratio = np.quantile(into, 0.95) / np.median(into)
    assert np.log(ratio) == pytest.approx(np.log(10) / 1.5, abs=0.3)
    alike = supports_at_start(dataclasses.replace(HEAVY, exponent=1e9))
    assert all(np.ptp(support.crow.diff().numpy()) <= 1 for support in alike)


CERTIFIED = CertifiedTraining("x", certified_radius=0.1, epochs=3)


@pytest.mark.parametrize("run", [LOCAL, HEAVY], ids=["local", "power law"])
def test_start_is_that_of_the_seed(run):
    keys = supports_at_start(run)[1].keys
    assert torch.equal(supports_at_start(dataclasses.replace(run))[1].keys, keys)
    assert not torch.equal(supports_at_start(dataclasses.replace(run, seed=1))[1].keys, keys)


@pytest.mark.parametrize("activation", activations.UNITS)
def test_units_without_bounds_are_refused_before_the_run(activation):
    run = dataclasses.replace(CERTIFIED, activation=activation)
    if activation in ("relu", "leaky_relu", "all_relu", "srelu"):
        run.check()
        return
    dataclasses.replace(run, certified_radius=0.0).check()
    with pytest.raises(ValueError, match=f"activation = '{activation}' has no bounds"):
        run.check()


@pytest.mark.parametrize(
    ("run", "changes", "sentence"),
    [
        (LOCAL, {"reaches": (1,)}, r"reaches = \(1,\) for hidden layers of \(128, 64\): give one"),
        (LOCAL, {"density": None}, r"reaches = \(1, 2\) without a density"),
        (LOCAL, {"parent": LOCAL, "inherits": "support"}, r"reaches = \(1, 2\) and a parent"),
        (LOCAL, {"reaches": (), "shuffled": True}, "shuffled = True without reaches"),
        (HEAVY, {"exponent": 1.0}, "exponent = 1.0 is out of range: give a finite number above 1"),
        (HEAVY, {"density": None, "drop": None}, "exponent = 2.5 without a density or er_epsilon"),
        (HEAVY, {"parent": LOCAL, "inherits": "degrees"}, "exponent = 2.5 and a parent: give one"),
        (CERTIFIED, {"certified_radius": 0.0, "kappa": 0.25}, "kappa = 0.25 is not used by"),
        (CERTIFIED, {"kappa": 2.0}, "kappa = 2.0 is out of range"),
        (
            CERTIFIED,
            {"epochs": 2, "plain_epochs": 1, "growing_epochs": 2},
            "plain_epochs = 1 and growing_epochs = 2 of 2 epochs",
        ),
    ],
)
def test_fields_that_contradict_are_refused(run, changes, sentence):
    run.check()
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(run, **changes).check()


@pytest.mark.parametrize(
    ("run", "image", "sentence"),
    [
        (LOCAL, (64,), r"an example has shape \(64,\)"),
        (
            dataclasses.replace(LOCAL, hidden=(128, 100)),
            (8, 8),
            "100 hidden neurons do not share out over 8 x 8 pixels",
        ),
    ],
)
def test_neurons_without_places_are_refused(run, image, sentence):
    assert LOCAL.grids((3, 8, 8)) == [(3, 8, 8), (2, 8, 8), (1, 8, 8)]
    with pytest.raises(ValueError, match=sentence):
        run.grids(image)
