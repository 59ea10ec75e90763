"""Files of what a notebook shows: pictures with the numbers behind them, tables.

A notebook says once, by :func:`begin`, where its figures belong. Unchanged numbers give unchanged
files. Those of a notebook that a person runs go to ``figures/by_hand``, which is not tracked; the
commands that render notebooks say so by the environment variable ``SPARSE_RENDERS``.
"""

import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from IPython import display, get_ipython
from matplotlib.figure import Figure
from PIL import Image

from lib._boundary import FIGURES, explained, whole
from lib.report import takeaways
from lib.report.animation import write_animation
from lib.report.layout import foot, retitle

STYLE = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "image.interpolation": "nearest",  # cells as they are, which also makes smaller files
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "companion",
}

# ids of matplotlib, with a hash: as p0123456789, image0123456789 and C0_0_0123456789
HASHED = re.compile(
    rb'((?:id="|#)(?:C[0-9a-f]+_[0-9a-f]+_|[a-zA-Z]))[a-zA-Z]*?([0-9a-f]{10})(?=["\)])'
)

_current: dict[str, str] = {}  # notebook and profile
_kinds: dict[str, str] = {}  # of what was published since the notebook began, by name


def begin(notebook: str, profile: str) -> None:
    """Set the style of every figure, and where those of this notebook are published.

    A notebook that runs in a profile of short runs says so at its top, as its texts are about the
    profile paper. Quickstart trains alike in all profiles.

    Args:
        notebook: its name, as "10_set_mlp".
        profile: whose figures they are.
    """
    use_style()
    _current.update(notebook=notebook, profile=profile)
    _kinds.clear()
    if profile != "paper" and notebook != "quickstart" and _in_kernel():
        words = f"**Profile {profile}: short runs.** What the texts say is about the profile paper."
        display.display(display.Markdown(words))


def current_profile() -> str:
    """The profile of :func:`begin`, "paper" before it."""
    return _current.get("profile", "paper")


def publish(fig: Figure, name: str, data: pd.DataFrame) -> None:
    """Save a figure with the numbers behind it, show it in the notebook and close it.

    In the profile paper its takeaway becomes its title, unless that has a number, which a title
    would have to compute. Where there is no number nothing is saved: the notebook alone says what
    was not run.

    Args:
        fig: the figure.
        name: of its files, figures/<profile>/<notebook>/<name>.{svg,png,csv}.
        data: the numbers drawn.
    Raises: RuntimeError before :func:`begin`; ValueError if a table has this name.
    """
    notebook, profile = _place(name, "figure")
    foot(fig, f"{notebook} · {name} · profile {profile}")
    if data.empty:
        show(fig)
    else:
        path = save_figure(_answered(fig, name), name, notebook, profile, data)
        display.display(display.Image(path.read_bytes()))


def publish_animation(figs: Iterable[Figure], name: str, data: pd.DataFrame) -> None:
    """Save figures of one size as the frames of a moving picture with the numbers behind them, show
    it in the notebook and close them. They are titled as those of :func:`publish`.

    Args:
        figs: one or more, in their order.
        name: of its files, figures/<profile>/<notebook>/<name>.{png,csv}.
        data: the numbers drawn.
    Raises: RuntimeError before :func:`begin`; ValueError if a table has this name.
    """
    notebook, profile = _place(name, "figure")
    save_table(data, name, notebook, profile)
    path = _figures() / profile / notebook / f"{name}.png"
    with whole(path) as part:
        write_animation((_answered(fig, name) for fig in figs), part)
    display.display(display.Image(path.read_bytes()))


def publish_table(data: pd.DataFrame, name: str) -> None:
    """Write figures/<profile>/<notebook>/<name>.csv, unless there is no row.

    Raises: RuntimeError before :func:`begin`; ValueError if a figure has this name.
    """
    notebook, profile = _place(name, "table")
    if len(data):
        save_table(data, name, notebook, profile)


def _answered(fig: Figure, name: str) -> Figure:
    """The figure, titled with its takeaway if that has no number but in the name of a data set."""
    sentence = takeaways.read(_current["profile"]).get(f"{_current['notebook']}/{name}", "")
    if sentence and not re.search(r"\d", sentence.replace("CIFAR-10", "")):
        retitle(fig, sentence.removesuffix("."))
    return fig


def _in_kernel() -> bool:
    """True if a notebook runs this."""
    return getattr(get_ipython(), "kernel", None) is not None


def _figures() -> Path:
    """The folder of the figures of all profiles."""
    is_said = "SPARSE_RENDERS" in os.environ or os.environ.get("SPARSE_FIGURES_DIR")
    return FIGURES / "by_hand" if _in_kernel() and not is_said else FIGURES


def _place(name: str, kind: str) -> tuple[str, str]:
    if not _current:
        raise RuntimeError("nothing says where to publish: call begin(notebook, profile) first")
    if _kinds.setdefault(name, kind) != kind:
        raise ValueError(
            f"a figure and a table are named {name!r}, and both write {name}.csv: rename one"
        )
    return _current["notebook"], _current["profile"]


def use_style() -> None:
    """Set the style of every figure: colour-blind palette, readable sizes, reproducible files."""
    sns.set_theme(style="ticks", palette="colorblind", rc=STYLE)


def save_figure(fig: Figure, name: str, notebook: str, profile: str, data: pd.DataFrame) -> Path:
    """Write figures/<profile>/<notebook>/<name> as svg and png, and as csv the numbers behind it;
    the figure is closed.

    Returns: the path of the png. Unchanged numbers give unchanged files.
    """
    save_table(data, name, notebook, profile)
    path = _figures() / profile / notebook / f"{name}.png"
    png = picture(fig)
    drawing = io.BytesIO()
    fig.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
    with whole(path.with_suffix(".svg")) as part:
        part.write_bytes(_numbered(drawing.getvalue()))
    with whole(path) as part:
        part.write_bytes(png)
    return path


def _numbered(drawing: bytes) -> bytes:
    """A drawing whose ids are numbers in their order. The ids of matplotlib are hashes of sizes,
    whose last bits differ from processor to processor.
    """
    numbers: dict[bytes, int] = {}

    def number(found: re.Match) -> bytes:
        return found[1] + b"%d" % numbers.setdefault(found[2], len(numbers))

    return HASHED.sub(number, drawing)


def save_table(data: pd.DataFrame, name: str, notebook: str, profile: str) -> None:
    """Write figures/<profile>/<notebook>/<name>.csv."""
    folder = _figures() / profile / notebook
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / f"{name}.csv") as part:
        data.to_csv(part, index=False, float_format="%.6g")


def show(fig: Figure) -> None:
    """Display a figure in a notebook and close it."""
    display.display(display.Image(picture(fig)))


def picture(fig: Figure) -> bytes:
    """A figure as png of true colours; it is closed.

    The layout is computed once and stays, also for what is saved later: that takes as long as
    drawing.
    """
    fig.draw_without_rendering()
    fig.set_layout_engine("none")
    drawn, png = io.BytesIO(), io.BytesIO()
    fig.savefig(drawn)
    plt.close(fig)
    Image.open(drawn).convert("RGB").save(png, "png", optimize=True)
    return png.getvalue()
