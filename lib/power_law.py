r"""Is a degree sequence a power law? Evidence, with what speaks against it beside it.

A tail is :math:`P(k) = k^{-\alpha} / \zeta(\alpha, k_{min})` for :math:`k \ge k_{min}`. A fit alone
proves nothing, nor does its p alone: both exist for a random graph too. Neurons without links are
counted, but no model here has a place for them.
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import powerlaw
from scipy import integrate, optimize, special, stats

MIN_NEURONS = 50  # with links; fewer, or of fewer different degrees, are outside the domain
MIN_NUMBERS = 3
MIN_TAIL = 10  # neurons that a tail must have to be tried
LARGEST_EXPONENT = 100.0
LONG_TAIL = 50  # neurons
REJECT_BELOW = 0.1  # p of the goodness of fit, and of a likelihood ratio
SCALE_FREE = (2.0, 3.0)  # exponents


@dataclass(frozen=True)
class Tail:
    """A fitted power-law tail, see :func:`fit_tail`.

    Source: [Clauset2009] Section 3.
    """

    exponent: float
    standard_error: float
    xmin: int
    n_tail: int
    ks_distance: float


def counts(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different degrees above 0, ascending, and how many neurons have each.

    Source: ours.

    Args:
        degrees: (n,) whole numbers, at least 0.
    Returns: (m,) float64 degrees, (m,) int64 counts.
    Raises: ValueError if a degree is negative, not finite or not a whole number.
    """
    degrees = np.asarray(degrees, dtype=float)
    wrong = degrees[~((degrees >= 0) & (degrees == np.floor(degrees)) & (degrees < np.inf))]
    if len(wrong):
        raise ValueError(f"degree {wrong[0]} is not a number of links: give whole numbers from 0")
    k, count = np.unique(degrees[degrees > 0], return_counts=True)
    return k.astype(float), count


def domain(degrees: np.ndarray) -> str:
    r"""Whether a sequence is in the domain of the test: "inside", or why not.

    At least 50 neurons with links, of three different degrees, and a mean degree from 2 to
    :math:`\sqrt n`, n and mean of the neurons with links, which are those that are fitted.

    Source: [Broido2019], Methods: graphs with a mean degree below 2 or above :math:`\sqrt n` are
    left out.
    Departs: the first two conditions are ours, and so is the use on single layers of a network.

    Args:
        degrees: (n,) whole numbers, at least 0.
    Raises: ValueError as :func:`counts`.
    """
    k, count = counts(degrees)
    if too_small := _too_small(k, count):
        return too_small
    n, mean = count.sum(), float(np.average(k, weights=count))
    if mean < 2:
        return f"mean degree {mean:.2f} below 2"
    return f"mean degree {mean:.1f} above √n = {n**0.5:.1f}" if mean > n**0.5 else "inside"


def _too_small(k: np.ndarray, count: np.ndarray) -> str:
    if count.sum() >= MIN_NEURONS and len(k) >= MIN_NUMBERS:
        return ""
    return f"{count.sum()} neurons with links, of {len(k)} different numbers of links"


# ------------------------------------------------------------------------------------ the fit


def fit_tail(degrees: np.ndarray) -> Tail:
    r"""The power-law tail of a degree sequence, by maximum likelihood.

    .. math:: \ell(\alpha) = -\alpha \sum_{k_i \ge k_{min}} \ln k_i - n_{tail} \ln \zeta(\alpha,
        k_{min})

    :math:`k_{min}` is the degree, of those with at least 10 neurons from there on, that makes the
    Kolmogorov–Smirnov distance :math:`\max_{k \ge k_{min}} |P(K \ge k) - S(k)|` smallest, over the
    degrees k that occur.

    Source: [Clauset2009] Sections 3.1 and 3.3.
    Departs: survival functions are compared as ratios of zeta functions, so that far tails do not
    cancel, and at degrees that occur; :math:`\alpha` is free in (1, 100].

    Args:
        degrees: (n,) whole numbers; zeros are left out.
    Returns: exponent :math:`\alpha`, its asymptotic standard_error
        :math:`(\alpha - 1) / \sqrt{n_{tail}}` (nan where the exponent is at its bound), xmin,
        n_tail (neurons from there on), ks_distance.
    Raises: ValueError if fewer than 50 neurons have links or they have fewer than 3 different
        degrees, or as :func:`counts`.
    """
    k, count = counts(degrees)
    if too_small := _too_small(k, count):
        raise ValueError(
            f"{too_small}: too few for a power-law fit, give at least {MIN_NEURONS} neurons of"
            f" {MIN_NUMBERS} numbers"
        )
    return _fit(k, count)


