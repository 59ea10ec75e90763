"""Exact numbers of small machines and of data: log Z by enumeration, samples, bounds."""

import numpy as np
import scipy.sparse
import torch
from scipy.sparse import csgraph
from torch import Tensor

from lib.layers import SparseLinear
from papers.set.rbm.model import RBM, check_binary

LARGEST = 20  # units of the smaller side of a component that is enumerated
BLOCK = 2**15  # states at a time

# ---------------------------------------------------------------------------------------- log Z


def log_z(rbm: RBM) -> float:
    r"""Logarithm of the normalising constant, in float64, exact.

    .. math:: \ln Z = \sum_{components} \ln \sum_h e^{c \cdot h} \prod_i (1 + e^{a_i + (W^T h)_i})

    Units that no path of links joins are independent: each component is enumerated on its smaller
    side.

    Raises: ValueError if the smaller side of a component has more than 20 units.
    """
    matrix = _matrix(rbm)
    a, c = _biases(rbm)
    total = 0.0
    for hidden, visible in _components(matrix):
        weights = torch.from_numpy(matrix[hidden][:, visible].toarray())
        few, many = c[hidden], a[visible]
        if len(many) < len(few):
            weights, few, many = weights.t(), many, few
        _check_size(len(few))
        parts = [log_p.logsumexp(0) for log_p, _ in _enumerated(weights, many, few)]
        total += float(torch.stack(parts).logsumexp(0))
    return total


def samples(rbm: RBM, n: int, *, generator: torch.Generator) -> Tensor:
    """(n, n_visible) float64 independent samples of the visible units, exact, of a machine with at
    most 20 hidden units.

    Raises: ValueError if there are more.
    """
    _check_size(rbm.n_hidden)
    weights = rbm.to_dense().double()
    a, c = _biases(rbm)
    log_p = torch.cat([log_p for log_p, _ in _enumerated(weights, a, c)])
    drawn = torch.multinomial((log_p - log_p.max()).exp(), n, True, generator=generator)
    h = _states(drawn, rbm.n_hidden)
    p = (h @ weights + a).sigmoid()
    return torch.bernoulli(p, generator=generator)


def _matrix(rbm: RBM) -> scipy.sparse.csr_array:
    """(n_hidden, n_visible) weights, links of weight 0 among them."""
    if not isinstance(rbm.links, SparseLinear):
        return scipy.sparse.csr_array(rbm.to_dense().double().numpy())
    support = rbm.links.support
    values = rbm.weights.detach().double().numpy()
    index = values, support.col.numpy(), support.crow.numpy()
    return scipy.sparse.csr_array(index, shape=(support.n_out, support.n_in))


def _biases(rbm: RBM) -> tuple[Tensor, Tensor]:
    return rbm.visible_bias.detach().double(), rbm.hidden_bias.detach().double()


def _components(matrix: scipy.sparse.csr_array) -> list[tuple[np.ndarray, np.ndarray]]:
    """Hidden and visible units of every set of units that links join."""
    n_hidden, _ = matrix.shape
    both = scipy.sparse.block_array([[None, matrix], [matrix.T, None]])
    _, number = csgraph.connected_components(both, directed=False)
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order])) + 1
    parts = []
    for units in np.split(order, starts):
        parts.append((units[units < n_hidden], units[units >= n_hidden] - n_hidden))
    return parts


def _enumerated(weights: Tensor, a: Tensor, c: Tensor):
    """The unnormalised log-probabilities (m,) of all states h (m, n_hidden), some at a time."""
    for index in torch.arange(2 ** len(c)).split(BLOCK):
        h = _states(index, len(c))
        z = h @ weights + a
        yield h @ c + torch.logaddexp(z, torch.zeros_like(z)).sum(1), h


def _states(index: Tensor, n: int) -> Tensor:
    """(m, n) float64: the bits of every number."""
    return ((index[:, None] >> torch.arange(n)) & 1).double()


def _check_size(n: int) -> None:
    if n > LARGEST:
        raise ValueError(
            f"{n} units are too many to enumerate: give {LARGEST} at most, or estimate log Z with"
            " papers.set.rbm.ais"
        )


# ----------------------------------------------------------------------------- bounds of the data


def ceiling(x: Tensor) -> float:
    r"""The largest mean log-probability that any normalised model can give the rows ``x`` (N, n).

    .. math:: \sum_r \frac{c_r}{N} \ln \frac{c_r}{N}

    over the different rows r, each there :math:`c_r` times: minus the entropy of the data.

    Raises: ValueError unless the rows are binary.
    """
    check_binary(x)
    packed = np.packbits(x.bool().numpy(), axis=1)
    _, counts = np.unique(packed, axis=0, return_counts=True)
    shares = counts / len(x)
    return float((shares * np.log(shares)).sum())


def independent_units(log_odds: Tensor, x: Tensor) -> float:
    """Mean log-probability of the rows ``x`` (N, n) under units that are 1 independently.

    Args:
        log_odds: (n,) float64 of a 1, as :class:`papers.set.rbm.ais.Base` has them.
    """
    softplus = torch.logaddexp(log_odds, torch.zeros_like(log_odds)).sum()
    return float((x.double() @ log_odds).mean() - softplus)
