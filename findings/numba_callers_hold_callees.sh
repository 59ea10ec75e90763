#!/usr/bin/env bash
# Library: numba 0.68.1.
#
# Three compiled functions form a chain: the second calls the first, the third calls the second. The
# first one is long, so that nothing inlines it.
#
# One would guess: the first function is compiled once, and machine code of the other two calls it.
#
# What happens: the machine code of each function holds a copy of the first one. So the first one is
# translated into machine code three times, once for each function of the chain.
#
# Output seen:
#   code of the first function in the first: True
#   code of the first function in the second: True
#   code of the first function in the third: True
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'END' | tee output
import re

import numpy as np
from numba import njit

terms = "\n".join(f"    total += x[{i}] * np.sin(total + {i})" for i in range(60))
names = {"np": np}
exec(f"def first(x):\n    total = 0.0\n{terms}\n    return total", names)
first = njit(names["first"])


@njit
def second(x):
    return first(x) + first(x[1:])


@njit
def third(x):
    return second(x) + second(x[1:])


x = np.ones(70)
third(x)
for function in (first, second, third):
    assembly = function.inspect_asm(function.signatures[0])
    is_there = re.search(r"^_ZN\S*first\S*:", assembly, re.MULTILINE) is not None
    print(f"code of the first function in the {function.py_func.__name__}: {is_there}")
END

diff - output <<'END'
code of the first function in the first: True
code of the first function in the second: True
code of the first function in the third: True
END
