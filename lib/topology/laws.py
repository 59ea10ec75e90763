r"""Probability laws of a number of links k, and their most likely parameters.

A law is given by :math:`\ln P(k \mid K \ge k_{min})` as a function of its parameters ``theta``,
which may be any numbers: logarithms of those that the law is known by. Laws of tails start at
:math:`k_{min}`; laws of all degrees are conditional on at least one link, whatever xmin is.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported where they are first used
from scipy.special import gammaln

Array = np.ndarray
Theta = Sequence[float]
LogProbability = Callable[[Array, int, Theta], Array]


class Law(NamedTuple):
    """A probability law: ln P(k | K >= xmin) of (k, xmin, theta), and how many theta are."""

    log_p: LogProbability
    n_parameters: int


# --------------------------------------------------------------------- laws of tails, from xmin on


def power_law(k: Array, xmin: int, theta: Theta) -> Array:
    r"""The power law of the exponent :math:`\alpha = 1 + e^{\theta_0}`.

    .. math:: P(k) = k^{-\alpha} / \zeta(\alpha, k_{min})

    Source: [Clauset2009] Section 3.1.
    """
    alpha = 1 + math.exp(theta[0])
    return -alpha * np.log(k) - np.log(scipy.special.zeta(alpha, xmin))


def exponential(k: Array, xmin: int, theta: Theta) -> Array:
    r"""The exponential law of the rate :math:`\lambda = e^{\theta_0}`; on whole numbers it is the
    geometric law.

    .. math:: P(k) = (1 - e^{-\lambda}) \, e^{-\lambda (k - k_{min})}

    Source: an alternative of [Clauset2009] Section 5.
    """
    rate = math.exp(theta[0])
    return _log1mexp(-rate) - rate * (k - xmin)


def lognormal(k: Array, xmin: int, theta: Theta) -> Array:
    r"""The lognormal law, rounded to whole numbers, of :math:`\mu = \theta_0` (which may be
    negative and is no logarithm) and :math:`\sigma = e^{\theta_1}`.

    .. math:: P(k) = \frac{S(k - \tfrac12) - S(k + \tfrac12)}{S(k_{min} - \tfrac12)}, \qquad
        S(x) = \Phi\Big(\frac{\mu - \ln x}{\sigma}\Big)

    Source: an alternative of [Clauset2009] Section 5, here of a variable that is then rounded.
    """
    mu = theta[0]
    sigma = math.exp(min(theta[1], 2.5))  # beyond, it is a power law
    below = scipy.special.log_ndtr((mu - np.log(k - 0.5)) / sigma)
    above = scipy.special.log_ndtr((mu - np.log(k + 0.5)) / sigma)
    start = scipy.special.log_ndtr((mu - math.log(xmin - 0.5)) / sigma)
    return below + _log1mexp(above - below) - start


def stretched_exponential(k: Array, xmin: int, theta: Theta) -> Array:
    r"""The stretched exponential law of :math:`\lambda = e^{\theta_0}` and
    :math:`\beta = e^{\theta_1}`, on whole numbers.

    .. math:: P(k) = \big(e^{-\lambda k^\beta} - e^{-\lambda (k + 1)^\beta}\big)
        \, e^{\lambda k_{min}^\beta}

    Source: an alternative of [Clauset2009] Section 5, here of a variable that is then cut to whole
    numbers.
    """
    rate, beta = np.exp(theta)
    since_xmin = rate * float(xmin) ** beta * np.expm1(beta * np.log(k / xmin))
    until_next = rate * k**beta * np.expm1(beta * np.log1p(1 / k))
    return _log1mexp(-until_next) - since_xmin


def cut_off(k: Array, xmin: int, theta: Theta) -> Array:
    r"""The power law with cut-off, of :math:`\alpha = e^{\theta_0}` and
    :math:`\lambda = e^{\theta_1}`.

    .. math:: P(k) \propto k^{-\alpha} e^{-\lambda k}

    Source: an alternative of [Clauset2009] Section 5.
    """
    alpha, rate = np.exp(theta)
    total = _cut_off_total(alpha, rate, xmin)
    log_p = -alpha * np.log(k) - rate * (k - xmin)
    return log_p - np.log(total)


def _cut_off_total(alpha: float, rate: float, xmin: int) -> float:
    """Sum of k^-alpha e^(-rate (k - xmin)) from xmin on: 1,000 terms, then an integral."""
    head = np.arange(xmin, xmin + 1000.0)
    terms = head**-alpha * np.exp(-rate * (head - xmin))
    end = head[-1] + 1  # from there on the integral over x = end e^t, and half a term
    last = end**-alpha * math.exp(-rate * (end - xmin))
    total = terms.sum()
    if last * (1 / rate + 0.5) < 1e-17 * total:  # more than all that follows, and rounded away
        return total

    def relative(t: float) -> float:
        return math.exp((1 - alpha) * t - rate * end * math.expm1(t))

    far_by_rate = math.log1p(60 / (rate * end))  # e^-60 is left out
    far_by_exponent = 60 / max(alpha - 1, 0.1)
    far = min(far_by_rate, far_by_exponent)
    integral, _ = scipy.integrate.quad(relative, 0, far, epsabs=0)
    return total + last * (end * integral + 0.5)


# ---------------------------------------------------- laws of all degrees, given at least one link


def poisson(k: Array, xmin: int, theta: Theta) -> Array:
    r"""Poisson's law of the mean :math:`e^{\theta_0}`, given at least one link."""
    mean = math.exp(theta[0])

    def log_p(k: Array) -> Array:
        return k * theta[0] - mean - gammaln(k + 1)

    return _given_links(log_p, k)


