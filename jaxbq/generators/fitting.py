"""Fitting a network to pairs of input and image, with the compiled epoch of any training."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..data import ImageSpace
from ..mlp import Network
from ..optimisers import Optimiser
from ..training import Training
from ..training.rules import TrainingArrays


def shares(
    images: Float[np.ndarray, "n pixels"], space: ImageSpace, dtype: Any
) -> Float[Array, "n pixels"]:
    """Write pixels as shares of their range, which a sigmoid can answer."""
    low, high = np.float32(space.low), np.float32(space.high)
    return jnp.asarray((images - low) / (high - low), dtype)


def fit(
    network: Network,
    params: Any,
    inputs: Float[Array, "n inputs"],
    wanted: Float[Array, "n pixels"],
    *,
    epochs: int,
    batch_size: int,
    optimiser: Optimiser,
    noise: float,
    key: Array,
) -> tuple[Any, Float[Array, " epochs"]]:
    """Train a network with sigmoid outputs to give images, as shares of the pixel range.

    The cross-entropy of shares has the same minimiser as the squared error, the mean, and a
    gradient that does not vanish where a sigmoid saturates.

    Args:
        network: what is trained.
        params: its parameters at the start.
        inputs: what it is given.
        wanted: the image of each, see :func:`shares`.
        epochs: passes over the pairs.
        batch_size: pairs an update.
        optimiser: of the parameters.
        noise: standard deviation of Gaussian noise on the inputs, drawn anew for every batch.
        key: random key of order and noise.

    Returns:
        The parameters, and the mean loss of every epoch.
    """
    rule = Training(
        loss="bce", epochs=epochs, batch_size=batch_size, optimiser=optimiser, noise=noise or None
    )
    data = TrainingArrays(inputs, wanted, -jnp.inf, jnp.inf)
    state, losses = rule.start(network, params, len(inputs)), []
    for epoch in range(epochs):
        own = jax.random.fold_in(key, epoch)
        order = rule.order(own, len(inputs))
        params, state, sums = rule.epoch(network, params, state, data, order, own)
        losses.append(sums.loss / len(inputs))
    return params, jnp.stack(losses)
