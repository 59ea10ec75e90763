"""What notebook 14 says is what the records say."""

import math
from importlib.metadata import version
from itertools import product

import numpy as np
import pandas as pd
import pytest

import papers
from lib._boundary import FIGURES, REFERENCE
from lib.report import frames
from lib.report.intervals import t_interval
from lib.topology import power_law
from papers.frontier.experiments import RANDOM
from papers.frontier.studies import degree_distances
from tests.prose import Prose

STAYING = ("fixed", "set_random_removal")  # nothing is selected


def test_numbers_of_the_text_are_those_of_the_records():
    text, rows = Prose("14_scale_free"), frames.rows(papers.STORE.of("scale_free", "paper"))
    says = text.says
    says("a power law with an exponent between 2 and 3")
    ends = rows.query("kind == 'network' and epoch == 'final'")
    evolved = ends[~ends["method"].isin(STAYING)]
    assert not evolved["strong"].any()
    says("none of {} degree sequences, eight a network", len(evolved))
    networks = evolved.groupby(["trained", "variant", "dataset", "method", "seed"])["neurons"]
    assert (networks.nunique() == 8).all() and (networks.size() == 8).all()
    assert 0.6 < (evolved["domain"] != "inside").mean() < 0.7  # two thirds
    whole = evolved[~evolved["neurons"].str.contains(" in| out")]
    inside = whole["domain"] == "inside"
    says("these {} sequences of evolved networks {} are *inside*", len(whole), inside.sum())
    assert 0.6 < 1 - inside.mean() < 0.7
    says("if their mean lies between 2 and")
    assert (power_law.REJECT_BELOW, power_law.LONG_TAIL) == (0.1, 50)
    text.says("above the dotted line of {} neurons", power_law.LONG_TAIL)
    says("50 neurons or more are in the tail")
    spread(text, ends)
    forgetting(text)
    tails(text, ends)
    strong(text, rows)
    power(text, rows)
    falling = rows.query("kind == 'network' and method == 'set' and epoch == '10'")
    falling = falling[(falling["trained"] == "set_mlp") & falling["neurons"].str.match("hidden .$")]
    medians = falling.groupby(["dataset", "variant"])["rank_p"].median()
    assert (medians < 0.05).all()
    machines(text)
    tuned = whole.query("method == 'set' and variant == 'tuned'")
    mostly = tuned[tuned["exponent"].between(6, 20)]
    assert len(mostly) > 0.8 * len(tuned) and (mostly["n_tail"] >= 50).mean() > 0.6
    says("With tuned settings SET's exponents are mostly 6 to 20, far above the paper's")
    says("most of these tails have 50 neurons or more")
    published = whole.query("method == 'set' and variant == 'published' and dataset == 'mnist'")
    second = published[published["neurons"] == "hidden 2"]
    near = second[second["exponent"].between(2.2, 2.35)]
    assert (len(near), len(second)) == (4, 5)
    assert (near["p"] < power_law.REJECT_BELOW).all() and (near["domain"] != "inside").all()
    says("the second hidden layer ends near 2.3 on MNIST, in four of five networks")
    long_training(text)
    assert not text.uncovered()


