"""Tables of a run as data frames: read, arranged by method, held against what is proven."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..errors import JaxbqError
from .folder import damaged, read_csv

_TEXT = ("network", "method", "reason", "objective", "sentence")
_TRUTH = {"True": 1.0, "False": 0.0, "": math.nan}

# By method and score, of every network and class in ascending order; NaN is unknown.
Values = dict[str, dict[str, Float[np.ndarray, "networks classes"]]]


def read_frame(
    path: Path, needed: Sequence[str], rows: list[dict[str, str]] | None = None
) -> pd.DataFrame:
    """Read a CSV file whose numbers are written in full, and check it."""
    rows = read_csv(path) if rows is None else rows
    if not rows:
        raise JaxbqError(f"{path}: is empty; run its config again")
    check_columns(path, rows[0], needed)
    if any(None in row or None in row.values() for row in rows):
        raise damaged(path, "a row is longer or shorter than the first")
    return pd.DataFrame(
        {name: _column(path, name, [row[name] for row in rows]) for name in rows[0]}
    )


def _column(path: Path, name: str, cells: list[str]) -> Any:
    """Give a column its type. pandas' own reader would round the last digit of some numbers."""
    if name in _TEXT:
        return cells
    if set(cells) <= {"True", "False"}:
        return np.array([cell == "True" for cell in cells])
    if all(re.fullmatch(r"-?\d{1,18}", cell) for cell in cells):
        return np.array([int(cell) for cell in cells])
    values = np.empty(len(cells))
    for place, cell in enumerate(cells):
        try:
            values[place] = _TRUTH[cell] if cell in _TRUTH else float(cell)
        except ValueError:
            raise JaxbqError(
                f"{path}: {name} {cell!r} is no number; run its config again"
            ) from None
    return values


def check_columns(path: Path, columns: Any, needed: Any) -> None:
    """Refuse a table that lacks a column."""
    missing = [name for name in needed if name not in columns]
    if missing:
        raise JaxbqError(
            f"{path}: lacks the column {missing[0]}, as runs of older versions do; "
            "run its config again"
        )


def arranged(table: pd.DataFrame, across: str | None, columns: Mapping[str, str]) -> Values:
    """Arrange columns by method and name, networks down and, if there are any, targets across."""
    networks = sorted(
        table["network"].unique(), key=lambda name: (int(name) if name.isdecimal() else -1, name)
    )
    targets = sorted(table[across].unique()) if across else [0]
    down = table["network"].map({name: place for place, name in enumerate(networks)}).to_numpy()
    right = np.zeros(len(table), int)
    if across:
        right = np.searchsorted(targets, table[across].to_numpy())
    values: Values = {}
    for method in table["method"].unique():
        own = (table["method"] == method).to_numpy()
        values[method] = {}
        for name, column in columns.items():
            found = np.full((len(networks), len(targets)), math.nan)
            found[down[own], right[own]] = table[column].to_numpy(np.float64)[own]
            values[method][name] = found
    return values


def compare(
    scores: pd.DataFrame,
    known: pd.DataFrame,
    logits: Mapping[tuple[str, str], Float[np.ndarray, "targets outputs"]],
) -> pd.DataFrame:
    """Hold best images against what is proven of all images of the pixel range.

    Args:
        scores: of all images; those outside the pixel range do not count.
        known: the certificates; those of a ball around an image do not count.
        logits: of best images, by network and method.

    Returns:
        One row a network, method and target: the certificate's columns, ``reached``, its objective
        for the image, ``below_bound`` = proven − reached, and ``share_of_bound`` =
        reached / proven, NaN where the method reaches less than 0 for some target.
    """

    def reached(network: str, method: str, target: int, label: int, objective: str) -> float:
        own = logits[network, method][target]
        rival = np.delete(own, label).max() if objective == "margin" else 0.0
        return float(own[label] - rival)

    best = scores[(scores["sample"] == 0) & (scores["pixels_outside"] == 0)]
    whole = known[known["radius"].isna()]
    found = best[["network", "method", "target"]].merge(whole, on=["network", "target"])
    keys = found[["network", "method", "target", "class", "objective"]].itertuples(index=False)
    found["reached"] = [reached(*key) for key in keys]
    found["below_bound"] = found["proven"] - found["reached"]
    # A mean over those above 0 alone would say too much.
    above = found.groupby("method")["reached"].transform("min") > 0
    found["share_of_bound"] = (found["reached"] / found["proven"]).where(above)
    return found
