"""What notebook 13 says is what the records say."""

import math
from collections import Counter

import numpy as np
import pandas as pd
import torch

import papers
from lib import data
from lib._boundary import FIGURES, REFERENCE
from lib.report.intervals import t_interval
from papers.set.rbm import model, training
from papers.set.rbm.ais import N_PUBLISHED
from papers.shared import claims
from tests.oracles import seeded
from tests.prose import Prose
from tests.test_directions import chosen, machines, nats, told_apart

PUBLISHED = ("grid", "one setting")  # settings of the paper
RIVALS = ("fixed", "fixed_final", "dense")
EXPERIMENTS = ("set_rbm_dna", "set_rbm", "set_rbm_dna_long", "set_rbm_wide")


def records():
    return [*papers.STORE.of("set_rbm_dna", "paper"), *papers.STORE.of("set_rbm", "paper")]


def lead(dataset, rival, variants=PUBLISHED):
    """SET minus a rival by seed, nats by the schedule of most temperatures."""
    return nats(dataset, rival, variants=variants)["full"]


def is_apart(dataset, rival):
    """Whether both schedules see one difference by more than three standard errors."""
    return told_apart(nats(dataset, rival, variants=PUBLISHED))


def test_numbers_of_the_text_are_those_of_the_records():
    text = Prose("13_set_rbm")
    says = text.says
    says("units of 0 and 1")
    stored = [record for name in EXPERIMENTS for record in papers.STORE.of(name, "paper")]
    curves = pd.read_csv(FIGURES / "paper" / "13_set_rbm" / "dna.csv")
    curves = curves.groupby(["method", "units", "sweeps", "epoch"])["value"].mean().unstack()
    falls = (curves.max(axis=1) - curves.iloc[:, -1]).groupby("method")
    assert falls.min()["dense"] > 5 and falls.max().drop("dense").max() < 0.5
    on_dna(text)
    long_on_dna(text)
    wide_on_mnist(text)
    estimates(text)
    rough_choices(text, stored)
    drawn(text)
    elsewhere()
    says("On Web 8,820 of 32,561 are in both")
    sizes = pd.read_csv(REFERENCE / "set_table1_datasets.csv").set_index("dataset")
    assert sizes.loc["Web", "n_test"] == 32_561
    if data.is_here("web"):
        web = data.load("web")
        known = {row.tobytes() for row in web.x_train.numpy()}
        assert sum(row.tobytes() in known for row in web.x_test.numpy()) == 8820
    assert not text.uncovered()


def on_dna(text):
    curves = {}
    for record in records():
        run = record.config
        if run.variant in ("grid", "long"):
            key = run.variant, run.method, run.hidden, run.cd_steps, run.seed
            curves[key] = record.metrics.set_index("epoch")["test"]
    ends = {key: curve.iloc[-1] for key, curve in curves.items() if key[0] == "grid"}
    for (variant, method, *setting), end in ends.items():
        if method != "set":
            assert ends[variant, "set", *setting] > end  # in every seed of all nine settings
    leads = {}
    for (variant, method, *setting, seed), end in ends.items():
        if method == "fixed":
            ahead = ends[variant, "set", *setting, seed] - end
            leads.setdefault(tuple(setting), []).append(ahead)
    means = {at: np.mean(of) for at, of in leads.items()}
    narrow, wide = ([means[at] for at in means if at[0] == (width,)] for width in (100, 500))
    text.says("With 100 hidden units it is some {:.0f} nats at the last epoch", np.mean(narrow))
    text.says("With 500 it is at most {:.1f}", max(wide))
    assert [at for at, of in leads.items() if t_interval(of).low < 0] == [((500,), 3)]
    dense = [curve.idxmax() for key, curve in curves.items() if key[:2] == ("grid", "dense")]
    assert 10 <= min(dense) and max(dense) <= 30
    names = ("set", "fixed", "dense")
    long = [curves["long", name, (250,), 1, 0].loc[5000] for name in names]
    words = "SET ends at {:.1f} nats, and fixed links at {:.1f}. The dense machine ends at {:.0f}"
    text.says(words, *long)
    leads = {}
    for rival in RIVALS:
        parts = [lead("dna", rival, kinds) for kinds in (("grid",), ("grid", "tuned"))]
        leads[rival] = [part.mean() for part in parts][::-1]
    text.says("There {:.1f} nats remain of {:.1f}", *leads["dense"])
    remains, (short, long) = lead_at_equal_length()
    assert long == 2 * short
    words = "After {} epochs, as long as those at the paper's settings, they are {:.1f} nats apart"
    text.says(words, short, remains.mean())
    on_the_edge(text, leads["dense"][0])
    text.says("in training, {:.1f} remain of {:.1f}", *leads["fixed"])


