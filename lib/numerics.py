"""Which numerics this code has: how it sums, and so the last bits of all that it computes.

A number goes up when a change of the code alters these bits and nothing else. The name of a run and
what a run means stay as they are. Records and checkpoints of runs say which numerics made them;
within one of them a run gives the same bits whatever interrupts it.
"""

NUMERICS = 2  # 1: before the passes of a training step went through a batch tile by tile
UNNAMED = 1  # that of records and checkpoints which name none
# Within numerics 1 such changes were not counted: where a record of it differs at that last commit,
# the one that the record names gives its bits.
LAST_COMMITS = {1: "33748967bdc0f10294473f0f6d1d9646002022ad"}  # of each earlier numerics


def place_of(numerics: int) -> str:
    """Where the code of another numerics is: the end of a sentence that says what to do there."""
    commit = LAST_COMMITS.get(numerics)
    if commit is None:
        return f"with a version of this repository whose numerics is {numerics}"
    return f"at commit {commit} (git worktree add ../numerics-{numerics} {commit})"