def _fit(k: np.ndarray, count: np.ndarray) -> Tail:
    n_tail, log_sum = (np.cumsum(a[::-1])[::-1] for a in (count, count * np.log(k)))
    tried = np.flatnonzero(n_tail[:-1] >= MIN_TAIL)  # the largest degree alone is no tail
    mean_log = log_sum[tried] / n_tail[tried]
    top = min(LARGEST_EXPONENT, 690 / math.log(k[-1]))  # k^-top is still a normal number
    exponent = _most_likely(mean_log, k[tried], top)
    i, j = np.nonzero(k >= k[tried][:, None])  # candidate i, degree j of its tail
    model = special.zeta(exponent[i], k[j]) / special.zeta(exponent, k[tried])[i]
    distance = np.zeros((len(tried), len(k)))
    distance[i, j] = np.abs(model - n_tail[j] / n_tail[tried][i])
    ks = distance.max(axis=1)
    best = int(ks.argmin())
    alpha, n_best = float(exponent[best]), int(n_tail[tried[best]])
    error = (alpha - 1) / n_best**0.5 if alpha < top else math.nan
    return Tail(alpha, error, int(k[tried[best]]), n_best, float(ks[best]))


def _most_likely(mean_log: np.ndarray, xmin: np.ndarray, top: float) -> np.ndarray:
    """The exponents at which the likelihoods of several tails are largest, by Newton's method."""
    exponent = np.minimum(1 + 1 / (mean_log - np.log(xmin - 0.5)), top)  # [Clauset2009] Eq. (3.7)
    for _ in range(8):
        step = 1e-3 * (exponent - 1)
        low, here, high = np.log(special.zeta(exponent + step * [[-1], [0], [1]], xmin))
        slope, curvature = (high - low) / (2 * step), (high - 2 * here + low) / step**2
        least, most = 1 + (exponent - 1) / 3, np.minimum(1 + 3 * (exponent - 1), top)
        exponent = np.clip(exponent - (mean_log + slope) / curvature, least, most)
    return exponent


def draw(exponent: float, xmin: int, n: int, *, rng: np.random.Generator) -> np.ndarray:
    """n numbers from the power law that starts at xmin, as float64 whole numbers.

    Source: [Clauset2009] Appendix D, inversion of the distribution.
    Departs: 1,000 numbers after xmin the survival function is that of the continuous law, there
    the same to 10⁻⁶; nothing exceeds 10¹⁵.

    Args:
        exponent: above 1.
        xmin: at least 1.
        n: how many.
    Returns: (n,).
    """
    k = xmin + np.arange(1000)
    total = special.zeta(exponent, xmin)
    survival = special.zeta(exponent, k) / total  # P(K >= k), falls from 1
    u = 1 - rng.random(n)  # (0, 1]
    drawn = xmin + np.searchsorted(-survival, -u, side="right") - 1.0
    far = u < survival[-1]
    log_far = np.log(u[far] * (exponent - 1) * total) / (1 - exponent)
    drawn[far] = np.floor(0.5 + np.exp(np.minimum(log_far, math.log(1e15))))
    return drawn


def goodness_of_fit(
    degrees: np.ndarray, tail: Tail, replicates: int, *, rng: np.random.Generator
) -> float:
    r"""p: how often a sequence that does end in the fitted power law fits worse than this one.

    Each replicate has n neurons; each is drawn from the fitted law with probability
    :math:`n_{tail}/n`, else from the neurons below xmin, zeros included. xmin and exponent are
    fitted anew; replicates of fewer than three different numbers count as fitting better.

    Source: [Clauset2009] Section 4.1; there, and here, p < 0.1 rejects the power law.

    Args:
        degrees: (n,) whole numbers.
        tail: of :func:`fit_tail`.
        replicates: 1,000 give p to 0.016 (one standard error).
        rng: source of randomness.
    Returns: the share of replicates whose ks_distance is not smaller.
    Raises: ValueError if replicates < 1.
    """
    if replicates < 1:
        raise ValueError(f"replicates = {replicates} is out of range: give at least 1")
    body = np.asarray(degrees)[np.asarray(degrees) < tail.xmin]
    worse = 0
    for _ in range(replicates):
        n_tail = rng.binomial(len(degrees), tail.n_tail / len(degrees))
        drawn = draw(tail.exponent, tail.xmin, n_tail, rng=rng)
        rest = rng.choice(body, len(degrees) - n_tail) if len(body) else []
        k, count = counts(np.concatenate([drawn, rest]))
        if len(k) >= MIN_NUMBERS:  # any law fits fewer
            worse += _fit(k, count).ks_distance >= tail.ks_distance
    return worse / replicates


