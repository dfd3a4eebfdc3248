"""Doing an experiment: whatever its run folder lacks."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from ..data import Dataset
from ..errors import JaxbqError
from ..evaluation import Judge, NaturalnessScale, Scores, score, spread
from ..methods import Result, programs, reason_name, sweep
from ..mlp import MLP, Params
from ..options import describe
from ..training import EpochMetrics, TrainingDivergedError, robustness, train
from ..weights import NetworkFile, load_network, save_network
from .config import Experiment
from .environment import data_checksum, environment
from .folder import NATURALNESS, RunFolder, write_csv

_SCORE_COLUMNS = ("method", "target", "sample", "reason", "iterations", *Scores._fields)
_SPREAD_COLUMNS = ("method", "target", "samples", "distinct", "mean_correlation")


@runtime_checkable
class Listener(Protocol):
    """Who hears how a run goes."""

    def say(self, text: str) -> None:
        """Hear one line."""
        ...

    def epoch(self, metrics: EpochMetrics, epochs: int) -> None:
        """Hear that an epoch has ended."""
        ...

    def progress(self, what: str, done: int, total: int) -> None:
        """Hear how far something is."""
        ...


def run(experiment: Experiment, out: Path, listener: Listener) -> RunFolder:
    """Do what the run folder of an experiment lacks: train, invert, score.

    Every file is complete or absent, so a run that was stopped goes on where it was; the result is
    the same, to the bit, as that of a run that was not.

    Args:
        experiment: the resolved config.
        out: folder that run folders are made in.
        listener: hears how it goes.

    Returns:
        The run folder.

    Raises:
        JaxbqError: something cannot be done; what was finished stays.
    """
    folder = RunFolder.of(experiment, out)
    with jax.enable_x64(experiment.precision == "float64"):
        data = experiment.data.load()
        listener.say(f"data: {data.describe()}")
        model = experiment.network.build(data)
        targets = experiment.targets.targets(data.classes, model.output)
        # Before the first minute of training: is there a method that will refuse?
        for method in experiment.methods:
            method.check(model, data.reference, targets)
        experiment.training.check(model, len(data.train_labels))
        folder.create()
        _begin(folder, experiment, data)
        network = _network(folder, experiment, data, listener)
        for numbers in programs(experiment.methods):
            _invert(numbers, experiment, folder, network, targets, data, listener)
        methods = enumerate(experiment.methods)
        results = [folder.read_result(folder.inversion(n, method)) for n, method in methods]
        judge = _judge(folder, experiment, data, listener) if experiment.judge else None
        scale = NaturalnessScale(data)
        folder.write_json(NATURALNESS, scale.real)
        rows = _score_rows(results, model.output, data, scale, judge)
        write_csv(folder.scores, _SCORE_COLUMNS, rows)
        write_csv(folder.spread, _SPREAD_COLUMNS, _spread_rows(results))
    return folder


def train_network(
    experiment: Experiment, save: Path, listener: Listener
) -> tuple[EpochMetrics, ...]:
    """Train the network of an experiment and save it; return the metrics of every epoch.

    Args:
        experiment: the resolved config; its methods do not matter here.
        save: the network file to write.
        listener: hears how it goes.

    Raises:
        JaxbqError: network, data and training do not fit each other, or training diverged; then
            the last good weights are beside ``save``, under a name that the message says.
    """
    with jax.enable_x64(experiment.precision == "float64"):
        data = experiment.data.load()
        listener.say(f"data: {data.describe()}")
        history = _train(experiment, data, save, listener)
        _attack(experiment, load_network(save), data, listener)
        return history


def _begin(folder: RunFolder, experiment: Experiment, data: Dataset) -> None:
    """Write config and environment, or check that a begun run is about the same data."""
    known = folder.read_json("environment.json")
    if known is None:
        folder.write_json("config.json", experiment.resolved())
        folder.write_json("environment.json", environment(experiment.precision, data))
    elif known.get("data_sha256") != data_checksum(data):
        raise JaxbqError(
            f"{folder.path}: was begun with other data under the same config; "
            "delete it, or run with --out elsewhere"
        )


def _network(
    folder: RunFolder, experiment: Experiment, data: Dataset, listener: Listener
) -> NetworkFile:
    # The history is written last: where it is, the network is.
    if folder.history.exists():
        listener.say("network: trained already")
        return load_network(folder.network)
    history = _train(experiment, data, folder.network, listener)
    network = load_network(folder.network)
    attacked = _attack(experiment, network, data, listener)
    if attacked is not None:
        folder.write_json(str(folder.robustness.relative_to(folder.path)), attacked)
    folder.write_history(history)
    return network


def _attack(
    experiment: Experiment, network: NetworkFile, data: Dataset, listener: Listener
) -> dict[str, Any] | None:
    """Measure how a network trained with an adversary stands it."""
    adversary = getattr(experiment.training, "adversary", None)
    if adversary is None:
        return None
    key = _key(experiment, "attack")
    found = robustness(network.model, network.params, data, adversary, key)
    listener.say(
        f"test accuracy {found.clean:.4f} clean, {found.attacked:.4f} under the training's attack "
        f"with {found.adversary.steps} steps"
    )
    return dataclasses.asdict(found)


def _train(
    experiment: Experiment, data: Dataset, save: Path, listener: Listener
) -> tuple[EpochMetrics, ...]:
    model = experiment.network.build(data)
    control = experiment.network.control
    if control == "random_weights":
        params = model.init(_key(experiment, "network"), experiment.precision)
        _save(save, model, params, data)
        return ()
    try:
        trained = train(
            model,
            _permuted(data, _key(experiment, "control")) if control == "permuted_labels" else data,
            experiment.training,
            key=_key(experiment, "network"),
            dtype=experiment.precision,
            on_epoch=lambda metrics: listener.epoch(metrics, experiment.training.epochs),
        )
    except TrainingDivergedError as fault:
        kept = save.with_name(f"{save.stem}.last-good.safetensors")
        _save(kept, model, fault.last_good.params, data)
        raise JaxbqError(f"{fault} in {kept}") from fault
    _save(save, model, trained.params, data)
    return trained.history


def _permuted(data: Dataset, key: jax.Array) -> Dataset:
    """Give the training images each other's labels."""
    order = jax.random.permutation(key, len(data.train_labels))
    return dataclasses.replace(data, train_labels=data.train_labels[np.asarray(order)])


