"""What a certificate proves, recomputed in plain NumPy with every rounding error bounded.

Nothing here is shared with the optimiser. Multipliers are valid whatever they are, so a bad one
costs tightness and never soundness: a leaf's bound is, for any λ and any τ ≥ 0,

    Σᵢ max over z in [lᵢ, uᵢ] of (vᵢ φ(z) − λᵢ z)  +  λ·b  +  h(Wλ)  +  constant,

with h(c) the maximum of c·x over the set (of a ball, c·x − τ/2 (‖x − centre‖² − r²) over the box
around it). Of several hidden layers, Wλ of a layer are the v of the one before, and h is of the
first. The later layers' intervals come from the same bound. An ellipsoid m + uAᵀ, ‖u‖ ≤ r, is a
layer of its own in front, of identities that the pixel range bounds.
"""

import hashlib
from typing import NamedTuple

import numpy as np

from ..errors import JaxbqError
from .curved import Curve
from .maxima import UNIT, shape_of, unit_maxima, up

_CHUNK = 512  # leaves at a time
_LARGEST = 1e100  # of all numbers in a tree and of bounds, so that nothing overflows


class Hidden(NamedTuple):
    """A hidden layer: W, shape (fan_in, units), b, shape (units,), and the name of φ."""

    weight: np.ndarray
    bias: np.ndarray
    activation: str


class Weights(NamedTuple):
    """A network in float64.

    Args:
        inner: W of the first hidden layer, shape (pixels, units).
        bias: b, shape (units,).
        outer: weights of the logits, shape (units of the last hidden layer, outputs).
        constants: their biases, shape (outputs,).
        activation: name of φ.
        between: the other hidden layers, in order.
    """

    inner: np.ndarray
    bias: np.ndarray
    outer: np.ndarray
    constants: np.ndarray
    activation: str
    between: tuple[Hidden, ...] = ()

    @property
    def hidden(self) -> tuple[Hidden, ...]:
        """All hidden layers."""
        return (Hidden(self.inner, self.bias, self.activation), *self.between)

    @property
    def digest(self) -> str:
        """SHA-256 of everything in it."""
        found = hashlib.sha256(" ".join(layer.activation for layer in self.hidden).encode())
        for array in (*self[:4], *(part for layer in self.between for part in layer[:2])):
            found.update(repr(array.shape).encode() + array.astype("<f8").tobytes())
        return found.hexdigest()


class Claim(NamedTuple):
    """What is bounded, over which images.

    Args:
        objective: ``logit`` of the target, its ``margin`` over the best of the others, or its
            ``difference`` from another class; the pre-activation of a hidden ``unit``; the sum of
            the logits along a ``direction``; or ``error``, minus the largest of all differences
            between logits and wanted ones.
        target: index of the class, or of the unit; −1 where there is none.
        other: index of the other class, for a difference; else −1.
        low: lower end of the pixel range.
        high: upper end.
        norm: ``linf`` or ``l2`` for a ball, ``mahalanobis`` for an ellipsoid, intersected with the
            pixel range; else empty.
        radius: of the ball, in units of the pixel range's numbers; of the ellipsoid, of u.
        centre: of the ball, shape (pixels,); empty without one.
        layer: of the unit, from 1; else 0.
        vector: the direction, or the wanted logits, shape (outputs,); else empty.
        factor: A of the ellipsoid, shape (pixels, pixels); else (0, 0).
    """

    objective: str
    target: int
    other: int
    low: float
    high: float
    norm: str
    radius: float
    centre: np.ndarray
    layer: int = 0
    vector: np.ndarray = np.zeros(0)
    factor: np.ndarray = np.zeros((0, 0))


