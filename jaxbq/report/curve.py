"""The picture of a sweep: what is won in fidelity against what is lost in naturalness."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..evaluation import Scores
from .style import BLUE, ORANGE, styled, two_plots


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
