"""The exact preimage: images inside the pixel range whose logits are the wanted ones.

Gauss-Newton steps of least norm inside the box, lightly damped (Levenberg-Marquardt), each found
exactly in the few dimensions of the outputs, so nothing of size pixels x pixels is ever formed.
Where the target cannot be reached, Newton steps with the true curvature finish the work.
"""

from collections import namedtuple
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

RUNNING, REACHED, STATIONARY, MAX_ITERATIONS, DIVERGED = range(5)

_ROUNDS = 4  # active-set rounds of one step: solved to the end they save no Jacobian (measured)
_AGAIN = 2  # further steps with one Jacobian; a forward pass each, a tenth of what it costs
_TRIALS = 12  # step lengths tried along one direction; each is at most half of the one before
_FIRST_DAMPING = 1e-3  # over trace(J J^T); with far less, steps from far starts overshoot
_PRODUCTS = 20  # products with the Hessian in one Newton step
_ARMIJO = 1e-4  # share of the fall the slope promises that a step has to deliver

Rows = Callable[[Float[Array, "batch n"]], Float[Array, "batch outputs"]]


class Preimages(NamedTuple):
    """What `solve` found, a row an image; `reason` is one of the constants above."""

    images: Float[Array, "batch pixels"]
    residual: Float[Array, " batch"]
    iterations: Int[Array, " batch"]
    reason: Int[Array, " batch"]


# What holds for every row: the box, the |r| to reach, the least damping, the most iterations.
_Rules = namedtuple("_Rules", "low high goal floor limit")
# Each row's linear problem: r(x + d) = r - J d, with d in [below, above], and its damping m.
_Local = namedtuple("_Local", "jacobian residual below above damping")
# A point l of its dual, d = clip(J^T l), J d, value and slope of the dual there.
_Dual = namedtuple("_Dual", "point step change value slope")
# Where to search: the end of the whole step, the step, and how fast |r|^2/2 falls along it.
_Path = namedtuple("_Path", "full step slope")


def _dot(a: Array, b: Array) -> Array:
    return jnp.sum(a * b, axis=-1)


def norm_of(a: Array) -> Array:
    """Compute the Euclidean norm of every row."""
    return jnp.linalg.norm(a, axis=-1)


def least_damping(dtype: Any) -> float:
    """Say how much damping, over trace(J J^T), keeps J J^T invertible in a type."""
    return 50 * float(jnp.finfo(dtype).eps)


def where_rows(rows: Array, yes: Any, no: Any) -> Any:
    """Choose row by row between two trees of arrays of the same structure."""
    return jax.tree.map(
        lambda a, b: jnp.where(rows.reshape(-1, *(1,) * (a.ndim - 1)), a, b), yes, no
    )


def _while_any(
    one: Callable[..., tuple[Array, ...]], start: tuple[Array, ...], most: int
) -> tuple[Array, ...]:
    """Loop while any row is to go on, which the last of the carry says; the first counts."""
    return jax.lax.while_loop(lambda c: (c[0] < most) & jnp.any(c[-1]), one, start)


def linearise(residual: Rows, x: Array) -> tuple[Array, Array]:
    """r(x) and J = -dr/dx: one pull-back per output, batched into matrix products by vmap."""
    value, pull = jax.vjp(residual, x)
    rows, outputs = value.shape
    unit = jnp.eye(outputs, dtype=value.dtype)[:, None]
    (gradients,) = jax.vmap(pull)(jnp.broadcast_to(unit, (outputs, rows, outputs)))
    return value, -gradients.swapaxes(0, 1)


def _dual_at(local: _Local, point: Array) -> _Dual:
    """Value l.(r - J d) - m|l|^2/2 + |d|^2/2 and slope r - J d - m l at l."""
    jacobian, residual, below, above, damping = local
    step = jnp.clip(jnp.einsum("bop,bo->bp", jacobian, point), below, above)
    change = jnp.einsum("bop,bp->bo", jacobian, step)
    slope = residual - change - damping[:, None] * point
    value = _dot(point, slope) + (damping * _dot(point, point) + _dot(step, step)) / 2
    return _Dual(point, step, change, value, slope)


def _factor_at(local: _Local, dual: _Dual) -> Array:
    """Cholesky factor of J D J^T + m, the curvature of the dual: D are the pixels off bounds."""
    jacobian, _, below, above, damping = local
    free = (dual.step > below) & (dual.step < above)
    gram = jnp.einsum("bop,bqp->boq", jnp.where(free[:, None], jacobian, 0), jacobian)
    gram += damping[:, None, None] * jnp.eye(gram.shape[-1], dtype=gram.dtype)
    return jnp.linalg.cholesky(gram, symmetrize_input=False)


