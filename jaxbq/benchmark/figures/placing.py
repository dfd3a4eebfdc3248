"""Short texts beside points of a plot, where there is room."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ...report.style import text_width

_STEPS = (0.95, 1.6, 2.3, 3.2)  # lines of text from the point
_ANGLES = (90, 270, 0, 180, 45, 135, 315, 225)


class Beside:
    """Places texts, each as near to its point as others leave room for.

    Args:
        axis: the plot; its limits and place are final.
        points: height of the text.
    """

    def __init__(self, axis: Any, points: float) -> None:
        self._axis = axis
        self._points = points
        self._dot = axis.get_figure().dpi / 72
        self._taken: list[tuple[float, float, float, float]] = []

    def avoid(self, places: Sequence[tuple[float, float]]) -> None:
        """Keep texts off marks, given in data."""
        half = 0.42 * self._points * self._dot
        for x, y in self._axis.transData.transform(places):
            self._taken.append((x - half, y - half, x + half, y + half))

    def avoid_line(self, line: Any, reach: float = 0.15) -> None:
        """Keep texts off a line of the plot, and ``reach`` lines of text at both sides of it."""
        corners = self._axis.transData.transform(line.get_xydata())
        half = reach * self._points * self._dot
        for one, two in pairwise(corners):
            steps = max(int(math.dist(one, two) / (2 * half)), 1)
            for x, y in np.linspace(one, two, steps + 1):
                self._taken.append((x - half, y - half, x + half, y + half))

    def write(self, text: str, place: tuple[float, float], colour: str) -> None:
        """Write a text beside a point; a thin line leads to one that is further away.

        Args:
            text: one line.
            place: the point, in data.
            colour: of the text.
        """
        size = self._points - 1
        half = 0.5 * text_width(text, size, "bold") * 72 * self._dot, 0.4 * size * self._dot
        at = self._axis.transData.transform(place)
        best = min(self._candidates(at), key=lambda offset: self._cost(at, offset, half))
        x, y = at + best
        self._taken.append((x - half[0], y - half[1], x + half[0], y + half[1]))
        far = math.hypot(*best) > 1.2 * self._points * self._dot
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
        self._axis.annotate(
            text,
            place,
            xytext=tuple(best / self._dot),
            textcoords="offset points",
            fontsize=size,
            fontweight="bold",
            color=colour,
            ha="center",
            va="center_baseline",
            zorder=6,
            arrowprops=leader if far else None,
        )

    def _candidates(self, at: np.ndarray) -> list[np.ndarray]:
        reach = [step * self._points * self._dot for step in _STEPS]
        turns = [math.radians(angle) for angle in _ANGLES]
        return [np.array([r * math.cos(t), r * math.sin(t)]) for r in reach for t in turns]

    def _cost(self, at: np.ndarray, offset: np.ndarray, half: tuple[float, float]) -> float:
        """Say how bad a place is: what it would cover, then how far it is."""
        x, y = at + offset
        left, low, right, high = x - half[0], y - half[1], x + half[0], y + half[1]
        covered = sum(
            max(min(right, r) - max(left, le), 0) * max(min(high, h) - max(low, lo), 0)
            for le, lo, r, h in self._taken
        )
        frame = self._axis.get_window_extent()
        outside = left < frame.x0 or right > frame.x1 or low < frame.y0 or high > frame.y1
        return 1e6 * outside + 1e3 * covered + math.hypot(*offset)
