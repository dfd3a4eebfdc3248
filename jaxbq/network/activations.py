"""Activations φ with their inverses φ⁻¹ and the open images on which those exist."""

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import AfterValidator

from ..errors import JaxbqError


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


LEAK = 0.01


def _leaky_relu(slope: float, name: str) -> Activation:
    return Activation(
        name,
        lambda z: jax.nn.leaky_relu(z, slope),
        lambda a: jnp.where(a >= 0, a, a / slope),
        -math.inf,
        math.inf,
    )


def _elu(alpha: float, name: str) -> Activation:
    return Activation(
        name,
        lambda z: jax.nn.elu(z, alpha),
        # What is above 0 must not give a logarithm that is none, nor its gradient.
        lambda a: jnp.where(a >= 0, a, jnp.log1p(jnp.minimum(a, 0) / alpha)),
        -alpha,
        math.inf,
    )


_PLAIN = (
    Activation("sigmoid", jax.nn.sigmoid, jax.scipy.special.logit, 0.0, 1.0),
    Activation("tanh", jnp.tanh, jnp.arctanh, -1.0, 1.0),
    Activation("relu", jax.nn.relu, None, 0.0, math.inf),
    _leaky_relu(LEAK, "leaky_relu"),
    Activation("softplus", jax.nn.softplus, _softplus_inverse, 0.0, math.inf),
    _elu(1.0, "elu"),
    # Both turn round below 0, where two pre-activations have one value.
    Activation("gelu", lambda z: jax.nn.gelu(z, approximate=False), None, -0.1700, math.inf),
    Activation("gelu_tanh", jax.nn.gelu, None, -0.1701, math.inf),
    Activation("silu", jax.nn.silu, None, -0.2785, math.inf),
    Activation("identity", _identity, _identity, -math.inf, math.inf),
    Activation("softmax", jax.nn.softmax, _softmax_inverse, 0.0, 1.0),
)
_BY_NAME = {each.name: each for each in _PLAIN}
_WITH_NUMBER = {"leaky_relu": (_leaky_relu, LEAK), "elu": (_elu, 1.0)}
HIDDEN = tuple(each.name for each in _PLAIN if not each.normalises)
"""Names of the activations that hidden layers can have, without a number of their own."""


@functools.cache
def activation(name: str) -> Activation:
    """Look an activation up by name; ``leaky_relu(0.2)`` and ``elu(0.5)`` have a number.

    Raises:
        JaxbqError: there is none of that name.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    kind, _, number = name.removesuffix(")").partition("(")
    if kind in _WITH_NUMBER and re.fullmatch(r"\d*\.?\d+(e-?\d+)?", number):
        make, usual = _WITH_NUMBER[kind]
        value = float(number)
        if value == usual:
            return _BY_NAME[kind]
        if 0 < value < math.inf:
            return make(value, f"{kind}({value:g})")
    raise JaxbqError(
        f"no activation {name!r}; known: {', '.join(_BY_NAME)}, leaky_relu(SLOPE), elu(ALPHA)"
    )


def _known(name: str) -> str:
    try:
        return activation(name).name
    except JaxbqError as fault:
        raise ValueError(str(fault)) from None


def _known_hidden(name: str) -> str:
    if activation(_known(name)).normalises:
        raise ValueError("softmax is for outputs; choose another hidden activation")
    return _known(name)


OutputName = Annotated[str, AfterValidator(_known)]
HiddenName = Annotated[str, AfterValidator(_known_hidden)]


def invertible() -> tuple[str, ...]:
    """Names of the activations that have an inverse."""
    return tuple(each.name for each in _PLAIN if each.inverse is not None)
