"""How networks are trained to be robust: links left out, attacked examples, or both."""

from dataclasses import dataclass

from lib import train
from lib.papers.shared.sparse_training import SparseTraining
from lib.robustness.defences import Adversarial, DropConnect


@dataclass(frozen=True)
class RobustTraining(SparseTraining):
    """Training by a recipe; the variant names it.

    Args:
        drop_connect: largest fraction of the links left out of a step, see
            :class:`lib.robustness.defences.DropConnect`; 0: none.
        adversarial_radius: L-infinity radius of the points that are trained on, see
            :class:`lib.robustness.defences.Adversarial`; 0: the examples themselves.
        adversarial_steps: of the ascent.
        grow_radius: L-infinity radius of the points by whose gradient links grow; 0: as trained on.
    """

    drop_connect: float = 0.0
    adversarial_radius: float = 0.0
    adversarial_steps: int = 2
    grow_radius: float = 0.0

    def objectives(self) -> dict[str, train.Objective]:
        """What the steps lower, and growth follows."""
        given: dict[str, train.Objective] = {}
        attacked = None
        if self.adversarial_radius > 0:
            attacked = Adversarial(self.adversarial_radius, steps=self.adversarial_steps)
            given["objective"] = attacked
        if self.drop_connect > 0:
            given["objective"] = DropConnect(self.drop_connect, attacked)
        if self.grow_radius > 0:
            given["grow_objective"] = Adversarial(self.grow_radius, steps=self.adversarial_steps)
        return given
