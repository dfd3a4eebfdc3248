"""Curves: training over epochs, and what an option that is swept does."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..evaluation import Scores
from ..training import EpochMetrics
from .style import AS_IS, BLUE, DPI, GREEN, ORANGE, PURPLE, shorten, styled, two_plots

# Colour, marker and line of what is drawn into one plot, in this order.
_LOOKS = ((BLUE, "o-"), (ORANGE, "s--"), (GREEN, "^-."), (PURPLE, "D:"), ("0.3", "v-"))
_NARROW = 5.0  # inches


@styled(grid=True)
def training_curve(
    histories: Sequence[Sequence[EpochMetrics]], width: float | None = None
) -> Figure:
    """Draw loss and accuracies over the epochs, one line a network.

    Args:
        histories: of every network.
        width: inches, 7 by default; both plots stand below each other where that is little.
    """
    width, many = width or 7.0, len(histories) > 1
    figure, left, right = two_plots(width, 2 * max(width, 5.0) / 5)
    epochs = [each.epoch for each in histories[0]]
    marker = "." if len(epochs) <= 40 and not many else None
    look: Any = {"marker": marker, "linewidth": 0.8 if many else 1.5}
    for history in histories:
        training = [each.train_accuracy for each in history]
        test = [each.test_accuracy for each in history]
        left.plot(epochs, [each.loss for each in history], color=BLUE, **look)
        right.plot(epochs, training, "--", color=BLUE, label="training", **look)
        right.plot(epochs, test, color=ORANGE, label="test", **look)
    left.set_ylabel("training loss")
    left.set_ylim(bottom=0)
    reached = sorted(history[-1].test_accuracy for history in histories)
    title = f"test {reached[0]:.3f} after epoch {epochs[-1]}"
    if many:
        title = f"{len(reached)} networks, test {reached[0]:.3f} to {reached[-1]:.3f}"
    right.set_ylabel("accuracy")
    right.set_title(title, fontsize=8)
    right.legend(handles=right.lines[:2], handlelength=4)
    for axis in (left, right):
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@styled(grid=True)
def steps_figure(curves: Float[np.ndarray, "lines steps"], names: Sequence[str]) -> Figure:
    """Draw values at steps 0, 1, …, a line a target.

    Args:
        curves: the values; what is not finite is left out.
        names: of the lines; beyond ten, those of the first ten are said.
    """
    figure = Figure(figsize=(6.4, 2.3), dpi=DPI)
    # Placed by hand: a layout engine draws every figure of a page several times.
    axis = figure.add_axes((0.08, 0.16, 0.72, 0.8))
    colours = matplotlib.color_sequences["tab10"]
    for n, curve in enumerate(curves):
        # More points than these are not seen, and would make a page large.
        steps = np.unique(np.linspace(0, len(curve) - 1, 120).round().astype(int))
        values = np.where(np.isfinite(curve[steps]), curve[steps], np.nan)
        style = ("-", "--", ":")[n // 10 % 3]
        axis.plot(steps, values, style, color=colours[n % 10], linewidth=1, clip_on=False)
    axis.set_xlabel("step")
    axis.grid(clip_on=False)
    labels = [shorten(name, 7, 0.95) for name in names[:10]]
    shown = figure.legend(axis.lines[:10], labels, loc="center left", bbox_to_anchor=(0.81, 0.55))
    for text in shown.get_texts():
        text.set(**AS_IS)
    return figure


@dataclass(frozen=True)
class CurvePoint:
    """One setting of a sweep, means over targets of the best image.

    Args:
        value: of the option that is swept.
        probability: the network's, of the intended class.
        largest_error: of the outputs.
        distance: squared Mahalanobis distance to the training images, a pixel.
        correlation: with the intended class's mean image.
        judged: share of judges that read the intended class; NaN without judges.
    """

    value: float
    probability: float
    largest_error: float
    distance: float
    correlation: float
    judged: float = math.nan

    @classmethod
    def of(cls, value: float, scores: Scores) -> "CurvePoint":
        """Take the means of scores, over what is known."""
        errors = (scores.target_probability, scores.largest_error)
        looks = (scores.mahalanobis, scores.correlation_own, scores.readability)
        return cls(value, *(float(pd.Series(each[:, 0]).mean()) for each in (*errors, *looks)))


@styled(grid=True)
def curve_figure(
    option: str,
    points: Sequence[CurvePoint],
    real: tuple[float, float, float],
    width: float | None = None,
) -> Figure:
    """Draw fidelity against naturalness, and what an option that was swept does to both.

    Args:
        option: its dotted name.
        points: one a value, in any order.
        real: 5 %, 50 % and 95 % quantile of the distance of real test images.
        width: inches, 9 by default; both plots stand below each other where that is little.
    """
    width, points = width or 9.0, sorted(points, key=lambda point: point.value)
    figure, left, right = two_plots(width, 0.4 * max(width, 6.0))
    distance = [point.distance for point in points]
    probability = [point.probability for point in points]
    left.axvspan(real[0], real[2], color="0.92", zorder=0)
    left.axvline(real[1], color="0.7", linewidth=0.8, zorder=0)
    below: Any = {"transform": left.get_xaxis_transform(), "ha": "center", "color": "0.4"}
    left.text(real[1], 0.02, "real test images", fontsize=7, **below)
    left.plot(distance, probability, color="0.7", linewidth=1, zorder=1)
    left.scatter(distance, probability, s=14, color=BLUE, zorder=2)
    for point in (points[0], points[len(points) // 2], points[-1]):
        _say(left, f"{point.value:.3g}", (point.distance, point.probability), (5, 5), fontsize=7)
    left.set(xscale="log", xlabel="distance to the data: squared Mahalanobis, a pixel")
    gap = "\n" if width < _NARROW else " "
    left.set_ylabel(f"fidelity: probability{gap}of the intended class")
    values = [point.value for point in points]
    lines = {
        "probability": (probability, BLUE, "o-"),
        "correlation with class mean": ([p.correlation for p in points], ORANGE, "s--"),
        "share of judges who read it": ([p.judged for p in points], "0.3", "x-."),
    }
    for name, (column, colour, style) in lines.items():
        if not np.isnan(column).all():
            right.plot(values, column, style, color=colour, markersize=3, linewidth=1, label=name)
    if min(values) > 0 and max(values) > 20 * min(values):
        right.set_xscale("log")
    right.set_xlabel(option)
    right.legend()
    for axis in (left, right):
        axis.set_ylim(-0.05, 1.08)
        axis.tick_params(which="minor", labelsize=6)
    return figure


@dataclass(frozen=True)
class TradeOff:
    """A method's settings, or a single one, in the plane of fidelity and the mean percentile.

    Args:
        label: the method.
        percentile: mean of the percentiles among real test images of each setting.
        fidelity: mean fidelity of each.
        values: of the option that is swept, in the order of the line; empty for a single setting.
    """

    label: str
    percentile: Sequence[float]
    fidelity: Sequence[float]
    values: Sequence[float] = ()


@styled(grid=True)
def trade_off_figure(lines: Sequence[TradeOff], width: float | None = None) -> Figure:
    """Draw how fidelity is bought with nearness to the data: lines of swept methods, crosses.

    The first and the last value of an option stand beside the ends of its line.

    Args:
        lines: the methods.
        width: inches; 7 by default.
    """
    width = width or 7.0
    figure = Figure(figsize=(width, 0.62 * width), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    swept = [line for line in lines if line.values]
    for number, line in enumerate(swept):
        colour, style = _LOOKS[number % len(_LOOKS)]
        # A legend knows no other way to say that dollars are no formula.
        look: Any = {"label": line.label.replace("$", r"\$"), "linewidth": 1.2, "markersize": 4}
        axis.plot(line.percentile, line.fidelity, style, color=colour, **look)
        for end in (0, -1):
            place = (line.percentile[end], line.fidelity[end])
            _say(axis, f"{line.values[end]:g}", place, (4, 4), fontsize=6, color=colour)
    for line in lines:
        if not line.values:
            axis.plot(line.percentile, line.fidelity, "x", color="0.2", markersize=5)
            place = (line.percentile[0], line.fidelity[0])
            _say(axis, line.label, place, (5, -8), fontsize=6.5, **AS_IS)
    axis.set(xlim=(-4, 104), xlabel="mean percentile among real test images")
    axis.set(ylim=(-0.04, 1.04), ylabel="fidelity: 1 − largest output error")
    if swept:
        # Below the plot: lines may be anywhere in it.
        figure.legend(loc="outside lower center", ncols=3 if width > _NARROW else 1)
    return figure


def _say(
    axis: Any, text: str, place: tuple[float, float], aside: tuple[float, float], **look: Any
) -> None:
    """Write beside a place, so many points aside."""
    axis.annotate(text, place, xytext=aside, textcoords="offset points", **look)
