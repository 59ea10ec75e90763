"""Measurements of the claims of [Holzhausen2025].

Claims H02 to H04 are judged on networks as corrected, of the published width where it was run; H05
at the width that has a spectral penalty. As released, and the other width, are further readings.

Networks are paired by seed: a pair has the order of the images and the noise of the attacks in
common, two back-propagated ones the weights at the start too. Read-outs on one locally learned
layer are no independent ones: they are averaged, with the networks that they are compared with, and
n counts layers. All intervals but that of H01 are for other seeds, on the same images.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from lib.report.claims import against, intervals, readings, smallest
from lib.report.frames import tidy
from lib.report.intervals import Measurement, ratio_interval, share_interval, t_interval
from lib.report.tables import Records
from lib.report.verdicts import Claim
from papers.local_learning.experiments import ALL_IMAGES
from papers.local_learning.spectra import AS_RELEASED, over_seeds_and_images
from papers.local_learning.studies import ATTACKS, RUN, against_plain, laws, on_common_images

PUBLISHED_ATTACKS = ("noise", "fgsm", "pgd")
PENALISED = ("l2", "jreg_units")  # the Jacobian that alone is trained at the published width
NETWORKS = ("all_images_2000", "wide_networks", "all_images_500", "bio_networks")  # first decides
LAYERS = ("kh_long", "kh")
DRAWS = "draw.r_squared.linear1.0"  # R² on images drawn anew, ranks 10 to 500, without weights


# ------------------------------------------------------------------------------------------- H01


def fits(records: Records, measure: str) -> pd.DataFrame:
    """A number of the lines through the spectra of the hidden units, a row a layer, input, range of
    ranks and weighting.
    """
    rows = tidy(records, "n_units")
    if rows.empty:
        return rows.assign(input="", range="", weighted=False, n_units=0)
    rows = rows[rows["measure"] == measure]
    return rows.astype({"weighted": bool, "n_units": int})


def as_released(rows: pd.DataFrame) -> pd.DataFrame:
    """Numbers of :func:`fits` that are over ranks 10 to 500, without weights."""
    return rows[(rows["range"] == AS_RELEASED) & ~rows["weighted"]]


def straightness(records: Records) -> Measurement | None:
    """H01: R² of the line through the spectrum of locally learned layers on images, ranks 10 to
    500, without weights, with an interval for other seeds and other images; and before learning.
    """
    for experiment in LAYERS:
        layers = [record for record in records if record.config.parent.experiment == experiment]
        if layers:
            rows = as_released(fits(layers, "r_squared").query("input == 'images'"))
            draws = [record.arrays[DRAWS] for record in layers]
            shortest = min(map(len, draws))
            found = over_seeds_and_images(rows["value"], [draw[:shortest] for draw in draws])
            before = as_released(fits(layers, "r_squared").query("input == 'start'"))["value"]
            return replace(found, at=f"{before.mean():.2%}")
    return None


def straightness_readings(records: Records) -> pd.DataFrame:
    """H01 by every range and weighting, for other seeds on the same images, and by what a power law
    must beat: in how many layers no law describes the spectrum better.
    """
    layers = [record for record in records if record.config.parent.experiment in LAYERS]
    lines = fits(layers, "r_squared").query("input == 'images'")
    lines = lines.assign(reading="R², ranks " + lines["range"] + ", " + _weights(lines))
    power = laws(layers).query("law == 'power law'")
    power = power.assign(value=power["supported"].astype(float))
    power = power.assign(reading="no law describes it better, " + _weights(power))
    learned = since_start(fits(layers, "r_squared"))
    learned = learned.assign(reading="R², ranks 10 to 500, ordinary, minus that before learning")
    parts = [
        read(lines, "H01", ">=", 0.98),
        read(learned, "H01", ">", 0.0),
        read(power, "H01", ">=", 0.5, estimate=share_that_holds),
    ]
    return pd.concat(parts, ignore_index=True)


def since_start(rows: pd.DataFrame) -> pd.DataFrame:
    """Change by training of the numbers of :func:`fits` on images, over ranks 10 to 500 and
    without weights, a row a network.
    """
    return against(as_released(rows), "start", by="input", keys=[*RUN, "method", "measure"]).query(
        "input == 'images'"
    )


def _weights(rows: pd.DataFrame) -> pd.Series:
    return rows["weighted"].map({False: "ordinary", True: "weighted by 1/n"})


def share_that_holds(rows: pd.DataFrame, level: float) -> Measurement:
    """The share of rows of value 1, with its interval."""
    return share_interval(int(rows["value"].sum()), len(rows), level=level)


# --------------------------------------------------------------------------------- H02, H03, H04


def ratio(rows: pd.DataFrame, level: float) -> Measurement:
    """The mean critical norm over that of plain back-propagation; nothing bounds it where one was
    not reached by any perturbation tried.
    """
    found = ratio_interval(rows["value"] + rows["base"], rows["base"], level=level)
    return found if rows["reached"].all() else replace(found, low=-math.inf, high=math.inf)


def decisive(rows: pd.DataFrame, n: int = 1) -> pd.DataFrame:
    """Comparisons of the first of :data:`NETWORKS` that has n comparisons, each of a method and a
    measure: the published width before the smaller, all images before a part.
    """
    for experiment in NETWORKS:
        of_one = rows[rows["trained"] == experiment]
        if of_one.groupby(["method", "measure"], observed=True).ngroups >= n:
            return of_one
    return rows.iloc[:0]


def weakest_ratio(records: Records, methods: Sequence[str]) -> Measurement | None:
    """H02 and H04: the smallest ratio of median critical norms of some methods over plain
    back-propagation, under noise, FGSM and PGD; intervals are simultaneous.
    """
    rows = against_plain(records).query("variant == 'corrected' and measure in @PUBLISHED_ATTACKS")
    rows = decisive(rows[rows["method"].isin(methods)], len(methods) * len(PUBLISHED_ATTACKS))
    return smallest(intervals(rows, ["method", "measure"], estimate=ratio))


def ratio_readings(records: Records, claim: str, methods: Sequence[str]) -> pd.DataFrame:
    """H02 and H04 as corrected and as released, at both widths, attack by attack; as corrected also
    on the images that both networks of a pair classify correctly.
    """
    own, common = against_plain(records), on_common_images(records)
    own = own.assign(images=own["variant"])
    common = common.assign(images=common["variant"] + ", images both get right")
    rows = pd.concat([own, common]).query("measure in @PUBLISHED_ATTACKS and method in @methods")
    rows = rows.assign(reading=rows["measure"].map(ATTACKS) + ", " + rows["images"])
    return read(rows, claim, ">", 1.0, rival="bp", estimate=ratio)


def accuracy_cost(records: Records) -> Measurement | None:
    """H03: test accuracy of plain back-propagation minus that of local learning, paired, at the
    best validation epochs.
    """
    rows = against_plain(records).query("variant == 'corrected' and measure == 'accuracy'")
    rows = decisive(rows.query("method == 'kh'"))
    return t_interval(-rows["value"]) if len(rows) else None


def accuracy_readings(records: Records) -> pd.DataFrame:
    """H03 as corrected and as released, at both widths."""
    rows = against_plain(records).query("measure == 'accuracy' and method == 'kh'")
    rows = rows.assign(value=-rows["value"], reading="test accuracy, " + rows["variant"])
    return read(rows, "H03", ">", 0.0, rival="bp")


# ------------------------------------------------------------------------------------------- H05


def away_from_one(records: Records) -> pd.DataFrame:
    """How much farther the exponent over ranks 10 to 500 is from one after training with a spectral
    penalty than before, a row a network.
    """
    rows = fits(records, "exponent").query("method == 'specreg'")
    return since_start(rows.assign(value=(rows["value"] - 1).abs()))


def nearer_to_one(records: Records) -> Measurement | None:
    """H05: the mean of :func:`away_from_one`, as corrected."""
    rows = decisive(away_from_one(records).query("variant == 'corrected'"))
    return t_interval(rows["value"]) if len(rows) else None


def exponent_readings(records: Records) -> pd.DataFrame:
    """H05 as corrected and as released."""
    rows = away_from_one(records)
    rows = rows.assign(reading="exponent by ranks 10 to 500, " + rows["variant"])
    return read(rows, "H05", "<", 0.0)


# ------------------------------------------------------------------------------------- the table


def read(
    rows: pd.DataFrame,
    claim: str,
    comparison: str,
    threshold: float,
    *,
    rival: str = "",
    estimate: Callable[[pd.DataFrame, float], Measurement] | None = None,
) -> pd.DataFrame:
    """Readings of a claim, each an interval over the rows of a method and a width.

    Args:
        rows: columns value, reading, method, and those of :data:`RUN`, a row an independent unit.
        claim, comparison, threshold: see :func:`lib.report.claims.readings`.
        rival: the method that it is compared with.
        estimate: see :func:`lib.report.claims.intervals`.
    """
    rows = rows.sort_values("n_units", ascending=False, kind="stable")
    units = rows["n_units"].map(", {:,} units".format)
    images = rows["trained"].isin(ALL_IMAGES).map({True: ", all images", False: ""})
    reading = rows["reading"] + units + images
    rows = rows.assign(reading=reading, rival=rival, rule=rows["method"])
    named = ["reading", "rival", "rule", "dataset", "epochs"]
    found = intervals(rows, named, family=1, estimate=estimate)
    return readings(found[[*named, "value", "low", "high", "n"]], claim, comparison, threshold)


ATTACKED = ("wide_attacks", "bio_attacks", "all_images_attacks")
LAYER_SPECTRA = ("wide_spectra", "bio_spectra")  # of each locally learned layer once
SPECTRA = (*LAYER_SPECTRA, "all_images_spectra")
SHORTER = "smaller: back-propagation for 40 of 1,000 epochs"
LOCAL = f"{SHORTER}, and two of three local layers fail the released test"
SPECTRAL = f"{SHORTER}, in batches of 3,500"
CLAIMS: dict[str, Claim] = {
    "H01": Claim(
        LAYER_SPECTRA,
        straightness,
        "A straight line explains {value:.2%} of the spectrum on logarithmic axes, and {at} before"
        " learning.",
        "as published, but two of three layers fail the released test",
        readings=straightness_readings,
    ),
    "H02": Claim(
        ATTACKED,
        partial(weakest_ratio, methods=("kh",)),
        "Local learning withstands {value:.2f} times the norm where it gains least.",
        LOCAL,
        readings=partial(ratio_readings, claim="H02", methods=("kh",)),
    ),
    "H03": Claim(
        ATTACKED,
        accuracy_cost,
        "Back-propagation minus local learning is {value:.3f} of test accuracy.",
        LOCAL,
        readings=accuracy_readings,
    ),
    "H04": Claim(
        ATTACKED,
        partial(weakest_ratio, methods=PENALISED),
        "A penalty multiplies the norm that is withstood by {value:.2f} in the worst case.",
        SHORTER,
        readings=partial(ratio_readings, claim="H04", methods=(*PENALISED, "jreg")),
    ),
    "H05": Claim(
        SPECTRA,
        nearer_to_one,
        "Spectral regularisation leaves the exponent {value:.2f} farther from one than it began.",
        SPECTRAL,
        readings=exponent_readings,
    ),
}
