"""The training loop against a dense twin in plain torch, closed forms, and its own interruption."""

import contextlib
import copy
import dataclasses
import enum
import math
import pickle
import re
from collections import OrderedDict
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import checkpoints, data, models, train
from lib.data import Split
from lib.evolution import Evolution, drop_random, evolve_
from lib.layers import SparseLinear
from lib.models import mlp
from lib.sparsify import sparsify_
from lib.train import Settings, WeightAverage, fit
from tests.oracles import on_one_and_two_threads, seeded
from tests.test_kernels import printed_srelu

WIDTHS = (6, 9, 8, 3)
SET = Evolution()
RIGL = Evolution("magnitude", "gradient", decay="cosine", gradient_batches=2)
METHODS = {  # name: (options of the network, evolution)
    "SET": ({"density": 0.4, "activation": "relu", "dropout": 0.0}, SET),
    "RigL": ({"density": 0.4, "activation": "srelu", "dropout": 0.3}, RIGL),
    "dense": ({"activation": "srelu", "dropout": 0.3}, None),
}


def part(n, seed):
    """n examples whose class is the largest of their first three features."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, 3, generator=generator, dtype=torch.float32)
    return x, x[:, 0].argmax(1)


def split(valid=True):
    train_part, test_part = part(60, 1), part(20, 2)
    valid_part = part(20, 3) if valid else (None, None)
    parts = (*train_part, *test_part, *valid_part)
    return Split(*parts, name="toy", source="here", sha256="")


def unchanged():
    """A standardisation that only flattens the examples."""
    return torch.tensor(0.0), torch.tensor(1.0)


def network(method, **options):
    given = METHODS[method][0] | {"standardisation": unchanged()} | options
    return mlp(WIDTHS, **given, seed=5)


def settings(method="SET", epochs=5, **options):
    usual = {"batch_size": 16, "learning_rate": 0.1, "evolution": METHODS[method][1]}
    return Settings(epochs, **(usual | options))


def links_of(history, **wanted):
    """(n,) degrees or keys of the one row that has the values wanted."""
    table, name = (history.degrees, "links") if "side" in wanted else (history.links, "keys")
    (row,) = [row for row in table if all(row[key] == value for key, value in wanted.items())]
    return row[name]


def snapshots(model):
    """A list, and a function for ``on_epoch`` that appends a copy of the model to it."""
    copies = []
    return copies, lambda history: copies.append(copy.deepcopy(model))


def same_state(a, b):
    """Whether two dictionaries of tensors and other values agree to the bit."""

    def same(name):
        if torch.is_tensor(a[name]):
            return torch.equal(a[name], b[name])
        return a[name] == b[name]

    return a.keys() == b.keys() and all(map(same, a))


def same_rows(a, b):
    """Whether two lists of rows agree to the bit, tensors included."""
    return len(a) == len(b) and all(map(same_state, a, b))


def same_run(a, b):
    """Whether two (model, history) agree to the bit in all but seconds."""
    (model, history), (other, desired) = a, b
    return (
        history.metrics == desired.metrics
        and history.final == desired.final
        and same_rows(history.degrees, desired.degrees)
        and same_rows(history.links, desired.links)
        and same_state(history.best_state, desired.best_state)
        and same_state(model.state_dict(), other.state_dict())
    )


# the same network with dense masked weights, in plain torch


class Twin:
    """Dense weights and masks, SReLU by its definition, torch's SGD; evolved by hand."""

    def __init__(self, model, how):
        linear = [m for name, m in model.named_children() if name.startswith("linear")]
        units = [m for name, m in model.named_children() if name.startswith("activation")]
        self.masks = positions(model)
        self.weights = [leaf(weight(m)) for m in linear]
        self.biases = [leaf(m.bias) for m in linear]
        self.units = [[leaf(row) for row in unit.pieces] for unit in units]
        self.others = self.biases + sum(self.units, [])
        decayed = {"params": self.weights, "weight_decay": how.weight_decay}
        self.optimiser = torch.optim.SGD(
            [decayed, {"params": self.others}],
            lr=how.learning_rate,
            momentum=how.momentum,
            nesterov=how.nesterov,
        )

    def forward(self, x):
        for w, bias, unit in zip(self.weights, self.biases, [*self.units, None], strict=True):
            x = F.linear(x, w, bias)
            x = x if unit is None else printed_srelu(x, *unit)
        return x

    def step(self, x, rate):
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss = F.cross_entropy(self.forward(x), label(x))
        loss.backward()
        for w, mask in zip(self.weights, self.masks, strict=True):
            w.grad *= mask
        self.optimiser.step()
        return loss.item()

    def evolve(self, fraction, masks):
        """Drop by hand; the positions grown, which are random, are read from ``masks``."""
        for w, mask, new in zip(self.weights, self.masks, masks, strict=True):
            if not mask.all():
                kept = mask & ~smallest_of_each_sign(w.detach(), mask, fraction)
                assert (new >= kept).all() and new.sum() == mask.sum()
                w.data *= kept
                self.optimiser.state[w]["momentum_buffer"] *= kept
        self.masks = masks


def leaf(tensor):
    return tensor.detach().clone().requires_grad_()


def weight(linear):
    return linear.to_dense() if isinstance(linear, SparseLinear) else linear.weight


def positions(model):
    """Dense masks of the links of every linear layer."""
    linear = [m for name, m in model.named_children() if name.startswith("linear")]
    masks = [torch.zeros_like(weight(m), dtype=torch.bool) for m in linear]
    for mask, m in zip(masks, linear, strict=True):
        mask.view(-1)[m.support.keys if isinstance(m, SparseLinear) else slice(None)] = True
    return masks


def label(x):
    return x[:, :3].argmax(1)


def smallest_of_each_sign(w, mask, fraction):
    """Zeros, and ⌊ζ·n⌋ of the n links of each sign that are nearest to zero."""
    dropped = mask & (w == 0)
    for side in (w > 0, w < 0):
        magnitudes = w[side].abs().sort().values
        n = math.floor(fraction * len(magnitudes))
        dropped |= side & (w.abs() < magnitudes[n])
    return dropped


def recorder(model):
    """Lists of the input and the loss of every training step of ``model``, filled as it trains."""
    inputs, losses = [], []

    def hook(module, args, output):
        if module.training:
            x = args[0].flatten(1)
            inputs.append(x.clone())
            losses.append(F.cross_entropy(output.detach(), label(x)).item())

    model.register_forward_hook(hook)
    return inputs, losses


