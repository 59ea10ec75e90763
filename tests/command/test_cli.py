"""The command line: every command, and each refusal."""

import dataclasses
import json
import os
import re
import subprocess
import sys

import pandas as pd
import pytest
import torch

import papers
from lib import _boundary, bench, command, data
from lib.command import cli, judged, notebooks, planned
from lib.runs import record
from lib.runs.records import Store, archive
from papers.shared.sparse_training import SparseTraining
from papers.shared.training import training
from tests.checkouts import ROOT


@pytest.fixture(autouse=True)
def float64():
    """Commands run in float32, torch's default."""


def tiny_runs(profile):
    fields = {"dataset": "digits", "hidden": (20, 20), "density": 0.2, "epochs": 2}
    return [SparseTraining("tiny", drop="sign", seed=seed, **fields) for seed in (0, 1)]


def diverging_runs(profile):
    fields = {"dataset": "digits", "hidden": (9,), "learning_rate": 1e9, "epochs": 1}
    return [SparseTraining("bad", **fields)]


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Folders of the test's own, and one experiment of seconds."""
    tiny = training("tiny", tiny_runs)
    monkeypatch.setitem(papers.EXPERIMENTS, "tiny", tiny)
    monkeypatch.setitem(papers.BY_PAPER, "a small paper", [tiny])
    store = Store(papers.EXPERIMENTS, tmp_path / "runs", tmp_path / "results")
    monkeypatch.setattr(papers, "STORE", store)
    monkeypatch.setattr(_boundary, "FIGURES", tmp_path / "figures")
    return tmp_path


def runs(name, profile):
    return papers.EXPERIMENTS[name].runs(profile)


def run(capsys, *words):
    """Exit status, standard output and standard error of a command."""
    status = cli.main([str(word) for word in words])
    return status, *capsys.readouterr()


@pytest.mark.parametrize("words", [("run", "tiny"), ("list",), ("claims",), ("bench",)])
def test_json_into_what_is_no_file_is_refused_before_anything_runs(capsys, small, words):
    os.mkfifo(small / "pipe")
    status, out, err = run(capsys, *words, "--json", small / "pipe")
    assert (status, out) == (1, "")
    assert err.startswith(f"error: {small / 'pipe'} is no regular file: name one")
    assert not (small / "runs").exists() and (small / "pipe").is_fifo()


def test_run_trains_and_list_shows_it(capsys, small):
    status, _, _ = run(capsys, "run", "tiny", "--json", small / "runs.json")
    rows = json.loads((small / "runs.json").read_text())
    assert status == 0 and [row["seed"] for row in rows] == [0, 1]
    assert all(0 < row["last_accuracy"] < 1 and row["best_accuracy"] is None for row in rows)
    _, out, _ = run(capsys, "list", "--json", "-")
    assert {row["record"] for row in json.loads(out)} == {row["record"] for row in rows}


def test_set_changes_a_field(capsys):
    _, out, _ = run(
        capsys, "run", "tiny", "--seeds", 1, "--set", "epochs=1", "schedule=step", "--json", "-"
    )
    (row,) = json.loads(out)
    assert (row["epochs"], row["schedule"]) == (1, "step")


@pytest.fixture
def asked(monkeypatch):
    """Configurations that would be run, in place of running them."""
    configs = []
    monkeypatch.setattr(cli, "_sweep", lambda c, *_, **__: configs.extend(c) or [])
    empty = pd.DataFrame(columns=["experiment", "optimiser"])
    monkeypatch.setattr(record, "summaries", lambda _: empty)
    monkeypatch.setattr(cli, "_say_what_stands_in", lambda _: None)
    return configs


