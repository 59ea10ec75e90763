"""Every run of this room: on CIFAR-10, where links start; on MNIST, what can be certified, and what
training on attacked examples keeps; on MNIST and Fashion-MNIST, what corrupted images leave; on
Fashion-MNIST, with which degrees links start.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from itertools import product

from lib.runs.experiment import Experiment, keep_nothing
from lib.runs.record import Record
from papers.adaptive_topology import experiments as adaptive_topology
from papers.frontier.attacked import under_attacks
from papers.frontier.certificates import certificates
from papers.frontier.corruptions import corrupted
from papers.frontier.training import CertifiedTraining, DegreeTraining, StartTraining
from papers.shared import study, trained
from papers.shared.methods import METHODS, Fields, small_widths
from papers.shared.robust_training import RobustTraining
from papers.shared.sparse_training import SparseTraining
from papers.shared.study import Study, study_of, with_stand_in
from papers.shared.training import training

# ---------------------------------------------------------------------------- where links start

RANDOM, LOCAL, SHUFFLED = STARTS = ("random start", "local start", "places shuffled")
SETTINGS: Fields = {  # of all starts, fixed before the first run began
    "dropout": 0.0,
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
    "augmentation": 1.0,
    "averaging": 0.999,
}
RULES: dict[str, Fields] = {
    "rigl": {**METHODS["rigl"], "decay": "cosine"},
    "fixed": METHODS["fixed"],
}
SMALL: Fields = {"dataset": "digits", "hidden": (128, 128, 128), "density": 0.05, "epochs": 2}
LARGE: Fields = {"dataset": "cifar10", "hidden": (3072, 3072, 3072), "density": 0.01}
SCALES: dict[str, Fields] = {
    "smoke": SMALL,
    "quick": {**LARGE, "epochs": 3, "limit": 5000, "test_images": 2000},
    "paper": {**LARGE, "epochs": 100},
}
IMAGES = {"digits": (8, 8), "cifar10": (3, 32, 32)}  # shapes of examples
REACHES = {"digits": (1, 1, 2), "cifar10": (2, 2, 3)}
SEEDS = {  # by method
    "smoke": {"rigl": 1, "fixed": 1},
    "quick": {"rigl": 1},
    "paper": {"rigl": 5, "fixed": 3},
}
RATES = (0.1, 0.05)  # tried on validation images
START_LEVERS: dict[str, Fields] = {  # one change each of RigL from a local start
    "links that stay": {"method": "fixed", "drop": None, "grow": "random", "decay": "constant"},
    "images moved less": {"augmentation": 0.5},
    "dropout .1": {"dropout": 0.1},
    "five times the decay": {"weight_decay": 5e-4},
    "weights averaged longer": {"averaging": 0.9997},
    "twice the epochs": {"epochs": 200},
    "smaller reach of the last layer": {"reaches": (2, 2, 2)},  # 1 leaves too few positions
    "larger reach": {"reaches": (3, 3, 4)},
    "four layers, as many links": {
        "hidden": (3072, 3072, 3072, 3072),
        "density": 0.0075,
        "reaches": (2, 2, 2, 3),
    },
}


# Twice the epochs and longer averages, from a local start:
LONGER: dict[str, Fields] = {
    "smoke": {},
    "quick": {},
    "paper": {"epochs": 200, "averaging": 0.9997},
}
SMALLER_REACH = START_LEVERS["smaller reach of the last layer"]
LONGER_TRIED: dict[str, tuple[str, Fields]] = {  # method, and what else differs
    "links that stay": ("fixed", {}),
    "links that stay, smaller reach": ("fixed", SMALLER_REACH),
    "links that move, smaller reach": ("rigl", SMALLER_REACH),
}
LONGER_CHOSEN = "links that stay"
LONGER_SEEDS = {"smoke": 1, "quick": 1, "paper": 5}


def begun(experiment: str, profile: str, start: str, method: str, **fields) -> StartTraining:
    """The training by a method from a start, in the scale of a profile; in the profile "quick"
    digits stand in for CIFAR-10.
    """
    scale, places, stand_in = SCALES[profile], {}, None
    if start != RANDOM:
        places = {"reaches": REACHES[scale["dataset"]], "shuffled": start == SHUFFLED}
    if profile == "quick":
        stand_in = begun(experiment, "smoke", start, method, **fields)
    names = {"method": method, "variant": start, "stand_in": stand_in}
    return StartTraining(
        experiment, **names, **SETTINGS, **RULES[method], **scale, **places, **fields
    )


def on_test(profile: str) -> list[StartTraining]:
    """Both methods from every start, on all training images."""
    runs = []
    for method, seeds in SEEDS[profile].items():
        for start, seed in product(STARTS, range(seeds)):
            runs.append(begun("cifar10_start", profile, start, method, seed=seed))
    return runs


def on_validation(profile: str) -> list[StartTraining]:
    """RigL from every start, at two learning rates and for two seeds, on validation images."""
    if profile == "paper":
        tried, validation = product(RATES, STARTS, range(2)), 5000
    else:
        profile, tried, validation = "smoke", product(RATES[:1], STARTS, range(1)), 200
    runs = []
    for rate, start, seed in tried:
        run = begun("cifar10_start_tuning", profile, start, "rigl", seed=seed)
        changes = {"learning_rate": rate, "validation": validation, "evaluate_test": False}
        runs.append(run.with_changes(changes))
    return runs


def levers_of_start(profile: str) -> list[StartTraining]:
    """RigL from a local start with every lever, on validation images."""
    tried, validation = START_LEVERS, 5000
    if profile != "paper":
        profile, tried, validation = "smoke", dict([*START_LEVERS.items()][:2]), 200
    runs = []
    for lever, changes in tried.items():
        run = begun("cifar10_levers", profile, LOCAL, "rigl")
        changes = {"variant": lever, **changes, "validation": validation, "evaluate_test": False}
        runs.append(run.with_changes(changes))
    return runs


def longer(experiment: str, profile: str, variant: str, **fields) -> StartTraining:
    """Longer training from a local start, one of :data:`LONGER_TRIED`."""
    method, differs = LONGER_TRIED[variant]
    run = begun(experiment, profile, LOCAL, method, **fields)
    return run.with_changes({"variant": variant, **LONGER[profile], **differs})


def longer_tuning(profile: str) -> list[StartTraining]:
    """Three longer trainings from a local start, two seeds each, on validation images."""
    tried, validation = product(LONGER_TRIED, range(2)), 5000
    if profile != "paper":
        profile, tried, validation = "smoke", product(LONGER_TRIED, range(1)), 200
    runs = []
    for variant, seed in tried:
        run = longer("cifar10_longer_tuning", profile, variant, seed=seed)
        runs.append(run.with_changes({"validation": validation, "evaluate_test": False}))
    return runs


def longer_on_test(profile: str) -> list[StartTraining]:
    """The longer training that was chosen, for several seeds, on all training images."""
    seeds = range(LONGER_SEEDS[profile])
    return [longer("cifar10_longer", profile, LONGER_CHOSEN, seed=seed) for seed in seeds]


def keep_one(record: Record, name: str) -> bool:
    """What is shipped: of seed 0 links and degrees, as of any trained network."""
    return record.config.seed == 0 and trained.keep_links(record, name)


def keep_network(record: Record, name: str) -> bool:
    """What is shipped: the network of seed 0."""
    return record.config.seed == 0 and name.startswith(trained.STATE)


def keep_recipe(record: Record, name: str, *, variant: str) -> bool:
    """What is shipped: the network that RigL made of seed 0, for a recipe of
    :mod:`papers.frontier.recipes`.
    """
    run = record.config
    return (run.method, run.variant) == ("rigl", variant) and keep_network(record, name)


# ------------------------------------------------------------------------- what can be certified

PLAIN, CERTIFIED = TRAININGS = ("plain", "certified")
RADIUS = 0.1  # at which certified networks are compared
CERTIFIED_SETTINGS: Fields = {  # of all methods; others of unit and rate were tried with RigL
    "activation": "relu",
    "dropout": 0.0,
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
}
CERTIFIED_RULES: dict[str, Fields] = {
    **RULES,
    "dense_small": METHODS["dense_small"],
    "dense": METHODS["dense"],
}
CERTIFIED_SMALL: Fields = {"dataset": "digits", "hidden": (100, 100, 100), "density": 0.05}
CERTIFIED_LARGE: Fields = {"dataset": "mnist", "hidden": (1568, 1568, 1568), "density": 0.01}
CERTIFIED_SCALES: dict[str, Fields] = {
    "smoke": {**CERTIFIED_SMALL, "epochs": 3, "plain_epochs": 1},
    "quick": {**CERTIFIED_LARGE, "epochs": 3, "plain_epochs": 1, "limit": 5000},
    "paper": {**CERTIFIED_LARGE, "epochs": 40, "plain_epochs": 2, "growing_epochs": 18},
}
CERTIFIED_SEEDS = {  # by method
    "smoke": {"rigl": 1, "fixed": 1, "dense_small": 1},
    "quick": {"rigl": 1, "dense_small": 1},
    "paper": {"rigl": 5, "fixed": 5, "dense_small": 5, "dense": 3},
}
KAPPAS, TRAINED_RADII = (0.5, 0.25), (0.1, 0.15, 0.2)  # tried on validation images
CERTIFIED_RATES = (0.05, 0.2)  # tried beside the usual one, at one share and one radius
CHOSEN: dict[str, Fields] = {  # by method, of whose settings all were tried
    "rigl": {"kappa": 0.5, "certified_radius": 0.15},
    "fixed": {"kappa": 0.5, "certified_radius": 0.15, "learning_rate": 0.2},
    "dense_small": {"kappa": 0.25, "certified_radius": 0.1},
}
AMOUNTS: dict[str, Fields] = {  # of certificates
    "smoke": {"images": 100, "steps": 5, "radii": (0.0, 0.1, 0.3)},
    "quick": {"images": 500, "steps": 10, "radii": (0.0, 0.05, 0.1, 0.2)},
    "paper": {
        "images": 10_000,
        "restarts": 3,
        "radii": (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3),
    },
}
DENSE_IMAGES = 2000  # of the profile "paper": an attack takes a hundred times as long


def in_certificates(
    experiment: str, profile: str, variant: str, method: str, **fields
) -> CertifiedTraining:
    """The training by a method, plain or certified, in the scale of a profile; in the profile
    "quick" digits stand in for MNIST.
    """
    scale, stand_in = with_links(CERTIFIED_SCALES[profile], method), None
    if variant != PLAIN:
        scale |= {"certified_radius": RADIUS, **CHOSEN.get(method, {})}
    if profile == "quick":
        stand_in = in_certificates(experiment, "smoke", variant, method, **fields)
    names = {"method": method, "variant": variant, "stand_in": stand_in}
    settings = {**CERTIFIED_SETTINGS, **CERTIFIED_RULES[method], **scale, **fields}
    return CertifiedTraining(experiment, **names, **settings)


def with_links(scale: Fields, method: str) -> Fields:
    """A scale with the links of a method. Sparse networks keep its density. The small dense network
    has as many links in narrower layers, and the dense one has all.
    """
    scale = {**scale}
    if method in ("dense", "dense_small"):
        density = scale.pop("density")
        if method == "dense_small":
            scale["hidden"] = small_widths(scale["hidden"], scale["dataset"], density)
    return scale


def certified(profile: str) -> list[CertifiedTraining]:
    """Every method, trained plainly and to be certified, on all training images."""
    runs = []
    for method, seeds in CERTIFIED_SEEDS[profile].items():
        for variant, seed in product(TRAININGS, range(seeds)):
            runs.append(in_certificates("certified", profile, variant, method, seed=seed))
    return runs


def certified_tuning(profile: str) -> list[CertifiedTraining]:
    """Every method with every share of the worst logits and every radius of training, and with
    other rates, on validation images.
    """
    usual = CERTIFIED_SETTINGS["learning_rate"]
    tried = [(kappa, radius, usual) for kappa, radius in product(KAPPAS, TRAINED_RADII)]
    tried += [(0.5, 0.15, rate) for rate in CERTIFIED_RATES]
    validation = 5000
    if profile != "paper":
        profile, tried, validation = "smoke", tried[:1], 200
    runs = []
    for method in CERTIFIED_SEEDS[profile]:
        for kappa, radius, rate in tried:
            variant = f"kappa {kappa:g}, radius {radius:g}"
            variant += "" if rate == usual else f", rate {rate:g}"
            run = in_certificates("certified_tuning", profile, variant, method)
            changes = {"kappa": kappa, "certified_radius": radius, "learning_rate": rate}
            runs.append(
                run.with_changes({**changes, "evaluate_test": False, "validation": validation})
            )
    return runs


def all_certificates(profile: str) -> list[Study]:
    """Of every network of ``certified``; of those of ``certified_tuning`` at one radius."""

    def make(parent: CertifiedTraining) -> Study:
        amounts = {**AMOUNTS[profile], "variant": parent.variant}
        if profile == "paper" and parent.method == "dense":
            amounts["images"] = DENSE_IMAGES
        if parent.validation:
            amounts |= {"images": parent.validation, "radii": (RADIUS,), "restarts": 1}
        return study_of("certificates", parent, **amounts)

    parents = certified(profile) + certified_tuning(profile)
    return [with_stand_in(make, parent) for parent in parents]


# ------------------------------------------------------------------ training on attacked examples

ATTACK_RADIUS = 0.3  # in L-infinity, of pixels from 0 to 1
ATTACK_RADII = {"weakly_attacked": 0.1, "attacked": ATTACK_RADIUS}  # by experiment
USUAL, ATTACKED_VARIANT = "usual", "attacked examples"
# Of all methods; a lever changes some of them. Dropout and averaging are those of `make_it_robust`;
# how the radius grows was first tried with RigL, on validation images.
ATTACKED: Fields = {
    "adversarial_steps": 5,
    "averaging": 0.999,
    "dropout": 0.0,
    "learning_rate": 0.3,
}
ATTACKED_SCALES: dict[str, Fields] = {
    "smoke": {**CERTIFIED_SMALL, "epochs": 3, "growing_epochs": 2},
    "quick": {**CERTIFIED_LARGE, "epochs": 4, "growing_epochs": 2, "limit": 5000},
    "paper": {**CERTIFIED_LARGE, "epochs": 40, "growing_epochs": 20},
}
ATTACKED_RATES = (0.3, 0.1)
FURTHER_LEVERS: dict[str, dict[str, Fields]] = {  # tried later, from what had led till then
    "attacked": {},
    "weakly_attacked": {
        "radius 0.2": {"adversarial_radius": 0.2},
        "radius 0.3": {"adversarial_radius": 0.3},
        "TRADES, larger radius": {"trades_beta": 6.0, "adversarial_radius": 0.15},
    },
}
# By experiment and method. Of what lies within one standard error of the best under all attacks,
# the most accurate without an attack.
CHOSEN_LEVERS: dict[str, dict[str, Fields]] = {
    "attacked": {"rigl": {"adversarial_steps": 10, "learning_rate": 0.1}},
    "weakly_attacked": {"rigl": {"adversarial_radius": 0.2}},
}
ATTACKED_SEEDS = {  # by experiment, profile and method
    "attacked": {
        "smoke": {"rigl": 1, "fixed": 1, "dense_small": 1},
        "quick": {"rigl": 1, "dense_small": 1},
        "paper": {"rigl": 5, "fixed": 5, "dense_small": 5},
    },
    "weakly_attacked": {"smoke": {"rigl": 1}, "quick": {"rigl": 1}, "paper": {"rigl": 5}},
}
ATTACKS: dict[str, Fields] = {
    "smoke": {"images": 40, "steps": 5, "queries": 20, "draws": 1},
    "quick": {"images": 200, "steps": 10, "queries": 50, "draws": 1},
    "paper": {"images": 10_000, "restarts": 3, "draws": 3},
}
ALL_RADII = {"smoke": (0.1, 0.3), "quick": (0.1, 0.2, 0.3), "paper": (0.1, 0.2, 0.3)}  # of PGD
VALIDATION_IMAGES = 1000  # that are attacked


def levers(experiment: str) -> dict[str, Fields]:
    """What each lever changes of training at a radius; all are tried at both rates."""
    return {
        USUAL: {},
        "ten steps": {"adversarial_steps": 10},
        "TRADES": {"trades_beta": 6.0},
        "larger radius": {"adversarial_radius": round(ATTACK_RADII[experiment] + 0.05, 2)},
        **FURTHER_LEVERS[experiment],
    }


def on_attacked(
    experiment: str, profile: str, variant: str, method: str, **fields
) -> RobustTraining:
    """The training by a method on attacked examples, in the scale of a profile; in the profile
    "quick" digits stand in for MNIST.
    """
    radius = ATTACK_RADII[experiment.removesuffix("_tuning")]
    scale, stand_in = with_links(ATTACKED_SCALES[profile], method), None
    if profile == "quick":
        stand_in = on_attacked(experiment, "smoke", variant, method, **fields)
    names = {"method": method, "variant": variant, "stand_in": stand_in}
    settings = {"adversarial_radius": radius, **ATTACKED, **CERTIFIED_RULES[method]}
    settings |= {**scale, **fields}
    return RobustTraining(experiment, **names, **settings)


def attacked(experiment: str, profile: str) -> list[RobustTraining]:
    """Every method with the settings that were chosen for it, on all training images."""
    runs = []
    for method, seeds in ATTACKED_SEEDS[experiment][profile].items():
        chosen = CHOSEN_LEVERS[experiment].get(method, {})
        for seed in range(seeds):
            run = on_attacked(experiment, profile, ATTACKED_VARIANT, method, seed=seed)
            runs.append(run.with_changes(chosen))
    return runs


def attacked_tuning(experiment: str, profile: str) -> list[RobustTraining]:
    """Every method with every lever, at two learning rates, on validation images."""
    changes_of = levers(experiment)
    tried, validation = [*product(ATTACKED_RATES, changes_of)], 5000
    if profile != "paper":
        profile, tried, validation = "smoke", tried[:2], 200
    runs = []
    name = f"{experiment}_tuning"
    for method in ATTACKED_SEEDS[experiment][profile]:
        for rate, lever in tried:
            variant = lever
            if rate != ATTACKED["learning_rate"]:
                variant = ("" if lever == USUAL else f"{lever}, ") + f"learning rate {rate:g}"
            run = on_attacked(name, profile, variant, method, validation=validation)
            changes = {"learning_rate": rate, **changes_of[lever], "evaluate_test": False}
            runs.append(run.with_changes(changes))
    return runs


def all_attacks(experiment: str, profile: str) -> list[Study]:
    """Of every network of an experiment of :data:`ATTACK_RADII` and of its tuning. All attacks are
    made at its radius, which stands first.
    """
    radius = ATTACK_RADII[experiment]
    others = tuple(other for other in ALL_RADII[profile] if other != radius)

    def make(parent: RobustTraining) -> Study:
        amounts = {**ATTACKS[profile], "radii": (radius, *others), "variant": parent.variant}
        if parent.validation:
            amounts |= {"images": min(parent.validation, VALIDATION_IMAGES)}
            amounts |= {"radii": (radius,), "restarts": 1}
        return study_of(f"{experiment}_summary", parent, **amounts)

    parents = attacked(experiment, profile) + attacked_tuning(experiment, profile)
    return [with_stand_in(make, parent) for parent in parents]


def on_attacked_examples(
    experiment: str, keeps: Callable[[Record, str], bool]
) -> tuple[Experiment, ...]:
    """Training at a radius, what was tried before, and the attacks on all of these networks."""
    tuning = f"{experiment}_tuning"
    return (
        training(tuning, partial(attacked_tuning, experiment), keep_nothing),
        training(experiment, partial(attacked, experiment), keeps),
        study.measuring(
            f"{experiment}_summary",
            partial(all_attacks, experiment),
            under_attacks,
            experiment,
            tuning,
        ),
    )


# ------------------------------------------------------------------ how few links are enough

CURVE_RULES: dict[str, Fields] = {
    "fixed": METHODS["fixed"],
    "set": {**METHODS["set"], "decay": "cosine"},
    "rigl": RULES["rigl"],
    "dense_small": METHODS["dense_small"],
    "mest": {"drop": "weight_and_gradient", "decay": "cosine"},
    "chts": {"drop": "soft", "grow": "ch2_l3n", "decay": "cosine"},
    "granet": {**RULES["rigl"], "density_schedule": "cubic"},
    "gradual_pruning": {"drop": "magnitude", "drop_fraction": 0.0, "density_schedule": "cubic"},
    "dense": METHODS["dense"],
}
FALLING_SHARE = 0.2  # of the links at the start, which a falling number of links ends with
CURVE_DECAYS = 5e-5, 5e-4
CURVE_TRIED = tuple(  # for every method
    {"learning_rate": rate, "weight_decay": decay, "dropout": dropout}
    for rate, decay, dropout in (
        *product((0.1, 0.3), CURVE_DECAYS, (0.1, 0.3)),
        # The best of these lay at an edge. So we tried less dropout, and a larger rate:
        *product((0.3,), CURVE_DECAYS, (0.0,)),
        *product((0.6,), CURVE_DECAYS, (0.1,)),
    )
)
CURVE_CHOSEN: dict[str, Fields] = {  # by method, the best of these with which no network diverged
    "fixed": {"learning_rate": 0.3, "weight_decay": 5e-5, "dropout": 0.1},
    "set": {"learning_rate": 0.3, "weight_decay": 5e-5, "dropout": 0.1},
    "rigl": {"learning_rate": 0.3, "weight_decay": 5e-4, "dropout": 0.1},
    "dense_small": {"learning_rate": 0.1, "weight_decay": 5e-4, "dropout": 0.1},
    "mest": {"learning_rate": 0.3, "weight_decay": 5e-5, "dropout": 0.1},
    "chts": {"learning_rate": 0.3, "weight_decay": 5e-5, "dropout": 0.1},
    "granet": {"learning_rate": 0.3, "weight_decay": 5e-5, "dropout": 0.1},
    "gradual_pruning": {"learning_rate": 0.3, "weight_decay": 5e-5, "dropout": 0.1},
    "dense": {"learning_rate": 0.3, "weight_decay": 5e-4, "dropout": 0.1},
}
CURVE_SCALES: dict[str, Fields] = {
    "smoke": {"dataset": "digits", "hidden": (100, 100, 100), "epochs": 2},
    "quick": {
        **{"dataset": "fashion_mnist", "hidden": (1000, 1000, 1000), "epochs": 2},
        **{"limit": 5000, "test_images": 2000},
    },
    "paper": {"dataset": "fashion_mnist", "hidden": (1000, 1000, 1000), "epochs": 40},
}
CURVE_DENSITIES = {
    "smoke": (0.02, 0.05),
    "quick": (0.003, 0.01, 0.03),
    "paper": (0.001, 0.003, 0.01, 0.03, 0.1),
}
CURVE_SEEDS = {  # by method
    "smoke": {"fixed": 1, "rigl": 1, "granet": 1},
    "quick": {"fixed": 1, "rigl": 1},
    "paper": {**dict.fromkeys(CURVE_RULES, 5), "dense": 3},
}


def on_curve(
    experiment: str, profile: str, method: str, density: float, **fields
) -> SparseTraining:
    """The training by a method with a number of links, that of a density of the hidden layers, in
    the scale of a profile; in the profile "quick" digits stand in for Fashion-MNIST.
    """
    scale, stand_in = with_links({**CURVE_SCALES[profile], "density": density}, method), None
    rule = CURVE_RULES[method]
    if "density_schedule" in rule:
        scale |= {"density": density / FALLING_SHARE, "final_share": FALLING_SHARE}
    variant = "all links" if method == "dense" else f"density {density:g}"
    if profile == "quick":
        stand_in = on_curve(experiment, "smoke", method, CURVE_DENSITIES["smoke"][0], **fields)
    names = {"method": method, "variant": variant, "stand_in": stand_in}
    return SparseTraining(experiment, **names, **rule, **scale, **fields)


def links_curve(profile: str) -> list[SparseTraining]:
    """Every method at every number of links, on all training images, with the settings chosen for
    it at the density .01.
    """
    runs = []
    for method, seeds in CURVE_SEEDS[profile].items():
        densities = CURVE_DENSITIES[profile] if method != "dense" else (1.0,)
        chosen = CURVE_CHOSEN.get(method, {})
        for density, seed in product(densities, range(seeds)):
            runs.append(on_curve("links_curve", profile, method, density, seed=seed, **chosen))
    return runs


def links_curve_tuning(profile: str) -> list[SparseTraining]:
    """Every method with every setting, at the density .01, for two seeds, on validation images."""
    tried, seeds, validation, density = CURVE_TRIED, 2, 5000, 0.01
    if profile != "paper":
        profile, tried, seeds, validation = "smoke", tried[:1], 1, 200
        density = CURVE_DENSITIES["smoke"][0]
    runs = []
    for method in CURVE_SEEDS[profile]:
        for values, seed in product(tried, range(seeds)):
            run = on_curve("links_curve_tuning", profile, method, density, seed=seed)
            variant = "rate {learning_rate:g}, decay {weight_decay:g}, dropout {dropout:g}"
            changes = {**values, "variant": variant.format(**values)}
            changes |= {"evaluate_test": False, "validation": validation}
            runs.append(run.with_changes(changes))
    return runs


# ----------------------------------------------------------------- what corrupted images leave

CORRUPTED_IMAGES = {"smoke": 50, "quick": 200, "paper": 2000}


def larger_fixed(profile: str) -> list[SparseTraining]:
    """A fixed support with more links, as those of ``varied``, which has none."""
    epochs = adaptive_topology.SHORTER[profile][0]
    density = adaptive_topology.VARIED[profile]["density"][-1]
    changes = {"experiment": "larger_fixed", "variant": f"density {density}", "density": density}
    runs = adaptive_topology.networks(profile, ("fixed",), epochs=epochs)
    return [run.with_changes(changes) for run in runs]


def before_corruption(profile: str) -> list[SparseTraining]:
    """Networks trained for equally few epochs: those of ``training_length``, RigL of ``varied`` and
    a fixed support, both with the largest number of links.
    """
    larger = larger_fixed(profile)
    epochs, density = larger[0].epochs, larger[0].density
    runs = [run for run in adaptive_topology.shorter(profile) if run.epochs == epochs]
    for run in adaptive_topology.varied(profile):
        if (run.method, run.density) == ("rigl", density):
            runs.append(run)
    return runs + larger


def all_corrupted(profile: str) -> list[Study]:
    """Of every network of :func:`before_corruption`."""

    def make(parent: SparseTraining) -> Study:
        amounts = {"variant": parent.variant, "images": CORRUPTED_IMAGES[profile]}
        return study_of("corrupted", parent, **amounts)

    return [with_stand_in(make, parent) for parent in before_corruption(profile)]


# ---------------------------------------------------------------- with which degrees links start

DEGREES: dict[str, Fields] = {  # how the start differs from the usual, random one
    "power law": {"exponent": 3.0},  # with 2.5 two of five seeds of RigL diverge
    "degrees of the end": {"inherits": "degrees"},
    "links of the end": {"inherits": "support"},
}
DEGREES_ON = {"smoke": "digits", "quick": "mnist", "paper": "fashion_mnist"}
KEPT_EPOCHS = ("0", "1", "5", "20", "50", "final")


def start_degrees(profile: str) -> list[DegreeTraining]:
    """RigL and SET of ``adaptive_topology``, trained alike from other starts. Two of these inherit
    from the end of the run with the same method and seed.
    """
    runs = []
    for usual in adaptive_topology.networks(profile, ("rigl", "set")):
        if usual.dataset == DEGREES_ON[profile]:
            runs += [with_degrees(usual, start) for start in DEGREES]
    return runs


def with_degrees(usual: SparseTraining, start: str) -> DegreeTraining:
    """The same training from another start."""
    changes = {"experiment": "start_degrees", "variant": start, **DEGREES[start]}
    if "inherits" in changes:
        changes["parent"] = dataclasses.replace(usual, stand_in=None)
    if usual.stand_in is not None:
        changes["stand_in"] = with_degrees(usual.stand_in, start)
    return usual.as_kind(DegreeTraining, **changes)


def keep_some_degrees(record: Record, name: str) -> bool:
    """What is shipped: degrees, of :data:`KEPT_EPOCHS`."""
    return "_degree." in name and name.rpartition(".")[2] in KEPT_EPOCHS


EXPERIMENTS = (
    training("cifar10_start_tuning", on_validation, keep_nothing),
    training("cifar10_levers", levers_of_start, keep_nothing),
    training("cifar10_longer_tuning", longer_tuning, keep_nothing),
    training("cifar10_longer", longer_on_test, keep_network),
    training("cifar10_start", on_test, keep_one),
    training("certified_tuning", certified_tuning, keep_nothing),
    training("certified", certified, partial(keep_recipe, variant=CERTIFIED)),
    study.measuring(
        "certificates", all_certificates, certificates, "certified", "certified_tuning"
    ),
    *on_attacked_examples("attacked", partial(keep_recipe, variant=ATTACKED_VARIANT)),
    *on_attacked_examples("weakly_attacked", keep_nothing),
    training("links_curve_tuning", links_curve_tuning, keep_nothing),
    training("links_curve", links_curve, keep_nothing),
    training("larger_fixed", larger_fixed, keep_nothing),
    study.measuring(
        "corrupted", all_corrupted, corrupted, "training_length", "varied", "larger_fixed"
    ),
    training("start_degrees", start_degrees, keep_some_degrees, parents=("adaptive_topology",)),
)
