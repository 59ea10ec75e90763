"""The README: its example prints what it shows, its numbers follow from records, its links lead
somewhere.
"""

import re
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import torch

import papers
from lib import bench
from lib.command import judged
from lib.data.catalogue import SETS
from lib.report import frames
from lib.report.intervals import t_interval
from lib.report.labels import DATASET_NAMES
from papers.frontier import recipes
from papers.shared.claims import chosen
from tests.checkouts import ROOT, variables
from tests.notebooks import test_10 as mlp

README = (ROOT / "README.md").read_text(encoding="utf-8")
SPEED = (ROOT / "docs" / "SPEED.md").read_text(encoding="utf-8")
FINDINGS = (ROOT / "docs" / "FINDINGS.md").read_text(encoding="utf-8")
REPRODUCE = (ROOT / "docs" / "REPRODUCE.md").read_text(encoding="utf-8")


def records(experiment):
    """Those of the repository."""
    return papers.STORE.shipped.of(experiment, "paper")


def test_example_prints_what_the_readme_shows():
    example, shown = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.S).groups()
    words = [sys.executable, "-c", example]
    done = subprocess.run(words, cwd=ROOT, env=variables(), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (shown, "")


def test_own_loop_of_the_readme_moves_links(capsys):
    lines = next(
        block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "Evolver" in block
    )
    torch.set_default_dtype(torch.float32)  # as a user has it
    names = {}
    exec(lines.replace("for _ in", "before = model[1].support\nfor _ in"), names)
    layer = names["model"][1]
    assert not layer.support.keys.equal(names["before"].keys)
    assert layer.support.nnz == names["before"].nnz == 640
    assert float(capsys.readouterr().out) > 0.9


def test_any_tool_reads_a_record_as_reproduce_says(monkeypatch):
    monkeypatch.chdir(ROOT)
    lines = re.search(r"Any tool can read a record:\n\n((?:    .*\n|\n)+)", REPRODUCE)[1]
    names = {}
    exec(textwrap.dedent(lines), names)
    (record,) = [one for one in records("kh") if one.config.name == names["line"]["name"]]
    pd.testing.assert_frame_equal(names["table"], record.metrics, check_dtype=False)
    assert set(names["arrays"]) == set(record.arrays)


def test_data_sets_that_are_downloaded_are_named():
    fetched = {name for name, one in SETS.items() if one.download}
    (at_request,) = {name for name in fetched if SETS[name].download.size}
    labels = [DATASET_NAMES[name] for name in SETS if name in fetched - {at_request}]
    words = f"{', '.join(labels[:-1])} and {labels[-1]} are downloaded, and HIGGS by"
    assert f"{words} `python -m lib data {at_request}`." in REPRODUCE
    assert f"{', '.join(labels[:2])} and {labels[2]} are [downloaded]" in README
    assert labels[3:] == ["CIFAR-100"]  # which make figures does not need


@pytest.mark.parametrize("page", ["README.md", "docs/FINDINGS.md", "docs/index.md"])
def test_links_of_the_page_lead_somewhere(page):
    place = ROOT / page
    links = re.findall(r"\]\(([^)#:]+)(?:#([\w-]+))?\)", place.read_text(encoding="utf-8"))
    for file, anchor in links:
        target = place.parent / file
        assert target.exists(), file
        if anchor:
            text = target.read_text(encoding="utf-8")
            titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
            named = {title.lower().replace(" ", "-") for title in titles}
            assert anchor in named | set(re.findall(r'<a id="([\w-]+)">', text)), anchor


@pytest.fixture(scope="module")
def verdicts():
    table = judged.verdicts("paper").set_index("id")
    return table["verdict"][~papers.is_ours(table)]


@pytest.fixture(scope="module")
def own_verdicts():
    table = judged.verdicts("paper").set_index("id")
    return table["verdict"][papers.is_ours(table)]


@pytest.mark.parametrize("page", [README, FINDINGS], ids=["README", "FINDINGS"])
def test_verdicts_are_counted(page, verdicts):
    n = verdicts.value_counts().to_dict()
    assert f"The papers make {len(verdicts)} claims." in page
    assert f"{n['holds']} hold and {n['fails']} fail. Of the others, {n['open']} are open" in page
    assert f"Another {n['undecidable']} cannot be decided from what the paper says" in page
    assert f"and for {n['not testable']} we had only a part of the data" in page


def test_verdicts_are_counted_below_their_picture(verdicts):
    rows = pd.read_csv(ROOT / "docs" / "takeaways.csv").set_index(["notebook", "figure"])
    said, n = rows.loc[("00_overview", "scoreboard"), "takeaway"], verdicts.value_counts()
    assert said == (
        f"Of the {len(verdicts)} claims {n['holds']} hold and {n['fails']} fail;"
        " most of the others are open."
    )
    assert n["open"] > (len(verdicts) - n["holds"] - n["fails"]) / 2


@pytest.mark.parametrize("page", [README, FINDINGS], ids=["README", "FINDINGS"])
def test_own_questions_are_counted(page, own_verdicts):
    n = own_verdicts.value_counts().to_dict()
    assert f"{len(own_verdicts)} claims of our own" in page
    assert f"Of these {n['holds']} hold and {n['fails']} fail" in page


def test_findings_name_the_claims_that_are_decided(verdicts):
    lists = re.search(r"^- \*\*Hold\*\*: (.*)\n- \*\*Fail\*\*: (.*)$", FINDINGS, re.MULTILINE)
    for verdict, names in zip(("holds", "fails"), lists.groups(), strict=True):
        named = re.findall(r"\b[SRHEP]\d\d\b", names)
        assert sorted(named) == sorted(verdicts.index[verdicts == verdict])


def times_as_long(density):
    """As our step takes, each contender at batch 128 on two threads."""
    rows = bench.stored()
    rows = rows[(rows["measure"] == "training_step") & (rows["density"].round(3) == density)]
    rows = rows[(rows["batch"] == 128) & (rows["threads"] == 2)]
    rows = rows[~rows["sweep"].isin(["width", "cifar10_mlp"])]
    assert rows["contender"].is_unique
    return rows.set_index("contender")["ratio"]


def test_speed_is_as_measured():
    at_one_percent, at_more = (times_as_long(density)["dense_modules"] for density in (0.01, 0.046))
    assert re.search(rf"1 % of the links [^.]* {at_one_percent:.0f} times as fast as plain", README)
    assert re.search(rf"1 % of the links [^.]* takes {at_one_percent:.0f} times as long", SPEED)
    assert f"At 4.6 % of the links it takes {at_more:.0f} times as long" in SPEED


def test_speed_in_a_loop_of_ones_own_is_as_measured():
    times = times_as_long(0.01)
    dense = f"{times['dense']:.0f} times as"
    assert f"Compared with our own dense network, it is {dense} fast." in README
    words = f"Our own dense network, which multiplies by oneDNN, takes {dense} long"
    assert f"{words} at 1 %" in SPEED
    ratio = times["dense_modules"] / times["modular"]
    assert (
        f"The same sparse network in a training loop of yours is {ratio:.0f} times as fast as plain"
        in README
    )
    by_hand = SPEED[SPEED.index("## A model of your own") :]
    with_dropout = [float(row[1]) for row in re.finditer(r"\| yes \| .* \| ([\d.]+) \(", by_hand)]
    assert len(with_dropout) == 2 and np.mean(with_dropout) == pytest.approx(4, abs=0.5)
    assert "A model of torch's layers that is made sparse is some four times as fast." in README


def test_set_matches_dense_with_as_few_links_as_the_readme_says():
    """No worse than .2 points, what claim S01 allows."""
    trained = chosen(records("set_mlp"), variant="tuned", epochs=150)
    counts, behind = {}, []
    for dataset in ("mnist", "fashion_mnist"):
        accuracies = {}
        for method in ("set", "dense", "fixed"):
            runs = chosen(trained, dataset=dataset, method=method)
            counts[method] = runs[0].metrics["links"].iloc[0]
            by_seed = {run.config.seed: run.metrics["test_accuracy"].iloc[-1] for run in runs}
            accuracies[method] = pd.Series(by_seed)
        gap = t_interval(100 * (accuracies["set"] - accuracies["dense"]))
        assert gap.n == 5 and gap.low > -0.2
        behind.append(100 * (accuracies["set"] - accuracies["fixed"]).mean())
    share = 100 * counts["set"] / counts["dense"]
    assert f"With {share:.1f} % of the links it matches the dense network" in README
    assert behind[0] > 0 and behind[1] == pytest.approx(0.5, abs=0.05)
    ends = {method: mlp.long_accuracy(method).iloc[-1] for method in ("set", "fixed")}
    lead = t_interval((ends["set"] - ends["fixed"]).dropna())
    assert lead.n == 3 and lead.low > 0
    assert (
        "Links that never move are behind it, on Fashion-MNIST by half a point. On CIFAR-10, with"
        f" the SET paper's settings, they are {lead.value:.1f} points behind SET after 1,000"
        " epochs."
    ) in README
    dense = mlp.long_accuracy("dense")
    ours = mlp.long_accuracy().iloc[len(dense) - 1]
    lead = t_interval((dense.iloc[-1] - ours).dropna())
    assert lead.n == 3 and lead.low > 0
    words = f"Dense is {lead.value:.1f} points ahead of SET after {len(dense)} epochs"
    assert f"{words}, where our dense networks end." in README


def test_seeds_that_chose_no_settings_leave_the_lead_of_tuned_networks_open():
    accuracies = {"set": {}, "fixed": {}}
    choosing = set()
    for record in records("regularisation"):
        run = record.config
        if run.variant != "chosen":
            choosing.add(run.seed)
        elif run.dataset == "fashion_mnist" and run.method in accuracies:
            accuracies[run.method][run.seed] = 100 * record.metrics["test_accuracy"].iloc[-1]
    leads = pd.Series(accuracies["set"]) - pd.Series(accuracies["fixed"])
    lead = t_interval(leads.drop(choosing))
    assert choosing == {0, 1} and lead.n == 3 and lead.low < 0
    assert "if we count only the three seeds with which no setting was chosen" in README


def test_degree_sequences_without_strong_evidence_are_counted():
    """Of SET, RigL and the growth rules; random drop and fixed links are controls."""
    ends = frames.rows(records("scale_free")).query("kind == 'network' and epoch == 'final'")
    evolved = ends[~ends["method"].isin(["fixed", "set_random_removal"])]
    assert not evolved["strong"].any()
    words = "degree sequences of evolved networks after training, and none shows strong evidence"
    assert f"We tested {len(evolved)} {words}" in README
    outside = (evolved["domain"] != "inside").mean()
    assert (
        outside == pytest.approx(2 / 3, abs=0.05)
        and "neurons with few links, and two thirds of the sequences have more." in README
    )


def test_no_network_ends_scale_free_after_a_thousand_epochs():
    claim = papers.verdicts("paper", ["S03"]).iloc[0]
    assert (claim["value"], claim["n"]) == (0, 10)
    assert {run.parent.epochs for run in papers.EXPERIMENTS["scale_free_long"].runs("paper")} == {
        1000
    }
    assert "None of ten SET networks that trained for 1,000 epochs on MNIST" in README


def test_starts_reach_on_cifar10_what_the_readme_says():
    reached = {}
    for record in records("cifar10_start"):
        run, last = record.config, 100 * record.metrics["test_accuracy"].iloc[-1]
        reached.setdefault((run.method, run.variant), []).append(last)
    mean = {key: np.mean(of) for key, of in reached.items()}
    near, anywhere = mean["rigl", "local start"], mean["rigl", "random start"]
    words = f"reaches {near:.1f} % if they begin near the place of their neuron on the image, and"
    words += f" {anywhere:.1f} % if they begin anywhere."
    assert f"On CIFAR-10 RigL with 1 % of the links {words}" in README
    stay = mean["fixed", "local start"]
    assert f"Links that begin near and never move reach {stay:.1f} %." in README
    longer = [100 * r.metrics["test_accuracy"].iloc[-1] for r in records("cifar10_longer")]
    assert recipes.RECIPES["cifar10-1pct"].experiment == "cifar10_longer" and len(longer) == 5
    words = "Trained twice as long, with weights averaged longer, they reach {:.1f} %: `python"
    epochs = {run.epochs for run in papers.EXPERIMENTS["cifar10_longer"].runs("paper")}
    assert epochs == {2 * run.epochs for run in papers.EXPERIMENTS["cifar10_start"].runs("paper")}
    assert words.format(np.mean(longer)) in README


def test_attacked_images_are_classified_as_often_as_the_readme_says():
    frame = frames.tidy(records("weakly_attacked_summary"))
    frame = frame.query("trained == 'weakly_attacked' and method == 'rigl'")
    kept = frame[frame["measure"] == "all attacks"]
    assert len(kept) == 5
    words = "classifies {:.1f} % of MNIST correctly under four attacks that change each pixel by up"
    words += " to {:g}."
    assert words.format(100 * kept["value"].mean(), *set(kept["strength"])) in README


def test_images_are_proved_right_as_often_as_the_readme_says():
    frame = frames.tidy(records("certificates")).query("trained == 'certified'")
    frame = frame.query("method == 'rigl' and variant == 'certified' and measure == 'certified'")
    (run, *_) = records("robust_summary")
    share = frame[frame["radius"] == run.config.radii[0]]["value"].mean()
    words = "by up to {:g}. Trained so that answers can be proved, it has {:.1f} % proved right,"
    words += " for the same changes"
    assert words.format(run.config.radii[0], 100 * share) in README
