"""The IDX format of MNIST: a big-endian header (type, rank, sizes), then the values.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
"""

import contextlib
import gzip
import math
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from ..errors import JaxbqError
from ..runtime.archives import MAX_RATIO, RATIO_FROM

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_BYTES = 4 * 2**30
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file, plain or gzip.

    Args:
        path: the file. Compression is recognised by content, not by name.

    Returns:
        An array with the shape and type that the header names, in native byte order.

    Raises:
        JaxbqError: the file is missing, is not IDX, or is shorter or longer than its header says.
    """
    with open_plain(path) as stream:
        return _parse(path, stream)


@contextlib.contextmanager
def open_plain(path: Path) -> Iterator[BufferedIOBase]:
    """Open a file, plain or gzip, for reading its decompressed bytes.

    Raises:
        JaxbqError: it is missing or damaged, also when that shows only while reading.
    """
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if compressed:
                with gzip.open(raw) as stream:
                    yield stream
            else:
                yield raw
    except FileNotFoundError:
        raise JaxbqError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as fault:
        raise JaxbqError(f"{path}: cannot be read ({fault}); copy it again") from fault


def _parse(path: Path, stream: BufferedIOBase) -> np.ndarray:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or magic[3] == 0:
        raise JaxbqError(
            f"{path}: not an IDX file (it begins with {magic.hex() or 'nothing'}, "
            "an IDX file of bytes with 0000080n)"
        )
    dtype, rank = np.dtype(_TYPES[magic[2]]), magic[3]
    header = stream.read(4 * rank)
    if len(header) < 4 * rank:
        raise JaxbqError(f"{path}: truncated in its header; copy it again")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4"))
    # Python integers: a header that lies about its sizes must not overflow into a small product.
    expected = math.prod(shape) * dtype.itemsize
    # Not even of an array without values may the other sizes be beyond all bounds.
    claimed = math.prod(max(n, 1) for n in shape) * dtype.itemsize
    # Images of digits pack to a tenth: a small file that unpacks to gigabytes is a bomb.
    if claimed > min(_MAX_BYTES, max(RATIO_FROM, MAX_RATIO * path.stat().st_size)):
        raise JaxbqError(f"{path}: its header claims {claimed:,} bytes, more than jaxbq reads")
    body = stream.read(expected + 1)
    if len(body) != expected:
        fault = "truncated" if len(body) < expected else "longer than its header says"
        raise JaxbqError(f"{path}: {fault} (shape {shape} needs {expected:,} bytes of values)")
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="))
