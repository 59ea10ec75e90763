"""Weights averaged over the steps of training, links that move included."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import torch
from torch import Tensor, nn

from .evolution import AVERAGE, held_by, unwrapped_optimiser
from .names import check_number


class WeightAverage:
    r"""The exponential moving average of all parameters over the steps of an optimiser.

    .. math:: \bar w_t = d_t \bar w_{t-1} + (1 - d_t) w_t, \qquad d_t = \min(d, (1 + t) / (10 + t))

    It lives in the optimiser's state: :func:`lib.evolution.evolve_` moves it with the links, and a
    checkpoint of the optimiser holds it. Parameters that the optimiser does not train stay out of
    it. The average of a new link starts at its weight, and follows as slowly as the others: links
    grown within the last 1 / (1 - d) steps are averaged to less than they have learned.

    Source: [Polyak1992]; the first steps, of little weight, after TensorFlow's moving averages.

    Args:
        model: the network.
        optimiser: of its parameters; where an :class:`lib.sparsify.Evolver` corrects the first
            steps of new links under Adam, make that first.
        decay: d, in (0, 1); it looks back over 1 / (1 - d) steps.
    Raises: ValueError if the decay is out of range.
    """

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer, decay: float) -> None:
        check_number("decay", decay, "(0, 1)")
        self.model = model
        self.optimiser = optimiser = unwrapped_optimiser(optimiser)
        self.decay = decay
        held = held_by(optimiser)
        own = model.parameters()
        self._trained = [p for p in own if p.requires_grad and id(p) in held]
        self._hook = optimiser.register_step_post_hook(self._follow)

    def __reduce_ex__(self, protocol: int) -> NoReturn:
        raise ValueError(
            "a WeightAverage belongs to its optimiser and cannot be copied or pickled: make another"
            " one of the copied model and optimiser, whose state holds the averages"
        )

    @torch.no_grad()
    def _follow(self, *_) -> None:
        for parameter in self._trained:
            state = self.optimiser.state[parameter]
            if parameter.grad is None and AVERAGE not in state:
                continue  # it has not begun to learn, and the optimiser has yet to make its state
            weight = self._begin(parameter)
            state["averaged"] = state.get("averaged", 0) + 1
            state[AVERAGE].lerp_(parameter, weight)

    def _begin(self, parameter: nn.Parameter) -> float:
        """1 - d of the coming step of a parameter; 1 at the first, when its average is made."""
        state = self.optimiser.state[parameter]
        t = state.get("averaged", 0)
        if t == 0:
            state[AVERAGE] = torch.zeros_like(parameter)
            return 1.0
        return 1 - min(self.decay, (1 + t) / (10 + t))

    def weight_of_step(self) -> float:
        """1 - d of the coming step, in which all parameters learn that did before."""
        weight = 1.0
        for parameter in self._trained:
            weight = self._begin(parameter)
        return weight

    @property
    def is_even(self) -> bool:
        """Whether all averages have followed the same number of steps."""
        states = [self.optimiser.state.get(parameter, {}) for parameter in self._trained]
        return len({state.get("averaged", 0) for state in states}) <= 1

    def count_step(self) -> None:
        """Count the step that the averages have followed."""
        for parameter in self._trained:
            state = self.optimiser.state[parameter]
            state["averaged"] = state.get("averaged", 0) + 1

    def _averages(self) -> list[tuple[nn.Parameter, Tensor]]:
        pairs = []
        for parameter in self._trained:
            state = self.optimiser.state[parameter]
            if state.get("averaged", 0) > 0:
                pairs.append((parameter, state[AVERAGE]))
        return pairs

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While it is entered, the model has the averaged weights."""
        pairs = self._averages()
        trained = [parameter.data for parameter, _ in pairs]
        for parameter, average in pairs:
            parameter.data = average
        try:
            yield
        finally:
            for (parameter, _), values in zip(pairs, trained, strict=True):
                parameter.data = values

    def stop(self) -> None:
        """Follow no further steps of the optimiser."""
        self._hook.remove()

    def take_(self) -> None:
        """Leave the averaged weights in the model."""
        for parameter, average in self._averages():
            parameter.data = average.clone()
