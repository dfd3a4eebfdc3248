"""Projected L-BFGS: optax's limited-memory preconditioner inside a box, row by row of a batch.

Two-metric projection: variables at a bound whose gradient pushes them outward go by the plain
gradient, onto the bound; the preconditioner is that of the others alone, its memory restricted to
them; the step is searched along the projected arc Π(u − α d) until the cost falls by Armijo's rule.

Source: D. P. Bertsekas, "Projected Newton methods for optimization problems with simple
constraints", SIAM J. Control and Optimization 20 (1982); J. Nocedal and S. Wright, "Numerical
Optimization", 2006, algorithm 7.4.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from .gauss_newton import where_rows

_HALVINGS = 30
_ARMIJO = 1e-4
_NEAR = 1e-3  # most that a variable may be away from a bound to count as at it


class State(NamedTuple):
    """Memory of every row.

    Args:
        memory: optax's, with a leading axis of rows.
        stuck: rows whose last step found no lower cost.
    """

    memory: Any
    stuck: Bool[Array, " rows"]


def init(u: Float[Array, "rows n"], memory: int) -> State:
    """Start without any memory of curvature."""
    return State(jax.vmap(_preconditioner(memory).init)(u), jnp.zeros(len(u), bool))


def step(
    costs: Callable[[Array], Array],
    u: Float[Array, "rows n"],
    cost: Float[Array, " rows"],
    gradient: Float[Array, "rows n"],
    state: State,
    low: Any,
    high: Any,
    memory: int,
) -> tuple[Array, State]:
    """Take one step of every row.

    Args:
        costs: computes the cost of every row of a batch like u.
        u: where the rows are, in the box.
        cost: their costs.
        gradient: their gradients.
        state: from :func:`init` or the last step.
        low: lower bound, −∞ for none.
        high: upper bound.
        memory: pairs remembered.

    Returns:
        Rows whose cost is lower, or that stay where they are and are ``stuck``; and the state.
    """
    preconditioner = _preconditioner(memory)
    # A row that was stuck forgets its curvature and tries the plain gradient.
    fresh = jax.vmap(preconditioner.init)(u)
    kept = where_rows(state.stuck, fresh, state.memory)
    free = free_of(u, gradient, low, high)
    direction, kept = jax.vmap(lambda s, x, g, f: _direct(preconditioner, s, x, g, f))(
        kept, u, gradient, free
    )
    moved, stuck, _ = search(costs, u, cost, gradient, direction, low, high)
    return moved, State(kept, stuck)


def search(
    costs: Callable[[Array], Array],
    u: Float[Array, "rows n"],
    cost: Float[Array, " rows"],
    gradient: Float[Array, "rows n"],
    direction: Float[Array, "rows n"],
    low: Any,
    high: Any,
) -> tuple[Array, Bool[Array, " rows"], Float[Array, " rows"]]:
    """Search along the arc Π(u − α d), α = 1, ½, ¼, …, for costs that are low enough.

    Args:
        costs: computes the cost of every row of a batch like u.
        u: where the rows are, in the box.
        cost: their costs.
        gradient: their gradients.
        direction: d.
        low: lower bound, −∞ for none.
        high: upper bound.

    Returns:
        Rows whose cost is lower, or that stay; which stay, with no lower cost found; and α.
    """

    def halve(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        count, alpha, found, best = carry
        tried = jnp.clip(u - alpha[:, None] * direction, low, high)
        value = costs(tried)
        allowed = cost - _ARMIJO * (gradient * (u - tried)).sum(axis=1)
        good = ~found & (value <= allowed) & (value < cost)
        best = jnp.where(good[:, None], tried, best)
        return count + 1, jnp.where(found | good, alpha, alpha / 2), found | good, best

    def unfinished(carry: tuple[Array, ...]) -> Array:
        return (carry[0] < _HALVINGS) & ~carry[2].all()

    # A stationary row has no lower cost to search for.
    still = (jnp.clip(u - gradient, low, high) == u).all(axis=1)
    none = jnp.zeros((), jnp.int32)
    begin: tuple[Array, ...] = (none, jnp.ones_like(cost), still, u)
    _, alpha, found, moved = jax.lax.while_loop(unfinished, halve, begin)
    return moved, ~found | still, alpha


def _preconditioner(memory: int) -> Any:
    return optax.scale_by_lbfgs(memory_size=memory)


def free_of(u: Array, gradient: Array, low: Any, high: Any) -> Bool[Array, "rows n"]:
    """Find the variables that are not at a bound whose gradient pushes them outward."""
    # Bertsekas' ε: variables close to a bound count as at it, which keeps steps from zigzagging;
    # ε falls with the optimality measure, so that nothing is held wrongly in the end.
    measure = jnp.linalg.norm(u - jnp.clip(u - gradient, low, high), axis=1, keepdims=True)
    near = jnp.minimum(measure, _NEAR)
    held = ((u <= low + near) & (gradient > 0)) | ((u >= high - near) & (gradient < 0))
    return ~held


def _direct(
    preconditioner: Any, state: Any, u: Array, gradient: Array, free: Array
) -> tuple[Array, Any]:
    """Find the direction of one row, and its memory with the newest pair."""
    mask = free.astype(u.dtype)
    held = mask[None]
    steps, changes = state.diff_params_memory * held, state.diff_updates_memory * held
    weights = jax.vmap(_weight)(steps, changes).astype(state.weights_memory.dtype)
    # optax takes the newest pair as the difference to what it saw last: show it what makes that
    # difference the free part, or no difference where the curvature there is not positive.
    step, change = (u - state.params) * mask, (gradient - state.updates) * mask
    use = (_weight(step, change) > 0).astype(u.dtype)
    restricted = state._replace(
        params=u - use * step,
        updates=mask * gradient - use * change,
        diff_params_memory=steps,
        diff_updates_memory=changes,
        weights_memory=weights,
    )
    direction, _ = preconditioner.update(mask * gradient, restricted, u)
    _, remembered = preconditioner.update(gradient, state, u)
    downhill = (direction * gradient).sum() > 0
    chosen = jnp.where(downhill, direction, gradient)
    return jnp.where(free, chosen, gradient), remembered


def _weight(step: Array, change: Array) -> Array:
    curvature = (step * change).sum()
    least = jnp.finfo(step.dtype).eps * jnp.linalg.norm(step) * jnp.linalg.norm(change)
    positive = curvature > least
    return jnp.where(positive, 1 / jnp.where(positive, curvature, 1), 0)
