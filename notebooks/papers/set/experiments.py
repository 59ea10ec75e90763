"""Every run of SET's networks: Table 3, Fig. 5 and 6 of [Mocanu2018], its Discussion, growth rules,
recipes, and the studies of the links of trained networks.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product

from lib.runs.experiment import PROFILES, Experiment, keep_nothing
from lib.runs.record import Record
from papers.set import studies
from papers.set.training import RegularisedTraining
from papers.shared import study, tuning
from papers.shared.methods import (
    ER_20,
    GROWTH,
    NETWORKS,
    PUBLISHED,
    QUICK,
    WIDE,
    Fields,
    profiled,
    tabled,
)
from papers.shared.sparse_training import SparseTraining
from papers.shared.study import studies_of
from papers.shared.tables import part
from papers.shared.trained import holds_degrees, holds_links, keep_clock
from papers.shared.training import training

Runs = list[SparseTraining]

# -------------------------------------------------------------------------- Table 3 and Fig. 5

ALL, PAIR, BASIC = ["set", "fixed", "fixed_final", "dense"], ["set", "fixed"], tuning.BASIC
THREE, FIVE = range(3), range(5)  # seeds
IMAGES, SAMPLE = ["mnist", "fashion_mnist"], ["higgs_sample"]
ON_MNIST: Fields = {**PUBLISHED, **ER_20, "dataset": ["mnist"]}
CIFAR10: Fields = {
    **PUBLISHED,
    "hidden": (4000, 1000, 4000),
    "er_epsilon": 20.0,
    "dataset": ["cifar10"],
    "augmentation": 1.0,
    "per_pixel": True,
}
SMALL: Fields = {"hidden": (400, 100, 400)}  # on digits, in the place of CIFAR-10
IF_HERE: Fields = {"if_here": True, "fallback": None}


def set_mlp(profile: str) -> Runs:
    """Table 3 and Fig. 5: tuned settings, and the published ones on MNIST and CIFAR-10.

    The full HIGGS set, and in the quick profile CIFAR-10 and the sample of HIGGS, are among them
    where they are on this machine already.
    """
    tuned: Fields = {**ER_20, "tuned_as": "set_mlp", "dataset": IMAGES, "method": ALL}
    tuned |= {"epochs": 150, "seed": FIVE}
    return tabled(
        "set_mlp",
        profile,
        part(tuned, smoke={"seed": range(2)}, quick={**QUICK, "seed": range(2)}),
        {"paper": {**tuned, "method": ["set_random_removal"]}},
        part(
            {**tuned, "dataset": SAMPLE, "epochs": 20},
            smoke=None,
            quick={**QUICK, **IF_HERE, "epochs": 5},
        ),
        {"paper": {**tuned, **IF_HERE, "dataset": ["higgs"], "epochs": 20}},
        part(
            {**ON_MNIST, "method": PAIR, "epochs": {"set": 300, "others": 100}, "seed": FIVE},
            smoke=None,
            quick=QUICK,
        ),
        part(
            {**CIFAR10, "method": BASIC, "epochs": {"dense": 10, "others": 50}, "seed": THREE},
            smoke={**SMALL, "method": PAIR},
            quick={**IF_HERE, "limit": 5000},
        ),
    )


def set_mlp_long(profile: str) -> Runs:
    """CIFAR-10 for as many epochs as in the paper, with its own settings; the dense network, of
    which an epoch takes some twenty sparse ones, for a tenth of them. The rate is constant, so that
    the networks can be compared after any epoch. For the degrees SET on MNIST, with ten seeds that
    no shorter run has. All was fixed before the first run began.
    """
    return tabled(
        "set_mlp_long",
        profile,
        part(
            {
                **CIFAR10,
                "method": BASIC,
                "epochs": {"dense": 100, "others": 1000},
                "seed": {"set": FIVE, "others": THREE},
            },
            smoke={**SMALL, "method": ["set"], "epochs": 1},
            quick="smoke",
        ),
        {"paper": {**ON_MNIST, "method": ["set"], "epochs": 1000, "seed": range(10, 20)}},
    )


def time_to_accuracy(profile: str) -> Runs:
    """SET, and dense for about as long on the clock, and dense for longer. SET has the settings of
    ``set_mlp``; dense those chosen at 6 epochs, before the later choice at 60.
    """
    timed: Fields = {**ER_20, "tuned_as": "time_to_accuracy", "dataset": IMAGES}
    return tabled(
        "time_to_accuracy",
        profile,
        part(
            {**timed, "variant": "tuned", "method": ["set"], "epochs": 40, "seed": FIVE},
            quick={**QUICK, "epochs": 6},
        ),
        part(
            {**timed, "variant": "equal time", "method": ["dense"], "epochs": 5, "seed": FIVE},
            smoke={"epochs": 1},
            quick={**QUICK, "epochs": 1},
        ),
        part(
            {**timed, "variant": "longer", "method": ["dense"], "epochs": 12, "seed": range(2)},
            smoke={"epochs": 2},
            quick={**QUICK, "epochs": 2},
        ),
    )


# ---------------------------------------------------------------------------- where links grow


def growth_rules(profile: str) -> Runs:
    """Growth rules at 1 % of the links, and a fixed random support."""
    return profiled(WIDE, profile, (*GROWTH, "fixed"))


def densities(profile: str) -> Runs:
    """SET and RigL with other numbers of links: density .005 to .05 at width 1568, MNIST."""
    table = part(
        {
            **NETWORKS[WIDE],
            "tuned_as": WIDE,
            "density": [0.005, 0.01, 0.02, 0.05],
            "dataset": ["mnist"],
            "method": ["set", "rigl"],
            "epochs": 20,
            "seed": THREE,
        },
        smoke={"hidden": (300, 300, 300), "density": [0.01, 0.02], "epochs": 1},
        quick={**QUICK, "density": [0.01, 0.02]},
    )
    return tabled("densities", profile, table)


# ----------------------------------------------------------- Fig. 6, and what SET depends on
#
# All with the paper's own settings (constant rate .01, batches of 100), so that runs of different
# lengths can be compared at an epoch that both reached.

ACTIVATIONS: dict[str, Fields] = {
    "SReLU": {"activation": "srelu", "published_srelu": True},
    "ReLU": {"activation": "relu", "published_srelu": False},
}
MOMENTA: dict[str, Fields] = {
    "momentum": {"optimiser": "sgd"},
    "Nesterov": {"optimiser": "nesterov"},
}
REGULARISERS: dict[str, Fields] = {
    "none": {"weight_decay": 0.0},
    "L1": {"weight_decay": 0.0, "l1": 1e-7},
    "L2": {"weight_decay": 2e-4},
}
SETTINGS: dict[str, Fields] = {  # twelve, as "SReLU, momentum, none"
    ", ".join(names): {**ACTIVATIONS[names[0]], **MOMENTA[names[1]], **REGULARISERS[names[2]]}
    for names in product(ACTIVATIONS, MOMENTA, REGULARISERS)
}
LONG_DENSE = ("SReLU, momentum, none", "ReLU, momentum, none")  # dense trains as long as SET there
ON_FASHION: Fields = {**ON_MNIST, "dataset": ["fashion_mnist"]}
OF_FIG_6: Fields = {**ON_FASHION, "kind": RegularisedTraining, "variant": [*SETTINGS]}


def _settings(**in_long_dense: object) -> Fields:
    """The differences of the twelve settings, and what else differs in :data:`LONG_DENSE`."""
    of_long = {name: {**SETTINGS[name], **in_long_dense} for name in LONG_DENSE}
    return {"differences": {"variant": {**SETTINGS, **of_long}}}


def ablation(profile: str) -> Runs:
    """SET, a fixed support and the dense network in the twelve settings of Fig. 6; two of these in
    the profile "smoke". A dense epoch costs some five sparse ones. In :data:`LONG_DENSE` the dense
    network trains as long as the others.
    """
    epochs = {"dense": 8, "others": 60}
    table = part(
        {**OF_FIG_6, **_settings(epochs=60), "method": BASIC, "epochs": epochs, "seed": FIVE},
        smoke={**_settings(), "variant": [*SETTINGS][:2], "epochs": 2},
        quick={**_settings(), "epochs": {"dense": 1, "others": 2}, "limit": 5000},
    )
    return tabled("set_ablation", profile, table)


def long_ablation(profile: str) -> Runs:
    """The same for five times the epochs, the dense network in :data:`LONG_DENSE` alone; one
    setting, without dense, in the small profiles. The five seeds, which no shorter run has, were
    fixed before the first run began.
    """
    of_settings = _settings(method=BASIC)
    table = part(
        {**OF_FIG_6, **of_settings, "method": PAIR, "epochs": 300, "seed": range(10, 15)},
        smoke={**_settings(), "variant": [LONG_DENSE[0]], "epochs": 1},
        quick="smoke",
    )
    return tabled("set_ablation_long", profile, table)


DROP_FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5)
ER_EPSILONS = (10.0, 20.0, 40.0)


def sensitivity(profile: str) -> Runs:
    """SET on MNIST at other drop fractions and numbers of links; at the fraction .3 with fewer
    links too, down to where training breaks.
    """
    paper: Fields = {
        **ON_MNIST,
        "variant": "ε = {er_epsilon:g}, ζ = {drop_fraction:g}",
        "er_epsilon": [*ER_EPSILONS],
        "drop_fraction": [*DROP_FRACTIONS],
        "method": ["set"],
        "epochs": 40,
        "seed": FIVE,
    }
    few: Fields = {"drop_fraction": [0.1, 0.3], "epochs": 1}
    return tabled(
        "set_sensitivity",
        profile,
        part(paper, smoke=few, quick={**few, "limit": 5000}),
        {"paper": {**paper, "er_epsilon": [1.0, 2.0, 5.0], "drop_fraction": 0.3}},
    )


def removals(profile: str) -> Runs:
    """SET on CIFAR-10 that drops its smallest, random, or largest weights."""
    methods = ["set", "set_random_removal", "set_largest_removal"]
    table = part(
        {**CIFAR10, "method": methods, "epochs": 25, "seed": FIVE},
        smoke={**SMALL, "epochs": 2},
        quick={"epochs": 2, "limit": 2500},
    )
    return tabled("set_removals", profile, table)


# Two changes would change nothing: a sparse output layer, full at er_epsilon 20, cannot move, and
# links that are regrown at the end start at 0.
VARIANTS: dict[str, Fields] = {  # of the authors' programs, one change each
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
FEW_VARIANTS = ["as in the paper", "new links start as N(0, .1²)", "nothing removed at the end"]


def variants(profile: str) -> Runs:
    """SET as the authors' programs have it where they differ from the paper, on Fashion-MNIST."""
    paper: Fields = {
        "method": ["set"],  # first, as a variant changes how SET drops
        **ON_FASHION,
        "variant": [*VARIANTS],
        "differences": {"variant": VARIANTS},
        "epochs": 30,
        "seed": FIVE,
    }
    few: Fields = {"variant": FEW_VARIANTS, "epochs": 2}
    return tabled("set_variants", profile, part(paper, smoke=few, quick={**few, "limit": 5000}))


