"""Models that people write, by the compiled step: against torch's own modules in float64, and
against steps by autograd.
"""

import copy
from itertools import cycle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import Evolution, Evolver, SparseLinear, compiled_step, densify_, layers, sparsify_
from lib._compiled import launch
from lib._compiled.chains import CannotCompile
from tests.oracles import on_one_and_two_threads, seeded

N_IN, N_OUT = 13, 5


pytestmark = pytest.mark.usefixtures("float32")


def chain(*between, n_in=N_IN, n_out=N_OUT, width=18):
    """Two hidden layers of sparse links, each with the modules after it, and a dense last one."""
    torch.manual_seed(0)
    modules = []
    for n in (n_in, width):
        modules += [nn.Linear(n, width), *[make(width) for make in between]]
    model = nn.Sequential(nn.Flatten(), *modules, nn.Linear(width, n_out))
    last = model[-1]
    options = {"density": 0.4, "start": "new", "generator": seeded(1)}
    sparsify_(model, **options, filter=lambda name, one: one is not last)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=seeded(2)) / 2
    return model


class Written(nn.Module):
    """The same as a class, with functions in its forward."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = SparseLinear(N_IN, 18, density=0.4, generator=seeded(1))
        self.norm = nn.BatchNorm1d(18)
        self.rest = nn.Sequential(nn.Linear(18, 18), nn.Sequential(nn.Tanh(), nn.Identity()))
        self.last = nn.Linear(18, N_OUT)

    def forward(self, x):
        x = x.view(x.size(0), -1)
        x = F.relu(self.norm(self.first(x)))
        x = F.dropout(x, 0.0, training=self.training)
        return self.last(F.gelu(self.rest(x), approximate="tanh"))


CHAINS = {
    "ELU": lambda: chain(lambda n: nn.ELU(0.7)),
    "GELU": lambda: chain(lambda n: nn.GELU()),
    "GELU by tanh": lambda: chain(lambda n: nn.GELU("tanh")),
    "SiLU": lambda: chain(lambda n: nn.SiLU()),
    "Tanh": lambda: chain(lambda n: nn.Tanh()),
    "Sigmoid": lambda: chain(lambda n: nn.Sigmoid()),
    "LeakyReLU": lambda: chain(lambda n: nn.LeakyReLU(0.2)),
    "layer norm": lambda: chain(nn.LayerNorm, lambda n: nn.GELU()),
    "layer norm alone": lambda: chain(lambda n: nn.LayerNorm(n, elementwise_affine=False)),
    "layer norm after": lambda: chain(lambda n: nn.ReLU(), lambda n: nn.LayerNorm(n, bias=False)),
    "batch norm": lambda: chain(nn.BatchNorm1d, lambda n: nn.ReLU()),
    "batch norm alone": lambda: chain(lambda n: nn.BatchNorm1d(n, affine=False, momentum=None)),
    "batch norm first": lambda: nn.Sequential(nn.BatchNorm1d(N_IN), chain(lambda n: nn.SiLU())),
    "units after units": lambda: chain(lambda n: nn.Tanh(), lambda n: nn.ReLU()),
    "a class": Written,
}


def examples(n, n_in=N_IN, n_out=N_OUT):
    generator = seeded(n)
    x = torch.randn(n, n_in, generator=generator)
    return x, torch.randint(n_out, (n,), generator=generator)


def dense_twin(model):
    """The model of torch's own modules, in float64."""
    twin = copy.deepcopy(model)
    densify_(twin)
    return twin.double()


def gradients(model, x, y, loss=F.cross_entropy):
    """Loss and gradients of a compiled step: without momentum and decay its momentum is the
    gradient.
    """
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)
    value = compiled_step(model, optimiser, loss)(x, y)
    return value, [optimiser.state[p]["momentum_buffer"] for p in model.parameters()]


def dense_gradients(model, x, y, loss=F.cross_entropy):
    """The same by dense layers and formulas in plain torch, in float64."""
    twin, found = dense_twin(model), []
    with launch.use_implementation("torch"):
        value = loss(twin(x.double()), y)
        value.backward()
    for (name, _), parameter in zip(model.named_parameters(), twin.parameters(), strict=True):
        module, grad = model.get_submodule(name.rpartition(".")[0]), parameter.grad
        is_of_links = isinstance(module, SparseLinear) and name.endswith("values")
        found.append(grad.flatten()[module.support.keys] if is_of_links else grad)
    return value.item(), found


