"""One writer at a time in a folder. The system itself unlocks it when a process dies."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import JaxbqError
from ..runtime.files import named_faults

_NAME = ".lock"
_MOST_BYTES = 1000


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
        handle, held = _take(path, wait)
    try:
        if held:
            with named_faults(path):
                os.ftruncate(handle, 0)
                os.write(handle, _holder().encode())
        yield held
    finally:
        try:
            # Removed while it is held, so that nobody's but one's own goes; Windows removes none
            # that is open, and one left there does no harm.
            if held:
                with contextlib.suppress(OSError):
                    path.unlink()
        finally:
            os.close(handle)


def _take(path: Path, wait: bool) -> tuple[int, bool]:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            held = _lock(handle, wait)
            # Its last holder may have removed the file after it was opened here, and somebody else
            # have made another since: only a lock on the file of this name counts.
            if not held or _is_at(handle, path):
                return handle, held
        except BlockingIOError:
            os.lseek(handle, 0, os.SEEK_SET)
            who = os.read(handle, _MOST_BYTES).decode(errors="replace")
            os.close(handle)
            raise JaxbqError(
                f"{path.parent}: another run{f' ({who})' if who else ''} uses this folder; "
                "wait for it, or run with --out elsewhere"
            ) from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _holder() -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"pid {os.getpid()} on {socket.gethostname()}, since {since}"


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int, wait: bool) -> bool:
        """Lock a byte far behind the text, which others must be able to read."""
        while True:
            os.lseek(handle, 2**30, os.SEEK_SET)
            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            except PermissionError:
                if not wait:
                    raise BlockingIOError from None
                time.sleep(0.1)
            else:
                os.lseek(handle, 0, os.SEEK_SET)
                return True

else:
    import fcntl

    def _lock(handle: int, wait: bool) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            return False  # such a file system; files are still written whole
        return True
