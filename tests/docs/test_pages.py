"""The generated tables of the pages, and where they are put."""

import re

import pandas as pd
import pytest
from pybtex.database import parse_file

from lib._boundary import ROOT
from lib.runs.record import Record
from papers.shared import trained
from papers.shared.sparse_training import SparseTraining
from tools import pages

KEY = re.compile(r"\[([A-Z][A-Za-z]+(?:19|20)\d\d[a-z]?)\]")
TEXT = "before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n"


def record(method, seed, accuracy, dataset="mnist"):
    run = SparseTraining("set_mlp", dataset=dataset, method=method, seed=seed, epochs=2)
    final = {"links": 100, "test_accuracy": accuracy}
    rows = {"epoch": [1, 2], "links": 100, "test_accuracy": [0.5, accuracy]}
    rows["valid_accuracy"] = float("nan")
    facts = {"architecture": "784-10", "final": final, "seconds": 1.0}
    return Record(run, pd.DataFrame(rows), {}, facts, numbers=trained.numbers)


def test_what_stands_between_the_comments_is_replaced():
    new = pages.replace_between(TEXT, "a", "new")
    assert new == TEXT.replace("old", "new")
    assert pages.replace_between(new, "a", "new") == new


@pytest.mark.parametrize("text", ["", "<!-- begin a -->", TEXT + TEXT], ids=["none", "one", "two"])
def test_text_without_its_comments_is_refused(text):
    with pytest.raises(ValueError, match="no comments <!-- begin a --> and <!-- end a -->"):
        pages.replace_between(text, "a", "new")


def test_table_as_markdown():
    table = pd.DataFrame({"method": ["SET", "|x|"], "n": [5, 3]})
    desired = "| method | n |\n|---|---|\n| SET | 5 |\n| \\|x\\| | 3 |"
    assert pages.as_markdown(table) == desired


def test_accuracies_have_a_row_a_method_and_a_column_a_data_set():
    records = [record("set", seed, 0.9) for seed in (0, 1)]
    records.append(record("dense", 0, 0.8))
    records.append(record("set", 0, 0.7, "cifar10"))
    table = pages.accuracies(records).set_index("method")
    assert list(table.index) == ["SET", "dense"]
    assert list(table.columns)[-2:] == ["MNIST", "CIFAR-10"]
    assert table.loc["SET", "MNIST"].endswith("(2)") and "90" in table.loc["SET", "MNIST"]
    assert pd.isna(table.loc["dense", "CIFAR-10"])


def test_update_writes_every_table_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "PAGES", ("one.md", "two.md"))
    monkeypatch.setattr(pages, "TABLES", {"a": lambda: "| table |", "b": lambda: "other"})
    shipped = []
    monkeypatch.setattr(pages.judged, "ship", lambda: shipped.append(1))
    for name in pages.PAGES:
        (tmp_path / name).write_text(TEXT)
    pages.update(tmp_path)
    assert shipped == [1]
    for name in pages.PAGES:
        assert (tmp_path / name).read_text() == TEXT.replace("old", "| table |")


def test_verdict_leads_to_the_notebook_that_judges_it():
    row = {"id": "S06", "statement": "links", "sentence": "Holds: yes.", "reason": "", "scale": ""}
    row |= {"readings": "", "value": 0.5, "low": 0.25, "high": 1.0, "n": 3}
    (written,) = pages.written_verdicts(pd.DataFrame([row])).to_dict("records")
    assert written["claim"] == "[S06](../notebooks/10_set_mlp.ipynb): links"
    assert written["what we found"] == "**Holds:** yes."


def test_readme_leads_to_every_paper():
    page = (ROOT / "docs" / "PAPERS.md").read_text()
    names = re.findall(r"^## (.*)$", page, re.MULTILINE)
    linked = re.findall(r"\[([^]]*)\]\(docs/PAPERS.md#", (ROOT / "README.md").read_text())
    assert [name.lower() for name in linked] == [name.lower() for name in names]


def entries() -> dict:
    return parse_file(pages.BIBLIOGRAPHY).entries


def test_every_reference_has_a_link_and_a_year():
    for entry in entries().values():
        assert pages.address(entry).startswith("https://") and entry.fields["year"].isdigit()


def test_reference_is_a_line_with_its_link():
    line = pages.cited(entries()["Watts1998"])
    title = "[*Collective dynamics of 'small-world' networks*](https://doi.org/10.1038/30918)"
    assert line == f"Watts, Strogatz, {title}, Nature 393, 1998"


def test_every_key_that_is_cited_has_a_reference():
    cited = set()
    for folder, pattern in (("lib", "**/*.py"), ("notebooks", "*.ipynb"), ("docs", "*.md")):
        for path in (ROOT / folder).glob(pattern):
            cited |= set(KEY.findall(path.read_text()))
    cited.discard("Key2018")  # any of them
    assert len(cited) > 30 and cited <= set(entries())
