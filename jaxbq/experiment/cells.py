"""Who does which part of an experiment: one process all of it, or several a share each.

A *cell* is what is finished or missing as a whole: a training, or the inversions of one program for
one network. Process 0 leads: it alone writes the run folder. A worker does its cells in a folder
of its own, laid out alike, and sends process 0 the files as soon as a cell is finished. Where fewer
inversions are missing than there are processes, all of them compute each together, spread over all
devices, and process 0 writes what comes out.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax

from ..errors import JaxbqError
from ..runtime import interrupts
from ..runtime.devices import Devices, chosen_devices, on_devices, synchronise
from ..runtime.processes import Inbox, Member, Message, Outbox, shared
from ..training import EpochMetrics
from .folder import NetworkName, RunFolder


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


_POLL_S = 0.2
# Until a receiver looks again; a message wakes it at once.
_LISTEN_S = 5.0


class Training(NamedTuple):
    """A cell: networks to train one after another, or as one batch.

    Args:
        networks: numbers of networks, or the name of one control.
        wanted: those whose files are missing; the others are trained for the batch's sake.
    """

    networks: tuple[NetworkName, ...]
    wanted: tuple[NetworkName, ...]

    @property
    def group(self) -> NetworkName:
        """What cells of one program have in common."""
        return 0

    @classmethod
    def of(cls, plain: Sequence[Any]) -> "Training":
        """Read what was sent."""
        return cls(*map(tuple, plain))


class Inversions(NamedTuple):
    """A cell: the methods of one program, for one network.

    Args:
        network: which.
        methods: numbers of the methods.
        wanted: those whose files are missing; the others are computed for the program's sake.
    """

    network: NetworkName
    methods: tuple[int, ...]
    wanted: tuple[int, ...]

    @property
    def group(self) -> NetworkName:
        """What cells of one program have in common."""
        return self.methods[0]

    @classmethod
    def of(cls, plain: Sequence[Any]) -> "Inversions":
        """Read what was sent."""
        network, *numbers = plain
        return cls(network, *map(tuple, numbers))


C = TypeVar("C", Training, Inversions)


@runtime_checkable
class Share(Protocol):
    """What part of an experiment this process does, of those that write the run folder."""

    devices: Devices
    """Those that compute the cell at hand; None for all of this process."""

    def cells(self, kind: type[C], missing: Sequence[C]) -> Iterator[C]:
        """Go through this process's cells; when it is through, all that were missing are done."""
        ...


class Alone:
    """One process does everything."""

    devices: Devices = None

    def cells(self, kind: type[C], missing: Sequence[C]) -> Iterator[C]:
        """Go through all cells."""
        yield from missing


class Leader:
    """Process 0 of several: hands out cells, writes what the others send, does its own share.

    Args:
        member: this process among the others.
        name: of the experiment among those of the run.
        folder: where everything is written.
        listener: hears what workers tell.
    """

    def __init__(self, member: Member, name: str, folder: RunFolder, listener: Listener) -> None:
        self._member, self._name = member, name
        self._folder, self._listener = folder, listener
        self._done = {kind.__name__: 0 for kind in (Training, Inversions)}
        self._changed = threading.Condition()
        self.devices: Devices = None
        member.stays = f"what was finished stays in {folder.path}"
        for process in range(1, member.processes):
            threading.Thread(target=self._serve, args=(process,), daemon=True).start()

    def cells(self, kind: type[C], missing: Sequence[C]) -> Iterator[C]:
        """Go through this process's cells; when it is through, all that were missing are done."""
        joint = (
            kind is Inversions and len(missing) < self._member.processes and _alike(self._member)
        )
        told = {"folder": str(self._folder.path), "cells": missing, "joint": joint}
        self._member.store.set(f"{self._name}/{kind.__name__}", json.dumps(told).encode())
        if joint:
            self.devices = _joined(self._member, self._name)
            yield from missing
            self.devices = None
            return
        own = 0
        for cell in _shared(self._member, self._name, kind, missing):
            yield cell
            own += 1
        with self._changed:
            while self._done[kind.__name__] < len(missing) - own:
                self._changed.wait(_POLL_S)
                interrupts.check()

    def _serve(self, process: int) -> None:
        """Do what a worker asks for, until it has nothing more."""
        store = self._member.store
        inbox = Inbox(store, f"{self._name}/from/{process}")
        outbox = Outbox(store, f"{self._name}/to/{process}")
        try:
            while True:
                message = inbox.receive(_LISTEN_S)
                if message is None:
                    continue
                with self._member.busy():
                    self._hear(process, message)
                inbox.done()
                if "want" in message.about:
                    path = self._path(message.about["want"])
                    outbox.send({}, path if path.exists() else None)
                if "bye" in message.about:
                    return
        except JaxbqError as fault:
            self._member.fail(str(fault))
        # Nobody else hears of it in this thread, and the others would wait for ever.
        except Exception as fault:
            self._member.fail(f"{type(fault).__name__}: {fault}")

    def _hear(self, process: int, message: Message) -> None:
        about = message.about
        if "file" in about:
            message.save(self._path(about["file"]))
        if "line" in about:
            # Ctrl-C is for the main thread.
            with contextlib.suppress(KeyboardInterrupt):
                self._listener.say(f"process {process}: {about['line']}")
        if "done" in about:
            with self._changed:
                self._done[about["done"]] += 1
                self._changed.notify_all()

    def _path(self, name: str) -> Path:
        """Find a worker's file in the folder, and nowhere else."""
        parts = PurePosixPath(name).parts
        if len(parts) < 2 or parts[0] not in ("networks", "inversions") or ".." in parts:
            raise JaxbqError(f"a process asked for the file {name!r}, which is none of a run's")
        return self._folder.path.joinpath(*parts)


