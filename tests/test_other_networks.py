"""Networks that others wrote, made sparse: they train, evolve, resume, compile and export."""

import importlib

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib.evolution import Evolution
from lib.sparsify import Evolver, densify_, sparsify_
from tests.oracles import links_of, same

RIGL = Evolution(drop="magnitude", grow="gradient", gradient_batches=2)
CLASSES = 5

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:enable_nested_tensor"
)


class Words(nn.Module):
    """A language model of one block of a GPT (here torch's own), that sees the words before."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(CLASSES, 16), nn.Parameter(torch.randn(9, 16))
        self.block = nn.TransformerEncoderLayer(
            16, 4, 32, dropout=0, activation="gelu", batch_first=True, norm_first=True
        )
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        y = self.block(self.words(x) + self.places, src_mask=later)
        return self.head(y).transpose(1, 2)  # (B, words, n)


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, CLASSES))


def torchvision_models():
    from lib.data import vision  # noqa: F401  torchvision beside a torch for CPUs; two seconds

    return importlib.import_module("torchvision.models")


def resnet():
    return torchvision_models().resnet18(num_classes=CLASSES)


def vit():
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    made = torchvision_models().VisionTransformer
    return made(image_size=16, patch_size=8, num_classes=CLASSES, **sizes)


# the network, the shape of an example, the names of its layers that are made sparse
NETWORKS = {
    "mlp": (mlp, (3, 4, 4), ["1", "3"]),
    "resnet18": (resnet, (3, 16, 16), ["fc"]),
    "vit": (vit, (3, 16, 16), None),
    "gpt": (Words, (9,), ["block.linear1", "block.linear2", "head"]),
}


def batch_of(name):
    shape = NETWORKS[name][1]
    generator = torch.Generator().manual_seed(0)
    if name == "gpt":
        x = torch.randint(CLASSES, (8, *shape), generator=generator)
        return x, x.roll(1, dims=1)  # the word before
    x = torch.randn(8, *shape, generator=generator)
    return x, torch.arange(8) % CLASSES


def made(name, optimiser=torch.optim.AdamW, **options):
    torch.manual_seed(0)
    net = NETWORKS[name][0]()
    names = sparsify_(net, start="magnitude", density=0.3, kinds=["linear"])
    optimiser = optimiser(net.parameters(), lr=0.01)
    when = {"every": 3, "steps": 60, "generator": torch.Generator().manual_seed(0)} | options
    return names, net, optimiser, Evolver(net, optimiser, RIGL, **when)


def train(called, name, optimiser, evolver, steps):
    x, y = batch_of(name)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = F.cross_entropy(called(x), y)
        loss.backward()
        optimiser.step()
        evolver.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    "name", ["mlp", "vit", "gpt", pytest.param("resnet18", marks=pytest.mark.slow)]
)
def test_it_trains_and_evolves(name):
    names, net, optimiser, evolver = made(name)
    assert NETWORKS[name][2] in (None, names) and len(names) > 0
    before = links_of(net)
    losses = train(net, name, optimiser, evolver, 15 if name == "resnet18" else 60)
    assert losses[-1] < losses[0] / 2
    assert not same(before, links_of(net))
    assert [len(keys) for keys in before] == [len(keys) for keys in links_of(net)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_into_one_graph_it_learns_what_it_learns_otherwise(name):
    torch.compiler.reset()
    _, net, optimiser, evolver = made(name, torch.optim.SGD)
    _, other, *others = made(name, torch.optim.SGD)
    compiled = torch.compile(other, backend="aot_eager", fullgraph=True)
    actual = train(compiled, name, *others, 8)
    desired = train(net, name, optimiser, evolver, 8)
    assert actual == pytest.approx(desired, rel=1e-4)
    assert same(links_of(net), links_of(other))


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_exported(name):
    _, net, *_ = made(name)
    x = batch_of(name)[0]
    net.eval()
    program = torch.export.export(net, (x,))
    torch.testing.assert_close(program.module()(x), net(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_its_dense_twin_has_the_same_function_and_goes_to_onnx(name, tmp_path):
    names, net, *_ = made(name)
    x = batch_of(name)[0]
    desired = net.eval()(x)
    assert densify_(net) == names
    torch.testing.assert_close(net(x), desired, atol=1e-5, rtol=1e-4)
    if name == "mlp":
        pytest.importorskip("onnxscript")
        program = torch.onnx.export(net, (x,), dynamo=True)
        program.save(tmp_path / "net.onnx")
        assert (tmp_path / "net.onnx").stat().st_size > 4 * 48 * 32


@pytest.mark.parametrize(
    ("name", "dtype"), [("mlp", torch.float16), ("gpt", torch.bfloat16), ("vit", torch.float16)]
)
def test_it_learns_under_autocast_with_a_scaler_accumulation_and_clipping(name, dtype):
    _, net, optimiser, evolver = made(name, every=2)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20, enabled=dtype == torch.float16)
    x, y = batch_of(name)
    before, losses = links_of(net), []
    for _ in range(20):
        optimiser.zero_grad()
        losses.append(0.0)
        for part in (slice(0, 4), slice(4, 8)):
            with torch.autocast("cpu", dtype=dtype):
                loss = F.cross_entropy(net(x[part]), y[part]) / 2
            scaler.scale(loss).backward()
            losses[-1] += loss.item()
        scaler.unscale_(optimiser)
        norm = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        scaler.step(optimiser)
        scaler.update()
        evolver.step()
    assert norm.isfinite() and losses[-1] < losses[0]
    assert not same(before, links_of(net))