def _save(path: Path, model: MLP, params: Params, data: Dataset) -> None:
    save_network(path, NetworkFile(model, params, data.space, data.class_names))


def _key(experiment: Experiment, purpose: str) -> jax.Array:
    """Derive the key of a purpose from the seed; no key is used for two."""
    purposes = ("network", "methods", "judge", "control", "attack")
    return jax.random.fold_in(jax.random.key(experiment.seed), purposes.index(purpose))


def _invert(
    numbers: Sequence[int],
    experiment: Experiment,
    folder: RunFolder,
    network: NetworkFile,
    targets: np.ndarray,
    data: Dataset,
    listener: Listener,
) -> None:
    """Run the methods of one program, all of them if any is missing, and write what is."""
    methods = [experiment.methods[n] for n in numbers]
    paths = [folder.inversion(n, m) for n, m in zip(numbers, methods, strict=True)]
    label = describe(methods[0])
    if len(methods) > 1:
        label += f" and {len(methods) - 1} more with other numbers"
    if all(path.exists() for path in paths):
        listener.say(f"{label}: done already")
        return
    results = sweep(
        methods,
        network.model,
        network.params,
        targets,
        reference=data,
        key=jax.random.fold_in(_key(experiment, "methods"), numbers[0]),
        progress=lambda done, total: listener.progress(label, done, total),
    )
    for path, result in zip(paths, results, strict=True):
        if not path.exists():
            folder.write_result(path, result)


def _judge(folder: RunFolder, experiment: Experiment, data: Dataset, listener: Listener) -> Judge:
    if not folder.judge.exists():
        listener.say("judge: training")
        judge = Judge.trained_on(data, _key(experiment, "judge"))
        _save(folder.judge, judge.model, judge.params, data)
    saved = load_network(folder.judge)
    judge = Judge.of(saved.model, saved.params, data)
    listener.say(f"judge: reads {judge.test_accuracy:.1%} of the test images right")
    return judge


def _score_rows(
    results: list[Result],
    output: str,
    data: Dataset,
    scale: NaturalnessScale,
    judge: Judge | None,
) -> Iterator[list[Any]]:
    """One row an image, methods in the order of the config."""
    for result in results:
        scores = score(result, output, data, scale=scale, judge=judge)
        for target, sample in np.ndindex(*result.images.shape[:2]):
            yield [
                describe(result.method),
                target,
                sample,
                reason_name(result.reasons[target, sample]),
                int(result.iterations[target, sample]),
                *(values[target, sample].item() for values in scores),
            ]


def _spread_rows(results: list[Result]) -> Iterator[list[Any]]:
    """One row a target, for the methods that give several images of each."""
    for result in results:
        samples = result.images.shape[1]
        if samples > 1:
            found = spread(result.images)
            for target, (distinct, alike) in enumerate(zip(*found, strict=True)):
                yield [describe(result.method), target, samples, int(distinct), float(alike)]
