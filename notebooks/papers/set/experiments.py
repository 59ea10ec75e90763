"""Every run of SET's networks: Table 3, Fig. 5 and 6 of [Mocanu2018], its Discussion, growth rules,
recipes, and the studies of the links of trained networks.

A scale is what :func:`papers.shared.methods.training_runs` takes besides network and methods;
each table of scales says in what a profile differs.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product

from lib import data
from lib.runs.experiment import Experiment, keep_nothing
from lib.runs.record import Record
from papers.set import studies
from papers.set.training import RegularisedTraining
from papers.shared import study, tuning
from papers.shared.methods import (
    CHOSEN,
    ER_20,
    GROWTH,
    NETWORKS,
    PUBLISHED,
    SCALES,
    Fields,
    profiled,
    training_runs,
)
from papers.shared.sparse_training import SparseTraining
from papers.shared.study import Study, Table, study_of, with_stand_in
from papers.shared.trained import holds_degrees, holds_links, keep_clock
from papers.shared.training import training

Runs = list[SparseTraining]

# -------------------------------------------------------------------------- Table 3 and Fig. 5

ALL = ("set", "fixed", "fixed_final", "dense")
CIFAR10: Fields = {
    **PUBLISHED,
    "hidden": (4000, 1000, 4000),
    "datasets": ("cifar10",),
    "augmentation": 1.0,
    "per_pixel": True,
}
SMALL: Fields = {"seeds": 1, "datasets": ("digits",), "hidden": (400, 100, 400)}
MNIST: Fields = {"datasets": ("mnist",)}
BESIDES: dict[str, list[Fields]] = {  # MNIST and Fashion-MNIST with tuned settings
    "smoke": [{"methods": ("set", "fixed"), **CIFAR10, **SMALL}],
    "quick": [
        {"methods": ("set", "fixed"), **MNIST, **PUBLISHED},
        {"methods": ALL, "datasets": ("higgs_sample",), "epochs": {"sparse": 5}, "fallback": None},
        {"methods": ("set", "fixed", "dense"), "limit": 5000, "fallback": None, **CIFAR10},
    ],
    "paper": [
        {"methods": ("set_random_removal",), "datasets": ("mnist", "fashion_mnist")},
        {"methods": ALL, "datasets": ("higgs_sample",), "epochs": {"sparse": 20}},
        {"methods": ALL, "datasets": ("higgs",), "epochs": {"sparse": 20}},
        {"methods": ("set", "fixed"), **MNIST, "epochs": {"sparse": 100, "set": 300}, **PUBLISHED},
        {"methods": ("set", "fixed"), "seeds": 3, "epochs": {"sparse": 50}, **CIFAR10},
        {"methods": ("dense",), "seeds": 3, "epochs": {"sparse": 10}, **CIFAR10},
    ],
}


def set_mlp(profile: str) -> Runs:
    """Table 3 and Fig. 5: tuned settings, and the published ones on MNIST and CIFAR-10.

    The full HIGGS set, and in the quick profile CIFAR-10 and the sample of HIGGS, are among them
    where they are on this machine already.
    """
    runs = profiled("set_mlp", profile, ALL, **{"seeds": 2} if profile == "quick" else {})
    for part in BESIDES[profile]:
        scale = {**SCALES[profile], **part}
        fetched_first = scale["datasets"] == ("higgs",) or scale.get("fallback", "digits") is None
        if not fetched_first or data.is_here(*scale["datasets"]):
            runs += training_runs("set_mlp", ER_20, **scale)
    return runs


LONG: dict[str, Fields] = {  # fixed before the first of them began
    "set": {"epochs": {"sparse": 1000}, "seeds": 5},
    "fixed": {"epochs": {"sparse": 1000}, "seeds": 3},
    "dense": {"epochs": {"sparse": 100}, "seeds": 3},  # an epoch takes some twenty sparse ones
}
# At a constant rate seeds below 10 repeat shorter runs, which were looked at.
LONG_MNIST: Fields = {**PUBLISHED, **MNIST, "epochs": {"sparse": 1000}, "seeds": range(10, 20)}


def set_mlp_long(profile: str) -> Runs:
    """CIFAR-10 for as many epochs as in the paper, with its own settings; the dense network for a
    tenth of them. The rate is constant, so that the networks can be compared after any epoch. For
    the degrees SET on MNIST, with ten seeds that no shorter run has.
    """
    scales = LONG if profile == "paper" else {"set": {**SMALL, "epochs": {"sparse": 1}}}
    runs = []
    for method, scale in scales.items():
        runs += training_runs("set_mlp_long", ER_20, (method,), **{**CIFAR10, **scale})
    if profile == "paper":
        runs += training_runs("set_mlp_long", ER_20, ("set",), **LONG_MNIST)
    return runs


TIMED = {  # variant: method, seeds, epochs by profile
    "tuned": ("set", 5, {"smoke": 3, "quick": 6, "paper": 40}),
    "equal time": ("dense", 5, {"smoke": 1, "quick": 1, "paper": 5}),
    "longer": ("dense", 2, {"smoke": 2, "quick": 2, "paper": 12}),
}


def time_to_accuracy(profile: str) -> Runs:
    """SET, and dense for about as long on the clock, and dense for longer. SET has the settings of
    ``set_mlp``; dense those chosen at 6 epochs, before the later choice at 60.
    """
    runs = []
    for variant, (method, seeds, epochs) in TIMED.items():
        scale = {**SCALES[profile], "epochs": {"sparse": epochs[profile]}, "variant": variant}
        scale["seeds"] = seeds if profile == "paper" else 1
        runs += training_runs("time_to_accuracy", ER_20, (method,), **scale)
    return runs


# ---------------------------------------------------------------------------- where links grow

WIDE = "adaptive_topology_1568"
DENSITIES: dict[str, Fields] = {
    "smoke": {"densities": (0.01, 0.02), "epochs": 1, "seeds": 1},
    "quick": {"densities": (0.01, 0.02), "epochs": 3, "seeds": 1},
    "paper": {"densities": (0.005, 0.01, 0.02, 0.05), "epochs": 20, "seeds": 3},
}


def growth_rules(profile: str) -> Runs:
    """Growth rules at 1 % of the links, and a fixed random support."""
    return profiled(WIDE, profile, (*GROWTH, "fixed"), **MNIST if profile == "quick" else {})


def densities(profile: str) -> Runs:
    """SET and RigL with other numbers of links: density .005 to .05 at width 1568, MNIST."""
    chosen, network = DENSITIES[profile], NETWORKS[WIDE]
    scale = {**SCALES[profile], "epochs": {"sparse": chosen["epochs"]}, "seeds": chosen["seeds"]}
    if profile == "smoke":
        network = {**network, "hidden": (300, 300, 300)}
    else:
        scale |= MNIST
    runs = []
    for density, method in product(chosen["densities"], ("set", "rigl")):
        fields = {**network, "density": density, **CHOSEN[WIDE, method]}
        runs += training_runs("densities", fields, (method,), **scale)
    return runs


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
FASHION: dict[str, Fields] = {
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


def ablation(profile: str) -> Runs:
    """SET, a fixed support and the dense network in the twelve settings of Fig. 6; two of these in
    the profile "smoke". In :data:`LONG_DENSE` the dense network trains as long as the others.
    """
    runs = []
    for setting in list(SETTINGS)[:2] if profile == "smoke" else SETTINGS:
        scale = FASHION[profile]
        if profile == "paper" and setting in LONG_DENSE:
            scale = {**scale, "epochs": {"sparse": 60}}
        runs += _regularised("set_ablation", ("set", "fixed", "dense"), setting, scale)
    return runs


def long_ablation(profile: str) -> Runs:
    """The same for five times the epochs, the dense network in :data:`LONG_DENSE` alone; one
    setting, without dense, in the small profiles.
    """
    if profile != "paper":
        scale = {**FASHION["smoke"], "epochs": {"sparse": 1}}
        return _regularised("set_ablation_long", ("set", "fixed"), LONG_DENSE[0], scale)
    # fixed before the first of them began: five seeds that no shorter run has
    scale = {**FASHION["paper"], "epochs": {"sparse": 300}, "seeds": range(10, 15)}
    runs = []
    for setting in SETTINGS:
        methods = ("set", "fixed", "dense") if setting in LONG_DENSE else ("set", "fixed")
        runs += _regularised("set_ablation_long", methods, setting, scale)
    return runs


def _regularised(experiment: str, methods: tuple[str, ...], setting: str, scale: Fields) -> Runs:
    """The runs of methods on the network of er_epsilon 20 in a setting of Fig. 6."""
    fields = {**scale, **PUBLISHED, **SETTINGS[setting], "variant": setting}
    coupling = fields.pop("l1", 0.0)
    runs = training_runs(experiment, ER_20, methods, **fields)
    return [_as_regularised(run, l1=coupling) for run in runs]


def _as_regularised(run: SparseTraining, **changes: object) -> RegularisedTraining:
    """The same training, and what stands in for it, with changes."""
    if run.stand_in is not None:
        changes = {**changes, "stand_in": _as_regularised(run.stand_in, **changes)}
    return run.as_kind(RegularisedTraining, **changes)


DROP_FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5)
ER_EPSILONS = (10.0, 20.0, 40.0)
FEWER = (1.0, 2.0, 5.0)  # down to where training breaks, at the fraction .3
SENSITIVITY: dict[str, Fields] = {
    "smoke": {**SCALES["smoke"], "epochs": {"sparse": 1}, "seeds": 1},
    "quick": {**MNIST, "epochs": {"sparse": 1}, "seeds": 1, "fallback": "digits", "limit": 5000},
    "paper": {**MNIST, "epochs": {"sparse": 40}, "seeds": 5},
}


def sensitivity(profile: str) -> Runs:
    """SET on MNIST at other drop fractions and numbers of links."""
    points = list(product(ER_EPSILONS, DROP_FRACTIONS if profile == "paper" else (0.1, 0.3)))
    if profile == "paper":
        points += [(er_epsilon, 0.3) for er_epsilon in FEWER]
    runs = []
    for er_epsilon, drop_fraction in points:
        fields = {**PUBLISHED, "drop_fraction": drop_fraction}
        fields["variant"] = f"ε = {er_epsilon:g}, ζ = {drop_fraction:g}"
        network = {**ER_20, "er_epsilon": er_epsilon}
        scale = {**SENSITIVITY[profile], **fields}
        runs += training_runs("set_sensitivity", network, ("set",), **scale)
    return runs


REMOVALS: dict[str, Fields] = {
    "smoke": {**SMALL, "epochs": {"sparse": 2}},
    "quick": {"epochs": {"sparse": 2}, "seeds": 1, "limit": 2500, "fallback": "digits"},
    "paper": {"epochs": {"sparse": 25}, "seeds": 5},
}


def removals(profile: str) -> Runs:
    """SET on CIFAR-10 that drops its smallest, random, or largest weights."""
    methods = ("set", "set_random_removal", "set_largest_removal")
    return training_runs("set_removals", ER_20, methods, **{**CIFAR10, **REMOVALS[profile]})


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
FEW_VARIANTS = ("as in the paper", "new links start as N(0, .1²)", "nothing removed at the end")


def variants(profile: str) -> Runs:
    """SET as the authors' programs have it where they differ from the paper, on Fashion-MNIST."""
    scale = {**FASHION[profile], "epochs": {"sparse": 30 if profile == "paper" else 2}}
    runs = []
    for variant in VARIANTS if profile == "paper" else FEW_VARIANTS:
        fields = {**scale, **PUBLISHED, **VARIANTS[variant], "variant": variant}
        runs += training_runs("set_variants", ER_20, ("set",), **fields)
    return runs


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
    scale = {**tuning.scale_of(profile), "epochs": {"sparse": 2}}
    if profile == "paper":
        scale |= {"epochs": {"sparse": 60}, "datasets": ("mnist", "fashion_mnist")}
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
        for run in profiled(network, profile, methods, **MNIST if profile == "quick" else {}):
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
    for part in HELPFUL[run.method, run.dataset] if recipe == TOGETHER else (recipe,):
        changes |= RECIPES[part]
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
        for run in profiled(experiment, profile, methods, **MNIST if profile == "quick" else {}):
            runs.append(run.with_changes(changes))
    return runs


