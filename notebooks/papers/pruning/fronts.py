"""Fronts of objectives that are minimised: who is on them, what they cover, how they agree."""

import numpy as np
import scipy
from pymoo.indicators.hv import HV
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

REFERENCE_POINT = 1.0  # of every objective: nothing right, all features read, every stranger missed


def ranks(objectives: np.ndarray) -> np.ndarray:
    """(E,) int, how many fronts lie before that of each row; 0: nothing dominates it.

    A row dominates another if it is nowhere larger and somewhere smaller. Source: [Deb2002].

    Args:
        objectives: (E, m), minimised.
    Raises: ValueError if one is nan, which nothing can be compared with.
    """
    _check_known(objectives)
    found = np.zeros(len(objectives), dtype=np.int64)
    if len(objectives):
        for rank, rows in enumerate(NonDominatedSorting().do(objectives)):
            found[rows] = rank
    return found


def _check_known(objectives: np.ndarray) -> None:
    unknown = np.flatnonzero(np.isnan(objectives).any(axis=1))
    if len(unknown):
        raise ValueError(
            f"objectives are nan in {len(unknown)} of {len(objectives)} rows, the first in row"
            f" {unknown[0]}: leave these rows out"
        )


def front(objectives: np.ndarray) -> np.ndarray:
    """Rows that nothing dominates, ascending; of equal rows the first.

    Raises: ValueError as :func:`ranks`.
    """
    rows = np.flatnonzero(ranks(objectives) == 0)
    _, first = np.unique(objectives[rows], axis=0, return_index=True)
    return rows[np.sort(first)]


def hypervolume(objectives: np.ndarray) -> float:
    """Volume between rows and :data:`REFERENCE_POINT`, of what at least one of them dominates.

    Source: [Zitzler1999].

    Args:
        objectives: (E, m), minimised.
    Raises: ValueError if one is nan.
    """
    _check_known(objectives)
    if not len(objectives):
        return 0.0
    point = np.full(objectives.shape[1], REFERENCE_POINT)
    return float(HV(ref_point=point)(np.asarray(objectives, dtype=float)))


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's correlation; nan where one of them does not vary or fewer than three rows."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    return float(scipy.stats.spearmanr(x, y).statistic)


def partial_rank_correlation(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float:
    r"""Spearman's correlation of x and y that is left when a third quantity is held.

    .. math:: \frac{r_{xy} - r_{xz} r_{yz}}{\sqrt{(1 - r_{xz}^2)(1 - r_{yz}^2)}}

    Returns: nan where one of the three is not known or determines another.
    """
    r_xy = rank_correlation(x, y)
    r_xz = rank_correlation(x, given)
    r_yz = rank_correlation(y, given)
    left = (1 - r_xz**2) * (1 - r_yz**2)
    if not left > 1e-12:
        return np.nan
    return float((r_xy - r_xz * r_yz) / np.sqrt(left))
