"""The pixel grid of an image, for everything that speaks of neighbours or frequencies."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Float

from ..errors import JaxbqError
from .dataset import ImageSpace

_MOST_CHANNELS = 4


@jax.tree_util.register_static
@dataclass(frozen=True)
class Grid:
    """Rows and columns of pixels, each of one or more channels; within a pytree no number of it.

    Args:
        height: rows.
        width: columns.
        channels: values of one pixel; 1 for grey.
    """

    height: int
    width: int
    channels: int

    @property
    def sides(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    def spread(self, image: Float[Array, " pixels"]) -> Float[Array, "height width channels"]:
        """Lay a flat image out."""
        return image.reshape(self.shape)

    def frequencies(self) -> Float[np.ndarray, "height columns"]:
        """Spatial frequency of every coefficient of a real 2-D transform, in cycles a pixel."""
        rows, columns = np.fft.fftfreq(self.height), np.fft.rfftfreq(self.width)
        return np.hypot(rows[:, None], columns[None])

    def multiplicity(self) -> Float[np.ndarray, "height columns"]:
        """How many coefficients of the full transform each of the real one stands for."""
        count = np.full(self.width // 2 + 1, 2.0)
        count[0] = 1
        if self.width % 2 == 0:
            count[-1] = 1
        return np.broadcast_to(count, (self.height, len(count)))


def grid_of(space: ImageSpace, what: str) -> Grid:
    """Read the grid off the shape of an image: (height, width) or (height, width, channels).

    Raises:
        JaxbqError: any other shape; ``what`` says for what a grid is needed.
    """
    shape = space.shape
    if len(shape) == 2:
        return Grid(*shape, 1)
    if len(shape) == 3 and shape[2] <= _MOST_CHANNELS:
        return Grid(*shape)
    raise JaxbqError(
        f"{what} needs images of shape (height, width) or (height, width, channels), not {shape}"
    )
