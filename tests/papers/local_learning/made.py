"""Records of layers and networks that were never trained, with given numbers."""

import numpy as np
import pandas as pd

from lib.runs.record import Record
from papers.local_learning.spectra import AS_RELEASED
from papers.local_learning.studies import FITS, LINES
from papers.local_learning.training import CORRECTED, HiddenNetwork, LocalLayer
from papers.shared.study import Study

ATTACKS = ("noise", "fgsm", "pgd")


def local(seed=0, n_units=2000, **fields):
    experiment = "kh_long" if n_units == 2000 else "kh"
    return LocalLayer(experiment, dataset="cifar10", seed=seed, n_units=n_units, **fields)


def learned(arrays):
    """A record of a layer that holds these arrays."""
    return Record(local(), pd.DataFrame(), arrays, {})


def network(method, seed, n_units=2000, layer=None, **fields):
    """The run of a network; local learning stands on the layer of a seed, or of its own."""
    parent = None
    if method == "kh":
        parent = local(seed if layer is None else layer, n_units)
    experiment = "wide_networks" if n_units == 2000 else "bio_networks"
    return HiddenNetwork(
        experiment,
        dataset="cifar10",
        method=method,
        seed=seed,
        n_units=n_units,
        parent=parent,
        **fields,
    )


def study(experiment, run, metrics, arrays=None, final=None, variant=CORRECTED):
    config = Study(
        experiment,
        parent=run,
        dataset=run.dataset,
        method=run.method,
        variant=variant,
        seed=run.seed,
    )
    return Record(config, metrics, arrays or {}, {"final": final or {}})


def attacked(
    method,
    seed,
    medians,
    accuracy=0.5,
    *,
    variant=CORRECTED,
    reached=True,
    last_accuracy=0.1,
    **fields,
):
    """A study of critical norms; one median for all attacks, or one for each."""
    run = network(method, seed, **fields)
    if not isinstance(medians, dict):
        medians = dict.fromkeys(ATTACKS, medians)
    rows = [("accuracy", "none", accuracy)]
    for attack, value in medians.items():
        rows.append(("median", attack, value if reached else np.inf))
        rows.append(("median of fooled", attack, value))
        rows.append(("largest tried", attack, 2 * value))
        rows.append(("fooled", attack, 1.0 if reached else 0.3))
    final = {"test_accuracy": last_accuracy, "best_test_accuracy": accuracy}
    metrics = pd.DataFrame(rows, columns=LINES)
    return study("wide_attacks", run, metrics, final=final, variant=variant)


def spectrum(run, exponents, *, r_squared=0.99, eigenvalues=None, variant=CORRECTED):
    """A study of spectra with an exponent for each input, over the released ranks."""
    rows = []
    for given, exponent in exponents.items():
        place = ("linear1", given, AS_RELEASED, 10, 500, False)
        rows.append((*place, "exponent", exponent))
        rows.append((*place, "r_squared", r_squared))
    if eigenvalues is None:
        eigenvalues = np.arange(1.0, 601.0) ** -2.0
    arrays = {
        "eigenvalues.linear1.images": np.asarray(eigenvalues, np.float32),
        "draw.r_squared.linear1.0": np.full(2, r_squared),
    }
    metrics = pd.DataFrame(rows, columns=FITS)
    return study("wide_spectra", run, metrics, arrays, variant=variant)
