"""How far one link in a hundred reaches: questions of our own, of no paper. Notebook 60."""

from lib.papers.frontier.experiments import EXPERIMENTS
from lib.papers.frontier.labels import LABELS

PAPER = "No paper: accuracy at 1 % of the links"
CLAIMS = {}

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
