"""Which differences between methods hold: one square table a score, every method against every."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .checked import Row, damaged, number
from .numbers import between, plain
from .reading import Run

LEVEL = 0.05
_SIGNS = ("+", "−")
_LABELS = {
    "fidelity": "Fidelity",
    "readability": "Readability",
    "naturalness": "Naturalness",
    "transfer": "Transfer",
}


class Square(NamedTuple):
    """One score's table.

    Args:
        score: its name.
        lines: one a method: its number, its name, and of every other method the sign of the
            difference and what it is in words; none where no difference holds.
    """

    score: str
    lines: Sequence[tuple[int, str, Sequence[tuple[str, str]]]]


def squares(run: Run) -> list[Square]:
    """Make the tables; none where no pairs were compared.

    Raises:
        JaxbqError: the file is damaged.
    """
    path = run.folder.path / "tables" / "pairs.csv"
    scores: dict[str, dict[tuple[str, str], Row]] = {}
    try:
        for row in run.pairs:
            scores.setdefault(row["score"], {})[row["first"], row["second"]] = row
        return [_square(run, score, found) for score, found in scores.items()]
    except KeyError as fault:
        raise damaged(path, f"it has no column {fault}") from None


def _square(run: Run, score: str, found: Mapping[tuple[str, str], Row]) -> Square:
    lines = [
        (n, first, [_cell(run, found, first, second) for second in run.methods])
        for n, first in enumerate(run.methods, 1)
    ]
    holds = any(sign in _SIGNS for _, _, cells in lines for sign, _ in cells)
    return Square(_LABELS.get(score, score), lines if holds else [])


def _cell(
    run: Run, found: Mapping[tuple[str, str], Row], first: str, second: str
) -> tuple[str, str]:
    row, turned = found.get((first, second)), False
    if row is None:
        row, turned = found.get((second, first)), True
    if row is None:
        return "", ""
    path = run.folder.path / "tables" / "pairs.csv"
    mean, low, high, p, effect = (
        number(row, column, path) for column in ("mean", "low", "high", "p_holm", "effect")
    )
    if turned:
        mean, low, high, effect = -mean, -high, -low, -effect
    words = f"{first} less {second}: {plain(mean)} {between(low, high, plain)}".strip()
    words += f", p {plain(p)} after Holm’s correction, effect {plain(effect)}"
    # NaN is not below the level either.
    sign = _SIGNS[mean < 0] if p < LEVEL else "·"
    return sign, words
