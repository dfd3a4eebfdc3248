"""What stands in the plane of fidelity and readability: its points, their signs and their order."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..style import BLUE, GREEN, ORANGE, PURPLE

# Mean, and the two ends of its interval.
Estimate = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class PlanePoint:
    """A method's place in the plane.

    Args:
        label: its name.
        kind: of the method, like ``transpose``; says which sign it gets.
        fidelity: mean, low and high end of the interval, from 0 to 1; None where unknown.
        readability: likewise, the share of judges that read what was asked.
        naturalness: likewise, a percentile among real test images from 0 to 100.
        images: what it gave for some targets, shape (shown, pixels); the first stands in the plane.
    """

    label: str
    kind: str
    fidelity: Estimate | None
    readability: Estimate | None
    naturalness: Estimate | None = None
    images: Float[np.ndarray, "shown pixels"] | None = None

    @property
    def place(self) -> tuple[float, float] | None:
        """Mean fidelity and readability; None where one is unknown."""
        if self.fidelity is None or self.readability is None:
            return None
        x, y = self.fidelity[0], self.readability[0]
        return (x, y) if math.isfinite(x) and math.isfinite(y) else None

    @property
    def naturally(self) -> float | None:
        """Mean naturalness; None where unknown."""
        known = self.naturalness is not None and math.isfinite(self.naturalness[0])
        return self.naturalness[0] if known and self.naturalness is not None else None


class Family(NamedTuple):
    """Methods of one idea, and the sign that they share: marker, its points across, its colour."""

    name: str
    kinds: tuple[str, ...]
    marker: str
    size: float
    colour: str


FAMILIES = (
    Family("layers run backwards", ("transpose", "pseudo_inverse"), "o", 6.0, BLUE),
    Family("image searched for", ("preimage", "ascent"), "^", 6.6, ORANGE),
    Family("learned from images", ("decoder", "projected"), "s", 5.4, GREEN),
    Family("taken from the data", ("exemplars", "exemplar_mean", "class_mean"), "D", 5.0, PURPLE),
    Family("nothing asked", ("grey", "noise"), "X", 6.2, "0.3"),
)
_OTHER = Family("another way", (), "P", 6.2, "0")


class Entry(NamedTuple):
    """A point with the number that it has in the figure."""

    number: int
    point: PlanePoint

    @property
    def family(self) -> Family:
        """Its methods' family."""
        return family_of(self.point.kind)

    @property
    def shown(self) -> int:
        """How many images it has."""
        return 0 if self.point.images is None else len(self.point.images)


class Group(NamedTuple):
    """The points of one quadrant, under the words for it."""

    words: str
    entries: tuple[Entry, ...]


# Of the quadrants, by whether fidelity and readability are at least one half.
QUADRANTS = {
    (True, True): "faithful and readable",
    (False, True): "readable, not faithful",
    (True, False): "faithful, not readable",
    (False, False): "neither",
}
_UNKNOWN = "not measured"


def family_of(kind: str) -> Family:
    """Find the family of a kind of method."""
    return next((family for family in FAMILIES if kind in family.kinds), _OTHER)


def families_of(points: Iterable[PlanePoint]) -> list[Family]:
    """List the families that there are, in their order."""
    found = {family_of(point.kind) for point in points}
    return [family for family in (*FAMILIES, _OTHER) if family in found]


def arrange(points: Sequence[PlanePoint]) -> list[Group]:
    """Give points numbers by quadrant, the most natural first, what is equal as given."""
    parts: dict[str, list[PlanePoint]] = {words: [] for words in (*QUADRANTS.values(), _UNKNOWN)}
    for point in points:
        parts[_quadrant(point)].append(point)
    groups, number = [], 1
    for words, members in parts.items():
        members.sort(key=lambda point: 1.0 if point.naturally is None else -point.naturally)
        if members:
            entries = tuple(Entry(number + n, point) for n, point in enumerate(members))
            groups.append(Group(words, entries))
            number += len(entries)
    return groups


def _quadrant(point: PlanePoint) -> str:
    if point.place is None:
        return _UNKNOWN
    x, y = point.place
    return QUADRANTS[x >= 0.5, y >= 0.5]


def say_numbers(numbers: Iterable[int]) -> str:
    """Write numbers down in short, like ``1–4, 7``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    said = (f"{a}" if a == b else f"{a}, {b}" if b == a + 1 else f"{a}–{b}" for a, b in runs)
    return ", ".join(said)
