"""The evidence for power laws in evolved degrees: the tables of notebook 14.

A row of the evidence is a degree sequence, see :func:`lib.topology.power_law.evidence`; *kind* says
whether it is one of the trained network, of a random network, or drawn from a power law.
"""

from collections.abc import Sequence

import pandas as pd

from lib.papers.set import links
from lib.report import labels
from lib.runs.record import Record
from lib.topology import power_law

KEYS = ["network", "dataset", "group"]
SETTINGS = {"tuned": "", "published": ", published"}


def table(studies: Sequence[Record]) -> pd.DataFrame:
    """The evidence on inputs and hidden layers with all their links, under names people read.

    Args:
        studies: records of `scale_free`.
    Returns: columns of :func:`lib.papers.set.links.table`, and group, the name of the method.
    """
    rows = links.table(studies)
    settings = rows["variant"].map(SETTINGS)
    network = rows["network"].map(labels.network)
    rows["network"] = network + settings
    rows["group"] = rows["method"].map(labels.method_name)
    rows["dataset"] = rows["dataset"].map(labels.dataset)
    of_one_side = rows["neurons"].str.contains(" in| out")
    return rows[~of_one_side]


def at_end(evidence: pd.DataFrame) -> pd.DataFrame:
    """The rows of the trained networks after their last removal.

    Args:
        evidence: of :func:`table`.
    """
    is_final = evidence["epoch"].astype(str) == "final"
    return evidence[is_final & (evidence["kind"] == "network")]


def seeds(evidence: pd.DataFrame) -> pd.DataFrame:
    """How many seeds each group of networks has: columns network, dataset, group, seeds."""
    groups = evidence.groupby(KEYS, sort=False)
    return groups["seed"].nunique().reset_index(name="seeds")


# -------------------------------------------------------------------------------------- shares


def by_layer(ends: pd.DataFrame) -> pd.DataFrame:
    """The evidence at the end, inputs and hidden layers of all seeds together.

    Args:
        ends: of :func:`at_end`.
    Returns: columns network, dataset, group, neurons ("inputs", "hidden"), n (sequences), without
        links (share of the neurons), medians of α, tail, p and of the package's exponent, α min, α
        max, best (the law that is most often best), and shares plausible, unbeaten, strong, inside.
    """
    neurons = ends["neurons"]
    together = neurons.str.replace(r"hidden .", "hidden", regex=True)
    ends = ends.assign(neurons=together)
    keys = [*KEYS, "neurons"]
    rows = []
    for key, sequences in ends.groupby(keys, sort=False):
        names = dict(zip(keys, key, strict=True))
        rows.append(names | _sum_up(sequences))
    return pd.DataFrame(rows)


def _sum_up(sequences: pd.DataFrame) -> dict:
    exponent = sequences["exponent"]
    plausible = sequences["p"] >= power_law.REJECT_BELOW
    isolated = sequences["isolated"].sum()
    return {
        "n": len(sequences),
        "without links": isolated / sequences["n"].sum(),
        "α": exponent.median(),
        "α min": exponent.min(),
        "α max": exponent.max(),
        "tail": sequences["n_tail"].median(),
        "p": sequences["p"].median(),
        "plausible": plausible.mean(),
        "unbeaten": sequences["unbeaten"].eq(True).mean(),
        "strong": sequences["strong"].eq(True).mean(),
        "inside": sequences["domain"].eq("inside").mean(),
        "best": sequences["best"].mode().iat[0],
        "package": sequences["package_exponent"].median(),
    }


def categories(ends: pd.DataFrame) -> pd.DataFrame:
    """The :func:`lib.topology.power_law.category` of every group of networks.

    Args:
        ends: of :func:`at_end`.
    """
    rows = []
    for key, sequences in ends.groupby(KEYS, sort=False):
        names = dict(zip(KEYS, key, strict=True))
        rows.append(names | power_law.category(sequences))
    return pd.DataFrame(rows)


def strong_over_epochs(evidence: pd.DataFrame) -> pd.DataFrame:
    """Share of the sequences with strong evidence, a row a group of networks, a column an epoch.

    Args:
        evidence: of :func:`table`; supports that are fixed have one epoch and are left out.
    """
    evolves = evidence["method"] != "fixed"
    rows = evidence[evolves & (evidence["kind"] == "network")]
    rows = rows.assign(
        strong=rows["strong"].eq(True),
        epoch=rows["epoch"].astype(str),
    )
    shares = rows.pivot_table("strong", KEYS, "epoch", sort=False)
    return shares[sorted(shares, key=_time)]


def _time(epoch: str) -> tuple[bool, str]:
    return epoch == "final", epoch.zfill(3)


def with_controls(evidence: pd.DataFrame) -> pd.DataFrame:
    """The rows that the map of the evidence shows, in three groups: random networks, trained ones
    that evolved, at the end, and drawn power laws of the same sizes.

    Args:
        evidence: of :func:`table`; exponents at the bound of the search are left out.
    """
    kind = evidence["kind"]
    random = evidence[kind == "random"]
    random = random.assign(group="random, equal links")
    drawn = evidence[kind.str.startswith("power law")]
    drawn = drawn.assign(group="drawn power laws")
    ends = at_end(evidence)
    evolved = ends[ends["method"] != "fixed"].assign(group="evolved networks, all rules")
    rows = pd.concat([random, evolved, drawn])
    return rows.dropna(subset=["exponent", "standard_error"])


def power(evidence: pd.DataFrame) -> pd.DataFrame:
    """What the procedure says of sequences whose law is known.

    Args:
        evidence: of :func:`table`.
    Returns: by kind and inside (whether in the domain): n, median exponent and tail, and the shares
        unbeaten and strong.
    """
    known = evidence[evidence["kind"] != "network"]
    inside = known["domain"].eq("inside")
    known = known.assign(inside=inside)
    groups = known.groupby(["kind", "inside"], sort=False)
    rows = groups.agg(
        n=("seed", "size"),
        exponent=("exponent", "median"),
        tail=("n_tail", "median"),
    )
    for name in ("unbeaten", "strong"):
        rows[name] = groups[name].mean()
    return rows


def beside_package(evidence: pd.DataFrame) -> pd.DataFrame:
    """Our fits beside those of the package powerlaw.

    Args:
        evidence: of :func:`table`.
    Returns: by kind and group: other_xmin, the share of fits that start elsewhere, and the median
        exponent and package_exponent.
    """
    other = evidence["xmin"] != evidence["package_xmin"]
    rows = evidence.assign(other_xmin=other)
    groups = rows.groupby(["kind", "group"], sort=False)
    return groups.agg(
        other_xmin=("other_xmin", "mean"),
        exponent=("exponent", "median"),
        package_exponent=("package_exponent", "median"),
    )
