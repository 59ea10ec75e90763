r"""log Z of a machine by annealed importance sampling, with what says how far to trust it.

Chains go from a base model whose log Z is known, independent units with the means of the data, to
the machine, by intermediate ones,

.. math:: f_\beta(v) = (1 - \beta) \, a_0 \cdot v + \beta \, a \cdot v
    + \sum_j \ln(1 + e^{\beta (c + W v)_j})

and the mean of their weights estimates the ratio of the two constants. All in float64.

Source: [Neal2001]; for these machines [Salakhutdinov2008].
"""

import copy
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lib import sampling
from papers.set.rbm.model import RBM, check_binary

CHAINS = 100
SEGMENTS = ((0.0, 0.5, 501), (0.5, 0.9, 4001), (0.9, 1.0, 10_001))  # of the published schedule
N_PUBLISHED = sum(n for *_, n in SEGMENTS)
APART = 3.0  # standard errors by which two machines that are ranked differ
LEAST_ESS = 10.0  # with fewer effective chains the standard error says nothing

# -------------------------------------------------------------------------------------- schedules


def schedule(n: int) -> Tensor:
    """(n,) float64 inverse temperatures from 0 to 1: evenly spaced, but for n = 14,503 the
    published ones, of which two thirds lie above .9.

    Source: [Salakhutdinov2008], the authors' released settings.

    Raises: ValueError for fewer than two.
    """
    if n < 2:
        raise ValueError(f"{n} temperatures are too few: give at least 2")
    if n != N_PUBLISHED:
        return torch.linspace(0, 1, n, dtype=torch.float64)
    return torch.cat([torch.linspace(*segment, dtype=torch.float64) for segment in SEGMENTS])


# ------------------------------------------------------------------------------------- base model


class Base(NamedTuple):
    """Independent visible units, from which chains start.

    Attributes:
        log_odds: (n_visible,) float64, of a 1.
        clipped: number of units that are constant in the data, whose probability was moved off 0
            or 1.
    """

    log_odds: Tensor
    clipped: int

    @property
    def notice(self) -> str:
        """One line to be said with results; empty where nothing was clipped."""
        if not self.clipped:
            return ""
        return (
            f"{self.clipped} of {len(self.log_odds)} features are constant in the training part:"
            " their probability in the base model is half a row off 0 or 1"
        )


def base_of(x: Tensor) -> Base:
    """The base model with the means of the data, at least half a row away from 0 and 1.

    With any other base, as the uniform one or the machine's own biases, estimates can be many nats
    off while their spread looks healthy.

    Args:
        x: (N, n_visible) binary training examples.
    Raises: ValueError unless the rows are binary.
    """
    check_binary(x)
    means = x.double().mean(0)
    half_row = 0.5 / len(x)
    kept = means.clamp(half_row, 1 - half_row)
    return Base(kept.logit(), int((kept != means).sum()))


# -------------------------------------------------------------------------------------- estimates


@dataclass(frozen=True)
class LogZ:
    """An estimate of log Z.

    Attributes:
        value: the estimate; its expectation is at most log Z (at least, in reverse).
        se: standard error, by the spread of the weights. It cannot exceed 1 much, however wrong the
            estimate is: below :data:`LEAST_ESS` effective chains it says nothing.
        sd: standard deviation of the log weights.
        ess: effective number of chains.
        chains, temperatures: how many.
    """

    value: float
    se: float
    sd: float
    ess: float
    chains: int
    temperatures: int


def forward(rbm: RBM, base: Base, betas: Tensor, *, chains: int = CHAINS, seed: int) -> LogZ:
    """Estimate log Z by chains that start from the base model.

    Args:
        rbm: the machine; not changed. Chains run on its device.
        base: see :func:`base_of`.
        betas: see :func:`schedule`.
        chains: how many, at least 2: one has no standard error.
        seed: of the randomness.
    """
    log_weights = forward_weights(rbm, base, betas, chains=chains, seed=seed)
    log_z0 = _log_z_of_base(base, rbm)
    value, se, sd, ess = _summed_up(log_weights)
    return LogZ(log_z0 + value, se, sd, ess, chains, len(betas))


