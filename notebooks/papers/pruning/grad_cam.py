"""Where in an image a pooled feature looks: Grad-CAM++ on the last convolutional map."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def grad_cam_plus_plus(maps: Tensor, grads: Tensor) -> Tensor:
    r"""Where a score comes from, on the maps of a convolutional layer.

    .. math::
        L_{ij} = \mathrm{ReLU}\Big(\sum_k w_k A^k_{ij}\Big), \quad
        w_k = \sum_{ij} \alpha^k_{ij} \, \mathrm{ReLU}(g^k_{ij}), \quad
        \alpha^k_{ij} = \frac{(g^k_{ij})^2}{2 (g^k_{ij})^2 + (g^k_{ij})^3 \sum_{ab} A^k_{ab}}

    with :math:`g^k_{ij} = \partial S / \partial A^k_{ij}` and :math:`\alpha` 0 where g is.

    Source: [Chattopadhyay2018] Section 3, for the score :math:`Y = e^S`, whose second and third
    derivatives are powers of g where S is linear in the maps.
    Departs: the factor :math:`e^S`, one for the whole image, is left out.

    Args:
        maps: A, (B, K, h, w) activations.
        grads: g, of the same shape.
    Returns: L, (B, h, w).
    """
    square, cube = grads**2, grads**3
    total = maps.sum((2, 3), keepdim=True)
    denominator = 2 * square + cube * total
    alpha = torch.where(denominator != 0, square / denominator, 0.0)
    weights = (alpha * grads.relu()).sum((2, 3), keepdim=True)  # (B, K, 1, 1)
    return (weights * maps).sum(1).relu()


def of_pooled_features(maps: Tensor, chosen: Sequence[int] | np.ndarray) -> Tensor:
    r"""The Grad-CAM++ map of each of some pooled features, which are means of maps.

    The gradient of a mean is :math:`1 / (h w)` at every position of its own map and 0 on the
    others. So all positions weigh the same, and the map of a feature is its own activation, times
    a number of the image: it says where the feature is active.

    Args:
        maps: (B, K, h, w) last convolutional map, at least 0.
        chosen: n features, 0 to K - 1.
    Returns: (B, n, h, w).
    """
    own = maps[:, torch.as_tensor(chosen)]  # (B, n, h, w)
    each = own.flatten(0, 1)[:, None]
    gradients = torch.full_like(each, 1 / each[0].numel())
    return grad_cam_plus_plus(each, gradients).reshape(own.shape)
