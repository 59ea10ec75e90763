"""Starts with chosen degrees or links, as runs."""

from papers.frontier import experiments
from papers.shared import trained


def test_runs_start_with_the_degrees_or_the_links_of_the_end(store):
    (of_degrees, of_links) = (
        run
        for run in experiments.start_degrees("smoke")
        if run.method == "rigl" and run.parent is not None
    )
    shorter = [run.with_changes({"epochs": 1}) for run in (of_degrees, of_links)]
    parent = store.run(shorter[0].parent)
    at_end = degrees_at(parent, "final")
    for run in shorter:
        record = store.run(run)
        assert degrees_at(record, 0) == at_end
        kept = {name for name in record.arrays if experiments.keep_some_degrees(record, name)}
        assert len(kept) == 2 * 3 * 3 and "linear1.in_degree.0" in kept


def degrees_at(record, epoch):
    """Degrees after an epoch, by layer and side."""
    rows = trained.degrees(record).query("epoch == @epoch")
    return {(row.layer, row.side): row.links.tolist() for row in rows.itertuples()}
