"""Multipliers of networks that are bounded without branching: several layers, any activation.

The bound is a convex function of all multipliers (see :mod:`.verifier`). Here each unit's interval
is a grid, and maxima over it are smoothed, ever less; L-BFGS minimises that. What it ends
with is valid whatever the grid missed. The later layers' intervals are bounded so first, layer by
layer.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..network.activations import activation
from ..runtime import interrupts
from ..runtime.compiled import Compiled
from .envelope import bends_only_at_zero
from .pictures import Pictures
from .verifier import (
    Claim,
    Hidden,
    Region,
    Tree,
    Weights,
    coefficients,
    extremes,
    leaf_bounds,
    proof_form,
    reached,
    root_intervals,
    sum_bounds,
)

_STAGES = ((0.1, 40), (0.02, 60), (0.004, 100))  # of smoothing, in shares of a unit's range; steps
_LAST = ((0.001, 200), (0.0003, 300))  # of what is asked itself
_POINTS = 40  # of a unit's grid, of two kinds
_STARTS, _CLIMBS, _FLIPS = 16, 200, 300
_MEMORY, _HALVINGS = 12, 12
_TAU = 60.0  # largest change of log τ


class _Grid(NamedTuple):
    """Points of a layer's intervals, and the start of its multipliers.

    Args:
        weight: W.
        bias: b.
        z: points, shape (points, units).
        phi: φ there.
        chord: slope of φ between the ends of the intervals.
        size: of a unit's multiplier and of its maximum, for each row, shape (rows, units).
        spread: of its maximum.
    """

    weight: Array
    bias: Array
    z: Array
    phi: Array
    chord: Array
    size: Array
    spread: Array


class _Dual(NamedTuple):
    """All that the bound depends on but multipliers: layers, the set, and the objective's pieces.

    Args:
        grids: of the layers, the last first.
        low: lower ends of what enters.
        high: upper ends.
        centre: of the ball.
        radius: of the ball; 0 without one.
        scale: of the directions c, for each row.
        v: weights of the last layer's units, shape (rows, pieces, units).
        constants: of the pieces, shape (rows, pieces).
    """

    grids: tuple[_Grid, ...]
    low: Array
    high: Array
    centre: Array
    radius: Array
    scale: Array
    v: Array
    constants: Array


class _Free(NamedTuple):
    """What is sought, each row from 0: changes of multipliers, log τ, logits of shares."""

    changes: tuple[Array, ...]
    ball: Array
    shares: Array


def _multipliers(dual: _Dual, free: _Free) -> tuple[list[Array], Array, Array, Array]:
    """Return λ of the layers, the last first, with the c, τ and the shares of the pieces."""
    shares = jax.nn.softmax(free.shares, axis=1)
    v, found = (shares[:, :, None] * dual.v).sum(axis=1), []
    for grid, change in zip(dual.grids, free.changes, strict=True):
        lam = v * grid.chord[None] + grid.size * change
        found.append(lam)
        v = lam @ grid.weight.T
    length = jnp.sqrt((v**2).sum(axis=1) + 1e-30)
    tau = length / jnp.maximum(dual.radius, 1e-30) * jnp.exp(_TAU * jnp.tanh(free.ball / _TAU))
    return found, v, tau, shares


def _bounds(dual: _Dual, free: _Free, blur: Array) -> Array:
    """Compute smoothed bounds, one a row."""
    lams, c, tau, shares = _multipliers(dual, free)
    total = (shares * dual.constants).sum(axis=1)
    v = (shares[:, :, None] * dual.v).sum(axis=1)
    for grid, lam in zip(dual.grids, lams, strict=True):
        soft = blur * grid.spread
        values = v[:, None] * grid.phi[None] - lam[:, None] * grid.z[None]
        total += (soft * jax.nn.logsumexp(values / soft[:, None], axis=1)).sum(axis=1)
        total += lam @ grid.bias
        v = lam @ grid.weight.T
    return total + _support(dual, c, tau, blur)


def _support(dual: _Dual, c: Array, tau: Array, blur: Array) -> Array:
    low, high, centre = (part[None] for part in (dual.low, dual.high, dual.centre))
    size = jnp.sqrt(c**2 + (blur * dual.scale[:, None]) ** 2)
    box = (c * (low + high) / 2 + size * (high - low) / 2).sum(axis=1)
    x = jnp.clip(centre + c / tau[:, None], low, high)
    ball = (c * x - tau[:, None] / 2 * (x - centre) ** 2).sum(axis=1) + tau * dual.radius**2 / 2
    return jnp.where(dual.radius > 0, ball, box)


def _slopes(dual: _Dual, free: _Free, blur: Array) -> tuple[Array, _Free]:
    """Return the bounds and their gradients: each is of its own row alone."""

    def total(free: _Free) -> tuple[Array, Array]:
        bounds = _bounds(dual, free, blur)
        return bounds.sum(), bounds

    (_, bounds), slopes = jax.value_and_grad(total, has_aux=True)(free)
    return bounds, slopes


_SLOPES = Compiled(_slopes)
_MULTIPLIERS = Compiled(_multipliers)


def _grid(layer: Hidden, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lay points over intervals: evenly, and closer around 0; the kinks and ends alone suffice."""
    high = np.maximum(high, low + 1e-9 * (1 + np.abs(low)))
    if bends_only_at_zero(layer.activation) or layer.activation == "identity":
        z = np.stack([low, np.clip(0.0, low, high), high])
    else:
        share = np.linspace(0, 1, _POINTS)[:, None]
        near = np.sinh(np.linspace(-4, 4, _POINTS))[:, None] / 4
        z = np.sort(np.concatenate([low + share * (high - low), np.clip(near, low, high)]), axis=0)
    return z, np.asarray(activation(layer.activation).apply(jnp.asarray(z)))


