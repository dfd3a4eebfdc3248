"""Transforms: what is done to an image, at random, before the network sees it.

Pure functions of a key and an image; the variable of the ascent is never touched. What comes in
from beyond an edge repeats the edge. Lengths are shares of the image's side, angles degrees.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Le
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from ...options import BY_KIND, KIND_SHORTHAND, options
from ...runtime.compiled import normal

_Image = Float[Array, "height width channels"]


@options
class Jitter:
    """Shift by whole pixels, each way and direction alike.

    Args:
        most: the largest shift, as a share of the image's side.
    """

    kind: Literal["jitter"] = "jitter"
    most: Annotated[float, Ge(0), Le(1)] = 0.07

    def apply(self, key: Array, image: _Image) -> _Image:
        """Shift one image."""
        height, width = image.shape[:2]
        sides = jnp.asarray([height, width], image.dtype)
        shift = jax.random.uniform(key, (2,), image.dtype, -1, 1) * self.most * sides
        down, right = jnp.round(shift).astype(jnp.int32)
        rows = jnp.clip(jnp.arange(height) - down, 0, height - 1)
        columns = jnp.clip(jnp.arange(width) - right, 0, width - 1)
        return image[rows][:, columns]


@options
class Rotate:
    """Turn about the centre.

    Args:
        most: the largest angle either way, in degrees.
    """

    kind: Literal["rotate"] = "rotate"
    most: Annotated[float, Ge(0), Le(180)] = 10.0

    def apply(self, key: Array, image: _Image) -> _Image:
        """Turn one image."""
        angle = jnp.deg2rad(self.most * jax.random.uniform(key, (), image.dtype, -1, 1))
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        return _warp(image, jnp.stack([jnp.stack([cos, sin]), jnp.stack([-sin, cos])]))


@options
class Scale:
    """Enlarge about the centre by a factor, or shrink.

    Args:
        lowest: smallest factor.
        highest: largest factor.
    """

    kind: Literal["scale"] = "scale"
    lowest: Annotated[float, Gt(0), Le(16)] = 0.9
    highest: Annotated[float, Gt(0), Le(16)] = 1.1

    def apply(self, key: Array, image: _Image) -> _Image:
        """Scale one image."""
        share = jax.random.uniform(key, (), image.dtype)
        factor = self.lowest + (self.highest - self.lowest) * share
        return _warp(image, jnp.eye(2, dtype=image.dtype) / factor)


@options
class Noise:
    """Add Gaussian noise to every pixel.

    Args:
        deviation: its standard deviation, in pixel units.
    """

    kind: Literal["noise"] = "noise"
    deviation: Annotated[float, Ge(0)] = 0.05

    def apply(self, key: Array, image: _Image) -> _Image:
        """Add noise to one image."""
        return image + self.deviation * normal(key, image.shape, image.dtype)


@options
class Blur:
    """Blur by a Gaussian of random width.

    Args:
        most: its largest standard deviation, in pixels.
    """

    kind: Literal["blur"] = "blur"
    most: Annotated[float, Ge(0), Le(64)] = 1.0

    def apply(self, key: Array, image: _Image) -> _Image:
        """Blur one image."""
        return blur(image, self.most * jax.random.uniform(key, (), image.dtype))


AnyTransform = Annotated[Jitter | Rotate | Scale | Noise | Blur, BY_KIND, KIND_SHORTHAND]


def chain(transforms: tuple[AnyTransform, ...], key: Array, image: _Image) -> _Image:
    """Apply transforms one after another, each with a key of its own."""
    for number, transform in enumerate(transforms):
        image = transform.apply(jax.random.fold_in(key, number), image)
    return image


def blur(image: _Image, deviation: Array | float) -> _Image:
    """Convolve with a Gaussian of a standard deviation in pixels; weights at an edge sum to one."""

    def kernel(size: int) -> Array:
        at = jnp.arange(size, dtype=image.dtype)
        # A width of 0 is no blur: the floor leaves the identity.
        width = jnp.maximum(deviation, 1e-3)
        weights = jnp.exp(-0.5 * jnp.square((at[:, None] - at[None]) / width))
        return weights / weights.sum(axis=1, keepdims=True)

    return jnp.einsum("Hh,hwc,Ww->HWc", kernel(image.shape[0]), image, kernel(image.shape[1]))


def _warp(image: _Image, matrix: Float[Array, "2 2"]) -> _Image:
    """Sample an image at matrix · (position − centre) + centre, linearly."""
    height, width = image.shape[:2]
    centre = jnp.asarray([height - 1, width - 1], image.dtype)[:, None, None] / 2
    grid = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"))
    at = jnp.einsum("ij,jhw->ihw", matrix, grid.astype(image.dtype) - centre) + centre

    def one(channel: Array) -> Array:
        return map_coordinates(channel, list(at), order=1, mode="nearest")

    return jax.vmap(one, in_axes=-1, out_axes=-1)(image)
