"""What each figure of the profile paper shows, in a sentence: docs/takeaways.csv."""

import csv

from lib import _boundary

PAPER = "paper"  # the profile that the takeaways are of
FILE = _boundary.ROOT / "docs" / "takeaways.csv"


def read(profile: str) -> dict[str, str]:
    """{notebook/figure: what it shows, in a sentence}; there are some for the paper alone."""
    if profile != PAPER:
        return {}
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {f"{row['notebook']}/{row['figure']}": row["takeaway"] for row in rows}
