"""What records say about a quantity: a number and its interval."""

from dataclasses import dataclass

LEVEL = 0.95
MIN_SEEDS = 3  # fewer have no direction


@dataclass(frozen=True)
class Measurement:
    """What our records say about the quantity of a claim, in the claim's unit.

    Args:
        value: the estimate.
        low, high: its 95 % interval, or the bounds of a count; infinite where what was not run
            could still move it.
        n: units (seeds, or draws) behind it; None for a quantity without randomness.
        undecidable: what the paper leaves out, where the answer hangs on it; "" if on nothing.
        at: where it was found, as the data set of the worst case, for the sentence of the claim.
        unrun: whether a bound is finite, and yet wide because of what was not run, as that of a
            count of data sets.
    """

    value: float
    low: float
    high: float
    n: int | None = None
    undecidable: str = ""
    at: str = ""
    unrun: bool = False
