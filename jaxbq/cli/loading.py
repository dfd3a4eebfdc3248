"""Importing what is heavy, once in a process."""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def unswept(heavy: str) -> Iterator[None]:
    """Import meanwhile, ``heavy`` among others, without a look for garbage.

    Modules are none; Python would look through all that is imported again and again, which takes a
    seventh of the time. Afterwards it leaves them alone for good.
    """
    if heavy in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
