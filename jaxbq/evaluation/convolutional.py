"""A small convolutional network, as patches and matrix products, which CPUs are fastest at."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..network.activations import OutputName, activation
from ..network.mlp import Layer, Params
from ..runtime.compiled import normal

_SMALLEST = 8  # pixels of a side
_STRIP = 4  # times as long as wide
_COLOURS = (1, 3)
_STRIDE = 2
_CHANNELS = (8, 32, 64)  # the last one again for all layers after


class Convolution(NamedTuple):
    """One layer: what it is given, its window's side, and the channels that it makes."""

    height: int
    width: int
    channels: int
    side: int
    made: int

    @property
    def after(self) -> tuple[int, int]:
        """Height and width of what it makes."""
        return -(-self.height // _STRIDE), -(-self.width // _STRIDE)


@dataclass(frozen=True)
class Convolutional:
    """Convolutions of stride 2 and ReLU, two at least, until no side is above 8; then a layer.

    Windows of 5×5 pixels first, of 3×3 then; 8, 32, 64, 64 … channels; zeros around.

    Args:
        height: of an image in pixels.
        width: likewise.
        colours: numbers a pixel, the last axis of an image.
        classes: outputs.
        output: activation of the outputs.
    """

    height: int
    width: int
    colours: int
    classes: int
    output: OutputName = "softmax"

    @classmethod
    def of(cls, shape: tuple[int, ...], classes: int) -> "Convolutional | None":
        """Make the one for images of a shape; None for strips, tiny images and no grids."""
        height, width, colours = (*shape, 1) if len(shape) == 2 else (*shape, 0, 0, 0)[:3]
        sides = sorted((height, width))
        if len(shape) > 3 or colours not in _COLOURS:
            return None
        if sides[0] < _SMALLEST or sides[1] > _STRIP * sides[0]:
            return None
        return cls(height, width, colours, classes)

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """The layers before the last."""
        found = [Convolution(self.height, self.width, self.colours, 5, _CHANNELS[0])]
        while len(found) < 2 or max(found[-1].after) > _SMALLEST:
            made = _CHANNELS[min(len(found), len(_CHANNELS) - 1)]
            found.append(Convolution(*found[-1].after, found[-1].made, 3, made))
        return tuple(found)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(fan_in, fan_out) of every layer; of a convolution of one window."""
        each = self.convolutions
        last = math.prod(each[-1].after) * each[-1].made, self.classes
        return (*((one.side**2 * one.channels, one.made) for one in each), last)

    def init(self, key: Array, dtype: Any = jnp.float32) -> Params:
        """Draw parameters: weights from N(0, 2 / fan_in), which ReLU keeps the scale with."""
        keys = jax.random.split(key, len(self.shapes))
        return tuple(
            Layer(
                normal(k, (n, m), dtype) * jnp.asarray((2 / n) ** 0.5, dtype),
                jnp.zeros(m, dtype),
            )
            for k, (n, m) in zip(keys, self.shapes, strict=True)
        )

    def logits(self, params: Params, x: Float[Array | np.ndarray, "batch pixels"]) -> Array:
        """Compute the pre-activation of the last layer."""
        a = jnp.asarray(x).reshape(len(x), self.height, self.width, self.colours)
        for one, layer in zip(self.convolutions, params, strict=False):
            rows = _patches(a, one.side).reshape(-1, layer.weight.shape[0])
            a = jax.nn.relu(_affine(layer, rows)).reshape(len(x), *one.after, one.made)
        return _affine(params[-1], a.reshape(len(x), -1))

    def apply(self, params: Params, x: Float[Array | np.ndarray, "batch pixels"]) -> Array:
        """Compute the outputs."""
        return activation(self.output).apply(self.logits(params, x))

    def freeze(self, params: Params) -> Params:
        """Return the parameters as they are."""
        return params


def _affine(layer: Layer, rows: Array) -> Array:
    z = rows @ layer.weight
    return z if layer.bias is None else z + layer.bias[None]


def _patches(
    a: Float[Array, "batch height width channels"], side: int
) -> Float[Array, "batch rows columns patch"]:
    """Cut out the window around every second pixel; zeros beyond the edge."""
    _, height, width, _ = a.shape
    (rows, top), (columns, left) = (_padding(n, side) for n in (height, width))
    a = jnp.pad(a, ((0, 0), top, left, (0, 0)))
    parts = [
        a[
            :,
            i : i + _STRIDE * (rows - 1) + 1 : _STRIDE,
            j : j + _STRIDE * (columns - 1) + 1 : _STRIDE,
        ]
        for i in range(side)
        for j in range(side)
    ]
    return jnp.concatenate(parts, axis=-1)


def _padding(length: int, side: int) -> tuple[int, tuple[int, int]]:
    """Count the windows along an axis, and the zeros before and after it that they need."""
    windows = -(-length // _STRIDE)
    zeros = max(_STRIDE * (windows - 1) + side - length, 0)
    return windows, (zeros // 2, zeros - zeros // 2)
