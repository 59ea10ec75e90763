"""Runs that fail: the command says so, and what is finished is stored all the same."""

import papers
from lib.command import cli
from tests.runs import counting
from tests.runs.counting import Counting

BAD = Counting("counting", method="fixed", fails_at=2)
GOOD = Counting("counting")


def configs(profile):
    return [BAD, GOOD]


def test_failed_run_does_not_keep_others_from_data_results(tmp_path, monkeypatch, capsys):
    store = counting.store(tmp_path, counting.experiment(configs=configs))
    monkeypatch.setattr(papers, "STORE", store)
    monkeypatch.setattr(papers, "EXPERIMENTS", store.experiments)
    assert cli.main(["run", "counting", "--profile", "paper"]) == 1
    assert "1 of 2 runs failed" in capsys.readouterr().err
    (shipped,) = store.of("counting", "paper")
    assert (shipped.config, shipped.path) == (GOOD, store.results / "counting")