# ------------------------------------------------------------------------- what raises accuracy

TRIED_ON: dict[str, tuple[str, ...]] = {  # by network: where each method was tuned
    WIDE: ("rigl", "set", "fixed"),  # 77,145 links, 15,680 of them the output's
    "adaptive_topology": ("dense",),
}
TUNED, LONGER, TOGETHER = "as tuned", "twice the epochs", "what helps, together"
RECIPES: dict[str, Fields] = {  # one change each of the settings chosen for a method
    TUNED: {},
    "weights averaged": {"averaging": 0.999},
    "labels softened": {"label_smoothing": 0.1},
    "sharpness-aware": {"sharpness": 0.05},
    "five times the decay": {"weight_decay": 1e-3},
    "no decay": {"weight_decay": 0.0},
    "dropout .3": {"dropout": 0.3},
    "images moved": {"augmentation": 0.5},
    LONGER: {},  # for what takes two gradients a step
}
FEW_RECIPES = (TUNED, "labels softened", "sharpness-aware")
HELPFUL: dict[tuple[str, str], tuple[str, ...]] = {  # more than .1 points on validation images
    ("rigl", "mnist"): ("labels softened", "sharpness-aware", "images moved"),
    ("rigl", "fashion_mnist"): ("labels softened", "sharpness-aware"),
}
FINAL: dict[tuple[str, str], tuple[str, ...]] = {  # what did best there, and what costs as much
    ("rigl", "mnist"): ("labels softened", TOGETHER, LONGER),  # two did equally well
    ("rigl", "fashion_mnist"): ("sharpness-aware", LONGER),
    ("set", "fashion_mnist"): ("no decay",),  # costs no more than as tuned
    ("fixed", "mnist"): ("no decay",),
    ("fixed", "fashion_mnist"): ("no decay",),
}


