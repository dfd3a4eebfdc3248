"""Who hears how a run goes."""

from typing import Protocol, runtime_checkable

from ..training import EpochMetrics


@runtime_checkable
class Listener(Protocol):
    """Who hears how a run goes."""

    def say(self, text: str) -> None:
        """Hear one line."""
        ...

    def epoch(self, metrics: EpochMetrics, epochs: int, name: str = "training") -> None:
        """Hear that an epoch of ``epochs`` has ended, and of what."""
        ...

    def progress(self, what: str, done: int, total: int) -> None:
        """Hear how far something is."""
        ...
