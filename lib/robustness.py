"""What a trained network keeps when links are removed, weights shuffled, or inputs attacked: the
tables behind notebooks 21 to 23, one row a measurement.

Accuracy is the fraction of a fixed stratified subset of images that is classified correctly; an
image misclassified before the attack counts as lost at every radius.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import attacks, data, models, perturb, topology, train
from lib.config import Config, Study
from lib.data import Split
from lib.experiments import HEADLINE_RADIUS

Table = tuple[pd.DataFrame, dict[str, np.ndarray]]
Siblings = Callable[[], Mapping[str, nn.Module]]
SWITCHES = (0.1, 0.3, 1.0, 3.0, 10.0)  # a link
NOISE_STD = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)  # in standard deviations of the weights
PIXEL_NOISE_STD = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
SEVERITIES = (1, 3, 5)
STEPS = (1, 5, 10, 20, 40, 100)
LOGIT_SCALES = (0.01, 100.0)


def subset(split: Split, n: int) -> tuple[Tensor, Tensor]:
    """n images and their labels, classes in proportion, the same ones for every network.

    Smaller subsets lie within larger ones. They come from the validation part where the data have
    one, else from the test part.
    """
    part = "test" if split.x_valid is None else "valid"
    x, y = getattr(split, f"x_{part}"), getattr(split, f"y_{part}")
    first = torch.from_numpy(data.stratified_order(len(y), y.numpy())[:n].copy())
    return x[first], y[first]


def _generator(study: Study, draw: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(10**6 + 1000 * study.seed + draw)


# ------------------------------------------------------------------------- links and weights


def link_removal(study: Study, model: nn.Module, split: Split, siblings: Siblings) -> Table:
    """Accuracy, largest component and input-output paths against the fraction of links removed.

    Every order of removal over all sparse layers, and "random" layer by layer (a third of the draws
    each). "random, equal number" takes from a dense network as many links as the fraction is of
    those of a sparse one of density .01.

    Returns: columns order, scope, draw, fraction, removed (links), accuracy, component (share of
        all neurons), paths.
    """
    x, y = subset(split, study.images)
    layers = perturb.perturbed_layers(model)
    sizes = {name: len(_weights(layer)) for name, layer in layers.items()}
    sizes["all"] = sum(sizes.values())
    plans = [(order, "all", 1.0) for order in perturb.ORDERS]
    plans += [("random", name, 1.0) for name in layers]
    sparse = sum(round(0.01 * layer.weight.numel()) for layer in layers.values() if _dense(layer))
    if sparse and study.method == "dense":
        plans.append(("random, equal number", "all", sparse / sizes["all"]))
    rows = []
    for order, scope, share in plans:
        law, chosen = order.split(",")[0], None if scope == "all" else [scope]
        draws = study.draws if scope == "all" else math.ceil(study.draws / 3)
        for draw in range(draws if law == "random" else 1):
            ranked = perturb.link_order(
                model, law, layers=chosen, generator=_generator(study, draw)
            )
            for fraction in np.linspace(0, 1, study.points):
                left = perturb.remove_links(model, share * fraction, order=ranked, layers=chosen)
                row = {"order": order, "scope": scope, "draw": draw, "fraction": fraction}
                row["removed"] = int(share * fraction * sizes[scope] + 1e-9)
                row["accuracy"] = train.accuracy(left, x, y)
                if scope == "all":
                    matrices = topology.adjacency(left)
                    row["component"] = topology.largest_component(matrices)
                    row["paths"] = topology.count_paths(matrices)
                rows.append(row)
    return pd.DataFrame(rows), {}


def _dense(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear)


def _weights(layer: nn.Module) -> Tensor:
    return layer.weight.flatten() if _dense(layer) else layer.values


def weight_shuffling(study: Study, model: nn.Module, split: Split, siblings: Siblings) -> Table:
    """Accuracy after shuffling weights on their links, rewiring, noise and flipped signs.

    Shuffles over all layers have all the draws, everything else a third of them.

    Returns: columns kind ("shuffle", "switch links", "new links", "noise", "flip signs"), within
        (of shuffles, see :func:`lib.perturb.shuffle_weights`), scope ("all" sparse layers or a
        layer), strength (fraction of links; switches a link; noise in standard deviations of a
        layer's weights), draw, accuracy.
    """
    x, y = subset(split, study.images)
    layers = list(perturb.perturbed_layers(model))
    fractions = np.linspace(0, 1, study.points)
    plans = [("shuffle", w, "all", f) for w in perturb.WITHIN for f in fractions]
    plans += [("shuffle", "all", name, f) for name in layers for f in fractions]
    plans += [("noise", "", "all", std) for std in (0.0, *NOISE_STD)]
    plans += [("flip signs", "", "all", f) for f in fractions]
    if models.sparse_layers(model):
        plans += [("switch links", "", "all", switches) for switches in (0.0, *SWITCHES)]
        plans += [("new links", "", "all", 1.0)]
    changes = {
        "shuffle": perturb.shuffle_weights,
        "switch links": perturb.rewire,
        "noise": perturb.add_noise,
        "flip signs": perturb.flip_signs,
        "new links": lambda model, strength, **how: perturb.random_rewire(model, **how),
    }
    rows, few = [], math.ceil(study.draws / 3)
    for kind, within, scope, strength in plans:
        how = {"layers": None if scope == "all" else [scope]}
        how |= {"within": within} if within else {}
        for draw in range(study.draws if (kind, scope) == ("shuffle", "all") else few):
            generator = _generator(study, draw)
            changed = changes[kind](model, strength, generator=generator, **how)
            accuracy = train.accuracy(changed, x, y)
            rows.append((kind, within, scope, strength, draw, accuracy))
    columns = ["kind", "within", "scope", "strength", "draw", "accuracy"]
    return pd.DataFrame(rows, columns=columns), {}


# -------------------------------------------------------------------------------- attacks


def _robust(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return 1 - attacks.is_adversarial(model, x, y).double().mean().item()


def attack_curves(study: Study, model: nn.Module, split: Split, siblings: Siblings) -> Table:
    """Accuracy under FGSM, PGD, noise and corruptions against their strength; DeepFool distances.

    Returns: columns attack, norm, radius (or standard deviation, or severity), accuracy; arrays
        deepfool.linf and deepfool.l2, the distance of half of the images to their adversarial point
        (0: misclassified, inf: none found).
    """
    x, y = subset(split, study.images)
    rows = [("none", "", 0.0, _robust(model, x, y))]
    for norm, radii in (("linf", study.radii), ("l2", study.radii_l2)):
        for radius in radii:
            how = {"radius": radius, "norm": norm}
            rows.append(("fgsm", norm, radius, _robust(model, attacks.fgsm(model, x, y, **how), y)))
            how |= {"steps": study.steps, "restarts": study.restarts}
            found = attacks.pgd(model, x, y, generator=_generator(study), **how)
            rows.append(("pgd", norm, radius, _robust(model, found, y)))
    for std in PIXEL_NOISE_STD:
        noisy = attacks.gaussian_noise(x, std, generator=_generator(study))
        rows.append(("gaussian noise", "", std, _robust(model, noisy, y)))
    for name in attacks.CORRUPTIONS:
        for severity in SEVERITIES:
            corrupted = attacks.corrupt(x, name, severity, generator=_generator(study))
            rows.append((name, "", severity, _robust(model, corrupted, y)))
    half = slice(len(x) // 2)
    distances = {
        f"deepfool.{norm}": _distances(
            model, x[half], y[half], attacks.deepfool(model, x[half], y[half], norm=norm), norm
        )
        for norm in ("linf", "l2")
    }
    return pd.DataFrame(rows, columns=["attack", "norm", "radius", "accuracy"]), distances


def _distances(model: nn.Module, x: Tensor, y: Tensor, found: Tensor, norm: str) -> np.ndarray:
    """Distance of the adversarial points; inf where the attack found none."""
    distance = attacks.distance(found, x, norm)
    broken = attacks.is_adversarial(model, found, y)
    return torch.where(broken, distance, torch.inf).float().numpy()


def attack_ensemble(study: Study, model: nn.Module, split: Split, siblings: Siblings) -> Table:
    """Accuracy under the ensemble at a few L-infinity radii; restarted PGD and sanity checks.

    The first radius is the headline one, at which all but the ensemble is done.

    Returns: columns attack, radius, strength (of a check: steps, scale of the logits), accuracy.
    """
    x, y = subset(split, study.images)
    rows = [("none", 0.0, np.nan, _robust(model, x, y))]
    for radius in study.radii:
        how = {"radius": radius, "generator": _generator(study)}
        _, broken = attacks.ensemble(model, x, y, steps=study.steps, queries=study.queries, **how)
        for attack, lost in broken.items():
            rows.append((attack, radius, np.nan, 1 - lost.double().mean().item()))
    radius = study.radii[0]
    how = {"radius": radius, "generator": _generator(study)}
    alone = attacks.square(model, x, y, queries=study.queries, **how)
    rows.append(("square alone", radius, np.nan, _robust(model, alone, y)))
    found = attacks.pgd(model, x, y, restarts=study.restarts, **how)
    rows.append(("pgd", radius, np.nan, _robust(model, found, y)))
    fast = attacks.fgsm(model, x, y, radius=radius)
    rows.append(("fgsm", radius, np.nan, _robust(model, fast, y)))
    for steps in (n for n in STEPS if n <= study.steps):
        step = max(radius / 10, 2.5 * radius / steps)
        how = {"radius": radius, "steps": steps, "step_size": step}
        found = attacks.pgd(model, x, y, generator=_generator(study), **how)
        rows.append(("pgd steps", radius, steps, _robust(model, found, y)))
    found = attacks.pgd(model, x, y, radius=1.0, generator=_generator(study))
    rows.append(("pgd", 1.0, np.nan, _robust(model, found, y)))
    for scale in LOGIT_SCALES:
        scaled = nn.Sequential(model, Scale(scale)).eval()
        found = attacks.pgd(scaled, x, y, radius=radius, generator=_generator(study))
        rows.append(("pgd, logits scaled", radius, scale, _robust(model, found, y)))
    inputs = x.clone().requires_grad_()
    (grad_x,) = torch.autograd.grad(attacks.log_odds(model(inputs), y).sum(), inputs)
    zero = (grad_x.flatten(1) == 0).all(1).double().mean().item()
    rows.append(("zero gradient", 0.0, np.nan, zero))
    return pd.DataFrame(rows, columns=["attack", "radius", "strength", "accuracy"]), {}


class Scale(nn.Module):
    """Multiplies by a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def attack_minimal(study: Study, model: nn.Module, split: Split, siblings: Siblings) -> Table:
    """Accuracy under the one-pixel attack, smallest L2 norms by Carlini-Wagner, DeepFool and the
    boundary attack, and how PGD found on this network transfers to the others.

    Points to transfer are those of highest loss after all steps; ``accuracy`` is then that of the
    target on images which both networks classify correctly before.

    Returns: columns attack, target (method of the network attacked), radius, accuracy; arrays
        carlini_wagner, deepfool and boundary, the L2 distance of each image, see
        :func:`attack_curves`.
    """
    x, y = subset(split, study.images)
    generator = _generator(study)
    points = {
        "carlini_wagner": attacks.carlini_wagner(model, x, y, steps=study.queries),
        "deepfool": attacks.deepfool(model, x, y),
        "boundary": attacks.boundary(model, x, y, steps=5 * study.queries, generator=generator),
    }
    distances = {name: _distances(model, x, y, found, "l2") for name, found in points.items()}
    pixel = _robust(model, attacks.one_pixel(model, x, y), y)
    rows = [("one pixel", study.method, np.nan, pixel)]
    x, y = subset(split, 5 * study.images)
    for radius in study.radii:
        how = {"radius": radius, "steps": study.steps, "generator": _generator(study)}
        found = attacks.pgd(model, x, y, early_stop=False, **how)
        right = ~attacks.is_adversarial(model, x, y)
        for method, target in siblings().items():
            both = right & ~attacks.is_adversarial(target, x, y)
            kept = _robust(target, found[both], y[both]) if both.any() else np.nan
            rows.append(("transfer", method, radius, kept))
    return pd.DataFrame(rows, columns=["attack", "target", "radius", "accuracy"]), distances


MEASURES: dict[str, Callable[[Study, nn.Module, Split, Siblings], Table]] = {
    "link_removal": link_removal,
    "weight_shuffling": weight_shuffling,
    "attack_radius": attack_curves,
    "attack_curves": attack_curves,
    "attack_ensemble": attack_ensemble,
    "attack_minimal": attack_minimal,
}


# -------------------------------------------------------------------------- numbers a network


def _key(config: Config) -> dict[str, Any]:
    """Which network: data set, the experiment that trained it, method and seed."""
    trained = config.parent if isinstance(config, Study) else config
    names = {"dataset": config.dataset, "network": trained.experiment, "method": config.method}
    return {**names, "seed": config.seed}


_COLUMNS = ["dataset", "network", "method", "seed"]
_COLUMNS += ["order", "scope", "draw", "fraction", "removed", "accuracy", "component", "paths"]
_COLUMNS += ["kind", "within", "strength", "attack", "norm", "radius", "target"]


def tables(found: Iterable[Any]) -> pd.DataFrame:
    """The tables of the records of a study in one, with data set, network, method and seed.

    Of no records an empty one, with the columns of every study.
    """
    parts = [pd.DataFrame(columns=_COLUMNS)]
    for record in found:
        key = _key(record.config)
        parts.append(record.metrics.assign(**key))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def sum_up(found: Iterable[Any]) -> pd.DataFrame:
    """What the records of studies say of each network, one number a row; draws are averaged.

    Args:
        found: :class:`lib.records.Record` of studies.
    Returns: columns dataset, network, method, seed, measure, value. Measures: accuracy (of all test
        images, after training); removal area, removal f50 and each order; shuffle area and each
        ``within``; layer shuffle (accuracy after shuffling all weights of one layer, mean of the
        layers), also above chance and relative to the whole network; pgd and ensemble (accuracy at
        the headline radius); deepfool and norm, and of fewer images other attacks (median
        distance).
    """
    rows = []
    for record in found:
        key = _key(record.config)
        numbers = _NUMBERS.get(record.config.experiment, lambda record: {})(record)
        rows += [{**key, "measure": name, "value": value} for name, value in numbers.items()]
    return pd.DataFrame(rows, columns=["dataset", "network", "method", "seed", "measure", "value"])


def _of_removal(record: Any) -> dict[str, float]:
    table = record.metrics[record.metrics["scope"] == "all"]
    numbers = {}
    for order, part in table.groupby("order", sort=False):
        curve = part.groupby("fraction")["accuracy"].mean()
        how = curve.index, curve, record.widths[-1]
        numbers[f"removal area {order}"] = perturb.relative_area(*how)
        numbers[f"removal f50 {order}"] = perturb.half_fraction(*how)
    return numbers


def _of_shuffling(record: Any) -> dict[str, float]:
    table = record.metrics[record.metrics["kind"] == "shuffle"]
    numbers = {}
    for within, part in table[table["scope"] == "all"].groupby("within", sort=False):
        curve = part.groupby("strength")["accuracy"].mean()
        area = perturb.relative_area(curve.index, curve, record.widths[-1])
        numbers[f"shuffle area {within}"] = area
    single = table[table["scope"] != "all"].groupby("strength")["accuracy"].mean()
    chance = 1 / record.widths[-1]
    numbers["layer shuffle"] = single[1.0]
    numbers["layer shuffle, relative"] = (single[1.0] - chance) / (single[0.0] - chance)
    return numbers


def _of_curves(record: Any) -> dict[str, float]:
    table = record.metrics.set_index(["attack", "norm", "radius"])["accuracy"]
    headline = HEADLINE_RADIUS[record.config.dataset]
    numbers = {"accuracy of the images": table["none"].iloc[0]}
    if ("pgd", "linf", headline) in table.index:
        numbers["pgd"] = table["pgd", "linf", headline]
    for norm in ("linf", "l2"):
        numbers[f"deepfool {norm}"] = float(np.median(record.arrays[f"deepfool.{norm}"]))
    return numbers


def _of_ensemble(record: Any) -> dict[str, float]:
    table = record.metrics
    headline = table[table["radius"] == record.config.radii[0]].groupby("attack")["accuracy"]
    return {"ensemble": headline.first()["square"]}


def _of_training(record: Any) -> dict[str, float]:
    return {"accuracy": record.environment["final"]["test_accuracy"]}


def _of_minimal(record: Any) -> dict[str, float]:
    medians = {f"{name} l2, few": float(np.median(d)) for name, d in record.arrays.items()}
    pixel = record.metrics.set_index("attack")["accuracy"]["one pixel"]
    return {**medians, "accuracy, one pixel": pixel}


_NUMBERS = {
    "attack_minimal": _of_minimal,
    "adaptive_topology": _of_training,
    "adaptive_topology_1568": _of_training,
    "link_removal": _of_removal,
    "weight_shuffling": _of_shuffling,
    "attack_curves": _of_curves,
    "attack_ensemble": _of_ensemble,
}


def survival(found: Iterable[Any], name: str, distances: Iterable[float]) -> pd.DataFrame:
    """Share of images beyond each distance of their adversarial point, for each record.

    Args:
        found: records with the array ``name``, the distance of each image.
        name: as "deepfool.l2".
        distances: at which the share is taken.
    Returns: columns dataset, network, method, seed, attack (``name``), distance, share.
    """
    rows = []
    for record in found:
        key = _key(record.config)
        for d in distances:
            share = float((record.arrays[name] > d).mean())
            rows.append({**key, "attack": name, "distance": d, "share": share})
    columns = ["dataset", "network", "method", "seed", "attack", "distance", "share"]
    return pd.DataFrame(rows, columns=columns)


# ------------------------------------------------------------------- sanity of the attacks

TOLERANCE = 0.01  # of an accuracy: a few images on which a random start had bad luck


def check_attacks(
    curves: Iterable[Any], ensembles: Iterable[Any], minimal: Iterable[Any] = ()
) -> pd.DataFrame:
    """Sanity checks of [Carlini2019] on each attacked network, a row each.

    Accuracies may exceed what a check asks for by ``TOLERANCE``.

    Args:
        curves: records of `attack_curves`.
        ensembles: records of `attack_ensemble`; networks without one lack its checks.
        minimal: records of `attack_minimal`, of all networks between which attacks transfer.
    Returns: columns dataset, network, method, seed, check, worst (how much an accuracy is too high,
        or the share of zero gradients), passed.
    """
    rows = [{**_key(r.config), **row} for r in curves for row in _checks_of_curves(r)]
    rows += [{**_key(r.config), **row} for r in ensembles for row in _checks_of_ensemble(r)]
    transfer = tables(minimal)
    transfer = transfer[transfer["attack"] == "transfer"]
    for key, part in transfer.groupby(["dataset", "network", "seed", "target"], sort=False):
        own = part["method"] == key[-1]
        if own.any() and not own.all():
            names = dict(zip(("dataset", "network", "seed", "method"), key, strict=True))
            worst = part["accuracy"][own].max() - part["accuracy"][~own].min()
            rows.append({**names, "check": "white box as strong as transfer", "worst": worst})
    columns = ["dataset", "network", "method", "seed", "check", "worst"]
    found = pd.DataFrame(rows, columns=columns)
    return found.assign(passed=found["worst"] <= TOLERANCE)


def _rise(accuracies: pd.Series) -> float:
    """The largest rise of an accuracy that should fall."""
    return float((accuracies - accuracies.cummin()).max())


def _checks_of_curves(record: Any) -> list[dict[str, Any]]:
    table = record.metrics.pivot_table("accuracy", ["norm", "radius"], "attack")
    table = table.dropna(subset=["fgsm", "pgd"]).reset_index().sort_values("radius")
    checks = {
        "iterative attack as strong as one step": (table["pgd"] - table["fgsm"]).max(),
        "stronger with radius": max(_rise(part["pgd"]) for _, part in table.groupby("norm")),
    }
    return [{"check": name, "worst": worst} for name, worst in checks.items()]


def _checks_of_ensemble(record: Any) -> list[dict[str, Any]]:
    table = record.metrics
    headline = table[table["radius"] == record.config.radii[0]]
    least = headline.groupby("attack")["accuracy"].min()
    checks = {
        "stronger with steps": _rise(headline[headline["attack"] == "pgd steps"]["accuracy"]),
        "all broken at radius 1": table[table["radius"] == 1]["accuracy"].max(),
        "white box as strong as black box": least["apgd_dlr"] - least["square alone"],
        "ensemble as strong as PGD with restarts": least["square"] - least["pgd"],
        "no scale of the logits breaks more": least["square"] - least["pgd, logits scaled"],
        "no zero gradients": table.set_index("attack")["accuracy"]["zero gradient"],
    }
    return [{"check": name, "worst": worst} for name, worst in checks.items()]