def _dual(
    hidden: tuple[Hidden, ...],
    region: Region,
    box: tuple[np.ndarray, np.ndarray],
    v: Float[np.ndarray, "rows pieces units"],
    constants: Float[np.ndarray, "rows pieces"],
) -> _Dual:
    """Prepare the bound of objectives, each the least of some pieces."""
    grids, last = [], len(box[0])
    weight = np.abs(v).max(axis=1)
    for layer in reversed(hidden):
        first = last - len(layer.bias)
        z, phi = _grid(layer, box[0][first:last], box[1][first:last])
        last = first
        chord = (phi[-1] - phi[0]) / (z[-1] - z[0])
        steps = np.maximum(np.diff(z, axis=0), 1e-9)
        steep = np.abs(np.diff(phi, axis=0) / steps).max(axis=0)
        weight = weight + 1e-3 * weight.mean(axis=1, keepdims=True) + 1e-12
        size = weight * np.maximum(steep, 1e-3)
        spread = weight * np.maximum(np.ptp(phi, axis=0), 1e-6)
        parts = (layer.weight, layer.bias, z, phi, chord, size, spread)
        grids.append(_Grid(*map(jnp.asarray, parts)))
        weight = np.sqrt((weight * chord) ** 2 @ layer.weight.T**2)
    radius = region.radius if np.isfinite(region.radius) else 0.0
    ends = (region.low, region.high, region.centre, radius, weight.mean(axis=1), v, constants)
    return _Dual(tuple(grids), *map(jnp.asarray, ends))


