"""The numbers in the text of a notebook, held against what the notebook shows.

A notebook shows what its cells print, the tables that they show, and the CSV files that they
publish in ``figures/paper``: of each group of rows the mean over seeds with its 95 % interval, and
the same of differences between two groups, paired by seed. Another test holds all these to the
records. Settings of the runs, and literals of the code, count where the sentence has their name.

Where a sentence, or one before it in the paragraph, names rows or columns of a table, no others
count. Evidence has to tell a number from its neighbours: if one unit more or less in the last digit
would be shown as well, the number is no evidence of anything, and needs a check of its own.

Links, formulas, code and folded tables are no text, nor are numbers that are part of a word, as in
"R03", or the number of a notebook that is linked. Places in a paper, as "Fig. 6", and the words of
:data:`CITED` say nothing that was measured.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache, cached_property
from itertools import combinations
from typing import NamedTuple

import nbformat
import numpy as np
import pandas as pd
from bs4 import BeautifulSoup
from scipy import stats

import papers
from lib._boundary import ROOT
from lib.command import notebooks
from lib.report import labels

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
SENTENCE = r"(?<=[.:?!])(?:\*\*)?\s+(?=\W*[A-Z\d])"
NUMBER = r"(?<![\w.,])(?<!\w[−-])[−-]?\d[\d,]*(?:\.\d+)?(?![\w])"
CITED = r"(?:Figs?\.|Tables?|Eqs?\.) \d+|95 % (?:t−)?intervals?\b|[Pp]ixels go from 0 to 1\b"
OUTPUT = r"(?<![\w.])[−-]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?(?!\w)"
SPREAD = r"± [\d.]+|\(\d+\)\s*$"  # standard deviation and number of seeds
EXACT = 9  # digits after the point of what is not rounded
MEASURED = ("value", "mean", "low", "high", "accuracy", "ratio", "median_ms", "p", "p_holm")
NO_GROUP = {"seed", "draw", "base", "n", "sd", "run", "image", "row", "column", "learning_rate"}
CURVES = ("epoch", "evaluations", "step")
LARGEST = 100
NEIGHBOURS = (-2, -1, 1, 2)  # groups of which all pairs are compared
WORDS = {  # of labels and settings, where the text has others
    "fixed random support": "fixed",
    "small dense, equal links": "small dense",
    "SET, random drop": "random drops?",
    "SET's links retrained": "retrained",
    "same, rewired": "rewired",
    "dense, pruned": "pruned",
    "hidden": "units|neurons|layers?",
    "cd_steps": "sweeps?",
    "density": "links",
    "radii": "radius|pixel",
    "radius": "radius|pixel",
    "weight_decay": "decay",
    "learning_rate": "rate",
}


class Said(NamedTuple):
    """A number of a text: as written, its section, and its sentence with those before it, nearest
    first.
    """

    written: str
    section: int
    context: tuple[str, ...]
    is_percent: bool

    @property
    def unit(self) -> float:
        """One in the last digit."""
        return 10.0 ** -read(self.written)[1]


class Shown:
    """Values of a table, an array each of values, digits after the point, and labels by level."""

    def __init__(self, section, values, digits, levels):
        self.section, self.values, self.digits = section, np.array(values), np.array(digits)
        self.masks = {}
        for level, of_values in levels.items():
            of_values = np.array(of_values, dtype=object)
            if len(names := {str(name) for name in of_values} - {""}) > 1:
                self.masks[level] = {name: of_values == name for name in names}

    def named(self, context: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Of each level that the context names labels of, which values have one of these."""
        found = {}
        for level, masks in self.masks.items():
            for text in context:
                if masks_of_text := [masks[name] for name in named_in(text, tuple(masks))]:
                    found[level] = np.any(masks_of_text, axis=0)
                    break
        return found

    def fitting(self, context: tuple[str, ...]) -> np.ndarray:
        masks = self.named(context).values()
        return np.all([*masks, np.ones(len(self.values), bool)], axis=0)


class Pairs(Shown):
    """Differences of two groups that differ in one level, named by either of them."""

    def __init__(self, section, groups, first, second, values):
        super().__init__(section, values, np.full(len(values), EXACT), {})
        self.groups, self.first, self.second = groups, first, second

    def fitting(self, context):
        fits = np.ones(len(self.values), bool)
        for mask in self.groups.named(context).values():
            fits &= mask[self.first] | mask[self.second]
        return fits


def named_in(text: str, names: tuple[str, ...]) -> list[str]:
    """Those that the text has, the longest first, each place of the text counted once."""
    found = []
    for name in sorted(names, key=len, reverse=True):
        pattern = rf"(?<!\w)(?:{WORDS.get(name, re.escape(name))})(?!\w)"
        text, n = re.subn(pattern, " ", text, flags=re.IGNORECASE)
        found += [name] * bool(n)
    return found


