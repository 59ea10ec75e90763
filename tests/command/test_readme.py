"""The generated tables of the README, and where they are put."""

import pandas as pd
import pytest

from lib.command import readme
from lib.papers.shared import trained
from lib.papers.shared.sparse_training import SparseTraining
from lib.runs.record import Record

TEXT = "before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n"


def record(method, seed, accuracy, dataset="mnist"):
    run = SparseTraining("set_mlp", dataset=dataset, method=method, seed=seed, epochs=2)
    final = {"links": 100, "test_accuracy": accuracy}
    rows = {"epoch": [1, 2], "links": 100, "test_accuracy": [0.5, accuracy]}
    rows["valid_accuracy"] = float("nan")
    facts = {"architecture": "784-10", "final": final, "seconds": 1.0}
    return Record(run, pd.DataFrame(rows), {}, facts, numbers=trained.numbers)


def test_what_stands_between_the_comments_is_replaced():
    new = readme.replace_between(TEXT, "a", "new")
    assert new == TEXT.replace("old", "new")
    assert readme.replace_between(new, "a", "new") == new


@pytest.mark.parametrize("text", ["", "<!-- begin a -->", TEXT + TEXT], ids=["none", "one", "two"])
def test_text_without_its_comments_is_refused(text):
    with pytest.raises(ValueError, match="no comments <!-- begin a --> and <!-- end a -->"):
        readme.replace_between(text, "a", "new")


def test_table_as_markdown():
    table = pd.DataFrame({"method": ["SET", "dense"], "n": [5, 3]})
    desired = "| method | n |\n|---|---|\n| SET | 5 |\n| dense | 3 |"
    assert readme.as_markdown(table) == desired


def test_accuracies_have_a_row_a_method_and_a_column_a_data_set():
    records = [record("set", seed, 0.9) for seed in (0, 1)]
    records.append(record("dense", 0, 0.8))
    records.append(record("set", 0, 0.7, "cifar10"))
    table = readme.accuracies(records).set_index("method")
    assert list(table.index) == ["SET", "dense"]
    assert list(table.columns)[-2:] == ["MNIST", "CIFAR-10"]
    assert table.loc["SET", "MNIST"].endswith("(2)") and "90" in table.loc["SET", "MNIST"]
    assert pd.isna(table.loc["dense", "CIFAR-10"])


def test_update_writes_every_table_and_nothing_else(tmp_path, monkeypatch):
    page = tmp_path / "README.md"
    page.write_text(TEXT)
    monkeypatch.setattr(readme, "readme_tables", lambda: {"a": "| table |"})
    readme.update(page)
    assert page.read_text() == TEXT.replace("old", "| table |")
