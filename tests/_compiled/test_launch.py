"""The choice of implementation, threads, the law of a dropout, and the passes on their own."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
import torch
from numba.core import event
from torch._subclasses import FakeTensorMode

from lib._compiled import launch, layout, loops, passes
from lib.kernels import Layer, chain, plain_chain
from lib.support import random_support
from tests.oracles import on_one_and_two_threads

P = 0.4  # of the laws below
WAITING = ("GOMP_", "OMP_WAIT")


# what is compiled


def test_compiling_our_loops_is_announced_once(capsys):
    @numba.njit
    def of_the_user():
        return 0

    announcement = loops._Announcement()
    announcement.is_due = True
    for loop in (of_the_user, passes.forward_tiles, passes.backward_tiles):
        announcement.on_start(event.Event("numba:compile", "START", {"dispatcher": loop}))
        said = capsys.readouterr().err
        assert said.startswith("compiling loops") == (loop is passes.forward_tiles)


# threads that wait


def run(program, prefixes, **chosen):
    """What a program prints and says, whose environment has no variables that begin so."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    how = {"env": others | chosen, "capture_output": True, "check": True, "text": True}
    return subprocess.run([sys.executable, "-c", program], **how)


@pytest.mark.parametrize(
    ("chosen", "desired"), [({}, "3000"), ({"OMP_WAIT_POLICY": "active"}, "None")]
)
def test_waiting_threads_sleep_soon_unless_the_environment_says_otherwise(chosen, desired):
    program = "import lib, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    assert run(program, WAITING, **chosen).stdout.strip() == desired


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch has another OpenMP")
def test_torch_reads_how_long_threads_wait_if_it_is_imported_after_lib():
    said = run("import lib, torch", WAITING, OMP_DISPLAY_ENV="verbose").stderr
    assert "GOMP_SPINCOUNT = '3000'" in said


# large tensors

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not HUGE_PAGES.exists() or "[madvise]" not in HUGE_PAGES.read_text(),
    reason="the system gives huge pages to all, or to nobody",
)
@pytest.mark.slow
def test_large_tensors_lie_in_huge_pages():
    read = "print(open('/proc/self/smaps_rollup').read())"
    program = f"import lib, torch; x = torch.ones(2**25); {read}"
    kilobytes = []
    for chosen in ({}, {"THP_MEM_ALLOC_ENABLE": "0"}):
        printed = run(program, "THP_", **chosen).stdout
        (line,) = (line for line in printed.splitlines() if line.startswith("AnonHugePages:"))
        kilobytes.append(int(line.split()[1]))
    assert kilobytes[0] > kilobytes[1]


# choice of implementation


def test_unknown_implementation_is_refused():
    with pytest.raises(ValueError, match="unknown implementation 'cython'"):  # noqa: SIM117
        with launch.use_implementation("cython"):
            pass


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_floats_on_a_cpu_run_compiled(dtype):
    x = torch.zeros(2, 3, dtype=dtype)
    assert launch.runs_compiled(x) == (dtype in (torch.float32, torch.float64))
    with launch.use_implementation("torch"):
        assert not launch.runs_compiled(x)


def test_inner_choice_ends_with_its_block_also_by_an_error():
    x = torch.zeros(2, 3)
    with launch.use_implementation("torch"):
        with pytest.raises(KeyError), launch.use_implementation("numba"):
            assert launch.runs_compiled(x)
            raise KeyError
        assert not launch.runs_compiled(x)
    assert launch.runs_compiled(x)


def test_compiled_choice_refuses_what_it_cannot_run():
    with launch.use_implementation("numba"):
        with pytest.raises(RuntimeError, match="not torch.float16 on cpu: use_implementation"):
            launch.runs_compiled(torch.zeros(2, dtype=torch.float16))
        with pytest.raises(RuntimeError, match="not torch.float64 on meta"):
            launch.runs_compiled(torch.zeros(2, device="meta"))


def test_transforms_are_noticed():
    seen = []

    def note(x):
        seen.append(launch.is_traced())
        return x.sum()

    x = torch.zeros(3)
    note(x)
    torch.func.grad(note)(x)
    torch.func.vmap(note)(x)
    assert seen == [False, True, True] and not launch.is_traced()


# the cache


def test_changed_source_has_a_cache_of_its_own(monkeypatch):
    read = Path.read_bytes
    assert loops._cache_folder() == loops.CACHE
    monkeypatch.setattr(Path, "read_bytes", lambda p: read(p) + b" " * (p.name == "passes.py"))
    assert loops._cache_folder() != loops.CACHE


# threads


