"""Power laws are recovered, other laws are not mistaken for one; igraph, powerlaw and scipy as
oracles.
"""

import igraph
import numpy as np
import pandas as pd
import powerlaw
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

from lib.support import random_support
from lib.topology import power_law


def sequence(kind, rng, n=1000):
    """Degrees of a known law."""
    made = {
        "zipf": lambda: rng.zipf(2.5, n),
        "shifted": lambda: power_law.draw(2.5, 8, n, rng=rng),
        "poisson": lambda: rng.poisson(20, n),
        "negative binomial": lambda: rng.negative_binomial(5, 0.2, n),
        "geometric": lambda: rng.geometric(0.1, n),
        "exponential": lambda: 4 + rng.geometric(0.1, n),
        "lognormal": lambda: np.round(np.exp(rng.normal(2, 0.5, n))),
        "stretched exponential": lambda: np.floor(10 * rng.weibull(0.7, 2 * n) + 1)[:n],
        "cut-off": lambda: cut_off(rng, n),
        "binomial": lambda: rng.binomial(100, 0.2, n),
    }
    return made[kind]()


def cut_off(rng, n):
    """A power law of exponent 1.5 from 2 on, each degree k kept with probability exp(-.05 k)."""
    drawn = power_law.draw(1.5, 2, 40 * n, rng=rng)
    return drawn[rng.random(len(drawn)) < np.exp(-0.05 * drawn)][:n]


def igraph_fit(degrees):
    """Its fit, with one replicate of the bootstrap that it cannot leave out."""
    positive = degrees[degrees > 0].astype(int).tolist()
    return igraph.power_law_fit(positive, method="discrete", p_precision=0.5)


# the fit


@pytest.mark.parametrize("exponent", [2.1, 2.5, 3.5])
def test_exponent_of_a_generated_power_law_is_recovered(exponent, rng):
    tail = power_law.fit_tail(rng.zipf(exponent, 5000))
    assert abs(tail.exponent - exponent) < 4 * tail.standard_error  # four standard errors


@pytest.mark.parametrize("kind", ["zipf", "shifted", "poisson", "negative binomial", "lognormal"])
def test_fit_is_that_of_igraph(kind, rng):
    degrees = sequence(kind, rng)
    tail = power_law.fit_tail(degrees)
    oracle = igraph_fit(degrees)
    assert tail.xmin == oracle.xmin
    assert_allclose(tail.exponent, oracle.alpha, 2e-4)
    assert_allclose(tail.ks_distance, oracle.D, 2e-4)


def test_far_tail_of_random_degrees_is_not_lost(rng):
    degrees = rng.poisson(45, 3800) + 1
    tail = power_law.fit_tail(degrees)
    oracle = igraph_fit(degrees)
    assert tail.xmin == oracle.xmin > 50
    assert tail.exponent > 10
    _, xmin = power_law.package_fit(degrees)
    assert xmin < tail.xmin  # the package cannot evaluate the tail


def test_tail_is_that_of_its_definition(rng):
    degrees = sequence("zipf", rng)
    tail = power_law.fit_tail(degrees)
    above = degrees[degrees >= tail.xmin]
    k = np.unique(above)
    shares = (above >= k[:, None]).mean(axis=1)
    model = special.zeta(tail.exponent, k) / special.zeta(tail.exponent, tail.xmin)
    distance = np.abs(shares - model).max()
    error = (tail.exponent - 1) / len(above) ** 0.5
    assert tail.n_tail == len(above) >= 10
    assert_allclose(tail.ks_distance, distance, rtol=1e-9)
    assert_allclose(tail.standard_error, error)


# drawing and goodness of fit


@pytest.mark.parametrize(("exponent", "xmin"), [(2.1, 1), (2.5, 8), (12.0, 50)])
def test_draws_follow_the_law(exponent, xmin, rng):
    drawn = power_law.draw(exponent, xmin, 100_000, rng=rng)
    k = xmin + np.array([0, 1, 5, 30, 2000])  # the last lies where the continuous law takes over
    desired = special.zeta(exponent, k) / special.zeta(exponent, xmin)
    actual = (drawn[:, None] >= k).mean(axis=0)
    error = np.sqrt(desired * (1 - desired) / len(drawn))
    assert (np.abs(actual - desired) <= 4 * error + 1e-12).all()
    assert (drawn == np.floor(drawn)).all()