def read(written: str) -> tuple[float, int]:
    """A number and how many digits it has after the point."""
    plain_number = written.replace("−", "-").replace(",", "")
    mantissa, _, exponent = plain_number.partition("e")
    return float(plain_number), len(mantissa.partition(".")[2]) - int(exponent or 0)


class Prose:
    """The markdown of a notebook as one text, in which numbers are ticked off.

    Args:
        notebook: its name without the ending.
    """

    def __init__(self, notebook: str):
        self.name = notebook
        self.cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", 4).cells
        self.sections, parts = [], []
        for cell in self.cells:
            section = self.sections[-1] if self.sections else 0
            if cell.cell_type == "markdown":
                for part in re.split(HEADING, cell.source):
                    section += part.startswith("#")
                    for paragraph in paragraphs(part, (*LEFT_OUT, TABLE)):
                        parts.append(paragraph)
                        self.sections.append(section)
        self._begin(parts)

    def _begin(self, parts: list[str]) -> None:
        self.parts, self.text = parts, " ".join(parts)
        self.left = self.text

    def says(self, words: str, *values: object) -> None:
        """Assert that the text has these words, with the values formatted into them."""
        filled = (words.format(*values) if values else words).replace("-", "−")
        assert filled in self.text, f"the text does not say {filled!r}"
        self.left = self.left.replace(filled, " " * len(filled))

    def uncovered(self) -> list[str]:
        """Every number that no statement covers and the notebook does not show, with the words
        around it.
        """
        found = []
        for start, end, said in self.numbers():
            if self.left[start:end] == said.written and not self.shows(said):
                found.append(self.text[max(0, start - 30) : end + 30].strip())
        return found

    def numbers(self) -> Iterator[tuple[int, int, Said]]:
        """With their places in the text."""
        begin = 0
        for part, section in zip(self.parts, self.sections, strict=True):
            place, before = begin, ()
            cited = [range(*match.span()) for match in re.finditer(CITED, part)]
            for sentence in re.split(f"({SENTENCE})", part):
                before = (sentence, *before) if sentence.strip() else before
                for match in re.finditer(NUMBER, sentence):
                    if any(place - begin + match.start() in span for span in cited):
                        continue
                    is_percent = sentence[match.end() :].lstrip().startswith("%")
                    said = Said(match[0], section, before, is_percent)
                    yield place + match.start(), place + match.end(), said
                place += len(sentence)
            begin += len(part) + 1

    @cached_property
    def shown(self) -> list[Shown]:
        """What outputs and published tables have."""
        section, found = 0, []
        for cell in self.cells:
            if cell.cell_type == "markdown":
                section += len(re.findall(HEADING, cell.source))
                continue
            for output in cell.outputs:
                data = output.get("data", {"text/plain": output.get("text", "")})
                if "text/html" in data:
                    found += tables_of(data["text/html"], section)
                elif "image/png" not in data:
                    found += [printed(data.get("text/plain", ""), section)]
            for path in sorted((ROOT / "figures" / "paper" / self.name).glob("*.csv")):
                if "report.publish" in cell.source and f'"{path.stem}"' in cell.source:
                    found += published(pd.read_csv(path, low_memory=False), section)
        return found

    @cached_property
    def settings(self) -> set[tuple[str, float]]:
        """Names and values: of the runs and of the code."""
        found = set()
        for experiment in notebooks.needed(ROOT / "notebooks" / f"{self.name}.ipynb"):
            for run in papers.EXPERIMENTS[experiment].runs("paper"):
                while run is not None:
                    found |= {pair for field in vars(run).items() for pair in numeric(*field)}
                    run = getattr(run, "parent", None)
        for cell in self.cells:
            if cell.cell_type == "code":
                found |= literals(cell.source)
        return found

    def shows(self, said: Said, value: float | None = None) -> bool:
        """Whether an output, a published table or a setting has the number, or another value."""
        value = read(said.written)[0] if value is None else value
        return self._is_setting(said, value) or any(
            reads_as(said, value, *chosen)
            and sum(reads_as(said, value + n * said.unit, *chosen) for n in NEIGHBOURS) <= most
            for chosen, most in self._evidence(said.section, said.context)
        )

    @cache  # noqa: B019
    def _evidence(self, section, context):
        """Values and digits of the cells of its section, differences there, and cells elsewhere;
        with how many neighbours of a number each may show.
        """
        scopes = ([], 2), ([], 0), ([], 1)
        for table in self.shown:
            near, is_pairs = table.section == section, isinstance(table, Pairs)
            if near or not is_pairs:
                fits = table.fitting(context)
                scopes[1 if is_pairs else 2 * (not near)][0].append(
                    (table.values[fits], table.digits[fits])
                )
        empty = np.empty(0), np.empty(0)
        return [
            ([np.concatenate(column) for column in zip(empty, *found, strict=True)], most)
            for found, most in scopes
        ]

    def _is_setting(self, said, value):
        for name, setting in self.settings:
            if abs(setting * (100 if said.is_percent else 1) - value) < 1e-9:
                words = WORDS.get(name, name.replace("_", " ").rstrip("s") + "s?")
                if re.search(rf"(?<!\w)(?:{words})(?!\w)", said.context[0], re.IGNORECASE):
                    return True
        return False


