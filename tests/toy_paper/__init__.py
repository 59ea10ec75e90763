"""A paper that is no paper: k-means on digits, to show all that a new room brings along."""

from lib.report.verdicts import Claim
from papers.toy.clusters import CLUSTERS, LABELS, explained

PAPER = "Toy"
EXPERIMENTS = (CLUSTERS,)
CLAIMS = {
    "T01": Claim(
        ("clusters",),
        explained,
        "Ten clusters explain {value:.0%} of the variance of the digits.",
        "setting ours",
    )
}

__all__ = ["CLAIMS", "EXPERIMENTS", "LABELS", "PAPER"]
