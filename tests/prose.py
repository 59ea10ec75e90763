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
:data:`CITED` say nothing that was measured, but for core-hours, which are rough and differ from
machine to machine.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache, cached_property
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
    r"\[(?:notebooks? )?\d\d\]\([^)]*\)",
    r"(?m)^\d+\. ",
    r"!?\[(?P<words>[^\]]*)\]\([^)]*\)",
)
TABLE = r"(?m)^\|[^\n]*\|[ \t]*$"
GENERATED = r"<!-- begin [^\n]*-->.*?<!-- end [^\n]*-->"
HEADING = r"(?m)^(?=#+ )"
LINKED = r"notebooks/(\w+)\.ipynb"
SENTENCE = r"(?<=[.:?!])(?:\*\*)?\s+(?=\W*[A-Z\d])"
NUMBER = r"(?<![\w.,])(?<!\w[−-])[−-]?\d[\d,]*(?:\.\d+)?(?![\w])"
CITED = (
    r"(?:Figs?\.|Tables?|Eqs?\.) \d+|95 % (?:t−)?intervals?\b|[Pp]ixels go from 0 to 1\b"
    r"|\d+ core−hours?\b"
)
INTERVAL = rf"({NUMBER})[^|\d]*\|? *\[({NUMBER}), ({NUMBER})\]"  # a mean and its interval
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
    "dense, RigL's working widths": "dense(,| of) RigL's working widths",
    "chosen": "chosen|each tuned",
    "tuned": "tuned|one weight decay",
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


class Groups(Shown):
    """Groups of rows: rows of mean, ends of its 95 % interval, and number of seeds."""

    def __init__(self, section, rows, levels):
        values = rows[:, :3].T.ravel()
        levels = {level: np.tile(np.array(of, object), 3) for level, of in levels.items()}
        super().__init__(section, values, np.full(len(values), EXACT), levels)
        self.rows = rows

    def named_groups(self, *context: str) -> dict[str, np.ndarray]:
        return {level: mask[: len(self.rows)] for level, mask in self.named(context).items()}

    def of(self, sides: list[str], context: tuple[str, ...]) -> np.ndarray:
        """Rows of the groups that a row of a page names, or of what a first side is ahead by, where
        the groups are differences.
        """
        first, *others = (self.named_groups(side) for side in sides)
        if any(others) and not first:
            return self.rows[:0]
        masks = (self.named_groups(*context) | first).values()
        return self.rows[np.all([*masks, np.ones(len(self.rows), bool)], axis=0)]


class Pairs(Shown):
    """Differences of two groups. Those that differ in one level count for a number, where a text
    names either of them.
    """

    def __init__(self, section, groups, first, second, n_levels, rows):
        turned = rows * [-1, -1, -1, 1]  # either may be subtracted
        rows = np.concatenate([rows, turned[:, [0, 2, 1, 3]]])
        values = rows[:, :3].T.ravel()
        super().__init__(section, values, np.full(len(values), EXACT), {})
        self.groups, self.rows, self.n_levels = groups, rows, np.tile(n_levels, 2)
        self.first, self.second = np.append(first, second), np.append(second, first)

    def fitting(self, context):
        fits = np.ones(len(self.rows), bool)
        for mask in self.groups.named_groups(*context).values():
            fits &= mask[self.first] | mask[self.second]
        return np.tile(fits & (self.n_levels <= 1), 3)

    def of(self, sides, context):
        """Rows of the differences between two sides that a row of a page names."""
        if len(sides) != 2:
            return self.rows[:0]
        first, second = (self.groups.named_groups(side) for side in sides)
        fits = np.ones(len(self.rows), bool)
        for level, mask in self.groups.named_groups(*context).items():
            if level in first or level not in second:
                fits &= first.get(level, mask)[self.first]
            if level in second or level not in first:
                fits &= second.get(level, mask)[self.second]
        return self.rows[fits]


def named_in(text: str, names: tuple[str, ...]) -> list[str]:
    """Those that the text has, the longest first, each place of the text counted once."""
    found = []
    for name in sorted(names, key=len, reverse=True):
        words = WORDS.get(name, re.escape(name.replace("-", "−")))  # the sign of a text
        pattern = rf"(?<!\w)(?:{words})(?!\w)"
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
        begin, head = 0, ""
        for part, section in zip(self.parts, self.sections, strict=True):
            head = (head or part) if part.startswith("|") else ""
            place, before = begin, (head,) if head else ()
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
    def experiments(self) -> list[str]:
        return notebooks.needed(ROOT / "notebooks" / f"{self.name}.ipynb")

    @cached_property
    def settings(self) -> set[tuple[str, float]]:
        """Names and values: of the runs and of the code."""
        found = set()
        for experiment in self.experiments:
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
                sentence = said.context[0]
                if sentence.startswith("|"):  # a row, whose head says what it is about
                    sentence += said.context[-1]
                if re.search(rf"(?<!\w)(?:{words})(?!\w)", sentence, re.IGNORECASE):
                    return True
        return False


