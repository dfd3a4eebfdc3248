"""Where an ascent begins, and when an image of it is done."""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float

from ...certification import check_relaxed
from ...data import Reference
from ...errors import JaxbqError
from ...network.mlp import MLP, Network
from ...options import options
from ..base import NeedsMLPError


@options
class StopRule:
    """Per image: stop at the target, at a stationary point, or when nothing more is gained.

    Args:
        tolerance: an objective that aims at the target vector has reached it when no output
            differs from it by more than this; 0 for never. By default 1e-3 when the target is all
            that counts, and never under regularisers, whose best image lies elsewhere.
        gradient: stationary when no entry of the projected gradient ‖Π(u + ∇) − u‖∞ is larger,
            the first-order optimality condition of the box; by default never.
        patience: stalled after so many steps without an improvement; 0 for never.
        improvement: a smaller gain over ``patience`` steps does not count as one.
    """

    tolerance: Annotated[float, Ge(0)] | None = None
    gradient: Annotated[float, Gt(0)] | None = None
    patience: Annotated[int, Ge(0), Le(10**7)] = 0
    improvement: Annotated[float, Ge(0)] = 1e-6


StartName = Literal["grey", "black", "mean", "random", "images", "relaxed"]


def start_image(
    start: Literal["grey", "black", "mean"], reference: Reference
) -> Float[np.ndarray, " pixels"]:
    """Make a plain image: mid-range, the range's lower end, or the training set's mean.

    Raises:
        JaxbqError: the mean is wanted and there are no training images.
    """
    space = reference.space
    if start == "mean":
        images = reference.need_images("start = 'mean'")
        return np.asarray(images.mean(axis=0, dtype=np.float64))
    value = space.low if start == "black" else (space.low + space.high) / 2
    return np.full(space.pixels, value)


def start_images(start: StartName, reference: Reference) -> Float[np.ndarray, "m pixels"]:
    """Make the images that restarts begin from: one for all, or your own, one after another.

    Raises:
        JaxbqError: images are wanted and there are none.
    """
    if start == "images":
        return given_starts(reference)
    return start_image(start if start in ("black", "mean") else "grey", reference)[None]


def check_relaxed_start(model: Network, targets: Float[np.ndarray, "targets outputs"]) -> None:
    """Refuse networks that no bound is known of, and targets without a class.

    Raises:
        JaxbqError: there is no relaxed image to start from.
    """
    if not isinstance(model, MLP):
        raise NeedsMLPError(
            "start = 'relaxed' needs an MLP, whose units it bounds; use another start"
        )
    check_relaxed(model)
    if ((targets == targets.max(axis=1, keepdims=True)).sum(axis=1) > 1).any():
        raise JaxbqError(
            "start = 'relaxed' is an image of a class, and a target has several largest entries; "
            "use another start"
        )


def given_starts(reference: Reference) -> Float[np.ndarray, "m pixels"]:
    """Take the images that a user gave to start from.

    Raises:
        JaxbqError: there are none, or they do not fit.
    """
    starts, pixels = reference.starts, reference.space.pixels
    if starts is None:
        raise JaxbqError("start = 'images' needs images to start from; give some, or a data set")
    if starts.shape[1] != pixels or not len(starts) or not np.isfinite(starts).all():
        raise JaxbqError(f"the images to start from must be finite, of shape (n, {pixels})")
    return starts


def start_of(
    number: Array,
    start: StartName,
    centres: Float[Array, "m pixels"],
    low: Float[Array, ""],
    high: Float[Array, ""],
    noise: Float[Array, ""] | float,
    key: Array,
) -> Float[Array, " pixels"]:
    """Make the starting image of one restart, the same for every target.

    ``random`` draws every pixel uniformly over the range. Otherwise restart r begins at image
    r mod m itself, and from r = m on with uniform noise added, projected onto the range.

    Args:
        number: of the restart, from 0.
        start: what :func:`start_images` was asked for.
        centres: what it made.
        low: lower end of the pixel range.
        high: its upper end.
        noise: largest deviation from the centre, as a share of the pixel range.
        key: random key; the restart folds its number in, so that more restarts change none.
    """
    unit = jax.random.uniform(jax.random.fold_in(key, number), centres.shape[1:], centres.dtype)
    if start == "random":
        return low + (high - low) * unit
    amplitude = jnp.where(number < len(centres), 0.0, noise) * (high - low)
    centre = centres[number % len(centres)]
    return jnp.clip(centre + amplitude * (2 * unit - 1), low, high)
