"""Laws of drop and grow, tables worked by hand, and the statistics of the draws."""

import copy
import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from lib import data, evolution, growth, models
from lib.evolution import Evolution, evolve_, remove_
from lib.growth import Site, ch3_l3
from lib.layers import SparseLinear
from lib.support import make_support, random_support, support_from_keys
from lib.train import Settings, fit
from tests.oracles import is_largest, is_valid, seeded, uniformity

OPTIMISERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.0, momentum=0.9),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.0),
}
optimisers = st.sampled_from(list(OPTIMISERS))
drops = st.sampled_from(list(evolution.DROP_RULES))
grows = st.sampled_from(list(growth.GROW_RULES))
fractions = st.sampled_from([0, 0.125, 0.3, 0.5, 0.9, 0.99])


@st.composite
def layers(draw):
    """A small layer, perhaps without links; its weights are 0 or ±1, ±2, ±3, so that many tie."""
    n_in, n_out = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    generator = seeded(draw(st.integers(0, 2**32)))
    support = random_support(n_in, n_out, draw(st.floats(0.01, 1)), generator=generator)
    layer = SparseLinear(n_in, n_out, support=support, generator=generator)
    layer.values.data = torch.randint(-3, 4, (layer.nnz,), generator=generator).double()
    return layer


def mark(layer, optimiser_name):
    """An optimiser that changed no weight and whose state is positive at every link."""
    optimiser = OPTIMISERS[optimiser_name]([layer.values])
    layer.values.grad = torch.arange(1.0, layer.nnz + 1)
    optimiser.step()
    return optimiser


def seen_by(layer):
    x, grad_y = (torch.randn(n, 3, generator=seeded(7)) for n in layer.support[:2])
    return {"x": x, "grad_y": grad_y}


def update(layer, rules, fraction, optimiser=None, seed=0):
    how = {"fraction": fraction, "generator": seeded(seed), "optimiser": optimiser}
    return evolve_(layer, rules, **how, **seen_by(layer))


def scattered(layer, optimiser):
    """Weights and optimiser state as full (n_in · n_out,) vectors, 0 where there is no link."""
    state = optimiser.state[layer.values].values()
    vectors = [layer.values.detach(), *(s for s in state if s.shape == layer.values.shape)]
    zeros = torch.zeros(layer.support.n_in * layer.support.n_out)
    return [zeros.index_put((layer.support.keys,), vector) for vector in vectors]


def n_dropped(drop, values, fraction):
    """Number of links a rule drops, by its definition and with the fraction as it is written."""
    zeros, positive, negative = ((values.sign() == s).sum().item() for s in (0, 1, -1))
    zeta = Fraction(str(fraction))
    if drop == "sign":
        return zeros + math.floor(zeta * positive) + math.floor(zeta * negative)
    if drop == "magnitude":
        return zeros + math.floor(zeta * (positive + negative))
    return math.floor(zeta * len(values))


# the update


@pytest.mark.parametrize("change", [evolve_, remove_])
@of_hypothesis(max_examples=200)
@given(drop=drops, grow=grows, optimiser_name=optimisers, layer=layers(), fraction=fractions)
def test_update_keeps_survivors_and_grows_as_many_as_it_drops_or_none(
    change, drop, grow, optimiser_name, layer, fraction
):
    optimiser, nnz = mark(layer, optimiser_name), layer.nnz
    desired, before = n_dropped(drop, layer.values, fraction), scattered(layer, optimiser)
    how = {"fraction": fraction, "generator": seeded(0), "optimiser": optimiser}
    assert change(layer, Evolution(drop, grow), **how, **seen_by(layer)) == desired
    assert layer.nnz == nnz - (desired if change is remove_ else 0)
    assert is_valid(layer.support) and layer.values.grad is None
    after = scattered(layer, optimiser)
    survived = after[1] != 0  # new links have no state
    assert survived.sum() == nnz - desired
    assert all(torch.equal(a, b * survived) for a, b in zip(after, before, strict=True))


