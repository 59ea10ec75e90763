#!/usr/bin/env bash
# Library: numba 0.68.1.
#
# A row of a structured array (a record) is read in a loop over prange.
#
# One would guess: a record may be used wherever compiled code can use one. Its fields are read in
# the same function without parallel=True, and by an index into the array within the loop.
#
# What happens: the function is typed, and then cannot be compiled. The loop body becomes a function
# of its own, which wants the record itself where a pointer to it is given. This holds for a record
# that is an argument, and for one that was taken from the array before the loop. The message is an
# inner one of llvmlite and names no variable. Indexing the array within the loop works.
#
# Output seen:
#   record, serial loop: [7, 7]
#   array indexed in the parallel loop: [7, 7]
#   record, parallel loop: TypeError
#   record taken before the parallel loop: TypeError
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'END' | tee output
import numpy as np
from numba import njit, prange

table = np.array([(7,)], np.dtype([("a", np.int64)]))


@njit
def serial(record, out):
    for i in range(2):
        out[i] = record.a


@njit(parallel=True)
def indexed(table, out):
    for i in prange(2):
        out[i] = table[0].a


@njit(parallel=True)
def parallel(record, out):
    for i in prange(2):
        out[i] = record.a


@njit(parallel=True)
def taken_before(table, out):
    record = table[0]
    for i in prange(2):
        out[i] = record.a


def result(function, given):
    out = np.zeros(2, np.int64)
    try:
        function(given, out)
    except TypeError as error:
        assert "mismatch" in str(error)
        return "TypeError"
    return out.tolist()


print("record, serial loop:", result(serial, table[0]))
print("array indexed in the parallel loop:", result(indexed, table))
print("record, parallel loop:", result(parallel, table[0]))
print("record taken before the parallel loop:", result(taken_before, table))
END
diff output - <<'END'
record, serial loop: [7, 7]
array indexed in the parallel loop: [7, 7]
record, parallel loop: TypeError
record taken before the parallel loop: TypeError
END
