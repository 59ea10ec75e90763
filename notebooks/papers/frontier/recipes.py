"""Recipes: how networks of this room are made, what they reach, and the networks.

python -m lib recipe cifar10-1pct

from lib import data, train
from papers.frontier import recipes
network = recipes.load("cifar10-1pct")
split = data.load("cifar10")
train.accuracy(network, split.x_test, split.y_test)
"""

import shlex
from dataclasses import dataclass

from torch import nn

from lib._boundary import check_known
from lib.evolution import Evolution
from lib.report.intervals import t_interval
from lib.report.labels import dataset as dataset_name
from lib.runs.record import Record
from lib.runs.records import Store
from lib.train import Settings
from papers.frontier.experiments import (
    ATTACK_RADIUS,
    ATTACKED_VARIANT,
    CERTIFIED,
    EXPERIMENTS,
    LONGER_CHOSEN,
    LONGER_TRIED,
    RADIUS,
)
from papers.shared import trained
from papers.shared.sparse_training import SparseTraining

SETTINGS = (
    *("epochs", "batch_size", "learning_rate", "schedule", "momentum", "weight_decay", "dropout"),
    *("activation", "augmentation", "averaging", "density", "reaches", "certified_radius"),
    *("kappa", "adversarial_radius", "adversarial_steps", "plain_epochs", "growing_epochs"),
    "drop",
)
OF_MOVED = ("grow", "drop_fraction", "decay")  # settings of links that move
EPOCHS = (1, 2, 5, 10, 20, 50, 100, 200)  # of the curve
STORE = Store({experiment.name: experiment for experiment in EXPERIMENTS})


@dataclass(frozen=True)
class Recipe:
    """A recipe: what chooses its runs among those of an experiment, what these are in words, and
    how their settings were tuned.
    """

    experiment: str
    method: str
    variant: str
    words: str
    tuning: str


RECIPES = {
    "cifar10-1pct": Recipe(
        "cifar10_longer",
        LONGER_TRIED[LONGER_CHOSEN][0],
        LONGER_CHOSEN,
        "fixed links from a local start, 200 epochs",
        "epochs, averaging and whether links move on validation images, after test results of 100"
        " epochs were seen; all else in a first trial that read test images, so that the result may"
        " be too high",
    ),
    "mnist-certified-1pct": Recipe(
        "certified",
        "rigl",
        CERTIFIED,
        "RigL, trained to be certified",
        "radius, kappa and learning rate on validation images",
    ),
    "mnist-attacked-1pct": Recipe(
        "attacked",
        "rigl",
        ATTACKED_VARIANT,
        "RigL, trained on attacked examples",
        "loss, steps, radius and learning rate on validation images",
    ),
}
WITHSTOOD = {  # lines of a card: study, measure, column of the radius, radius
    "certified": ("certificates", "certified", "radius", RADIUS),
    "attacked": ("attacked_summary", "all attacks", "strength", ATTACK_RADIUS),
}


def runs_of(name: str, profile: str = "paper") -> list:
    """The runs of a recipe, a seed each. Raises ValueError with the nearest name."""
    check_known("recipe", name, RECIPES)
    recipe = RECIPES[name]
    runs = STORE.experiments[recipe.experiment].runs(profile)
    return [run for run in runs if (run.method, run.variant) == (recipe.method, recipe.variant)]


def command(name: str, profile: str = "paper") -> str:
    """Command that makes the missing runs of a recipe."""
    recipe = RECIPES[name]
    chosen = (f"method={recipe.method}", f"variant={recipe.variant}")
    words = ("python", "-m", "lib", "run", recipe.experiment, *chosen, "--profile", profile)
    return shlex.join(words)


def names() -> str:
    """A line for each recipe: its name, what it is, and its data set."""
    lines = []
    for name, recipe in RECIPES.items():
        where = dataset_name(runs_of(name)[0].dataset)
        lines.append(f"{name}: {recipe.words}, on {where}")
    return "\n".join(lines)


