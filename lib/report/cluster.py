"""What a cluster costs, in the words and numbers of a page."""

import pandas as pd

MANY = 10_000  # runs of the arithmetic


def as_rows(measured: pd.DataFrame) -> pd.DataFrame:
    """A row a place: what a run costs there, and memory after a quarter and after all of the runs.

    Args:
        measured: of :func:`lib.bench.measure_cluster`.
    Returns: columns of text, as a page shows them.
    """
    rows = []
    for place, group in measured.groupby("place", sort=False):
        first, last = group.iloc[0], group.iloc[-1]
        rows.append(
            {
                "runs made by": place,
                "runs": f"{last['runs']:,}",
                "workers": str(last["workers"]),
                "ms a run": f"{last['ms_a_run']:.1f}",
                "work of client and scheduler, ms a run": f"{last['client_cpu_ms_a_run']:.1f}",
                "client, MB": _change(first["client_mb"], last["client_mb"]),
                "largest worker, MB": _change(first["worker_mb"], last["worker_mb"]),
            }
        )
    return pd.DataFrame(rows)


def arithmetic(measured: pd.DataFrame) -> str:
    """What :data:`MANY` runs cost beside their own work, in a sentence."""
    wire = measured[measured["place"].str.contains("wire")].iloc[-1]
    minutes = MANY * wire["ms_a_run"] / 60_000
    work = MANY * wire["client_cpu_ms_a_run"] / 60_000
    size = MANY * wire["record_bytes"] / 1e6
    return (
        f"{MANY:,} runs whose records come over the wire cost {minutes:.1f} min beside their own"
        f" work on {wire['workers']} workers of a machine with {wire['cores']} cores"
        f" ({wire['cpu']}), of which {work:.1f} min are work of client and scheduler together;"
        f" their records are {size:.0f} MB, {wire['record_bytes'] / 1000:.1f} kB each."
    )


def _change(first: float, last: float) -> str:
    if pd.isna(first):
        return "–"
    return f"{first:.0f} → {last:.0f}"
