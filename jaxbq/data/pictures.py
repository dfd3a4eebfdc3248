"""One image file of a stranger's, PNG or JPEG: measured before it is decoded."""

import os
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import UInt8

from ..errors import JaxbqError
from .names import brief, shown

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
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
    with os.fdopen(descriptor, "rb") as file, warnings.catch_warnings():
        # Pillow's own warnings are about sizes, checked below, and about odd metadata.
        warnings.simplefilter("ignore")
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            raise JaxbqError(f"{name}: no file, or one of more than 256 MiB; take it away")
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
            raise JaxbqError(f"{name}: neither PNG nor JPEG; convert it or take it away") from None
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
