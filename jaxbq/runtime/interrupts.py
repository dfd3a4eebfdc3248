"""Ctrl-C that is not lost.

Python drops an exception that comes up inside a finaliser or a weak reference's callback, and
Ctrl-C may come up anywhere. So it is noted too, and raised again at the next word of progress.
"""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any, NoReturn

_noted = False


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Note Ctrl-C while it holds; off the main thread, where none arrives, do nothing."""
    global _noted  # noqa: PLW0603
    _noted = False
    try:
        before = signal.signal(signal.SIGINT, _note)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        _noted = False
        signal.signal(signal.SIGINT, before)


def check() -> None:
    """Raise KeyboardInterrupt if there was a Ctrl-C."""
    if _noted:
        raise KeyboardInterrupt


def _note(number: int, frame: Any) -> NoReturn:
    global _noted  # noqa: PLW0603
    _noted = True
    raise KeyboardInterrupt
