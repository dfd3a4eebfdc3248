"""Precision of a computation: the type of its arrays, and how matrices are multiplied."""

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

import jax

Precision = Literal["float32", "float64", "tf32"]
"""``float32``; ``float64``; or ``tf32``, float32 arrays whose products accelerators may round."""

_TF32 = "tensorfloat32"


def type_of(precision: Precision) -> str:
    """Name the type of the arrays."""
    return "float64" if precision == "float64" else "float32"


@contextlib.contextmanager
def computing(precision: Precision) -> Iterator[None]:
    """Compute in a precision: float64 is allowed, or products are rounded to TF32, or neither."""
    products: Any = tf32() if precision == "tf32" else contextlib.nullcontext()
    with jax.enable_x64(precision == "float64"), products:
        yield


def tf32() -> contextlib.AbstractContextManager[Any]:
    """Let accelerators round the factors of products of float32; CPUs do not."""
    return jax.default_matmul_precision(_TF32)


def rounds_products() -> bool:
    """Tell whether products may be rounded to TF32, by :func:`computing` or by JAX's own option."""
    return jax.config.jax_default_matmul_precision == _TF32  # type: ignore[attr-defined]


def full_precision() -> contextlib.AbstractContextManager[Any]:
    """Multiply matrices in the precision of their type, on accelerators too.

    There the default rounds factors, to TF32 say, which would put a residual of 1e-4 out of reach.
    """
    if jax.default_backend() == "cpu":
        return contextlib.nullcontext()
    return jax.default_matmul_precision("highest")