def recipes_tried(profile: str) -> list[RegularisedTraining]:
    """Every recipe on validation examples, for every method for which it changes something; then
    those that help RigL, the first that was tried, together.
    """
    scale = {**tuning.scale_of(profile), "epochs": 2}
    if profile == "paper":
        scale |= {"epochs": 60, "dataset": IMAGES}
    runs = []
    for network, methods in TRIED_ON.items():
        for run in profiled(network, profile, methods, **scale):
            tuned = by_recipe(run, TUNED, "accuracy_tuning")
            runs.append(tuned)
            for recipe in RECIPES if profile == "paper" else FEW_RECIPES:
                other = by_recipe(run, recipe, "accuracy_tuning")
                if replace(other, variant=TUNED) != tuned:
                    runs.append(other)
            if (run.method, run.dataset) in HELPFUL:
                runs.append(by_recipe(run, TOGETHER, "accuracy_tuning"))
    return runs


def recipes_on_test(profile: str) -> list[RegularisedTraining]:
    """By the recipes that did best on validation examples, on all training examples; where a step
    is aware of sharpness, and so takes two gradients, also as tuned for twice the epochs. The same
    networks as tuned are those of the experiments :data:`TRIED_ON`.
    """
    runs = []
    for network, methods in TRIED_ON.items():
        for run in profiled(network, profile, methods):
            recipes = ("sharpness-aware", LONGER) if run.method == "rigl" else ()
            if profile == "paper":
                recipes = FINAL.get((run.method, run.dataset), ())
            runs += [by_recipe(run, recipe, "accuracy_by_recipe") for recipe in recipes]
    return runs