def forward_weights(
    rbm: RBM, base: Base, betas: Tensor, *, chains: int = CHAINS, seed: int
) -> Tensor:
    """(chains,) float64 log weights, the mean of whose exponentials is Z over that of the base;
    arguments as in :func:`forward`.
    """
    p = base.log_odds.sigmoid()[:, None].expand(-1, chains)
    law = sampling.sampling_law(seed, 0)
    v = (p > sampling.uniforms(p.shape, law, dtype=torch.float64)).double()
    return _annealed(rbm, base, v, betas.tolist(), seed)


def reverse(rbm: RBM, base: Base, betas: Tensor, v: Tensor, *, seed: int) -> LogZ:
    """Estimate log Z from above, by chains that go from the machine to the base model.

    With :func:`forward` it brackets log Z, in expectation. That holds only if ``v`` are exact
    samples of the machine (:func:`papers.set.rbm.exact.samples`): from the data nothing is
    bounded.

    Source: [Burda2015].

    Args:
        v: (chains, n_visible) samples of the machine.
        rbm, base, betas, seed: as in :func:`forward`.
    Raises: ValueError unless the samples are binary.
    """
    check_binary(v, "the samples")
    columns = v.t().double().contiguous()
    log_weights = _annealed(rbm, base, columns, betas.flip(0).tolist(), seed)
    value, se, sd, ess = _summed_up(log_weights)
    return LogZ(_log_z_of_base(base, rbm) - value, se, sd, ess, len(v), len(betas))


@torch.no_grad()
def _annealed(rbm: RBM, base: Base, v: Tensor, betas: list[float], seed: int) -> Tensor:
    """(chains,) sum of the changes of f along the schedule, v (n_visible, chains) moving by a Gibbs
    sweep at each temperature after the first.
    """
    machine = copy.deepcopy(rbm).double()
    links, a, c = machine.links, machine.visible_bias.detach(), machine.hidden_bias.detach()
    v, a_0 = v.to(a), base.log_odds.to(a)
    log_weights = v.new_zeros(v.shape[1])
    for k, (before, after) in enumerate(zip(betas[:-1], betas[1:], strict=True), start=1):
        up, down = (sampling.sampling_law(seed, 2 * k + side) for side in (0, 1))
        gains, h = sampling.tempered(links, v, c, (before, after), up)
        log_weights += gains + (after - before) * ((a - a_0) @ v)
        blend = torch.lerp(a_0, a, after)
        v = sampling.sample(links, h, blend, down, down=True, slope=after)
    return log_weights.cpu()


def _log_z_of_base(base: Base, rbm: RBM) -> float:
    zero = torch.zeros_like(base.log_odds)
    return float(torch.logaddexp(base.log_odds, zero).sum()) + rbm.n_hidden * math.log(2)


def _summed_up(log_weights: Tensor) -> tuple[float, float, float, float]:
    """Logarithm of the mean weight, its standard error, sd of the logarithms, effective number."""
    n = len(log_weights)
    value = log_weights.logsumexp(0) - math.log(n)
    relative = (log_weights - value).exp()  # of mean 1
    se = relative.std() / math.sqrt(n)
    ess = n**2 / relative.square().sum()
    return float(value), float(se), float(log_weights.std()), float(ess)


# ------------------------------------------------------------------------------------ likelihoods


class LogLikelihood(NamedTuple):
    """Mean log-probability of some rows, nats.

    Attributes:
        value: by the estimate of log Z, whose error is biased: upwards.
        is_possible: whether no more than any normalised model can have; if not, the estimate of
            log Z has failed.
    """

    value: float
    is_possible: bool


def log_likelihood(rbm: RBM, estimate: LogZ, x: Tensor, ceiling: float) -> LogLikelihood:
    """Mean log-probability of the rows ``x`` (N, n_visible) under a machine of this log Z.

    Args:
        ceiling: of the rows (:func:`papers.set.rbm.exact.ceiling`).
    Raises: ValueError unless the rows are binary.
    """
    check_binary(x)
    machine = copy.deepcopy(rbm).double()
    energies = machine.free_energy(x.to(machine.visible_bias))
    value = -float(energies.mean()) - estimate.value
    return LogLikelihood(value, value <= ceiling)
