"""A step of contrastive divergence, ours against dense machines and scikit-learn's."""

from collections.abc import Callable
from functools import partial
from itertools import count

import torch
from torch import Tensor, nn

from lib import layers, sampling
from lib.names import check_known

N_VISIBLE = 784  # as MNIST
BATCH = 100
EXAMPLES = 10_000  # random ones, from which batches are drawn
ER_EPSILON = 11.0  # [Mocanu2018], Table 2


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
        self.x = x.to(torch.uint8) if contender in ("fused", "dense") else x
        self.steps = count()
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

    def descend(self, weights: Tensor, down_bias: Tensor, up_bias: Tensor) -> None:
        """A step of the optimiser of a dense machine along these gradients."""
        self.links.weight.grad, self.down_bias.grad, self.links.bias.grad = (
            weights,
            down_bias,
            up_bias,
        )
        self.optimiser.step()


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
    laws = sampling.laws_of(0, 2 * next(machine.steps), (1, 2))
    operands = machine.down_bias, machine.x, index, BATCH, laws, machine.optimiser
    sampling.descend_(machine.links, *operands)


def _ours_dense(machine: Machine, index: Tensor) -> None:
    biases = machine.down_bias, machine.links.bias
    v = sampling.batch(machine.x, index, torch.float32)
    laws = (sampling.sampling_law(0, next(machine.steps)) for _ in range(2))
    found = sampling.contrastive_divergence(machine.links, *biases, v, partial(next, laws))
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
    "dense": _ours_dense,
    "dense_modules": _plain_torch,
    "scikit_learn": _of_scikit_learn,
}
