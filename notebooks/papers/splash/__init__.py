"""SPLASH activation units: accuracy and robustness, told apart from what else could explain them.

[Tavakoli2021] SPLASH: learnable activation functions for improving accuracy and adversarial
robustness. Notebooks 50 and 51.
"""

from papers.splash.claims import CLAIMS
from papers.splash.experiments import EXPERIMENTS
from papers.splash.labels import LABELS

PAPER = "SPLASH units"

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
