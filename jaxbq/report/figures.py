"""Figures. Each is returned as a matplotlib Figure, drawn without any global state."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..errors import JaxbqError
from ..methods import Result
from ..training import EpochMetrics
from .grid import Row, image_grid
from .style import BLUE, NATURAL, ORANGE, Style, check_format, save_figure, styled, two_plots

__all__ = ["Row", "check_format", "image_grid", "plot", "save_figure", "training_curve"]


def plot(
    results: Result | Sequence[Result],
    path: Path | str | None = None,
    *,
    class_names: Sequence[str] | None = None,
    width: str | float = NATURAL,
) -> Figure:
    """Draw results as a grid, one row a method and one column a target.

    Args:
        results: what :func:`jaxbq.invert` returned, for the same targets.
        path: file to write too, PNG or PDF by its suffix.
        class_names: one an output; by default the numbers.
        width: ``natural``; ``column`` or ``page`` of a paper; or a number of inches.

    Returns:
        The figure.

    Raises:
        JaxbqError: there is nothing to draw, targets differ, there is no such width, or the file
            cannot be written.
    """
    chosen = [results] if isinstance(results, Result) else list(results)
    if not chosen:
        raise JaxbqError("no results to plot")
    if any(not np.array_equal(each.targets, chosen[0].targets) for each in chosen):
        raise JaxbqError("these results have different targets; plot them one by one")
    names = class_names or [str(n) for n in range(chosen[0].targets.shape[1])]
    style = Style(width)
    rows = [Row.of(each, names) for each in chosen]
    figure = image_grid(rows, chosen[0].space, names, width=style.inches)
    if path is not None:
        save_figure(figure, Path(path), style.dpi)
    return figure


@styled()
def training_curve(
    histories: Sequence[Sequence[EpochMetrics]], width: float | None = None
) -> Figure:
    """Draw loss and accuracies over the epochs, one line a network.

    Args:
        histories: of every network.
        width: inches, 7 by default; both plots stand below each other where that is little.
    """
    figure, left, right = two_plots(width or 7.0, 2.8 if width is None else 0.4 * max(width, 5.0))
    points = 10 if width is None else 8
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
    left.set_ylabel("training loss", fontsize=points)
    left.set_ylim(bottom=0)
    reached = sorted(history[-1].test_accuracy for history in histories)
    title = f"test {reached[0]:.3f} after epoch {epochs[-1]}"
    if len(reached) > 1:
        title = f"{len(reached)} networks, test {reached[0]:.3f} to {reached[-1]:.3f}"
    right.set_ylabel("accuracy", fontsize=points)
    right.set_title(title, fontsize=min(points, 9))
    right.legend(frameon=False, fontsize=points)
    for axis in (left, right):
        axis.set_xlabel("epoch", fontsize=points)
        axis.tick_params(labelsize=points)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3, linewidth=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    return figure