@pytest.mark.parametrize(
    ("experiment", "profile", "labels"),
    [
        ("set_mlp", "smoke", {"variant": "published"}),
        ("set_mlp", "paper", {"dataset": "mnist", "method": "set", "variant": "tuned"}),
        ("time_to_accuracy", "quick", {"variant": "equal time"}),
        ("link_removal", "paper", {"method": "set_rewired"}),
    ],
)
def test_set_of_a_label_chooses_among_the_runs(experiment, profile, labels, asked, capsys):
    words = [f"{key}={value}" for key, value in labels.items()]
    run(capsys, "run", experiment, "--profile", profile, "--set", *words)
    known = runs(experiment, profile)
    desired = [c for c in known if {key: vars(c)[key] for key in labels} == labels]
    assert [c.name for c in asked] == [c.name for c in desired]
    assert 0 < len(asked) < len(known)


def test_another_data_set_replaces_the_first_of_the_runs_chosen(asked, capsys):
    words = ("method=dense", "dataset=digits", "variant=published")
    run(capsys, "run", "set_mlp", "--profile", "paper", "--set", *words)
    known = runs("set_mlp", "paper")
    desired = [c for c in known if (c.method, c.variant) == ("dense", "published")]
    assert {c.dataset for c in desired} == {"cifar10"}
    assert asked == [dataclasses.replace(c, dataset="digits") for c in desired]


def test_smoke_says_that_its_accuracies_mean_nothing(asked, capsys):
    assert "mean nothing" in run(capsys, "run", "densities", "--profile", "smoke")[2]
    assert "mean nothing" not in run(capsys, "run", "densities", "--profile", "quick")[2]


def test_runs_that_a_change_makes_alike_are_run_once(asked, capsys):
    run(capsys, "run", "densities", "--profile", "paper", "--set", "density=0.01", "seed=0")
    known = [c for c in runs("densities", "paper") if c.density == 0.01]
    assert asked == [c for c in known if c.seed == 0]


def test_list_names_experiments_notebooks_and_profiles(capsys):
    status, out, _ = run(capsys, "list")
    assert status == 0
    assert all(name in out for name in ("set_mlp", "tiny", "10_set_mlp", "python -m lib run"))
    assert max(map(len, out.splitlines())) <= 80 and len(out.splitlines()) <= 50


def test_list_of_a_notebook_or_a_claim_shows_its_experiments(capsys):
    _, out, _ = run(capsys, "list", "20", "--json", "-")
    rows = {row["experiment"]: row for row in json.loads(out)}
    book = json.loads((ROOT / "notebooks/20_adaptive_topology.ipynb").read_text())
    assert list(rows) == book["metadata"]["experiments"]
    summaries = runs("robustness_summary", "paper")
    assert rows["robustness_summary"]["runs"] == len(summaries)
    assert all(row["stored"] <= row["runs"] for row in rows.values())
    _, out, _ = run(capsys, "list", "20")
    assert "python -m lib run robustness_summary --profile paper  # what is missing" in out
    assert "no experiment belongs to this notebook" in run(capsys, "list", "quickstart")[1]
    _, out, _ = run(capsys, "list", "s03")
    _, row, remedy = out.splitlines()
    assert row.split()[:2] == ["scale_free_long", "0"]
    assert remedy.startswith("python -m lib claims S03  # ")


def test_data_says_where_sets_came_from(capsys):
    status, out, _ = run(capsys, "data", "digits")
    assert status == 0 and "scikit-learn" in out and data.load("digits").sha256[:12] in out


def test_damaged_data_file_is_a_failure(capsys, small, monkeypatch):
    monkeypatch.setenv("SPARSE_DATA_DIR", str(small))
    (small / "mnist.npz").write_bytes(b"broken")
    assert run(capsys, "data", "digits")[0] == 0
    status, out, _ = run(capsys, "data", "digits", "mnist")
    assert status == 1 and "damaged: " in out


def test_set_that_is_not_here_is_told_below_the_table(capsys, small, monkeypatch):
    monkeypatch.setenv("SPARSE_DATA_DIR", str(small))
    status, out, _ = run(capsys, "data", "digits", "adult")
    table, told = out.splitlines()[:2], out.splitlines()[2:]
    assert status == 1 and table[1].split()[0] == "digits" and " 1438 " in table[1]
    assert len(told) == 1 and told[0].startswith("adult: adult is not here and has no")


