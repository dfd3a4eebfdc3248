"""Timing contenders in turn: warmed up, finished before the clock is read, order rotated."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax

from ..runtime import interrupts

# Workers of a thread pool that has just been used go on spinning for a while, on cores that the
# next contender needs.
_HUSH = 0.05


def _no_quality(last: Any) -> Mapping[str, float]:
    return {}


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a case.

    Args:
        name: as tables show it.
        call: does the work once and returns what came of it; None where it cannot, as ``note``
            says.
        peer: whether it is another's, not jaxbq's.
        scale: what its seconds are multiplied by: it does a share of the work.
        warm: calls before the timed ones.
        quality: what came of the last call, in numbers by name.
        note: a remark, or why there are no seconds.
    """

    name: str
    call: Callable[[], Any] | None
    peer: bool = True
    scale: float = 1.0
    warm: int = 1
    quality: Callable[[Any], Mapping[str, float]] = _no_quality
    note: str = ""


@dataclass
class Timing:
    """What was measured of a contender.

    Args:
        first: seconds of its first call, with what it compiles.
        seconds: of every round, scaled to the whole work.
        last: what its last call returned.
        fault: why it could not be timed.
    """

    first: float | None = None
    seconds: list[float] = field(default_factory=list)
    last: Any = None
    fault: str = ""


def alternate(
    contenders: Sequence[Contender],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    hush: float = _HUSH,
    limit: float | None = None,
) -> dict[str, Timing]:
    """Time contenders in turn, every round beginning with another.

    Args:
        contenders: those without a call are left out.
        rounds: timed ones; before them every contender is called to warm up.
        clock: in seconds.
        hush: seconds of silence before every call.
        limit: seconds that all rounds together may take, of which there is at least one.

    Returns:
        What was measured, by name. A peer that fails has a fault in place of seconds; a fault of
        jaxbq's own is raised.
    """
    found: dict[str, Timing] = {}
    for contender in contenders:
        if contender.call is not None:
            found[contender.name] = timing = Timing()
            _warm_up(contender, contender.call, timing, clock)
    running = [c for c in contenders if c.call is not None and not found[c.name].fault]
    began = clock()
    for number in range(rounds):
        # As long again as the rounds so far took on average.
        if number and limit is not None and (clock() - began) * (1 + 1 / number) > limit:
            break
        begin = number % max(len(running), 1)
        for contender in running[begin:] + running[:begin]:
            interrupts.check()
            assert contender.call is not None
            timing = found[contender.name]
            timing.last = None
            time.sleep(hush)
            begun = clock()
            timing.last = finished(contender.call())
            timing.seconds.append(contender.scale * (clock() - begun))
    return found


def _warm_up(
    contender: Contender, call: Callable[[], Any], timing: Timing, clock: Callable[[], float]
) -> None:
    try:
        for number in range(contender.warm):
            interrupts.check()
            begun = clock()
            timing.last = finished(call())
            if not number:
                timing.first = clock() - begun
    except Exception as fault:
        # What another's compiler or library raises is no closed list.
        if not contender.peer:
            raise
        lines = str(fault).strip().splitlines() or [""]
        timing.fault = f"failed: {type(fault).__name__}: {lines[0][:160]}"


def finished(result: Any) -> Any:
    """Wait until a result is computed, by JAX or by PyTorch on a GPU."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return jax.block_until_ready(result)
