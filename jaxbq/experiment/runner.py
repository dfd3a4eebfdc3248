"""Doing an experiment: whatever its run folder lacks."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..compiled import kept_programs
from ..data import Dataset
from ..errors import JaxbqError
from ..files import clear_leftovers, remove
from ..generators import Autoencoder, reconstruction
from ..methods import programs, sweep
from ..options import describe
from ..weights import NetworkFile
from .config import Experiment
from .environment import data_checksum, environment, network_checksum
from .folder import AUTOENCODERS, NetworkName, RunFolder
from .listener import Listener
from .lock import locked
from .network_options import FileNetwork
from .networks import control_network, key_of, trained_networks
from .outcome import is_scored, read_found, write_outcome


def run(
    experiment: Experiment,
    out: Path,
    listener: Listener,
    data: Dataset | None = None,
    finish: Callable[[RunFolder], None] | None = None,
    command: str | None = None,
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

    Returns:
        The run folder.

    Raises:
        JaxbqError: something cannot be done, or another run is doing it; what was finished stays.
    """
    folder = RunFolder.of(experiment, out)
    with kept_programs(), jax.enable_x64(experiment.precision == "float64"):
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
        folder.create([*range(experiment.networks.seeds), *experiment.controls])
        with locked(folder.path) as alone:
            if alone:
                clear_leftovers(folder.path)
            _fill(folder, experiment, targets, data, listener, command)
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
) -> None:
    """Do what the folder lacks."""
    _begin(folder, experiment, data, command)
    networks: dict[NetworkName, NetworkFile] = dict(
        enumerate(trained_networks(folder, experiment, data, listener))
    )
    for control in experiment.controls:
        networks[control] = control_network(control, folder, experiment, data, listener)
    _autoencoders(folder, experiment, data, listener)
    for name, network in networks.items():
        for alike in programs(experiment.methods):
            _invert(alike, experiment, folder, name, network, targets, data, listener)
    found = read_found(folder, experiment, networks)
    if not is_scored(folder):
        write_outcome(folder, experiment, networks, found, data, listener)


def _begin(folder: RunFolder, experiment: Experiment, data: Dataset, command: str | None) -> None:
    """Write config and environment, or check that a begun run is about the same data."""
    if folder.read_json("config.json") is None:
        folder.write_json("config.json", experiment.resolved())
    known = folder.read_json("environment.json")
    checksums = {"data_sha256": data_checksum(data)}
    if isinstance(experiment.network, FileNetwork):
        checksums["network_sha256"] = network_checksum(experiment.network.open(data))
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
        found = reconstruction(autoencoder, data.reference, data.test_images, experiment.precision)
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


def _invert(
    numbers: Sequence[int],
    experiment: Experiment,
    folder: RunFolder,
    which: NetworkName,
    network: NetworkFile,
    targets: np.ndarray,
    data: Dataset,
    listener: Listener,
) -> None:
    """Run the methods of one program, all of them if any is missing, and write what is."""
    methods = [experiment.methods[n] for n in numbers]
    paths = [folder.inversion(which, n, m) for n, m in zip(numbers, methods, strict=True)]
    label = describe(methods[0])
    if len(methods) > 1:
        label += f" and {len(methods) - 1} more with other numbers"
    if isinstance(which, str):
        label = f"{which}: {label}"
    elif experiment.networks.seeds > 1:
        label = f"network {which}: {label}"
    if all(path.exists() for path in paths):
        listener.say(f"{label}: done already")
        return
    # They are of other files than there will be; stopped in between, nobody could tell.
    remove(folder.scores)
    # A control is the first network of its kind, and its methods start where they do there.
    own = 0 if isinstance(which, str) else which
    results = sweep(
        methods,
        network.model,
        network.params,
        targets,
        reference=data,
        key=jax.random.fold_in(key_of(experiment, "methods", own), numbers[0]),
        progress=lambda done, total: listener.progress(label, done, total),
    )
    for path, result in zip(paths, results, strict=True):
        if not path.exists():
            folder.write_result(path, result)
