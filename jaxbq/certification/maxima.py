"""Activations φ, and bounds of v φ(z) − λz over intervals with every rounding error bounded.

NumPy's elementary functions and SciPy's ``ndtr`` are taken to err by at most eight
units in the last place; in the tails of GELU and SiLU, by no more than that of their argument.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from ..errors import JaxbqError

UNIT = 2.0**-52  # twice the largest relative error of one operation in float64
_TINY = 1e-290  # more than all that underflows in one sum
_HALVINGS = 50
_FAR = 700.0
_TANH = 2 * np.sqrt(2 / np.pi)


class _Shape(NamedTuple):
    """φ, which bends one way between two knots."""

    apply: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    bends: tuple[int, ...]  # signs of φ'' before, between and after the knots
    knots: tuple[float, ...] = (0.0,)
    steepest: float = 1.0  # |φ'| is no larger
    dip: float = 0.0  # |φ| between two points is no larger than there, or than this


@functools.cache
def shape_of(activation: str) -> _Shape:
    """Return φ with what a maximum over an interval needs.

    Raises:
        JaxbqError: there is no bound for this activation.
    """
    name, _, number = activation.removesuffix(")").partition("(")
    parameter = float(number) if number else {"leaky_relu": 0.01, "elu": 1.0}.get(name, 0.0)
    known = {
        "sigmoid": _Shape(_sigmoid, lambda z: _bell(np.abs(z)), (1, -1)),
        "tanh": _Shape(np.tanh, lambda z: 4 * _bell(2 * np.abs(z)), (1, -1)),
        "softplus": _Shape(lambda z: np.logaddexp(0.0, z), _sigmoid, (1, 1)),
        "elu": _Shape(
            lambda z: np.where(z > 0, z, parameter * np.expm1(np.minimum(z, 0))),
            lambda z: np.where(z > 0, 1.0, parameter * np.exp(np.minimum(z, 0))),
            (1, 0),
            steepest=max(1.0, parameter),
        ),
        "relu": _ramp(0.0),
        "leaky_relu": _ramp(parameter),
        "identity": _ramp(1.0),
        "gelu": _gated(ndtr, lambda z: np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), np.sqrt(2.0)),
        "gelu_tanh": _gated(_tanh_gate, _tanh_gate_slope, 1.418504008790828),
        "silu": _gated(_sigmoid, lambda z: _bell(np.abs(z)), 2.3993572805154677),
    }
    if name not in known:
        raise JaxbqError(f"no bound is known for hidden units of {activation}")
    return known[name]


def _sigmoid(z: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1 + e)


def _bell(z: np.ndarray) -> np.ndarray:
    """σ'(z) of z ≥ 0."""
    e = np.exp(-z)
    return e / (1 + e) ** 2


def _ramp(slope: float) -> _Shape:
    def apply(z: np.ndarray) -> np.ndarray:
        return np.where(z > 0, z, slope * z)

    return _Shape(apply, lambda z: np.where(z > 0, 1.0, slope), (0, 0), steepest=max(1.0, slope))


def _gated(
    gate: Callable[[np.ndarray], np.ndarray], rise: Callable[[np.ndarray], np.ndarray], knot: float
) -> _Shape:
    """Return z times a gate from 0 to 1: concave, convex between −knot and knot, concave."""

    def slope(z: np.ndarray) -> np.ndarray:
        near = np.clip(z, -_FAR, _FAR)  # beyond, the gate is 0 or 1 to all digits
        return gate(near) + near * rise(near)

    def apply(z: np.ndarray) -> np.ndarray:
        return z * gate(np.clip(z, -_FAR, _FAR))

    return _Shape(apply, slope, (-1, 1, -1), (-float(knot), float(knot)), 1.2, 0.3)


def _tanh_gate(z: np.ndarray) -> np.ndarray:
    return _sigmoid(_TANH * (z + 0.044715 * z**3))


def _tanh_gate_slope(z: np.ndarray) -> np.ndarray:
    return _bell(np.abs(_TANH * (z + 0.044715 * z**3))) * _TANH * (1 + 0.134145 * z**2)


def up(total: np.ndarray, size: np.ndarray, terms: int) -> np.ndarray:
    """Bound a computed sum from above; ``size`` is that of the absolute values in it."""
    return np.nextafter(total + (terms + 32) * UNIT * size + _TINY, np.inf)


def unit_maxima(
    activation: str, v: np.ndarray, lam: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Bound max over z in [low, high] of v φ(z) − λ z from above, for every entry of arrays."""
    shape = shape_of(activation)
    places = (-np.inf, *shape.knots, np.inf)
    found = np.asarray(-np.inf)
    for bend, first, last in zip(shape.bends, places, places[1:], strict=False):
        left, right = np.maximum(low, first), np.minimum(high, last)
        piece = _piece(shape, bend, v, lam, left, right)
        found = np.maximum(found, np.where(left <= right, piece, -np.inf))
    return found


def _piece(
    shape: _Shape, bend: int, v: np.ndarray, lam: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Bound the maximum where v φ bends one way only; nothing if the interval is empty."""
    ends = np.maximum(*(v * shape.apply(z) - lam * z for z in (low, high)))
    reach, width = np.maximum(np.abs(low), np.abs(high)), np.abs(high - low)
    at_ends = np.maximum(np.abs(shape.apply(low)), np.abs(shape.apply(high))) + shape.dip * reach
    size = np.abs(v) * (at_ends + shape.steepest * width) + np.abs(lam) * (reach + width)
    concave = v * bend < 0
    if concave.any():
        v, lam, low, high = (part[concave] for part in np.broadcast_arrays(v, lam, low, high))
        left, right = low, high
        for _ in range(_HALVINGS):
            z = (left + right) / 2
            rises = v * shape.slope(z) > lam
            left, right = np.where(rises, z, left), np.where(rises, right, z)
        z = (left + right) / 2
        # A tangent of a concave function lies above it, wherever it touches.
        slope = v * shape.slope(z) - lam
        rise = np.maximum(slope * (low - z), slope * (high - z))
        ends[concave] = v * shape.apply(z) - lam * z + rise
    return up(ends, size, 1)
