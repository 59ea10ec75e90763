"""Seaborn in the companion's looks: what a notebook draws and writes of a tidy frame."""

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryLocator
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype

from lib.report import frames, labels, layout
from lib.report.intervals import family_level, t_interval
from lib.report.tables import WRITTEN, mean_sd, minus, named

LINES = {"kind": "line", "errorbar": "sd", "err_kws": {"alpha": 0.15, "lw": 0}}
POINTS = {"kind": "point", "linestyle": "none", "markersize": 5, "err_kws": {"lw": 1.4}}
LINES_HIGH = 2.5  # inches, of a panel of lines
ROW = 0.3  # inches, of a row of points
OF_SEABORN = ("alpha", "aspect")  # options that axes have too, with another meaning
APART = 0.1  # inches on either side of a panel, so that ticks of neighbours do not touch
NAME = 0.165  # inches, of a name at the end of a curve
GREYS = ["#222222", "#999999"]  # of what is no method: from the last to the first
FEW, MORE = 4, 6  # intervals between ticks, where panels are many or few
TEXT = 9  # points; nothing that is read is smaller
SIZES = dict.fromkeys(["xtick.labelsize", "ytick.labelsize", "legend.fontsize"], TEXT)
SIZES |= {"axes.labelsize": 9.5, "axes.titlesize": 10}
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
DASHES = {"-": "", ":": (1, 1), "--": (4, 1.5), "-.": (3, 1, 1, 1)}
PLAIN = ticker.FuncFormatter(lambda x, _: minus(layout.plain(x)))
PERCENT = ticker.FuncFormatter(lambda x, _: minus(f"{100 * x:.5g} %"))


def draw(plot: Callable, data: pd.DataFrame, title: str, below: str = "", **options: Any) -> Figure:
    """A figure of seaborn in our style, 9 inches wide. Data sets, methods and networks are written
    as people read them; a method has its colour and dashes, and its name at the end of its curve.

    Lines are means over seeds with a band of ± sd, points means with their 95 % t-interval. Below
    the title stand the number of seeds and what band or bar is.

    Args:
        plot: seaborn's figure-level function: relplot, catplot or displot.
        data: what is drawn; without rows the picture says that nothing was run.
        title, below: see :func:`lib.report.layout.head`.
        options: of seaborn, others of :meth:`matplotlib.axes.Axes.set`. Ours: ``percent``, "x",
            "y" or "xy", fractions are written as percent there; ``write``, the format of a mean
            that stands above each point; ``zero``, mark it on the horizontal axis; ``family``, how
            many intervals of points hold together; ``ends=False``, a legend in place of names at
            the ends of curves; ``missing``, what is said where nothing was run.
    Raises: ValueError if in the profile "paper" a point, or a place of a line, has two numbers of
        one seed.
    """
    defaults = {"percent": "", "write": "", "zero": False, "family": 1, "ends": True}
    defaults |= {"missing": ""}
    ours = {name: options.pop(name, default) for name, default in defaults.items()}
    if data.empty:
        return layout.panels(0, layout.WIDTH, 2.4, title, below, missing=ours["missing"])[0]
    of_axes = [name for name in options if hasattr(Axes, f"set_{name}") and name not in OF_SEABORN]
    axes = {name: options.pop(name) for name in of_axes}
    data = _written(data)
    options = _in_words(data, options)
    says_bar = not {"errorbar", "estimator", "units"} & options.keys()
    options = _defaults(plot, data, options, ours)
    with plt.rc_context({"figure.constrained_layout.use": False, **SIZES}):
        grid = plot(data, **options)
        grid.set(**axes)
        grid.set_titles("{col_name}")
        if {"row", "col"} <= options.keys():
            grid.set_titles("{row_name}: {col_name}")
    fig = grid.figure
    fig.set_layout_engine("constrained", w_pad=APART)
    fig.set_size_inches(layout.WIDTH, fig.get_figheight() + layout.AROUND)
    layout.head(fig, title, _described(data, below, options, says_bar))
    for panel, ax in grid.axes_dict.items() if grid.axes_dict else [("", grid.ax)]:
        whole = data[options["x"]].dtype.kind == "i"
        _plain(ax, ours["percent"], FEW if len(grid.axes.flat) > 2 else MORE, whole)
        if ours["zero"]:
            ax.axvline(0, color="#bbbbbb", lw=1, zorder=0)
        if ours["write"]:
            rows = _of_panel(data, options, panel)
            _write_means(ax, rows, data, options, ours["write"])
    if grid.legend is not None:
        if plot is sns.relplot and ours["ends"] and _have_ends(grid, options):
            _name_ends(grid, data, options)
        else:
            title = options.get("hue", "method").replace("method", "")
            look = {"fontsize": TEXT, "title_fontsize": TEXT}
            sns.move_legend(grid, "outside right center", title=title, **look)
    if {"row", "col"} <= options.keys():
        _break_titles(grid)
    return fig


