"""Variants of SET train otherwise."""

import papers
from papers.set import experiments


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
        assert same == {"last_epoch" in experiments.VARIANTS[variant]}, variant
        assert any(ends[variant, seed] != ends[base, seed] for seed in seeds), variant
