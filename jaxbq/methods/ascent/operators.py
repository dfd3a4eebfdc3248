"""Operators: what some of the sources do to the pixels themselves after a step.

They are no penalties and no transforms: the variable is replaced by the result. With the
parameterisation ``pixels`` alone.
"""

from typing import Annotated, Any, Literal

import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float

from ...data import Reference
from ...data.grids import grid_of
from ...options import BY_KIND, KIND_SHORTHAND, options
from .constraints import Range
from .transforms import blur


@options
class Decay:
    """Shrink towards the lower end of the range: x ← low + (1 − rate)(x − low).

    Args:
        rate: share that is lost at every step.
    """

    kind: Literal["decay"] = "decay"
    rate: Annotated[float, Ge(0), Le(1)] = 1e-4

    def check(self, reference: Reference) -> None:
        """Accept every image."""

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Nothing to prepare."""
        return ()

    def apply(self, state: Any, x: Array, step: Array, span: Range) -> Float[Array, " pixels"]:
        """Shrink one image."""
        return span[0] + (1 - self.rate) * (x - span[0])


@options
class Blurring:
    """Blur every few steps.

    Args:
        deviation: standard deviation of the Gaussian, in pixels.
        every: steps between.
    """

    kind: Literal["blur"] = "blur"
    deviation: Annotated[float, Gt(0), Le(64)] = 1.0
    every: Annotated[int, Ge(1)] = 4

    def check(self, reference: Reference) -> None:
        """Refuse images without a grid."""
        grid_of(reference.space, f"operator {self.kind!r}")

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Note the grid."""
        return grid_of(reference.space, self.kind)

    def apply(self, state: Any, x: Array, step: Array, span: Range) -> Float[Array, " pixels"]:
        """Blur one image if it is its turn."""
        turn = (step + 1) % self.every == 0
        return jnp.where(turn, blur(state.spread(x), self.deviation).reshape(-1), x)


@options
class Sphere:
    """Scale the image to a fixed norm ρ: x ← ρ x / ‖x‖, counted from the lower end of the range.

    Args:
        radius: ρ; by default the training images' mean norm, or a quarter of the image's pixels
            at the upper end of the range where there are none.
    """

    kind: Literal["sphere"] = "sphere"
    radius: Annotated[float, Gt(0)] | None = None

    def check(self, reference: Reference) -> None:
        """Accept every image."""

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
