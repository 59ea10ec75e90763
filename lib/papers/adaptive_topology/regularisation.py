"""Is the lead of evolving links over fixed ones a matter of tuning? Weight decay and dropout tried
together, the same values for every sparse method, and the networks with the settings chosen so.
"""

from collections.abc import Iterable
from itertools import product

import pandas as pd

from lib.papers.shared import tuning
from lib.papers.shared.methods import Fields, profiled
from lib.papers.shared.sparse_training import SparseTraining, training
from lib.runs.experiment import keep_nothing
from lib.runs.record import Record

Setting = tuple[float, float]  # weight decay and dropout

NETWORK = "adaptive_topology"  # whose networks they are; all but the setting as chosen there
EXPERIMENT = "regularisation"
CHOSEN = "chosen"  # the variant of the networks with the best setting
DATASETS = ("mnist", "fashion_mnist")
DECAYS = (0.0, 5e-5, 2e-4, 5e-4, 1e-3, 2e-3)  # the last two where the best stands on the edge
DROPOUTS = (0.0, 0.1, 0.3, 0.5)  # the last one so, too
GRID = tuple(product(DECAYS[:4], DROPOUTS[:3]))
TRIED: dict[str, tuple[Setting, ...]] = {
    "fixed": GRID,
    "set": GRID,
    "rigl": GRID,
    "dense": tuple(product((0.0, 2e-4), (0.1, 0.3))),  # an epoch takes some forty sparse ones
}
SEEDS = {"fixed": 2, "set": 2, "rigl": 2, "dense": 1}  # of a setting that is tried
# Filled in from the records of what was tried, by method and data set: see `extension`, `best`.
EXTENDED: dict[tuple[str, str], tuple[Setting, ...]] = {}
BEST: dict[tuple[str, str], Setting] = {}


def tried(profile: str) -> list[SparseTraining]:
    """Every setting on validation images, for as many epochs as the networks that are reported; no
    test images.
    """
    if profile != "paper":
        return _runs("set", profile, GRID[:1], **tuning.VALIDATED_SMALL, epochs={"sparse": 1})
    runs = []
    for method, settings in TRIED.items():
        for dataset in DATASETS:
            more = EXTENDED.get((method, dataset), ())
            scale = {**tuning.VALIDATED, "datasets": (dataset,), "seeds": SEEDS[method]}
            runs += _runs(method, profile, (*settings, *more), **scale)
    return runs


def chosen(profile: str) -> list[SparseTraining]:
    """Networks with the best setting of each method and data set, on all training images, five
    seeds; of the profile "paper" alone.
    """
    runs = []
    for (method, dataset), setting in BEST.items() if profile == "paper" else ():
        runs += _runs(method, profile, (setting,), datasets=(dataset,), variant=CHOSEN)
    return runs


def configs(profile: str) -> list[SparseTraining]:
    """What is tried, and what was chosen."""
    return tried(profile) + chosen(profile)


def _runs(
    method: str, profile: str, settings: Iterable[Setting], **scale: object
) -> list[SparseTraining]:
    runs = []
    for decay, dropout in settings:
        fields: Fields = {"variant": written((decay, dropout)), **scale}
        fields |= {"weight_decay": decay, "dropout": dropout}
        for run in profiled(NETWORK, profile, (method,), **fields):
            runs.append(run.with_changes({"experiment": EXPERIMENT}))
    return runs


def written(setting: Setting) -> str:
    """How a setting is written."""
    decay, dropout = setting
    return f"decay {decay:g}, dropout {dropout:g}"


# ------------------------------------------------------------------------------- what is chosen


def accuracies(records: Iterable[Record]) -> pd.DataFrame:
    """Validation accuracy at the last epoch of what was tried: columns dataset, method, decay,
    dropout, value (percent, mean over seeds), n (seeds).
    """
    rows = []
    for record in records:
        run = record.config
        if run.variant != CHOSEN:
            value = 100 * record.metrics["valid_accuracy"].iloc[-1]
            place = run.dataset, run.method, run.weight_decay, run.dropout
            rows.append((*place, value))
    place = ["dataset", "method", "decay", "dropout"]
    table = pd.DataFrame(rows, columns=[*place, "value"])
    found = table.groupby(place)["value"].agg(["mean", "size"]).reset_index()
    return found.rename(columns={"mean": "value", "size": "n"})


def best(records: Iterable[Record]) -> dict[tuple[str, str], Setting]:
    """The setting of the highest validation accuracy, by method and data set; of equal ones the
    weakest decay, then the weakest dropout.
    """
    table = accuracies(records).sort_values(["decay", "dropout"])
    found = {}
    for (dataset, method), rows in table.groupby(["dataset", "method"], sort=False):
        row = rows.loc[rows["value"].idxmax()]
        found[method, dataset] = float(row["decay"]), float(row["dropout"])
    return found


def extension(settings: Iterable[Setting], best: Setting) -> list[Setting]:
    """What is tried next where the best of some settings stands on their edge: the next value of
    :data:`DECAYS`, with every dropout tried, or of :data:`DROPOUTS`, with every decay tried. It is
    empty where the best is inside, or at the end of these.
    """
    settings = list(settings)
    decays, dropouts = ({setting[i] for setting in settings} for i in (0, 1))
    more = [(decay, dropout) for decay in _beyond(decays, best[0], DECAYS) for dropout in dropouts]
    more += [
        (decay, dropout) for dropout in _beyond(dropouts, best[1], DROPOUTS) for decay in decays
    ]
    return sorted(more)


def _beyond(values: set[float], best: float, scale: tuple[float, ...]) -> list[float]:
    """The value of a scale next to the best one, on the side where nothing was tried."""
    place = scale.index(best)
    neighbours = []
    if best == max(values) and place + 1 < len(scale):
        neighbours.append(scale[place + 1])
    if best == min(values) and place > 0:
        neighbours.append(scale[place - 1])
    return neighbours


REGULARISATION = training(EXPERIMENT, configs, keep_nothing)
