"""What records say about a quantity: a number and its interval."""

from dataclasses import dataclass

LEVEL = 0.95
FEWEST = 3  # seeds that have a direction
MIN_SEEDS = 5  # fewer: inconclusive at best


@dataclass(frozen=True)
class Measurement:
    """What our records say about the quantity of a claim, in the claim's unit.

    Args:
        value: the estimate.
        low, high: its 95 % interval, or the bounds of a count.
        n: units (seeds, or draws) behind it; None for a quantity without randomness.
        limit: why the verdict could still change: "" (it cannot), "data" (part of the claim's data
            sets were run: they can only add what is missing), or else, as "epochs" (shorter than
            the paper) or "settings" (other settings decide it).
        wide: more of what would make the interval narrower.
        at: where it was found, as the data set of the worst case, for the sentence of the claim.
    """

    value: float
    low: float
    high: float
    n: int | None = None
    limit: str = ""
    wide: str = "seeds"
    at: str = ""
