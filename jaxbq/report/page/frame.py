"""Where 0 and 1 lie in the plane, and what its corners mean."""

from collections.abc import Sequence
from typing import NamedTuple

from ..plane.placement import Point
from .numbers import coordinate

# Of a badge, the ring with a method's number; pixels.
RING, BADGE = 9.0, 11.0
_PADDING = 0.035  # of the axes, around 0 and 1
# What corners mean: share across, shares up from which the first free one is taken, lines.
_UPPER, _LOWER = (0.72, 0.62, 0.84), (0.3, 0.4, 0.2)
_CORNERS = (
    (0.25, _UPPER, ("readable, not faithful:", "shows a class, convinces others")),
    (0.75, _UPPER, ("faithful and readable",)),
    (0.25, _LOWER, ("neither",)),
    (0.75, _LOWER, ("faithful, not readable:", "convinces this network alone")),
)
_LINE, _WORDS = 18.0, 190.0  # pixels


class Frame(NamedTuple):
    """Where 0 and 1 lie, in pixels."""

    left: float
    right: float
    top: float
    bottom: float

    def at(self, x: float, y: float) -> Point:
        """Turn two shares into pixels."""
        wide, tall = self.right - self.left, self.bottom - self.top
        inside = (wide * _PADDING, tall * _PADDING)
        return (
            self.left + inside[0] + min(max(x, 0.0), 1.0) * (wide - 2 * inside[0]),
            self.bottom - inside[1] - min(max(y, 0.0), 1.0) * (tall - 2 * inside[1]),
        )


def corners(frame: Frame, centres: Sequence[Point]) -> list[tuple[str, str, str]]:
    """Say what it means to lie in a corner, where no badge covers the words."""
    found = []
    for x, heights, lines in _CORNERS:
        tops = [frame.at(x, y) for y in heights]
        free = [top for top in tops if not any(_covers(top, len(lines), c) for c in centres)]
        for n, words in enumerate(lines if free else ()):
            found.append((*written((free[0][0], free[0][1] + n * _LINE)), words))
    return found


def _covers(top: Point, lines: int, centre: Point) -> bool:
    across = abs(centre[0] - top[0]) < _WORDS / 2 + BADGE
    return across and -_LINE - BADGE < centre[1] - top[1] < (lines - 1) * _LINE + BADGE


def written(point: Point) -> tuple[str, str]:
    """Write a point as SVG does."""
    return coordinate(point[0]), coordinate(point[1])
