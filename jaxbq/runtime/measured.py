"""Which of several ways to compute the same is fastest: measured once per machine, then kept."""

import json
import os
import secrets
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import perf_counter

import jax

from .compiled import own_folder

# In each case, at least.
_ROUNDS, _SECONDS = 8, 0.05
# The usual way stays unless another takes less than this share of its time, in both halves of the
# turns. With 0.95 once, half of the choices changed from trial to trial on a busy machine.
_CLEARLY = 0.9


def measured(
    name: str,
    usual: Mapping[str, str],
    ways: Collection[str],
    prepare: Callable[[str, str], Callable[[], object]],
) -> Mapping[str, str]:
    """Choose a way for each case: as the machine's file says, else by measuring all cases now.

    The file lies beside the compiled programs. Where that folder cannot be used, JAX keeps no
    programs or the variable JAXBQ_MEASURE is 0, nothing is measured. Of processes that measure at
    once the first to be done decides. A damaged file is removed; a later process measures anew.

    A choice becomes part of the traced program, and so of the key that JAX keeps that under. It
    decides how sums are rounded: with one file all processes on a machine have the same bits.

    Args:
        name: of the file, without suffix.
        usual: the way for each case where nothing is measured.
        ways: all that can be chosen.
        prepare: compiles and warms up a way for a case; returns what computes once and waits.
    """
    keeps = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    folder = own_folder() if keeps and os.environ.get("JAXBQ_MEASURE") != "0" else None
    if folder is None:
        return usual
    path = folder / f"{name}.json"

    def measure() -> dict[str, str]:
        return {
            case: _fastest(way, {each: prepare(case, each) for each in ways})
            for case, way in usual.items()
        }

    with suppress(OSError):
        if not path.exists():
            # In a thread of its own: this one may be tracing, or counting compilations.
            with ThreadPoolExecutor(1) as aside:
                _keep(path, aside.submit(measure).result())
    return _read(path, usual, ways)


def _fastest(usual: str, computes: Mapping[str, Callable[[], object]]) -> str:
    """Time all in turns: other work on the machine then disturbs all of them alike."""
    seconds: dict[str, list[float]] = {way: [] for way in computes}
    end = perf_counter() + _SECONDS
    while len(seconds[usual]) < _ROUNDS or perf_counter() < end:
        for way, compute in computes.items():
            begin = perf_counter()
            compute()
            seconds[way].append(perf_counter() - begin)

    def share(way: str, turns: slice) -> float:
        pairs = list(zip(seconds[way][turns], seconds[usual][turns], strict=True))
        # The least is the time without a disturbance, if there was such a turn.
        least = min(now for now, _ in pairs) / min(then for _, then in pairs)
        return max(least, median(now / then for now, then in pairs))

    half = len(seconds[usual]) // 2
    shares = {way: max(share(way, slice(half)), share(way, slice(half, None))) for way in computes}
    best = min(shares, key=shares.__getitem__)
    return best if shares[best] < _CLEARLY else usual


def _keep(path: Path, choices: Mapping[str, str]) -> None:
    """Write the file whole, unless another process was first."""
    temporary = path.with_name(f"{path.stem}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(json.dumps(choices, indent=2) + "\n", encoding="utf-8")
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # no hard links here
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path, usual: Mapping[str, str], ways: Collection[str]) -> Mapping[str, str]:
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(path.read_text(encoding="utf-8"))
        ours = isinstance(found, dict) and found.keys() == usual.keys()
        if ours and all(isinstance(way, str) and way in ways for way in found.values()):
            return dict(found)
    with suppress(OSError):
        path.unlink()
    return usual
