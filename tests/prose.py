"""The numbers in the text of a notebook or page, held against what the records say.

A test computes each number anew and says the words that state it; a number of the text that no
statement covers is named. Links, formulas, code and folded tables are no text, nor are numbers that
are part of a word, as in "R03", or the number of a notebook that is linked. Piped tables are text
on a page, but not in a notebook.
"""

import re

import nbformat

from lib._boundary import ROOT

LEFT_OUT = (
    r"<details>.*?</details>",
    r"```.*?```",
    r"\$\$.*?\$\$",
    r"\$[^$]*\$",
    r"`[^`]*`",
    r"\[notebooks? \d\d\]\([^)]*\)",
    r"!?\[(?P<words>[^\]]*)\]\([^)]*\)",
)
TABLE = r"(?m)^\|[^\n]*\|[ \t]*$"
GENERATED = r"<!-- begin [^\n]*-->.*?<!-- end [^\n]*-->"
HEADING = r"(?m)^(?=#+ )"
NUMBER = r"(?<![\w.,])(?<!\w[−-])[−-]?\d[\d,]*(?:\.\d+)?(?![\w])"


class Prose:
    """The markdown of a notebook as one text, in which statements are ticked off.

    Args:
        notebook: its name without the ending.
    """

    def __init__(self, notebook: str):
        cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", 4).cells
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
        self._begin("\n\n".join(texts), (*LEFT_OUT, TABLE))

    def _begin(self, markdown: str, left_out: tuple[str, ...]) -> None:
        self.text = plain(markdown, left_out).replace("-", "−")  # one sign for both
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


class Section(Prose):
    """A section of a page up to its next heading, the heading's words included, as one text.

    Args:
        page: its path from the root.
        heading: how the heading begins, after its signs: "3." or "Limits". What it begins with is
            no text if it is a number.
    """

    def __init__(self, page: str, heading: str):
        (found,) = (text for title, text in sections(page) if title.startswith(heading))
        self._begin(re.sub(r"^#+ (\d+\.)?", "", found), (GENERATED, *LEFT_OUT))


def sections(page: str) -> list[tuple[str, str]]:
    """The headings of a page without their signs, each with its section, heading included."""
    parts = re.split(HEADING, (ROOT / page).read_text(encoding="utf-8"))
    return [(part.split("\n")[0].lstrip("# "), part) for part in parts if part.strip()]


def plain(markdown: str, left_out: tuple[str, ...]) -> str:
    """The text without what is left out, on one line; of a link its words stay."""
    for pattern in left_out:
        markdown = re.sub(
            pattern,
            lambda match: match.groupdict().get("words") or " ",
            markdown,
            flags=re.DOTALL,
        )
    return re.sub(r"\s+", " ", markdown)
