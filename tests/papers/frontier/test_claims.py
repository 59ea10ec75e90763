"""Our own claims where a part of the records is missing; tests/test_directions.py has them all."""

import math

import pytest

import papers


@pytest.mark.parametrize(
    ("claim", "field", "left_out"),
    [
        ("F01", "variant", "what helps, together"),
        ("F07", "dataset", "fashion_mnist"),
        ("F08", "method", "rigl"),
        ("F09", "variant", "links of the end"),
    ],
)
def test_claim_about_all_has_no_bound_where_one_was_not_run(claim, field, left_out):
    made = papers.CLAIMS[claim]
    records = [record for name in made.experiments for record in papers.STORE.of(name, "paper")]
    part = [record for record in records if getattr(record.config, field) != left_out]
    assert len(part) < len(records)
    whole, found = made.measure(records), made.measure(part)
    assert math.isfinite(whole.low) and math.isfinite(whole.high)
    assert math.isinf(found.high if claim == "F09" else found.low)
