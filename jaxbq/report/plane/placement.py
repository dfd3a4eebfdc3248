"""Where labels stand in a crowded plot: near what they name, on nothing, the same every time.

All lengths are inches; a box is (left, bottom, width, height).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

Box = tuple[float, float, float, float]
Point = tuple[float, float]
_DIRECTIONS = 32
_RINGS = 40
_SAMPLES = 16
_PAD = 0.02
# What it costs, in inches of distance, to cross another leader line, to lead through what is taken,
# and to cover what is to be avoided.
_CROSSING, _THROUGH, _COVERED = 0.4, 0.25, 0.08


class Placed(NamedTuple):
    """A label's box, and the end of its leader line, on the edge of the box."""

    box: Box
    end: Point


@dataclass
class Board:
    """A plot that is filled label by label.

    Args:
        bounds: the box that no label leaves.
        taken: boxes that no label may cover.
        avoided: boxes that a label covers only where it would be far away otherwise.
        leaders: lines that lead from what is named to its label.
    """

    bounds: Box
    taken: list[Box] = field(default_factory=list)
    avoided: list[Box] = field(default_factory=list)
    leaders: list[tuple[Point, Point]] = field(default_factory=list)

    def place(
        self,
        anchor: Point,
        size: tuple[float, float],
        nearest: float,
        farthest: float,
        plainly: bool = False,
    ) -> Placed | None:
        """Find the best free place for a label and take it.

        Args:
            anchor: what is named.
            size: width and height of the label.
            nearest: least distance between anchor and label.
            farthest: largest.
            plainly: take no place whose leader crosses another, or passes through anything.

        Returns:
            The place; None where none is free.
        """
        angle = 2 * np.pi * (np.arange(_DIRECTIONS) + 0.5) / _DIRECTIONS
        ways = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        rings = np.linspace(nearest, farthest, _RINGS)
        # The label's edge, not its centre, is at this distance.
        away = rings[:, None, None] * ways + ways * (np.asarray(size) / 2)
        centres = (np.asarray(anchor) + away).reshape(-1, 2)
        boxes = np.concatenate(
            [centres - np.asarray(size) / 2, np.tile(size, (len(centres), 1))], 1
        )
        ends = np.clip(anchor, boxes[:, :2], boxes[:, :2] + boxes[:, 2:])
        padded = boxes + _PAD * np.array([-1, -1, 2, 2])
        free = _inside(padded, self.bounds)
        for taken in self.taken:
            free &= _overlap(padded, taken) <= 0
        crossings, passes = self._crossings(anchor, ends, boxes), self._passes(anchor, ends)
        if plainly:
            free &= (crossings + passes) == 0
        if not free.any():
            return None
        cost = np.hypot(*(ends - np.asarray(anchor)).T) + _CROSSING * crossings + _THROUGH * passes
        for avoided in self.avoided:
            shared = _overlap(boxes, avoided)
            cost += _COVERED * (shared > 0) + shared / (size[0] * size[1])
        best = int(np.where(free, cost, np.inf).argmin())
        placed = Placed(_box(boxes[best]), (float(ends[best, 0]), float(ends[best, 1])))
        self.taken.append(placed.box)
        self.leaders.append((anchor, placed.end))
        return placed

    def _crossings(
        self, anchor: Point, ends: Float[np.ndarray, "k 2"], boxes: Float[np.ndarray, "k 4"]
    ) -> Float[np.ndarray, " k"]:
        """Count the leader lines that each candidate's leader or box would cross."""
        count = np.zeros(len(ends))
        for start, end in self.leaders:
            count += _cross(np.asarray(anchor), ends, np.asarray(start), np.asarray(end))
            along = np.linspace(start, end, _SAMPLES)
            count += _holds(boxes[:, None], along[None]).any(axis=1)
        return count

    def _passes(self, anchor: Point, ends: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, " k"]:
        """Count the taken boxes that each candidate's leader would pass through."""
        share = np.linspace(0, 1, _SAMPLES)[:, None, None]
        along = np.asarray(anchor) + share * (ends - np.asarray(anchor))
        count = np.zeros(len(ends))
        for taken in self.taken:
            box = np.asarray(taken, float)
            # What covers the anchor itself is left by every leader.
            if not _holds(box, np.asarray(anchor)):
                count += _holds(box, along).any(axis=0)
        return count


