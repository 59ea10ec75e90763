"""SPLASH beside ReLU at equal accuracy without attack, and at equal steepness: is it more robust,
or only less trained, or less steep?
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lib.papers.splash import numbers
from lib.runs.record import Record

PLACE = ["dataset", "network", "seed"]
MATCHES = {"accuracy": "equal accuracy without attack", "steepness": "equal slope over margin"}
ATTACK = "worst case"
COLUMNS = [*PLACE, "match", "at", "value"]


def points(records: Iterable[Record]) -> pd.DataFrame:
    """Of each network, trained for some number of epochs, what it is matched by and what it keeps.

    Args:
        records: of ``unit_robustness``, of networks of ``unit_accuracy`` and ``unit_lengths``.
    Returns: columns of :data:`lib.papers.splash.numbers.KEY`, epochs, accuracy (of the whole test
        part), steepness (the median slope of the margin over the median margin: the scale of the
        logits, which robustness does not see, cancels), kept.
    """
    chosen = []
    for record in records:
        if record.config.parent.experiment in ("unit_accuracy", "unit_lengths"):
            chosen.append(record)
    rows = numbers.at_headline(chosen)
    wide = rows.pivot_table("value", [*numbers.KEY, "epochs"], "measure")
    wide = wide.reindex(columns=["slope", "margin", ATTACK]).rename(columns={ATTACK: "kept"})
    wide["steepness"] = wide["slope"] / wide["margin"]
    found = wide.drop(columns=["slope", "margin"]).reset_index()
    return found.merge(_accuracies(chosen))


def _accuracies(records: Iterable[Record]) -> pd.DataFrame:
    """Accuracy of the networks of studies on the whole test part."""
    rows = []
    for record in records:
        epochs = record.config.parent.epochs
        accuracy = record.environment["final"]["test_accuracy"]
        rows.append({**numbers.key(record.config), "epochs": epochs, "accuracy": accuracy})
    return pd.DataFrame(rows, columns=[*numbers.KEY, "epochs", "accuracy"])


def differences(found: pd.DataFrame) -> pd.DataFrame:
    """What SPLASH keeps in the worst case minus what ReLU keeps, in points, at an equal clean
    accuracy and at an equal slope over margin, a row a seed.

    Each unit has one curve a seed, over the lengths of training. Both are read, by linear
    interpolation, at the highest accuracy that both reached, and in the middle of the slopes over
    margin that they have in common; equal points of a curve are averaged.

    Args:
        found: rows of :func:`points`.
    Returns: columns dataset, network, seed, match, at (accuracy or steepness), value; pairs of
        curves without a common range are left out.
    """
    rows = []
    for place, group in found.groupby(PLACE, sort=False):
        curves = {method: part for method, part in group.groupby("method")}
        if not {"relu", "splash"} <= curves.keys():
            continue
        for by, name in MATCHES.items():
            pair = [_sorted(curves[method], by) for method in ("splash", "relu")]
            low = max(x[0] for x, _ in pair)
            high = min(x[-1] for x, _ in pair)
            if low <= high:
                at = high if by == "accuracy" else (low + high) / 2
                ours, theirs = (np.interp(at, x, kept) for x, kept in pair)
                rows.append((*place, name, at, 100 * (ours - theirs)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _sorted(curve: pd.DataFrame, by: str) -> tuple[np.ndarray, np.ndarray]:
    """What a curve is matched by, ascending, and what is kept there."""
    kept = curve.groupby(by)["kept"].mean()
    return kept.index.to_numpy(), kept.to_numpy()


def unmatched(found: pd.DataFrame) -> pd.DataFrame:
    """The same after the longest training of each, whatever accuracy and steepness that gives."""
    rows = []
    for place, group in found.groupby(PLACE, sort=False):
        last = group[group["epochs"] == group["epochs"].max()].set_index("method")["kept"]
        if {"relu", "splash"} <= set(last.index):
            gap = 100 * (last["splash"] - last["relu"])
            rows.append((*place, "equal training", np.nan, gap))
    return pd.DataFrame(rows, columns=COLUMNS)


def by_length(records: Iterable[Record]) -> pd.DataFrame:
    """Test accuracy and what is kept in the worst case after each length of training, and with
    norms held, in percent.

    Args:
        records: of ``unit_robustness``.
    Returns: columns dataset, method, seed, training ("plain" or "norms held"), epochs, measure,
        value.
    """
    records = list(records)
    of_held = numbers.of_experiment(records, "unit_lipschitz")
    kept = (
        numbers.at_headline(of_held).query("measure == @ATTACK").rename(columns={"value": "kept"})
    )
    norms = kept[[*numbers.KEY, "epochs", "kept"]].merge(_accuracies(of_held))
    plain = points(records).assign(training="plain")
    found = pd.concat([plain, norms.assign(training="norms held")])
    found = found[found["method"].isin(["relu", "splash"]) & (found["network"] == "lenet5")]
    measures = {"accuracy": "test accuracy", "kept": "kept in the worst case"}
    keys = ["dataset", "method", "seed", "training", "epochs"]
    rows = found.rename(columns=measures).melt(keys, [*measures.values()], "measure")
    return numbers.in_points(rows)


def held(records: Iterable[Record]) -> pd.DataFrame:
    """The same for networks whose matrices of kernels have norm 1 and whose units are no steeper
    than 1, see :data:`lib.papers.splash.experiments.HELD`.

    Args:
        records: of ``unit_robustness``.
    """
    of_held = numbers.of_experiment(records, "unit_lipschitz")
    rows = numbers.at_headline(of_held)
    rows = rows[rows["measure"] == ATTACK]
    wide = rows.pivot_table("value", PLACE, "method").reindex(columns=["splash", "relu"]).dropna()
    gaps = 100 * (wide["splash"] - wide["relu"])
    gaps = gaps.rename("value").reset_index()
    return gaps.assign(match="norms of kernels held", at=np.nan)[COLUMNS]


def all_matches(records: Iterable[Record]) -> pd.DataFrame:
    """All comparisons: equal training, accuracy, slope over margin, and norms held."""
    records = list(records)
    found = points(records)
    parts = [unmatched(found), differences(found), held(records)]
    return pd.concat([part for part in parts if len(part)] or [pd.DataFrame(columns=COLUMNS)])
