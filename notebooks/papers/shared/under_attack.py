"""Which images a network still classifies correctly under the attacks of a study, and whether these
attacks can be trusted.
"""

import torch
from torch import Tensor, nn

from lib.layers import Scale
from lib.robustness import attacks
from lib.robustness.attacks.losses import is_misclassified
from lib.train import accuracy, predict
from papers.shared.study import Study

APGD_STEPS = 2.5  # of each APGD of an ensemble, relative to those of PGD
LOGIT_SCALES = (0.01, 100.0)


def is_right(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """(n,) bool, whether each image is classified correctly."""
    return ~is_misclassified(predict(model, x), y)


def share(right: Tensor) -> float:
    """The share of images of which something is true."""
    return right.double().mean().item()


def right_under_pgd(
    study: Study, model: nn.Module, x: Tensor, y: Tensor, *, radius: float, norm: str
) -> Tensor:
    """(n,) bool, whether each image is classified correctly after the PGD of a study."""
    pgd = {"steps": study.steps, "restarts": study.restarts, "generator": study.generator()}
    return is_right(model, attacks.pgd(model, x, y, radius=radius, norm=norm, **pgd), y)


def right_under_ensemble(
    study: Study, model: nn.Module, x: Tensor, y: Tensor, *, radius: float, steps: int
) -> dict[str, Tensor]:
    """(n,) bool, whether each image is classified correctly, after each attack in turn; "square" is
    the last.

    Args:
        study, model, x, y: what is attacked.
        radius: in L-infinity.
        steps: of each APGD.
    """
    _, broken = attacks.ensemble(
        model, x, y, radius=radius, steps=steps, queries=study.queries, generator=study.generator()
    )
    return {attack: ~lost for attack, lost in broken.items()}


def sanity(
    study: Study, model: nn.Module, x: Tensor, y: Tensor, *, steps: int = 40
) -> tuple[float, dict[float, float], float]:
    """Signs that the gradients of a network mislead attacks.

    Args:
        study, model, x, y: what is attacked; the first radius is that of the scaled logits.
        steps: of PGD on scaled logits.
    Returns: accuracy under PGD of radius 1, which must break everything; under PGD that sees the
        logits scaled, by scale; the share of images without a gradient.
    """
    everywhere = attacks.pgd(model, x, y, radius=1.0, generator=study.generator())
    by_scale = {}
    for scale in LOGIT_SCALES:
        scaled = nn.Sequential(model, Scale(scale)).eval()
        ball = {"radius": study.radii[0], "generator": study.generator()}
        x_adv = attacks.pgd(scaled, x, y, steps=steps, **ball)
        by_scale[scale] = accuracy(model, x_adv, y)
    inputs = x.clone().requires_grad_()
    (grad_x,) = torch.autograd.grad(attacks.log_odds(model(inputs), y).sum(), inputs)
    zero = (grad_x.flatten(1) == 0).all(1)
    return accuracy(model, everywhere, y), by_scale, share(zero)
