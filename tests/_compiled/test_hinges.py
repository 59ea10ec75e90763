"""Sums of hinges against their definition, closed forms and finite differences."""

import math
import os
import subprocess
import sys

import pytest
import torch

from lib._compiled.hinges import CHUNK, hinge_sum
from tests.oracles import on_one_and_two_threads

HINGES = [0.0, 1.0, 2.0, 2.5]
SHAPES = {  # every memory format, one value, and more than a chunk
    "none": (0, 3),
    "one": (1,),
    "scalar": (),
    "chunk": (CHUNK,),
    "images": (2, 3, 37, 41),
}


@pytest.fixture
def hinges():
    return torch.tensor(HINGES)


@pytest.fixture
def coefficients(generator):
    return torch.randn(2, 4, generator=generator)


def defined(x, hinges, coefficients):
    """The formula, a scalar at a time."""
    values = []
    for v in x.flatten().tolist():
        right = [max(0.0, v - b) for b in hinges.tolist()]
        left = [max(0.0, -v - b) for b in hinges.tolist()]
        terms = zip(coefficients.flatten().tolist(), right + left, strict=True)
        values.append(math.fsum(a * part for a, part in terms))
    return torch.tensor(values).view(x.shape)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_hinge_sum_is_its_definition(shape, hinges, coefficients, implementation, generator):
    x = 3 * torch.randn(shape, generator=generator)
    desired = defined(x, hinges, coefficients)
    torch.testing.assert_close(hinge_sum(x, hinges, coefficients), desired, rtol=0, atol=1e-13)


def value_and_gradients(x, hinges, coefficients):
    leaves = x.detach().requires_grad_(), coefficients.detach().requires_grad_()
    y = hinge_sum(leaves[0], hinges, leaves[1])
    return [y, *torch.autograd.grad(y.square().sum(), leaves)]


FORMATS = {  # of values, hinges and coefficients
    "channels last": lambda x, b, c: (x.contiguous(memory_format=torch.channels_last), b, c),
    "with gaps": lambda x, b, c: (x[:, :, ::2], b, c),
    "repeated": lambda x, b, c: (x[:1].expand(4, -1, -1, -1), b, c),
    "coefficients with gaps": lambda x, b, c: (x, b, c.repeat_interleave(2, dim=1)[:, ::2]),
    "one hinge repeated": lambda x, b, c: (x, b[1].expand(4), c),
}


@pytest.mark.parametrize("change", FORMATS.values(), ids=FORMATS)
def test_memory_formats_give_the_same_values_and_gradients(change, hinges, coefficients, generator):
    given = change(3 * torch.randn(2, 3, 5, 7, generator=generator), hinges, coefficients)
    results = value_and_gradients(*given), value_and_gradients(*(t.contiguous() for t in given))
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


def test_output_keeps_a_feature_major_format(hinges, coefficients):
    y = hinge_sum(torch.ones(5, 7).t(), hinges, coefficients)
    assert y.shape == (7, 5) and y.t().is_contiguous()


# gradients


def away_from_hinges():
    """(28,) points no nearer than an eighth to 0, ±1, ±2 and ±2.5."""
    return torch.arange(-14, 14) / 4 + 0.125


def test_gradients_are_finite_differences(hinges, coefficients, implementation):
    x = away_from_hinges().requires_grad_()
    coefficients.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, c: hinge_sum(x, hinges, c), (x, coefficients))
    assert torch.autograd.gradgradcheck(lambda x, c: hinge_sum(x, hinges, c), (x, coefficients))


def test_gradient_of_coefficients_is_summed_over_all_values(hinges, coefficients, implementation):
    x = torch.full((3, CHUNK + 5), 2.25)
    coefficients.requires_grad_()
    hinge_sum(x, hinges, coefficients).sum().backward()
    desired = x.numel() * torch.tensor([[2.25, 1.25, 0.25, 0.0], [0.0] * 4])
    torch.testing.assert_close(coefficients.grad, desired, rtol=1e-13, atol=0)


def test_derivative_at_a_hinge_is_that_of_the_side_of_the_origin(hinges, implementation):
    coefficients = torch.tensor([[1.0, 10.0, 100.0, 1000.0], [2.0, 20.0, 200.0, 2000.0]])
    x = torch.tensor([0.0, 1.0, 2.0, 2.5, -1.0, -2.0, -2.5]).requires_grad_()
    (actual,) = torch.autograd.grad(hinge_sum(x, hinges, coefficients).sum(), x)
    assert actual.tolist() == [0, 1, 11, 111, -2, -22, -222]


