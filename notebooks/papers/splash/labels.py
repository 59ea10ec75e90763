"""Names and looks of units and networks."""

from lib.report.labels import Labels, look

LOOKS = {
    "relu": look("ReLU", "#000000", ":"),
    "splash": look("SPLASH", "#0173b2", "-"),
    "swish": look("Swish", "#029e73", "--"),
    "prelu": look("PReLU", "#de8f05", "-."),
    "leaky_relu": look("leaky ReLU", "#949494", (0, (1, 1))),
    "elu": look("ELU", "#949494", (0, (5, 1))),
    "tanh": look("tanh", "#cc78bc", (0, (5, 1))),
    "sigmoid": look("sigmoid", "#ca9161", (0, (1, 1))),
    "maxout": look("maxout", "#d55e00", (0, (3, 1, 1, 1))),
    "apl": look("APL", "#56b4e9", (0, (4, 2))),
    "srelu": look("SReLU", "#882255", (0, (3, 1, 1, 1, 1, 1))),
}
NETWORK_NAMES = {
    "lenet5": "LeNet-5",
    "all_cnn": "All-CNN-C",
    "resnet20": "ResNet-20",
    "nin": "Network-in-Network",
    "sparse_mlp": "SET-MLP",
    "unit_accuracy": "usual training",
    "unit_lengths": "other lengths",
    "unit_lipschitz": "norms held",
    "unit_defended": "attacked examples",
}
LABELS = Labels(LOOKS, NETWORK_NAMES, axes=("norm",))
