"""Spectra whose law is known; fits against numpy and weighted least squares by hand."""

import math

import numpy as np
import pytest
import torch

from papers.local_learning import spectra

RANKS = np.arange(1.0, 1001.0)
POWER = 3.0 * RANKS**-1.5
EXPONENTIAL = 3.0 * np.exp(-RANKS / 40)
CUT_OFF = 3.0 * RANKS**-1.0 * np.exp(-RANKS / 60)


def noisy(eigenvalues, rng):
    """With errors of one percent."""
    return np.sort(eigenvalues * np.exp(0.01 * rng.standard_normal(len(eigenvalues))))[::-1]


def drawn(variances, n, generator):
    """n vectors whose units have these variances, turned by a random rotation."""
    size = len(variances)
    rotation, _ = torch.linalg.qr(torch.randn(size, size, generator=generator))
    x = torch.randn(n, size, generator=generator) * torch.as_tensor(variances).sqrt()
    return x @ rotation


# -------------------------------------------------------------------------------- eigenvalues


def test_eigenvalues_are_those_of_numpy_covariance(generator):
    x = torch.randn(50, 8, generator=generator) + 3
    desired = np.linalg.eigvalsh(np.cov(x.numpy(), rowvar=False))[::-1]
    np.testing.assert_allclose(spectra.covariance_eigenvalues(x), desired, rtol=1e-10)


def test_counted_images_are_repeated_images(generator):
    x = torch.randn(20, 5, generator=generator)
    counts = torch.randint(0, 4, (20,), generator=generator)
    repeated = spectra.covariance_eigenvalues(x.repeat_interleave(counts, 0))
    np.testing.assert_allclose(spectra.covariance_eigenvalues(x, counts), repeated, rtol=1e-9)


def test_fewer_images_than_units_cut_the_spectrum(generator):
    x = drawn(RANKS[:60] ** -1.0, 20, generator)
    found = spectra.covariance_eigenvalues(x)
    assert len(found) == 60
    assert (found[:19] > 1e-6).all()
    np.testing.assert_allclose(found[19:], 0, atol=1e-12)


# --------------------------------------------------------------------------------------- fits


@pytest.mark.parametrize("weighted", [False, True])
def test_a_fit_is_that_of_numpy(rng, weighted):
    """Weights of 1 / n are those of Stringer et al."""
    eigenvalues = noisy(CUT_OFF, rng)
    n, log_lambda = RANKS[9:500], np.log(eigenvalues[9:500])
    weights = np.sqrt(1 / n) if weighted else None
    slope, constant = np.polyfit(np.log(n), log_lambda, 1, w=weights)
    found = spectra.fit(eigenvalues, (10, 500), weighted=weighted)
    assert found.exponent == pytest.approx(-slope)
    assert found.log_scale == pytest.approx(constant)
    if not weighted:
        r = np.corrcoef(np.log(n), log_lambda)[0, 1]
        assert found.r_squared == pytest.approx(r**2)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: spectra.covariance_eigenvalues(torch.zeros(1, 5)), "two images or more"),
        (lambda: spectra.covariance_eigenvalues(torch.zeros(5)), "two images or more"),
        (lambda: spectra.covariance_eigenvalues(torch.full((4, 2), torch.inf)), "not finite"),
        (
            lambda: spectra.fit(POWER, (10, 1001)),
            "outside the spectrum: give ranks from 1 to 1000",
        ),
        (
            lambda: spectra.fit(np.append(POWER[:29], 0), (10, 30)),
            "from 1 to 29, of positive eigenvalues",
        ),
        (lambda: spectra.fit(POWER, (0, 50)), "no range"),
        (lambda: spectra.fit(POWER, (10, 11)), "no range"),
        (lambda: spectra.fit(POWER, (50, 10)), "no range"),
    ],
)
def test_what_has_no_spectrum_or_no_fit_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_ranges_outside_the_spectrum_are_left_out():
    found = spectra.ranges_within(POWER[:500])
    assert found.keys() == spectra.RANGES.keys() - {"below 800, of the article"}
    for ranks in found.values():
        for weighted in (False, True):
            fit = spectra.fit(POWER[:500], ranks, weighted=weighted)
            assert fit.exponent == pytest.approx(1.5)


def test_released_range_is_cut_to_a_short_spectrum():
    found = spectra.ranges_within(POWER[:300])
    assert found == {spectra.AS_RELEASED: (10, 300), "10 to 100": (10, 100)}


# --------------------------------------------------------------------------------------- laws


