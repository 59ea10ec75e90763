"""Attacks with the arguments of the tests, affine classifiers with known distances, foolbox."""

import math
import warnings
from functools import partial

import pytest
import torch
from torch import nn

from lib.robustness import attacks
from tests.oracles import seeded

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of SciPy's, in foolbox
    import foolbox


def with_seed(attack, **settings):
    """The attack with a generator of its own at each call."""

    def run(model, x, y, **more):
        return attack(model, x, y, generator=seeded(), **settings, **more)

    return run


def ensemble(*args, **settings):
    x_adv, _ = attacks.ensemble(*args, **settings)
    return x_adv


FIXED = {
    "fgsm": attacks.fgsm,
    "fgsm_l2": partial(attacks.fgsm, norm="l2"),
    "pgd": with_seed(attacks.pgd, steps=10),
    "pgd_l2": with_seed(attacks.pgd, steps=10, norm="l2"),
    "pgd_dlr": with_seed(attacks.pgd, steps=10, loss="dlr"),
    "apgd": with_seed(attacks.apgd, steps=20, restarts=2),
    "apgd_l2": with_seed(attacks.apgd, steps=20, norm="l2"),
    "apgd_dlr": with_seed(attacks.apgd, steps=20, loss="dlr"),
    "square": with_seed(attacks.square, queries=50),
    "ensemble": with_seed(ensemble, steps=10, queries=20),
}
MINIMAL = {
    "deepfool": attacks.deepfool,
    "deepfool_linf": partial(attacks.deepfool, norm="linf"),
    "carlini_wagner": partial(attacks.carlini_wagner, steps=50, search_steps=5),
    "bisected_pgd": with_seed(attacks.bisected_pgd, radius=3.0),
    "bisected_pgd_linf": with_seed(attacks.bisected_pgd, radius=0.5, norm="linf"),
    "boundary": with_seed(attacks.boundary, steps=100),
}
ANY = {name: partial(attack, radius=0.1) for name, attack in FIXED.items()}
ANY |= MINIMAL | {"one_pixel": attacks.one_pixel}
each_fixed = pytest.mark.parametrize("name", FIXED)
each_minimal = pytest.mark.parametrize("name", MINIMAL)
each_attack = pytest.mark.parametrize("name", ANY)


# affine classifiers


def affine(n_classes=10, n_in=64, scale=1.0, shift=0.0):
    """An affine classifier, its weights and its biases."""
    model = nn.Linear(n_in, n_classes)
    weights = torch.randn(n_classes, n_in, generator=seeded(1))
    biases = torch.randn(n_classes, generator=seeded(2))
    model.weight.data = scale * weights
    model.bias.data = shift + scale * biases
    return model.eval()


def near_the_middle(model, n=20, n_in=64):
    """Examples near .5, so that no bound is active, and the classes the model gives them."""
    x = 0.5 + 0.02 * torch.randn(n, n_in, generator=seeded(3))
    return x, model(x).argmax(1)


def exact_distances(model, x, y, dual):
    """Distance of each example to the nearest other class of an affine classifier."""
    z = model(x).detach()
    w = model.weight.detach()
    size = (w[y][:, None] - w).norm(p=dual, dim=2)
    distances = (z.gather(1, y[:, None]) - z) / size
    return distances.scatter(1, y[:, None], math.inf).min(1).values


# what a model sees and says


class Changed(nn.Module):
    """A model with its logits passed through a function, and its inputs seen by another."""

    def __init__(self, model, logits=lambda z: z, see=lambda x: None):
        super().__init__()
        self.model = model
        self.logits = logits
        self.see = see
        self.eval()

    def forward(self, x):
        self.see(x)
        return self.logits(self.model(x))


# foolbox


def succeeded(x_adv, trained):
    net, _, y = trained
    return attacks.is_adversarial(net, x_adv, y).double().mean()


def from_foolbox(attack, trained, radius=None):
    net, x, y = trained
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(0)
        warnings.simplefilter("ignore")
        model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
        return attack(model, x, y, epsilons=radius)[1]
