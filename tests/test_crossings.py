"""Sparse networks in tools that others train with; the extra ``crossings`` pins the tools.

The averages of Lightning and timm are compared with averages of the dense matrices.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from lib import data
from lib.data import vision  # noqa: F401  (before the others, which import torchvision too)
from lib.evolution import Evolution
from lib.layers import SparseLinear
from lib.sparsify import Evolver, sparsify_

WHY = "the extra crossings brings it: pip install -e '.[companion,test,crossings]'"
lightning = pytest.importorskip("lightning", reason=WHY)
accelerate = pytest.importorskip("accelerate", reason=WHY)
timm_utils = pytest.importorskip("timm.utils", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)
safetensors_torch = pytest.importorskip("safetensors.torch", reason=WHY)
callbacks = pytest.importorskip("lightning.pytorch.callbacks", reason=WHY)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("float32")]
pytestmark += [pytest.mark.filterwarnings("ignore")]  # those of the tools
DECAY = 0.9
RULES = [Evolution(), Evolution("magnitude", "gradient", gradient_batches=2)]
NAMES = ["SET", "RigL"]


@pytest.fixture(scope="module")
def split():
    return data.load("digits")


@pytest.fixture
def loader(split):
    drawn = torch.Generator().manual_seed(0)
    examples = TensorDataset(split.x_train, split.y_train)
    return DataLoader(examples, batch_size=100, shuffle=True, drop_last=True, generator=drawn)


def network(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
    generator = torch.Generator().manual_seed(seed)
    sparsify_(
        net, start="magnitude", density=0.3, filter=lambda n, m: n == "1", generator=generator
    )
    return net


def evolver_of(net, optimiser, rules=None, **how):
    generator = torch.Generator().manual_seed(0)
    how = {"every": 5, "steps": 60, "until": None} | how
    return Evolver(net, optimiser, rules, generator=generator, **how)


def accuracy(net, split):
    with torch.no_grad():
        return (net.eval()(split.x_test).argmax(1) == split.y_test).double().mean().item()


def links(net):
    return next(m for m in net.modules() if isinstance(m, SparseLinear)).support.keys.clone()


def matrices(net):
    """The parameters as dense matrices, and so without links."""
    sparse = [m for m in net.modules() if isinstance(m, SparseLinear)]
    hidden = {id(layer.values) for layer in sparse}
    dense = [p.detach().clone() for p in net.parameters() if id(p) not in hidden]
    return [layer.to_dense().detach().clone() for layer in sparse] + dense


# -------------------------------------------------------------------------------- lightning


class Lit(lightning.LightningModule):
    """Links that move after every fifth step, unless ``rules`` is None."""

    def __init__(self, rules, **how):
        super().__init__()
        self.net, self.rules, self.how = network(), rules, how
        self.trace = []

    def configure_optimizers(self):
        return torch.optim.Adam(self.net.parameters(), lr=0.01)

    def training_step(self, batch):
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def on_train_start(self):
        averages = [find() for find in self.how.get("averages", [])]
        if self.rules is not None:
            self.evolver = evolver_of(self.net, self.optimizers(), self.rules, averages=averages)

    def on_train_batch_end(self, *_):
        if self.rules is not None:
            self.evolver.step()
        self.trace.append(matrices(self.net))


def trained_by_lightning(module, loader, tmp_path, *more, epochs=4):
    off = ("enable_progress_bar", "enable_model_summary", "logger", "enable_checkpointing")
    how = {"accelerator": "cpu", "default_root_dir": tmp_path} | dict.fromkeys(off, False)
    trainer = lightning.Trainer(max_epochs=epochs, callbacks=list(more), **how)
    trainer.fit(module, loader)
    return trainer


@pytest.mark.parametrize("rules", RULES, ids=NAMES)
def test_lightning_trains_saves_and_loads_links_that_move(split, loader, tmp_path, rules):
    module = Lit(rules)
    before = links(module.net)
    trainer = trained_by_lightning(module, loader, tmp_path)
    assert not torch.equal(links(module.net), before) and len(links(module.net)) == len(before)
    assert accuracy(module.net, split) > 0.85
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    again = Lit.load_from_checkpoint(tmp_path / "run.ckpt", rules=rules)
    assert torch.equal(again.net(split.x_test), module.net(split.x_test))


def averaged(trace, first):
    """The moving average of matrices, from the first on."""
    means = first
    for step in trace:
        means = [DECAY * mean + (1 - DECAY) * new for mean, new in zip(means, step, strict=True)]
    return means


def moving():
    return callbacks.EMAWeightAveraging(decay=DECAY)


def stochastic():
    return callbacks.StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=2)


each_average = pytest.mark.parametrize("average", [moving, stochastic])


@each_average
def test_average_of_lightning_over_links_that_stay_is_taken(average, split, loader, tmp_path):
    module = Lit(None)
    before = links(module.net)
    trained_by_lightning(module, loader, tmp_path, average(), epochs=5)
    assert torch.equal(links(module.net), before) and accuracy(module.net, split) > 0.85
    if average is moving:
        desired = averaged(module.trace[1:], module.trace[0])  # the first update copies
        torch.testing.assert_close(matrices(module.net), desired, atol=1e-5, rtol=1e-4)


@each_average
def test_average_of_lightning_over_links_that_move_is_refused(average, loader, tmp_path):
    with pytest.raises(ValueError, match="mixes values of different links"):
        trained_by_lightning(Lit(Evolution()), loader, tmp_path, average(), epochs=5)


def test_average_of_lightning_that_the_evolver_knows_moves_along(split, loader, tmp_path):
    average = moving()
    module = Lit(Evolution(), averages=[lambda: average._average_model.module.net])
    trained_by_lightning(module, loader, tmp_path, average)
    assert accuracy(module.net, split) > 0.85  # Lightning has put the average in place


# ------------------------------------------------------------------------------------- timm


AVERAGES = [timm_utils.ModelEmaV2, timm_utils.ModelEmaV3]


def an_epoch(net, loader, optimiser, evolver=None, follow=None):
    for x, y in loader:
        optimiser.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimiser.step()
        if evolver is not None:
            evolver.step()
        if follow is not None:
            follow(net)


def trained(net, loader, follow, moves=False, **how):
    """Train, and call ``follow`` after every step."""
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    evolver = evolver_of(net, optimiser, **how) if moves else None
    for _ in range(4):
        an_epoch(net, loader, optimiser, evolver, follow)


@pytest.mark.parametrize("kind", AVERAGES)
def test_average_of_timm_over_links_that_stay_is_that_of_the_matrices(split, loader, kind):
    net = network()
    average, trace = kind(net, decay=DECAY), [matrices(net)]

    def follow(net):
        trace.append(matrices(net))
        average.update(net)

    trained(net, loader, follow)
    desired = averaged(trace[1:], trace[0])
    torch.testing.assert_close(matrices(average.module), desired, atol=1e-5, rtol=1e-4)
    assert accuracy(average.module, split) > 0.85


@pytest.mark.parametrize("kind", AVERAGES)
def test_average_of_timm_over_links_that_move_is_refused(split, loader, kind):
    net = network()
    average = kind(net, decay=DECAY)
    with pytest.raises(ValueError, match="mixes values of different links"):
        trained(net, loader, average.update, moves=True)
        average(split.x_test)


@pytest.mark.parametrize("kind", AVERAGES)
def test_average_of_timm_that_the_evolver_knows_moves_along(split, loader, kind):
    net = network()
    average = kind(net, decay=DECAY)
    trained(net, loader, average.update, moves=True, averages=[average])
    assert torch.equal(links(average.module), links(net))
    assert accuracy(average.module, split) > 0.85


# ------------------------------------------------------------------------------- accelerate


@pytest.mark.parametrize("rules", RULES, ids=NAMES)
def test_accelerate_sums_batches_trains_saves_and_loads(split, loader, tmp_path, rules):
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    net = network()
    before = links(net)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    net, optimiser, batches = accelerator.prepare(net, optimiser, loader)
    evolver = evolver_of(net, optimiser, rules)
    for _ in range(8):
        for x, y in batches:
            with accelerator.accumulate(net):
                accelerator.backward(F.cross_entropy(net(x), y))
                optimiser.step()
                optimiser.zero_grad()
            if accelerator.sync_gradients:
                evolver.step()
    assert evolver.steps_taken == 8 * len(loader) // 2
    assert not torch.equal(links(net), before) and accuracy(net, split) > 0.85
    accelerator.save_model(net, tmp_path)  # by safetensors
    again = network(seed=1)
    safetensors_torch.load_model(again, tmp_path / "model.safetensors")
    assert torch.equal(again(split.x_test), net(split.x_test))


def test_accelerate_resumes_its_state(split, loader, tmp_path):
    accelerator = accelerate.Accelerator(cpu=True)
    net = network()
    net, optimiser = accelerator.prepare(net, torch.optim.Adam(net.parameters(), lr=0.02))
    evolver = evolver_of(net, optimiser)
    accelerator.register_for_checkpointing(evolver)
    an_epoch(net, loader, optimiser, evolver)
    accelerator.save_state(tmp_path)
    saved, steps = net(split.x_test), evolver.steps_taken
    an_epoch(net, loader, optimiser, evolver)
    after = net(split.x_test)
    accelerator.load_state(tmp_path)
    assert torch.equal(net(split.x_test), saved) and evolver.steps_taken == steps
    assert not torch.equal(saved, after)


# ----------------------------------------------------------------------------- transformers


class Evolves(transformers.TrainerCallback):
    """Updates links after every step of the optimiser that the Trainer made."""

    def on_train_begin(self, args, state, control, model=None, optimizer=None, **_):
        self.evolver = evolver_of(model, optimizer, every=2, steps=state.max_steps)

    def on_step_end(self, *_, **__):
        self.evolver.step()


def tiny_bert(seed=0):
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
    )
    net = transformers.BertForSequenceClassification(config)
    sparsify_(net, start="magnitude", density=0.3, generator=torch.Generator().manual_seed(seed))
    return net


def test_trainer_of_transformers_moves_links_saves_and_loads(tmp_path):
    words = torch.randint(20, (64, 8), generator=torch.Generator().manual_seed(0))
    examples = [{"input_ids": each, "labels": (each[0] % 2)} for each in words]
    net, callback = tiny_bert(), Evolves()
    before = links(net)
    settings = transformers.TrainingArguments(
        tmp_path, max_steps=8, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True
    )
    trainer = transformers.Trainer(net, settings, train_dataset=examples, callbacks=[callback])
    trainer.train()
    assert callback.evolver.steps_taken == 8 and not torch.equal(links(net), before)
    trainer.save_model(tmp_path / "saved")
    again = tiny_bert(seed=1)
    safetensors_torch.load_model(again, tmp_path / "saved" / "model.safetensors")
    assert torch.equal(again.eval()(words).logits, net.eval()(words).logits)


# ------------------------------------------------------------------------------ safetensors


def loaded_by_state(net, path):
    net.load_state_dict(safetensors_torch.load_file(path))


@pytest.mark.parametrize("load", [safetensors_torch.load_model, loaded_by_state])
def test_safetensors_hold_the_links(split, tmp_path, load):
    net, again = network(), network(seed=1)
    safetensors_torch.save_model(net, tmp_path / "net.safetensors")
    load(again, tmp_path / "net.safetensors")
    assert torch.equal(links(again), links(net))
    assert torch.equal(again(split.x_test), net(split.x_test))
