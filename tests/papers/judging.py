"""What a claim is found to be, of a given measurement."""

from lib.report import verdicts
from papers import CLAIMS, PUBLISHED


def row_of(claim, measurement):
    """The row of the table of verdicts on a claim of which this was measured."""
    made = CLAIMS[claim]._replace(measure=lambda records: measurement, readings=None)
    table = verdicts.verdicts({claim: made}, lambda *asked: [], PUBLISHED, ids=[claim])
    return table.iloc[0]


def judged(claim, measurement):
    """The verdict on a claim of which this was measured."""
    return row_of(claim, measurement)["verdict"]
