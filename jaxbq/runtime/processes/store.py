"""The key-value store that processes talk through: what is asked of one, and that of JAX."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from ...errors import JaxbqError
from ..files import write_atomically

_NEEDED = (
    "blocking_key_value_get_bytes",
    "key_value_try_get_bytes",
    "key_value_set_bytes",
    "key_value_delete",
    "key_value_increment",
    "key_value_dir_get_bytes",
)


@runtime_checkable
class Store(Protocol):
    """Bytes by key, seen by all processes at once."""

    def set(self, key: str, value: bytes) -> None:
        """Set a value, whether there was one or not."""
        ...

    def claim(self, key: str, value: bytes) -> bool:
        """Set a value if there is none, and tell whether there was none."""
        ...

    def get(self, key: str, seconds: float = 0.0) -> bytes | None:
        """Get a value, waiting so long for one; None if there is none."""
        ...

    def remove(self, key: str) -> None:
        """Remove a value, if there is one."""
        ...

    def add(self, key: str, number: int) -> int:
        """Add to a counter, which begins at 0, and get the sum: no two processes the same."""
        ...

    def under(self, prefix: str) -> dict[str, bytes]:
        """Get all values whose keys begin with ``prefix``, which ends with a slash."""
        ...


class JaxStore:
    """The store of jax.distributed, which lives where its coordinator does.

    Its client is no public part of JAX, though Orbax and others use it; only here is it touched.

    Args:
        client: of ``jax.distributed``.
    """

    def __init__(self, client: Any) -> None:
        from jax.errors import JaxRuntimeError

        missing = [name for name in _NEEDED if not hasattr(client, name)]
        if missing:
            raise JaxbqError(
                f"jax.distributed of this JAX has no {missing[0]}; install a newer one: "
                "pip install -U jax"
            )
        self._client, self._fault = client, JaxRuntimeError

    def set(self, key: str, value: bytes) -> None:
        """Set a value, whether there was one or not."""
        self._client.key_value_set_bytes(key, value, allow_overwrite=True)

    def claim(self, key: str, value: bytes) -> bool:
        """Set a value if there is none, and tell whether there was none."""
        try:
            self._client.key_value_set_bytes(key, value)
        except self._fault as fault:
            self._only("ALREADY_EXISTS", fault)
            return False
        return True

    def get(self, key: str, seconds: float = 0.0) -> bytes | None:
        """Get a value, waiting so long for one; None if there is none."""
        try:
            if seconds > 0:
                return self._client.blocking_key_value_get_bytes(key, max(1, int(seconds * 1000)))
            return self._client.key_value_try_get_bytes(key)
        except self._fault as fault:
            self._only("DEADLINE_EXCEEDED" if seconds > 0 else "NOT_FOUND", fault)
            return None

    def remove(self, key: str) -> None:
        """Remove a value, if there is one."""
        self._client.key_value_delete(key)

    def add(self, key: str, number: int) -> int:
        """Add to a counter, which begins at 0, and get the sum: no two processes the same."""
        return self._client.key_value_increment(key, number)

    def under(self, prefix: str) -> dict[str, bytes]:
        """Get all values whose keys begin with ``prefix``, which ends with a slash."""
        return dict(self._client.key_value_dir_get_bytes(prefix))

    @staticmethod
    def _only(expected: str, fault: Exception) -> None:
        if not str(fault).startswith(expected):
            raise fault


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


T = TypeVar("T")


def shared(
    store: Store, name: str, groups: Sequence[Sequence[T]], process: int, processes: int
) -> Iterator[T]:
    """Take pieces of work until none is left; every piece goes to exactly one process.

    Pieces of a group are alike (they need the same compiled program, say). So each process begins
    with a group of its own where there are enough, and helps with those of others afterwards.

    Args:
        store: that all processes share.
        name: of this work, which no other has.
        groups: the pieces, the same in every process.
        process: which this is, from 0.
        processes: of how many.
    """
    if not groups:
        return
    first = process * len(groups) // processes
    for turn in range(len(groups)):
        number = (first + turn) % len(groups)
        group = groups[number]
        while (ticket := store.add(f"{name}/{number}", 1)) <= len(group):
            yield group[ticket - 1]