def solved(factor: Array, right: Array) -> Array:
    """Solve with a Cholesky factor, row by row."""
    return jax.scipy.linalg.cho_solve((factor, True), right[..., None])[..., 0]


def _bounded_step(
    local: _Local, first: _Dual, size: Array, goal: Array, running: Array
) -> tuple[_Dual, Array, Array]:
    """Find the d in the box of least |r - J d|^2 + m |d|^2, the last factor, the rows unsolved.

    A round holds at their bounds the pixels that J^T l sends outside and solves again over the
    rest: a semismooth Newton step on the dual, in which a held pixel may also come free again.
    """
    Carry = tuple[Array, _Dual, Array, Array]

    def unsolved(dual: _Dual) -> Array:
        return running & (norm_of(dual.slope) > goal)

    def one_round(carry: Carry) -> Carry:
        count, old, length, factor = carry
        factor = jnp.where(unsolved(old)[:, None, None], _factor_at(local, old), factor)
        new = _dual_at(local, old.point + length[:, None] * solved(factor, old.slope))
        # The dual is concave: halving the steps that lower it keeps the rounds from cycling.
        better = (new.value >= old.value) | (norm_of(new.slope) < norm_of(old.slope))
        length = jnp.where(better, 1, length / 2)
        return count + 1, where_rows(unsolved(old) & better, new, old), length, factor

    def more(carry: Carry) -> Array:
        return (carry[0] < _ROUNDS) & jnp.any(unsolved(carry[1]))

    def gain(dual: _Dual) -> Array:
        linear = _dot(dual.change, 2 * local.residual - dual.change)
        return linear - local.damping * _dot(dual.step, dual.step)

    # Where no round is needed: what led to `first`.
    factor = jnp.sqrt(size)[:, None, None] * jnp.eye(first.slope.shape[-1], dtype=size.dtype)
    start = (jnp.int32(0), first, jnp.ones_like(goal), factor)
    _, last, _, factor = jax.lax.while_loop(more, one_round, start)
    # A row cut short may hold a useless d; the projected gradient of `first` always descends.
    return where_rows(gain(last) > gain(first), last, first), factor, unsolved(last)


