"""Robustness of sparse networks whose topology adapts: links removed, weights shuffled, attacks.

[Sulyok2026] Robustness in sparse artificial neural networks trained with adaptive topology.
Notebooks 20 to 23.
"""

from lib.papers.adaptive_topology.claims import CLAIMS
from lib.papers.adaptive_topology.experiments import (
    ADAPTIVE_TOPOLOGY,
    CURVES,
    ENSEMBLE,
    MINIMAL,
    RADIUS,
    REMOVAL,
    SHUFFLING,
)
from lib.papers.shared.labels import LABELS

PAPER = "Adaptive-topology robustness"
EXPERIMENTS = (ADAPTIVE_TOPOLOGY, REMOVAL, SHUFFLING, CURVES, ENSEMBLE, MINIMAL, RADIUS)

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
