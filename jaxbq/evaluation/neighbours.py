"""The nearest of many images, exactly: found by matrix products, then measured by differences."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

_PRODUCTS = 2**24  # numbers in one table of products: 64 MiB
_BLOCK = 4096  # rows that are held as differences or as float32 copies at once


class Neighbours(NamedTuple):
    """The nearest rows, nearest first; of equally near ones the one that comes first.

    Args:
        indices: which rows they are.
        distances: Euclidean, in float64, from differences: exactly 0 to an equal row.
    """

    indices: Int[np.ndarray, "n k"]
    distances: Float[np.ndarray, "n k"]


def nearest(
    images: Float[np.ndarray, "n pixels"],
    among: Float[np.ndarray, "m pixels"],
    number: int = 1,
) -> Neighbours:
    """Find the rows of a table that are nearest to each image.

    ‖a − b‖² by matrix products, in float32, is fast, but off by rounding. So it only chooses: every
    row that it cannot tell from the nearest, by a bound of its error, is measured again by
    differences in float64. The result is that of a search by differences alone.

    Args:
        images: what to find neighbours of; finite.
        among: the table, at least one row.
        number: neighbours of each; all rows, where there are fewer.
    """
    number = min(number, len(among))
    space = _Centred(among)
    indices = np.empty((len(images), number), np.int64)
    distances = np.empty((len(images), number))
    step = max(1, _PRODUCTS // len(among))
    for start in range(0, len(images), step):
        part = images[start : start + step]
        rows, columns = space.candidates(part, number)
        apart = _distances(part, rows, among, columns)
        order = np.lexsort((columns, apart, rows))
        first = np.searchsorted(rows[order], np.arange(len(part)))
        best = order[first[:, None] + np.arange(number)]
        indices[start : start + step] = columns[best]
        distances[start : start + step] = apart[best]
    return Neighbours(indices, distances)


class _Centred:
    """A table around its mean, where float32 loses least."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows
        self._mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        ends = np.maximum(rows.max(axis=0) - self._mean, self._mean - rows.min(axis=0))
        self._size = max(float(ends.max()), float(np.finfo(np.float32).tiny))

    def candidates(self, images: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Find (image, row) pairs, the ``number`` nearest rows of each image among them."""
        away = images.astype(np.float64) - self._mean
        # Rows reach 1, unless that puts an image where float32 would overflow.
        size = max(self._size, 1e-12 * float(np.abs(away).max()))
        queries = (away / size).astype(np.float32)
        doubled, scale = -2 * queries, np.float32(size)
        table = np.empty((len(queries), len(self._rows)), np.float32)
        longest = 0.0
        for start in range(0, len(self._rows), _BLOCK):
            block = (self._rows[start : start + _BLOCK] - self._mean).astype(np.float32) / scale
            squares = np.square(block).sum(axis=1, dtype=np.float64)
            longest = max(longest, float(squares.max()) ** 0.5)
            # ‖a − b‖² without ‖a‖², which is the same for all rows.
            table[:, start : start + _BLOCK] = doubled @ block.T + squares.astype(np.float32)[None]
        own = np.linalg.norm(queries.astype(np.float64), axis=1)
        limit = _nearest_of(table, number) + 2 * _rounding(queries.shape[1], own, longest)
        rows, columns = np.nonzero(table <= limit.astype(np.float32)[:, None])
        return rows, columns


def _nearest_of(table: np.ndarray, number: int) -> np.ndarray:
    """Find the ``number``-th smallest value of every row."""
    if number == 1:
        return table.min(axis=1)
    return np.partition(table, number - 1, axis=1)[:, number - 1]


def _rounding(pixels: int, own: np.ndarray, longest: float) -> np.ndarray:
    """Bound the error of ‖b‖² − 2 a·b in float32, for rows b no longer than ``longest``.

    A sum of n products, in any order, is off by at most n u ‖a‖ ‖b‖, where u is half the distance
    of 1 to the next number; all else, of the numbers themselves and of the sum, by a few u.

    Source: N. Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1.
    """
    unit = float(np.finfo(np.float32).eps) / 2
    return unit * ((2 * pixels + 24) * own * longest + 12 * longest**2)


def _distances(
    images: np.ndarray, rows: np.ndarray, among: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Measure pairs by differences."""
    found = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        pairs = slice(start, start + _BLOCK)
        away = images[rows[pairs]].astype(np.float64) - among[columns[pairs]]
        found[pairs] = np.sqrt(np.square(away).sum(axis=1))
    return found
