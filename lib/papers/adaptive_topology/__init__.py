"""Robustness of sparse networks whose topology adapts: links removed, weights shuffled, attacks.

[Sulyok2026] Robustness in sparse artificial neural networks trained with adaptive topology.
Notebooks 20 to 24.
"""

import dataclasses

from lib.papers.adaptive_topology.claims import CLAIMS
from lib.papers.adaptive_topology.experiments import (
    CURVES,
    ENSEMBLE,
    MINIMAL,
    PIXELS,
    RADIUS,
    REMOVAL,
    SHUFFLING,
    SUMMARY,
)
from lib.papers.adaptive_topology.networks import (
    ADAPTIVE_TOPOLOGY,
    OTHER_DROPOUTS,
    TRAINING_LENGTH,
    VARIED_NETWORKS,
)
from lib.papers.adaptive_topology.recipes import (
    LOOKS,
    MAKE_IT_ROBUST,
    RECIPE_TUNING,
    ROBUST_SUMMARY,
)
from lib.papers.adaptive_topology.regularisation import REGULARISATION
from lib.papers.shared import labels

LABELS = dataclasses.replace(labels.LABELS, methods={**labels.LABELS.methods, **LOOKS})
PAPER = "Robustness with adaptive topology"
EXPERIMENTS = (
    ADAPTIVE_TOPOLOGY,
    TRAINING_LENGTH,
    OTHER_DROPOUTS,
    VARIED_NETWORKS,
    REGULARISATION,
    SUMMARY,
    REMOVAL,
    SHUFFLING,
    CURVES,
    ENSEMBLE,
    MINIMAL,
    PIXELS,
    RADIUS,
    MAKE_IT_ROBUST,
    RECIPE_TUNING,
    ROBUST_SUMMARY,
)

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