# ------------------------------------------------------------- other laws, on degrees from xmin on

# log P(k | K >= xmin) of each, from the logarithms of its parameters
Law = Callable[[np.ndarray, int, np.ndarray], np.ndarray]


def _power_law(k, xmin, theta):
    alpha = 1 + math.exp(theta[0])
    return -alpha * np.log(k) - np.log(special.zeta(alpha, xmin))


def _exponential(k, xmin, theta):  # on whole numbers it is the geometric law
    rate = math.exp(theta[0])
    return np.log(-np.expm1(-rate)) - rate * (k - xmin)


def _lognormal(k, xmin, theta):  # rounded; mu may be negative and is no logarithm
    mu, sigma = theta[0], math.exp(min(theta[1], 2.5))  # beyond, it is a power law
    below, above = (special.log_ndtr((mu - np.log(k + half)) / sigma) for half in (-0.5, 0.5))
    return (
        below
        + np.log(-np.expm1(above - below))
        - special.log_ndtr((mu - math.log(xmin - 0.5)) / sigma)
    )


def _stretched_exponential(k, xmin, theta):
    rate, beta = np.exp(theta)
    here, next_one = rate * k**beta, rate * (k + 1) ** beta
    return rate * float(xmin) ** beta - here + np.log(-np.expm1(here - next_one))


def _cut_off(k, xmin, theta):
    alpha, rate = np.exp(theta)

    head = np.arange(xmin, xmin + 1000.0)
    terms = head**-alpha * np.exp(-rate * (head - xmin))
    end = head[-1] + 1  # from there on the integral over x = end e^t, and half a term
    last = end**-alpha * math.exp(-rate * (end - xmin))

    def rest(t):
        return math.exp((1 - alpha) * t - rate * end * math.expm1(t))

    far = min(math.log1p(60 / (rate * end)), 60 / max(alpha - 1, 0.1))  # e^-60 is left out
    total = terms.sum() + last * (end * integrate.quad(rest, 0, far, epsabs=0)[0] + 0.5)
    return -alpha * np.log(k) - rate * (k - xmin) - np.log(total)


def _given_links(log_p: Callable, k: np.ndarray) -> np.ndarray:  # K >= 1
    return log_p(k) - np.log(-np.expm1(log_p(0.0)))


def _poisson(k, xmin, theta):
    mean = math.exp(theta[0])
    return _given_links(lambda k: k * theta[0] - mean - special.gammaln(k + 1), k)


def _negative_binomial(k, xmin, theta):
    mean, size = math.exp(theta[0]), math.exp(min(theta[1], 14))  # beyond, it is Poisson's

    def log_p(k):
        choose = special.gammaln(k + size) - special.gammaln(size) - special.gammaln(k + 1)
        return choose - size * math.log1p(mean / size) - k * math.log1p(size / mean)

    return _given_links(log_p, k)


def _binomial(k, xmin, theta, largest):
    share = special.expit(theta[0])
    return _given_links(lambda k: stats.binom.logpmf(k, largest, share), k)


ALTERNATIVES: dict[str, tuple[Law, int]] = {  # with their numbers of parameters
    "exponential": (_exponential, 1),
    "lognormal": (_lognormal, 2),
    "stretched exponential": (_stretched_exponential, 2),
    "cut-off": (_cut_off, 2),
}


def _fit_law(law: Law, n: int, k: np.ndarray, count: np.ndarray, xmin: int) -> np.ndarray:
    """The most likely n parameters; nan if none were found."""

    def loss(theta: Sequence[float]) -> float:
        value = -float(count @ law(k, xmin, theta))
        return value if math.isfinite(value) else math.inf

    how = {"method": "Nelder-Mead", "options": {"xatol": 1e-6, "fatol": 1e-8, "maxiter": 4000}}
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        start = min(product(np.linspace(-8, 5, 14), repeat=n), key=loss)
        best = optimize.minimize(loss, start, **how)
    return best.x if best.success and math.isfinite(best.fun) else np.full(n, np.nan)


