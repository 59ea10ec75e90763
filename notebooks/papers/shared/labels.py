"""Names and looks of the methods that several papers train, and of what is asked of them."""

from lib.report.labels import Labels, look

LOOKS = {
    "set": look("SET", "#0173b2", "-"),
    "rigl": look("RigL", "#029e73", "--"),
    "preferential": look("preferential attachment", "#56b4e9", (0, (5, 1))),
    "ch3_l3": look("CH3-L3", "#882255", (0, (3, 1, 1, 1, 1, 1))),
    "fixed": look("fixed random support", "#de8f05", "-."),
    "fixed_final": look("fixed, SET's final links", "#8a6d00", (0, (4, 2))),
    "dense": look("dense", "#000000", ":"),
    "dense_small": look("small dense, equal links", "#6a51a3", (0, (1, 1))),
    "dense_working": look("dense, RigL's working widths", "#b15928", (0, (2, 1))),
    "dense_pruned": look("dense, pruned", "#8c510a", (0, (5, 1))),
    "set_retrained": look("SET's links retrained", "#56b4e9", "-"),
    "set_rewired": look("same, rewired", "#cc78bc", "--"),
    "set_random_removal": look("SET, random drop", "#d55e00", (0, (3, 1, 1, 1))),
    "set_largest_removal": look("SET, largest dropped", "#999933", (0, (1, 2))),
}
NAMES_OF_NETWORKS = {
    "adaptive_topology": "width 1000",
    "adaptive_topology_1568": "width 1568",
    "set_mlp": "ε = 20",
}
LABELS = Labels(LOOKS, NAMES_OF_NETWORKS)
