"""SPLASH activation units: accuracy and robustness, told apart from what else could explain them.

[Tavakoli2021] SPLASH: learnable activation functions for improving accuracy and adversarial
robustness. Notebooks 50 and 51.
"""

from lib.papers.splash.claims import CLAIMS
from lib.papers.splash.experiments import (
    ABLATION,
    ACCURACY,
    DEFENCE,
    LENGTH,
    LIPSCHITZ,
    LONG_TRAINING,
    MINIMAL,
    OWN_RATE,
    ROBUSTNESS,
    TUNING,
    WORST,
)
from lib.papers.splash.labels import LABELS

PAPER = "SPLASH"
EXPERIMENTS = (
    ACCURACY,
    LONG_TRAINING,
    TUNING,
    OWN_RATE,
    ABLATION,
    LENGTH,
    LIPSCHITZ,
    DEFENCE,
    ROBUSTNESS,
    WORST,
    MINIMAL,
)

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