def test_own_file_that_cannot_be_used_is_an_error_and_not_called_damaged(capsys, tmp_path):
    (tmp_path / "flowers.csv").write_text("length,species\n1,a\n2,b\n")
    status, out, err = run(capsys, "data", f"{tmp_path}/flowers.csv:specie")
    assert status == 1 and out == "" and err.startswith("error: ") and "'specie'" in err


def test_claims_lists_readings(capsys, monkeypatch):
    row = {"claim": "R03", "reading": "area", "verdict": "holds"}
    asked = lambda profile, ids: pd.DataFrame([row | {"p": profile, "ids": ids}])  # noqa: E731
    monkeypatch.setattr(papers, "readings", asked)
    status, out, _ = run(capsys, "claims", "--readings", "--json", "-")
    assert status == 0 and json.loads(out) == [row | {"p": "paper", "ids": None}]
    _, out, _ = run(capsys, "claims", "R03", "--readings", "--json", "-")
    assert json.loads(out)[0]["ids"] == ["R03"]


@pytest.mark.parametrize(
    ("named", "desired"),
    [
        (("P", "R05"), ["R05", "P01", "P02", "P03", "P04"]),
        (("R03", "R", "R03"), ["R01", "R02", "R03", "R04", "R05"]),
        (("p2", "F01"), ["P02", "F01"]),
    ],
)
def test_claims_are_chosen_by_id_and_by_paper(capsys, named, desired):
    _, out, _ = run(capsys, "claims", *named, "--json", "-", "--profile", "smoke")
    assert [row["id"] for row in json.loads(out)] == desired


def test_one_claim_is_printed_whole(capsys, monkeypatch):
    claim = papers.PUBLISHED.set_index("id").loc["S36"]
    row = papers.verdicts("smoke", ["S36"]).iloc[0].to_dict()
    row |= {"value": -1.2258, "low": -2.5, "high": -0.5, "n": 5, "verdict": "open"}
    row |= {"sentence": "Open: a gap.", "reason": "it narrows", "scale": "smaller: 60 epochs"}
    monkeypatch.setattr(papers, "verdicts", lambda profile, ids, progress: pd.DataFrame([row]))
    _, out, _ = run(capsys, "claims", "S36")
    found = dict(line.split(maxsplit=1) for line in out.splitlines()[:-1])
    rule = f"{claim['comparison']} {claim['threshold']} ({claim['threshold_origin']})"
    assert found == {
        "claim": "S36",
        "statement": claim["statement"],
        "found": "Open: a gap. It narrows.",
        "scale": "smaller: 60 epochs",
        "criterion": f"{claim['quantity']}: {rule}",
        "measured": "-1.23 [-2.5, -0.5]",
        "n": "5",
        "decide": planned.deciding("S36")[-1],
    }


@pytest.mark.parametrize(("verdict", "shown"), [("open", "P02"), ("fails", "P01")])
def test_several_claims_point_to_one_that_is_open(capsys, monkeypatch, verdict, shown):
    table = papers.verdicts("smoke", ["P01", "P02"]).assign(verdict=["holds", verdict])
    monkeypatch.setattr(judged, "verdicts", lambda profile, ids: table)
    _, out, _ = run(capsys, "claims", "P01", "P02")
    assert out.splitlines()[-1].startswith(f"python -m lib claims {shown} shows ")


@pytest.mark.parametrize("verdict", ["open", "holds"])
def test_json_says_what_would_decide_an_open_claim(capsys, monkeypatch, verdict):
    table = papers.verdicts("smoke", ["S32"]).assign(verdict=verdict)
    monkeypatch.setattr(judged, "verdicts", lambda profile, ids: table)
    _, out, _ = run(capsys, "claims", "S32", "--json", "-")
    (row,) = json.loads(out)
    assert row["to_decide"] == "; ".join(planned.deciding("S32") if verdict == "open" else [])


