"""The compiled step against dense float64, torch's SGD, and autograd over the same layers."""

import copy
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import activations, layers, models, train
from lib._compiled import launch
from lib._compiled import step as step_module
from lib._compiled.chains import CannotCompile
from lib._compiled.step import CompiledStep
from lib.evolution import AVERAGE, Evolution, evolve_
from lib.support import make_support, random_support
from lib.train import Settings, WeightAverage, fit
from tests import test_train as training
from tests._compiled.test_chains import (
    dense_gradients,
    dense_twin,
    descend_by_autograd,
    gradients,
)
from tests.oracles import on_one_and_two_threads, same, seeded

WIDTHS = (13, 20, 17, 5)
P = 0.3


pytestmark = pytest.mark.usefixtures("float32")


# gradients


def support_of(links, n_in, n_out, generator):
    """Links of a layer: none, the first position alone, or a share of all."""
    if links in ("none", "one"):
        place = torch.zeros(int(links == "one"), dtype=torch.int64)
        return make_support(place, place, n_in, n_out)
    return random_support(n_in, n_out, links, generator=generator)


def unit_of(name, n, layer, generator, **options):
    unit = activations.make(name, n, layer, **options)
    if name == "splash":  # about as steep as the others
        shape = unit.coefficients.shape
        unit.coefficients.data = torch.randn(shape, generator=generator) / shape[1] ** 0.5
    if name == "srelu":  # widths of both signs
        unit.pieces.data = torch.randn(4, n, generator=generator)
    return unit


def network(
    unit="srelu", links=0.3, has_bias=True, is_standardised=True, widths=WIDTHS, p=P, **options
):
    generator, modules = seeded(3), []
    if is_standardised:
        mean = torch.randn(widths[0], generator=generator)
        std = 0.5 + torch.rand(widths[0], generator=generator)
        modules.append(layers.Standardise(mean, std))
    for i, (n_in, n) in enumerate(zip(widths, widths[1:], strict=False), start=1):
        support = support_of(links, n_in, n, generator)
        linear = layers.SparseLinear(n_in, n, support=support, bias=has_bias, generator=generator)
        if has_bias:
            linear.bias.data = torch.randn(n, generator=generator)
        modules.append(linear)
        if i < len(widths) - 1:
            modules += unit_of(unit, n, i, generator, **options), layers.Dropout(p, seed=i)
    return models.MLP(*modules)


def examples(n, widths=WIDTHS):
    """None of class 0: what its logit adds to the gradient of a lone link does not cancel."""
    generator = seeded(n)
    x = torch.randn(n, widths[0], generator=generator)
    return x, torch.randint(1, widths[-1], (n,), generator=generator)


def sgd(model, lr=0.05, momentum=0.9, **options):
    return torch.optim.SGD(model.parameters(), lr, momentum, fused=True, **options)


def dense_input_gradient(model, x, y):
    """That of the inputs, in evaluation mode."""
    x = x.double().requires_grad_()
    with launch.use_implementation("torch"):
        return torch.autograd.grad(F.cross_entropy(dense_twin(model).eval()(x), y), x)[0]


def largest_error(actual, desired):
    """Of all gradients the largest difference, as a share of the largest number of its tensor."""
    errors = [0.0]
    for one, other in zip(actual, desired, strict=True):
        if other.numel() > 0 and (one - other).abs().max() > 0:
            errors.append(((one - other).abs().max() / other.abs().max()).item())
    return max(errors)


def assert_exact(model, x, y):
    """Loss and gradients, to 1e-5 of the largest of a tensor: a number goes through some 20
    roundings of 6e-8 in three layers and back, and what cancels in the sum over examples is about
    ten times what is left.
    """
    desired_loss, desired = dense_gradients(model, x, y)
    loss, actual = gradients(model, x, y)
    assert loss == pytest.approx(desired_loss, rel=2e-6)
    assert largest_error(actual, desired) <= 1e-5