def is_power_law(*arguments, **options):
    table = spectra.compare_laws(*arguments, **options)
    return bool(table.set_index("law").loc["power law", "supported"])


def best(eigenvalues, ranks=(10, 500), **options):
    table = spectra.compare_laws(eigenvalues, ranks, **options)
    return table.loc[table["criterion"].idxmin(), "law"]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("eigenvalues", "law"),
    [(EXPONENTIAL, "exponential"), (CUT_OFF, "cut-off")],
    ids=["exponential", "cut-off"],
)
def test_the_law_that_made_a_spectrum_is_preferred(eigenvalues, law, weighted, rng):
    ranks = (10, 300)
    spectrum = noisy(eigenvalues, rng)
    assert best(spectrum, ranks, weighted=weighted) == law
    assert not is_power_law(spectrum, ranks, weighted=weighted)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_power_law_with_errors_is_hardly_ever_refused(weighted):
    noisy_spectra = [noisy(POWER, np.random.default_rng(seed)) for seed in range(40)]
    called = [is_power_law(one, (10, 300), weighted=weighted) for one in noisy_spectra]
    refused = called.count(False)
    assert refused <= 3  # a rate of 2 % gives more in 1 of 100 cases


def test_the_parameters_of_a_cut_off_are_found():
    table = spectra.compare_laws(CUT_OFF).set_index("law")
    assert table.loc["cut-off", "exponent"] == pytest.approx(1)
    assert table.loc["cut-off", "decay"] == pytest.approx(1 / 60)
    assert not table.loc["power law", "supported"]


def test_white_noise_is_not_called_a_power_law(generator):
    eigenvalues = spectra.covariance_eigenvalues(torch.randn(2000, 400, generator=generator))
    assert not is_power_law(eigenvalues, (10, 300))


def test_no_law_of_the_comparison_rises():
    table = spectra.compare_laws(RANKS**0.5).set_index("law")
    assert (table[["exponent", "decay"]] == 0).all(axis=None)


# ---------------------------------------------------------------------------------- intervals


def test_resampled_spectra_spread_as_independent_ones(generator):
    variances = RANKS[:40] ** -1.0
    alone = []
    for _ in range(40):
        x = drawn(variances, 400, generator)
        alone.append(spectra.fit(spectra.covariance_eigenvalues(x), (2, 30)).exponent)
    draws = spectra.resampled(drawn(variances, 400, generator), 60, generator=generator)
    again = [spectra.fit(eigenvalues, (2, 30)).exponent for eigenvalues in draws]
    assert np.std(again) == pytest.approx(np.std(alone), rel=0.5)  # 40 and 60 draws: 14 % each


def test_an_interval_over_seeds_alone_is_students():
    values = np.array([1.0, 1.2, 1.4])
    found = spectra.over_seeds_and_images(values, np.zeros((3, 10)))
    half = 4.302653 * 0.2 / math.sqrt(3)  # t of 2 degrees of freedom, 97.5 %
    assert (found.low, found.high) == pytest.approx((1.2 - half, 1.2 + half))


def test_the_error_of_images_does_not_shrink_with_seeds(rng):
    shift = 0.1 * rng.standard_normal(200)
    few = spectra.over_seeds_and_images(np.ones(3), np.tile(shift, (3, 1)))
    many = spectra.over_seeds_and_images(np.ones(30), np.tile(shift, (30, 1)))
    assert many.high - 1 == pytest.approx(2.045 * shift.std(ddof=1), rel=1e-3)
    assert few.high > many.high


def test_one_layer_has_no_interval():
    assert spectra.over_seeds_and_images([1.0], np.ones((1, 5))).high == math.inf


# ------------------------------------------------------------------------------------- repeats


def test_repeats_without_noise_have_the_eigenvalues(generator):
    x = torch.randn(60, 7, generator=generator)
    desired = spectra.covariance_eigenvalues(x)
    np.testing.assert_allclose(spectra.cross_validated(x, x), desired, rtol=1e-9)


def test_noise_that_is_not_repeated_is_taken_out(generator):
    signal = drawn(RANKS[:20] ** -1.0, 20_000, generator)
    noise = 0.5 * torch.randn(2, 20_000, 20, generator=generator)
    found = spectra.cross_validated(signal + noise[0], signal + noise[1])
    one = spectra.covariance_eigenvalues(signal + noise[0])
    np.testing.assert_allclose(found[:10], RANKS[:10] ** -1.0, rtol=0.1)
    assert (one[:10] > found[:10] + 0.15).all()  # the noise has the variance .25
