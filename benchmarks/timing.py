"""Timing contenders in turns: warmed up, each result awaited, the order rotated every round."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax

# Threads of a pool that has just been used spin for a while, on cores that the next contender
# needs; so every call waits for them to sleep.
_PAUSE = 0.05


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a case.

    Args:
        name: as tables show it.
        call: does the work once and returns the result; None where it cannot, as ``note`` says.
        peer: whether it is another library's, not jaxbq's.
        scale: factor on its seconds, where it does a share of the work.
        warm: calls before the timed ones.
        quality: numbers by name that judge the last result.
        note: a remark, or why there are no seconds.
    """

    name: str
    call: Callable[[], Any] | None
    peer: bool = True
    scale: float = 1.0
    warm: int = 1
    quality: Callable[[Any], Mapping[str, float]] | None = None
    note: str = ""


@dataclass
class Timing:
    """Seconds of the first call and of every round; the last result; or why there are none."""

    first: float | None = None
    seconds: list[float] = field(default_factory=list)
    last: Any = None
    fault: str = ""


def alternate(
    contenders: Sequence[Contender],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    pause: float = _PAUSE,
    limit: float | None = None,
) -> dict[str, Timing]:
    """Time contenders in turns; every round begins with another one.

    Args:
        contenders: those without a call are left out.
        rounds: timed ones, after the warm-up calls.
        clock: in seconds.
        pause: seconds before every timed call.
        limit: most seconds of all rounds together; at least one is timed.

    Returns:
        What was measured, by name. A peer that fails has a fault in place of seconds; a fault of
        jaxbq's own is raised.
    """
    found = {c.name: _warm_up(c, clock) for c in contenders if c.call is not None}
    running = [c for c in contenders if c.name in found and not found[c.name].fault]
    began = clock()
    for number in range(rounds):
        # The next round takes about as long as the last ones did on average.
        if number and limit is not None and (clock() - began) * (1 + 1 / number) > limit:
            break
        begin = number % max(len(running), 1)
        for contender in running[begin:] + running[:begin]:
            assert contender.call is not None
            timing = found[contender.name]
            timing.last = None
            time.sleep(pause)
            begun = clock()
            timing.last = finished(contender.call())
            timing.seconds.append(contender.scale * (clock() - begun))
    return found


def _warm_up(contender: Contender, clock: Callable[[], float]) -> Timing:
    timing = Timing()
    assert contender.call is not None
    try:
        for number in range(contender.warm):
            begun = clock()
            timing.last = finished(contender.call())
            if not number:
                timing.first = clock() - begun
    except Exception as fault:  # another library may raise anything
        if not contender.peer:
            raise
        lines = str(fault).strip().splitlines() or [""]
        timing.fault = f"failed: {type(fault).__name__}: {lines[0][:160]}"
    return timing


def finished(result: Any) -> Any:
    """Wait until a result is computed, by JAX or by PyTorch on a GPU."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return jax.block_until_ready(result)
