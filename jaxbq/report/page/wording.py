"""What is known of a method, in words and cells."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from .checked import Row, number
from .numbers import UNKNOWN, count, plain, plural
from .reading import Run
from .shots import network_name

_REASONS = {
    "computed": "a closed form, nothing to iterate",
    "reached": "reached the target",
    "stationary": "at a stationary point",
    "stalled": "no further gain",
    "max_iterations": "all steps allowed were taken",
    "diverged": "numbers overflowed; the best image before that",
    "constant": "a vector with all values equal could not be rescaled; the image means nothing",
}


def facts_of(run: Run, n: int) -> list[str]:
    """Say why a method stopped, what it took, and how its samples differ."""
    name = run.methods[n]
    return [*_reasons(run, n), *_cost(run, name), *_spread(run, name)]


def mean_cell(run: Run, n: int, target: int, column: str) -> str:
    """Write the mean of a score over the trained networks."""
    cells = [
        number(run.scores.get((name, n, target, 0), {}), column, run.folder.scores)
        for name in run.trained
    ]
    known = [value for value in cells if not math.isnan(value)]
    return plain(math.fsum(known) / len(known)) if known else UNKNOWN


def _reasons(run: Run, n: int) -> Iterator[str]:
    """Say why a method stopped, over the trained networks."""
    rows = [
        row
        for key, row in run.scores.items()
        if key[0] in run.trained and key[1] == n and key[3] == 0
    ]
    found = Counter(row.get("reason", "") for row in rows)
    if not found or set(found) == {""}:
        return
    ordered = sorted(found.items(), key=lambda each: (-each[1], each[0]))
    words = [
        f"{_REASONS.get(reason, reason)} ({number} of {len(rows)} images)"
        for reason, number in ordered
    ]
    yield f"Why it stopped: {'; '.join(words)}."


def _cost(run: Run, name: str) -> Iterator[str]:
    """Say what a method took for the first network."""
    path = run.folder.path / "cost.csv"
    mine = [row for row in run.costs if row["method"] == name and row["network"] in run.trained]
    if not mine:
        return
    row: Row = mine[0]
    seconds = [
        f"{label} {plain(number(row, column, path))} s"
        for column, label in (
            ("prepare", "preparing"),
            ("compile", "compiling"),
            ("run", "running"),
        )
        if row.get(column)
    ]
    words = [*seconds]
    if row.get("steps"):
        words.append(plural(int(number(row, "steps", path)), "step") + " at most")
    if row.get("operations"):
        words.append(f"about {count(number(row, 'operations', path))} operations")
    yield f"Cost for {network_name(row['network'])}: {', '.join(words)}."


def _spread(run: Run, name: str) -> Iterator[str]:
    """Say how the samples of a target differ, over the trained networks."""
    mine = [row for row in run.spreads if row["method"] == name and row["network"] in run.trained]
    for column, words in (
        ("distinct", "distinct images among its samples, mean over targets"),
        ("mean_correlation", "mean correlation between samples"),
    ):
        cells = [number(row, column, run.folder.spread) for row in mine]
        known = [value for value in cells if not math.isnan(value)]
        if known:
            yield f"{plain(math.fsum(known) / len(known))}: {words}."


def flat_options(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Write nested options one a line, under dotted names."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from flat_options(member, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and any(
        isinstance(m, Mapping | list | tuple) for m in value
    ):
        for number, member in enumerate(value):
            yield from flat_options(member, f"{path}.{number}")
    else:
        yield path, _word(value)


def _word(value: Any) -> str:
    if value is None or value in ("", ()):
        return UNKNOWN
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(_word(member) for member in value)
    return str(value)
