"""Units that did not learn, found by the variance of their weights, and set to zero."""

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

STARTS = (-7.1, -8.5, -6.5, -6.0)  # means of the components, in this order
RANGE = (-9.0, -3.0)  # of the log-variances that mixtures are fitted to
SIGNIFICANCE = 0.01
PARAMETERS = 3  # of a component: weight, mean, variance
FIXED_THRESHOLD = 0.0015  # of the variance, in the earlier version


@dataclass(frozen=True)
class Pruned:
    """A layer without the units that did not learn.

    Attributes:
        weight: (n_units, n_in) float, pruned units are zeros.
        kept: (n_units,) bool.
        threshold: largest variance of a unit that is kept; infinite where none is pruned.
        n_components: components of the mixture; 0 where none was fitted.
    """

    weight: Tensor
    kept: Tensor
    threshold: float
    n_components: int


def log_variances(weight: Tensor) -> Tensor:
    """(n_units,) natural logarithm of the variance of each unit's weights, -inf of constant ones.

    Source: [Holzhausen2025], the released code (the variance of a sample, n - 1).
    """
    return weight.var(dim=1).log()


def prune_by_variance(weight: Tensor, threshold: float = FIXED_THRESHOLD) -> Pruned:
    """The layer without units whose variance is above a fixed threshold.

    Source: [Holzhausen2025], the released code, its earlier version.
    """
    return _pruned(weight, threshold, n_components=0)


def prune_by_mixture(weight: Tensor, *, last_fitted: bool = False) -> Pruned:
    """The layer without units above the midpoint of the two highest components of a mixture.

    Gaussian mixtures are fitted to the log-variances that lie in :data:`RANGE`, see
    :func:`select_mixture`. One component: nothing is pruned.

    Source: [Holzhausen2025], the released code.
    Departs: as :func:`select_mixture`, unless ``last_fitted``.

    Args:
        weight: (n_units, n_in) float.
        last_fitted: of :func:`select_mixture`.
    Raises: ValueError if fewer units than components lie in the range.
    """
    values = log_variances(weight).double().cpu().numpy()
    lowest, highest = RANGE
    values = values[(values > lowest) & (values < highest)]
    if len(values) < len(STARTS):
        raise ValueError(
            f"{len(values)} units have a log-variance in ({lowest:g}, {highest:g}): a mixture needs"
            f" at least {len(STARTS)}, has the layer learned?"
        )
    mixture = select_mixture(values, last_fitted=last_fitted)
    means = np.sort(mixture.means_[:, 0])
    threshold = math.inf
    if len(means) > 1:
        threshold = math.exp((means[-1] + means[-2]) / 2)
    return _pruned(weight, threshold, n_components=len(means))


def select_mixture(values: np.ndarray, *, last_fitted: bool = False) -> "GaussianMixture":
    """The mixture with the fewest components that one more does not improve on significantly.

    Twice the difference of log-likelihoods is compared with the chi-squared distribution of three
    degrees of freedom, one component against two, two against three, three against four. The law
    of that ratio is not quite this distribution: of one group two are found more often than in one
    case of a hundred.

    Source: [Holzhausen2025], the released code.
    Departs: each mixture is the likelier of two fits, from the published starts and from those of
    k-means, as the published ones miss a group that is far above them. ``last_fitted`` has the
    published starts alone and returns the mixture that was fitted last, the one that was refused:
    as in the released code, it never finds one group.

    Args:
        values: (n,) float.
        last_fitted: as above.
    """
    mixture = _fitted(values, 1, STARTS[:1])
    for n_components in range(2, len(STARTS) + 1):
        larger = _fitted(values, n_components, STARTS[:n_components])
        if not last_fitted:
            other = _fitted(values, n_components, None)
            larger = max(larger, other, key=lambda fit: fit.score(values[:, None]))
        gain = larger.score(values[:, None]) - mixture.score(values[:, None])
        is_refused = scipy.stats.chi2.sf(2 * len(values) * gain, PARAMETERS) >= SIGNIFICANCE
        if last_fitted or not is_refused:
            mixture = larger
        if is_refused:
            break
    return mixture


def _fitted(
    values: np.ndarray, n_components: int, starts: tuple[float, ...] | None
) -> "GaussianMixture":
    """The mixture that is found from these means, or from those of k-means."""
    from sklearn.exceptions import ConvergenceWarning  # a fifth of a second to import
    from sklearn.mixture import GaussianMixture

    means = None if starts is None else np.array(starts)[:, None]
    mixture = GaussianMixture(n_components, means_init=means, max_iter=2000, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # such a fit has a low likelihood
        return mixture.fit(values[:, None])


def _pruned(weight: Tensor, threshold: float, n_components: int) -> Pruned:
    kept = weight.var(dim=1) <= threshold
    return Pruned(torch.where(kept[:, None], weight, 0), kept, threshold, n_components)
