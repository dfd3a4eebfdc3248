"""Activations φ with their inverses φ⁻¹ and the open images on which those exist."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import JaxbqError

HiddenName = Literal["sigmoid", "tanh", "leaky_relu", "softplus", "identity", "relu"]
OutputName = Literal["sigmoid", "tanh", "leaky_relu", "softplus", "identity", "relu", "softmax"]

LEAK = 0.01


@dataclass(frozen=True)
class Activation:
    """An activation and what is needed to run it backwards.

    Args:
        name: its name in configs.
        apply: φ, from pre-activations to activations, on the last axis.
        inverse: φ⁻¹ on the open image, or None where there is none.
        low: lower end of the open interval that every output lies in.
        high: its upper end.
    """

    name: str
    apply: Callable[[Array], Array]
    inverse: Callable[[Array], Array] | None
    low: float
    high: float

    @property
    def normalises(self) -> bool:
        """Whether the outputs of one example sum to one, so that they depend on each other."""
        return self.name == "softmax"

    def check_invertible(self) -> Callable[[Array], Array]:
        """Check that there is φ⁻¹; return it.

        Raises:
            JaxbqError: this activation has no inverse.
        """
        if self.inverse is None:
            raise JaxbqError(
                f"{self.name} has no inverse, so no analytic method can pass it; "
                f"use one of {', '.join(invertible())}, or a gradient method such as ascent"
            )
        return self.inverse

    def invert(self, a: Float[Array, "*batch units"]) -> Float[Array, "*batch units"]:
        """Compute φ⁻¹(a).

        Raises:
            JaxbqError: this activation has no inverse.
        """
        return self.check_invertible()(a)


def _softmax_inverse(a: Array) -> Array:
    # softmax(z + c·1) = softmax(z): of all logits with this output, the mean-zero ones.
    z = jnp.log(a)
    return z - z.mean(axis=-1, keepdims=True)


def _softplus_inverse(a: Array) -> Array:
    # log(eᵃ − 1), without overflow for large a.
    return a + jnp.log(-jnp.expm1(-a))


def _identity(z: Array) -> Array:
    return z


_ALL = (
    Activation("sigmoid", jax.nn.sigmoid, jax.scipy.special.logit, 0.0, 1.0),
    Activation("tanh", jnp.tanh, jnp.arctanh, -1.0, 1.0),
    Activation(
        "leaky_relu",
        lambda z: jax.nn.leaky_relu(z, LEAK),
        lambda a: jnp.where(a >= 0, a, a / LEAK),
        -math.inf,
        math.inf,
    ),
    Activation("softplus", jax.nn.softplus, _softplus_inverse, 0.0, math.inf),
    Activation("identity", _identity, _identity, -math.inf, math.inf),
    Activation("relu", jax.nn.relu, None, 0.0, math.inf),
    Activation("softmax", jax.nn.softmax, _softmax_inverse, 0.0, 1.0),
)
_BY_NAME = {activation.name: activation for activation in _ALL}


def activation(name: str) -> Activation:
    """Look an activation up by name.

    Raises:
        JaxbqError: there is none of that name.
    """
    if name not in _BY_NAME:
        raise JaxbqError(f"no activation {name!r}; known: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def invertible() -> tuple[str, ...]:
    """Names of the activations that have an inverse."""
    return tuple(each.name for each in _ALL if each.inverse is not None)