def test_one_claim_that_is_not_run_says_so(capsys):
    _, out, _ = run(capsys, "claims", "S34", "--profile", "smoke")
    assert "Not run." in out and "measured" not in out


def test_claims_without_readings_say_so(capsys):
    _, out, _ = run(capsys, "claims", "S01", "--readings", "--profile", "smoke")
    assert "none of these claims has several readings" in out


def test_bench_writes_its_rows(capsys, small, monkeypatch):
    row = {"measure": "spmm", "contender": "dense", "median_ms": 1.5}
    monkeypatch.setattr(bench, "measure", lambda sweep: pd.DataFrame([row]))
    before = torch.get_num_threads()
    run(capsys, "bench", "--json", "-")
    assert torch.get_num_threads() == before
    status, _, _ = run(capsys, "bench", "--threads", 1, "--json", small / "bench.json")
    assert status == 0 and json.loads((small / "bench.json").read_text()) == [row]


@pytest.fixture
def rendered(monkeypatch):
    """Notebooks that would be executed, each of which needs one experiment."""
    books = []
    monkeypatch.setattr(notebooks, "needed", lambda path: ["tiny"])
    monkeypatch.setattr(
        notebooks, "execute_all", lambda paths, *_: books.extend(p.stem for p in paths) or []
    )
    return books


def test_figures_runs_what_is_missing_and_renders(capsys, rendered):
    assert run(capsys, "figures", "--profile", "smoke", "--only", "10", "00")[0] == 0
    assert rendered == ["00_overview", "10_set_mlp"]
    assert len(papers.STORE.records(runs("tiny", "smoke"))) == 2


@pytest.mark.parametrize(("words", "n_stored"), [((), 0), (("--train",), 2)])
def test_figures_of_the_paper_profile_train_only_if_asked(words, n_stored, rendered, capsys):
    assert run(capsys, "figures", "--only", "10", *words)[0] == 0
    stored = list(archive(papers.STORE.results / "tiny"))
    assert len(stored) == n_stored == len(papers.STORE.records(runs("tiny", "paper")))


