import contextlib
import dataclasses
import importlib
import shutil
from typing import Any, NamedTuple

import numpy as np
import problems
import pytest
from matplotlib.image import imread
from test_experiment import Quiet, write_small

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.experiment import load_config, run
from jaxbq.experiment.finished import Run
from jaxbq.methods import Ascent, Transpose, invert
from jaxbq.network.targets import Codes
from jaxbq.report import Style, build, image_grid, plot, training_curve
from jaxbq.report.curves import TradeOff, trade_off_figure
from jaxbq.report.images import ImageRow
from jaxbq.report.style import save_figure
from jaxbq.training import EpochMetrics

# The package names its function as its module.
BUILD: Any = importlib.import_module("jaxbq.report.build")
# A way that is kept, and two sweeps: of an option within another, and of a method's own.
MORE = """path = [0, 5, 20]
[[methods]]
preset = "whitened"
steps = 10
sweep = { "regularisers.0.weight" = [0.1, 10.0] }
[[methods]]
kind = "pseudo_inverse"
hidden_policy = "clip"
pixel_policy = "clip"
sweep = { ridge = [0.1, 1.0] }
"""


class Built(NamedTuple):
    """A finished run with its report.

    Args:
        run: the run.
        traded: what was drawn against each other.
    """

    run: Run
    traded: list[TradeOff]

    @property
    def folder(self):
        return self.run.folder


@pytest.fixture(scope="module")
def built(small, tmp_path_factory):
    """The finished small run with its report; no data lies beside it."""
    out = tmp_path_factory.mktemp("built") / "runs"
    shutil.copytree(small.place / "runs", out)
    (path,) = out.iterdir()
    build(Run(path))
    return Built(Run(path), [])


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """A run of whatever has a figure of its own, drawn for a column of a paper."""
    place, traded = tmp_path_factory.mktemp("rich"), []
    with contextlib.chdir(place), pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            BUILD,
            "trade_off_figure",
            lambda lines, width: traded.extend(lines) or trade_off_figure(lines, width),
        )
        config = write_small(place)
        config.write_text(config.read_text() + MORE)
        done = Run(run(load_config(config, ["scores=full"]), place / "runs", Quiet()).path)
        build(done, Style("column", ("png", "pdf")))
    return Built(done, traded)


@pytest.fixture
def copied(built, tmp_path):
    """The finished small run with its report, to be changed."""
    path = shutil.copytree(built.folder.path, tmp_path / "runs" / built.folder.path.name)
    return Run(path).folder


def row(number, classes=3, right=True):
    outputs = np.full((number, classes), 0.1)
    intended = [n % classes for n in range(number)]
    outputs[np.arange(number), [(n + (not right)) % classes for n in range(number)]] = 0.9
    images = np.linspace(0, 1, number * 30).reshape(number, 30)
    titles = ["abcdefghijklmnopqrstuvwxyz"[k] for k in intended]
    return ImageRow("method", images, outputs, titles, [right] * number)


def texts(figure, kind):
    return [
        text.get_text() for text in figure.axes[0].texts if f"{text.get_gid()}".startswith(kind)
    ]


def test_a_grid_has_one_scale_and_says_right_and_wrong():
    figure = image_grid([row(3), row(3, right=False)], ImageSpace((6, 5), -1, 2), "abc")
    pictures = figure.axes[0].images
    assert len(pictures) == 6
    assert {picture.get_clim() for picture in pictures} == {(-1, 2)}
    answers = texts(figure, "answer")
    assert answers[:3] == ["✓ a  0.90", "✓ b  0.90", "✓ c  0.90"]
    assert answers[3:] == ["✗ b  0.90", "✗ c  0.90", "✗ a  0.90"]
    assert texts(figure, "title") == ["a", "b", "c"]
    np.testing.assert_allclose(pictures[1].get_array(), row(3).images[1].reshape(6, 5))
    # Upright, side by side, the second row below the first.
    (left, right, below, above), (start, *_), *_, last = (p.get_extent() for p in pictures)
    assert left < right < start
    assert last[2] < last[3] < below < above


def test_many_targets_are_broken_into_bands(tmp_path):
    figure = image_grid([row(23, 23)], ImageSpace((6, 5)), [f"c{n}" for n in range(23)])
    assert len(figure.axes[0].images) == len(texts(figure, "answer")) == 23
    width, height = figure.get_size_inches()
    assert width < 13
    save_figure(figure, tmp_path / "bands.png")
    assert imread(tmp_path / "bands.png").shape[0] == pytest.approx(200 * height, abs=2)


def test_images_that_are_no_pictures():
    for shape in ((3, 5, 2), (1, 6, 5, 1)):
        with pytest.raises(JaxbqError, match="cannot be drawn"):
            image_grid([row(3)], ImageSpace(shape), "abc")


def test_a_name_with_dollars_is_no_formula(tmp_path):
    one = row(3)
    one = dataclasses.replace(one, label="$x$", titles=["$\\frac$", "a$b$c", "\\"])
    figure = image_grid([one], ImageSpace((6, 5)), ["$\\frac$", "$_$", "^"])
    save_figure(figure, tmp_path / "names.png")
    assert texts(figure, "title")[0] == "$\\frac$"


