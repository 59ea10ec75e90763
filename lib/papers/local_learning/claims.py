"""What the records say of the claims of [Holzhausen2025].

Claims H02 to H05 are judged on networks as corrected, at the published width; as released, and at
500 units, are further readings. What the published numbers were measured with and ours were not is
named as the obstacle: "width" (2,000 units), "images" (all of them), "epochs" (accuracy on
validation images still rose, or a layer did not pass the released test).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from lib.papers.local_learning import numbers
from lib.papers.local_learning.layers import LocalLayer
from lib.papers.local_learning.measuring import RELEASED
from lib.papers.local_learning.numbers import ATTACKS
from lib.papers.local_learning.recipes import CORRECTED
from lib.papers.local_learning.training import HiddenNetwork
from lib.report.intervals import LEVEL, Measurement, judge, ratio_interval, t_interval
from lib.report.verdicts import Claim, published
from lib.runs.config import Run
from lib.runs.record import Record

Records = Sequence[Record]
Measure = Callable[[Records, str], Measurement | None]  # records of one width, a protocol

WIDTH = 2000  # units of the paper
PENALISED = (("l2", CORRECTED), ("jreg_units", CORRECTED))
PENALISED_AS_RELEASED = (("l2", RELEASED), ("jreg", RELEASED))


# -------------------------------------------------------------------------- what stands in the way


def obstacle(records: Records) -> str:
    """What the published measurement had and these records do not."""
    found = []
    layers = [_layer(record.config) for record in records]
    if any(layer.n_units < WIDTH for layer in layers):
        found.append("width")
    if any(getattr(layer, "limit", None) is not None for layer in layers):
        found.append("images")
    if any(_is_rising(record) for record in records):
        found.append("epochs")
    return ", ".join(found)


def _layer(run: Run) -> HiddenNetwork | LocalLayer:
    """The network or layer that a study measures."""
    return run.parent


def _is_rising(record: Record) -> bool:
    """Whether a longer training could change a network: the best epoch is the last."""
    final, run = record.environment["final"], record.config.parent
    return final.get("best_epoch") == run.epochs


def by_width(records: Records) -> list[list[Record]]:
    """The studies of networks of each width, the widest first."""
    widths = {_layer(record.config).n_units for record in records}
    return [
        [record for record in records if _layer(record.config).n_units == width]
        for width in sorted(widths, reverse=True)
    ]


def widest(records: Records) -> list[Record]:
    """The studies of the widest networks."""
    groups = by_width(records)
    return groups[0] if groups else []


# ------------------------------------------------------------------------------------------- H01


def straightness(records: Records) -> Measurement | None:
    """H01: R² of the line through the spectrum of locally learned layers, ranks 10 to 500, without
    weights, with an interval for other seeds and images.
    """
    layers = widest([r for r in records if isinstance(r.config.parent, LocalLayer)])
    found = numbers.over_seeds_and_images(layers, "r_squared")
    if found is None:
        return None
    return replace(found, limit=_of_layers(layers))


def _of_layers(records: Records) -> str:
    """The obstacle of layers: narrower than published, or not all directions of their spectrum."""
    return "width" if any(r.config.parent.n_units < WIDTH for r in records) else ""


def straightness_readings(records: Records) -> pd.DataFrame:
    """H01 by every range and weighting, and by what a power law must beat."""
    rows = []
    threshold = _threshold("H01")
    layers = [r for r in records if isinstance(r.config.parent, LocalLayer)]
    for of_one in by_width(layers):
        table = numbers.exponents(of_one)
        table = table[table["measure"] == "r_squared"]
        for (name, weighted), values in table.groupby(["range", "weighted"], sort=False):
            found = replace(t_interval(values["value"]), limit=_of_layers(of_one))
            weights = "weighted by 1/n" if weighted else "ordinary"
            reading = f"R², ranks {name}, {weights}, {_units(of_one)}"
            rows.append(_row("H01", reading, found, ">=", threshold, of_one))
        laws = numbers.laws(of_one)
        for weighted, values in laws[laws["law"] == "power law"].groupby("weighted", sort=False):
            found = replace(t_interval(values["supported"].astype(float)), limit="")
            weights = "weighted by 1/n" if weighted else "ordinary"
            reading = f"no law describes it better, {weights}, {_units(of_one)}"
            rows.append(_row("H01", reading, found, ">=", "0.5", of_one))
    return _table(rows)


# --------------------------------------------------------------------------------- H02 and H04


def robustness_gain(records: Records) -> Measurement | None:
    """H02: the smallest of the ratios of median critical norms, local learning over
    back-propagation, under noise, FGSM and PGD; intervals are simultaneous.
    """
    return _smallest_ratio(widest(records), CORRECTED, (("kh", CORRECTED),))


def penalty_gain(records: Records) -> Measurement | None:
    """H04: the smallest of the ratios of L2 and Jacobian over no penalty, as H02; the Jacobian is
    that of the activations, which alone is trained at the published width.
    """
    return _smallest_ratio(widest(records), CORRECTED, PENALISED)


def _smallest_ratio(
    records: Records, protocol: str, compared: Sequence[tuple[str, str]]
) -> Measurement | None:
    table = numbers.medians(records)
    found = []
    level = 1 - (1 - LEVEL) / (len(ATTACKS) * len(compared))
    for method, variant in compared:
        for attack in ATTACKS:
            ours = _by_seed(table, method, variant, attack)
            base = _by_seed(table, "bp", protocol, attack)
            seeds = sorted(ours.keys() & base.keys())
            if not seeds:
                return None
            pairs = [ours[seed] for seed in seeds], [base[seed] for seed in seeds]
            found.append(ratio_interval(*pairs, level=level))
    chosen = {("bp", protocol), *compared}
    used = [r for r in records if (r.config.method, r.config.variant) in chosen]
    return Measurement(
        min(one.value for one in found),
        min(one.low for one in found),
        min(one.high for one in found),
        min(one.n for one in found),
        obstacle(used),
    )


def _by_seed(table: pd.DataFrame, method: str, variant: str, attack: str) -> dict[int, float]:
    chosen = (table["method"] == method) & (table["network"] == variant)
    rows = table[chosen & (table["measure"] == attack)]
    values = zip(rows["seed"], rows["value"], strict=True)
    return {seed: value for seed, value in values if math.isfinite(value)}


def ratio_readings(
    claim: str, compared: dict[str, Sequence[tuple[str, str]]]
) -> Callable[[Records], pd.DataFrame]:
    """Readings of a ratio: as corrected and as released, at both widths, attack by attack."""

    def readings(records: Records) -> pd.DataFrame:
        rows = []
        for of_one in by_width(records):
            for protocol, pairs in compared.items():
                for pair in pairs:
                    rows += _ratio_rows(claim, of_one, protocol, pair)
        return _table(rows)

    return readings


def _ratio_rows(
    claim: str, records: Records, protocol: str, pair: tuple[str, str]
) -> list[dict[str, object]]:
    rows = []
    table = numbers.medians(records)
    used = [r for r in records if (r.config.method, r.config.variant) in (pair, ("bp", protocol))]
    for attack in ATTACKS:
        ours, base = _by_seed(table, *pair, attack), _by_seed(table, "bp", protocol, attack)
        seeds = sorted(ours.keys() & base.keys())
        if not seeds:
            continue
        found = ratio_interval([ours[s] for s in seeds], [base[s] for s in seeds])
        found = replace(found, limit=obstacle(used))
        reading = f"{numbers.ATTACK_NAMES[attack]}, {pair[1]}, {_units(used)}"
        rows.append(_row(claim, reading, found, ">", "1", used, pair[0], "bp"))
    return rows


# ------------------------------------------------------------------------------------------- H03


def accuracy_cost(records: Records) -> Measurement | None:
    """H03: test accuracy of back-propagation minus that of local learning, paired by seed, at the
    best validation epochs.
    """
    return _accuracy_gap(widest(records), CORRECTED)


def _accuracy_gap(records: Records, protocol: str) -> Measurement | None:
    table = numbers.accuracies(records)
    table = table[table["network"] == protocol].pivot_table("value", "seed", "method")
    if not {"bp", "kh"} <= set(table):
        return None
    gaps = (table["bp"] - table["kh"]).dropna()
    if gaps.empty:
        return None
    used = [r for r in records if r.config.method in ("bp", "kh") and r.config.variant == protocol]
    return t_interval(gaps, obstacle(used))


def accuracy_readings(records: Records) -> pd.DataFrame:
    """H03 as corrected and as released, at both widths."""
    rows = []
    for of_one in by_width(records):
        for protocol in (CORRECTED, RELEASED):
            found = _accuracy_gap(of_one, protocol)
            if found is not None:
                reading = f"test accuracy, {protocol}, {_units(of_one)}"
                rows.append(_row("H03", reading, found, ">", "0", of_one, rival="bp"))
    return _table(rows)


# ------------------------------------------------------------------------------------------- H05


def nearer_to_one(records: Records) -> Measurement | None:
    """H05: how much farther the exponent is from one after spectral regularisation than before
    training, as corrected.
    """
    return _nearer(records, CORRECTED)


def _nearer(records: Records, variant: str) -> Measurement | None:
    chosen = []
    for record in records:
        run = record.config
        if (run.method, run.variant) == ("specreg", variant):
            chosen.append(record)
    after = numbers.released_range(chosen).set_index("seed")["value"]
    before = numbers.released_range(chosen, "start").set_index("seed")["value"]
    gaps = ((after - 1).abs() - (before - 1).abs()).dropna()
    if gaps.empty:
        return None
    return t_interval(gaps, obstacle(chosen))


def exponent_readings(records: Records) -> pd.DataFrame:
    """H05 as corrected and as released."""
    rows = []
    for variant in (CORRECTED, RELEASED):
        found = _nearer(records, variant)
        if found is not None:
            reading = f"exponent by ranks 10 to 500, {variant}, {_units(records)}"
            rows.append(_row("H05", reading, found, "<", "0", records, "specreg"))
    return _table(rows)


# ------------------------------------------------------------------------------------- the table


def _threshold(claim: str) -> str:
    return published().set_index("id").loc[claim, "threshold"]


def _units(records: Records) -> str:
    widths = sorted({_layer(record.config).n_units for record in records})
    return f"{' and '.join(f'{width:,}' for width in widths)} units"


def _row(
    claim: str,
    reading: str,
    found: Measurement,
    comparison: str,
    threshold: str,
    records: Records,
    method: str = "kh",
    rival: str = "",
) -> dict[str, object]:
    of_method = [r.config for r in records if r.config.method == method]
    return {
        "claim": claim,
        "reading": reading,
        "rival": rival,
        "rule": method,
        "dataset": of_method[0].dataset if of_method else "",
        "epochs": max((run.parent.epochs for run in of_method), default=0),
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "holds if": f"{comparison} {threshold}",
        "verdict": judge(found, comparison, threshold),
    }


COLUMNS = ("claim", "reading", "rival", "rule", "dataset", "epochs")
MEASURED = ("value", "low", "high", "n", "holds if", "verdict")


def _table(rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[*COLUMNS, *MEASURED])


ATTACKED = ("wide_attacks", "bio_attacks")
SPECTRA = ("wide_spectra", "bio_spectra")
CLAIMS: dict[str, Claim] = {
    "H01": Claim(SPECTRA, straightness, readings=straightness_readings),
    "H02": Claim(
        ATTACKED,
        robustness_gain,
        readings=ratio_readings(
            "H02", {CORRECTED: (("kh", CORRECTED),), RELEASED: (("kh", RELEASED),)}
        ),
    ),
    "H03": Claim(ATTACKED, accuracy_cost, readings=accuracy_readings),
    "H04": Claim(
        ATTACKED,
        penalty_gain,
        readings=ratio_readings(
            "H04",
            {
                CORRECTED: (*PENALISED, ("jreg", CORRECTED)),
                RELEASED: PENALISED_AS_RELEASED,
            },
        ),
    ),
    "H05": Claim(SPECTRA, nearer_to_one, readings=exponent_readings),
}


def all_readings(attacks: Records, spectra: Records) -> pd.DataFrame:
    """Every reading of every claim.

    Args:
        attacks, spectra: studies of critical norms and of spectra.
    """
    parts = []
    for claim in CLAIMS.values():
        parts.append(claim.readings(attacks if claim.experiments == ATTACKED else spectra))
    return pd.concat(parts, ignore_index=True)
