"""The parts of a benchmark: each measures some cases, one after another."""

from collections.abc import Callable, Iterator
from typing import Any

from ..options import PartName
from ..session import Session
from .ascent import ascent as ascent
from .book import book as book
from .memory import memory as memory
from .methods import methods as methods
from .sweeps import batch as batch
from .sweeps import depth as depth
from .sweeps import image as image
from .sweeps import width as width
from .target import target as target
from .training import training as training

Part = Callable[[Session], Iterator[dict[str, Any]]]

PARTS: dict[PartName, Part] = {
    "training": training,
    "book": book,
    "ascent": ascent,
    "methods": methods,
    "target": target,
    "batch": batch,
    "width": width,
    "depth": depth,
    "image": image,
    "memory": memory,
}
