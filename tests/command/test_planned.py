"""The runs that would decide open claims: each is there and counted."""

import re
import shlex
import types

import pandas as pd
import pytest

import papers
from lib._boundary import ROOT
from lib.command import judged, planned

ROWS = planned.planned()


def test_every_row_names_runs_of_an_experiment_or_none():
    for row in planned.counted(ROWS, papers.STORE).to_dict("records"):
        if row["experiment"]:
            assert row["runs"] > 0, row
            assert 0 <= row["made"] <= row["runs"]
        else:
            assert not row["choose"] and row["decides"]
        assert row["core_hours"] > 0 and row["basis"]


def test_every_open_claim_has_what_would_decide_it():
    verdicts = pd.DataFrame(judged.shipped()).set_index("id")["verdict"]
    named = set(" ".join(ROWS["decides"]).split())
    assert named <= set(verdicts.index)
    assert not set(verdicts.index[verdicts == "undecidable"]) & named  # no run decides them
    for claim in verdicts.index[verdicts == "open"]:
        assert planned.deciding(claim), claim


@pytest.fixture
def decides_p04(monkeypatch, tmp_path):
    """One row that decides P04, of runs chosen from an experiment; the first seeds are made."""

    def write(experiment, choose):
        row = {"item": "7", "experiment": experiment, "choose": choose, "what": "longer"}
        row |= {"core_hours": 2, "basis": "guess", "decides": "P04"}
        pd.DataFrame([row]).to_csv(tmp_path / "planned_runs.csv", index=False)
        monkeypatch.setattr(planned, "TABLE", tmp_path / "planned_runs.csv")
        store = types.SimpleNamespace(holds=lambda run: run.seed == 0)
        monkeypatch.setattr(papers, "STORE", store)
        (sentence,) = planned.deciding("P04")
        return sentence

    return write


def test_command_that_decides_chooses_the_runs_that_are_counted(decides_p04):
    sentence = decides_p04("unit_robustness", "dataset=cifar10 variant=lenet5")
    command, _, said = sentence.partition(" (")
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "lib", "run"]
    runs = papers.EXPERIMENTS[words[4]].runs("paper")
    wanted = dict(word.split("=") for word in words if "=" in word)
    assert wanted == {"dataset": "cifar10", "variant": "lenet5"}
    chosen = [run for run in runs if wanted.items() <= vars(run).items()]
    made = sum(run.seed == 0 for run in chosen)
    assert 0 < made < len(chosen) < len(runs)
    assert re.search(rf"\b{made} of {len(chosen)} runs made", said)


def test_claim_that_does_not_read_the_runs_yet_says_so(decides_p04):
    assert "unit_long" not in papers.CLAIMS["P04"].experiments
    assert "counts none of them yet" in decides_p04("unit_long", "")
    assert "unit_worst" in papers.CLAIMS["P04"].experiments
    assert "counts none of them yet" not in decides_p04("unit_worst", "")


def test_page_tells_how_many_are_made():
    page = (ROOT / "docs" / "RUNS.md").read_text(encoding="utf-8")
    table = planned.written(papers.STORE)
    assert len(table) == len(ROWS) and all(f"| {made} |" in page for made in table["made"])
