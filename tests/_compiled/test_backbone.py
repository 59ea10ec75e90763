"""The compiled step of models with sparse convolutions, against dense float64 and autograd."""

import contextlib
import copy
import random
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import CannotCompile, Evolution, Evolver, compiled_step, data, models, sparsify_, train
from tests.oracles import on_one_and_two_threads, seeded


def batch(*shape, n_classes=10, seed=1):
    """Images and their classes."""
    rng = seeded(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float32), torch.randint(
        n_classes, shape[:1], generator=rng
    )


class Block(nn.Module):
    """Two convolutions and a shortcut: every so many pixels, or a convolution of its own."""

    def __init__(self, n_in, n_out, stride, projects):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.stride, self.missing = stride, n_out - n_in
        self.down = None
        if projects:
            convolution = nn.Conv2d(n_in, n_out, 1, stride)
            self.down = nn.Sequential(convolution, nn.BatchNorm2d(n_out))

    def forward(self, x):
        y = self.norm2(self.conv2(F.silu(self.norm1(self.conv1(x)))))
        if self.down is not None:
            return F.elu(self.down(x) + y)
        x = x[:, :, :: self.stride, :: self.stride]
        return F.elu(y + F.pad(x, (0, 0, 0, 0, 1, self.missing - 1) if self.missing else (0,) * 6))


def residual(projects):
    blocks = [Block(6, 6, 1, projects), Block(6, 10, 2, projects), Block(10, 10, 1, projects)]
    first = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Tanh()]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 10)]
    return nn.Sequential(*first, *blocks, *last)


def plain():
    """Poolings of all kinds, kernels and strides that are no squares, layers behind."""
    return nn.Sequential(
        nn.Conv2d(3, 7, 3, padding=1),
        nn.LeakyReLU(0.3),
        nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(7, 8, (3, 2), stride=(1, 2), padding=(1, 0), bias=False),
        nn.BatchNorm2d(8, affine=False),
        nn.GELU(),
        nn.AvgPool2d((2, 1)),
        nn.Conv2d(8, 9, 2, padding="same"),
        nn.BatchNorm2d(9, track_running_stats=False),
        nn.Sigmoid(),
        nn.Flatten(),
        nn.LazyLinear(12),
        nn.BatchNorm1d(12),
        nn.ReLU(),
        nn.Linear(12, 10),
    )


def alike():
    """Maps of one size throughout, the images included."""
    layers = [nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)]
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(10))


MODELS = {
    "alike": alike,
    "residual": lambda: residual(projects=False),
    "projections": lambda: residual(projects=True),
    "plain": plain,
}


