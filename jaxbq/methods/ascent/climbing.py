"""The engine of activation maximisation: rows of images that climb, compiled as one loop.

A row is one restart of one target (of one point of a sweep). Rows are worked on in lanes: as many
as there are rows, or fewer, and then a lane that is done takes the next row that waits, so that
finished images cost nothing and memory does not grow with their number.
"""

import dataclasses
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ...data.grids import Grid
from ...network.activations import activation
from ...network.mlp import Network
from ...solvers import projected_gauss_newton, projected_lbfgs
from ...solvers.gauss_newton import linearise, where_rows
from ...training.optimisers import LBFGS, GaussNewton, Optimiser
from ..base import Reason
from .choices import Choices
from .constraints import Penalty, Range
from .objectives import Answer, Objective, Target, ask
from .regularisers import Diversity, Picture
from .starts import start_of
from .transforms import chain

# A share of the lanes that must be done before they take new rows: doing so costs about a step.
_REFILL = 8


class Scene(NamedTuple):
    """What depends on the network and the training images alone.

    Args:
        params: the network's, made ready for input gradients.
        starts: images that restarts begin from, shape (m, pixels); relaxed ones are one an output.
        span: the ends of the pixel range.
        parameterisation: its state.
        regularisers: their states.
        operators: their states.
        grid: rows and columns of pixels, for transforms; None without any.
        first: number of the first restart.
    """

    params: Any
    starts: Float[Array, "m pixels"]
    span: Range
    parameterisation: Any
    regularisers: tuple[Any, ...]
    operators: tuple[Any, ...]
    grid: Grid | None
    first: Int[Array, ""] | int = 0


class Lanes(NamedTuple):
    """Rows under way.

    Those that are done go on moving while the others do, but nothing of them is recorded any more:
    the best image is kept apart from the moving one.
    """

    row: Int[Array, " lanes"]
    wanted: Float[Array, "lanes outputs"]
    u: Array
    optimiser: Any
    start: Float[Array, "lanes pixels"]
    best: Float[Array, "lanes pixels"]
    best_value: Float[Array, " lanes"]
    value: Float[Array, " lanes"]
    curve: Float[Array, "lanes points"]
    path: Float[Array, "lanes moments pixels"]
    reason: Int[Array, " lanes"]
    taken: Int[Array, " lanes"]
    mark: Float[Array, " lanes"]
    waited: Int[Array, " lanes"]


class Record(NamedTuple):
    """What is kept of every row."""

    best: Float[Array, "rows pixels"]
    best_value: Float[Array, " rows"]
    value: Float[Array, " rows"]
    curve: Float[Array, "rows points"]
    path: Float[Array, "rows moments pixels"]
    reason: Int[Array, " rows"]
    taken: Int[Array, " rows"]


class Climb(NamedTuple):
    """An ascent under way.

    Args:
        lanes: the rows that are worked on.
        record: the rows that are done; None where every row has a lane of its own.
        following: the first row that still waits.
        turns: of the loop so far.
        key: random key of starts and transforms.
    """

    lanes: Lanes
    record: Record | None
    following: Int[Array, ""]
    turns: Int[Array, ""]
    key: Array


