"""The cells of a run: what is finished or missing as a whole, and who computes it.

A cell is a training, what one program inverts for one network, or the scores of one network. It
reads its inputs in a run folder and writes its files there. What it finds depends on the config and
on those inputs alone, so any process may compute it: in a folder of its own, with :func:`run_cell`.
"""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from ..data import Dataset
from ..errors import JaxbqError
from ..network.files import NetworkFile, load_network
from ..runtime.devices import computing
from ..training import EpochMetrics
from .config import Experiment
from .folder import NetworkName, RunFolder
from .python_network import PythonNetwork


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


@dataclass(frozen=True)
class Job:
    """What all cells of a run share.

    Args:
        folder: where the files of all cells come together.
        experiment: the resolved config.
        data: its images, as the network sees them.
        listener: hears how it goes.
    """

    folder: RunFolder
    experiment: Experiment
    data: Dataset
    listener: Listener

    def network(self, name: NetworkName = 0) -> NetworkFile:
        """Read a network that is there already.

        Raises:
            JaxbqError: it is damaged.
        """
        path, source = self.folder.network(name), self.experiment.network
        if isinstance(source, PythonNetwork):
            return source.load(path, self.data)
        return load_network(path)


@runtime_checkable
class Cell(Protocol):
    """What is finished or missing as a whole; a frozen dataclass, which can be sent."""

    def inputs(self, job: Job) -> list[Path]:
        """Files that it reads; those of them that are not there, it can do without."""
        ...

    def compute(self, job: Job) -> list[Path]:
        """Do it, and write its files.

        Returns:
            The files, in the order in which they were written: where the last is, all are.

        Raises:
            JaxbqError: it cannot be done.
        """
        ...


@runtime_checkable
class Executor(Protocol):
    """Computes cells: in this process, or elsewhere."""

    def workers(self, listener: Listener) -> int:
        """Count the cells that it can compute at a time."""
        ...

    def run(self, what: str, cells: Sequence[Cell], job: Job) -> None:
        """Do the cells, in any order; in the end their files are in the folder of the job.

        Args:
            what: a word for them all.
            cells: none needs another's files.
            job: what they share.

        Raises:
            JaxbqError: one cannot be done; what was finished stays.
        """
        ...


class InProcess:
    """Computes one cell after another in this process."""

    def workers(self, listener: Listener) -> int:
        """Count this process."""
        return 1

    def run(self, what: str, cells: Sequence[Cell], job: Job) -> None:
        """Do the cells in their order."""
        for cell in cells:
            cell.compute(job)


@dataclass(frozen=True)
class Found:
    """What came of a cell.

    Args:
        files: content by name, relative to the run folder, in the order in which to write them.
        checksums: sha256 of each.
        said: lines for the user.
        fault: why it could not be done; None where it was.
    """

    files: Mapping[str, bytes]
    checksums: Mapping[str, str]
    said: tuple[str, ...] = ()
    fault: str | None = None

    def check(self) -> None:
        """Refuse files that were changed on their way.

        Raises:
            JaxbqError: one was.
        """
        for name, content in self.files.items():
            if hashlib.sha256(content).hexdigest() != self.checksums.get(name):
                raise JaxbqError(f"{name}: was damaged in transfer; give the same command again")


def run_cell(
    cell: Cell, experiment: Experiment, data: Dataset, given: Mapping[str, bytes], place: str
) -> Found:
    """Compute a cell apart from the run folder: nothing is read or kept beside what is given.

    Args:
        cell: what to do.
        experiment: the resolved config.
        data: its images, as the network sees them.
        given: content of the cell's inputs, by name relative to the run folder.
        place: the run folder as errors are to name it.

    Returns:
        The files that the cell writes. A :class:`JaxbqError` becomes its ``fault``, and the files
        are then what a user can look into it with.
    """
    taken = _Taken()
    with tempfile.TemporaryDirectory(prefix="jaxbq-", ignore_cleanup_errors=True) as scratch:
        folder = RunFolder(Path(scratch).resolve())
        folder.create([*range(experiment.networks.seeds), *experiment.controls])
        for name, content in given.items():
            (folder.path / name).write_bytes(content)
        fault = None
        try:
            with computing(experiment.precision):
                paths = cell.compute(Job(folder, experiment, data, taken))
        except JaxbqError as reason:
            fault = str(reason).replace(str(folder.path), place)
            paths = sorted(folder.networks.glob("*.last-good.safetensors"))
        files = {path.relative_to(folder.path).as_posix(): path.read_bytes() for path in paths}
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return Found(files, checksums, tuple(taken.lines), fault)


class _Taken:
    """A listener that takes down what is worth saying when a cell is finished."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def epoch(self, metrics: EpochMetrics, epochs: int, name: str = "training") -> None:
        if metrics.epoch == epochs:
            self.say(f"{name}: done, accuracy {metrics.test_accuracy:.4f} test")

    def progress(self, what: str, done: int, total: int) -> None:
        if done >= total:
            self.say(f"{what}: done")
