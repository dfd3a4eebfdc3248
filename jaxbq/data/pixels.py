"""What numbers mean as pixels: the shape of an image, and the range of its values."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from ..errors import JaxbqError

MOST_BYTES = 4 * 2**30  # of all images together, in float32
_DARKEST = 127  # floats up to 255 are bytes only where one is above this: digits go from 0 to 16
_DIGITS_WHITE = 16  # of scikit-learn's digits
_TOLERANCE = 1e-6  # of the range: rounding to float32


class Pixels(NamedTuple):
    """Images as the network gets them.

    Args:
        parts: rows of pixels, float32, for every part of the data.
        shape: of one image, (height, width) or (height, width, 3).
        low: lower end of the pixel range.
        high: upper end.
    """

    parts: list[Float32[np.ndarray, "_ pixels"]]
    shape: tuple[int, ...]
    low: float
    high: float


def as_pixels(
    parts: Sequence[np.ndarray],
    shape: Sequence[int] = (),
    pixel_range: tuple[float, float] | None = None,
    book_scaling: bool = False,
) -> Pixels:
    """Turn images of any usual kind into rows of pixels.

    Args:
        parts: images of one part of the data each, of shape (n, height, width),
            (n, height, width, 1), (n, height, width, 3), with the channels before the height
            instead, as PyTorch has them, or (n, pixels).
        shape: of one image, for flat rows; by default square where that goes, else (1, pixels).
        pixel_range: ends of the range that values lie in; they are taken as they are. By default
            bytes are divided by 255. Other numbers lie in the smallest that fits of [0, 1],
            [−1, 1] and [0, 255], of which the last is divided by 255 too and only meant where a
            value is above 127; else in the range from the least to the greatest value there is.
        book_scaling: bring the range to [0.01, 1], the book's input scaling.

    Raises:
        JaxbqError: shapes do not fit each other, or a value is no number or out of range.
    """
    wanted = _wanted_shape(shape)
    laid = [_laid_out(np.asarray(part), wanted) for part in parts]
    shapes = [one for _, one in laid]
    if len(set(shapes)) > 1:
        sizes = " and ".join(map(str, shapes))
        raise JaxbqError(f"training and test images must have one shape, not {sizes}")
    whole = [rows for rows, _ in laid]
    if pixel_range is None and all(rows.dtype == np.uint8 for rows in whole):
        return _from_bytes(whole, shapes[0], book_scaling)
    rows = [_as_floats(part) for part in whole]
    least = min(float(part.min()) for part in rows)
    most = max(float(part.max()) for part in rows)
    if pixel_range is None and least >= 0 and _DARKEST < most <= 255:
        rows, low, high = [part / np.float32(255) for part in rows], 0.0, 1.0
    else:
        low, high = _range(least, most, pixel_range)
    if book_scaling:
        # float64 first, so that the upper end becomes exactly 1.
        scaled = [(part.astype(np.float64) - low) / (high - low) * 0.99 + 0.01 for part in rows]
        rows, low, high = [part.astype(np.float32) for part in scaled], 0.01, 1.0
    return Pixels(rows, shapes[0], low, high)


def _wanted_shape(shape: Sequence[int]) -> tuple[int, ...]:
    wanted = tuple(shape)
    if wanted and (
        len(wanted) not in (2, 3) or min(wanted) < 1 or wanted[2:] not in ((), (1,), (3,))
    ):
        raise JaxbqError(f"shape is {list(wanted)}: write [height, width] or [height, width, 3]")
    return wanted[:2] if wanted[2:] == (1,) else wanted


def _laid_out(images: np.ndarray, wanted: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return flat rows and the shape of one image."""
    if images.dtype.kind not in "buif":
        raise JaxbqError(f"images must be numbers, not {images.dtype}")
    if images.size == 0:
        raise JaxbqError(f"there are no images: shape {images.shape}")
    if images.ndim == 2:
        pixels = images.shape[1]
        side = math.isqrt(pixels)
        shape = wanted or ((side, side) if side * side == pixels else (1, pixels))
        if math.prod(shape) != pixels:
            raise JaxbqError(f"rows of {pixels} pixels make no images of shape {shape}")
        return images, shape
    if images.ndim == 4 and images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
        images = np.moveaxis(images, 1, 3)
    if images.ndim not in (3, 4) or images.shape[3:] not in ((), (1,), (3,)):
        raise JaxbqError(
            "images must be of shape (n, height, width), (n, height, width, 1), "
            f"(n, height, width, 3) or (n, pixels), not {images.shape}"
        )
    shape = images.shape[1:] if images.shape[3:] == (3,) else images.shape[1:3]
    if wanted and wanted != shape:
        raise JaxbqError(f"images are of shape {shape}, not {wanted}")
    return images.reshape(len(images), -1), shape


def _from_bytes(parts: list[np.ndarray], shape: tuple[int, ...], book_scaling: bool) -> Pixels:
    most = max(int(part.max()) for part in parts)
    if 1 <= most <= _DIGITS_WHITE:
        white = 1 if most == 1 else _DIGITS_WHITE
        raise JaxbqError(
            f"no pixel is above {most} of 255, all images are black; if {white} means white, "
            f"give arrays pixel_range = [0, {white}]"
        )
    low = 0.01 if book_scaling else 0.0
    # A table keeps images of float64, eight times as large as the bytes, out of memory.
    values = (np.arange(256) / 255.0 * (1.0 - low) + low).astype(np.float32)
    return Pixels([values[part] for part in parts], shape, low, 1.0)


def _as_floats(images: np.ndarray) -> Float32[np.ndarray, "n pixels"]:
    with np.errstate(over="ignore", invalid="ignore"):
        rows = images.astype(np.float32)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        number = int(finite.argmin())
        raise JaxbqError(
            f"image {number} (from 0) has a value that is not finite; correct or remove it"
        )
    return rows


def _range(least: float, most: float, given: tuple[float, float] | None) -> tuple[float, float]:
    if given is not None:
        low, high = map(float, given)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise JaxbqError(f"pixel_range is [{low:g}, {high:g}]: the first must be the smaller")
        room = _TOLERANCE * (high - low)
        if least < low - room or most > high + room:
            raise JaxbqError(
                f"pixels go from {least:g} to {most:g}, beyond the pixel_range [{low:g}, {high:g}]"
            )
        return low, high
    if least >= 0 and most <= 1:
        return 0.0, 1.0
    if least >= -1 and most <= 1:
        return -1.0, 1.0
    if least == most:
        raise JaxbqError(f"every pixel is {least:g}: all images are the same")
    return least, most
