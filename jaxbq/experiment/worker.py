"""What a process does in a run that another leads: its share of trainings and inversions."""

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from ..data import Dataset
from ..network.files import NetworkFile, load_network
from ..runtime.processes import Member
from .cells import Inversions, Training, Worker
from .config import Experiment
from .folder import NetworkName, RunFolder
from .inversions import invert_cell
from .networks import train_cell


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
