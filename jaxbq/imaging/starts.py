"""Where an ascent begins."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..data import Reference

StartName = Literal["grey", "mean", "random"]


def start_image(start: StartName, reference: Reference) -> Float[np.ndarray, " pixels"]:
    """Make the image at the centre of the starts: mid-range, or the training set's mean.

    Raises:
        JaxbqError: the mean is wanted and there are no training images.
    """
    space = reference.space
    if start == "mean":
        images = reference.need_images("start = 'mean'")
        return np.asarray(images.mean(axis=0, dtype=np.float64))
    return np.full(space.pixels, (space.low + space.high) / 2)


def spread_starts(
    start: StartName,
    centre: Float[Array, " pixels"],
    low: Float[Array, ""],
    high: Float[Array, ""],
    restarts: int,
    noise: Float[Array, ""] | float,
    key: Array,
) -> Float[Array, "restarts pixels"]:
    """Make one starting image a restart, the same for every target.

    ``random`` draws every pixel uniformly over the range. Otherwise the first restart begins at
    the centre itself, and the others at the centre plus uniform noise, projected onto the range.

    Args:
        start: grey, mean or random.
        centre: the image that :func:`start_image` made.
        low: lower end of the pixel range.
        high: its upper end.
        restarts: number of images.
        noise: largest deviation from the centre, as a share of the pixel range.
        key: random key; each restart folds its number in, so that more restarts change none.
    """

    def one(number: Array) -> Array:
        unit = jax.random.uniform(jax.random.fold_in(key, number), centre.shape, centre.dtype)
        if start == "random":
            return low + (high - low) * unit
        amplitude = jnp.where(number == 0, 0.0, noise) * (high - low)
        return jnp.clip(centre + amplitude * (2 * unit - 1), low, high)

    return jax.vmap(one)(jnp.arange(restarts))