class Section(Prose):
    """A section of a page up to its next heading, the heading's words included, as one text. Its
    notebooks, those that it links, show numbers for it. A row of a table that has a mean, its
    interval and the number of seeds is that of one group of rows, or of one difference.

    Args:
        page: its path from the root.
        heading: how the heading begins, after its signs: "3." or "Limits". What it begins with is
            no text if it is a number.
    """

    def __init__(self, page: str, heading: str):
        (found,) = (text for title, text in sections(page) if title.startswith(heading))
        text = re.sub(r"^#+ (\d+\.)?", "", found)
        self.notebooks = [of_notebook(name) for name in sorted({*re.findall(LINKED, text)})]
        parts = paragraphs(re.sub(TABLE, r"\n\g<0>\n", text), (GENERATED, *LEFT_OUT))
        self.sections = [-1] * len(parts)
        self._begin(parts)
        self._tick_off_rows()

    @cached_property
    def shown(self):
        names = {name for notebook in self.notebooks for name in notebook.experiments}
        of_notebooks = (table for notebook in self.notebooks for table in notebook.shown)
        return [*accuracies(sorted(names)), *of_notebooks]

    @cached_property
    def settings(self):
        return {pair for notebook in self.notebooks for pair in notebook.settings}

    def shows(self, said):
        """Also what the text of a notebook says, of two digits with the next word: another test has
        each number of that. What stands behind the words of a row counts as a whole alone.
        """
        sentence = said.context[0]
        if sentence.startswith("|") and said.written not in re.split(INTERVAL, sentence)[0]:
            return False
        n_digits = len(re.sub(r"\D", "", said.written))
        phrase = rf"(?<![\w.,])(?<!\w−){re.escape(said.written)}(?: %)?"
        phrases = re.findall(phrase if n_digits > 2 else rf"{phrase} \w+", sentence)
        texts = [notebook.text for notebook in self.notebooks] if n_digits > 1 else []
        is_said = any(phrase in text for phrase in phrases for text in texts)
        return is_said or super().shows(said)

    def _tick_off_rows(self):
        """All that stands behind the words of a row, where that is published."""
        head = ""
        for part in self.parts:
            head = (head or part) if part.startswith("|") else ""
            found = [*re.finditer(INTERVAL, part)] if head else []
            if found:
                context = part[: found[0].start()], head
                cells = (text.split("|")[1] for text in context)
                sides = next((cell.split(" − ") for cell in cells if " − " in cell), [""])
                n = int(re.findall(r"\| (\d+) (?=\|)", part)[-1])
                if all(self._is_published(one.groups(), n, sides, context) for one in found):
                    place = self.text.index(part)
                    begin, end = place + found[0].start(), place + len(part)
                    self.left = self.left[:begin] + " " * (end - begin) + self.left[end:]

    def _is_published(self, written, n, sides, context):
        """Whether one group or difference has this mean and interval."""
        wanted, digits = np.array([read(number) for number in written]).T
        for table in self.shown:
            if isinstance(table, Groups | Pairs):
                rows = table.of(sides, context)
                values = rows[rows[:, 3] == n, :3]
                for scale in (1, 100):
                    near = np.abs(scale * values - wanted) <= 0.501 * 10.0**-digits
                    if near.all(axis=1).any():
                        return True
        return False


@cache
def of_notebook(name: str) -> Prose:
    return Prose(name)


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
    if (summary := summarised(rows)) is not None:
        yield Groups(section, summary, levels.to_dict("list"))
    for name in measured:
        by = [*(levels[key] for key in levels), seeds]
        table = rows[name].groupby(by, sort=False).mean().unstack("seed").dropna(how="all")
        table = ends_of_curves(table, [key for key in keys if key in CURVES])
        index = table.index.to_frame()
        groups = Groups(section, with_intervals(table.to_numpy(float)), index.to_dict("list"))
        yield groups
        if 1 < len(table) <= LARGEST:
            yield pairs_of(groups, index.to_numpy(), table.to_numpy(float))


def summarised(rows: pd.DataFrame) -> np.ndarray | None:
    """Mean, ends of its interval and number of seeds of each row, where a table has these."""
    if {"value", "low", "high", "n"} <= {*rows}:
        return rows[["value", "low", "high", "n"]].to_numpy(float)
    if {"mean", "sd", "n"} <= {*rows}:
        n = rows["n"].clip(lower=2)
        half = stats.t.ppf(0.975, n - 1) * rows["sd"] / np.sqrt(n)
        ends = rows["mean"] - half, rows["mean"] + half
        return np.stack([rows["mean"], *ends, rows["n"]], axis=1)
    return None


def accuracies(experiments: list[str]) -> Iterator[Shown]:
    """Test accuracy of each network after its last epoch, percent."""
    keys, rows = ["experiment", "dataset", "method", "variant", "epochs"], []
    for record in (one for name in experiments for one in papers.STORE.of(name, "paper")):
        if "test_accuracy" in record.metrics and hasattr(record.config, "epochs"):
            labels_of = [label(key, getattr(record.config, key)) for key in keys]
            value = 100 * record.metrics["test_accuracy"].iloc[-1]
            rows.append([*labels_of, record.config.seed, value])
    if rows:
        rows = pd.DataFrame(rows, columns=[*keys, "seed", "value"])
        table = rows.pivot_table("value", keys, "seed")
        index, table = table.index.to_frame(), table.to_numpy(float)
        groups = Groups(0, with_intervals(table), index.to_dict("list"))
        yield from (groups, pairs_of(groups, index.to_numpy(), table))


def pairs_of(groups: Shown, names: np.ndarray, table: np.ndarray) -> Pairs:
    first, second = np.triu_indices(len(names), 1)
    n_levels = (names[first] != names[second]).sum(axis=1)
    with np.errstate(invalid="ignore"):  # where both are infinite
        rows = with_intervals(table[first] - table[second])
    return Pairs(groups.section, groups, first, second, n_levels, rows)


def with_intervals(table: np.ndarray) -> np.ndarray:
    """Of each row its mean, the ends of its 95 % interval (Student's t; the mean itself where there
    is one value), and how many values it has.
    """
    n = np.isfinite(table).sum(axis=1)
    frame = pd.DataFrame(table)
    half = stats.t.ppf(0.975, np.maximum(n - 1, 1)) * frame.std(axis=1) / np.sqrt(n)
    mean, half = frame.mean(axis=1).to_numpy(), half.fillna(0).to_numpy()
    return np.stack([mean, mean - half, mean + half, n], axis=1)


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