def negative_binomial(k: Array, xmin: int, theta: Theta) -> Array:
    r"""The negative binomial law of the mean :math:`e^{\theta_0}` and the size
    :math:`e^{\theta_1}`, given at least one link.
    """
    mean = math.exp(theta[0])
    size = math.exp(min(theta[1], 14))  # beyond, it is Poisson's

    def log_p(k: Array) -> Array:
        choose = gammaln(k + size) - gammaln(size) - gammaln(k + 1)
        without = size * math.log1p(mean / size)  # -ln P(0)
        per_link = math.log1p(size / mean)
        return choose - without - k * per_link

    return _given_links(log_p, k)


def binomial(k: Array, xmin: int, theta: Theta, largest: int) -> Array:
    r"""The binomial law of ``largest`` trials, each a link with probability
    :math:`1 / (1 + e^{-\theta_0})`, given at least one link.
    """
    share = scipy.special.expit(theta[0])

    def log_p(k: Array) -> Array:
        return scipy.stats.binom.logpmf(k, largest, share)

    return _given_links(log_p, k)


def _given_links(log_p: Callable, k: Array) -> Array:  # K >= 1
    log_any = _log1mexp(log_p(0.0))
    return log_p(k) - log_any


def _log1mexp(x: Array) -> Array:
    """ln(1 - e^x) for x below 0, without cancellation."""
    return np.log(-np.expm1(x))


# -------------------------------------------------------------------------- sets of laws, and fits

POWER_LAW = Law(power_law, 1)
NEGATIVE_BINOMIAL = Law(negative_binomial, 2)
ALTERNATIVES = {  # to the power law, in the tail
    "exponential": Law(exponential, 1),
    "lognormal": Law(lognormal, 2),
    "stretched exponential": Law(stretched_exponential, 2),
    "cut-off": Law(cut_off, 2),
}


def laws_of_all_degrees(largest: int) -> dict[str, Law]:
    """Laws that all degrees above 0 could follow, where a neuron could have ``largest`` links."""
    return {
        "poisson": Law(poisson, 1),
        "binomial": Law(partial(binomial, largest=largest), 1),
        "negative binomial": NEGATIVE_BINOMIAL,
        "lognormal": Law(lognormal, 2),
        "geometric": Law(exponential, 1),
        "power law": POWER_LAW,
    }


def most_likely(law: Law, k: Array, count: Array, xmin: int) -> Array:
    """The parameters of a law at which the likelihood of some degrees is largest.

    By Nelder and Mead's search from the best point of a grid.

    Args:
        law: which one.
        k: (m,) float64, different degrees, at least xmin.
        count: (m,) integers, how many neurons have each.
        xmin: where the law starts.
    Returns: (n_parameters,) float64 theta; nan if none were found.
    """

    def loss(theta: Theta) -> float:
        value = -float(count @ law.log_p(k, xmin, theta))
        if math.isfinite(value):
            return value
        return math.inf

    grid = product(np.linspace(-8, 5, 14), repeat=law.n_parameters)
    options = {"xatol": 1e-6, "fatol": 1e-8, "maxiter": 4000}
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        start = min(grid, key=loss)
        best = scipy.optimize.minimize(loss, start, method="Nelder-Mead", options=options)
    if best.success and math.isfinite(best.fun):
        return best.x
    return np.full(law.n_parameters, np.nan)