@pytest.mark.parametrize(
    ("unit", "n", "links", "is_plain"),
    [  # every unit with one example, some tiles, and few links or many
        *[("relu", 1, 1.0, False), ("relu", 130, 0.1, False), ("relu", 16, "none", True)],
        *[("leaky_relu", 1, 1.0, False), ("leaky_relu", 17, 0.1, False)],
        ("leaky_relu", 600, 0.01, True),
        *[("all_relu", 1, 0.1, True), ("all_relu", 65, 1.0, False)],
        *[("srelu", 1, 1.0, True), ("srelu", 64, "one", False), ("srelu", 600, 0.1, False)],
        *[("splash", 16, "none", False), ("splash", 65, 1.0, True), ("splash", 130, 0.1, True)],
        ("splash", 1, 0.1, False),
    ],
)
def test_gradients_are_those_of_dense_float64(unit, n, links, is_plain):
    assert_exact(network(unit, links, not is_plain, not is_plain), *examples(n))


@pytest.mark.parametrize(
    ("n_hinges", "n"), [(1, 7), (3, 128), (5, 1), (9, 128), (15, 7), (17, 128)]
)
def test_gradients_of_any_number_of_hinges_are_those_of_dense_float64(n_hinges, n):
    """They are taken by fours: 1, 2, 3, 5, 8 and 9 on a side."""
    assert_exact(network("splash", n_hinges=n_hinges), *examples(n))


def test_large_means_of_inputs_are_taken_off_first():
    """Numbers near 1000 of deviation .01: x - mean is exact, x / std - mean / std would not be."""
    model, (x, y) = network(p=0.0), examples(20)
    model[0].mean += 1000
    model[0].std *= 0.01
    assert_exact(model, model[0].mean + 0.01 * x, y)


def test_index_names_the_examples_of_the_batch():
    model, (x, y) = network(p=0.0), examples(50)
    index = torch.randperm(50, generator=seeded(0))[:40]
    optimiser = sgd(model, lr=0.0)
    step = CompiledStep(model, optimiser)
    chosen = step(x[index], y[index])
    assert step(x, y, index) == chosen
    assert step(x, y, index.repeat_interleave(2)[::2]) == chosen  # not contiguous
    assert step(x.view(50, 1, 13), y, index) == chosen


# gradients at the inputs


@pytest.mark.parametrize(
    ("unit", "n", "links", "is_standardised"),
    [
        *[("relu", 1, 1.0, True), ("leaky_relu", 17, 0.3, False), ("all_relu", 64, "none", True)],
        *[("srelu", 130, "one", False), ("srelu", 17, 0.3, True)],
        *[("splash", 130, 0.3, True), ("splash", 1, 1.0, False)],
    ],
)
def test_gradient_at_inputs_is_that_of_dense_float64_without_dropout(
    unit, n, links, is_standardised
):
    model, (x, y) = network(unit, links, is_standardised=is_standardised), examples(n)
    desired = dense_input_gradient(model, x, y)
    actual = CompiledStep(model, sgd(model)).gradient_at(x, y)
    assert largest_error([actual], [desired]) <= 1e-5  # see above


def test_gradient_at_inputs_has_their_shape_also_where_they_are_many():
    """More inputs than examples; classes that there are not are refused."""
    widths = (150, 20, 5)
    model, (x, y) = network("relu", widths=widths, p=0.0), examples(20, widths)
    step = CompiledStep(model, sgd(model))
    found = step.gradient_at(x.view(20, 10, 15), y)
    assert largest_error([found.view(20, 150)], [dense_input_gradient(model, x, y)]) <= 1e-5
    with pytest.raises(ValueError, match="y holds class 5: the model has 5 classes, 0 to 4"):
        step.gradient_at(x, torch.full((20,), 5))