class Section(Prose):
    """A section of a page up to its next heading, the heading's words included, as one text.

    Args:
        page: its path from the root.
        heading: how the heading begins, after its signs: "3." or "Limits". What it begins with is
            no text if it is a number.
    """

    def __init__(self, page: str, heading: str):
        (found,) = (text for title, text in sections(page) if title.startswith(heading))
        text = re.sub(r"^#+ (\d+\.)?", "", found)
        parts = paragraphs(text, (GENERATED, *LEFT_OUT))
        self.sections = [0] * len(parts)
        self._begin(parts)

    def shows(self, said):
        """Nothing: each number of a page has a check of its own."""
        return False


def sections(page: str) -> list[tuple[str, str]]:
    """The headings of a page without their signs, each with its section, heading included."""
    parts = re.split(HEADING, (ROOT / page).read_text(encoding="utf-8"))
    return [(part.split("\n")[0].lstrip("# "), part) for part in parts if part.strip()]


def reads_as(said: Said, value: float, values: np.ndarray, digits: np.ndarray) -> bool:
    """Whether one of the values is this one, rounded as the text does: itself, or in percent."""
    wanted = read(said.written)[1]
    for scale, shift in ((1, 0), (100, 2)):
        known = digits - shift
        usable = (known >= wanted) & ((scale == 1) | (np.abs(values) <= 1.5))
        found = values[usable] * scale
        if "−" not in said.written:
            found = np.abs(found)
        unsure = np.where(known > wanted, 0.5 * 10.0**-known, 0)[usable]
        if np.any(np.abs(found - value) <= 0.5 * said.unit + unsure + 1e-9):
            return True
    return False


def paragraphs(markdown: str, left_out: tuple[str, ...]) -> list[str]:
    """The text without what is left out, each paragraph on one line; of a link its words stay."""
    for pattern in left_out:
        markdown = re.sub(
            pattern,
            lambda match: match.groupdict().get("words") or " ",
            markdown,
            flags=re.DOTALL,
        )
    found = [re.sub(r"\s+", " ", part).strip() for part in re.split(r"\n\s*\n", markdown)]
    return [part.replace("-", "−") for part in found if part]  # one sign for both


def printed(text: str, section: int) -> Shown:
    pairs = [read(number) for number in re.findall(OUTPUT, text)]
    return Shown(section, [v for v, _ in pairs], [d for _, d in pairs], {})


def tables_of(html: str, section: int) -> Iterator[Shown]:
    """Its tables, and the numbers between them. Words of a row, and the heads of a column, are
    labels of each number there.
    """
    page = BeautifulSoup(html, "html.parser")
    for table in page.find_all("table"):
        grid = grid_of(table)
        heads = [row for row in grid if all(is_head for _, is_head in row)]
        values, digits, rows = [], [], []
        for row in (row for row in grid if row not in heads):
            words = {k: x for k, (x, is_head) in enumerate(row) if is_head or not has_digit(x)}
            for k, (text, _) in enumerate(row):
                columns = {f"head {n}": head[k][0] for n, head in enumerate(heads) if k < len(head)}
                for number in re.findall(OUTPUT, re.sub(SPREAD, "", text)):
                    value, digit = read(number)
                    values.append(value), digits.append(digit), rows.append(words | columns)
        levels = {level for row in rows for level in row}
        by_level = {level: [row.get(level, "") for row in rows] for level in levels}
        yield Shown(section, values, digits, by_level)
        table.decompose()
    yield printed(page.get_text(), section)