def long_training(text):
    """By the rows of the studies, with the condition of S03 written out."""
    rows = frames.rows(papers.STORE.of("scale_free_long", "paper"))
    assert (rows["epochs"] == 1000).all() and (rows["dataset"] == "mnist").all()
    log = pd.read_csv(REFERENCE / "set_authors_cifar10_log.csv")
    assert log["epoch"].max() == 1000
    on_cifar = exponents_by_epoch("cifar10", (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, "final"))
    assert {len(found) for found in on_cifar.values()} == {5}
    words = "The lowest exponent of their hidden layers at the end is {:.1f}"
    text.says(words, min(min(on_cifar[layer]) for layer in on_cifar if "final" in layer))
    assert not any(2 < exponent < 3 for found in on_cifar.values() for exponent in found)
    passing = exponents_by_epoch()
    first, second = passing["hidden 1", 200], passing["hidden 2", 500]
    words = "The first comes close after epoch {}, to exponents of {:.1f} to {:.1f}"
    text.says(words, 200, min(first), max(first))
    assert sum(2 < exponent < 3 for exponent in first) == 1
    third = [min(found) for (layer, _), found in passing.items() if layer == "hidden 3"]
    text.says("The third stays above {}", math.floor(min(third)))
    inside = sum(2 < exponent < 3 for exponent in second)
    words = "The second hidden layer lies in the band after epoch {}, in {} of {} networks"
    text.says(words, 500, inside, len(second))
    others = passing["hidden 1", 500], passing["hidden 3", 500]
    assert min(map(min, others)) > 3
    assert min(min(passing[f"hidden {i}", 1000]) for i in (1, 2, 3)) > 3
    layers = rows[rows["neurons"].str.fullmatch(r"hidden \d")]
    lognormal = layers.query("kind == 'network' and epoch == '200' and neurons == 'hidden 1'")
    assert (lognormal["decision lognormal"] == -1).all()
    text.says("After epoch 200 a lognormal law is ahead in the first hidden layer of every network")
    ends = layers[layers["epoch"] == "final"]
    own = ends.query("kind == 'network'")
    assert own.groupby("seed").size().to_list() == [3] * 10
    words = "At the end no hidden layer of any network has an exponent below {}"
    text.says(words, math.floor(own["exponent"].min()))
    assert not own["exponent"].between(2, 3).any() and (own["domain"] != "inside").all()
    drawn = ends[ends["kind"].str.startswith("power law")]
    met = drawn["exponent"].between(2, 3) & (drawn["decision exponential"] == 1)
    met &= (drawn["decision lognormal"] >= 0) & (drawn["aic binomial"] > drawn["aic power law"])
    counts = met.groupby([drawn["kind"], drawn["seed"]]).mean() >= 0.5
    words = "We also drew {} networks of true power laws of these sizes: {} of them would pass"
    text.says(words, len(counts), counts.sum())
    assert not set(own["seed"]) & {run.seed for run in papers.EXPERIMENTS["set_mlp"].runs("paper")}
    shorter = {record.config.parent.epochs for record in papers.STORE.of("scale_free", "paper")}
    assert max(shorter) == 300


def exponents_by_epoch(dataset="mnist", epochs=(200, 500, 1000)):
    """By layer and epoch, one a network, of the degrees of SET's long training."""
    found = {}
    for record in papers.STORE.of("set_mlp_long", "paper"):
        if (record.config.dataset, record.config.method) == (dataset, "set"):
            for epoch, layer in product(epochs, (1, 2, 3)):
                k = record.arrays[f"linear{layer}.in_degree.{epoch}"].astype(int)
                if layer < 3:  # links out of the last hidden layer are all there
                    k = k + record.arrays[f"linear{layer + 1}.out_degree.{epoch}"]
                exponent = power_law.fit_tail(k).exponent
                found.setdefault((f"hidden {layer}", epoch), []).append(exponent)
    return found


def spread(text, ends):
    rows = ends.query("trained == 'adaptive_topology' and dataset == 'mnist'")
    rows = rows[~rows["neurons"].str.contains(" in| out")]
    means = rows.groupby(["method", "neurons"])["variance_ratio"].mean()
    text.says("between {:.0f} and {:.0f} with SET", means["set"].min(), means["set"].max())
    text.says("With RigL it reaches {:.0f}", means["rigl"].max())
    assert means["set_random_removal"].to_numpy() == pytest.approx(1, abs=0.1)
    text.says("it stays at 1:")


