"""Every run of this room: on CIFAR-10, where links start; on MNIST, what can be certified, and what
training on attacked examples keeps; on MNIST and Fashion-MNIST, what corrupted images leave; on
Fashion-MNIST, with which degrees links start.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

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
from papers.shared.study import Study, studies_of, study_of, with_stand_in
from papers.shared.tables import grid
from papers.shared.training import training

# ------------------------------------------------------------------------- networks of one kind


@dataclass(frozen=True)
class Family:
    """Networks that are trained alike.

    Args:
        kind: of their runs.
        settings: of all of them.
        rules: what each method changes.
        scales: by profile; in "quick" the run of "smoke" stands in where data cannot be had.
        changes: (variant, method, data set) -> what a variant changes.
    """

    kind: type[SparseTraining]
    settings: Fields
    rules: dict[str, Fields]
    scales: dict[str, Fields]
    changes: Callable[[str, str, str], Fields] | None = None

    def run(
        self, experiment: str, profile: str, method: str, variant: str, **others: Any
    ) -> SparseTraining:
        """The training by a method in the scale of a profile. Small dense networks have as many
        links as sparse ones of its density, in narrower layers.
        """
        scale = self.scales[profile]
        fields = {**self.settings, **self.rules[method], **scale}
        if self.changes is not None:
            fields |= self.changes(variant, method, scale["dataset"])
        fields |= others
        if method == "dense_small":
            fields["hidden"] = small_widths(scale["hidden"], scale["dataset"], fields["density"])
        if method in ("dense", "dense_small"):
            fields["density"] = None
        if profile == "quick":
            fields["stand_in"] = self.run(experiment, "smoke", method, variant, **others)
        return self.kind(experiment, method=method, variant=variant, **fields)

    def runs(self, experiment: str, profile: str, settings: Fields) -> list:
        """The runs of a table of settings, see :func:`papers.shared.tables.grid`."""
        return [self.run(experiment, profile, **point) for point in grid(settings, {})]

    def tried(self, experiment: str, profile: str, settings: Fields, few: Fields) -> list:
        """The same on validation images; small profiles try few settings, as "smoke" trains."""
        settings = {**settings, "validation": 5000, "evaluate_test": False}
        if profile != "paper":
            profile, settings = "smoke", {**settings, **few, "validation": 200}
        return self.runs(experiment, profile, settings)


def of_methods(seeds: dict[str, int], **axes: list) -> Fields:
    """A table of methods, axes and seeds, whose number is given by method."""
    return {"method": [*seeds], **axes, "seed": {name: range(n) for name, n in seeds.items()}}


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


def _places(variant: str, method: str, dataset: str) -> Fields:
    if variant == RANDOM:
        return {}
    return {"reaches": REACHES[dataset], "shuffled": variant == SHUFFLED}


STARTED = Family(StartTraining, SETTINGS, RULES, SCALES, _places)


def on_test(profile: str) -> list[StartTraining]:
    """Both methods from every start, on all training images."""
    settings = of_methods(SEEDS[profile], variant=[*STARTS])
    return STARTED.runs("cifar10_start", profile, settings)


def on_validation(profile: str) -> list[StartTraining]:
    """RigL from every start, at two learning rates and for two seeds, on validation images."""
    settings = {"learning_rate": [*RATES], "variant": [*STARTS], "seed": range(2)}
    few = {"learning_rate": RATES[0], "seed": 0}
    return STARTED.tried("cifar10_start_tuning", profile, {**settings, "method": "rigl"}, few)


def levers_of_start(profile: str) -> list[StartTraining]:
    """RigL from a local start with every lever, on validation images."""
    levers = [*START_LEVERS]
    settings = {"method": "rigl", "variant": levers}
    runs = STARTED.tried("cifar10_levers", profile, settings, {"variant": levers[:2]})
    return [run.with_changes(START_LEVERS[run.variant]) for run in runs]


def longer_tuning(profile: str) -> list[StartTraining]:
    """Three longer trainings from a local start, two seeds each, on validation images."""
    runs = []
    for variant, (method, changes) in LONGER_TRIED.items():
        settings = {"method": method, "variant": variant, "seed": [0, 1]}
        for run in STARTED.tried("cifar10_longer_tuning", profile, settings, {"seed": 0}):
            runs.append(run.with_changes({**LONGER[profile], **changes}))
    return runs


def longer_on_test(profile: str) -> list[StartTraining]:
    """The longer training that was chosen, for several seeds, on all training images."""
    method, changes = LONGER_TRIED[LONGER_CHOSEN]
    settings = of_methods({method: LONGER_SEEDS[profile]}, variant=[LONGER_CHOSEN])
    runs = STARTED.runs("cifar10_longer", profile, settings)
    return [run.with_changes({**LONGER[profile], **changes}) for run in runs]


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
    "paper": {"images": 10_000, "restarts": 3, "radii": (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)},
}
DENSE_IMAGES = 2000  # of the profile "paper": an attack takes a hundred times as long


def _certified(variant: str, method: str, dataset: str) -> Fields:
    return {} if variant == PLAIN else {"certified_radius": RADIUS, **CHOSEN.get(method, {})}


CERTIFIABLE = Family(
    CertifiedTraining, CERTIFIED_SETTINGS, CERTIFIED_RULES, CERTIFIED_SCALES, _certified
)


def certified(profile: str) -> list[CertifiedTraining]:
    """Every method, trained plainly and to be certified, on all training images."""
    settings = of_methods(CERTIFIED_SEEDS[profile], variant=[*TRAININGS])
    return CERTIFIABLE.runs("certified", profile, settings)


def certified_tuning(profile: str) -> list[CertifiedTraining]:
    """Every method with every share of the worst logits and every radius of training, and with
    other rates, on validation images.
    """
    name, variant = "certified_tuning", "kappa {kappa:g}, radius {certified_radius:g}"
    usual = CERTIFIED_SETTINGS["learning_rate"]
    values = {"kappa": [*KAPPAS], "certified_radius": [*TRAINED_RADII], "learning_rate": usual}
    few = {"kappa": KAPPAS[0], "certified_radius": TRAINED_RADII[0]}
    rates = {"kappa": 0.5, "certified_radius": 0.15, "learning_rate": [*CERTIFIED_RATES]}
    runs = []
    for method in CERTIFIED_SEEDS["paper" if profile == "paper" else "smoke"]:
        of_method = {"method": method, "variant": variant}
        runs += CERTIFIABLE.tried(name, profile, {**of_method, **values}, few)
        if profile == "paper":
            of_method["variant"] += ", rate {learning_rate:g}"
            runs += CERTIFIABLE.tried(name, profile, {**of_method, **rates}, {})
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


ATTACKABLE = Family(RobustTraining, ATTACKED, CERTIFIED_RULES, ATTACKED_SCALES)


def attacked(experiment: str, profile: str) -> list[RobustTraining]:
    """Every method with the settings that were chosen for it, on all training images."""
    settings = of_methods(ATTACKED_SEEDS[experiment][profile], variant=[ATTACKED_VARIANT])
    settings["adversarial_radius"] = ATTACK_RADII[experiment]
    runs = ATTACKABLE.runs(experiment, profile, settings)
    return [run.with_changes(CHOSEN_LEVERS[experiment].get(run.method, {})) for run in runs]


def attacked_tuning(experiment: str, profile: str) -> list[RobustTraining]:
    """Every method with every lever, at two learning rates, on validation images."""
    usual, slower = ATTACKED_RATES
    tried = {name: {**one, "learning_rate": usual} for name, one in levers(experiment).items()}
    for name, one in levers(experiment).items():
        variant = ("" if name == USUAL else f"{name}, ") + f"learning rate {slower:g}"
        tried[variant] = {**one, "learning_rate": slower}
    methods = ATTACKED_SEEDS[experiment]["paper" if profile == "paper" else "smoke"]
    settings = {"method": [*methods], "variant": [*tried]}
    settings["adversarial_radius"] = ATTACK_RADII[experiment]
    few = {"variant": [*tried][:2]}
    runs = ATTACKABLE.tried(f"{experiment}_tuning", profile, settings, few)
    return [run.with_changes(tried[run.variant]) for run in runs]


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

FALLING: Fields = {  # a number of links that falls, and the share of the first that is left
    "density_schedule": "cubic",
    "final_share": 0.2,
}
CURVE_RULES: dict[str, Fields] = {
    "fixed": METHODS["fixed"],
    "set": {**METHODS["set"], "decay": "cosine"},
    "rigl": RULES["rigl"],
    "dense_small": METHODS["dense_small"],
    "mest": {"drop": "weight_and_gradient", "decay": "cosine"},
    "chts": {"drop": "soft", "grow": "ch2_l3n", "decay": "cosine"},
    "granet": {**RULES["rigl"], **FALLING},
    "gradual_pruning": {"drop": "magnitude", "drop_fraction": 0.0, **FALLING},
    "dense": METHODS["dense"],
}
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
CURVE_LARGE: Fields = {"dataset": "fashion_mnist", "hidden": (1000, 1000, 1000)}
CURVE_SCALES: dict[str, Fields] = {
    "smoke": {"dataset": "digits", "hidden": (100, 100, 100), "epochs": 2},
    "quick": {**CURVE_LARGE, "epochs": 2, "limit": 5000, "test_images": 2000},
    "paper": {**CURVE_LARGE, "epochs": 40},
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


CURVE = Family(SparseTraining, {}, CURVE_RULES, CURVE_SCALES)


def on_curve(
    experiment: str, profile: str, method: str, density: float, **fields: Any
) -> SparseTraining:
    """The training by a method with a number of links, that of a density of the hidden layers; in
    the profile "quick" digits stand in, with the first number of links.
    """
    variant = "all links" if method == "dense" else f"density {density:g}"
    density = density / CURVE_RULES[method].get("final_share", 1.0)
    run = CURVE.run(experiment, profile, method, variant, density=density, **fields)
    if profile == "quick":
        first = CURVE_DENSITIES["smoke"][0]
        run = dataclasses.replace(
            run, stand_in=on_curve(experiment, "smoke", method, first, **fields)
        )
    return run


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
    tried, seeds, density = CURVE_TRIED, 2, 0.01
    fields: Fields = {"validation": 5000, "evaluate_test": False}
    if profile != "paper":
        profile, tried, seeds, density = "smoke", tried[:1], 1, CURVE_DENSITIES["smoke"][0]
        fields["validation"] = 200
    runs = []
    for method in CURVE_SEEDS[profile]:
        for values, seed in product(tried, range(seeds)):
            run = on_curve("links_curve_tuning", profile, method, density, seed=seed, **fields)
            variant = "rate {learning_rate:g}, decay {weight_decay:g}, dropout {dropout:g}"
            runs.append(run.with_changes({**values, "variant": variant.format(**values)}))
    return runs


# ----------------------------------------------------------------- what corrupted images leave

CORRUPTED: dict[str, Fields] = {
    "smoke": {"images": 50},
    "quick": {"images": 200},
    "paper": {"images": 2000},
}


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
        "corrupted",
        partial(studies_of, "corrupted", before_corruption, CORRUPTED),
        corrupted,
        *("training_length", "varied", "larger_fixed"),
    ),
    training("start_degrees", start_degrees, keep_some_degrees, parents=("adaptive_topology",)),
)
