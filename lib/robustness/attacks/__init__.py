r"""Inputs changed on purpose or by accident: adversarial attacks, noise and corruptions.

Three kinds: attacks of a fixed radius (:func:`fgsm`, :func:`pgd`, :func:`apgd`, :func:`square`,
:func:`ensemble`, and :func:`one_pixel`) look for an adversarial point, one that the model takes for
another class, near an example; attacks of minimal norm (:func:`deepfool`, :func:`carlini_wagner`,
:func:`bisected_pgd`, :func:`boundary`) look for the closest one, and :func:`closest`
gives the closest of theirs; :func:`gaussian_noise` and :func:`corrupt` know nothing of the model.
All attacks

- leave examples that are misclassified at the start as they are, also where the points are to fool
  another model;
- stay inside the bounds of the pixels and inside the radius at every iterate;
- work on a frozen copy: the model is never changed, and no gradient of a weight is computed;
- take the examples in batches of 1000;
- of a fixed radius, stop working on an example that is broken, and return its first adversarial
  point, else the point of highest loss; :func:`one_pixel`, and :func:`pgd` with
  ``early_stop=False``, go on to that point;
- of minimal norm, return the closest adversarial point, else the example itself;
- refuse a model whose logits are nan;
- that follow gradients refuse a model that passes none to its input, and log for how many examples
  all gradients were 0: that these are not broken proves nothing.
"""

from .corruptions import CORRUPTIONS, corrupt, gaussian_noise
from .ensembles import ensemble
from .gradient import apgd, fgsm, pgd
from .losses import LOSSES, difference_of_logits_ratio, log_odds, margin
from .minimal import bisected_pgd, boundary, carlini_wagner, deepfool
from .search import one_pixel, square
from .setting import adversarial_distance, closest, distance, is_adversarial

__all__ = [
    "CORRUPTIONS",
    "LOSSES",
    "adversarial_distance",
    "apgd",
    "bisected_pgd",
    "boundary",
    "carlini_wagner",
    "closest",
    "corrupt",
    "deepfool",
    "difference_of_logits_ratio",
    "distance",
    "ensemble",
    "fgsm",
    "gaussian_noise",
    "is_adversarial",
    "log_odds",
    "margin",
    "one_pixel",
    "pgd",
    "square",
]
