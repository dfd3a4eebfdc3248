"""Telling compilation from computation, by what JAX itself reports of its compilations."""

import time
from types import TracebackType
from typing import Any

import jax

_COMPILATION = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)
_running: list["Stopwatch"] = []


class Stopwatch:
    """Context manager: seconds in all, seconds of them spent compiling, and programs compiled."""

    def __init__(self) -> None:
        self.total = 0.0
        self.compiling = 0.0
        self.programs = 0

    def __enter__(self) -> "Stopwatch":
        _running.append(self)
        self._begun = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.total = time.perf_counter() - self._begun
        # Nested traces report their time twice; never more than there was.
        self.compiling = min(self.compiling, self.total)
        _running.remove(self)


def _listen(event: str, duration_secs: float, **_: Any) -> None:
    if event in _COMPILATION:
        for watch in _running:
            watch.compiling += duration_secs
            watch.programs += event == _COMPILATION[-1]


jax.monitoring.register_event_duration_secs_listener(_listen)
