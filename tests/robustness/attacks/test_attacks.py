"""Laws of every attack, and exact distances that none may beat."""

import copy
import itertools
from functools import partial

import pytest
import torch
from torch import nn

from lib.robustness import attacks
from tests.robustness.attacks.cases import (
    ANY,
    FIXED,
    MINIMAL,
    Changed,
    each_attack,
    each_fixed,
    seeded,
)

MINIMAL_LINF = ("deepfool_linf", "bisected_pgd_linf")


@pytest.mark.parametrize("name", [*FIXED, *MINIMAL_LINF])
def test_no_attack_beats_the_exact_distance(relu_network, name):
    net, x, y, exact = relu_network
    settings = {"radius": 0.95 * min(exact)} if name in FIXED else {}
    x_adv = (FIXED | MINIMAL)[name](net, x, y, **settings)
    broken = attacks.is_adversarial(net, x_adv, y)
    distances = attacks.distance(x_adv, x, "linf")
    least = torch.tensor(exact) - 1e-9
    assert (distances[broken] >= least[broken]).all()
    assert name in MINIMAL_LINF or not broken.any()


@each_attack
def test_attack_keeps_shape_bounds_and_model(small, name):
    """Of pixels from -1 to 2, in float32."""
    model, x, y = small
    model, x, bounds = model.float(), (3 * x - 1).float(), (-1.0, 2.0)
    before, example = copy.deepcopy(model.state_dict()), x.clone()
    x_adv = ANY[name](model, x, y, bounds=bounds)
    assert x_adv.shape == x.shape and x_adv.dtype == torch.float32 and not x_adv.requires_grad
    assert x_adv.min() >= -1 and x_adv.max() <= 2 and torch.equal(x, example)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@each_attack
def test_misclassified_examples_are_returned_as_they_are(small, name):
    model, x, y = small
    x_adv = ANY[name](model, x, y)
    assert attacks.is_adversarial(model, x, y)[:3].all()
    assert torch.equal(x_adv[:3], x[:3])
    assert not torch.equal(x_adv[3:], x[3:])


@each_fixed
def test_every_iterate_is_inside_the_radius_and_the_bounds(small, name):
    (model, x, y), radius = small, 0.1
    x, y = x[3:4], y[3:4]
    seen = []
    FIXED[name](Changed(model, see=seen.append), x, y, radius=radius)
    iterates = torch.cat(seen)
    norm = "l2" if name.endswith("l2") else "linf"
    distances = attacks.distance(iterates, x.expand_as(iterates), norm)
    assert distances.max() <= radius + 1e-6
    assert iterates.min() >= 0 and iterates.max() <= 1 and len(seen) > 2


@each_fixed
def test_radius_zero_is_the_identity(small, name):
    model, x, y = small
    assert torch.equal(FIXED[name](model, x, y, radius=0), x)


@each_attack
def test_constant_added_to_all_logits_changes_nothing(small, name):
    model, x, y = small
    shifted = Changed(model, lambda z: z - 64)
    actual = ANY[name](shifted, x, y)
    desired = ANY[name](model, x, y)
    torch.testing.assert_close(actual, desired, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["pgd_dlr", "apgd_dlr", "deepfool", "deepfool_linf"])
def test_scale_of_the_logits_changes_nothing(small, name):
    model, x, y = small
    scaled = Changed(model, lambda z: 1000 * z)
    actual = ANY[name](scaled, x, y)
    desired = ANY[name](model, x, y)
    torch.testing.assert_close(actual, desired, rtol=0, atol=1e-6)


@each_attack
def test_network_without_weights_is_not_broken(small, name, caplog):
    _, x, _ = small
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 4)).eval()
    model[1].weight.data.zero_()
    y = model(x).argmax(1)
    x_adv = ANY[name](model, x, y)
    assert not attacks.is_adversarial(model, x_adv, y).any()
    assert name not in MINIMAL or torch.equal(x_adv, x)
    said = [
        message
        for message in caplog.messages
        if "saw only zero gradients for 12 of 12 examples" in message
    ]
    assert len(said) == {"ensemble": 2}.get(name, name not in BLACK_BOX)