def compare(degrees: np.ndarray, tail: Tail) -> pd.DataFrame:
    r"""Likelihood ratios of the power law against four laws on the tail of a degree sequence.

    .. math:: R = \sum_{k_i \ge k_{min}} \ln \frac{p_1(k_i)}{p_2(k_i)}

    R > 0 speaks for the power law. p is Vuong's: how likely a ratio as far from 0 is if both laws
    are equally near the truth; the power law with cut-off (exponent not below 0, where it is the
    exponential) contains the power law and p is that of :math:`\chi^2_1`.

    Source: [Clauset2009] Section 5 and Appendix C; decisions at 0.1 as in [Broido2019].

    Args:
        degrees: (n,) whole numbers.
        tail: of :func:`fit_tail`.
    Returns: rows alternative ("exponential", "lognormal", "stretched exponential", "cut-off"),
        ratio R, p, decision (1 the power law is favoured, -1 the alternative, 0 undecided, 2 the
        alternative could not be fitted).
    """
    k, count = counts(degrees)
    k, count = k[k >= tail.xmin], count[k >= tail.xmin]
    ours = _power_law(k, tail.xmin, [math.log(tail.exponent - 1)])
    rows = []
    for name, (law, n_parameters) in ALTERNATIVES.items():
        theta = _fit_law(law, n_parameters, k, count, tail.xmin)
        gain = ours - law(k, tail.xmin, theta)
        ratio = float(count @ gain)
        if name == "cut-off":
            p = float(stats.chi2.sf(max(-2 * ratio, 0.0), 1))
            ratio = ratio if ratio < 1e-3 else math.nan  # it is nested: a better fit was missed
        else:
            spread = math.sqrt(count @ (gain - ratio / tail.n_tail) ** 2)
            p = math.erfc(abs(ratio) / spread / math.sqrt(2)) if spread > 0 else math.nan
        decision = 2 if math.isnan(ratio) else int(np.sign(ratio)) * (p < REJECT_BELOW)
        rows.append((name, ratio, p, decision))
    return pd.DataFrame(rows, columns=["alternative", "ratio", "p", "decision"])


def information(degrees: np.ndarray, largest: int) -> dict[str, float]:
    r"""Akaike's criterion of six laws on all degrees above 0, less that of the best.

    .. math:: \Delta = AIC - \min AIC, \quad AIC = 2 p - 2 \ln \hat L

    Every law is conditional on at least one link, so that the six see the same data.

    Source: [Akaike1974].

    Args:
        degrees: (n,) whole numbers.
        largest: the number of links that a neuron could have, the n of the binomial law.
    Returns: Δ of poisson, binomial, negative binomial, lognormal, geometric, power law; nan where
        no fit was found.
    Raises: ValueError if a degree exceeds ``largest``, or as :func:`counts`.
    """
    k, count = counts(degrees)
    if not len(k) or k[-1] > largest:
        most = k.max(initial=1)
        raise ValueError(f"largest = {largest} or no degree is above 0: give at least {most:.0f}")
    laws = {
        "poisson": (_poisson, 1),
        "binomial": (partial(_binomial, largest=largest), 1),
        "negative binomial": (_negative_binomial, 2),
        "lognormal": (_lognormal, 2),
        "geometric": (_exponential, 1),
        "power law": (_power_law, 1),
    }
    found = {}
    for name, (law, n_parameters) in laws.items():
        theta = _fit_law(law, n_parameters, k, count, 1)
        found[name] = 2 * n_parameters - 2 * float(count @ law(k, 1, theta))
    best = np.nanmin(list(found.values()))
    return {name: value - best for name, value in found.items()}


# ------------------------------------------------------------------------------- the evidence


