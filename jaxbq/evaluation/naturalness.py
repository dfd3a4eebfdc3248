"""Naturalness: how much an image is like the data, whatever the network says of it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..data import Dataset

SHRINKAGE = 1e-3  # of the covariance, so that pixels that never vary count for much, not for ∞
_QUANTILES = (0.05, 0.5, 0.95)
_COMPARED = 1000  # test images that percentiles are taken among


class Naturalness(NamedTuple):
    """Distances of images to the data, each also as a percentile among real test images.

    A percentile of 50 says that half of the test images are farther away than this image; 0 that
    all of them are nearer.

    Args:
        mahalanobis: squared Mahalanobis distance to the training images, divided by the number of
            pixels.
        mahalanobis_percentile: share of test images that are as far or farther, in percent.
        nearest: root mean square difference to the nearest training image, in units of the pixel
            range.
        nearest_percentile: likewise.
    """

    mahalanobis: Float[np.ndarray, " n"]
    mahalanobis_percentile: Float[np.ndarray, " n"]
    nearest: Float[np.ndarray, " n"]
    nearest_percentile: Float[np.ndarray, " n"]


class NaturalnessScale:
    """What real test images score, to compare with.

    Args:
        data: the data set; its covariance is computed.
    """

    def __init__(self, data: Dataset) -> None:
        """Score the first test images."""
        self._data = data
        self._inverse = data.reference.moments.power(SHRINKAGE, -0.5)
        real = data.test_images[:_COMPARED]
        self._far = np.sort(self._mahalanobis(real))
        self._apart = np.sort(self._nearest(real))

    @property
    def real(self) -> dict[str, tuple[float, float, float]]:
        """What test images score: 5 %, 50 % and 95 % quantiles by name of the distance."""
        found = {"mahalanobis": self._far, "nearest": self._apart}
        return {name: _three(np.quantile(v, _QUANTILES)) for name, v in found.items()}

    def measure(self, images: Float[np.ndarray, "n pixels"]) -> Naturalness:
        """Score images."""
        far, apart = self._mahalanobis(images), self._nearest(images)
        return Naturalness(far, _beyond(self._far, far), apart, _beyond(self._apart, apart))

    def _mahalanobis(self, images: np.ndarray) -> np.ndarray:
        white = (images - self._data.reference.moments.mean) @ self._inverse
        return np.square(white).mean(axis=1)

    def _nearest(self, images: np.ndarray) -> np.ndarray:
        train = self._data.train_images
        rows = np.asarray(images, np.float32)
        best = np.full(len(rows), np.inf, np.float32)
        for block in np.array_split(train, -(-len(train) // 8192)):
            # ‖a − b‖² by the product, as three terms: a matrix of differences would not fit.
            squared = np.square(rows).sum(axis=1)[:, None] + np.square(block).sum(axis=1)[None]
            best = np.minimum(best, (squared - 2 * rows @ block.T).min(axis=1))
        space = self._data.space
        return np.sqrt(np.maximum(best, 0) / space.pixels) / (space.high - space.low)


def _beyond(real: np.ndarray, values: np.ndarray) -> np.ndarray:
    return 100 * (1 - np.searchsorted(real, values) / len(real))


def _three(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = map(float, values)
    return low, middle, high