def assert_same_gradients(model, x, y, loss=F.cross_entropy, of_numbers=None):
    """To 1e-5 of the largest number of all gradients: those before a normalisation may cancel."""
    desired_loss, desired = dense_gradients(model, x, y, of_numbers or loss)
    value, actual = gradients(model, x, y, loss)
    assert value == pytest.approx(desired_loss, rel=1e-5)
    largest = max(float(grad.abs().max()) for grad in desired)
    for one, other in zip(actual, desired, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-5 * largest)


SMALL = [("layer norm", 3), ("batch norm", 3)]  # which runs in other tiles


@pytest.mark.parametrize(("name", "n"), [*zip(CHAINS, cycle([17, 130]), strict=False), *SMALL])
def test_gradients_are_those_of_torch_in_float64(name, n):
    assert_same_gradients(CHAINS[name](), *examples(n))


@pytest.mark.parametrize("seed", range(8))
def test_gradients_of_random_chains_are_those_of_torch_in_float64(seed):
    draw = np.random.default_rng(seed)
    kinds = [
        nn.BatchNorm1d,
        nn.LayerNorm,
        *[lambda n, u=u: u() for u in (nn.ReLU, nn.SiLU, nn.ELU)],
    ]
    between = [kinds[i] for i in draw.integers(len(kinds), size=draw.integers(1, 4))]
    assert_same_gradients(chain(*between, width=7), *examples(int(draw.integers(2, 301))))


def test_units_are_right_at_large_and_small_values():
    """Far out, where exponentials would overflow, and near 0, where 1 would swallow them."""
    values = torch.tensor([0.0, 1e-7, 1e-3, 0.3, 1, 5, 20, 90, 1e4])
    x = torch.cat([values, -values])[:, None]
    for unit in (nn.ELU(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Tanh(), nn.Sigmoid()):
        model = nn.Sequential(SparseLinear(1, 1, density=1.0), unit, nn.Linear(1, 1))
        for linear in (model[0], model[2]):
            for parameter, number in zip(linear.parameters(), (1.0, 0.0), strict=True):
                parameter.data.fill_(number)
        assert_same_gradients(model, x, torch.zeros(len(x)), nn.MSELoss(), squared)


def squared(z, y):
    return ((z.reshape(-1) - y.reshape(-1).double()) ** 2).mean()


LOSSES = {
    "weights": nn.CrossEntropyLoss(torch.tensor([1.0, 0.2, 3.0, 0.5, 1.0])),
    "smoothing": nn.CrossEntropyLoss(label_smoothing=0.1),
    "both": nn.CrossEntropyLoss(torch.tensor([1.0, 0.2, 3.0, 0.5, 1.0]), label_smoothing=0.3),
    "binary": nn.BCEWithLogitsLoss(),
    "positive weights": nn.BCEWithLogitsLoss(pos_weight=torch.arange(1.0, 6.0)),
    "squares": F.mse_loss,
}


@pytest.mark.parametrize(
    ("name", "n"),
    [*zip(LOSSES, (1, 17, 130, 17, 130, 17), strict=True), ("both", 1), ("binary", 1)],
)
def test_losses_are_those_of_torch_in_float64(name, n):
    model, (x, y), loss = chain(lambda n: nn.ReLU()), examples(n), LOSSES[name]
    if not isinstance(loss, nn.CrossEntropyLoss):
        y = torch.rand(n, N_OUT, generator=seeded(4))
    of_double = copy.deepcopy(loss).double() if isinstance(loss, nn.Module) else loss
    target = (lambda z, y: of_double(z, y.double())) if y.is_floating_point() else of_double
    assert_same_gradients(model, x, y, loss, target)


def test_one_output_takes_one_number_an_example():
    model, (x, y) = chain(lambda n: nn.ReLU(), n_out=1), examples(40, n_out=2)
    for shaped in (y.float(), y.float()[:, None]):
        assert_same_gradients(model, x, shaped, F.mse_loss, squared)


# steps, beside autograd

OPTIMISERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=0.01, nesterov=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.003, weight_decay=0.01, betas=(0.8, 0.95)),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.003, weight_decay=0.1, eps=1e-6),
}


