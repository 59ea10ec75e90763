"""SET: sparse evolutionary training, emergent topology, and where links grow.

[Mocanu2018] Scalable training of artificial neural networks with adaptive sparse connectivity
inspired by network science. Notebooks 10 to 17.
"""

from papers.set import experiments
from papers.set.claims import CLAIMS
from papers.set.cnn import experiments as cnn
from papers.set.rbm.experiments import EXPERIMENTS as RBM_EXPERIMENTS
from papers.shared.labels import LABELS
from papers.shared.tuning import TUNING

PAPER = "SET"
EXPERIMENTS = (*experiments.EXPERIMENTS, TUNING, *cnn.EXPERIMENTS, *RBM_EXPERIMENTS)

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
