#!/usr/bin/env bash
# Library: torch 2.13.0.
#
# A Sequential can be made of modules with names, as linear1, dropout1 and linear2. One takes the
# dropout out by `del`, for instance to train on without it, and later loads a state that was saved
# before.
#
# One would guess: the modules that stay keep their names, as they do in a slice, net[:2].
#
# What happens: after `del` all modules are called by numbers, also those before the deleted one.
# The state that was saved does not fit any more: a strict load names every weight as missing. With
# strict=False the load returns without an error, and no weight is loaded.
#
# A way round it: Sequential(OrderedDict(...)) of the modules that stay, or Identity in the place.
#
# Output seen:
#   slice:  linear1.weight, linear1.bias
#   delete: 0.weight, 0.bias, 2.weight, 2.bias
#   load with strict=False: 4 missing, 4 unexpected, weights loaded: False
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'END'
from collections import OrderedDict

import torch
from torch import nn

torch.manual_seed(0)
modules = {"linear1": nn.Linear(4, 3), "dropout1": nn.Dropout()}
modules |= {"relu1": nn.ReLU(), "linear2": nn.Linear(3, 2)}
net = nn.Sequential(OrderedDict(modules))
saved = {name: tensor.clone() for name, tensor in net.state_dict().items()}
print("slice: ", ", ".join(net[:2].state_dict()))

del net[1]
names = list(net.state_dict())
print("delete:", ", ".join(names))

nn.init.zeros_(net[0].weight)
found = net.load_state_dict(saved, strict=False)
loaded = torch.equal(net[0].weight, saved["linear1.weight"])
print(
    f"load with strict=False: {len(found.missing_keys)} missing,"
    f" {len(found.unexpected_keys)} unexpected, weights loaded: {loaded}"
)
if names != ["0.weight", "0.bias", "2.weight", "2.bias"] or loaded:
    raise SystemExit("the behaviour has changed")
END
