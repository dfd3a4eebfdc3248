"""A line that says that the command has begun, until it has something to show.

JAX takes seconds to load; this needs nothing but Python.
"""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def announced() -> Iterator[None]:
    """Say in a terminal that JAX is being loaded, and leave no trace of that afterwards."""
    _write("loading JAX …\r")
    try:
        yield
    finally:
        erase()


def erase() -> None:
    """Take the line away: there is something to show."""
    _write("\r\x1b[2K")


def _write(text: str) -> None:
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        sys.stdout.write(text)
        sys.stdout.flush()
