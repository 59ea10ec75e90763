"""Local learning, spectra and regularisation: as released, and corrected.

[Holzhausen2025] Exploring biologically inspired mechanisms of adversarial robustness. Notebooks 30
to 32.
"""

from lib.papers.local_learning.claims import CLAIMS
from lib.papers.local_learning.experiments import EXPERIMENTS
from lib.papers.local_learning.labels import LABELS

PAPER = "Krotov–Hopfield learning"

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
