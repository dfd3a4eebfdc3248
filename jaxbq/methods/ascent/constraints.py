"""Range constraints: how an image comes to lie in the pixel range, exactly."""

import abc
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from annotated_types import Gt, Lt
from jaxtyping import Array, Float

from ...options import BY_KIND, KIND_SHORTHAND, options

Range = tuple[Array, Array]


class _Constraint(abc.ABC):
    """A map from any image to one in the range; by default it clips what is returned."""

    @abc.abstractmethod
    def during(self, raw: Float[Array, " pixels"], span: Range) -> Float[Array, " pixels"]:
        """Make the image that the network sees while it is climbed."""

    def returned(self, raw: Float[Array, " pixels"], span: Range) -> Float[Array, " pixels"]:
        """Make the image that is returned and scored, inside the range."""
        return jnp.clip(raw, *span)

    def before(self, image: Float[Array, " pixels"], span: Range) -> Float[Array, " pixels"]:
        """Find what gives an image of the range."""
        return image

    def cost(self, raw: Float[Array, " pixels"], span: Range) -> Any:
        """Say what an image costs while it is climbed."""
        return 0.0


@options
class Projection(_Constraint):
    """The nearest image in the range: clip. The gradient that points back inside passes.

    With the parameterisation ``pixels`` the variable itself is clipped after every step, which is
    projected gradient ascent.
    """

    kind: Literal["projection"] = "projection"

    def during(self, raw: Float[Array, " pixels"], span: Range) -> Float[Array, " pixels"]:
        """Clip; the gradient of an end leads back inside."""
        return _project(raw, *span)


@options
class Squash(_Constraint):
    """x = middle + half · tanh((v − middle) / half): the whole line into the range, slope 1 inside.

    Args:
        margin: images are brought this far inside the range, as a share of it, before the inverse
            is taken.
    """

    kind: Literal["squash"] = "squash"
    margin: Annotated[float, Gt(0), Lt(0.5)] = 0.01

    def during(self, raw: Float[Array, " pixels"], span: Range) -> Float[Array, " pixels"]:
        """Squash."""
        low, high = span
        middle, half = (low + high) / 2, (high - low) / 2
        return middle + half * jnp.tanh((raw - middle) / half)

    def returned(self, raw: Float[Array, " pixels"], span: Range) -> Float[Array, " pixels"]:
        """Squash; clip what rounding leaves outside."""
        return jnp.clip(self.during(raw, span), *span)

    def before(self, image: Float[Array, " pixels"], span: Range) -> Float[Array, " pixels"]:
        """Invert it, a margin inside the range."""
        low, high = span
        middle, half = (low + high) / 2, (high - low) / 2
        most = 1 - 2 * self.margin
        return middle + half * jnp.arctanh(jnp.clip((image - middle) / half, -most, most))


@options
class Penalty(_Constraint):
    """Pay for the distance to the range while climbing; the returned image is clipped.

    Args:
        weight: of the mean squared distance over pixels, in units of the range.
    """

    kind: Literal["penalty"] = "penalty"
    weight: Annotated[float, Gt(0)] = 100.0

    def during(self, raw: Float[Array, " pixels"], span: Range) -> Float[Array, " pixels"]:
        """Take the image as it is."""
        return raw

    def cost(self, raw: Float[Array, " pixels"], span: Range) -> Any:
        """Measure the distance to the range."""
        return self.weight * outside(raw, span)


Constraint = Annotated[Projection | Squash | Penalty, BY_KIND, KIND_SHORTHAND]


def outside(raw: Float[Array, " pixels"], span: Range) -> Float[Array, ""]:
    """Mean squared distance of pixels to the range, in units of the range."""
    low, high = span
    excess = jnp.maximum(low - raw, 0) + jnp.maximum(raw - high, 0)
    return jnp.square(excess / (high - low)).mean()


@jax.custom_vjp
def _project(raw: Array, low: Array, high: Array) -> Array:
    return jnp.clip(raw, low, high)


def _forward(raw: Array, low: Array, high: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    return jnp.clip(raw, low, high), (raw, low, high)


def _backward(saved: tuple[Array, Array, Array], uphill: Array) -> tuple[Array, None, None]:
    # The tangent cone of the range, for a value that is maximised: a pixel at an end or beyond it
    # takes a gradient that leads back inside, so that none is stuck there as with a plain clip.
    raw, low, high = saved
    outward = ((raw >= high) & (uphill > 0)) | ((raw <= low) & (uphill < 0))
    return jnp.where(outward, 0, uphill), None, None


_project.defvjp(_forward, _backward)
