"""A section of the page a class: all methods side by side, nearest training images beside each."""

from collections.abc import Sequence
from typing import NamedTuple

from .columns import cell
from .shots import Shot, Shots

_SHOWN = (
    ("fidelity", "fidelity"),
    ("readability", "readability"),
    ("judged_right", "judge reads it"),
    ("naturalness", "naturalness"),
    ("transfer", "transfer"),
    ("nearest", "to the nearest"),
    ("correlation_own", "correlation with the mean"),
)
_MOST = 5


class Card(NamedTuple):
    """A method's image of one class.

    Args:
        number: of the method, from 1.
        name: of the method.
        shot: its best image.
        neighbours: the training images nearest to it.
        scores: names and numbers.
    """

    number: int
    name: str
    shot: Shot
    neighbours: Sequence[Shot]
    scores: Sequence[tuple[str, str]]


class ClassView(NamedTuple):
    """All methods' images of one target."""

    number: int
    title: str
    cards: Sequence[Card]


def class_views(shots: Shots) -> list[ClassView]:
    """Make the sections, of the first network."""
    return [
        ClassView(target, title, [_card(shots, n, target) for n in range(len(shots.run.methods))])
        for target, title in enumerate(shots.titles)
    ]


def _card(shots: Shots, n: int, target: int) -> Card:
    run = shots.run
    network = run.trained[0]
    row = run.scores.get((network, n, target, 0), {})
    known = [(label, column) for column, label in _SHOWN if row.get(column)]
    return Card(
        n + 1,
        run.methods[n],
        shots.shot(network, n, target),
        shots.neighbours(network, n, target),
        [
            (label, cell(column, row[column], shots.class_names, 3))
            for label, column in known[:_MOST]
        ],
    )
