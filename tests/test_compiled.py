"""The choice of implementation, threads, the law of a dropout, and the passes on their own."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode

from lib import compiled
from lib.kernels import Layer, plain_chain
from lib.support import random_support

P = 0.4  # of the laws below
WAITING = ("GOMP_", "OMP_WAIT")


# threads that wait


@pytest.mark.parametrize(
    ("chosen", "desired"),
    [
        ({}, "3000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
    ],
)
def test_waiting_threads_sleep_soon_unless_the_environment_says_otherwise(chosen, desired):
    others = {name: value for name, value in os.environ.items() if not name.startswith(WAITING)}
    program = "import lib, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    printed = subprocess.check_output([sys.executable, "-c", program], env=others | chosen)
    assert printed.decode().strip() == desired


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch has another OpenMP")
def test_torch_reads_how_long_threads_wait_if_it_is_imported_after_lib():
    others = {name: value for name, value in os.environ.items() if not name.startswith(WAITING)}
    command = [sys.executable, "-c", "import lib, torch"]
    environment = others | {"OMP_DISPLAY_ENV": "verbose"}
    said = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    assert "GOMP_SPINCOUNT = '3000'" in said.stderr


# large tensors

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not HUGE_PAGES.exists() or "[madvise]" not in HUGE_PAGES.read_text(),
    reason="the system gives huge pages to all, or to nobody",
)
@pytest.mark.parametrize("first", ["lib, torch", "torch, lib"])
def test_large_tensors_lie_in_huge_pages(first):
    read = "print(open('/proc/self/smaps_rollup').read())"
    command = [sys.executable, "-c", f"import {first}; x = torch.ones(2**25); {read}"]
    others = {name: value for name, value in os.environ.items() if not name.startswith("THP_")}
    kilobytes = []
    for chosen in ({}, {"THP_MEM_ALLOC_ENABLE": "0"}):
        printed = subprocess.check_output(command, env=others | chosen, text=True)
        (line,) = (line for line in printed.splitlines() if line.startswith("AnonHugePages:"))
        kilobytes.append(int(line.split()[1]))
    assert kilobytes[0] > kilobytes[1]


# choice of implementation


def test_unknown_implementation_is_refused():
    with pytest.raises(ValueError, match="'cython' is unknown"):  # noqa: SIM117
        with compiled.use_implementation("cython"):
            pass


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.int64])
def test_floats_on_a_cpu_run_compiled(dtype):
    x = torch.zeros(2, 3, dtype=dtype)
    assert compiled.runs_compiled(x) == (dtype in (torch.float32, torch.float64))
    with compiled.use_implementation("torch"):
        assert not compiled.runs_compiled(x)


def test_other_devices_do_not_run_compiled():
    assert not compiled.runs_compiled(torch.zeros(2, 3, device="meta"))


def test_inner_choice_ends_with_its_block_also_by_an_error():
    x = torch.zeros(2, 3)
    with compiled.use_implementation("torch"):
        with pytest.raises(KeyError), compiled.use_implementation("numba"):
            assert compiled.runs_compiled(x)
            raise KeyError
        assert not compiled.runs_compiled(x)
    assert compiled.runs_compiled(x)


def test_compiled_choice_refuses_what_it_cannot_run():
    with compiled.use_implementation("numba"):
        with pytest.raises(RuntimeError, match="not torch.float16 on cpu: use_implementation"):
            compiled.runs_compiled(torch.zeros(2, dtype=torch.float16))
        with pytest.raises(RuntimeError, match="not torch.float64 on meta"):
            compiled.runs_compiled(torch.zeros(2, device="meta"))


def test_transforms_are_noticed():
    seen = []

    def note(x):
        seen.append(compiled.is_traced())
        return x.sum()

    x = torch.zeros(3)
    note(x)
    torch.func.grad(note)(x)
    torch.func.vmap(note)(x)
    assert seen == [False, True, True] and not compiled.is_traced()


# threads


@pytest.fixture
def threads():
    """Ends with the number of threads it began with."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    compiled.match_threads()