# ------------------------------------------------------------------------- studies of the links

DRAWS = {  # replicates of a bootstrap, networks with the same degrees
    "scale_free": {"smoke": 10, "quick": 100, "paper": 1000},
    "scale_free_long": {"smoke": 10, "quick": 10, "paper": 1000},
    "network_structure": {"smoke": 2, "quick": 3, "paper": 20},
    "visible_connectivity": {"smoke": 1, "quick": 1, "paper": 1},
}


def studied(experiment: str, profile: str) -> Runs:
    """The sparse networks of ``adaptive_topology``; for the degrees of the profile "paper" those of
    SET and of growth rules on MNIST too. Those of SET that trained long are studied apart.
    """
    if experiment == "scale_free_long":
        return [run for run in set_mlp_long(profile) if run.dataset != "cifar10"]
    methods = ("set", "rigl", "set_random_removal", "fixed")
    scale = MNIST if profile == "quick" else {}
    runs = profiled("adaptive_topology", profile, methods, **scale)
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


def configs_of_studies(profile: str, experiment: str) -> list[Study]:
    """A study of the links of each of these networks."""

    def make(parent: SparseTraining) -> Study:
        draws = DRAWS[experiment][profile]
        return study_of(experiment, parent, variant=parent.variant, draws=draws)

    return [with_stand_in(make, parent) for parent in studied(experiment, profile)]


def _study_of_links(
    name: str,
    measure: Callable[[Study, Record], Table],
    holds: Callable[[Record], bool],
    *parents: str,
) -> Experiment:
    configs = partial(configs_of_studies, experiment=name)
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
    _study_of_links(
        "scale_free", studies.scale_free, holds_degrees, "adaptive_topology", "set_mlp", WIDE
    ),
    _study_of_links("scale_free_long", studies.scale_free, holds_degrees, "set_mlp_long"),
    _study_of_links(
        "network_structure", studies.network_structure, holds_links, "adaptive_topology"
    ),
    _study_of_links(
        "visible_connectivity", studies.visible_connectivity, holds_degrees, "adaptive_topology"
    ),
)
