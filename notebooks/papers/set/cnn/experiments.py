"""Which networks are trained with what on top, in three profiles.

The paper trains on all of CIFAR-10 for about 1,000 epochs. A step of 128 images takes a fifth of a
second of one core, so that the profile "paper" has 15 epochs on half of the images, evaluation
included 40 to 50 seconds an epoch: 4 core-hours for all experiments of this module.
"""

from papers.set.cnn import channels, network
from papers.set.cnn.resnet import METHODS as RESNETS
from papers.set.cnn.resnet import ResNetTraining
from papers.set.cnn.training import TOPS, CnnTraining, TopTraining
from papers.shared.methods import METHODS, tabled
from papers.shared.tables import Fields, part
from papers.shared.training import training

RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
CHOSEN_RATES = {"set": 0.05, "rigl": 0.05, "fixed": 0.05, "dense": 0.1}  # see `tuning`
SMALL: Fields = {  # digits, enlarged
    "dataset": "digits",
    "augmentation": 0.0,
    "enlarge": 2,
    "filters": (8, 16, 32),
    "hidden": (64, 64),
    "er_epsilon": 5.0,
    "epochs": 3,
    "batch_size": 64,
    "limit": None,
    "test_images": None,
}
USUAL: Fields = {  # all tops, paired by seed: the same first convolutions and order of examples
    "schedule": "one_cycle",
    "learning_rate": 0.05,
    "seed": range(1),
    "method": [*TOPS],
    "differences": {"method": {**METHODS, "rigl": {**METHODS["rigl"], "decay": "cosine"}}},
}  # [Evci2020] for the decay
CIFAR: Fields = {
    **USUAL,
    "dataset": "cifar10",
    "augmentation": 1.0,
    "er_epsilon": network.ER_EPSILON,
}


def convolutional(profile: str) -> list[CnnTraining]:
    """All tops on the convolutions at the rate chosen for each."""
    rates = {"variant": "chosen rate", "learning_rate": CHOSEN_RATES}
    table = part(
        {**CIFAR, **rates, "epochs": 15, "limit": 25_000, "seed": range(3)},  # half of the images
        smoke=SMALL,
        quick={"limit": 1000, "test_images": 500, "fallback": SMALL},
    )
    return tabled("set_cnn", profile, table, kind=CnnTraining)


def long(profile: str) -> list[CnnTraining]:
    """The same on all images for some seven times the epochs, three seeds; one run in the small
    profiles.
    """
    paper = {**CIFAR, "epochs": 100, "variant": "all images", "learning_rate": CHOSEN_RATES}
    one = {"method": ["set"], "epochs": 1, "variant": "one rate"}
    table = part({**paper, "seed": range(3)}, smoke={**SMALL, **one}, quick="smoke")
    return tabled("set_cnn_long", profile, table, kind=CnnTraining)


def tuning(profile: str) -> list[CnnTraining]:
    """Learning rates of every top on validation examples; no test examples."""
    validated = {"validation": 5000, "evaluate_test": False, "epochs": 5, "limit": 12_500}
    rates = {"learning_rate": [*RATES], "variant": "rate {learning_rate:g}"}
    few = {"learning_rate": [RATES[0]], "validation": 100, "epochs": 2, "limit": 300}
    table = part({**CIFAR, **rates, **validated}, smoke={**SMALL, **few}, quick="smoke")
    return tabled("set_cnn_tuning", profile, table, kind=CnnTraining)


def on_features(profile: str) -> list[TopTraining]:
    """All tops on features of a frozen network."""
    tiny = {"dataset": "digits", "extractor": "tiny", "hidden": (64, 64), "er_epsilon": 5.0}
    paper = {**USUAL, "dataset": "cifar10", "epochs": 40, "er_epsilon": network.ER_EPSILON}
    table = part(
        {**paper, "variant": "one rate", "seed": range(5)},
        smoke={**tiny, "epochs": 5},
        quick={**tiny, "hidden": (256, 256), "epochs": 10, "fallback": None},
    )
    return tabled("set_on_features", profile, table, kind=TopTraining)


def residual(profile: str) -> list[ResNetTraining]:
    """ResNet-20 with a tenth of the links in its blocks, fixed or evolving, and dense.

    All have one learning rate and one weight decay, which nobody chose for any of them.
    """
    settings = {
        "dataset": "cifar10",
        "augmentation": 1.0,
        "epochs": 4,
        "schedule": "one_cycle",
        "learning_rate": 0.1,
        "weight_decay": 5e-4,
        "seed": range(3),
        "method": [*RESNETS],
        "density": {"dense": None, "others": 0.1},
        "decay": {"set": "cosine", "rigl": "cosine", "others": "constant"},
    }
    small = {"limit": 200, "test_images": 100, "batch_size": 32}
    table = part(settings, smoke={**small, "epochs": 2}, quick="smoke")
    return tabled("set_resnet", profile, table, kind=ResNetTraining)


# ------------------------------------------------------------------------------ the experiments


EXPERIMENTS = (
    training("set_cnn", convolutional, channels.keep),
    training("set_cnn_long", long, channels.keep),
    training("set_cnn_tuning", tuning, channels.keep),
    training("set_on_features", on_features, channels.keep),
    training("set_resnet", residual),
)
