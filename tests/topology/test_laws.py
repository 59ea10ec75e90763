"""Laws are distributions, those of scipy where it has them; their fits have closed forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats

from lib.topology import laws, power_law

TAILS = {"power law": laws.POWER_LAW, **laws.ALTERNATIVES}


@pytest.mark.parametrize("name", TAILS)
@pytest.mark.parametrize("xmin", [1, 500])
def test_law_is_a_distribution(name, xmin):
    k = np.arange(xmin, 10**6, dtype=float)
    theta = [0.9, -1.5]  # exponent 3.46, ...
    if name == "cut-off":
        theta = [1.6, -8.0]  # exponent 4.95, rate 3e-4
    share = np.exp(TAILS[name].log_p(k, xmin, theta)).sum()
    assert_allclose(share, 1, atol=1e-6)


@pytest.mark.parametrize("name", laws.laws_of_all_degrees(90))
def test_law_of_all_degrees_is_a_distribution_from_one_link_on(name):
    law = laws.laws_of_all_degrees(90)[name]
    k = np.arange(1, 10**6, dtype=float)
    with np.errstate(divide="ignore"):  # a binomial variable never exceeds its bound
        share = np.exp(law.log_p(k, 1, [0.9, -1.5])).sum()
    assert_allclose(share, 1, atol=1e-6)


def test_cut_off_without_a_cut_off_is_the_power_law():
    k = np.arange(50.0, 5000)
    actual = laws.cut_off(k, 50, [np.log(2.5), -60.0])
    desired = laws.power_law(k, 50, [np.log(1.5)])
    assert_allclose(actual, desired, rtol=1e-6)


def test_laws_of_the_body_are_those_of_scipy():
    k = np.arange(1.0, 60)
    size, mean = np.exp(0.7), np.exp(2.0)
    oracles = [
        stats.poisson(mean),
        stats.binom(90, special.expit(-1.5)),
        stats.nbinom(size, size / (size + mean)),
    ]
    actual = [
        laws.poisson(k, 1, [2.0]),
        laws.binomial(k, 1, [-1.5], largest=90),
        laws.negative_binomial(k, 1, [2.0, 0.7]),
    ]
    desired = [law.logpmf(k) - law.logsf(0) for law in oracles]
    assert_allclose(actual, desired, rtol=1e-9)


@pytest.mark.parametrize("xmin", [1, 9])
def test_tails_are_those_of_scipy(xmin):
    k = np.arange(xmin, xmin + 60.0)
    rate, beta, sigma = np.exp(-1.5), np.exp(-0.3), np.exp(-0.2)
    geometric = stats.geom(-np.expm1(-rate), loc=xmin - 1)
    rounded = stats.lognorm(sigma, scale=np.exp(2.0))
    cut = stats.weibull_min(beta, scale=rate ** (-1 / beta))
    actual = [
        laws.exponential(k, xmin, [-1.5]),
        laws.lognormal(k, xmin, [2.0, -0.2]),
        laws.stretched_exponential(k, xmin, [-1.5, -0.3]),
    ]
    desired = [
        geometric.logpmf(k),
        np.log((rounded.sf(k - 0.5) - rounded.sf(k + 0.5)) / rounded.sf(xmin - 0.5)),
        np.log((cut.sf(k) - cut.sf(k + 1)) / cut.sf(xmin)),
    ]
    assert_allclose(actual, desired, rtol=1e-6)


@pytest.mark.parametrize("xmin", [1, 9])
def test_stretched_exponential_of_a_tiny_power_is_a_power_law_cut_to_whole_numbers(xmin):
    """With exp(30) (k^beta - xmin^beta) a difference of huge numbers would lose all digits."""
    k = np.arange(xmin, xmin + 1000.0)
    slope = np.exp(0.5)
    desired = -slope * np.log(k / xmin) + np.log(-np.expm1(-slope * np.log1p(1 / k)))
    assert_allclose(laws.stretched_exponential(k, xmin, [30.0, -29.5]), desired, rtol=1e-9)


# fits


def test_criterion_of_the_geometric_law_has_its_closed_form(rng):
    degrees = rng.geometric(0.3, 500)
    share = 1 / degrees.mean()
    likelihood = 500 * np.log(share) + (degrees - 1).sum() * np.log1p(-share)
    k, count = power_law.counts(degrees)
    law = laws.laws_of_all_degrees(1000)["geometric"]
    theta = laws.most_likely(law, k, count, 1)
    fitted = 2 - 2 * count @ law.log_p(k, 1, theta)
    assert_allclose(fitted, 2 - 2 * likelihood, rtol=1e-9)


def test_most_likely_mean_of_poissons_law_has_the_mean_of_the_degrees(rng):
    degrees = rng.poisson(3, 2000)
    k, count = power_law.counts(degrees)
    law = laws.laws_of_all_degrees(1000)["poisson"]
    mean = np.exp(laws.most_likely(law, k, count, 1)[0])
    given_links = mean / -np.expm1(-mean)
    assert_allclose(given_links, degrees[degrees > 0].mean(), rtol=1e-5)


def test_most_likely_power_law_is_the_fitted_tail(rng):
    degrees = rng.zipf(2.5, 2000)
    tail = power_law.fit_tail(degrees)
    k, count = power_law.counts(degrees[degrees >= tail.xmin])
    theta = laws.most_likely(laws.POWER_LAW, k, count, tail.xmin)
    assert_allclose(1 + np.exp(theta[0]), tail.exponent, rtol=1e-5)


def test_law_that_is_nowhere_possible_has_no_parameters():
    never = laws.Law(lambda k, xmin, theta: np.full(len(k), -np.inf), 2)
    theta = laws.most_likely(never, np.array([1.0, 2.0]), np.array([3, 4]), 1)
    assert_array_equal(theta, [np.nan, np.nan])
