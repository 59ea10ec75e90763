"""Which images a network still classifies correctly under the attacks of a study."""

from torch import Tensor, nn

from lib.papers.shared.study import Study
from lib.robustness import attacks

APGD_STEPS = 2.5  # of each APGD of an ensemble, relative to those of PGD


def right_under_pgd(
    study: Study, model: nn.Module, x: Tensor, y: Tensor, *, radius: float, norm: str
) -> Tensor:
    """(n,) bool, whether each image is classified correctly after the PGD of a study."""
    x_adv = attacks.pgd(
        model,
        x,
        y,
        radius=radius,
        norm=norm,
        steps=study.steps,
        restarts=study.restarts,
        generator=study.generator(),
    )
    return ~attacks.is_adversarial(model, x_adv, y)


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
        model,
        x,
        y,
        radius=radius,
        steps=steps,
        queries=study.queries,
        generator=study.generator(),
    )
    return {attack: ~lost for attack, lost in broken.items()}