def long_on_dna(text):
    """How far each of SET's machines falls below its best, and whether it still does at the end."""
    falls = falls_on_dna()
    shorter = {record.config.seed for record in records()}
    assert not shorter & {*falls.index.get_level_values("seed")}
    text.says("once it is near −85 nats")
    text.says("at which it first reaches −85 nats. With 100 hidden units and CD-1 none reaches it")
    reached = falls.dropna()
    assert len(falls) == 27 and len(reached) == 24 and falls.loc[(100, 1), "largest"].isna().all()
    text.says("With 500 hidden units the largest fall is {:.1f} nats", reached["largest"].max())
    assert (reached["last"] == reached["largest"])[500].sum() > 1
    narrow = reached.query("hidden < 500")["largest"].max()
    text.says("Narrower machines fall by {:.1f} nats at most", narrow)
    text.says("we allow 3 nats")
    worst = reached["largest"].groupby("seed").max()
    assert (worst < 3).sum() == 2
    assert falls["rough"].sum() == 2
    sound = falls_on_dna(least_chains=10)
    assert sound["largest"].dropna().equals(reached["largest"])


def falls_on_dna(least_chains=0):
    """Falls from the first −85 nats on, of machines by hidden units, sweeps and seed, with the
    number of points that rest on fewer than ten chains; nan where a machine never gets there.
    """
    rows = []
    for record in papers.STORE.of("set_rbm_dna_long", "paper"):
        run = record.config
        assert (run.method, run.epochs) == ("set", 5000)
        points = record.metrics.dropna(subset="test").query("ess >= @least_chains")
        points = points[points["test"].ge(-85).cummax()]
        falls = points["test"].cummax() - points["test"]
        last = falls.iloc[-1] if len(falls) else math.nan
        rough = (points["ess"] < 10).sum()
        rows.append((run.hidden[0], run.cd_steps, run.seed, falls.max(), last, rough))
    columns = ["hidden", "cd_steps", "seed", "largest", "last", "rough"]
    return pd.DataFrame(rows, columns=columns).set_index(columns[:3]).sort_index()


def wide_machines():
    """Those of 2,500 hidden units."""
    return machines("set_rbm_wide").query("hidden == 2500")


def narrow_machines():
    """Those on MNIST of 500 hidden units, with the paper's rate and decay."""
    return machines().query("dataset == 'mnist' and variant == 'one setting'")


def wide_likelihoods():
    """Test nats by seed: wide machines of SET, fixed links and dense, and narrow ones of SET."""
    tuned = wide_machines().query("variant == 'tuned'")
    narrow = narrow_machines()
    parts = (tuned, "set"), (tuned, "fixed"), (tuned, "dense"), (narrow, "set")
    return [rows[rows["method"] == name].set_index("seed")["test full"] for rows, name in parts]


def lead_at_equal_length():
    """Of the chosen machines on DNA, SET minus dense when those at the paper's settings end, nats
    of each seed; and the epochs of both.
    """
    records = papers.STORE.of("set_rbm_dna", "paper")
    (short,) = {one.config.epochs for one in claims.chosen(records, variant="grid")}
    tuned = claims.chosen(records, variant="tuned", hidden=(500,))
    (long,) = {one.config.epochs for one in tuned}
    ours, dense = (
        likelihoods(claims.chosen(tuned, method=name)).loc[short] for name in ("set", "dense")
    )
    return ours - dense, (short, long)


def likelihoods(records):
    """Test nats: a row a measured epoch, a column a seed."""
    return pd.DataFrame({r.config.seed: r.metrics.set_index("epoch")["test"] for r in records})


def chosen_wide(method):
    """The records of wide machines with the settings chosen for a method."""
    records = papers.STORE.of("set_rbm_wide", "paper")
    return claims.chosen(records, variant="tuned", method=method)


def best_epochs():
    """Epochs at which the wide machines of SET are best on validation images."""
    return {record.environment["final"]["best_epoch"] for record in chosen_wide("set")}


def leads_from(epoch):
    """Of wide machines, SET minus fixed links after each measured epoch from this one on."""
    return (likelihoods(chosen_wide("set")) - likelihoods(chosen_wide("fixed"))).loc[epoch:]


