"""Precision of a computation: the type of its arrays, and how an ascent multiplies matrices."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Literal

import jax

Precision = Literal["float32", "float64", "tf32"]
"""``float32``; ``float64``; or ``tf32``: float32, but accelerators may round what an ascent
multiplies. CPUs never do."""

_rounded: ContextVar[bool] = ContextVar("rounded", default=False)


def type_of(precision: Precision) -> str:
    """Name the type of the arrays."""
    return "float64" if precision == "float64" else "float32"


@contextlib.contextmanager
def computing(precision: Precision) -> Iterator[None]:
    """Compute in a precision: float64 is allowed, or ascents in TF32, or neither."""
    before = _rounded.set(precision == "tf32")
    try:
        with jax.enable_x64(precision == "float64"):
            yield
    finally:
        _rounded.reset(before)


def rounds_products() -> bool:
    """Tell whether an ascent may round what it multiplies to TF32; see :func:`computing`."""
    return _rounded.get()


def tf32() -> contextlib.AbstractContextManager[Any]:
    """Let accelerators round the factors of products of float32 to TF32."""
    return jax.default_matmul_precision("tensorfloat32")


def full_precision() -> contextlib.AbstractContextManager[Any]:
    """Multiply matrices in the precision of their type, on accelerators too.

    There the default rounds factors, to TF32 say, which would put a residual of 1e-4 out of reach.
    """
    if jax.default_backend() == "cpu":
        return contextlib.nullcontext()
    return jax.default_matmul_precision("highest")
