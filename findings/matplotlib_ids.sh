#!/usr/bin/env bash
# Library: matplotlib 3.11.2.
#
# A figure is saved as svg without a date, with a fixed salt (svg.hashsalt) for its names. An svg
# holds six digits behind the point.
#
# One would guess: where every number of two drawings is the same, their files are the same.
#
# What happens: the name (id) of a clipping area is a hash of its corners with all of their digits.
# When the last bit of a layout changes, this name changes, and nothing else. Processors that round
# a layout differently so give different files. A repository that tracks its figures then shows
# figures as changed that look the same.
#
# Output seen:
#   the same layout: same file
#   its last bit is another: another file
#   the same, without names of clipping areas: same file
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet matplotlib==3.11.2 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'END'
import io
import math
import re

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "a fixed word"
import matplotlib.pyplot as plt


def drawing(left):
    fig = plt.figure(figsize=(3, 2))
    fig.add_axes((left, 0.15, 0.7, 0.7)).plot([1, 2, 3], [4, 6, 5])
    file = io.StringIO()
    fig.savefig(file, format="svg", metadata={"Date": None})
    plt.close(fig)
    return file.getvalue()


def unnamed(text):
    return re.sub(r"\bp[0-9a-f]{10}\b", "", text)


first, again = drawing(0.15), drawing(0.15)
moved = drawing(math.nextafter(0.15, 1))
compared = {
    "the same layout": first == again,
    "its last bit is another": first == moved,
    "the same, without names of clipping areas": unnamed(first) == unnamed(moved),
}
for what, is_same in compared.items():
    print(f"{what}: {'same' if is_same else 'another'} file")
if list(compared.values()) != [True, False, True]:
    raise SystemExit("the behaviour has changed")
END
