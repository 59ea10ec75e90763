"""Studies of networks that are linear, and of layers whose spectrum is that of the images."""

import numpy as np
import pandas as pd
import pytest
import torch

from lib import data
from lib.runs.record import Record
from papers.local_learning import critical, networks, spectra, studies
from papers.local_learning.training import (
    CORRECTED,
    FIELDS,
    RELEASED,
    HiddenNetwork,
    LocalLayer,
)
from papers.shared.study import Study

from .made import attacked, learned, local, network, spectrum

N = 64  # pixels of digits, and units
IMAGES = 60
CLASS = 3  # that the weights of the last epoch answer, whatever the image


@pytest.fixture(autouse=True)
def float32():
    """Layers and networks are learned in it."""
    torch.set_default_dtype(torch.float32)


def digits(n=IMAGES):
    split = data.load("digits")
    return data.stratified(split.x_test.flatten(1).float(), split.y_test, n)


@pytest.fixture(scope="module")
def linear():
    """(10, 64) weights and (10,) biases that tell digits of norm 1 apart, by least squares."""
    split = data.load("digits")
    x = networks.unit_norm(split.x_train.flatten(1).double())
    columns = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    answers = torch.nn.functional.one_hot(split.y_train.long(), 10).double()
    found = torch.linalg.lstsq(columns, answers, driver="gelsd").solution.T.float()
    return found[:, :N], found[:, N]


@pytest.fixture
def classifier(linear):
    """A network that is linear where no pixel is below 0; after the last epoch it answers 3."""
    weight, bias = linear
    last = torch.zeros(10)
    last[CLASS] = 1
    arrays = {
        "state.linear.weight": np.eye(N, dtype=np.float32),
        "state.readout.weight": np.zeros((10, N), np.float32),
        "state.readout.bias": last.numpy(),
        "best.readout.weight": weight.numpy(),
        "best.readout.bias": bias.numpy(),
    }
    run = HiddenNetwork("bio_networks", dataset="digits", n_units=N)
    return Record(run, pd.DataFrame(), arrays, {"architecture": f"{N}-{N}-10"})


def study(parent, experiment="bio_attacks", variant="corrected", **fields):
    run = parent.config
    options = {"images": IMAGES, "steps": 3, "points": 60, "draws": 3} | fields
    return Study(experiment, parent=run, dataset="digits", variant=variant, **options)


# ------------------------------------------------------------------------------ critical norms


def test_no_attack_beats_the_distance_of_a_linear_boundary(classifier, linear):
    table, arrays = studies.fooled(study(classifier), classifier)
    weight, bias = linear
    raw, y = digits()
    index = arrays["index"]
    x, y = networks.unit_norm(raw)[index], y[index].long()
    margins = (x @ weight.T + bias).gather(1, y[:, None]) - (x @ weight.T + bias)  # (m, 10)
    lengths = (weight[y][:, None] - weight).norm(dim=2)
    lengths[torch.arange(len(y)), y] = torch.nan
    distance = (margins / lengths).nan_to_num(torch.inf).amin(1).numpy()
    assert (distance > 0).all() and len(index) > 0.8 * IMAGES
    for attack in ("noise", "fgsm", "pgd"):
        assert (arrays[f"norm.{attack}"] >= 0.999 * distance)[arrays[f"fooled.{attack}"]].all()
    medians = table[table["measure"] == "median"].set_index("attack")["value"]
    assert medians["pgd"] < medians["noise"]


def test_numbers_are_those_of_the_arrays(classifier):
    table, arrays = studies.fooled(study(classifier), classifier)
    rows = table.set_index(["measure", "attack"])["value"]
    assert rows["accuracy", "none"] == pytest.approx(len(arrays["index"]) / IMAGES)
    norms, broken = arrays["norm.pgd"], arrays["fooled.pgd"]
    assert rows["median", "pgd"] == pytest.approx(critical.median(norms, broken), rel=1e-5)
    assert rows["largest tried", "pgd"] == pytest.approx(norms.max(), rel=1e-5)
    assert rows["fooled", "pgd"] == pytest.approx(broken.mean())
    assert "deepfool" in table["attack"].tolist()


def test_as_released_the_last_weights_are_attacked_and_nothing_fools_a_constant(classifier):
    released = study(classifier, variant=RELEASED)
    table, arrays = studies.fooled(released, classifier)
    _, y = digits()
    rows = table.set_index(["measure", "attack"])["value"]
    assert rows["accuracy", "none"] == pytest.approx((y == CLASS).double().mean().item())
    assert rows["fooled", "pgd"] == 0 and np.isnan(rows["median of fooled", "pgd"])
    assert rows["median", "pgd"] == np.inf and "deepfool" not in table["attack"].tolist()


