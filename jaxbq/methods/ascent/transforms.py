"""Transforms: what is done to an image, at random, before the network sees it.

Pure functions of a key and an image; the variable of the ascent is never touched. What comes in
from beyond an edge repeats the edge. Lengths are shares of the image's side, angles degrees.
"""

import abc
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from ...data import Reference
from ...options import BY_KIND, KIND_SHORTHAND, options
from ...runtime.compiled import normal
from .constraints import Range
from .state import Part

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


class Operator(Part):
    """What is done to the pixels themselves after every step."""

    family = "operator"

    @abc.abstractmethod
    def apply(self, state: Any, x: Array, step: Array, span: Range) -> Float[Array, " pixels"]:
        """Change one image."""


@options
class Decay(Operator):
    """Shrink towards the lower end of the range: x ← low + (1 − rate)(x − low).

    Args:
        rate: share that is lost at every step.
    """

    kind: Literal["decay"] = "decay"
    rate: Annotated[float, Ge(0), Le(1)] = 1e-4

    def apply(self, state: Any, x: Array, step: Array, span: Range) -> Float[Array, " pixels"]:
        """Shrink one image."""
        return span[0] + (1 - self.rate) * (x - span[0])


@options
class Blurring(Operator):
    """Blur every few steps.

    Args:
        deviation: standard deviation of the Gaussian, in pixels.
        every: steps between.
    """

    kind: Literal["blur"] = "blur"
    deviation: Annotated[float, Gt(0), Le(64)] = 1.0
    every: Annotated[int, Ge(1)] = 4
    needs_grid = True

    def apply(self, state: Any, x: Array, step: Array, span: Range) -> Float[Array, " pixels"]:
        """Blur one image if it is its turn."""
        turn = (step + 1) % self.every == 0
        return jnp.where(turn, blur(state.spread(x), self.deviation).reshape(-1), x)


@options
class Sphere(Operator):
    """Scale the image to a fixed norm ρ: x ← ρ x / ‖x‖, counted from the lower end of the range.

    Args:
        radius: ρ; by default the training images' mean norm, or a quarter of the image's pixels
            at the upper end of the range where there are none.
    """

    kind: Literal["sphere"] = "sphere"
    radius: Annotated[float, Gt(0)] | None = None

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Find the default radius."""
        space = reference.space
        if reference.images is None:
            radius = (space.high - space.low) * (space.pixels / 4) ** 0.5
        else:
            radius = float(np.linalg.norm(reference.images - space.low, axis=1).mean())
        return jnp.asarray(radius, dtype)

    def apply(self, state: Any, x: Array, step: Array, span: Range) -> Float[Array, " pixels"]:
        """Scale one image."""
        radius = state if self.radius is None else self.radius
        ink = x - span[0]
        norm = jnp.linalg.norm(ink)
        return span[0] + jnp.where(norm > 0, ink * (radius / jnp.where(norm > 0, norm, 1)), ink)


AnyOperator = Annotated[Decay | Blurring | Sphere, BY_KIND, KIND_SHORTHAND]
