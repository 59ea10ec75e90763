"""How settings are chosen: on validation images, by grids; each says for which methods it is."""

from lib.runs.experiment import keep_nothing
from papers.shared.methods import GROWTH, NARROW, NETWORKS, WIDE, Fields, trainings
from papers.shared.sparse_training import SparseTraining
from papers.shared.training import training

Runs = list[SparseTraining]

VALIDATED: Fields = {
    "dataset": ["mnist"],
    "validation": 5000,
    "seed": range(1),
    "evaluate_test": False,
}
VALIDATED_SMALL: Fields = {**VALIDATED, "dataset": ["digits"], "validation": 200}
DENSE_EPOCHS = [10, 20]  # tried on validation images


def scale_of(profile: str) -> Fields:
    """How the runs of a profile are validated."""
    return VALIDATED if profile == "paper" else VALIDATED_SMALL


Tried = tuple[list[str], int | Fields, Fields]  # methods, epochs, values of settings


def _crosses(methods: list[str], **others: list[str]) -> list[Tried]:
    """Five settings for 60 epochs, where a product of values would take the dense network hours:
    the dropout at the middle rate, and the rate at the middle dropout.
    """
    return [
        (methods, 60, {"learning_rate": [0.3], "dropout": [0.1, 0.3, 0.5], **others}),
        (methods, 60, {"learning_rate": [0.1, 0.5], "dropout": [0.3], **others}),
    ]


LOW, HIGH = [0.01, 0.03, 0.1], [0.03, 0.1, 0.3]
BASIC, OF_WIDE = ["set", "fixed", "dense"], [*GROWTH, "fixed"]
OF_NARROW = ["set", "rigl", "set_random_removal", "fixed", "dense_small"]
COURSES = ["constant", "cosine"]  # of the learning rate (schedule), of the drop fraction (decay)
DENSE_6 = {"dense": 6, "others": 40}
OF_SMALL: Tried = (["dense_small"], 60, {"learning_rate": LOW[1:], "dropout": [0.1, 0.2, 0.3]})
GRIDS: dict[tuple[str, str], list[Tried]] = {  # by network and data set; values each with each
    ("set_mlp", "mnist"): [
        (BASIC, DENSE_6, {"learning_rate": HIGH, "dropout": [0.1, 0.2, 0.3]}),
        (BASIC, DENSE_6, {"learning_rate": LOW, "dropout": [0.2, 0.3], "schedule": COURSES}),
        (BASIC, DENSE_6, {"learning_rate": HIGH[1:], "dropout": [0.1], "schedule": ["constant"]}),
        *_crosses(["dense"]),  # the same network as that of NARROW
    ],
    ("set_mlp", "higgs_sample"): [
        (BASIC, 20, {"learning_rate": LOW, "dropout": [0.2, 0.3], "schedule": COURSES})
    ],
    (WIDE, "mnist"): [
        (OF_WIDE, 20, {"learning_rate": [0.1, 0.3], "dropout": [0.1, 0.2], "decay": COURSES}),
        (OF_WIDE, 60, {"learning_rate": [0.3], "dropout": [0.1, 0.2], "decay": COURSES}),
    ],
    (WIDE, "fashion_mnist"): [
        (
            ["set", "rigl"],
            60,
            {"learning_rate": [0.1, 0.3], "dropout": [0.1, 0.2, 0.3], "decay": ["cosine"]},
        ),
        (["preferential"], 60, {"learning_rate": [0.3], "dropout": [0.1, 0.2, 0.3]}),
    ],
    (NARROW, "mnist"): [
        (OF_NARROW, 20, {"learning_rate": [0.1, 0.3], "dropout": [0.1, 0.2], "decay": COURSES}),
        *_crosses(["dense"]),
        OF_SMALL,
    ],
    (NARROW, "fashion_mnist"): [
        *_crosses(["dense", "fixed"]),
        *_crosses(["set", "rigl"], decay=["cosine"]),
        OF_SMALL,
    ],
}


def configs(profile: str) -> Runs:
    """The grids of every network, on 5,000 validation examples; no test examples.

    A learning rate of 1 was tried as well: there every method diverges within the first epoch, as
    the small dense network does at .3 (these points have no record). The lowest rate of the first
    network, .01, was best for no method, and is left out at the others. SET and RigL are also tried
    with both courses of the drop fraction there; at the wide network the better rate is tried once
    more for 60 epochs, and the choice is checked on Fashion-MNIST for three rules. Last, the dense
    network for several numbers of epochs, on both data sets.
    """
    runs = [run for place in GRIDS for run in grid(*place, profile)]
    return list(dict.fromkeys(runs + dense_epochs(profile)))


def dense_epochs(profile: str) -> Runs:
    """The dense network for several numbers of epochs, as chosen at 6 epochs."""
    scale = {"epochs": [1], **scale_of(profile), "method": ["dense"], "variant": "epochs"}
    if profile == "paper":
        scale |= {"epochs": DENSE_EPOCHS, "dataset": ["mnist", "fashion_mnist"]}
    return trainings("tuning", **scale, learning_rate=0.3, dropout=0.1)


def grid(network: str, dataset: str, profile: str) -> Runs:
    """Every point of the grids of a network on a data set, once; in small profiles the first value
    of every setting, for one epoch.
    """
    runs: Runs = []
    for methods, epochs, values in GRIDS.get((network, dataset), []):
        scale = {**VALIDATED, "dataset": [dataset], "epochs": epochs}
        if profile != "paper":
            scale = {**VALIDATED_SMALL, "epochs": 1}
            values = {name: tried[:1] for name, tried in values.items()}
        settings = {**NETWORKS[network], "method": methods, **values, **scale, "variant": "grid"}
        for run in trainings("tuning", **settings):
            if run.decay == "constant" or run.drop is not None:  # links that stay drop nothing
                runs.append(run)
    return list(dict.fromkeys(runs))


TUNING = training("tuning", configs, keep_nothing)