def _minimise(
    dual: _Dual, stages: tuple[tuple[float, int], ...], deadline: float, shares: np.ndarray
) -> list[tuple[list[np.ndarray], np.ndarray, np.ndarray]]:
    """Return multipliers, the first layer's first, τ and shares: at the start and of each stage."""
    rows = len(dual.v)
    widths = [*(grid.size.shape[1] for grid in dual.grids), 1]
    x = np.hstack([np.zeros((rows, sum(widths))), shares])

    def shaped(x: np.ndarray) -> _Free:
        *changes, ball, shares = np.split(x, np.cumsum(widths), axis=1)
        return _Free(tuple(map(jnp.asarray, changes)), jnp.asarray(ball[:, 0]), jnp.asarray(shares))

    def found(x: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        lams, _, tau, shares = _MULTIPLIERS.thorough(dual, shaped(x))
        tau = np.asarray(tau) if dual.radius > 0 else np.zeros(rows)
        return [np.asarray(lam) for lam in reversed(lams)], tau, np.asarray(shares)

    ends = [found(x)]
    for blur, steps in stages:

        def cost(x: np.ndarray, blur: float = blur) -> tuple[np.ndarray, np.ndarray]:
            interrupts.check()
            bounds, free = _SLOPES.thorough(dual, shaped(x), blur)
            slopes = (*free.changes, free.ball[:, None], free.shares)
            return np.asarray(bounds), np.concatenate(slopes, axis=1)

        x = _descend(cost, x, steps, deadline)
        ends.append(found(x))
        if time.monotonic() > deadline:
            break
    return ends


def _descend(
    cost: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    x: np.ndarray,
    steps: int,
    deadline: float,
) -> np.ndarray:
    """Minimise smooth functions, one a row, by L-BFGS; SciPy's spends its time in threads here."""
    (f, g), pairs = cost(x), deque[tuple[np.ndarray, np.ndarray, np.ndarray]](maxlen=_MEMORY)
    for _ in range(steps):
        d = -_inverse(pairs, g)
        slope = (d * g).sum(axis=1)
        d, slope = np.where(slope[:, None] < 0, d, -g), np.where(slope < 0, slope, -(g**2).sum(1))
        share = np.ones(len(x)) if pairs else 1 / (1 + np.sqrt(-slope))
        for _ in range(_HALVINGS):
            new_f, new_g = cost(x + share[:, None] * d)
            falls = new_f <= f + 1e-4 * share * slope
            if falls.all():
                break
            share = np.where(falls, share, share / 3)
        step = np.where(falls, share, 0.0)[:, None] * d
        rise = np.where(falls[:, None], new_g - g, 0.0)
        size = (step * rise).sum(axis=1)
        kept = size > 1e-12 * (rise**2).sum(axis=1)
        pairs.append((step, rise, np.where(kept, 1 / np.where(kept, size, 1.0), 0.0)))
        won = np.where(falls, f - new_f, 0.0)
        x, f, g = x + step, f - won, g + rise
        if (won <= 1e-7 * np.abs(f)).all() or time.monotonic() > deadline:
            break
    return x


def _inverse(pairs: deque[tuple[np.ndarray, np.ndarray, np.ndarray]], g: np.ndarray) -> np.ndarray:
    """Multiply gradients by L-BFGS's inverse curvature (Nocedal and Wright, algorithm 7.4)."""
    found, shares = g.copy(), []
    for step, rise, scale in reversed(pairs):
        shares.append(scale * (step * found).sum(axis=1))
        found -= shares[-1][:, None] * rise
    if pairs:
        step, rise, scale = pairs[-1]
        size = (step * rise).sum(axis=1) / np.maximum((rise**2).sum(axis=1), 1e-300)
        found *= np.where(scale > 0, size, 1.0)[:, None]
    for step, rise, scale in pairs:
        found += (shares.pop() - scale * (rise * found).sum(axis=1))[:, None] * step
    return found


class DeepSearch:
    """A bound from above and the best picture, for the whole set at once.

    Args:
        weights: the network.
        claim: what is bounded.
        seconds: after which to stop; what is begun is finished.
        gap: (proven − found) / |proven| that is enough.
        seed: of the random starts.
    """

    def __init__(
        self, weights: Weights, claim: Claim, seconds: float, gap: float, seed: int
    ) -> None:
        self._plain, self._claim = weights, claim
        self._weights = proof_form(weights, claim)
        self._region = Region.of(claim, len(self._weights.inner))
        self._seconds, self._gap, self._seed = seconds, gap, seed
        self._pictures = Pictures(weights, claim)
        self.image, self.found = np.zeros(0), -np.inf

    def run(self) -> Tree:
        """Search pictures, then multipliers of the intervals and of the objective."""
        begun = time.monotonic()
        images = self._pictures.climb(self._pictures.starts(_STARTS, self._seed), _CLIMBS)
        self._keep(images)
        ends = self._ends(begun)
        box = root_intervals(self._weights, self._region, ends)
        tree = self._objective(ends, box, begun + self._seconds)
        relaxed = self._relaxed(tree)
        if np.isfinite(relaxed).all():
            self._keep(self._pictures.climb(np.tile(relaxed, (_STARTS, 1)), _CLIMBS))
        self._keep(self._pictures.flip(self.image, _FLIPS)[None])
        return tree

    def _relaxed(self, tree: Tree) -> np.ndarray:
        """Return the image at which the bound's last term is met."""
        w, region = self._weights, self._region
        c = w.inner @ tree.multipliers[0, : len(w.bias)]
        x = np.where(c > 0, region.high, region.low)
        if np.isfinite(region.radius):
            x = np.clip(region.centre + c / max(tree.ball[0], 1e-30), region.low, region.high)
        return x if region.pixels is None else np.clip(x @ w.inner + w.bias, *region.pixels)

    def _keep(self, images: np.ndarray) -> None:
        best = images[self._pictures.value(images).argmax()]
        value = reached(self._plain, self._claim, best)
        if value > self.found:
            self.image, self.found = best, value

    def _ends(self, begun: float) -> np.ndarray:
        """Find multipliers of the later layers' intervals, layer by layer."""
        hidden = self._weights.hidden
        sizes = [len(layer.bias) for layer in hidden]
        if len(hidden) == 1:
            return np.zeros((0, 0))
        ends = np.zeros((0, sum(sizes) + 1))
        for number in range(1, len(hidden)):
            so_far = sum(sizes[:number])
            part = self._weights._replace(between=self._weights.between[: number - 1])
            box = root_intervals(part, self._region, ends if number > 1 else None)
            weight = hidden[number].weight
            v = np.concatenate([weight.T, -weight.T])
            dual = _dual(hidden[:number], self._region, box, v[:, None], np.zeros((len(v), 1)))
            deadline = begun + number / len(hidden) * self._seconds
            tried = _minimise(dual, _STAGES, deadline, np.zeros((len(v), 1)))
            bounds, rows = [], []
            for lams, tau, _ in tried:
                rows.append(np.zeros((len(v), ends.shape[1])))
                rows[-1][:, :so_far], rows[-1][:, -1] = np.concatenate(lams, axis=1), tau
                given = (hidden[:number], self._region, (box[0][None], box[1][None]), v)
                bounds.append(sum_bounds(*given, rows[-1][:, :so_far], tau))
            # Where nothing depends on an image, slopes may be no numbers; the start always is one.
            best = np.where(np.isfinite(bounds), bounds, np.inf).argmin(axis=0)
            ends = np.concatenate([ends, np.array(rows)[best, np.arange(len(v))]])
        return ends

    def _objective(
        self, ends: np.ndarray, box: tuple[np.ndarray, np.ndarray], deadline: float
    ) -> Tree:
        """Find multipliers of the objective."""
        w, outputs = self._weights, len(self._weights.constants)
        ways = extremes(self._claim, outputs)
        rows = coefficients(self._claim, outputs, ways)
        v, constants = rows @ w.outer.T, rows @ w.constants
        dual = _dual(w.hidden, self._region, box, v[None], constants[None])
        # Begin with those pieces that decide at the picture.
        values = self._pictures.pieces(self.image[None])[0]
        shares = -4 * (values - values.min()) / (np.ptp(values) + 1e-12)
        best: tuple[float, Tree] | None = None
        for lams, tau, share in _minimise(dual, _STAGES + _LAST, deadline, shares[None]):
            rivals = share @ ways
            # Of either sign, weights may be small together, and with them all that is multiplied.
            size = np.abs(rivals).sum(axis=1)
            facts = (
                np.concatenate(lams, axis=1) / size[:, None],
                tau / size,
                rivals / size[:, None],
            )
            lows, highs = (each[None] for each in box)
            bound = leaf_bounds(w, self._claim, self._region, (lows, highs), *facts)[0]
            if best is None or bound < best[0]:
                best = bound, Tree(np.array([-1], np.int32), np.zeros(1), *facts, ends=ends)
        assert best is not None
        return best[1]
