"""Figures: files that do not change, in the notebook's folder, and a small picture beside them."""

import io
import types

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from matplotlib.figure import Figure
from PIL import Image

import papers
from lib import _boundary, report
from lib.command import notebooks
from lib.report import labels, layout, publishing, takeaways

DATA = pd.DataFrame({"epoch": [1, 2, 3], "mean": [0.25, 1 / 3, 0.5]})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Files go to a folder of the test, from a notebook that has not begun."""
    monkeypatch.setattr(publishing, "FIGURES", tmp_path)
    monkeypatch.setattr(publishing, "_current", {})
    monkeypatch.setattr(publishing, "_kinds", {})
    return tmp_path


@pytest.fixture
def shown(monkeypatch):
    """What was displayed."""
    pictures = []
    monkeypatch.setattr(publishing.display, "display", pictures.append)
    return pictures


def draw() -> Figure:
    fig, ax = plt.subplots(figsize=(3, 2))
    ax.imshow(np.arange(400).reshape(20, 20), cmap="viridis")
    ax.plot(DATA["epoch"], DATA["mean"], label="mean")
    ax.scatter(np.arange(20), np.arange(20), s=np.arange(20))
    ax.legend()
    return fig


def files_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# saving


@pytest.mark.parametrize("said", [None, "SPARSE_RENDERS", "SPARSE_FIGURES_DIR"])
def test_notebook_run_by_hand_leaves_tracked_figures_alone(folder, shown, monkeypatch, said):
    kernel = types.SimpleNamespace(kernel="of JupyterLab")
    monkeypatch.setattr(publishing, "get_ipython", lambda: kernel)
    for name in ("SPARSE_RENDERS", "SPARSE_FIGURES_DIR"):
        monkeypatch.delenv(name, raising=False)
    if said:
        monkeypatch.setenv(said, str(folder))
    publishing.begin("book", "paper")
    publishing.publish(draw(), "a", DATA)
    publishing.publish_table(DATA, "b")
    place = folder / "paper" / "book" if said else folder / "by_hand" / "paper" / "book"
    assert files_in(place) == ["a.csv", "a.png", "a.svg", "b.csv"]
    assert len(files_in(folder)) == 1


def test_last_bits_of_a_layout_leave_the_drawing_as_it_is(folder):
    """Processors round a layout differently."""
    drawings = []
    for left in (0.15, np.nextafter(0.15, 1)):
        fig = draw()
        fig.set_layout_engine("none")
        fig.axes[0].set_position((left, 0.1, 0.8, 0.8))
        path = publishing.save_figure(fig, "a", "book", "smoke", DATA)
        drawings.append(path.with_suffix(".svg").read_text())
    assert drawings[0] == drawings[1]


def test_no_drawing_of_the_repository_has_an_id_that_is_a_hash():
    for path in (_boundary.ROOT / "figures" / "paper").glob("*/*.svg"):
        if path.parent.name not in notebooks.TRAINING:  # drawn where they train
            assert not publishing.HASHED.search(path.read_bytes()), path


def test_saved_files_keep_their_text_and_carry_neither_date_nor_version(folder):
    path = publishing.save_figure(draw(), "a", "book", "smoke", DATA)
    drawing = path.with_suffix(".svg").read_text()
    assert ">mean</text>" in drawing and "<dc:date>" not in drawing
    assert f"Matplotlib v{matplotlib.__version__}" not in drawing
    with Image.open(path) as picture:
        assert "Software" not in picture.info


def test_table_has_six_digits_and_no_index(folder):
    publishing.save_table(DATA, "numbers", "book", "smoke")
    text = (folder / "smoke" / "book" / "numbers.csv").read_text()
    assert text.splitlines() == ["epoch,mean", "1,0.25", "2,0.333333", "3,0.5"]


# showing


def test_shown_figure_has_the_size_and_the_colours_of_the_figure(shown):
    fig = draw()
    width, height = fig.get_size_inches() * fig.dpi
    fig.canvas.draw()
    drawn = np.asarray(fig.canvas.buffer_rgba())[:, :, :3]
    publishing.show(fig)
    picture = Image.open(io.BytesIO(shown[0].data))
    assert picture.size == (int(width), int(height))
    assert np.array_equal(np.asarray(picture), drawn)
    assert not plt.fignum_exists(fig.number)


# publishing


def test_published_figure_is_saved_shown_and_closed(folder, shown):
    report.begin("10_set_mlp", "quick")
    fig = draw()
    report.publish(fig, "accuracy", DATA)
    desired = ["accuracy.csv", "accuracy.png", "accuracy.svg"]
    assert files_in(folder / "quick" / "10_set_mlp") == desired
    (picture,) = shown
    assert picture.data == (folder / "quick" / "10_set_mlp" / "accuracy.png").read_bytes()
    assert not plt.fignum_exists(fig.number)


def ask() -> Figure:
    fig, _ = layout.panels(1, 3, 2, "Does it rise?", "one seed")
    return fig


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """Takeaways of two figures, of which one has a number."""
    file = tmp_path / "takeaways.csv"
    file.write_text("notebook,figure,takeaway\nbook,a,It rises.\nbook,b,It rises by 3 points.\n")
    monkeypatch.setattr(takeaways, "FILE", file)


@pytest.mark.parametrize(
    ("profile", "name", "title"),
    [
        ("paper", "a", "It rises"),
        ("paper", "b", "Does it rise?"),
        ("paper", "c", "Does it rise?"),
        ("smoke", "a", "Does it rise?"),
        ("quick", "a", "Does it rise?"),
    ],
)
def test_takeaway_without_a_number_is_the_title_in_the_paper(
    folder, shown, answers, profile, name, title
):
    report.begin("book", profile)
    report.publish(ask(), name, DATA)
    drawing = (folder / profile / "book" / f"{name}.svg").read_text()
    heading = [text for text in ("Does it rise?", "It rises") if f">{text}</text>" in drawing]
    assert heading == [title] and ">one seed</text>" in drawing


def test_figure_that_was_not_run_asks(folder, shown, answers):
    report.begin("book", "paper")
    fig = ask()
    report.publish(fig, "a", DATA[:0])
    assert fig.texts[0].get_text() == "Does it rise?"


def test_moving_picture_has_its_takeaway_in_every_frame(folder, shown, answers):
    report.begin("book", "paper")
    figs = [ask(), ask()]
    report.publish_animation(figs, "a", DATA)
    assert [fig.texts[0].get_text() for fig in figs] == ["It rises", "It rises"]
    assert files_in(folder / "paper" / "book") == ["a.csv", "a.png"] and len(shown) == 1


def test_where_there_is_no_number_nothing_is_saved(folder, shown):
    report.begin("book", "quick")
    report.publish(draw(), "a", DATA[:0])
    report.publish_table(DATA[:0], "b")
    assert len(shown) == 1
    assert not (folder / "quick" / "book").exists()


def test_table_and_figure_of_one_name_are_refused(folder, shown):
    report.begin("book", "quick")
    report.publish(draw(), "a", DATA)
    report.publish(draw(), "a", DATA)  # a cell that is run again
    report.publish_table(DATA, "b")
    with pytest.raises(ValueError, match=r"both write a\.csv: rename one"):
        report.publish_table(DATA[:1], "a")
    with pytest.raises(ValueError, match=r"both write b\.csv"):
        report.publish(draw(), "b", DATA)
    assert len(pd.read_csv(folder / "quick" / "book" / "a.csv")) == len(DATA)


def test_notebook_that_begins_later_publishes_in_its_own_folder(folder, shown):
    report.begin("one", "quick")
    report.begin("two", "paper")
    report.publish_table(DATA, "numbers")
    assert files_in(folder) == ["paper"]
    assert files_in(folder / "paper") == ["two"]


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_a_notebook_of_short_runs_says_so_at_its_top(shown, monkeypatch, profile):
    kernel = types.SimpleNamespace(kernel="of papermill")
    monkeypatch.setattr(publishing, "get_ipython", lambda: kernel)
    publishing.begin("quickstart", profile)  # trains alike in all
    assert shown == []
    publishing.begin("book", profile)
    said = [thing.data for thing in shown]
    assert len(said) == (profile != "paper")
    assert all(f"Profile {profile}: short runs" in words for words in said)


def test_figure_cannot_be_published_before_the_notebook_began(folder, shown):
    with pytest.raises(RuntimeError, match=r"call begin\(notebook, profile\) first"):
        report.publish(draw(), "a", DATA)
    assert files_in(folder) == [] and shown == []


def test_what_a_notebook_shows_has_every_colour_of_a_legend():
    assert papers.EXPERIMENTS  # whose rooms have added their labels
    looks = [*labels.METHOD_LOOKS.values(), *labels.CONTENDERS.values()]
    asked = {look["color"] for look in looks}
    assert len(asked) > 10
    fig, axs = plt.subplots(2, figsize=(6, 3))
    axs[0].imshow(np.arange(10_000).reshape(100, 100), cmap=labels.SEQUENTIAL)
    axs[1].bar(range(len(asked)), 1, color=sorted(asked))
    picture = Image.open(io.BytesIO(publishing.picture(fig)))
    assert picture.mode == "RGB"
    shown = {colors.to_hex(np.array(pixel) / 255) for _, pixel in picture.getcolors(2**24)}
    assert {colors.to_hex(color) for color in asked} <= shown


# moving pictures
