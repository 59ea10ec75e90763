"""A step of contrastive divergence, ours against dense machines and scikit-learn's."""

from collections.abc import Callable
from functools import partial
from itertools import count

import torch
from torch import Tensor, nn

from lib import layers, sampling

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
    """

    def __init__(
        self, contender: str, n_hidden: int, density: float, n_visible: int = N_VISIBLE
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(EXAMPLES, n_visible, generator=generator, dtype=torch.float32).round()
        self.x = x.to(torch.uint8) if contender in ("fused", "dense") else x
        self.n_steps = count()
        options = {"start": 0.05, "generator": generator}
        if contender == "fused":
            links = layers.SparseLinear(n_visible, n_hidden, density=density, **options)
        else:
            links = layers.Linear(n_visible, n_hidden, **options)
        self.links = links.float()
        self.down_bias = nn.Parameter(torch.zeros(n_visible, dtype=torch.float32))
        self.optimiser = torch.optim.SGD(
            [*self.links.parameters(), self.down_bias], lr=0.01, momentum=0.9, fused=True
        )
        self.twin = None
        if contender == "scikit_learn":
            from sklearn.neural_network import BernoulliRBM  # half a second to import

            self.twin = BernoulliRBM(n_hidden, learning_rate=0.01, random_state=0)
        self.step = STEPS[contender]

    @torch.no_grad()
    def __call__(self) -> None:
        self.step(self, torch.randint(EXAMPLES, (BATCH,)))

    def fused(self, index: Tensor) -> None:
        """Our step, with sparse links."""
        laws = sampling.laws_of(0, 2 * next(self.n_steps), (1, 2))
        sampling.descend_(self.links, self.down_bias, self.x, index, BATCH, laws, self.optimiser)

    def dense(self, index: Tensor) -> None:
        """A step of contrastive divergence with all links."""
        v = sampling.batch(self.x, index, torch.float32)
        laws = (sampling.sampling_law(0, next(self.n_steps)) for _ in range(2))
        gradients = sampling.contrastive_divergence(
            self.links, self.down_bias, self.links.bias, v, partial(next, laws)
        )
        self._descend(gradients.weights, gradients.down_bias, gradients.up_bias)

    def plain_torch(self, index: Tensor) -> None:
        """A step of contrastive divergence in torch's own operations."""
        v = self.x.index_select(0, index)
        weight, a, c = self.links.weight, self.down_bias, self.links.bias
        p = torch.sigmoid(v @ weight.t() + c)
        w = torch.bernoulli(torch.sigmoid(torch.bernoulli(p) @ weight + a))
        q = torch.sigmoid(w @ weight.t() + c)
        gradient = (q.t() @ w - p.t() @ v) / len(v)
        self._descend(gradient, (w - v).mean(0), (q - p).mean(0))

    def scikit_learn(self, index: Tensor) -> None:
        """A step of scikit-learn's machine."""
        self.twin.partial_fit(self.x.index_select(0, index).numpy())

    def _descend(self, weights: Tensor, down_bias: Tensor, up_bias: Tensor) -> None:
        self.links.weight.grad, self.links.bias.grad = weights, up_bias
        self.down_bias.grad = down_bias
        self.optimiser.step()


STEPS: dict[str, Callable[[Machine, Tensor], None]] = {
    "fused": Machine.fused,
    "dense": Machine.dense,
    "dense_modules": Machine.plain_torch,
    "scikit_learn": Machine.scikit_learn,
}
