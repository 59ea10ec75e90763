"""Local learning, spectra and regularisation: as released, and corrected.

[Holzhausen2025] Exploring biologically inspired mechanisms of adversarial robustness. Notebooks 30
to 32.
"""

from papers.local_learning.claims import CLAIMS
from papers.local_learning.experiments import EXPERIMENTS
from papers.local_learning.labels import LABELS

PAPER = "Krotov–Hopfield learning"

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