def test_true_power_law_is_plausible_and_a_gap_is_not(rng):
    true = sequence("shifted", rng)
    gap = np.repeat([1, 2, 3, 40], [400, 150, 60, 390])
    p = []
    for degrees in (true, gap):
        tail = power_law.fit_tail(degrees)
        p.append(power_law.goodness_of_fit(degrees, tail, 100, rng=rng))
    assert p[0] >= 0.1 > p[1]


@pytest.mark.slow
def test_p_is_uniform_for_a_true_power_law():
    rng, p = np.random.default_rng(5), []
    for _ in range(100):  # of a law from 1 on; from 8 on p is somewhat larger, as any xmin will do
        degrees = sequence("zipf", rng, 500)
        tail = power_law.fit_tail(degrees)
        p.append(power_law.goodness_of_fit(degrees, tail, 100, rng=rng))
    assert stats.kstest(p, "uniform").pvalue > 0.001
    assert stats.binomtest(sum(x < 0.1 for x in p), 100, 0.1).pvalue > 0.001


def test_replicates_that_fit_as_badly_count(monkeypatch):
    degrees = np.repeat([1, 2, 3], [47, 3, 1])
    tail = power_law.fit_tail(degrees)
    monkeypatch.setattr(power_law, "_replicate", lambda *args, **options: degrees)
    assert power_law.goodness_of_fit(degrees, tail, 2, rng=None) == 1


def test_the_tail_of_a_replicate_is_binomial(rng):
    tail = power_law.Tail(2.5, 0.1, 8, 300, 0.1)
    sizes = []
    for _ in range(200):
        drawn = power_law._replicate(np.ones(700), tail, 1000, rng=rng)
        sizes.append((drawn >= 8).sum())
    spread = np.sqrt(1000 * 0.3 * 0.7)
    assert np.std(sizes) == pytest.approx(spread, rel=4 / np.sqrt(2 * 200))
    assert np.mean(sizes) == pytest.approx(300, abs=4 * spread / np.sqrt(200))


# alternatives


def test_replicates_of_one_number_do_not_stop_the_bootstrap(rng):
    degrees = np.repeat([1, 2, 3], [47, 3, 1])
    tail = power_law.fit_tail(degrees)
    assert 0 <= power_law.goodness_of_fit(degrees, tail, 200, rng=rng) <= 1


def ratios(degrees, tail):
    """The likelihood ratios, a row by name."""
    return power_law.compare(degrees, tail).set_index("alternative")


@pytest.mark.parametrize("kind", ["zipf", "geometric"])
def test_ratio_to_the_exponential_is_that_of_the_package(kind, rng):
    degrees = sequence(kind, rng)
    tail = power_law.fit_tail(degrees)
    fit = powerlaw.Fit(
        degrees[degrees >= tail.xmin], xmin=tail.xmin, discrete=True, estimate_discrete=False,
        verbose=0, parameter_ranges={"alpha": [1.01, 100]},
    )  # fmt: skip
    desired = fit.distribution_compare("power_law", "exponential")
    row = ratios(degrees, tail).loc["exponential"]
    actual = row["ratio"], row["p"]
    assert_allclose(actual, desired, rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("kind", list(power_law.ALTERNATIVES))
def test_ratio_favours_the_law_that_made_the_degrees(kind, rng):
    degrees = sequence(kind, rng, 5000)
    degrees = degrees[degrees >= 4]
    k, count = power_law.counts(np.minimum(degrees, 10**6))
    exponent = power_law._fit(k, count).exponent
    whole = power_law.Tail(exponent, 0.1, 4, len(degrees), 0.1)  # the tail is all of them
    row = ratios(degrees, whole).loc[kind]
    assert row["ratio"] < 0
    assert row["decision"] == -1


def test_a_missed_fit_of_the_cut_off_decides_nothing(rng, monkeypatch):
    degrees = sequence("shifted", rng)
    tail, most_likely = power_law.fit_tail(degrees), power_law.laws.most_likely

    def missed(law, *data):
        return most_likely(law, *data) + (law is power_law.ALTERNATIVES["cut-off"])

    monkeypatch.setattr(power_law.laws, "most_likely", missed)
    row = ratios(degrees, tail).loc["cut-off"]
    assert np.isnan(row["ratio"]) and row["decision"] == 2


def test_no_alternative_beats_a_true_power_law(rng):
    degrees = sequence("shifted", rng, 3000)
    table = ratios(degrees, power_law.fit_tail(degrees))
    assert table.loc["exponential", "decision"] == 1
    assert (table["decision"] > -1).all()
    assert table.loc["cut-off", "ratio"] <= 0  # it contains the power law


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("binomial", "binomial"), ("negative binomial", "negative binomial"), ("zipf", "power law"),
    ],
)  # fmt: skip
def test_criterion_finds_the_law_that_made_the_degrees(kind, name, rng):
    degrees = sequence(kind, rng, 4000)
    largest = 100 if kind == "binomial" else int(degrees.max())
    criteria = power_law.information(degrees, largest)
    assert min(criteria.values()) == 0
    assert criteria[name] < 4  # two parameters more cost at most 4
    assert kind == "zipf" or criteria["power law"] > 50


