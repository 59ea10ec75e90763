"""What SET depends on: the runs behind Fig. 6 of [Mocanu2018] and the claims of its discussion.

All with the paper's own settings (constant rate .01, batches of 100), so that runs of different
lengths can be compared at an epoch that both reached.
"""

from itertools import product

from lib.papers.set.mlp import CIFAR10
from lib.papers.set.regularised import RegularisedTraining
from lib.papers.shared.methods import ER_20, PUBLISHED, SCALES, Fields, training_runs
from lib.papers.shared.sparse_training import SparseTraining, training
from lib.runs.experiment import keep_nothing

Runs = list[SparseTraining]

# ------------------------------------------------------------------------------ Fig. 6: settings

ACTIVATIONS = {"SReLU": "srelu", "ReLU": "relu"}
MOMENTA = {"momentum": "sgd", "Nesterov": "nesterov"}
REGULARISERS: dict[str, Fields] = {
    "none": {"weight_decay": 0.0},
    "L1": {"weight_decay": 0.0, "l1": 1e-7},
    "L2": {"weight_decay": 2e-4},
}
COMPARED = ("set", "fixed", "dense")


def setting(activation: str, momentum: str, regulariser: str) -> str:
    """How a setting of Fig. 6 is written."""
    return f"{activation}, {momentum}, {regulariser}"


NAMED = tuple(product(ACTIVATIONS, MOMENTA, REGULARISERS))
SETTINGS = tuple(setting(*names) for names in NAMED)  # twelve
LONG_DENSE = (setting("SReLU", "momentum", "none"), setting("ReLU", "momentum", "none"))
ABLATION_SCALES: dict[str, Fields] = {
    "smoke": {**SCALES["smoke"], "epochs": {"sparse": 2}, "seeds": 1},
    "quick": {
        "epochs": {"sparse": 2, "dense": 1},
        "seeds": 1,
        "datasets": ("fashion_mnist",),
        "fallback": "digits",
        "limit": 5000,
    },
    "paper": {
        "epochs": {"sparse": 60, "dense": 8},  # a dense epoch costs some five sparse ones
        "seeds": 5,
        "datasets": ("fashion_mnist",),
    },
}
LONG: Fields = {"epochs": {"sparse": 300}, "seeds": 3}  # fixed before the first of them began


def ablation(profile: str) -> Runs:
    """SET, a fixed support and the dense network in the twelve settings of Fig. 6; two of these in
    the profile "smoke". In :data:`LONG_DENSE` the dense network trains as long as the others.
    """
    runs: Runs = []
    for names in NAMED if profile != "smoke" else NAMED[:2]:
        scale = ABLATION_SCALES[profile]
        if profile == "paper" and setting(*names) in LONG_DENSE:
            scale = {**scale, "epochs": {"sparse": scale["epochs"]["sparse"]}}
        runs += _regularised("set_ablation", COMPARED, scale, _fields(*names))
    return runs


def long_ablation(profile: str) -> Runs:
    """The same for five times the epochs, the dense network in :data:`LONG_DENSE` alone; one run in
    the small profiles.
    """
    if profile != "paper":
        scale = {**ABLATION_SCALES["smoke"], "epochs": {"sparse": 1}}
        return _regularised("set_ablation_long", ("set",), scale, _fields(*NAMED[0]))
    scale = {**ABLATION_SCALES["paper"], **LONG}
    runs: Runs = []
    for names in NAMED:
        methods = COMPARED if setting(*names) in LONG_DENSE else COMPARED[:2]
        runs += _regularised("set_ablation_long", methods, scale, _fields(*names))
    return runs


def _fields(activation: str, momentum: str, regulariser: str) -> Fields:
    """What a setting of Fig. 6 is, of a run."""
    return {
        **PUBLISHED,
        "activation": ACTIVATIONS[activation],
        "published_srelu": activation == "SReLU",
        "optimiser": MOMENTA[momentum],
        **REGULARISERS[regulariser],
        "variant": setting(activation, momentum, regulariser),
    }


def _regularised(experiment: str, methods: tuple[str, ...], scale: Fields, fields: Fields) -> Runs:
    """The runs of methods on the network of er_epsilon 20, with a penalty where one is given."""
    coupling = fields.get("l1", 0.0)
    of_training = {name: value for name, value in fields.items() if name != "l1"}
    runs = training_runs(experiment, ER_20, methods, **{**scale, **of_training})
    return [_penalised(run, coupling) for run in runs]


def _penalised(run: SparseTraining, coupling: float) -> RegularisedTraining:
    changes: Fields = {"l1": coupling}
    if run.stand_in is not None:
        changes["stand_in"] = _penalised(run.stand_in, coupling)
    return run.as_kind(RegularisedTraining, **changes)


