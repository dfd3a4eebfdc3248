"""Naturalness: how much an image is like the data, whatever the network says of it."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import fft

from ..data import Dataset, Grid, ImageSpace, grid_of
from ..runtime.cache import kept
from .independent import digest_of
from .similarity import structural_similarity

_PRODUCTS = 2**24  # numbers in one table of products: 64 MiB
_ROWS_AT_ONCE = 4096  # rows that are held as differences or as float32 copies at once


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
    return _Centred(among).nearest(images, number)


class _Centred:
    """A table around its mean, where float32 loses least; it answers any number of questions."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows
        self._usual: list[tuple[np.ndarray, np.ndarray]] | None = None
        self._mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        ends = np.maximum(rows.max(axis=0) - self._mean, self._mean - rows.min(axis=0))
        self._size = max(float(ends.max()), float(np.finfo(np.float32).tiny))

    def nearest(self, images: np.ndarray, number: int = 1) -> Neighbours:
        """Find the nearest rows; see :func:`nearest`."""
        number = min(number, len(self._rows))
        indices = np.empty((len(images), number), np.int64)
        distances = np.empty((len(images), number))
        step = max(1, _PRODUCTS // len(self._rows))
        for start in range(0, len(images), step):
            part = images[start : start + step]
            rows, columns = self._candidates(part, number)
            apart = _distances(part, rows, self._rows, columns)
            order = np.lexsort((columns, apart, rows))
            first = np.searchsorted(rows[order], np.arange(len(part)))
            best = order[first[:, None] + np.arange(number)]
            indices[start : start + step] = columns[best]
            distances[start : start + step] = apart[best]
        return Neighbours(indices, distances)

    def _candidates(self, images: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Find (image, row) pairs, the ``number`` nearest rows of each image among them."""
        away = images.astype(np.float64) - self._mean
        # Rows reach 1, unless that puts an image where float32 would overflow.
        size = max(self._size, 1e-12 * float(np.abs(away).max()))
        queries = (away / size).astype(np.float32)
        doubled = -2 * queries
        table = np.empty((len(queries), len(self._rows)), np.float32)
        longest, start = 0.0, 0
        for block, squares in self._blocks(size):
            longest = max(longest, float(squares.max()) ** 0.5)
            # ‖a − b‖² without ‖a‖², which is the same for all rows.
            end = start + len(block)
            table[:, start:end] = doubled @ block.T + squares.astype(np.float32)[None]
            start = end
        own = np.linalg.norm(queries.astype(np.float64), axis=1)
        last = np.partition(table, number - 1, axis=1)[:, number - 1]
        limit = last + 2 * _rounding(queries.shape[1], own, longest)
        rows, columns = np.nonzero(table <= limit.astype(np.float32)[:, None])
        return rows, columns

    def _blocks(self, size: float) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Bring rows to float32 around the mean, in units of ``size``, with their squares."""
        if size != self._size:
            return self._scaled(size)
        if self._usual is None:
            self._usual = list(self._scaled(size))
        return self._usual

    def _scaled(self, size: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(self._rows), _ROWS_AT_ONCE):
            rows = self._rows[start : start + _ROWS_AT_ONCE]
            block = (rows - self._mean).astype(np.float32) / np.float32(size)
            yield block, np.square(block).sum(axis=1, dtype=np.float64)


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
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        pairs = slice(start, start + _ROWS_AT_ONCE)
        away = images[rows[pairs]].astype(np.float64) - among[columns[pairs]]
        found[pairs] = np.sqrt(np.square(away).sum(axis=1))
    return found


CUTOFF = 0.25  # cycles a pixel: half of what a grid can show
_ROUNDING = 1e-12  # of an image's largest value; a smaller contrast is none


def total_variation(images: Float[np.ndarray, "n pixels"], grid: Grid) -> Float[np.ndarray, " n"]:
    """Add up how much every pixel differs from the next below and from the next to the right.

    It is the anisotropic form, |down| + |right|, averaged over all pixels and channels; the last
    row and column have no next, and add nothing there.

    Source: L. Rudin, S. Osher and E. Fatemi, "Nonlinear total variation based noise removal
    algorithms", Physica D 1992.

    Args:
        images: flat, one a row.
        grid: how their pixels lie.

    Returns:
        One number an image, in the units of its pixels.
    """
    laid = images.reshape(-1, *grid.shape).astype(np.float64)
    steps = (np.abs(np.diff(laid, axis=axis)).sum(axis=(1, 2, 3)) for axis in (1, 2))
    return sum(steps, np.zeros(len(laid))) / laid[0].size


def high_frequency(images: Float[np.ndarray, "n pixels"], grid: Grid) -> Float[np.ndarray, " n"]:
    """Measure the share of images' energy that lies above a quarter of a cycle a pixel.

    Energy is the squared 2-D Fourier transform without the mean, summed over channels; frequency
    is radial, the root of the squared sum of both directions'. To the transform an image repeats
    beyond its edges, so that edges that do not fit each other count as steps.

    Args:
        images: flat, one a row.
        grid: how their pixels lie.

    Returns:
        Between 0 and 1; 0 for an image without contrast.
    """
    laid = images.reshape(-1, *grid.shape).astype(np.float64)
    centred = laid - laid.mean(axis=(1, 2), keepdims=True)
    # Rounding leaves a flat image some contrast, and all of that at any frequency.
    flat = np.abs(centred).max(axis=(1, 2, 3)) <= _ROUNDING * np.abs(laid).max(axis=(1, 2, 3))
    energy = np.square(np.abs(fft.rfft2(centred, axes=(1, 2)))).sum(axis=3) * grid.multiplicity()
    high = energy[:, grid.frequencies() > CUTOFF].sum(axis=1)
    share = high / np.where(flat, 1, energy.sum(axis=(1, 2)))
    return np.where(flat, 0.0, np.clip(share, 0, 1))


_VERSION = 1  # raised whenever a change of code measures otherwise
_UNUSUAL = "unusualness"
SHRINKAGE = 1e-3  # of the covariance, so that pixels that never vary count for much, not for ∞
_QUANTILES = (0.05, 0.5, 0.95)
_COMPARED = 1000  # test images that percentiles are taken among, at most half of all
_HELD_OUT = 3000  # further ones, at most, that naturalness is calibrated on
_SEED = 0  # of the draw among more
_IMAGES_AT_ONCE = 512  # images that are measured at once
_FARTHEST = 1e6  # ranges outside the pixel range; what is farther counts as that far
_ALIKE = 1e-6  # of a value: rounding, by which one image measured twice may differ

_FAR = ("nearest", "mahalanobis", "components_residual", "autoencoder_residual")
_LOW = ("ssim",)
_BOTH = ("total_variation", "high_frequency")
_MEASURES = (*_FAR, *_LOW, *_BOTH)


class Naturalness(NamedTuple):
    """Measures of how images are like the data, each also as a percentile among real test images.

    The percentile of a distance is the share of test images that are as far or farther: at 50 half
    of them are farther away than this image, at 0 all are nearer. That of ``ssim`` is the share of
    test images whose similarity is as low or lower. An image can be too smooth as well as too
    rough, so those of ``total_variation`` and ``high_frequency`` are twice the smaller one of the
    shares as low or lower and as high or higher, 100 at most: 100 at the median of the test
    images, 0 below or above all of them. Test images have percentiles spread evenly from 0 to 100.

    No percentile alone says that an image is natural: the mean of all images is nearer to the data
    than any of them, and has the percentile 100 of two distances, but it is too smooth.

    ``naturalness`` is a conformal p-value: the share of held-out real images that are at least as
    unusual, the image itself counted. Unusual is what the Cauchy combination says of the p-values
    of the measures below one half: two-sided, so that too smooth is as unusual as too rough, but
    of the distance to the nearest image and its similarity, where nearer is not unusual. Since it
    is calibrated on real images, that these depend on each other does no harm. On real images it is
    spread evenly from 0 to 1: below 0.05 is as unusual as one real image in twenty.

    Sources:
        V. Vovk, A. Gammerman and G. Shafer, Algorithmic Learning in a Random World, 2005, on
        conformal p-values. Y. Liu and J. Xie, "Cauchy combination test", Journal of the American
        Statistical Association 115 (2020).

    Args:
        naturalness: see above, from 1 / (held-out images + 1) to 1.
        mean_percentile: mean of the percentiles that are known, in percent.
        nearest: root mean square difference to the nearest training image, in units of the pixel
            range.
        nearest_percentile: its percentile.
        nearest_index: which training image that is; the first of equally near ones.
        nearest_label: its class.
        mahalanobis: squared Mahalanobis distance to the training images, divided by the number of
            pixels.
        mahalanobis_percentile: its percentile.
        components_residual: root mean square of what the training images' mean and first
            principal components leave of the image, in units of the pixel range.
        components_residual_percentile: its percentile.
        autoencoder_residual: root mean square difference to what an autoencoder of the training
            images makes of the image, in units of the pixel range; NaN without one.
        autoencoder_residual_percentile: its percentile.
        ssim: structural similarity to the nearest training image.
        ssim_percentile: its percentile.
        total_variation: see :func:`~jaxbq.evaluation.total_variation`, in units of the pixel range.
        total_variation_percentile: its percentile, on both sides.
        high_frequency: see :func:`~jaxbq.evaluation.high_frequency`.
        high_frequency_percentile: its percentile, on both sides.
    """

    naturalness: Float[np.ndarray, " n"]
    mean_percentile: Float[np.ndarray, " n"]
    nearest: Float[np.ndarray, " n"]
    nearest_percentile: Float[np.ndarray, " n"]
    nearest_index: Int[np.ndarray, " n"]
    nearest_label: Int[np.ndarray, " n"]
    mahalanobis: Float[np.ndarray, " n"]
    mahalanobis_percentile: Float[np.ndarray, " n"]
    components_residual: Float[np.ndarray, " n"]
    components_residual_percentile: Float[np.ndarray, " n"]
    autoencoder_residual: Float[np.ndarray, " n"]
    autoencoder_residual_percentile: Float[np.ndarray, " n"]
    ssim: Float[np.ndarray, " n"]
    ssim_percentile: Float[np.ndarray, " n"]
    total_variation: Float[np.ndarray, " n"]
    total_variation_percentile: Float[np.ndarray, " n"]
    high_frequency: Float[np.ndarray, " n"]
    high_frequency_percentile: Float[np.ndarray, " n"]


class NaturalnessScale:
    """What real test images score, to compare with: four thousand, or all that there are.

    Of a thousand, or half of them, come the percentiles; of the others what is as unusual.

    Which ones is drawn at random, always the same: data may be in order of class or of writer.

    A pixel that is no number, or lies more than a million pixel ranges outside the range, counts as
    that far outside: all measures are finite.

    Args:
        data: the data set; its covariance is computed.
        autoencoder: gives images back as well as it can, rows of float32 pixels of the data's
            range.
        components: number of principal components of the training images that an image may be made
            of; at most half of those that the training images have, so that there are as many left
            outside of them.
        identity: names the autoencoder, as JSON has it: what test images score is then kept in the
            cache, for other processes with the same data.

    Attributes:
        components: number of principal components that are taken.
        compared: indices of the test images that percentiles are taken among, in order.
        held_out: likewise of those that naturalness is calibrated on.

    Raises:
        JaxbqError: the training images have no covariance, or one too large; see
            :class:`~jaxbq.data.moments.Moments`.
    """

    def __init__(
        self,
        data: Dataset,
        *,
        autoencoder: Callable[[np.ndarray], Any] | None = None,
        components: int = 50,
        identity: Any = None,
    ) -> None:
        """Score test images, or read from the cache what they score."""
        moments = data.reference.moments
        self._data, self._autoencoder = data, autoencoder
        self._grid, self._table = _grid(data.space), _Centred(data.train_images)
        self._inverse = moments.power(SHRINKAGE, -0.5)
        self.components = min(components, moments.rank // 2)
        self._axes = moments.vectors[:, : self.components]
        total = len(data.test_images)
        drawn = np.random.default_rng(_SEED).permutation(total)
        number = min(_COMPARED, -(-total // 2))
        self.compared: Int[np.ndarray, " compared"] = np.sort(drawn[:number])
        # A single test image is both.
        rest = drawn[number:] if total > 1 else drawn
        self.held_out: Int[np.ndarray, " held_out"] = np.sort(rest[:_HELD_OUT])
        about = [_VERSION, components, identity, dataclasses.asdict(data.space)]
        found = (
            self._calibrated()
            if identity is None and autoencoder is not None
            else kept("naturalness", [*about, digest_of(data)], self._calibrated)
        )
        self._unusual = found.pop(_UNUSUAL)
        self._sorted = found

    def _calibrated(self) -> dict[str, np.ndarray]:
        """Measure test images: values by measure, sorted, and how unusual the held-out ones are."""
        measured, _ = self._measured(self._data.test_images[self.compared])
        self._sorted = {name: np.sort(values) for name, values in measured.items()}
        own = np.stack([self._percentile(name, values) for name, values in measured.items()])
        self._sorted = {"mean_percentile": np.sort(own.mean(axis=0)), **self._sorted}
        measured, _ = self._measured(self._data.test_images[self.held_out])
        return {**self._sorted, _UNUSUAL: np.sort(self._unusualness(measured))}

    @property
    def real(self) -> dict[str, tuple[float, float, float]]:
        """What test images score: 5 %, 50 % and 95 % quantiles by name of the measure.

        The mean of the percentiles is among them; an autoencoder's residual only where there is
        one.
        """
        found = {name: np.quantile(v, _QUANTILES).tolist() for name, v in self._sorted.items()}
        return {name: (low, middle, high) for name, (low, middle, high) in found.items()}

    def measure(self, images: Float[np.ndarray, "n pixels"]) -> Naturalness:
        """Score images."""
        measured, indices = self._measured(images)
        shares = {name: self._percentile(name, values) for name, values in measured.items()}
        unknown = np.full(len(images), np.nan)
        return Naturalness(
            naturalness=self._p_values(self._unusualness(measured)),
            mean_percentile=np.stack(list(shares.values())).mean(axis=0),
            nearest_index=indices,
            nearest_label=self._data.train_labels[indices],
            **{name: measured.get(name, unknown) for name in _MEASURES},
            **{f"{name}_percentile": shares.get(name, unknown) for name in _MEASURES},
        )

    def neighbours(
        self, images: Float[np.ndarray, "n pixels"], k: int = 3
    ) -> Int[np.ndarray, "n k_or_fewer"]:
        """Find the indices of the ``k`` nearest training images of each, nearest first.

        There are fewer where there are fewer training images.
        """
        return self._table.nearest(self._bounded(images), k).indices

    def _unusualness(self, measured: dict[str, np.ndarray]) -> np.ndarray:
        """Combine the p-values of the measures to one number, the larger the rarer."""
        found = []
        for name, values in measured.items():
            real, within = self._sorted[name], _ALIKE * np.abs(values)
            lower = np.searchsorted(real, values + within, side="right")
            higher = len(real) - np.searchsorted(real, values - within)
            # A training image is its own nearest: as near as that is not unusual.
            sides = {"nearest": higher, "ssim": lower}
            rank = sides.get(name, 2 * np.minimum(lower, higher))
            # Half a rank from the end, where the tangent is infinite.
            found.append((rank + 0.5) / (len(real) + 1))
        # What is usual in one way makes up for nothing.
        return np.tan(np.pi * (0.5 - np.minimum(np.stack(found), 0.5))).mean(axis=0)

    def _p_values(self, unusual: np.ndarray) -> np.ndarray:
        real, within = self._unusual, _ALIKE * np.abs(unusual)
        rarer = len(real) - np.searchsorted(real, unusual - within)
        return (1 + rarer) / (1 + len(real))

    def _measured(self, images: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Compute the measures by name, and the index of the nearest training image."""
        bounded = self._bounded(images)
        found = self._table.nearest(bounded)
        indices = found.indices[:, 0]
        parts = [
            self._looked_at(
                bounded[start : start + _IMAGES_AT_ONCE], indices[start : start + _IMAGES_AT_ONCE]
            )
            for start in range(0, len(images), _IMAGES_AT_ONCE)
        ]
        space = self._data.space
        apart = found.distances[:, 0] / space.pixels**0.5 / (space.high - space.low)
        return {"nearest": apart} | {
            name: np.concatenate([part[name] for part in parts]) for name in parts[0]
        }, indices

    def _looked_at(self, images: np.ndarray, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Compute all measures but the distance to the nearest."""
        moments, grid = self._data.reference.moments, self._grid
        away = images - moments.mean
        outside = away - (away @ self._axes) @ self._axes.T
        shares = self._shares(images)
        found = {
            "mahalanobis": np.square(away @ self._inverse).mean(axis=1),
            "components_residual": self._root_mean_square(outside),
        }
        if self._autoencoder is not None:
            back = np.asarray(self._autoencoder(images.astype(np.float32)), np.float64)
            found["autoencoder_residual"] = self._root_mean_square(images - back)
        near = self._shares(self._data.train_images[indices])
        return found | {
            "ssim": structural_similarity(shares, near, grid),
            "total_variation": total_variation(shares, grid),
            "high_frequency": high_frequency(shares, grid),
        }

    def _bounded(self, images: np.ndarray) -> np.ndarray:
        space = self._data.space
        span = space.high - space.low
        low, high = space.low - _FARTHEST * span, space.high + _FARTHEST * span
        return np.clip(np.nan_to_num(images, nan=high, posinf=high, neginf=low), low, high)

    def _shares(self, images: np.ndarray) -> np.ndarray:
        """Write pixels as shares of their range, so that no measure depends on its units."""
        space = self._data.space
        return (images.astype(np.float64) - space.low) / (space.high - space.low)

    def _root_mean_square(self, missed: np.ndarray) -> np.ndarray:
        space = self._data.space
        return np.sqrt(np.square(missed).mean(axis=1)) / (space.high - space.low)

    def _percentile(self, name: str, values: np.ndarray) -> np.ndarray:
        real = self._sorted[name]
        within = _ALIKE * np.abs(values)
        higher = 100 * (1 - np.searchsorted(real, values - within) / len(real))
        lower = 100 * np.searchsorted(real, values + within, side="right") / len(real)
        if name in _FAR:
            return higher
        if name in _LOW:
            return lower
        return np.minimum(2 * np.minimum(higher, lower), 100)


def _grid(space: ImageSpace) -> Grid:
    """Lay pixels out as they are drawn: what is no picture is a strip."""
    picture = len(space.shape) == 2 or space.shape[2:] in ((1,), (3,))
    return grid_of(space, "naturalness") if picture else Grid(1, space.pixels, 1)