def made(name="residual", density=0.3, side=(12, 10)):
    """A model of the names above, made sparse."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MODELS[name]().float()
        model(torch.randn(2, 3, *side, dtype=torch.float32))  # sizes of lazy layers
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
    sparsify_(model, density=density, start="new", generator=seeded())
    return model


def sgd(model, lr=0.1):
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


def assert_step_is_exact(model, x, y):
    """Loss, gradients (0 of what is not used) and running statistics of a step are those of torch
    in float64.
    """
    exact = copy.deepcopy(model).double()
    before = [p.detach().clone() for p in model.parameters()]
    loss = compiled_step(model, torch.optim.SGD(model.parameters(), lr=1.0))(x, y)
    desired = F.cross_entropy(exact(x.double()), y)
    desired.backward()
    assert loss == pytest.approx(desired.item(), rel=1e-5)
    for (name, p), old, q in zip(model.named_parameters(), before, exact.parameters(), strict=True):
        grad = torch.zeros_like(q) if q.grad is None else q.grad
        error = (old - p.detach() - grad).abs().max()
        assert error <= 2e-5 * max(grad.abs().max(), 1), name
    for kept, desired in zip(model.buffers(), exact.buffers(), strict=True):
        torch.testing.assert_close(kept, desired, rtol=1e-4, atol=1e-5, check_dtype=False)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even")  # torch's, in the oracle
@pytest.mark.parametrize("size", [2, 16, 37])
@pytest.mark.parametrize("name", MODELS)
def test_gradients_and_running_statistics_are_those_of_float64(name, size):
    assert_step_is_exact(made(name), *batch(size, 3, 12, 10))


@pytest.mark.parametrize("density", [0.02, 0.999])
def test_few_links_and_all_give_the_gradients_of_float64(density):
    assert_step_is_exact(made(density=density), *batch(20, 3, 8, 8))


def test_largest_of_equal_pixels_is_the_first_as_in_torch():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.MaxPool2d(2), nn.Conv2d(2, 3, 2), nn.Flatten())
    model = nn.Sequential(*model, nn.Linear(3, 3)).float()
    sparsify_(model, density={"0": 0.5, "2": 0.5}, start="new", generator=seeded())
    x = torch.randint(2, (17, 1, 4, 4), generator=seeded()).float()  # many are equal
    assert_step_is_exact(model, x, torch.randint(3, (17,), generator=seeded()))


def trained(model, n_steps, optimiser=None, start=0):
    """The model after some steps on batches of changing size."""
    step = compiled_step(model, optimiser or sgd(model))
    for i in range(start, start + n_steps):
        step(*batch(20 + 7 * (i % 2), 3, 10, 10, seed=i))
    return model


def bytes_of(model):
    return b"".join(t.numpy().tobytes() for t in model.state_dict().values())


def test_two_threads_give_the_bytes_of_one():
    one, two = on_one_and_two_threads(lambda: bytes_of(trained(made(), 3)))
    assert one == two


def test_training_goes_on_from_a_state_to_the_same_bytes():
    whole = trained(made(), 4)
    begun = made()
    optimiser = sgd(begun)
    trained(begun, 2, optimiser)
    again = made()
    again.load_state_dict(begun.state_dict())
    other = sgd(again)
    other.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    assert bytes_of(trained(again, 2, other, start=2)) == bytes_of(whole)


@pytest.mark.parametrize("make", [sgd, lambda model: torch.optim.Adam(model.parameters())])
def test_steps_by_autograd_may_stand_between(make):
    model = made()
    by_autograd = copy.deepcopy(model)
    optimiser, other = make(model), make(by_autograd)
    step = compiled_step(model, optimiser, nn.CrossEntropyLoss(label_smoothing=0.1), clip_norm=0.5)

    def by_torch(network, optimiser, x, y):
        loss = F.cross_entropy(network(x), y, label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimiser.step()
        return loss.item()

    for i in range(4):
        x, y = batch(24, 3, 10, 10, seed=i)
        loss = by_torch(by_autograd, other, x, y)
        ours = step(x, y) if i % 2 == 0 else by_torch(model, optimiser, x, y)
        assert ours == pytest.approx(loss, rel=1e-4)
    for name, q in by_autograd.named_parameters():
        # a normalisation takes 0.bias off: its gradient is rounding, which Adam enlarges
        if name != "0.bias":
            torch.testing.assert_close(model.get_parameter(name), q, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("grow", ["random", "gradient"])
def test_links_move_between_steps(grow):
    model = made()
    optimiser = sgd(model)
    step = compiled_step(model, optimiser)
    evolver = Evolver(
        model, optimiser, Evolution("magnitude", grow), every=2, steps=6, generator=seeded()
    )
    layers = dict(models.sparse_layers(model))
    before = {name: layer.support.keys.clone() for name, layer in layers.items()}
    for i in range(6):
        step(*batch(24, 3, 10, 10, seed=i))
        evolver.step()
    assert any(not torch.equal(layers[name].support.keys, keys) for name, keys in before.items())
    by_autograd = copy.deepcopy(model)
    x, y = batch(24, 3, 10, 10, seed=9)
    assert step(x, y) == pytest.approx(F.cross_entropy(by_autograd(x), y).item(), rel=1e-4)


def test_normalisations_in_evaluation_mode_keep_their_statistics():
    model = trained(made(), 3).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert_step_is_exact(model, *batch(20, 3, 10, 10))


def test_frozen_parameters_stay():
    model = made()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    last = model[-1].values.clone()
    compiled_step(model, torch.optim.SGD(model.parameters(), lr=1.0))(*batch(20, 3, 10, 10))
    assert torch.equal(model[0].weight, before) and not torch.equal(model[-1].values, last)


def test_loss_that_is_not_finite_is_returned_before_any_update():
    model = made()
    before = bytes_of(nn.ParameterList(model.parameters()))
    x, y = batch(20, 3, 10, 10)
    x[3] = float("inf")
    assert not torch.isfinite(torch.tensor(compiled_step(model, sgd(model))(x, y)))
    assert bytes_of(nn.ParameterList(model.parameters())) == before


class Written(nn.Module):
    """Convolutions that a given forward calls; the mean of its maps goes into a linear layer."""

    def __init__(self, forward):
        super().__init__()
        self.before = nn.BatchNorm2d(3)
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second, self.third = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.relu, self.same, self.last = nn.ReLU(inplace=True), nn.Identity(), nn.Linear(4, 10)
        self.norm, self.pool = nn.BatchNorm2d(4), nn.MaxPool2d(3, 1, 1)
        self.grouped = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.ceiled = nn.MaxPool2d(3, 1, 1, ceil_mode=True)
        self.features = forward

    def forward(self, x, flag=None):
        return self.last(self.features(self, x).mean((2, 3)))


def unused_branch(m, x):
    y = m.first(x)
    m.third(y)
    return m.second(y)


def without_gradients(m, x):
    with torch.no_grad():
        y = m.first(x)
    return m.second(y)


def size_of_the_input(m, x):
    n = x.size(0)
    return m.second(m.first(2 * x)).view(n, 4, 8, 8)


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.second(m.relu(m.first(x))),  # in place, of one reader
        lambda m, x: m.first(x)[:, :, ::2, ::2],
        lambda m, x: F.pad(m.second(m.first(x)), (0, 0, 0, 0, 1, 2))[:, 1:5],
        lambda m, x: F.relu6(m.second(m.first(x)) + 1, inplace=True),
        lambda m, x: F.hardtanh(m.second(m.first(x)), inplace=True),
        lambda m, x: m.second(m.first(input=x)),
        lambda m, x: m.second(m.first(x)).detach(),  # what follows learns alone
        # sums whose two gradients are equal, of terms that write over theirs or are read again
        lambda m, x: (s := m.first(x)) + F.relu(m.second(s)),
        lambda m, x: F.relu(m.second(s := m.first(x))) + F.relu(m.third(s)),
        lambda m, x: (y := m.norm(m.first(x))) + F.relu(y),
        lambda m, x: F.max_pool2d(s := m.first(x), 3, 1, 1) + F.relu(m.second(s)),
        lambda m, x: F.relu(m.second(u := F.relu(m.first(x))) + u) + (u + m.third(u)),
    ],
)
def test_unusual_forwards_are_those_of_torch(forward):
    model = Written(forward).float()
    sparsify_(model, density=0.5, start="new", kinds=("conv",), generator=seeded())
    assert_step_is_exact(model, *batch(21, 3, 8, 8))


def of_drawn_sums(seed):
    """A forward of eight values, each a convolution, unit, pooling or sum of values before it; and
    the sum of those that nothing has read.
    """

    def forward(m, x):
        rng, values, unread = random.Random(seed), [m.first(x)], {0}
        while len(values) < 8 or len(unread) > 1:
            is_last = len(values) >= 8
            a = min(unread) if is_last else rng.randrange(len(values))
            b = max(unread) if is_last else rng.randrange(len(values))
            kind = rng.choice([m.second, m.third, F.relu, m.pool])
            if a == b or (not is_last and rng.random() < 0.5):
                b = a
                values.append(kind(values[a]))
            else:
                values.append(values[a] + values[b])
            unread = (unread - {a, b}) | {len(values) - 1}
        return values[-1]

    return forward


def test_gradients_of_drawn_sums_are_those_of_float64():
    n_compiled = 0
    for seed in range(40):
        model = Written(of_drawn_sums(seed)).float()
        sparsify_(model, density=0.5, start="new", kinds=("conv",), generator=seeded())
        with contextlib.suppress(CannotCompile):
            assert_step_is_exact(model, *batch(3, 3, 6, 6))
            n_compiled += 1
    assert n_compiled >= 15


@pytest.mark.parametrize(
    ("forward", "sentence"),
    [
        (lambda m, x: m.second(F.group_norm(m.first(x), 2)), "calls group_norm before its last"),
        (lambda m, x: m.second(m.grouped(m.first(x))), r"calls grouped \(Conv2d\) before its last"),
        (
            lambda m, x: m.second(m.ceiled(m.first(x))),
            r"calls ceiled \(MaxPool2d\) before its last",
        ),
        # in place before another reads, also by a view; a slice that is read twice
        (
            lambda m, x: m.second(m.relu(y := m.first(x))) + y,
            r"calls relu \(ReLU\) bef",
        ),
        (
            lambda m, x: m.second(m.relu(m.same(y := m.first(x)))) + y,
            r"calls relu \(ReLU\) bef",
        ),
        (lambda m, x: m.second(y := m.first(x)[:, :, ::2, ::2]) + y, "calls getitem before its"),
        (unused_branch, r"calls third \(SparseConv2d\) before its last convolution"),
        (without_gradients, "its forward turns gradients off"),
        (size_of_the_input, "reads size behind its last convolution"),
        (lambda m, x: m.second(m.first(m.before(x))), "before learns before the first convolution"),
        (lambda m, x: m.second((y := m.first(x)) + m.same(y)), "calls add before its last"),
    ],
)
def test_forwards_that_no_step_runs_are_named(forward, sentence):
    model = Written(forward).float()
    sparsify_(model, density=0.5, start="new", kinds=("conv",), generator=seeded())
    with pytest.raises(CannotCompile, match=sentence):
        compiled_step(model, sgd(model))


def of_modules(*modules):
    """A sparse model of these before a last linear layer of 4 inputs, and its step."""
    model = nn.Sequential(*modules, nn.Flatten(), nn.Linear(4, 10)).float()
    sparsify_(model, density=0.5, start="new", generator=seeded())
    return model, compiled_step(model, sgd(model))


def test_a_single_value_of_a_channel_is_refused_before_statistics_follow():
    model, step = of_modules(*made()[:2], nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4))
    before = bytes_of(model)
    with pytest.raises(ValueError, match="batch normalisation gets one value of each channel"):
        step(*batch(1, 3, 3, 3))
    assert bytes_of(model) == before


def test_normalisation_of_another_number_of_maps_is_refused_before_statistics_follow():
    model, step = of_modules(*made()[:2], nn.Conv2d(6, 4, 3), nn.BatchNorm2d(2))
    before = bytes_of(model)
    with pytest.raises(ValueError, match="do not fit 4 maps: make all of them for 4"):
        step(*batch(8, 3, 3, 3))
    assert bytes_of(model) == before


def test_running_numbers_that_are_not_contiguous_go_by_autograd():
    model = made()
    model[1].running_mean = torch.zeros(12, dtype=torch.float32)[::2]
    with pytest.raises(CannotCompile, match="not 6, contiguous"):
        compiled_step(model, sgd(model))


def test_labels_of_another_number_or_shape_are_refused():
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.LazyLinear(1))
    model = model.float()
    model(torch.randn(2, 3, 8, 8, dtype=torch.float32))
    sparsify_(model, density=0.5, start="new", kinds=("conv",), generator=seeded())
    step = compiled_step(model, sgd(model), nn.MSELoss())
    x = torch.randn(6, 3, 8, 8, dtype=torch.float32)
    with pytest.raises(ValueError, match="y is a list: give a tensor"):
        step(x, [0.0] * 6)
    with pytest.raises(ValueError, match="y has 12 labels, and x 6 examples"):
        step(x, torch.zeros(12))
    with pytest.raises(ValueError, match=r"y has shape \(6, 2\): give \(6, 1\)"):
        step(x, torch.zeros(6, 2))
    with pytest.raises(ValueError, match="one output, and cross-entropy .*BCEWithLogitsLoss"):
        compiled_step(model, sgd(model))(x, torch.zeros(6, dtype=torch.int64))
    with pytest.raises(CannotCompile, match="LBFGS needs a closure"):
        compiled_step(model, torch.optim.LBFGS(model.parameters()))


def test_poolings_may_change():
    first, pool, second = nn.Conv2d(3, 6, 3), nn.MaxPool2d(3, 2, padding=1), nn.Conv2d(6, 4, 3)
    model, step = of_modules(first, pool, second, nn.AdaptiveAvgPool2d(1))
    x, y = batch(20, 3, 12, 10)
    step(x, y)
    pool.kernel_size = 2
    by_autograd = copy.deepcopy(model)
    assert step(x, y) == pytest.approx(F.cross_entropy(by_autograd(x), y).item(), rel=1e-4)


def test_a_model_that_became_another_is_refused_at_every_call():
    model, step = of_modules(*made()[:3], nn.Conv2d(6, 4, 3), nn.AdaptiveAvgPool2d(1))
    x, y = batch(20, 3, 8, 8)
    step(x, y)
    model[2] = nn.PReLU()
    for _ in range(2):  # the second call must not run what the model was before
        with pytest.raises(CannotCompile, match=r"calls 2 \(PReLU\) before its last convolution"):
            step(x, y)


def test_images_of_another_size_are_refused_by_name_and_models_with_hooks():
    step = compiled_step(model := made(), sgd(model))
    with pytest.raises(ValueError, match=r"maps of \(5, 10, 10\) do not fit"):
        step(*batch(4, 5, 10, 10))
    model[3].register_forward_hook(lambda *_: None)
    with pytest.raises(CannotCompile, match="has hooks"):
        compiled_step(model, sgd(model))


def test_fit_takes_it_without_a_warning():
    torch.set_default_dtype(torch.float32)
    split = data.load("digits", validation=100, limit=300)
    settings = train.Settings(epochs=1, learning_rate=0.01, evolution=Evolution("sign"))

    def trained_net():
        net = models.convnet("resnet20", (8, 8), 10, standardisation=split.standardisation())
        sparsify_(net, density={"block*": 0.2}, start="new", generator=seeded())
        return net

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = trained_net()
        history = train.fit(net, split, settings, seed=0)
    by_autograd = trained_net()
    by_autograd[0].register_forward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="fit goes by autograd"):
        other = train.fit(by_autograd, split, settings, seed=0)
    ours, theirs = (one.metrics[0]["train_loss"] for one in (history, other))
    assert ours == pytest.approx(theirs, rel=1e-3)