class Tree(NamedTuple):
    """A partition of the hidden units' intervals, and multipliers of its leaves.

    Args:
        unit: of every node in preorder, the unit that is split there, or −1 at a leaf.
        at: where it is split; the first child is below.
        multipliers: λ of every leaf in the same order, shape (leaves, units of all layers).
        ball: τ of every leaf, at least 0, shape (leaves,).
        rivals: of every leaf, weights of the other classes in a margin, shape (leaves, outputs); of
            an error, weights of the outputs' differences.
        curve: of every leaf, the row of its quadratic, or −1, shape (leaves,); empty without any.
        bend: q of the quadratics, shape (quadratics, units of the first layer).
        spread: μ of the quadratics, above 0, shape (quadratics, pixels).
        point: y of the quadratics, shape (quadratics, pixels).
        ends: λ, and in the last column τ, by which the intervals of all layers but the first are
            bounded: for each layer its units' upper ends, then their lower ends; shape
            (2·units of these, units of all + 1), or (0, 0) where there are none.
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
    ends: np.ndarray = np.zeros((0, 0))


class Region(NamedTuple):
    """A box of what enters, and a ball in it if ``radius`` is not infinite.

    ``pixels``, if any, are ends of the first layer's values: of an ellipsoid what enters is u.
    """

    low: np.ndarray
    high: np.ndarray
    centre: np.ndarray
    radius: float
    pixels: tuple[float, float] | None = None

    @classmethod
    def of(cls, claim: Claim, pixels: int) -> "Region":
        """Return the set of a claim, its box rounded outward."""
        if claim.norm == "mahalanobis":
            ends = np.full(len(claim.factor.T), claim.radius)
            return cls(-ends, ends, 0 * ends, claim.radius, (claim.low, claim.high))
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


def root_intervals(
    weights: Weights, region: Region, ends: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Bound every hidden pre-activation over a set; returns lower and upper ends.

    Args:
        weights: the network, as :func:`proof_form` returns it.
        region: the set.
        ends: multipliers of the later layers' intervals, as in a tree; without them they are those
            of interval arithmetic. Fewer layers' than there are will do.
    """
    low, high = _first_intervals(weights, region)
    lows, highs, row = [low], [high], 0
    for number, layer in enumerate(weights.between, 1):
        low, high = through(layer, *activation_range(weights.hidden[number - 1], low, high))
        units = len(layer.bias)
        if ends is not None and len(ends) >= row + 2 * units:
            so_far = sum(map(len, lows))
            lam, ball = ends[row : row + 2 * units, :so_far], ends[row : row + 2 * units, -1]
            v = np.concatenate([layer.weight.T, -layer.weight.T])
            box = (np.concatenate(lows)[None], np.concatenate(highs)[None])
            hidden = weights.hidden[:number]
            found = sum_bounds(hidden, region, box, v, lam, ball)
            high = np.minimum(high, np.nextafter(found[:units] + layer.bias, np.inf))
            low = np.maximum(low, np.nextafter(layer.bias - found[units:], -np.inf))
            row += 2 * units
        lows.append(low)
        highs.append(high)
    return np.concatenate(lows), np.concatenate(highs)


def _first_intervals(weights: Weights, region: Region) -> tuple[np.ndarray, np.ndarray]:
    w = weights.inner.T
    none = np.zeros_like(w)

    def reach(rows: np.ndarray) -> np.ndarray:
        box = region.support(rows, none, np.zeros(len(rows)))
        if np.isinf(region.radius):
            return box
        taus = np.linalg.norm(rows, axis=1) / region.radius
        return np.minimum(box, region.support(rows, none, taus))

    upper = np.nextafter(reach(w) + weights.bias, np.inf)
    lower = np.nextafter(weights.bias - reach(-w), -np.inf)
    if region.pixels is not None:
        lower, upper = np.maximum(lower, region.pixels[0]), np.minimum(upper, region.pixels[1])
    return lower, upper


