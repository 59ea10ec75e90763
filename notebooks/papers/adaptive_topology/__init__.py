"""Robustness of sparse networks whose topology adapts: links removed, weights shuffled, attacks.

[Sulyok2026] Robustness in sparse artificial neural networks trained with adaptive topology.
Notebooks 20 to 24.
"""

from papers.adaptive_topology.claims import CLAIMS
from papers.adaptive_topology.experiments import EXPERIMENTS
from papers.adaptive_topology.labels import LABELS

PAPER = "Adaptive topology"

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
