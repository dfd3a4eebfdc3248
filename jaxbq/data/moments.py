"""Mean and covariance of images, as the Gaussian priors and distances need them."""

from functools import cached_property

import numpy as np
from jaxtyping import Float

from ..errors import JaxbqError

_MOST_PIXELS = 8192  # a covariance of twice as many pixels would take gigabytes and minutes
_BLOCK = 4096


class Moments:
    """Mean μ and covariance Σ = E diag(values) Eᵀ of images, in float64.

    Args:
        images: rows, shape (n, pixels).

    Raises:
        JaxbqError: fewer than two images, all of them the same, or too many pixels for a
            covariance matrix.
    """

    def __init__(self, images: Float[np.ndarray, "n pixels"]) -> None:
        """Compute the moments."""
        number, pixels = images.shape
        if pixels > _MOST_PIXELS:
            raise JaxbqError(
                f"the covariance of {pixels} pixels is too large (most: {_MOST_PIXELS}); "
                "use a prior that needs none, like total_variation"
            )
        if number < 2:
            raise JaxbqError("a covariance needs two training images or more")
        self._powers: dict[tuple[float, float], np.ndarray] = {}
        self.mean: Float[np.ndarray, " pixels"] = images.mean(axis=0, dtype=np.float64)
        scatter = np.zeros((pixels, pixels))
        for start in range(0, number, _BLOCK):
            centred = images[start : start + _BLOCK] - self.mean
            scatter += centred.T @ centred
        values, vectors = np.linalg.eigh(scatter / number)
        if values[-1] <= 0:
            raise JaxbqError("all training images are the same: they have no covariance")
        # Largest first; rounding can make those of constant pixels negative.
        self.values: Float[np.ndarray, " pixels"] = np.maximum(values[::-1], 0)
        self.vectors: Float[np.ndarray, "pixels pixels"] = vectors[:, ::-1]

    @cached_property
    def rank(self) -> int:
        """Number of principal components that are not rounding."""
        return int((self.values > 1e-10 * self.values[0]).sum())

    def shrunk(self, shrinkage: float) -> Float[np.ndarray, " pixels"]:
        """Eigenvalues of (1 − s) Σ + s·mean(values)·I, which has an inverse for s > 0.

        Source: O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional
        covariance matrices", 2004.
        """
        return (1 - shrinkage) * self.values + shrinkage * self.values.mean()

    def power(self, shrinkage: float, exponent: float) -> Float[np.ndarray, "pixels pixels"]:
        """Compute a power of the shrunk covariance, like its square root, symmetric.

        It is kept: many methods ask for the same, for every network.
        """
        about = shrinkage, exponent
        if about not in self._powers:
            self._powers[about] = (
                self.vectors * self.shrunk(shrinkage) ** exponent
            ) @ self.vectors.T
            self._powers[about].flags.writeable = False
        return self._powers[about]
