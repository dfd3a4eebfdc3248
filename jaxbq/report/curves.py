"""Curves: training over epochs, what an option that is swept does, the pseudo-inverse's options."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..diagnosis import Fidelity
from ..evaluation import Scores
from ..training import EpochMetrics
from .style import AS_IS, BLUE, DPI, GREEN, ORANGE, PURPLE, shorten, styled, two_plots


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


@styled()
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
    axis.set_xlabel("step", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3, linewidth=0.5, clip_on=False)
    axis.spines[["top", "right"]].set_visible(False)
    labels = [shorten(name, 7, 0.95) for name in names[:10]]
    look: Any = {"loc": "center left", "bbox_to_anchor": (0.81, 0.55), "frameon": False}
    shown = figure.legend(axis.lines[:10], labels, fontsize=7, **look)
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
        judged: share of judges that read the intended class; None without judges.
    """

    value: float
    probability: float
    largest_error: float
    distance: float
    correlation: float
    judged: float | None = None

    @classmethod
    def of(cls, value: float, scores: Scores) -> "CurvePoint":
        """Take the means of scores."""

        def mean(values: np.ndarray) -> float:
            known = values[:, 0][~np.isnan(values[:, 0])]
            return float(known.mean()) if len(known) else math.nan

        judged = mean(scores.readability)
        return cls(
            value,
            mean(scores.target_probability),
            mean(scores.largest_error),
            mean(scores.mahalanobis),
            mean(scores.correlation_own),
            None if math.isnan(judged) else judged,
        )