def _newton_path(residual: Rows, x: Array, descent: Array, rules: _Rules, go: Array) -> _Path:
    """Along -H^-1 grad |r|^2/2 over the free pixels, by conjugate gradients.

    Where |r| stays large the curvature of r outweighs J^T J and Gauss-Newton only creeps.
    """

    def gradient(x: Array) -> Array:
        return jax.grad(lambda x: jnp.sum(residual(x) ** 2) / 2)(x)

    free = ((x > rules.low) | (descent > 0)) & ((x < rules.high) | (descent < 0))
    left = jnp.where(free, descent, 0)
    first = _dot(left, left)

    def one(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        count, step, left, along, square, seeking = carry
        bent = jnp.where(free, jax.jvp(gradient, (x,), (along,))[1], 0)
        curvature = _dot(along, bent)
        seeking &= curvature > 0
        length = jnp.where(seeking, square / curvature, 0)[:, None]
        step, left = step + length * along, left - length * bent
        now = _dot(left, left)
        along = left + (now / square)[:, None] * along
        return count + 1, step, left, along, now, seeking & (now > 1e-2 * first)

    start = (jnp.int32(0), jnp.zeros_like(x), left, left, first, go)
    step = _while_any(one, start, _PRODUCTS)[1]
    full = jnp.clip(x + step, rules.low, rules.high)
    return _Path(full, step, _dot(descent, full - x))


def _search(
    residual: Rows, x: Array, path: _Path, value: Array, rules: _Rules, go: Array
) -> tuple[Array, Array, Array, Array]:
    """Backtrack along clip(x + a step) until |r|^2/2 falls enough: (x, r, length a, found)."""
    full, step, slope = path
    cost = _dot(value, value) / 2

    def trial(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        count, length, best, left, seeking = carry
        # `full` is on its bounds to the bit, where x + step would round past or short of them.
        bent = jnp.clip(x + length[:, None] * step, rules.low, rules.high)
        along = jnp.where(length[:, None] == 1, full, bent)
        rest = residual(along)
        now = _dot(rest, rest) / 2
        enough = seeking & (now < cost) & (now <= cost - _ARMIJO * length * slope)
        # Least point of the parabola through both values and the slope; non-finite: far too long.
        parabola = slope * length**2 / (2 * (now - cost + slope * length))
        shorter = jnp.clip(jnp.nan_to_num(parabola), length / 10, length / 2)
        best, left = where_rows(enough, (along, rest), (best, left))
        seeking &= ~enough
        return count + 1, jnp.where(seeking, shorter, length), best, left, seeking

    start = (jnp.int32(0), jnp.ones_like(cost), x, value, go)
    _, length, best, left, seeking = _while_any(trial, start, _TRIALS)
    return best, left, length, go & ~seeking


def _go_on(
    residual: Rows, x: Array, value: Array, local: _Local, factor: Array, rules: _Rules, go: Array
) -> tuple[Array, Array]:
    """Step on with the Jacobian and factor there are, as long as every step halves |r|: (x, r)."""

    def one(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        count, x, value, go = carry
        step = jnp.einsum("bop,bo->bp", local.jacobian, solved(factor, value))
        further = jnp.clip(x + step, rules.low, rules.high)
        rest = residual(further)
        least, now = norm_of(value), norm_of(rest)
        x, value = where_rows(go & (now < least), (further, rest), (x, value))
        return count + 1, x, value, go & (now < least / 2) & (now > rules.goal)

    norm = norm_of(value)
    go &= (norm < norm_of(local.residual) / 2) & (norm > rules.goal)
    _, x, value, _ = _while_any(one, (jnp.int32(0), x, value, go), _AGAIN)
    return x, value


def _next_damping(damping: Array, found: Array, good: Array, bad: Array) -> Array:
    """Less after a full step as good as predicted, more after a poor one, most after none."""
    more = jnp.where(bad, 4 * jnp.maximum(damping, 1e-5), damping)
    damping = jnp.where(found, jnp.where(good, damping / 10, more), 100 * jnp.maximum(more, 1e-6))
    return jnp.clip(damping, 1e-30, 10)


def _iterate(
    residual: Rows, x: Array, damping: Array, curved: Array, start: Array, rules: _Rules, go: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """One iteration of the rows in `go`: (x, |r|, damping, curved, reason)."""
    value, jacobian = linearise(residual, x)
    norm, trace = norm_of(value), jnp.einsum("bop,bop->b", jacobian, jacobian)
    finite = jnp.isfinite(trace) & jnp.isfinite(norm)
    trace, go = jnp.where(trace > 0, trace, 1), go & finite
    # Damping that falls with the residual keeps the fast convergence of Gauss-Newton.
    relative = jnp.maximum(damping * norm / start, rules.floor)
    local = _Local(jacobian, value, rules.low - x, rules.high - x, relative * trace)
    size = (1 + relative) * trace
    first = _dual_at(local, value / size[:, None])
    goal = jnp.maximum(0.003 * norm * jnp.minimum(norm, 1), rules.goal / 10)
    dual, factor, unsolved = _bounded_step(local, first, size, goal, go)

    predicted = _dot(dual.change, 2 * value - dual.change) / 2
    gradient = norm_of(first.step) * (1 + relative) * jnp.sqrt(trace)
    eps = float(jnp.finfo(x.dtype).eps)
    flat = (gradient <= max(eps ** (2 / 3), 1e-8) * norm) | ~(predicted > 2 * eps * norm**2)
    go &= ~flat
    full = jnp.clip(x + dual.step, rules.low, rules.high)
    full = jnp.where(dual.step == local.below, rules.low, full)
    full = jnp.where(dual.step == local.above, rules.high, full)
    linear = _Path(full, dual.step, _dot(value, dual.change))
    newton = _newton_path(
        residual, x, jnp.einsum("bop,bo->bp", jacobian, value), rules, go & curved
    )
    curved &= newton.slope > 0
    path = where_rows(curved, newton, linear)
    x, left, length, found = _search(residual, x, path, value, rules, go)

    ratio = (norm**2 - _dot(left, left)) / (2 * predicted)
    good = (length == 1) & (ratio > 0.75) & ~unsolved
    bad = (length < 1) | (ratio < 0.25) | unsolved
    damping = jnp.where(curved, damping, _next_damping(damping, found, good, bad))
    # With this much damping the step was a short projected gradient: nothing else can descend.
    hopeless = flat | (~found & ~curved & (relative >= 1))
    x, left = _go_on(residual, x, left, local, factor, rules, found & ~curved)
    least = norm_of(left)
    reason = jnp.where(hopeless, STATIONARY, RUNNING)
    reason = jnp.where(found & (least <= rules.goal), REACHED, reason)
    # A slow linear step: r bends more than J tells. Taking turns, neither can hold a row up.
    curved = found & ~curved & (least > 0.99 * norm)
    return x, least, damping, curved, jnp.where(finite, reason, DIVERGED)


def _descend(
    residual: Callable[[Array, Array], Array], x: Array, wanted: Array, rules: _Rules, lanes: int
) -> Preimages:
    """Iterate a queue: the first running rows fill the lanes, so finished ones cost nothing."""
    start = norm_of(residual(x, wanted))
    reason = jnp.where(rules.limit < 1, MAX_ITERATIONS, RUNNING)
    reason = jnp.where(start <= rules.goal, REACHED, reason)
    reason = jnp.where(jnp.isfinite(start), reason, DIVERGED).astype(jnp.int32)

    def advance(carry: tuple[Preimages, Array, Array]) -> tuple[Preimages, Array, Array]:
        rows = jnp.nonzero(carry[0].reason == RUNNING, size=lanes, fill_value=len(x))[0]
        (old, damping, curved), target, first = jax.tree.map(
            lambda a: a.at[rows].get(mode="clip"), (carry, wanted, start)
        )
        here = lambda x: residual(x, target)  # noqa: E731
        images, norm, damping, curved, reason = _iterate(
            here, old.images, damping, curved, first, rules, rows < len(x)
        )
        count = old.iterations + 1
        reason = jnp.where((reason == RUNNING) & (count >= rules.limit), MAX_ITERATIONS, reason)
        new = (Preimages(images, norm, count, reason.astype(jnp.int32)), damping, curved)
        return jax.tree.map(lambda a, b: a.at[rows].set(b, mode="drop"), carry, new)

    def more(carry: tuple[Preimages, Array, Array]) -> Array:
        return jnp.any(carry[0].reason == RUNNING)

    found = Preimages(x, start, jnp.zeros_like(reason), reason)
    damping, curved = jnp.full_like(start, _FIRST_DAMPING), jnp.zeros_like(start, bool)
    return jax.lax.while_loop(more, advance, (found, damping, curved))[0]


def solve(
    logits: Rows,
    x0: Float[Array, "batch pixels"],
    wanted: Float[Array, "batch outputs"],
    low: float | Float[Array, "..."],
    high: float | Float[Array, "..."],
    *,
    tolerance: float | Float[Array, ""],
    max_iterations: int | Int[Array, ""] = 300,
    damping: float | Float[Array, ""] = 0.0,
    project: Rows | None = None,
    lanes: int | None = None,
) -> Preimages:
    """Find x in [low, high] with logits(x) = wanted, or a locally least residual in that box.

    r(x) = P(wanted - logits(x)); d minimises |r - J d|^2 + m |d|^2 over low <= x + d <= high, as
    d = clip(J^T l) with J d + m l = r; then x + a d, 0 < a <= 1, with |r| falling. As m -> 0 it is
    the step of least norm, J^T (J J^T)^-1 r where no bound is in the way.

    Args: logits, the network, rows independent; x0 (batch, pixels), clipped into the range, its
        dtype is worked in; wanted (batch, outputs); low and high, scalars or (pixels,); tolerance,
        of |r|; max_iterations, Jacobians per row; damping, least m over trace(J J^T); project, P,
        linear on rows (for softmax: less their mean); lanes, rows worked on
        together (static), by default 16 on CPUs and all on accelerators.
        tolerance, max_iterations and damping may be traced.

    Returns: the best images, in range, and per row |r|, iterations, reason. A row that is not
        finite is DIVERGED and disturbs no other.

    Raises: TypeError: x0 is not floating. ValueError: no image, or shapes that disagree.

    Source: Kanzow, Yamashita and Fukushima (2004), Levenberg-Marquardt methods with strong local
        convergence properties for constrained equations, J. Comput. Appl. Math. 172.
    """
    if lanes is None:
        # A few rows take many times the iterations of the rest, and every iteration costs all
        # lanes; with few lanes products are slow. On two cores 4 to 64 differ by less than 10 %.
        lanes = 16 if jax.default_backend() == "cpu" else max(len(x0), 1)
    if not jnp.issubdtype(x0.dtype, jnp.floating):
        raise TypeError(f"x0 must be of a floating type, got {x0.dtype}")
    if x0.ndim != 2 or not len(x0) or jax.eval_shape(logits, x0).shape != wanted.shape:
        raise ValueError(f"x0 {x0.shape}, wanted {wanted.shape} and the network's shapes disagree")
    # Rows meet matrices in every line of this file; spelling each broadcast out would bury them.
    with jax.numpy_rank_promotion("allow"):
        least, most = (
            jnp.broadcast_to(jnp.asarray(b, x0.dtype), x0.shape[1:]) for b in (low, high)
        )
        floor = jnp.maximum(jnp.asarray(damping, x0.dtype), least_damping(x0.dtype))
        goal, limit = jnp.asarray(tolerance, x0.dtype), jnp.asarray(max_iterations)

        def residual(x: Array, target: Array) -> Array:
            difference = target - logits(x)
            return (difference if project is None else project(difference)).astype(x0.dtype)

        rules = _Rules(least, most, goal, floor, limit)
        start, wanted = jnp.clip(x0, least, most), wanted.astype(x0.dtype)
        return _descend(residual, start, wanted, rules, min(lanes, len(x0)))
