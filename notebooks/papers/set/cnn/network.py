"""The convolutional network of [Mocanu2018], whose two top layers are dense or sparse, and its
numbers of weights.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lib import kernels, layers, models
from lib.models import count_parameters
from lib.support import erdos_renyi_density

FILTERS = (32, 64, 128)
HIDDEN = (2048, 2048)
ER_EPSILON = 20.0
DROPOUT = 0.3
POOLED = 2  # pixels a side that become one
MAPS_SEED = 500  # what tells the dropout of maps from that of the top layers


class MapDropout(layers.Dropout):
    """:class:`lib.layers.Dropout` of every value of maps that are channels-last in memory, as a
    convolution with such weights leaves them: without a copy, a fifth of a step here.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float -> (B, C, H, W) float."""
        law = self.next_law()
        if law is None:
            return x
        last = x.permute(0, 2, 3, 1)  # (B, H, W, C)
        rows = last.flatten(0, 2)
        dropped = kernels.dropout(rows.t(), law).t()
        return dropped.view(last.shape).permute(0, 3, 1, 2)


def set_cnn(
    image: Sequence[int],
    n_classes: int,
    *,
    er_epsilon: float | None = ER_EPSILON,
    filters: Sequence[int] = FILTERS,
    hidden: Sequence[int] = HIDDEN,
    dropout: float = DROPOUT,
    enlarge: int = 1,
    standardisation: tuple[Tensor, Tensor] | None = None,
    seed: int = 0,
) -> nn.Sequential:
    """Convolutions, 3 x 3, two of each number of filters, and two layers on top of them.

    A block is convolution, ReLU, dropout, convolution, ReLU and the largest of 2 x 2 pixels.
    Networks of one seed have the same convolutions, whatever their top.

    Source: [Mocanu2018], Performance on CNNs; maps keep their size in a convolution, and pooling
    takes the largest, which the text leaves open: so counted, weights are those of Fig. 7.
    Weights of convolutions start by Glorot's uniform law, as the authors' Keras code has it; as in
    [He2015], signals grow with every pooling and dropout, and SET stayed at chance (rate .02).
    Departs: those of the top layers start as in [He2015], of sparse ones for the links there are.

    Args:
        image: shape of an example, (H, W) or (C, H, W).
        n_classes: number of logits.
        er_epsilon: the SET parameter of the top layers; None: they are dense.
        filters: of both convolutions of each block.
        hidden: widths of the top layers.
        dropout: probability of a zero in the middle of each block and after each top layer.
        enlarge: factor by which the sides of images are enlarged first.
        standardisation: (mean, std) of the training part; None leaves the input as it is.
        seed: of links, weights and dropout.
    Returns: the network, (B, image...) or (B, n) float -> (B, n_classes) float; its parts are named
        standardise or flat, unflatten, enlarge, features and top.
    Raises: ValueError if images are smaller than the pooling takes, a top layer is narrower than
        there are classes, or er_epsilon gives all links of a layer.
    """
    channels, height, width = image if len(image) == 3 else (1, *image)
    sides, factor = (height * enlarge, width * enlarge), POOLED ** len(filters)
    if min(sides) < factor:
        raise ValueError(
            f"images of {sides[0]} x {sides[1]} are too small to be pooled {len(filters)} times:"
            f" give sides of at least {factor}, or enlarge them"
        )
    n_features = filters[-1] * (sides[0] // factor) * (sides[1] // factor)
    widths = (n_features, *hidden, n_classes)
    check_top(widths, er_epsilon)
    net = nn.Sequential()
    if standardisation is not None:
        net.add_module("standardise", layers.Standardise(*standardisation))
    else:
        net.add_module("flat", nn.Flatten())
    net.add_module("unflatten", nn.Unflatten(1, (channels, height, width)))
    if enlarge > 1:
        net.add_module("enlarge", nn.Upsample(scale_factor=enlarge))
    net.add_module("features", _features(channels, filters, dropout, seed))
    top = models.mlp(widths, er_epsilon=er_epsilon, activation="relu", dropout=dropout, seed=seed)
    net.add_module("top", top)
    return net


def check_top(widths: Sequence[int], er_epsilon: float | None) -> None:
    """Refuse top layers that are too narrow or whose links would be all there are.

    Args:
        widths: features, hidden widths, classes.
        er_epsilon: of the hidden layers, None where they are dense.
    Raises: ValueError.
    """
    *below, n_classes = widths
    if min(below[1:]) < n_classes:
        raise ValueError(
            f"a top layer of {min(below[1:])} neurons is narrower than the {n_classes} classes: "
            f"give widths of at least {n_classes}"
        )
    if er_epsilon is None:
        return
    for n_in, n_out in zip(below[:-1], below[1:], strict=True):
        if erdos_renyi_density(n_in, n_out, er_epsilon) == 1:
            full = n_in * n_out / (n_in + n_out)
            raise ValueError(
                f"er_epsilon = {er_epsilon:g} makes the layer {n_in} to {n_out} dense: give less"
                f" than {full:g}, or the method 'dense'"
            )


def _features(n_in: int, filters: Sequence[int], dropout: float, seed: int) -> nn.Sequential:
    """The convolutions: (B, C, H, W) -> (B, features), all pixels of a map side by side."""
    generator = torch.Generator().manual_seed(seed)
    parts = nn.Sequential()
    for block, n_out in enumerate(filters, start=1):
        dropped = MapDropout(dropout, seed=1000 * seed + MAPS_SEED + block)
        parts.extend([_convolution(n_in, n_out, generator), nn.ReLU(), dropped])
        parts.extend([_convolution(n_out, n_out, generator), nn.ReLU(), nn.MaxPool2d(POOLED)])
        n_in = n_out
    parts.append(nn.Flatten())
    return parts.to(memory_format=torch.channels_last)


def _convolution(n_in: int, n_out: int, generator: torch.Generator) -> nn.Conv2d:
    convolution = nn.Conv2d(n_in, n_out, 3, padding=1)
    nn.init.xavier_uniform_(convolution.weight, generator=generator)
    nn.init.zeros_(convolution.bias)
    return convolution


# ------------------------------------------------------------------------------------- weights


def top_weights(top: nn.Sequential) -> int:
    """Weights of the top layers and the softmax, counted as the numbers of Fig. 7 come out: all
    biases with them where the layers are dense, those of the softmax alone where they are sparse.
    """
    if not models.sparse_layers(top):
        return count_parameters(top)
    softmax = list(top)[-1]
    return models.count_links(top) + softmax.bias.numel()