@given(optimiser_name=optimisers, layer=layers(), fraction=fractions)
def test_reset_state_forgets_the_state_of_every_link(optimiser_name, layer, fraction):
    optimiser = mark(layer, optimiser_name)
    update(layer, Evolution(reset_state=True), fraction, optimiser)
    assert not any(state.any() for state in scattered(layer, optimiser)[1:])


@pytest.mark.parametrize("reset_state", [False, True])
def test_new_links_start_with_the_sum_that_adagrad_starts_with(reset_state, generator):
    layer = SparseLinear(6, 5, density=0.5, generator=generator)
    optimiser = torch.optim.Adagrad([layer.values], lr=0.0, initial_accumulator_value=0.5)
    layer.values.grad = torch.ones(layer.nnz)
    optimiser.step()
    n = update(layer, Evolution("random", reset_state=reset_state), 0.4, optimiser)
    desired = [0.5] * n + [0.5 if reset_state else 1.5] * (layer.nnz - n)
    assert optimiser.state[layer.values]["sum"].sort().values.tolist() == desired


@of_hypothesis(max_examples=200)
@given(drop=drops, grow=grows, layer=layers(), fraction=fractions)
def test_dropped_links_do_not_come_back_at_once(drop, grow, layer, fraction):
    positions = layer.support.n_in * layer.support.n_out
    assume(n_dropped(drop, layer.values, fraction) <= positions - layer.nnz)
    optimiser, old = mark(layer, "SGD"), layer.support.keys
    n = update(layer, Evolution(drop, grow, regrow_dropped=False), fraction, optimiser)
    is_new = scattered(layer, optimiser)[1][layer.support.keys] == 0
    assert is_new.sum() == n
    assert not torch.isin(layer.support.keys[is_new], old).any()


@of_hypothesis(max_examples=60)
@given(drop=drops, grow=grows)
def test_same_generator_gives_the_same_links_and_another_does_not(drop, grow):
    layer = SparseLinear(30, 20, density=0.2, generator=seeded(0))
    twin, other = copy.deepcopy(layer), copy.deepcopy(layer)
    rules = Evolution(drop, grow, new_std=1.0)
    update(layer, rules, 0.3, seed=1)
    update(twin, rules, 0.3, seed=1)
    update(other, rules, 0.3, seed=2)
    assert torch.equal(layer.support.keys, twin.support.keys)
    assert torch.equal(layer.values, twin.values)
    assert not torch.equal(layer.values, other.values)


def test_new_links_have_the_standard_deviation_asked_for(generator):
    layer = SparseLinear(100, 200, density=0.5, generator=generator)
    layer.values.data.zero_()  # every link is dropped, so every link is new
    assert update(layer, Evolution(new_std=0.5), 0.3) == layer.nnz == 10_000
    assert abs(layer.values.mean()) < 5 * 0.5 / math.sqrt(10_000)  # 5 standard errors
    assert abs(layer.values.var() - 0.25) < 5 * 0.25 * math.sqrt(2 / 10_000)


# drop rules: 4 positive weights, 4 negative ones, 2 zeros; .2 and -.1 twice

WEIGHTS = [0.5, -0.1, 0.0, 0.2, -0.4, 0.2, -0.1, 0.9, 0.0, -0.3]


@pytest.mark.parametrize(
    ("drop", "fraction", "desired"),
    [
        ("sign", 0, [2, 8]),  # exact zeros go, besides the fraction
        ("sign", 0.24, [2, 8]),  # ⌊.96⌋ of each sign
        ("sign", 0.3, [1, 2, 3, 8]),  # ⌊1.2⌋ of each sign; of equals the earlier
        ("sign", 0.5, [1, 2, 3, 5, 6, 8]),
        ("sign", 0.75, [0, 1, 2, 3, 5, 6, 8, 9]),
        ("magnitude", 0, [2, 8]),
        ("magnitude", 0.3, [1, 2, 6, 8]),  # ⌊2.4⌋ of the eight that are not zero
        ("magnitude", 0.4, [1, 2, 3, 6, 8]),
        ("magnitude", 0.5, [1, 2, 3, 5, 6, 8]),
        ("magnitude", 0.75, [1, 2, 3, 4, 5, 6, 8, 9]),
        ("largest", 0, []),
        ("largest", 0.3, [0, 4, 7]),  # ⌊3⌋ of all ten
        ("largest", 0.5, [0, 3, 4, 7, 9]),
    ],
)
def test_drop_rules_follow_the_table(drop, fraction, desired):
    rule = evolution.DROP_RULES[drop]
    dropped = rule(torch.tensor(WEIGHTS), fraction, generator=seeded(0))
    assert dropped.nonzero().squeeze(1).tolist() == desired


