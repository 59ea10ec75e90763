"""The network of Fig. 7: its weights, what its parts compute, what is refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import layers
from lib.models import ImageDropout, count_parameters
from papers.set.cnn.network import MapDropout, set_cnn, top_weights

CIFAR = (3, 32, 32)
SMALL = {"filters": (4, 6), "hidden": (24, 20)}
# numbers of weights


def test_convolutions_have_the_weights_of_the_paper():
    assert count_parameters(set_cnn(CIFAR, 10).features) == 287_008  # Fig. 7


def test_dense_top_has_the_weights_of_the_paper():
    net = set_cnn(CIFAR, 10, er_epsilon=None)
    assert top_weights(net.top) == 8_413_194  # Fig. 7
    assert count_parameters(net) == 287_008 + 8_413_194


def test_sparse_top_has_the_weights_of_eq_1_and_about_those_of_the_paper():
    links = 2 * 20 * (2048 + 2048)  # Eq. (1), two layers
    deviation = links**0.5  # of a random draw of about as many links
    actual = top_weights(set_cnn(CIFAR, 10).top)
    assert actual == links + 2048 * 10 + 10 == 184_330
    assert abs(actual - 184_842) < 2 * deviation  # Fig. 7


# what it computes


def test_networks_of_a_seed_have_the_same_convolutions_whatever_their_top():
    nets = [set_cnn(CIFAR, 10, er_epsilon=er_epsilon, seed=3) for er_epsilon in (None, 5, 20)]
    first, *others = [list(net.features.parameters()) for net in nets]
    for other in others:
        assert all(map(torch.equal, first, other))
    assert not torch.equal(first[0], next(set_cnn(CIFAR, 10, seed=4).features.parameters()))


def test_blocks_are_those_of_the_paper():
    net = set_cnn(CIFAR, 10)
    kinds = [type(module).__name__ for module in net.features]
    block = ["Conv2d", "ReLU", "MapDropout", "Conv2d", "ReLU", "MaxPool2d"]
    assert kinds == [*3 * block, "Flatten"]
    widths = [m.out_channels for m in net.features if isinstance(m, nn.Conv2d)]
    assert widths == [32, 32, 64, 64, 128, 128]
    assert {m.p for m in net.modules() if isinstance(m, layers.Dropout)} == {0.3}


def test_convolutions_start_by_glorots_law():
    weight = set_cnn(CIFAR, 10).features[15].weight  # 128 to 128 maps
    limit = (6 / (9 * 128 + 9 * 128)) ** 0.5
    assert weight.abs().max() <= limit
    assert weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.01)


def test_logits_are_those_of_torchs_own_modules(generator):
    net = set_cnn((3, 8, 12), 5, er_epsilon=2, **SMALL).eval()
    x = torch.rand(7, 3, 8, 12, generator=generator)
    y = x
    for module in net.features:
        if isinstance(module, nn.Conv2d):
            y = F.relu(F.conv2d(y, module.weight, module.bias, padding=1))
        elif isinstance(module, nn.MaxPool2d):
            y = F.max_pool2d(y, 2)
    y = y.flatten(1)
    for linear in (net.top.linear1, net.top.linear2):
        y = F.relu(y @ linear.to_dense().T + linear.bias)
    desired = y @ net.top.linear3.to_dense().T + net.top.linear3.bias
    torch.testing.assert_close(net(x), desired)


def test_grey_images_are_enlarged():
    net = set_cnn((4, 4), 3, er_epsilon=2, enlarge=2, **SMALL).eval()
    x = torch.rand(5, 4, 4)
    large = x.repeat_interleave(2, 1).repeat_interleave(2, 2)
    same = set_cnn((8, 8), 3, er_epsilon=2, **SMALL).eval()
    torch.testing.assert_close(net(x), same(large))


def test_dropout_of_maps_scales_what_it_keeps(generator):
    x = (1 + torch.rand(8, 5, 6, 4, generator=generator)).to(memory_format=torch.channels_last)
    x.requires_grad_()
    dropped = MapDropout(0.3, seed=1).train()(x)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], x[kept] / 0.7)
    (grad,) = torch.autograd.grad(dropped.sum(), x)
    torch.testing.assert_close(grad, kept / 0.7)
    spread = (0.3 * 0.7 / x.numel()) ** 0.5
    assert abs(kept.double().mean() - 0.7) < 4 * spread
    assert dropped.is_contiguous(memory_format=torch.channels_last)


def test_dropout_of_maps_depends_on_values_not_on_memory(generator):
    x = torch.rand(3, 5, 4, 4, generator=generator)
    last = x.to(memory_format=torch.channels_last)
    assert torch.equal(MapDropout(0.5, seed=1)(x), MapDropout(0.5, seed=1)(last))
    assert not torch.equal(MapDropout(0.5, seed=1)(x), ImageDropout(0.5, seed=1)(x))


# what is refused


@pytest.mark.parametrize(
    ("image", "changes", "sentence"),
    [
        ((3, 7, 32), {}, "images of 7 x 32 are too small to be pooled 3 times: give sides of at"),
        ((4, 4), {"enlarge": 1}, "images of 4 x 4 are too small to be pooled 3 times"),
        (CIFAR, {"hidden": (2048, 9)}, "top layer of 9 neurons is narrower than the 10 classes"),
        (CIFAR, {"er_epsilon": 1024}, "2048 to 2048 dense: give less than 1024, or the method"),
        (CIFAR, {"er_epsilon": 0}, "er_epsilon = 0 is out of range"),
        (CIFAR, {"dropout": 1.0}, "out of range"),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_sentence(image, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        set_cnn(image, 10, **changes)
