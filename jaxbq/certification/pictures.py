"""Good pictures: projected ascent from many starts, then single pixels at their ends."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..network.activations import activation
from ..runtime import interrupts
from ..runtime.compiled import Compiled
from .maxima import shape_of
from .verifier import Claim, Region, Weights, coefficients

_SIZES = (1.0, 0.2, 0.04, 0.006, 0.0005)  # of a step, in shares of the pixel range
_SOFTNESS = 0.1, 1e-5  # of the least of several logit differences, first and last
_INSIDE = 1 - 1e-9  # of the radius: roundings must not leave the ball


class _Net(NamedTuple):
    inner: Array
    bias: Array
    outer: Array
    constants: Array
    rows: Array
    low: Array
    high: Array
    centre: Array
    radius: Array


def _objective(name: str, net: _Net, x: Array, softness: Array) -> Array:
    """Compute the objective, smoothed where two classes are level."""
    hidden = activation(name).apply(x @ net.inner + net.bias[None])
    values = (hidden @ net.outer + net.constants[None]) @ net.rows.T
    return -softness * jax.nn.logsumexp(-values / softness, axis=1)


def _into(net: _Net, x: Array) -> Array:
    x = jnp.clip(x, net.low[None], net.high[None])
    away = x - net.centre[None]
    length = jnp.sqrt((away**2).sum(axis=1, keepdims=True))
    shrunk = away * jnp.minimum(1.0, net.radius / jnp.maximum(length, 1e-300))
    return jnp.clip(net.centre[None] + shrunk, net.low[None], net.high[None])


def _climb(name: str, steps: int, net: _Net, x: Array) -> Array:
    """Ascend; of several steps along the gradient the best is made, or none."""
    width = (net.high - net.low).max()

    first, last = _SOFTNESS

    def step(done: Array, x: Array) -> Array:
        softness = first * (last / first) ** (done / steps)
        gradient = jax.grad(lambda x: _objective(name, net, x, softness).sum())(x)
        gradient /= jnp.maximum(jnp.abs(gradient).max(axis=1, keepdims=True), 1e-300)
        tried = jnp.stack([x, *(_into(net, x + s * width * gradient) for s in _SIZES)])
        values = jax.vmap(lambda each: _objective(name, net, each, softness))(tried)
        return jnp.take_along_axis(tried, values.argmax(axis=0)[None, :, None], axis=0)[0]

    return jax.lax.fori_loop(0, steps, step, _into(net, x))


_CLIMB = Compiled(_climb, 0, 1)


class Pictures:
    """What makes pictures for a claim.

    Args:
        weights: the network.
        claim: what is to be large.
    """

    def __init__(self, weights: Weights, claim: Claim) -> None:
        outputs = weights.outer.shape[1]
        rivals = np.eye(outputs)
        if claim.objective == "margin":
            rivals = np.delete(rivals, claim.target, axis=0)
        else:
            rivals = rivals[:1]
        self._weights = weights
        self._rows = coefficients(claim, outputs, rivals)
        self._region = region = Region.of(claim, len(weights.inner))
        low, high = region.low, region.high
        if claim.norm == "linf":
            radius = claim.radius * _INSIDE
            low = np.maximum(low, claim.centre - radius)
            high = np.minimum(high, claim.centre + radius)
        self._low, self._high, self._radius = low, high, region.radius * _INSIDE
        parts = (*weights[:4], self._rows, low, high, region.centre, self._radius)
        self._net = _Net(*map(jnp.asarray, parts))

    def value(self, images: Float[np.ndarray, "images pixels"]) -> Float[np.ndarray, " images"]:
        """Compute the objective, without bounds of rounding."""
        w = self._weights
        return self._of_hidden(images @ w.inner + w.bias)

    def _of_hidden(self, z: np.ndarray) -> np.ndarray:
        w = self._weights
        hidden = shape_of(w.activation).apply(z)
        return (hidden @ (w.outer @ self._rows.T) + w.constants @ self._rows.T).min(axis=-1)

    def starts(self, number: int, seed: int) -> Float[np.ndarray, "number pixels"]:
        """Draw starts: corners of the box with pixels on at several rates, and the centre."""
        rng = np.random.default_rng(seed)
        pixels = len(self._low)
        on = rng.random((number, pixels)) < rng.random((number, 1))
        images = np.where(on, self._high, self._low)
        images[0] = self._region.centre
        return images

    def climb(
        self, images: Float[np.ndarray, "images pixels"], steps: int
    ) -> Float[np.ndarray, "images pixels"]:
        """Ascend from each image within the set."""
        name = self._weights.activation
        return np.asarray(_CLIMB.thorough(name, steps, self._net, images), np.float64)

    def flip(self, image: Float[np.ndarray, " pixels"], most: int) -> Float[np.ndarray, " pixels"]:
        """Move single pixels as far as they go, the best first, while that helps."""
        w, centre = self._weights, self._region.centre
        image = image.copy()
        for _ in range(most):
            interrupts.check()
            room = self._radius**2 - ((image - centre) ** 2).sum() + (image - centre) ** 2
            room = np.sqrt(np.maximum(room, 0.0))
            ends = (np.maximum(self._low, centre - room), np.minimum(self._high, centre + room))
            z = image @ w.inner + w.bias
            values = np.stack([self._of_hidden(z + (e - image)[:, None] * w.inner) for e in ends])
            side, pixel = np.unravel_index(values.argmax(), values.shape)
            now = float(self._of_hidden(z[None])[0])
            if values[side, pixel] <= now + 1e-9 * (1 + abs(now)):
                break
            image[pixel] = ends[side][pixel]
        return image
