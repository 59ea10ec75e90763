"""Notebook 20: every number of its text follows from the records."""

import numpy as np
import pandas as pd

import papers
from papers.shared import trained
from tests.notebooks.summaries import (
    by_fields,
    ends,
    interval,
    last_valid_accuracy,
    mean,
    with_both_decays,
)
from tests.prose import Prose

MN, FM = "mnist", "fashion_mnist"


def test_numbers_of_the_text_follow_from_the_records():
    text, networks = Prose("20_adaptive_topology"), ends()
    usual = networks[networks["trained"] == "adaptive_topology"]
    longest = networks[networks["trained"].isin(["adaptive_topology", "other_dropouts"])]
    lengths = networks[networks["trained"].isin(["adaptive_topology", "training_length"])]
    gap = [
        mean(usual, "accuracy", d, "dense") - mean(usual, "accuracy", d, "set") for d in (MN, FM)
    ]
    text.says(
        "ends {:.1f} percentage points below a dense network on MNIST and {:.1f} below on"
        " Fashion-MNIST",
        *gap,
    )
    text.says(
        "SET ends {:.2f} points below dense on MNIST and {:.2f} points below on Fashion-MNIST", *gap
    )
    _gap_shrinks(text, lengths)
    assert set(longest["weight_decay"]) == {2e-4}  # as the picture "gains" says

    _against_fixed_of_own_decay(text, networks, longest)
    tuned = mean(usual, "accuracy", FM, "set") - mean(usual, "accuracy", FM, "fixed")
    text.says("That SET gains {:.2f} points over fixed links", tuned)
    _is_as_robust_as_dense(text, usual)
    both = [mean(longest, "pgd", FM, "set", dropout=dropout) for dropout in (0.1, 0.3)]
    text.says("dropout of dense raises SET from {:.0f} % to {:.0f} % on Fashion-MNIST", *both)
    both = [mean(longest, "pgd", MN, "rigl", dropout=dropout) for dropout in (0.1, 0.3)]
    text.says("lowers RigL from {:.0f} % to {:.0f} % on MNIST", *both)
    _rigl_ahead_at_equal_dropout(text, networks)
    changes = [
        mean(lengths, "pgd", d, "set", epochs=150) - mean(lengths, "pgd", d, "set", epochs=20)
        for d in (MN, FM)
    ]
    text.says("It gains {:.0f} points on MNIST and loses", changes[0])
    text.says("The shortest has 20 epochs. The others have 60 and 150")
    assert set(lengths.query("method == 'set'")["epochs"]) == {20, 60, 150}
    _has_other_decays(text, networks)
    unlinked = {method: [] for method in ("rigl", "set")}
    for record in papers.obtain("adaptive_topology", "paper"):
        run = record.config
        if run.dataset == MN and run.method in unlinked:
            degrees = trained.degrees(record).query("layer == 'linear1' and side == 'out'")
            links = degrees[degrees["epoch"].astype(str) == "final"]["links"].iloc[0]
            unlinked[run.method].append(100 * (links == 0).mean())
        if run.method == "dense_small":
            assert run.hidden == (43, 43, 43)
    shares = [sum(values) / len(values) for values in unlinked.values()]
    text.says("RigL leaves {:.0f} % of the pixels without a link and SET {:.0f} %", *shares)
    _has_settings(text, networks)
    _has_choices_of_dropout(text, networks)
    assert not text.uncovered()


def _rigl_ahead_at_equal_dropout(text, networks):
    """On attacked MNIST, where dense has the dropout that the later choice prefers for it."""
    rows = networks.query("dataset == @MN and dropout == 0.1 and weight_decay == 0.0002")
    rows = rows[rows["epochs"] == 150].set_index(["trained", "method", "seed"])["pgd"].sort_index()
    dense, rigl = rows["regularisation", "dense"], rows["adaptive_topology", "rigl"]
    mean, low, high = interval((rigl - dense).to_numpy())
    assert len(dense) == len(rigl) == 5 and low > 0
    text.says(
        "With {} dense has {:.0f} %, and RigL is {:.1f} points ahead", 0.1, dense.mean(), mean
    )
    text.says("The interval of that goes from {:.1f} to {:.1f} points", low, high)
    behind = _l2_gaps()
    assert len(behind) > 2 and all(high < 0 for _, _, high in behind.values())
    text.says("If the attack counts in L2, dense is ahead with {} too", 0.1)


def _l2_gaps():
    """RigL minus dense under PGD in L2 on MNIST, both with a dropout of .1, by radius."""
    kept = {"rigl": {}, "dense": {}}
    where = {("adaptive_topology", "rigl"), ("regularisation", "dense")}
    for record in papers.obtain("robustness_summary", "paper"):
        run = record.config
        of = run.parent
        if run.dataset == MN and (of.experiment, of.method) in where and of.epochs == 150:
            assert of.dropout == 0.1
            rows = record.metrics.query("measure == 'pgd l2' and strength > 0")
            kept[of.method][of.seed] = rows.set_index("strength")["value"]
    gaps = pd.DataFrame(kept["rigl"]) - pd.DataFrame(kept["dense"])
    assert gaps.shape[1] == 5
    return {radius: interval(100 * row.to_numpy()) for radius, row in gaps.iterrows()}


def _gap_shrinks(text, lengths):
    """SET's gap to dense on Fashion-MNIST after trainings of 20 and of 150 epochs, by seed."""
    rows = (
        lengths.query("dataset == @FM")
        .set_index(["method", "epochs", "seed"])["accuracy"]
        .sort_index()
    )
    short, long = (rows["dense", epochs] - rows["set", epochs] for epochs in (20, 150))
    _, low, _ = interval((short - long).dropna().to_numpy())
    assert low > 0