def grid_of(table) -> list[list[tuple[str, bool]]]:
    """Text of each place of a table and whether it is a head; spans are filled."""
    grid, spanning = [], {}
    for row in table.find_all("tr"):
        line, cells = [], row.find_all(["th", "td"])
        while cells or len(line) in spanning:
            if len(line) in spanning:
                filled, left = spanning.pop(len(line))
                if left > 1:
                    spanning[len(line)] = filled, left - 1
                line.append(filled)
                continue
            cell = cells.pop(0)
            filled = cell.get_text().strip(), cell.name == "th"
            for _ in range(int(cell.get("colspan", 1))):
                if (rows := int(cell.get("rowspan", 1))) > 1:
                    spanning[len(line)] = filled, rows - 1
                line.append(filled)
        grid.append(line)
    return grid


def published(rows: pd.DataFrame, section: int) -> Iterator[Shown]:
    """Means, and ends of their intervals, of groups of rows, and the same of pairs of groups."""
    numeric_ones = rows.select_dtypes("number").columns
    measured = [name for name in MEASURED if name in numeric_ones]
    measured = measured or [name for name in numeric_ones if name not in NO_GROUP]
    keys = [name for name in rows if name not in {*measured, *NO_GROUP}]
    keys = [name for name in keys if 1 < rows[name].nunique(dropna=False) <= 60 or name in CURVES]
    levels = pd.DataFrame({"all": "all"}, rows.index)
    for key in keys:
        levels[key] = [label(key, name) for name in rows[key]]
    seeds = rows["seed"] if "seed" in rows else pd.Series(0, rows.index, name="seed")
    for name in measured:
        by = [*(levels[key] for key in levels), seeds]
        table = rows[name].groupby(by, sort=False).mean().unstack("seed").dropna(how="all")
        table = ends_of_curves(table, [key for key in keys if key in CURVES])
        index = table.index.to_frame()
        means, half = mean_and_half(table.to_numpy(float))
        values = np.concatenate([means, means - half, means + half])
        of_values = {key: np.tile(index[key].to_numpy(object), 3) for key in index}
        groups = Shown(section, means, np.full(len(means), EXACT), index.to_dict("list"))
        yield Shown(section, values, np.full(len(values), EXACT), of_values)
        if 1 < len(table) <= LARGEST:
            yield pairs_of(groups, index.to_numpy(), table.to_numpy(float))


def pairs_of(groups: Shown, names: np.ndarray, table: np.ndarray) -> Pairs:
    first, second = np.array([*combinations(range(len(names)), 2)]).T
    differ = (names[first] != names[second]).sum(axis=1) <= 1
    first, second = first[differ], second[differ]
    means, half = mean_and_half(table[first] - table[second])
    values = np.concatenate([means, means - half, means + half])
    values = np.concatenate([values, -values])  # either may be subtracted
    return Pairs(groups.section, groups, np.tile(first, 6), np.tile(second, 6), values)


def mean_and_half(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of rows, and half of their 95 % intervals (Student's t), 0 where there is one value."""
    n = np.isfinite(table).sum(axis=1)
    frame = pd.DataFrame(table)
    half = stats.t.ppf(0.975, np.maximum(n - 1, 1)) * frame.std(axis=1) / np.sqrt(n)
    return frame.mean(axis=1).to_numpy(), half.fillna(0).to_numpy()


def ends_of_curves(table: pd.DataFrame, along: list[str]) -> pd.DataFrame:
    """Of curves their first, last, lowest and highest points alone."""
    others = [name for name in table.index.names if name not in along]
    if not along:
        return table
    kept = []
    for _, curve in table.groupby(level=others, sort=False):
        mean = curve.mean(axis=1).to_numpy()
        kept.append(curve.iloc[sorted({0, len(curve) - 1, mean.argmin(), mean.argmax()})])
    return pd.concat(kept)


def label(column: str, name: object) -> str:
    """As pictures and texts have it."""
    if column == "dataset" and name in labels.DATASET_NAMES:
        return labels.dataset(str(name))
    if column in ("method", "rival", "rule"):
        return labels.method_name(str(name))
    return f"{name:g}" if isinstance(name, float) else str(name)


def has_digit(text: str) -> bool:
    return re.search(r"\d", text) is not None


def numeric(name: str, value: object) -> list[tuple[str, float]]:
    values = value if isinstance(value, tuple) else (value,)
    return [(name, float(x)) for x in values if type(x) in (int, float)]


def literals(code: str) -> set[tuple[str, float]]:
    """Numbers of a cell with the name that each is given or compared with, in queries too."""
    found = {(name, float(x)) for name, x in re.findall(r"(\w+) *[=<>]+ *(\d[\d.]*)\b", code)}
    for node in ast.walk(ast.parse(code)):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.keyword(arg=str(name), value=value)
            ):
                constants = [one.value for one in ast.walk(value) if isinstance(one, ast.Constant)]
                found.update(numeric(name, tuple(constants)))
    return found
