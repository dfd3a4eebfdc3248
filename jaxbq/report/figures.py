"""Figures. Each is returned as a matplotlib Figure, drawn without any global state."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..data import ImageSpace
from ..errors import JaxbqError
from ..evaluation import read_as_asked
from ..files import write_atomically
from ..methods import Result
from ..options import describe
from ..targets import name_target
from ..training import EpochMetrics
from .drawing import check_drawable, draw_image, is_coloured, proportion

DPI = 200
_COLUMNS = 10
# Inches: a picture's width, the gap to the next, the line under it, the titles, the colour bar, and
# a character of a label.
_CELL, _GAP, _ANSWER, _TITLE, _BAR, _CHARACTER = 0.95, 0.08, 0.3, 0.35, 0.75, 0.067
# Of Okabe and Ito's palette, told apart by colour-blind readers; right and wrong answers have a
# sign too, lines a style of their own.
BLUE, ORANGE = "#0072B2", "#D55E00"
# Names of a user's are no formulas, whatever dollars are in them.
_AS_IS: Any = {"parse_math": False}


@dataclasses.dataclass(frozen=True)
class Row:
    """One method's line of a grid.

    Args:
        label: its name.
        images: one image a target, shape (targets, pixels).
        outputs: the network's answers to them, shape (targets, outputs).
        titles: what each target asks for.
        right: whether the network reads each as asked.
    """

    label: str
    images: Float[np.ndarray, "targets pixels"]
    outputs: Float[np.ndarray, "targets outputs"]
    titles: Sequence[str]
    right: Sequence[bool]

    @classmethod
    def of(
        cls, result: Result, class_names: Sequence[str], sample: int = 0, label: str | None = None
    ) -> "Row":
        """Take one sample of every target, the best by default."""
        return cls(
            label or describe(result.method),
            result.images[:, sample],
            result.outputs[:, sample],
            [name_target(target, class_names) for target in result.targets],
            read_as_asked(result.targets, result.outputs)[:, sample].tolist(),
        )


def plot(
    results: Result | Sequence[Result],
    path: Path | str | None = None,
    *,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw results as a grid, one row a method and one column a target.

    Args:
        results: what :func:`jaxbq.invert` returned, for the same targets.
        path: file to write too, PNG or PDF by its suffix.
        class_names: one an output; by default the numbers.

    Returns:
        The figure.

    Raises:
        JaxbqError: there is nothing to draw, targets differ, or the file cannot be written.
    """
    chosen = [results] if isinstance(results, Result) else list(results)
    if not chosen:
        raise JaxbqError("no results to plot")
    if any(not np.array_equal(each.targets, chosen[0].targets) for each in chosen):
        raise JaxbqError("these results have different targets; plot them one by one")
    names = class_names or [str(n) for n in range(chosen[0].targets.shape[1])]
    figure = image_grid([Row.of(each, names) for each in chosen], chosen[0].space, names)
    if path is not None:
        save_figure(figure, Path(path))
    return figure