# --------------------------------------------------------- how many links, and how many are moved

DROP_FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5)
ER_EPSILONS = (10.0, 20.0, 40.0)
FEWER = (1.0, 2.0, 5.0)  # down to where training breaks, at the fraction .3
SENSITIVITY_SCALES: dict[str, Fields] = {
    "smoke": {**SCALES["smoke"], "epochs": {"sparse": 1}, "seeds": 1},
    "quick": {
        "epochs": {"sparse": 1},
        "seeds": 1,
        "datasets": ("mnist",),
        "fallback": "digits",
        "limit": 5000,
    },
    "paper": {"epochs": {"sparse": 40}, "seeds": 5, "datasets": ("mnist",)},
}


def sensitivity(profile: str) -> Runs:
    """SET on MNIST at other drop fractions and numbers of links."""
    points = list(product(ER_EPSILONS, DROP_FRACTIONS))
    if profile == "paper":
        points += [(er_epsilon, 0.3) for er_epsilon in FEWER]
    else:
        points = [point for point in points if point[1] in (0.1, 0.3)]
    runs: Runs = []
    for er_epsilon, drop_fraction in points:
        network = {**ER_20, "er_epsilon": er_epsilon}
        fields = {
            **PUBLISHED,
            "drop_fraction": drop_fraction,
            "variant": f"ε = {er_epsilon:g}, ζ = {drop_fraction:g}",
        }
        scale = {**SENSITIVITY_SCALES[profile], **fields}
        runs += training_runs("set_sensitivity", network, ("set",), **scale)
    return runs


# ------------------------------------------------------------------------------ what is dropped

REMOVALS = ("set", "set_random_removal", "set_largest_removal")
_SMALL_CIFAR: Fields = {"datasets": ("digits",), "hidden": (400, 100, 400)}
REMOVAL_SCALES: dict[str, Fields] = {
    "smoke": {**_SMALL_CIFAR, "epochs": {"sparse": 2}, "seeds": 1},
    "quick": {"epochs": {"sparse": 2}, "seeds": 1, "limit": 2500, "fallback": "digits"},
    "paper": {"epochs": {"sparse": 25}, "seeds": 5},
}


def removals(profile: str) -> Runs:
    """SET on CIFAR-10 that drops its smallest, random, or largest weights."""
    scale = {**CIFAR10, **REMOVAL_SCALES[profile]}
    return training_runs("set_removals", ER_20, REMOVALS, **scale)


# --------------------------------------------------------------------- what the authors' code does

# Two changes would change nothing: a sparse output layer, full at er_epsilon 20, cannot move, and
# links that are regrown at the end start at 0.
VARIANTS: dict[str, Fields] = {  # one change each
    "as in the paper": {},
    "links drawn with replacement": {"draw": "with_replacement"},
    "links drawn one by one (Bernoulli)": {"draw": "bernoulli"},
    "weights start as N(0, .1²)": {"start": 0.1},
    "new links start as N(0, .1²)": {"new_std": 0.1},
    "what was dropped stays away": {"regrow_dropped": False},
    "momentum of all links zeroed": {"reset_state": True},
    "dropped by size alone": {"drop": "magnitude"},
    "no weight decay": {"weight_decay": 0.0},
    "nothing removed at the end": {"last_epoch": "keep"},
}
VARIANTS_EPOCHS = {"smoke": {"sparse": 2}, "quick": {"sparse": 2}, "paper": {"sparse": 30}}
FEW_VARIANTS = ("as in the paper", "new links start as N(0, .1²)", "nothing removed at the end")


def variants(profile: str) -> Runs:
    """SET as the authors' programs have it where they differ from the paper, on Fashion-MNIST."""
    named = VARIANTS if profile == "paper" else FEW_VARIANTS
    scale = {**ABLATION_SCALES[profile], "epochs": VARIANTS_EPOCHS[profile]}
    runs: Runs = []
    for variant in named:
        fields = {**PUBLISHED, **VARIANTS[variant], "variant": variant}
        runs += training_runs("set_variants", ER_20, ("set",), **{**scale, **fields})
    return runs


ABLATION = training("set_ablation", ablation, keep_nothing)
ABLATION_LONG = training("set_ablation_long", long_ablation, keep_nothing)
SENSITIVITY = training("set_sensitivity", sensitivity, keep_nothing)
REMOVAL = training("set_removals", removals, keep_nothing)
VARIANTS_OF_CODE = training("set_variants", variants, keep_nothing)