def emptiest(
    size: tuple[float, float], bounds: Box, taken: Sequence[Box], towards: Point
) -> Box | None:
    """Find the place of a box that is farthest from all that is taken.

    Args:
        size: width and height of the box.
        bounds: where it may be.
        taken: boxes that it must not cover.
        towards: of equally free places the nearest to this point is chosen.

    Returns:
        The box; None where none is free.
    """
    across = np.linspace(bounds[0], bounds[0] + bounds[2] - size[0], 25)
    up = np.linspace(bounds[1], bounds[1] + bounds[3] - size[1], 25)
    if bounds[2] < size[0] or bounds[3] < size[1]:
        return None
    corners = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    boxes = np.concatenate([corners, np.tile(size, (len(corners), 1))], axis=1)
    room = np.full(len(boxes), np.inf)
    for other in taken:
        room = np.minimum(room, _gap(boxes, other))
    # Beyond some room more of it is no gain; then near is better.
    near = np.hypot(*(boxes[:, :2] + boxes[:, 2:] / 2 - np.asarray(towards)).T)
    worth = np.where(room > 0, np.minimum(room, 0.25) - 0.05 * near, -np.inf)
    best = int(worth.argmax())
    return _box(boxes[best]) if room[best] > 0 else None


def grouped(places: Float[np.ndarray, "n 2"], within: float) -> list[list[int]]:
    """Part points into those that touch, directly or through others, in the order of the first."""
    near = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) <= within
    # Reached in ever more steps, until nothing is added.
    while not np.array_equal(wider := (near.astype(int) @ near.astype(int)) > 0, near):
        near = wider
    groups: dict[int, list[int]] = {}
    for number, row in enumerate(near):
        groups.setdefault(int(row.argmax()), []).append(number)
    return list(groups.values())


def _box(values: Float[np.ndarray, " 4"]) -> Box:
    left, bottom, width, height = (float(value) for value in values)
    return left, bottom, width, height


def _inside(boxes: Float[np.ndarray, "k 4"], bounds: Box) -> Bool[np.ndarray, " k"]:
    low, high = np.asarray(bounds[:2]), np.asarray(bounds[:2]) + np.asarray(bounds[2:])
    return ((boxes[:, :2] >= low) & (boxes[:, :2] + boxes[:, 2:] <= high)).all(axis=1)


def _overlap(boxes: Float[np.ndarray, "k 4"], other: Box) -> Float[np.ndarray, " k"]:
    """Area that each box shares with another."""
    low = np.maximum(boxes[:, :2], other[:2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], np.asarray(other[:2]) + np.asarray(other[2:]))
    return np.clip(high - low, 0, None).prod(axis=1)


def _gap(boxes: Float[np.ndarray, "k 4"], other: Box) -> Float[np.ndarray, " k"]:
    """Distance of each box to another; negative where they overlap."""
    low, high = np.asarray(other[:2]), np.asarray(other[:2]) + np.asarray(other[2:])
    apart = np.maximum(low - boxes[:, :2] - boxes[:, 2:], boxes[:, :2] - high)
    distance = np.hypot(*np.clip(apart, 0, None).T)
    return np.where((apart < 0).all(axis=1), apart.max(axis=1), distance)


def _holds(
    boxes: Float[np.ndarray, "*any 4"], points: Float[np.ndarray, "*other 2"]
) -> Bool[np.ndarray, "*both"]:
    low, high = boxes[..., :2], boxes[..., :2] + boxes[..., 2:]
    return np.asarray(((points > low) & (points < high)).all(axis=-1))


def _cross(
    start: Float[np.ndarray, " 2"],
    ends: Float[np.ndarray, "k 2"],
    a: Float[np.ndarray, " 2"],
    b: Float[np.ndarray, " 2"],
) -> Bool[np.ndarray, " k"]:
    """Whether the segments from ``start`` to each end cross the segment from a to b."""

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> Any:
        return np.sign(
            (q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1])
            - (q[..., 1] - p[..., 1]) * (r[..., 0] - p[..., 0])
        )

    return (side(start, ends, a) * side(start, ends, b) < 0) & (
        side(a, b, start) * side(a, b, ends) < 0
    )