def test_gradients_at_inputs_change_no_step_and_have_the_same_bits_on_two_threads():
    found = []
    for threads, is_asked in ((1, False), (1, True), (2, True)):
        model, (x, y) = network(), examples(200)
        optimiser, at_inputs = sgd(model), []
        step = CompiledStep(model, optimiser)
        with launch.on_threads(threads):
            for _ in range(3):
                at_inputs += [step.gradient_at(x, y)] if is_asked else []
                step(x, y)
        assert all(p.grad is None for p in model.parameters())
        found.append((at_inputs, tensors(optimiser, model)))
    (_, never), (one, on_one), (two, on_two) = found
    assert same(never, on_one) and same(on_one, on_two)
    assert same(one, two) and not torch.equal(one[0], one[1])


# the update


def momenta(optimiser, model):
    return [optimiser.state[p]["momentum_buffer"] for p in model.parameters()]


def tensors(optimiser, model):
    return [*model.parameters(), *momenta(optimiser, model)]


@pytest.mark.parametrize(
    ("momentum", "decay", "nesterov"),
    [(0.9, 0.01, False), (0.5, 0.0, False), (0.0, 0.01, False), (0.9, 0.01, True), (0.5, 0, True)],
)
def test_update_has_the_bits_of_fused_sgd(momentum, decay, nesterov):
    """For tensors of 16 k numbers; torch rounds the momentum of those that follow otherwise."""
    widths = (32, 48, 16)
    model, twin = (network(links=0.25, widths=widths) for _ in range(2))
    options = {"momentum": momentum, "weight_decay": decay, "nesterov": nesterov}
    optimiser, desired = sgd(model, **options), sgd(twin, **options)
    step, (x, y) = CompiledStep(model, optimiser), examples(20, widths)
    for _ in range(3):
        _, grads = gradients(copy.deepcopy(model), x, y)
        step(x, y)
        for parameter, grad in zip(twin.parameters(), grads, strict=True):
            parameter.grad = grad
        desired.step()
    assert same(model.parameters(), twin.parameters())
    if momentum > 0:
        assert same(momenta(optimiser, model), momenta(desired, twin))


@pytest.mark.parametrize(("unit", "n"), [("srelu", 16), ("splash", 128), ("srelu", 600)])
def test_steps_have_the_bits_of_one_thread_on_two(n, unit):
    def trained():
        model, (x, y) = network(unit), examples(n)
        optimiser = sgd(model, weight_decay=0.01)
        step = CompiledStep(model, optimiser)
        losses = [step(x, y) for _ in range(20)]
        return [torch.tensor(losses), *tensors(optimiser, model)]

    assert same(*on_one_and_two_threads(trained))


# many steps, and what happens between them


def evolve(model, optimiser):
    generator = seeded(5)
    for module in model:
        if isinstance(module, layers.SparseLinear):
            rules = {"generator": generator, "optimiser": optimiser}
            evolve_(module, Evolution(), fraction=0.3, **rules)


def forget(model, optimiser):
    evolve(model, optimiser)
    optimiser.state.clear()


def remove_links(model, optimiser):
    layer, half = model[1], torch.arange(0, model[1].nnz, 2)
    row, col = layer.support.row[half].long(), layer.support.col[half].long()
    values, old = layer.values.detach()[half], optimiser.state[layer.values]
    layer.support = make_support(row, col, layer.in_features, layer.out_features)
    layer.replace_values_(values)
    old["momentum_buffer"] = old["momentum_buffer"][half].clone()


def shrink(model, optimiser):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.9)


def move(model, optimiser):
    """Elsewhere in memory."""
    model.load_state_dict({k: 0.9 * t if t.is_floating_point() else t for k, t in copied(model)})
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


def copied(model):
    return copy.deepcopy(model.state_dict()).items()


def load_momentum(model, optimiser):
    state = copy.deepcopy(optimiser.state_dict())
    for of_parameter in state["state"].values():
        of_parameter["momentum_buffer"] *= 0.5
    optimiser.load_state_dict(state)


def drop_more(model, optimiser):
    model[3].p, model[6].p = 0.6, 0.0


def change_slope(model, optimiser):
    model[2] = nn.LeakyReLU(0.1)
    model[5].negative_slope = 0.7


