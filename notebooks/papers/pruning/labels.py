"""Names and looks of searches and of what they are compared with."""

from lib.report.labels import Labels, look

LOOKS = {
    "nsga2": look("NSGA-II", "#661100", "-", marker="o"),
    "random_search": look("random search", "#999933", "--", marker="s"),
    "random": look("random masks, equal density", "#949494", (0, (1, 1)), marker="x"),
    "magnitude": look("largest weights, equal density", "#029e73", "-.", marker="^"),
    "penalty": look("group penalty, equal density", "#cc78bc", (0, (5, 1)), marker="v"),
    "evolved_links": look("SET, equal links", "#0173b2", (0, (3, 1, 1, 1)), marker="D"),
    "full": look("full head", "#000000", ":", marker="*"),
}
NETWORK_NAMES = dict.fromkeys(("mask_search", "mask_fronts", "mask_regions"), "masked head")
AXES = ("evaluation", "kind", "member", "density", "own seed")
LABELS = Labels(LOOKS, NETWORK_NAMES, axes=AXES)
