"""Layers of binary units: formulas, the same numbers however they are computed, and chances."""

from functools import partial
from itertools import count

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from lib import layers, sampling
from lib._compiled import launch
from lib.support import random_support
from tests.oracles import on_one_and_two_threads, seeded

LAW = sampling.sampling_law(3, 5)


def sparse(n_in=9, n_out=7, density=0.4, dtype=torch.float64):
    support = random_support(n_in, n_out, density, generator=seeded(1))
    return layers.SparseLinear(n_in, n_out, support=support, generator=seeded(2), dtype=dtype)


def dense_twin(layer):
    """The dense layer of the same weights."""
    twin = layers.Linear(layer.in_features, layer.out_features, generator=seeded(0))
    twin.weight.data = layer.to_dense().detach()
    return twin.to(layer.values.dtype)


def states(n, width, dtype=torch.float64):
    return torch.randint(2, (n, width), generator=seeded(n)).to(dtype)


def bias(n, dtype=torch.float64):
    return torch.randn(n, generator=seeded(n), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize(("density", "down"), [(1 / 63, False), (0.4, True), (1.0, False)])
def test_probabilities_are_the_dense_formula(density, down):
    layer = sparse(density=density)
    weight = layer.to_dense().detach()
    matrix = weight.t() if down else weight
    n_out, n_in = matrix.shape
    x, b = states(n_in, 5), bias(n_out)
    desired = torch.sigmoid(matrix @ x + b[:, None])
    actual = sampling.probabilities(layer, x, b, down=down)
    assert_allclose(actual.detach(), desired, rtol=1e-13)


@pytest.mark.parametrize("z", [-800.0, -90.0, -1e-9, 0.3, 90.0, 800.0])
def test_logistic_function_holds_far_from_zero(z):
    layer = layers.SparseLinear(1, 1, density=1.0, generator=seeded(0))
    layer.values.data.fill_(z)
    actual = sampling.probabilities(layer, torch.ones(1, 3), torch.zeros(1))
    desired = np.exp(np.longdouble(-np.logaddexp(np.longdouble(0), np.longdouble(-z))))
    assert_allclose(actual.detach(), float(desired), rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_weight_is_seen(value):
    layer = sparse()
    layer.values.data[0] = value
    p = sampling.probabilities(layer, torch.zeros(9, 4) + 1e-3, bias(7))
    row = layer.support.row[0]
    assert p[row].isnan().all() if np.isnan(value) else (p[row] == 1).all()


@pytest.mark.parametrize(("dtype", "is_dense"), [(torch.float32, True), (torch.float64, False)])
def test_compiled_and_plain_forms_agree(dtype, is_dense):
    layer = sparse(90, 70, dtype=dtype)
    layer = dense_twin(layer) if is_dense else layer
    x, b = states(90, 33, dtype), bias(70, dtype)
    with torch.no_grad():
        compiled_form = _all_passes(layer, x, b)
        with launch.use_implementation("torch"):
            plain_form = _all_passes(layer, x, b)
    rtol = 1e-4 if dtype == torch.float32 else 1e-12
    for actual, desired in zip(compiled_form, plain_form, strict=True):
        assert_allclose(actual, desired, rtol=rtol, atol=rtol)


def _all_passes(layer, x, b):
    p, s = sampling.probabilities_and_sample(layer, x, b, LAW)
    v = sampling.sample(layer, s, torch.zeros_like(x[:, 0]), LAW, down=True, slope=0.7)
    gains, h = sampling.tempered(layer, x, b, (0.2, 0.6), LAW)
    return p, s, v, gains, h, sampling.contrast(layer, (x, p), (v, h))


def test_sparse_chain_is_the_dense_masked_chain_of_the_same_uniforms():
    layer = sparse(60, 50)
    twin = dense_twin(layer)
    a, c = bias(60), bias(50)
    v = w = states(60, 20)
    for step in range(30):
        up, down = (sampling.sampling_law(8, 2 * step + side) for side in (0, 1))
        h = sampling.sample(layer, v, c, up)
        v = sampling.sample(layer, h, a, down, down=True)
        p = torch.sigmoid(twin.weight.detach() @ w + c[:, None])
        g = (p > sampling.uniforms(p.shape, up, dtype=p.dtype)).double()
        w = sampling.sample(twin, g, a, down, down=True)
    assert torch.equal(v, w) and 0.2 < v.mean() < 0.8


def test_samples_come_with_their_probabilities():
    layer = layers.SparseLinear(1, 400, density=1.0, generator=seeded(0))
    b = torch.linspace(-4, 4, 400)
    p, s = sampling.probabilities_and_sample(layer, torch.zeros(1, 5000), b, LAW)
    z = (s - p).sum(1) / (p * (1 - p)).sum(1).sqrt()
    assert stats.kstest(z.detach(), "norm").pvalue > 0.01


@pytest.mark.parametrize("other", [(3, 6), (4, 5)], ids=["step", "seed"])
def test_uniforms_are_uniform_and_differ_between_laws(other):
    one = sampling.uniforms((100, 1000), LAW, dtype=torch.float64).flatten()
    two = sampling.uniforms((100, 1000), sampling.sampling_law(*other), dtype=torch.float64)
    assert stats.kstest(one, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(one, two.flatten())[0, 1]) < 4 / np.sqrt(1e5)
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 4 / np.sqrt(1e5)


def test_laws_whose_keys_overlap_have_other_numbers():
    shifted = sampling.SamplingLaw(LAW.key + 10, LAW.flip + 1)
    one = sampling.uniforms((1, 10_010), LAW, dtype=torch.float64)[0, 10:]
    two = sampling.uniforms((1, 10_000), shifted, dtype=torch.float64)[0]
    assert abs(np.corrcoef(one, two)[0, 1]) < 4 / 100


def test_tempered_gain_is_the_change_of_the_summed_states():
    layer = sparse(40, 200)
    layer.values.data *= 20  # some inputs far beyond where exp overflows
    x, b = states(40, 6), 300 * bias(200)
    z = layer.to_dense().detach() @ x + b[:, None]
    inputs = z.numpy()
    desired = np.logaddexp(0, 0.9 * inputs).sum(0) - np.logaddexp(0, 0.1 * inputs).sum(0)
    gains, h = sampling.tempered(layer, x, b, (0.1, 0.9), LAW)
    assert_allclose(gains.detach(), desired, rtol=1e-13)
    u = sampling.uniforms(z.shape, LAW, dtype=z.dtype)
    assert torch.equal(h, (torch.sigmoid(0.9 * z) > u).double())


@pytest.mark.parametrize(("widths", "is_dense"), [((5, 5), True), ((1, 13), False)])
def test_contrast_is_the_difference_of_mean_products(widths, is_dense):
    layer = sparse()
    (x, y), (v, w) = ((torch.randn(9, n), torch.randn(7, n)) for n in widths)
    desired = y @ x.t() / widths[0] - w @ v.t() / widths[1]
    if is_dense:
        actual = sampling.contrast(dense_twin(layer), (x, y), (v, w))
    else:
        actual = sampling.contrast(layer, (x, y), (v, w))
        desired = desired[layer.support.row.long(), layer.support.col.long()]
    assert_allclose(actual, desired, rtol=1e-12, atol=1e-14)


def test_two_threads_give_the_bits_of_one():
    dtype = torch.float32
    layer = sparse(300, 500, 0.03, dtype)
    x, b = states(300, 64, dtype), bias(500, dtype)
    with torch.no_grad():
        results = on_one_and_two_threads(lambda: _all_passes(layer, x, b))
    assert all(map(torch.equal, *results))


@pytest.mark.parametrize(
    ("dtype", "steps", "n_particles"),
    [(torch.float32, 1, None), (torch.float64, 3, 13), (torch.float32, 3, 2)],
)
def test_descent_in_one_call_is_that_of_the_dense_passes(dtype, steps, n_particles):
    layer = sparse(60, 50, dtype=dtype)
    operands = bias(60, dtype), bias(50, dtype), states(60, 5, dtype)
    particles = None if n_particles is None else states(60, n_particles, dtype)
    one = _descent(layer, operands, steps, particles)
    passes = _descent(dense_twin(layer), operands, steps, particles)
    assert torch.equal(one.particles, passes.particles) and 0.2 < one.particles.mean() < 0.8
    row, col = layer.support.row.long(), layer.support.col.long()
    desired = passes._replace(weights=passes.weights[row, col])
    rtol = 1e-5 if dtype == torch.float32 else 1e-12
    for actual, other in zip(one, desired, strict=True):
        assert_allclose(actual, other, rtol=rtol, atol=rtol)


def _descent(layer, operands, steps=1, particles=None):
    laws = map(partial(sampling.sampling_law, 4), count())
    a, c, v = operands
    options = {"steps": steps, "particles": particles}
    with torch.no_grad():
        return sampling.contrastive_divergence(layer, a, c, v, partial(next, laws), **options)


def test_batch_is_the_rows_that_were_named(implementation):
    x = torch.randint(2, (20, 9), dtype=torch.uint8)
    index = torch.tensor([3, 3, 17])
    v = sampling.batch(x, index, torch.float32)
    assert v.dtype == torch.float32 and v.is_contiguous()
    assert torch.equal(v, x[index].t().float())
    for row in (20, -1):
        with pytest.raises(ValueError, match="of the 20"):
            sampling.batch(x, torch.tensor([row]), torch.float32)


def of_units(x, b):
    return lambda: sampling.probabilities(sparse(), x, b)


def descending(a, c, **how):
    return lambda: _descent(sparse(), (bias(a), bias(c), states(9, 4)), **how)


REFUSED = [
    (of_units(states(8, 4), bias(7)), r"shape \(8, 4\): give \(9, B\)"),
    (of_units(states(9, 0), bias(7)), "at least one"),
    (of_units(states(4, 9).t(), bias(7)), "not contiguous"),
    (of_units(states(9, 4), bias(6)), r"bias is torch.float64 of shape \(6,\)"),
    (of_units(states(9, 4), bias(7, torch.float32)), "bias is torch.float32"),
    (of_units(states(9, 4).float(), bias(7, torch.float32)), "the weights torch.float64: give"),
    (descending(8, 7), r"of shape \(8,\): give"),
    (descending(9, 8), r"of shape \(8,\): give"),
    (descending(9, 7, steps=0), "steps = 0 is out of range: give a whole number, at least 1"),
    (
        lambda: sampling.contrast(sparse(), (states(9, 4), states(7, 5)), (states(9, 4), None)),
        r"shapes \(9, 4\) and \(7, 5\)",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_does_not_fit_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_more_numbers_than_a_law_tells_apart_are_refused(monkeypatch):
    monkeypatch.setattr(sampling, "LARGEST", 20)
    with pytest.raises(ValueError, match="7 units of 4 examples are too many"):
        sampling.sample(sparse(), states(9, 4), bias(7), LAW)
