"""Rooms: what they bring fits together, or is refused with the name that does not."""

import subprocess
import sys
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import papers
from lib.report import labels
from lib.report.intervals import Measurement
from lib.report.labels import Labels, look
from lib.report.tables import written_readings
from lib.report.verdicts import WORDS, Claim
from lib.runs.config import from_fields
from lib.runs.experiment import PROFILES
from lib.runs.records import Store
from papers import CLAIMS, EXPERIMENTS, PUBLISHED, ROOMS, gather
from tests.papers.judging import row_of
from tests.runs import counting

ALL = [(name, profile) for name in EXPERIMENTS for profile in PROFILES]
NOTHING = Claim((), lambda records: None, "It is {value}.", "toy: made")


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    """Tables of labels that are as they were after each test."""
    for name in ("METHOD_LOOKS", "NETWORK_NAMES"):
        monkeypatch.setattr(labels, name, dict(getattr(labels, name)))


@pytest.fixture
def room(tmp_path):
    """Makes a room of a paper that has one claim, with a row in a table of its own."""

    def make(folder="new", **changes):
        place = tmp_path / folder
        place.mkdir()
        rows = changes.pop("rows", {"id": ["N01"], "paper": ["New paper"]})
        pd.DataFrame(rows).to_csv(place / "claims.csv", index=False)
        contents = {
            "EXPERIMENTS": (counting.experiment("new"),),
            "CLAIMS": {"N01": Claim(("new",), lambda records: None, "It is {value}.", "toy: made")},
            "LABELS": Labels({"new": look("a new method", "#123456", "-")}),
            "PAPER": "New paper",
            "__file__": str(place / "__init__.py"),
        }
        return SimpleNamespace(**{**contents, **changes})

    return make


@pytest.fixture
def known():
    """The rooms that there are."""
    return [getattr(papers, name) for name in ROOMS]


@pytest.fixture
def others(known):
    """The rooms but that of H01."""
    return [room for room in known if "H01" not in room.CLAIMS]


def test_new_room_brings_experiments_claims_labels_and_rows(room, known):
    experiments, claims, table = gather([*known, room()])
    assert set(experiments) == {*EXPERIMENTS, "new"} and set(claims) == {*CLAIMS, "N01"}
    assert list(table["id"]) == [*PUBLISHED["id"], "N01"]
    assert labels.method_name("new") == "a new method"


ROWS = {"id": ["N01", "N02"], "paper": ["New paper"] * 2}
OF_OTHER = {"id": ["O01"], "paper": ["Other paper"]}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"CLAIMS": dict.fromkeys(["N01", "N02"], NOTHING)}, "claim N02 has no row in the table"),
        ({"rows": ROWS}, "row N02 of the table of claims has no claim in a room"),
        (
            {"CLAIMS": {"H01": NOTHING}, "rows": {"id": ["H01"], "paper": ["New paper"]}},
            "two rows of the table of claims have the id H01",
        ),
        (
            {"CLAIMS": {"H01": NOTHING}, "rows": OF_OTHER},
            "claim H01 is one of 'Krotov–Hopfield learning', not of 'New",
        ),
        (
            {"EXPERIMENTS": (counting.experiment("new", parents=("adaptive_topolgy",)),)},
            "did you mean 'adaptive_topology'",
        ),
        (
            {"LABELS": Labels({"set": look("SET", "#000000", "-")})},
            "method 'set' is labelled .* already",
        ),
    ],
)
def test_room_that_does_not_fit_is_refused(changes, sentence, room, others):
    with pytest.raises(ValueError, match=sentence):
        gather([*others, room(**changes)])


def test_row_of_a_paper_without_a_room_waits(room):
    rows = {"id": ["N01", "O01"], "paper": ["New paper", "Other paper"]}
    _, claims, table = gather([room(rows=rows)])
    assert "O01" in set(table["id"]) and "O01" not in claims


def test_two_rooms_with_one_experiment_are_refused(room):
    rows = {"id": ["O01"], "paper": ["Third paper"]}
    other = room("other", CLAIMS={}, PAPER="Other paper", rows=rows)
    with pytest.raises(ValueError, match="two experiments are named 'new': rename one"):
        gather([room(), other])


def test_one_claim_measured_twice_is_refused(room):
    other = room("other", EXPERIMENTS=(), PAPER="Other paper")
    with pytest.raises(ValueError, match="two rooms measure claim N01: remove one"):
        gather([room(), other])


# what there is


def test_configurations_are_valid_and_distinct():
    for name, profile in ALL:
        runs = EXPERIMENTS[name].runs(profile)
        assert len({run.name for run in runs}) == len(runs) > 0, (name, profile)
        for run in runs:
            run.check()
            assert run.experiment == name


def test_stored_records_are_of_runs_that_the_tables_have():
    """So that no setting of a table changes unnoticed: the names of its runs would change too."""
    others = [one.config for one in papers.STORE.shipped.everything() if one.profile != "paper"]
    assert [(run.experiment, run.weight_decay) for run in others] == [("regularisation", 1e-3)]


def test_every_run_is_read_back_from_its_file():
    for name in EXPERIMENTS:
        for run in EXPERIMENTS[name].runs("smoke"):
            again = from_fields(run.fields_to_write())
            assert again == run and type(again) is type(run) and again.name == run.name, name


def test_parents_are_of_the_experiments_that_are_named():
    for name, profile in ALL:
        experiment = EXPERIMENTS[name]
        parents = {run.parent.experiment for run in experiment.runs(profile) if run.parent}
        assert parents <= set(experiment.parents), (name, profile)


