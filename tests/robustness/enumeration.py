"""Exact distances in L-infinity of a network of one hidden layer, by enumeration: on the cell of
each pattern of active units the network is affine, and the nearest point a linear program.
"""

import itertools
import math

import numpy as np
from scipy.optimize import linprog


def smallest_radius(net, x, y, k, pattern):
    """Radius at which class k reaches y where the hidden units have this pattern of signs."""
    w, b, v, c = (p.detach().numpy() for p in net.parameters())
    n = len(x)
    slope = (v[k] - v[y]) * (pattern > 0)
    hidden = w @ x + b
    excess = slope @ hidden + c[k] - c[y]
    # of (delta, radius): the signs hold, the margin is at least 0, |delta| <= radius
    signs = np.column_stack([-pattern[:, None] * w, np.zeros(len(b))])
    margin = np.append(-slope @ w, 0)
    ones = np.ones((n, 1))
    size = np.block([[np.eye(n), -ones], [-np.eye(n), -ones]])
    a_ub = np.vstack([signs, margin, size])
    b_ub = np.concatenate([pattern * hidden, [excess], np.zeros(2 * n)])
    box = [*zip(-x, 1 - x, strict=True), (0, None)]
    radius = np.append(np.zeros(n), 1)
    solution = linprog(radius, A_ub=a_ub, b_ub=b_ub, bounds=box)
    return solution.fun if solution.status == 0 else math.inf


def minimal_linf(net, x, y):
    """Exact minimal distance for a ReLU network of one hidden layer: over all its patterns."""
    patterns = map(np.array, itertools.product([-1.0, 1.0], repeat=net[0].out_features))
    classes = set(range(net[2].out_features)) - {y}
    cases = itertools.product(classes, patterns)
    return min(smallest_radius(net, x, y, k, pattern) for k, pattern in cases)
