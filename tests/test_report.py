import dataclasses
import importlib

import numpy as np
import pytest
from matplotlib.image import imread
from test_experiment import Quiet, config  # noqa: F401

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.experiment import RunFolder, load_config, run
from jaxbq.methods import Ascent, Transpose, invert
from jaxbq.report import Style, build, image_grid, plot, training_curve
from jaxbq.report.figures import Row, save_figure
from jaxbq.report.trade_off import trade_off_figure
from jaxbq.targets import Codes
from jaxbq.training import EpochMetrics


def row(number, classes=3, right=True):
    outputs = np.full((number, classes), 0.1)
    intended = [n % classes for n in range(number)]
    outputs[np.arange(number), [(n + (not right)) % classes for n in range(number)]] = 0.9
    images = np.linspace(0, 1, number * 30).reshape(number, 30)
    titles = ["abcdefghijklmnopqrstuvwxyz"[k] for k in intended]
    return Row("method", images, outputs, titles, [right] * number)


def test_a_grid_has_one_scale_and_says_right_and_wrong():
    figure = image_grid([row(3), row(3, right=False)], ImageSpace((6, 5), -1, 2), "abc")
    panels = [axis for axis in figure.axes if axis.images]
    pictures = [axis for axis in panels if axis.get_xlabel()]
    assert len(pictures) == 6
    assert {axis.images[0].get_clim() for axis in pictures} == {(-1, 2)}
    assert [axis.get_xlabel() for axis in pictures[:3]] == ["✓ a  0.90", "✓ b  0.90", "✓ c  0.90"]
    assert [axis.get_xlabel() for axis in pictures[3:]] == ["✗ b  0.90", "✗ c  0.90", "✗ a  0.90"]
    assert [axis.get_title() for axis in pictures[:3]] == ["a", "b", "c"]
    shown = pictures[1].images[0].get_array()
    np.testing.assert_allclose(shown, row(3).images[1].reshape(6, 5))


def test_many_targets_are_broken_into_bands(tmp_path):
    figure = image_grid([row(23, 23)], ImageSpace((6, 5)), [f"c{n}" for n in range(23)])
    pictures = [axis for axis in figure.axes if axis.images and axis.get_xlabel()]
    assert len(pictures) == 23
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
    assert figure.axes[0].get_title() == "$\\frac$"


def test_training_curve_draws_the_history():
    history = [EpochMetrics(n, 1 / n, 0.5 + n / 20, 0.5 + n / 30, 0.1) for n in range(1, 6)]
    loss, accuracy = training_curve([history]).axes
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [1 / n for n in range(1, 6)])
    assert [line.get_label() for line in accuracy.lines] == ["training", "test"]
    np.testing.assert_allclose(accuracy.lines[1].get_ydata()[-1], 0.5 + 5 / 30)


def test_plot_of_results(standard, tmp_path):
    targets = Codes(classes=(3, 7)).targets(10)
    results = [invert(m, *standard, targets) for m in (Transpose(), Ascent(steps=20))]
    figure = plot(results, tmp_path / "a.png")
    assert sum(bool(axis.get_xlabel()) for axis in figure.axes) == 4
    assert (tmp_path / "a.png").stat().st_size > 5000
    plot(results[0], tmp_path / "b.pdf")
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(JaxbqError, match="no figure format has this suffix"):
        plot(results, tmp_path / "a.txt")
    with pytest.raises(JaxbqError, match="no results"):
        plot([])
    other = invert(Transpose(), *standard, Codes(classes=(1,)).targets(10))
    with pytest.raises(JaxbqError, match="different targets"):
        plot([results[0], other])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.pdf"]


def made(folder):
    """All that a report is made of."""
    parts = (folder.figures, folder.tables, folder.report.parent)
    return {path: path.read_bytes() for part in parts for path in sorted(part.iterdir())}


