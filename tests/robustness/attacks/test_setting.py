"""What attacks refuse; batches, shapes of images and distances."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from lib.robustness import attacks
from lib.robustness.attacks import setting
from tests.robustness.attacks.cases import (
    ANY,
    Changed,
    affine,
    each_attack,
    seeded,
)


def on_a_line():
    """A classifier of numbers below and above .5, three of class 0, and points of two attacks."""
    model = torch.nn.Linear(1, 2)
    model.weight.data = torch.tensor([[0.0], [1.0]])
    model.bias.data = torch.tensor([0.5, 0.0])
    a = torch.tensor([[0.9], [0.7], [0.3]])
    b = torch.tensor([[0.6], [0.7], [0.4]])
    x = torch.full((3, 1), 0.2)
    return model.eval(), x, torch.tensor([0, 0, 0]), {"a": a, "b": b}


def test_more_examples_than_a_batch_are_attacked_one_batch_after_the_other(monkeypatch, small):
    model, x, y = small
    whole = attacks.deepfool(model, x, y)
    monkeypatch.setattr(setting, "BATCH", 5)
    torch.testing.assert_close(attacks.deepfool(model, x, y), whole)
    again = attacks.bisected_pgd(model, x, y, radius=0.1, start=whole, generator=seeded())
    closer = attacks.distance(again, x, "l2") <= attacks.distance(whole, x, "l2") + 1e-12
    assert closer.all() and attacks.is_adversarial(model, again, y).all()


def test_radius_of_other_pixels_is_refused(small):
    model, x, y = small
    with pytest.raises(ValueError, match=r"radius = 8 is larger than the bounds \(0, 1\) are wide"):
        attacks.pgd(model, x, y, radius=8, generator=seeded())
    wide = {"radius": 8, "bounds": (0.0, 255.0)}
    assert attacks.pgd(model, x, y, **wide, generator=seeded()).shape == x.shape
    assert attacks.pgd(model, x, y, radius=8, norm="l2", generator=seeded()).shape == x.shape


@pytest.mark.filterwarnings("ignore::FutureWarning")  # weight_norm is the earlier one
@pytest.mark.parametrize(
    "normalise",
    [
        partial(prune.l1_unstructured, name="weight", amount=0.5),
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
    ],
    ids=["pruned", "weight_norm", "spectral_norm"],
)
def test_network_that_computes_its_weights_is_attacked_after_a_training_step(normalise):
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    normalise(model[0])
    x = torch.rand(6, 4, generator=seeded(0))
    model(x).sum().backward()
    y = model.eval()(x).argmax(1)
    x_adv = attacks.pgd(model, x, y, radius=0.9, generator=seeded(0))
    assert 0 < (x_adv - x).abs().max() <= 0.9


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (torch.zeros(12, 36).double(), r"start is torch.float64 of shape \(12, 36\): give"),
        (torch.full((12, 6, 6), 2.0).double(), "hold x, from 2.0 to 2.0"),
    ],
)
def test_points_to_start_from_that_do_not_fit_are_refused(small, start, message):
    model, x, y = small
    with pytest.raises(ValueError, match=message):
        attacks.bisected_pgd(model, x, y, radius=1.0, start=start, generator=seeded())


def test_distance_to_a_point_that_is_not_adversarial_is_infinite():
    model, x, y, _ = on_a_line()
    x_adv = torch.tensor([[0.3], [0.8], [0.5]])
    actual = attacks.adversarial_distance(model, x, y, x_adv, "l2")
    assert actual.tolist() == pytest.approx([math.inf, 0.6, math.inf])


def test_closest_is_the_first_of_the_nearest_adversarial_points():
    model, x, y, points = on_a_line()
    closest, names = attacks.closest(model, x, y, points, "linf")
    assert closest.flatten().tolist() == pytest.approx([0.6, 0.7, 0.2])
    assert names == ["b", "a", "none"]


@pytest.mark.parametrize(("bad", "norm"), [(math.nan, "linf"), (math.inf, "l2"), (-math.inf, "l0")])
def test_point_that_is_no_number_has_no_distance_and_hides_no_other(bad, norm):
    model, x, y, points = on_a_line()
    points["b"][1] = bad
    points = {"none": torch.full_like(x, math.nan), **points}
    distances = attacks.adversarial_distance(model, x, y, points["b"], norm)
    assert distances.isnan().tolist() == [False, True, False]
    closest, names = attacks.closest(model, x, y, points, norm)
    assert closest.flatten().tolist()[1:] == pytest.approx([0.7, 0.2])
    assert names[1:] == ["a", "none"]


@pytest.mark.parametrize("label", [0, 1])
def test_examples_that_are_nan_are_neither_robust_nor_broken(label):
    model, x, _, _ = on_a_line()
    x[1] = math.nan
    for network in (model, Changed(model, lambda z: z.nan_to_num(0.0))):
        with pytest.raises(ValueError, match="x has nan in 1 of 3 examples"):
            attacks.is_adversarial(network, x, torch.full((3,), label))


@each_attack
def test_network_of_weights_that_are_nan_is_refused(small, name):
    model, x, y = small
    model[-1].bias.data[1] = math.nan
    with pytest.raises(ValueError, match="the logits of 12 of 12 inputs are nan"):
        ANY[name](model, x, y)
    with pytest.raises(ValueError, match="the logits of 12 of 12 inputs are nan"):
        attacks.is_adversarial(model, x, y)


@pytest.mark.parametrize("name", ["pgd", "deepfool", "square"])
def test_example_whose_logits_are_nan_is_refused(small, name):
    """As of images that a network divides by their norm, where one is black."""
    model, x, y = small
    x[5] = 0.0
    normalised = Changed(nn.Sequential(ByNorm(), model))
    with pytest.raises(ValueError, match="the logits of 1 of 12 inputs are nan"):
        ANY[name](normalised, x, y)


class ByNorm(nn.Module):
    def forward(self, x):
        return x / x.flatten(1).norm(dim=1)[:, None, None]


@pytest.mark.parametrize("name", ["fgsm_l2", "pgd", "deepfool", "carlini_wagner"])
def test_gradient_that_is_nan_leads_to_no_point_that_is_nan(small, name):
    model, x, y = small
    rooted = Changed(model)
    rooted.forward = lambda x: model((x * x).sqrt())  # nan at 0, where logits are finite
    assert (x == 0).flatten(1).any(1).all()
    assert ANY[name](rooted, x, y).isfinite().all()


def test_of_no_examples_none_is_adversarial():
    model, x, y, points = on_a_line()
    x, y, points = x[:0], y[:0], {name: point[:0] for name, point in points.items()}
    assert attacks.is_adversarial(model, x, y).shape == (0,)
    assert attacks.adversarial_distance(model, x, y, points["a"], "l2").shape == (0,)
    assert attacks.closest(model, x, y, points, "l2")[1] == []


@pytest.mark.parametrize(("name", "dimensions"), [("pgd", 1), ("deepfool", 2), ("square", 2)])
def test_model_of_one_output_is_refused(small, name, dimensions):
    model, x, y = small
    one = Changed(model, lambda z: z[:, :1] if dimensions == 2 else z[:, 0])
    with pytest.raises(ValueError, match=r"the model gives \(1.*\) for one example: give a logit"):
        ANY[name](one, x, y)


def test_distances_are_those_of_a_table():
    x_adv = torch.tensor([[[3.0, 0.0], [-4.0, 0.0]]])
    x = torch.zeros(1, 2, 2)
    actual = [attacks.distance(x_adv, x, norm).item() for norm in ("linf", "l2", "l0")]
    assert actual == [4, 5, 2]


# bad input

INPUTS = {
    "negative radius": ({"radius": -0.1}, "radius = -0.1 is out of range"),
    "radius of text": ({"radius": "x"}, "radius = 'x' is of the wrong type: give a finite number"),
    "steps": ({"steps": 0}, "steps = 0 is out of range"),
    "restarts": ({"restarts": 0}, "restarts = 0 is out of range"),
    "step size": ({"step_size": -1}, "step_size = -1 is out of range"),
    "norm": ({"norm": "l1"}, "unknown norm 'l1': known are linf, l2"),
    "loss": ({"loss": "mse"}, "unknown loss 'mse': .* ce, dlr, margin"),
    "turned bounds": ({"bounds": (1.0, 0.0)}, r"bounds = \(1.0, 0.0\) do not fit"),
    "one bound": ({"bounds": 1.0}, r"bounds = 1.0 do not fit: give \(low, high\)"),
    "bounds of others": ({"bounds": (0.0, 0.5)}, "with low < high that hold x, from 0.0 to 1.0"),
    "nan": ({"x": torch.full((12, 6, 6), math.nan)}, "that hold x, from nan"),
    "bytes": ({"x": torch.zeros(12, 6, 6, dtype=torch.uint8)}, "x is torch.uint8"),
    "list": ({"x": [[0.0] * 36] * 12}, "x is a list: give a tensor"),
    "no example": (
        {"x": torch.zeros(0, 6, 6), "y": torch.zeros(0).long()},
        r"x is .* shape \(0, 6, 6\)",
    ),
    "fewer classes": ({"y": torch.zeros(11).long()}, r"of shape \(11,\): give an integer class"),
    "classes in a column": ({"y": torch.zeros(12, 1).long()}, r"of shape \(12, 1\): give an int"),
    "classes as floats": ({"y": torch.zeros(12)}, "y is torch.float"),
    "class beyond the logits": ({"y": torch.full((12,), 4)}, "y has 4 to 4: give 0 to 3"),
    "negative class": ({"y": torch.full((12,), -1)}, "y has -1 to -1: give 0 to 3"),
    "no generator": ({"generator": None}, "generator = None is of the wrong type: give a Gen"),
}


@pytest.mark.parametrize(("change", "message"), INPUTS.values(), ids=INPUTS)
def test_bad_input_is_refused(small, change, message):
    model, x, y = small
    settings = {"x": x, "y": y, "radius": 0.1, "generator": seeded()} | change
    with pytest.raises(ValueError, match=message):
        attacks.pgd(model, **settings)


SETTINGS = {  # of each attack: what is refused, besides what it needs
    "apgd": [{"generator": None}],
    "square": [{"queries": 0}, {"generator": None}],
    "deepfool": [{"overshoot": -1}, {"norm": "l0"}],
    "bisected_pgd": [{"bisections": 0}, {"generator": None}],
    "carlini_wagner": [{"search_steps": 0}, {"learning_rate": 0}, {"confidence": -1}]
    + [{"start_margin": 1.0}],
    "boundary": [{"generator": None}],
    "ensemble": [{"generator": None}],
}


@pytest.mark.parametrize(
    ("name", "change"), [(name, change) for name, all in SETTINGS.items() for change in all]
)
def test_settings_of_single_attacks_are_checked(small, name, change):
    model, x, y = small
    (setting_name,) = change
    ball = {"radius": 0.1, "generator": seeded()}
    needed = ball if name in ("apgd", "square", "bisected_pgd", "ensemble") else {}
    sentence = f"{setting_name} = .*: give|unknown {setting_name} .*: known are "
    with pytest.raises(ValueError, match=sentence):
        getattr(attacks, name)(model, x, y, **needed | change)


@pytest.mark.parametrize("name", ["pgd", "deepfool", "square", "one_pixel"])
def test_model_in_training_mode_is_refused(small, name):
    model, x, y = small
    model[-1].train()
    with pytest.raises(ValueError, match=r"training mode: call model.eval\(\) first"):
        ANY[name](model, x, y)


def square_of_rows(_):
    model, x = affine(n_in=8), torch.full((4, 8), 0.5)
    attacks.square(model, x, model(x).argmax(1), radius=0.1, generator=seeded())


ROWS, DRAWN = torch.full((4, 8), 0.5), seeded()
REFUSED = [
    (lambda x: attacks.corrupt(x, "rotate", 1, generator=None), "generator = None is of the wrong"),
    (lambda x: attacks.gaussian_noise(x, 0.1, generator=None), "generator = None is of the wrong"),
    (lambda x: attacks.gaussian_noise(x, -0.1, generator=DRAWN), "noise_std = -0.1 is out of"),
    (lambda x: attacks.corrupt(x, "frost", 1, generator=DRAWN), "unknown corruption 'frost'"),
    (lambda x: attacks.corrupt(x, "rotate", 0, generator=DRAWN), "give .*, from 1 to 5"),
    (lambda x: attacks.corrupt(x, "rotate", 6, generator=DRAWN), "give .*, from 1 to 5"),
    (lambda _: attacks.corrupt(ROWS, "rotate", 1, generator=DRAWN), r"\(8,\) are no images"),
    (square_of_rows, r"examples of shape \(8,\) are no images"),
    (lambda x: attacks.distance(x, x[0], "l2"), "has not the shape of x"),
    (lambda x: attacks.distance(x, x, "l3"), "unknown norm 'l3'"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_is_no_image_and_no_setting_is_refused(images, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(images)
