"""What a certificate proves, recomputed in plain NumPy with every rounding error bounded.

Nothing here is shared with the optimiser. Multipliers are valid whatever they are, so a bad one
costs tightness and never soundness: a leaf's bound is, for any λ and any τ ≥ 0,

    Σᵢ max over z in [lᵢ, uᵢ] of (vᵢ φ(z) − λᵢ z)  +  λ·b  +  h(Wλ)  +  constant,

with h(c) the maximum of c·x over the set (of a ball, c·x − τ/2 (‖x − centre‖² − r²) over the box
around it). NumPy's elementary functions are taken to err by at most eight units in the last place.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..errors import JaxbqError

_UNIT = 2.0**-52  # twice the largest relative error of one operation in float64
_TINY = 1e-290  # more than all that underflows in one sum
_HALVINGS = 50
_CHUNK = 512  # leaves at a time
_LARGEST = 1e100  # of all numbers in a tree, so that nothing overflows


class Weights(NamedTuple):
    """A network with one hidden layer, in float64.

    Args:
        inner: W, shape (pixels, units).
        bias: b, shape (units,).
        outer: weights of the logits, shape (units, outputs).
        constants: their biases, shape (outputs,).
        activation: name of φ.
    """

    inner: np.ndarray
    bias: np.ndarray
    outer: np.ndarray
    constants: np.ndarray
    activation: str

    @property
    def digest(self) -> str:
        """SHA-256 of everything in it."""
        found = hashlib.sha256(self.activation.encode())
        for array in self[:4]:
            found.update(repr(array.shape).encode() + array.astype("<f8").tobytes())
        return found.hexdigest()


class Claim(NamedTuple):
    """What is bounded, over which images.

    Args:
        objective: ``logit`` of the target, its ``margin`` over the best of the others, or its
            ``difference`` from another class.
        target: index of the class.
        other: index of the other class, for a difference; else −1.
        low: lower end of the pixel range.
        high: upper end.
        norm: ``linf`` or ``l2`` for a ball, intersected with the pixel range; else empty.
        radius: of the ball, in units of the pixel range's numbers.
        centre: of the ball, shape (pixels,); empty without one.
    """

    objective: str
    target: int
    other: int
    low: float
    high: float
    norm: str
    radius: float
    centre: np.ndarray


class Tree(NamedTuple):
    """A partition of the hidden units' intervals, and multipliers of its leaves.

    Args:
        unit: of every node in preorder, the unit that is split there, or −1 at a leaf.
        at: where it is split; the first child is below.
        multipliers: λ of every leaf in the same order, shape (leaves, units).
        ball: τ of every leaf, at least 0, shape (leaves,).
        rivals: of every leaf, weights of the other classes in a margin, shape (leaves, outputs).
    """

    unit: np.ndarray
    at: np.ndarray
    multipliers: np.ndarray
    ball: np.ndarray
    rivals: np.ndarray


class _Shape(NamedTuple):
    """φ, which is monotone with slopes of at most 1, and bends one way on each side of 0."""

    apply: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    below: int  # sign of φ'' for z < 0
    above: int


def shape_of(activation: str) -> _Shape:
    """Return φ with what a maximum over an interval needs.

    Raises:
        JaxbqError: there is no bound for this activation.
    """
    name, _, number = activation.removesuffix(")").partition("(")
    parameter = float(number) if number else {"leaky_relu": 0.01, "elu": 1.0}.get(name, 0.0)
    if name in ("leaky_relu", "elu") and parameter > 1:
        name = activation
    known = {
        "sigmoid": _Shape(_sigmoid, lambda z: _bell(np.abs(z)), 1, -1),
        "tanh": _Shape(np.tanh, lambda z: 4 * _bell(2 * np.abs(z)), 1, -1),
        "softplus": _Shape(lambda z: np.logaddexp(0.0, z), _sigmoid, 1, 1),
        "elu": _Shape(
            lambda z: np.where(z > 0, z, parameter * np.expm1(np.minimum(z, 0))),
            lambda z: np.where(z > 0, 1.0, parameter * np.exp(np.minimum(z, 0))),
            1,
            0,
        ),
        "relu": _ramp(0.0),
        "leaky_relu": _ramp(parameter),
        "identity": _ramp(1.0),
    }
    if name not in known:
        raise JaxbqError(
            f"no bound is known for hidden units of {activation}; certify takes sigmoid, tanh, "
            "relu, leaky_relu and elu with numbers up to 1, softplus, identity"
        )
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

    return _Shape(apply, lambda z: np.where(z > 0, 1.0, slope), 0, 0)


def _up(total: np.ndarray, size: np.ndarray, terms: int) -> np.ndarray:
    """Bound a computed sum from above; ``size`` is that of the absolute values in it."""
    return np.nextafter(total + (terms + 32) * _UNIT * size + _TINY, np.inf)


class Region(NamedTuple):
    """A box of images, and a ball in it if ``radius`` is not infinite."""

    low: np.ndarray
    high: np.ndarray
    centre: np.ndarray
    radius: float

    @classmethod
    def of(cls, claim: Claim, pixels: int) -> "Region":
        """Return the set of a claim, its box rounded outward."""
        low, high = np.full(pixels, claim.low), np.full(pixels, claim.high)
        if not claim.norm:
            return cls(low, high, (low + high) / 2, np.inf)
        low = np.maximum(low, np.nextafter(claim.centre - claim.radius, -np.inf))
        high = np.minimum(high, np.nextafter(claim.centre + claim.radius, np.inf))
        return cls(low, high, claim.centre, claim.radius if claim.norm == "l2" else np.inf)

    def support(self, c: np.ndarray, error: np.ndarray, ball: np.ndarray) -> np.ndarray:
        """Bound max c·x from above.

        Args:
            c: directions, one a row.
            error: bounds of their own errors.
            ball: τ of each row.
        """
        low, high, tau = self.low, self.high, ball[:, None]
        if np.isinf(self.radius):
            tau = 0 * tau
        with np.errstate(over="ignore"):
            inside = self.centre + c / np.where(tau > 0, tau, 1.0)
        x = np.where(tau > 0, np.clip(inside, low, high), np.where(c > 0, high, low))
        # Of a concave function any tangent is an upper bound, so x may be rounded.
        away = x - self.centre
        slope = c - tau * away
        terms = c * x - tau / 2 * away**2 + np.maximum(slope * (low - x), slope * (high - x))
        reach, width = np.maximum(np.abs(low), np.abs(high)), high - low
        size = (np.abs(c) + error) * (reach + width) + tau * (away**2 + np.abs(away) * width)
        budget = tau[:, 0] * (self.radius**2 / 2) if np.isfinite(self.radius) else 0.0
        total = (terms + error * reach).sum(1) + budget
        return _up(total, size.sum(1) + budget, c.shape[1])


def root_intervals(weights: Weights, region: Region) -> tuple[np.ndarray, np.ndarray]:
    """Bound every hidden pre-activation over a set; returns lower and upper ends."""
    w = weights.inner.T
    none = np.zeros_like(w)

    def reach(rows: np.ndarray) -> np.ndarray:
        box = region.support(rows, none, np.zeros(len(rows)))
        if np.isinf(region.radius):
            return box
        taus = np.linalg.norm(rows, axis=1) / region.radius
        return np.minimum(box, region.support(rows, none, taus))

    up, down = reach(w), reach(-w)
    upper = np.nextafter(up + weights.bias, np.inf)
    return np.nextafter(weights.bias - down, -np.inf), upper


def unit_maxima(
    activation: str, v: np.ndarray, lam: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Bound max over z in [low, high] of v φ(z) − λ z from above, for every entry of arrays."""
    shape = shape_of(activation)
    below = _piece(shape, shape.below, v, lam, low, np.minimum(high, 0.0))
    above = _piece(shape, shape.above, v, lam, np.maximum(low, 0.0), high)
    return np.maximum(np.where(low <= 0, below, -np.inf), np.where(high >= 0, above, -np.inf))