def descend_by_autograd(model, optimiser, x, y, clip_norm=None):
    loss = F.cross_entropy(model(x), y)
    optimiser.zero_grad()
    loss.backward()
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimiser.step()
    optimiser.zero_grad()
    return loss.item()


@pytest.mark.parametrize("kind", OPTIMISERS)
@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_steps_are_those_of_autograd_and_may_take_turns_with_them(kind, clip_norm):
    """Rounding grows over 20 steps to some 1e-6. Under Adam without normalisation of the batch:
    the gradient of a bias before it is 0 but for rounding, which Adam divides by its size.
    """
    norms = [nn.BatchNorm1d, nn.LayerNorm] if kind == "SGD" else [nn.LayerNorm]
    model = chain(*norms, lambda n: nn.GELU())
    twin = copy.deepcopy(model)
    optimiser, desired = (OPTIMISERS[kind](each.parameters()) for each in (model, twin))
    step, (x, y) = compiled_step(model, optimiser, clip_norm=clip_norm), examples(40)
    for i in range(20):
        by_turns = descend_by_autograd if i % 3 == 1 else lambda m, o, x, y, c: step(x, y)
        loss = by_turns(model, optimiser, x, y, clip_norm)
        assert loss == pytest.approx(descend_by_autograd(twin, desired, x, y, clip_norm), rel=1e-4)
    states = model.state_dict().items(), twin.state_dict().values()
    for (name, one), other in zip(*states, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("rules", [Evolution(), Evolution("magnitude", "gradient")])
def test_links_move_as_beside_autograd(kind, rules):
    """Links are the same after five updates; under Adam new links count steps of their own."""
    model = chain(lambda n: nn.ReLU())
    twin, trained = copy.deepcopy(model), []
    for each, is_compiled in ((model, True), (twin, False)):
        optimiser, (x, y) = OPTIMISERS[kind](each.parameters()), examples(40)
        how = {"every": 20, "steps": 130, "generator": seeded(7)}
        evolver = Evolver(each, optimiser, rules, **how)
        step = compiled_step(each, optimiser)
        for _ in range(105):
            step(x, y) if is_compiled else descend_by_autograd(each, optimiser, x, y)
            evolver.step()
        trained.append(each)
    for one, other in zip(*(each.modules() for each in trained), strict=True):
        if isinstance(one, SparseLinear):
            assert torch.equal(one.support.keys, other.support.keys)
            torch.testing.assert_close(one.values, other.values, rtol=1e-2, atol=1e-3)


def test_running_numbers_that_get_other_memory_are_followed():
    """As autograd does; numbers that do not fit the normalisation are refused."""
    model, (x, y) = CHAINS["batch norm"](), examples(40)
    twin = copy.deepcopy(model)
    step, desired = (torch.optim.SGD(each.parameters(), lr=0.1) for each in (model, twin))
    compiled = compiled_step(model, step)
    norms = [each[2] for each in (model, twin)]
    for i in range(3):
        compiled(x, y)
        descend_by_autograd(twin, desired, x, y)
        if i < 2:
            for norm in norms:
                norm.running_mean.data = torch.full_like(norm.running_mean, 0.5)
                norm.running_var = torch.full_like(norm.running_var, 2.0)
    torch.testing.assert_close(norms[0].running_mean, norms[1].running_mean)
    torch.testing.assert_close(norms[0].running_var, norms[1].running_var)
    norms[0].running_var = torch.ones(3)
    with pytest.raises(CannotCompile, match="running numbers of BatchNorm1d"):
        compiled(x, y)


@pytest.mark.parametrize("name", ["batch norm", "layer norm"])
def test_steps_have_the_same_bytes_on_one_and_two_threads(name):
    def trained():
        model, (x, y) = CHAINS[name](), examples(300)
        step = compiled_step(model, OPTIMISERS["Adam"](model.parameters()), clip_norm=0.1)
        for _ in range(5):
            step(x, y)
        return model.state_dict().values()

    assert all(map(torch.equal, *on_one_and_two_threads(trained)))


def test_dropout_of_torch_keeps_the_share_that_it_says_and_none_in_evaluation():
    """Of 2,000 inputs that all weigh 1 the sum is that of those kept, times 1 / (1 - p)."""
    n = 2_000
    model = nn.Sequential(nn.Dropout(0.3), SparseLinear(n, 1, density=1.0))
    model[1].values.data.fill_(1 / n)
    model[1].bias.data.zero_()
    step = compiled_step(model, torch.optim.SGD(model.parameters(), lr=1e-12), F.mse_loss)
    x, y = torch.ones(64, n), torch.zeros(64)
    share = step(x, y) ** 0.5
    assert share == pytest.approx(1, abs=0.01) and share != 1
    model[0].p = 0.5
    assert step(x, y) ** 0.5 == pytest.approx(1, abs=0.02)
    model.eval()
    assert step(x, y) == pytest.approx(1, abs=1e-4)


class Switched(Written):
    def __init__(self):
        super().__init__()
        self.is_squashed = False

    def forward(self, x):
        x = F.dropout(self.first(x), 0.9, training=False)
        return self.last(torch.tanh(x) if self.is_squashed else x)


def test_a_forward_is_traced_anew_when_what_it_asks_has_changed():
    model, (x, y) = Switched(), examples(20)
    for name in ("norm", "rest"):
        delattr(model, name)
    step = compiled_step(model, torch.optim.SGD(model.parameters(), lr=0.0))
    for is_squashed in (False, True, False):
        model.is_squashed = is_squashed
        assert step(x, y) == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-5)