def test_drop_by_weight_and_gradient_follows_the_table():
    x, grad_y = torch.eye(4), torch.tensor([[100.0, 0.0, 0.0, 500.0], [0.0, 0.0, 200.0, 0.0]])
    site = Site(
        4,
        2,
        torch.tensor([0, 1, 3, 6]),  # weights of output 0 to inputs 0, 1, 3, and of 1 to 2
        x,
        grad_y,
        values=torch.tensor([0.5, -1.2, 0.0, -0.3]),
        batch_sizes=(2, 2),  # mean gradients 50, 0, 250, 100
    )
    rule = evolution.drop_weight_and_gradient
    assert rule.needs_gradient
    scores = [1.0, 1.2, 2.5, 1.3]  # |w| + .01 |g|: the link of weight 0 is the best
    for n in range(5):
        dropped = rule(site, n / 4, generator=seeded(0)).tolist()
        assert dropped == [score in sorted(scores)[:n] for score in scores]


@pytest.mark.parametrize(("done", "power"), [(0.0, 1), (0.5, 5), (1.0, 9)])
def test_soft_drop_keeps_links_by_a_power_of_their_weights(done, power):
    weights, n_draws, generator = torch.tensor([0.0, -0.8, 1.0]), 4000, seeded(0)
    site = Site(3, 1, torch.arange(3), values=weights, done=done)
    draws = [evolution.drop_soft(site, 0.67, generator=generator) for _ in range(n_draws)]
    kept = (~torch.stack(draws)).sum(0)
    chance = 1 / (1 + 0.8**power)  # of the largest to be the one that is kept
    assert kept.sum() == n_draws and kept[0] == 0
    assert abs(kept[2] - n_draws * chance) < 4 * (n_draws * chance * (1 - chance)) ** 0.5


# where the new links are


@pytest.mark.parametrize("regrow", [True, False])
def test_evolution_by_ch3_l3_scores_by_the_links_kept(regrow, generator):
    layer = SparseLinear(12, 9, density=0.3, generator=generator)
    rules, old = Evolution("magnitude", "ch3_l3", regrow_dropped=regrow), layer.support.keys
    dropped = evolution.drop_magnitude(layer.values, 0.3, generator=generator)
    score = ch3_l3(support_from_keys(old[~dropped], 12, 9)).flatten()
    score[old[dropped]] *= regrow
    evolve_(layer, rules, fraction=0.3, generator=generator)
    new = layer.support.keys[~torch.isin(layer.support.keys, old[~dropped])]
    assert len(new) == dropped.sum() and score[new].all() and is_largest(new, score)


# settings


@pytest.mark.parametrize(
    ("epoch", "constant", "cosine"), [(0, 0.4, 0.4), (50, 0.4, 0.2), (100, 0.4, 0.0)]
)
def test_drop_fraction_is_constant_or_falls_by_a_cosine(epoch, constant, cosine):
    actual = Evolution(drop_fraction=0.4).fraction_at_epoch(epoch, 100)
    assert actual == constant
    actual = Evolution(drop_fraction=0.4, decay="cosine").fraction_at_epoch(epoch, 100)
    assert actual == pytest.approx(cosine, abs=1e-15)


# numbers of links


