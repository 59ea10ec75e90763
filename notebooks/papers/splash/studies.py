"""Measurements of trained networks, attacks with and without knowledge of them and how steep
they are; and what their records say, in rows that notebooks and claims read.

Accuracy is the share of a fixed stratified subset of images that is classified correctly; an image
misclassified before the attack counts as lost at every radius.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib.report.frames import NETWORK, facts, in_order, tidy
from lib.robustness import attacks, lipschitz
from lib.runs.record import Record
from papers.shared import trained
from papers.shared.study import Study, Table, images
from papers.shared.under_attack import LOGIT_SCALES, is_right, sanity, share
from papers.splash.training import HINGES, UNITS, unit_of

# Set before any network of this room was attacked: the usual .1 of MNIST, where undefended networks
# keep part of their accuracy, less where images are harder; in L2 as usual for these images.
HEADLINE_RADIUS = {
    "digits": 0.1,
    "mnist": 0.1,
    "fashion_mnist": 0.03,
    "cifar10": 2 / 255,
    "cifar100": 2 / 255,
}
HEADLINE_RADIUS_L2 = {
    "digits": 0.5,
    "mnist": 1.5,
    "fashion_mnist": 0.5,
    "cifar10": 0.25,
    "cifar100": 0.25,
}
FACTORS = (1.0, 0.25, 0.5, 1.5, 2.0)  # of the headline radius
OPEN = ("fgsm", "pgd", "apgd_ce", "apgd_dlr", "pgd l2", "carlini_wagner", "deepfool")
BLACK = ("square", "transfer", "one pixel", "boundary")
MINIMAL = ("carlini_wagner", "deepfool", "boundary")
GRADIENT = ("pgd", "apgd_ce", "apgd_dlr")  # several steps along the gradient
IN_LINF = ("fgsm", *GRADIENT, "square")  # the attacks of the worst case
ATTACKS = {  # as people read them, in the order of pictures
    "clean": "no attack",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "apgd_ce": "APGD-CE",
    "apgd_dlr": "APGD-DLR",
    "square": "Square",
    "worst case": "worst of these",
    "transfer": "transfer",
    "pgd l2": "PGD, L2",
    "carlini_wagner": "Carlini–Wagner, L2",
    "deepfool": "DeepFool, L2",
    "boundary": "Boundary, L2",
    "one pixel": "one pixel",
}
TOLERANCE = 0.01  # of a check of the attacks, in accuracy or in the share of images
FAR = 0.1  # how much farther than the nearest point of all attacks one may find its own
CARLINI_WAGNER_STEPS = 25  # times the steps of PGD: pixels of a black background move late
CARLINI_WAGNER_RATE = 0.05
FARTHEST = 8.0  # in L2, where PGD starts to look for what DeepFool did not break
COLUMNS = ["measure", "norm", "radius", "value"]

Row = tuple[str, str, float, float]


# ------------------------------------------------------------------------------- what is measured


def robustness(study: Study, parent: Record, *, substitutes: Mapping[str, nn.Module]) -> Table:
    """Accuracy under attacks of a radius; Lipschitz constants, margins and slopes; checks of the
    attacks.

    Args:
        study, parent: what to measure, and the record of the network.
        substitutes: networks by unit on which points to be transferred are found; an image is kept
            if it withstands the points of all.
    Returns: columns measure, norm, radius, value; arrays right.clean and right.attack at the first
        radius, (n,) bool; margin and slope, (n,) float32.
    """
    model, (x, y) = trained.network(parent), images(study)
    rights = {"clean": is_right(model, x, y)}
    rows: list[Row] = [("clean", "", 0.0, share(rights["clean"]))]
    for name, norm, radius, right in _attacked(study, model, substitutes, x, y):
        rows.append((name, norm, radius, share(right)))
        if norm == "l2" or radius == study.radii[0]:
            rights[name] = right
    everywhere, by_scale, zero = sanity(study, model, x, y, steps=study.steps)
    rows.append(("pgd everywhere", "linf", 1.0, everywhere))
    for scale, kept in by_scale.items():
        rows.append((f"pgd, logits times {scale:g}", "linf", study.radii[0], kept))
    rows.append(("zero gradient", "", np.nan, zero))
    constants = lipschitz.lipschitz_constants(model, x[:1], generator=study.generator())
    for kind, of_kind in constants.items():
        named = {**of_kind, "product": lipschitz.product(of_kind)}
        rows += [(f"{kind} {name}", "l2", np.nan, value) for name, value in named.items()]
    margin, gradient = lipschitz.margins_and_gradients(model, x, y)
    slope = gradient.norm(dim=1)
    rows += [
        ("margin", "", np.nan, margin.median().item()),
        ("slope", "l2", np.nan, slope.median().item()),
        ("distance to first order", "l2", np.nan, (margin / slope).median().item()),
    ]
    arrays = {f"right.{name}": right.numpy() for name, right in rights.items()}
    arrays |= {"margin": margin.numpy(), "slope": slope.numpy()}
    return pd.DataFrame(rows, columns=COLUMNS), arrays


def _attacked(
    study: Study, model: nn.Module, substitutes: Mapping[str, nn.Module], x: Tensor, y: Tensor
) -> Iterator[tuple[str, str, float, Tensor]]:
    """(attack, norm, radius, whether each image is still classified correctly): FGSM and PGD at
    every radius, the others at the first.
    """
    pgd = {"steps": study.steps, "restarts": study.restarts}
    for radius in study.radii:
        moved = attacks.fgsm(model, x, y, radius=radius)
        yield "fgsm", "linf", radius, is_right(model, moved, y)
        moved = attacks.pgd(model, x, y, radius=radius, **pgd, generator=study.generator())
        yield "pgd", "linf", radius, is_right(model, moved, y)
    radius = study.radii[0]
    apgd = {"steps": 2 * study.steps, "restarts": study.restarts}
    for loss in ("ce", "dlr"):
        ball = {"radius": radius, "generator": study.generator()}
        moved = attacks.apgd(model, x, y, loss=loss, **apgd, **ball)
        yield f"apgd_{loss}", "linf", radius, is_right(model, moved, y)
    ball = {"radius": radius, "generator": study.generator()}
    moved = attacks.square(model, x, y, queries=study.queries, **ball)
    yield "square", "linf", radius, is_right(model, moved, y)
    clean = is_right(model, x, y)
    kept = clean
    for unit, substitute in substitutes.items():
        ball = {"radius": radius, "generator": study.generator()}
        moved = attacks.pgd(substitute, x, y, steps=study.steps, early_stop=False, **ball)
        withstood = is_right(model, moved, y)
        yield f"transfer from {unit}", "linf", radius, clean & withstood
        kept = kept & withstood
    yield "transfer", "linf", radius, kept
    for far in study.radii_l2:
        ball = {"radius": far, "norm": "l2", "generator": study.generator()}
        moved = attacks.pgd(model, x, y, **pgd, **ball)
        yield "pgd l2", "l2", far, is_right(model, moved, y)


def minimal(study: Study, parent: Record) -> Table:
    """Smallest L2 norms that each of several attacks finds, and accuracy at the headline radius in
    L2; accuracy after the one-pixel attack (grey images).

    Returns: columns as :func:`robustness`; arrays l2.attack, (n,) float: the distance of each image
        (0: misclassified, inf: none found), l2.smallest: of all attacks, and right.attack, (n,)
        bool, whether it is farther than the headline radius.
    """
    model, (x, y) = trained.network(parent), images(study)
    generator = study.generator()
    first = attacks.deepfool(model, x, y)
    steps = CARLINI_WAGNER_STEPS * study.steps
    carlini_wagner = {"steps": steps, "learning_rate": CARLINI_WAGNER_RATE, "start_margin": 1e-6}
    bisected_pgd = {"radius": FARTHEST, "bisections": study.bisections, "generator": generator}
    points = {
        "carlini_wagner": attacks.carlini_wagner(model, x, y, **carlini_wagner),
        "deepfool": first,
        "boundary": attacks.boundary(model, x, y, steps=study.queries // 2, generator=generator),
        "bisected_pgd": attacks.bisected_pgd(model, x, y, start=first, **bisected_pgd),
    }
    points["smallest"], _ = attacks.closest(model, x, y, points, "l2")
    rows: list[Row] = []
    arrays: dict[str, np.ndarray] = {}
    radius = study.radii_l2[0]
    for name, moved in points.items():
        distances = attacks.adversarial_distance(model, x, y, moved, "l2")
        arrays[f"l2.{name}"] = distances.float().numpy()
        arrays[f"right.{name}"] = (distances > radius).numpy()
        rows.append((name, "l2", radius, share(distances > radius)))
        rows.append((f"median of {name}", "l2", np.nan, distances.median().item()))
    if x.ndim == 3:
        right = is_right(model, attacks.one_pixel(model, x, y), y)
        arrays["right.one pixel"] = right.numpy()
        rows.append(("one pixel", "l0", 1.0, share(right)))
    return pd.DataFrame(rows, columns=COLUMNS), arrays


# ------------------------------------------------------------------------- what their records say


def under_attack(records: Iterable[Record]) -> pd.DataFrame:
    """Accuracy in percent without attack, under every attack at the headline radii, and in the
    worst case of those in L-infinity, as rows of :func:`lib.report.frames.tidy`.

    Args:
        records: of ``unit_robustness`` and ``unit_minimal``.
    Returns: besides the column attack: as people read it, an ordered category.
    """
    records = list(records)
    rows = tidy(records)
    radius = rows["dataset"].map(HEADLINE_RADIUS).astype(float)
    other_radius = (rows["norm"] == "linf") & ~np.isclose(rows["radius"].astype(float), radius)
    rows = pd.concat([rows[~other_radius], worst_case(records)])
    rows = in_order(rows[rows["measure"].isin([*ATTACKS])])
    written = pd.CategoricalDtype([*ATTACKS.values()], ordered=True)
    return rows.assign(
        attack=rows["measure"].map(ATTACKS).astype(written), value=100 * rows["value"]
    )


def worst_case(records: Iterable[Record], attacks: Sequence[str] = IN_LINF) -> pd.DataFrame:
    """The share of images that withstand every one of some attacks at the headline radius, as rows
    of a tidy frame; networks on which one was not made are left out.
    """
    rows = []
    for record in records:
        right = [record.arrays.get(f"right.{name}") for name in attacks]
        if all(images is not None for images in right):
            share = float(np.all(right, axis=0).mean())
            rows.append({**facts(record), "measure": "worst case", "value": share})
    return pd.DataFrame(rows, columns=["experiment", *NETWORK, "measure", "value"])


def sanity_checks(records: Iterable[Record]) -> pd.DataFrame:
    """Checks of the attacks on each network, after [Carlini2019]: could a weak attack explain a
    number?

    Args:
        records: of ``unit_robustness``.
    Returns: columns of :func:`lib.report.frames.facts`, check, worst (how much an accuracy is too
        high, the share of images that only an attack without gradients breaks, or of those without
        a gradient), passed (at most :data:`TOLERANCE`).
    """
    rows = []
    for record in records:
        table = record.metrics
        linf = table[table["norm"] == "linf"].sort_values("radius")
        by_radius = linf.pivot(index="radius", columns="measure", values="value")
        kept = by_radius.iloc[np.abs(by_radius.index - record.config.radii[0]).argmin()]
        scaled = min(kept[f"pgd, logits times {scale:g}"] for scale in LOGIT_SCALES)
        withstood = np.all([record.arrays[f"right.{name}"] for name in GRADIENT], axis=0)
        missed = {name: withstood & ~record.arrays[f"right.{name}"] for name in BLACK[:2]}
        pgd = by_radius["pgd"].dropna()
        worst = {
            "iterative attack as strong as one step": (pgd - by_radius["fgsm"]).max(),
            "PGD as strong as any in L∞": kept["pgd"] - min(kept[name] for name in IN_LINF),
            "stronger with radius": (pgd - pgd.cummin()).max(),
            "all broken at radius 1": by_radius["pgd everywhere"].max(),
            "what Square breaks gradients break": missed["square"].mean(),
            "what transfer breaks gradients break": missed["transfer"].mean(),
            "no scale of the logits breaks more": min(kept[name] for name in GRADIENT) - scaled,
            "no zero gradients": table.set_index("measure")["value"]["zero gradient"],
        }
        rows += [{**facts(record), "check": check, "worst": one} for check, one in worst.items()]
    checks = pd.DataFrame(rows, columns=["experiment", *NETWORK, "check", "worst"])
    # differences of counts, rounded in floats
    return checks.assign(passed=checks["worst"].astype(float).round(6) <= TOLERANCE)


def distance_checks(records: Iterable[Record]) -> pd.DataFrame:
    """Table that says if each attack of minimal norm came near the nearest point that any of them
    found.

    Args:
        records: of ``unit_minimal``.
    Returns: columns of :func:`lib.report.frames.facts`, measure (the attack), worst: by how much
        its median distance is larger, relative; passed (at most :data:`FAR`).
    """
    rows = []
    for record in records:
        nearest = np.median(record.arrays["l2.smallest"])
        for name in MINIMAL:
            excess = float(np.median(record.arrays[f"l2.{name}"]) / nearest - 1)
            rows.append({**facts(record), "measure": name, "worst": excess})
    checks = pd.DataFrame(rows, columns=["experiment", *NETWORK, "measure", "worst"])
    return checks.assign(passed=checks["worst"].astype(float) <= FAR)


def networks(records: Iterable[Record]) -> pd.DataFrame:
    """Accuracy of each network in the worst case, and what may come with it: a row a network.

    Args:
        records: of ``unit_robustness``.
    Returns: columns of :data:`lib.report.frames.NETWORK`, kept and accuracy (of the test
        images that its training was given, which are not always all), percent; slope over margin:
        of the medians over images, so that the scale of the logits, which robustness does not see,
        cancels.
    """
    records = list(records)
    rows = pd.concat([tidy(records), worst_case(records)])
    wanted = ["worst case", "final test_accuracy", "slope", "margin"]
    rows = rows[rows["measure"].isin(wanted)]
    wide = rows.pivot(index=NETWORK, columns="measure", values="value").reindex(columns=wanted)
    found = pd.DataFrame(
        {
            "kept": 100 * wide["worst case"],
            "accuracy": 100 * wide["final test_accuracy"],
            "slope over margin": wide["slope"] / wide["margin"],
        }
    )
    return in_order(found.reset_index())


def by_layer(frame: pd.DataFrame) -> pd.DataFrame:
    """The Lipschitz constants in a tidy frame, the measures "linear conv1" and "unit activation1":
    with the columns of ("layer" or "unit") and place (as "conv1").
    """
    parts = frame["measure"].str.extract(r"^(?P<of>linear|unit) (?P<place>(?!product).+)$")
    parts["of"] = parts["of"].replace("linear", "layer")
    return frame.assign(**parts).dropna(subset="of")


def learned_shapes(records: Iterable[Record], x: np.ndarray) -> pd.DataFrame:
    """The function that every SPLASH unit computes after every epoch.

    Args:
        records: of trained networks; other units have none.
        x: (n,) float, the inputs.
    Returns: columns of :func:`lib.report.frames.facts`, unit, epoch, lipschitz, x, y: n rows a
        unit and epoch.
    """
    points = torch.from_numpy(x).float()
    parts = []
    for record in records:
        for name, array in record.arrays.items():
            if not name.startswith(UNITS):
                continue
            layer = name.removeprefix(UNITS)
            for epoch, coefficients in enumerate(array):
                unit = unit_of(coefficients, record.arrays[HINGES + layer]).float()
                named = {"unit": layer, "epoch": epoch, "lipschitz": unit.lipschitz()}
                part = pd.DataFrame({"x": x, "y": unit(points).detach().numpy()})
                parts.append(part.assign(**facts(record), **named))
    columns = ["experiment", *NETWORK, "unit", "epoch", "lipschitz", "x", "y"]
    return pd.concat(parts) if parts else pd.DataFrame(columns=columns)