def _written(data: pd.DataFrame) -> pd.DataFrame:
    """Names as people read them; categories in their order, without those that do not occur."""
    data = named(ordered(data)).reset_index(drop=True)
    kinds = data.select_dtypes("category")
    return data.assign(**{name: data[name].cat.remove_unused_categories() for name in kinds})


def _in_words(data: pd.DataFrame, options: dict) -> dict[str, Any]:
    """The options with what they put in an order written as the data are."""
    axes = {"row_order": "row", "col_order": "col", "hue_order": "hue", "style_order": "style"}
    places = {order: options.get(axis) for order, axis in axes.items()}
    if "order" in options:
        places["order"] = options[_rows_of(data, options)]
    words = {}
    for order in places.keys() & options.keys():
        column, names = places[order], options[order]
        if column in WRITTEN and names is not None:
            known = set(data[column])
            words[order] = [name if name in known else WRITTEN[column](name) for name in names]
    return options | words


def _rows_of(data: pd.DataFrame, options: dict) -> str:
    """The axis, "x" or "y", along which points or curves are at different places, and not their
    values, as seaborn finds it.
    """
    if options.get("kind") == "line":
        return options.get("orient", "x")
    is_number = {name: is_numeric_dtype(data[options[name]]) for name in ("x", "y")}
    if is_number["x"] != is_number["y"]:
        return "y" if is_number["x"] else "x"
    orient = options.get("orient", "x")
    return {"h": "y", "v": "x"}.get(orient, orient)


def _defaults(plot: Callable, data: pd.DataFrame, options: dict, ours: dict) -> dict[str, Any]:
    """The options of seaborn with ours where nothing is said."""
    across = data[options["col"]].nunique() if "col" in options else 1
    across = min(across, options.get("col_wrap", across))
    if plot is sns.catplot:
        several = options.get("hue", options["y"]) != options["y"]  # points in a row
        levels = len(options.get("hue_order", data[options["hue"]].unique())) if several else 1
        row = ROW * (1 + 0.25 * max(bool(ours["write"]), levels - 2))
        in_rows = _rows_of(data, options) == "y"
        height = 0.5 + row * max(3, data[options["y"]].nunique()) if in_rows else LINES_HIGH
        if options.get("kind", "point") == "point":
            options = POINTS | {"errorbar": bounds_of(ours["family"])} | options
            if several:
                options = {"markers": (MARKERS * levels)[:levels]} | options
        options = {"height": height} | options
        if "hue" not in options and options["y"] == "method":
            options |= {"hue": "method", "legend": False}
        if "hue" not in options:
            options = {"color": "#333333"} | options
        elif data[options["hue"]].nunique() < 2:
            options.pop("dodge", None)  # seaborn divides by one less
    if plot is sns.relplot:
        kind = LINES if options.get("kind", "line") == "line" else {}
        options = {"height": LINES_HIGH} | kind | options
    for shared in {"sharex", "sharey"} & options.keys() if plot is not sns.catplot else ():
        options.setdefault("facet_kws", {})[shared] = options.pop(shared)
    if options.get("hue") == "method":
        dashed = plot is sns.relplot and options.get("style", "method") == "method"
        options = _looks(data["method"].unique(), dashed) | options
    elif "hue" in options:  # colours are those of methods
        shades = sns.blend_palette(GREYS, data[options["hue"]].nunique())[::-1]
        options = {"palette": shades} | options
        if plot is sns.relplot and options["kind"] == "line":
            options = {"style": options["hue"]} | options
    options.setdefault("height", LINES_HIGH)
    return {"aspect": layout.WIDTH / across / options["height"]} | options


