"""The quadratic part of a bound, recomputed in plain NumPy with every rounding error bounded.

Where W diag(q) Wᵀ ⪯ diag(μ), Σ qᵢ (zᵢ − z̄ᵢ)² ≤ Σ μⱼ (xⱼ − yⱼ)² with z̄ = yW + b. So the sum on the
left is taken from the units and that on the right given to the pixels, whatever y, q ≥ 0 and μ are.
"""

from typing import NamedTuple

import numpy as np

from ..errors import JaxbqError
from .maxima import UNIT, shape_of, up

_CELLS = 64  # where a unit's v φ is convex
_NEAR = 2.0  # pre-activations around 0 within which they are narrow
_HALVINGS = 50


class Curve(NamedTuple):
    """A quadratic with what follows from it.

    Args:
        bend: q of the units, at least 0.
        spread: μ of the pixels, of which the matrix inequality is proven.
        point: y.
        centre: z̄, as computed.
        error: bound of its error.
    """

    bend: np.ndarray
    spread: np.ndarray
    point: np.ndarray
    centre: np.ndarray
    error: np.ndarray

    @classmethod
    def of(
        cls,
        layer: tuple[np.ndarray, np.ndarray],
        bend: np.ndarray,
        spread: np.ndarray,
        point: np.ndarray,
    ) -> "Curve":
        """Prove the matrix inequality for a multiple of μ, 1 if possible."""
        weight, bias = layer
        size = np.abs(point) @ np.abs(weight) + np.abs(bias)
        scale = _scale(weight, bend, spread)
        error = (len(point) + 32) * UNIT * size
        return cls(bend, spread * scale, point, point @ weight + bias, error)

    def unit(self, number: int) -> "Curve":
        """Return what concerns the maximum of one unit."""
        bend, spread, point, centre, error = self
        part = slice(number, number + 1)
        return Curve(bend[part], spread, point, centre[part], error[part])

    def maxima(
        self, activation: str, v: np.ndarray, lam: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> np.ndarray:
        """Bound max over z in [low, high] of v φ(z) − λz − q (z − z̄)² for every entry of arrays."""
        shape = shape_of(activation)
        arrays = np.broadcast_arrays(v, lam, self.bend, self.centre, low, high)
        far = np.maximum(np.abs(low - self.centre), np.abs(high - self.centre))
        found = np.full(arrays[0].shape, -np.inf)
        places = (-np.inf, *shape.knots, np.inf)
        for sign, first, last in zip(shape.bends, places, places[1:], strict=False):
            left, right = np.maximum(low, first), np.minimum(high, last)
            inside = np.broadcast_to(left <= right, found.shape)
            parts = [
                part[inside] for part in (*arrays[:4], *np.broadcast_arrays(left, right, v)[:2])
            ]
            found[inside] = np.maximum(found[inside], _piece(activation, sign, *parts))
        wrong = self.bend * self.error * (2 * far + self.error)
        return up(found + wrong, np.abs(found) + wrong, 1)

    def support(
        self,
        box: tuple[np.ndarray, np.ndarray],
        ball: tuple[np.ndarray, float],
        c: np.ndarray,
        error: np.ndarray,
        tau: np.ndarray,
    ) -> np.ndarray:
        """Bound max over x of c·x + Σ μ (x − y)² − τ/2 (‖x − centre‖² − r²), one row a direction.

        Args:
            box: lower and upper ends of the pixels.
            ball: its centre and radius, which may be infinite: then τ is 0.
            c: directions.
            error: bounds of their own errors.
            tau: τ of each row.
        """
        (low, high), (centre, radius), mu, y = box, ball, self.spread, self.point
        tau = tau[:, None] if np.isfinite(radius) else 0 * tau[:, None]

        def value(x: np.ndarray) -> np.ndarray:
            return c * x + mu * (x - y) ** 2 - tau / 2 * (x - centre) ** 2

        curvature = 2 * mu - tau
        bent = curvature < 0
        top = (2 * mu * y - tau * centre - c) / np.where(bent, curvature, -1.0)
        x = np.where(bent, np.clip(top, low, high), low)
        # Of a concave function any tangent is an upper bound; a convex one is largest at an end.
        slope = c + 2 * mu * (x - y) - tau * (x - centre)
        inner = value(x) + np.maximum(slope * (low - x), slope * (high - x))
        terms = np.where(bent, inner, np.maximum(value(low), value(high)))
        reach, width = np.maximum(np.abs(low), np.abs(high)), high - low
        size = (np.abs(c) + error) * (reach + width)
        for weight, at in ((2 * mu, y), (tau, centre)):
            away = np.maximum(np.abs(low - at), np.abs(high - at))
            size = size + weight * away * (away + 2 * width)
        budget = tau[:, 0] * (radius**2 / 2) if np.isfinite(radius) else 0.0
        total = (terms + error * reach).sum(1) + budget
        return up(total, size.sum(1) + budget, c.shape[1])


def _scale(weight: np.ndarray, bend: np.ndarray, spread: np.ndarray) -> float:
    """Return s with W diag(q) Wᵀ ⪯ s diag(μ), by a Cholesky factor and a bound of its errors.

    That is A ⪯ s for A = BᵀB, B = diag(μ)^(−1/2) W diag(q)^(1/2). A matrix whose computed factor
    exists has no eigenvalue below minus its trace times the roundings of a row (Rump 2006).
    """
    b = weight / np.sqrt(spread)[:, None] * np.sqrt(bend)
    a, units = b.T @ b, len(bend)
    if not np.isfinite(a).all():
        raise JaxbqError("the certificate's quadratic overflows; make it again")
    trace = float(np.trace(a)) * (1 + 1e-6) + 1e-250
    wrong = (len(spread) + 32) * UNIT * trace
    largest = float(np.linalg.eigvalsh(a)[-1])
    slack = 2 * (wrong + (units + 32) * UNIT * (units * (1 + 2 * largest) + trace))
    for s in (1.0, max(1.0, largest) * (1 + 1e-9) + 2 * slack):
        try:
            np.linalg.cholesky((s - slack) * np.eye(units) - a)
        except np.linalg.LinAlgError:
            continue
        return s
    return max(trace + 2 * wrong, 1.0)


def _piece(
    activation: str,
    sign: int,
    v: np.ndarray,
    lam: np.ndarray,
    q: np.ndarray,
    centre: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """Bound the maximum where φ'' has one sign, for every entry of rows."""
    shape = shape_of(activation)
    reach, width = np.maximum(np.abs(low), np.abs(high)), high - low
    far = np.maximum(np.abs(low - centre), np.abs(high - centre))
    at_ends = np.maximum(np.abs(shape.apply(low)), np.abs(shape.apply(high))) + shape.dip * reach
    size = np.abs(v) * (at_ends + shape.steepest * width) + np.abs(lam) * (reach + width)
    size += q * far * (far + 2 * width)
    rows = (v, lam, q, centre, low, high)
    convex = v * sign > 0
    found = np.empty_like(size)
    found[~convex] = _concave(activation, *(part[~convex] for part in rows))
    found[convex] = _convex(activation, *(part[convex] for part in rows))
    return up(found, size, 1)


def _concave(activation: str, *rows: np.ndarray) -> np.ndarray:
    v, lam, q, centre, low, high = rows
    shape, left, right = shape_of(activation), low, high

    def slope(z: np.ndarray) -> np.ndarray:
        return v * shape.slope(z) - lam - 2 * q * (z - centre)

    for _ in range(_HALVINGS):
        z = (left + right) / 2
        rises = slope(z) > 0
        left, right = np.where(rises, z, left), np.where(rises, right, z)
    z = (left + right) / 2
    # A tangent of a concave function lies above it, wherever it touches.
    rise = np.maximum(slope(z) * (low - z), slope(z) * (high - z))
    return v * shape.apply(z) - lam * z - q * (z - centre) ** 2 + rise


def _convex(activation: str, *rows: np.ndarray) -> np.ndarray:
    """Bound v φ by its chord in each of many cells; what is left is concave."""
    v, lam, q, centre, low, high = rows
    apply, steepest = shape_of(activation).apply, shape_of(activation).steepest
    ends = np.arcsinh(low / _NEAR), np.arcsinh(high / _NEAR)
    found, before = np.full_like(low, -np.inf), low
    before_value = v * apply(low)
    for n in range(1, _CELLS + 1):
        share = n / _CELLS
        after = _NEAR * np.sinh(ends[0] * (1 - share) + ends[1] * share)
        after = high if n == _CELLS else np.clip(after, before, high)
        value, width = v * apply(after), after - before
        rise = (value - before_value) / np.where(width > 0, width, 1.0)
        rise = np.clip(rise, -np.abs(v) * steepest, np.abs(v) * steepest)
        base = before_value + np.maximum(0.0, value - before_value - rise * width)
        top = centre + (rise - lam) / np.where(q > 0, 2 * q, 1.0)
        end = np.where(rise > lam, after, before)
        z = np.where(q > 0, np.clip(top, before, after), end)
        slope = rise - lam - 2 * q * (z - centre)
        bound = base + rise * (z - before) - lam * z - q * (z - centre) ** 2
        bound += np.maximum(slope * (before - z), slope * (after - z))
        found = np.maximum(found, bound)
        before, before_value = after, value
    return found
