"""What a cluster costs, in words: rows and arithmetic worked out by hand."""

import pandas as pd
import pytest

from lib.bench import scale
from lib.report import cluster
from lib.runs.clusters import Cluster

COMMON = {"seconds": 30.0, "record_bytes": 5000, "cores": 4, "cpu": "a cpu"}


@pytest.fixture
def measured():
    alone = {"place": "this process", "runs": 200, "workers": 1, "ms_a_run": 9.0}
    alone |= {"client_cpu_ms_a_run": 9.0, **COMMON}
    wire = {"place": "workers, over the wire", "runs": 2000, "workers": 2, "ms_a_run": 15.0}
    wire |= {"client_cpu_ms_a_run": 6.0, **COMMON}
    early = {"memory_after": 0.25, "client_mb": 500.2, "worker_mb": 400.0}
    late = {"memory_after": 1.0, "client_mb": 504.6, "worker_mb": 401.0}
    return pd.DataFrame([alone, wire | early, wire | late])


def test_a_row_a_place_with_memory_after_a_part_and_after_all(measured):
    first, second = cluster.as_rows(measured).to_numpy().tolist()
    assert first == ["this process", "200", "1", "9.0", "9.0", "–", "–"]
    assert second[:5] == ["workers, over the wire", "2,000", "2", "15.0", "6.0"]
    assert second[5:] == ["500 → 505", "400 → 401"]


def test_arithmetic_of_ten_thousand_runs(measured):
    said = cluster.arithmetic(measured)
    assert "over the wire cost 2.5 min beside their own work on 2 workers" in said
    assert "1.0 min are work of client" in said and "their records are 50 MB, 5.0 kB" in said


@pytest.mark.slow
def test_what_is_measured_has_every_place_and_flat_memory():
    table = scale.measure_cluster(Cluster(kind="local", workers=2), n_runs=40)
    assert list(table.columns) == list(scale.COLUMNS)
    places = table.groupby("place", sort=False)["runs"].agg(["size", "first"])
    assert places.to_numpy().tolist() == [[1, 4], [4, 40], [4, 40]]
    rows = table[table["memory_after"].notna()]
    assert (rows[["client_mb", "worker_mb"]] > 50).all(axis=None)
    assert (table["ms_a_run"] > 0).all() and (table["record_bytes"] > 4000).all()
