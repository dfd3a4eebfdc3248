"""Many images of one target, each some way before its preimage: steps with one Jacobian for all.

Where images of a target lie alike to the network (moved by one shift, say), one Jacobian serves
them all. Its products with itself are made once, so that the Gram matrix of the pixels off their
bounds, another for every image, costs one product of matrices for all images together: a tenth of
what a Jacobian of its own would. Convergence is linear; what is left is for :mod:`.gauss_newton`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

_STEPS = 5  # at most; a step costs an image what a seventh of its own Jacobian does (measured)
_ROUNDS = 2  # active-set rounds of one step; the next step goes on from there
_FALL = 0.5  # an image whose residual falls to no less than this share goes no further
_MOST = (
    2**25
)  # numbers in the products of the Jacobians with themselves; with more, nothing is done

Residual = Callable[
    [Float[Array, "targets samples pixels"]], Float[Array, "targets samples outputs"]
]


class _Walk(NamedTuple):
    """Where the images are, what is left of r, the pixels off their bounds, and which go on."""

    images: Float[Array, "targets samples pixels"]
    left: Float[Array, "targets samples outputs"]
    free: Float[Array, "targets samples pixels"]
    going: Bool[Array, "targets samples"]


def approach(
    residual: Residual,
    images: Float[Array, "targets samples pixels"],
    jacobian: Float[Array, "targets outputs pixels"],
    low: float | Float[Array, ""],
    high: float | Float[Array, ""],
    *,
    goal: float | Float[Array, ""],
) -> Float[Array, "targets samples pixels"]:
    """Take images toward r(x) = 0 inside [low, high], as long as every step halves |r|.

    A step d = clip(Jᵀl) solves J d = r within the bounds, lightly damped; one that does not lower
    |r| is not taken, so that a Jacobian that does not fit does no harm.

    Args:
        residual: r, images independent of each other.
        images: within the bounds.
        jacobian: -dr/dx, one a target.
        low: lower bound of every pixel.
        high: its upper bound.
        goal: |r| from which on an image goes no further.
    """
    targets, outputs, pixels = jacobian.shape
    if targets * outputs**2 * pixels > _MOST:
        return images
    products = jacobian[:, :, None] * jacobian[:, None]
    products = products.reshape(targets, outputs**2, pixels)
    floor = 50 * float(jnp.finfo(images.dtype).eps)
    damping = floor * jnp.einsum("top,top->t", jacobian, jacobian)[:, None, None]
    damped = damping[..., None] * jnp.eye(outputs, dtype=images.dtype)[None, None]

    def step(walk: _Walk) -> _Walk:
        below, above = low - walk.images, high - walk.images
        point, slope, free = jnp.zeros_like(walk.left), walk.left, walk.free
        for _ in range(_ROUNDS):
            gram = jnp.einsum("tsp,tkp->tsk", free, products)
            gram = gram.reshape(*slope.shape, outputs) + damped
            factor = jnp.linalg.cholesky(gram, symmetrize_input=False)
            point += jax.scipy.linalg.cho_solve((factor, True), slope[..., None])[..., 0]
            whole = jnp.einsum("tso,top->tsp", point, jacobian)
            free = ((whole > below) & (whole < above)).astype(whole.dtype)
            move = jnp.clip(whole, below, above)
            slope = walk.left - jnp.einsum("tsp,top->tso", move, jacobian) - damping * point
        images = jnp.clip(walk.images + move, low, high)
        left = residual(images)
        before, now = _norm(walk.left), _norm(left)
        taken = (walk.going & (now < before))[..., None]
        return _Walk(
            jnp.where(taken, images, walk.images),
            jnp.where(taken, left, walk.left),
            free,
            walk.going & (now < _FALL * before) & (now > goal),
        )

    def perhaps(walk: _Walk, _: None) -> tuple[_Walk, None]:
        return jax.lax.cond(walk.going.any(), step, lambda walk: walk, walk), None

    left = residual(images)
    free = ((images > low) & (images < high)).astype(images.dtype)
    walk = _Walk(images, left, free, _norm(left) > goal)
    return jax.lax.scan(perhaps, walk, length=_STEPS)[0].images


def _norm(left: Any) -> Array:
    return jnp.linalg.norm(left, axis=-1)
