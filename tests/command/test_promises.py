"""The page of promises lists the tests that keep them."""

import pytest

from lib.command import promises
from lib.paths import ROOT

LISTED = [
    {
        "topic": "a full disk",
        "promise": "It is said.",
        "test": "tests/a.py::b",
        "cases": 3,
        "long": False,
    },
    {
        "topic": "two writers",
        "promise": "One | waits.",
        "test": "tests/c.py::d",
        "cases": 1,
        "long": True,
    },
]


@pytest.mark.parametrize(
    ("name", "docstring", "desired"),
    [
        ("test_killed_run_goes_on", None, "Killed run goes on."),
        ("test_x", "It goes on.", "It goes on."),
        ("test_x", "It goes\n    on.\n\n    More.", "It goes on."),
    ],
)
def test_promise_is_the_docstring_or_the_name(name, docstring, desired):
    assert promises.promise(name, docstring) == desired


def test_table_has_a_row_a_promise_below_its_topic():
    text = promises.markdown(LISTED)
    assert text.startswith("2 promises, 4 cases, of which 1 belong to the long form alone.")
    assert text.index("### A full disk") < text.index("| It is said. | `tests/a.py::b` | 3 |")
    assert "| One \\| waits. | `tests/c.py::d` | 1, long form |" in text
    assert "### Stale locks" not in text


def test_page_names_tests_that_exist_and_sixty_cases_at_least():
    text = (ROOT / "docs" / "RELIABILITY.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if "`tests/" in line]
    assert sum(int(row[3].split(",")[0]) for row in rows) >= 60
    for row in rows:
        file, _, name = row[2].strip(" `").partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("topic", promises.TOPICS)
def test_every_topic_has_a_promise(topic):
    text = (ROOT / "docs" / "RELIABILITY.md").read_text(encoding="utf-8")
    assert f"### {topic[0].upper()}{topic[1:]}\n" in text
