"""How smooth or rough images are: total variation, and energy at high frequencies."""

import numpy as np
from jaxtyping import Float
from scipy import fft

from ..imaging import Grid

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