def evidence(
    degrees: np.ndarray, largest: int, replicates: int, *, rng: np.random.Generator
) -> dict[str, Any]:
    """Everything above on one degree sequence, as a flat row, and the package's fit beside it.

    *strong* is what a scale-free network needs at once: p ≥ 0.1, 50 neurons in the tail, an
    exponent in (2, 3) and no alternative favoured.

    Source: [Clauset2009]; the conditions of the category Strong of [Broido2019].

    Args:
        degrees: (n,) whole numbers, at least 0.
        largest: the number of links that a neuron could have.
        replicates: of :func:`goodness_of_fit`.
        rng: source of randomness.
    Returns: n, isolated (neurons without links), domain (:func:`domain`), replicates, rank_p
        (:func:`frequency_correlation`), mean, max, variance_ratio (variance to mean); the fields of
        :class:`Tail`; p; "ratio ...", "p ..." and "decision ..." of every alternative; unbeaten (no
        alternative favoured) and strong; "aic ..." of every law, and best, the one with the
        smallest; package_exponent and package_xmin. What needs a tail is left out where none can
        be fitted.
    Raises: ValueError as :func:`counts` and :func:`information`.
    """
    degrees = np.asarray(degrees)
    row = {"n": len(degrees), "isolated": int((degrees == 0).sum()), "domain": domain(degrees)}
    row |= {"replicates": replicates, "rank_p": frequency_correlation(degrees)}
    if len(degrees):
        mean, variance = float(degrees.mean()), float(degrees.var())
        row |= {"mean": mean, "max": int(degrees.max())}
        row["variance_ratio"] = variance / mean if mean else math.nan
    try:
        tail = fit_tail(degrees)
    except ValueError:  # too few neurons or numbers, as domain says
        return row
    row |= asdict(tail) | {"p": goodness_of_fit(degrees, tail, replicates, rng=rng)}
    alternatives = compare(degrees, tail)
    for name, *found in alternatives.itertuples(index=False):
        row |= dict(zip((f"ratio {name}", f"p {name}", f"decision {name}"), found, strict=True))
    row["unbeaten"] = bool((alternatives["decision"] > -1).all())
    plausible = row["p"] >= REJECT_BELOW and tail.n_tail >= LONG_TAIL
    in_range = SCALE_FREE[0] < tail.exponent < SCALE_FREE[1]
    row["strong"] = bool(plausible and in_range and row["unbeaten"])
    laws = information(degrees, largest)
    row |= {f"aic {name}": value for name, value in laws.items()}
    row["best"] = min(laws, key=lambda name: np.nan_to_num(laws[name], nan=np.inf))
    row["package_exponent"], row["package_xmin"] = package_fit(degrees)
    return row


def fitted_curves(degrees: np.ndarray, tail: Tail) -> pd.DataFrame:
    """What share of the neurons should have at least k links, by every law fitted to the tail, and
    by the negative binomial law fitted to all degrees above 0.

    Source: ours, for figures.

    Args:
        degrees: (n,) whole numbers.
        tail: of :func:`fit_tail`.
    Returns: columns law, k (from where it was fitted to the largest degree), share (of all n).
    """
    k, count = counts(degrees)
    laws = {name: (law, n, tail.xmin) for name, (law, n) in ALTERNATIVES.items()}
    laws = {"power law": (_power_law, 1, tail.xmin)} | laws
    laws["negative binomial, all degrees"] = (_negative_binomial, 2, 1)
    parts = []
    for name, (law, n, xmin) in laws.items():
        fitted = k >= xmin
        theta = _fit_law(law, n, k[fitted], count[fitted], xmin)
        grid = np.arange(xmin, k[-1] + 1)
        p = np.exp(law(grid, xmin, theta))
        share = count[fitted].sum() / len(degrees) * (1 - p.cumsum() + p)
        parts.append(pd.DataFrame({"law": name, "k": grid, "share": share}))
    return pd.concat(parts, ignore_index=True)


def frequency_correlation(degrees: np.ndarray) -> float:
    """One-tailed p of the rank correlation between a degree and the number of neurons that have it.

    Source: [Mocanu2018] reports a p below which "no relation" to a power law is rejected and names
    no statistic; this is one that fits its words.
    Departs: not a test of a power law: other laws of falling frequency, as the geometric, pass it.

    Args:
        degrees: (n,) whole numbers; zeros are left out.
    Returns: p that the correlation is not negative; nan with fewer than 3 different degrees, or if
        all are as frequent.
    """
    k, count = counts(degrees)
    if len(k) < MIN_NUMBERS or np.ptp(count) == 0:
        return math.nan
    return float(stats.spearmanr(k, count, alternative="less").pvalue)


