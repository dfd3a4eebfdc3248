"""Projected Gauss-Newton for a cost of few outputs plus a prior, row by row of a batch, in a box.

The model of a row's cost around u is gᵀd + ½ dᵀ(AᵀHA + P + m) d: A the Jacobian of the outputs, H
the curvature of the cost in the outputs (its negative part left out), P the prior's curvature,
known by its products alone, m a damping. Without a prior the model is solved in as many dimensions
as there are outputs (Woodbury); with one, that solution preconditions conjugate gradients, which
need no pass through the network. Bounds and search are those of :mod:`.projected_lbfgs`.

Source: J. J. Moré, "The Levenberg-Marquardt algorithm: implementation and theory", 1978; D. P.
Bertsekas, "Projected Newton methods for optimization problems with simple constraints", SIAM J.
Control and Optimization 20 (1982); N. N. Schraudolph, "Fast curvature matrix-vector products for
second-order gradient descent", Neural Computation 14 (2002).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .projected_lbfgs import free_of, search

_FIRST_DAMPING = 1e-3  # over the trace of the curvature and the gradient's norm
_PRODUCTS = 30  # with the prior's curvature, in one step
_EXACT = 1e-2  # share of the model's gradient that conjugate gradients may leave

Product = Callable[[Float[Array, "rows n"]], Float[Array, "rows n"]]


class State(NamedTuple):
    """What goes from step to step of every row.

    Args:
        damping: m over the size of the curvature.
        stuck: rows whose last step found no lower cost.
    """

    damping: Float[Array, " rows"]
    stuck: Bool[Array, " rows"]


def init(u: Float[Array, "rows n"]) -> State:
    """Start with little damping."""
    return State(jnp.full(len(u), _FIRST_DAMPING, u.dtype), jnp.zeros(len(u), bool))


def step(
    costs: Callable[[Array], Array],
    u: Float[Array, "rows n"],
    cost: Float[Array, " rows"],
    gradient: Float[Array, "rows n"],
    jacobian: Float[Array, "rows outputs n"],
    root: Float[Array, "rows outputs outputs"],
    prior: Product | None,
    state: State,
    low: Any,
    high: Any,
) -> tuple[Array, State]:
    """Take one step of every row.

    Args:
        costs: computes the cost of every row of a batch like u.
        u: where the rows are, in the box.
        cost: their costs.
        gradient: their gradients.
        jacobian: A, of the outputs.
        root: S, with H = SᵀS.
        prior: multiplies with P, row by row; None for no prior.
        state: from :func:`init` or the last step.
        low: lower bound, −∞ for none.
        high: upper bound.

    Returns:
        Rows whose cost is lower, or that stay where they are and are ``stuck``; and the state.
    """
    free = free_of(u, gradient, low, high)
    left = jnp.where(free, gradient, 0)
    scaled = jnp.where(free[:, None], root @ jacobian, 0)
    gram = jnp.einsum("rop,rqp->roq", scaled, scaled)
    size = jnp.trace(gram, axis1=1, axis2=2) + jnp.linalg.norm(left, axis=1)
    size = jnp.where(size > 0, size, 1)
    damping = (state.damping * size)[:, None]
    direction = _solve(scaled, gram, damping, left, free, prior)
    direction = jnp.where(free, direction, gradient)
    moved, stuck, alpha = search(costs, u, cost, gradient, direction, low, high)
    least = jnp.finfo(u.dtype).eps ** 0.5
    # More than 1 times the size is a short step down the gradient: nothing else can descend.
    change = jnp.where(stuck, jnp.inf, jnp.where(alpha == 1, 0.1, jnp.where(alpha < 0.2, 10, 1)))
    return moved, State(jnp.clip(state.damping * change, least, 1), stuck)


def root_of(curvature: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Find S with SᵀS the curvature, less its negative part."""
    values, vectors = jnp.linalg.eigh(curvature)
    return jnp.sqrt(jnp.maximum(values, 0))[:, None] * vectors.T


def _solve(
    scaled: Array, gram: Array, damping: Array, left: Array, free: Array, prior: Product | None
) -> Array:
    """Solve (scaledᵀ scaled + P + m) d = left over the free variables."""

    def less(v: Array, ridge: Array) -> Array:
        """Solve without P, and ``ridge`` for m."""
        inner = gram + ridge[..., None] * jnp.eye(gram.shape[-1], dtype=gram.dtype)[None]
        factor = jnp.linalg.cholesky(inner, symmetrize_input=False), True
        inside = jnp.einsum("rop,rp->ro", scaled, v)
        inside = jax.scipy.linalg.cho_solve(factor, inside[..., None])[..., 0]
        return (v - jnp.einsum("rop,ro->rp", scaled, inside)) / ridge

    if prior is None:
        return less(left, damping)
    return _conjugate_gradients(scaled, damping, left, free, prior, less)


def _conjugate_gradients(
    scaled: Array,
    damping: Array,
    left: Array,
    free: Array,
    prior: Product,
    less: Callable[[Array, Array], Array],
) -> Array:
    def dot(a: Array, b: Array) -> Array:
        return (a * b).sum(axis=1, keepdims=True)

    def bend(v: Array) -> Array:
        inside = jnp.einsum("rop,rp->ro", scaled, v)
        whole = jnp.einsum("rop,ro->rp", scaled, inside) + prior(v) + damping * v
        return jnp.where(free, whole, 0)

    # The prior's curvature along the gradient stands for that in all directions.
    square = dot(left, left)
    mean = dot(left, prior(left)) / jnp.where(square > 0, square, 1)
    ridge = damping + jnp.maximum(mean, 0)

    def one(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        count, found, rest, along, size, going = carry
        bent = bend(along)
        curve = dot(along, bent)
        going &= curve > 0  # as far as the model is convex
        length = jnp.where(going, size / jnp.where(going, curve, 1), 0)
        found, rest = found + length * along, rest - length * bent
        turned = less(rest, ridge)
        now = dot(rest, turned)
        along = turned + now / jnp.where(size > 0, size, 1) * along
        return count + 1, found, rest, along, now, going & (dot(rest, rest) > _EXACT**2 * square)

    def more(carry: tuple[Array, ...]) -> Array:
        return (carry[0] < _PRODUCTS) & carry[-1].any()

    begin = less(left, ridge)
    start: tuple[Array, ...] = (
        jnp.int32(0),
        jnp.zeros_like(left),
        left,
        begin,
        dot(left, begin),
        square > 0,
    )
    found = jax.lax.while_loop(more, one, start)[1]
    # Where the model bends down at once, the preconditioned gradient descends.
    return jnp.where((found == 0).all(axis=1, keepdims=True), begin, found)
