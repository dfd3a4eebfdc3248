"""Cells of inversions: the methods of one program for one network, or a part of their images."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import jax

from ..methods import merge, programs, sweep
from ..options import describe
from ..runtime.files import remove
from .cells import Job
from .config import Experiment
from .folder import NetworkName
from .trainings import key_of

# Images of a part, at least: fewer take about as long as so many.
_LEAST_IMAGES = 32


@dataclasses.dataclass(frozen=True)
class Part:
    """Some targets and samples of an inversion.

    Args:
        number: which part, from 0.
        of: how many there are.
        targets: the first target of it, and that after the last.
        samples: likewise of the samples of each target; None for all.
    """

    number: int
    of: int
    targets: tuple[int, int]
    samples: tuple[int, int] | None


@dataclasses.dataclass(frozen=True)
class InversionCell:
    """The methods of one program, for one network.

    Args:
        network: which.
        methods: numbers of the methods.
        wanted: those whose files are missing; the others are computed for the program's sake.
        part: the images of this cell; None for all of them.
    """

    network: NetworkName
    methods: tuple[int, ...]
    wanted: tuple[int, ...]
    part: Part | None = None

    def inputs(self, job: Job) -> list[Path]:
        """Name the network's file."""
        return [job.folder.network(self.network)]

    def compute(self, job: Job) -> list[Path]:
        """Run all methods of the program, and write what is wanted."""
        experiment = job.experiment
        network = job.network(self.network)
        targets = experiment.targets.targets(job.data.classes, network.model.output)
        label = self.label(experiment)
        samples = None
        if self.part:
            targets = targets[slice(*self.part.targets)]
            samples = range(*self.part.samples) if self.part.samples else None
        # A control is the first network of its kind, and its methods start where they do there.
        own = 0 if isinstance(self.network, str) else self.network
        results = sweep(
            [experiment.methods[number] for number in self.methods],
            network.model,
            network.params,
            targets,
            reference=job.data,
            key=jax.random.fold_in(key_of(experiment, "methods", own), self.methods[0]),
            # Whether somebody listens decides about programs, so everybody does.
            progress=lambda done, total: job.listener.progress(label, done, total),
            samples=samples,
        )
        written = []
        for number, result in zip(self.methods, results, strict=True):
            if number in self.wanted:
                about, path = self.files(job, number)
                job.folder.write_result(path, result)
                written += [about, path]
        return written

    def files(self, job: Job, number: int) -> tuple[Path, Path]:
        """Name the files of a method, in the order in which they are written."""
        path = job.folder.inversion(self.network, number, job.experiment.methods[number])
        if self.part:
            path = path.with_suffix(f".part-{self.part.number + 1}-of-{self.part.of}.npz")
        return path.with_suffix(".json"), path

    def is_done(self, job: Job) -> bool:
        """Tell whether all of its files are there."""
        return all(self.files(job, number)[1].exists() for number in self.wanted)

    def label(self, experiment: Experiment) -> str:
        """Say what it is, to the user."""
        label = describe(experiment.methods[self.methods[0]])
        if len(self.methods) > 1:
            label += f" and {len(self.methods) - 1} more with other numbers"
        if self.part:
            label += f", part {self.part.number + 1} of {self.part.of}"
        if isinstance(self.network, str):
            return f"{self.network}: {label}"
        several = experiment.networks.seeds > 1
        return f"network {self.network}: {label}" if several else label


def missing_inversions(job: Job, networks: Iterable[NetworkName]) -> Iterator[InversionCell]:
    """List what the folder lacks, by program; say what it holds."""
    for name in networks:
        for numbers in programs(job.experiment.methods):
            every = InversionCell(name, tuple(numbers), tuple(numbers))
            own = tuple(n for n in numbers if not every.files(job, n)[1].exists())
            if own:
                yield dataclasses.replace(every, wanted=own)
            else:
                job.listener.say(f"{every.label(job.experiment)}: done already")


def cut(
    cells: Sequence[InversionCell], experiment: Experiment, targets: int, workers: int
) -> dict[InversionCell, list[InversionCell]]:
    """Divide large inversions where there are fewer than workers.

    Args:
        cells: what is missing.
        experiment: the resolved config.
        targets: their number.
        workers: that wait for work.

    Returns:
        The parts of each cell that is divided, in the order of its images.
    """
    found = {}
    for cell in cells:
        methods = [experiment.methods[number] for number in cell.methods]
        samples = min(method.independent_samples for method in methods)
        parts = min(-(-workers // len(cells)), targets * samples // _LEAST_IMAGES)
        if len(cells) < workers and parts > 1 and methods[0].spreads:
            across = min(parts, targets)
            down = min(-(-parts // across), samples)
            pieces = [
                (rows, columns)
                for rows in _shares(targets, across)
                for columns in (_shares(samples, down) if down > 1 else [None])
            ]
            found[cell] = [
                dataclasses.replace(cell, part=Part(number, len(pieces), *piece))
                for number, piece in enumerate(pieces)
            ]
    return found


def put_together(job: Job, parts: Mapping[InversionCell, list[InversionCell]]) -> None:
    """Write the results of divided cells, and remove their parts."""
    folder = job.folder
    for cell, own in parts.items():
        for number in cell.wanted:
            files = [piece.files(job, number) for piece in own]
            successive = sum(piece.part.targets == own[0].part.targets for piece in own)  # type: ignore[union-attr]
            result = merge([folder.read_result(path) for _, path in files], successive)
            folder.write_result(cell.files(job, number)[1], result)
    # Also those of a run with another number of workers, which was stopped.
    for path in sorted(folder.inversions.glob("*/*.part-*-of-*")):
        remove(path)


def _shares(number: int, parts: int) -> list[tuple[int, int]]:
    """Divide the first ``number`` numbers into ranges as equal as they go."""
    ends = [number * part // parts for part in range(parts + 1)]
    return list(itertools.pairwise(ends))