def test_float32_sums_are_as_exact_as_one_sum_in_float64(hinges, generator):
    x = torch.randn(40 * CHUNK, generator=generator).float()
    grads = []
    for dtype in (torch.float32, torch.float64):
        c = torch.zeros(2, 4, dtype=dtype, requires_grad=True)
        hinge_sum(x.to(dtype), hinges.to(dtype), c).sum().backward()
        grads.append(c.grad.double())
    torch.testing.assert_close(*grads, rtol=1e-6, atol=0)


def test_results_do_not_depend_on_threads(hinges, coefficients, generator):
    given = torch.randn(10, 3000, generator=generator).float(), hinges.float(), coefficients.float()
    results = on_one_and_two_threads(lambda: value_and_gradients(*given))
    assert all(map(torch.equal, *results))


@pytest.mark.slow
def test_code_compiled_anew_and_code_from_the_cache_give_the_same_bits(tmp_path):
    program = (
        "import hashlib, torch; from lib._compiled.hinges import hinge_sum; torch.manual_seed(0)\n"
        "for n in (1, 100, 500, 904, 1000, 1280, 4096, 5000, 37632):  # ends of vectors\n"
        "    x, c, grad_y = torch.randn(n), torch.randn(2, 4), torch.randn(n)\n"
        f"    y = hinge_sum(x.requires_grad_(), torch.tensor({HINGES}), c.requires_grad_())\n"
        "    for t in (y.detach(), *torch.autograd.grad(y, (x, c), grad_y)):\n"
        "        print(n, hashlib.sha256(t.numpy().tobytes()).hexdigest())"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    outputs = [subprocess.check_output(command, env=environment) for _ in range(2)]
    assert list(tmp_path.rglob("*.nbc")) and outputs[0] == outputs[1]


def test_nothing_but_the_input_is_kept_for_the_backward_pass(hinges, coefficients):
    x = torch.ones(50, 40, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        hinge_sum(x, hinges, coefficients.requires_grad_())
    large = [t for t in kept if t.numel() >= x.numel()]
    assert len(large) == 1 and large[0].data_ptr() == x.data_ptr()


def test_nan_and_infinity_are_seen(hinges, coefficients, implementation):
    x = torch.tensor([math.nan, math.inf, -math.inf])
    y = hinge_sum(x, hinges, coefficients.abs())
    assert y[0].isnan() and (y[1:] == math.inf).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"coefficients": torch.ones(2, 3)}, r"have shapes \(4,\) and \(2, 3\): give \(m,\) and"),
        ({"x": torch.ones(2).float()}, "x is torch.float32 and the hinges torch.float64"),
        ({"hinges": torch.ones(0), "coefficients": torch.ones(2, 0)}, "there are no hinges"),
        ({"hinges": torch.ones(4, device="meta")}, "x is on cpu and the hinges on meta"),
    ],
)
def test_what_does_not_fit_is_refused(change, sentence, hinges, coefficients):
    given = {"x": torch.ones(2), "hinges": hinges, "coefficients": coefficients}
    with pytest.raises(ValueError, match=sentence):
        hinge_sum(**{**given, **change})


@pytest.mark.gpu
def test_hinge_sum_on_a_gpu_agrees_with_the_cpu(hinges, coefficients, generator):
    given = torch.randn(300, 70, generator=generator), hinges, coefficients
    actual = value_and_gradients(*(tensor.cuda() for tensor in given))
    desired = value_and_gradients(*given)
    torch.testing.assert_close([tensor.cpu() for tensor in actual], desired)


def test_autocast_computes_in_the_dtype_of_the_coefficients(generator):
    x = torch.randn(5, 4, generator=generator).bfloat16().requires_grad_()
    hinges = torch.tensor([0.0, 1.0], dtype=torch.float32)
    coefficients = torch.randn(2, 2, generator=generator).float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = hinge_sum(x, hinges, coefficients)
    assert torch.equal(y, hinge_sum(x.float(), hinges, coefficients))
    grad_x, grad_coefficients = torch.autograd.grad(y.sum(), (x, coefficients))
    assert grad_x.dtype == torch.bfloat16 and grad_coefficients.dtype == torch.float32
    with pytest.raises(ValueError, match="give both in one dtype"):
        hinge_sum(x, hinges, coefficients)
