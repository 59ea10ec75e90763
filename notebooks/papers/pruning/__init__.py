"""Evolutionary pruning of networks that transfer: fewer inputs, the same accuracy, strange images
noticed.

[Poyatos2023] Multiobjective evolutionary pruning of deep neural networks with transfer learning
for improving their performance and robustness. Notebooks 40 and 41.
"""

from papers.pruning.claims import CLAIMS
from papers.pruning.experiments import EXPERIMENTS
from papers.pruning.labels import LABELS

PAPER = "Evolutionary pruning"

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