@pytest.mark.parametrize(
    ("density", "nesterov", "epochs", "batch_size"),
    [(0.4, False, 2, 12), (0.4, True, 10, 60), (None, True, 2, 12)],
)
def test_training_is_that_of_the_dense_masked_twin(density, nesterov, epochs, batch_size):
    how = settings(epochs=epochs, batch_size=batch_size, nesterov=nesterov, weight_decay=0.01)
    given = how if density else dataclasses.replace(how, evolution=None)
    model = mlp(WIDTHS, density=density, dropout=0.0, standardisation=unchanged())
    twin, (inputs, losses) = Twin(model, how), recorder(model)
    models_after, on_epoch = snapshots(model)
    history = fit(model, split(), given, seed=0, on_epoch=on_epoch)
    desired = replay(twin, inputs, models_after, how)
    assert losses == pytest.approx(desired, abs=1e-9) and len(losses) == 10
    means = torch.tensor(desired).view(epochs, -1).mean(1)
    assert [row["train_loss"] for row in history.metrics] == pytest.approx(means.tolist(), abs=1e-9)
    actual, desired = Twin(models_after[-1], how), [*twin.weights, *twin.others]
    torch.testing.assert_close([*actual.weights, *actual.others], desired, rtol=0, atol=1e-9)


def replay(twin, inputs, models_after, how):
    """Losses of the twin on recorded batches, evolved between epochs as the model was."""
    losses, n_steps = [], len(inputs) // how.epochs
    for epoch in range(1, how.epochs + 1):
        rate = how.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / how.epochs)) / 2
        batches = inputs[(epoch - 1) * n_steps : epoch * n_steps]
        losses += [twin.step(x, rate) for x in batches]
        if epoch < how.epochs:
            twin.evolve(how.evolution.drop_fraction, positions(models_after[epoch - 1]))
    return losses


@pytest.mark.parametrize("n_batches", [1, 3])
def test_collected_gradient_is_that_of_the_dense_twin(n_batches, generator):
    model, (x, y) = network("SET", activation="srelu"), part(60, 1)
    x, twin, (inputs, _) = x.flatten(1).double(), Twin(model, settings()), recorder(model)
    seen = train.collect(model, x, y, 16, n_batches, generator)
    assert list(seen) == ["linear1", "linear2"] and len(inputs) == n_batches
    sum(F.cross_entropy(twin.forward(batch), label(batch)) for batch in inputs).backward()
    actual = [seen[name]["grad_y"] @ seen[name]["x"].t() for name in seen]
    torch.testing.assert_close(actual, [w.grad for w in twin.weights[:2]])
    assert seen["linear1"]["x"].shape == (6, 16 * n_batches)
    assert [p.grad for p in model.parameters()] == [None] * len(list(model.parameters()))


def test_every_example_is_seen_once_in_an_epoch():
    model, data = network("SET"), split()
    inputs, _ = recorder(model)
    fit(model, data, settings(epochs=2, evolution=None), seed=0)
    assert [len(x) for x in inputs] == [16, 16, 16, 12] * 2
    desired, first, second = (
        x.double().sort(0).values
        for x in (data.x_train.flatten(1), torch.cat(inputs[:4]), torch.cat(inputs[4:]))
    )
    assert torch.equal(first, desired) and torch.equal(second, desired)
    assert not torch.equal(inputs[0], inputs[4])  # another order


# the number of links


@pytest.mark.parametrize(("method", "new_std"), [("SET", 0.1), ("RigL", 0.0)])
def test_number_of_links_is_constant_over_epochs(method, new_std):
    rules = Evolution(METHODS[method][1].drop, METHODS[method][1].grow, new_std=new_std)
    model = network(method)
    before, links = copy.deepcopy(model), models.count_links(model)
    copies, on_epoch = snapshots(model)
    history = fit(model, split(), settings(method, evolution=rules), seed=0, on_epoch=on_epoch)
    assert [row["links"] for row in history.metrics] == [links] * 5
    assert [models.count_links(net) for net in copies] == [links] * 5
    assert all(row["replaced"] > 0 for row in history.metrics[:-1])
    assert not torch.equal(positions(copies[0])[0], positions(before)[0])
    assert torch.equal(copies[-1].linear3.col, before.linear3.col)  # dense, never evolved


def n_dropped(layer):
    """Number of links SET drops at .3: zeros, and ⌊.3 n⌋ of the n of each sign."""
    zeros, positive, negative = ((layer.values.sign() == s).sum().item() for s in (0, 1, -1))
    return zeros + sum(math.floor(Fraction("0.3") * n) for n in (positive, negative))


@pytest.mark.parametrize("last_epoch", ["remove", "evolve", "keep"])
def test_last_epoch_removes_evolves_or_keeps(last_epoch):
    model, how = network("SET"), settings(evolution=Evolution(last_epoch=last_epoch))
    copies, on_epoch = snapshots(model)
    history = fit(model, split(), how, seed=0, on_epoch=on_epoch)
    before = copies[-1]
    lost = n_dropped(before.linear1) + n_dropped(before.linear2) if last_epoch == "remove" else 0
    assert models.count_links(model) == models.count_links(before) - lost
    assert history.final["links"] == models.count_links(model)
    same = same_state(model.state_dict(), before.state_dict())
    assert same == (last_epoch == "keep")
    assert history.metrics[-1]["replaced"] == 0


@pytest.mark.parametrize(("decay", "share", "sign"), [("constant", "0.4", -1), ("cosine", "0", 1)])
def test_final_removal_takes_the_last_share_of_the_weakest_of_each_sign(decay, share, sign):
    model, rules = network("SET"), Evolution("sign", drop_fraction=0.4, decay=decay)
    copies, on_epoch = snapshots(model)
    fit(model, split(), settings(evolution=rules), seed=0, on_epoch=on_epoch)
    before, after = copies[-1].linear1.to_dense(), model.linear1.to_dense()
    of_sign = before[before.sign() == sign].abs().sort().values
    n = math.floor(Fraction(share) * len(of_sign))  # the cosine has fallen to 0
    assert torch.equal(after[after.sign() == sign].abs().sort().values, of_sign[n:])
    assert torch.equal(after, before * positions(model)[0])
    assert n < len(of_sign) and model.linear1.values.all()  # exact zeros go besides


def test_layers_are_recorded_by_their_names_in_the_model():
    body = nn.Sequential(SparseLinear(6, 9, density=0.4), nn.ReLU())
    model = nn.Sequential(OrderedDict(flat=nn.Flatten(), body=body, head=nn.Linear(9, 3)))
    history = fit(model, split(), settings(epochs=1), seed=0)
    assert {row["layer"] for row in history.degrees + history.links} == {"body.0"}