@styled()
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
    points = sorted(points, key=lambda point: point.value)
    figure, left, right = two_plots(width or 9.0, 3.6 if width is None else 0.4 * max(width, 6.0))
    distance = [point.distance for point in points]
    probability = [point.probability for point in points]
    left.axvspan(real[0], real[2], color="0.92", zorder=0)
    left.axvline(real[1], color="0.7", linewidth=0.8, zorder=0)
    left.annotate(
        "real test images",
        (real[1], 0.02),
        xycoords=("data", "axes fraction"),
        fontsize=7,
        ha="center",
        color="0.4",
    )
    left.plot(distance, probability, color="0.7", linewidth=1, zorder=1)
    left.scatter(distance, probability, s=14, color=BLUE, zorder=2)
    for point in (points[0], points[len(points) // 2], points[-1]):
        left.annotate(
            f"{point.value:.3g}",
            (point.distance, point.probability),
            textcoords="offset points",
            xytext=(5, 5),
            fontsize=7,
        )
    left.set_xscale("log")
    left.set_ylim(-0.05, 1.08)
    left.set_xlabel("distance to the data: squared Mahalanobis, a pixel", fontsize=8)
    fidelity = "fidelity: probability of the intended class"
    if width is not None and width < 5.0:
        fidelity = fidelity.replace(" of", "\nof")
    left.set_ylabel(fidelity, fontsize=8)
    values = [point.value for point in points]
    lines: list[tuple[str, list[Any], str, str]] = [
        ("probability", probability, BLUE, "o-"),
        ("correlation with class mean", [p.correlation for p in points], ORANGE, "s--"),
    ]
    if points[0].judged is not None:
        lines.append(("share of judges who read it", [p.judged for p in points], "0.3", "x-."))
    for name, column, colour, style in lines:
        right.plot(values, column, style, color=colour, markersize=3, linewidth=1, label=name)
    if min(values) > 0 and max(values) > 20 * min(values):
        right.set_xscale("log")
    right.set_ylim(-0.05, 1.08)
    right.set_xlabel(option, fontsize=8)
    right.legend(fontsize=7, frameon=False)
    for axis in (left, right):
        axis.tick_params(labelsize=7)
        axis.tick_params(which="minor", labelsize=6)
        axis.grid(alpha=0.3, linewidth=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


_HEIGHT = 0.62  # of the width
_LOOKS = ((BLUE, "o-"), (ORANGE, "s--"), (GREEN, "^-."), (PURPLE, "D:"), ("0.3", "v-"))


@dataclass(frozen=True)
class TradeOff:
    """A method's settings, or a single one, in the plane of fidelity and naturalness.

    Args:
        label: the method.
        naturalness: mean percentile among real test images of each setting.
        fidelity: mean fidelity of each.
        values: of the option that is swept, in the order of the line; empty for a single setting.
    """

    label: str
    naturalness: Sequence[float]
    fidelity: Sequence[float]
    values: Sequence[float] = ()


@styled()
def trade_off_figure(lines: Sequence[TradeOff], width: float | None = None) -> Figure:
    """Draw how fidelity is bought with naturalness: a line a swept method, a cross a single one.

    The first and the last value of an option stand beside the ends of its line.

    Args:
        lines: the methods.
        width: inches; 7 by default.
    """
    width = width or 7.0
    figure = Figure(figsize=(width, width * _HEIGHT), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    swept = [line for line in lines if line.values]
    for number, line in enumerate(swept):
        colour, style = _LOOKS[number % len(_LOOKS)]
        look: Any = {"color": colour, "linewidth": 1.2, "markersize": 4}
        axis.plot(line.naturalness, line.fidelity, style, label=_plain(line.label), **look)
        for end in (0, -1):
            axis.annotate(
                f"{line.values[end]:g}",
                (line.naturalness[end], line.fidelity[end]),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize=6,
                color=colour,
            )
    for line in lines:
        if not line.values:
            axis.plot(line.naturalness, line.fidelity, "x", color="0.2", markersize=5)
            axis.annotate(
                line.label,
                (line.naturalness[0], line.fidelity[0]),
                xytext=(5, -8),
                textcoords="offset points",
                fontsize=6.5,
                **AS_IS,
            )
    axis.set_xlim(-4, 104)
    axis.set_ylim(-0.04, 1.04)
    axis.set_xlabel("naturalness: mean percentile among real test images", fontsize=8)
    axis.set_ylabel("fidelity: 1 − largest output error", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3, linewidth=0.5)
    axis.spines[["top", "right"]].set_visible(False)
    if swept:
        # Below the plot: lines may be anywhere in it.
        columns = 3 if width > 5 else 1
        figure.legend(fontsize=7, frameon=False, loc="outside lower center", ncols=columns)
    return figure


def _plain(label: str) -> str:
    """Escape dollars: a legend knows no other way to say that they are no formula."""
    return label.replace("$", r"\$")


# Inches: in less, an option of the sensitivity is a row.
_NARROW = 5.0
Curve = Sequence[tuple[float, Fidelity, float]]


@styled()
def sensitivity_figure(
    curves: Mapping[str, Mapping[str, Curve]], width: float | None = None
) -> Figure:
    """Draw fidelity and likeness against an option.

    Args:
        curves: by option (margin, ridge, rcond), then by pixel policy, what
            :func:`jaxbq.diagnosis.sensitivity` returned.
        width: inches, 2.8 an option by default. Where that is little, an option is a row.

    Returns:
        Above (or at the left), the mean over targets of the largest output error; below, the mean
        correlation of the images with those of the option's default.
    """
    turned = width is not None and width < _NARROW
    size = (width or 2.8 * len(curves), 1.7 * len(curves) if turned else 4.2)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    if turned:
        grid: Any = figure.subplots(len(curves), 2, sharex="row", sharey="col", squeeze=False).T
    else:
        grid = figure.subplots(2, len(curves), sharex="col", sharey="row", squeeze=False)
    for column, (knob, lines) in enumerate(curves.items()):
        above, below = grid[:, column]
        styles = zip((BLUE, ORANGE, GREEN), ("o-", "s--", "^:"), strict=True)
        for (policy, curve), (colour, style) in zip(lines.items(), styles, strict=False):
            values = [value for value, _, _ in curve]
            errors = [each.mean_largest_error for _, each, _ in curve]
            look: Any = {"color": colour, "markersize": 3, "linewidth": 1, "label": policy}
            above.plot(values, errors, style, **look)
            below.plot(values, [alike for _, _, alike in curve], style, **look)
        below.set_xscale("log")
        below.set_xlabel(knob, fontsize=8)
        for axis in (above, below):
            axis.grid(alpha=0.3, linewidth=0.5)
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=7)
        if turned:
            above.set_xlabel(knob, fontsize=8)
    error = "output error\n(mean of largest)" if turned else "output error (mean of largest)"
    grid[0, 0].set_ylabel(error, fontsize=8)
    grid[1, 0].set_ylabel("correlation with default", fontsize=8)
    grid[0, 0].legend(title="pixel policy", fontsize=7, title_fontsize=7, frameon=False)
    return figure
