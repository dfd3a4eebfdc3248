"""Naturalness: how much an image is like the data, whatever the network says of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import fft

from ..data import Dataset, Grid, ImageSpace, grid_of
from .neighbours import Neighbours, nearest
from .similarity import structural_similarity

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


SHRINKAGE = 1e-3  # of the covariance, so that pixels that never vary count for much, not for ∞
_QUANTILES = (0.05, 0.5, 0.95)
_COMPARED = 1000  # test images that percentiles are taken among
_SEED = 0  # of the draw among more
_BLOCK = 512  # images that are measured at once
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

    Args:
        naturalness: mean of the percentiles that are known, in percent.
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
    """What real test images score, to compare with: a thousand of them, or all that there are.

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

    Attributes:
        components: number of principal components that are taken.
        compared: indices of the test images that percentiles are taken among, in order.

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
    ) -> None:
        """Score test images."""
        moments = data.reference.moments
        self._data, self._autoencoder = data, autoencoder
        self._grid = _grid(data.space)
        self._inverse = moments.power(SHRINKAGE, -0.5)
        self.components = min(components, moments.rank // 2)
        self._axes = moments.vectors[:, : self.components]
        total = len(data.test_images)
        drawn = np.random.default_rng(_SEED).permutation(total)[:_COMPARED]
        self.compared: Int[np.ndarray, " compared"] = np.sort(drawn)
        measured, _ = self._measured(data.test_images[self.compared])
        self._sorted = {name: np.sort(values) for name, values in measured.items()}
        own = np.stack([self._percentile(name, values) for name, values in measured.items()])
        self._sorted = {"naturalness": np.sort(own.mean(axis=0)), **self._sorted}

    @property
    def real(self) -> dict[str, tuple[float, float, float]]:
        """What test images score: 5 %, 50 % and 95 % quantiles by name of the measure.

        The mean of the percentiles is among them, as ``naturalness``; an autoencoder's residual
        only where there is one.
        """
        return {name: _three(np.quantile(v, _QUANTILES)) for name, v in self._sorted.items()}

    def measure(self, images: Float[np.ndarray, "n pixels"]) -> Naturalness:
        """Score images."""
        measured, indices = self._measured(images)
        shares = {name: self._percentile(name, values) for name, values in measured.items()}
        unknown = np.full(len(images), np.nan)
        return Naturalness(
            naturalness=np.stack(list(shares.values())).mean(axis=0),
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
        return self._nearest(self._bounded(images), k).indices

    def _nearest(self, bounded: np.ndarray, number: int) -> Neighbours:
        return nearest(bounded, self._data.train_images, number)

    def _measured(self, images: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Compute the measures by name, and the index of the nearest training image."""
        bounded = self._bounded(images)
        found = self._nearest(bounded, 1)
        indices = found.indices[:, 0]
        parts = [
            self._looked_at(bounded[start : start + _BLOCK], indices[start : start + _BLOCK])
            for start in range(0, len(images), _BLOCK)
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


def _three(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = map(float, values)
    return low, middle, high