@pytest.mark.parametrize(
    ("schedule", "done", "share"),
    [
        ("constant", 0.5, 1),
        ("cubic", 0.0, 1),
        ("cubic", 0.25, 0.2 + 0.8 / 8),  # half of the schedule: half to the third is left
        ("cubic", 0.5, 0.2),
        ("cubic", 1.0, 0.2),
        ("sigmoid", 0.0, 1),
        ("sigmoid", 0.25, 0.6),  # half way
        ("sigmoid", 0.125, 1 - 0.8 * (1 - math.tanh(1.5) / math.tanh(3)) / 2),
        ("sigmoid", 0.375, 1 - 0.8 * (1 + math.tanh(1.5) / math.tanh(3)) / 2),
        ("sigmoid", 0.5, 0.2),
        ("sigmoid", 1.0, 0.2),
    ],
)
def test_share_of_the_links_follows_the_schedule(schedule, done, share):
    final = {} if schedule == "constant" else {"final_share": 0.2, "schedule_end": 0.5}
    rules = Evolution(density_schedule=schedule, **final)
    assert rules.share_at(done) == pytest.approx(share, abs=1e-15)


@pytest.mark.parametrize(
    ("schedule", "schedule_end", "last_epoch"),
    [("cubic", 0.75, "remove"), ("sigmoid", 1, "evolve")],
)
def test_the_final_share_is_what_training_leaves(schedule, schedule_end, last_epoch):
    rules = Evolution(
        "magnitude",
        density_schedule=schedule,
        final_share=0.1,
        schedule_end=schedule_end,
        last_epoch=last_epoch,
    )
    net = models.mlp([64, 40, 30, 10], density=0.5, seed=0).float()
    fit(net, data.load("digits"), Settings(4, batch_size=512, evolution=rules), seed=0)
    assert (net.linear1.nnz, net.linear2.nnz) == (128, 60)  # of 1280 and 600


def test_what_follows_the_last_epoch_is_asked_for_again_without_a_schedule():
    rules = Evolution(density_schedule="cubic", final_share=0.1)
    assert rules.after_last_epoch == "keep"
    constant = replace(rules, density_schedule="constant", final_share=1.0)
    assert constant == Evolution() and constant.after_last_epoch == "remove"


def plain_granet(weights, gradient, n, fraction):
    """Mask of (n_out, n_in) weights, 0 where there is no link: prune to n, drop, regrow."""
    flat, links = weights.abs().flatten(), weights.flatten() != 0
    pruned = flat.where(links, -1.0).topk(n).indices
    n_kept = n - math.floor(fraction * n)
    mask = torch.zeros_like(links)
    mask[pruned[:n_kept]] = True
    mask[gradient.abs().flatten().where(~mask, -1.0).topk(n - n_kept).indices] = True
    return mask.view(weights.shape)


@pytest.mark.parametrize("epoch", [1, 4, 8])
def test_granet_prunes_then_drops_and_grows_by_gradient(epoch, generator):
    layers = {
        "a": SparseLinear(12, 10, density=0.5, generator=generator),
        "b": SparseLinear(10, 5, density=0.8, generator=generator),
    }
    rules = Evolution(
        *("magnitude", "gradient"),
        drop_fraction=0.3,
        density_schedule="cubic",
        final_share=0.1,
        schedule_end=0.8,
    )
    seen = {name: seen_by(layer) for name, layer in layers.items()}
    share = 0.1 + 0.9 * (1 - epoch / 8) ** 3
    desired = []
    for name, n_start in (("a", 60), ("b", 40)):
        gradient = seen[name]["grad_y"] @ seen[name]["x"].t()
        weights = layers[name].to_dense().detach()
        desired.append(plain_granet(weights, gradient, round(share * n_start), 0.3))
    how = {"seen": seen, "n_at_start": {"a": 60, "b": 40}}
    n = evolution.evolve_layers_(layers, rules, epoch, 10, generator=generator, **how)
    for layer, mask in zip(layers.values(), desired, strict=True):
        assert torch.equal(layer.support.keys, mask.flatten().nonzero().squeeze(1))
    assert n == sum(round(share * k) - math.ceil(0.7 * round(share * k)) for k in (60, 40))


