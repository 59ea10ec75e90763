"""Verdicts: claims are handed the records they name, and every row gets a verdict."""

import pandas as pd
import pytest

from lib.report import verdicts
from lib.report.intervals import Measurement
from lib.report.verdicts import Claim, check_claims, in_full, published

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


def claim_of(measure, experiments=(), **options):
    """A claim that says its value."""
    return Claim(experiments, measure, "It is {value:.2f}.", "smaller: two epochs", **options)


def of_table(claims, records_of=lambda *_: [], **options):
    return verdicts.verdicts(claims, records_of, ROWS, **options)


def test_every_row_has_a_verdict_and_the_promised_columns():
    table = of_table({})
    columns = "id paper statement sentence verdict direction scale reason"
    columns += " value low high n profile published readings"
    assert list(table.columns) == columns.split() and list(table["id"]) == ["X1", "X2", "Y1"]
    assert set(table["verdict"]) == {"not run"} and set(table["profile"]) == {"paper"}
    assert table["value"].isna().all() and table["n"].isna().all()


def test_claim_is_handed_the_records_of_its_experiments_in_their_order():
    handed = []
    claim = claim_of(lambda records: handed.append(records), ("b", "a"))
    of_table({"X1": claim}, lambda *asked: [asked], profile="smoke")
    assert handed == [[("b", "smoke"), ("a", "smoke")]]


def test_records_are_fetched_once_for_all_claims():
    fetched = []

    def records_of(experiment, profile):
        fetched.append((experiment, profile))
        return []

    claim = claim_of(lambda records: None, ("a", "b"))
    of_table(dict.fromkeys(["X1", "X2", "Y1"], claim), records_of)
    assert fetched == [("a", "paper"), ("b", "paper")]


def test_measurement_is_judged_by_the_criterion_of_its_row():
    table = of_table({name: claim_of(lambda _: ABOVE) for name in ("X1", "X2")})
    assert list(table["verdict"]) == ["holds", "fails", "not run"]
    assert table.loc[0, ["value", "low", "high", "n"]].tolist() == [1.5, 1.2, 1.8, 5]
    assert list(table["published"]) == ["1.2", "", "0.5"]


def test_claim_is_judged_in_its_profiles_alone():
    claim = claim_of(lambda _: ABOVE, profiles=("paper",))
    assert of_table({"X1": claim}, profile="quick").loc[0, "verdict"] == "not run"
    assert of_table({"X1": claim}, profile="paper").loc[0, "verdict"] == "holds"


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


ABOVE = Measurement(1.5, 1.2, 1.8, 5)
SILENT = Measurement(1.5, 1.2, 1.8, 5, undecidable="the paper names no test")
NOT_RUN = "runs that were not made could still decide it"


@pytest.mark.parametrize(
    ("measured", "untestable", "verdict", "direction", "reason"),
    [
        (Measurement(1, 0.5, 2, 5), "", "open", "open", "the interval contains the threshold"),
        (Measurement(1.5, 1.2, 1.8, 2), "", "open", "open", "fewer than 3 seeds"),
        (Measurement(0.5, 0.2, float("inf"), 5), "", "open", "open", NOT_RUN),
        (Measurement(1, 0, 2, 5, unrun=True), "", "open", "open", NOT_RUN),
        (SILENT, "", "undecidable", "holds", "the paper names no test"),
        (ABOVE, "no such data", "not testable", "holds", "no such data"),
    ],
)
def test_claim_that_is_not_decided_says_why(measured, untestable, verdict, direction, reason):
    row = of_table({"X1": claim_of(lambda _: measured, untestable=untestable)}).iloc[0]
    assert (row["verdict"], row["direction"], row["reason"]) == (verdict, direction, reason)


def test_sentence_begins_with_the_verdict_and_says_what_was_measured():
    claim = claim_of(lambda _: Measurement(-1.5, -2.0, -1.0, 5))
    assert of_table({"X2": claim}).loc[1, "sentence"] == "Holds: It is −1.50."
    assert set(of_table({})["sentence"]) == {"Not run."}


def test_scale_is_that_of_the_paper_profile():
    claim = claim_of(lambda _: ABOVE)
    scales = [of_table({"X1": claim}, profile=p).loc[0, "scale"] for p in ("paper", "smoke")]
    assert scales == ["smaller: two epochs", "toy: profile smoke"]


@pytest.mark.parametrize(
    ("measured", "written", "n"),
    [
        (Measurement(1.5, 1.2, 1.8, 5), "1.5 [1.2, 1.8]", "5"),
        (Measurement(0.25, 0.25, 0.25, None), "0.25", ""),
        (Measurement(98.98, 98.91, 99.05, 5), "98.98 [98.91, 99.05]", "5"),  # told from its ends
    ],
)
def test_a_claim_is_told_in_full_with_its_interval(measured, written, n):
    table = of_table({"X1": claim_of(lambda _: measured)})
    said = in_full(table.loc[0].to_dict(), ROWS.loc[0])
    assert (said["measured"], said["n"]) == (written, n)
    assert said["criterion"] == "slope: >= 1 (paper)" and said["statement"] == "links grow"


# readings


def with_readings(*judged):
    rows = pd.DataFrame({"reading": range(len(judged)), "verdict": judged})
    measured = Measurement(0.5, 0.4, 0.6, 5)
    return claim_of(lambda _: measured, ("a",), readings=lambda _: rows)


def test_verdict_says_in_how_many_readings_the_claim_holds():
    claim = with_readings("holds", "fails", "open")
    table = of_table({"X1": claim, "X2": claim_of(lambda _: None)})
    assert list(table["readings"]) == ["holds in 1 of 3 cases (1 open)", "", ""]
    found = in_full(table.loc[0].to_dict(), ROWS.loc[0])["found"]
    assert found == "Fails: It is 0.50. Holds in 1 of 3 cases (1 open)."


def test_readings_of_all_claims_are_listed_with_their_own_verdicts():
    claims = {
        "X1": with_readings("holds"),
        "X2": claim_of(lambda _: None, ("a",)),
        "Y1": with_readings("open", "holds"),
    }
    found = verdicts.readings(claims, lambda *_: [])
    assert list(found["verdict"]) == ["holds", "open", "holds"]
    assert verdicts.readings({"X2": claims["X2"]}, lambda *_: []).empty
    of_one = verdicts.readings(claims, lambda *_: [], ids=["Y1"])
    assert list(of_one["verdict"]) == ["open", "holds"]