@pytest.mark.parametrize(("method", "layer"), [("SET", "linear1"), ("RigL", "linear2")])
def test_links_are_recorded_with_the_degrees_and_agree(method, layer):
    model = network(method)
    models_at = {0: copy.deepcopy(model), "final": model}
    history = fit(model, split(), settings(method), seed=0)
    n_out, n_in = model.get_submodule(layer).to_dense().shape
    for epoch in (0, 2, "final"):
        keys = links_of(history, layer=layer, epoch=epoch)
        into, out = (keys // n_in).bincount(minlength=n_out), (keys % n_in).bincount(minlength=n_in)
        degrees = partial(links_of, history, layer=layer, epoch=epoch)
        if epoch in models_at:
            assert keys.tolist() == models_at[epoch].get_submodule(layer).support.keys.tolist()
        assert degrees(side="in").tolist() == into.tolist()
        assert degrees(side="out").tolist() == out.tolist()
        assert keys.dtype == torch.int32 and degrees(side="in").dtype == torch.int16
    assert {row["epoch"] for row in history.degrees} == {0, 1, 2, 5, "final"}
    assert len(history.degrees) == 2 * len(history.links) == 5 * 2 * 2


# learning rate, optimiser, settings


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [1, 1, 1, 1]),
        ("step", [1, 1, 0.1, 0.01]),
        ("cosine", [1, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4]),
        ("one_cycle", [5 / 12, 25 / 28, 15 / 28, 5 / 28]),  # in the middle of each epoch
    ],
)
def test_learning_rate_follows_its_schedule(schedule, rates):
    how = settings(epochs=4, learning_rate=0.2, schedule=schedule)
    desired = pytest.approx([0.2 * rate for rate in rates], rel=1e-14)
    assert [how.learning_rate_at_epoch(epoch) for epoch in (1, 2, 3, 4)] == desired
    history = fit(network("SET"), split(), how, seed=0)
    assert [row["learning_rate"] for row in history.metrics] == desired


def adam(model, rate):
    """Adam with two groups, of which one has a decay of its own."""
    weights, biases = [], []
    for name, parameter in model.named_parameters():
        (biases if name.endswith("bias") else weights).append(parameter)
    groups = [{"params": weights}, {"params": biases, "weight_decay": 0.5}]
    return torch.optim.Adam(groups, lr=rate)


def test_schedule_sets_the_learning_rate_of_every_group_of_a_given_optimiser():
    model, seen = network("SET"), []
    optimiser = adam(model, 0.1)

    def on_epoch(history):
        seen.append([group["lr"] for group in optimiser.param_groups])

    fit(model, split(), settings(epochs=3), seed=0, optimiser=optimiser, on_epoch=on_epoch)
    cosine = [0.1, 0.075, 0.025]
    assert seen == [pytest.approx([rate, rate]) for rate in cosine]
    assert optimiser.param_groups[1]["weight_decay"] == 0.5


def squares(logits, y):
    """Mean squared distance to the indicator of the class."""
    return F.mse_loss(logits, F.one_hot(y, 3).to(logits))


def test_given_loss_is_minimised_and_recorded():
    model = network("dense", dropout=0.0)
    x, y = part(60, 1)
    before = squares(model(x.double()), y).item()
    how = settings("dense", epochs=20, batch_size=60, schedule="constant")
    history = fit(model, split(), how, seed=0, loss=squares)
    losses = [row["train_loss"] for row in history.metrics]
    assert losses[0] == pytest.approx(before, rel=1e-12)
    assert squares(model(x.double()), y).item() < 0.8 * before


def squares_of(model, x, y, generator):
    return squares(model(x), y)


def cross_entropy(model, x, y, generator):
    return F.cross_entropy(model(x), y)


def test_growth_by_gradient_follows_its_own_objective(monkeypatch):
    seen, collect = [], train.collect

    def watch(*args, **options):
        seen.append(options["objective"])
        return collect(*args, **options)

    monkeypatch.setattr(train, "collect", watch)
    how = {"objective": cross_entropy, "grow_objective": squares_of}
    fit(network("RigL"), split(), settings("RigL", epochs=3), seed=0, **how)
    assert seen == [squares_of] * 2
    fit(network("RigL"), split(), settings("RigL", epochs=2), seed=0, objective=squares_of)
    assert seen[2:] == [squares_of]


class ByEpoch:
    """The cross-entropy, with the logits multiplied by the epoch; it notes the epochs."""

    def __init__(self):
        self.epochs = []

    def at_epoch(self, epoch):
        self.epochs.append(epoch)
        return lambda model, x, y, generator: F.cross_entropy(epoch * model(x), y)


def test_objective_of_an_epoch_is_that_of_its_steps_and_of_growth_after_it(tmp_path):
    by_epoch, checkpoint = ByEpoch(), tmp_path / "checkpoint.pt"
    whole, how = network("RigL"), settings("RigL", epochs=3)
    desired = fit(whole, split(), how, seed=0, objective=by_epoch)
    assert by_epoch.epochs == [1, 1, 2, 2, 3]
    again = {"seed": 0, "objective": ByEpoch(), "checkpoint": checkpoint}
    fit(network("RigL"), split(), how, stop_after=1, **again)
    model = network("RigL")
    actual = fit(model, split(), how, **again)
    assert same_run((whole, desired), (model, actual))
    other = network("RigL")
    plain = fit(other, split(), how, seed=0, objective=cross_entropy)
    losses = [[row["train_loss"] for row in history.metrics] for history in (plain, desired)]
    assert losses[0][0] == losses[1][0] and losses[0][1:] != losses[1][1:]


# averaged weights


def sgd_of(model):
    return torch.optim.SGD(model.parameters(), lr=1.0)


def test_average_follows_its_recursion():
    model = nn.Linear(2, 1, bias=False)
    optimiser = sgd_of(model)
    average = WeightAverage(model, optimiser, decay=0.2)
    seen, desired = [], None
    for t in range(4):
        model.weight.grad = torch.full_like(model.weight, 2.0**t)
        optimiser.step()
        seen.append(model.weight.detach().clone())
        decay = min(0.2, (1 + t) / (10 + t))
        desired = seen[0] if t == 0 else decay * desired + (1 - decay) * seen[t]
    with average.in_place():
        torch.testing.assert_close(model.weight.data, desired)
    assert torch.equal(model.weight.data, seen[-1])
    average.take_()
    torch.testing.assert_close(model.weight.data, desired)


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, pickle.dumps])
def test_average_is_not_copied(copied):
    model = nn.Linear(2, 1)
    average = WeightAverage(model, sgd_of(model), decay=0.5)
    with pytest.raises(ValueError, match="cannot be copied or pickled: make another one"):
        copied(average)


