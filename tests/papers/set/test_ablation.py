"""What SET depends on: the penalty, and that every run changes what its name says and no more."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import layers, models, papers
from lib.papers.set import ablation
from lib.papers.set.regularised import Lasso, RegularisedTraining, link_weights
from lib.papers.shared.sparse_training import SparseTraining


def network():
    return models.mlp((6, 5, 3), density=0.5, dropout=0.0, activation="relu", seed=1)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(8, 6, generator=generator), torch.arange(8) % 3


def gradients(model, loss):
    return torch.autograd.grad(loss, [p for _, p in sorted(model.named_parameters())])


def test_penalty_adds_the_signs_of_the_weights_of_links_to_their_gradient(batch):
    model, coupling = network(), 0.7
    with torch.no_grad():
        model.linear1.values[:2] = 0.0  # the subgradient there is 0
    x, y = batch
    plain = gradients(model, F.cross_entropy(model(x), y))
    penalised = gradients(model, Lasso(coupling)(model, x, y, torch.Generator()))
    names = sorted(name for name, _ in model.named_parameters())
    for name, before, after in zip(names, plain, penalised, strict=True):
        values = dict(model.named_parameters())[name]
        desired = coupling * values.sign() if name.endswith("values") else 0 * values
        torch.testing.assert_close(after - before, desired)


def test_weights_of_links_are_those_of_linear_layers_alone():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 3), layers.SparseLinear(3, 2, density=1))
    found = link_weights(model)
    assert [tuple(weights.shape) for weights in found] == [(3, 4), (6,)]


@pytest.mark.parametrize("coupling", [-1e-7, float("inf"), float("nan")])
def test_penalty_out_of_range_is_refused(coupling):
    run = RegularisedTraining("set_ablation", l1=coupling)
    with pytest.raises(ValueError, match=f"l1 = {coupling} is out of range: give 0 or a positive"):
        run.check()


def differences(run, other):
    """The fields in which two runs differ."""
    shared = {field.name for field in dataclasses.fields(SparseTraining)} | {"l1"}
    return {name for name in shared if getattr(run, name, 0.0) != getattr(other, name, 0.0)}


def test_methods_of_a_setting_differ_in_their_links_alone():
    runs = [run for run in ablation.ablation("paper") if run.seed == 0]
    for variant in ablation.SETTINGS:
        ours, fixed, dense = [run for run in runs if run.variant == variant]
        assert differences(ours, fixed) == {"method", "drop"}
        length = set() if variant in ablation.LONG_DENSE else {"epochs"}
        assert differences(fixed, dense) == {"method", "er_epsilon"} | length


@pytest.mark.parametrize(
    ("name", "desired"),
    [
        ("SReLU, momentum, L1", {"l1"}),
        ("SReLU, momentum, L2", {"weight_decay"}),
        ("SReLU, Nesterov, none", {"optimiser"}),
        ("ReLU, momentum, none", {"activation", "published_srelu"}),
    ],
)
def test_setting_changes_what_its_name_says(name, desired):
    runs = {run.variant: run for run in ablation.ablation("paper") if run.method == "set"}
    changed = differences(runs[name], runs["SReLU, momentum, none"])
    assert changed == desired | {"variant"}


def test_twelve_settings_have_five_seeds_of_three_methods():
    runs = ablation.ablation("paper")
    assert len(runs) == 12 * 3 * 5 and len({run.name for run in runs}) == len(runs)


def test_variants_differ_from_the_paper_in_one_thing():
    runs = {run.variant: run for run in ablation.variants("paper") if run.seed == 0}
    base = runs.pop("as in the paper")
    assert len(runs) == len(ablation.VARIANTS) - 1
    for variant, run in runs.items():
        assert len(differences(run, base) - {"variant"}) == 1, variant


def test_every_variant_trains_otherwise_unless_it_only_ends_otherwise():
    curves, ends = {}, {}
    for record in papers.STORE.of("set_variants", "paper"):
        run = record.config
        curves[run.variant, run.seed] = record.metrics["test_accuracy"].tolist()
        ends[run.variant, run.seed] = record.environment["final"]["test_accuracy"]
    base = "as in the paper"
    for variant in {variant for variant, _ in curves} - {base}:
        seeds = [seed for name, seed in curves if name == variant]
        same = {curves[variant, seed] == curves[base, seed] for seed in seeds}
        assert same == {"last_epoch" in ablation.VARIANTS[variant]}, variant
        assert any(ends[variant, seed] != ends[base, seed] for seed in seeds), variant


def test_removals_differ_in_what_is_dropped_alone():
    ours, *others = [run for run in ablation.removals("paper") if run.seed == 0]
    assert [other.drop for other in others] == ["random", "largest"]
    assert all(differences(other, ours) == {"method", "drop"} for other in others)


def test_links_and_drop_fractions_are_those_of_the_claim_and_fewer_links():
    runs = ablation.sensitivity("paper")
    points = {(run.er_epsilon, run.drop_fraction) for run in runs}
    assert len(points) == 18 and len(runs) == 18 * 5
    assert {point for point in points if point[0] < 10} == {(1, 0.3), (2, 0.3), (5, 0.3)}
