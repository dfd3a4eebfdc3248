"""Writing files so that a final name never holds a half-written one."""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from ..errors import JaxbqError

if TYPE_CHECKING:
    import numpy as np

_LEFTOVER = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp(\.[^.]+)?")
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def named_faults(path: Path) -> Iterator[None]:
    """Turn what the system says against writing ``path`` into a :class:`JaxbqError`."""
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or str(fault)
        advice = "make room and try again" if fault.errno in _FULL else "choose another place"
        raise JaxbqError(f"cannot write {path}: {reason}; {advice}") from fault


def make_folder(path: Path) -> Path:
    """Create a folder and its parents; a :class:`JaxbqError` says why it cannot be made."""
    with named_faults(path):
        path.mkdir(parents=True, exist_ok=True)
        # mkdir succeeds on an existing read-only folder; the first real write would fail too late.
        with TemporaryFile(dir=path):
            pass
    return path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it into place.

    When this returns, the file is on the disk; of two files, the second is there after a power
    loss only if the first is.

    Args:
        path: the final name. Its folder must exist.
        write: is given the temporary path, which has the suffix of ``path`` (writers such as
            matplotlib and NumPy choose the format by it).

    Raises:
        JaxbqError: the folder is missing, not writable or full. The old file, if any, stays.
    """
    # No two writers have one name; the leading dot keeps the file out of globs.
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.stem}.{unique}.tmp{path.suffix}")
    with named_faults(path):
        try:
            write(temporary)
            # Windows syncs only what is open for writing.
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """Bring renames in a folder to the disk, where the system can."""
    # Windows opens no folders, and some file systems sync none; the file itself is safe there.
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed writers left in a folder and below.

    Nobody else may be writing there.

    Raises:
        JaxbqError: one cannot be removed.
    """
    for path in list(folder.rglob(".*")):
        if _LEFTOVER.fullmatch(path.name) and path.is_file():
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, if there is one; a :class:`JaxbqError` says why it cannot be done."""
    with named_faults(path):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def load_npz(path: Path) -> "dict[str, np.ndarray]":
    """Load arrays by name from a file of our own; NumPy and zipfile raise what they like."""
    import numpy as np

    # Given a path, NumPy would leave a damaged file open.
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def write_npz(path: Path, arrays: "dict[str, np.ndarray]") -> None:
    """Write arrays by name, atomically, as an uncompressed npz."""
    import numpy as np

    def write(temporary: Path) -> None:
        # Through a handle: given a name, NumPy would append .npz to one without it.
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    write_atomically(path, write)