def _described(data: pd.DataFrame, below: str, options: dict, says_bar: bool) -> str:
    """Text below the title: more, how many seeds, and what a band or a bar is.

    Args:
        says_bar: whether means and bars are those of :func:`draw`, and not of an option.
    """
    kind = options.get("kind")
    bar = {"point": "bar: 95 % interval", "line": "band: ± sd"}.get(kind)
    if bar is None or "seed" not in data:
        return below
    place = _rows_of(data, options)
    names = ("row", "col", "hue", "style", place)
    keys = list(dict.fromkeys(options[name] for name in names if name in options))
    frames.check_seeds(data, keys)
    known = data.dropna(subset=options["x" if place == "y" else "y"])
    if known.empty:
        return below
    seeds = known.groupby(keys, observed=True)["seed"].nunique()
    least, most = seeds.min(), seeds.max()
    if most == 1:
        n = "one seed"
    else:
        single = _of_one_seed(seeds)
        least = min(seeds[seeds > 1]) if single else least
        n = f"{least} seeds" if least == most else f"{least} to {most} seeds"
        if not {"estimator", "units"} & options.keys():
            n = f"mean of {n}"
        n += f" ({single}: one)" if single else ""
        if says_bar:
            n += f", {bar}"
    return f"{below} · {n}" if below else n


def _of_one_seed(seeds: pd.Series) -> str:
    """Which networks have one seed, where a column says it: "dense"; "" where none does.

    Args:
        seeds: their number, by what the columns hold.
    """
    single = seeds == 1
    for name in seeds.index.names:
        values = seeds.index.get_level_values(name)
        alone = values[single].unique()
        is_word = values.dtype.kind not in "if"
        if is_word and 1 <= len(alone) <= 2 and not alone.isin(values[~single]).any():
            return " and ".join(alone.astype(str))
    return ""


def _break_titles(grid: sns.FacetGrid) -> None:
    """Write the titles of panels in two lines if one of them is wider than its panel."""
    fig = grid.figure
    fig.draw_without_rendering()  # which gives the panels their size
    for ax in grid.axes.flat:
        if ax.title.get_window_extent().width > ax.get_window_extent().width:
            with plt.rc_context(SIZES):
                grid.set_titles("{row_name}:\n{col_name}")
            fig.set_figheight(fig.get_figheight() + NAME * len(grid.axes))
            return


def _plain(ax: Axes, percent: str, most: int, whole: bool) -> None:
    """Plain numbers at the ticks, not too many, whole ones where all of x are; percent on the axes
    named.
    """
    layout.plain_logs(ax)
    for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
        fixed = isinstance(axis.get_major_locator(), ticker.FixedLocator | StrCategoryLocator)
        if axis.get_scale() == "linear" and not fixed:
            integer = whole and name == "x"
            fewer = most - 1 if name == "x" and "x" in percent else most  # "100 %" is wide
            axis.set_major_locator(ticker.MaxNLocator(fewer, steps=[1, 2, 5, 10], integer=integer))
            axis.set_major_formatter(PERCENT if name in percent else PLAIN)
        if name in percent and axis.get_scale() == "log":
            axis.set_major_formatter(PERCENT)
            axis.set_minor_formatter(PercentLogs())


class PercentLogs(layout.PlainLogs):
    """As :class:`lib.report.layout.PlainLogs`, fractions as percent: 20 % for 0.2."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The text at x; empty where none stands."""
        return PERCENT(x) if super().__call__(x, pos) else ""


def _of_panel(data: pd.DataFrame, options: dict, panel: Any) -> pd.DataFrame:
    """The rows that are drawn in a panel."""
    facets = [options[name] for name in ("row", "col") if name in options]
    values = panel if isinstance(panel, tuple) else (panel,)
    for name, value in zip(facets, values, strict=False):
        data = data[data[name] == value]
    return data


def _write_means(
    ax: Axes, rows: pd.DataFrame, data: pd.DataFrame, options: dict, form: str
) -> None:
    """Write the mean above each point of a panel, of which these are the rows of the data."""
    values = data[options["y"]]
    known = values.cat.categories if hasattr(values, "cat") else values.unique()
    order = list(options.get("order", known))
    ax.set_ylim(len(order) - 0.5, -0.8)
    place = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center", "size": TEXT}
    for name, mean in rows.groupby(options["y"], observed=True)[options["x"]].mean().items():
        if name not in order:
            continue
        text = minus(format(mean, form).replace("%", " %"))
        ax.annotate(text, (mean, order.index(name)), color="#444444", **place)


def _have_ends(grid: sns.FacetGrid, options: dict) -> bool:
    """True if there are curves that end at the right, on axes where names can stand, and that only
    their names tell apart.
    """
    scales = {ax.get_yscale() for ax in grid.axes.flat}
    if options["kind"] != "line" or options.get("orient") == "y" or scales != {"linear"}:
        return False
    hue = options.get("hue")
    return hue is not None and options.get("style", hue) in (hue, None)