def wide_on_mnist(text):
    """Machines of 2,500 hidden units beside those of 500."""
    wide = wide_machines()
    tried, tuned = (wide.query("variant == @name") for name in ("tried", "tuned"))
    dense = tried.query("method == 'dense'")
    rate = dense.loc[dense["valid full"].idxmax(), "learning_rate"]
    at_rates = dense.groupby("learning_rate")["valid full"]
    assert at_rates.max()[0.01] < at_rates.min()[[0.00003, 0.0001, 0.0003, 0.001, 0.003]].min()
    by_rate = dense.groupby("learning_rate")["valid full"].max()
    first, second = by_rate.nlargest(2)
    assert 0.4 < first - second < 0.6
    assert set(dense[dense["learning_rate"] == rate]["best epoch"]) == set(tried["epochs"])
    text.says("With .00003 they ended {:.0f} nats lower", first - by_rate[0.00003])
    narrow = narrow_machines()
    gains_of_width(text, narrow)
    here = tried.query("method == 'set' and learning_rate == .01 and weight_decay == .0002")
    here = here.query("visible_start == 'zeros'")  # as with 500 hidden units
    at_papers, at_chosen = (
        rows.query("method == 'set' and seed == 0")["valid full"].iloc[0] for rows in (here, tuned)
    )
    before = narrow.query("method == 'set' and seed == 0")["valid full"].item()
    words = "SET gains {:.1f} nats at the paper's rate and decay, and {:.1f} at the chosen ones"
    text.says(words, at_papers - before, at_chosen - before)
    after_the_best(text, tried)


def gains_of_width(text, narrow):
    """What wide machines gain over narrow ones, and SET over fixed links."""
    ours, fixed, dense, before = wide_likelihoods()
    fixed_before = narrow[narrow["method"] == "fixed"].set_index("seed")["test full"]
    words = "SET reaches {:.1f} nats with 2,500 hidden units, and {:.1f} with 500"
    text.says(words, ours.mean(), before.mean())
    gain, lead = t_interval((ours - before).dropna()), t_interval(ours - fixed)
    assert gain.n == 3 and gain.low > 0 and lead.low > 0
    gain_of_fixed = t_interval((fixed - fixed_before).dropna())
    more = t_interval((fixed - fixed_before - ours + before).dropna())
    assert more.low < 0 < more.value and more.n == gain_of_fixed.n == 3
    words = "There the interval goes from {:.1f} to {:.1f}"
    text.says(words, gain_of_fixed.low, gain_of_fixed.high)
    lead_before = (before - fixed_before).dropna().mean()
    words = "ahead of them by {:.1f} nats with wide machines, and by {:.1f} with narrow ones"
    text.says(words, lead.value, lead_before)
    of_dense = narrow[narrow["method"] == "dense"]
    dense_before = of_dense.set_index("seed")["test full"]
    assert dense_before.min() > ours.max() > dense.max()
    assert not is_apart("mnist", "dense")
    text.says("They are best after {} epochs, and fall later", *set(of_dense["best epoch"]))
    share_of_links(text)
    leads = leads_from(20)
    found = t_interval(leads.mean())
    text.says("From epoch 20 on SET leads fixed links by {:.1f} nats on average", found.value)
    text.says("That interval goes from {:.1f} to {:.1f}", found.low, found.high)
    alone = [t_interval(of_epoch) for _, of_epoch in leads.iterrows()]
    assert [sum(one.low < 0 < one.high for one in alone), len(alone)] == [4, 7]


def share_of_links(text):
    """Links of the best SET over those of dense machines of both widths."""
    (ours,) = {record.environment["final"]["best"]["links"] for record in chosen_wide("set")}
    (wide,) = {record.environment["final"]["best"]["links"] for record in chosen_wide("dense")}
    text.says("Beside dense machines of its own width it has {:.1f} %", 100 * ours / wide)


