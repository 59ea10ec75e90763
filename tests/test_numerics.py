"""What other numerics is told of, and the comparison of networks trained with two of them."""

import subprocess

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import papers
from lib import checkpoints
from lib._boundary import ROOT
from tests import numerics as comparison
from tests.stored import rewrite


def git(*words):
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return done.returncode == 0, done.stdout.strip()


@pytest.mark.skipif(git("rev-parse", "--is-shallow-repository")[1] != "false", reason="no history")
def test_last_commits_are_of_the_history_and_of_code_that_names_no_numerics():
    commit = checkpoints.LAST_COMMITS[1]
    assert git("merge-base", "--is-ancestor", commit, "HEAD")[0]
    assert not git("cat-file", "-e", f"{commit}:lib/numerics.py")[0]


def test_every_earlier_numerics_has_its_last_commit():
    assert list(checkpoints.LAST_COMMITS) == list(range(1, checkpoints.NUMERICS))


# ------------------------------------------------------------------------------- the comparison


def test_differences_are_those_of_a_paired_t_test(rng):
    stored = rng.uniform(0.9, 1.0, 5)
    new = stored + rng.normal(0.0, 0.001, 5)
    pairs = {"experiment": "one", "dataset": "digits", "method": "set", "seed": range(5)}
    table = comparison.differences(pd.DataFrame({**pairs, "stored": stored, "new": new}))
    row = table.iloc[0]
    desired = stats.ttest_rel(100 * new, 100 * stored).confidence_interval()
    np.testing.assert_allclose([row["points_low"], row["points_high"]], desired)
    assert row["n"] == 5 and row["points"] == pytest.approx(100 * (new - stored).mean())
    assert row["points_largest"] == pytest.approx(100 * np.abs(new - stored).max())
    assert list(table["experiment"]) == ["one", "all"]
    assert tuple(table.loc[0, "n":]) == tuple(table.loc[1, "n":])


def test_runs_of_the_paper_are_those_of_its_headline():
    runs = comparison.headline("paper")
    counts = pd.Series([(run.experiment, run.dataset, run.method) for run in runs]).value_counts()
    assert set(counts) == {5} and {run.epochs for run in runs} == {150}
    desired = {("adaptive_topology", method) for method in ("set", "rigl", "fixed")}
    desired |= {("set_mlp", method) for method in ("set", "fixed")}  # RigL was not run there
    for dataset in ("mnist", "fashion_mnist"):
        assert {(e, m) for e, of, m in counts.index if of == dataset} == desired
    assert len(papers.STORE.records(runs)) == len(runs) == 50


@pytest.mark.parametrize("place", ["", "data", "data/runs", "data/results/anew"])
def test_records_of_the_checkout_are_no_place_to_train_anew(place):
    with pytest.raises(ValueError, match="is where the checkout keeps its records"):
        comparison.store_in(ROOT / place)


@pytest.mark.slow
def test_networks_trained_anew_differ_by_nothing_from_those_of_the_same_code(tmp_path, capsys):
    """The script itself, on digits: a first store stands for the stored records."""
    before, anew = str(tmp_path / "before"), str(tmp_path / "anew")
    assert comparison.main([before, "--profile", "smoke"]) == 1  # nothing is stored beside it
    stored = comparison.store_in(tmp_path / "before")
    runs = comparison.headline("smoke")
    words = [anew, "--profile", "smoke", "--stored", before, "--jobs", "2"]
    with pytest.raises(ValueError, match="both records of .* are of numerics 2"):
        comparison.main(words)
    for run in runs:
        folder = stored.stored(run).path
        rewrite(folder, run.name, environment=lambda facts: facts | {"numerics": 1})
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "anew").rglob("*.npz")}
    assert len(made) == len(runs) == 7
    capsys.readouterr()
    assert comparison.main(words) == 0
    assert "7 of 7 runs are in both stores" in capsys.readouterr().out
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "anew").rglob("*.npz")}
    table = comparison.differences(
        comparison.pairs(stored, comparison.store_in(tmp_path / "anew"), runs)
    )
    assert table["n"].tolist() == [1, 1, 1, 2, 2, 7]
    assert (table["points_largest"] == 0).all()