def test_fitted_curves_begin_at_the_share_of_the_tail_and_follow_the_degrees(rng):
    degrees = np.append(sequence("shifted", rng), np.zeros(100))
    tail = power_law.fit_tail(degrees)
    table = power_law.fitted_curves(degrees, tail)
    curves = table.set_index(["law", "k"])["share"]
    twice = 2 * tail.xmin
    survival = special.zeta(tail.exponent, twice) / special.zeta(tail.exponent, tail.xmin)
    share = tail.n_tail / 1100
    assert_allclose(curves["power law", tail.xmin], share)
    assert_allclose(curves["power law", twice], share * survival, rtol=1e-4)
    assert set(power_law.ALTERNATIVES) < set(curves.index.levels[0])


# rank correlation


@pytest.mark.parametrize("kind", ["zipf", "poisson"])
def test_rank_correlation_is_that_of_degrees_and_their_frequencies(kind, rng):
    degrees = np.append(sequence(kind, rng), np.zeros(30))
    k = np.array(sorted(set(degrees) - {0}))
    count = (degrees == k[:, None]).sum(axis=1)
    statistic, two_sided = stats.spearmanr(k, count)
    desired = two_sided / 2
    if statistic >= 0:
        desired = 1 - desired
    actual = power_law.frequency_correlation(degrees)
    assert_allclose(actual, desired, rtol=1e-9)


@pytest.mark.parametrize(
    "degrees", [[], np.zeros(9), np.full(99, 7), [1, 1, 1, 2], np.arange(60), [3, 3, 4, 4, 5, 5]]
)
def test_rank_correlation_is_nan_where_it_is_undefined(degrees):
    assert np.isnan(power_law.frequency_correlation(np.array(degrees)))


def test_rank_correlation_is_not_significant_for_a_rising_frequency():
    degrees = np.repeat(range(1, 6), [1, 5, 10, 20, 50])
    assert_allclose(power_law.frequency_correlation(degrees), 1)


# evidence and categories


def test_random_layer_is_not_called_scale_free(generator, rng):
    support = random_support(1000, 1000, 0.01, generator=generator)
    row = power_law.evidence(support.crow.diff().numpy(), 1000, 50, rng=rng)
    assert row["domain"] == "inside"
    assert not row["strong"]
    assert row["exponent"] > 3


@pytest.mark.ci
def test_most_power_laws_of_the_size_of_a_layer_are_recognised(rng):
    drawn = [power_law.draw_bounded(2.5, 20, 2000, 1000, rng=rng) for _ in range(6)]
    n_strong = 0
    for degrees in drawn:
        n_strong += power_law.evidence(degrees, 2000, 50, rng=rng)["strong"]
    assert n_strong > 3  # 2.5 lies ten standard errors inside (2, 3)


@pytest.mark.parametrize(
    ("degrees", "reason"),
    [
        (np.full(100, 7), "of 1 different"),
        (np.arange(1, 20), "19 neurons"),
        (np.zeros(100), "0 neurons"),
        (np.array([]), "0 neurons"),
        (np.repeat([0, 1, 2, 3], [900, 60, 10, 5]), "mean degree 1.27 below 2"),
        (np.repeat([30, 31, 32], 30), "mean degree 31.0 above √n = 9.5"),
    ],
    ids=["equal", "few", "zeros", "none", "thin", "dense"],
)
def test_degenerate_degrees_are_outside_the_domain(degrees, reason, rng):
    row = power_law.evidence(degrees, 1000, 5, rng=rng)
    assert reason in row["domain"]
    assert not row.get("strong", False)