@pytest.mark.parametrize(
    ("name", "profile", "sentence"),
    [
        ("set_mpl", "paper", "did you mean 'set_mlp'"),
        ("set_mlp", "papr", "did you mean 'paper'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name, profile, sentence):
    with pytest.raises(ValueError, match=sentence):
        papers.obtain(name, profile)


@pytest.fixture
def nothing(tmp_path, monkeypatch):
    """A store in which nothing is."""
    store = Store(EXPERIMENTS, tmp_path / "runs", tmp_path / "results")
    monkeypatch.setattr(papers, "STORE", store)


def test_obtain_trains_nothing_in_the_paper_profile(nothing):
    assert papers.obtain("set_mlp", "paper") == []


def test_every_published_claim_has_a_verdict_row():
    table = papers.verdicts("smoke")
    assert list(table["id"]) == list(PUBLISHED["id"])
    assert set(CLAIMS) <= set(table["id"])
    columns = "id paper statement sentence verdict direction scale reason value low high n"
    assert list(table.columns) == [*columns.split(), "profile", "published", "readings"]
    assert set(table["verdict"]) <= set(WORDS)
    assert set(table["direction"]) <= {"holds", "fails", "open", ""}
    is_run = table["verdict"] != "not run"
    assert (table.loc[is_run, "scale"] == "toy: profile smoke").all()
    assert (table.loc[~is_run, ["direction", "scale", "reason"]] == "").all(axis=None)


def test_claims_without_runs_are_not_run(nothing):
    table = papers.verdicts("smoke", ["P02", "S41"])
    assert set(table["verdict"]) == {"not run"} and table["value"].isna().all()
    assert set(table["sentence"]) == {"Not run."} and set(table["scale"]) == {""}
    assert papers.verdicts("paper", ["R03"])["verdict"].tolist() == ["not run"]


@pytest.mark.parametrize(("profile", "ids"), [("papper", None), ("paper", ["S99"])])
def test_unknown_profiles_and_claims_are_refused(profile, ids):
    with pytest.raises(ValueError, match="did you mean"):
        papers.verdicts(profile, ids)


MADE = {  # measurements, and what each lacks
    "whole": Measurement(-0.5, -1.0, 2.0, 5, at="MNIST"),
    "two seeds": Measurement(-0.5, -np.inf, np.inf, 2, at="MNIST"),
    "silent": Measurement(-0.5, -1.0, 2.0, 5, undecidable="the paper names no test", at="MNIST"),
    "exact": Measurement(3.0, 3.0, 3.0, at="MNIST"),
}
SCALES = ("as published", "smaller: ", "toy: ", "setting ours")


def test_every_claim_says_one_sentence():
    for claim, made in product(CLAIMS, MADE):
        row = row_of(claim, MADE[made])
        verdict, _, says = row["sentence"].partition(": ")
        assert verdict == row["verdict"].capitalize(), claim
        assert says[0].isupper() and says.endswith(".") and not says.endswith(".."), claim
        assert "{" not in says and ". " not in says and "  " not in says, claim


def test_a_claim_says_what_was_measured_and_how_far_it_is_from_the_paper():
    for name, claim in CLAIMS.items():
        assert "{value" in claim.says, name
        assert claim.scale.startswith(SCALES) and not claim.scale.endswith((" ", ".")), name
        assert row_of(name, MADE["whole"])["scale"] == claim.scale, name


def test_verdicts_are_of_the_words_that_there_are():
    for claim in CLAIMS:
        rows = {name: row_of(claim, measurement) for name, measurement in MADE.items()}
        found = {name: row["verdict"] for name, row in rows.items()}
        assert set(found.values()) <= set(WORDS), claim
        assert rows["two seeds"]["direction"] == "open", claim
        if CLAIMS[claim].untestable:
            assert set(found.values()) == {"not testable"}, claim
        else:
            assert (found["two seeds"], found["silent"]) == ("open", "undecidable"), claim
            assert found["exact"] in ("holds", "fails"), claim
        for name, row in rows.items():
            assert bool(row["reason"]) == (found[name] not in ("holds", "fails")), (claim, name)


def test_records_of_the_repository_are_read_without_running_anything():
    records = papers.obtain("attack_minimal", "paper")
    runs = EXPERIMENTS["attack_minimal"].runs("paper")
    assert len(records) >= 8 and {record.config for record in records} <= {*runs}
    assert {record.profile for record in records} == {"paper"}


@pytest.mark.ci
def test_who_trains_or_judges_imports_nothing_that_draws():
    code = """
import sys
import papers
print(sorted({"matplotlib", "seaborn", "IPython", "powerlaw", "sklearn"} & sys.modules.keys()))
from lib import report
report.begin, report.publish
print("publish" in dir(report))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[:2] == ["[]", "True"]


@pytest.mark.ci
def test_readings_are_those_of_the_claims_asked_for_and_each_is_shown():
    assert set(papers.readings("paper", ["R03"])["claim"]) == {"R03"}
    readings = dict(list(papers.readings("paper").groupby("claim")))
    assert readings.keys() == {name for name, claim in papers.CLAIMS.items() if claim.readings}
    for name, rows in readings.items():
        assert (written_readings(rows) != "").sum().sum() == len(rows), name


def test_quick_runs_need_no_data_that_cannot_be_had(only_digits):
    for name in EXPERIMENTS:
        for run in EXPERIMENTS[name].configs("quick"):  # not those that were kept before
            needed = run.resolved()
            while needed is not None:
                assert needed.dataset == "digits", name
                needed = needed.parent


def test_a_claim_measures_nothing_where_no_run_is_made():
    """But for those that need none: arithmetic, the benchmark, draws."""
    without_runs = {"S02", "S04", "S05", "S06", "S38"}
    for name, claim in CLAIMS.items():
        assert (claim.measure([]) is None) == (name not in without_runs), name
        assert claim.readings is None or claim.readings([]).empty, name
        assert row_of(name, None)["verdict"] == "not run", name
