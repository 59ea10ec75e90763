"""The command that replays records: what it prints, and what its exit status says."""

import dataclasses
import json
import shutil

import pytest

import papers
from lib.checkpoints import LAST_COMMITS
from lib.command import cli
from lib.runs.records import Store
from papers import EXPERIMENTS, STORE
from papers.shared.sparse_training import SparseTraining
from papers.shared.training import training
from tests.runs import counting
from tests.stored import rewrite

BASE = SparseTraining("tiny", dataset="digits", hidden=(20, 20), density=0.2, drop="sign", epochs=3)
NUMERICS = '"numerics": 2, '
DIRTY, CLEAN = '"dirty": true', '"dirty": false'
FIXED = dataclasses.replace(BASE, method="fixed", drop=None)


@pytest.fixture(autouse=True)
def float64():
    """Commands run in float32, torch's default."""


def configs(profile):
    return [dataclasses.replace(run, seed=seed) for run in (BASE, FIXED) for seed in (0, 1)]


def store_in(folder):
    """A store of an experiment that trains, and of one that counts."""
    experiments = {"tiny": training("tiny", configs), "counting": counting.experiment()}
    return Store(experiments, folder / "runs", folder / "results")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of clean records of the one that trains."""
    store = store_in(tmp_path_factory.mktemp("trained"))
    for run in configs("paper"):
        store.run(run)
        change_facts(store, run, DIRTY, CLEAN)
    return store.runs.parent


@pytest.fixture(autouse=True)
def store(trained, tmp_path, monkeypatch):
    """A store with copies of these records."""
    store = store_in(shutil.copytree(trained, tmp_path / "store"))
    monkeypatch.setattr(papers, "EXPERIMENTS", store.experiments)
    monkeypatch.setattr(papers, "STORE", store)
    return store


def change_facts(store, run, text, other):
    """Change the environment of a record, in the text that its line holds."""

    def change(facts):
        return json.loads(json.dumps(facts).replace(text, other))

    rewrite(store.stored(run).path, run.name, environment=change)


def replay(capsys, *words):
    """Exit status, standard output and standard error of the command."""
    status = cli.main(["replay", *words])
    return status, *capsys.readouterr()


def test_honest_records_are_the_same_bits(capsys):
    status, out, _ = replay(capsys, "tiny")
    lines = out.splitlines()
    assert status == 0 and lines[-1] == "2 same bits"
    assert [line.split()[2] for line in lines[1:-1]] == ["set", "fixed"]
    assert all("nan" not in line and "None" not in line for line in lines)


def test_rows_are_written_as_json(capsys):
    status, out, _ = replay(capsys, "tiny", "--all", "--epochs", "1", "--json", "-")
    rows = json.loads(out)
    assert status == 0 and [row["seed"] for row in rows] == [0, 1, 0, 1]
    assert {row["epochs"] for row in rows} == {1} and rows[0]["record"] == BASE.name
    assert rows[0]["note"] is None


def test_changed_record_is_a_failure_that_names_the_column(capsys, store):
    path = store.stored(BASE).path
    rewrite(path, BASE.name, table=lambda table: table.replace("\n2,", "\n2,9"))
    status, out, _ = replay(capsys, "tiny")
    assert status == 1 and "learning_rate values are different" in out
    assert out.splitlines()[-1] == "1 differs, 1 same bits"


def test_run_that_was_made_with_another_setting_is_replayed(capsys, store):
    changed = dataclasses.replace(BASE, density=0.3)
    store.run(changed)
    status, out, _ = replay(capsys, "tiny", "--profile", "custom", "--json", "-")
    (row,) = json.loads(out)
    assert (status, row["record"], row["outcome"]) == (0, changed.name, "same bits")


@pytest.mark.parametrize("words", [(), ("counting", "tiny")], ids=["all", "named"])
def test_experiment_without_epochs_is_skipped_in_one_sentence(words, capsys):
    status, out, err = replay(capsys, *words)
    assert status == 0 and out.splitlines()[-1] == "2 same bits"
    assert err.startswith("skipped, as their runs have no epochs: counting\n")


def test_nothing_to_replay_is_said(capsys):
    status, out, _ = replay(capsys, "counting")
    assert (status, out) == (0, "no such record is stored\n")


def test_record_of_numerics_1_is_told_its_commit_beside_one_that_is_replayed(capsys, store):
    change_facts(store, BASE, NUMERICS, "")
    assert store.stored(BASE).numerics == 1 and store.stored(FIXED).numerics == 2
    status, out, _ = replay(capsys, "tiny")
    assert status == 0 and out.count(f"git worktree add ../numerics-1 {LAST_COMMITS[1]}") == 1
    assert out.splitlines()[-1] == "1 not replayed, 1 same bits"


def test_shipped_records_of_numerics_1_are_told_their_commit(capsys, monkeypatch):
    """Those of the networks in the table of the findings: nothing is trained."""
    monkeypatch.setattr(papers, "EXPERIMENTS", EXPERIMENTS)
    monkeypatch.setattr(papers, "STORE", STORE)
    _, out, _ = replay(capsys, "adaptive_topology", "--all", "--json", "-")
    rows = [row for row in json.loads(out) if row["numerics"] == 1]
    assert rows and {row["outcome"] for row in rows} == {"not replayed"}
    assert all(LAST_COMMITS[1] in row["note"] for row in rows)