def _name_ends(grid: sns.FacetGrid, data: pd.DataFrame, options: dict) -> None:
    """Write the names of curves at their ends, in every panel, in place of the legend."""
    legend, x, y, hue = grid.legend, options["x"], options["y"], options["hue"]
    handles = zip(legend.get_texts(), legend.legend_handles, strict=True)
    colors = {text.get_text(): handle.get_color() for text, handle in handles}
    legend.remove()
    grid.figure.draw_without_rendering()  # which gives the panels their size
    for panel, ax in grid.axes_dict.items() if grid.axes_dict else [("", grid.ax)]:
        rows = _of_panel(data, options, panel)
        ends = []
        for name, curve in rows.groupby(hue, observed=True):
            curve = curve.dropna(subset=y)
            last = curve.loc[curve[x] == curve[x].max(), y].mean()
            if len(curve):
                ends.append((str(name), colors[str(name)], last))
        high = ax.get_window_extent().height / grid.figure.dpi
        layout.label_ends(ax, ends, gap=NAME / high)


def bounds_of(family: int = 1) -> Callable[[pd.Series], tuple[float, float]]:
    """The ends of the t-interval of a mean, one of so many that hold together, as seaborn asks for
    them.
    """

    level = family_level(family)

    def bounds(values: pd.Series) -> tuple[float, float]:
        found = t_interval(values, level=level)
        ends = np.nan_to_num([found.low, found.high], posinf=found.value, neginf=found.value)
        return tuple(ends)

    return bounds


def _looks(names: Sequence[str], dashed: bool) -> dict[str, Any]:
    """Order, colours and dashes of the methods, by their written names."""
    known = {one["label"]: one for one in labels.METHOD_LOOKS.values()}
    names = [name for name in known if name in names] + [n for n in names if n not in known]
    looks = {name: known.get(name, labels.method(name)) for name in names}
    found: dict[str, Any] = {"hue_order": names}
    found["palette"] = {name: one["color"] for name, one in looks.items()}
    if dashed:
        dashes = [one["ls"] for one in looks.values()]
        dashes = [DASHES[ls] if isinstance(ls, str) else ls[1] for ls in dashes]
        found |= {"style": "method", "style_order": names}
        found["dashes"] = dict(zip(names, dashes, strict=True))
    return found


# ---------------------------------------------------------------------------- what is written


def written(rows: pd.DataFrame) -> list[str]:
    """Rows of :func:`lib.report.claims.intervals`, as "0.32 [0.17, 0.46] n=5 *": the star marks
    a p below .05 after Holm's correction for the table, where there is one. Bounds so close to 0
    that two digits do not show their side have more, and so has a value that two digits would move
    beyond them.
    """
    texts = []
    for row in rows.to_dict("records"):
        star = " *" if row.get("p_holm", 1) < 0.05 else ""
        low, high = row["low"], row["high"]
        nearest = min(abs(low), abs(high))
        digits = next((n for n in (2, 3, 4, 5) if round(nearest, n)), 2)
        interval = f"[{low:z.{digits}f}, {high:z.{digits}f}]"
        value = row["value"]
        inside = low <= round(value, 2) <= high or not low <= value <= high
        value = f"{value:z.{2 if inside else digits}f}"
        n = f" n={row['n']:.0f}" if pd.notna(row["n"]) else ""
        texts.append(f"{value} {interval}{n}{star}")
    return texts


def ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with data sets and methods in their order."""
    for name, known in (("method", labels.methods_in), ("dataset", labels.datasets_in)):
        if name in rows and len(rows):
            place = {value: i for i, value in enumerate(known(rows[name].unique()))}
            rows = rows.sort_values(
                name, key=lambda values, place=place: values.map(place), kind="stable"
            )
    return rows


def wide(rows: pd.DataFrame, index: Sequence[str], columns: Sequence[str] | str) -> pd.DataFrame:
    """A table for reading: rows of intervals as texts, other rows as mean ± sd over seeds; data
    sets and methods in their order.

    Raises: ValueError if an index or a column has an empty cell, or two intervals fall into one
        place, or in the profile "paper" two numbers of one seed.
    """
    rows = ordered(rows)
    keys = [*index, *([columns] if isinstance(columns, str) else columns)]
    frames.check_cells(rows, keys)
    if "low" in rows:
        frames.check_unique(rows, keys)
        rows = rows.assign(text=written(rows))
        table = rows.pivot_table("text", list(index), columns, "first", sort=False)
    else:
        if "seed" in rows:
            frames.check_seeds(rows, keys)
        table = rows.pivot_table("value", list(index), columns, mean_sd, sort=False)
    return named(table.fillna(""))
