"""What is drawn of a point: its sign, its whiskers, its number and the line that leads there."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import matplotlib.patheffects as effects
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from ...data import ImageSpace
from ..drawing import draw_image, proportion
from ..style import AS_IS, text_width
from .placement import Box, Point
from .points import Entry, PlanePoint, family_of

# Inches that a sign covers; the size of numbers in points, and how high a line of them is.
MARK = 0.085
SIZE = 7.5
LINE = SIZE / 72 * 0.95
_HALO = [effects.withStroke(linewidth=1.8, foreground="white")]


class Frame(NamedTuple):
    """A part of the plane, and the box of inches that it is drawn in."""

    box: Box
    across: tuple[float, float]
    up: tuple[float, float]

    def axes(self, figure: Figure, **more: Any) -> Any:
        """Make its axes, through which what lies below is seen."""
        return axes_at(figure, self.box, xlim=self.across, ylim=self.up, facecolor="none", **more)

    def inches(self, values: Iterable[tuple[float, float]]) -> Float[np.ndarray, "n 2"]:
        """Turn pairs of fidelity and readability into places of the figure."""
        low = np.array([self.across[0], self.up[0]])
        high = np.array([self.across[1], self.up[1]])
        share = (np.array(list(values)).reshape(-1, 2) - low) / (high - low)
        return np.asarray(self.box[:2]) + share * np.asarray(self.box[2:])

    def places(self, points: Iterable[PlanePoint]) -> Float[np.ndarray, "n 2"]:
        """Say where points stand in the figure; those without a place are left out."""
        return self.inches(point.place for point in points if point.place is not None)

    def whiskers(self, points: Iterable[PlanePoint]) -> list[Box]:
        """List the boxes that the points' intervals cover in the figure."""
        boxes: list[Box] = []
        for point in points:
            if point.place is None or point.fidelity is None or point.readability is None:
                continue
            if not np.isfinite([*point.fidelity, *point.readability]).all():
                continue
            (x, y), ((_, *ends), (_, *heights)) = point.place, (point.fidelity, point.readability)
            corners = [(ends[0], y), (ends[1], y), (x, heights[0]), (x, heights[1])]
            a, b, c, d = self.inches(corners).tolist()
            boxes.append((a[0], a[1] - 0.01, b[0] - a[0], 0.02))
            boxes.append((c[0] - 0.01, c[1], 0.02, d[1] - c[1]))
        return boxes


def sheet(figure: Figure, zorder: float) -> Any:
    """Make axes over a whole figure whose units are inches, to write on."""
    width, height = figure.get_size_inches()
    axis = figure.add_axes((0, 0, 1, 1), zorder=zorder, xlim=(0, width), ylim=(0, height))
    axis.set_axis_off()
    return axis


def axes_at(figure: Figure, box: Box, **more: Any) -> Any:
    """Make axes in a box of inches."""
    width, height = figure.get_size_inches()
    place = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
    return figure.add_axes(place, **more)


def around(places: Float[np.ndarray, "n 2"]) -> list[Box]:
    """List the boxes that signs cover."""
    return [(x - MARK / 2, y - MARK / 2, MARK, MARK) for x, y in places.tolist()]


def mark(axis: Any, point: PlanePoint, whiskers: bool = True) -> None:
    """Draw a point at its means, and the whiskers of its intervals."""
    if point.place is None or point.fidelity is None or point.readability is None:
        return
    (x, y), family = point.place, family_of(point.kind)
    if whiskers:
        line: Any = {"color": family.colour, "linewidth": 0.9, "alpha": 0.5, "zorder": 1}
        axis.plot(point.fidelity[1:], (y, y), gid="whisker", **line)
        axis.plot((x, x), point.readability[1:], gid="whisker", **line)
    look: Any = {"markersize": family.size, "markeredgecolor": "white", "markeredgewidth": 0.6}
    look |= {"zorder": 3, "clip_on": False, "gid": "point"}
    axis.plot([x], [y], family.marker, markerfacecolor=family.colour, **look)


def mark_control(axis: Any, point: PlanePoint) -> None:
    """Draw a point of a network that has learnt nothing: small, hollow, grey."""
    if point.place is not None:
        look: Any = {"markersize": 3.5, "markerfacecolor": "none", "markeredgecolor": "0.45"}
        look |= {"markeredgewidth": 0.7, "zorder": 2, "clip_on": False, "gid": "control"}
        axis.plot([point.place[0]], [point.place[1]], family_of(point.kind).marker, **look)


def number_size(text: str) -> tuple[float, float]:
    """Say how much room numbers take, inches."""
    return text_width(text, SIZE, "bold") + 0.03, LINE


def write(axis: Any, place: Point, text: str) -> None:
    """Write numbers centred at a place."""
    look: Any = {"ha": "center", "va": "center_baseline", "fontweight": "bold", "color": "0.1"}
    axis.text(*place, text, fontsize=SIZE, path_effects=_HALO, gid="number", **look, **AS_IS)


def lead(axis: Any, anchor: Point, end: Point) -> None:
    """Draw the line from a sign to its number."""
    line: Any = {"color": "0.4", "linewidth": 0.6, "zorder": 1, "solid_capstyle": "round"}
    axis.plot(*zip(anchor, end, strict=True), **line)


def picture_size(space: ImageSpace, longer: float) -> tuple[float, float]:
    """Say how wide and high an image is whose longer side is given."""
    shape = proportion(space)
    return longer / max(shape, 1), longer * min(shape, 1)


def show(figure: Figure, entry: Entry, corner: Point, longer: float, space: ImageSpace) -> None:
    """Draw the first image of a point, if it has any, with its lower left corner at a place."""
    if entry.point.images is not None and entry.shown:
        box = (*corner, *picture_size(space, longer))
        axis = axes_at(figure, box, zorder=3, xticks=[], yticks=[])
        draw_image(axis, entry.point.images[0], space)
        for spine in axis.spines.values():
            spine.set_color(entry.family.colour)


def pairs(places: Float[np.ndarray, "n 2"]) -> Sequence[Point]:
    """Turn rows into plain pairs."""
    return [(float(x), float(y)) for x, y in places]
