#!/usr/bin/env bash
# Library: lightning 2.6.6, with the AveragedModel of torch 2.13.0 under it.
#
# The callback EMAWeightAveraging keeps a moving average of a model in training. By default it
# averages buffers too: running means of batch normalisation are buffers. Indices are buffers as
# well, as the relative positions of a Swin transformer are in timm.
#
# One would guess: a buffer that has the same value in every step is the same in the average.
#
# What happens: the average of a buffer of whole numbers is computed in floating point and cut off,
# not rounded. 0.9 * 3 + 0.1 * 3 is a little less than 3 and becomes 2. Whether it does depends on
# the decay: with 0.9 and 0.9999 indices shift, with 0.99 and 0.999 (the default) none of these does.
# After training the callback writes the shifted indices into the model, and no error is raised.
#
# A way round it: EMAWeightAveraging(use_buffers=False).
#
# Output seen:
#   decay 0.9: 28 of 100 indices changed, the first are [0, 1, 2, 2, 4, 5, 5, 6, 8, 8]
#   decay 0.99: 0 of 100 indices changed, the first are [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
#   decay 0.9999: 15 of 100 indices changed, the first are [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 lightning==2.6.6 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'END'
import logging

import lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

logging.disable(logging.WARNING)


class Picks(lightning.LightningModule):
    """A linear model of features that an index picks."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(100, 1)
        self.register_buffer("index", torch.arange(100))

    def training_step(self, batch):
        return self.linear(batch[0][:, self.index]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def index_after_training(decay):
    examples = torch.utils.data.TensorDataset(torch.ones(200, 100))
    model = Picks()
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[EMAWeightAveraging(decay=decay)],
    )
    trainer.fit(model, torch.utils.data.DataLoader(examples, batch_size=10))
    return model.index


changed = {}
for decay in (0.9, 0.99, 0.9999):
    index = index_after_training(decay)
    changed[decay] = int((index != torch.arange(100)).sum())
    print(
        f"decay {decay}: {changed[decay]} of 100 indices changed,"
        f" the first are {index[:10].tolist()}"
    )
if not (changed[0.9] > 0 and changed[0.9999] > 0 and changed[0.99] == 0):
    raise SystemExit("the behaviour has changed")
END
