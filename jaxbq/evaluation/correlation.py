"""Correlation of images, blind to brightness and contrast."""

import numpy as np
from jaxtyping import Float


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
