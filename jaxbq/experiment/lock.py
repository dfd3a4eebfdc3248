"""One writer at a time in a folder. The system itself unlocks it when a process dies."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import JaxbqError
from ..runtime.files import named_faults

_NAME = ".lock"
_MOST_SHOWN = 200
_RETRIED = 0.2  # seconds: its last holder may have removed the file after it was opened here


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock of a folder: the file ``.lock`` in it, which says who does.

    It is gone afterwards. Where a process was killed the file stays, and locks nothing.

    Args:
        folder: must exist.
        wait: until another process has let go, instead of refusing.

    Yields:
        Whether it is held; False on a file system without locks.

    Raises:
        JaxbqError: another process holds it, and which; or the file cannot be written.
    """
    path = folder / _NAME
    with named_faults(path):
        path.touch()
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=-1 if wait else _RETRIED)
    except Timeout:
        who = ""
        with contextlib.suppress(OSError):
            who = path.read_text(errors="replace")[:_MOST_SHOWN]
        raise JaxbqError(
            f"{folder}: another run{f' ({who})' if who else ''} uses this folder; "
            "wait for it, or run with --out elsewhere"
        ) from None
    except OSError:
        yield False  # such a file system; files are still written whole
        return
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        # Windows lets nobody else write, or read, what is locked.
        with contextlib.suppress(OSError):
            path.write_text(f"pid {os.getpid()} on {socket.gethostname()}, since {since}")
        yield True
    finally:
        # Removed while it is held, so that nobody's but one's own goes; Windows removes none that
        # is open, and one left there does no harm.
        try:
            with contextlib.suppress(OSError):
                path.unlink()
        finally:
            lock.release()
