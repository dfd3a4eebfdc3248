"""The summary table, the points of the plane, and who is best by which score."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...evaluation.statistics import Interval
from ..score_values import SCORES as NEEDED
from ..tables import summarise
from .chart import Estimates
from .checked import Row, number
from .numbers import UNKNOWN, count, estimate, listed, percent, plain, share
from .reading import Run

_NOTHING = Interval(math.nan, math.nan, math.nan, 0, "")
_MOST_NAMED = 3
_QUALITIES = ("fidelity", "readability", "naturalness", "transfer")


class Column(NamedTuple):
    """A column of the table: of which score, what it is called, what it is, how it is written."""

    key: str
    label: str
    about: str
    write: Callable[[float], str]
    large_is_good: bool = True


SCORES = (
    Column("fidelity", "Fidelity", "1 − largest output error, as a share of the range", share),
    Column("right", "Read as asked", "share of the images that the network reads as asked", share),
    Column("readability", "Readability", "share of judges that read the class asked for", share),
    Column("naturalness", "Naturalness", "mean percentile among real test images", percent),
    Column("transfer", "Transfer", "share of independent networks that read the class", share),
)
COSTS = (
    Column("run", "Seconds", "computing, a network, compilation left out", plain, False),
    Column("compile", "Compiling", "seconds a network", plain, False),
    Column("steps", "Steps", "the most that an image took", plain, False),
    Column(
        "operations", "Operations", "floating-point, of matrix products, estimated", count, False
    ),
)


class Cell(NamedTuple):
    """A number of the table, its interval, and what it is sorted by; empty where unknown."""

    text: str
    interval: str = ""
    value: str = ""


class Line(NamedTuple):
    """A method's line of the table."""

    number: int
    name: str
    cells: Sequence[Cell]


class Quality(NamedTuple):
    """One of the four qualities, and which methods have most and least of it."""

    name: str
    most: str
    least: str


class Summary(NamedTuple):
    """All methods by all scores.

    Args:
        columns: that anything is known of.
        lines: one a method.
        estimates: the scores of the plane; methods without both of its axes are left out.
        qualities: who is best by what.
        basis: what intervals are over.
    """

    columns: Sequence[Column]
    lines: Sequence[Line]
    estimates: Sequence[Estimates]
    qualities: Sequence[Quality]
    basis: str


def summary(run: Run) -> Summary:
    """Sum the scores of the trained networks up, best sample of every target."""
    rows = [row for row in run.table if row["network"].isdecimal()]
    costs = [row for row in run.costs if row["network"].isdecimal()]
    # Tables of older versions have other columns.
    known = set(NEEDED) <= set(run.columns)
    found = {one.method: one.scores for one in summarise(rows, [])} if known else {}
    scores = [found.get(name, {}) for name in run.methods]
    columns = [c for c in SCORES if any(not _unknown(own.get(c.key)) for own in scores)]
    spent = [_spent(run, name, costs) for name in run.methods]
    dear = [c for c in COSTS if any(c.key in own for own in spent)]
    lines = [
        Line(
            n,
            name,
            [_score(scores[n - 1].get(c.key, _NOTHING), c) for c in columns]
            + [_cost(spent[n - 1].get(c.key, math.nan), c) for c in dear],
        )
        for n, name in enumerate(run.methods, 1)
    ]
    return Summary(
        [*columns, *dear],
        lines,
        _estimates(run.methods, scores),
        _qualities(run.methods, scores),
        _basis(scores),
    )


def _unknown(one: Interval | None) -> bool:
    return one is None or math.isnan(one.mean)


def _score(one: Interval, column: Column) -> Cell:
    if math.isnan(one.mean):
        return Cell(UNKNOWN)
    places = (0, 1) if column.write is percent else (2, 3)
    return Cell(*estimate(*one[:3], *places), repr(one.mean))


def _cost(value: float, column: Column) -> Cell:
    return Cell(UNKNOWN) if math.isnan(value) else Cell(column.write(value), "", repr(value))


def _spent(run: Run, name: str, costs: Sequence[Row]) -> dict[str, float]:
    """Take what a method cost: means over networks, of steps the most."""
    mine = [row for row in costs if row["method"] == name]
    spent = {}
    for column in COSTS:
        cells = [number(row, column.key, run.folder.path / "cost.csv") for row in mine]
        known = [value for value in cells if not math.isnan(value)]
        if known:
            most = column.key == "steps"
            spent[column.key] = max(known) if most else math.fsum(known) / len(known)
    return spent


def _estimates(methods: Sequence[str], scores: Sequence[dict[str, Interval]]) -> list[Estimates]:
    found = []
    for n, (name, own) in enumerate(zip(methods, scores, strict=True), 1):
        each = [own.get(key, _NOTHING) for key in ("fidelity", "readability", "naturalness")]
        if not _unknown(each[0]) and not _unknown(each[1]):
            found.append(Estimates(n, name, *each))
    return found


def _qualities(methods: Sequence[str], scores: Sequence[dict[str, Interval]]) -> list[Quality]:
    found = []
    for column in SCORES:
        if column.key not in _QUALITIES:
            continue
        means = {
            name: own[column.key].mean
            for name, own in zip(methods, scores, strict=True)
            if not _unknown(own.get(column.key))
        }
        if means:
            most, least = max(means.values()), min(means.values())
            found.append(
                Quality(
                    column.label,
                    _who(means, most, column.write),
                    _who(means, least, column.write),
                )
            )
    return found


def _who(means: dict[str, float], value: float, write: Callable[[float], str]) -> str:
    """Name the methods whose number is written like this one."""
    names = [name for name, mean in means.items() if write(mean) == write(value)]
    more = len(names) - _MOST_NAMED
    if more > 1:
        names = [*names[:_MOST_NAMED], f"{more} more"]
    return f"{write(value)} ({listed(names)})"


def _basis(scores: Sequence[dict[str, Interval]]) -> str:
    """Say what intervals are over; nothing where there are none."""
    known = [one for own in scores for one in own.values() if one.number > 1]
    if not known:
        return ""
    most = max(known, key=lambda one: one.number)
    if most.unit == "networks":
        return f"over {most.number} networks, each by its mean over targets"
    return f"over {most.number} targets of the one network; they say nothing of other networks"
