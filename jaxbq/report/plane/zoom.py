"""A crowd of points, magnified in the emptiest place of the plane."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from ...data import ImageSpace
from .marks import LINE, MARK, Frame, lead, mark, pairs, picture_size, sheet, show, write
from .placement import Board, Box, emptiest, grouped
from .points import Entry

# Signs that nearly touch cannot be numbered one by one; so many of them make a crowd.
_NEAR, _CROWD = 1.7 * MARK, 3
# A crowd that spreads less than this is one point, and one that spreads more is none.
_LEAST, _MOST = 0.002, 0.3
# What is tried until there is room for it: shares of the plane's width, with images or without.
_TRIES = ((0.58, True), (0.58, False), (0.44, False), (0.34, False))
# Inches: the ticks' room at the left and below, the points' own height in a row and in a cloud,
# the lines to the numbers, an image, what is between two, and a number without one.
_MARGIN, _ROW, _CLOUD, _LEADER, _IMAGE, _GAP, _NUMBER = (
    (0.22, 0.16),
    0.1,
    0.6,
    0.1,
    0.28,
    0.04,
    0.15,
)


def _find_crowd(frame: Frame, entries: Sequence[Entry]) -> list[Entry]:
    """Find the most points that stand too near each other to be told apart, if there are such."""
    places = np.array([entry.point.place for entry in entries])
    inches = frame.places(entry.point for entry in entries)
    crowd = max(grouped(inches, _NEAR), key=len)
    spread = np.ptp(places[crowd], axis=0).max()
    if len(crowd) < _CROWD or not _LEAST <= spread <= _MOST:
        return []
    return [entries[n] for n in crowd]


def magnify(
    figure: Figure, frame: Frame, entries: Sequence[Entry], board: Board, space: ImageSpace
) -> list[Entry]:
    """Draw the largest crowd larger, with every number, in the emptiest place of the plane.

    Args:
        figure: to draw in.
        frame: the plane.
        entries: points that have a place in it.
        board: what is taken in the plane; the magnified part will be.
        space: of the points' images.

    Returns:
        What is named there; nothing where there is no crowd or no room.
    """
    crowd = _find_crowd(frame, entries)
    for width, images in _TRIES if crowd else ():
        plan = _plan(crowd, entries, width * frame.box[2], space if images else None)
        free = _find_room(frame, plan, board)
        if free is not None:
            board.taken.append(free)
            _draw(figure, frame, plan, free, board, space)
            return plan.crowd
    return []


def _find_room(frame: Frame, plan: "_Plan", board: Board) -> Box | None:
    left, bottom, width, height = frame.box
    whole = (plan.size[0] + _MARGIN[0], plan.size[1] + _MARGIN[1])
    inner = (left + 0.1, bottom + 0.1, width - 0.2, height - 0.3)
    towards = pairs(frame.places(entry.point for entry in plan.crowd))
    return emptiest(whole, inner, board.taken, towards[len(towards) // 2])


def _draw(
    figure: Figure, frame: Frame, plan: "_Plan", free: Box, board: Board, space: ImageSpace
) -> None:
    inset = Frame((free[0] + _MARGIN[0], free[1] + _MARGIN[1], *plan.size), plan.across, plan.up)
    ground = sheet(figure, 2.4)
    ground.add_patch(Rectangle(free[:2], *free[2:], facecolor="white", edgecolor="none"))
    ground.add_patch(Rectangle(inset.box[:2], *plan.size, facecolor="0.97", edgecolor="none"))
    lower, upper = pairs(frame.inches(zip(plan.across, plan.up, strict=True)))
    part = (*lower, upper[0] - lower[0], upper[1] - lower[1])
    _connect(figure, part, inset.box, board)
    zoom = inset.axes(figure, zorder=2.6, label="zoom")
    _draw_ticks(zoom, plan.flat)
    for entry in reversed(plan.crowd):
        # Along a row all whiskers would lie on one line.
        mark(zoom, entry.point, whiskers=not plan.flat)
    _call_out(figure, inset, plan, space)


def _connect(figure: Figure, part: Box, inset: Box, board: Board) -> None:
    """Outline what is magnified, and join its corners to those of the magnified part."""
    under = sheet(figure, 0.5)
    look: Any = {"edgecolor": "0.65", "facecolor": "0.97", "linewidth": 0.7}
    under.add_patch(Rectangle(part[:2], *part[2:], zorder=2, **look))
    right, top = (part[n] + part[2 + n] for n in (0, 1))
    far_right, far_top = (inset[n] + inset[2 + n] for n in (0, 1))
    west, east = part[0] < inset[0], right < far_right
    south, north = part[1] < inset[1], top < far_top
    # A line that would run through one of both boxes is left out: two of four remain.
    joined = (
        (west != south, part[:2], inset[:2]),
        (west == north, (part[0], top), (inset[0], far_top)),
        (east == south, (right, part[1]), (far_right, inset[1])),
        (east != north, (right, top), (far_right, far_top)),
    )
    for seen, start, end in joined:
        if seen:
            under.plot(*zip(start, end, strict=True), color="0.65", linewidth=0.7, zorder=1)
            board.leaders.append((start, end))


class _Plan(NamedTuple):
    """What is magnified, how large, and with what limits; whether it is a row; size of images."""

    crowd: list[Entry]
    size: tuple[float, float]
    across: tuple[float, float]
    up: tuple[float, float]
    flat: bool
    picture: tuple[float, float] | None

    def shows(self, entry: Entry) -> bool:
        """Whether a point lies in the part of the plane that is shown."""
        if entry.point.place is None:
            return False
        x, y = entry.point.place
        return self.across[0] <= x <= self.across[1] and self.up[0] <= y <= self.up[1]


def _plan(
    crowd: list[Entry],
    entries: Sequence[Entry],
    width: float,
    space: ImageSpace | None,
) -> _Plan:
    """Choose what part of the plane is shown, and how large."""
    plan = _fit(crowd, width, space)
    # Whatever else lies in the part that is shown is shown as well.
    while len(more := [e for e in entries if e in plan.crowd or plan.shows(e)]) > len(plan.crowd):
        plan = _fit(more, width, space)
    return plan


def _fit(crowd: list[Entry], width: float, space: ImageSpace | None) -> _Plan:
    places = np.array([entry.point.place for entry in crowd])
    low, high = places.min(axis=0), places.max(axis=0)
    (across, up), (x, y) = high - low, (low + high) / 2
    flat = bool(up < 0.2 * across)
    slots, images = -(-len(crowd) // 2), any(entry.shown for entry in crowd)
    picture = picture_size(space, _IMAGE) if space is not None and images else None
    if picture is not None and slots * (picture[0] + _GAP) > width - _GAP:
        picture = None
    named = _LEADER + LINE + 0.03 + (0 if picture is None else picture[1] + 0.02)
    tall = (_ROW if flat else _CLOUD) + 2 * named
    # Along a row both axes have one scale; a cloud may be narrower than it is high.
    a = 0.5 * 1.2 * max(across, 0.3 * up)
    b = a * tall / width if flat else 0.5 * up * tall / _CLOUD
    box = (float(x - a), float(x + a)), (float(y - b), float(y + b))
    return _Plan(crowd, (width, tall), *box, flat, picture)


def _draw_ticks(zoom: Any, flat: bool) -> None:
    zoom.tick_params(labelsize=5.5, length=1.5, pad=1.5, color="0.6", labelcolor="0.3")
    zoom.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    # Nothing is above 1, whatever the margin shows.
    ticks = [] if flat else [t for t in MaxNLocator(3).tick_values(*zoom.get_ylim()) if t <= 1]
    low, high = zoom.get_ylim()
    zoom.set_yticks([tick for tick in ticks if low <= tick <= high])
    for spine in zoom.spines.values():
        spine.set_color("0.65")
        spine.set_linewidth(0.7)


def _call_out(figure: Figure, inset: Frame, plan: _Plan, space: ImageSpace) -> None:
    """Write all numbers, and images, along the upper and the lower edge, from left to right."""
    crowd = plan.crowd
    page, places = sheet(figure, 2.5), inset.places(entry.point for entry in crowd)
    order = np.lexsort((places[:, 1], places[:, 0]))
    if plan.flat:
        sides = order[0::2], order[1::2]
    else:
        above = np.zeros(len(crowd), bool)
        above[np.argsort(-places[:, 1], kind="stable")[: len(crowd) // 2]] = True
        sides = order[above[order]], order[~above[order]]
    left, bottom, width, height = inset.box
    wide = _NUMBER if plan.picture is None else plan.picture[0]
    for members, sign in zip(sides, (1, -1), strict=True):
        bounds = left + _GAP + wide / 2, left + width - _GAP - wide / 2
        slots = spread_out(places[members, 0], wide + _GAP, bounds)
        edge = bottom + height if sign > 0 else bottom
        for n, x in zip(members.tolist(), slots.tolist(), strict=True):
            y = edge - sign * (LINE / 2 + 0.03)
            write(page, (x, y), str(crowd[n].number))
            y -= sign * (LINE / 2 + 0.01)
            if plan.picture is not None:
                across, tall = plan.picture
                corner = (x - across / 2, y - tall if sign > 0 else y)
                y -= sign * tall
                show(figure, crowd[n], corner, _IMAGE, space)
            lead(page, pairs(places)[n], (x, y))


def spread_out(
    wanted: Float[np.ndarray, " n"], apart: float, bounds: tuple[float, float]
) -> Float[np.ndarray, " n"]:
    """Move places that ascend as little as keeps them apart, and within bounds where they fit.

    Args:
        wanted: where they would be.
        apart: least distance of neighbours.
        bounds: lowest and highest place.
    """
    from scipy.optimize import isotonic_regression

    steps = apart * np.arange(len(wanted))
    if len(wanted) == 0:
        return wanted
    low, high = bounds[0], max(bounds[0], bounds[1] - steps[-1])
    return np.clip(isotonic_regression(wanted - steps).x, low, high) + steps
