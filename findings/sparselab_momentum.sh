#!/usr/bin/env bash
# Library: sparselab 0.2.2, with torch 2.13.0.
#
# SparseLinear stores the weights of its links row by row, in the order of their columns. SET drops
# the smallest weights in training and grows as many links at random. Its docs train by the
# optimisers of torch, with a step of the rule after each step of the optimiser.
#
# One would guess: a link that stays keeps its weight and its momentum, and a link that is new
# begins without momentum.
#
# What happens: SET sorts each row anew and writes the weights to their new places. The optimiser
# keeps its momentum by place, and is not told. So a link that stays, and moved within its row, goes
# on with the momentum of another link. Most new links begin with the momentum of a link that was
# there before. Nothing is raised, and training goes on.
#
# A row also keeps its number of links: SET of the paper grows anywhere in the layer.
#
# Output seen (numbers differ a little by machine):
#   links that stayed: 132; their weights kept: 132; their momentum kept: 75
#   links that are new: 56; without momentum: 0
#   rows with another number of links: 0 of 32
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 sparselab==0.2.2 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'END'
import numpy as np
import sparselab
import torch

torch.manual_seed(0)
layer = sparselab.SparseLinear(64, 32, sparsity=0.9)
rule = sparselab.SET(sparsity=0.9, drop_fraction=0.3, update_freq=10, seed=0)
layer.apply(rule)
optimiser = torch.optim.SGD(layer.parameters(), lr=0.01, momentum=0.9)


def of_links():
    """Weight and momentum of each link, by its row and column; links of each row."""
    links = layer._csr
    columns, starts, counts = (
        np.array(part) for part in (links.col_indices, links.row_start, links.row_nnz)
    )
    momentum = optimiser.state[layer._values]["momentum_buffer"]
    found = {}
    for row, (start, count) in enumerate(zip(starts, counts)):
        for place in range(start, start + count):
            found[row, int(columns[place])] = (
                layer._values[place].item(),
                momentum[place].item(),
            )
    return found, counts


for step in range(10):
    optimiser.zero_grad()
    layer(torch.randn(50, 64)).square().mean().backward()
    optimiser.step()
    if step == 9:
        before, counts_before = of_links()
    rule.step()  # moves links after the tenth step

after, counts_after = of_links()
# a dropped link may grow again at once, with the weight 0: it is new
stayed = [link for link in before.keys() & after.keys() if after[link][0] != 0]
new = [link for link in after if link not in stayed]
same_weight = sum(before[link][0] == after[link][0] for link in stayed)
same_momentum = sum(before[link][1] == after[link][1] for link in stayed)
without = sum(after[link][1] == 0 for link in new)
changed_rows = int((counts_before != counts_after).sum())
print(
    f"links that stayed: {len(stayed)}; their weights kept: {same_weight};"
    f" their momentum kept: {same_momentum}"
)
print(f"links that are new: {len(new)}; without momentum: {without}")
print(f"rows with another number of links: {changed_rows} of {len(counts_after)}")
is_as_seen = same_weight == len(stayed) and same_momentum < len(stayed) and changed_rows == 0
if not (is_as_seen and len(new) > 0 and without < len(new)):
    raise SystemExit("the behaviour has changed")
END
