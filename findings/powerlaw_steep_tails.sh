#!/usr/bin/env bash
# Library: powerlaw 2.0.0.
#
# Fit(x, discrete=True, xmin=20, estimate_discrete=False) fits a power law to whole numbers by
# maximum likelihood. Degrees of networks that are almost random have steep tails: exponents near 10
# are usual there. By default the package stops at an exponent of 3, which its parameter_ranges
# change.
#
# One would guess: with a range that is wide enough the exponent is the most likely one, or the fit
# says that it cannot be computed.
#
# What happens: the package computes the sum that normalises the law, from xmin on, as a difference
# of two numbers near 1. For an exponent of 10 and xmin = 20 the sum is some 1e-13, so that about
# three of its digits are left, and fewer for larger exponents. The likelihood that is maximised is
# then wrong, and so is its maximum. The exponent comes back like any other.
#
# The script draws 300 numbers from a zeta distribution with the exponent 9. It compares the fit with
# the most likely exponent, computed by scipy's zeta function, which has no such difference.
#
# Output seen:
#   exponent by powerlaw 13.021, log-likelihood -599.4
#   most likely exponent 9.650, log-likelihood -581.6
#   by default the package returns 3.000
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet powerlaw==2.0.0 numpy==2.4.6 scipy==1.17.1
cd "$folder"
venv/bin/python -W ignore - <<'END'
import numpy as np
import powerlaw
from scipy.optimize import minimize_scalar
from scipy.special import zeta

XMIN, EXPONENT = 20, 9
numbers = np.arange(XMIN, XMIN + 6000)
share_from = zeta(EXPONENT, numbers) / zeta(EXPONENT, XMIN)
drawn = np.random.default_rng(0).random(300)
x = numbers[np.searchsorted(-share_from, -drawn, side="right") - 1]


def log_likelihood(exponent):
    return -len(x) * np.log(zeta(exponent, XMIN)) - exponent * np.log(x).sum()


how = {"discrete": True, "xmin": XMIN, "estimate_discrete": False, "verbose": 0}
fitted = powerlaw.Fit(x, parameter_ranges={"alpha": [1.01, 100]}, **how).power_law.alpha
by_default = powerlaw.Fit(x, **how).power_law.alpha
bounds = {"bounds": (1.01, 40), "method": "bounded"}
right = minimize_scalar(lambda exponent: -log_likelihood(exponent), **bounds).x
print(f"exponent by powerlaw {fitted:.3f}, log-likelihood {log_likelihood(fitted):.1f}")
print(f"most likely exponent {right:.3f}, log-likelihood {log_likelihood(right):.1f}")
print(f"by default the package returns {by_default:.3f}")
is_wrong = fitted > right + 1 and log_likelihood(fitted) < log_likelihood(right) - 1
if not (is_wrong and abs(by_default - 3) < 0.01):
    raise SystemExit("the behaviour has changed")
END
