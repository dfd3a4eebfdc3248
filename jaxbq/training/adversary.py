"""Adversaries: the worst images near the training images, found by projected gradient descent."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from annotated_types import Gt, Le
from jaxtyping import Array, Float

from ..options import options
from ..runtime.compiled import normal, uniform


@options
class Adversary:
    """PGD: ascend the loss within a ball about each image and within the pixel range.

    Source: A. Madry et al., "Towards deep learning models resistant to adversarial attacks", 2018.

    Args:
        norm: ``l2`` or ``linf``, the shape of the ball.
        epsilon: its radius, in pixel units.
        steps: gradient steps.
        step_size: length of a step; by default 2.5 · epsilon / steps, as in the source.
        random_start: begin anywhere in the ball, else at the image.
    """

    norm: Literal["l2", "linf"] = "l2"
    epsilon: Annotated[float, Gt(0)] = 2.0
    steps: Annotated[int, Gt(0), Le(10**4)] = 5
    step_size: Annotated[float, Gt(0)] | None = None
    random_start: bool = True

    def perturb(
        self,
        loss: Callable[[Array], Array],
        images: Float[Array, "batch pixels"],
        low: Any,
        high: Any,
        key: Array,
    ) -> Float[Array, "batch pixels"]:
        """Find the worst images.

        Args:
            loss: the sum over the batch of what is to be raised, as a function of images.
            images: where the balls are.
            low: lower end of the pixel range.
            high: its upper end.
            key: random key of the start.

        Returns:
            Images in the ball and in the range.
        """
        size = 2.5 * self.epsilon / self.steps if self.step_size is None else self.step_size

        def project(x: Array) -> Array:
            # Into the ball, then into the range: clipping towards an image of the range only
            # shortens the way from it.
            return jnp.clip(images + self._within(x - images), low, high)

        def step(_: Any, x: Array) -> Array:
            return project(x + size * self._unit(jax.grad(loss)(x)))

        start = project(images + self._draw(images, key)) if self.random_start else images
        return jax.lax.fori_loop(0, self.steps, step, start)

    def _within(self, change: Array) -> Array:
        if self.norm == "linf":
            return jnp.clip(change, -self.epsilon, self.epsilon)
        norm = jnp.linalg.norm(change, axis=1, keepdims=True)
        return change * jnp.minimum(1, self.epsilon / jnp.maximum(norm, 1e-12))

    def _unit(self, gradient: Array) -> Array:
        if self.norm == "linf":
            return jnp.sign(gradient)
        norm = jnp.linalg.norm(gradient, axis=1, keepdims=True)
        return gradient / jnp.maximum(norm, 1e-12)

    def _draw(self, images: Array, key: Array) -> Array:
        """Draw a change uniformly from the ball."""
        if self.norm == "linf":
            return self.epsilon * uniform(key, images.shape, images.dtype, -1, 1)
        direction, radius = jax.random.split(key)
        unit = self._unit(normal(direction, images.shape, images.dtype))
        share = uniform(radius, (len(images), 1), images.dtype)
        return self.epsilon * unit * share ** (1 / images.shape[1])
