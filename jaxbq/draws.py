"""Random numbers as `jax.random` draws them, by programs that compile quickly.

XLA writes loops over a short last axis out in full: 128 × 10 numbers take four times as long to
compile as 1280. Where the numbers of a key do not depend on the shape (JAX's default,
``jax_threefry_partitionable``), drawing in one row changes none of them.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .compiled import Compiled


def _numbers(draw: Callable[..., Array], key: Array, count: int, *more: Any) -> Array:
    return draw(key, (count,), *more)


_DRAW = Compiled(_numbers, 0, 2, 3)


def normal(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """Draw from N(0, 1), as :func:`jax.random.normal`."""
    return _in_a_row(jax.random.normal, key, shape, jnp.dtype(dtype))


def uniform(
    key: Array, shape: tuple[int, ...], dtype: Any, low: Any = 0.0, high: Any = 1.0
) -> Array:
    """Draw uniformly from [low, high), as :func:`jax.random.uniform`."""
    return _in_a_row(jax.random.uniform, key, shape, jnp.dtype(dtype), low, high)


def _in_a_row(draw: Callable[..., Array], key: Array, shape: tuple[int, ...], *more: Any) -> Array:
    return _DRAW(draw, key, math.prod(shape), *more).reshape(shape)