def by_recipe(run: SparseTraining, recipe: str, experiment: str) -> RegularisedTraining:
    """The same training by a recipe.

    Args:
        run: with the settings tuned for its method.
        recipe: of :data:`RECIPES`, or :data:`TOGETHER` where :data:`HELPFUL` says which.
        experiment: of which it becomes a run.
    """
    changes: Fields = {"experiment": experiment, "variant": recipe}
    for one in HELPFUL[run.method, run.dataset] if recipe == TOGETHER else (recipe,):
        changes |= RECIPES[one]
    if recipe == LONGER:
        changes["epochs"] = 2 * run.epochs
    if run.stand_in is not None:
        changes["stand_in"] = by_recipe(run.stand_in, recipe, experiment)
    return run.as_kind(RegularisedTraining, **changes)


WITH_DECAY: dict[str, tuple[str, ...]] = {  # by experiment, whose runs have the decay of all others
    "adaptive_topology": ("set", "rigl", "fixed"),
    "set_mlp": ("set", "fixed"),
}


def without_decay(profile: str) -> Runs:
    """The networks of :data:`WITH_DECAY` without weight decay, all else as chosen with it. Those of
    ``set_mlp`` diverge on MNIST: the rate that was chosen with decay is too large without.
    """
    compared = WITH_DECAY if profile == "paper" else {WIDE: ("set", "fixed")}
    changes = {"experiment": "without_decay", "variant": "no decay", "weight_decay": 0.0}
    runs = []
    for experiment, methods in compared.items():
        for run in profiled(experiment, profile, methods):
            runs.append(run.with_changes(changes))
    return runs


