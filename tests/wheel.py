"""What a user of the wheel does, with its extras ``data`` and ``topology``; an assertion fails
where it does not work.
"""

from pathlib import Path

import numpy as np
import torch
from sparse_adaptive import data, models, sparsify, topology, train
from sparse_adaptive.evolution import Evolution
from sparse_adaptive.robustness import attacks, perturb
from sparse_adaptive.topology import power_law, structure
from torch import nn


def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))


torch.manual_seed(0)
split = data.load("digits")
generator = torch.Generator().manual_seed(0)
net = network()
assert sparsify.sparsify_(net, start="magnitude", density=0.2, generator=generator) == ["1", "3"]
optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
evolver = sparsify.Evolver(net, optimiser, Evolution(), every=10, steps=100, generator=generator)
for _ in range(100):
    drawn = torch.randint(len(split.x_train), (100,), generator=generator)
    optimiser.zero_grad()
    loss = nn.functional.cross_entropy(net(split.x_train[drawn]), split.y_train[drawn])
    loss.backward()
    optimiser.step()
    evolver.step()
assert train.accuracy(net, split.x_test, split.y_test) > 0.8

torch.save(net.state_dict(), "net.pt")
again = network()
sparsify.sparsify_(again, start="magnitude", density=0.2, generator=generator)
again.load_state_dict(torch.load("net.pt", weights_only=True))
out = net(split.x_test)
assert torch.equal(again(split.x_test), out)
compiled = torch.compile(again, backend="aot_eager", fullgraph=True)
assert torch.allclose(compiled(split.x_test), out, atol=1e-5)
net.eval()
some = split.x_test[:100], split.y_test[:100]  # as many as in a step: no new loops
attacked = attacks.pgd(net, *some, radius=0.1, generator=generator)
assert 0 < (attacked - some[0]).abs().max() <= 0.1 + 1e-6
exported = torch.export.export(again, (some[0],), strict=False).module()
assert torch.allclose(exported(some[0]), out[:100], atol=1e-5)
sparsify.densify_(again)
assert torch.allclose(again(split.x_test), out, atol=1e-5)

mlp = models.mlp([64, 50, 10], er_epsilon=5, standardisation=split.standardisation(), seed=0)
settings = train.Settings(epochs=1, learning_rate=0.1, evolution=Evolution())
assert 0 < train.fit(mlp, split, settings, seed=1).metrics[-1]["test_accuracy"] < 1

rows = [f"{i % 7}.5,{'ab'[i % 2]}" for i in range(150)]
Path("own.csv").write_text("\n".join(["length,species", *rows]) + "\n")
own = data.from_csv("own.csv", "species")
assert len(own.x_train) + len(own.x_test) == 150 and own.n_classes == 2

matrices = topology.adjacency(mlp)
n_links = sum(matrix.nnz for matrix in matrices)
assert topology.to_networkx(mlp).number_of_edges() == n_links
assert -1 <= structure.assortativity(structure.joined(matrices)) <= 1
removed = perturb.remove_links(mlp.eval(), 0.5, generator=generator)
assert 0 < sum(matrix.nnz for matrix in topology.adjacency(removed)) < n_links
degrees = power_law.draw(2.5, 3, 2000, rng=np.random.default_rng(0))
assert abs(power_law.fit_tail(degrees).exponent - 2.5) < 0.2
assert {"alternative", "p"} <= set(power_law.compare(degrees, power_law.fit_tail(degrees)))
