"""SET-MLP: the runs behind Table 3 and Fig. 5 of [Mocanu2018], and accuracy on the clock."""

from typing import Any

from lib import data
from lib.papers.shared.methods import ER_20, PUBLISHED, SCALES, profiled, training_runs
from lib.papers.shared.sparse_training import SparseTraining, training

ALL = ("set", "fixed", "fixed_final", "dense")
CIFAR10 = {
    **PUBLISHED,
    "hidden": (4000, 1000, 4000),
    "datasets": ("cifar10",),
    "augmentation": 1.0,
    "per_pixel": True,
}
SMALL = {"seeds": 1, "datasets": ("digits",), "hidden": (400, 100, 400)}
BESIDES: dict[str, list[dict[str, Any]]] = {  # MNIST and Fashion-MNIST with tuned settings
    "smoke": [{"methods": ("set", "fixed"), **CIFAR10, **SMALL}],
    "quick": [
        {"methods": ("set", "fixed"), "datasets": ("mnist",), **PUBLISHED},
        {
            "methods": ALL,
            "datasets": ("higgs_sample",),
            "epochs": {"sparse": 5},
            "fallback": None,
        },
        {
            "methods": ("set", "fixed", "dense"),
            "limit": 5000,
            "fallback": None,
            **CIFAR10,
        },
    ],
    "paper": [
        {"methods": ("set_random_removal",), "datasets": ("mnist", "fashion_mnist")},
        {"methods": ALL, "datasets": ("higgs_sample",), "epochs": {"sparse": 20}},
        {"methods": ALL, "datasets": ("higgs",), "epochs": {"sparse": 20}},
        {
            "methods": ("set", "fixed"),
            "datasets": ("mnist",),
            "epochs": {"sparse": 100, "set": 300},
            **PUBLISHED,
        },
        {
            "methods": ("set", "fixed"),
            "seeds": 3,
            "epochs": {"sparse": 50},
            **CIFAR10,
        },
        {"methods": ("dense",), "seeds": 3, "epochs": {"sparse": 10}, **CIFAR10},
    ],
}


def configs(profile: str) -> list[SparseTraining]:
    """Table 3 and Fig. 5 of SET: tuned settings, and the published ones on MNIST and CIFAR-10.

    The full HIGGS set, and in the quick profile CIFAR-10 and the sample of HIGGS, are among them
    where they are on this machine already.
    """
    changes = {"seeds": 2} if profile == "quick" else {}
    runs = profiled("set_mlp", profile, ALL, **changes)
    for part in BESIDES[profile]:
        scale = {**SCALES[profile], **part}
        if not _is_optional(scale) or data.is_here(*scale["datasets"]):
            runs += training_runs("set_mlp", ER_20, **scale)
    return runs


def _is_optional(scale: dict[str, Any]) -> bool:
    """Whether a data set is left out where it would have to be fetched first."""
    without_stand_in = scale.get("fallback", "digits") is None
    return without_stand_in or scale["datasets"] == ("higgs",)


LONG: dict[str, tuple[int, int]] = {  # epochs and seeds, fixed before the first of them began
    "set": (1000, 5),
    "fixed": (1000, 3),
    "dense": (100, 3),  # an epoch takes some twenty sparse ones
}


def long(profile: str) -> list[SparseTraining]:
    """CIFAR-10 for as many epochs as in the paper, with its own settings; the dense network for a
    tenth of them. The rate is constant, so that the networks can be compared after any epoch.
    """
    if profile != "paper":
        scale = {**CIFAR10, **SMALL, "epochs": {"sparse": 1}}
        return training_runs("set_mlp_long", ER_20, ("set",), **scale)
    runs = []
    for method, (epochs, seeds) in LONG.items():
        scale = {**CIFAR10, "epochs": {"sparse": epochs}, "seeds": seeds}
        runs += training_runs("set_mlp_long", ER_20, (method,), **scale)
    return runs


TIMED = (  # method, variant, seeds
    ("set", "tuned", 5),
    ("dense", "equal time", 5),
    ("dense", "longer", 2),
)
TIMED_EPOCHS = {"smoke": (3, 1, 2), "quick": (6, 1, 2), "paper": (40, 5, 12)}


def timed(profile: str) -> list[SparseTraining]:
    """SET, and dense for about as long on the clock, and dense for longer; the settings are those
    of ``set_mlp``, chosen at 40 and at 6 epochs.
    """
    runs = []
    for (method, variant, seeds), epochs in zip(TIMED, TIMED_EPOCHS[profile], strict=True):
        scale = {**SCALES[profile], "epochs": {"sparse": epochs}, "variant": variant}
        scale["seeds"] = seeds if profile == "paper" else 1
        runs += training_runs("time_to_accuracy", ER_20, (method,), **scale)
    return runs


SET_MLP = training("set_mlp", configs, same_runs_as=("adaptive_topology", "time_to_accuracy"))
SET_MLP_LONG = training("set_mlp_long", long)
# The time that it takes is what counts: nothing is taken over.
TIME_TO_ACCURACY = training("time_to_accuracy", timed)
