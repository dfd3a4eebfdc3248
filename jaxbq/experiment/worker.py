"""The cells that a process computes: inversions of a network, and a run that another leads."""

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from ..data import Dataset
from ..methods import sweep
from ..network.files import NetworkFile, load_network
from ..options import describe
from ..runtime.devices import Devices
from ..runtime.processes import Member
from .cells import Inversions, Listener, Training, Worker
from .config import Experiment
from .folder import NetworkName, RunFolder
from .networks import key_of, train_cell


def invert_cell(
    cell: Inversions,
    folder: RunFolder | None,
    experiment: Experiment,
    network: NetworkFile,
    targets: np.ndarray,
    data: Dataset,
    listener: Listener,
    devices: Devices = None,
) -> None:
    """Run the methods of one program, all of them if any is missing, and write what is.

    Args:
        cell: which methods, for which network.
        folder: where results are written; None where another process writes them.
        experiment: the resolved config.
        network: that of the cell.
        targets: wanted outputs, one target a row.
        data: images that methods may know.
        listener: hears how it goes. Whether one hears decides about programs, so every process
            has one.
        devices: that share the images; by default all of this process.
    """
    label = label_of(cell, experiment)
    # A control is the first network of its kind, and its methods start where they do there.
    own = 0 if isinstance(cell.network, str) else cell.network
    results = sweep(
        [experiment.methods[number] for number in cell.methods],
        network.model,
        network.params,
        targets,
        reference=data,
        key=jax.random.fold_in(key_of(experiment, "methods", own), cell.methods[0]),
        progress=lambda done, total: listener.progress(label, done, total),
        devices=devices,
    )
    if folder is None:
        return
    for number, result in zip(cell.methods, results, strict=True):
        if number in cell.wanted:
            path = folder.inversion(cell.network, number, experiment.methods[number])
            folder.write_result(path, result)


def label_of(cell: Inversions, experiment: Experiment) -> str:
    """Say what a cell is, to the user."""
    label = describe(experiment.methods[cell.methods[0]])
    if len(cell.methods) > 1:
        label += f" and {len(cell.methods) - 1} more with other numbers"
    if isinstance(cell.network, str):
        return f"{cell.network}: {label}"
    return f"network {cell.network}: {label}" if experiment.networks.seeds > 1 else label


def help_run(
    member: Member, work: str, experiment: Experiment, targets: np.ndarray, data: Dataset
) -> None:
    """Do this process's share of an experiment, and send it to process 0.

    Files are written in a temporary folder first, by the code that writes those of a run: file
    systems need not be shared.

    Raises:
        JaxbqError: something cannot be done.
    """
    scratch = tempfile.TemporaryDirectory(prefix="jaxbq-", ignore_cleanup_errors=True)
    # Where a loss ends this process at once, nobody else tidies up.
    member.at_end.append(scratch.cleanup)
    with scratch:
        folder = RunFolder.of(experiment, Path(scratch.name))
        folder.create([*range(experiment.networks.seeds), *experiment.controls])
        worker = Worker(member, work, folder)
        device = jax.local_devices()[0]
        worker.say(f"helps, from {member.peers[member.process].host}, on {device.device_kind}")

        def train(cell: Training) -> Sequence[Path]:
            together = len(cell.networks) > 1
            for name in (None, *cell.networks) if together else cell.networks:
                worker.fetch(folder.checkpoint(name))
            train_cell(cell, folder, experiment, data, worker)
            return [file for name in cell.wanted for file in folder.network_files(name)]

        @functools.cache
        def network_of(name: NetworkName) -> NetworkFile:
            worker.fetch(folder.network(name))
            return load_network(folder.network(name))

        def invert(cell: Inversions) -> Sequence[Path]:
            network, own = network_of(cell.network), worker.devices is None
            where = folder if own else None
            invert_cell(cell, where, experiment, network, targets, data, worker, worker.devices)
            if not own:
                return []
            methods = experiment.methods
            wanted = [(cell.network, number, methods[number]) for number in cell.wanted]
            return [file for each in wanted for file in folder.inversion_files(*each)]

        worker.work(Training, train)
        worker.work(Inversions, invert)
        worker.part()
