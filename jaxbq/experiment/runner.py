"""Doing an experiment: whatever its run folder lacks."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Dataset
from ..errors import JaxbqError
from ..methods import programs
from ..options import describe
from ..runtime.compiled import kept_programs
from ..runtime.devices import computing
from ..runtime.files import clear_leftovers, remove
from ..runtime.processes import Member
from ..training import Autoencoder, reconstruction
from .cells import Alone, Inversions, Leader, Listener, Share
from .config import Experiment, FileNetwork
from .environment import data_checksum, environment, network_checksum
from .folder import AUTOENCODERS, NetworkName, RunFolder
from .lock import locked
from .networks import trained_networks
from .results import is_scored, read_found, write_outcome
from .worker import help_run, invert_cell, label_of


def run(
    experiment: Experiment,
    out: Path,
    listener: Listener,
    data: Dataset | None = None,
    finish: Callable[[RunFolder], None] | None = None,
    command: str | None = None,
    member: Member | None = None,
) -> RunFolder:
    """Do what the run folder of an experiment lacks: train, invert, score.

    Every file is complete or absent, so a run that was stopped goes on where it was; the result is
    the same, to the bit, as that of a run that was not. Compiled programs are kept for later runs.

    Args:
        experiment: the resolved config.
        out: folder that run folders are made in.
        listener: hears how it goes.
        data: the data of ``experiment.data`` where they are loaded already, so that what is made
            of them is not made again for another experiment.
        finish: is given the run folder in the end, while no other run may write to it.
        command: to repeat the run with; it is kept beside the environment.
        member: this process among several that share the work, each of which calls this with the
            same experiment. Only process 0 needs ``out`` and writes there, and only its listener
            hears anything; the others return when all work is done that they can share.

    Returns:
        The run folder; in other processes than the first, where it would be.

    Raises:
        JaxbqError: something cannot be done, or another run is doing it; what was finished stays.
    """
    folder = RunFolder.of(experiment, out)
    with kept_programs(), computing(experiment.precision):
        data = experiment.data.load() if data is None else data
        data = experiment.network.seen(data)
        listener.say(f"data: {data.describe()}")
        model = experiment.network.build(data)
        targets = experiment.targets.targets(data.classes, model.output)
        # Before the first minute of training: is there a method that will refuse?
        for method in experiment.methods:
            method.check(model, data.reference, targets)
        trains = not isinstance(experiment.network, FileNetwork)
        if trains or "permuted_labels" in experiment.controls:
            experiment.training.check(model, len(data.train_labels))
        experiment.scores.check(data)
        work = member.next_work() if member else ""
        if member:
            member.agree(work, _agreed(experiment, data))
            if not member.leads:
                help_run(member, work, experiment, targets, data)
                return folder
        folder.create([*range(experiment.networks.seeds), *experiment.controls])
        with locked(folder.path) as alone:
            if alone:
                clear_leftovers(folder.path)
            share = Leader(member, work, folder, listener) if member else Alone()
            _fill(folder, experiment, targets, data, listener, command, share)
            if finish:
                finish(folder)
    return folder


def _fill(
    folder: RunFolder,
    experiment: Experiment,
    targets: np.ndarray,
    data: Dataset,
    listener: Listener,
    command: str | None,
    share: Share,
) -> None:
    """Do what the folder lacks."""
    _begin(folder, experiment, data, command)
    networks = trained_networks(folder, experiment, data, listener, share)
    _autoencoders(folder, experiment, data, listener)
    missing = list(_missing_inversions(folder, experiment, networks, listener))
    if missing:
        # They are of other files than there will be; stopped in between, nobody could tell.
        remove(folder.scores)
    for cell in share.cells(Inversions, missing):
        network = networks[cell.network]
        invert_cell(cell, folder, experiment, network, targets, data, listener, share.devices)
    found = read_found(folder, experiment, networks)
    if not is_scored(folder):
        write_outcome(folder, experiment, networks, found, data, listener)


def _missing_inversions(
    folder: RunFolder,
    experiment: Experiment,
    networks: Iterable[NetworkName],
    listener: Listener,
) -> Iterator[Inversions]:
    """List what the folder lacks, by program; say what it holds."""

    def there(name: NetworkName, number: int) -> bool:
        return folder.inversion(name, number, experiment.methods[number]).exists()

    for name in networks:
        for numbers in programs(experiment.methods):
            own = [n for n in numbers if not there(name, n)]
            cell = Inversions(name, tuple(numbers), tuple(own))
            if own:
                yield cell
            else:
                listener.say(f"{label_of(cell, experiment)}: done already")


def _agreed(experiment: Experiment, data: Dataset) -> dict[str, str]:
    """Sum up what all processes must have the same of."""
    return {"config": experiment.digest} | _checksums(experiment, data)


def _checksums(experiment: Experiment, data: Dataset) -> dict[str, str]:
    checksums = {"data_sha256": data_checksum(data)}
    if isinstance(experiment.network, FileNetwork):
        checksums["network_sha256"] = network_checksum(experiment.network.open(data))
    return checksums


def _begin(folder: RunFolder, experiment: Experiment, data: Dataset, command: str | None) -> None:
    """Write config and environment, or check that a begun run is about the same data."""
    if folder.read_json("config.json") is None:
        folder.write_json("config.json", experiment.resolved())
    known = folder.read_json("environment.json")
    checksums = _checksums(experiment, data)
    if known is None:
        about = environment(experiment.precision) | ({"command": command} if command else {})
        folder.write_json("environment.json", about | checksums)
        return
    for name, checksum in checksums.items():
        if not isinstance(known, dict) or known.get(name) != checksum:
            what = "data" if name == "data_sha256" else f"weights in {experiment.network.file}"  # type: ignore[union-attr]
            raise JaxbqError(
                f"{folder.path}: was begun with other {what} under the same config; "
                "delete it, or run with --out elsewhere"
            )


def _autoencoders(
    folder: RunFolder, experiment: Experiment, data: Dataset, listener: Listener
) -> None:
    """Train the autoencoders that methods use, and say how well they give test images back."""
    wanted = list(dict.fromkeys(found for m in experiment.methods for found in _used(m)))
    if not wanted or folder.read_json(AUTOENCODERS) is not None:
        return
    rows = []
    for autoencoder in wanted:
        found = reconstruction(autoencoder, data.reference, data.test_images, experiment.dtype)
        listener.say(
            f"{describe(autoencoder)}: mean squared error of test images {found.error:.4f} a pixel "
            f"({autoencoder.code} principal components {found.pca:.4f}, "
            f"the mean image {found.mean_image:.4f})"
        )
        rows.append(dataclasses.asdict(found))
    folder.write_json(AUTOENCODERS, rows)


def _used(options: Any) -> Iterator[Autoencoder]:
    """Find the autoencoders within a method's options."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if isinstance(value, Autoencoder):
            yield value
        elif dataclasses.is_dataclass(value):
            yield from _used(value)