def test_training_curve_draws_the_history():
    history = [EpochMetrics(n, 1 / n, 0.5 + n / 20, 0.5 + n / 30, 0.1) for n in range(1, 6)]
    loss, accuracy = training_curve([history]).axes
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [1 / n for n in range(1, 6)])
    assert [line.get_label() for line in accuracy.lines] == ["training", "test"]
    np.testing.assert_allclose(accuracy.lines[1].get_ydata()[-1], 0.5 + 5 / 30)


def test_plot_of_results(rng, tmp_path):
    network, space = problems.random_network((30, 8, 3), rng), ImageSpace((6, 5))

    def asked(method, *classes):
        return invert(method, *network, Codes(classes=classes).targets(3), reference=space)

    results = [asked(method, 0, 2) for method in (Transpose(), Ascent(steps=20))]
    figure = plot(results, tmp_path / "a.png")
    assert len(texts(figure, "answer")) == 4
    assert (tmp_path / "a.png").stat().st_size > 5000
    plot(results[0], tmp_path / "b.pdf")
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(JaxbqError, match="no figure format has this suffix"):
        plot(results, tmp_path / "a.txt")
    with pytest.raises(JaxbqError, match="no results"):
        plot([])
    with pytest.raises(JaxbqError, match="different targets"):
        plot([results[0], asked(Transpose(), 1)])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.pdf"]


def made(folder):
    """All that a report is made of."""
    parts = (folder.figures, folder.tables, folder.report.parent)
    return {path: path.read_bytes() for part in parts for path in sorted(part.iterdir())}


def test_a_report_comes_from_files_alone_and_sums_up(built, copied):
    assert built.run.methods == ["transpose", "ascent(steps=20, restarts=2)"]
    first = made(copied)
    assert [path.name for path in first if path.suffix == ".png"] == [
        "images.png",
        "samples-02.png",
        "training.png",
    ]
    tables = [path.name for path in first if path.parent == copied.tables]
    ends = ("csv", "md", "tex")
    assert tables == [
        *(f"pairs.{end}" for end in ends),
        "paper.tex",
        *(f"summary.{end}" for end in ends),
    ]
    assert copied.report in first
    # Without the data, elsewhere, from nothing: it changes no byte.
    for path in first:
        path.unlink()
    build(Run(copied.path))
    assert made(copied) == first


def test_figures_of_a_paper_are_as_wide_as_asked_for(rich):
    for name in ("images", "training", "plane", "path-02", "curve-03", "trade-off"):
        assert (rich.folder.figures / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        width = imread(rich.folder.figures / f"{name}.png").shape[1]
        assert width == pytest.approx(3.4 * 300, abs=2)


def test_every_damage_to_a_run_is_one_line(copied, monkeypatch):
    folder = copied
    # The figures are there already.
    monkeypatch.setattr(BUILD, "save_all", lambda *_: None)
    build(Run(folder.path))
    rows = folder.scores.read_bytes()
    some = folder.inversions / "0/01-transpose.npz"
    for path, content in (
        (folder.scores, rows[: len(rows) // 2]),
        (folder.scores, rows.replace(b"0,transpose,1,0,", b"0,other,1,0,")),
        (folder.scores, rows.replace(b",True,", b",perhaps,")),
        (some, b""),
        (some, None),
        (folder.cost, b"\xff"),
        (folder.path / "judges.json", b"{"),
        (folder.nearest, b"PK"),
    ):
        good = path.read_bytes()
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(JaxbqError) as caught:
            build(Run(folder.path))
        assert str(folder.path) in str(caught.value) or "scores.csv" in str(caught.value)
        assert "\n" not in str(caught.value)
        path.write_bytes(good)


def test_a_folder_without_results(tmp_path):
    with pytest.raises(JaxbqError, match="run its config first"):
        build(Run(tmp_path))


def test_a_run_with_a_path_and_a_sweep_draws_both(rich):
    drawn = {path.name for path in rich.folder.figures.iterdir()}
    assert {"path-02.png", "path-02.gif", "curve-03.png", "samples-02.png"} <= drawn
    lines = rich.run.overview
    assert [name.partition("(")[0] for name in lines.index] == [
        "transpose",
        "ascent",
        "whitened",
        "whitened",
        "pseudo_inverse",
        "pseudo_inverse",
    ]
    assert np.isnan(lines["distinct"].iloc[0])
    assert 1 <= lines["distinct"].iloc[1] <= 2
    # The heavier the prior, the more natural.
    assert lines["distance"].iloc[3] <= lines["distance"].iloc[2]


def test_several_sweeps_are_traded_off_in_one_picture(rich):
    assert (rich.folder.figures / "trade-off.png").exists()
    assert [line.label.partition("(")[0] for line in rich.traded] == [
        "whitened, parameter_norm weight",
        "pseudo_inverse, ridge",
        "transpose",
        "ascent",
    ]
    assert [line.values for line in rich.traded] == [[0.1, 10.0], [0.1, 1.0], (), ()]
    for line, numbers in zip(rich.traded, ((2, 3), (4, 5), (0,), (1,)), strict=True):
        assert line.fidelity == [
            pytest.approx(rich.run.overview["fidelity"].iloc[n]) for n in numbers
        ]
