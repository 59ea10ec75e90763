r"""Is a degree sequence a power law? Evidence, with what speaks against it beside it.

A tail is :math:`P(k) = k^{-\alpha} / \zeta(\alpha, k_{min})` for :math:`k \ge k_{min}`. A fit alone
proves nothing, nor does its p alone: both exist for a random graph too. Neurons without links are
counted, but no model here has a place for them.
"""

import contextlib
import math
import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy

from .._boundary import check_number
from . import laws
from .laws import ALTERNATIVES

MIN_NEURONS = 50  # with links; fewer, or of fewer different degrees, are outside the domain
MIN_NUMBERS = 3
MIN_TAIL = 10  # neurons that a tail must have to be tried
LARGEST_EXPONENT = 100.0
LONG_TAIL = 50  # neurons
REJECT_BELOW = 0.1  # p of the goodness of fit, and of a likelihood ratio
SCALE_FREE = (2.0, 3.0)  # exponents
CATEGORIES = (  # the highest first: name, and the least value of which share
    ("Strongest", "strong", 0.95),
    ("Strong", "strong", 0.5),
    ("Weak", "long", 0.5),
    ("Weakest", "plausible", 0.5),
    ("Super-Weak", "unbeaten", 0.5),
)


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

    Args:
        degrees: (n,) whole numbers, at least 0.
    Returns: (m,) float64 degrees, (m,) int64 counts.
    Raises: ValueError if a degree is negative, not finite or not a whole number.
    """
    degrees = np.asarray(degrees, dtype=float)
    is_whole = degrees == np.floor(degrees)
    is_number_of_links = is_whole & (degrees >= 0) & (degrees < np.inf)
    wrong = degrees[~is_number_of_links]
    if len(wrong):
        raise ValueError(f"degree {wrong[0]} is not a number of links: give whole numbers from 0")
    k, count = np.unique(degrees[degrees > 0], return_counts=True)
    return k.astype(float), count


def domain(degrees: np.ndarray) -> str:
    r"""Place of a sequence in the domain of the test: "inside", or why not.

    At least 50 neurons with links, of three different degrees, and a mean degree from 2 to
    :math:`\sqrt n`, n and mean of the neurons with links, which are those that are fitted.

    Source: [Broido2019], Methods: graphs with a mean degree below 2 or above :math:`\sqrt n` are
    left out.
    Departs: the first two conditions are not theirs, nor is the use on single layers of a network.

    Args:
        degrees: (n,) whole numbers, at least 0.
    Raises: ValueError as :func:`counts`.
    """
    k, count = counts(degrees)
    if too_small := _too_small(k, count):
        return too_small
    mean = float(np.average(k, weights=count))
    root = count.sum() ** 0.5
    if mean < 2:
        return f"mean degree {mean:.2f} below 2"
    if mean > root:
        return f"mean degree {mean:.1f} above √n = {root:.1f}"
    return "inside"


def _too_small(k: np.ndarray, count: np.ndarray) -> str:
    n = count.sum()
    if n >= MIN_NEURONS and len(k) >= MIN_NUMBERS:
        return ""
    return f"{n} neurons with links, of {len(k)} different numbers of links"


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
    n_tail = _sums_from_here_on(count)
    log_sum = _sums_from_here_on(count * np.log(k))
    tried = np.flatnonzero(n_tail[:-1] >= MIN_TAIL)  # the largest degree alone is no tail
    mean_log = log_sum[tried] / n_tail[tried]
    top = min(LARGEST_EXPONENT, 690 / math.log(k[-1]))  # k^-top is still a normal number
    exponents = _most_likely_exponents(mean_log, k[tried], top)
    i, j = np.nonzero(k >= k[tried][:, None])  # candidate i, degree j of its tail
    model = scipy.special.zeta(exponents[i], k[j]) / scipy.special.zeta(exponents, k[tried])[i]
    distances = np.zeros((len(tried), len(k)))
    distances[i, j] = np.abs(model - n_tail[j] / n_tail[tried][i])
    distances = distances.max(axis=1)  # of Kolmogorov and Smirnov
    best = int(distances.argmin())
    alpha = float(exponents[best])
    n_best = int(n_tail[tried[best]])
    error = math.nan
    if alpha < top:
        error = (alpha - 1) / n_best**0.5
    xmin = int(k[tried[best]])
    return Tail(alpha, error, xmin, n_best, float(distances[best]))


def _sums_from_here_on(values: np.ndarray) -> np.ndarray:
    return np.cumsum(values[::-1])[::-1]


def _most_likely_exponents(mean_log: np.ndarray, xmin: np.ndarray, top: float) -> np.ndarray:
    """The exponents at which the likelihoods of several tails are largest, by Newton's method."""
    exponent = 1 + 1 / (mean_log - np.log(xmin - 0.5))  # [Clauset2009] Eq. (3.7)
    exponent = np.minimum(exponent, top)
    for _ in range(8):
        step = 1e-3 * (exponent - 1)
        near = exponent + step * [[-1], [0], [1]]
        low, here, high = np.log(scipy.special.zeta(near, xmin))
        slope = (high - low) / (2 * step)
        curvature = (high - 2 * here + low) / step**2
        least = 1 + (exponent - 1) / 3
        most = np.minimum(1 + 3 * (exponent - 1), top)
        exponent = np.clip(exponent - (mean_log + slope) / curvature, least, most)
    return exponent


