"""The explorer: one page, without a server, that draws what stored records say of sparse networks.

Every number of the page is computed here. Its sentences are written in docs/explorer/index.html,
and tests/docs/test_explorer.py holds them to the records.
"""

import base64
import functools
import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

import papers
from lib import topology
from lib._boundary import ROOT
from lib.report import labels
from lib.report.intervals import MIN_SEEDS, Measurement, t_interval
from lib.runs.record import Record
from papers.adaptive_topology.experiments import HEADLINE_RADIUS
from papers.shared.sparse_training import SparseTraining
from papers.shared.trained import degrees as degrees_of

SOURCE = ROOT / "docs" / "explorer"
DATASETS = ("mnist", "fashion_mnist")
BASE = "fixed"  # what every lead is over
SCALE = 10_000  # shares are kept as whole numbers of 1/SCALE
BLOCK = 5  # epochs that a point of the curve of leads is the mean of
MEAN_SCALE = 3  # maps of means over seeds are kept as whole numbers of 1/MEAN_SCALE
EQUAL_DROPOUT = 0.1
MAP_EPOCHS = {  # of the methods that have a map; the links of the others never move
    **dict.fromkeys(("set", "rigl", "set_random_removal"), (0, 1, 2, 5, 10, 20, 50, 100, 150)),
    **dict.fromkeys((BASE, "dense_pruned", "set_retrained", "set_rewired"), (0,)),
}
DISTURBED = {  # on the page and in the records of robustness_summary
    "removal": {"random": "removal"},
    "attack": {"linf": "pgd linf", "l2": "pgd l2"},
    "shuffle": {"all": "shuffle", "sign": "shuffle within sign"},
}

Networks = dict[tuple[str, str], list[Record]]  # by data set and method, in order of seeds


class Method(NamedTuple):
    """How a method is shown.

    Args:
        name: short, for the ends of curves.
        words: what it does.
        dash, symbol: of its curve, as SVG and D3 have them.
        light, dark: its colour on a light and a dark ground, where text needs a contrast of 4.5;
            "" for that of all figures.
    """

    name: str
    words: str
    dash: str
    symbol: str
    light: str
    dark: str


METHODS = {
    "set": Method(
        "SET",
        "Drops its weakest links after each epoch and grows new ones at random.",
        *("", "circle", "", "#5cb3ec"),
    ),
    "rigl": Method(
        "RigL",
        "Drops its weakest links and grows new ones where the loss would change most.",
        *("9 4", "square", "#007d5a", "#2cc99a"),
    ),
    "fixed": Method(
        "Fixed links",
        "Random links that never move.",
        *("9 3 2 3", "triangle", "#a06000", "#eda53a"),
    ),
    "set_random_removal": Method(
        "Random drop",
        "Like SET, but drops any link, not the weakest: a control.",
        *("4 2 1 2 1 2", "diamond2", "#bd5000", "#ff8a3d"),
    ),
    "dense": Method("Dense", "All links of the same neurons.", "2 3", "cross", "", "#f0f0f0"),
    "dense_small": Method(
        "Small dense",
        "All links of a network with few neurons: as many links as SET.",
        *("5 5", "times", "", "#b7a5ea"),
    ),
    "dense_pruned": Method(
        "Pruned",
        "The largest weights of the trained dense network, trained for 50 epochs more.",
        *("12 3", "diamond", "", "#d9a066"),
    ),
    "set_retrained": Method(
        "Retrained",
        "The links that SET ended with, with new weights; the links never move.",
        *("3 3", "star", "#1c7cab", "#8fd0f5"),
    ),
    "set_rewired": Method(
        "Rewired",
        "As many links at each neuron as in SET's last network, but between other neurons.",
        *("7 3 1 3", "wye", "#a84f98", "#e0a0d4"),
    ),
}


