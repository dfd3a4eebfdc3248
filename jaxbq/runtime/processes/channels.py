"""Messages and files from one process to another, in order, through a store."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import write_atomically
from .store import Store

# gRPC takes messages of up to 4 MiB.
PIECE_BYTES = 2**20
# Pieces that are sent before the first is taken: a store's memory is not that of a disk.
WINDOW = 16
_POLL_S = 0.02


@dataclass(frozen=True)
class Message:
    """What was sent.

    Args:
        about: plain data.
        pieces: of a file that came with it; None where there was none.
    """

    about: dict[str, Any]
    pieces: Iterator[bytes] | None

    def save(self, path: Path) -> None:
        """Write the file that came with it, whole or not at all.

        Raises:
            JaxbqError: it cannot be written.
        """

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                for piece in self.pieces or ():
                    file.write(piece)

        write_atomically(path, write)


class Outbox:
    """The sending end of a channel; for one thread at a time.

    Args:
        store: that both ends share.
        name: of the channel.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._sent = self._pieces = 0

    def send(self, about: dict[str, Any], file: Path | None = None, *, wait: bool = True) -> None:
        """Send plain data and a file; return when the other side is done with it, if to wait."""
        key = f"{self._name}/message/{self._sent}"
        size = None if file is None else file.stat().st_size
        self._store.set(key, json.dumps({"about": about, "bytes": size}).encode())
        self._sent += 1
        if file is not None:
            with file.open("rb") as stream:
                # As much as was announced, whatever happens to the file.
                for start in range(0, size or 0, PIECE_BYTES):
                    self._piece(stream.read(min(PIECE_BYTES, (size or 0) - start)))
        if wait:
            self._until("done", self._sent)

    def _piece(self, content: bytes) -> None:
        self._until("taken", self._pieces - WINDOW + 1)
        self._store.set(f"{self._name}/piece/{self._pieces}", content)
        self._pieces += 1

    def _until(self, counter: str, number: int) -> None:
        while number > 0 and self._store.add(f"{self._name}/{counter}", 0) < number:
            time.sleep(_POLL_S)


class Inbox:
    """The receiving end of a channel; for one thread.

    Args:
        store: that both ends share.
        name: of the channel.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._received = self._pieces = 0

    def receive(self, seconds: float) -> Message | None:
        """Wait so long for a message; the caller calls :meth:`done` when it is done with it."""
        key = f"{self._name}/message/{self._received}"
        text = self._store.get(key, seconds)
        if text is None:
            return None
        self._store.remove(key)
        self._received += 1
        plain = json.loads(text)
        size = plain["bytes"]
        return Message(plain["about"], None if size is None else self._file(size))

    def done(self) -> None:
        """Let the sender go on."""
        self._store.add(f"{self._name}/done", 1)

    def _file(self, size: int) -> Iterator[bytes]:
        for _ in range(0, size, PIECE_BYTES):
            key = f"{self._name}/piece/{self._pieces}"
            while (piece := self._store.get(key, 1.0)) is None:
                pass  # a lost sender ends this process
            self._store.remove(key)
            self._store.add(f"{self._name}/taken", 1)
            self._pieces += 1
            yield piece
