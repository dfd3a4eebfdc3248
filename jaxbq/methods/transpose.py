"""The book's back-query: inverse activation, transposed weights, rescale, layer by layer."""

import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..data import ImageSpace, Reference
from ..errors import JaxbqError
from ..mlp import MLP, Network
from ..options import options
from .base import Inversion, Method, Reason, check_analytic

_BOOK_RANGE = (0.01, 0.99)


class TransposeState(NamedTuple):
    """Where pixels go: the ends of the interval that the image is rescaled to."""

    low: Float[Array, ""]
    high: Float[Array, ""]


@options
class Transpose(Method):
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
        mlp = check_analytic("transpose", model, targets)
        _check_interval("pixel_range", self._pixels(reference.space), *_ends(reference.space))
        for phi in mlp.activations[:-1]:
            low, high = self.hidden_range
            _check_interval("hidden_range", self.hidden_range, phi.low, phi.high)
            if low <= phi.low or high >= phi.high:
                raise JaxbqError(
                    f"hidden_range {self.hidden_range} touches the ends of {phi.name}'s image "
                    f"({phi.low:g}, {phi.high:g}), where its inverse is infinite"
                )

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Settle the pixel range."""
        dtype = params[0].weight.dtype
        low, high = self._pixels(reference.space)
        return TransposeState(jnp.asarray(low, dtype), jnp.asarray(high, dtype))

    def invert(
        self,
        model: Network,
        params: Any,
        state: Any,
        targets: Float[Array, "n outputs"],
        key: Array,
    ) -> Inversion:
        """Go back through the layers."""
        assert isinstance(model, MLP)
        a, constant = targets, jnp.zeros(len(targets), bool)
        hidden = tuple(jnp.asarray(end, targets.dtype) for end in self.hidden_range)
        for number in reversed(range(len(params))):
            layer, phi = params[number], model.activations[number]
            z = phi.invert(a)
            if self.biases == "subtract" and layer.bias is not None:
                z = z - layer.bias[None]
            # Full precision on accelerators too, whose default rounds the factors.
            a = jnp.matmul(z, layer.weight.T, precision=jax.lax.Precision.HIGHEST)
            a, flat = rescale(a, *(hidden if number else state))
            constant |= flat
        reasons = jnp.where(constant, int(Reason.CONSTANT), int(Reason.COMPUTED))
        return Inversion(a[:, None], reasons[:, None], jnp.ones_like(reasons)[:, None], {})

    def _pixels(self, space: ImageSpace) -> tuple[float, float]:
        if self.pixel_range is not None:
            return self.pixel_range
        low, high = _ends(space)
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


def _ends(space: ImageSpace) -> tuple[float, float]:
    return space.low, space.high


def _check_interval(name: str, interval: tuple[float, float], low: float, high: float) -> None:
    start, end = interval
    if not (math.isfinite(start) and math.isfinite(end) and low <= start < end <= high):
        raise JaxbqError(
            f"{name} {interval} must be an interval inside [{low:g}, {high:g}], smaller end first"
        )
