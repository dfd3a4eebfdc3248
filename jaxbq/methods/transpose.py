"""The book's back-query: inverse activation, transposed weights, rescale, layer by layer."""

import math
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..data import ImageSpace, Reference
from ..errors import JaxbqError
from ..network.mlp import MLP, Network
from ..options import options
from .analytic import Analytic, Place, Settled, check_analytic, product, settled, without_bias
from .ascent import Range, range_of

_BOOK_RANGE = (0.01, 0.99)


class TransposeState(NamedTuple):
    """The pixel range, and the interval within it that the image is rescaled to."""

    ends: Range
    target: Range


@options
class Transpose(Analytic):
    """Transpose back-query: z = φ⁻¹(a), a = z Wᵀ rescaled by its own extremes, down to the image.

    Wᵀ is no inverse of W, and nothing here is optimal; it is what the book does. Rescaling acts on
    each example by itself (the book's code, given a batch, mixes its columns), which makes the
    image independent of the strength of the target: only the direction of its logits counts.

    Source: T. Rashid, *Make Your Own Neural Network*, 2016, ``neuralNetwork.backquery``.

    Args:
        biases: ``ignore`` them, as the book has none, or ``subtract`` each before Wᵀ.
        hidden_range: interval that each hidden activation is rescaled to, inside the image of φ.
        pixel_range: interval that the image is rescaled to. By default the book's [0.01, 0.99],
            or for data whose pixels do not lie in [0, 1] the same shares of their range.
    """

    kind: Literal["transpose"] = "transpose"
    biases: Literal["ignore", "subtract"] = "ignore"
    hidden_range: tuple[float, float] = _BOOK_RANGE
    pixel_range: tuple[float, float] | None = None

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse networks that cannot be run back and ranges that cannot be entered."""
        mlp, space = check_analytic("transpose", model, targets), reference.space
        _check_interval("pixel_range", self._pixels(space), space.low, space.high)
        check_hidden_range(self.hidden_range, mlp)

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Settle the pixel range."""
        dtype = params[0].weight.dtype
        low, high = (jnp.asarray(end, dtype) for end in self._pixels(reference.space))
        return TransposeState(range_of(reference, dtype), (low, high))

    def solve(self, at: Place, state: TransposeState, z: Array) -> Array:
        """Multiply by Wᵀ."""
        if self.biases == "subtract":
            z = without_bias(at.layer, z)
        return product(z, at.layer.weight.T)

    def settle(self, at: Place, state: TransposeState, z: Array, raw: Array) -> Settled:
        """Rescale each row by its own extremes."""
        if at.below is None:
            return settled(*rescale(raw, *state.target))
        return settled(*rescale(raw, *(jnp.asarray(end, raw.dtype) for end in self.hidden_range)))

    def _pixels(self, space: ImageSpace) -> tuple[float, float]:
        if self.pixel_range is not None:
            return self.pixel_range
        low, high = space.low, space.high
        if 0 <= low <= _BOOK_RANGE[0] and _BOOK_RANGE[1] <= high <= 1:
            return _BOOK_RANGE
        return tuple(low + share * (high - low) for share in _BOOK_RANGE)  # type: ignore[return-value]


def rescale(
    values: Float[Array, "batch units"], low: Any, high: Any
) -> tuple[Float[Array, "batch units"], Bool[Array, " batch"]]:
    """Map each row onto [low, high] by its own smallest and largest value.

    Returns:
        The rows, and which of them are constant and so cannot be rescaled: all their values
        become the middle of the interval.
    """
    smallest = values.min(axis=-1, keepdims=True)
    span = values.max(axis=-1, keepdims=True) - smallest
    # A span of rounding errors is no span: rescaling would blow noise up to a picture.
    noise = 8 * jnp.finfo(values.dtype).eps * jnp.abs(values).max(axis=-1, keepdims=True)
    constant = ~(span > noise)
    unit = jnp.where(constant, 0.5, (values - smallest) / jnp.where(constant, 1, span))
    # low + 1·(high − low) may round past high.
    return jnp.clip(low + unit * (high - low), low, high), constant[:, 0]


def check_hidden_range(interval: tuple[float, float], model: MLP) -> None:
    """Check that hidden activations rescaled to an interval can be inverted.

    Raises:
        JaxbqError: the interval leaves the open image of an activation, or is none.
    """
    low, high = interval
    for phi in model.activations[:-1]:
        _check_interval("hidden_range", interval, phi.low, phi.high)
        if low <= phi.low or high >= phi.high:
            raise JaxbqError(
                f"hidden_range {interval} touches the ends of {phi.name}'s image "
                f"({phi.low:g}, {phi.high:g}), where its inverse is infinite"
            )


def _check_interval(name: str, interval: tuple[float, float], low: float, high: float) -> None:
    start, end = interval
    if not (math.isfinite(start) and math.isfinite(end) and low <= start < end <= high):
        raise JaxbqError(
            f"{name} {interval} must be an interval inside [{low:g}, {high:g}], smaller end first"
        )
