"""A step of contrastive divergence, ours against dense machines and scikit-learn's."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count

import pandas as pd
import torch
from torch import Tensor, nn

from lib import evolution, layers, sampling
from lib.bench import timing
from lib.names import check_known
from lib.support import erdos_renyi_density

N_VISIBLE = 784  # as MNIST
BATCH = 100
EXAMPLES = 10_000  # random ones, from which batches are drawn
EPOCH = 600  # steps of an epoch on MNIST
MEASURED = ("fused", "dense")  # whose epochs are measured
EPOCH_ROUNDS = 2
ER_EPSILON = 11.0  # [Mocanu2018], Table 2
HIDDEN = {"smoke": (32,), "quick": (500,), "paper": (500, 2500)}
DENSITIES = {
    "smoke": (0.05,),
    "quick": (0.02, 0.1),
    "paper": (0.01, 0.04, 0.16, 0.32),
}
ROUNDS = {"smoke": (2, 0.005), "quick": (2, 0.05), "paper": (3, 0.3)}


class Machine:
    """A call is one CD-1 step on a batch of random binary examples.

    Args:
        contender: "fused", ours with sparse links; "dense", the same step with dense ones, their
            products by oneDNN and their units in one pass; "dense_modules", plain torch;
            "scikit_learn", its persistent chains with one sweep.
        n_hidden: hidden units.
        density: of the links of "fused".
        n_visible: visible units.
    Raises: ValueError for an unknown contender.
    """

    def __init__(
        self, contender: str, n_hidden: int, density: float, n_visible: int = N_VISIBLE
    ) -> None:
        check_known("contender", contender, STEPS)
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(EXAMPLES, n_visible, generator=generator, dtype=torch.float32).round()
        self.x = x.to(torch.uint8) if STEPS[contender] is _ours else x
        self.laws = _laws()
        self.links = _links(contender, n_visible, n_hidden, density, generator).float()
        self.down_bias = nn.Parameter(torch.zeros(n_visible, dtype=torch.float32))
        self._twin = None
        if contender == "scikit_learn":
            self._twin = _scikit_learn(n_hidden)
        self.optimiser = torch.optim.SGD(
            [*self.links.parameters(), self.down_bias], lr=0.01, momentum=0.9, fused=True
        )
        self._step = partial(STEPS[contender], self)

    @torch.no_grad()
    def __call__(self) -> None:
        self._step(torch.randint(EXAMPLES, (BATCH,)))

    def epoch(self) -> None:
        """As many steps as MNIST has, and the evolution of the links where they are sparse."""
        for _ in range(EPOCH):
            self()
        if isinstance(self.links, layers.SparseLinear):
            generator = torch.Generator().manual_seed(0)
            rules = evolution.Evolution()
            options = {"fraction": 0.3, "generator": generator, "optimiser": self.optimiser}
            evolution.evolve_(self.links, rules, **options)

    def descend(self, weights: Tensor, down_bias: Tensor, up_bias: Tensor) -> None:
        """A step of the optimiser along these gradients."""
        is_sparse = isinstance(self.links, layers.SparseLinear)
        parameter = self.links.values if is_sparse else self.links.weight
        parameter.grad, self.down_bias.grad, self.links.bias.grad = weights, down_bias, up_bias
        self.optimiser.step()


def _laws() -> Iterator[sampling.SamplingLaw]:
    return (sampling.sampling_law(0, step) for step in count())


def _links(
    contender: str, n_visible: int, n_hidden: int, density: float, generator: torch.Generator
) -> nn.Module:
    options = {"start": 0.05, "generator": generator}
    if contender == "fused":
        return layers.SparseLinear(n_visible, n_hidden, density=density, **options)
    return layers.Linear(n_visible, n_hidden, **options)


def _scikit_learn(n_hidden: int):
    from sklearn.neural_network import BernoulliRBM  # half a second to import

    return BernoulliRBM(n_hidden, learning_rate=0.01, random_state=0)


def _ours(machine: Machine, index: Tensor) -> None:
    biases = machine.down_bias, machine.links.bias
    v = sampling.batch(machine.x, index, torch.float32)
    found = sampling.contrastive_divergence(machine.links, *biases, v, partial(next, machine.laws))
    machine.descend(found.weights, found.down_bias, found.up_bias)


def _plain_torch(machine: Machine, index: Tensor) -> None:
    v = machine.x.index_select(0, index)
    weight, a, c = machine.links.weight, machine.down_bias, machine.links.bias
    p = torch.sigmoid(v @ weight.t() + c)
    w = torch.bernoulli(torch.sigmoid(torch.bernoulli(p) @ weight + a))
    q = torch.sigmoid(w @ weight.t() + c)
    gradient = (q.t() @ w - p.t() @ v) / len(v)
    machine.descend(gradient, (w - v).mean(0), (q - p).mean(0))


def _of_scikit_learn(machine: Machine, index: Tensor) -> None:
    machine._twin.partial_fit(machine.x.index_select(0, index).numpy())


STEPS: dict[str, Callable[[Machine, Tensor], None]] = {
    "fused": _ours,
    "dense": _ours,
    "dense_modules": _plain_torch,
    "scikit_learn": _of_scikit_learn,
}


def compare_machines(profile: str) -> list[tuple[str, int, float, dict]]:
    """Seconds of steps and epochs against the number of hidden units, and of steps against the
    density, of which dense machines have none.

    Args:
        profile: "smoke", "quick" or "paper"; epochs are measured in the last alone, of ours and the
            dense machine.
    Returns: (measure, hidden units, density, {contender: (rounds,) seconds}).
    """
    rounds, turn = ROUNDS[profile]
    found = []
    for n_hidden in HIDDEN[profile]:
        density = erdos_renyi_density(N_VISIBLE, n_hidden, ER_EPSILON)
        machines = {name: Machine(name, n_hidden, density) for name in STEPS}
        seconds = timing.compare(machines, rounds, turn)
        found.append(("cd1_step", n_hidden, density, seconds))
        if profile == "paper":
            epochs = {name: machines[name].epoch for name in MEASURED}
            seconds = timing.compare(epochs, EPOCH_ROUNDS, turn)
            found.append(("cd1_epoch", n_hidden, density, seconds))
    for density in DENSITIES[profile]:
        n_hidden = HIDDEN[profile][0]
        machines = {name: Machine(name, n_hidden, density) for name in ("fused", "dense")}
        seconds = timing.compare(machines, rounds, turn)
        found.append(("cd1_step_at_density", n_hidden, density, seconds))
    return found


def speedups(table: pd.DataFrame) -> pd.DataFrame:
    """How many times our steps and epochs are faster than the others', a row a measure, number of
    hidden units and density, a column a contender.

    Args:
        table: of :func:`lib.bench.obtain`, "machines".
    """
    keys = ["measure", "n", "density"]
    costs = table.pivot_table("median_ms", keys, "contender", sort=False)
    return costs.div(costs["fused"], axis=0)


def rows(profile: str, quartiles: Callable[[str, dict], pd.DataFrame]) -> Sequence[pd.DataFrame]:
    """The tables of :func:`compare_machines`, one a comparison."""
    tables = []
    for measure, n_hidden, density, seconds in compare_machines(profile):
        table = quartiles(measure, seconds)
        facts = {"kind": "machines", "sweep": "machines", "n": n_hidden, "batch": BATCH}
        tables.append(table.assign(**facts, density=density))
    return tables
