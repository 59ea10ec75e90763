"""The arguments of the command line: what each takes, and what it says in the help."""

from typing import Any

from lib.runs.clusters import KINDS
from lib.runs.experiment import PROFILES

OPTIONS: dict[str, dict[str, Any]] = {
    "names": {"nargs": "*", "metavar": "NAME"},
    "claims": {
        "nargs": "*",
        "metavar": "CLAIM",
        "help": "as S03, or the letter of a paper (default: all)",
    },
    "experiment": {"metavar": "EXPERIMENT"},
    "--profile": {
        "default": "quick",
        "metavar": "P",
        "help": f"one of {', '.join(PROFILES)} (default: %(default)s)",
    },
    "experiments": {
        "nargs": "*",
        "metavar": "EXPERIMENT",
        "help": "default: all that train in epochs",
    },
    "--epochs": {
        "type": int,
        "default": 2,
        "metavar": "N",
        "help": "how many of the first epochs (default: %(default)s)",
    },
    "--all": {
        "action": "store_true",
        "help": "every record, not only the lowest seed of each data set, method and variant",
    },
    "--dirty": {
        "action": "store_true",
        "help": "only records made from a tree with uncommitted changes",
    },
    "--readings": {
        "action": "store_true",
        "help": "every fair reading of the claims that leave one open, a row each",
    },
    "--seeds": {
        "type": int,
        "metavar": "N",
        "help": "of each run the seeds 0 to N - 1 (default: those of the profile)",
    },
    "--jobs": {
        "type": int,
        "default": 1,
        "metavar": "N",
        "help": "runs, or notebooks, side by side (default: %(default)s)",
    },
    "--set": {
        "nargs": "+",
        "default": [],
        "metavar": "key=value",
        "help": "change a field of the runs; method, variant and dataset choose among them",
    },
    "--scheduler": {
        "metavar": "ADDRESS",
        "help": "of a Dask cluster that makes the runs, as tcp://10.0.0.1:8786 (docs/CLUSTER.md)",
    },
    "--cluster": {
        "metavar": "KIND",
        "help": f"start one of Dask and end it afterwards: {', '.join(KINDS)}",
    },
    "--workers": {
        "type": int,
        "metavar": "N",
        "help": "of --cluster: runs side by side (ssh: on each host)",
    },
    "--hosts": {"nargs": "+", "metavar": "HOST", "help": "of --cluster ssh"},
    "--wire": {
        "action": "store_true",
        "help": "records come over the wire also from workers that see the folder of records",
    },
    "--runs": {
        "type": int,
        "metavar": "N",
        "help": "instead, what a cluster costs: so many runs that do nothing",
    },
    "--only": {"nargs": "+", "metavar": "NN", "help": "notebooks, by number or name"},
    "--train": {
        "action": "store_true",
        "help": "run what is missing in the profile paper too (hours; resumable)",
    },
    "--force": {
        "action": "store_true",
        "help": "render notebooks of which nothing has changed, too",
    },
    "--threads": {"type": int, "metavar": "N"},
    "--sweeps": {
        "action": "store_true",
        "help": "all points, on one thread too, for notebooks (8 min)",
    },
    "--json": {
        "metavar": "FILE",
        "help": "write a list of objects ('-': print it)",
    },
}