@pytest.mark.parametrize(("words", "is_drawn"), [((), False), (("quickstart",), True)])
def test_stored_figures_leave_out_the_notebook_that_trains(words, is_drawn, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(notebooks, "out_of_date", lambda books, _: drawn.extend(books) or [])
    assert run(capsys, "figures", *words)[0] == 0
    assert ({*notebooks.TRAINING} & {path.stem for path in drawn} != set()) == is_drawn


def test_stand_in_data_are_announced(capsys, monkeypatch):
    configs = [SparseTraining("tiny", stand_in=SparseTraining("tiny", dataset="digits"))]
    monkeypatch.setattr(data, "notice", lambda *_, **__: "digits stands in")
    cli._say_what_stands_in(configs * 2)
    assert capsys.readouterr().err == "digits stands in\n"


def test_figures_fails_when_a_notebook_does(capsys, monkeypatch):
    monkeypatch.setattr(notebooks, "execute_all", lambda *_: ["notebook 10: broken"])
    status, _, err = run(capsys, "figures", "--profile", "paper", "--only", "10")
    assert status == 1 and "error: notebook 10: broken" in err


def test_figures_renders_the_others_when_a_run_fails(capsys, rendered, monkeypatch):
    monkeypatch.setattr(notebooks, "needed", lambda path: ["bad"])
    monkeypatch.setitem(papers.EXPERIMENTS, "bad", training("bad", diverging_runs))
    status, _, err = run(capsys, "figures", "--profile", "smoke", "--only", "10")
    assert status == 1 and len(rendered) == 1 and "1 of 1 runs failed" in err


def test_interruption_is_one_sentence(capsys, monkeypatch):
    def interrupt(profile):
        raise KeyboardInterrupt

    monkeypatch.setitem(papers.EXPERIMENTS, "tiny", training("tiny", interrupt))
    monkeypatch.setattr(sys, "argv", ["lib", "run", "tiny"])
    status, err = command.main(), capsys.readouterr().err
    assert status == 130 and err == "interrupted: nothing is lost, the same command continues\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("run set_mpl", "did you mean 'set_mlp'"),
        ("run tiny --profile papper", "did you mean 'paper'"),
        ("run tiny --set epocs=3", "did you mean 'epochs'"),
        ("run tiny density", "error: 'density' is not key=value: give a value too"),
        ("run tiny profile=paper", "profile=paper is no change of a run: write --profile paper"),
        ("run tiny --scheduler slurm:8", "scheduler 'slurm:8' is no address: give that of a Dask"),
        ("figures --profile paper --scheduler tcp://a:1", "a cluster goes with --train"),
        ("run tiny --set jobs=2", "jobs=2 is no change of a run: write --jobs 2"),
        ("run tiny --set epochs=2 --set epochs=3", "given twice, the second time as 'epochs=3'"),
        ("run tiny --set seed=3 --seeds 5", "seed=3 and --seeds 5 both choose seeds: give one"),
        ("run tiny --set hidden={[]:1}", "hidden = '{[]:1}' is of the wrong type"),
        ("run tiny seed=-1", "seed = -1 is out of range"),
        ("run tiny dataset=./missing.csv:kind", "missing.csv is not there"),
        ("run tiny dataset=iris", "or a path of your own, as table.csv:species"),
        ("run tiny experiment=set_mlp", "experiment=set_mlp is no change of a run of tiny"),
        ("run tiny --json none/rows.json", "none is no folder: make it first"),
        ("run tiny --set method=rigl", "unknown method 'rigl'"),  # of another experiment
        ("run set_mlp --set variant=3", "unknown variant 3: known are tuned, published"),
        ("run tiny --seeds 0", "seeds = 0 is out of range"),
        ("run tiny --jobs 0", "jobs = 0 is out of range"),
        ("figures --only 99", "unknown notebook '99': known are quickstart"),
        ("figures 10_set_mpl", "did you mean '10_set_mlp'"),
        ("figures --profile qick", "did you mean 'quick'"),
        ("claims --profile big", "unknown profile 'big': known are smoke, quick, paper"),
        ("claims R99", "; python -m lib claims lists all"),
        ("claims q", "unknown claim 'Q': known are S, R"),
        ("list tini", "unknown experiment, notebook or claim 'tini': did you mean 'tiny'"),
        ("list quickstrat", "did you mean 'quickstart'"),
        ("replay tini", "unknown experiment 'tini': did you mean 'tiny'"),
        ("replay tiny --profile papr", "unknown profile 'papr': did you mean 'paper'"),
        ("replay tiny --epochs 0", "epochs = 0 is out of range"),
        ("data mnits", "did you mean 'mnist'"),
        ("bench --threads 0", "threads = 0 is out of range: give a whole number, from 1"),
    ],
)
def test_unknown_or_wrong_words_are_refused_in_one_line(words, sentence, capsys, small):
    status, _, err = run(capsys, *words.split())
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert status == 1 and len(lines) == 1 and sentence in lines[0]
    assert not (small / "runs").exists()  # before anything runs


