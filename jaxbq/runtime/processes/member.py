"""What a process holds of the others, and how all of them end."""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from ...errors import JaxbqError
from .heartbeat import BEAT_S, END, SILENCE_S, Heartbeat
from .store import Store

LOST = 1
MISTAKE = 2
_DONE = "done"
_POLL_S = 1.0
_STORE_S = 5.0
_FILES_S = 10.0
_TIDY_S = 1.0
# All others have looked at how it ended by then.
_NOTICED_S = _FILES_S + 5.0


@dataclass(frozen=True)
class Peer:
    """A process, as its machine knows it.

    Args:
        host: the machine's name.
        pid: of the process there.
    """

    host: str
    pid: int


class Member:
    """One process among several.

    Args:
        store: that they share.
        process: its number.
        peers: all of them, itself too, by number.
        coordinator: standard input of the coordinator, of which process 0 alone lets go.
        leave: ends the process at once with an exit code.
        beat_s: seconds between heartbeats.
        silence_s: seconds of silence after which a process is lost.
    """

    def __init__(
        self,
        store: Store,
        process: int,
        peers: list[Peer],
        coordinator: IO[bytes] | None = None,
        leave: Callable[[int], Any] = os._exit,
        beat_s: float = BEAT_S,
        silence_s: float = SILENCE_S,
    ) -> None:
        self.store, self.process, self.peers = store, process, peers
        # Where what was finished stays, for a message about an end.
        self.stays = "what was finished stays"
        # To be done before this process ends at once.
        self.at_end: list[Callable[[], None]] = []
        self._coordinator, self._leave = coordinator, leave
        self._works = 0
        self._ending = threading.Lock()
        self._busy, self._idle = 0, threading.Condition()
        self._notice_s = silence_s + 3 * beat_s
        self._heartbeat = Heartbeat(
            store, process, len(peers), self._lost, self._ended, beat_s, silence_s
        )

    @property
    def processes(self) -> int:
        """How many they are."""
        return len(self.peers)

    @property
    def leads(self) -> bool:
        """Whether it is process 0, which writes."""
        return self.process == 0

    def describe(self, process: int) -> str:
        """Say which process, of how many, and where it runs."""
        peer = self.peers[process]
        return f"process {process} of {self.processes} (host {peer.host}, pid {peer.pid})"

    def begin(self) -> None:
        """Begin to tell the others that it lives, and to listen to them."""
        self._heartbeat.start()

    def next_work(self) -> str:
        """Name the next thing that they do together, the same in all, as no other is named."""
        self._works += 1
        return f"work/{self._works}"

    def agree(self, name: str, about: dict[str, str]) -> None:
        """Compare something with all other processes.

        Args:
            name: of this agreement, which no other has.
            about: what must be the same, by names that an error can show.

        Raises:
            JaxbqError: it is not the same.
        """
        self.store.set(f"{name}/agree/{self.process}", json.dumps(about).encode())
        said = [self.wait_for(f"{name}/agree/{number}") for number in range(self.processes)]
        first, *others = map(json.loads, said)
        for number, other in enumerate(others, 1):
            for what, value in first.items():
                if other.get(what) != value:
                    raise JaxbqError(
                        f"{self.describe(number)} has another {what} than process 0: "
                        f"{str(other.get(what))[:16]}, not {str(value)[:16]}; give all the same"
                    )

    def gather(self, name: str) -> None:
        """Wait until all processes are here, however long it takes.

        Args:
            name: of this place, which no other has.
        """
        self.store.set(f"{name}/here/{self.process}", b"")
        for number in range(self.processes):
            self.wait_for(f"{name}/here/{number}")

    def wait_for(self, key: str) -> bytes:
        """Wait for a value in the store, however long it takes; a loss ends this process."""
        while (value := self.store.get(key, _POLL_S)) is None:
            pass
        return value

    def finish(self) -> None:
        """Part, when all is done in every process; process 0 is the last."""
        # While their hearts are listened to: JAX aborts all where one does not come to its parting.
        self.gather(_DONE)
        self._heartbeat.stop()
        _part()
        self._let_go(0)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Hold off an end for a while: a file is being sent or written."""
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def await_loss(self) -> None:
        """Wait for as long as it takes to notice that a process was lost, which ends this one."""
        time.sleep(self._notice_s)

    def fail(self, reason: str, code: int = MISTAKE) -> None:
        """End all processes, for a reason that lies in this one."""
        who = self.describe(self.process)
        self.end(f"jaxbq: error: {reason}", f"jaxbq: error: {who}: {reason}", code)

    def end(self, own: str, others: str, code: int) -> None:
        """End all processes, and this one at once: its main thread may be in a computation.

        Where another ended them first, this one shows what that said.

        Args:
            own: line that this process shows.
            others: line that the others show.
            code: with which all exit.
        """
        self._only_once()
        first = self._claim({"line": others, "code": code})
        if first:
            own, code = first["line"], first["code"]
        self._go(own, code)

    def _lost(self, process: int) -> None:
        if process == self.process:
            what = f"the coordinator beside process {process} does not answer"
        else:
            what = f"{self.describe(process)} was lost"
        line = (
            f"jaxbq: error: {what}; {self.stays}; give the same command again, with as many "
            "processes as you like"
        )
        self.end(line, line, LOST)

    def _ended(self, said: bytes) -> None:
        self._only_once()
        plain = json.loads(said)
        self._go(plain["line"], plain["code"])

    def _only_once(self) -> None:
        if not self._ending.acquire(blocking=False):
            # Another thread is at it, and will end this one too.
            threading.Event().wait()

    def _claim(self, said: dict[str, Any]) -> dict[str, Any] | None:
        """Tell all how it ends; or return how, where somebody else was first."""
        first: list[dict[str, Any]] = []

        def claim() -> None:
            # The store may be what is lost, and then never answers.
            with contextlib.suppress(Exception):
                if not self.store.claim(END, json.dumps(said).encode()):
                    first.append(json.loads(self.store.get(END) or b""))

        thread = threading.Thread(target=claim, daemon=True)
        thread.start()
        thread.join(_STORE_S)
        return first[0] if first else None

    def _go(self, line: str, code: int) -> None:
        """Finish the files that are under way, show a line, and exit."""
        with self._idle:
            self._idle.wait_for(lambda: not self._busy, _FILES_S)
        tidy = threading.Thread(target=lambda: [do() for do in self.at_end], daemon=True)
        tidy.start()
        tidy.join(_TIDY_S)
        print(line, file=sys.stderr, flush=True)
        self._let_go(_NOTICED_S)
        self._leave(code)

    def _let_go(self, seconds: float) -> None:
        if self._coordinator:
            with contextlib.suppress(OSError, ValueError):
                self._coordinator.write(f"{seconds}\n".encode())
                self._coordinator.close()


def _part() -> None:
    """Leave jax.distributed, all at once."""
    import jax

    # All is done; that somebody went without a word does not matter any more.
    with contextlib.suppress(RuntimeError):
        jax.distributed.shutdown()
