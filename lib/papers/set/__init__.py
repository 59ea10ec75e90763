"""SET: sparse evolutionary training, emergent topology, and where links grow.

[Mocanu2018] Scalable training of artificial neural networks with adaptive sparse connectivity
inspired by network science. Notebooks 10 to 17.
"""

from lib.papers.set.ablation import ABLATION, ABLATION_LONG, REMOVAL, SENSITIVITY, VARIANTS_OF_CODE
from lib.papers.set.accuracy import ACCURACY_BY_RECIPE, ACCURACY_TUNING
from lib.papers.set.claims import CLAIMS
from lib.papers.set.cnn.experiments import (
    SET_CNN,
    SET_CNN_COSTS,
    SET_CNN_LONG,
    SET_CNN_TUNING,
    SET_ON_FEATURES,
)
from lib.papers.set.decay import WITHOUT_DECAY
from lib.papers.set.growth import DENSITIES_STUDIED, GROWTH_RULES, OTHER_DECAY
from lib.papers.set.links import SCALE_FREE, STRUCTURE, VISIBLE
from lib.papers.set.mlp import SET_MLP, SET_MLP_LONG, TIME_TO_ACCURACY
from lib.papers.set.rbm.connectivity import RBM_SCALE_FREE, RBM_VISIBLE
from lib.papers.set.rbm.experiments import SET_RBM, SET_RBM_DNA, SET_RBM_WIDE
from lib.papers.shared.labels import LABELS
from lib.papers.shared.tuning import TUNING

PAPER = "SET"
EXPERIMENTS = (
    SET_MLP,
    SET_MLP_LONG,
    GROWTH_RULES,
    OTHER_DECAY,
    DENSITIES_STUDIED,
    TIME_TO_ACCURACY,
    ABLATION,
    ABLATION_LONG,
    SENSITIVITY,
    REMOVAL,
    VARIANTS_OF_CODE,
    ACCURACY_TUNING,
    ACCURACY_BY_RECIPE,
    WITHOUT_DECAY,
    TUNING,
    SET_CNN,
    SET_CNN_LONG,
    SET_CNN_TUNING,
    SET_ON_FEATURES,
    SET_CNN_COSTS,
    SCALE_FREE,
    STRUCTURE,
    VISIBLE,
    SET_RBM_DNA,
    SET_RBM,
    SET_RBM_WIDE,
    RBM_SCALE_FREE,
    RBM_VISIBLE,
)

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