@pytest.mark.parametrize("n", [1, 2])
def test_compiled_loops_take_as_many_threads_as_torch(n, threads):
    torch.set_num_threads(n)
    compiled.match_threads()
    assert numba.get_num_threads() == min(n, numba.config.NUMBA_NUM_THREADS)


def test_asking_changes_no_threads(threads):
    torch.set_num_threads(1)
    compiled.match_threads()
    torch.set_num_threads(2)
    compiled.runs_compiled(torch.zeros(2))
    assert numba.get_num_threads() == 1


def test_more_threads_than_cores_are_as_many_as_there_are(threads):
    torch.set_num_threads(numba.config.NUMBA_NUM_THREADS + 3)
    compiled.match_threads()
    assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS


def test_block_of_one_thread_ends_with_the_threads_before(threads):
    torch.set_num_threads(2)
    with pytest.raises(KeyError), compiled.on_threads(1):
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("seconds", "faster"), [({1: 3.0, 2: 2.0}, 2), ({1: 3.0, 2: 40.0}, 1)])
def test_steps_run_on_the_number_of_threads_that_is_faster(seconds, faster, threads, monkeypatch):
    now, seen = [0.0], []
    monkeypatch.setattr(compiled.time, "perf_counter", lambda: now[0])
    torch.set_num_threads(2)
    for step in compiled.paced("abcdefghijkl"):
        seen.append((step, torch.get_num_threads()))
        now[0] += seconds[torch.get_num_threads()]
    trials = [2, *[2] * compiled.TRIALS, *[1] * compiled.TRIALS]
    assert seen == list(zip("abcdefghijkl", trials + 3 * [faster], strict=True))
    assert torch.get_num_threads() == faster


@pytest.mark.parametrize("n", [0, 1, 5, 8])
def test_loop_that_is_shorter_than_its_trials_ends_on_all_threads(n, threads):
    torch.set_num_threads(2)
    assert list(compiled.paced(range(n))) == list(range(n))
    assert torch.get_num_threads() == 2


def test_one_thread_stays_one(threads):
    torch.set_num_threads(1)
    seen = [(step, torch.get_num_threads()) for step in compiled.paced(range(20))]
    assert seen == [(step, 1) for step in range(20)]


# the law of a dropout


def test_law_differs_from_step_to_step_and_from_seed_to_seed():
    laws = [compiled.dropout_law(P, seed, step) for seed in range(60) for step in range(60)]
    assert len({law.key for law in laws}) > 3590  # 3600² / 2 / 2³² repeats are expected: 0.0015
    assert len({(law.key, law.flip) for law in laws}) == 3600
    assert compiled.dropout_law(P, 1, 11) == compiled.dropout_law(P, 1, 11)
    assert compiled.dropout_law(P, 1, 11) != compiled.dropout_law(P, 11, 1)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, torch.nan])
def test_law_out_of_range_is_refused(p):
    with pytest.raises(ValueError, match=f"p = {p}"):
        compiled.dropout_law(p, 0, 0)


def test_law_holds_the_scale_and_32_bits():
    law = compiled.dropout_law(0.25, 3, 4)
    assert (law.threshold, law.scale) == (2**30, 4 / 3)
    assert 0 <= law.key < 2**32 and 0 <= law.flip < 2**32


# the passes


def dense(support, values):
    weights = torch.zeros(support.n_out, support.n_in)
    weights[support.row.long(), support.col.long()] = values
    return weights


@pytest.fixture
def links(generator):
    support = random_support(6, 4, 0.5, generator=generator)
    values = torch.randn(support.nnz, generator=generator)
    return support, values, torch.randn(6, 3, generator=generator)


def test_columns_are_copied_unless_they_are_contiguous(generator):
    x = torch.randn(3, 5, generator=generator)
    copied = compiled.feature_major(x)
    assert torch.equal(copied, x.t()) and copied.is_contiguous()
    assert compiled.feature_major(copied.t()).data_ptr() == copied.data_ptr()


@pytest.fixture
def relu():
    return torch.tensor([[0.0], [0.0], [0.0], [1.0]]).repeat(1, 4)