class Setting(NamedTuple):
    """Networks that are compared with each other.

    Args:
        name: on the page.
        words: what differs from the first setting.
        notebook: that reads their records.
        experiments: that trained them.
        holds: whether a run of these experiments is one of them.
    """

    name: str
    words: str
    notebook: str
    experiments: tuple[str, ...]
    holds: Callable[[SparseTraining], bool]


SETTINGS = {
    "tuned": Setting(
        "one weight decay",
        "Learning rate and dropout were chosen for each method on validation images. "
        "Weight decay is one for all.",
        *("20_adaptive_topology", ("adaptive_topology",), lambda run: True),
    ),
    "dropout": Setting(
        "equal dropout",
        f"All networks have dropout {EQUAL_DROPOUT}.",
        "20_adaptive_topology",
        ("adaptive_topology", "other_dropouts"),
        lambda run: run.dropout == EQUAL_DROPOUT,
    ),
    "decay": Setting(
        "no weight decay",
        "As with one weight decay, but without it: nothing keeps the weights small.",
        *("11_set_ablation", ("without_decay",), lambda run: run.density is not None),
    ),
    "both": Setting(
        "each tuned",
        "Weight decay was chosen for each method too, together with dropout.",
        *("11_set_ablation", ("regularisation",), lambda run: run.variant == "chosen"),
    ),
    "short": Setting(
        "20 epochs",
        "As with one weight decay, but trained for 20 epochs.",
        *("20_adaptive_topology", ("training_length",), lambda run: run.epochs == 20),
    ),
    "middle": Setting(
        "60 epochs",
        "As with one weight decay, but trained for 60 epochs.",
        *("20_adaptive_topology", ("training_length",), lambda run: run.epochs == 60),
    ),
    "wide": Setting(
        "wider: 1,568 neurons",
        "Hidden layers have 1,568 neurons instead of 1,000, and twice as many links.",
        *("16_growth_rules", ("adaptive_topology_1568",), lambda run: True),
    ),
}