BLACK_BOX = ("square", "boundary", "one_pixel")
BY_GRADIENT = [name for name in ANY if name not in BLACK_BOX]


@pytest.mark.parametrize("name", ["pgd", "apgd", "deepfool", "bisected_pgd", "ensemble"])
def test_examples_without_a_gradient_are_counted(small, name, caplog):
    """The network does not see dark examples."""
    model, x, y = small
    seeing = Changed(model)
    seeing.forward = lambda x: model(x * (x.mean((1, 2), keepdim=True) > 0.3))
    x[3:6] *= 0.01
    y[3:6] = seeing(x[3:6]).argmax(1)
    caplog.set_level("INFO")
    x_adv = ANY[name](seeing, x, y)
    assert attacks.is_adversarial(seeing, x_adv, y)[6:].any()
    assert "zero gradients for 3 of 12 examples and broke none of these" in caplog.text
    said = [r for r in caplog.records if "zero gradients" in r.message]
    assert said[0].levelname == "INFO"  # a warning where half of them are blind


@pytest.mark.parametrize("name", ["pgd", "deepfool", "carlini_wagner"])
def test_attack_with_gradients_says_nothing_of_them(small, name, caplog):
    ANY[name](*small)
    assert not caplog.messages


class Rounded(torch.autograd.Function):
    """Rounding of one's own, which passes no gradient on."""

    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        return torch.zeros_like(grad)


STEPS = {  # of what a network sees of its inputs
    "binarised": lambda x: (x > 0.5).to(x),
    "rounded": torch.round,
    "largest": lambda x: nn.functional.one_hot(x.flatten(1).argmax(1), 36).to(x).view_as(x),
    "detached": lambda x: x.detach(),
    "own": Rounded.apply,
}


def stepped(model, name):
    """The model, which sees its inputs in steps."""
    steps = Changed(model)
    steps.forward = lambda x: model(STEPS[name](x))
    return steps


PAIRS = list(zip(STEPS, itertools.cycle(name for name in BY_GRADIENT if "_l" not in name)))


@pytest.mark.parametrize(("steps", "name"), PAIRS)
def test_attack_without_a_gradient_at_the_input_names_those_that_need_none(small, name, steps):
    model, x, _ = small
    model = stepped(model, steps)
    with pytest.raises(ValueError, match="no gradient arrives at the input.* square or boundary"):
        ANY[name](model, x, model(x).argmax(1))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("pgd", {"radius": 0.01, "steps": 10}),
        ("apgd", {"radius": 0.01, "steps": 10}),
        ("square", {"radius": 0.01, "queries": 50}),
        ("bisected_pgd", {"radius": 1.0, "bisections": 1}),
        ("boundary", {"steps": 50}),
        ("ensemble", {"radius": 0.01, "steps": 10, "queries": 20}),
    ],
)
def test_same_generator_gives_the_same_point_and_another_does_not(small, name, settings):
    model, x, y = small
    attack = partial(getattr(attacks, name), model, x, y, **settings)
    points = [attack(generator=seeded(seed)) for seed in (0, 0, 1)]
    if name == "ensemble":
        points = [x_adv for x_adv, _ in points]
    assert torch.equal(points[0], points[1])
    assert not torch.equal(points[0], points[2])


@pytest.mark.parametrize("name", ["square", "boundary", "one_pixel"])
def test_black_box_attacks_need_no_gradient(small, name):
    model, x, y = small

    def only_classes(z):
        return nn.functional.one_hot(z.argmax(1), 4).double()

    x_adv = ANY[name](Changed(model, only_classes), x, y)
    assert attacks.is_adversarial(model, x_adv, y)[3:].any()
    if name == "boundary":  # it sees nothing but classes
        assert torch.equal(x_adv, MINIMAL[name](model, x, y))