def test_forward_keeps_inputs_and_the_values_before_activations(links, relu, generator):
    support, values, x = links
    bias = torch.arange(4.0)
    first = Layer(support, values, bias, relu)
    again = random_support(4, 3, 0.5, generator=generator)
    weights = torch.randn(again.nnz, generator=generator)
    y, kept = compiled.forward([first, Layer(again, weights)], x, keep=True)
    z = dense(support, values) @ x + bias[:, None]
    torch.testing.assert_close(y, dense(again, weights) @ z.relu())
    (inputs, before), (between, none) = kept
    assert inputs is x and none is None
    torch.testing.assert_close([before, between], [z, z.relu()])


def chain_of(widths, generator, alone=()):
    """Layers with links, bias and activation; those numbered in ``alone`` have no links."""
    layers = []
    for i, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):
        srelu = torch.rand(4, n_out, generator=generator)
        if i in alone:
            layers.append(Layer(srelu=srelu))
            continue
        support = random_support(n_in, n_out, 0.5, generator=generator)
        values = torch.randn(support.nnz, generator=generator)
        layers.append(Layer(support, values, torch.randn(n_out, generator=generator), srelu))
    return layers


@pytest.mark.parametrize("alone", [(), (2,), (0, 5)])
def test_passes_go_on_in_the_memory_of_two_layers(alone, generator, monkeypatch):
    widths = [7, 9, 6, 6, 8, 5, 5, 3]
    if 0 in alone:
        widths[0] = widths[1]
    layers = chain_of(widths, generator, alone)
    x = torch.randn(widths[0], 2, generator=generator)
    desired, kept = compiled.forward(layers, x, keep=True)
    taken = []
    empty = torch.Tensor.new_empty
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda *a: taken.append(a[1:]) or empty(*a))
    y, nothing = compiled.forward(layers, x, keep=False)
    assert len(kept) == 7 and nothing == []
    assert torch.equal(y, desired)
    assert len(taken) == 3  # two, and the output
    taken.clear()
    needed = [True] + [False] * 21
    grad_x, *others = compiled.backward(layers, kept, torch.ones_like(y), needed)
    assert len(taken) <= 3 and others == [None] * 21
    argument = x.t().clone().requires_grad_()
    plain_chain(argument, layers).sum().backward()
    torch.testing.assert_close(grad_x, argument.grad.t())


@pytest.mark.parametrize("law", [None, compiled.dropout_law(P, 0, 0)])
@pytest.mark.parametrize("alone", [(), (1,), (0, 3)])
@pytest.mark.parametrize("n", [1, 2, 255, 511, 512, 513, 514, 769, 1000])
def test_examples_in_parts_give_the_bits_of_all_at_once(n, alone, law, generator):
    layers = chain_of([6, 6, 6, 6, 3], generator, alone)
    if 3 in alone:
        layers[-1] = Layer(srelu=torch.rand(4, 6, generator=generator))
    layers[-1] = layers[-1]._replace(law=law)
    x = torch.randn(n, 6, generator=generator)
    desired, _ = compiled.forward(layers, x.t().contiguous(), keep=True)
    for rows in (x, x.t().contiguous().t()):
        assert torch.equal(compiled.output(layers, rows), desired)


@pytest.mark.parametrize(
    ("n", "desired"),
    [(1, [1]), (511, [511]), (512, [256, 256]), (513, [256, 257]), (700, [256, 256, 188])],
)
def test_examples_go_in_parts_that_fit_none_of_them_of_one(n, desired, generator, monkeypatch):
    widths = widths_of_passes(monkeypatch)
    compiled.output(chain_of([6, 6, 3], generator), torch.ones(n, 6))
    assert widths == desired


@pytest.mark.parametrize("alone", ["one layer", "a dropout"])
def test_all_examples_go_at_once_where_parts_do_not_pay_or_are_numbered(
    alone, generator, monkeypatch
):
    widths = widths_of_passes(monkeypatch)
    layers = chain_of([6, 6, 3], generator)
    if alone == "one layer":
        layers = layers[:1]
    else:
        layers[0] = layers[0]._replace(law=compiled.dropout_law(P, 0, 0))
    compiled.output(layers, torch.ones(1000, 6))
    assert widths == [1000]


