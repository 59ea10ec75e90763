"""What the records say of the claims of [Holzhausen2025].

Claims H02 to H04 are judged on networks as corrected, of the published width where it was run; H05
at the width that has a spectral penalty. As released, and the other width, are further readings.

Units are networks paired by seed: a pair has the order of the images and the noise of the attacks
in common, two back-propagated ones the weights at the start too. Read-outs on one locally learned
layer are no independent ones: they are averaged, with the networks that they are compared with, and
n counts layers. All intervals but that of H01 are for other seeds, on the same images.

Nothing bounds a ratio of medians of which one was not reached by any perturbation tried, nor what
was measured of read-outs that all stand on one layer.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from lib.papers.local_learning import numbers
from lib.papers.local_learning.layers import LocalLayer
from lib.papers.local_learning.measuring import RELEASED
from lib.papers.local_learning.numbers import ATTACKS
from lib.papers.local_learning.recipes import CORRECTED
from lib.papers.local_learning.training import HiddenNetwork
from lib.papers.shared.study import Study
from lib.report.intervals import LEVEL, Measurement, direction, ratio_interval, t_interval
from lib.report.statistics import share_interval
from lib.report.verdicts import Claim, published
from lib.runs.record import Record

Records = Sequence[Record]
Network = tuple[str, str]  # its method, and the protocol under which it is measured

WIDTH = 2000  # units of the paper
PENALISED = (("l2", CORRECTED), ("jreg_units", CORRECTED))
PENALISED_AS_RELEASED = (("l2", RELEASED), ("jreg", RELEASED))


# --------------------------------------------------------------------------- of what they are made


def by_width(records: Records) -> list[list[Record]]:
    """The studies of networks of each width, the widest first; what is no study is left out."""
    studies = [record for record in records if isinstance(record.config, Study)]
    widths = {_measured(record).n_units for record in studies}
    return [
        [record for record in studies if _measured(record).n_units == width]
        for width in sorted(widths, reverse=True)
    ]


def _measured(record: Record) -> HiddenNetwork | LocalLayer:
    """The network or layer that a study measures."""
    return record.config.parent


def _of(records: Records, networks: Iterable[Network]) -> list[Record]:
    """The studies of some networks under some protocols."""
    wanted = set(networks)
    return [r for r in records if (r.config.method, r.config.variant) in wanted]


# ------------------------------------------------------------------------------------------- H01


def straightness(records: Records) -> Measurement | None:
    """H01: R² of the line through the spectrum of locally learned layers, ranks 10 to 500, without
    weights, with an interval for other seeds and images.
    """
    for layers in _of_layers(records):
        found = numbers.over_seeds_and_images(layers, "r_squared")
        if found is not None:
            return found
    return None


def _of_layers(records: Records) -> list[list[Record]]:
    """The spectra of locally learned layers of each width."""
    return by_width([r for r in records if isinstance(r.config.parent, LocalLayer)])


def straightness_readings(records: Records) -> pd.DataFrame:
    """H01 by every range and weighting, for other seeds on the same images, and by what a power law
    must beat: in how many layers no law describes the spectrum better.
    """
    rows = []
    threshold = _threshold("H01")
    for of_one in _of_layers(records):
        table = numbers.exponents(of_one)
        table = table[table["measure"] == "r_squared"]
        for (name, weighted), values in table.groupby(["range", "weighted"], sort=False):
            found = t_interval(values["value"])
            reading = f"R², ranks {name}, {_weights(weighted)}, {_units(of_one)}"
            rows.append(_row("H01", reading, found, ">=", threshold, of_one))
        laws = numbers.laws(of_one)
        for weighted, values in laws[laws["law"] == "power law"].groupby("weighted", sort=False):
            found = share_interval(int(values["supported"].sum()), len(values))
            reading = f"no law describes it better, {_weights(weighted)}, {_units(of_one)}"
            rows.append(_row("H01", reading, found, ">=", "0.5", of_one))
    return _table(rows)


def _weights(weighted: bool) -> str:
    return "weighted by 1/n" if weighted else "ordinary"


# ----------------------------------------------------------------------------- pairs of networks


def pairs(
    studies: Records, ours: Network, base: Network, measure: str, *, by_layer: bool = True
) -> pd.DataFrame:
    """What two networks measure, paired by seed: columns ours, base, a row an independent pair.

    Args:
        studies: of critical norms, of one width.
        ours, base: the networks.
        measure: "accuracy" or an attack.
        by_layer: whether the seeds whose read-outs share a locally learned layer are one pair, of
            means; else a row a seed.
    """
    compared = _of(studies, [ours, base])
    table = pd.concat([numbers.accuracies(compared), numbers.medians(compared)])
    table = table[(table["measure"] == measure) & table["value"].map(math.isfinite)]
    columns = {}
    for name, (method, protocol) in (("ours", ours), ("base", base)):
        rows = table[(table["method"] == method) & (table["network"] == protocol)]
        columns[name] = rows.set_index("seed")["value"].astype(float)
    both = pd.DataFrame(columns).dropna().sort_index()
    if not by_layer:
        return both
    layers = _layer_seeds(_of(studies, [ours]))
    return both.groupby(lambda seed: layers.get(seed, seed)).mean()


def _layer_seeds(studies: Records) -> Mapping[int, int]:
    """{seed of a read-out: seed of the layer below}."""
    seeds = {}
    for record in studies:
        layer = numbers.local_layer(record.config)
        if layer is not None:
            seeds[record.config.seed] = layer.seed
    return seeds


def _shared(studies: Records, network: Network) -> bool:
    """Whether all read-outs of a network stand on one locally learned layer."""
    layers = _layer_seeds(_of(studies, [network]))
    return len(layers) > 1 and len(set(layers.values())) == 1


def _on_layers(studies: Records, network: Network) -> str:
    """How many read-outs stand on how many locally learned layers, as it is written."""
    layers = _layer_seeds(_of(studies, [network]))
    if not layers:
        return ""
    n, n_layers = len(layers), len(set(layers.values()))
    readouts = f"{n} read-outs" if n > 1 else "one read-out"
    return f", {readouts} on " + (f"{n_layers} layers" if n_layers > 1 else "one layer")


def _all_reached(studies: Records, attacks: Sequence[str]) -> bool:
    """Whether the medians are medians, none the largest norm that was tried."""
    medians = numbers.medians(studies)
    return bool(medians.loc[medians["measure"].isin(attacks), "reached"].all())


def _compared(
    studies: Records,
    ours: Network,
    base: Network,
    measure: str,
    interval: Callable[[pd.DataFrame], Measurement],
) -> Measurement | None:
    """The reading of two networks, over layers; where all read-outs stand on one, their mean, which
    nothing bounds.
    """
    shared = _shared(studies, ours)
    both = pairs(studies, ours, base, measure, by_layer=not shared)
    if both.empty:
        return None
    found = interval(both)
    attacks = [measure] if measure in ATTACKS else []
    if shared or not _all_reached(_of(studies, [ours, base]), attacks):
        found = replace(found, low=-math.inf, high=math.inf)
    return found


def _ratio(both: pd.DataFrame, level: float = LEVEL) -> Measurement:
    return ratio_interval(both["ours"], both["base"], level=level)


def _gap(both: pd.DataFrame) -> Measurement:
    return t_interval(both["base"] - both["ours"])


# --------------------------------------------------------------------------------- H02 and H04


def robustness_gain(records: Records) -> Measurement | None:
    """H02: the smallest of the ratios of median critical norms, local learning over
    back-propagation, under noise, FGSM and PGD; intervals are simultaneous.
    """
    return _smallest_ratio(records, (("kh", CORRECTED),))


def penalty_gain(records: Records) -> Measurement | None:
    """H04: the smallest of the ratios of L2 and Jacobian over no penalty, as H02; the Jacobian is
    that of the activations, which alone is trained at the published width.
    """
    return _smallest_ratio(records, PENALISED)


def _smallest_ratio(records: Records, compared: Sequence[Network]) -> Measurement | None:
    base = ("bp", CORRECTED)
    level = 1 - (1 - LEVEL) / (len(ATTACKS) * len(compared))
    for studies in by_width(records):
        found = []
        for network in compared:
            for attack in ATTACKS:
                both = pairs(studies, network, base, attack)
                if len(both):
                    found.append(_ratio(both, level))
        if len(found) < len(ATTACKS) * len(compared):
            continue
        is_bounded = _all_reached(_of(studies, [base, *compared]), ATTACKS)
        return Measurement(
            min(one.value for one in found),
            min(one.low for one in found) if is_bounded else -math.inf,
            min(one.high for one in found) if is_bounded else math.inf,
            min(one.n for one in found),
        )
    return None


def ratio_readings(
    claim: str, compared: Mapping[str, Sequence[Network]]
) -> Callable[[Records], pd.DataFrame]:
    """Readings of a ratio: as corrected and as released, at both widths, attack by attack."""

    def readings(records: Records) -> pd.DataFrame:
        rows = []
        for studies in by_width(records):
            for protocol, networks in compared.items():
                for network in networks:
                    rows += _ratio_rows(claim, studies, protocol, network)
        return _table(rows)

    return readings


def _ratio_rows(
    claim: str, studies: Records, protocol: str, network: Network
) -> list[dict[str, object]]:
    rows = []
    base = ("bp", protocol)
    used = _of(studies, [network, base])
    for attack in ATTACKS:
        found = _compared(studies, network, base, attack, _ratio)
        if found is not None:
            name = f"{numbers.ATTACK_NAMES[attack]}, {protocol}, {_units(used)}"
            reading = name + _on_layers(studies, network)
            rows.append(_row(claim, reading, found, ">", "1", used, network[0], "bp"))
    return rows


# ------------------------------------------------------------------------------------------- H03


def accuracy_cost(records: Records) -> Measurement | None:
    """H03: test accuracy of back-propagation minus that of local learning, paired by seed, at the
    best validation epochs.
    """
    ours, base = ("kh", CORRECTED), ("bp", CORRECTED)
    for studies in by_width(records):
        both = pairs(studies, ours, base, "accuracy")
        if len(both):
            return _gap(both)
    return None


def accuracy_readings(records: Records) -> pd.DataFrame:
    """H03 as corrected and as released, at both widths."""
    rows = []
    for studies in by_width(records):
        for protocol in (CORRECTED, RELEASED):
            ours, base = ("kh", protocol), ("bp", protocol)
            found = _compared(studies, ours, base, "accuracy", _gap)
            if found is not None:
                used = _of(studies, [ours, base])
                name = f"test accuracy, {protocol}, {_units(used)}"
                reading = name + _on_layers(studies, ours)
                rows.append(_row("H03", reading, found, ">", "0", used, rival="bp"))
    return _table(rows)


# ------------------------------------------------------------------------------------------- H05


def nearer_to_one(records: Records) -> Measurement | None:
    """H05: how much farther the exponent is from one after spectral regularisation than before
    training, of each network, as corrected.
    """
    return next((found for _, found in _nearer(records, CORRECTED)), None)


def _nearer(records: Records, protocol: str) -> list[tuple[list[Record], Measurement]]:
    """The studies of each width that has a spectral penalty, and the change."""
    measured = []
    for studies in by_width(records):
        chosen = _of(studies, [("specreg", protocol)])
        after = numbers.released_range(chosen).set_index("seed")["value"]
        before = numbers.released_range(chosen, "start").set_index("seed")["value"]
        gaps = ((after - 1).abs() - (before - 1).abs()).dropna()
        if len(gaps):
            measured.append((chosen, t_interval(gaps)))
    return measured


def exponent_readings(records: Records) -> pd.DataFrame:
    """H05 as corrected and as released."""
    rows = []
    for protocol in (CORRECTED, RELEASED):
        for studies, found in _nearer(records, protocol):
            reading = f"exponent by ranks 10 to 500, {protocol}, {_units(studies)}"
            rows.append(_row("H05", reading, found, "<", "0", studies, "specreg"))
    return _table(rows)


# ------------------------------------------------------------------------------------- the table


def _threshold(claim: str) -> str:
    return published().set_index("id").loc[claim, "threshold"]


def _units(records: Records) -> str:
    widths = sorted({_measured(record).n_units for record in records})
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
        "verdict": direction(found, comparison, threshold),
    }


COLUMNS = ("claim", "reading", "rival", "rule", "dataset", "epochs")
MEASURED = ("value", "low", "high", "n", "holds if", "verdict")


def _table(rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[*COLUMNS, *MEASURED])


LAYERS = ("kh_long", "kh")
ATTACKED = ("wide_attacks", "bio_attacks", *LAYERS)
SPECTRA = ("wide_spectra", "bio_spectra", *LAYERS)
WIDE = "smaller: 5,000 images, one layer"
CLAIMS: dict[str, Claim] = {
    "H01": Claim(
        SPECTRA,
        straightness,
        "A straight line explains {value:.2%} of the spectrum on logarithmic axes.",
        WIDE,
        readings=straightness_readings,
    ),
    "H02": Claim(
        ATTACKED,
        robustness_gain,
        "Local learning withstands {value:.2f} times the norm of back-propagation or more.",
        WIDE,
        readings=ratio_readings(
            "H02", {CORRECTED: (("kh", CORRECTED),), RELEASED: (("kh", RELEASED),)}
        ),
    ),
    "H03": Claim(
        ATTACKED,
        accuracy_cost,
        "Back-propagation minus local learning is {value:.3f} of test accuracy.",
        WIDE,
        readings=accuracy_readings,
    ),
    "H04": Claim(
        ATTACKED,
        penalty_gain,
        "A penalty multiplies the norm that is withstood by {value:.2f} in the worst case.",
        "smaller: 5,000 images",
        readings=ratio_readings(
            "H04",
            {
                CORRECTED: (*PENALISED, ("jreg", CORRECTED)),
                RELEASED: PENALISED_AS_RELEASED,
            },
        ),
    ),
    "H05": Claim(
        SPECTRA,
        nearer_to_one,
        "Spectral regularisation leaves the exponent {value:.2f} farther from one than it began.",
        "smaller: 500 units, 5,000 images",
        readings=exponent_readings,
    ),
}


def all_readings(attacks: Records, spectra: Records, layers: Records) -> pd.DataFrame:
    """Every reading of every claim.

    Args:
        attacks, spectra: studies of critical norms and of spectra.
        layers: that were learned locally.
    """
    parts = []
    for claim in CLAIMS.values():
        studies = attacks if claim.experiments == ATTACKED else spectra
        parts.append(claim.readings([*studies, *layers]))
    return pd.concat(parts, ignore_index=True)