def test_another_average_of_copies_goes_on():
    model = nn.Linear(2, 1, bias=False)
    optimiser = sgd_of(model)
    WeightAverage(model, optimiser, decay=0.5)
    model.weight.grad = torch.ones_like(model.weight)
    optimiser.step()
    model, optimiser = copy.deepcopy((model, optimiser))
    average, first = WeightAverage(model, optimiser, decay=0.5), model.weight.detach().clone()
    model.weight.grad = torch.ones_like(model.weight)
    optimiser.step()
    average.take_()
    torch.testing.assert_close(model.weight.detach(), first.lerp(first - 1, 1 - 2 / 11))


def test_average_begins_when_a_parameter_begins_to_learn():
    model = nn.ModuleList([nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)])
    optimiser = torch.optim.Adam(model.parameters(), 0.1)
    average = WeightAverage(model, optimiser, decay=0.5)
    weights = []
    for used in ([0], [0, 1], [0, 1]):
        optimiser.zero_grad()
        sum(model[i](torch.ones(1, 2)).sum() for i in used).backward()
        optimiser.step()
        weights.append(model[1].weight.detach().clone())
    desired = weights[1].lerp(weights[2], 1 - 2 / 11)
    with average.in_place():
        torch.testing.assert_close(model[1].weight.detach(), desired)


def test_refused_training_leaves_the_optimiser_as_it_was():
    model, how = network("dense"), settings("dense", epochs=1, averaging=0.9)
    optimiser = train.make_optimiser(model, how)
    beyond = dataclasses.replace(split(), y_train=split().y_train + 100)
    with pytest.raises(ValueError, match="but the model has"):
        fit(model, beyond, how, seed=0, optimiser=optimiser)
    assert not optimiser._optimizer_step_post_hooks


def test_links_evolve_by_gradient_behind_frozen_layers():
    model = network("SET")
    for module in (model.linear1, model.activation1):
        module.requires_grad_(False)
    rigl = Evolution("magnitude", "gradient", gradient_batches=1)
    before = [layer.support.keys.clone() for layer in (model.linear1, model.linear2)]
    how = dataclasses.replace(settings("SET", epochs=2), evolution=rigl)
    fit(model, split(), how, seed=0)
    assert model.linear1.support.keys.equal(before[0])
    assert not model.linear2.support.keys.equal(before[1])


def test_averaged_weights_are_evaluated_and_left():
    model, how = network("dense", dropout=0.0), settings("dense", epochs=3, averaging=0.9)
    optimiser, seen = train.make_optimiser(model, how), []
    x, y = split().x_test.double(), split().y_test

    def watch(history):
        trained = [p.detach().clone() for p in model.parameters()]
        average = [optimiser.state[p]["average"].clone() for p in model.parameters()]
        assert not torch.equal(trained[0], average[0])
        for parameter, value in zip(model.parameters(), average, strict=True):
            parameter.data = value
        seen.append(train.accuracy(model, x, y))
        for parameter, value in zip(model.parameters(), trained, strict=True):
            parameter.data = value

    history = fit(model, split(), how, seed=0, optimiser=optimiser, on_epoch=watch)
    assert [row["test_accuracy"] for row in history.metrics] == seen
    assert all(torch.equal(optimiser.state[p]["average"], p) for p in model.parameters())


def test_weights_that_the_optimiser_does_not_train_are_not_averaged(tmp_path):
    model, how = network("dense"), settings("dense", epochs=2, averaging=0.9)
    frozen = next(model.parameters()).requires_grad_(False)
    before = frozen.clone()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=0.1)
    place = {"checkpoint": tmp_path / "run.pt"}
    fit(model, split(), how, seed=0, optimiser=optimiser, **place)
    assert torch.equal(frozen, before)
    assert set(optimiser.state) == set(trained)


def test_average_outlives_a_reset_of_the_optimiser():
    rules = Evolution(reset_state=True)
    model, how = network("SET"), settings("SET", epochs=2, averaging=0.5, evolution=rules)
    optimiser = train.make_optimiser(model, how)
    fit(model, split(), how, seed=0, optimiser=optimiser)
    assert (model.linear1.values != 0).any()
    assert torch.equal(optimiser.state[model.linear1.values]["average"], model.linear1.values)


def noisy_loss(model, x, y, generator):
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return F.cross_entropy(model(x + 0.1 * noise), y)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seed": 1}, "run.pt is of seed = 0, not 1: give that value"),
        ({"learning_rate": 0.2}, "learning_rate = 0.1, not 0.2"),
        ({"evolution": None}, "evolution.drop = sign, not None"),
        ({"evolution": Evolution(drop_fraction=0.5)}, "evolution.drop_fraction = 0.3, not 0.5"),
        ({"evolution": Evolution(drop=drop_random)}, "= sign, not drop_random"),
    ],
)
def test_checkpoint_of_other_settings_is_refused_and_the_model_stays(changes, sentence, tmp_path):
    begun, how = {"seed": 0, "checkpoint": tmp_path / "run.pt"}, settings("SET", evolution=SET)
    fit(network("SET"), split(), how, stop_after=1, **begun)
    begun["seed"] = changes.pop("seed", 0)
    model = network("SET")
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=re.escape(sentence)):
        fit(model, split(), dataclasses.replace(how, **changes), **begun)
    assert same_state(before, model.state_dict())


def test_checkpoint_of_other_data_or_another_optimiser_is_refused(tmp_path):
    begun = {"seed": 0, "checkpoint": tmp_path / "run.pt"}
    fit(network("SET"), split(), settings(), stop_after=1, **begun)
    other = split()
    other.x_train[0, 0] += 1
    with pytest.raises(ValueError, match="is of other data: give those, or another file"):
        fit(network("SET"), other, settings(), **begun)
    model = network("SET")
    adam = torch.optim.Adam(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="optimiser = SGD, not Adam"):
        fit(model, split(), settings(), optimiser=adam, **begun)


