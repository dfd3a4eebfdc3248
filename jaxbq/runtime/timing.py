"""Where the time of a person goes: seconds of a call or of a command, and those of compiling."""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Protocol

import jax

_COMPILED = "/jax/core/compile/backend_compile_duration"
_COMPILING = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    _COMPILED,
)


class _Watch(Protocol):
    def hear(self, seconds: float, *, program: bool) -> None:
        """Hear that JAX has compiled for so long until now, and whether that ended a program."""


# Of this thread: what another compiles meanwhile is no part of the time that is waited for here.
_WATCHES: ContextVar[tuple[_Watch, ...]] = ContextVar("watches", default=())


class _Spans:
    """Spans of time that may lie within each other: a program's trace has those of its parts."""

    def __init__(self) -> None:
        self._found: list[tuple[float, float]] = []

    def add(self, seconds: float) -> float:
        """Add a span that ends now; return the seconds of it that were not counted before."""
        begin, new = time.perf_counter() - seconds, seconds
        while self._found and self._found[-1][0] >= begin:
            new -= self._found.pop()[1]
        self._found.append((begin, seconds))
        return new


class Stopwatch:
    """Context manager: seconds in all, seconds of them spent compiling, and programs compiled."""

    def __init__(self) -> None:
        self.total = self.compiling = 0.0
        self.programs = 0
        self._spans = _Spans()

    def __enter__(self) -> "Stopwatch":
        self._before = _WATCHES.set((*_WATCHES.get(), self))
        self._begun = time.perf_counter()
        return self

    def __exit__(self, *fault: object) -> None:
        self.total = time.perf_counter() - self._begun
        self.compiling = min(self.compiling, self.total)
        _WATCHES.reset(self._before)

    def hear(self, seconds: float, *, program: bool) -> None:
        """Count what was compiled until now."""
        self.compiling += self._spans.add(seconds)
        self.programs += program


class Timing:
    """Seconds that somebody waits for, each counted in one phase alone.

    What an outer one has counted until now, such as imports, goes over to the new one.

    Args:
        phase: that what belongs to no other is counted in.
        since: when it began, on the clock of :func:`time.perf_counter`; by default now.
    """

    def __init__(self, phase: str = "rest", since: float | None = None) -> None:
        outer = _timing()
        self._seconds: dict[str, float] = outer._taken() if outer else {}
        self._phases = [phase]
        self._since = time.perf_counter() if since is None else since
        self._spans = _Spans()

    def enter(self, phase: str) -> None:
        """Begin a phase; what it is part of waits."""
        self._count()
        self._phases.append(phase)

    def leave(self) -> None:
        """End the phase that was begun last."""
        self._count()
        self._phases.pop()

    def hear(self, seconds: float, *, program: bool) -> None:
        """Count what was compiled until now as ``compile``, and not in the phase that needed it."""
        new = self._spans.add(seconds)
        self._add("compile", new)
        self._add(self._phases[-1], -new)

    def so_far(self) -> dict[str, float]:
        """Return the seconds of each phase until now, the longest first."""
        self._count()
        found = sorted(self._seconds.items(), key=lambda each: -each[1])
        return {name: round(max(seconds, 0.0), 3) for name, seconds in found}

    def _taken(self) -> dict[str, float]:
        self._count()
        found, self._seconds = self._seconds, {}
        return found

    def _count(self) -> None:
        now = time.perf_counter()
        self._add(self._phases[-1], now - self._since)
        self._since = now

    def _add(self, phase: str, seconds: float) -> None:
        self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds


@contextlib.contextmanager
def timed(timing: Timing) -> Iterator[Timing]:
    """Count the phases of this thread in ``timing``, and in no other meanwhile."""
    outer = _timing()
    others = tuple(watch for watch in _WATCHES.get() if watch is not outer)
    before = _WATCHES.set((*others, timing))
    try:
        yield timing
    finally:
        _WATCHES.reset(before)
        if outer:
            outer._since = time.perf_counter()


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """Count what is done meanwhile as this phase, where somebody counts."""
    timing = _timing()
    if timing is None:
        yield
        return
    timing.enter(name)
    try:
        yield
    finally:
        timing.leave()


def _timing() -> Timing | None:
    return next((watch for watch in _WATCHES.get() if isinstance(watch, Timing)), None)


def _heard(event: str, duration_secs: float, **_: str | int) -> None:
    if event in _COMPILING:
        for watch in _WATCHES.get():
            watch.hear(duration_secs, program=event == _COMPILED)


# JAX has no public way to take a listener back: one for all.
jax.monitoring.register_event_duration_secs_listener(_heard)
