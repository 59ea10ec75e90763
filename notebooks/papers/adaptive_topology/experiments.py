"""The networks of [Sulyok2026], and what is measured on them, in three profiles."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from typing import Any

from lib.runs.experiment import PROFILES, Contents, Experiment, Workspace, keep_nothing
from papers.adaptive_topology import adversarial_attacks as attacks
from papers.adaptive_topology import link_removal, studies, weight_shuffling
from papers.shared import inputs, study, trained, tuning
from papers.shared.methods import NARROW, PARENTS, WIDE, Fields, profiled, tabled
from papers.shared.robust_training import RobustTraining
from papers.shared.sparse_training import SparseTraining
from papers.shared.study import Holds, Study, study_of, with_stand_in
from papers.shared.tables import part
from papers.shared.training import training

Runs = list[SparseTraining]
Setting = tuple[float, float]  # weight decay and dropout

# ------------------------------------------------------------------------------------ networks

# Methods of notebook 20 and of every study below; what each is: `papers.shared.methods`.
COMPARED = ("set", "rigl", "set_random_removal", "fixed", "dense", "dense_small", *PARENTS)
SPARSE = ("set", "rigl", "fixed")
LENGTHENED = (*SPARSE, "dense", "dense_small")
SHORTER = {"smoke": (1,), "quick": (1,), "paper": (20, 60)}  # epochs
SHORTER_SEEDS = {"dense": 3}  # an epoch takes ten times as long; others have all seeds
VARIED = {  # assumptions, one at a time; density .01 and drop fraction .3 are those of all others
    "smoke": {"density": (0.05,)},
    "quick": {"density": (0.02,)},
    "paper": {"density": (0.005, 0.02, 0.05), "drop_fraction": (0.1, 0.5)},
}
DROPOUTS = {"smoke": (0.3,), "quick": (0.3,), "paper": (0.1, 0.3)}  # between which SET's choice lay


def networks(profile: str, methods: Iterable[str] = COMPARED, **changes: Any) -> Runs:
    """Three sparse layers and a dense one, trained in every way that is compared, or in some."""
    return profiled(NARROW, profile, methods, **changes)


def shorter(profile: str) -> Runs:
    """The methods of :data:`LENGTHENED` for fewer epochs, each a training of its own, the dense one
    with fewer seeds.
    """
    runs = []
    for epochs in SHORTER[profile]:
        for run in networks(profile, LENGTHENED, epochs=epochs):
            if run.seed < SHORTER_SEEDS.get(run.method, math.inf):
                runs.append(run.with_changes({"experiment": "training_length"}))
    return runs


def varied(profile: str) -> Runs:
    """SET and RigL, trained as the shortest of :func:`shorter`, under other assumptions."""
    usual = networks(profile, ("set", "rigl"), epochs=SHORTER[profile][0])
    runs = []
    for field, values in VARIED[profile].items():
        for value in values:
            changes = {"experiment": "varied", "variant": f"{field} {value}", field: value}
            runs += [run.with_changes(changes) for run in usual]
    return runs


def other_dropouts(profile: str) -> Runs:
    """SET, RigL and the fixed support of :func:`networks` with the dropout that was not chosen for
    them, so that all three are there with each.
    """
    runs = []
    for run in networks(profile, SPARSE):
        for dropout in DROPOUTS[profile]:
            if run.dropout != dropout:
                changes = {"experiment": "other_dropouts", "variant": f"dropout {dropout}"}
                runs.append(run.with_changes({**changes, "dropout": dropout}))
    return runs


def alike(run: SparseTraining) -> Runs:
    """The networks on the same data, with the seed and of the experiment of a run, in the profile
    that has it; none of a custom run.
    """
    place = run.experiment, run.dataset, run.seed
    for profile in PROFILES:
        runs = networks(profile) + shorter(profile)
        runs += [other.stand_in for other in runs if other.stand_in]
        if run in runs:
            return [one for one in runs if (one.experiment, one.dataset, one.seed) == place]
    return []


def twin(run: SparseTraining, method: str) -> SparseTraining:
    """The run of another method on the same data, with the same seed and length.

    Raises: ValueError if no profile has one.
    """
    for other in alike(run):
        if (other.epochs, other.method) == (run.epochs, method):
            return other
    raise ValueError(f"no profile trains {method} on {run.dataset} for {run.epochs} epochs")


# ------------------------------------------------------------- weight decay and dropout together

DECAYS = (0.0, 5e-5, 2e-4, 5e-4, 1e-3, 2e-3)  # the last two where the best stands on the edge
DECAY_DROPOUTS = (0.0, 0.1, 0.3, 0.5)  # the last one so, too
GRID = tuple(product(DECAYS[:4], DECAY_DROPOUTS[:3]))
TRIED: dict[str, tuple[Setting, ...]] = {
    "fixed": GRID,
    "set": GRID,
    "rigl": GRID,
    "dense": tuple(product((0.0, 2e-4), (0.1, 0.3))),  # an epoch takes some forty sparse ones
}
TRIED_SEEDS = {"fixed": 2, "set": 2, "rigl": 2, "dense": 1}
# Filled in from the records of what was tried, by method and data set; a test compares both.
EXTENDED: dict[tuple[str, str], tuple[Setting, ...]] = {
    ("rigl", "mnist"): ((1e-3, 0.1), (1e-3, 0.3)),  # without dropout a seed diverges
    ("rigl", "fashion_mnist"): ((0.0, 0.5), (5e-5, 0.5), (2e-4, 0.5), (5e-4, 0.5)),
    ("dense", "mnist"): ((2e-4, 0.0), (5e-4, 0.1), (5e-4, 0.3)),
    ("dense", "fashion_mnist"): ((2e-4, 0.5), (5e-4, 0.1), (5e-4, 0.3)),
}
# Tried, and left no record: the loss became nan.
DIVERGED: dict[tuple[str, str], tuple[Setting, ...]] = {
    ("dense", "mnist"): ((0.0, 0.1), (0.0, 0.3)),
    ("dense", "fashion_mnist"): ((0.0, 0.1), (0.0, 0.3), (2e-4, 0.5)),
}
BEST: dict[tuple[str, str], Setting] = {
    ("fixed", "mnist"): (5e-5, 0.1),
    ("fixed", "fashion_mnist"): (5e-5, 0.1),
    ("set", "mnist"): (2e-4, 0.1),
    ("set", "fashion_mnist"): (2e-4, 0.1),
    ("rigl", "mnist"): (5e-4, 0.1),
    ("rigl", "fashion_mnist"): (5e-5, 0.3),
    ("dense", "mnist"): (2e-4, 0.1),
    ("dense", "fashion_mnist"): (2e-4, 0.3),
}


def settings_tried(profile: str) -> Runs:
    """Every setting on validation images, for as many epochs as the networks that are reported; no
    test images.
    """
    if profile != "paper":
        usual = networks(profile, ("set",), **tuning.VALIDATED_SMALL, epochs=1)
        return [regularised(run, GRID[0]) for run in usual]
    runs = []
    for method, dataset in product(TRIED, ("mnist", "fashion_mnist")):
        scale = {**tuning.VALIDATED, "dataset": [dataset], "seed": range(TRIED_SEEDS[method])}
        usual = networks(profile, (method,), **scale)
        for setting in TRIED[method] + EXTENDED.get((method, dataset), ()):
            if setting not in DIVERGED.get((method, dataset), ()):
                runs += [regularised(run, setting) for run in usual]
    return runs


def settings_chosen(profile: str) -> Runs:
    """Networks with the best setting of each method and data set, on all training images, five
    seeds; of the profile "paper" alone.
    """
    runs = []
    for (method, dataset), setting in BEST.items() if profile == "paper" else ():
        usual = networks(profile, (method,), dataset=[dataset])
        runs += [regularised(run, setting, variant="chosen") for run in usual]
    return runs


def regularised(run: SparseTraining, setting: Setting, variant: str = "") -> SparseTraining:
    """The same training with another weight decay and dropout."""
    decay, dropout = setting
    changes: Fields = {"experiment": "regularisation", "weight_decay": decay, "dropout": dropout}
    changes["variant"] = variant or f"decay {decay:g}, dropout {dropout:g}"
    return run.with_changes(changes)


def tried_and_chosen(profile: str) -> Runs:
    """What is tried, and what was chosen."""
    return settings_tried(profile) + settings_chosen(profile)


def other_seeds(profile: str) -> Runs:
    """The sparse networks of :func:`settings_chosen` on Fashion-MNIST, with five seeds that chose
    no settings.
    """
    if profile != "paper":
        usual = networks(profile, ("set", "fixed"), epochs=1)
        return [run.with_changes({"experiment": "other_seeds"}) for run in usual]
    runs = []
    for run in settings_chosen(profile):
        if run.dataset == "fashion_mnist" and run.method != "dense":
            runs.append(run.with_changes({"experiment": "other_seeds", "seed": run.seed + 5}))
    return runs


# -------------------------------------------------- a dense network of RigL's working neurons

# By data set: neurons of each hidden layer that work after 150 epochs of RigL, mean of five seeds,
# rounded. Small profiles, on digits, have those of Fashion-MNIST.
WORKING: dict[str, Fields] = {
    "mnist": {"hidden": (267, 193, 603)},
    "fashion_mnist": {"hidden": (257, 179, 451)},
    "digits": {"hidden": (257, 179, 451)},
}
WORKING_TRIED: tuple[Fields, ...] = (
    {"learning_rate": [0.03, 0.1, 0.3], "dropout": [0.1]},
    {"learning_rate": [0.03, 0.1], "dropout": [0.3]},
)
WORKING_CHOSEN: Fields = {"learning_rate": 0.3, "dropout": 0.1}
WORKING_SCALE: Fields = {"method": ["dense_working"], "dataset": ["mnist", "fashion_mnist"]}


def working_tuning(profile: str) -> Runs:
    """Every setting on validation images, for seed 0 and 20 epochs; no test images."""
    scale = {**tuning.VALIDATED, **WORKING_SCALE, "differences": {"dataset": WORKING}, "epochs": 20}
    scale["variant"] = "rate {learning_rate:g}, dropout {dropout:g}"
    small = {"validation": 200, "learning_rate": [0.1]}
    tables = [part({**scale, **tried}, smoke=small, quick="smoke") for tried in WORKING_TRIED]
    return tabled("working_tuning", profile, *tables)


def working_widths(profile: str) -> Runs:
    """With the settings chosen, on all training images, as long as those of :func:`shorter`."""
    scale = {**WORKING_SCALE, **WORKING_CHOSEN, "differences": {"dataset": WORKING}}
    scale |= {"epochs": [*SHORTER["paper"]], "seed": range(5)}
    short: Fields = {"epochs": 1}
    return tabled("working_widths", profile, part(scale, smoke=short, quick=short))


# ------------------------------------------------------------------------------ robust training

TRAINED_RADIUS = {"mnist": 0.1, "fashion_mnist": 0.04, "digits": 0.1}
AVERAGED: Fields = {"averaging": 0.999}
LEFT_OUT: Fields = {**AVERAGED, "drop_connect": 0.5, "learning_rate": 0.1, "dropout": 0.0}
ATTACKED: Fields = {**AVERAGED, "adversarial_radius": TRAINED_RADIUS, "dropout": 0.0}
RECIPES: dict[str, Fields] = {  # what differs from the tuned networks; see `recipes_tried`
    "weights averaged": AVERAGED,
    "growth by attacked examples": {**AVERAGED, "grow_radius": TRAINED_RADIUS},
    "links left out": LEFT_OUT,
    "attacked examples": {**ATTACKED, "learning_rate": 0.3},
    "both": {**LEFT_OUT, **ATTACKED},
}
RECIPES_OF = {"rigl": tuple(RECIPES), "dense": ("links left out", "attacked examples")}
RECIPE_EPOCHS = {"attacked examples": 20, "both": 40}  # an epoch costs three
RECIPES_TRIED: dict[str, tuple[Fields, ...]] = {
    "links left out": (
        {"drop_connect": 0.4},
        {"drop_connect": 0.5},
        {"drop_connect": 0.6},
        {"drop_connect": 0.5, "learning_rate": 0.03},
    ),
    "attacked examples": ({"learning_rate": 0.1}, {"learning_rate": 0.3}),
}


def tuned(profile: str) -> Runs:
    """The networks that recipes start from: those of ``training_length`` that train longest."""
    longest = max(SHORTER[profile])
    return [run for run in shorter(profile) if run.method in RECIPES_OF and run.epochs == longest]


def robust(profile: str) -> list[RobustTraining]:
    """RigL by every recipe, the dense network by the main ones."""
    runs = []
    for run in tuned(profile):
        runs += [by_recipe(run, recipe, profile) for recipe in RECIPES_OF[run.method]]
    return runs


def recipes_tried(profile: str) -> list[RobustTraining]:
    """What was tried for RigL on validation examples: how many links are left out, and the learning
    rate. Leaving links out diverges at rates of .2 and above, which have no record.
    """
    scale = {**tuning.scale_of(profile), "epochs": max(SHORTER[profile])}
    if profile == "paper":
        scale["dataset"] = ["mnist", "fashion_mnist"]
    runs = []
    for run in networks(profile, ("rigl",), **scale):
        for recipe, points in RECIPES_TRIED.items():
            for point in points if profile == "paper" else points[:1]:
                values = ", ".join(f"{name} {value:g}" for name, value in point.items())
                named = {"experiment": "recipe_tuning", "variant": f"{recipe}, {values}"}
                changed = by_recipe(run, recipe, profile)
                runs.append(changed.with_changes({**point, **named}))
    return runs


def by_recipe(run: SparseTraining, recipe: str, profile: str) -> RobustTraining:
    """The same training by a recipe."""
    changes: Fields = {"experiment": "make_it_robust", "variant": recipe}
    if profile == "paper":
        changes["epochs"] = RECIPE_EPOCHS.get(recipe, run.epochs)
    for name, value in RECIPES[recipe].items():  # a dict has a number for each data set
        changes[name] = value[run.dataset] if isinstance(value, dict) else value
    if run.stand_in is not None:
        changes["stand_in"] = by_recipe(run.stand_in, recipe, profile)
    return run.as_kind(RobustTraining, **changes)


# ----------------------------------------------------------------- what is measured, by profile

# Where dense networks of `tuning` keep half their accuracy, on validation images: `attack_radius`.
HEADLINE_RADIUS = {"mnist": 0.095, "fashion_mnist": 0.04, "digits": 0.1}
# A new study: its function, how much it measures (here), and a line of `_study` at the end.
AMOUNTS: dict[str, dict[str, Fields]] = {
    "link_removal": {
        "smoke": {"images": 100, "draws": 2, "points": 5},
        "quick": {"images": 500, "draws": 1, "points": 5},
        "paper": {},
    },
    "weight_shuffling": {
        "smoke": {"images": 100, "draws": 1, "points": 3},
        "quick": {"images": 500, "draws": 1, "points": 5},
        "paper": {"points": 11},
    },
    "null_ladder": {
        "smoke": {"images": 50, "draws": 1, "steps": 5},
        "quick": {"images": 200, "draws": 1, "steps": 10},
        "paper": {"images": 1000, "draws": 5},
    },
    "attack_curves": {
        "smoke": {"images": 50, "bisections": 2, "steps": 5},
        "quick": {"images": 100, "bisections": 2, "steps": 10},
        "paper": {"images": 1000, "bisections": 8},
    },
    "attack_ensemble": {
        "smoke": {"images": 20, "steps": 5, "restarts": 2, "queries": 20},
        "quick": {"images": 50, "steps": 20, "restarts": 2, "queries": 50},
        "paper": {"images": 500, "steps": 100, "restarts": 10},
    },
    "attack_minimal": {
        "smoke": {"images": 4, "bisections": 2, "steps": 5, "queries": 5},
        "quick": {"images": 6, "bisections": 4, "steps": 20, "queries": 20},
        "paper": {"images": 100, "bisections": 8},
    },
    "attack_pixels": {
        "smoke": {"images": 40, "steps": 5},
        "quick": {"images": 200, "steps": 20},
        "paper": {"images": 1000},
    },
    "robustness_summary": {
        "smoke": {"images": 60, "draws": 1, "points": 3, "steps": 5, "queries": 20},
        "quick": {"images": 100, "draws": 1, "points": 5, "steps": 10, "queries": 50},
        "paper": {"images": 1000, "draws": 3, "points": 11},
    },
    "robust_summary": {
        "smoke": {"images": 40, "draws": 1, "points": 5, "steps": 5, "queries": 20},
        "quick": {"images": 100, "draws": 1, "points": 5, "steps": 10, "queries": 50},
        "paper": {"images": 1000, "draws": 3, "points": 21},
    },
}
DENSE_AMOUNTS: dict[tuple[str, str], Fields] = {  # it takes a hundred times as long
    ("link_removal", "paper"): {"draws": 2},
    ("weight_shuffling", "paper"): {"draws": 2},
    ("robustness_summary", "paper"): {"draws": 2},
}
CURVES = {  # radii in L-infinity and in L2
    "smoke": ((0.1, 0.3), (0.5, 2.0)),
    "quick": ((0.01, 0.02, 0.05, 0.1, 0.3), (0.2, 0.5, 1.0, 2.0, 4.0)),
    "paper": (
        (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3),
        (0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
    ),
}
# Around the radii of half accuracy of all methods, which lie where they do on validation images.
SUMMARY_RADII = {
    "mnist": (0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15),
    "fashion_mnist": (0.01, 0.02, 0.03, 0.05, 0.06, 0.08),
    "digits": (0.05, 0.2),
}
SUMMARY_RADII_L2 = {
    "mnist": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0),
    "fashion_mnist": (0.2, 0.4, 0.7, 1.0, 1.5),
    "digits": (0.5, 1.0),
}
ROBUST_RADII = {  # the first: trained for
    "mnist": (TRAINED_RADIUS["mnist"], 0.05, 0.15, 0.2),
    "fashion_mnist": (TRAINED_RADIUS["fashion_mnist"], 0.02, 0.06, 0.08),
    "digits": (TRAINED_RADIUS["digits"], 0.2),
}


FACTORS = {  # by study: of the headline radius
    "null_ladder": (0.5,),
    "attack_ensemble": (1.0, 0.5, 1.5, 2.0),
    "attack_minimal": (1.0,),
    "attack_pixels": (1.0,),
}


def radii_of(experiment: str, profile: str, dataset: str) -> Fields:
    """The radii of a study in L-infinity and in L2; none where nothing is attacked."""
    headline = HEADLINE_RADIUS[dataset]
    if experiment in FACTORS:
        return {"radii": tuple(headline * factor for factor in FACTORS[experiment])}
    if experiment == "attack_curves":
        radii, radii_l2 = CURVES[profile]
        return {"radii": tuple(sorted({*radii, headline})), "radii_l2": radii_l2}
    if experiment == "robustness_summary":
        return {"radii": (headline, *SUMMARY_RADII[dataset]), "radii_l2": SUMMARY_RADII_L2[dataset]}
    return {"radii": ROBUST_RADII[dataset]} if experiment == "robust_summary" else {}


def studied(experiment: str, parents: Callable[[str], Runs], profile: str) -> list[Study]:
    """The study of every network; where its data set cannot be had, that of its stand-in."""

    def make(parent: SparseTraining) -> Study:
        fields = {**AMOUNTS[experiment][profile], **radii_of(experiment, profile, parent.dataset)}
        if parent.method == "dense":
            fields |= DENSE_AMOUNTS.get((experiment, profile), {})
        if experiment == "robust_summary":
            fields["variant"] = parent.variant
        return study_of(experiment, parent, **fields)

    return [with_stand_in(make, parent) for parent in parents(profile)]


def first_seeds(n: int, profile: str) -> Runs:
    """The networks of ``adaptive_topology`` of the first seeds."""
    return [run for run in networks(profile) if run.seed < n]


def summarised(profile: str) -> Runs:
    """Every network of ``adaptive_topology``, those trained for fewer epochs, with the other
    dropout, of other widths, with other assumptions, and with decay and dropout chosen together.
    """
    parents = networks(profile) + shorter(profile) + other_dropouts(profile)
    parents += profiled(WIDE, profile, SPARSE)
    return parents + varied(profile) + settings_chosen(profile)


def dense(profile: str) -> Runs:
    """Every dense network."""
    return [run for run in networks(profile) + shorter(profile) if run.method == "dense"]


def dense_on_validation(profile: str) -> list[Study]:
    """The attack curve of dense networks on the validation images of ``tuning``."""
    dense = tuning.dense_epochs(profile)
    longest = max(run.epochs for run in dense)
    radii, radii_l2 = CURVES[profile]
    fields = {**AMOUNTS["attack_curves"][profile], "radii": radii, "radii_l2": radii_l2}
    fields["bisections"] = 0
    return [study_of("attack_radius", run, **fields) for run in dense if run.epochs == longest]


def tuned_and_robust(profile: str) -> Runs:
    """Every robust network, those that recipes start from, and those tried."""
    return [*tuned(profile), *robust(profile), *recipes_tried(profile)]


# ----------------------------------------------------------------------------- the experiments


def make_minimal(run: Study, workspace: Workspace, measure: Callable, holds: Holds) -> Contents:
    """Minimal distances, and how attacks transfer to the networks of the same seed."""

    def others() -> dict[str, Any]:
        networks = {}
        for other in alike(run.parent) or [run.parent]:
            record = workspace.record_of(other, holds)
            networks[other.method] = trained.network(record)
        return networks

    return study.make(run, workspace, partial(measure, others=others), holds)


def make_pixels(run: Study, workspace: Workspace, measure: Callable, holds: Holds) -> Contents:
    """Attack the network of a run on the pixels that RigL keeps."""
    rigl = workspace.record_of(twin(run.parent, "rigl"), trained.holds_degrees)
    kept = inputs.input_links(rigl, "final") > 0
    return study.make(run, workspace, partial(measure, kept=kept), holds)


def _study(
    name: str, parents: Callable[[str], Runs], measure: Callable, *trained_by: str, **how: Callable
) -> Experiment:
    """What is measured of networks that these experiments train, by default NARROW."""
    configs = partial(studied, name, parents)
    return study.measuring(name, configs, measure, *(trained_by or (NARROW,)), **how)


EXPERIMENTS = (
    training(
        "adaptive_topology",
        networks,
        trained.keep_sparse_networks,
        parents=("adaptive_topology",),  # of what inherits from a trained network
        same_runs_as=("set_mlp",),
    ),
    training("training_length", shorter, keep_nothing, parents=("training_length",)),
    training("other_dropouts", other_dropouts, keep_nothing),
    training("varied", varied, keep_nothing),
    training("regularisation", tried_and_chosen, keep_nothing),
    training("other_seeds", other_seeds, keep_nothing),
    training("working_tuning", working_tuning, keep_nothing),
    training("working_widths", working_widths, keep_nothing),
    _study(
        "robustness_summary",
        summarised,
        studies.robustness_summary,
        *("adaptive_topology", "training_length", "other_dropouts"),
        *("adaptive_topology_1568", "varied", "regularisation"),
    ),
    _study("link_removal", networks, link_removal.link_removal),
    _study("weight_shuffling", networks, weight_shuffling.weight_shuffling),
    _study("null_ladder", partial(networks, methods=SPARSE), weight_shuffling.null_ladder),
    _study("attack_curves", networks, attacks.attack_curves),
    _study("attack_ensemble", partial(first_seeds, 3), attacks.attack_ensemble),
    _study("attack_minimal", partial(first_seeds, 1), attacks.attack_minimal, make=make_minimal),
    _study(
        "attack_pixels",
        dense,
        attacks.attack_pixels,
        *("adaptive_topology", "training_length"),
        make=make_pixels,
    ),
    study.measuring("attack_radius", dense_on_validation, attacks.attack_curves, "tuning"),
    training("make_it_robust", robust, keep_nothing),
    training("recipe_tuning", recipes_tried, keep_nothing),
    _study(
        "robust_summary",
        tuned_and_robust,
        studies.robustness_summary,
        *("make_it_robust", "training_length", "recipe_tuning"),
    ),
)