SETTINGS = {"lr": 0.002, "weight_decay": 0.1, "momentum": 0.5, "nesterov": True}
CHANGES = {
    "nothing": lambda model, optimiser: None,
    "evaluation": lambda model, optimiser: model.eval(),
    "evaluation of one dropout": lambda model, optimiser: model[3].eval(),
    "settings": lambda model, optimiser: optimiser.param_groups[0].update(SETTINGS),
    "standardisation": lambda model, optimiser: model[0].mean.add_(0.3),
    "moved hinges": lambda model, optimiser: model[2].hinges.mul_(0.9),
    "other hinges": lambda model, optimiser: setattr(model[2], "hinges", 0.9 * model[2].hinges),
    "slopes": change_slope,
    "dropout that begins": lambda model, optimiser: setattr(model[3], "p", P),
    "dropout": drop_more,
    "links": evolve,
    "links and no state": forget,
    "fewer links": remove_links,
    "weights": shrink,
    "weights elsewhere in memory": move,
    "momentum": load_momentum,
}
OTHER_UNITS = {"moved hinges": "splash", "other hinges": "splash", "slopes": "all_relu"}
named = partial(pytest.mark.parametrize, ids=lambda change: getattr(change, "__name__", None))


@pytest.mark.parametrize("name", CHANGES)
def test_steps_are_those_of_autograd_whatever_happens_between_them(name):
    """Rounding grows over 20 steps to some 1e-6, unless a value comes so near to a threshold of its
    unit that it lies on the other side: none does with these seeds.
    """
    change, unit = CHANGES[name], OTHER_UNITS.get(name, "srelu")
    p = 0.0 if name == "dropout that begins" else P
    (model, optimiser), (twin, desired) = (with_sgd(network(unit, p=p)) for _ in range(2))
    step, (x, y) = CompiledStep(model, optimiser), examples(17)
    for i in range(20):
        if i == 8:
            change(model, optimiser)
            change(twin, desired)
        loss = descend_by_autograd(twin, desired, x, y)
        assert step(x, y) == pytest.approx(loss, rel=1e-5, abs=1e-5)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def with_sgd(model):
    return model, sgd(model, lr=0.02, weight_decay=0.01)


def by_groups(model):
    return train.make_optimiser(model, Settings(1, learning_rate=0.02, weight_decay=0.1))


def by_tensor(model):
    return sgd(model, lr=torch.tensor(0.02), weight_decay=0.01)


@pytest.mark.parametrize(("make", "group"), [(by_groups, 1), (by_tensor, 0)])
def test_rates_may_change_also_in_place_and_belong_to_their_groups(make, group):
    model, twin = network(), network()
    optimiser, desired = make(model), make(twin)
    step, (x, y) = CompiledStep(model, optimiser), examples(16)
    for _ in range(10):
        assert step(x, y) == pytest.approx(descend_by_autograd(twin, desired, x, y), rel=1e-5)
        for each in (optimiser, desired):
            each.param_groups[group]["lr"] *= 0.8


def averaged(model):
    optimiser = sgd(model, lr=0.02)
    return model, optimiser, WeightAverage(model, optimiser, 0.8)


def averages(optimiser, model):
    return [optimiser.state[p][AVERAGE] for p in model.parameters()]


def test_averages_of_weights_that_begin_to_learn_later_are_left_to_autograd():
    model, optimiser, average = averaged(network())
    x, y = examples(100)
    model[1].values.grad = None
    loss = F.cross_entropy(model(x), y)
    for parameter in list(model.parameters())[1:]:
        (parameter.grad,) = torch.autograd.grad(loss, parameter, retain_graph=True)
    optimiser.step()
    with pytest.raises(CannotCompile, match="began to learn later than others"):
        CompiledStep(model, optimiser, average=average)