RULES = {
    "GraNet": Evolution("magnitude", "gradient", density_schedule="cubic", final_share=0.5),
    "CHTss": Evolution("soft", "ch2_l3n", density_schedule="sigmoid", final_share=0.5),
    "CHT": Evolution("magnitude", "ch3_l3"),
    "MEST": Evolution("weight_and_gradient"),
    "sparse momentum": Evolution("magnitude", "momentum", redistribution="momentum"),
    "both": Evolution(density_schedule="cubic", final_share=0.5, redistribution="momentum"),
}


@pytest.mark.filterwarnings("ignore:fit goes by autograd")
@pytest.mark.parametrize(
    ("name", "compiled"), list(zip(RULES, [True, False, True, False, True, False], strict=True))
)
def test_published_rules_train_and_resume_to_the_same_bits(name, compiled, tmp_path):
    split, rules = data.load("digits"), RULES[name]
    loss = {} if compiled else {"loss": lambda y, t: torch.nn.functional.cross_entropy(y, t)}
    how = {"seed": 0, **loss}
    settings = Settings(5, batch_size=256, evolution=replace(rules, last_epoch="keep"))

    def network():
        return models.mlp([64, 40, 30, 10], density=0.3, seed=0).float()

    whole, again = network(), network()
    history = fit(whole, split, settings, **how)
    path = tmp_path / "checkpoint.pt"
    fit(network(), split, settings, checkpoint=path, stop_after=3, **how)
    resumed = fit(again, split, settings, checkpoint=path, **how)
    assert resumed.metrics == history.metrics
    assert all(map(torch.equal, whole.state_dict().values(), again.state_dict().values()))
    at_start = {"linear1": 768, "linear2": 360}
    left = {name: whole.get_submodule(name).nnz for name in at_start}
    desired = [round(rules.share_at(epoch / 5) * 1128) for epoch in range(5)]
    assert [row["links"] - 300 for row in history.metrics] == pytest.approx(desired, abs=1)
    if rules.redistribution is None:
        assert left == {name: round(rules.share_at(0.8) * n) for name, n in at_start.items()}
    else:
        assert sum(left.values()) == desired[-1] and left != at_start


def with_momenta(optimiser_name, momenta):
    """Layers of 20 links each, half of them of weight 0, and an optimiser of these momenta."""
    layers = {name: SparseLinear(10, 8, density=0.25, generator=seeded(1)) for name in momenta}
    values = [layer.values for layer in layers.values()]
    optimiser = OPTIMISERS[optimiser_name](values)
    for layer in layers.values():
        layer.values.data = torch.tensor([0.0, 1.0] * 10)
        layer.values.grad = torch.ones(20)
    optimiser.step()
    for layer, momentum in zip(layers.values(), momenta.values(), strict=True):
        state = optimiser.state[layer.values]
        signs = torch.tensor([-1.0, 1.0] * 10)
        if "exp_avg" in state:  # a step of momentum 2, as its root mean square is 2
            state["exp_avg"] = 2 * momentum * signs
            state["exp_avg_sq"] = torch.full((20,), 4.0)
        else:
            state["momentum_buffer"] = momentum * signs
    return layers, optimiser


def redistributed(momenta, optimiser_name="SGD"):
    layers, optimiser = with_momenta(optimiser_name, momenta)
    rules = Evolution("magnitude", "random", drop_fraction=0.0, redistribution="momentum")
    how = {"generator": seeded(0), "optimiser": optimiser}
    n = evolution.evolve_layers_(layers, rules, 1, 10, **how)
    return n, [layer.nnz for layer in layers.values()]


@pytest.mark.parametrize(
    ("optimiser_name", "momenta", "grown"),
    [
        ("SGD", {"a": 3.0, "b": 1.0}, [15, 5]),
        ("Adam", {"a": 3.0, "b": 1.0}, [15, 5]),
        ("Adam", {"a": 1.0, "b": 1.0, "c": 0.0}, [15, 15, 0]),
        ("SGD", {"a": 0.0, "b": 0.0}, [10, 10]),
        ("SGD", {"a": 2.0, "b": 1.0}, [13, 7]),  # 13.3 and 6.7: the larger remainder goes up
    ],
)
def test_links_go_to_the_layers_of_large_momentum(optimiser_name, momenta, grown):
    n, numbers = redistributed(momenta, optimiser_name)
    assert n == 10 * len(momenta)
    assert numbers == [10 + more for more in grown]


