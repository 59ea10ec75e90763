"""Networks and images under attack; exact distances of a small one, by enumeration."""

import pytest
import torch
from torch import nn

from lib import data, models, train
from tests.robustness.attacks.cases import seeded
from tests.robustness.enumeration import minimal_linf


@pytest.fixture(scope="package")
def trained():
    """A small network trained on the digits, and its test part, in float32."""
    torch.set_default_dtype(torch.float32)
    split = data.load("digits")
    net = models.mlp((64, 60, 10), density=0.3, standardisation=split.standardisation())
    train.fit(net, split, train.Settings(epochs=6, learning_rate=0.05), seed=0)
    return net.eval(), split.x_test, split.y_test


@pytest.fixture
def small():
    """A sparse network in float64 on 6 x 6 images, some of them at the bounds, and classes of
    which a few are wrong.
    """
    scale = (torch.tensor(0.5), torch.tensor(0.3))
    model = models.mlp((36, 20, 4), density=0.3, standardisation=scale).eval()
    x = (1.4 * torch.rand(12, 6, 6, generator=seeded(8)) - 0.2).clamp(0, 1)
    y = model(x).argmax(1)
    y[:3] = (y[:3] + 1) % 4
    return model, x, y


@pytest.fixture
def images():
    """Smooth random images of 28 x 28 in [0, 1], dark at the edges."""
    coarse = torch.rand(60, 1, 9, 9, generator=seeded(9)) ** 2
    inner = coarse[:, :, 1:-1, 1:-1]
    coarse = nn.functional.pad(inner, (1, 1, 1, 1))
    return nn.functional.interpolate(coarse, (28, 28), mode="bilinear").squeeze(1)


# a network of one hidden layer


@pytest.fixture(scope="package")
def relu_network():
    """A network with five hidden units, examples, and their exact distances in L-infinity."""
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double().eval()
    generator = seeded(1)
    for parameter in net.parameters():
        drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data.copy_(drawn)
    net[0].bias.data -= net[0].weight.data.sum(1) / 2  # as for inputs about 0
    x = torch.rand(6, 4, generator=seeded(6), dtype=torch.float64)
    y = net(x).argmax(1)
    exact = [minimal_linf(net, a, b) for a, b in zip(x.numpy(), y.tolist(), strict=True)]
    return net, x, y, exact