TO_99 = np.arange(100.0)
REFUSED = [
    (lambda rng: power_law.fit_tail(np.full(100, 7)), "too few for a power-law fit"),
    (lambda rng: power_law.fit_tail(np.arange(1, 20)), "too few for a power-law fit"),
    (lambda rng: power_law.fit_tail(np.append(TO_99, -1)), "is not a number of links"),
    (lambda rng: power_law.domain(np.append(TO_99, 2.5)), "is not a number of links"),
    (lambda rng: power_law.counts(np.append(TO_99, np.nan)), "is not a number of links"),
    (lambda rng: power_law.information(TO_99, 5), "largest = 5 is too small: give at least 99"),
    (lambda rng: power_law.information(np.zeros(100), 10), "^no degree is above 0: give degrees"),
    (lambda rng: power_law.draw_bounded(2.5, 0.5, 20, 10, rng=rng), "mean = 0.5 is out of range"),
    (lambda rng: power_law.draw_bounded(2.5, 30, 20, 10, rng=rng), "mean = 30 is out of range"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_cannot_be_fitted_or_drawn_is_refused(call, sentence, rng):
    with pytest.raises(ValueError, match=sentence):
        call(rng)


def test_isolated_neurons_are_counted_and_left_out_of_the_fit(rng):
    degrees = sequence("zipf", rng, 300)
    with_zeros = np.append(degrees, np.zeros(40))
    row = power_law.evidence(with_zeros, int(degrees.max()), 5, rng=rng)
    assert (row["n"], row["isolated"]) == (340, 40)
    assert power_law.fit_tail(with_zeros) == power_law.fit_tail(degrees)


def rows(n, **changes):
    """n sequences that meet every condition, but for the changes."""
    good = {"domain": "inside", "p": 0.5, "n_tail": 80, "unbeaten": True, "strong": True}
    return pd.DataFrame([good | changes] * n)


@pytest.mark.parametrize(
    ("spoiled", "strong"),
    [
        ({}, True),
        ({"p": 0.099}, False),
        ({"n_tail": 49}, False),
        ({"exponent": 2.0}, False),
        ({"exponent": 3.0}, False),
        ({"unbeaten": False}, False),
    ],
)
def test_strong_needs_every_condition(spoiled, strong):
    least = {"p": 0.1, "n_tail": 50, "exponent": 2.5, "unbeaten": True}
    assert power_law._is_strong(least | spoiled) is strong


@pytest.mark.parametrize(
    ("bad", "n_bad", "expected"),
    [
        ({}, 0, "Strongest"),
        ({"strong": False}, 1, "Strongest"),
        ({"strong": False}, 2, "Strong"),
        ({"strong": False}, 10, "Strong"),
        ({"strong": False}, 11, "Weak"),
        ({"strong": False, "n_tail": 49}, 11, "Weakest"),
        ({"strong": False, "p": 0.09}, 11, "Super-Weak"),
        ({"strong": False, "p": 0.09, "unbeaten": False}, 11, "Not Scale Free"),
        ({"domain": "dense"}, 20, "outside the test's domain"),
    ],
)
def test_category_of_constructed_cases(bad, n_bad, expected):
    table = pd.concat([rows(20 - n_bad), rows(n_bad, **bad)])
    assert power_law.category(table)["category"] == expected


def test_category_leaves_out_what_is_outside_the_domain():
    outside = rows(5, domain="dense", strong=False)
    row = power_law.category(pd.concat([rows(3), outside]))
    assert (row["n"], row["inside"], row["strong"]) == (8, 3, 1.0)


@pytest.mark.parametrize("exponent", [2.1, 2.9])
def test_bounded_power_law_has_its_bounds_and_nearly_its_mean(exponent, rng):
    degrees = power_law.draw_bounded(exponent, 20, 2000, 50_000, rng=rng)
    assert degrees.min() > 1 and degrees.max() <= 2000
    assert abs(degrees.mean() - 20) < 3  # the start is a whole number
