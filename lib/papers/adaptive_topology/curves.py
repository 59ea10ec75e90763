"""What notebooks 21 and 22 draw of the tables of the studies: columns dataset, method, seed, those
of the axes, and one whose values name the panels, as :func:`lib.report.figures.perturbed_curves`
takes them.
"""

import pandas as pd

DRAW = ["dataset", "method", "seed", "draw"]
PERCOLATION = {
    "accuracy": "accuracy",
    "component": "share in largest component",
}
BALLS = {"linf": "PGD, L∞", "l2": "PGD, L2"}
LARGEST_DRAWN = {"linf": 0.15, "l2": 3}  # radius
SHUFFLES = {  # within what weights change places
    "all": "all weights",
    "sign": "within each sign",
    "inputs": "within a neuron's inputs",
    "outputs": "within a neuron's outputs",
}
PERTURBATIONS = {
    "noise": "noise (in sd of weights)",
    "flip signs": "signs flipped (fraction)",
}

# ---------------------------------------------------------------------------- removal of links


def percolation(removals: pd.DataFrame) -> pd.DataFrame:
    """Accuracy, and below it the share of all neurons in the largest component.

    Args:
        removals: rows of `link_removal` over all layers.
    Returns: columns dataset, method, seed, draw, fraction, variable (which of both), value.
    """
    long = removals.melt([*DRAW, "fraction"], list(PERCOLATION))
    panel = long["variable"].map(PERCOLATION)
    return long.assign(variable=panel)


def links_left(removals: pd.DataFrame) -> pd.DataFrame:
    """Random removal against the number of links left, as far as any is.

    Args:
        removals: rows of `link_removal` over all layers, all orders.
    Returns: the rows of random order, left being the mean over seeds of each fraction, the column
        order naming the panel.
    """
    random = removals[removals["order"] == "random"]
    network = ["dataset", "method", "seed"]
    whole = random.groupby(network)["removed"].transform("max")  # a removal ends with all links
    random = random.assign(left=whole - random["removed"])
    left = random.groupby(["dataset", "method", "fraction"])["left"].transform("mean")
    random = random.assign(left=left.round(), order="in random order")
    return random[random["left"] > 0]


# ------------------------------------------------------------------------- weights and attacks


def shuffled(shuffles: pd.DataFrame) -> pd.DataFrame:
    """Shuffles of the weights of all layers.

    Args:
        shuffles: rows of `weight_shuffling`.
    Returns: those rows, the column within naming the panel.
    """
    whole = (shuffles["kind"] == "shuffle") & (shuffles["scope"] == "all")
    panel = shuffles["within"].map(SHUFFLES)
    return shuffles.assign(within=panel)[whole]


def noise_and_signs(shuffles: pd.DataFrame) -> pd.DataFrame:
    """Noise on weights and flipped signs.

    Args:
        shuffles: rows of `weight_shuffling`.
    Returns: those rows, the column kind naming the panel.
    """
    panel = shuffles["kind"].map(PERTURBATIONS)
    rows = shuffles.assign(kind=panel)
    return rows[panel.notna()]


def under_pgd(curves: pd.DataFrame) -> pd.DataFrame:
    """Accuracy under PGD in L∞ and L2, from no attack to the largest radii drawn.

    Args:
        curves: rows of `attack_curves`.
    Returns: those rows, the column norm naming the panel.
    """
    attack = curves["attack"]
    largest = curves["norm"].map(LARGEST_DRAWN)
    drawn = curves["radius"] <= largest
    parts = [curves[drawn & (attack == "pgd")]]
    clean = curves[attack == "none"]
    for norm in BALLS:
        parts.append(clean.assign(norm=norm))
    both = pd.concat(parts)
    panel = both["norm"].map(BALLS)
    return both.assign(norm=panel)
