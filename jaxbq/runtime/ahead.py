"""What is needed later, made in another thread meanwhile."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar

_STOP: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


class Stopped(Exception):  # noqa: N818 - no error: nobody waits for it any more
    """Nobody needs what was being made ahead."""


@contextlib.contextmanager
def made_ahead(tasks: Iterable[Callable[[], object]]) -> Iterator[None]:
    """Do tasks one after another in a thread, until they are done or the block ends.

    What they make has to be kept where the block finds it, as :meth:`Reference.once` does. One that
    fails is left to the block, which meets the same fault where it needs the result.

    Args:
        tasks: what to do; long ones call :func:`check_wanted` from time to time.
    """
    stop = threading.Event()

    def work() -> None:
        _STOP.set(stop)
        for task in tasks:
            # Whatever it is: the block will be told.
            with contextlib.suppress(Exception):
                check_wanted()
                task()

    thread = threading.Thread(target=work, name="jaxbq ahead", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def check_wanted() -> None:
    """Stop here, in a thread that makes something ahead, once the block has ended.

    Raises:
        Stopped: it has.
    """
    stop = _STOP.get()
    if stop is not None and stop.is_set():
        raise Stopped