def test_a_report_comes_from_files_alone_and_sums_up(config, tmp_path):  # noqa: F811
    folder = run(load_config(config), tmp_path / "runs", Quiet())
    summary = build(folder)
    assert [line.method for line in summary] == ["transpose", "ascent(steps=20, restarts=2)"]
    assert all(line.targets == 3 for line in summary)
    first = made(folder)
    assert [path.name for path in first if path.suffix == ".png"] == [
        "images.png",
        "samples-01.png",
        "training.png",
    ]
    tables = [path.name for path in first if path.parent == folder.tables]
    assert tables == [f"{n}.{end}" for n in ("pairs", "summary") for end in ("csv", "md", "tex")]
    assert folder.report in first
    # The data is gone, the report is not; and it changes no byte.
    for path in (tmp_path / "data").iterdir():
        path.unlink()
    assert build(RunFolder(folder.path)) == summary
    assert made(folder) == first


def test_figures_of_a_paper_are_as_wide_as_asked_for(config, tmp_path):  # noqa: F811
    folder = run(load_config(config, ["scores=full"]), tmp_path / "runs", Quiet())
    build(folder, Style("column", ("png", "pdf")))
    for name in ("images", "training", "plane"):
        assert (folder.figures / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        width = imread(folder.figures / f"{name}.png").shape[1]
        assert width == pytest.approx(3.4 * 300, abs=2)


def test_every_damage_to_a_run_is_one_line(config, tmp_path):  # noqa: F811
    folder = run(load_config(config), tmp_path / "runs", Quiet())
    rows = folder.scores.read_bytes()
    some = folder.inversions / "0/00-transpose.npz"
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
            build(folder)
        assert str(folder.path) in str(caught.value) or "scores.csv" in str(caught.value)
        assert "\n" not in str(caught.value)
        path.write_bytes(good)
    build(folder)


def test_a_folder_without_results(tmp_path):
    with pytest.raises(JaxbqError, match="run its config first"):
        build(RunFolder(tmp_path))


def test_a_run_with_a_path_and_a_sweep_draws_both(config, tmp_path):  # noqa: F811
    with config.open("a") as file:
        file.write(
            """path = [0, 5, 20]
[[methods]]
preset = "whitened"
steps = 10
sweep = { "regularisers.0.weight" = [0.1, 1.0, 10.0] }
"""
        )
    folder = run(load_config(config), tmp_path / "runs", Quiet())
    lines = build(folder)
    drawn = {path.name for path in folder.figures.iterdir()}
    assert {"path-01.png", "path-01.gif", "curve-02.png", "samples-01.png"} <= drawn
    assert [line.method.partition("(")[0] for line in lines] == [
        "transpose",
        "ascent",
        "whitened",
        "whitened",
        "whitened",
    ]
    assert lines[0].distinct is None
    assert 1 <= lines[1].distinct <= 2
    assert lines[4].distance <= lines[2].distance


def test_several_sweeps_are_traded_off_in_one_picture(config, tmp_path, monkeypatch):  # noqa: F811
    with config.open("a") as file:
        file.write(
            """sweep = { "optimiser.learning_rate" = [0.1, 0.2] }
[[methods]]
kind = "pseudo_inverse"
hidden_policy = "clip"
pixel_policy = "clip"
sweep = { ridge = [0.1, 1.0] }
"""
        )
    drawn = []
    monkeypatch.setattr(
        importlib.import_module("jaxbq.report.build"),
        "trade_off_figure",
        lambda lines, width: drawn.extend(lines) or trade_off_figure(lines, width),
    )
    folder = run(load_config(config), tmp_path / "runs", Quiet())
    lines = build(folder)
    assert (folder.figures / "trade-off.png").exists()
    assert [line.label for line in drawn] == [
        "ascent, adam learning_rate",
        "pseudo_inverse, ridge",
        "transpose",
    ]
    assert [line.values for line in drawn] == [[0.1, 0.2], [0.1, 1.0], ()]
    assert drawn[1].fidelity == [pytest.approx(line.fidelity) for line in lines[3:]]