@dataclasses.dataclass(frozen=True)
class Climber:
    """One ascent: its options, the network, and what was asked; lives within one trace.

    Of several devices each has a climber with its share of the rows: group d, d + devices, … for
    device d, counted from 0 for itself; what the last ones lack is no row and done from the start.

    Args:
        method: options; with a leading axis on every number, the points of a sweep.
        model: the network.
        scene: what was prepared.
        targets: one a row, shape (targets, outputs).
        key: random key.
        device: whose share this is.
        devices: how many share the rows.
    """

    method: Choices
    model: Network
    scene: Scene
    targets: Float[Array, "targets outputs"]
    key: Array
    device: Any = 0
    devices: int = 1

    @cached_property
    def points(self) -> int | None:
        """Number of points of a sweep; None without one."""
        shape = jnp.shape(jax.tree.leaves(self.method)[0])
        return shape[0] if shape else None

    @property
    def all_rows(self) -> int:
        """Number of images to climb to, on all devices."""
        return (self.points or 1) * len(self.targets) * self.method.restarts

    @property
    def rows(self) -> int:
        """Number of them in this share, with those that fill it up."""
        return -(-self.all_rows // (self.group * self.devices)) * self.group

    def _number(self, row: Int[Array, " lanes"]) -> Int[Array, " lanes"]:
        """Give rows of this share their numbers among all; beyond the last is none."""
        if self.devices == 1:
            return row
        groups = row // self.group * self.devices + self.device
        return groups * self.group + row % self.group

    def _restart(self, number: Int[Array, " lanes"]) -> Int[Array, " lanes"]:
        """Which restart of its target each of these rows is."""
        return number % self.method.restarts + self.scene.first

    @property
    def group(self) -> int:
        """Rows that have to be in the lanes together: restarts that part from each other."""
        return self.method.restarts if self.method.diversity is not None else 1

    def lanes(self) -> int:
        """Count the rows that are worked on at a time."""
        wanted = self.rows if self.method.lanes is None else min(self.method.lanes, self.rows)
        return max(1, wanted // self.group) * self.group

    def begin(self) -> Climb:
        """Put the first rows into the lanes."""
        number = self.lanes()
        lanes = self._enter(jnp.arange(number, dtype=jnp.int32))
        record = None if number == self.rows else self._empty(lanes)
        zero = jnp.zeros((), jnp.int32)
        return Climb(lanes, record, zero + number, zero, self.key)

    def advance(self, climb: Climb, number: Any) -> Climb:
        """Go through the loop so many times, or until all rows are done."""
        last = climb.turns + number
        together = climb.record is None

        def unfinished(climb: Climb) -> Array:
            return (climb.turns < last) & self.running(climb)

        def full(lanes: Lanes, waiting: Array) -> Array:
            """Tell whether enough lanes are done to take new rows, or all."""
            done = self._done_groups(lanes)
            return (waiting & (done.sum() >= max(1, len(done) // _REFILL))) | done.all()

        def worthwhile(carry: tuple[Lanes, Array, Array]) -> Array:
            lanes, turns, waiting = carry
            ended = turns >= self.method.steps if together else jnp.asarray(False)
            return (turns < last) & ~full(lanes, waiting) & ~ended

        def step(carry: tuple[Lanes, Array, Array]) -> tuple[Lanes, Array, Array]:
            lanes, turns, waiting = carry
            return self._step(lanes, turns if together else None), turns + 1, waiting

        def turn(climb: Climb) -> Climb:
            # Steps in a loop of their own, whose carry holds nothing of the rows that are done or
            # wait: XLA would copy all of it at every step.
            waiting = climb.following < self.rows
            begin = climb.lanes, climb.turns, waiting
            lanes, turns, _ = jax.lax.while_loop(worthwhile, step, begin)
            climb = climb._replace(lanes=lanes, turns=turns)
            if together:
                return climb
            # Not where only `number` ran out: chunks give what one go gives, to the bit.
            return jax.lax.cond(full(lanes, waiting), self._refill, _same, climb)

        return jax.lax.while_loop(unfinished, turn, climb)

    def running(self, climb: Climb) -> Bool[Array, ""]:
        """Tell whether any row has steps left."""
        moving = (climb.lanes.reason == Reason.RUNNING).any()
        if climb.record is None:
            # All rows began together; the last look is left to `finish`, without a gradient.
            return moving & (climb.turns < self.method.steps)
        return moving | (climb.following < self.rows)

    def share_done(self, climb: Climb) -> Float[Array, ""]:
        """Estimate the share of the work that is done, by steps."""
        lanes = climb.lanes
        running = lanes.reason == Reason.RUNNING
        left = jnp.where(running, 1 - lanes.taken / self.method.steps, 0).sum()
        return 1 - (left + (self.rows - climb.following)) / self.rows

    def finish(self, climb: Climb) -> Record:
        """Look at the last iterate too, and gather all rows in their order."""
        lanes = climb.lanes
        if climb.record is None:
            lanes = self._record(lanes, *self._look(lanes, lanes.u), None, climb.turns)
            record = _kept(lanes)
        else:
            record = self._store(climb.record, lanes, jnp.ones_like(lanes.row, bool))
        # Beyond the end of a row, its curve stays at its last value and its path at its image.
        seen = jnp.arange(self.method.steps + 1)[None] <= record.taken[:, None]
        later = self._moments()[None] > record.taken[:, None]
        return record._replace(
            curve=jnp.where(seen, record.curve, record.value[:, None]),
            path=jnp.where(later[..., None], record.best[:, None], record.path),
        )

    # One image.

    def _options(self, lanes: Lanes) -> tuple[Any, Any]:
        """Options of every lane, and the axis that says so: none without a sweep."""
        if self.points is None:
            return self.method, None
        asked = self.method.restarts * len(self.targets)
        point = (self._number(lanes.row) // asked) % self.points
        return jax.tree.map(lambda leaf: leaf[point], self.method), 0

    def _each(self, function: Callable[..., Any], lanes: Lanes, *values: Any) -> Any:
        """Apply a function of (options, …) to every lane."""
        options, axis = self._options(lanes)
        return jax.vmap(function, in_axes=(axis,) + (0,) * len(values))(options, *values)

    def _enter(self, row: Int[Array, " lanes"]) -> Lanes:
        """Begin with these rows."""
        method, scene = self.method, self.scene
        number, dtype, which = len(row), scene.starts.dtype, self._number(row)
        lowest = jnp.full(number, -jnp.inf, dtype)
        zeros = jnp.zeros(number, jnp.int32)
        # Enough of the lanes to find the options and starts of each.
        lanes = Lanes(row, *(None,) * (len(Lanes._fields) - 1))  # type: ignore[arg-type]

        wanted = self.targets[(which // method.restarts) % len(self.targets)]

        def begin(options: Choices, restart: Array, wanted: Array) -> tuple[Array, Array]:
            centres = scene.starts
            if options.start == "relaxed":
                centres = centres[wanted.argmax()][None]
            start = start_of(restart, options.start, centres, *scene.span, options.noise, self.key)
            raw = options.constraint.before(start, scene.span)
            return start, options.parameterisation.init(scene.parameterisation, raw)

        start, u = self._each(begin, lanes, self._restart(which), wanted)
        raw = self._raw(u)
        pixels = raw.shape[1]
        if isinstance(method.optimiser, LBFGS):
            optimiser: Any = projected_lbfgs.init(u.reshape(number, -1), method.optimiser.memory)
        elif isinstance(method.optimiser, GaussNewton):
            optimiser = projected_gauss_newton.init(u.reshape(number, -1))
        else:
            optimiser = self._each(lambda o, x: o.optimiser.build(o.steps).init(x), lanes, u)
        return Lanes(
            row=row,
            wanted=wanted,
            u=u,
            optimiser=optimiser,
            start=start,
            best=self._returned(raw),
            best_value=lowest,
            value=lowest,
            curve=jnp.zeros((number, method.steps + 1), dtype),
            path=jnp.zeros((number, len(method.path), pixels), dtype),
            reason=jnp.where(which < self.all_rows, int(Reason.RUNNING), int(Reason.COMPUTED)),
            taken=zeros,
            mark=lowest,
            waited=zeros,
        )

    def _climbed(self, lanes: Lanes, u: Array) -> tuple[Array, tuple[Array, Array]]:
        """Compute what is climbed, its value, logits and image before the range, of every lane."""
        raw, images = self._seen(lanes, u)
        views = self._views(lanes, images) if self.method.transforms else images[:, None]
        answer = self._ask(views.reshape(-1, images.shape[1]))
        answer = jax.tree.map(lambda a: a.reshape(*views.shape[:2], -1), answer)
        value = self._objective(lanes, answer).mean(axis=1) - self._prior(lanes, raw, images, u)
        return value, (answer.logits[:, 0], raw)

    def _seen(self, lanes: Lanes, u: Array) -> tuple[Array, Array]:
        """Make the images before the range and as the network sees them, of every lane."""
        raw, span = self._raw(u), self.scene.span
        if self.method.is_box:
            return raw, raw
        return raw, self._each(lambda o, v: o.constraint.during(v, span), lanes, raw)

    def _prior(self, lanes: Lanes, raw: Array, images: Array, u: Array) -> Array:
        """Add up what every lane costs by itself, whatever the network says."""
        span = self.scene.span
        cost = self._each(lambda o, v: jnp.asarray(o.constraint.cost(v, span), v.dtype), lanes, raw)
        return self._regularisers(lanes, images, raw, u) + cost

    def _look(self, lanes: Lanes, u: Array) -> tuple[Array, Array, Array]:
        """Compute value, logits and image of what would be returned, of every lane."""
        raw = self._raw(u)
        images = self._returned(raw)
        answer = self._ask(images)
        value = self._objective(lanes, jax.tree.map(lambda a: a[:, None], answer))[:, 0]
        return value - self._regularisers(lanes, images, raw, u), answer.logits, images

    def _ask(self, images: Array) -> Answer:
        return ask(self.model, self.scene.params, images, self.method.objective.looks_inside)

    def _raw(self, u: Array) -> Array:
        state = self.scene.parameterisation
        return jax.vmap(partial(self.method.parameterisation.to_image, state))(u)

    def _returned(self, raw: Array) -> Array:
        if self.method.is_box:
            return raw
        return jax.vmap(lambda v: self.method.constraint.returned(v, self.scene.span))(raw)

    def _views(self, lanes: Lanes, images: Array) -> Float[Array, "lanes samples pixels"]:
        """Transform every image, as often as there are samples a step."""
        method, grid = self.method, self.scene.grid
        assert grid is not None
        # The same for every target and every batch: by restart and step.
        stream = jax.random.fold_in(self.key, _TRANSFORMS)

        def view(options: Choices, restart: Array, step: Array, image: Array) -> Array:
            key = jax.random.fold_in(jax.random.fold_in(stream, restart), step)
            keys = jax.random.split(key, method.samples)
            spread = grid.spread(image)
            return jax.vmap(lambda k: chain(options.transforms, k, spread).reshape(-1))(keys)

        restart = self._restart(self._number(lanes.row))
        return self._each(view, lanes, restart, lanes.taken, images)

    def _aim(self, options: Choices) -> Objective:
        """Choose how far from the target is measured, where the options leave it open."""
        aim = options.objective
        if isinstance(aim, Target) and aim.loss == "auto" and not options.regularisers:
            return aim.by_itself(self.model.output)
        return aim

    def _objective(self, lanes: Lanes, answer: Answer) -> Float[Array, "lanes samples"]:
        def value(options: Choices, answer: Answer, target: Array) -> Array:
            one = partial(self._aim(options).value, self.model.output)
            return jax.vmap(one, in_axes=(0, None))(answer, target)

        return self._each(value, lanes, answer, lanes.wanted)

    def _regularisers(self, lanes: Lanes, images: Array, raw: Array, u: Array) -> Any:
        """Add up what every image costs."""
        method, scene = self.method, self.scene
        single = [n for n, r in enumerate(method.regularisers) if not isinstance(r, Diversity)]
        total: Any = jnp.zeros(len(images), images.dtype)
        if single:

            def cost(options: Choices, image: Array, raw: Array, u: Array, start: Array) -> Array:
                picture = Picture(image, raw, u, start, scene.span)
                parts = ((options.regularisers[n], scene.regularisers[n]) for n in single)
                return jnp.stack([r.weight * r.value(state, picture) for r, state in parts]).sum()

            total = self._each(cost, lanes, images, raw, u, lanes.start)
        if method.diversity is not None:
            groups = images.reshape(-1, self.group, images.shape[1])
            likeness = jax.vmap(method.diversity.among)(groups).reshape(-1)
            total += self._each(lambda o, x: o.diversity.weight * x, lanes, likeness)
        return total

    @property
    def _bounds(self) -> Range:
        if self.method.is_box:
            return self.scene.span
        ends = (jnp.asarray(end, self.scene.starts.dtype) for end in (-jnp.inf, jnp.inf))
        return tuple(ends)  # type: ignore[return-value]

    def _moments(self) -> Int[Array, " moments"]:
        return jnp.asarray(self.method.path, jnp.int32)

    # One step of all lanes.

    def _step(self, lanes: Lanes, count: Array | None) -> Lanes:
        def climb(u: Array) -> tuple[Array, tuple[Array, Array, Array]]:
            value, (logits, raw) = self._climbed(lanes, u)
            return value.sum(), (value, logits, raw)

        gradient, (value, logits, raw) = jax.grad(climb, has_aux=True)(lanes.u)
        seen = value, logits, self._returned(raw)
        if self.method.transforms or isinstance(self.method.constraint, Penalty):
            # What is climbed is not what would be returned.
            seen = self._look(lanes, lanes.u)
        lanes = self._record(lanes, *seen, gradient, count)
        # Best images first: else XLA copies the moving ones, to move them in place. What is added
        # is zero, which XLA does not know; a barrier is gone before it decides on copies.
        gradient += jnp.minimum(jnp.isnan(lanes.best[0, 0]).astype(gradient.dtype), 0)
        moved = lanes.reason == Reason.RUNNING
        if isinstance(self.method.optimiser, LBFGS | GaussNewton):
            lanes = self._curved(lanes, value, gradient)
        else:
            lanes = self._first_order(lanes, gradient)
        return lanes._replace(taken=lanes.taken + moved)

    def _first_order(self, lanes: Lanes, gradient: Array) -> Lanes:
        bounds = self._bounds

        def move(options: Choices, uphill: Array, state: Any, u: Array, step: Array) -> Any:
            assert isinstance(options.optimiser, Optimiser)
            optimiser = options.optimiser.build(options.steps)
            change, state = optimiser.update(-uphill, state, u)
            u = u + change.astype(u.dtype)
            for operator, prepared in zip(options.operators, self.scene.operators, strict=True):
                u = operator.apply(prepared, u, step, self.scene.span)
            return jnp.clip(u, *bounds) if self.method.is_box else u, state

        u, state = self._each(move, lanes, gradient, lanes.optimiser, lanes.u, lanes.taken)
        return lanes._replace(u=u, optimiser=state)

    def _curved(self, lanes: Lanes, value: Array, gradient: Array) -> Lanes:
        """Take a step by L-BFGS or Gauss-Newton."""
        shape, optimiser = lanes.u.shape, self.method.optimiser
        state: Any
        here = (
            lambda flat: -self._climbed(lanes, flat.reshape(shape))[0],
            lanes.u.reshape(len(value), -1),
            -value,
            -gradient.reshape(len(value), -1),
        )
        if isinstance(optimiser, LBFGS):
            u, state = projected_lbfgs.step(*here, lanes.optimiser, *self._bounds, optimiser.memory)
        else:
            u, state = projected_gauss_newton.step(
                *here, *self._curvature(lanes), lanes.optimiser, *self._bounds
            )
        # Neither curvature nor the plain gradient finds anything better: as far as it goes.
        stalled = lanes.optimiser.stuck & state.stuck
        reason = _stop(lanes.reason, stalled, Reason.STALLED)
        return lanes._replace(u=u.reshape(shape), optimiser=state, reason=reason)

    def _curvature(
        self, lanes: Lanes
    ) -> tuple[Array, Array, projected_gauss_newton.Product | None]:
        """Compute the logits' Jacobian, the cost's curvature in them (its root) and the prior's."""
        method, flat, shape = self.method, lanes.u.reshape(len(lanes.u), -1), lanes.u.shape

        def logits_of(flat: Array) -> Array:
            return self._ask(self._seen(lanes, flat.reshape(shape))[1]).logits

        logits, jacobian = linearise(logits_of, flat)

        def root(options: Choices, logits: Array, target: Array) -> Array:
            def cost(logits: Array) -> Array:
                return -self._aim(options).value(self.model.output, Answer(logits), target)

            bent, aim = jax.hessian(cost)(logits), self._aim(options)
            if isinstance(aim, Target) and aim.loss == "logits":
                return bent  # a projection, so its own root
            return projected_gauss_newton.root_of(bent)

        roots = self._each(root, lanes, logits, lanes.wanted)
        if not method.regularisers and not isinstance(method.constraint, Penalty):
            return -jacobian, roots, None

        def slope(flat: Array) -> Array:
            def cost(flat: Array) -> Array:
                u = flat.reshape(shape)
                return self._prior(lanes, *self._seen(lanes, u), u).sum()

            return jax.grad(cost)(flat)

        return -jacobian, roots, lambda v: jax.jvp(slope, (flat,), (v,))[1]

    def _record(
        self,
        lanes: Lanes,
        values: Array,
        logits: Array,
        images: Array,
        gradient: Array | None,
        count: Array | None,
    ) -> Lanes:
        """Take note of the present iterate: best so far, curve, path, reason to stop.

        Args:
            lanes: the rows.
            values: of the objective less the regularisers.
            logits: the network's.
            images: what would be returned.
            gradient: uphill in u; None at the last look, when nothing moves on.
            count: steps of the loop, where all rows began together; else None.
        """
        method, stop = self.method, self.method.stop
        running = lanes.reason == Reason.RUNNING
        # An image at which the network has no answer is no result, whatever the objective says.
        finite = jnp.isfinite(values) & jnp.isfinite(logits).all(axis=-1)
        fresh = running & finite
        better = fresh & (values > lanes.best_value)
        # Against the value at the last gain, so that slow creeping counts once it adds up.
        least = self._each(lambda o, mark: mark + o.stop.improvement, lanes, lanes.mark)
        gained = fresh & (values > least)
        waited = jnp.where(gained, 0, lanes.waited + 1)
        reason = lanes.reason
        if stop.patience:
            reason = _stop(reason, waited >= stop.patience, Reason.STALLED)
        if gradient is not None:
            none = (gradient.reshape(len(values), -1) == 0).all(axis=1)
            reason = _stop(reason, none & (lanes.taken == 0), Reason.FLAT)
        if stop.gradient is not None and gradient is not None:
            low, high = self._bounds
            measure = jnp.abs(jnp.clip(lanes.u + gradient, low, high) - lanes.u)
            measure = measure.reshape(len(values), -1).max(axis=1)
            met = self._each(lambda o, m: m <= o.stop.gradient, lanes, measure)
            reason = _stop(reason, met, Reason.STATIONARY)
        if method.may_reach:
            error = jnp.abs(activation(self.model.output).apply(logits) - lanes.wanted)
            near = self._each(lambda o, e: e <= o.tolerance, lanes, error.max(axis=-1))
            reason = _stop(reason, near, Reason.REACHED)
            # The image that reached the target is the result, whatever J said of earlier ones.
            better |= running & finite & (reason == Reason.REACHED)
        reason = _stop(reason, lanes.taken >= method.steps, Reason.MAX_ITERATIONS)
        reason = jnp.where(running & ~finite, int(Reason.DIVERGED), reason)
        value = jnp.where(fresh, values, lanes.value)
        return lanes._replace(
            best=jnp.where(better[:, None], images, lanes.best),
            best_value=jnp.where(better, values, lanes.best_value),
            value=value,
            curve=_write(lanes.curve, value, lanes.taken, count),
            path=self._trail(lanes, images, fresh),
            reason=reason,
            mark=jnp.where(gained, values, lanes.mark),
            waited=waited,
        )

    def _trail(self, lanes: Lanes, images: Array, fresh: Array) -> Array:
        if not self.method.path:
            return lanes.path
        hit = (lanes.taken[:, None] == self._moments()[None]) & fresh[:, None]

        def keep(path: Array) -> Array:
            return jnp.where(hit[..., None], images[:, None], path)

        return jax.lax.cond(hit.any(), keep, _same, lanes.path)

    # Rows that wait.

    def _done_groups(self, lanes: Lanes) -> Bool[Array, " groups"]:
        return ~(lanes.reason == Reason.RUNNING).reshape(-1, self.group).any(axis=1)

    def _empty(self, lanes: Lanes) -> Record:
        return jax.tree.map(lambda a: jnp.zeros((self.rows, *a.shape[1:]), a.dtype), _kept(lanes))

    def _store(self, record: Record, lanes: Lanes, which: Bool[Array, " lanes"]) -> Record:
        row = jnp.where(which, lanes.row, self.rows)
        return jax.tree.map(lambda a, b: a.at[row].set(b, mode="drop"), record, _kept(lanes))

    def _refill(self, climb: Climb) -> Climb:
        """Keep what is done, and give its lanes to the rows that wait."""
        assert climb.record is not None
        done = self._done_groups(climb.lanes)
        free = jnp.repeat(done, self.group)
        place = jnp.cumsum(free) - 1
        row = jnp.minimum(climb.following + place, self.rows).astype(jnp.int32)
        lanes = where_rows(free, self._enter(row), climb.lanes)
        following = jnp.minimum(climb.following + free.sum(), self.rows).astype(jnp.int32)
        return climb._replace(
            lanes=lanes,
            record=self._store(climb.record, climb.lanes, free),
            following=following,
        )


_TRANSFORMS = 2**31 - 1  # no restart has this number


def _write(curve: Array, value: Array, taken: Array, count: Array | None) -> Array:
    """Write the newest point of every curve."""
    if count is None:
        return curve.at[jnp.arange(len(value)), taken].set(value)
    # Beyond the end of a row its value stays what it was; one slice is faster than a scatter.
    return jax.lax.dynamic_update_slice_in_dim(curve, value[:, None], count, axis=1)


def _kept(lanes: Lanes) -> Record:
    return Record(*(getattr(lanes, name) for name in Record._fields))


def _same(value: Any) -> Any:
    return value


def _stop(reason: Array, condition: Array, why: Reason) -> Array:
    return jnp.where((reason == Reason.RUNNING) & condition, int(why), reason)
