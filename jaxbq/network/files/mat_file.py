"""Arrays of numbers in MATLAB's files of version 5 to 7.

By hand, for SciPy's reader leads C code out of bounds on a file with one damaged byte. Format:
MathWorks, "MAT-File Format".
"""

import math
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ...errors import JaxbqError
from ...runtime.archives import MAX_RATIO, RATIO_FROM
from .chains import Orientation, part_name
from .found import MOST_BYTES, Found
from .numpy_file import from_arrays

# How values are stored, and what classes of arrays hold numbers: double, single, whole numbers.
_STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC = range(6, 16)
_COMPLEX = 0x800
_MOST_ARRAYS = 4096


def read_mat(path: Path, orientation: Orientation | None, inputs: int | None) -> Found:
    """Read the arrays of a MATLAB file, like ``Theta1`` and ``Theta2`` of Ng's course.

    Raises:
        JaxbqError: it is damaged, too large, or holds no chain of layers.
    """
    if path.stat().st_size > MOST_BYTES:
        raise JaxbqError(f"{path}: larger than jaxbq reads")
    content = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or len(content) < 136 or content[124:126] not in (b"\0\x01", b"\x01\0"):
        raise JaxbqError(f"{path}: no MATLAB file of version 5 to 7; save it by save -v7")
    arrays: dict[str, np.ndarray] = {}
    left = min(MOST_BYTES, max(RATIO_FROM, MAX_RATIO * len(content)))
    try:
        for element in _elements(content[128:], order):
            kind, body = element
            if kind == _COMPRESSED:
                unpacked = zlib.decompressobj().decompress(body, left)
                kind, body = next(_elements(unpacked, order))
            left -= len(body)
            if left <= 0 or len(arrays) > _MOST_ARRAYS:
                raise JaxbqError(f"{path}: unpacks to more than jaxbq reads")
            if kind == _MATRIX:
                arrays |= _array(body, order)
    except (ValueError, zlib.error, StopIteration):
        raise JaxbqError(f"{path}: is damaged; copy or save it again") from None
    own = {
        name: array if array.size > 1 or _is_layers(name, arrays) else array.reshape(())
        for name, array in arrays.items()
    }
    return from_arrays("MATLAB arrays", own, str(path), orientation, inputs)


def _is_layers(name: str, arrays: Mapping[str, np.ndarray]) -> bool:
    """Tell whether a single number, which MATLAB keeps as a matrix, is a layer's and no setting."""

    def stem(name: str) -> str:
        return re.sub(r"\d", "", name)

    alike = (array for other, array in arrays.items() if stem(other) == stem(name))
    return part_name(name) or any(array.size > 1 for array in alike)


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """List (kind, bytes) of what follows one after the other."""
    at = 0
    while at < len(content):
        kind, size = _two(content[at : at + 8], order)
        start, end = at + 8, at + 8 + size
        if kind >> 16:  # up to four bytes are kept in the tag itself
            kind, size = kind & 0xFFFF, kind >> 16
            start, end = at + 4, at + 4 + size
            if size > 4:
                raise ValueError
        if end > len(content):
            raise ValueError
        yield kind, content[start:end]
        at = end if kind == _COMPRESSED else -(-end // 8) * 8


def _two(content: bytes, order: str) -> tuple[int, int]:
    one, two = np.frombuffer(content, f"{order}u4").tolist()
    return one, two


def _array(content: bytes, order: str) -> dict[str, np.ndarray]:
    """Read an array of real numbers and its name; nothing of any other kind."""
    parts = _elements(content, order)
    flags = _two(next(parts)[1], order)[0]
    if flags & 0xFF not in _NUMERIC or flags & _COMPLEX:
        return {}
    shape = tuple(np.frombuffer(next(parts)[1], f"{order}i4").tolist())
    name = next(parts)[1].decode("ascii")
    kind, body = next(parts)
    if kind not in _STORED or min(shape, default=-1) < 0 or len(shape) > 8:
        raise ValueError
    values = np.frombuffer(body, order + _STORED[kind])
    if values.size != math.prod(shape):
        raise ValueError
    # Small whole numbers stand for a double where they can.
    wanted = {6: "f8", 7: "f4"}.get(flags & 0xFF, values.dtype.newbyteorder("="))
    return {name: values.reshape(shape, order="F").astype(wanted)}
