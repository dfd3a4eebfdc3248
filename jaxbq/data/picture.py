"""One image file of the user's: as it is, or as a row of pixels for a network."""

import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float64, UInt8

from ..errors import JaxbqError
from ..runtime.archives import read_npy
from .dataset import ImageSpace
from .labels import brief, shown

if TYPE_CHECKING:
    from PIL.Image import Image

Ink = Literal["bright", "dark"]
_FORMATS = ("PNG", "JPEG")
_MOST_PIXELS = 2**26  # more than a camera's; decoded, 256 MiB
_MOST_BYTES = 2**28


def read_picture(
    path: Path, *, grey: bool = True, ink: Ink = "bright", size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "height width *channels"]:
    """Read an image file.

    Args:
        path: the file. What format it is in is seen by its content.
        grey: give grey values, shape (height, width); else red, green and blue,
            (height, width, 3).
        ink: what is drawn with: ``dark`` images are turned into their negative. Where an image is
            transparent it shows the paper, black for bright ink, white for dark ink.
        size: (height, width) to resize to, without keeping the proportions.

    Raises:
        JaxbqError: it is no regular file, no PNG or JPEG, damaged, or too large.
    """
    from PIL import Image

    name = shown(path)
    # Not blocking: a named pipe would keep us waiting for somebody to write into it.
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as fault:
        raise JaxbqError(f"{name}: cannot be read ({fault.strerror})") from None
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise JaxbqError(f"{name}: is a folder; name an image file")
    with os.fdopen(descriptor, "rb") as file, warnings.catch_warnings():
        # Pillow's own warnings are about sizes, checked below, and about odd metadata.
        warnings.simplefilter("ignore")
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            raise JaxbqError(f"{name}: not a file, or larger than 256 MiB; remove it")
        try:
            with Image.open(file, formats=_FORMATS) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise Image.DecompressionBombError
                return _decode(image, grey, ink, size)
        except Image.DecompressionBombError:
            raise JaxbqError(
                f"{name}: has more pixels than jaxbq reads, {_MOST_PIXELS:,}"
            ) from None
        except Image.UnidentifiedImageError:
            raise JaxbqError(f"{name}: neither PNG nor JPEG; convert it or remove it") from None
        # What its decoders raise on damaged files is not a closed list.
        except Exception as fault:
            reason = brief(str(fault) or type(fault).__name__)
            raise JaxbqError(f"{name}: damaged ({reason}); copy it again") from fault


def _decode(
    image: "Image", grey: bool, ink: Ink, size: tuple[int, int] | None
) -> UInt8[np.ndarray, "height width *channels"]:
    from PIL import Image, ImageOps

    # Cameras write how they were held instead of turning the image.
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        # 16 bits a pixel, which Pillow would cut off at 255.
        deep = np.asarray(upright).astype(np.int64)
        upright = Image.fromarray(((deep * 255 + 32767) // 65535).astype(np.uint8))
    if upright.has_transparency_data:
        paper = Image.new("RGBA", upright.size, "white" if ink == "dark" else "black")
        upright = Image.alpha_composite(paper, upright.convert("RGBA"))
    upright = upright.convert("L" if grey else "RGB")
    if size is not None and size != (upright.height, upright.width):
        upright = upright.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    values = np.asarray(upright)
    return 255 - values if ink == "dark" else values.copy()


def read_row(
    path: Path, space: ImageSpace, ink: Ink | None, say: Callable[[str], None]
) -> Float64[np.ndarray, " pixels"]:
    """Read an image for a network.

    Args:
        path: an image file, which is resized where its size differs, or an ``.npy`` file with
            the pixels as numbers; bytes go over the whole pixel range.
        space: what the network takes.
        ink: what is drawn with, as :func:`read_picture` takes it; bright where it is None.
        say: is told what was resized, and what is doubtful.

    Raises:
        JaxbqError: it cannot be read, or is no image that the network takes.
    """
    if path.suffix.lower() == ".npy":
        values = read_npy(path, 64 * space.pixels + 4096)
        if values.size != space.pixels or values.dtype.kind not in "biuf":
            raise JaxbqError(
                f"{path}: has {values.size} values of type {values.dtype}, but the network takes "
                f"{space.pixels} numbers"
            )
    else:
        if len(space.shape) < 2:
            raise JaxbqError(
                f"{path}: the network takes no pictures; give the numbers as an .npy file"
            )
        size, ink = (space.shape[0], space.shape[1]), ink or "bright"
        grey = space.shape[2:] != (3,)
        raw = read_picture(path, grey=grey, ink=ink).shape
        if raw[:2] != size:
            say(f"resized from {raw[0]} × {raw[1]} to {size[0]} × {size[1]} pixels")
        values = read_picture(path, grey=grey, ink=ink, size=size)
    row = values.reshape(-1).astype(np.float64)
    if values.dtype == np.uint8:
        row = space.low + row / 255 * (space.high - space.low)
    if not ((row >= space.low) & (row <= space.high)).all():
        raise JaxbqError(
            f"{path}: pixels go from {row.min():g} to {row.max():g}, beyond the network's range "
            f"[{space.low:g}, {space.high:g}]; rescale them"
        )
    if row.mean() > (space.low + space.high) / 2:
        say("note: the image is mostly bright; for a network trained on bright strokes, invert it")
    return row