def test_what_a_layer_has_no_room_for_goes_to_the_others():
    momenta = {"a": 1.0} | {f"b{i}": 0.0 for i in range(9)}
    n, numbers = redistributed(momenta)  # 100 links, and 69 of 70 free positions in layer a
    assert n == 100 and numbers[0] == 10 + 69
    assert sum(numbers) == 200 and max(numbers[1:]) - min(numbers[1:]) <= 1


@pytest.mark.parametrize(
    ("emptied", "moves", "numbers"),
    [("a", [None, "momentum"], [11, 11]), ("ab", ["momentum"], [1, 1])],
)
def test_layers_that_have_lost_all_links_get_some_again(emptied, moves, numbers):
    layers, optimiser = with_momenta("SGD", {"a": 3.0, "b": 1.0})
    every_link = Evolution(lambda site, fraction, *, generator: site.values == site.values)
    how = {"generator": seeded(0), "optimiser": optimiser}
    for name in emptied:
        remove_(layers[name], every_link, fraction=0.0, **how)
        assert layers[name].nnz == 0
    for redistribution in moves:
        rule = Evolution("random", density_schedule="cubic", final_share=0.5, schedule_end=1)
        rule = replace(rule, redistribution=redistribution)
        evolution.evolve_layers_(layers, rule, 5, 10, n_at_start={"a": 20, "b": 20}, **how)
        if redistribution == moves[0]:
            assert [layer.nnz for layer in layers.values()] == numbers
    assert sum(layer.nnz for layer in layers.values()) == sum(numbers)


def test_links_are_shared_out_by_the_momentum_before_the_drop():
    layers, optimiser = with_momenta("SGD", {"a": 1.0, "b": 1.0})
    for layer in layers.values():
        layer.values.data = torch.arange(1.0, 21)
    state = optimiser.state[layers["a"].values]
    state["momentum_buffer"] = torch.tensor([5.0] * 10 + [1.0] * 10)  # 3 on average
    rules = Evolution("magnitude", "random", drop_fraction=0.5, redistribution="momentum")
    evolution.evolve_layers_(layers, rules, 1, 10, generator=seeded(0), optimiser=optimiser)
    assert [layer.nnz for layer in layers.values()] == [10 + 15, 10 + 5]


# memory


