"""Verdicts: claims are handed the records they name, and every row gets a verdict."""

import pandas as pd
import pytest

from lib.report import verdicts
from lib.report.intervals import Measurement
from lib.report.verdicts import Claim, check_claims, markdown, published, verdict_of

ROWS = pd.DataFrame(
    {
        "id": ["X1", "X2", "Y1"],
        "paper": ["X", "X", "Y"],
        "statement": ["links grow", "links fall", "other"],
        "quantity": ["slope", "slope", "share"],
        "comparison": [">=", "<", ">"],
        "threshold": ["1", "0", "0"],
        "threshold_origin": ["paper", "ours", "ours"],
        "printed_evidence": ["1.2", "", "0.5"],
    }
)


def of_table(claims, records_of=lambda *_: [], **options):
    return verdicts.verdicts(claims, records_of, ROWS, **options)


def test_every_row_has_a_verdict_and_the_promised_columns():
    table = of_table({})
    columns = "id paper statement verdict value low high n profile published readings"
    assert list(table.columns) == columns.split() and list(table["id"]) == ["X1", "X2", "Y1"]
    assert set(table["verdict"]) == {"not run"} and set(table["profile"]) == {"paper"}
    assert table["value"].isna().all() and table["n"].isna().all()


def test_claim_is_handed_the_records_of_its_experiments_in_their_order():
    handed = []
    claim = Claim(("b", "a"), lambda records: handed.append(records))
    of_table({"X1": claim}, lambda *asked: [asked], profile="smoke")
    assert handed == [[("b", "smoke"), ("a", "smoke")]]


def test_records_are_fetched_once_for_all_claims():
    fetched = []

    def records_of(experiment, profile):
        fetched.append((experiment, profile))
        return []

    claim = Claim(("a", "b"), lambda records: None)
    of_table(dict.fromkeys(["X1", "X2", "Y1"], claim), records_of)
    assert fetched == [("a", "paper"), ("b", "paper")]


def test_measurement_is_judged_by_the_criterion_of_its_row():
    measured = Measurement(1.5, 1.2, 1.8, 5)
    table = of_table({name: Claim((), lambda _: measured) for name in ("X1", "X2")})
    assert list(table["verdict"]) == ["reproduced", "not reproduced", "not run"]
    assert table.loc[0, ["value", "low", "high", "n"]].tolist() == [1.5, 1.2, 1.8, 5]
    assert list(table["published"]) == ["1.2", "", "0.5"]


def test_claim_is_judged_in_its_profiles_alone():
    claim = Claim((), lambda _: Measurement(1.5, 1.2, 1.8, 5), profiles=("paper",))
    assert of_table({"X1": claim}, profile="quick").loc[0, "verdict"] == "not run"
    assert of_table({"X1": claim}, profile="paper").loc[0, "verdict"] == "reproduced"


def test_claims_are_those_asked_for_in_the_order_of_the_table():
    assert list(of_table({}, ids=["Y1", "X1"])["id"]) == ["X1", "Y1"]


@pytest.mark.parametrize(
    ("options", "hint"),
    [({"profile": "papper"}, "did you mean 'paper'"), ({"ids": ["X3"]}, "known are X1, X2, Y1")],
)
def test_unknown_names_are_refused(options, hint):
    with pytest.raises(ValueError, match=hint):
        of_table({}, **options)


def test_claims_and_rows_must_hold_together():
    check_claims(["X1", "X2"], ROWS, ["X"])
    with pytest.raises(ValueError, match="claim X9 has no row in the table of claims"):
        check_claims(["X1", "X2", "X9"], ROWS, ["X"])
    with pytest.raises(ValueError, match="row X2 of the table of claims has no claim in a room"):
        check_claims(["X1"], ROWS, ["X"])
    check_claims(["X1"], ROWS, [])


def test_rows_of_a_paper_are_added_to_the_published_ones(tmp_path):
    ROWS.to_csv(tmp_path / "claims.csv", index=False)
    table = published(tmp_path / "claims.csv")
    assert list(table["id"]) == [*published()["id"], "X1", "X2", "Y1"]
    assert table["threshold"].map(type).eq(str).all()