def _piece(
    shape: _Shape, bend: int, v: np.ndarray, lam: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Bound the maximum where v φ bends one way only; nothing if the interval is empty."""
    ends = np.maximum(*(v * shape.apply(z) - lam * z for z in (low, high)))
    reach, width = np.maximum(np.abs(low), np.abs(high)), np.abs(high - low)
    at_ends = np.maximum(np.abs(shape.apply(low)), np.abs(shape.apply(high)))
    size = np.abs(v) * (at_ends + width) + np.abs(lam) * (reach + width)
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
    return _up(ends, size, 1)


def coefficients(claim: Claim, outputs: int, rivals: np.ndarray) -> np.ndarray:
    """Write objectives as sums of logits: one row a leaf, shape (leaves, outputs).

    A margin is at most any average of the differences from the other classes.
    """
    rows = np.zeros((len(rivals), outputs))
    rows[:, claim.target] = 1.0
    if claim.objective == "difference":
        rows[:, claim.other] -= 1.0
    if claim.objective == "margin":
        rows -= rivals / rivals.sum(1, keepdims=True)
    return rows


def leaf_bounds(
    weights: Weights,
    claim: Claim,
    region: Region,
    intervals: tuple[np.ndarray, np.ndarray],
    multipliers: np.ndarray,
    ball: np.ndarray,
    rivals: np.ndarray,
) -> np.ndarray:
    """Bound the objective over images whose pre-activations are in intervals, one row a leaf."""
    low, high = intervals
    outer, units = weights.outer, multipliers.shape[1]
    rows = coefficients(claim, outer.shape[1], rivals)
    v = rows @ outer.T
    # Rounding of the weights of a margin, and of the sum.
    wrong = 3 * (outer.shape[1] + 32) * _UNIT
    v_error = wrong * (np.abs(rows) @ np.abs(outer.T))
    shape = shape_of(weights.activation)
    largest = np.maximum(np.abs(shape.apply(low)), np.abs(shape.apply(high)))
    inner = unit_maxima(weights.activation, v, multipliers, low, high) + 2 * v_error * largest
    c = multipliers @ weights.inner.T
    c_error = (units + 32) * _UNIT * (np.abs(multipliers) @ np.abs(weights.inner.T))
    parts = [
        _up(inner.sum(1), np.abs(inner).sum(1), units),
        _up(multipliers @ weights.bias, np.abs(multipliers) @ np.abs(weights.bias), units),
        region.support(c, c_error, ball),
        rows @ weights.constants + wrong * (np.abs(rows) @ np.abs(weights.constants)),
    ]
    return _up(sum(parts), sum(map(np.abs, parts)), len(parts))


def tree_intervals(
    tree: Tree, root: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Walk a tree; return the intervals of its leaves, which together cover the root's.

    Raises:
        JaxbqError: it is no tree.
    """
    damaged = JaxbqError("the certificate's partition is no tree; make it again")
    if len(tree.unit) != 2 * len(tree.multipliers) - 1:
        raise damaged
    waiting, lows, highs = [root], [], []
    for unit, at in zip(tree.unit.tolist(), tree.at.tolist(), strict=True):
        if not waiting or not -1 <= unit < len(root[0]):
            raise damaged
        low, high = waiting.pop()
        if unit < 0:
            lows.append(low)
            highs.append(high)
            continue
        # Whatever the number is, both children together are the parent.
        middle = min(max(at, low[unit]), high[unit])
        first, second = high.copy(), low.copy()
        first[unit] = second[unit] = middle
        waiting += [(second, high), (low, first)]
    if waiting:
        raise damaged
    return np.array(lows), np.array(highs)


def _check(weights: Weights, claim: Claim, tree: Tree) -> None:
    """Refuse what would make a bound no bound."""
    leaves, (units, outputs) = len(tree.multipliers), weights.outer.shape
    shapes = (tree.multipliers.shape, tree.ball.shape, tree.rivals.shape)
    if shapes != ((leaves, units), (leaves,), (leaves, outputs)) or not leaves:
        raise JaxbqError("the certificate is of a network with other layers")
    largest = np.max([np.abs(part).max(initial=0) for part in tree[1:]])
    fit = largest < _LARGEST and (tree.ball >= 0).all() and (tree.rivals >= 0).all()
    if claim.objective == "margin":
        fit &= (tree.rivals[:, claim.target] == 0).all() and (tree.rivals.sum(1) > 0.5).all()
    if not fit:
        raise JaxbqError("the certificate holds multipliers that prove nothing; make it again")


def proven(weights: Weights, claim: Claim, tree: Tree) -> float:
    """Compute what a tree with its multipliers proves: the objective is nowhere larger.

    Raises:
        JaxbqError: the tree is damaged, or of another network.
    """
    _check(weights, claim, tree)
    region = Region.of(claim, len(weights.inner))
    low, high = tree_intervals(tree, root_intervals(weights, region))
    bounds = [
        leaf_bounds(
            weights,
            claim,
            region,
            (low[part], high[part]),
            tree.multipliers[part],
            tree.ball[part],
            tree.rivals[part],
        ).max()
        for part in (slice(n, n + _CHUNK) for n in range(0, len(low), _CHUNK))
    ]
    return float(np.max(bounds))


def contains(claim: Claim, image: np.ndarray) -> bool:
    """Whether an image is in the set of a claim, with roundings counted against it."""
    if not ((image >= claim.low) & (image <= claim.high)).all():
        return False
    away = np.abs(image - claim.centre) if claim.norm else np.zeros(1)
    if claim.norm == "linf":
        return bool((away * (1 + 4 * _UNIT) <= claim.radius).all())
    if claim.norm == "l2":
        return bool((away**2).sum() * (1 + (len(away) + 32) * _UNIT) <= claim.radius**2)
    return True


def reached(weights: Weights, claim: Claim, image: np.ndarray) -> float:
    """Bound the objective of one image from below."""
    inner, pixels = weights.inner, len(image)
    z = image @ inner + weights.bias
    error = (pixels + 32) * _UNIT * (np.abs(image) @ np.abs(inner) + np.abs(weights.bias))
    apply = shape_of(weights.activation).apply
    low, high = apply(z - error), apply(z + error)
    outputs = weights.outer.shape[1]
    others = [k for k in range(outputs) if k != claim.target]
    rivals = np.eye(outputs)[others if claim.objective == "margin" else [claim.target]]
    rows = coefficients(claim, outputs, rivals)
    v = rows @ weights.outer.T
    terms = np.minimum(v * low, v * high)
    size = np.abs(rows) @ np.abs(weights.outer.T) @ np.maximum(np.abs(low), np.abs(high))
    size += np.abs(rows) @ np.abs(weights.constants)
    total = terms.sum(1) + rows @ weights.constants
    return float((-_up(-total, 4 * size, len(z) + outputs)).min())
