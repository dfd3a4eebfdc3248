"""Images as tiny PNG files inside the page, each once, however often it is shown."""

import base64
import io
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from ...data import ImageSpace
from ..drawing import as_bytes, check_drawable, proportion

# What an <img> holds whose picture is in the style sheet: one transparent pixel.
BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


class Pictures:
    """The pictures of a page.

    Args:
        space: shape of every image and the pixel range.

    Raises:
        JaxbqError: such images cannot be drawn.
    """

    def __init__(self, space: ImageSpace):
        check_drawable(space)
        self.space = space
        self._names: dict[bytes, str] = {}
        self.size = 0
        """Characters that the pictures take so far."""

    def add(self, image: Float[np.ndarray, " pixels"]) -> str:
        """Take an image in, unless one that looks alike is in.

        Returns:
            The name of its rule in the style sheet.
        """
        content = png(as_bytes(image, self.space))
        if content not in self._names:
            self._names[content] = f"i{len(self._names)}"
            self.size += 4 * -(-len(content) // 3)
        return self._names[content]

    def rules(self) -> Iterator[tuple[str, str]]:
        """Give the name and the data URI of every picture."""
        for content, name in self._names.items():
            yield name, data_uri(content, "image/png")

    @property
    def ratio(self) -> str:
        """Width of a picture by its height, as a style sheet says it."""
        return f"1 / {proportion(self.space):.4g}"


def png(picture: UInt8[np.ndarray, "height width *channels"]) -> bytes:
    """Write bytes as a PNG file, grey or in colour; the same bytes give the same file."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "png", optimize=False)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Write a file as an address that holds all of it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