def widths_of_passes(monkeypatch):
    """How many examples go through each pass from now on."""
    widths = []
    passed = compiled.loops.forward_layers
    monkeypatch.setattr(
        compiled.loops, "forward_layers", lambda *a: widths.append(a[1]) or passed(*a)
    )
    return widths


@pytest.mark.parametrize("first", range(5))
def test_nothing_is_computed_below_what_needs_a_gradient(first, generator, monkeypatch):
    layers = chain_of([6, 6, 6, 6, 6], generator)
    y, kept = compiled.forward(layers, torch.ones(6, 2), keep=True)
    needed = [False] + [i >= 3 * first for i in range(12)]
    passes = []
    monkeypatch.setattr(compiled.loops, "backward_layers", lambda *a: passes.append(a[2]))
    grads = compiled.backward(layers, kept, torch.ones_like(y), needed)
    assert [grad is not None for grad in grads] == needed
    assert (passes[0]["g"] != 0).sum() == max(1, 4 - first)


@pytest.mark.parametrize("width", [1, 2, 3, 9])
def test_backward_gives_the_gradients_that_are_needed(links, relu, generator, width):
    support, values, _ = links
    x = torch.randn(6, width, generator=generator)
    layer = Layer(support, values, torch.zeros(4), relu)
    _, kept = compiled.forward([layer], x, keep=True)
    grad_y = torch.randn(4, width, generator=generator)
    grads = compiled.backward([layer], kept, grad_y, [True, True, True, True])
    g = grad_y * (dense(support, values) @ x > 0)
    torch.testing.assert_close(grads[0], dense(support, values).t() @ g)
    torch.testing.assert_close(grads[1], (g @ x.t())[support.row.long(), support.col.long()])
    torch.testing.assert_close(grads[2], g.sum(1))
    for i in range(4):
        needed = [k == i for k in range(4)]
        alone = compiled.backward([layer], kept, grad_y, needed)
        assert [grad is not None for grad in alone] == needed
        assert torch.equal(alone[i], grads[i])


def test_backward_leaves_the_gradient_at_the_output_as_it_is(links, relu, generator):
    support, values, x = links
    grad_y = torch.randn(4, 3, generator=generator)
    for layer in (Layer(support, values), Layer(support, values, srelu=relu)):
        _, kept = compiled.forward([layer], x, keep=True)
        given = grad_y.clone()
        compiled.backward([layer], kept, given, [True, True, False, False])
        assert torch.equal(given, grad_y)


def test_nothing_but_the_law_in_a_backward_pass_is_the_law_again():
    law = compiled.dropout_law(P, 1, 2)
    x = torch.ones(5, 4)
    y, kept = compiled.forward([Layer(law=law)], x, keep=True)
    grads = compiled.backward([Layer(law=law)], kept, x, [True, False, False, False])
    assert torch.equal(grads[0], y) and grads[1:] == [None, None, None]
    np.testing.assert_array_equal(np.unique(y), [0, 1 / (1 - P)])


def without_memory(kind):
    if kind == "fake":
        with FakeTensorMode():
            return torch.ones(2, dtype=torch.float32)
    if kind == "negative":
        return torch.ones(2, dtype=torch.complex64).conj().imag
    if kind == "meta":
        return torch.ones(2, device="meta", dtype=torch.float32)
    if kind == "freed":
        freed = torch.ones(2, dtype=torch.float32)
        freed.untyped_storage().resize_(0)
        return freed
    return torch.ones(2, dtype=getattr(torch, kind))


@pytest.mark.parametrize(
    "kind", ["fake", "negative", "meta", "freed", "float64", "float16", "int32"]
)
def test_tensors_without_memory_of_their_own_are_refused(kind):
    with pytest.raises(TypeError, match="give plain tensors"):
        compiled.addresses(torch.float32, without_memory(kind))


def test_tensors_of_no_values_and_subclasses_are_taken():
    class Marked(torch.Tensor):
        pass

    marked = torch.ones(3, dtype=torch.float32).as_subclass(Marked)
    found = compiled.addresses(torch.float32, None, torch.ones(0, dtype=torch.float32), marked)
    assert found == [0, compiled.EMPTY, marked.data_ptr()]