class Worker:
    """Any process but the first: does its share in a folder of its own, and sends what it found.

    Args:
        member: this process among the others.
        name: of the experiment among those of the run.
        folder: of its own, laid out like that of process 0.
    """

    def __init__(self, member: Member, name: str, folder: RunFolder) -> None:
        self._member, self._name, self._folder = member, name, folder
        self._outbox = Outbox(member.store, f"{name}/from/{member.process}")
        self._inbox = Inbox(member.store, f"{name}/to/{member.process}")
        # Nothing is called done before its files are where they cannot be lost.
        self._held: list[str] = []
        self.devices: Devices = None

    def work(self, kind: type[C], do: Callable[[C], Sequence[Path]]) -> None:
        """Do this process's cells, and send the files of each as soon as it is finished.

        Args:
            kind: of cells.
            do: does a cell, and returns its files in the order in which they are to be written;
                none where all processes did it together.

        Raises:
            JaxbqError: as ``do``, with the folder of process 0 for this process's own.
        """
        told = json.loads(self._member.wait_for(f"{self._name}/{kind.__name__}"))
        lead = self._member.peers[0].host
        self._member.stays = f"what was finished stays in {told['folder']} on {lead}"
        cells = [kind.of(plain) for plain in told["cells"]]
        if told["joint"]:
            self.devices = _joined(self._member, self._name)
            for cell in cells:
                do(cell)
            # Process 0 says so itself.
            self._held.clear()
            self.devices = None
            return
        for cell in _shared(self._member, self._name, kind, cells):
            try:
                files = do(cell)
            except JaxbqError as fault:
                # What a training that diverged leaves, the user is to find where all is.
                self._send(sorted(self._folder.networks.glob("*.last-good.safetensors")))
                reason = str(fault).replace(str(self._folder.path), told["folder"])
                raise JaxbqError(reason) from fault
            self._send(files)
            while self._held:
                self.say(self._held.pop(0))
            self._outbox.send({"done": kind.__name__})

    def fetch(self, path: Path) -> bool:
        """Get a file of process 0's under its name here; tell whether there was one."""
        self._outbox.send({"want": self._named(path)})
        while (message := self._inbox.receive(_POLL_S)) is None:
            interrupts.check()
        if message.pieces is not None:
            message.save(path)
        self._inbox.done()
        return message.pieces is not None

    def say(self, text: str) -> None:
        """Tell the user, in the terminal of process 0."""
        interrupts.check()
        self._outbox.send({"line": text}, wait=False)

    def epoch(self, metrics: EpochMetrics, epochs: int, name: str = "training") -> None:
        """Tell how a training ended."""
        interrupts.check()
        if metrics.epoch == epochs:
            self._held.append(f"{name}: done, accuracy {metrics.test_accuracy:.4f} test")

    def progress(self, what: str, done: int, total: int) -> None:
        """Tell when something is done."""
        interrupts.check()
        if done >= total:
            self._held.append(f"{what}: done")

    def part(self) -> None:
        """Have nothing more to send."""
        self._outbox.send({"bye": True})

    def _send(self, files: Sequence[Path]) -> None:
        """Send files; they are not needed here any more."""
        for path in files:
            with self._member.busy():
                self._outbox.send({"file": self._named(path)}, path)
            path.unlink()

    def _named(self, path: Path) -> str:
        return path.relative_to(self._folder.path).as_posix()


def _joined(member: Member, name: str) -> list[jax.Device]:
    """Let the devices of all processes meet."""
    member.gather(name)
    devices = jax.devices()
    with on_devices(devices):
        synchronise()
    return devices


def _alike(member: Member) -> bool:
    """Tell whether one program can run on the devices of all processes."""
    found = jax.devices()
    everywhere = {device.process_index for device in found} == set(range(member.processes))
    # Fewer than there are, where JAX makes several devices of a CPU.
    usable = len(chosen_devices()) == jax.local_device_count()
    return usable and everywhere and len({device.device_kind for device in found}) == 1


def _shared(member: Member, name: str, kind: type[C], cells: Sequence[C]) -> Iterator[C]:
    """Take this process's share of cells that all of them know."""
    groups: dict[NetworkName, list[C]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    of = f"{name}/{kind.__name__}/tickets"
    return shared(member.store, of, list(groups.values()), member.process, member.processes)
