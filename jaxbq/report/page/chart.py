"""The geometry of the fidelity–readability plane, and of rings and strips for naturalness."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ...evaluation.statistics import Interval
from ..plane.placement import Board, Box, Point
from .frame import BADGE, RING, Frame, corners, written
from .numbers import between, coordinate, percent, share

_STRIP = 120.0
_DOT = 3.0
# The board of labels counts in inches; these are CSS pixels.
_INCH = 96.0
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_SHORTEST = 3.0  # pixels; a shorter whisker is inside its dot
_TITLE = 250.0  # pixels of the name of the axis that goes up


class Estimates(NamedTuple):
    """A method and the three scores of the plane."""

    number: int
    name: str
    fidelity: Interval
    readability: Interval
    naturalness: Interval

    @property
    def words(self) -> str:
        """All numbers in words."""
        parts = (("fidelity", self.fidelity, share), ("readability", self.readability, share))
        said = [
            f"{name} {write(one.mean)} {between(one.low, one.high, write)}".strip()
            for name, one, write in (*parts, ("naturalness", self.naturalness, percent))
        ]
        return f"{self.number}. {self.name}: {', '.join(said)}"


class Mark(NamedTuple):
    """A method in the plane; coordinates as SVG writes them."""

    number: int
    name: str
    words: str
    dot: tuple[str, str] | None
    whiskers: str
    leader: str
    centre: tuple[str, str]
    arc: str


class Tick(NamedTuple):
    """A line of the grid."""

    place: str
    label: str


class Plane(NamedTuple):
    """A drawing of the plane."""

    name: str
    width: int
    height: int
    left: str
    right: str
    top: str
    bottom: str
    across: Sequence[Tick]
    up: Sequence[Tick]
    words: Sequence[tuple[str, str, str]]
    marks: Sequence[Mark]


class Strip(NamedTuple):
    """Naturalness on a line from 0 to 100."""

    x: str
    low: str
    high: str


def plane(name: str, methods: Sequence[Estimates], width: int, height: int) -> Plane:
    """Lay the plane out: points where they belong, badges beside them where it is crowded.

    Args:
        name: of this drawing, for its identifiers.
        methods: those with both scores.
        width: pixels.
        height: pixels.
    """
    narrow = width < 480
    frame = Frame(44.0, width - (30.0 if narrow else 44.0), 44.0, height - 52.0)
    points = [frame.at(each.fidelity.mean, each.readability.mean) for each in methods]
    centres = _badges(points, (width, height), frame)
    marks = [_mark(*each, frame) for each in zip(methods, points, centres, strict=True)]
    words = [] if narrow else corners(frame, [*points, *centres])
    return Plane(
        name,
        width,
        height,
        coordinate(frame.left),
        coordinate(frame.right),
        coordinate(frame.top),
        coordinate(frame.bottom),
        [Tick(coordinate(frame.at(value, 0)[0]), f"{value:g}") for value in _TICKS],
        [Tick(coordinate(frame.at(0, value)[1]), f"{value:g}") for value in _TICKS],
        words,
        marks,
    )


def ring(filled: float, centre: Point = (BADGE, BADGE)) -> str:
    """Draw an arc clockwise from the top, a full ring for 1; nothing for 0 or an unknown share."""
    if math.isnan(filled) or filled < 0.005:
        return ""
    angle = 2 * math.pi * min(filled, 0.9999)
    x, y = centre[0] + RING * math.sin(angle), centre[1] - RING * math.cos(angle)
    start = f"M{coordinate(centre[0])} {coordinate(centre[1] - RING)}"
    large = int(angle > math.pi)
    # Two digits, or a ring that is all but full would close in nothing.
    return f"{start}A{RING} {RING} 0 {large} 1 {x:z.2f} {y:z.2f}"


def strip(naturalness: Interval) -> Strip | None:
    """Place naturalness and its interval on a line; None where it is unknown."""
    if math.isnan(naturalness.mean):
        return None
    ends = [
        naturalness.mean if math.isnan(end) else end
        for end in (naturalness.mean, naturalness.low, naturalness.high)
    ]
    return Strip(*(coordinate(_STRIP * min(max(end, 0.0), 100.0) / 100) for end in ends))


def band(quantiles: Sequence[float]) -> tuple[str, str] | None:
    """Place what most real images have on the same line, its start and its width."""
    if len(quantiles) != 3 or any(math.isnan(value) for value in quantiles):
        return None
    return coordinate(_STRIP * quantiles[0] / 100), coordinate(
        _STRIP * (quantiles[2] - quantiles[0]) / 100
    )


def _mark(each: Estimates, point: Point, centre: Point, frame: Frame) -> Mark:
    apart = math.dist(point, centre) > 0.5
    end = _towards(centre, point, RING + 1.5)
    whiskers = [
        _whisker(frame.at(each.fidelity.low, each.readability.mean), point, each.fidelity.low),
        _whisker(point, frame.at(each.fidelity.high, each.readability.mean), each.fidelity.high),
        _whisker(frame.at(each.fidelity.mean, each.readability.low), point, each.readability.low),
        _whisker(point, frame.at(each.fidelity.mean, each.readability.high), each.readability.high),
    ]
    return Mark(
        each.number,
        each.name,
        each.words,
        written(point) if apart else None,
        "".join(whiskers),
        "M{} {}L{} {}".format(*written(point), *written(end)) if apart else "",
        written(centre),
        ring(each.naturalness.mean / 100, centre),
    )


def _whisker(start: Point, end: Point, known: float) -> str:
    if math.isnan(known) or math.dist(start, end) < _SHORTEST:
        return ""
    return "M{} {}L{} {}".format(*written(start), *written(end))


def _towards(start: Point, end: Point, distance: float) -> Point:
    """Go so far from one point towards another."""
    whole = math.dist(start, end)
    part = min(distance / whole, 1.0) if whole else 0.0
    return start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1])


def _badges(points: Sequence[Point], size: tuple[int, int], frame: Frame) -> list[Point]:
    """Find a place for every badge: on its point where that is alone, else near and on nothing."""
    # All of the drawing but the numbers of the axes.
    bounds: Box = _scaled((frame.left + 2, 2.0, size[0] - frame.left - 4, frame.bottom - 4))
    board = Board(bounds)
    alone = [
        all(math.dist(one, other) > 2 * BADGE for k, other in enumerate(points) if k != n)
        for n, one in enumerate(points)
    ]
    board.taken.append(_scaled((0.0, 2.0, _TITLE, 18.0)))
    for point, single in zip(points, alone, strict=True):
        board.taken.append(_around(point, BADGE if single else _DOT + 1))
    centres = []
    for point, single in zip(points, alone, strict=True):
        found = None
        if not single:
            anchor = (point[0] / _INCH, point[1] / _INCH)
            side = 2 * BADGE / _INCH
            found = board.place(anchor, (side, side), 10 / _INCH, 2.4)
        if found is None:
            centres.append(point)
        else:
            left, top, wide, tall = found.box
            centres.append(((left + wide / 2) * _INCH, (top + tall / 2) * _INCH))
    return centres


def _around(point: Point, radius: float) -> Box:
    return _scaled((point[0] - radius, point[1] - radius, 2 * radius, 2 * radius))


def _scaled(box: Box) -> Box:
    left, top, wide, tall = (value / _INCH for value in box)
    return left, top, wide, tall