class Largest(TorchDispatchMode):
    """Records the number of elements of the largest tensor made in the block."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        made = out if isinstance(out, tuple | list) else (out,)
        self.numel = max(self.numel, *(t.numel() for t in made if torch.is_tensor(t)), 0)
        return out


def test_memory_grows_with_links_and_not_with_positions(generator):
    with Largest() as largest:
        layer = SparseLinear(100_000, 100_000, density=1e-4, generator=generator)
        assert update(layer, Evolution(), 0.3) > 0
    assert layer.nnz == 1_000_000 and is_valid(layer.support)
    assert largest.numel < 2_000_000  # of 10¹⁰ positions


# rules of one's own

ROWS, COLS = torch.tensor([0, 0, 1, 1]), torch.tensor([1, 3, 0, 2])  # keys 1, 3, 4, 6
DESIRED = [0, 1, 2, 3]  # 4 and 6 go; the first free ones of 0, 2, 4, … come


def of_four_links():
    """A layer of weights 4, 3, 2, 1 and an optimiser of momenta 1, 2, 3, 4."""
    layer = SparseLinear(4, 2, support=make_support(ROWS, COLS, 4, 2))
    layer.values.data = torch.tensor([4.0, 3.0, 2.0, 1.0])
    return layer, mark(layer, "SGD")


def drop_youngest(site, fraction, *, generator):
    """The last links by position, whatever their weight."""
    nnz = len(site.link_keys)
    return torch.arange(nnz) >= nnz - int(fraction * nnz)


def grow_first(site, n, *, generator):
    """The first free positions."""
    is_free = torch.ones(site.positions, dtype=torch.bool)
    is_free[site.occupied_keys] = False
    return is_free.nonzero().squeeze(1)[:n]


def asking(rule, seen):
    """A rule that asks for gradients, and notes them."""

    def asks(site, amount, *, generator):
        seen.append(site.gradient())
        return rule(site, amount, generator=generator)

    assert not Evolution(grow=asks).needs_gradient
    asks.needs_gradient = True
    return asks


@pytest.mark.parametrize(
    ("name", "rule", "n"), [("grow", grow_first, 1), ("drop", drop_youngest, 2)]
)
def test_a_rule_gets_gradients_if_it_asks_for_them(name, rule, n):
    """A drop rule also after the last epoch, where nothing grows."""
    seen = []
    rules = Evolution(**{name: asking(rule, seen)})
    assert rules.needs_gradient
    net = models.mlp([64, 20, 10], density=0.2, seed=0)
    settings = Settings(epochs=2, batch_size=64, evolution=rules)
    history = fit(net, data.load("digits"), settings, seed=0)
    assert [gradient.shape for gradient in seen] == [(20, 64)] * n
    assert history.metrics[0]["replaced"] > 0


def test_rules_see_the_links_their_weights_and_what_the_optimiser_remembers():
    (layer, optimiser), sites = of_four_links(), []

    def drop(site, fraction, *, generator):
        sites.append(site)
        return site.values < 3

    def grow(site, n, *, generator):
        sites.append(site)
        return grow_first(site, n, generator=generator)

    rule = evolution.Evolution(drop=drop, grow=grow, regrow_dropped=False)
    how = {"generator": seeded(0), "optimiser": optimiser, "done": 0.5}
    assert evolution.evolve_(layer, rule, fraction=0.5, **how) == 2
    all_links, kept = sites
    assert all_links.link_keys.tolist() == [1, 3, 4, 6] and kept.link_keys.tolist() == [1, 3]
    assert kept.occupied_keys.tolist() == [1, 3, 4, 6]  # no dropped link comes back
    assert kept.values.tolist() == [4, 3]
    assert all_links.state["momentum_buffer"].tolist() == [1, 2, 3, 4]
    assert kept.state["momentum_buffer"].tolist() == [1, 2]
    assert (all_links.done, kept.done) == (0.5, 0.5)


def test_a_rule_that_writes_to_what_it_sees_changes_neither_weights_nor_momentum():
    def drop(site, fraction, *, generator):
        is_dropped = drop_youngest(site, fraction, generator=generator)
        site.values.zero_(), site.state["momentum_buffer"].zero_(), site.link_keys.zero_()
        return is_dropped

    seen = []

    def grow(site, n, *, generator):
        seen.append((site.values.tolist(), site.state["momentum_buffer"].tolist()))
        keys = grow_first(site, n, generator=generator)
        site.values.zero_(), site.state["momentum_buffer"].zero_(), site.link_keys.zero_()
        return keys

    layer, optimiser = of_four_links()
    how = {"fraction": 0.5, "generator": seeded(0), "optimiser": optimiser}
    evolve_(layer, Evolution(drop, grow), **how)
    assert layer.support.keys.tolist() == DESIRED and layer.values.tolist() == [0, 4, 0, 3]
    assert optimiser.state[layer.values]["momentum_buffer"].tolist() == [0, 1, 0, 2]
    assert seen == [([4, 3], [1, 2])]


@pytest.mark.parametrize(("kind", "known"), [("SGD", "nothing"), ("Adam", "'exp_avg'")])
def test_a_rule_that_asks_for_what_the_optimiser_does_not_remember_is_told(kind, known):
    def drop(site, fraction, *, generator):
        return site.state["momentum_buffer"] < 0

    layer = SparseLinear(4, 2, density=0.5, generator=seeded(0))
    optimiser = getattr(torch.optim, kind)(layer.parameters(), lr=0.1)
    layer(torch.ones(3, 4)).sum().backward()
    optimiser.step()
    how = {"fraction": 0.5, "generator": seeded(0), "optimiser": optimiser}
    with pytest.raises(ValueError, match=f"asks for 'momentum_buffer', .* remembers {known}"):
        evolve_(layer, Evolution(drop, "random"), **how)


# what is refused


def giving(result):
    """A rule, to drop or to grow, that gives this."""

    def given(site, amount, *, generator):
        return result

    return given


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"grow": giving([0, 2])}, "grow rule given gave a list: 2 keys, a tensor of int64"),
        (
            {"grow": giving(torch.tensor([[0], [2]]))},
            r"grow rule given gave int64 of shape \(2, 1\): 2 keys, a tensor",
        ),
        (
            {"grow": giving(torch.tensor([0, 2]).float())},
            r"grow rule given gave float32 of shape \(2,\): 2 keys, a tensor",
        ),
        ({"drop": giving([True])}, r"drop rule given gave a list: bool of shape \(4,\) is needed"),
        ({"drop": giving(torch.ones(4))}, r"drop rule given gave float\d\d of shape"),
        ({"grow": giving(torch.tensor([5, 4]))}, "gave keys that are not ascending: sort them"),
        ({"grow": giving(torch.tensor([5, 5]))}, "not ascending: sort them, and give each once"),
        ({"grow": giving(torch.tensor([0, 8]))}, "rule given gave key 8: keys go from 0 to 7"),
        ({"grow": giving(torch.tensor([-1, 0]))}, "rule given gave key -1: keys go from 0 to 7"),
        ({"grow": giving(torch.tensor([0, 3]))}, "key 3, where a link is: see site.occupied_keys"),
    ],
)
def test_a_rule_that_gives_something_else_is_named(rules, sentence):
    layer, optimiser = of_four_links()
    evolving = Evolution(**{"drop": drop_youngest, "grow": grow_first, **rules})
    with pytest.raises(ValueError, match=sentence):
        evolve_(layer, evolving, fraction=0.5, generator=seeded(0), optimiser=optimiser)
    assert layer.support.keys.tolist() == [1, 3, 4, 6]


def half_full():
    return SparseLinear(4, 5, density=0.5)


def updated_at(epoch, epochs, rules=Evolution()):  # noqa: B008
    layers, how = {"a": half_full()}, {"generator": seeded(0)}
    return lambda: evolution.evolve_layers_(layers, rules, epoch, epochs, **how)


SHRINKING = Evolution(density_schedule="cubic", final_share=0.5)
MOVING = Evolution(redistribution="momentum")
REFUSED = [  # fields out of range: faults/test_bad_values
    (lambda: Evolution(grow="rigl"), r'; SET is Evolution\(\), RigL is Evolution\("magnitu'),
    (lambda: Evolution(final_share=0.5), "final_share = 0.5 with a constant density_schedule"),
    (lambda: Settings(1, evolution=SHRINKING), "epochs = 1 with a density_schedule leaves no upd"),
    (lambda: update(half_full(), SHRINKING, 0.3), "use evolve_layers_"),
    (lambda: update(half_full(), MOVING, 0.3), "use evolve_layers_"),
    (updated_at(1, 10, MOVING), "needs an optimiser with one: SGD with momentum, or Adam"),
    (updated_at(1, 10, SHRINKING), "needs the numbers of links before training: give n_at"),
    (lambda: redistributed({"a": 1.0, "b": math.nan}), "the momentum of layer b is not finite"),
    (updated_at(1, 0), "epochs = 0 is out of range: give a whole number, at least 1"),
    (updated_at(0, 5), "epoch = 0 is out of range: give a whole number, from 1 to 5"),
    (updated_at(6, 5), "epoch = 6 is out of range"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_cannot_be_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_a_schedule_of_one_epoch_may_update_after_it():
    assert Settings(1, evolution=replace(SHRINKING, last_epoch="evolve")).epochs == 1


def test_random_drop_takes_every_link_equally_often():
    values, n_draws = torch.tensor(WEIGHTS), 4000
    generator = seeded(0)
    draws = [evolution.drop_random(values, 0.3, generator=generator) for _ in range(n_draws)]
    assert {int(dropped.sum()) for dropped in draws} == {3}
    assert uniformity(torch.stack(draws).sum(0), n_draws, 3) > 0.001