@pytest.fixture
def threads():
    """Ends with the number of threads it began with."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    launch.match_threads()


@pytest.mark.parametrize("n", [1, 2, numba.config.NUMBA_NUM_THREADS + 3])
def test_compiled_loops_take_as_many_threads_as_torch_and_at_most_one_a_core(n, threads):
    torch.set_num_threads(n)
    launch.match_threads()
    assert numba.get_num_threads() == min(n, numba.config.NUMBA_NUM_THREADS)


def test_block_of_one_thread_ends_with_the_threads_before(threads):
    torch.set_num_threads(2)
    with pytest.raises(KeyError), launch.on_threads(1):
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("seconds", "faster"), [({1: 3.0, 2: 2.0}, 2), ({1: 3.0, 2: 40.0}, 1)])
def test_steps_run_on_the_number_of_threads_that_is_faster(seconds, faster, threads, monkeypatch):
    now, seen = [0.0], []
    monkeypatch.setattr(launch.time, "perf_counter", lambda: now[0])
    torch.set_num_threads(2)
    for step in launch.paced("abcdefghijkl"):
        seen.append((step, torch.get_num_threads()))
        now[0] += seconds[torch.get_num_threads()]
    trials = [2, *[2] * launch.TRIALS, 1, *[1] * launch.TRIALS]
    assert seen == list(zip("abcdefghijkl", trials + 2 * [faster], strict=True))
    assert torch.get_num_threads() == faster


@pytest.mark.parametrize(("n", "n_threads"), [(0, 2), (8, 2), (20, 1)])
def test_loop_of_one_thread_or_shorter_than_its_trials_ends_on_all_threads(n, n_threads, threads):
    torch.set_num_threads(n_threads)
    seen = {step: torch.get_num_threads() for step in launch.paced(range(n))}
    assert list(seen) == list(range(n)) and {*seen.values()} <= {1, n_threads}
    assert torch.get_num_threads() == n_threads


# the law of a dropout


def test_law_differs_from_step_to_step_and_from_seed_to_seed():
    laws = [launch.dropout_law(P, seed, step) for seed in range(60) for step in range(60)]
    assert len({law.key for law in laws}) > 3590  # 3600² / 2 / 2³² repeats are expected: 0.0015
    assert len({(law.key, law.flip) for law in laws}) == 3600
    assert launch.dropout_law(P, 1, 11) == launch.dropout_law(P, 1, 11)
    assert launch.dropout_law(P, 1, 11) != launch.dropout_law(P, 11, 1)


def test_law_holds_the_scale_and_32_bits():
    law = launch.dropout_law(0.25, 3, 4)
    assert (law.threshold, law.scale) == (2**30, 4 / 3)
    assert 0 <= law.key < 2**32 and 0 <= law.flip < 2**32


# the passes


def test_columns_are_copied_unless_they_are_contiguous(generator):
    x = torch.randn(3, 5, generator=generator)
    copied = launch.feature_major(x)
    assert torch.equal(copied, x.t()) and copied.is_contiguous()
    assert launch.feature_major(copied.t()).data_ptr() == copied.data_ptr()


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


@pytest.mark.parametrize("alone", [(), (0, 5)])
def test_passes_go_on_in_the_memory_of_two_layers(alone, generator, monkeypatch):
    widths = [7, 9, 6, 6, 8, 5, 5, 3]
    if 0 in alone:
        widths[0] = widths[1]
    layers = chain_of(widths, generator, alone)
    x = torch.randn(2, widths[0], generator=generator)
    desired, kept = launch.forward(layers, x, keep=True)
    taken = []
    empty = torch.Tensor.new_empty
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda *a: taken.append(a[1:]) or empty(*a))
    y, nothing = launch.forward(layers, x, keep=False)
    assert nothing is None and torch.equal(y, desired)
    assert taken == [(1, 2 * 9 * 16), (3, 2)]  # two layers of a tile of 16 examples, and the output
    taken.clear()
    needed = [True] + [False] * 21
    grad_x, *others = launch.backward(layers, kept, torch.ones_like(y), needed)
    assert (1, 2 * 9 * 16) in taken and others == [None] * 21
    argument = x.clone().requires_grad_()
    plain_chain(argument, layers).sum().backward()
    torch.testing.assert_close(grad_x, argument.grad.t())


@pytest.mark.parametrize(("n", "alone"), [(1, ()), (16, (1,)), (17, (0, 3)), (65, ()), (200, (1,))])
def test_outputs_of_an_example_do_not_depend_on_the_others_of_its_batch(n, alone, generator):
    layers = chain_of([6, 6, 6, 6, 3], generator, alone)
    if 3 in alone:
        layers[-1] = Layer(srelu=torch.rand(4, 6, generator=generator))
    x = torch.randn(n, 6, generator=generator)
    desired, _ = launch.forward(layers, x, keep=True)
    for rows in (x, x.t().contiguous().t()):
        assert torch.equal(launch.forward(layers, rows, keep=False)[0], desired)
    alone = [launch.forward(layers, x[i : i + 1], keep=False)[0] for i in range(n)]
    assert torch.equal(torch.cat(alone, 1), desired)


@pytest.mark.parametrize("n", [40, 1300])
def test_sums_of_many_tiles_are_the_gradients_of_all_examples(n, generator, monkeypatch):
    monkeypatch.setattr(layout, "LARGEST", 500)  # so that few tiles' sums are kept at a time
    layers = chain_of([6, 6, 3], generator)
    x, grad_y = torch.randn(n, 6, generator=generator), torch.randn(3, n, generator=generator)
    _, kept = launch.forward(layers, x, keep=True)
    actual = launch.backward(layers, kept, grad_y, [False] + [True] * 6)[1:]
    leaves = [part.clone().requires_grad_() for layer in layers for part in layer[1:4]]
    again = [Layer(layers[i].support, *leaves[3 * i : 3 * i + 3]) for i in range(2)]
    desired = torch.autograd.grad(plain_chain(x, again), leaves, grad_y.t())
    torch.testing.assert_close(actual, list(desired))


@pytest.mark.parametrize(
    ("unit", "width", "rows"),
    [
        ("relu", 1, True),
        ("srelu", 16, False),
        ("law", 33, True),
        ("relu law", 15, False),
        ("srelu law", 2 * passes.CHUNK + 17, True),
        ("srelu", 2 * passes.CHUNK + 17, False),
    ],
)
def test_activation_alone_is_the_plain_one_on_one_thread_and_two(unit, width, rows, generator):
    layer = Layer(
        srelu=torch.rand(4, 3, generator=generator) if "srelu" in unit.split() else None,
        law=launch.dropout_law(P, 1, 2) if "law" in unit else None,
        is_relu="relu" in unit.split(),
    )
    x = torch.randn(width, 3, generator=generator)
    x = x if rows else x.t().contiguous().t()
    results = on_one_and_two_threads(lambda: outputs_and_gradients(chain, x, layer))
    assert all(map(torch.equal, *results))
    torch.testing.assert_close(results[0], outputs_and_gradients(plain_chain, x, layer))


def outputs_and_gradients(function, x, layer):
    leaves = [x.clone().requires_grad_()]
    if layer.srelu is not None:
        leaves.append(layer.srelu.clone().requires_grad_())
        layer = layer._replace(srelu=leaves[1])
    y = function(leaves[0], [layer])
    return [y.detach(), *torch.autograd.grad(y.sin().sum(), leaves)]


@pytest.mark.parametrize("first", [0, 3])
def test_nothing_is_computed_below_what_needs_a_gradient(first, generator, monkeypatch):
    layers = chain_of([6, 6, 6, 6, 6], generator)
    y, kept = launch.forward(layers, torch.ones(2, 6), keep=True)
    needed = [False] + [i >= 3 * first for i in range(12)]
    tables, run = [], launch.passes.backward_tiles
    monkeypatch.setattr(
        launch.passes, "backward_tiles", lambda table, *a: tables.append(table) or run(table, *a)
    )
    grads = launch.backward(layers, kept, torch.ones_like(y), needed)
    assert [grad is not None for grad in grads] == needed
    assert (tables[0]["g"] >= 0).sum() == 5 - first


def fake():
    with FakeTensorMode():
        return torch.ones(2, dtype=torch.float32)


def freed():
    tensor = torch.ones(2, dtype=torch.float32)
    tensor.untyped_storage().resize_(0)
    return tensor


WITHOUT_MEMORY = {
    "fake": fake,
    "negative": lambda: torch.ones(2, dtype=torch.complex64).conj().imag,
    "meta": lambda: torch.ones(2, device="meta", dtype=torch.float32),
    "freed": freed,
    "float64": lambda: torch.ones(2, dtype=torch.float64),
}


@pytest.mark.parametrize("make", WITHOUT_MEMORY.values(), ids=WITHOUT_MEMORY)
def test_tensors_without_memory_of_their_own_are_refused(make):
    with pytest.raises(TypeError, match="give plain tensors"):
        launch.addresses(torch.float32, make())


def test_tensors_of_no_values_and_subclasses_are_taken():
    class Marked(torch.Tensor):
        pass

    marked = torch.ones(3, dtype=torch.float32).as_subclass(Marked)
    found = launch.addresses(torch.float32, None, torch.ones(0, dtype=torch.float32), marked)
    assert found == [0, launch.EMPTY, marked.data_ptr()]