def test_numbers_of_numpy_and_classes_in_fewer_bytes_are_the_same_settings(tmp_path):
    begun = {"seed": np.int64(0), "checkpoint": tmp_path / "run.pt", "stop_after": 1}
    of_numpy = {"learning_rate": np.float64(0.1), "epochs": np.int64(5), "batch_size": np.int64(16)}
    names = {"schedule": np.str_("cosine"), "evolution": Evolution(drop=np.str_("sign"))}
    small = dataclasses.replace(split(), y_train=split().y_train.to(torch.uint8))
    fit(network("SET"), small, settings(**of_numpy, **names), **begun)
    fit(network("SET"), split(), settings(), seed=0, checkpoint=tmp_path / "run.pt")


def test_bound_arguments_of_a_rule_are_compared():
    names = [
        checkpoints.described(Evolution(drop=partial(rule)))["drop"]
        for rule in (drop_random, evolve_)
    ]
    assert names == [["drop_random"], ["evolve_"]]
    one, other = (checkpoints.described(a=partial(drop_random, fraction=f)) for f in (0.1, 0.2))
    assert one != other


def test_checkpoint_beyond_the_stop_is_left_as_it_is(tmp_path):
    how, checkpoint = settings("SET", epochs=5), tmp_path / "checkpoint.pt"
    fit(network("SET"), split(), how, seed=0, checkpoint=checkpoint, stop_after=3)
    again = {"checkpoint": checkpoint, "stop_after": 2}
    history = fit(network("SET"), split(), how, seed=0, **again)
    assert len(history.metrics) == 3 and not history.final


def test_data_of_another_shape_are_other_data():
    x = torch.arange(6.0)
    assert checkpoints.digest(x.view(2, 3)) != checkpoints.digest(x.view(3, 2))


# shapes


@pytest.mark.parametrize(("shape", "strength"), [((5,), 0.0), ((4, 4), 0.5), ((3, 4, 5), 0.5)])
def test_model_sees_examples_in_the_shape_of_the_split(shape, strength):
    model, seen = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 4)), set()
    model.register_forward_pre_hook(lambda model, args: seen.add(args[0].shape[1:]))
    how = settings(epochs=1, evolution=None, augmentation=strength)
    fit(model, pictures(*shape), how, seed=0)
    assert seen == {shape}


# validation and test


def test_best_state_is_that_of_the_first_best_validation_epoch():
    model = network("SET")
    copies, on_epoch = snapshots(model)
    how = settings(epochs=12, learning_rate=0.3, evolution=None)  # static: evaluated as copied
    history = fit(model, split(), how, seed=0, on_epoch=on_epoch)
    x, y = part(20, 3)
    accuracies = [train.accuracy(net, x.flatten(1).double(), y) for net in copies]
    assert [row["valid_accuracy"] for row in history.metrics] == accuracies
    best = accuracies.index(max(accuracies))
    assert 0 < best and accuracies.count(max(accuracies)) > 1
    x, y = part(20, 2)
    assert history.final["test_accuracy"] == train.accuracy(model, x.flatten(1).double(), y)
    assert same_state(history.best_state, copies[best].state_dict())


def test_best_state_has_the_links_it_was_evaluated_with():
    model, (x, y) = network("RigL"), part(20, 3)
    history = fit(model, split(), settings("RigL"), seed=0)
    best = network("RigL")
    best.load_state_dict(history.best_state)
    desired = max(row["valid_accuracy"] for row in history.metrics)
    assert train.accuracy(best, x.flatten(1).double(), y) == desired


def test_tuning_never_sees_the_test_part():
    data, model = split(), network("SET")
    data.x_test.fill_(math.nan)
    seen = []
    model.register_forward_hook(lambda module, args, output: seen.append(args[0].isfinite().all()))
    history = fit(model, data, settings(), seed=0, evaluate_test=False)
    assert {row["test_accuracy"] for row in history.metrics} == {None} and all(seen)
    assert history.final["test_accuracy"] is None


ONE = torch.tensor([-2.0, 3.0, -0.1, 0.2])  # one output an example: right, right, wrong, wrong


@pytest.mark.parametrize(
    ("logits", "y", "desired"),
    [
        (torch.tensor([[0.1, 0.9], [0.8, 0.2], [-2.0, -1.0], [3.0, 1.0]]), [1, 0, 0, 0], 0.75),
        # example, class, position
        (torch.tensor([[[1.0, 0], [0, 1]], [[1, 1], [0, 2]]]), [[0, 0], [0, 1]], 0.75),
        (ONE, [0, 1, 1, 0], 0.5),
        (ONE[:, None], [False, True, True, False], 0.5),
        (ONE[:, None], [[-1.0], [1], [1], [-1]], 0.5),
        (ONE.view(1, 1, 2, 2), [[[0, 1], [1, 0]]], 0.5),  # a class of each pixel
        (torch.ones(2, 1), [0.5, 0.0], math.nan),  # targets that are no classes
        (torch.ones(2, 3), [1.0, 2.3], math.nan),
    ],
    ids=str,
)
def test_accuracy_is_the_share_of_right_classes(logits, y, desired):
    actual = train.accuracy(nn.Identity(), logits, torch.tensor(y))
    assert actual == pytest.approx(desired, abs=0, nan_ok=True)


class EndsWithSigmoid(nn.Module):
    """Registers its sigmoid first, and calls it last but for changes of shape."""

    def __init__(self):
        super().__init__()
        self.unit, self.linear = nn.Sigmoid(), nn.Linear(1, 1, bias=False)
        self.linear.weight.data.fill_(1)

    def forward(self, x):
        return self.unit(self.linear(x)).flatten().clamp(1e-6, 1 - 1e-6)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_probability_is_told_by_what_is_computed_last(is_frozen):
    logits, y = torch.tensor([[-2.0], [3.0], [0.1]]), torch.tensor([0, 1, 0])
    model = EndsWithSigmoid().requires_grad_(not is_frozen)
    assert train.accuracy(model, logits, y) == 2 / 3
    gated = nn.Sequential(nn.Sigmoid(), nn.Linear(1, 1, bias=False))
    gated[1].weight.data.fill_(0.1)  # a sigmoid within the network is none at its end
    assert train.accuracy(gated, logits, y) == 1 / 3  # all logits are above 0


@pytest.mark.parametrize(("width", "bad"), [(1, [0]), (2, [1]), (10, [0, 1, 2])])
def test_logits_that_are_nan_have_no_accuracy(width, bad):
    logits, y = torch.ones(3, width), torch.zeros(3, dtype=torch.int64)
    assert train.accuracy(nn.Identity(), logits, y) in (0, 1)
    logits[bad, -1] = math.nan
    assert math.isnan(train.accuracy(nn.Identity(), logits, y))