def test_averages_are_those_of_the_hook():
    (model, optimiser, average), (twin, desired, _) = (averaged(network()) for _ in range(2))
    step, (x, y) = CompiledStep(model, optimiser, average=average), examples(100)
    for i in range(20):
        step(x, y)
        descend_by_autograd(twin, desired, x, y)
        if i == 0:
            assert same(averages(optimiser, model), model.parameters())
        if i == 8:
            evolve(model, optimiser)
            evolve(twin, desired)
    for one, other in zip(averages(optimiser, model), averages(desired, twin), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    counts = [optimiser.state[p]["averaged"] for p in model.parameters()]
    assert set(counts) == {20}


# losses that are not finite


@pytest.mark.parametrize(("bad", "n"), [(math.nan, 1), (math.inf, 16), (-math.inf, 100)])
def test_loss_that_is_not_finite_is_returned_and_nothing_is_changed(bad, n):
    model, optimiser, average = averaged(network())
    step, (x, y) = CompiledStep(model, optimiser, average=average), examples(n)
    step(x, y)
    everything = tensors(optimiser, model) + averages(optimiser, model)
    before = [tensor.detach().clone() for tensor in everything]
    x[n // 2, 3] = bad
    assert not math.isfinite(step(x, y))
    assert same(before, everything)
    assert optimiser.state[model[1].values]["averaged"] == 1


def test_average_starts_after_a_first_loss_that_is_not_finite():
    model, optimiser, average = averaged(network(p=0.0))
    step, (x, y) = CompiledStep(model, optimiser, average=average), examples(16)
    before = [p.detach().clone() for p in model.parameters()]
    assert not math.isfinite(step(math.nan * x, y))
    with average.in_place():
        assert same(before, model.parameters())
    step(x, y)
    assert same(averages(optimiser, model), model.parameters())


def test_padding_of_a_tile_changes_nothing_where_an_input_hardly_varies():
    """0, the padding, is 1e38 deviations from the mean of such an input."""
    model, (x, y) = network(p=0.0), examples(20)
    model[0].std[3] = 1e-38
    model[0].mean[3] = x[:, 3] = 10.0
    assert_exact(model, x, y)


# what is refused


def plain(**options):
    model = network(**options)
    return model, sgd(model)


def narrow_standardise(model):
    model[0] = layers.Standardise(torch.zeros(5), torch.ones(5))
    return model


class Residual(models.MLP):
    def forward(self, x):
        return 2 * super().forward(x)


def with_module(place, module):
    return lambda model: model.__setitem__(place, module)


def of_more(model):
    model.scale = nn.Parameter(torch.ones(1))


LATER = [
    (lambda m: m.register_forward_hook(print), "the model has hooks: remove them"),
    (lambda m: m[4].register_full_backward_hook(print), "4 has hooks: remove them"),
    (lambda m: m[4].values.register_hook(print), "4.values has hooks"),
    (lambda m: m[4].values.register_post_accumulate_grad_hook(print), "4.values has hooks"),
    (lambda m: m[4].bias.requires_grad_(False), "4.bias is frozen"),
    (of_more, "scale is of no layer"),
    (with_module(2, nn.Softplus()), "2 is Softplus, which a compiled step does not run"),
    (lambda m: m.append(layers.Dropout(0.1)), "the last module is no linear layer"),
    (
        with_module(4, layers.SparseLinear(19, 17, density=0.5)),
        "20 values meet a layer of 19 inputs",
    ),
    (with_module(5, activations.SReLU(1)), "17 values meet a SReLU of 1 neurons"),
    (with_module(2, activations.Splash(bounded=True)), "2 is a bounded Splash"),
]
MODELS = [
    (lambda model: Residual(*model), "torch.fx cannot trace Residual"),
    (nn.ModuleList, "the model is ModuleList, which a compiled step does not run"),
    (lambda model: model.double(), "1.values is torch.float64 on cpu: a compiled step takes"),
    (narrow_standardise, "Standardise has 5 features, linear takes 13"),
    (lambda model: model[:2].append(nn.BatchNorm1d(19)), "20 values meet a BatchNorm1d of 19"),
    (lambda model: nn.Sequential(nn.Linear(3, 2)), "the model has no SparseLinear"),
]


@named(("change", "sentence"), MODELS)
def test_models_that_it_cannot_run_are_refused_by_name(change, sentence):
    model = change(network())
    with pytest.raises(CannotCompile, match=sentence):
        CompiledStep(model, sgd(model))


@pytest.mark.parametrize("how", ["layer", "weights"])
def test_layers_that_share_parameters_are_refused(how):
    layer = layers.SparseLinear(6, 6, density=0.5)
    again = layer if how == "layer" else layers.SparseLinear(6, 6, support=layer.support)
    again.values = layer.values
    model = nn.Sequential(layer, nn.ReLU(), again)
    with pytest.raises(CannotCompile, match="layers share parameters"):
        CompiledStep(model, sgd(model))


def test_activation_that_two_layers_share_runs():
    unit, generator = nn.ReLU(), seeded(0)
    linear = [layers.SparseLinear(13, 13, density=0.4, generator=generator) for _ in range(3)]
    model = nn.Sequential(linear[0], unit, linear[1], unit, linear[2])
    x, y = examples(16)
    loss = F.cross_entropy(model(x), y).item()
    assert CompiledStep(model, sgd(model))(x, y) == pytest.approx(loss, rel=1e-6)


def with_hook(model):
    optimiser = sgd(model)
    optimiser.register_step_pre_hook(print)
    return optimiser


def sgd_with(**option):
    return lambda model: torch.optim.SGD(model.parameters(), momentum=0.9, **option)


OPTIMISERS = [
    (lambda m: torch.optim.Adagrad(m.parameters()), "Adagrad is no SGD, Adam or AdamW of torch"),
    (lambda m: torch.optim.Adam(m.parameters(), amsgrad=True), "Adam with amsgrad = True"),
    (lambda m: torch.optim.SGD([m[1].values]), "has not just the parameters of the model"),
    (sgd_with(maximize=True), "SGD with maximize = True"),
    (sgd_with(dampening=0.1), "SGD with dampening = 0.1"),
    (sgd_with(differentiable=True), "SGD with differentiable = True"),
    (with_hook, "the optimiser has hooks"),
]


@named(("make", "sentence"), OPTIMISERS)
def test_optimisers_that_it_cannot_run_are_refused_by_name(make, sentence):
    model = network()
    with pytest.raises(CannotCompile, match=sentence):
        CompiledStep(model, make(model))


def test_averages_of_another_model_and_those_that_have_stopped_are_refused():
    (model, optimiser, average), (*_, other) = (averaged(network()) for _ in range(2))
    with pytest.raises(CannotCompile, match="the average is that of another model or optimiser"):
        CompiledStep(model, optimiser, average=other)
    step, (x, y) = CompiledStep(model, optimiser, average=average), examples(16)
    step(x, y)
    average.stop()
    with pytest.raises(CannotCompile, match="the optimiser has 0 hooks"):
        step(x, y)


# what becomes so between steps


def assert_refused(step, x, y, model, sentence, error=CannotCompile):
    """This call and the next one end with the sentence, and nothing is changed."""
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(2):
        with pytest.raises(error, match=sentence):
            step(x, y)
    assert same(before, model.parameters())


@named(("change", "sentence"), LATER)
def test_models_that_have_changed_are_refused_and_for_a_new_step_too(change, sentence):
    (model, optimiser), (x, y) = plain(), examples(16)
    step = CompiledStep(model, optimiser)
    step(x, y)
    change(model)
    assert_refused(step, x, y, model, sentence)
    with pytest.raises(CannotCompile, match=sentence):
        CompiledStep(model, sgd(model))


def replace_hinges_by_two(model, optimiser):
    model[2].hinges = torch.tensor([0.0, 1.0])


def new_values(model, optimiser):
    model[1].values = nn.Parameter(model[1].values.detach().clone())


def new_hook(model, optimiser):
    optimiser.register_step_post_hook(print)


def option(name):
    return lambda model, optimiser: optimiser.param_groups[0].update({name: True})


def another_group(model, optimiser):
    optimiser.add_param_group({"params": [nn.Parameter(torch.ones(1))]})


def momentum(tensor):
    def change(model, optimiser):
        optimiser.state[model[1].values]["momentum_buffer"] = tensor

    return change


@named(
    ("change", "sentence", "error"),
    [
        (replace_hinges_by_two, "give .m,. and .2, m.", ValueError),
        (lambda m, _: m.double(), "give plain tensors .it is torch.float64", TypeError),
        (new_values, "has not just the parameters of the model", CannotCompile),
        (lambda m, _: m[1].replace_values_(torch.zeros(5)), "the values of a parame", ValueError),
        (option("maximize"), "SGD with maximize = True", CannotCompile),
        (another_group, "has not just the parameters of the model", CannotCompile),
        (new_hook, "the optimiser has hooks", CannotCompile),
        (momentum(torch.zeros(3)), "the momentum of a parameter", ValueError),
        (momentum(torch.zeros(156).double()), "the memory of a Tensor", TypeError),
        (momentum(torch.zeros(156)[::2]), "the momentum of a parameter", ValueError),
    ],
)
def test_what_has_changed_so_that_a_step_would_be_wrong_is_refused(change, sentence, error):
    unit = "splash" if change is replace_hinges_by_two else "srelu"
    (model, optimiser), (x, y) = plain(unit=unit), examples(16)
    step = CompiledStep(model, optimiser)
    step(x, y)
    change(model, optimiser)
    assert_refused(step, x, y, model, sentence, error)


def test_step_goes_on_when_the_hook_is_gone():
    (model, optimiser), (x, y) = plain(), examples(16)
    step = CompiledStep(model, optimiser)
    handle = model[1].register_forward_pre_hook(print)
    assert_refused(step, x, y, model, "1 has hooks")
    handle.remove()
    assert math.isfinite(step(x, y))


# batches


BATCHES = [
    ({"x": torch.ones(16, 12)}, r"x has shape \(16, 12\): give \(N, 13\)"),
    ({"x": torch.ones(0, 13), "y": torch.ones(0).long()}, r"x has shape \(0, 13\)"),
    (
        {"x": torch.ones(16, 13).double()},
        "x is torch.float64 on cpu: give contiguous torch.float32",
    ),
    ({"x": torch.ones(13, 16).t()}, "x is torch.float32 on cpu: give contiguous"),
    ({"y": torch.ones(16)}, "y is torch.float32 on cpu: give contiguous torch.int64"),
    ({"y": torch.ones(32).long()[::2]}, "y is torch.int64 on cpu: give contiguous"),
    ({"y": torch.ones(16, 1).long()}, r"y has shape \(16, 1\): give \(16,\)"),
    ({"y": torch.arange(16)}, "y holds class 5: the model has 5"),
    ({"y": -torch.arange(16)}, "y holds class -1: the model has 5"),
    ({"y": torch.arange(16), "index": torch.tensor([0, 9])}, "y holds class 9: the model has 5"),
    ({"index": torch.tensor([3, 16])}, "index holds 16: there are 16 examples"),
    ({"index": torch.tensor([3, -1])}, "index holds -1: there are 16 examples"),
    ({"index": torch.ones(0).long()}, r"index has shape \(0,\): give \(B,\)"),
    ({"index": torch.ones(2, 2).long()}, r"index has shape \(2, 2\): give \(B,\)"),
    ({"x": torch.ones(16, 13).numpy()}, r"x is a ndarray: give a tensor, as torch.as_tensor\(x\)"),
    ({"index": [0, 1]}, "index is a list: give a tensor"),
    ({"index": torch.ones(2).int()}, "index is torch.int32 on cpu: give torch.int64"),
]


@pytest.mark.parametrize(("given", "sentence"), BATCHES, ids=str)
def test_batches_that_do_not_fit_are_refused_and_change_nothing(given, sentence):
    model, optimiser, average = averaged(network())
    step = CompiledStep(model, optimiser, average=average)
    before = [p.detach().clone() for p in model.parameters()]
    batch = {"x": torch.ones(16, 13), "y": torch.ones(16).long()} | given
    with pytest.raises(ValueError, match=sentence):
        step(**batch)
    assert same(before, model.parameters())
    assert "averaged" not in optimiser.state[model[1].values]


def test_step_reads_its_batch_alone_leaves_its_arguments_and_builds_no_graph():
    (model, optimiser), (x, y) = plain(), examples(16)
    x.requires_grad_()
    y[5:] = torch.arange(11)  # classes that there are not, of examples outside the batch
    before = x.detach().clone(), y.clone()
    with torch.no_grad():
        assert math.isfinite(CompiledStep(model, optimiser)(x, y, torch.arange(5)))
    assert same(before, (x, y)) and x.grad is None
    assert all(p.grad is None for p in model.parameters())


# fit


@pytest.fixture
def calls(monkeypatch):
    """One entry for each compiled step."""
    calls, run = [], step_module.train_step
    monkeypatch.setattr(step_module, "train_step", lambda *a: calls.append(a) or run(*a))
    return calls


class Shifted:
    """An objective at inputs that the gradient moves, as attacks do."""

    def perturbed(self, x, y, generator, gradient_at):
        x = x + 0.1 * torch.rand(x.shape, generator=generator)
        return x + 5 * gradient_at(x, y).view_as(x)

    def __call__(self, model, x, y, generator):
        def gradient_at(x, y):
            x = x.requires_grad_()
            with models.evaluating(model):
                return torch.autograd.grad(F.cross_entropy(model(x), y), x)[0]

        x = self.perturbed(x, y, generator, gradient_at).detach()
        return F.cross_entropy(model(x), y)


@pytest.mark.parametrize(
    ("method", "options", "objective"),
    [
        ("SET", {}, None),
        ("RigL", {"averaging": 0.9}, None),
        ("SET", {"augmentation": 1.0}, None),
        ("SET", {"averaging": 0.9}, Shifted),
        ("SET", {"augmentation": 1.0}, Shifted),
    ],
)
def test_fit_of_a_model_with_hooks_differs_by_rounding(method, options, objective, calls):
    changes = {} if objective is None else {"dropout": 0.3}
    model, twin = (training.network(method, **changes) for _ in range(2))
    twin.linear1.register_forward_hook(lambda *a: None)
    how, given = training.settings(method, **options), {"seed": 7}
    given |= {} if objective is None else {"objective": objective()}
    history = fit(model, training.split(), how, **given)
    assert len(calls) == 5 * 4
    with pytest.warns(UserWarning, match="fit goes by autograd.*: linear1 has hooks"):
        desired = fit(twin, training.split(), how, **given)
    assert len(calls) == 5 * 4
    for one, other in zip(history.metrics, desired.metrics, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-5)
    assert training.same_rows(history.links, desired.links)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# copies, and memory that moves


def test_copy_of_a_step_trains_its_own_model():
    (model, optimiser), (x, y) = with_sgd(network()), examples(16)
    step = CompiledStep(model, optimiser)
    step(x, y)
    other = copy.deepcopy(step)
    desired = [step(x, y) for _ in range(3)]
    del step, model, optimiser
    assert [other(x, y) for _ in range(3)] == desired


def test_links_that_are_shared_are_found_where_they_are():
    (model, optimiser), (x, y) = with_sgd(network()), examples(16)
    twin, twins = copy.deepcopy((model, optimiser))
    step, desired = CompiledStep(model, optimiser), CompiledStep(twin, twins)
    for share in (False, True, False):
        if share:
            model.share_memory()
        assert step(x, y) == desired(x, y)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("x_train", lambda x: x.repeat_interleave(2, -1)[..., ::2]),  # strided
        ("y_train", lambda y: y.to(torch.uint8)),
        ("y_train", lambda y: y.index_fill(0, torch.tensor([0]), -100)),  # a label to ignore
    ],
)
def test_fit_takes_what_autograd_takes(part, change):
    split = training.split()
    split = replace(split, **{part: change(getattr(split, part))})
    history = fit(training.network("SET"), split, training.settings(epochs=1), seed=0)
    assert math.isfinite(history.metrics[-1]["train_loss"])