# what is refused


class Summed(Written):
    def forward(self, x):
        x = self.rest[0](self.norm(self.first(x)))
        return self.last(x + torch.tanh(x))


class Scaled(Written):
    def forward(self, x):
        return self.last(torch.softmax(self.norm(self.first(x)), 1))


class Branched(Written):
    def forward(self, x):
        return self.last(self.first(x)) if x.sum() > 0 else x


REFUSED = [
    (Summed, F.cross_entropy, "add in Summed does not take the value before it alone"),
    (Written, nn.MSELoss, "the loss is a class: give one that is made, as MSELoss()"),
    (Scaled, F.cross_entropy, "Scaled calls softmax, which a compiled step does not run"),
    (Branched, F.cross_entropy, "torch.fx cannot trace Branched"),
    (Written, F.l1_loss, "the loss l1_loss is none that a compiled step knows"),
    (Written, nn.MSELoss(reduction="sum"), "reduction = 'sum' of the loss: give 'mean'"),
    (lambda: Written().eval(), F.cross_entropy, "norm is in evaluation mode"),
    (lambda: Written().double(), F.cross_entropy, "is torch.float64 on cpu"),
    (lambda: nn.Sequential(nn.Flatten(0), chain(nn.LayerNorm)), F.cross_entropy, "0 flattens from"),
]


@pytest.mark.parametrize(("make", "loss", "sentence"), REFUSED)
def test_what_is_no_chain_is_refused_by_the_first_thing_that_does_not_fit(make, loss, sentence):
    model = make()
    with pytest.raises(CannotCompile, match=sentence):
        compiled_step(model, torch.optim.SGD(model.parameters(), lr=0.1), loss)


@pytest.mark.parametrize(
    ("loss", "y", "sentence"),
    [
        (F.cross_entropy, torch.zeros(1).long(), "has one example, and batch normalisation"),
        (F.mse_loss, torch.zeros(8), "y has shape"),
        (F.mse_loss, torch.zeros(8, 4), "y has shape"),
        (F.mse_loss, torch.zeros(8, 5).long(), "y is torch.int64"),
    ],
)
def test_batches_that_do_not_fit_are_refused(loss, y, sentence):
    model = Written()
    step = compiled_step(model, torch.optim.SGD(model.parameters(), lr=0.1), loss)
    with pytest.raises(ValueError, match=sentence):
        step(torch.zeros(len(y), N_IN), y)


def test_our_dropout_and_dense_layer_run_beside_those_of_torch():
    model = nn.Sequential(
        layers.Linear(N_IN, 9), nn.Tanh(), layers.Dropout(0.0), SparseLinear(9, N_OUT, density=0.5)
    )
    assert_same_gradients(model, *examples(20))
