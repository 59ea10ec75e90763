"""The numbers in the text of a notebook, held against what the records say.

A test computes each number anew and says the words that state it; a number of the text that no
statement covers is named. Links, formulas, code and folded or piped tables are no text, nor are
numbers that are part of a word, as in "R03", or the number of a notebook that is linked.
"""

import re

import nbformat

from lib.paths import ROOT

LEFT_OUT = (
    r"<details>.*?</details>",
    r"```.*?```",
    r"\$\$.*?\$\$",
    r"\$[^$]*\$",
    r"`[^`]*`",
    r"\[notebooks? \d\d\]\([^)]*\)",
    r"!?\[(?P<words>[^\]]*)\]\([^)]*\)",
    r"(?m)^\|[^\n]*\|[ \t]*$",
)
NUMBER = r"(?<![\w.,])(?<!\w[−-])[−-]?\d[\d,]*(?:\.\d+)?(?![\w])"


class Prose:
    """The markdown of a notebook as one text, in which statements are ticked off.

    Args:
        notebook: its name without the ending.
    """

    def __init__(self, notebook: str):
        cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", 4).cells
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
        self.text = plain("\n\n".join(texts)).replace("-", "−")  # one sign for both
        self.left = self.text

    def says(self, words: str, *values: object) -> None:
        """Assert that the text has these words, with the values formatted into them."""
        filled = (words.format(*values) if values else words).replace("-", "−")
        assert filled in self.text, f"the text does not say {filled!r}"
        self.left = self.left.replace(filled, " ")

    def uncovered(self) -> list[str]:
        """Every number that no statement covers, with the words around it."""
        found = []
        for match in re.finditer(NUMBER, self.left):
            start, end = max(0, match.start() - 30), match.end() + 30
            found.append(self.left[start:end].strip())
        return found


def plain(markdown: str) -> str:
    """The text without what is left out, on one line; of a link its words stay."""
    for pattern in LEFT_OUT:
        markdown = re.sub(
            pattern,
            lambda match: match.groupdict().get("words") or " ",
            markdown,
            flags=re.DOTALL,
        )
    return re.sub(r"\s+", " ", markdown)
