"""Lines of contenders in a plot, with their names where they end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from ...report.style import AS_IS, shorten
from .canvas import FAINT, text_points
from .looks import Look
from .record import Case, Row

_BESIDE = 5.0  # inches; where there is less, names stand below the plot
_GAP = 1.28  # lines of text
_MOST_NAME = 0.33  # of the width
# What is no contender: a limit or a proportion.
REFERENCE: dict[str, Any] = {"color": "0.45", "linestyle": ":", "linewidth": 1.2, "zorder": 2}
Point = tuple[float, float, float, float]
# A name, its look (None for a reference) and the last value.
End = tuple[str, Look | None, float]


@dataclass(frozen=True)
class Line:
    """A contender's measurements along x.

    Args:
        name: the contender.
        look: its look.
        points: x, value, least and most, in the order of x.
    """

    name: str
    look: Look
    points: Sequence[Point]

    @property
    def end(self) -> float:
        """The last value."""
        return self.points[-1][1]


def lines_of(
    cases: Sequence[Case],
    looks: dict[str, Look],
    value: Callable[[Case, Row], tuple[float, float, float] | None],
) -> list[Line]:
    """Collect a line for every contender that has a value anywhere.

    Args:
        cases: of a sweep, in the order of x.
        looks: by contender.
        value: gives value, least and most of a row; None where it has none.
    """
    found: dict[str, list[Point]] = {}
    for case in cases:
        for row in case.rows:
            measured = value(case, row)
            if measured is not None and case.x is not None:
                found.setdefault(row.contender, []).append((case.x, *measured))
    return [Line(name, looks[name], points) for name, points in found.items()]


def draw_line(axis: Any, line: Line, points: float) -> None:
    """Draw a line with a band from least to most."""
    x, value, low, high = np.array(line.points, dtype=float).T
    axis.plot(x, value, label=line.name, **line.look.of_line(points))
    band: Any = {"color": line.look.colour, "alpha": 0.22, "zorder": line.look.own + 1}
    axis.fill_between(x, low, high, linewidth=0, **band)
    if len(x) == 1:  # a band has no width there
        axis.vlines(x, low, high, linewidth=0.5 * points, **band)


def name_lines(
    figure: Figure,
    axis: Any,
    ends: Sequence[End],
    width: float | None,
) -> None:
    """Write names at the right of a plot, at the heights of their lines' ends and apart.

    Where the figure is narrow, they stand below it. Call this last: it needs the final limits.

    Args:
        figure: of one plot or several.
        axis: the plot.
        ends: of every line.
        width: inches of the figure; None for its own.
    """
    points = text_points(width)
    if width is not None and width < _BESIDE:
        return _name_below(figure, axis, ends, points)
    room = _MOST_NAME * figure.get_size_inches()[0]
    figure.draw_without_rendering()
    tall = axis.get_window_extent().height / figure.dpi * 72
    middle = axis.get_xlim()[0]
    shown = axis.transData.transform([(middle, end) for _, _, end in ends])
    heights = axis.transAxes.inverted().transform(shown)[:, 1]
    lines = np.array([1 + name.count("\n") for name, _, _ in ends])
    places = spread(np.clip(heights, 0, 1), lines * _GAP * points / tall)
    for (name, look, _), place in zip(ends, places, strict=True):
        x, sample = [1.035], {} if look is None else look.of_marker(points)
        if look is None:
            x, sample = [1.015, 1.053], REFERENCE
        mark = Line2D(x, [place] * len(x), transform=axis.transAxes, clip_on=False, **sample)
        axis.add_artist(mark)
        axis.text(
            1.065,
            place,
            "\n".join(shorten(line, points, room) for line in name.split("\n")),
            transform=axis.transAxes,
            fontsize=points - 0.5,
            fontweight="bold" if look is not None and look.own else "normal",
            color=FAINT if look is None else look.colour if look.own else "0.15",
            va="center",
            linespacing=1.1,
            **AS_IS,
        )
    return None


def _name_below(figure: Figure, axis: Any, ends: Sequence[End], points: float) -> None:
    marks = [
        Line2D([], [], **(REFERENCE if look is None else look.of_line(points)))
        for _, look, _ in ends
    ]
    wide, tall = figure.get_size_inches()
    names = [shorten(" ".join(name.split()), points, wide - 1.1) for name, _, _ in ends]
    # Below the numbers and their label, whose heights do not depend on the plot's.
    below = axis.transAxes + ScaledTranslation(0, -3.7 * points / 72, figure.dpi_scale_trans)
    look: Any = {"fontsize": points, "frameon": False, "borderaxespad": 0.0, "handlelength": 3}
    legend = axis.legend(
        marks, names, loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=below, **look
    )
    figure.set_size_inches(wide, tall + 1.5 * points / 72 * len(ends))
    for text in legend.get_texts():
        text.set_parse_math(False)


def spread(heights: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Move labels apart as little as needed.

    Args:
        heights: where each would stand, from 0 to 1.
        sizes: of each, in the same unit.

    Returns:
        Where each stands: none over another, and within 0 to 1 where there is room for all.
    """
    order = np.argsort(heights, kind="stable")
    groups: list[list[int]] = []
    middles: list[float] = []
    for number in order:
        groups.append([int(number)])
        middles.append(float(heights[number]))
        while len(groups) > 1 and _touch(groups, middles, sizes):
            last, middle = groups.pop(), middles.pop()
            merged = len(groups[-1]) + len(last)
            middles[-1] = (middles[-1] * len(groups[-1]) + middle * len(last)) / merged
            groups[-1] += last
    places = np.empty(len(heights))
    floor = 0.0
    for group, middle in zip(groups, middles, strict=True):
        whole = sizes[group].sum()
        below = max(min(middle - whole / 2, 1 - whole), floor)
        for number in group:
            places[number] = below + sizes[number] / 2
            below += sizes[number]
        floor = below
    return places


def _touch(groups: list[list[int]], middles: list[float], sizes: np.ndarray) -> bool:
    halves = (sizes[groups[-2]].sum() + sizes[groups[-1]].sum()) / 2
    return bool(middles[-1] - middles[-2] < halves)
