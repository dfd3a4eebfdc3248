"""MNIST in full: the IDX format, checksums, public mirrors, its place in the cache."""

import contextlib
import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from ..errors import JaxbqError
from ..runtime.archives import MAX_RATIO, RATIO_FROM
from ..runtime.cache import cache_folder
from ..runtime.files import make_folder

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
    # A named pipe would keep us waiting for somebody to write into it.
    if path.exists() and not path.is_file():
        raise JaxbqError(f"{path}: is not a regular file")
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


# Two public mirrors of the original files; the site that first published them is gone.
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# sha256 of the decompressed bytes: mirrors compress differently.
_FILES = {
    "training images": (
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "training labels": (
        "train-labels-idx1-ubyte",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "test images": (
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "test labels": (
        "t10k-labels-idx1-ubyte",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
_TIMEOUT_S = 30
_CHUNK = 2**20
_LONGEST = 60_000 * 784 + 16


def verify(role: str, path: Path) -> None:
    """Check the decompressed bytes of one file against the published sha256.

    Raises:
        JaxbqError: the file is damaged or is not MNIST's.
    """
    name, expected = _FILES[role]
    digest, length = hashlib.sha256(), 0
    with open_plain(path) as stream:
        # Bounded: a decompression bomb stops at the length of the real file.
        while length <= _LONGEST and (chunk := stream.read(_CHUNK)):
            digest.update(chunk)
            length += len(chunk)
    if digest.hexdigest() != expected:
        raise JaxbqError(
            f"{path}: checksum mismatch, not MNIST's {name}; fetch it again, "
            'or read other data with kind = "idx"'
        )


def cached_folder(mirrors: Sequence[str]) -> Path:
    """Return the cache folder with the four files, downloading those that are missing.

    Args:
        mirrors: addresses to try in order; empty to download nothing.

    Raises:
        JaxbqError: a file is missing and no mirror gave it.
    """
    folder = cache_folder() / "mnist"
    for role, (name, _) in _FILES.items():
        path = folder / f"{name}.gz"
        if not path.exists():
            _download(role, path, mirrors)
    return folder


def _download(role: str, path: Path, mirrors: Sequence[str]) -> None:
    """Fetch one file from the first mirror that has it; it gets its name once it is verified."""
    import pooch
    import requests

    make_folder(path.parent)
    arriving = path.with_name(f".{path.name}.{os.getpid()}.part")
    failures = []
    for mirror in mirrors:
        try:
            # pooch checks what arrives over the wire by the compressed bytes, which differ by
            # mirror; `verify` checks the decompressed ones.
            pooch.HTTPDownloader(timeout=_TIMEOUT_S)(mirror + path.name, str(arriving), None)
            verify(role, arriving)
            arriving.replace(path)
            return
        except (requests.RequestException, OSError, JaxbqError) as fault:
            reason = "checksum mismatch" if "checksum" in str(fault) else type(fault).__name__
            failures.append(f"{mirror}: {reason}")
        finally:
            arriving.unlink(missing_ok=True)
    tried = f" (tried {'; '.join(failures)})" if failures else ""
    raise JaxbqError(
        f"no {path.name} in {path.parent}{tried}; put MNIST's four files in a folder and name it "
        'with JAXBQ_DATA or data.path, or use the embedded kind = "mnist-10k"'
    )
