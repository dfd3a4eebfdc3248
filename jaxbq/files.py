"""Writing files so that a final name never holds a half-written one."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import JaxbqError


@contextlib.contextmanager
def _named_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise JaxbqError(f"cannot write {path}: {reason}; choose another place") from fault


def make_folder(path: Path) -> Path:
    """Create a folder and its parents; a :class:`JaxbqError` says why it cannot be made."""
    with _named_faults(path):
        path.mkdir(parents=True, exist_ok=True)
        # mkdir succeeds on an existing read-only folder; the first real write would fail too late.
        with tempfile.TemporaryFile(dir=path):
            pass
    return path


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it into place.

    Args:
        path: the final name. Its folder must exist.
        write: is given the temporary path, which has the suffix of ``path`` (writers such as
            matplotlib and NumPy choose the format by it).

    Raises:
        JaxbqError: the folder is missing, not writable or full. The old file, if any, stays.
    """
    # The process number keeps two writers apart; the leading dot keeps the file out of globs.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    with _named_faults(path):
        try:
            write(temporary)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomically(path, lambda temporary: _write_text(temporary, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