def activation_range(
    layer: Hidden, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bound φ(z) over intervals from below and from above."""
    one, none = np.ones_like(low), np.zeros_like(low)
    return (
        -unit_maxima(layer.activation, -one, none, low, high),
        unit_maxima(layer.activation, one, none, low, high),
    )


def through(layer: Hidden, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bound aW + b over intervals of a, from below and from above."""
    plus, minus = np.maximum(layer.weight, 0), np.minimum(layer.weight, 0)
    size = np.maximum(np.abs(low), np.abs(high)) @ np.abs(layer.weight) + np.abs(layer.bias)
    upper = high @ plus + low @ minus + layer.bias
    lower = low @ plus + high @ minus + layer.bias
    terms = 2 * len(layer.weight)
    return -up(-lower, 2 * size, terms), up(upper, 2 * size, terms)


def coefficients(claim: Claim, outputs: int, rivals: np.ndarray) -> np.ndarray:
    """Write objectives as sums of logits: one row a leaf, shape (leaves, outputs).

    A margin is at most any average of the differences from the other classes; minus the largest
    error at most minus any average of errors, each with either sign.
    """
    rows = np.zeros((len(rivals), outputs))
    if claim.objective == "direction":
        return rows + claim.vector
    if claim.objective == "error":
        return -rivals / np.abs(rivals).sum(1, keepdims=True)
    rows[:, claim.target] = 1.0
    if claim.objective == "difference":
        rows[:, claim.other] -= 1.0
    if claim.objective == "margin":
        rows -= rivals / rivals.sum(1, keepdims=True)
    return rows


def extremes(claim: Claim, outputs: int) -> np.ndarray:
    """Return the rivals of which the objective is the least value, one a row."""
    each = np.eye(outputs)
    if claim.objective == "margin":
        return np.delete(each, claim.target, axis=0)
    return np.concatenate([each, -each]) if claim.objective == "error" else each[:1]


def asked(weights: Weights, claim: Claim) -> tuple[Weights, Claim]:
    """Write a question as one about logits: a unit's network ends at it, errors are from 0."""
    if claim.objective == "unit":
        before, own = weights.hidden[: claim.layer - 1], weights.hidden[claim.layer - 1]
        outer, constants = own.weight[:, [claim.target]], own.bias[[claim.target]]
        claim = claim._replace(objective="logit", target=0, layer=0)
        if not before:
            # What is linear in the image is the answer of an identity.
            before = (Hidden(outer, constants, "identity"),)
            outer, constants = np.ones((1, 1)), np.zeros(1)
        first, others = before[0], before[1:]
        return Weights(*first[:2], outer, constants, first.activation, others), claim
    if claim.objective == "error":
        # One subtraction errs by no more than constants may, see leaf_bounds.
        weights = weights._replace(constants=weights.constants - claim.vector)
        claim = claim._replace(vector=np.zeros_like(claim.vector))
    return weights, claim


def proof_form(weights: Weights, claim: Claim) -> Weights:
    """Put the layer of an ellipsoid in front of a network, if the set of a claim is one."""
    if claim.norm != "mahalanobis":
        return weights
    return weights._replace(
        inner=claim.factor.T, bias=claim.centre, activation="identity", between=weights.hidden
    )


def _dual_parts(
    hidden: tuple[Hidden, ...],
    region: Region,
    intervals: tuple[np.ndarray, np.ndarray],
    v: np.ndarray,
    v_error: np.ndarray,
    multipliers: np.ndarray,
    ball: np.ndarray,
    curve: Curve | None = None,
) -> list[np.ndarray]:
    """Return the parts of :func:`sum_bounds`, of v that err."""
    parts, last = [], multipliers.shape[1]
    for layer in reversed(hidden):
        units = len(layer.bias)
        lam, low, high = (part[:, last - units : last] for part in (multipliers, *intervals))
        shape = shape_of(layer.activation)
        largest = np.maximum(np.abs(shape.apply(low)), np.abs(shape.apply(high))) + shape.dip
        maxima = unit_maxima if curve is None or layer is not hidden[0] else curve.maxima
        inner = maxima(layer.activation, v, lam, low, high) + 2 * v_error * largest
        parts.append(up(inner.sum(1), np.abs(inner).sum(1), units))
        parts.append(up(lam @ layer.bias, np.abs(lam) @ np.abs(layer.bias), units))
        v = lam @ layer.weight.T
        v_error = (units + 32) * UNIT * (np.abs(lam) @ np.abs(layer.weight.T))
        last -= units
    return [*parts, region.support(v, v_error, ball, curve)]


def sum_bounds(
    hidden: tuple[Hidden, ...],
    region: Region,
    intervals: tuple[np.ndarray, np.ndarray],
    v: np.ndarray,
    multipliers: np.ndarray,
    ball: np.ndarray,
) -> np.ndarray:
    """Bound Σ v φ(z) of the last of hidden layers, one row each."""
    parts = _dual_parts(hidden, region, intervals, v, np.zeros_like(v), multipliers, ball)
    return _sum(parts)


def _sum(parts: list[np.ndarray]) -> np.ndarray:
    return up(np.sum(parts, axis=0), np.abs(parts).sum(axis=0), len(parts))


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
    outer = weights.outer
    rows = coefficients(claim, outer.shape[1], rivals)
    # Rounding of the weights of a margin, and of the sum.
    wrong = 3 * (outer.shape[1] + 32) * UNIT
    v_error = wrong * (np.abs(rows) @ np.abs(outer.T))
    duals = (multipliers, ball, curve)
    parts = _dual_parts(weights.hidden, region, intervals, rows @ outer.T, v_error, *duals)
    constants = np.abs(rows) @ np.abs(weights.constants)
    parts.append(rows @ weights.constants + wrong * constants)
    return _sum(parts)


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
    leaves, outputs, curves = len(tree.multipliers), weights.outer.shape[1], len(tree.bend)
    sizes = [len(layer.bias) for layer in weights.hidden]
    ends = (2 * sum(sizes[1:]), sum(sizes) + 1) if weights.between else (0, 0)
    shapes = (tree.multipliers.shape, tree.ball.shape, tree.rivals.shape, tree.ends.shape)
    whole = shapes == ((leaves, sum(sizes)), (leaves,), (leaves, outputs), ends) and leaves > 0
    if curves or len(tree.curve):
        whole &= tree.curve.shape == (leaves,) and tree.bend.shape == (curves, sizes[0])
        whole &= tree.spread.shape == tree.point.shape == (curves, len(weights.inner))
        whole &= tree.curve.min(initial=0) >= -1 and tree.curve.max(initial=-1) < curves
    if not whole:
        raise JaxbqError("the certificate is of a network with other layers")
    largest = np.max([np.abs(part).max(initial=0) for part in tree[1:]])
    fit = largest < _LARGEST and (tree.ball >= 0).all() and (tree.ends[:, -1:] >= 0).all()
    fit &= (tree.bend >= 0).all() and (tree.spread > 1 / _LARGEST).all()
    fit &= claim.objective == "error" or (tree.rivals >= 0).all()
    if claim.objective == "margin":
        fit &= (tree.rivals[:, claim.target] == 0).all()
    if claim.objective in ("margin", "error"):
        fit &= (np.abs(tree.rivals).sum(1) > 0.5).all()
    if not fit:
        raise JaxbqError("the certificate holds multipliers that prove nothing; make it again")


def proven(weights: Weights, claim: Claim, tree: Tree) -> float:
    """Compute what a tree with its multipliers proves: the objective is nowhere larger.

    Raises:
        JaxbqError: the tree is damaged, or of another network.
    """
    weights, claim = asked(weights, claim)
    weights = proof_form(weights, claim)
    _check(weights, claim, tree)
    region = Region.of(claim, len(weights.inner))
    low, high = tree_intervals(tree, root_intervals(weights, region, tree.ends))
    rows = tree.curve if len(tree.curve) else np.full(len(low), -1)
    bounds = []
    for row in np.unique(rows):
        curve = tree_curve(weights, tree, int(row))
        leaves = np.flatnonzero(rows == row)
        for part in (leaves[n : n + _CHUNK] for n in range(0, len(leaves), _CHUNK)):
            duals = (tree.multipliers[part], tree.ball[part], tree.rivals[part])
            box = (low[part], high[part])
            bounds.append(leaf_bounds(weights, claim, region, box, *duals, curve).max())
    if not (np.abs(bounds) < _LARGEST).all():
        raise JaxbqError("the network's numbers are too large for a bound in float64")
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
    if claim.norm == "mahalanobis":
        return distance(claim, image) <= claim.radius
    return True


def distance(claim: Claim, image: np.ndarray) -> float:
    """Bound the length of the u of an ellipsoid that gives an image, from above."""
    a, pixels = claim.factor, len(image)
    values = np.linalg.svd(a, compute_uv=False)
    least = values[-1] - 1e-12 * pixels * values[0]
    if not least > 0:
        return np.inf
    away = image - claim.centre
    u = np.linalg.solve(a, away)
    # Whatever u is, what is left of the image is that of a u no longer than this.
    size = np.abs(a) @ np.abs(u) + np.abs(away)
    left = np.abs(a @ u - away) + (pixels + 32) * UNIT * size
    return float((np.linalg.norm(u) + np.linalg.norm(left) / least) * (1 + pixels * UNIT))


def reached(weights: Weights, claim: Claim, image: np.ndarray) -> float:
    """Bound the objective of one image from below."""
    weights, claim = asked(weights, claim)
    low = high = image
    for layer in weights.hidden:
        low, high = activation_range(layer, *through(layer, low, high))
    outputs = weights.outer.shape[1]
    rows = coefficients(claim, outputs, extremes(claim, outputs))
    v = rows @ weights.outer.T
    terms = np.minimum(v * low, v * high)
    size = np.abs(rows) @ np.abs(weights.outer.T) @ np.maximum(np.abs(low), np.abs(high))
    size += np.abs(rows) @ np.abs(weights.constants)
    total = terms.sum(1) + rows @ weights.constants
    return float((-up(-total, 4 * size, len(low) + outputs)).min())
