"""The Mahalanobis ball of training images."""

import numpy as np
from jaxtyping import Float

from ..data.moments import Moments
from ..errors import JaxbqError

_SHRINKAGE = 1e-3  # of the covariance, as of the whitened prior


def ellipsoid(
    images: Float[np.ndarray, "n pixels"] | None, pixels: int
) -> tuple[Float[np.ndarray, " pixels"], Float[np.ndarray, "pixels pixels"]]:
    """Return the mean m of images, and A with AAᵀ their shrunk covariance.

    Raises:
        JaxbqError: there are none, or none with a covariance.
    """
    if images is None:
        raise JaxbqError("a Mahalanobis ball is of training images: give images, or --data")
    if images.ndim != 2 or images.shape[1] != pixels:
        raise JaxbqError(f"the images are of shape {images.shape}, the network takes {pixels}")
    moments = Moments(np.asarray(images))
    return moments.mean, moments.power(_SHRINKAGE, 0.5)
