"""The parts of a benchmark: each measures some cases, one after another."""

from collections.abc import Callable, Iterator

from ..options import PartName
from ..record import Case
from ..session import Session
from .ascent import ascent, sweep
from .methods import methods
from .target import target
from .training import training

MEASURED: dict[PartName, Callable[[Session], Iterator[Case]]] = {
    "training": training,
    "ascent": ascent,
    "methods": methods,
    "target": target,
    "batch": lambda session: sweep(session, "batch"),
    "width": lambda session: sweep(session, "width"),
    "depth": lambda session: sweep(session, "depth"),
    "image": lambda session: sweep(session, "image"),
}