def test_a_network_that_is_always_wrong_leaves_its_accuracy_alone(classifier):
    classifier.arrays["best.readout.weight"] *= -1
    classifier.arrays["best.readout.bias"] *= -1
    table, arrays = studies.fooled(study(classifier), classifier)
    assert table.to_dict("records") == [{"measure": "accuracy", "attack": "none", "value": 0}]
    assert list(arrays) == ["index"] and len(arrays["index"]) == 0


def test_networks_of_notebook_32_see_pixels(classifier):
    model, sees_pixels = studies._attacked(study(classifier, "sparse_attacks"), classifier)
    x, _ = digits()
    inside, _ = studies._attacked(study(classifier), classifier)
    assert sees_pixels
    torch.testing.assert_close(model(x), inside(networks.unit_norm(x)))


# ------------------------------------------------------------------------------------- spectra


@pytest.fixture
def identity():
    """A record of a layer whose overlaps are the pixels."""
    run = LocalLayer("kh", dataset="digits", n_units=N, norm_order=2.0)
    arrays = {"layer.weight": np.eye(N, dtype=np.float32)}
    return Record(run, pd.DataFrame(), arrays, {"architecture": f"{N}-{N}"})


def eigenvalues_of(x):
    return np.linalg.eigvalsh(np.cov(x.double().numpy(), rowvar=False))[::-1]


def test_the_spectrum_of_pixels_is_that_of_the_images(identity):
    _, arrays = studies.spectrum(study(identity, "bio_spectra", images=200), identity)
    desired = eigenvalues_of(networks.unit_norm(digits(200)[0]))
    found = arrays["eigenvalues.linear1.images"]
    np.testing.assert_allclose(found, desired, rtol=1e-3, atol=1e-6 * desired[0])


def test_steep_spectra_do_not_end_in_rounding_errors(identity, generator):
    scales = torch.logspace(0, -4, N)
    rotation, _ = torch.linalg.qr(torch.randn(N, N, generator=generator))
    weight = rotation * scales
    identity.arrays["layer.weight"] = weight.numpy()
    _, arrays = studies.spectrum(study(identity, "bio_spectra", images=200), identity)
    x = networks.unit_norm(digits(200)[0])
    desired = eigenvalues_of(x * scales)  # which a rotation leaves
    steep = (desired < 1e-8 * desired[0]) & (desired > 1e-11 * desired[0])
    assert steep.sum() >= 5
    found = arrays["eigenvalues.linear1.images"]
    np.testing.assert_allclose(found[steep], desired[steep], rtol=0.02)
    rounded = spectra.covariance_eigenvalues(x @ weight.T)  # as float32 would have it
    assert np.abs(rounded[steep] / desired[steep] - 1).max() > 0.1


def test_before_training_the_layer_is_that_of_its_seed(identity):
    _, arrays = studies.spectrum(study(identity, "bio_spectra", images=200), identity)
    start = identity.config.untrained(N)
    desired = eigenvalues_of(networks.unit_norm(digits(200)[0]) @ start.T)
    found = arrays["eigenvalues.linear1.start"]
    np.testing.assert_allclose(found, desired, rtol=1e-3, atol=1e-5 * desired[0])


def test_white_inputs_have_a_flat_spectrum_and_repeats_the_variance_of_the_images(identity):
    _, arrays = studies.spectrum(study(identity, "bio_spectra", images=360), identity)
    noise = arrays["eigenvalues.linear1.noise"]
    edge = (1 + np.sqrt(N / 360)) ** 2  # of Marchenko and Pastur
    assert noise[0] == pytest.approx(edge, rel=0.15) and noise.mean() == pytest.approx(1, rel=0.05)
    total = eigenvalues_of(networks.unit_norm(digits(360)[0])).sum()
    assert arrays["eigenvalues.linear1.repeats"].sum() == pytest.approx(total, rel=0.05)


def test_fits_are_those_of_the_stored_eigenvalues(identity):
    table, arrays = studies.spectrum(study(identity, "bio_spectra", images=200), identity)
    row = table[(table["input"] == "images") & (table["measure"] == "exponent")].iloc[0]
    ranks = np.arange(row["first"], row["last"] + 1)
    chosen = arrays["eigenvalues.linear1.images"][row["first"] - 1 : row["last"]]
    slope = np.polyfit(np.log(ranks), np.log(chosen), 1)[0]
    assert not row["weighted"] and row["value"] == pytest.approx(-slope, rel=1e-3)


