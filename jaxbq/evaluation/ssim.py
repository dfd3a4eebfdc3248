"""Structural similarity of images."""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import uniform_filter

from ..imaging import Grid

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
