r"""How the variance of a layer is spread over its principal directions, and what law that follows.

The spectrum of a layer is the list of the eigenvalues :math:`\lambda_1 \ge \lambda_2 \ge \dots` of
the covariance of its units over images. A straight line through :math:`\ln \lambda_n` against
:math:`\ln n` proves little: its slope depends on the ranks that it is drawn through, and an
exponential or a power law with a cut-off must not do better.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy
import torch
from torch import Tensor

from lib.report.intervals import LEVEL, Measurement

RANGE = (10, 500)  # ranks of the released code, on images
NOISE_RANGE = (10, 100)  # on noise
AS_RELEASED = "10 to 500, as released"
RANGES = {  # (first, last) rank
    AS_RELEASED: RANGE,
    "11 to 500, of the mouse": (11, 500),
    "below 800, of the article": (1, 799),
    "1 to 500": (1, 500),
    "10 to 100": NOISE_RANGE,
    "100 to 500": (100, 500),
}
SUPPORTED = 2.0  # difference of the criterion up to which a law is not refused


class Fit(NamedTuple):
    """A straight line through a spectrum in logarithms.

    Attributes:
        exponent: minus its slope.
        log_scale: its value at rank 1, natural logarithm.
        r_squared: share of the variance of the logarithms that it explains, weighted as the fit.
    """

    exponent: float
    log_scale: float
    r_squared: float


# ------------------------------------------------------------------------------- the eigenvalues


def covariance_eigenvalues(hidden: Tensor, counts: Tensor | None = None) -> np.ndarray:
    r"""The eigenvalues of the covariance of the units, largest first.

    .. math:: C = \frac{1}{N - 1} \sum_b (x_b - \bar x)(x_b - \bar x)^T

    Of fewer images than units at most N - 1 are above 0: the spectrum is cut there.

    Args:
        hidden: (N, h) float, what each unit does on each image, before its activation; of float32
            eigenvalues below 1e-8 of the largest are rounding errors.
        counts: (N,) how often each image counts; None: once.
    Returns: (h,) float64.
    Raises: ValueError for fewer than two images, or values that are not finite.
    """
    if hidden.ndim != 2 or len(hidden) < 2:
        shape = tuple(hidden.shape)
        raise ValueError(f"hidden has the shape {shape}: give (images, units), two images or more")
    if not torch.isfinite(hidden).all():
        raise ValueError("hidden is not finite everywhere: give finite numbers")
    if counts is None:
        counts = torch.ones(len(hidden))
    share = (counts / counts.sum()).to(hidden)
    centred = hidden - share @ hidden
    root = centred * (counts.to(hidden) / (counts.sum() - 1)).sqrt()[:, None]  # (N, h)
    n_images, n_units = root.shape
    product = root.T @ root if n_units <= n_images else root @ root.T
    found = torch.linalg.eigvalsh(product.double()).flip(0).clamp(min=0)
    eigenvalues = np.zeros(n_units)
    eigenvalues[: len(found)] = found.numpy()
    return eigenvalues


def cross_validated(first: Tensor, second: Tensor) -> np.ndarray:
    r"""The variance along the principal directions that is the same in two noisy repeats.

    .. math:: \lambda_n = \frac{1}{N - 1} \sum_b (x_b^T v_n)(x'_b^T v_n)

    with :math:`v_n` the eigenvectors of the covariance of the first repeat, both centred. Noise
    that is not repeated adds nothing on average, while it adds to every eigenvalue of one repeat.

    Source: [Stringer2019], Methods, cvPCA.

    Args:
        first, second: (N, h) float, the units on the same images, with noise of their own.
    Returns: (h,) float64, in the order of the eigenvalues of the first; some may be below 0.
    """
    first, second = first.double(), second.double()
    first, second = first - first.mean(0), second - second.mean(0)
    _, vectors = torch.linalg.eigh(first.T @ first)
    vectors = vectors.flip(1)
    shared = ((first @ vectors) * (second @ vectors)).sum(0)
    return (shared / (len(first) - 1)).numpy()


def resampled(hidden: Tensor, draws: int, *, generator: torch.Generator) -> np.ndarray:
    """The spectrum on images drawn anew with replacement.

    Layers that are measured on the same images are resampled together by generators of one seed.
    Images that repeat make a spectrum fall faster: take the spread of what follows from the draws,
    not their mean.

    Args:
        hidden: (N, h) float.
        draws: how many.
        generator: source of randomness.
    Returns: (draws, h) float64.
    """
    spectra = []
    for _ in range(draws):
        chosen = torch.randint(len(hidden), (len(hidden),), generator=generator)
        counts = torch.bincount(chosen, minlength=len(hidden))
        spectra.append(covariance_eigenvalues(hidden, counts))
    return np.array(spectra)


# -------------------------------------------------------------------------------------- the fits


def fit(eigenvalues: np.ndarray, ranks: tuple[int, int] = RANGE, *, weighted: bool = False) -> Fit:
    r"""The power law through a range of a spectrum, by least squares on logarithms.

    .. math:: \ln \lambda_n = c - \alpha \ln n, \qquad n_{first} \le n \le n_{last}

    Every rank counts alike, as in the released code, so that the many high ones decide; or weighted
    by 1/n, so that every part of the logarithmic axis counts alike.

    Source: [Stringer2019], Methods, for the weights.

    Args:
        eigenvalues: (h,) float, largest first.
        ranks: first and last rank, from 1 on, both included.
        weighted: by 1/n.
    Raises: ValueError for fewer than three ranks, or ranks without a positive eigenvalue.
    """
    n, log_lambda = _logarithms(eigenvalues, ranks)
    weights = _weights(n, weighted)
    columns = np.stack([np.ones(len(n)), np.log(n)], axis=1)
    root = np.sqrt(weights)
    coefficients, *_ = np.linalg.lstsq(root[:, None] * columns, root * log_lambda, rcond=None)
    residuals = log_lambda - columns @ coefficients
    rest = weights @ residuals**2
    total = weights @ (log_lambda - weights @ log_lambda) ** 2
    explained = 1 - rest / total if total > 0 else math.nan
    return Fit(-coefficients[1], coefficients[0], explained)


def within(ranks: tuple[int, int], eigenvalues: np.ndarray) -> tuple[int, int]:
    """The part of a range of ranks that lies in a spectrum, from rank 1 on where that is short."""
    first, last = ranks
    last = min(last, _n_positive(eigenvalues))
    return (first if first <= last - 5 else 1), last


def ranges_within(eigenvalues: np.ndarray) -> dict[str, tuple[int, int]]:
    """:data:`RANGES` as far as they lie in a spectrum; that of the released code in any case, cut
    to what there is.
    """
    n_positive = _n_positive(eigenvalues)
    found = {name: ranks for name, ranks in RANGES.items() if ranks[1] <= n_positive}
    if RANGE not in found.values():
        found = {AS_RELEASED: within(RANGE, eigenvalues), **found}
    return found


def leading_positive(eigenvalues: np.ndarray) -> np.ndarray:
    """The eigenvalues before the first that is not above 0, as cross-validated ones may be."""
    ends = np.flatnonzero(eigenvalues <= 0)
    return eigenvalues[: ends[0]] if len(ends) else eigenvalues


def over_seeds_and_images(values: Sequence[float], draws: np.ndarray) -> Measurement:
    r"""The mean of a number over layers, with an interval for other seeds *and* other images.

    .. math:: \bar a \pm t_{S - 1} \sqrt{s_{seeds}^2 / S + s_{images}^2}

    All layers are measured on the same images, so that the error these make does not shrink with
    the number of layers: it is the spread of the mean over layers between draws.

    Args:
        values: (S,) of each layer.
        draws: (S, D) of each layer on images drawn anew, the same ones for all layers.
    Returns: unbounded below two layers.
    """
    values, draws = np.asarray(values, float), np.asarray(draws, float)
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Measurement(mean, -math.inf, math.inf, n)
    of_seeds = values.var(ddof=1) / n
    of_images = draws.mean(0).var(ddof=1) if draws.shape[1] > 1 else 0.0
    half = scipy.stats.t.ppf((1 + LEVEL) / 2, n - 1) * math.sqrt(of_seeds + of_images)
    return Measurement(mean, mean - half, mean + half, n)


def _logarithms(eigenvalues: np.ndarray, ranks: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(m,) ranks and (m,) natural logarithms of the eigenvalues of a range."""
    first, last = ranks
    positive = _n_positive(eigenvalues)
    if not 1 <= first <= last - 2:
        raise ValueError(f"ranks {first} to {last} are no range: give three ranks or more, from 1")
    if last > positive:
        raise ValueError(
            f"ranks {first} to {last} are outside the spectrum: give ranks from 1 to {positive},"
            " of positive eigenvalues"
        )
    n = np.arange(first, last + 1, dtype=float)
    return n, np.log(eigenvalues[first - 1 : last])


def _n_positive(eigenvalues: np.ndarray) -> int:
    """How many eigenvalues are not 0 but for rounding in float32."""
    smallest = 1e-12 * float(np.max(eigenvalues, initial=0))
    return int((eigenvalues > smallest).sum())


def _weights(n: np.ndarray, weighted: bool) -> np.ndarray:
    weights = 1 / n if weighted else np.ones(len(n))
    return weights / weights.sum()


# ------------------------------------------------------------------- what a power law must beat


def compare_laws(
    eigenvalues: np.ndarray, ranks: tuple[int, int] = RANGE, *, weighted: bool = False
) -> pd.DataFrame:
    r"""How well a power law, an exponential and a power law with a cut-off describe a spectrum.

    .. math::
        -\alpha \ln n, \qquad -n / n_0, \qquad -\alpha \ln n - n / n_0
        \qquad (\alpha, 1 / n_0 \ge 0)

    Each has a factor of its own and is fitted to logarithms by least squares. The criterion is that
    of Schwarz, :math:`m \ln s^2 + k \ln m`, with :math:`s^2` the mean square of what is left, k
    coefficients and m the number of values that the range is worth: of weights w and of neighbours
    that have the correlation r in what the last law leaves,

    .. math:: m = \frac{(\sum_n w_n)^2}{\sum_n w_n^2} \cdot \frac{1 - r}{1 + r}

    Source: [Schwarz1978], the criterion; [Bayley1946], the number of independent values of a
        series.

    Args:
        eigenvalues, ranks, weighted: as in :func:`fit`.
    Returns: columns law, exponent, decay (1 / n_0), left (root of the mean square, of the natural
        logarithm), criterion, behind (difference to the lowest); supported (whether it is behind by
        less than 2).
    """
    n, log_lambda = _logarithms(eigenvalues, ranks)
    weights = _weights(n, weighted)
    root, terms = np.sqrt(weights), np.stack([-np.log(n), -n], axis=1)
    rows = []
    for law, used in {"power law": [0], "exponential": [1], "cut-off": [0, 1]}.items():
        columns = np.column_stack([np.ones(len(n)), terms[:, used]])
        least = [-np.inf] + [0.0] * len(used)
        found = scipy.optimize.lsq_linear(
            root[:, None] * columns, root * log_lambda, (least, np.inf), method="bvls"
        ).x
        falls = np.zeros(2)
        falls[used] = found[1:]
        residuals = log_lambda - columns @ found
        rows.append((law, *falls, math.sqrt(weights @ residuals**2), len(found)))
    table = pd.DataFrame(rows, columns=["law", "exponent", "decay", "left", "coefficients"])
    independent = _independent(residuals, weights)
    exact = np.finfo(float).eps * np.abs(log_lambda).max()  # what rounding leaves
    misfit = 2 * independent * np.log(np.maximum(table["left"], exact))
    table["criterion"] = misfit + table.pop("coefficients") * math.log(independent)
    table["behind"] = table["criterion"] - table["criterion"].min()
    return table.assign(supported=table["behind"] < SUPPORTED)


def _independent(residuals: np.ndarray, weights: np.ndarray) -> float:
    """How many independent values of equal weight a series is worth, at least 3."""
    before, after = residuals[:-1], residuals[1:]
    scale = math.sqrt((before @ before) * (after @ after))
    correlation = (before @ after) / scale if scale > 0 else 0.0
    correlation = min(max(correlation, 0.0), 0.999)
    equal = weights.sum() ** 2 / (weights @ weights)
    return max(equal * (1 - correlation) / (1 + correlation), 3.0)