def forgetting(text):
    others = papers.STORE.of("start_degrees", "paper")
    usual = papers.STORE.of("adaptive_topology", "paper")
    distances = degree_distances(others, usual)
    by_seed = 100 * distances.groupby(["method", "start", "epoch", "seed"])["value"].mean()
    means = by_seed.groupby(["method", "start", "epoch"]).mean()
    rigl, of_set = means["rigl"], means["set"]
    ends = rigl[RANDOM, 0], rigl[RANDOM, 150]
    text.says("RigL begins {:.0f} % and ends {:.0f} % away from other seeds", *ends)
    links_in = distances.query("method == 'rigl' and side == 'in' and epoch == 150")
    links_in = 100 * links_in.groupby(["start", "seed"])["value"].mean()
    gap = t_interval(links_in["power law"] - links_in[RANDOM])
    words = "it is not: {:.1f} points, with a 95 % interval of [{:.1f}, {:.1f}]"
    text.says(words, gap.value, gap.low, gap.high)
    of_law = t_interval(by_seed["set", "power law", 150] - by_seed["set", RANDOM, 150])
    assert gap.low > 0 and of_law.low > 0
    law = rigl["power law", 0], rigl["power law", 150]
    text.says("it begins {:.0f} % away and ends {:.0f} % away", *law)
    words = "From a power law it ends {:.1f} % away, and from a random start {:.1f} %"
    text.says(words, of_set["power law", 150], of_set[RANDOM, 150])
    words = "both leave them. RigL ends {:.0f} % away and SET {:.0f} %"
    left = [of_rule["degrees of the end", 150] for of_rule in (rigl, of_set)]
    text.says(words, *left)
    gap = t_interval(by_seed["rigl", "power law", 150] - by_seed["rigl", RANDOM, 150])
    assert gap.low < 0 < gap.high
    for method, end in zip(("rigl", "set"), left, strict=True):
        apart, usually = (by_seed[method, s, 150] for s in ("degrees of the end", RANDOM))
        assert (apart > 2 * usually).all() and end > 2 * means[method, "degrees of the end", 0]
    for of_rule, end in zip((rigl, of_set), left, strict=True):
        assert abs(of_rule["links of the end", 150] - end) < 0.2


def tails(text, ends):
    published = ends.query("variant == 'published' and dataset == 'mnist' and method == 'set'")
    (second,) = published.query("neurons == 'hidden 2' and seed == 0").to_dict("records")
    assert second["p"] < 0.1
    beside = pd.read_csv(FIGURES / "paper" / "14_scale_free" / "package.csv")
    behind = beside["ratio to exponential"] < 0
    text.says("for {} of the {} the exponential", behind.sum(), len(beside))
    assert beside.loc[beside["when"] == "random start", "ours"].min() > 11
    text.says("computes the probability of a whole tail as a difference from 1")
    text.says("From 25 links on no digit is left: the package reports a distance of 1")
    text.says("Powerlaw {} stops at an exponent of 3 unless told otherwise", version("powerlaw"))


def strong(text, rows):
    text.says("sequences have strong evidence after epoch 5")
    late = rows.query("kind == 'network' and epoch in ['20', '50', '100', 'final']")
    assert not late["strong"].any()
    others = rows.query("kind == 'network' and method in ['set', 'preferential']")
    assert set(others["method"]) == {"set", "preferential"} and not others["strong"].any()
    digits = rows.query("kind == 'network' and dataset == 'mnist' and epoch == '5'")
    shares = digits.groupby("method", observed=True)["strong"].mean()
    assert 0.45 < shares["ch3_l3"] < 0.55 and 0 < shares["rigl"] < 0.1


def power(text, rows):
    known = rows[(rows["kind"] != "network") & ~rows["method"].isin(STAYING)]
    inside = known["domain"] == "inside"
    shares = known.groupby(["kind", inside])["strong"].mean()
    drawn = known[(known["kind"] != "random") & ~known["neurons"].str.contains(" in| out")]
    assert drawn.loc[drawn["epoch"] == "final", "strong"].mean() > 0.6  # most
    random = known[known["kind"] == "random"]
    assert not random["strong"].any()
    text.says("Of {} random sequences it finds none", len(random))
    outside = [100 * shares[f"power law {exponent}", False] for exponent in (2.1, 2.5, 2.9)]
    text.says("Outside its domain it finds {:.0f} % of those with an exponent of 2.1", outside[0])
    assert 0.7 < (random["p"] >= 0.1).mean() < 0.8  # three in four


def machines(text):
    rows = frames.rows(papers.STORE.of("rbm_scale_free", "paper"), "cd_steps")
    rows = rows.query("kind == 'network' and neurons == 'hidden 1' and epoch == 'final'")
    assert not np.any(rows["strong"])
    means = rows.groupby(["network", "cd_steps"])["variance_ratio"].mean()
    text.says("ends between {:.1f} and {:.1f}", means.min(), means.max())
