"""Many images of one target, each some way before its preimage: steps with one Jacobian for all.

Where images of a target lie alike to the network (moved by one shift, say), one Jacobian serves
them all. The Gram matrices of the pixels off their bounds, another for every image, are then one
product of matrices for all images of a target, and a step takes a seventh of what it would with
Jacobians of their own. Convergence is linear; what is left is for :mod:`.gauss_newton`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .gauss_newton import least_damping, norm_of, solved

_STEPS = 5  # at most
_ROUNDS = 2  # active-set rounds of one step; the next step goes on from there
_FALL = 0.5  # an image whose residual falls to no less than this share goes no further
# Numbers in the products of a Jacobian with itself; where there are more, nothing is done.
_MOST = 2**24

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
    |r| is not taken, so that a Jacobian that does not fit does no harm. With very many outputs and
    pixels (100 outputs: from 1678 pixels on) images stay as they are.

    Args:
        residual: r, images independent of each other.
        images: within the bounds.
        jacobian: -dr/dx, one a target.
        low: lower bound of every pixel.
        high: its upper bound.
        goal: |r| from which on an image goes no further.
    """
    _, outputs, pixels = jacobian.shape
    size = outputs**2 * pixels
    if size > _MOST:
        return images
    trace = jnp.einsum("top,top->t", jacobian, jacobian)
    damping = least_damping(images.dtype) * trace[:, None, None]
    damped = damping[..., None] * jnp.eye(outputs, dtype=images.dtype)[None, None]

    def gram_of(one: tuple[Array, Array]) -> Array:
        """J D Jᵀ of a target's images; D are their pixels off bounds."""
        free, jacobian = one
        products = (jacobian[:, None] * jacobian[None]).reshape(outputs**2, pixels)
        return (free @ products.T).reshape(-1, outputs, outputs)

    def step(walk: _Walk) -> _Walk:
        below, above = low - walk.images, high - walk.images
        point, slope, free = jnp.zeros_like(walk.left), walk.left, walk.free
        for _ in range(_ROUNDS):
            # As many targets at a time as there is room for their products.
            gram = jax.lax.map(gram_of, (free, jacobian), batch_size=_MOST // size)
            factor = jnp.linalg.cholesky(gram + damped, symmetrize_input=False)
            point += solved(factor, slope)
            whole = jnp.einsum("tso,top->tsp", point, jacobian)
            free = ((whole > below) & (whole < above)).astype(whole.dtype)
            move = jnp.clip(whole, below, above)
            slope = walk.left - jnp.einsum("tsp,top->tso", move, jacobian) - damping * point
        images = jnp.clip(walk.images + move, low, high)
        left = residual(images)
        before, now = norm_of(walk.left), norm_of(left)
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
    walk = _Walk(images, left, free, norm_of(left) > goal)
    return jax.lax.scan(perhaps, walk, length=_STEPS)[0].images
