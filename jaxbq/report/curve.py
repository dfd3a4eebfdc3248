"""The picture of a sweep: what is won in fidelity against what is lost in naturalness."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..evaluation import Scores
from .figures import BLUE, DPI, ORANGE


@dataclass(frozen=True)
class CurvePoint:
    """One setting of a sweep, means over targets of the best image.

    Args:
        value: of the option that is swept.
        probability: the network's, of the intended class.
        largest_error: of the outputs.
        naturalness: Mahalanobis percentile among real test images; see
            :class:`~jaxbq.evaluation.Naturalness`.
        correlation: with the intended class's mean image.
        judged: share that the judge reads as intended; None without a judge.
    """

    value: float
    probability: float
    largest_error: float
    naturalness: float
    correlation: float
    judged: float | None = None

    @classmethod
    def of(cls, value: float, scores: Scores) -> "CurvePoint":
        """Take the means of scores."""

        def mean(values: np.ndarray) -> float:
            known = values[:, 0][~np.isnan(values[:, 0])]
            return float(known.mean()) if len(known) else math.nan

        judged = mean(scores.judged_right)
        return cls(
            value,
            mean(scores.target_probability),
            mean(scores.largest_error),
            mean(scores.mahalanobis_percentile),
            mean(scores.correlation_own),
            None if math.isnan(judged) else judged,
        )


def curve_figure(option: str, points: Sequence[CurvePoint]) -> Figure:
    """Draw fidelity against naturalness, and both against the option that was swept.

    Args:
        option: its dotted name.
        points: one a value, in any order.
    """
    points = sorted(points, key=lambda point: point.value)
    figure = Figure(figsize=(9.0, 3.6), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    natural = [point.naturalness for point in points]
    probability = [point.probability for point in points]
    left.plot(natural, probability, color="0.7", linewidth=1, zorder=1)
    left.scatter(natural, probability, s=14, color=BLUE, zorder=2)
    for point in (points[0], points[len(points) // 2], points[-1]):
        left.annotate(
            f"{point.value:.3g}",
            (point.naturalness, point.probability),
            textcoords="offset points",
            xytext=(6, -10),
            fontsize=7,
        )
    left.set_xlabel("naturalness: % of test images farther from the data", fontsize=8)
    left.set_ylabel("fidelity: probability of the intended class", fontsize=8)
    values = [point.value for point in points]
    lines: list[tuple[str, list[Any], str, str]] = [
        ("probability", probability, BLUE, "o-"),
        ("naturalness / 100", [n / 100 for n in natural], ORANGE, "s--"),
        ("correlation with class mean", [p.correlation for p in points], "#009E73", "^:"),
    ]
    if points[0].judged is not None:
        lines.append(("read right by the judge", [p.judged for p in points], "0.3", "x-."))
    for name, column, colour, style in lines:
        right.plot(values, column, style, color=colour, markersize=3, linewidth=1, label=name)
    if min(values) > 0 and max(values) > 20 * min(values):
        right.set_xscale("log")
    right.set_ylim(-0.05, 1.05)
    right.set_xlabel(option, fontsize=8)
    right.legend(fontsize=7, frameon=False)
    for axis in (left, right):
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3, linewidth=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    return figure
