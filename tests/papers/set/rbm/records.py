"""Records of machines that were never trained, for tables and claims."""

import numpy as np
import pandas as pd

from lib.runs.record import Record
from papers.set.rbm import training
from papers.set.rbm.experiments import METHODS
from papers.set.rbm.training import RBMTraining

CEILING = -7.0


def estimate(test, valid, se, ess):
    return {
        "value": 50.0,
        "se": se,
        "sd": 10 * se,
        "ess": ess,
        "test": test,
        "test_possible": test <= CEILING,
        "valid": valid,
        "valid_possible": valid <= CEILING,
    }


def record(
    method,
    seed=0,
    test=-80.0,
    *,
    dataset="dna",
    short=None,
    valid=None,
    se=0.01,
    ess=90.0,
    curve=(),
    **fields,
):
    """A record whose best machine has this test likelihood, and after epochs those of the curve."""
    run = RBMTraining(
        "set_rbm_dna" if dataset == "dna" else "set_rbm",
        method=method,
        dataset=dataset,
        seed=seed,
        **{"variant": "grid", "epochs": 2, **METHODS[method], **fields},
    )
    curve = list(curve) or [test - 5, test]
    table = {"epoch": range(1, len(curve) + 1), "links": 4730, "test": curve, "impossible": 0}
    table["ess"] = 90.0
    valid = test if valid is None else valid
    best = {
        "links": {"set": 3311, "fixed": 4730, "fixed_final": 3440, "dense": 45_000}[method],
        "full": estimate(test, valid, se, 90.0),
        "short": estimate(test if short is None else short, valid, 3 * se, ess),
    }
    facts = {
        "architecture": f"180-{run.hidden[0]}",
        "final": {"links": best["links"], "best_epoch": len(curve), "best": best},
        "ceilings": {"test": CEILING},
    }
    return Record(run, pd.DataFrame(table), {}, facts, numbers=training.numbers)


def seeds(method, tests, **options):
    return [record(method, seed, test, **options) for seed, test in enumerate(tests)]


def with_degrees(one, epoch, hidden=None, visible=None):
    """The record with links of the hidden and the visible units after an epoch."""
    hidden = np.full(10, 3) if hidden is None else hidden
    visible = np.full(10, 3) if visible is None else visible
    one.arrays[f"links.in_degree.{epoch}"] = np.asarray(hidden)
    one.arrays[f"links.out_degree.{epoch}"] = np.asarray(visible)
    return one
