"""Doing an experiment: whatever its run folder lacks."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..data import Dataset
from ..errors import JaxbqError
from ..evaluation import Judge, NaturalnessScale
from ..files import clear_leftovers
from ..generators import Autoencoder, reconstruction
from ..methods import programs, sweep
from ..options import describe
from ..weights import NetworkFile, load_network
from .config import Experiment, FileNetwork
from .environment import data_checksum, environment, network_checksum
from .folder import AUTOENCODERS, NATURALNESS, RunFolder, write_csv
from .listener import Listener
from .lock import locked
from .networks import keep_network, key_of, trained_networks
from .tables import SCORE_COLUMNS, SPREAD_COLUMNS, score_rows, spread_rows


def run(
    experiment: Experiment,
    out: Path,
    listener: Listener,
    data: Dataset | None = None,
    finish: Callable[[RunFolder], None] | None = None,
) -> RunFolder:
    """Do what the run folder of an experiment lacks: train, invert, score.

    Every file is complete or absent, so a run that was stopped goes on where it was; the result is
    the same, to the bit, as that of a run that was not.

    Args:
        experiment: the resolved config.
        out: folder that run folders are made in.
        listener: hears how it goes.
        data: the data of ``experiment.data`` where they are loaded already, so that what is made
            of them is not made again for another experiment.
        finish: is given the run folder in the end, while no other run may write to it.

    Returns:
        The run folder.

    Raises:
        JaxbqError: something cannot be done, or another run is doing it; what was finished stays.
    """
    folder = RunFolder.of(experiment, out)
    with jax.enable_x64(experiment.precision == "float64"):
        data = experiment.data.load() if data is None else data
        data = experiment.network.seen(data)
        listener.say(f"data: {data.describe()}")
        model = experiment.network.build(data)
        targets = experiment.targets.targets(data.classes, model.output)
        # Before the first minute of training: is there a method that will refuse?
        for method in experiment.methods:
            method.check(model, data.reference, targets)
        if not isinstance(experiment.network, FileNetwork):
            experiment.training.check(model, len(data.train_labels))
        folder.create(experiment.networks.seeds)
        with locked(folder.path) as alone:
            if alone:
                clear_leftovers(folder.path)
            _fill(folder, experiment, targets, data, listener)
            if finish:
                finish(folder)
    return folder


def _fill(
    folder: RunFolder,
    experiment: Experiment,
    targets: np.ndarray,
    data: Dataset,
    listener: Listener,
) -> None:
    """Do what the folder lacks."""
    _begin(folder, experiment, data)
    networks = trained_networks(folder, experiment, data, listener)
    _autoencoders(folder, experiment, data, listener)
    for number, network in enumerate(networks):
        for alike in programs(experiment.methods):
            _invert(alike, experiment, folder, number, network, targets, data, listener)
    results = [
        [folder.read_result(folder.inversion(k, n, m)) for n, m in enumerate(experiment.methods)]
        for k in range(len(networks))
    ]
    judge = _judge(folder, experiment, data, listener) if experiment.judge else None
    scale = data.once("naturalness", lambda: NaturalnessScale(data))
    folder.write_json(NATURALNESS, scale.real)
    rows = score_rows(results, networks[0].model.output, data, scale, judge)
    write_csv(folder.scores, SCORE_COLUMNS, rows)
    write_csv(folder.spread, SPREAD_COLUMNS, spread_rows(results))


def _begin(folder: RunFolder, experiment: Experiment, data: Dataset) -> None:
    """Write config and environment, or check that a begun run is about the same data."""
    if folder.read_json("config.json") is None:
        folder.write_json("config.json", experiment.resolved())
    known = folder.read_json("environment.json")
    checksums = {"data_sha256": data_checksum(data)}
    if isinstance(experiment.network, FileNetwork):
        checksums["network_sha256"] = network_checksum(experiment.network.open(data))
    if known is None:
        folder.write_json("environment.json", environment(experiment.precision) | checksums)
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
    which: int,
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
    if experiment.networks.seeds > 1:
        label = f"network {which}: {label}"
    if all(path.exists() for path in paths):
        listener.say(f"{label}: done already")
        return
    results = sweep(
        methods,
        network.model,
        network.params,
        targets,
        reference=data,
        key=jax.random.fold_in(key_of(experiment, "methods", which), numbers[0]),
        progress=lambda done, total: listener.progress(label, done, total),
    )
    for path, result in zip(paths, results, strict=True):
        if not path.exists():
            folder.write_result(path, result)


def _judge(folder: RunFolder, experiment: Experiment, data: Dataset, listener: Listener) -> Judge:
    if not folder.judge.exists():
        listener.say("judge: training")
        judge = data.once(
            ("judge", experiment.seed, experiment.precision),
            lambda: Judge.trained_on(data, key_of(experiment, "judge")),
        )
        keep_network(folder.judge, judge.model, judge.params, data)
    saved = load_network(folder.judge)
    judge = Judge.of(saved.model, saved.params, data)
    listener.say(f"judge: reads {judge.test_accuracy:.1%} of the test images right")
    return judge