def test_images_are_drawn_anew_alike_for_every_layer(identity):
    found = []
    for seed in range(2):
        _, arrays = studies.spectrum(
            Study("bio_spectra", parent=identity.config, dataset="digits", seed=seed, draws=3),
            identity,
        )
        found.append(arrays["draw.exponent.linear1.0"])
    assert len(found[0]) == 3 and len(set(found[0])) == 3
    np.testing.assert_array_equal(found[0], found[1])


# ------------------------------------------------------------------------- what their records say


RANKS = np.arange(1.0, 601.0)


def medians(*records):
    rows = studies.critical_norms(records)
    return rows[rows["measure"] != "accuracy"]


@pytest.mark.parametrize(("variant", "accuracy"), [(CORRECTED, 0.6), (RELEASED, 0.5)])
def test_accuracy_is_that_of_the_epoch_of_the_protocol(variant, accuracy):
    record = attacked("bp", 0, 1.0, variant=variant, accuracy=0.6, last_accuracy=0.5)
    rows = studies.critical_norms([record]).query("measure == 'accuracy'")
    assert rows["value"].tolist() == [accuracy] and set(rows["variant"]) == {variant}


def test_without_a_best_epoch_accuracy_is_that_of_the_last():
    record = attacked("bp", 0, 1.0, last_accuracy=0.5)
    del record.environment["final"]["best_test_accuracy"]
    assert studies.critical_norms([record])["value"].iloc[0] == 0.5


@pytest.mark.parametrize(("reached", "value"), [(True, 3.0), (False, 6.0)])
def test_a_median_that_is_not_reached_is_the_largest_norm_tried(reached, value):
    rows = medians(attacked("bp", 0, 3.0, reached=reached))
    assert rows["value"].tolist() == [value] * 3 and set(rows["reached"]) == {reached}


def test_as_released_medians_are_of_the_images_that_were_fooled():
    rows = medians(attacked("bp", 0, 3.0, variant=RELEASED, reached=False))
    assert rows["value"].tolist() == [3.0] * 3 and rows["reached"].all()


@pytest.mark.parametrize(
    ("run", "seed"),
    [
        (local(3), 3),
        (network("kh", 4, layer=1), 1),
        (attacked("kh", 4, 1.0, layer=1).config, 1),
        (network("bp", 4), 4),
    ],
)
def test_the_layer_below_a_network_and_a_study_is_found(run, seed):
    assert studies.layer_seed(run) == seed


def test_local_learning_on_few_links_is_a_method_of_its_own():
    record = attacked("kh", 0, 1.0, variant="evolving links")
    assert set(studies.critical_norms([record])["method"]) == {"kh_evolving"}


def test_eigenvalues_are_relative_to_the_largest_as_far_as_they_are_drawn():
    record = spectrum(local(), {"images": 2.0}, eigenvalues=[4.0, 1.0, 1e-9, 0.0])
    table = studies.eigenvalues([record])
    assert table["rank"].tolist() == [1, 2] and table["value"].tolist() == [1, 0.25]
    assert set(table["input"]) == {"images"} and set(table["layer"]) == {"linear1"}


@pytest.mark.parametrize(
    ("eigenvalues", "supported"),
    [(RANKS**-2.0, True), (np.exp(-RANKS / 40), False)],
    ids=["power law", "exponential"],
)
def test_laws_are_compared_on_the_stored_eigenvalues(eigenvalues, supported):
    record = spectrum(local(), {"images": 2.0}, eigenvalues=eigenvalues)
    power = studies.laws([record]).query("law == 'power law'")
    assert power["supported"].tolist() == [supported] * 2  # ordinary and weighted


def test_receptive_fields_are_images_with_colours_averaged():
    weights = np.arange(2 * 3 * 4.0).reshape(2, 12)  # two units, 2 x 2 pixels of three colours
    arrays = {f"{FIELDS}10": weights, f"{FIELDS}2": weights + 1, "layer.weight": weights}
    record = learned(arrays)
    found = studies.receptive_fields([record], seed=0, n=1)
    assert studies.receptive_fields([record], seed=1) == {}
    assert list(found) == ["epoch 2", "epoch 10"]
    np.testing.assert_allclose(found["epoch 10"], [[[4, 5], [6, 7]]])


def test_receptive_fields_of_two_layers_of_a_seed_are_refused():
    record = learned({f"{FIELDS}2": np.zeros((2, 12))})
    with pytest.raises(ValueError, match="several layers of seed 0: give those of one variant"):
        studies.receptive_fields([record, record], seed=0)


@pytest.mark.parametrize("noun", [studies.critical_norms, studies.eigenvalues, studies.laws])
def test_without_records_rows_have_their_columns(noun):
    assert noun([]).empty and {"dataset", "method", "seed", "n_units"} <= {*noun([])}
