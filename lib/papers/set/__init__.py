"""SET: sparse evolutionary training, emergent topology, and where links grow.

[Mocanu2018] Scalable training of artificial neural networks with adaptive sparse connectivity
inspired by network science. Notebooks 10 to 17.
"""

from lib.papers.set import experiments
from lib.papers.set.claims import CLAIMS
from lib.papers.set.cnn import experiments as cnn
from lib.papers.set.labels import LABELS
from lib.papers.set.rbm.connectivity import RBM_SCALE_FREE, RBM_VISIBLE
from lib.papers.set.rbm.experiments import SET_RBM, SET_RBM_DNA, SET_RBM_WIDE
from lib.papers.shared.tuning import TUNING

PAPER = "SET"
EXPERIMENTS = (
    *experiments.EXPERIMENTS,
    TUNING,
    *cnn.EXPERIMENTS,
    SET_RBM_DNA,
    SET_RBM,
    SET_RBM_WIDE,
    RBM_SCALE_FREE,
    RBM_VISIBLE,
)

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
