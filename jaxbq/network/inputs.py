"""What a foreign network takes for pixels, folded into its first layer, which is affine."""

import math
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from ..data import ImageSpace
from ..errors import JaxbqError
from ..options import options


class RawLayer(NamedTuple):
    """A layer as a file has it: weight of shape (fan_in, fan_out), bias of shape (fan_out,)."""

    weight: np.ndarray
    bias: np.ndarray | None


@options
class Inputs:
    """How a network was given its images, where that is not how jaxbq keeps them.

    jaxbq keeps images upright, row after row, channels last, drawn bright on dark. The network was
    given scale · pixels + offset of images drawn, ordered and laid out as said here.

    Args:
        ink: ``dark`` where it was trained on dark strokes on bright paper.
        axes: ``columns`` where its inputs are an image column after column.
        channels: ``first`` where they are one colour after another, as PyTorch's are.
        scale: factor of every pixel, one number or one an input, in the network's own order.
        offset: what is then added, likewise; a StandardScaler has scale 1/σ and offset −μ/σ.
    """

    ink: Literal["bright", "dark"] = "bright"
    axes: Literal["rows", "columns"] = "rows"
    channels: Literal["last", "first"] = "last"
    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0

    def order(self, shape: tuple[int, ...], where: str) -> np.ndarray:
        """Tell which of jaxbq's pixels each input of the network is, shape (pixels,).

        Raises:
            JaxbqError: images of this shape have no such axes or channels.
        """
        places = np.arange(math.prod(shape)).reshape(shape)
        if self.axes == "columns":
            if len(shape) < 2:
                raise JaxbqError(f"{where}: images of shape {shape} have no columns; give --shape")
            places = places.swapaxes(0, 1)
        if self.channels == "first":
            if len(shape) != 3:
                raise JaxbqError(
                    f"{where}: images of shape {shape} have no channels; give --shape, like 8 8 3"
                )
            places = np.moveaxis(places, 2, 0)
        return places.reshape(-1)

    def fold(self, layer: RawLayer, space: ImageSpace, where: str) -> RawLayer:
        """Make a first layer that gives for jaxbq's images what the network's gives for its own.

        Args:
            layer: the network's first layer, of ``space.pixels`` inputs.
            space: shape and pixel range of jaxbq's images.
            where: whose it is, for messages.

        Raises:
            JaxbqError: scale or offset is of another length, zero, or not finite; or as
                :meth:`order`.
        """
        if self == Inputs():
            return layer
        scale, offset = self._numbers("scale", space, where), self._numbers("offset", space, where)
        if not scale.all():
            raise JaxbqError(
                f"{where}: an input scale is 0, which hides that pixel; use another scale"
            )
        own = layer.weight.astype(np.float64)
        weight, added = scale[:, None] * own, offset @ own
        if self.ink == "dark":
            # low + high − x is the negative of x within the pixel range.
            added = added + (space.low + space.high) * weight.sum(axis=0)
            weight = -weight
        turned = np.empty_like(weight)
        turned[self.order(space.shape, where)] = weight
        bias = layer.bias
        if bias is not None or added.any():
            before = 0.0 if bias is None else bias.astype(np.float64)
            bias = (before + added).astype(layer.weight.dtype)
        return RawLayer(turned.astype(layer.weight.dtype), bias)

    def _numbers(self, name: str, space: ImageSpace, where: str) -> Float[np.ndarray, " pixels"]:
        values = np.asarray(getattr(self, name), np.float64).reshape(-1)
        if values.size not in (1, space.pixels):
            raise JaxbqError(
                f"{where}: the input {name} has {values.size} values for {space.pixels} inputs"
            )
        if not np.isfinite(values).all():
            raise JaxbqError(f"{where}: the input {name} holds a value that is not finite")
        return np.broadcast_to(values, (space.pixels,))
