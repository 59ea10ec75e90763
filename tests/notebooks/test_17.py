"""What notebook 17 says is what the records say."""

import numpy as np

import papers
from lib import topology
from lib.report import frames
from papers.shared import trained
from papers.shared.claims import chosen
from tests.notebooks.summaries import says_dropouts
from tests.prose import Prose


def ratios(rows, epoch, measure):
    """Means over seeds of a measure over its nulls, by data set and method."""
    of = rows[(rows["epoch"] == epoch) & (rows["measure"] == measure)]
    return (of["value"] / of["null_mean"]).groupby([of["dataset"], of["method"]]).mean()


def test_numbers_of_the_text_are_those_of_the_records():
    text, networks = Prose("17_network_structure"), papers.STORE.of("adaptive_topology", "paper")
    rows = frames.rows(papers.STORE.of("network_structure", "paper"))
    says = text.says
    assert working(networks, "set_random_removal") == 1
    overlap = rows[rows["measure"].eq("overlap with end, layer 2") & rows["epoch"].eq("50")]
    overlap = overlap[overlap["method"].isin(["set", "rigl"])]
    assert overlap.groupby(["dataset", "method"])["value"].mean().max() < 0.3
    moving = [record.config for record in networks if record.config.method in ("set", "rigl")]
    assert {run.epochs for run in moving} == {150}
    at_random = [r.config for r in networks if r.config.method == "set_random_removal"]
    assert {run.decay for run in moving} == {run.decay for run in at_random} == {"cosine"}
    says("At epoch 50 SET and RigL share less than 30 % of the links of the second layer")
    random = rows[rows["measure"].eq("overlap with end, layer 2") & rows["epoch"].eq("50")]
    random = random.query("method == 'set_random_removal'")["value"]
    assert len(random) and random.max() < 0.01
    says_dropouts(text)
    assert max(shared(networks, method) for method in ("set", "rigl", "fixed")) < 0.02
    assert set(rows["n_nulls"].dropna()) == {20}
    says("over 20 nulls. At 1 the degrees explain it")
    for measure in ("four_cycle_clustering", "mean_path_length"):
        assert (ratios(rows, "final", measure) - 1).abs().max() < 0.0605
    assert (ratios(rows, "final", "mean_path_length") - 1).abs().max() < 0.01
    says("are as clustered to within 6 %, and have paths as long")
    clustered = rows.query("epoch == 'final' and measure == 'four_cycle_clustering'")
    clustered = clustered.query("method == 'set'").set_index("dataset")
    z = (clustered["value"] - clustered["null_mean"]) / clustered["null_sd"]
    assert len(z) == 10 and z["fashion_mnist"].min() > 0 > z["mnist"].max()
    says("path length lie within 6 % of the nulls")
    of_set = ratios(rows, "final", "assortativity")["mnist", "set"]
    says("in how SET joins neurons of many links, by {:.0f} % on MNIST", 100 * (of_set - 1))
    drawn = ("four_cycle_clustering", "mean_path_length", "assortativity", "rich_club")
    for measure in (*drawn, "modularity"):
        apart = ratios(rows, "final", measure).drop("fixed", level="method") - 1
        assert apart.abs().max() <= of_set - 1
    modularity = ratios(rows, "final", "modularity")["fashion_mnist", "rigl"]
    says("RigL's modularity on Fashion-MNIST ends {:.0f} % above", 100 * (modularity - 1))
    assert ratios(rows, "final", "four_cycle_clustering").xs("rigl", level="method").max() < 1.04
    says("Notebook 20 finds")
    says("Only epoch 10 and the end")
    assert not text.uncovered()


def working(networks, method):
    """Share of the second hidden layer with links in and out, MNIST, mean over seeds."""
    shares = []
    for record in chosen(networks, method=method, dataset="mnist"):
        groups = topology.degree_sequences(trained.degrees(record), "final")
        shares.append(((groups["hidden 2 in"] > 0) & (groups["hidden 2 out"] > 0)).mean())
    return np.mean(shares)


def shared(networks, method):
    """Links of the first layer that seed 0 and another share, of all they have; the mean, MNIST."""
    first, *others = chosen(networks, method=method, dataset="mnist")
    ours = set(trained.supports_at(first, "final")[0].keys.tolist())
    found = []
    for other in others:
        theirs = set(trained.supports_at(other, "final")[0].keys.tolist())
        found.append(len(ours & theirs) / len(ours | theirs))
    return np.mean(found)
