"""Models of torch's own modules: each is compiled, and its sides learn the same."""

import pytest

from lib.bench import convolutions, own

WIDTHS = (20, 16, 16, 4)


@pytest.mark.parametrize("name", [name for name in own.MODELS if "dropout" not in name])
def test_compiled_model_has_the_losses_of_the_one_by_autograd(name):
    steps = [own.OwnStep(name, way, WIDTHS, 0.3, 8) for way in ("fused", "modular")]
    steps[1].net.load_state_dict(steps[0].net.state_dict())
    for _ in range(3):
        losses = [step() for step in steps]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_convolution_in_a_chain_has_the_gradient_of_the_layer_by_itself():
    calls = convolutions.passes("64 x 8²", 0.05, 20)
    chain, alone = calls["fused"], calls["modular"]
    alone.grad_y = alone.grad_y * 0 + 1
    chain.program.backward(alone.grad_y.numpy())
    chain.outputs[:] = 1
    chain()
    _, of_links = alone()
    ((_, grad),) = chain.program.grads
    error = (grad - of_links).abs().max() / of_links.abs().max()
    assert error < 1e-5


@pytest.mark.parametrize("way", convolutions.WAYS[:2])
def test_sparse_networks_learn(way):
    step = convolutions.NetworkStep("ResNet-20", way, 0.05, 16)
    losses = [step() for _ in range(6)]
    assert losses[-1] < losses[0]