def after_the_best(text, tried):
    """On training rows SET falls from its best and does not come back."""
    below = []
    for record in chosen_wide("set"):
        on_train = record.metrics.set_index("epoch")["train"]
        below += [*(on_train[record.environment["final"]["best_epoch"]] - on_train.loc[20:])]
    assert len(on_train) == 11
    words = "We measured at eleven epochs, and SET is best at epoch {} or {}"
    text.says(words, *sorted(best_epochs()))
    text.says("From epoch 20 on it goes up and down, {:.0f} to {:.0f}", min(below), max(below))
    slow = tried.query("method == 'set' and learning_rate == .003")
    assert set(slow["best epoch"]) == {20}
    setting = {"weight_decay": 2e-4, "visible_start": "zeros", "variant": "tried", "method": "set"}
    chosen, fast = (
        claims.chosen(papers.STORE.of("set_rbm_wide", "paper"), learning_rate=rate, **setting)[0]
        for rate in (0.03, 0.1)
    )
    valid = fast.metrics.set_index("epoch")["valid"]
    assert valid[10] < valid[5] - 5 and valid[20] > valid[5]
    gap = chosen.metrics["valid"].max() - valid.max()
    errors = [one.metrics.loc[one.metrics["valid"].idxmax(), "se"] for one in (chosen, fast)]
    assert 0 < gap < math.hypot(*errors)


def on_the_edge(text, remains):
    """Of the chosen machines, which stand at the smallest or largest value that was tried there."""
    edges = {}
    for method in ("set", "dense"):
        best = chosen("dna", method, variants=("grid", "tuned")).iloc[0]
        assert best["hidden"] == 500
        for field in ("learning_rate", "weight_decay"):
            tried = machines().query("variant == 'tried' and method == @method and hidden == 500")
            tried = tried[field]
            edges[method, field] = best[field] in (tried.min(), tried.max())
    assert [field for field, is_edge in edges.items() if not is_edge] == [("set", "learning_rate")]
    text.says("So the {:.1f} nats may still shrink, or grow", remains)


def estimates(text):
    text.says("twice, at the end with {:,} temperatures", N_PUBLISHED)
    table = pd.read_csv(REFERENCE / "set_table2_rbm.csv").set_index(["dataset", "model"])
    printed = table.loc[("Connect4", "RBM"), "log_prob_nats"]
    (ceiling,) = {
        record.environment["ceilings"]["test"]
        for record in records()
        if record.config.dataset == "connect4"
    }
    text.says("the dense machine {:.2f} nats on Connect4", printed)
    n_test = round(math.exp(-ceiling))  # rows that are all different
    text.says(
        "Its {:,} test rows are all different, so that no model exceeds {:.2f}", n_test, ceiling
    )


def rough_choices(text, stored):
    """Machines whose best epoch was chosen by an estimate of fewer than ten effective chains."""
    of_dataset = []
    for record in stored:
        best = record.metrics.set_index("epoch").loc[record.environment["final"]["best_epoch"]]
        if best["ess"] < 10:
            of_dataset.append(record.config.dataset)
    words = "For {} of {} machines it rests on fewer than ten effective chains there"
    text.says(words, len(of_dataset), len(stored))
    (first, most), (second, fewer), (_, fewest), *_ = Counter(of_dataset).most_common()
    assert (first, second) == ("caltech28", "mnist")
    assert most > len(of_dataset) / 2 > fewer > fewest


def drawn(text):
    """Images of chains from noise lose most of their white between 120 and 1,000 sweeps."""
    starts = set()
    for record in records():
        run = record.config
        if (run.dataset, run.method, run.seed) != ("mnist", "set", 0):
            continue
        starts.add(run.visible_start)
        rbm = training.machine_of(record)
        noise = torch.rand(12, rbm.n_visible, generator=seeded(0), dtype=torch.float32).round()
        white = [model.gibbs(rbm, noise, sweeps, seed=0).mean() for sweeps in (120, 1000)]
        assert white[0] > 2 * white[1]
    assert starts == {"zeros", "means"}
    text.says("After 120 sweeps many chains show strokes of a digit. After 1,000 they show dots")


def elsewhere():
    """On which data sets SET leads fixed links, by how sure that is; claims S09 and S11 count the
    others.
    """
    compared, alone, together = [], set(), set()
    for dataset in set(machines()["dataset"]):
        gaps = lead(dataset, "fixed")
        if len(gaps):
            compared.append((dataset, gaps, is_apart(dataset, "fixed")))
    for dataset, gaps, apart in compared:
        if apart and t_interval(gaps).low > 0:
            alone.add(dataset)
        if apart and t_interval(gaps, level=1 - 0.05 / len(compared)).low > 0:
            together.add(dataset)
    assert alone == {"dna", "connect4", "mnist", "nips"} and together == {"dna", "mnist"}
    assert all(lead("caltech28", rival).empty for rival in RIVALS)
