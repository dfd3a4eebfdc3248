"""Who is still there: every process tells again and again, and listens to the others."""

import threading
import time
from collections.abc import Callable, Mapping

from .store import Store

BEAT_S = 2.0
# Longer than a busy machine keeps a thread waiting; well under the minute that is promised, even
# on a machine that itself stands still half of the time.
SILENCE_S = 15.0
END = "end"
_BEATS = "beat/"


class Silence:
    """Tells who has been silent for too long.

    Only the time counts in which this process listened: what was asleep may be this process, or
    the whole machine, suspended or starved, and nothing can be said of the others then.

    Args:
        others: numbers of the processes to listen to.
        now: seconds of a clock that never goes back.
        limit: seconds of silence that are too long.
        step: the most seconds that count between two looks.
    """

    def __init__(
        self, others: list[int], now: float, limit: float = SILENCE_S, step: float = 1.5 * BEAT_S
    ) -> None:
        self._limit, self._step, self._now = limit, step, now
        self._awake = 0.0
        self._heard = dict.fromkeys(others, 0.0)
        self._beats: dict[int, bytes] = {}

    def hear(self, beats: Mapping[int, bytes]) -> None:
        """Note the latest beats: who has another than before lives."""
        for process in self._heard:
            beat = beats.get(process)
            if beat is not None and beat != self._beats.get(process):
                self._beats[process] = beat
                self._heard[process] = self._awake

    def lost(self, now: float) -> int | None:
        """Return the first process that has been silent for too long."""
        self._awake += min(now - self._now, self._step)
        self._now = now
        silent = (n for n, heard in self._heard.items() if self._awake - heard > self._limit)
        return next(silent, None)


class Heartbeat:
    """Two threads: one beats and listens; one judges the store, for whose answer the first waits.

    Args:
        store: that all processes share.
        process: which this is.
        processes: of how many.
        on_lost: is given the number of a lost process: 0, whose machine the store is on, where it
            does not answer.
        on_end: is given what :data:`END` holds in the store, once it is there.
        beat_s: seconds between beats.
        silence_s: seconds of silence after which a process is lost.
    """

    def __init__(
        self,
        store: Store,
        process: int,
        processes: int,
        on_lost: Callable[[int], None],
        on_end: Callable[[bytes], None],
        beat_s: float = BEAT_S,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._store, self._process = store, process
        self._on_lost, self._on_end = on_lost, on_end
        self._beat_s = beat_s
        others = [number for number in range(processes) if number != process]
        now = time.monotonic()
        self._silence = Silence(others, now, silence_s, 1.5 * beat_s)
        self._answer = Silence([0], now, silence_s, 1.5 * beat_s)
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"jaxbq {work.__name__}", daemon=True)
            for work in (self._beat, self._judge)
        ]

    def start(self) -> None:
        """Begin to beat and to listen."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Beat and listen no more."""
        self._stopped.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(self._beat_s + 1.0)

    def _beat(self) -> None:
        number = 0
        while not self._stopped.wait(self._beat_s if number else 0.0):
            number += 1
            try:
                self._store.set(f"{_BEATS}{self._process}", str(number).encode())
                beats = self._store.under(_BEATS)
                end = self._store.get(END)
            # Whatever the store raises: it does not answer, which is judged by the other thread.
            except Exception:
                continue
            self._answer.hear({0: str(number).encode()})
            self._silence.hear({int(k.rpartition("/")[2]): v for k, v in beats.items()})
            # Judged here, when the store has just answered: its own silence is nobody else's.
            lost = self._silence.lost(time.monotonic())
            if self._stopped.is_set():
                return
            if end is not None:
                self._on_end(end)
                return
            if lost is not None:
                self._on_lost(lost)
                return

    def _judge(self) -> None:
        while not self._stopped.wait(self._beat_s / 4):
            if self._answer.lost(time.monotonic()) is not None:
                self._on_lost(0)
                return
