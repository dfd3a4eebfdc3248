"""What a certificate proves, recomputed in plain NumPy with every rounding error bounded.

Nothing here is shared with the optimiser. Multipliers are valid whatever they are, so a bad one
costs tightness and never soundness: a leaf's bound is, for any λ and any τ ≥ 0,

    Σᵢ max over z in [lᵢ, uᵢ] of (vᵢ φ(z) − λᵢ z)  +  λ·b  +  h(Wλ)  +  constant,

with h(c) the maximum of c·x over the set (of a ball, c·x − τ/2 (‖x − centre‖² − r²) over the box
around it). NumPy's elementary functions are taken to err by at most eight units in the last place.
"""

import hashlib
from typing import NamedTuple

import numpy as np

from ..errors import JaxbqError
from .curved import Curve
from .maxima import UNIT, shape_of, unit_maxima, up

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
        curve: of every leaf, the row of its quadratic, or −1, shape (leaves,); empty without any.
        bend: q of the quadratics, shape (quadratics, units).
        spread: μ of the quadratics, above 0, shape (quadratics, pixels).
        point: y of the quadratics, shape (quadratics, pixels).
    """

    unit: np.ndarray
    at: np.ndarray
    multipliers: np.ndarray
    ball: np.ndarray
    rivals: np.ndarray
    curve: np.ndarray = np.zeros(0, np.int32)
    bend: np.ndarray = np.zeros((0, 0))
    spread: np.ndarray = np.zeros((0, 0))
    point: np.ndarray = np.zeros((0, 0))


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

    def support(
        self, c: np.ndarray, error: np.ndarray, ball: np.ndarray, curve: Curve | None = None
    ) -> np.ndarray:
        """Bound max c·x from above, with a quadratic that of c·x + Σ μ (x − y)².

        Args:
            c: directions, one a row.
            error: bounds of their own errors.
            ball: τ of each row.
            curve: the quadratic.
        """
        if curve is not None:
            ends = (self.low, self.high)
            return curve.support(ends, (self.centre, self.radius), c, error, ball)
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
        return up(total, size.sum(1) + budget, c.shape[1])


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
    curve: Curve | None = None,
) -> np.ndarray:
    """Bound the objective over images whose pre-activations are in intervals, one row a leaf."""
    low, high = intervals
    outer, units = weights.outer, multipliers.shape[1]
    rows = coefficients(claim, outer.shape[1], rivals)
    v = rows @ outer.T
    # Rounding of the weights of a margin, and of the sum.
    wrong = 3 * (outer.shape[1] + 32) * UNIT
    v_error = wrong * (np.abs(rows) @ np.abs(outer.T))
    shape = shape_of(weights.activation)
    largest = np.maximum(np.abs(shape.apply(low)), np.abs(shape.apply(high)))
    maxima = unit_maxima if curve is None else curve.maxima
    inner = maxima(weights.activation, v, multipliers, low, high) + 2 * v_error * largest
    c = multipliers @ weights.inner.T
    c_error = (units + 32) * UNIT * (np.abs(multipliers) @ np.abs(weights.inner.T))
    parts = [
        up(inner.sum(1), np.abs(inner).sum(1), units),
        up(multipliers @ weights.bias, np.abs(multipliers) @ np.abs(weights.bias), units),
        region.support(c, c_error, ball, curve),
        rows @ weights.constants + wrong * (np.abs(rows) @ np.abs(weights.constants)),
    ]
    return up(sum(parts), sum(map(np.abs, parts)), len(parts))


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
    curves, pixels = len(tree.bend), len(weights.inner)
    shapes = (tree.multipliers.shape, tree.ball.shape, tree.rivals.shape)
    fit = shapes == ((leaves, units), (leaves,), (leaves, outputs)) and leaves > 0
    if curves or len(tree.curve):
        fit &= tree.curve.shape == (leaves,) and tree.bend.shape == (curves, units)
        fit &= tree.spread.shape == tree.point.shape == (curves, pixels)
        fit &= tree.curve.min(initial=0) >= -1 and tree.curve.max(initial=-1) < curves
    if not fit:
        raise JaxbqError("the certificate is of a network with other layers")
    largest = np.max([np.abs(part).max(initial=0) for part in tree[1:]])
    fit = bool(largest < _LARGEST) and bool((tree.ball >= 0).all() and (tree.rivals >= 0).all())
    fit &= bool((tree.bend >= 0).all() and (tree.spread > 1 / _LARGEST).all())
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
    rows = tree.curve if len(tree.curve) else np.full(len(low), -1)
    bounds = []
    for row in np.unique(rows):
        curve = tree_curve(weights, tree, int(row))
        leaves = np.flatnonzero(rows == row)
        for part in (leaves[n : n + _CHUNK] for n in range(0, len(leaves), _CHUNK)):
            duals = (tree.multipliers[part], tree.ball[part], tree.rivals[part])
            box = (low[part], high[part])
            bounds.append(leaf_bounds(weights, claim, region, box, *duals, curve).max())
    return float(np.max(bounds))


def tree_curve(weights: Weights, tree: Tree, row: int) -> Curve | None:
    """Return a quadratic with the matrix inequality proven; None for row −1."""
    if row < 0:
        return None
    layer = (weights.inner, weights.bias)
    return Curve.of(layer, tree.bend[row], tree.spread[row], tree.point[row])


def contains(claim: Claim, image: np.ndarray) -> bool:
    """Whether an image is in the set of a claim, with roundings counted against it."""
    if not ((image >= claim.low) & (image <= claim.high)).all():
        return False
    away = np.abs(image - claim.centre) if claim.norm else np.zeros(1)
    if claim.norm == "linf":
        return bool((away * (1 + 4 * UNIT) <= claim.radius).all())
    if claim.norm == "l2":
        return bool((away**2).sum() * (1 + (len(away) + 32) * UNIT) <= claim.radius**2)
    return True


def reached(weights: Weights, claim: Claim, image: np.ndarray) -> float:
    """Bound the objective of one image from below."""
    inner, pixels = weights.inner, len(image)
    z = image @ inner + weights.bias
    error = (pixels + 32) * UNIT * (np.abs(image) @ np.abs(inner) + np.abs(weights.bias))
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
    return float((-up(-total, 4 * size, len(z) + outputs)).min())
