r"""How likely a missing link of a layer is, from the links around it: Cannistraci-Hebb scores.

A layer is a bipartite graph of input and output neurons. A missing link (u, v) from input u to
output v closes paths of length 3, u – z1 – z2 – v, over an output z1 of u and an input z2 of v.
Its *local community* is all such z1 and z2. A path counts for more, the fewer links its two inner
neurons have that leave this community.
"""

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from lib import kernels
from lib.support import Support


def ch3_l3(support: Support, start: int = 0, stop: int | None = None) -> Tensor:
    r"""CH3-L3 score of every position of some output neurons.

    .. math:: s(u, v) = \sum_{z_1, z_2 \in L_3(u, v)}
        \frac{a_{u, z_1} \, a_{z_1, z_2} \, a_{z_2, v}}{\sqrt{(1 + d^e_{z_1}) (1 + d^e_{z_2})}}

    with :math:`d^e_z` the links of z to neurons outside the local community other than u and v. In
    a bipartite graph :math:`1 + d^e_{z_1} = k_{z_1} - |N(z_1) \cap N(v)|` and
    :math:`1 + d^e_{z_2} = k_{z_2} - |N(z_2) \cap N(u)|`, with degrees k and neighbours N.

    Source: CH3-L3 of [Muscoloni2022], on paths; [Zhang2024] for layers.

    Args:
        support: the links, of any device.
        start, stop: output neurons start, …, stop - 1; default: all.
    Returns: (stop - start, n_in) float64 on the CPU, 0 at positions that have a link. Time: the
        walks of length 3 that start at these output neurons; memory: besides the result the pairs
        of inputs that share an output, as a sparse matrix, and a few vectors a thread.
    """
    stop = support.n_out if stop is None else stop
    index = support.crow, support.col, support.tcrow, support.trow
    crow, col, tcrow, trow = (tensor.cpu().numpy() for tensor in index)
    links = (np.ones(len(col), np.int32), col, crow)
    matrix = scipy.sparse.csr_array(links, shape=(support.n_out, support.n_in))
    shared = (matrix.T @ matrix).tocsr()  # outputs that two inputs share
    scores = torch.zeros(max(0, stop - start), support.n_in, dtype=torch.float64)
    kernels.compiled(scores)  # as many threads as torch
    pairs = shared.indptr, shared.indices, shared.data
    _ch3_l3_numba(crow, col, tcrow, trow, *pairs, start, scores.numpy())
    return scores


@kernels.jit
def _ch3_l3_numba(crow, col, tcrow, trow, scrow, scol, shared, start, scores):
    n_out, n_in = len(crow) - 1, len(tcrow) - 1
    widest = max(np.diff(crow).max(), np.diff(tcrow).max())
    inverse = 1 / np.sqrt(np.maximum(np.arange(widest + 1), 1))
    for r in kernels.numba.prange(len(scores)):
        v = start + r
        with_v = np.zeros(n_out, np.int32)  # inputs that an output shares with v
        factor = np.empty(n_in)  # of the path's other half, for every u that z2 shares outputs with
        for k in range(crow[v], crow[v + 1]):
            for j in range(tcrow[col[k]], tcrow[col[k] + 1]):
                with_v[trow[j]] += 1
        for k in range(crow[v], crow[v + 1]):
            z2 = col[k]
            degree = tcrow[z2 + 1] - tcrow[z2]
            for j in range(scrow[z2], scrow[z2 + 1]):
                factor[scol[j]] = inverse[degree - shared[j]]
            for j in range(tcrow[z2], tcrow[z2 + 1]):
                z1 = trow[j]
                weight = inverse[crow[z1 + 1] - crow[z1] - with_v[z1]]
                for i in range(crow[z1], crow[z1 + 1]):
                    scores[r, col[i]] += weight * factor[col[i]]
        for k in range(crow[v], crow[v + 1]):
            scores[r, col[k]] = 0
