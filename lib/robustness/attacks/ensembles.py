"""Attacks in turn: what one leaves unbroken, the next one tries."""

from functools import partial

from torch import Generator, Tensor, nn

from .gradient import apgd
from .search import square
from .setting import (
    UNIT,
    Bounds,
    check_examples,
    check_model,
    check_settings,
    image_shape,
    is_adversarial,
    say,
)


def ensemble(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    radius: float,
    steps: int = 100,
    queries: int = 1000,
    generator: Generator,
    bounds: Bounds = UNIT,
) -> tuple[Tensor, dict[str, Tensor]]:
    """APGD on the cross-entropy, APGD on DLR and Square in turn, on what is not yet broken.

    After [Croce2020a], Section 6.
    Departs: this is not AutoAttack, which has targeted APGD-DLR and FAB too, and 5,000 queries.

    Args:
        steps, queries: of each APGD; of Square.
        model, x, y, radius, generator, bounds: as in :func:`square`.
    Returns: points like x, and for each of "apgd_ce", "apgd_dlr" and "square" that ran a (B,) bool:
        whether the example is broken after that attack, by it, before it or from the start. With
        two classes there is no "apgd_dlr", of examples that are no images no "square"; the log
        says so.
    Raises: ValueError as :func:`pgd`.
    """
    # what a later attack would refuse is refused before the first
    check_examples(x, bounds)
    check_settings({"steps": steps, "queries": queries})
    attacks = {"apgd_ce": partial(apgd, loss="ce", steps=steps)}
    if check_model(model, x, y) > 2:
        attacks["apgd_dlr"] = partial(apgd, loss="dlr", steps=steps)
    else:
        say("the ensemble ran without apgd_dlr, whose loss needs three classes")
    try:
        image_shape(x.shape[1:])
        attacks["square"] = partial(square, queries=queries)
    except ValueError as error:
        say(f"the ensemble ran without square: {error}")
    x_adv = x
    wrong = is_adversarial(model, x, y)
    broken = {}
    for name, attack in attacks.items():
        start = x.detach().clone()
        start[wrong] = x_adv[wrong]  # misclassified, so left as they are
        x_adv = attack(model, start, y, radius=radius, generator=generator, bounds=bounds)
        wrong = is_adversarial(model, x_adv, y)
        broken[name] = wrong
    return x_adv, broken