# ---------------------------------------------------------------- draws, and the goodness of fit


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
    total = scipy.special.zeta(exponent, xmin)
    survival = scipy.special.zeta(exponent, k) / total  # P(K >= k), falls from 1
    u = 1 - rng.random(n)  # (0, 1]
    drawn = xmin + np.searchsorted(-survival, -u, side="right") - 1.0
    far = u < survival[-1]
    log_far = np.log(u[far] * (exponent - 1) * total) / (1 - exponent)
    drawn[far] = np.floor(0.5 + np.exp(np.minimum(log_far, math.log(1e15))))
    return drawn


def draw_bounded(
    exponent: float,
    mean: float,
    largest: int,
    n: int,
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    r"""n degrees of a true power law on :math:`k_{min}, \dots, k_{max}`, to see what the test sees.

    :math:`k_{min}` is the one whose mean comes nearest to the wanted one. For exponents from 2.1,
    means from 10 and at most 2,000 links that is within a quarter of it; others may be missed by
    far. A test of power: would a power law of this size have been recognised?

    Args:
        exponent: any, as the law is bounded.
        mean: wanted mean degree, from 1 to ``largest``.
        largest: :math:`k_{max}`, the number of links that a neuron could have.
        n: how many.
        rng: source of randomness.
    Returns: (n,) int64.
    Raises: ValueError if the mean is out of range.
    """
    check_number("mean", mean, f"[1, {largest}]", f"one from 1 to largest = {largest}")
    k = np.arange(1, largest + 1)
    weight = k ** -float(exponent)
    means = _sums_from_here_on(k * weight) / _sums_from_here_on(weight)  # from each xmin on
    first = int(np.abs(means - mean).argmin())
    k, weight = k[first:], weight[first:]
    return rng.choice(k, n, p=weight / weight.sum())


def goodness_of_fit(
    degrees: np.ndarray,
    tail: Tail,
    replicates: int,
    *,
    rng: np.random.Generator,
) -> float:
    r"""p: how often a sequence that does end in the fitted power law fits worse than this one.

    Each replicate has n neurons; each is drawn from the fitted law with probability
    :math:`n_{tail}/n`, else from the neurons below xmin, zeros included. xmin and exponent are
    fitted anew; replicates of fewer than three different numbers count as fitting better.

    Source: [Clauset2009] Section 4.1; there, and here, p < 0.1 rejects the power law.

    Args:
        degrees: (n,) whole numbers.
        tail: of :func:`fit_tail`.
        replicates: at least 1; 1,000 give p to 0.016 (one standard error).
        rng: source of randomness.
    Returns: the share of replicates whose ks_distance is not smaller.
    """
    degrees = np.asarray(degrees)
    body = degrees[degrees < tail.xmin]
    worse = 0
    for _ in range(replicates):
        k, count = counts(_replicate(body, tail, len(degrees), rng=rng))
        if len(k) >= MIN_NUMBERS:  # any law fits fewer
            worse += _fit(k, count).ks_distance >= tail.ks_distance
    return worse / replicates


def _replicate(body: np.ndarray, tail: Tail, n: int, *, rng: np.random.Generator) -> np.ndarray:
    n_tail = rng.binomial(n, tail.n_tail / n)
    drawn = draw(tail.exponent, tail.xmin, n_tail, rng=rng)
    if len(body) == 0:
        return drawn
    below = rng.choice(body, n - n_tail)
    return np.concatenate([drawn, below])


# --------------------------------------------------------------------------- beside other laws


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
    in_tail = k >= tail.xmin
    k, count = k[in_tail], count[in_tail]
    log_p = laws.power_law(k, tail.xmin, [math.log(tail.exponent - 1)])
    rows = []
    for name, law in ALTERNATIVES.items():
        theta = laws.most_likely(law, k, count, tail.xmin)
        gain = log_p - law.log_p(k, tail.xmin, theta)
        ratio = float(count @ gain)
        if name == "cut-off":
            p = float(scipy.stats.chi2.sf(max(-2 * ratio, 0.0), 1))
            if ratio >= 1e-3:  # it contains the power law: a better fit was missed
                ratio = math.nan
        else:
            p = _vuong_p(gain, count, ratio, tail.n_tail)
        rows.append((name, ratio, p, _decision(ratio, p)))
    return pd.DataFrame(rows, columns=["alternative", "ratio", "p", "decision"])


def _vuong_p(gain: np.ndarray, count: np.ndarray, ratio: float, n: int) -> float:
    spread = math.sqrt(count @ (gain - ratio / n) ** 2)
    if not spread > 0:
        return math.nan
    return math.erfc(abs(ratio) / spread / math.sqrt(2))


def _decision(ratio: float, p: float) -> int:
    if math.isnan(ratio):
        return 2
    if p < REJECT_BELOW:
        return int(np.sign(ratio))
    return 0


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
    Raises: ValueError if a degree exceeds ``largest`` or none is above 0, or as :func:`counts`.
    """
    k, count = counts(degrees)
    if len(k) == 0:
        raise ValueError("no degree is above 0: give degrees of neurons with links")
    if k[-1] > largest:
        raise ValueError(f"largest = {largest} is too small: give at least {k[-1]:.0f}")
    criteria = {}
    for name, law in laws.laws_of_all_degrees(largest).items():
        theta = laws.most_likely(law, k, count, 1)
        log_likelihood = float(count @ law.log_p(k, 1, theta))
        criteria[name] = 2 * law.n_parameters - 2 * log_likelihood
    best = np.nanmin(list(criteria.values()))
    return {name: value - best for name, value in criteria.items()}


def fitted_curves(degrees: np.ndarray, tail: Tail) -> pd.DataFrame:
    """Share of the neurons that should have at least k links, by every law fitted to the tail, and
    by the negative binomial law fitted to all degrees above 0.

    Args:
        degrees: (n,) whole numbers.
        tail: of :func:`fit_tail`.
    Returns: columns law, k (from where it was fitted to the largest degree), share (of all n).
    """
    k, count = counts(degrees)
    fits = {"power law": (laws.POWER_LAW, tail.xmin)}
    fits |= {name: (law, tail.xmin) for name, law in ALTERNATIVES.items()}
    fits["negative binomial, all degrees"] = laws.NEGATIVE_BINOMIAL, 1
    curves = []
    for name, (law, xmin) in fits.items():
        fitted = k >= xmin
        theta = laws.most_likely(law, k[fitted], count[fitted], xmin)
        grid = np.arange(xmin, k[-1] + 1)
        p = np.exp(law.log_p(grid, xmin, theta))
        at_least = 1 - p.cumsum() + p
        share = count[fitted].sum() / len(degrees) * at_least
        curves.append(pd.DataFrame({"law": name, "k": grid, "share": share}))
    return pd.concat(curves, ignore_index=True)


# ------------------------------------------------------------------- what others have reported


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
    return float(scipy.stats.spearmanr(k, count, alternative="less").pvalue)


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
    import powerlaw  # it draws, so it imports matplotlib

    k, count = counts(degrees)
    with warnings.catch_warnings(action="ignore"), contextlib.suppress(ValueError):
        fit = powerlaw.Fit(  # warns about each xmin it tries
            k.repeat(count),
            discrete=True,
            estimate_discrete=False,
            verbose=0,
            parameter_ranges={"alpha": [1.01, LARGEST_EXPONENT]},
        )
        law = fit.power_law
        if law.D < 1:
            return float(law.alpha), float(law.xmin)
    return math.nan, math.nan


# ------------------------------------------------------------------------------- the evidence


def evidence(
    degrees: np.ndarray,
    largest: int,
    replicates: int,
    *,
    rng: np.random.Generator,
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
    row = {
        "n": len(degrees),
        "isolated": int((degrees == 0).sum()),
        "domain": domain(degrees),
        "replicates": replicates,
        "rank_p": frequency_correlation(degrees),
    }
    if len(degrees):
        mean = float(degrees.mean())
        ratio = float(degrees.var()) / mean if mean else math.nan
        row |= {"mean": mean, "max": int(degrees.max()), "variance_ratio": ratio}
    try:
        tail = fit_tail(degrees)
    except ValueError:  # too few neurons or numbers, as domain says
        return row
    row |= asdict(tail)
    row["p"] = goodness_of_fit(degrees, tail, replicates, rng=rng)
    table = compare(degrees, tail)
    for name, *found in table.itertuples(index=False):
        row[f"ratio {name}"], row[f"p {name}"], row[f"decision {name}"] = found
    row["unbeaten"] = bool((table["decision"] > -1).all())
    row["strong"] = _is_strong(row)
    criteria = information(degrees, largest)
    row |= {f"aic {name}": delta for name, delta in criteria.items()}
    row["best"] = min(criteria, key=lambda name: np.nan_to_num(criteria[name], nan=np.inf))
    row["package_exponent"], row["package_xmin"] = package_fit(degrees)
    return row


def _is_strong(row: dict[str, Any]) -> bool:
    lowest, highest = SCALE_FREE
    return bool(
        row["p"] >= REJECT_BELOW
        and row["n_tail"] >= LONG_TAIL
        and lowest < row["exponent"] < highest
        and row["unbeaten"]
    )


def category(table: pd.DataFrame) -> dict[str, Any]:
    """The category of a set of degree sequences, and the shares that decide it.

    - Super-Weak: no alternative is favoured, for half of the sequences
    - Weakest: p ≥ 0.1, for half; Weak: and 50 neurons in the tail
    - Strong: and an exponent in (2, 3) and no alternative favoured, for half
    - Strongest: all of that for 95 %, as the authors' code asks

    The highest that holds is named; Super-Weak stands beside this order and comes last.

    Source: [Broido2019], Table 1 and the authors' code.

    Args:
        table: rows of :func:`evidence`; those outside the domain are not counted.
    Returns: category ("Not Scale Free" if none; "outside the test's domain" if no row is inside),
        n (rows), inside (rows inside the domain), and the shares unbeaten, plausible (p ≥ 0.1),
        long (and 50 neurons), strong, of the rows inside.
    """
    inside = table[table["domain"] == "inside"]
    row = {"category": "outside the test's domain", "n": len(table), "inside": len(inside)}
    if inside.empty:
        return row
    plausible = inside["p"] >= REJECT_BELOW
    long = plausible & (inside["n_tail"] >= LONG_TAIL)
    shares = {
        "unbeaten": float(inside["unbeaten"].astype(bool).mean()),
        "plausible": float(plausible.mean()),
        "long": float(long.mean()),
        "strong": float(inside["strong"].astype(bool).mean()),
    }
    reached = (name for name, share, least in CATEGORIES if shares[share] >= least)
    row["category"] = next(reached, "Not Scale Free")
    return row | shares
