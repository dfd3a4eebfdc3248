"""How every contender looks: the same in all figures, jaxbq strongest of all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...report.style import BLUE, GREEN, ORANGE, PURPLE
from .record import Case, Record


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of a contender; any two differ in marker, for readers in grey.

    Args:
        colour: of everything that is its.
        marker: round ones are jaxbq's.
        line: its style.
        own: whether it is jaxbq's first row.
        open: whether markers are hollow.
    """

    colour: str
    marker: str
    line: str
    own: bool = False
    open: bool = False

    def of_line(self, points: float) -> dict[str, Any]:
        """Arguments of a matplotlib line, text being ``points`` high."""
        return {
            "color": self.colour,
            "linestyle": self.line,
            "linewidth": (0.26 if self.own else 0.15) * points,
            "zorder": 5 if self.own else 3,
            **self.of_marker(points),
        }

    def of_marker(self, points: float) -> dict[str, Any]:
        """Arguments of a matplotlib line that is a marker."""
        return {
            "marker": self.marker,
            "markersize": (0.72 if self.own else 0.62) * points,
            "markerfacecolor": "white" if self.open else self.colour,
            "markeredgecolor": self.colour if self.open else "white",
            "markeredgewidth": 0.13 * points if self.open else 0.06 * points,
        }


_OWN = (
    Look(BLUE, "o", "-", own=True),
    Look("#56B4E9", "o", "--", open=True),
    Look("#003A5C", "o", "-.", open=True),
)
# The first whose words are in a name; ORANGE is what most readers have.
_USUAL: tuple[tuple[tuple[str, ...], Look], ...] = (
    (("lucent",), Look(GREEN, "^", ":")),
    (("compile",), Look("#E69F00", "D", "-.")),
    (("torch",), Look(ORANGE, "s", "--")),
    (("scikit", "sklearn", "mlpclassifier"), Look(PURPLE, "v", "--")),
    (("book",), Look("0.35", "X", ":")),
    (("lsq",), Look("#7A5195", "<", "-.")),
    (("scipy", "l-bfgs"), Look("#8C510A", "P", "--")),
)
_FURTHER = (
    Look("#7F7F00", ">", "-."),
    Look("#A6192E", "h", "--"),
    Look("0.55", "p", ":"),
    Look("#117777", "*", "-."),
    Look("#AA7744", "d", ":"),
)


def peer_looks(record: Record) -> dict[str, Look]:
    """Give every peer of a record its look, whether it has seconds in it or not."""
    found: dict[str, Look] = {}
    others = 0
    for case in record.cases:
        for contender, peer in case.contenders.items():
            if not peer or contender in found:
                continue
            name = contender.lower()
            usual = next((look for words, look in _USUAL if any(w in name for w in words)), None)
            if usual is None or usual in found.values():
                usual, others = _FURTHER[others % len(_FURTHER)], others + 1
            found[contender] = usual
    return found


def looks_in(cases: Sequence[Case], peers: dict[str, Look]) -> dict[str, Look]:
    """Give all contenders of a figure their looks: jaxbq's first the strong one.

    Args:
        cases: that are drawn together.
        peers: what :func:`peer_looks` returned.
    """
    names = [pair for case in cases for pair in case.contenders.items()]
    own = list(dict.fromkeys(name for name, peer in names if not peer))
    firsts = [case.own.contender for case in cases if case.own is not None]
    own.sort(key=lambda name: name not in firsts)
    return {name: _OWN[min(n, len(_OWN) - 1)] for n, name in enumerate(own)} | peers
