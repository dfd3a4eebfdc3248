"""How one image is shown: grey as dark ink on white, colour as it is."""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from ..data import ImageSpace
from ..errors import JaxbqError

# A strip of pixels would be a line too thin to see, or a figure too tall to open.
_FLATTEST, _TALLEST = 0.12, 4.0


def check_drawable(space: ImageSpace) -> None:
    """Check that images can be drawn.

    Raises:
        JaxbqError: they are of another shape than (height, width), with 1 or 3 channels or none,
            or (pixels,).
    """
    if len(space.shape) not in (1, 2, 3) or space.shape[2:] not in ((), (1,), (3,)):
        raise JaxbqError(
            f"images of shape {space.shape} cannot be drawn: they are neither grey pictures "
            "(height, width) nor coloured ones (height, width, 3)"
        )


def is_coloured(space: ImageSpace) -> bool:
    """Whether pixels are red, green and blue."""
    return space.shape[2:] == (3,)


def picture_shape(space: ImageSpace) -> tuple[int, ...]:
    """Say in what shape an image is drawn: (height, width), in colour (height, width, 3).

    What is no picture is a strip of pixels.
    """
    if is_coloured(space) or len(space.shape) == 2:
        return space.shape
    return space.shape[:2] if space.shape[2:] == (1,) else (1, space.pixels)


def proportion(space: ImageSpace) -> float:
    """Height of a drawn image by its width, within bounds."""
    height, width = picture_shape(space)[:2]
    return min(max(height / width, _FLATTEST), _TALLEST)


def draw_image(axis: Any, image: Float[np.ndarray, " pixels"], space: ImageSpace) -> Any:
    """Draw one image; all share one scale, the pixel range, and what is beyond takes its end."""
    picture = image.reshape(picture_shape(space))
    if is_coloured(space):
        picture = np.clip((picture - space.low) / (space.high - space.low), 0, 1)
    height, width = picture.shape[:2]
    return axis.imshow(
        picture,
        vmin=space.low,
        vmax=space.high,
        cmap="gray_r",
        interpolation="nearest",
        aspect="equal" if proportion(space) == height / width else "auto",
    )


def as_bytes(
    images: Float[np.ndarray, "*batch pixels"], space: ImageSpace
) -> UInt8[np.ndarray, "*batch_and_picture"]:
    """Turn images into the bytes that a picture file of them holds, as :func:`draw_image` shows."""
    share = np.clip((images - space.low) / (space.high - space.low), 0, 1)
    shades = np.round(255 * (share if is_coloured(space) else 1 - share)).astype(np.uint8)
    return shades.reshape(*images.shape[:-1], *picture_shape(space))
