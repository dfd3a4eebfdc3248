"""The scores and costs of a run as arrays of networks and classes, by method."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..errors import JaxbqError
from ..experiment import RunFolder
from ..experiment.folder import read_csv

# What methods are compared by; the other scores are beside them.
HEADLINES = ("fidelity", "readability", "naturalness", "transfer")
# As many as fit the width of a page stand together.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "fidelity": ("fidelity", "right", "target_probability"),
    "errors": ("largest_error", "mean_error", "divergence"),
    "readability": ("readability", "judge_probability", "template_right"),
    "naturalness": (
        "naturalness",
        "nearest_percentile",
        "mahalanobis_percentile",
        "components_residual_percentile",
    ),
    "naturalness, further": (
        "autoencoder_residual_percentile",
        "ssim_percentile",
        "total_variation_percentile",
        "high_frequency_percentile",
    ),
    "transfer and cost": ("transfer", "transfer_probability", "seconds", "operations"),
}
# Of a network as a whole: columns of cost.csv.
COSTS = {"seconds": "run", "operations": "operations"}
SCORES = tuple(name for names in GROUPS.values() for name in names if name not in COSTS)
_SHARES = frozenset(
    (*GROUPS["fidelity"], *GROUPS["readability"], "transfer", "transfer_probability")
)
_IMAGE = ("network", "method", "target", "sample")
_TRUTH = {"True": 1.0, "False": 0.0, "": math.nan}

Row = Mapping[str, str]
# By method and score; of every network and class.
Values = dict[str, dict[str, Float[np.ndarray, "networks classes"]]]


def read_scores(folder: RunFolder) -> list[dict[str, str]]:
    """Read the scores of a run.

    Raises:
        JaxbqError: there are none, or they lack a column, as those of old runs do.
    """
    rows = read_csv(folder.scores)
    _check(rows, (*_IMAGE, *SCORES), folder.scores)
    return rows


def limits(score: str) -> tuple[float, float]:
    """Return the range that a score cannot leave."""
    if score.endswith("percentile") or score == "naturalness":
        return 0.0, 100.0
    return (0.0, 1.0) if score in _SHARES else (0.0, math.inf)


def controls_of(rows: Sequence[Row]) -> list[str]:
    """List the control networks of a run, whose names are no numbers."""
    return list(dict.fromkeys(r["network"] for r in rows if not r["network"].isdecimal()))


def score_values(rows: Sequence[Row], control: str | None = None) -> Values:
    """Arrange scores by method and name.

    Args:
        rows: of scores.csv. The best image of every target counts, sample 0; restarts are no
            networks.
        control: name of a control network; None for the networks that were trained.

    Returns:
        Arrays of every network and class, in ascending order, the same for all methods; NaN is
        unknown.

    Raises:
        JaxbqError: a column is missing or a cell is no number.
    """
    _check(rows, (*_IMAGE, *SCORES), "scores.csv")
    best = [row for row in _of(rows, control) if row["sample"] == "0"]
    return _arranged(best, "target", {name: name for name in SCORES}, "scores.csv")


def cost_values(rows: Sequence[Row], control: str | None = None) -> Values:
    """Arrange costs by method and name, each of one value a network.

    Args:
        rows: of cost.csv.
        control: as for :func:`score_values`.

    Raises:
        JaxbqError: likewise.
    """
    if rows:
        _check(rows, ("network", "method", *COSTS.values()), "cost.csv")
    return _arranged(_of(rows, control), None, COSTS, "cost.csv")


def _check(rows: Sequence[Row], needed: Iterable[str], where: Path | str) -> None:
    if not rows:
        raise JaxbqError(f"{where}: holds nothing; run its config again")
    missing = [name for name in needed if name not in rows[0]]
    if missing:
        raise JaxbqError(
            f"{where}: lacks the column {missing[0]}, as runs of older versions do; "
            "run its config again"
        )


def _of(rows: Sequence[Row], control: str | None) -> list[Row]:
    if control is None:
        return [row for row in rows if row["network"].isdecimal()]
    return [row for row in rows if row["network"] == control]


def _arranged(
    rows: Sequence[Row], across: str | None, columns: Mapping[str, str], file: str
) -> Values:
    """Arrange columns by method and name, networks down and, if there are any, targets across."""
    networks = _places(row["network"] for row in rows)
    targets = _places(row[across] for row in rows) if across else {"": 0}
    values: Values = {}
    for row in rows:
        if row["method"] not in values:
            shape = (len(networks), len(targets))
            values[row["method"]] = {name: np.full(shape, math.nan) for name in columns}
        place = networks[row["network"]], targets[row[across] if across else ""]
        for name, column in columns.items():
            values[row["method"]][name][place] = _number(row[column], column, file)
    return values


def _places(names: Iterable[str]) -> dict[str, int]:
    """Give every name a place, numbers in their order."""
    ordered = sorted(set(names), key=lambda name: (int(name) if name.isdecimal() else -1, name))
    return {name: place for place, name in enumerate(ordered)}


def _number(cell: str, column: str, file: str) -> float:
    try:
        return _TRUTH[cell] if cell in _TRUTH else float(cell)
    except (TypeError, ValueError):
        raise JaxbqError(f"{file}: {column} {cell!r} is no number; run its config again") from None
