"""How networks are trained to be robust: links left out, attacked examples, or both."""

from dataclasses import dataclass

from lib import train
from lib.robustness.defences import Adversarial, DropConnect, Trades
from papers.shared.sparse_training import SparseTraining


@dataclass(frozen=True)
class RobustTraining(SparseTraining):
    """Training by a recipe; the variant names it.

    Args:
        drop_connect: largest fraction of the links left out of a step, see
            :class:`lib.robustness.defences.DropConnect`; 0: none.
        adversarial_radius: L-infinity radius of the points that are trained on, see
            :class:`lib.robustness.defences.Adversarial`; 0: the examples themselves.
        adversarial_steps: of the ascent.
        growing_epochs: over which the radius grows to its full size; 0: it is full at once.
        trades_beta: weight of the divergence, see :class:`lib.robustness.defences.Trades`; 0:
            training on the attacked examples themselves.
        grow_radius: L-infinity radius of the points by whose gradient links grow; 0: as trained on.
    """

    drop_connect: float = 0.0
    adversarial_radius: float = 0.0
    adversarial_steps: int = 2
    growing_epochs: int = 0
    trades_beta: float = 0.0
    grow_radius: float = 0.0

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        super().check()
        if self.growing_epochs > self.epochs:
            raise ValueError(
                f"growing_epochs = {self.growing_epochs} of {self.epochs} epochs: give no more"
            )
        if self.trades_beta != 0 and self.drop_connect != 0:
            raise ValueError(
                f"trades_beta = {self.trades_beta} and drop_connect = {self.drop_connect}: give one"
                " of them"
            )
        for name in ("growing_epochs", "trades_beta"):
            if getattr(self, name) != 0 and self.adversarial_radius == 0:
                raise ValueError(
                    f"{name} = {getattr(self, name)} without attacked examples: give an"
                    " adversarial_radius"
                )
        self.objectives()  # refuses what is out of range
        evolution = self.settings().evolution
        if self.grow_radius != 0 and (evolution is None or not evolution.needs_gradient):
            raise ValueError(
                f"grow_radius = {self.grow_radius} changes nothing where no link grows by gradient:"
                " leave it out, or choose runs whose links do, as method=rigl"
            )

    def objectives(self) -> dict[str, train.Objective]:
        """Objectives that the steps lower, and growth follows."""
        given: dict[str, train.Objective] = {}
        attacked = None
        if self.adversarial_radius != 0:
            schedule = {"steps": self.adversarial_steps, "growing_epochs": self.growing_epochs}
            attacked = Adversarial(self.adversarial_radius, **schedule)
            if self.trades_beta != 0:
                attacked = Trades(self.adversarial_radius, **schedule, beta=self.trades_beta)
            given["objective"] = attacked
        if self.drop_connect != 0:
            given["objective"] = DropConnect(self.drop_connect, attacked)
        if self.grow_radius != 0:
            given["grow_objective"] = Adversarial(self.grow_radius, steps=self.adversarial_steps)
        return given
