"""What the quickstart says is what its stored table says; nbval compares that with a new run."""

import re

import nbformat

from lib import data
from lib._boundary import ROOT
from tests.prose import Prose


def ends():
    """{network: (links, test accuracy)} at the end."""
    cells = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", 4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    texts = [output["data"]["text/plain"] for output in outputs if "data" in output]
    (table,) = (text for text in texts if "test_accuracy" in text)
    found = re.findall(r"^(d.*\S)\s+(\d+)\s+(0\.\d+)$", table, re.MULTILINE)
    return {name: (int(links), float(accuracy)) for name, links, accuracy in found}


def test_words_are_those_of_the_table():
    text = Prose("quickstart")
    found = ends()
    dense_links, dense = found.pop("dense")
    stay_links, stay = found.pop("drop fraction 0")
    accuracies = [accuracy for _, accuracy in found.values()]
    assert {links for links, _ in found.values()} == {stay_links} and len(found) == 3
    assert min(accuracies) > stay
    assert dense - 0.025 < min(accuracies) and 11.5 < dense_links / stay_links < 12
    split = data.load("digits")
    assert 200 < len(split.x_test) < 500 and split.n_features == 8 * 8
    text.says("images of 8 × 8 pixels")
    text.says("in some 20 s on one core")
    text.says("A layer has 48 links")
    text.says("two hidden layers of 200 neurons")
    assert not text.uncovered()