def test_epoch_without_an_accuracy_is_not_the_best():
    history = train.History(metrics=[{"valid_accuracy": math.nan}])
    assert train._is_best({"valid_accuracy": 0.5}, history)
    history.metrics.append({"valid_accuracy": 0.5})
    assert not train._is_best({"valid_accuracy": math.nan}, history)
    assert not train._is_best({"valid_accuracy": 0.4}, history)


@pytest.mark.parametrize(
    ("n_examples", "batch_size", "first"),
    [(60, 59, nn.Identity), (60, 1, partial(nn.Linear, 6, 6)), (1, 16, nn.Identity)],
)
def test_batch_of_one_example_that_is_normalised_names_its_setting(n_examples, batch_size, first):
    given = split()
    given = dataclasses.replace(given, x_train=given.x_train[:n_examples])
    given = dataclasses.replace(given, y_train=given.y_train[:n_examples])
    model = nn.Sequential(nn.Flatten(), first(), nn.BatchNorm1d(6), nn.Linear(6, 3))
    with pytest.raises(ValueError, match="one example.*batch_size"):
        fit(model, given, settings("dense", batch_size=batch_size), seed=0)


def test_single_image_is_normalised_over_its_pixels():
    model = nn.Sequential(nn.Unflatten(1, (1, 2)), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(6, 3))
    history = fit(model, split(), settings("dense", epochs=1, batch_size=59), seed=0)
    assert math.isfinite(history.metrics[0]["train_loss"])


@pytest.mark.parametrize(("training", "batch_size"), [(True, 3), (False, None)])
def test_prediction_is_without_dropout_and_keeps_the_mode(training, batch_size, generator):
    model = network("RigL").train(training)
    x = torch.randn(1234, 6, generator=generator)
    actual = train.predict(model, x, batch_size)
    assert model.training == training and not actual.requires_grad
    torch.testing.assert_close(actual, model.eval()(x).detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("n_outputs", "sizes"),
    [  # at most 1000 examples, at most 2²⁶ values, at least one example
        ({}, [1000, 1000, 500]),
        ({"out_features": 2**17}, [512] * 4 + [452]),
        ({"out_features": 2**30}, [1] * 2500),
    ],
)
def test_batches_of_a_prediction_are_smaller_for_wide_layers(n_outputs, sizes):
    wide, x, seen = nn.Identity(), torch.rand(2500, 2), []
    vars(wide).update(n_outputs)  # it says how many outputs it has
    wide.register_forward_pre_hook(lambda wide, args: seen.append(len(args[0])))
    assert torch.equal(train.predict(nn.Sequential(nn.Identity(), wide), x), x)
    assert seen == sizes


# interruption


class Stop(Exception):
    pass


def stop_at(epoch):
    def on_epoch(history):
        if len(history.metrics) == epoch:
            raise Stop

    return on_epoch


def run(method, **options):
    model = network(method)
    return model, fit(model, split(), settings(method), seed=7, **options)


def run_stopped(run, method, checkpoint, stops):
    """A run that is interrupted after each epoch of ``stops`` and begun anew every time."""
    for epoch in stops:
        with pytest.raises(Stop):
            run(method, checkpoint=checkpoint, on_epoch=stop_at(epoch))
    return run(method, checkpoint=checkpoint)


def pictures(*shape):
    """60 training, 20 test and 20 validation images of four classes."""
    x = torch.rand(100, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    y = torch.arange(100) % 4
    parts = (part for n in ((0, 60), (60, 80), (80, 100)) for part in (x[slice(*n)], y[slice(*n)]))
    return Split(*parts, name="pictures", source="here", sha256="")


def fit_pictures(method="RigL", shape=(8, 8), epochs=4, strength=1.0, **options):
    """A trained network and its history; the same of the same arguments."""
    widths = math.prod(shape), 12, 9, 4
    model = mlp(widths, **METHODS[method][0], standardisation=unchanged(), seed=5)
    how = settings(method, epochs, augmentation=strength)
    return model, fit(model, pictures(*shape), how, seed=7, **options)


def run_averaged(method, **options):
    model, how = network(method), settings(method, averaging=0.9)
    noisy = {"objective": noisy_loss, "grow_objective": noisy_loss}
    return model, fit(model, split(), how, seed=0, **noisy, **options)


def run_adam(method, **options):
    model, how = network(method), settings(method, learning_rate=0.01)
    given = {"optimiser": adam(model, how.learning_rate), "loss": squares}
    return model, fit(model, split(), how, seed=7, **given, **options)


@pytest.mark.parametrize(
    ("run", "method", "stops"),
    [
        (run, "SET", [1, 2, 4]),
        (run, "RigL", [2, 5]),
        (run, "dense", [3]),
        (run_averaged, "RigL", [2]),
        (run_adam, "RigL", [1, 3]),
        (fit_pictures, "RigL", [1, 3]),
    ],
)
def test_interrupted_run_continues_to_the_same_bits(run, method, stops, tmp_path):
    assert same_run(run_stopped(run, method, tmp_path / "run.pt", stops), run(method))
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_checkpoint_of_another_version_is_refused(tmp_path):
    checkpoint = tmp_path / "run.pt"
    run("SET", checkpoint=checkpoint)
    state = torch.load(checkpoint, weights_only=True)
    assert state["numerics"] == checkpoints.NUMERICS
    of_first = {name: value for name, value in state.items() if name != "numerics"}
    for other, sentence in (
        (state | {"format": 1}, r"run\.pt is of another version of this loop: delete it"),
        (of_first, rf"run\.pt is of numerics 1, .*{checkpoints.LAST_COMMITS[1]}"),
    ):
        torch.save(other, checkpoint)
        with pytest.raises(ValueError, match=sentence):
            run("SET", checkpoint=checkpoint)


@pytest.mark.parametrize(
    ("widths", "density", "sentence"),
    [
        (WIDTHS, 0.2, r"another network: its linear1 began with \d+ links, this one has \d+:"),
        ((6, 4, 3), 0.92, "is of another network or optimiser: give those, or an"),  # as many links
    ],
)
def test_checkpoint_of_another_network_is_refused(widths, density, sentence, tmp_path):
    """Else a sweep of densities that uses one file would have the first network throughout."""
    checkpoint = tmp_path / "run.pt"
    run("SET", checkpoint=checkpoint)
    other = mlp(widths, density=density, standardisation=unchanged(), seed=5)
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ValueError, match=sentence):
        fit(other, split(), settings("SET"), seed=7, checkpoint=checkpoint)
    if widths == WIDTHS:  # else torch has loaded what fits
        assert same_state(before, other.state_dict())