def page() -> str:
    """The explorer as one HTML file, that holds its data and its scripts."""
    text = (SOURCE / "index.html").read_text(encoding="utf-8")
    data = json.dumps(build(), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    data = data.replace("</", "<\\/")  # may end no script
    licence = (SOURCE / "d3.LICENSE").read_text(encoding="utf-8")
    d3 = (SOURCE / "d3.min.js").read_text(encoding="utf-8")
    parts = {
        '<link rel="stylesheet" href="style.css">': (
            f"<style>\n{(SOURCE / 'style.css').read_text(encoding='utf-8')}</style>"
        ),
        '<script src="d3.min.js"></script>': f"<script>\n/* {licence}*/\n{d3}</script>",
        '<script src="data.js"></script>': f"<script>\nwindow.EXPLORER = {data};\n</script>",
        '<script src="explorer.js"></script>': (
            f"<script>\n{(SOURCE / 'explorer.js').read_text(encoding='utf-8')}</script>"
        ),
    }
    for place, part in parts.items():
        head, found, tail = text.partition(place)
        if not found:
            raise ValueError(f"docs/explorer/index.html has no {place}")
        text = head + part + tail
    return text


def build() -> dict[str, Any]:
    """Data of the page, as JSON; see docs/explorer/explorer.js."""
    trained = {name: networks(setting) for name, setting in SETTINGS.items()}
    disturbed = {name: disturbances(setting) for name, setting in SETTINGS.items()}
    ordered = orders_of_removal()
    shown: dict[str, Any] = {"methods": {}, "settings": {}, "datasets": {}}
    shown |= {"base": BASE, "block": BLOCK, "meanScale": MEAN_SCALE}
    for name, method in METHODS.items():
        light = method.light or labels.method(name)["color"]
        shown["methods"][name] = method._asdict() | {"light": light}
    for name, setting in SETTINGS.items():
        described = setting._asdict()
        del described["holds"]
        shown["settings"][name] = described
    for dataset in DATASETS:
        settings: dict[str, Any] = {}
        for name in SETTINGS:
            settings[name] = {}
            for method in METHODS:
                if (dataset, method) in trained[name]:
                    records = trained[name][dataset, method]
                    network = describe(records, trained[name][dataset, BASE])
                    network |= disturbed[name].get((dataset, method), {})
                    settings[name][method] = network
        for method in METHODS:
            settings["tuned"][method]["removal"] |= ordered[dataset, method]
        drawn, spread = maps(dataset, trained["tuned"])
        shown["datasets"][dataset] = {
            "name": labels.dataset(dataset),
            "radius": HEADLINE_RADIUS[dataset],
            "settings": settings,
            "maps": drawn,
            "spread": spread,
        }
    return shown


# ----------------------------------------------------------------------------- numbers of records


@functools.cache
def stored(experiment: str) -> list[Record]:
    """The records of the repository, not this machine's own."""
    return papers.STORE.shipped.of(experiment, "paper")


def networks(setting: Setting) -> Networks:
    """The trained networks of a setting that have three seeds or more: fewer bound nothing.

    Raises: ValueError if two records have one data set, method and seed.
    """
    found: Networks = defaultdict(list)
    for experiment in setting.experiments:
        for record in stored(experiment):
            run = record.config
            if run.dataset in DATASETS and run.method in METHODS and setting.holds(run):
                found[run.dataset, run.method].append(record)
    for (dataset, method), records in found.items():
        records.sort(key=lambda record: record.config.seed)
        if len({record.config.seed for record in records}) < len(records):
            raise ValueError(f"setting {setting.name!r} has a seed of {method}, {dataset}, twice")
    return {place: records for place, records in found.items() if len(records) >= MIN_SEEDS}


def describe(records: list[Record], base: list[Record]) -> dict[str, Any]:
    """Accuracy over epochs, lead over the base paired by seed, and what the networks are.

    Args:
        records: of one method, a seed each.
        base: of :data:`BASE`, on the same data set and in the same setting.
    """
    accuracy = np.array([record.metrics["test_accuracy"] for record in records])  # (seeds, epochs)
    run = records[0].config
    shown = {
        "accuracy": band(accuracy),
        "links": int(records[0].metrics["links"].iloc[0]),
        "n": len(records),
        "dropout": run.dropout,
        "rate": run.learning_rate,
        "decay": run.weight_decay,
        "widths": run.hidden,
        "records": [record.config.name for record in records],
    }
    if run.method == BASE:
        return shown
    of_base = {record.config.seed: record.metrics["test_accuracy"].to_numpy() for record in base}
    lead = [accuracy[k, -1] - of_base[r.config.seed][-1] for k, r in enumerate(records)]
    shown["leadEnd"] = points(t_interval(lead))
    if run.epochs == base[0].config.epochs:
        pairs = [accuracy[k] - of_base[r.config.seed] for k, r in enumerate(records)]
        blocks = np.reshape(pairs, (len(pairs), -1, BLOCK)).mean(axis=2)
        shown |= {"lead": band(pairs), "leadBlocks": band(blocks)}
    return shown


def disturbances(setting: Setting) -> dict[tuple[str, str], dict[str, Any]]:
    """Accuracy against links removed at random, the radius of an attack, and weights shuffled, of
    the networks of a setting; empty where that was not measured.
    """
    found = {}
    for place, rows in by_network("robustness_summary", setting).items():
        series = {name: part for name, part in rows.groupby("measure")}
        for norm in DISTURBED["attack"].values():  # they begin at radius 0
            series[norm] = pd.concat([series["accuracy"], series[norm]])
        found[place] = {
            tab: {
                variant: curve(series[measure], "strength", "value")
                for variant, measure in variants.items()
            }
            for tab, variants in DISTURBED.items()
        }
    return found


def orders_of_removal() -> dict[tuple[str, str], dict[str, Any]]:
    """Accuracy against the fraction removed, the weakest or the strongest links first."""
    found = {}
    for place, rows in by_network("link_removal", SETTINGS["tuned"]).items():
        orders = dict(iter(rows[rows["scope"] == "all"].groupby("order")))
        found[place] = {
            order: curve(orders[order], "fraction", "accuracy")
            for order in ("ascending", "descending")
        }
    return found


@functools.cache
def by_network(experiment: str, setting: Setting) -> dict[tuple[str, str], pd.DataFrame]:
    """Measurements of the networks of a setting, by data set and method: the metrics of
    its records, with the seed of each.
    """
    parts = defaultdict(list)
    for record in stored(experiment):
        study, run = record.config, record.config.parent
        if study.dataset not in DATASETS or study.method not in METHODS:
            continue
        if run.experiment in setting.experiments and setting.holds(run):
            parts[run.dataset, run.method].append(record.metrics.assign(seed=run.seed))
    return {place: pd.concat(tables) for place, tables in parts.items()}


def maps(dataset: str, trained: Networks) -> tuple[dict[str, Any], str]:
    """Links of every pixel at the stored epochs, and how much each pixel differs between images.

    Of each method one network and the mean over seeds; how well its links follow the pixels that
    differ (rank correlation with their variance), and how many pixels have none, means over seeds.
    """
    (variance,) = {
        record.arrays["variance"].tobytes(): record.arrays["variance"]
        for record in stored("visible_connectivity")
        if record.config.dataset == dataset
    }.values()
    found = {}
    for method, epochs in MAP_EPOCHS.items():
        drawn: dict[str, Any] = {"epochs": epochs, "one": [], "mean": [], "match": [], "empty": []}
        degrees = [degrees_of(record) for record in trained[dataset, method]]
        first = degrees[0]["layer"].iloc[0]
        for epoch in epochs:
            links = np.array([topology.degrees_at(each, first, "out", epoch) for each in degrees])
            matches = [stats.spearmanr(of_seed, variance).statistic for of_seed in links]
            drawn["one"].append(pack(links[0]))
            drawn["mean"].append(pack(np.rint(MEAN_SCALE * links.mean(axis=0))))
            drawn["match"].append(round(float(np.mean(matches)), 2))
            drawn["empty"].append(round(float((links == 0).sum(axis=1).mean())))
        found[method] = drawn
    spread = np.sqrt(variance)
    return found, pack(np.rint(255 * spread / spread.max()))


def curve(rows: pd.DataFrame, x: str, y: str) -> dict[str, Any]:
    """The mean over seeds of the mean over draws of y, with its interval, against x.

    Raises: ValueError if a seed lacks a place.
    """
    by_seed = rows.groupby(["seed", x])[y].mean().unstack()
    if by_seed.isna().any(axis=None):
        raise ValueError(f"a seed lacks a value of {x}")
    places = [round(float(place), 4) for place in by_seed.columns]
    return {"x": places, "y": band(by_seed.to_numpy()), "n": len(by_seed)}


def band(by_seed: Any) -> list[list[int]]:
    """Mean, low and high end of the 95 % t-interval at every place of an array (seeds, places), as
    whole numbers of 1/SCALE.
    """
    places = [t_interval(place) for place in np.transpose(by_seed)]
    sides = np.transpose([(place.value, place.low, place.high) for place in places])
    return np.rint(SCALE * sides).astype(int).tolist()


def points(measurement: Measurement) -> list[float]:
    """A difference of shares in points: value, low, high."""
    sides = (measurement.value, measurement.low, measurement.high)
    return [round(100 * float(side), 2) for side in sides]


def pack(numbers: np.ndarray) -> str:
    """Whole numbers below 256, a byte each, as text.

    Raises: ValueError if one is not.
    """
    if numbers.min() < 0 or numbers.max() > 255:
        raise ValueError(f"{numbers.min()} to {numbers.max()} is beyond a byte")
    return base64.b64encode(numbers.astype(np.uint8).tobytes()).decode()
