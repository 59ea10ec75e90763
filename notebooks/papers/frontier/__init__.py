"""How far one link in a hundred reaches: claims of our own, of no paper. Notebooks 60 to 62, and
sections of 14 and 23.
"""

from papers.frontier.claims import CLAIMS
from papers.frontier.experiments import EXPERIMENTS
from papers.frontier.labels import LABELS

PAPER = "No paper: accuracy and certificates at 1 % of the links"

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
