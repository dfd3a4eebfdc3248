"""Branch and bound on the hidden units' intervals, best first, in a time budget.

A node is a box of pre-activations. Splitting a unit's interval gives two, whose envelopes are
tighter. Intervals are tightened first: where one end of a unit's interval holds no image better
than the best found, the rest is split off. That is a split like any other, one side of which is
done with, so a certificate knows of nothing but splits.
"""

import heapq
import time
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ..runtime import interrupts
from ..runtime.compiled import Compiled
from . import quadratic
from .curved import Curve
from .envelope import Problem, bends_only_at_zero, solve
from .maxima import shape_of, unit_maxima
from .pictures import Pictures
from .tightening import Cut, furthest_cut, priced_cuts
from .verifier import (
    Claim,
    Region,
    Tree,
    Weights,
    coefficients,
    extremes,
    leaf_bounds,
    reached,
    root_intervals,
)

_ROWS = 16  # nodes that are solved at once; one program serves all
# Of the interior point, in shares of the gap asked for, and at least and most of the range.
_TOLERANCE, _LEAST, _MOST = 0.1, 1e-7, 3e-3
_LARGEST = 1e9  # of multipliers: those that show that a box is empty grow without end
_POLISH, _FIRST = 20, 100  # steps of ascent from relaxed pictures, and from the first starts
_EDGE = 0.05  # of an interval: a split leaves at least so much on both sides
_WEIGHINGS = 16  # of a margin's rivals at the root
_PASS_SHARE = 0.4  # of the time for tightening, at most
_FLIPS = 300
_NOTHING = 1e-30  # what differs by less is 0, but for what sums are rounded outward
_CHOOSE = 8  # batches of boxes, of which one is solved with and without the quadratic
_GRAIN = 3e-3  # of the gap: what a step must improve a quadratic bound by


class _Node(NamedTuple):
    """A box with its bound, and the relaxed picture's facts."""

    low: np.ndarray
    high: np.ndarray
    rivals: np.ndarray
    multipliers: np.ndarray
    ball: float
    bound: float
    z: np.ndarray
    error: np.ndarray
    logits: np.ndarray
    curve: int = -1  # number of its quadratic