def image_grid(rows: Sequence[Row], space: ImageSpace, class_names: Sequence[str]) -> Figure:
    """Draw methods × classes, under each image what the network reads in it.

    All images share one scale, the pixel range: a grey image is grey. Pixels outside the range
    take the colour of its nearer end. More than ten targets are broken into bands.

    Raises:
        JaxbqError: images are neither grey pictures nor coloured ones.
    """
    check_drawable(space)
    number = len(rows[0].images)
    columns = min(number, _COLUMNS)
    bands = math.ceil(number / _COLUMNS)
    cell = _CELL * proportion(space)
    labels = [_wrap(row.label) for row in rows]
    longest = max(len(line) for label in labels for line in label.splitlines())
    left = 0.25 + _CHARACTER * longest
    # Every picture is placed by hand: a layout engine takes seconds for a hundred of them.
    size = (
        left + columns * (_CELL + _GAP) + _BAR,
        bands * (_TITLE + len(rows) * (cell + _ANSWER)),
    )
    figure = Figure(figsize=size, dpi=DPI)
    drawn: Any = None
    for (method, row), target in itertools.product(enumerate(rows), range(number)):
        band, column = divmod(target, _COLUMNS)
        line = band * len(rows) + method
        below = size[1] - (band + 1) * _TITLE - line * (cell + _ANSWER) - cell
        box = (left + column * (_CELL + _GAP), below, _CELL, cell)
        axis = figure.add_axes(_share(box, size), xticks=[], yticks=[])
        drawn = draw_image(axis, row.images[target], space)
        if method == 0:
            axis.set_title(row.titles[target], fontsize=11, fontweight="bold", pad=4, **_AS_IS)
        if column == 0:
            look: Any = {"rotation": 0, "ha": "right", "va": "center", **_AS_IS}
            axis.set_ylabel(labels[method], fontsize=8, labelpad=8, **look)
        _write_answer(axis, row, target, class_names)
    if is_coloured(space):
        return figure  # its colours are what they are
    tall = min(1.6, size[1] - _TITLE - _ANSWER)
    bar = (size[0] - _BAR + 0.15, (size[1] - tall) / 2, 0.12, tall)
    scale = figure.colorbar(drawn, cax=figure.add_axes(_share(bar, size)))
    scale.set_ticks([space.low, space.high])
    scale.ax.tick_params(labelsize=7)
    scale.set_label("pixel", fontsize=7, labelpad=-4)
    return figure


def _share(
    box: tuple[float, float, float, float], size: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Turn a box in inches into shares of a figure."""
    return box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]


def training_curve(histories: Sequence[Sequence[EpochMetrics]]) -> Figure:
    """Draw loss and accuracies over the epochs, one line a network."""
    figure = Figure(figsize=(7.0, 2.8), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [each.epoch for each in histories[0]]
    marker = "." if len(epochs) <= 40 and len(histories) == 1 else None
    look: Any = {"marker": marker, "linewidth": 1.5 if len(histories) == 1 else 0.8}
    for number, history in enumerate(histories):
        left.plot(epochs, [each.loss for each in history], color=BLUE, **look)
        for name, values, colour, style in (
            ("training", [each.train_accuracy for each in history], BLUE, "--"),
            ("test", [each.test_accuracy for each in history], ORANGE, "-"),
        ):
            label = None if number else name
            right.plot(epochs, values, color=colour, linestyle=style, label=label, **look)
    left.set_ylabel("training loss")
    left.set_ylim(bottom=0)
    reached = sorted(history[-1].test_accuracy for history in histories)
    title = f"test {reached[0]:.3f} after epoch {epochs[-1]}"
    if len(reached) > 1:
        title = f"{len(reached)} networks, test {reached[0]:.3f} to {reached[-1]:.3f}"
    right.set_ylabel("accuracy")
    right.set_title(title, fontsize=9)
    right.legend(frameon=False)
    for axis in (left, right):
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3, linewidth=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of its suffix, atomically and without a date in it.

    Raises:
        JaxbqError: the format is unknown or the file cannot be written.
    """
    check_format(path)
    metadata = {"Software": None} if path.suffix == ".png" else None
    write_atomically(path, lambda temporary: figure.savefig(temporary, metadata=metadata))


def check_format(path: Path) -> None:
    """Check that matplotlib can write a figure under this name.

    Raises:
        JaxbqError: its suffix is no format.
    """
    if path.suffix.lstrip(".").lower() not in FigureCanvasBase.filetypes:
        raise JaxbqError(f"{path}: no figure format has this suffix; use .png or .pdf")


def _write_answer(axis: Any, row: Row, target: int, class_names: Sequence[str]) -> None:
    output = row.outputs[target]
    predicted = int(output.argmax())
    right = row.right[target]
    axis.set_xlabel(
        f"{'✓' if right else '✗'} {class_names[predicted]}  {output[predicted]:.2f}",
        fontsize=8,
        color=BLUE if right else ORANGE,
        labelpad=3,
        **_AS_IS,
    )
    for spine in axis.spines.values():
        spine.set_color(BLUE if right else ORANGE)
        spine.set_linewidth(1.2)


def _wrap(label: str) -> str:
    """Break the label of a method after its kind and between its options."""
    kind, bracket, rest = label.partition("(")
    return f"{kind}\n{rest.removesuffix(')').replace(', ', chr(10))}" if bracket else kind
