"""The numbers in the text of notebook 00."""

import papers
from lib.command import notebooks
from tests.prose import Prose


def test_numbers_of_the_text_are_those_of_the_rooms():
    text = Prose("00_overview")
    of_papers = papers.PUBLISHED[~papers.is_ours(papers.PUBLISHED)]
    assert of_papers["paper"].nunique() == 5
    text.says("make {} claims that can be measured", len(of_papers))
    of_papers = [path for path in sorted(notebooks.find()) if "10" <= path.stem < "a"]
    assert all(map(notebooks.needed, of_papers))
    text.says("Notebooks {} to {} load stored results", *(of_papers[i].stem[:2] for i in (0, -1)))
    assert not text.uncovered()