def _is_as_robust_as_dense(text, usual):
    """Of the networks drawn only RigL, on attacked MNIST; random drop is above dense once."""
    by_seed = usual.set_index(["dataset", "method", "seed"]).sort_index()

    def against_dense(measure, dataset, method):
        rows = by_seed[measure]
        return interval((rows[dataset, method] - rows[dataset, "dense"]).to_numpy())

    for method in ("set", "rigl", "fixed", "dense_small"):
        for dataset in (MN, FM):
            for measure in ("pgd", "removed"):
                _, low, high = against_dense(measure, dataset, method)
                is_open = (method, dataset, measure) == ("rigl", MN, "pgd")
                assert low < 0 and (high > 0) == is_open
    of_dense = papers.readings("paper", ["R04"]).query("rival == 'dense'")
    holds = of_dense.query("verdict == 'holds'")
    assert set(zip(holds["rule"], holds["dataset"], strict=True)) == {("rigl", MN)}
    words = "Against dense alone R04 holds in {} of {} cases, all of RigL on MNIST"
    text.says(words, len(holds), len(of_dense))
    assert against_dense("pgd", FM, "set_random_removal")[1] > 0
    accuracy = usual[usual["dataset"] == FM].groupby("method")["accuracy"].mean()
    assert accuracy.idxmin() == "set_random_removal"
    behind = accuracy["dense"] - accuracy["set_random_removal"]
    text.says("as trained it is {:.1f} points less accurate", behind)


def _against_fixed_of_own_decay(text, networks, longest):
    """SET's links retrained minus fixed links of the decay that was chosen for these."""
    leads = {}
    for dataset in (MN, FM):
        _, fixed = with_both_decays(networks, dataset, "fixed")
        rows = longest.query("dataset == @dataset and method == 'set_retrained'")
        rows = rows[rows["dropout"] == fixed["dropout"].iloc[0]].set_index("seed").sort_index()
        leads[dataset] = interval((rows["accuracy"] - fixed["accuracy"]).to_numpy())
    assert leads[FM][1] > 0 > leads[MN][1]
    text.says("On MNIST they lead by {:.2f}, and the interval contains zero", leads[MN][0])


def _has_choices_of_dropout(text, networks):
    """The dropout that was chosen first, and the one that more epochs and seeds prefer."""
    first = [record.config for record in papers.STORE.of("tuning", "paper")]
    first = [run for run in first if (run.dataset, run.density) == (MN, 0.01)]
    first = {(run.dropout, run.epochs) for run in first if run.hidden == (1000, 1000, 1000)}
    assert first == {(0.1, 20), (0.2, 20)}
    text.says("the sparse networks had only 0.1 and 0.2 to choose from, after 20 epochs")
    at = {"evaluate_test": False, "weight_decay": 2e-4}
    later = by_fields("regularisation", "dataset method dropout", last_valid_accuracy, **at)
    of_set = {dropout: np.mean(later[FM, "set", dropout]) for dropout in (0, 0.1, 0.3)}
    assert max(of_set, key=of_set.get) == 0.1
    equal = networks[networks["trained"].isin(["adaptive_topology", "other_dropouts"])]
    robust = [mean(equal, "pgd", FM, "set", dropout=dropout) for dropout in (0.1, 0.3)]
    assert robust[0] < robust[1]
    ends = [later[MN, "rigl", dropout] for dropout in (0.1, 0.3)]
    assert min(ends[1]) < max(ends[0])
    words = "At this decay 0.3 is ahead for RigL by {:.2f} points, which may be chance"
    text.says(words, np.mean(ends[1]) - np.mean(ends[0]))
    (weak,), (strong,) = (later[MN, "dense", dropout] for dropout in (0.1, 0.3))
    words = "For dense {} is ahead of {} by {:.2f}, with one seed, which is a tie"
    text.says(words, 0.1, 0.3, weak - strong)


def _has_other_decays(text, networks):
    """What another weight decay changes at equal dropout, with 95 % intervals."""
    changes = {}
    for dataset in (MN, FM):
        for method in ("set", "rigl", "fixed"):
            old, new = with_both_decays(networks, dataset, method)
            changes[dataset, method] = np.sign(new["weight_decay"] - old["weight_decay"])[0]
            _, low, high = interval(new["removed"] - old["removed"])  # finding 4 has attacks
            assert low < 0 and (high < 0) == (dataset == FM and method != "set")
    assert changes == {
        **{(MN, "set"): 0, (MN, "rigl"): 1, (MN, "fixed"): -1},
        **{(FM, "set"): 0, (FM, "rigl"): -1, (FM, "fixed"): -1},
    }
    falls = (rows["pgd"].mean() for rows in with_both_decays(networks, FM, "fixed"))
    text.says("Fixed links fall from {:.0f} % to {:.0f} %", *falls)
    assert {rows["dropout"].iloc[0] for rows in with_both_decays(networks, FM, "rigl")} == {0.3}


def _has_settings(text, networks):
    """What was chosen and what was run."""
    usual = networks[networks["trained"] == "adaptive_topology"]
    dropouts = usual.groupby(["dataset", "method"])["dropout"].unique().map(list)
    assert dropouts[:, "dense"].tolist() == [[0.3]] * 2 and dropouts[FM, "set"] == [0.3]
    assert [dropouts[MN, method] for method in ("set", "rigl", "fixed")] == [[0.1]] * 3
    text.says("0.3 for dense, 0.1 for most sparse networks")
    text.says("These are means of 5 seeds")
    text.says("Remove 30 % of the links on MNIST.")
    text.says("1 if nothing is lost")
