#!/usr/bin/env bash
# Libraries: joblib 1.6.0 with psutil 7.2.2.
#
# A pool of one worker process runs six tasks. Each task keeps another array of 360 MB in a list of
# its module, as a cache of data sets does.
#
# One would guess: one process runs all tasks, and its list has six arrays at the end.
#
# What happens: where psutil is installed, loky looks at a worker's memory from time to time. If this
# has grown by 300 MB since the first task, loky takes it for a leak. It ends the process after its
# task and starts another one, whose list is empty. All tasks succeed. Each new process imports all
# modules and fills its cache again.
#
# Output seen:
#   processes that ran six tasks: 3
#   arrays in the list after each task: [1, 2, 1, 2, 1, 2]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet joblib==1.6.0 psutil==7.2.2 numpy==2.4.6
cd "$folder"
cat >caching.py <<'END'
import os
import time

import numpy as np

kept = []


def keep(task):
    kept.append(np.ones(45_000_000))
    time.sleep(1.5)  # loky looks once a second at most
    return os.getpid(), len(kept)
END
PYTHONPATH=. venv/bin/python -W ignore - <<'END' | tee output
import time

from caching import keep
from joblib.externals.loky import get_reusable_executor

executor = get_reusable_executor(max_workers=1, timeout=60)
found = []
for task in range(6):
    found.append(executor.submit(keep, task).result())
    time.sleep(1)
print("processes that ran six tasks:", len({process for process, _ in found}))
print("arrays in the list after each task:", [n for _, n in found])
END

diff - output <<'END'
processes that ran six tasks: 3
arrays in the list after each task: [1, 2, 1, 2, 1, 2]
END