def card(name: str, profile: str = "paper") -> str:
    """A recipe as text: data set, settings, how they were tuned and where they are explained,
    accuracy by epoch, result with its 95 % interval, shares of images that are certified or
    withstand attacks where these were measured, time, what makes the runs that are missing, and
    what gives the network.

    Raises: ValueError for an unknown recipe.
    """
    runs = runs_of(name, profile)
    records = STORE.records(runs)
    keys = SETTINGS if runs[0].drop is None else (*SETTINGS, *OF_MOVED)
    settings = {key: getattr(runs[0], key) for key in keys if hasattr(runs[0], key)}
    lines = {"data set": dataset_name(runs[0].dataset)}
    lines["settings"] = ", ".join(f"{key} {value}" for key, value in settings.items())
    lines["tuning"] = RECIPES[name].tuning
    kinds = (type(runs[0]), SparseTraining, Settings, Evolution)
    places = [f'help("{kind.__module__}.{kind.__name__}")' for kind in kinds]
    lines["explained"] = ", ".join(places)
    lines |= _measured(records) if records else {"result": "not run"}
    lines |= _withstood(runs, profile)
    lines |= {
        "command": command(name, profile),
        "network": f'papers.frontier.recipes.load("{name}")',
    }
    return "\n".join(f"{key:<11}{value}" for key, value in lines.items())


def _measured(records: list[Record]) -> dict[str, str]:
    """The lines of a card that records say."""
    first = records[0]
    links = int(first.metrics["links"].iloc[-1])
    last = [record.metrics["test_accuracy"].iloc[-1] for record in records]
    by_epoch = sum(record.metrics.set_index("epoch")["test_accuracy"] for record in records)
    curve = by_epoch / len(records)
    epochs = sorted({*EPOCHS, len(curve)} & {*curve.index})
    shown = [f"{epoch}: {100 * curve[epoch]:.1f} %" for epoch in epochs]
    seconds = sum(record.environment["seconds"] for record in records) / len(records)
    lines = {
        "links": f"{links:,} of {first.environment['architecture']}",
        "result": f"{_mean(last)}: test accuracy at the last epoch",
        "curve": f"mean test accuracy after epochs {', '.join(shown)}",
        "seconds": f"{seconds:,.0f} a run",
    }
    if trained.holds_network(first):
        accuracy = f"test accuracy {100 * last[0]:.2f} %"
        lines["stored"] = f"the network of seed {first.config.seed}: {accuracy}"
    return lines


def _withstood(runs: list, profile: str) -> dict[str, str]:
    """The lines of a card on what studies of these runs say of changed images, if there are any."""
    names, lines = {run.name for run in runs}, {}
    for line, (study, measure, column, radius) in WITHSTOOD.items():
        shares = []
        for record in STORE.of(study, profile):
            if record.config.parent.name in names:
                table = record.metrics
                rows = table[(table["measure"] == measure) & (table[column] == radius)]
                shares.append(rows["value"].item())
        if shares:
            lines[line] = f"{_mean(shares)}: test images, {measure}, L-infinity {radius:g}"
    return lines


def _mean(shares: list[float]) -> str:
    """The mean over seeds in percent, with its interval."""
    found = t_interval([100 * share for share in shares])
    if found.n == 1:
        return f"{found.value:.2f} %, one seed"
    return f"{found.value:.2f} % [{found.low:.2f}, {found.high:.2f}], {found.n} seeds"


def load(name: str, profile: str = "paper") -> nn.Sequential:
    """The trained network of a recipe, of seed 0, in evaluation mode; it takes images with pixels
    from 0 to 1.

    Raises: ValueError for an unknown recipe, or where its network is not stored.
    """
    run = runs_of(name, profile)[0]
    for record in STORE.records([run]):
        return trained.network(record)
    raise ValueError(f"the network of {name} is not stored: {command(name, profile)}")