# ------------------------------------------------------------------------- studies of the links

AMOUNTS: dict[str, dict[str, Fields]] = {  # replicates of a bootstrap, networks of equal degrees
    "scale_free": {"smoke": {"draws": 10}, "quick": {"draws": 100}, "paper": {"draws": 1000}},
    "scale_free_long": {"smoke": {"draws": 10}, "quick": {"draws": 10}, "paper": {"draws": 1000}},
    "network_structure": {"smoke": {"draws": 2}, "quick": {"draws": 3}, "paper": {"draws": 20}},
    "visible_connectivity": dict.fromkeys(PROFILES, {"draws": 1}),
}


def studied(experiment: str, profile: str) -> Runs:
    """The sparse networks of ``adaptive_topology``; for the degrees of the profile "paper" those of
    SET and of growth rules on MNIST too. Those of SET that trained long are studied apart.
    """
    if experiment == "scale_free_long":
        return [run for run in set_mlp_long(profile) if run.dataset != "cifar10"]
    methods = ("set", "rigl", "set_random_removal", "fixed")
    runs = profiled("adaptive_topology", profile, methods)
    if (experiment, profile) == ("scale_free", "paper"):
        for run in set_mlp(profile):
            own = run.method in ("set", "set_random_removal", "fixed")
            if own and not run.dataset.startswith("higgs"):
                runs.append(run)
        for run in growth_rules(profile):
            grown = run.method in ("preferential", "ch3_l3", "fixed")
            if grown and run.dataset == "mnist":
                runs.append(run)
    return runs


def _of_links(
    name: str, measure: Callable, holds: Callable[[Record], bool], *parents: str
) -> Experiment:
    """What is measured of the links of :func:`studied` networks."""
    configs = partial(studies_of, name, partial(studied, name), AMOUNTS[name])
    return study.measuring(name, configs, measure, *parents, holds=holds)


EXPERIMENTS = (
    training("set_mlp", set_mlp, same_runs_as=("adaptive_topology", "time_to_accuracy")),
    training("set_mlp_long", set_mlp_long),
    training(WIDE, growth_rules),
    training("densities", densities, keep_nothing),
    # the time that it takes is what counts: nothing is taken over
    training("time_to_accuracy", time_to_accuracy, keep_clock),
    training("set_ablation", ablation, keep_nothing),
    training("set_ablation_long", long_ablation, keep_nothing),
    training("set_sensitivity", sensitivity, keep_nothing),
    training("set_removals", removals, keep_nothing),
    training("set_variants", variants, keep_nothing),
    training("accuracy_tuning", recipes_tried, keep_nothing),
    training("accuracy_by_recipe", recipes_on_test, keep_nothing),
    training("without_decay", without_decay, keep_nothing, parents=tuple(WITH_DECAY)),
    _of_links(
        "scale_free", studies.scale_free, holds_degrees, "adaptive_topology", "set_mlp", WIDE
    ),
    _of_links("scale_free_long", studies.scale_free, holds_degrees, "set_mlp_long"),
    _of_links("network_structure", studies.network_structure, holds_links, "adaptive_topology"),
    _of_links(
        "visible_connectivity", studies.visible_connectivity, holds_degrees, "adaptive_topology"
    ),
)
