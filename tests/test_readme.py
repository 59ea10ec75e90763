"""The README: its example prints what it shows, its numbers follow from records, its links lead
somewhere.
"""

import re
import textwrap

import numpy as np
import pandas as pd
import pytest
import torch

import papers
from lib import bench
from lib.bench.own import OURS
from lib.command import judged
from lib.data.catalogue import SETS
from lib.report.labels import DATASET_NAMES
from tests.checkouts import ROOT
from tests.notebooks import test_11 as ablation
from tests.notebooks.summaries import by_fields
from tests.prose import Section

README = (ROOT / "README.md").read_text(encoding="utf-8")
SPEED = (ROOT / "docs" / "SPEED.md").read_text(encoding="utf-8")
FINDINGS = (ROOT / "docs" / "FINDINGS.md").read_text(encoding="utf-8")
REPRODUCE = (ROOT / "docs" / "REPRODUCE.md").read_text(encoding="utf-8")


def records(experiment):
    """Those of the repository."""
    return papers.STORE.shipped.of(experiment, "paper")


def test_first_command_stands_within_150_words():
    assert len(README[: README.index("git clone")].split()) <= 150


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
            named = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in named | set(re.findall(r'<a id="([\w-]+)">', text)), anchor


@pytest.fixture(scope="module")
def verdicts():
    table = judged.verdicts("paper").set_index("id")
    return table["verdict"][~papers.is_ours(table)]


def test_verdicts_are_counted_below_their_picture(verdicts):
    rows = pd.read_csv(ROOT / "docs" / "takeaways.csv").set_index(["notebook", "figure"])
    said, n = rows.loc[("00_overview", "scoreboard"), "takeaway"], verdicts.value_counts()
    assert said == (
        f"Of the {len(verdicts)} claims {n['holds']} hold and {n['fails']} fail;"
        " most of the others are open."
    )
    assert n["open"] > (len(verdicts) - n["holds"] - n["fails"]) / 2


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
    words = r"\| our whole training step \| `compiled_step` \| \d+ \| "
    assert re.search(rf"{words}{at_one_percent:.0f} \|$", README, re.MULTILINE)
    assert re.search(rf"1 % of the links [^.]* takes {at_one_percent:.0f} times as long", SPEED)
    assert f"At 4.6 % of the links it takes {at_more:.0f} times as long" in SPEED
    dense = f"{times_as_long(0.01)['dense']:.0f} times as"
    words = f"Our own dense network, which multiplies by oneDNN, takes {dense} long"
    assert f"{words} at 1 %" in SPEED


def test_speed_of_our_loop_is_as_measured():
    rows = bench.stored().query("measure == 'epoch' and contender == 'dense_modules'")
    (ratio,) = rows.loc[rows["density"].round(3) == 0.01, "ratio"]
    assert f"| our network in our loop | `fit`, an epoch | – | {ratio:.0f} |" in README


def test_speed_of_a_model_of_ones_own_is_as_measured():
    rows = bench.stored().query("sweep == 'own' and density == 0.01 and threads == 2")
    rows = rows[rows["contender"] == "dense_modules"].set_index("measure")["ratio"]
    own, ours = rows["own_step: Sequential"], rows[f"own_step: {OURS}"]
    words = "| a model of yours, made sparse | `sparsify_` and `compiled_step` |"
    assert f"{words} {own:.0f} | – |" in README
    assert f"| our whole training step | `compiled_step` | {ours:.0f} | " in README


FIGURES = ROOT / "figures" / "paper"


@pytest.fixture(scope="module")
def leads():
    """Of the picture of the README, a row a comparison; tests/notebooks/test_18.py checks them."""
    rows = pd.read_csv(FIGURES / "18_do_moving_links_help" / "leads.csv")
    return rows.groupby(["experiment", "variant", "comparison", "method"])["value"].mean()


def test_start_page_says_the_results_of_the_readme():
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    results = re.findall(r"^\d\. (.*)$", README, re.MULTILINE)
    assert len(results) == 3
    assert [one for one in results if one.replace("](", "](../") not in page] == []


def test_numbers_of_the_results_are_those_of_their_notebooks():
    text = Section("README.md", "What was found")
    leads = ablation.leads_of(ablation.before_and_after())
    untuned, tuned = (leads[tuning, "fashion_mnist", "rigl"] for tuning in ("tuned", "chosen"))
    text.says("RigL leads fixed links on Fashion-MNIST by {:.2f} points", untuned.mean())
    new = ablation.leads_of_new_seeds()["rigl"].mean()
    text.says("it is {:.2f} on the same seeds and {:.2f} on five new ones", tuned.mean(), new)
    ends = by_fields("links_curve", "method variant")
    fewest = (ends[method, "density 0.001"] for method in ("rigl", "fixed"))
    text.says(
        "With 0.1 % of the hidden links RigL leads by {:.1f} points", np.subtract(*fewest).mean()
    )
    rows = pd.read_csv(FIGURES / "18_do_moving_links_help" / "leads.csv")
    far = rows.query("variant == 'random start'")["value"].mean()
    text.says("By moving links RigL gains {:.1f} points from a random start", far)
    (share,) = rows.loc[rows["variant"] == "density 0.001", "share"].unique()
    text.says("there 0.1 % of the hidden ones are {:.2f} %", share)
    assert not text.uncovered()


def test_picture_shows_what_its_caption_says(leads):
    assert (leads < 1).mean() > 0.5
    assert leads.idxmax()[0] == "set_mlp_long" and leads.idxmax()[-1] == "set"
    assert "Most leads are below one point. The largest is SET's on CIFAR-10" in README
