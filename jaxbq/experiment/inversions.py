"""The inversions of an experiment: the methods of one program, for one network."""

import jax
import numpy as np

from ..data import Dataset
from ..methods import sweep
from ..network.files import NetworkFile
from ..options import describe
from ..runtime.devices import Devices
from .cells import Inversions, Listener
from .config import Experiment
from .folder import RunFolder
from .networks import key_of


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
