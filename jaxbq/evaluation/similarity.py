"""How alike images are: correlation, structure (SSIM), how distinct the samples of a target are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy.ndimage import uniform_filter
from scipy.spatial.distance import pdist

from ..data import Grid


def correlation(
    images: Float[np.ndarray, "n pixels"], references: Float[np.ndarray, "m pixels"]
) -> Float[np.ndarray, "n m"]:
    """Compute Pearson correlations over pixels, in float64.

    An image without contrast correlates with nothing: 0. A reference with NaN gives NaN.
    """
    units = [_standardise(rows) for rows in (images, references)]
    return units[0] @ units[1].T


def _standardise(rows: np.ndarray) -> np.ndarray:
    centred = rows.astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    # Rounding leaves a flat image a norm of about 1e-16 of its brightness, not zero.
    flat = norm <= 1e-12 * np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1)
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, norm))


WINDOW = 7  # pixels, in each direction
_K1, _K2 = 0.01, 0.03  # of the paper: what keeps the quotients finite where there is no contrast


def structural_similarity(
    images: Float[np.ndarray, "n pixels"],
    others: Float[np.ndarray, "n pixels"],
    grid: Grid,
    data_range: float = 1.0,
) -> Float[np.ndarray, " n"]:
    """Compare images with others, pair by pair, in brightness, contrast and structure.

    The index is computed in a square window of 7 pixels around every pixel whose window lies
    within the image, and averaged over these and over channels; (co)variances are those of a
    sample. So scikit-image does by default, and the numbers are its. It refuses images smaller
    than the window; here the window is, in each direction on its own, the largest odd number of
    pixels that fits: (1, 7) for a strip of pixels.

    Source: Z. Wang, A. Bovik, H. Sheikh and E. Simoncelli, "Image quality assessment: from error
    visibility to structural similarity", 2004.

    Args:
        images: flat, one a row.
        others: what each is compared with.
        grid: how their pixels lie.
        data_range: length of the range that pixels lie in.

    Returns:
        1 for images that are equal, about 0 for images that have nothing in common, negative where
        one is as the other's negative.
    """
    sides = tuple(min(WINDOW, side - 1 + side % 2) for side in grid.sides)
    number = sides[0] * sides[1]
    within = (slice(side // 2, -(side // 2) or None) for side in sides)
    inner = (slice(None), *within)

    def windowed(values: np.ndarray) -> np.ndarray:
        return uniform_filter(values, size=(1, *sides, 1))[inner]

    x, y = (rows.reshape(-1, *grid.shape).astype(np.float64) for rows in (images, others))
    mean_x, mean_y = windowed(x), windowed(y)
    sample = number / max(number - 1, 1)
    # Rounding can make a variance negative and a covariance larger than both allow; where values
    # are far larger than the range, quotients would be anything.
    var_x = np.maximum(sample * (windowed(x * x) - mean_x * mean_x), 0)
    var_y = np.maximum(sample * (windowed(y * y) - mean_y * mean_y), 0)
    most = np.sqrt(var_x * var_y)
    cov = np.clip(sample * (windowed(x * y) - mean_x * mean_y), -most, most)
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    brightness = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    contrast = (2 * cov + c2) / (var_x + var_y + c2)
    return (brightness * contrast).mean(axis=(1, 2, 3))


PIXELS_A_SHIFT = 20
"""Of the shorter side: images of 28×28 are shifted by one pixel at most."""
_FLAT = 1e-6  # deviation, as a share of the largest value, that is rounding


def standardise(images: Float[np.ndarray, "n pixels"]) -> Float32[np.ndarray, "n pixels"]:
    """Bring every image to mean 0 and standard deviation 1; one without contrast to 0."""
    rows = np.nan_to_num(np.asarray(images))
    # First to at most 1: squares of large numbers would overflow.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows / np.where(largest > 0, largest, 1)
    # Centred twice: a faint image on a bright ground has lost its last digits to the first mean.
    return standardised((rows - rows.mean(axis=1, keepdims=True)).astype(np.float32))


def standardised(rows: Float32[np.ndarray, "n pixels"]) -> Float32[np.ndarray, "n pixels"]:
    """Standardise rows of ordinary size, fast."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    # Several times as fast as `std`.
    deviation = np.sqrt(np.einsum("ij,ij->i", rows, rows) / np.float32(rows.shape[1]))[:, None]
    flat = deviation < _FLAT
    return np.where(flat, np.float32(0), rows) / np.where(flat, np.float32(1), deviation)


def shifted(
    images: Float[np.ndarray, "n pixels"],
    shape: tuple[int, ...],
    share: float,
    random: np.random.Generator,
) -> Float[np.ndarray, "n pixels"]:
    """Shift a share of images by some pixels at random, up to a twentieth of their shorter side.

    Edges are repeated. Images smaller than that, and what is no grid, stay.
    """
    most = min(shape[:2]) // PIXELS_A_SHIFT if len(shape) > 1 else 0
    if most == 0:
        return images
    grids = images.reshape(len(images), *shape[:2], -1)
    moves = random.random((len(images), 1)) < share

    def places(length: int) -> Int[np.ndarray, "n length"]:
        by = moves * random.integers(-most, most + 1, (len(images), 1))
        return np.clip(np.arange(length)[None] + by, 0, length - 1)

    rows, columns = places(shape[0]), places(shape[1])
    number = np.arange(len(images))[:, None, None]
    return grids[number, rows[:, :, None], columns[:, None, :]].reshape(images.shape)


ALIKE = 0.95  # images that correlate at least so over their pixels count as one optimum


class Spread(NamedTuple):
    """How the samples of every target differ, each of shape (targets,).

    Args:
        distinct: number of distinct optima: groups of images linked by a correlation of 0.95.
        mean_correlation: mean over pairs of samples; 1 for one sample.
        diversity: mean distance of pairs of samples as a share of that of pairs of real images of
            the class that the target asks for: 0 where all samples are the same, 1 where they
            differ as real images do, more where they differ more. 0 for one sample; NaN where there
            are no two such images, or no class is asked for.
    """

    distinct: Int[np.ndarray, " targets"]
    mean_correlation: Float[np.ndarray, " targets"]
    diversity: Float[np.ndarray, " targets"]


def spread(
    images: Float[np.ndarray, "targets samples pixels"],
    real: Sequence[Float[np.ndarray, "n pixels"]] = (),
) -> Spread:
    """Measure the spread of samples.

    Args:
        images: what a method returned.
        real: for every target, real images of the class that it asks for; without them diversity
            is unknown.
    """
    # Imported for the few methods that give several images of a target.
    from scipy.sparse.csgraph import connected_components

    samples = images.shape[1]
    usual = np.array([_mean_distance(rows) for rows in real] or [np.nan] * len(images))
    if samples == 1:
        return Spread(np.ones(len(images), int), np.ones(len(images)), 0 * usual)
    distinct, means = [], []
    for rows in images:
        table = correlation(rows, rows)
        pairs = table[np.triu_indices(samples, 1)]
        # Groups that are linked, directly or through others.
        distinct.append(connected_components(table >= ALIKE, directed=False)[0])
        means.append(pairs.mean())
    apart = np.array([_mean_distance(rows) for rows in images])
    # Real images that are all the same are no measure.
    usual[usual == 0] = np.nan
    return Spread(np.array(distinct), np.array(means), apart / usual)


def _mean_distance(images: Float[np.ndarray, "n pixels"]) -> float:
    """Mean Euclidean distance over all pairs; NaN where there is no pair."""
    return float(pdist(images).mean()) if len(images) > 1 else np.nan