def test_another_python_than_that_of_the_project_is_told_which_to_use(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    status, _, err = run(capsys, "data")
    assert status == 1 and ".venv/bin/python" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("figurs", "unknown command 'figurs': did you mean 'figures'"),
        ("run", "Missing argument 'EXPERIMENT' (see python -m lib run --help)"),
        ("list --jsn x", "No such option '--jsn'"),
        ("run tiny --jobs many", "'many' is not a valid integer"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_one_line(words, sentence, capsys):
    status, out, err = run(capsys, *words.split())
    assert status == 2 and out == "" and len(err.splitlines()) == 1 and sentence in err


def test_no_command_shows_the_help(capsys):
    status, _, err = run(capsys)
    assert status == 2 and all(name in err for name in cli.commands.commands)


@pytest.mark.parametrize("words", ["--version", "figures -h"])
def test_help_imports_nothing_that_takes_long(words):
    code = "import sys; from lib.command.cli import main; status = main(sys.argv[1:]);"
    code += "print(sorted({'torch', 'pandas', 'numpy', 'numba'} & set(sys.modules)), status)"
    done = subprocess.run(
        [sys.executable, "-c", code, *words.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.endswith("[] 0\n"), done.stderr


def test_set_may_be_left_out(asked, capsys):
    run(capsys, "run", "set_mlp", "variant=published", "--set", "epochs=2", "momentum=0.5")
    assert {(c.variant, c.epochs, c.momentum) for c in asked} == {("published", 2, 0.5)}


def test_list_of_an_experiment_shows_its_records_and_how_many_there_are(capsys):
    _, out, _ = run(capsys, "list", "tiny")
    none = "none of its runs is stored\n0 of 2 runs of the profile paper are stored"
    assert out == f"{none}: python -m lib run tiny --profile paper\n"
    run(capsys, "run", "tiny", "--profile", "paper", "--seeds", 1)
    _, out, _ = run(capsys, "list", "tiny")
    assert out.splitlines()[-1].startswith("1 of 2 runs of the profile paper are stored: python")
    run(capsys, "run", "tiny", "--profile", "paper")
    _, out, _ = run(capsys, "list", "tiny")
    assert len(out.splitlines()) == 4 and "last_accuracy" in out
    assert out.endswith("2 of 2 runs of the profile paper are stored\n")
    run(capsys, "run", "tiny", "--profile", "paper", "--seeds", 1, "momentum=0.5")
    _, out, _ = run(capsys, "list", "tiny")
    assert ["paper", "paper", "custom", "paper"] == re.findall("paper|custom", out)


@pytest.mark.ci
def test_verdicts_are_kept_until_something_changes(capsys, monkeypatch, small):
    """Kept ones are the same rows as judged ones; a new record makes them out of date."""
    judged, verdicts = [], papers.verdicts

    def noted(profile, ids, **how):
        judged.append(profile)
        return verdicts(profile, ids, **how)

    monkeypatch.setattr(papers, "verdicts", noted)
    words = ("claims", "--profile", "smoke", "--json", "-")
    first, second = run(capsys, *words)[1], run(capsys, *words)[1]
    assert first == second and judged == ["smoke"]
    assert run(capsys, "claims", "R03", "--profile", "smoke")[0] == 0 and len(judged) == 1
    run(capsys, "run", "tiny", "--profile", "paper", "--seeds", 1)
    run(capsys, *words)
    assert judged == ["smoke", "smoke"]
    (papers.STORE.runs / "verdicts-smoke.json").write_text("[]")
    assert run(capsys, *words)[0] == 0 and judged == ["smoke"] * 3


def test_every_claim_is_shown_in_full_in_lines_that_fit(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    table = pd.DataFrame(judged.shipped())
    monkeypatch.setattr(judged, "verdicts", lambda profile, ids: table)
    _, out, _ = run(capsys, "claims", "--profile", "paper")
    lines = out.splitlines()
    assert max(map(len, lines[:-3])) <= 80
    starts = [line for line in lines[:-3] if not line.startswith(" ")]
    assert [line[:3] for line in starts] == list(papers.PUBLISHED["id"])
    shown = "".join(line[19:].replace(" ", "") for line in lines)
    for sentence in table["sentence"]:
        assert sentence.partition(": ")[2].replace(" ", "") in shown
    assert re.match("profile paper, claims of papers: .* holds", lines[-3])
    assert re.match("profile paper, our own claims: .* holds", lines[-2])


def test_seeds_that_the_profile_does_not_have_are_not_shipped(capsys, small):
    assert run(capsys, "run", "tiny", "--profile", "paper", "--seeds", 3)[0] == 0
    shipped = set(archive(small / "results" / "tiny"))
    assert shipped == {one.name for one in tiny_runs("paper")} < papers.STORE.names()