class Search:
    """A search for the largest value of an objective, from above and below.

    Args:
        weights: the network.
        claim: what is bounded.
        seconds: after which to stop, not counting those of compiling.
        gap: (proven − found) / |proven| at which to stop.
        nodes: most nodes to solve.
        seed: of the random starts.
    """

    def __init__(
        self, weights: Weights, claim: Claim, seconds: float, gap: float, nodes: int, seed: int
    ) -> None:
        self._weights, self._claim = weights, claim
        self._seconds, self._gap, self._nodes = seconds, gap, nodes
        self._region = region = Region.of(claim, len(weights.inner))
        self._problem = self._plain = Problem.of(weights, region)
        # Numbers of the quadratic that boxes are solved with, and of the other choice.
        self._using = self._other = -1
        self._batches = 0
        self._pictures = Pictures(weights, claim)
        self._seed, self._random = seed, np.random.default_rng(seed)
        self.image, self.found = region.centre, -np.inf
        self._keep(region.centre[None])
        # The partition: leaves are nodes; others are (unit, at, first child, second child).
        self._leaves: dict[int, _Node] = {}
        self._splits: dict[int, tuple[int, float, int, int]] = {}
        self._curves: list[tuple[quadratic.Duals, Curve]] = []
        self._solved, self._latest, self._deadline = 0, 0.0, np.inf

    def run(self) -> Tree:
        """Search until the gap, the time or the number of nodes is reached; return the proof."""
        low, high = root_intervals(self._weights, self._region)
        self._compile(low, high)
        self._deadline = time.monotonic() + self._seconds
        root = self._best_root(low, np.maximum(low, high))
        self._leaves[0] = root
        self._look(self._pictures.starts(_ROWS, self._seed), _FIRST)
        self._flip()
        here = 0
        if not self._is_done(root.bound):
            self._curve(0)
            here = self._tighten(0)
        if here and not self._is_done(self._leaves[here].bound):
            self._curve(here)
        self._branch(here)
        return self._tree()

    def _compile(self, low: np.ndarray, high: np.ndarray) -> None:
        """Compile all programs, so that the time that is left is for computing."""
        for rows in (1, 2):
            lows, highs = (np.tile(part, (rows, 1)) for part in (low, high))
            self._relax(self._plain, np.ones((rows, len(low))), lows, highs, np.inf)
            self._look(np.tile(self.image, (rows, 1)), _POLISH)
        if self._seconds > 0 and self._nodes > 1:
            ones = np.ones(len(low))
            self._quadratic(ones, low, high, -1, iter((False, True)).__next__, 0.0)

    def _best_root(self, low: np.ndarray, high: np.ndarray) -> _Node:
        """Bound the whole set; of a margin, weigh the rivals for the least bound."""
        pairs = extremes(self._claim, len(self._weights.constants))
        tile = (len(pairs), 1)
        nodes = self._solve(np.tile(low, tile), np.tile(high, tile), pairs)
        best = min(nodes, key=lambda node: node.bound)
        step = 0.5
        for _ in range(_WEIGHINGS if len(pairs) > 1 else 0):
            (tried,) = self._solve(low[None], high[None], self._reweigh(best, step)[None])
            step *= 1.5 if tried.bound < best.bound else 0.4
            best = min(best, tried, key=lambda node: node.bound)
        return best

    def _reweigh(self, node: _Node, step: float = 0.0) -> np.ndarray:
        """Move rivals' weights towards those that decide at the relaxed picture.

        By a step of random length by default: a box whose weights cannot be bettered by one may be
        by a shorter.
        """
        if self._claim.objective not in ("margin", "error"):
            return node.rivals
        ways = extremes(self._claim, len(node.rivals))
        shares = np.maximum(ways * node.rivals, 0.0).sum(1)
        ahead = ways @ node.logits
        ahead = ahead - ahead.max()
        spread = np.abs(ahead).max() + 1e-12
        step = step or 10 ** self._random.uniform(-3, 0)
        moved = (shares + 1e-4 * step) * np.exp(step * 6 * ahead / spread)
        found = moved @ ways
        return found / np.abs(found).sum()

    def _solve(self, low: np.ndarray, high: np.ndarray, rivals: np.ndarray) -> list[_Node]:
        """Bound boxes, one a row, and look at their relaxed pictures."""
        interrupts.check()
        begun = time.monotonic()
        v = coefficients(self._claim, rivals.shape[1], rivals) @ self._weights.outer.T
        parts = []
        for first in range(0, len(v), _ROWS):
            rows = slice(first, first + _ROWS)
            parts.append(self._relax(self._problem, v[rows], low[rows], high[rows], _MOST))
        merged = (np.concatenate(each) for each in zip(*parts, strict=True))
        multipliers, ball, images, z, error, activations = merged
        # Any multipliers are valid; such as are no numbers are not.
        sound = np.isfinite(multipliers).all(1) & np.isfinite(ball)
        size = np.abs(np.column_stack([multipliers, ball])).max(1)
        share = np.where(sound, np.minimum(1.0, _LARGEST / np.where(sound, size, 1.0)), 0.0)
        lam = np.where(sound[:, None], multipliers, 0.0) * share[:, None]
        ball = np.where(sound, np.maximum(ball, 0.0), 0.0) * share
        bounds = self._bounds(low, high, lam, ball, rivals, curve=self._using)
        w = self._weights
        z = np.where(np.isfinite(z), z, (low + high) / 2)
        error = np.where(np.isfinite(error), error, high - low)
        logits = np.nan_to_num(activations @ w.outer + w.constants, posinf=0.0, neginf=0.0)
        self._look(images, _POLISH)
        self._solved += len(v)
        self._latest = time.monotonic() - begun
        return [
            _Node(*each, curve=self._using)
            for each in zip(low, high, rivals, lam, ball, bounds, z, error, logits, strict=True)
        ]

    def _relax(
        self, problem: Problem, v: np.ndarray, low: np.ndarray, high: np.ndarray, most: float
    ) -> list[np.ndarray]:
        """Solve up to a batch of relaxed problems in a program for one, or for a whole batch."""
        rows = len(v)
        index = np.arange(1 if rows == 1 else _ROWS) % rows
        name, padded = self._weights.activation, (part[index] for part in (v, low, high))
        phi = shape_of(name).apply
        span = (np.abs(v) * (phi(high) - phi(low))).sum(1).max() + 1e-300
        asked = _TOLERANCE * self._gap * abs(self.found) / span
        tolerance = np.asarray(most if np.isinf(most) else min(max(asked, _LEAST), most))
        found = _SOLVE.thorough(name, problem, *padded, tolerance)
        return [np.asarray(part)[:rows] for part in found]

    def _bounds(
        self,
        low: np.ndarray,
        high: np.ndarray,
        lam: np.ndarray,
        ball: np.ndarray,
        rivals: np.ndarray,
        curve: int,
    ) -> np.ndarray:
        bent, box = None if curve < 0 else self._curves[curve][1], (low, high)
        return leaf_bounds(self._weights, self._claim, self._region, box, lam, ball, rivals, bent)

    def _curve(self, name: int) -> None:
        """Bound a box by a quadratic as well, and keep that if it proves more."""
        node, w = self._leaves[name], self._weights
        (v,) = coefficients(self._claim, len(node.rivals), node.rivals[None]) @ w.outer.T
        grain = _GRAIN * (node.bound - self.found)
        facts = (v, node.low, node.high, node.curve, self._is_late, grain)
        found, image = self._quadratic(*facts)
        self._look(image[None], _POLISH)
        parts = (found.bend, found.spread, found.point)
        self._curves.append((found, Curve.of((w.inner, w.bias), *parts)))
        duals = (found.multipliers[None], np.array([found.ball]), node.rivals[None])
        curve = len(self._curves) - 1
        bound = float(self._bounds(node.low[None], node.high[None], *duals, curve=curve)[0])
        if bound < node.bound:
            bent = self._curves[curve][1]
            z = np.clip(image @ w.inner + w.bias, node.low, node.high)
            error = bent.maxima(w.activation, v, found.multipliers, node.low, node.high)
            error -= v * shape_of(w.activation).apply(z) - found.multipliers * z
            error += bent.bend * (z - bent.centre) ** 2
            changed = node._replace(multipliers=found.multipliers, ball=found.ball, bound=bound)
            self._leaves[name] = changed._replace(z=z, error=error, curve=curve)
            self._use(curve)

    def _use(self, number: int) -> None:
        """Solve boxes with a quadratic from now on; in balls it says little of pixels."""
        if np.isfinite(self._region.radius):
            return
        self._using, self._other = number, -1
        self._prepare()

    def _switch(self) -> None:
        """Solve boxes with the quadratic where it was without one, and the other way round."""
        self._using, self._other = self._other, self._using
        self._prepare()

    def _prepare(self) -> None:
        self._problem = self._plain
        if self._using < 0:
            return
        curve = self._curves[self._using][1]
        lean = curve.spread * (self._region.low + self._region.high - 2 * curve.point)
        changed = {"bend": curve.bend, "about": curve.centre, "lean": lean}
        self._problem = self._plain._replace(**{n: jnp.asarray(a) for n, a in changed.items()})

    def _quadratic(
        self,
        v: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
        curve: int,
        late: Callable[[], bool],
        grain: float,
    ) -> tuple[quadratic.Duals, np.ndarray]:
        """Find a quadratic bound's multipliers, from another's or from the envelope's."""
        if curve < 0:
            plain = (self._plain, v[None], low[None], high[None], _MOST)
            lam, ball, image = self._relax(*plain)[:3]
            none = np.zeros(len(v)), np.zeros(len(self._region.low))
            start = quadratic.Duals(lam[0], *none, float(ball[0]), image[0])
        else:
            start = self._curves[curve][0]
        name = self._weights.activation
        return quadratic.improve(name, self._plain, v, (low, high), start, late, grain)

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _look(self, images: np.ndarray, steps: int) -> None:
        """Ascend from images, and keep the best picture."""
        sound = images[np.isfinite(images).all(1)]
        if len(sound):
            index = np.arange(1 if len(images) == 1 else _ROWS) % len(sound)
            self._keep(self._pictures.climb(sound[index], steps))

    def _keep(self, images: np.ndarray) -> None:
        best = images[self._pictures.value(images).argmax()]
        value = reached(self._weights, self._claim, best)
        if value > self.found:
            self.image, self.found = best, value

    def _flip(self) -> None:
        self._keep(self._pictures.flip(self.image, _FLIPS)[None])

    def _is_done(self, bound: float) -> bool:
        late = time.monotonic() + self._latest > self._deadline
        closed = bound - self.found <= max(self._gap * abs(bound), _NOTHING)
        return bool(closed or late or self._solved >= self._nodes)

    def _split(self, parent: int, unit: int, at: float, first: _Node, second: _Node) -> list[int]:
        names = [2 * len(self._splits) + 1, 2 * len(self._splits) + 2]
        self._splits[parent] = (unit, at, names[0], names[1])
        del self._leaves[parent]
        self._leaves |= dict(zip(names, (first, second), strict=True))
        return names

    def _branch(self, start: int) -> None:
        """Split the boxes with the largest bounds."""
        heap = [(-self._leaves[start].bound, start)]
        while heap and not self._is_done(-heap[0][0]):
            taken: list[int] = []
            while heap and len(taken) < _ROWS // 2 and -heap[0][0] > self.found:
                taken.append(heapq.heappop(heap)[1])
            if not taken:
                break
            before = self.found
            children = self._children([self._leaves[name] for name in taken])
            for name, (unit, at, first, second) in zip(taken, children, strict=True):
                for child in self._split(name, unit, at, first, second):
                    heapq.heappush(heap, (-self._leaves[child].bound, child))
            if self.found > before:
                self._flip()

    def _place(self, node: _Node) -> tuple[int, float]:
        """Choose the unit whose envelope errs most at the relaxed picture, and where to split."""
        kinked = bends_only_at_zero(self._weights.activation)
        # Where no envelope errs, a kink may still have kept the solver from the optimum.
        kinks = kinked * np.where((node.low < 0) & (node.high > 0), node.high - node.low, 0.0)
        unit = int((node.error + 1e-9 * kinks).argmax())
        low, high = node.low[unit], node.high[unit]
        edge = _EDGE * (high - low)
        at = float(np.clip(node.z[unit], low + edge, high - edge))
        return unit, 0.0 if kinks[unit] else at

    def _children(self, parents: list[_Node]) -> list[tuple[int, float, _Node, _Node]]:
        """Split each box at the relaxed picture, in the unit whose envelope errs most there."""
        lows, highs, where = [], [], []
        for node in parents:
            unit, at = self._place(node)
            first, second = node.high.copy(), node.low.copy()
            first[unit] = second[unit] = at
            lows += [node.low, second]
            highs += [first, node.high]
            where.append((unit, at))
        rivals = np.repeat(np.array([self._reweigh(node) for node in parents]), 2, axis=0)
        found = self._better(np.array(lows), np.array(highs), rivals)
        twice = [node for node in parents for _ in range(2)]
        found = self._inherit(found, twice)
        pairs = zip(where, found[::2], found[1::2], strict=True)
        return [(unit, at, first, second) for (unit, at), first, second in pairs]

    def _better(self, *boxes: np.ndarray) -> list[_Node]:
        """Bound boxes with the quadratic or without; from time to time with both, to choose anew.

        What a quadratic loses over the pixels stays, however small the boxes become.
        """
        found = self._solve(*boxes)
        self._batches += 1
        if self._using == self._other or self._batches % _CHOOSE != 1:
            return found
        self._switch()
        others = self._solve(*boxes)
        better = [other.bound < own.bound for own, other in zip(found, others, strict=True)]
        if 2 * sum(better) < len(better):
            self._switch()
        chosen = zip(found, others, better, strict=True)
        return [other if wins else own for own, other, wins in chosen]

    def _inherit(self, children: list[_Node], parents: list[_Node]) -> list[_Node]:
        """Take parents' multipliers where they prove more: they never prove less than there."""
        found = list(children)
        for curve in {node.curve for node in parents}:
            rows = [n for n, node in enumerate(parents) if node.curve == curve]
            lam = np.array([parents[n].multipliers for n in rows])
            ball = np.array([parents[n].ball for n in rows])
            low = np.array([children[n].low for n in rows])
            high = np.array([children[n].high for n in rows])
            weighings = [[node[n].rivals for n in rows] for node in (parents, children)]
            for rivals in weighings[: 2 if self._claim.objective == "margin" else 1]:
                bounds = self._bounds(low, high, lam, ball, np.array(rivals), curve)
                for n, bound, weights in zip(rows, bounds, rivals, strict=True):
                    if bound < found[n].bound:
                        kept, node = parents[n], children[n]._replace(rivals=weights, curve=curve)
                        node = node._replace(multipliers=kept.multipliers, ball=kept.ball)
                        found[n] = node._replace(bound=float(bound))
        return found

    def _cutoff(self) -> float:
        """Return the bound at which a part is done with: that of the gap asked for."""
        sign = -1 if self.found > 0 else 1
        return self.found / max(1 + sign * self._gap, 1e-9) - 1e-9 * abs(self.found)

    def _tighten(self, name: int) -> int:
        """Cut off the ends of all intervals that hold nothing better than the cut-off."""
        begun = time.monotonic()
        ends = begun + _PASS_SHARE * max(self._deadline - begun, 0.0)
        probing = False
        while not self._is_done(self._leaves[name].bound) and time.monotonic() < ends:
            before = self._leaves[name]
            name = self._probe_all(name, ends) if probing else self._price(name)
            node = self._leaves[name]
            (fresh,) = self._solve(node.low[None], node.high[None], self._reweigh(node)[None])
            (fresh,) = self._inherit([fresh], [node])
            self._leaves[name] = fresh
            little = before.bound - fresh.bound < 0.05 * (fresh.bound - self.found)
            if little and probing:
                break
            probing |= little
        return name

    def _price(self, name: int) -> int:
        """Make the cuts that need no solving."""
        node, claim, w = self._leaves[name], self._claim, self._weights
        rows = coefficients(claim, len(node.rivals), node.rivals[None])
        (v,), constant = rows @ w.outer.T, float((rows @ w.constants)[0])
        box = (node.low, node.high)
        facts = (box, node.multipliers, node.ball, node.z, constant, self._cutoff())
        curve = None if node.curve < 0 else self._curves[node.curve][1]
        for cut in priced_cuts(w, self._region, v, *facts, curve):
            interrupts.check()
            name = self._cut(name, cut, self._leaves[name])
        return name

    def _probe_all(self, name: int, ends: float) -> int:
        """Bound both ends of the intervals, those of the largest errors first."""
        error = self._leaves[name].error
        order = np.argsort(-error, kind="stable")[: np.count_nonzero(error)]
        for first in range(0, len(order), _ROWS // 2):
            if time.monotonic() + self._latest > ends or self._is_done(np.inf):
                break
            before = name
            name = self._probe(name, order[first : first + _ROWS // 2])
            # Where the worst give nothing, the others give less.
            if name == before:
                break
        return name

    def _probe(self, name: int, units: np.ndarray) -> int:
        """Bound both ends of some units' intervals, halfway from the relaxed picture."""
        node = self._leaves[name]
        tile = (2 * len(units), 1)
        lows, highs = np.tile(node.low, tile), np.tile(node.high, tile)
        rows = np.arange(len(units))
        lows[2 * rows, units] = (node.z[units] + node.high[units]) / 2
        highs[2 * rows + 1, units] = (node.z[units] + node.low[units]) / 2
        for n, probe in enumerate(self._solve(lows, highs, np.tile(node.rivals, tile))):
            unit, upper = int(units[n // 2]), n % 2 == 0
            box = (probe.low[unit : unit + 1], probe.high[unit : unit + 1])
            weights = coefficients(self._claim, len(probe.rivals), probe.rivals[None])
            v, lam = weights @ self._weights.outer[unit], probe.multipliers[unit : unit + 1]
            bent = None if probe.curve < 0 else self._curves[probe.curve][1].unit(unit)
            maxima = unit_maxima if bent is None else bent.maxima
            rest = probe.bound - maxima(self._weights.activation, v, lam, *box)
            ends = (float(node.z[unit]), float(node.high[unit] if upper else node.low[unit]))
            cut = furthest_cut(self._weights.activation, v, lam, rest, ends, self._cutoff(), bent)
            if cut:
                name = self._cut(name, Cut(unit, upper, cut[0], probe.multipliers), probe)
        return name

    def _cut(self, name: int, cut: Cut, dual: _Node) -> int:
        """Split off an end of an interval, if that is proven; return the box that remains."""
        node = self._leaves[name]
        if not node.low[cut.unit] < cut.at < node.high[cut.unit]:
            return name
        first, second = node.high.copy(), node.low.copy()
        first[cut.unit] = second[cut.unit] = cut.at
        low, high = (second, node.high) if cut.upper else (node.low, first)
        duals = (cut.multipliers[None], np.array([dual.ball]), dual.rivals[None])
        bound = self._bounds(low[None], high[None], *duals, curve=dual.curve)[0]
        if bound > self._cutoff():
            return name
        gone = dual._replace(low=low, high=high, multipliers=cut.multipliers, bound=bound)
        kept = node._replace(high=first) if cut.upper else node._replace(low=second)
        parts = (kept, gone) if cut.upper else (gone, kept)
        names = self._split(name, cut.unit, cut.at, *parts)
        return names[0] if cut.upper else names[1]

    def _tree(self) -> Tree:
        """Write the partition in preorder."""
        unit, at, leaves, waiting = [], [], [], [0]
        while waiting:
            name = waiting.pop()
            if name in self._leaves:
                unit.append(-1)
                at.append(0.0)
                leaves.append(self._leaves[name])
                continue
            split = self._splits[name]
            unit.append(split[0])
            at.append(split[1])
            waiting += [split[3], split[2]]
        return Tree(
            np.array(unit, np.int32),
            np.array(at),
            np.array([node.multipliers for node in leaves]),
            np.array([node.ball for node in leaves]),
            np.array([node.rivals for node in leaves]),
            *self._tables([node.curve for node in leaves]),
        )

    def _tables(self, curves: list[int]) -> tuple[np.ndarray, ...]:
        """List the quadratics that leaves use, and number them."""
        used, rows = np.unique([-1, *curves], return_inverse=True)
        duals = [self._curves[curve][0] for curve in used[1:]]
        shapes = [(len(duals), size) for size in (len(self._weights.bias), len(self._region.low))]
        return (
            rows[1:].astype(np.int32) - 1,
            np.array([dual.bend for dual in duals]).reshape(shapes[0]),
            np.array([dual.spread for dual in duals]).reshape(shapes[1]),
            np.array([dual.point for dual in duals]).reshape(shapes[1]),
        )


_SOLVE = Compiled(solve, 0)
