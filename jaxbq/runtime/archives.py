"""Untrusted NumPy files: never unpickled, and measured before they are read."""

import contextlib
import math
import zipfile
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import cast

import numpy as np

from ..errors import JaxbqError

_MAX_MEMBERS = 4096
# Arrays of numbers pack to a tenth, blank ones to a thousandth: a small file that unpacks to
# gigabytes is a bomb.
MAX_RATIO, RATIO_FROM = 200, 2**26


def read_npz(path: Path, most: int) -> dict[str, np.ndarray]:
    """Read all arrays of an ``.npz`` file, in its order.

    Args:
        path: the file.
        most: bytes that they may take in all.

    Raises:
        JaxbqError: it is missing, damaged or too large, lies about its shapes, or holds Python
            objects.
    """
    with open_archive(path, most) as archive:
        arrays, left = {}, most
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                raise JaxbqError(
                    f"{path}: {info.filename!r} in it is no array; save it by np.savez"
                )
            with archive.open(info) as member:
                stream = cast(BufferedIOBase, member)
                name = info.filename.removesuffix(".npy")
                arrays[name] = _read(f"{path}: array {name!r}", stream, info.file_size, left)
            left -= arrays[name].nbytes
        return arrays


def read_npy(path: Path, most: int) -> np.ndarray:
    """Read the array of an ``.npy`` file; see :func:`read_npz`."""
    with _one_line(path), path.open("rb") as stream:
        return _read(str(path), stream, path.stat().st_size, most)


@contextlib.contextmanager
def open_archive(path: Path, most: int) -> Iterator[zipfile.ZipFile]:
    """Open a zip file whose members are no larger, unpacked, than ``most`` bytes in all.

    Raises:
        JaxbqError: it is missing, damaged or too large; also when that shows only while reading.
    """
    with _one_line(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > _MAX_MEMBERS:
            raise JaxbqError(f"{path}: holds {len(members):,} files, more than jaxbq reads")
        total = sum(info.file_size for info in members)
        if total > min(most, max(RATIO_FROM, MAX_RATIO * path.stat().st_size)):
            raise JaxbqError(f"{path}: unpacks to {total:,} bytes, more than jaxbq reads")
        if len({info.filename for info in members}) < len(members):
            raise JaxbqError(f"{path}: holds two files of one name")
        if any(info.flag_bits & 1 for info in members):
            raise JaxbqError(f"{path}: is encrypted; unpack it first")
        yield archive


@contextlib.contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        # A named pipe would keep us waiting for somebody to write into it.
        if path.exists() and not path.is_file():
            raise JaxbqError(f"{path}: is not a regular file")
        yield
    except JaxbqError:
        raise
    except FileNotFoundError:
        raise JaxbqError(f"{path}: no such file") from None
    except OSError as fault:
        raise JaxbqError(f"{path}: cannot be read ({fault.strerror or fault})") from None
    # What zipfile and NumPy's parser of headers raise on damaged files is not a closed list.
    except Exception as fault:
        reason = str(fault).splitlines()[0][:200] if str(fault) else type(fault).__name__
        raise JaxbqError(f"{path}: cannot be read ({reason}); copy or save it again") from None


def _read(name: str, stream: BufferedIOBase, size: int, most: int) -> np.ndarray:
    """Read one array, once its header is known to be true and small enough."""
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise JaxbqError(f"{name}: is of npy version {version}, which jaxbq does not read")
    shape, fortran, dtype = readers[version](stream)
    if dtype.hasobject:
        raise JaxbqError(
            f"{name}: holds Python objects, which are never loaded; save "
            "plain arrays, each by its name: np.savez(file, W0=…, b0=…)"
        )
    needed = math.prod(shape) * dtype.itemsize
    if any(n < 0 for n in shape) or needed > size:
        raise JaxbqError(f"{name}: says shape {shape}, {needed:,} bytes, but holds {size:,}")
    if needed > most:
        raise JaxbqError(f"{name}: {needed:,} bytes are more than jaxbq reads")
    content = stream.read(needed)
    if len(content) < needed:
        raise JaxbqError(f"{name}: is truncated; copy it again")
    flat = np.frombuffer(content, dtype) if needed else np.empty(math.prod(shape), dtype)
    # A copy, which owns its memory and can be written.
    return flat.reshape(shape, order="F" if fortran else "C").copy()