def package_fit(degrees: np.ndarray) -> tuple[float, float]:
    r"""Exponent and xmin by the package powerlaw, its range of exponents widened to (1, 100].

    By default its range ends at 3. It computes :math:`P(K \ge k)` as a difference from 1 and
    leaves out tails where that cancels, :math:`k_{min}^{1-\alpha}` below some :math:`10^{-15}`, as
    those of random graphs: there it reports another xmin than :func:`fit_tail`.

    Source: [Alstott2014].

    Args:
        degrees: (n,) whole numbers; zeros are left out.
    Returns: exponent and xmin, nan where the package finds no tail that it can evaluate.
    """
    k, count = counts(degrees)
    how = {"discrete": True, "estimate_discrete": False, "verbose": 0}
    how["parameter_ranges"] = {"alpha": [1.01, LARGEST_EXPONENT]}
    with warnings.catch_warnings(action="ignore"), contextlib.suppress(ValueError):
        law = powerlaw.Fit(k.repeat(count), **how).power_law  # warns about each xmin it tries
        if law.D < 1:
            return float(law.alpha), float(law.xmin)
    return math.nan, math.nan


def category(table: pd.DataFrame) -> dict[str, Any]:
    """The category of a set of degree sequences, and the shares that decide it.

    - Super-Weak: no alternative is favoured, for half of the sequences
    - Weakest: p ≥ 0.1, for half; Weak: and 50 neurons in the tail
    - Strong: and an exponent in (2, 3) and no alternative favoured, for half
    - Strongest: Weak and unbeaten for 90 %, and all of that for 95 %

    The highest that holds is named; Super-Weak stands beside this order and comes last.

    Source: [Broido2019], Table 1 and the authors' code.

    Args:
        table: rows of :func:`evidence`; those outside the domain are not counted.
    Returns: category ("Not Scale Free" if none; "outside the test's domain" if no row is inside),
        n (rows), inside (rows inside the domain), and the shares unbeaten, plausible (p ≥ 0.1),
        long (and 50 neurons), strong, of the rows inside.
    """
    inside = table[table["domain"] == "inside"]
    found = {"category": "outside the test's domain", "n": len(table), "inside": len(inside)}
    if not len(inside):
        return found
    plausible = inside["p"] >= REJECT_BELOW
    long = plausible & (inside["n_tail"] >= LONG_TAIL)
    unbeaten, strong = inside["unbeaten"].astype(bool), inside["strong"].astype(bool)
    parts = {"unbeaten": unbeaten, "plausible": plausible, "long": long, "strong": strong}
    shares = {name: float(part.mean()) for name, part in parts.items()}
    rules = {
        "Strongest": min(shares["unbeaten"], shares["long"]) >= 0.9 and shares["strong"] >= 0.95,
        "Strong": shares["strong"] >= 0.5,
        "Weak": shares["long"] >= 0.5,
        "Weakest": shares["plausible"] >= 0.5,
        "Super-Weak": shares["unbeaten"] >= 0.5,
    }
    name = next((name for name, holds in rules.items() if holds), "Not Scale Free")
    return found | {"category": name} | shares


def draw_bounded(
    exponent: float, mean: float, largest: int, n: int, *, rng: np.random.Generator
) -> np.ndarray:
    r"""n degrees of a true power law on :math:`k_{min}, \dots, k_{max}`, to see what the test sees.

    :math:`k_{min}` is the one whose mean comes nearest to the wanted one, at large means within
    some 15 %.

    Source: ours, a test of power: would a power law of this size have been recognised?

    Args:
        exponent: any, as the law is bounded.
        mean: wanted mean degree, from 1 to ``largest``.
        largest: :math:`k_{max}`, the number of links that a neuron could have.
        n: how many.
        rng: source of randomness.
    Returns: (n,) int64.
    Raises: ValueError if the mean is out of range.
    """
    if not 1 <= mean <= largest:
        raise ValueError(f"mean = {mean} is out of range: give one from 1 to largest = {largest}")
    k = np.arange(1, largest + 1)
    weight = k ** -float(exponent)
    means = np.cumsum((k * weight)[::-1])[::-1] / np.cumsum(weight[::-1])[::-1]  # from each xmin on
    first = int(np.abs(means - mean).argmin())
    return rng.choice(k[first:], n, p=weight[first:] / weight[first:].sum())