def test_finished_run_is_not_trained_again(tmp_path):
    first = run("SET", checkpoint=tmp_path / "run.pt")
    trained = []
    second = run("SET", checkpoint=tmp_path / "run.pt", on_epoch=trained.append)
    assert same_run(first, second) and not trained


# checkpoints of any loop


def test_checkpoint_of_a_gpu_is_read_on_the_cpu(tmp_path, monkeypatch):
    with monkeypatch.context() as on_a_gpu:
        on_a_gpu.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        checkpoints.save(tmp_path / "loop.pt", {"weights": torch.ones(3)})
    weights = checkpoints.load(tmp_path / "loop.pt")["weights"]
    assert torch.equal(weights, torch.ones(3)) and not weights.is_cuda


class Odd:
    """What a checkpoint may not hold: reading it could run any code."""


@pytest.mark.faults("damaged records")
def test_no_flipped_bit_in_the_directory_of_a_checkpoint_changes_what_is_read(tmp_path):
    path = tmp_path / "loop.pt"
    checkpoints.save(path, {"weights": torch.tensor([1.0, 2.0])})
    content = path.read_bytes()
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"data/0"))  # of the weights
    for i in range(8 * entry, 8 * (entry + 46)):
        flipped = bytearray(content)
        flipped[i // 8] ^= 1 << (i % 8)
        path.write_bytes(flipped)
        with contextlib.suppress(ValueError):
            assert checkpoints.load(path)["weights"].tolist() == [1.0, 2.0]


@pytest.mark.faults("damaged records")
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "cut off", Odd(), None])
def test_checkpoint_that_cannot_be_read_is_named(content, tmp_path):
    path = tmp_path / "loop.pt"
    torch.save(content, path)
    if content is None:
        path.unlink()
    elif content == "cut off":
        path.write_bytes(path.read_bytes()[:300])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    sentence = r"^checkpoint .*loop\.pt cannot be read \(\w+\): delete it to start anew$"
    with pytest.raises(ValueError, match=sentence):
        checkpoints.load(path)


# augmentation


@pytest.fixture
def augmented(monkeypatch):
    """Batches and options that augmentation was given; it gives them back as they are."""
    calls = []
    monkeypatch.setattr(train, "augment", lambda x, **how: calls.append((x, how)) or x)
    return calls


@pytest.mark.parametrize("shape", [(8, 8), (3, 4, 5)])
def test_augmentation_is_given_the_training_images_batch_by_batch(shape, augmented):
    fit_pictures("dense", shape, epochs=1, strength=0.5)
    batches, images = [x for x, _ in augmented], (1, *shape)[-3:]
    assert [x.shape for x in batches] == [(16, *images)] * 3 + [(12, *images)]
    desired = pictures(*shape).x_train.view(60, *images).double()
    assert torch.equal(torch.cat(batches).unique(dim=0), desired.unique(dim=0))
    assert {how["strength"] for _, how in augmented} == {0.5}
    assert len({how["generator"] for _, how in augmented}) == 1


def test_augmentation_leaves_order_and_labels():
    seen = []

    def loss(logits, y):
        seen.append(y)
        return F.cross_entropy(logits, y)

    plain = fit_pictures("dense", epochs=1, strength=0.0, loss=loss)[1]
    augmented = fit_pictures("dense", epochs=1, strength=1.0, loss=loss)[1]
    assert plain.metrics[0]["train_loss"] != augmented.metrics[0]["train_loss"]
    first, second = torch.cat(seen).view(2, 60)
    assert torch.equal(first, second) and first.bincount().tolist() == [15] * 4


def test_growth_by_gradient_sees_augmented_images(augmented):
    fit_pictures("RigL", epochs=3)  # after the last epoch links are removed, and none grown
    epoch, gradient = [16, 16, 16, 12], [16] * RIGL.gradient_batches
    assert [len(x) for x, _ in augmented] == 2 * (epoch + gradient) + epoch


# laws of the whole run


def test_same_seed_gives_the_same_run_and_another_does_not():
    first, other = run("RigL"), network("RigL")
    assert same_run(first, run("RigL"))
    fit(other, split(), settings("RigL"), seed=8)
    assert not same_state(first[0].state_dict(), other.state_dict())


@pytest.mark.parametrize("method", ["SET", "RigL"])
def test_one_and_two_threads_give_the_same_run(method):
    def wide_run():
        """Few steps of wide layers."""
        options = METHODS[method][0] | {"density": 0.05}
        model = mlp((6, 300, 200, 3), **options, standardisation=unchanged())
        return model, fit(model, split(), settings(method, 3, batch_size=60), seed=7)

    assert same_run(*on_one_and_two_threads(wide_run))


def test_divergence_names_epoch_step_and_learning_rate():
    # weights of 10¹⁹⁹ in every layer after one step: logits beyond the largest float64, 10³⁰⁸
    how = settings(learning_rate=1e200)
    sentence = r"the loss is (nan|inf) in epoch 1, step 2, at learning rate 1e\+200"
    with pytest.raises(train.Diverged, match=sentence):
        fit(network("SET"), split(), how, seed=0)


@pytest.mark.parametrize(("largest", "standardises"), [(1, False), (5e9, False), (5e9, True)])
def test_divergence_names_inputs_that_nobody_scaled(largest, standardises):
    digits = data.load("digits")
    table = data.from_arrays(digits.x_train.flatten(1) * largest, digits.y_train)
    standardisation = table.standardisation() if standardises else None
    model = models.mlp([64, 20, 10], standardisation=standardisation, seed=0)
    with pytest.raises(train.Diverged) as error:
        fit(model, table, settings("dense", learning_rate=1e200), seed=0)
    assert "lower the learning rate" in str(error.value)
    assert ("inputs, which reach 5e+09" in str(error.value)) == (largest > 1 and not standardises)


@pytest.mark.gpu
@pytest.mark.parametrize("grow", ["random", "gradient"])
def test_training_on_a_gpu_keeps_links_and_learns(grow):
    x = torch.rand(256, 12, generator=torch.Generator().manual_seed(0))
    split = data.Split(x, x[:, :3].argmax(1), x, x[:, :3].argmax(1), None, None, *["made"] * 4)
    net = models.mlp((12, 40, 40, 3), density=0.3).cuda()
    links = models.count_links(net)
    rule = Evolution(grow=grow, last_epoch="keep")
    settings = train.Settings(10, 32, 0.05, evolution=rule)
    history = train.fit(net, split, settings, seed=0)
    assert models.count_links(net) == links and net.linear1.col.is_cuda
    assert history.metrics[-1]["test_accuracy"] > history.metrics[0]["test_accuracy"]