def test_published_claim_is_judged_by_its_own_row():
    table = published()
    assert verdict_of("R03", Measurement(0.1, 0.05, 0.2, 5), table) == "reproduced"
    assert verdict_of("R03", Measurement(0.1, 0.05, 0.2, 4), table) == "inconclusive (seeds)"
    assert verdict_of("X2", Measurement(-1.0, -2.0, -0.5, 5), ROWS) == "reproduced"


def test_markdown_has_a_line_for_each_claim_that_some_run_touches():
    measured = {
        "X1": Measurement(1.5, 1.2, 1.8, 5),
        "X2": Measurement(0.25, 0.25, 0.25, None),
    }
    claims = {name: Claim((), lambda _, name=name: measured[name]) for name in measured}
    lines = markdown(of_table(claims), ROWS).splitlines()
    assert lines[2] == "| X1: links grow | slope: >= 1 (paper) | 1.5 [1.2, 1.8] | 5 | reproduced |"
    assert lines[3] == "| X2: links fall | slope: < 0 (ours) | 0.25 |  | not reproduced |"
    assert lines[-1] == "Not run yet, 1 of 3: Y 1."
    measured["Y1"] = Measurement(1.0, 1.0, 1.0, 5)
    claims = {name: Claim((), lambda _, name=name: measured[name]) for name in measured}
    assert markdown(of_table(claims), ROWS).splitlines()[-1].startswith("| Y1: ")


def test_markdown_links_a_claim_to_its_page():
    table = of_table({"X1": Claim((), lambda _: Measurement(1.5, 1.2, 1.8, 5))})
    line = markdown(table, ROWS, {"X1": "one.ipynb"}).splitlines()[2]
    assert line.startswith("| [X1](one.ipynb): links grow |")


def test_markdown_keeps_a_bar_of_a_quantity_within_its_cell():
    table = of_table({"X1": Claim((), lambda _: Measurement(1.5, 1.2, 1.8, 5))})
    line = markdown(table, ROWS.assign(quantity="|slope|")).splitlines()[2]
    assert line.count("|") - line.count(r"\|") == 6 and r"\|slope\|" in line


def test_no_claims_asked_for_give_an_empty_table():
    table = verdicts.verdicts({}, lambda experiment, profile: [], ROWS, "paper", [])
    assert table.empty and list(table)[:4] == ["id", "paper", "statement", "verdict"]


# readings


def with_readings(*judged):
    rows = pd.DataFrame({"reading": range(len(judged)), "verdict": judged})
    measured = Measurement(0.5, 0.4, 0.6, 5)
    return Claim(("a",), lambda records: measured, readings=lambda records: rows)


def test_verdict_says_in_how_many_readings_the_claim_holds():
    claim = with_readings("reproduced", "not reproduced", "inconclusive")
    table = of_table({"X1": claim, "X2": Claim((), lambda _: None)})
    assert list(table["readings"]) == ["holds in 1 of 3 cases (1 open)", "", ""]
    assert "not reproduced; holds in 1 of 3 cases (1 open) |" in markdown(table, ROWS)


def test_readings_of_all_claims_are_listed_with_their_own_verdicts():
    claims = {
        "X1": with_readings("reproduced"),
        "X2": Claim(("a",), lambda _: None),
        "Y1": with_readings("inconclusive", "reproduced"),
    }
    found = verdicts.readings(claims, lambda *_: [])
    assert list(found["verdict"]) == ["reproduced", "inconclusive", "reproduced"]
    assert verdicts.readings({"X2": claims["X2"]}, lambda *_: []).empty
    of_one = verdicts.readings(claims, lambda *_: [], ids=["Y1"])
    assert list(of_one["verdict"]) == ["inconclusive", "reproduced"]
    with pytest.raises(ValueError, match="unknown claim 'Z1': known are X1"):
        verdicts.readings(claims, lambda *_: [], ids=["Z1"])