def test_rows_hold_what_is_measured_of_the_model_after_each_epoch(tmp_path):
    def measured(model):
        return {"bias": model.linear1.bias.tolist()}

    path = tmp_path / "checkpoint.pt"
    model, how = network("SET"), settings(epochs=3)
    biases, begun = [], {"seed": 0, "measure": measured, "checkpoint": path}
    begin = partial(fit, model, split(), how, stop_after=2, **begun)
    begin(on_epoch=lambda history: biases.append(model.linear1.bias.tolist()))
    again = network("SET")
    history = fit(again, split(), how, **begun)
    rows = [row["bias"] for row in history.metrics]
    assert rows[:2] == biases and rows[2] == again.linear1.bias.tolist()


# losses of numbers, and models of one output


def table_split(seed=0):
    """Two classes of a table of six columns; the first two tell them."""
    x = torch.randn(400, 6, generator=seeded(seed))
    y = (x[:, 0] + x[:, 1] > 0).long()
    x = x.float()
    return Split(x[:300], y[:300], x[300:], y[300:], None, None, *["table"] * 3)


def one_output(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Linear(40, 1)).float()
    sparsify_(net, density={"0": 0.5}, start="scaled", generator=seeded(seed))
    return net


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam])
def test_fit_learns_two_classes_with_one_output(make):
    """It is at chance, .5, before."""
    net, split, how = one_output(), table_split(), Settings(10, 32, 0.02)
    loss = nn.BCEWithLogitsLoss()
    history = fit(net, split, how, seed=0, loss=loss, optimiser=make(net.parameters(), lr=0.02))
    assert history.final["test_accuracy"] > 0.9


def test_fit_learns_a_regression_whose_accuracy_is_not_a_number():
    net, split = one_output(), table_split()
    split = dataclasses.replace(split, y_train=split.x_train[:, 2], y_test=split.x_test[:, 2])
    history = fit(net, split, Settings(30, 32, 0.05), seed=0, loss=F.mse_loss)
    assert history.metrics[-1]["train_loss"] < 0.1 < 0.5 < history.metrics[0]["train_loss"]
    assert math.isnan(history.final["test_accuracy"])


@pytest.mark.filterwarnings("ignore:fit goes by autograd")
@pytest.mark.parametrize("loss", [nn.L1Loss(), F.smooth_l1_loss])
def test_one_output_meets_one_target_whatever_loss_of_numbers_it_has(loss):
    """Of zeros learned from zeros it is 0; of all pairs of examples it would not be."""
    net, split = one_output(), table_split()
    targets = net.eval()(split.x_train).detach().squeeze(1)
    split = dataclasses.replace(split, y_train=targets, y_test=targets[:100])
    for module in net:
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 0.0
    assert loss(net(split.x_train).squeeze(1), targets) == 0
    assert train._loss_of(train._mean_loss(loss), net, split.x_train, targets, None) == 0


# what a row of the history holds


class Level(enum.IntEnum):
    """Numbers of a class of one's own."""

    HIGH = 3


def test_measured_numbers_are_kept_as_those_of_python(tmp_path):
    given = [np.float64(1.5), np.float32(1.5), np.int64(3), np.bool_(True), torch.tensor(1.5)]
    kept = [1.5, 1.5, 3, True, 1.5, 3, "text", None]
    how = {"seed": 0, "checkpoint": tmp_path / "run.pt"}
    how["measure"] = lambda model: {"all": {"numbers": (*given, Level.HIGH, "text", None)}}
    fit(network("SET"), split(), settings("SET"), stop_after=1, **how)
    history = fit(network("SET"), split(), settings("SET"), **how)
    first, second = (row["all"]["numbers"] for row in history.metrics[:2])
    assert first == second == kept
    assert list(map(type, first)) == list(map(type, second)) == list(map(type, kept))


# what is refused


def fitted(method="dense", changes=(), **options):
    """Train on the split, some of whose parts are others."""
    data = dataclasses.replace(split(), **dict(changes))
    return fit(network(method), data, settings(method), seed=0, **options)


def without_mean(model, x, y, generator):
    return F.cross_entropy(model(x), y, reduction="none")


def measuring(measured):
    return lambda: fitted(measure=lambda model: measured)


def with_loss(loss):
    return lambda: fitted(loss=loss)


def with_bad_number(part, bad):
    x = getattr(split(), part).clone()
    x[3, 1, 1] = bad
    return lambda: fitted(changes={part: x})


def of_classes(*shape):
    classes = torch.zeros(shape, dtype=torch.int64)
    return lambda: train.accuracy(nn.Identity(), torch.rand(4, 2), classes)


REFUSED = [  # fields out of range: faults/test_bad_values
    (lambda: train.predict(nn.Linear(2, 1), torch.ones(2, 2), 0), "batch_size = 0 is out of"),
    (of_classes(4, 1), r"give one class an example, \(4,\)"),
    (of_classes(1), r"give one class an example, \(4,\)"),
    (of_classes(), r"give one class an example, \(4,\)"),
    (
        lambda: fit(nn.Flatten(), split(), settings(evolution=None), seed=0),
        "the Flatten has no parameters: give a model that learns",
    ),
    (lambda: fitted(changes={"y_train": None}), "toy has no labels"),
    (with_bad_number("x_train", math.nan), "x_train of toy holds nan"),
    (with_bad_number("x_test", math.inf), "x_test of toy holds inf"),
    (
        lambda: fit_pictures("dense", (6,), strength=0.5),
        r"augmentation = 0.5 needs images, but an example of pictures has shape \(6,\): give 0$",
    ),
    (with_loss(nn.CrossEntropyLoss(reduction="none")), r"shape \(16,\).*reduction='mean'"),
    (with_loss(lambda z, y: (z, y)), "is a tuple: return a tensor of one number"),
    (with_loss(lambda z, y: 0.5), "is a float: return a tensor"),
    (lambda: fitted("RigL", grow_objective=without_mean), r"shape \(16,\)"),
    (measuring({"links": 3}), "measure returns 'links', which the row has: give another name"),
    (measuring({"norm": torch.ones(2)}), "measure returns what no row can hold: a Tensor: give nu"),
    (measuring({"seen": {(1, 2): 3}}), "measure returns what no row can hold: a tuple"),
    (measuring(3.0), "measure returns a float: return a dict, as {'norm': 3.0}"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_cannot_be_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
