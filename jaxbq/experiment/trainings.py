"""The networks of an experiment: trained, attacked, saved."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..data import Dataset
from ..diagnosis import plausibility
from ..errors import JaxbqError
from ..network.files import NetworkFile, load_network, save_network
from ..network.inputs import Inputs
from ..runtime.devices import computing
from ..runtime.files import remove
from ..training import (
    Checkpoint,
    EpochMetrics,
    Trained,
    TrainingDivergedError,
    robustness,
    train_many,
    trains_together,
)
from .cells import Job, Listener
from .config import Experiment, FileNetwork, NetworkConfig, NetworksConfig
from .folder import NetworkName, RunFolder
from .python_network import PythonNetwork


def train_network(
    experiment: Experiment, save: Path, listener: Listener
) -> tuple[EpochMetrics, ...]:
    """Train the first network of an experiment and save it; return the metrics of every epoch.

    Where the training stands is kept beside ``save`` until then, so that it goes on if stopped.

    Args:
        experiment: the resolved config; its methods do not matter here.
        save: the network file to write.
        listener: hears how it goes.

    Raises:
        JaxbqError: network, data and training do not fit each other, or training diverged; then
            the last good weights are beside ``save``, under a name that the message says.
    """
    source = experiment.network
    if not isinstance(source, NetworkConfig):
        raise JaxbqError(f"network {source.source} is trained already; use jaxbq import, or run")
    with computing(experiment.precision):
        data = experiment.data.load()
        listener.say(f"data: {data.describe()}")
        histories: list[tuple[EpochMetrics, ...]] = []

        def keep(number: int, trained: Trained) -> None:
            keep_network(save, experiment.network.build(data), trained.params, data)
            remove(kept)
            histories.append(trained.history)

        kept = save.with_name(f"{save.stem}.checkpoint.npz")
        job = Job(RunFolder(save.parent), experiment, data, listener)
        _train([0], job, keep, lambda number: save, lambda number: kept)
        _attack(0, job, load_network(save))
        return histories[0]


@dataclasses.dataclass(frozen=True)
class TrainingCell:
    """Networks to train one after another, or as one batch.

    Args:
        networks: numbers of networks, or the name of one control.
        wanted: those whose files are missing; the others are trained for the batch's sake.
    """

    networks: tuple[NetworkName, ...]
    wanted: tuple[NetworkName, ...]

    def inputs(self, job: Job) -> list[Path]:
        """Name the files of where each training stands, and that of all together."""
        together = [None] if len(self.networks) > 1 else []
        return [job.folder.checkpoint(name) for name in [*together, *self.networks]]

    def compute(self, job: Job) -> list[Path]:
        """Train, and write each network as soon as it is trained."""
        if isinstance(self.networks[0], str):
            _train_control(self.networks[0], job)
        else:
            self._train(job)
        return [file for name in self.wanted for file in job.folder.network_files(name)]

    def _train(self, job: Job) -> None:
        folder, data = job.folder, job.data
        model = job.experiment.network.build(data)

        def keep(number: int, trained: Trained) -> None:
            if number not in self.wanted:
                return
            keep_network(folder.network(number), model, trained.params, data)
            attacked = _attack(number, job, load_network(folder.network(number)))
            if attacked is not None:
                folder.write_json(folder.robustness(number).relative_to(folder.path), attacked)
            folder.write_history(trained.history, number)
            remove(folder.checkpoint(number))

        numbers = [number for number in self.networks if isinstance(number, int)]
        _train(numbers, job, keep, folder.network, folder.checkpoint)


def untrained(job: Job) -> list[TrainingCell]:
    """List the trainings that the folder lacks."""
    folder, experiment = job.folder, job.experiment
    # The history is written last: where it is, the network is.
    names = [*range(experiment.networks.seeds), *experiment.controls]
    missing = [n for n in names if not (folder.history(n).exists() and folder.network(n).exists())]
    apart = [name for name in missing if isinstance(name, str)]
    numbers = [name for name in missing if isinstance(name, int)]
    if not trains_together(experiment.networks.together, experiment.networks.seeds):
        return [TrainingCell((name,), (name,)) for name in missing]
    batch = numbers
    if numbers and folder.checkpoint().exists():
        # A part of them would be another batch, and the same only up to rounding.
        batch = list(range(experiment.networks.seeds))
    cells = [TrainingCell(tuple(batch), tuple(numbers))] if batch else []
    return cells + [TrainingCell((name,), (name,)) for name in apart]


def _train_control(control: str, job: Job) -> None:
    """Make a network that has learnt nothing, of the experiment's specification.

    It is the first network of the same experiment with ``network.control``.
    """
    file, kept = job.folder.network(control), job.folder.checkpoint(control)
    model = job.experiment.network.build(job.data)
    alone = dataclasses.replace(job.experiment, networks=NetworksConfig(), controls=())

    def keep(number: int, trained: Trained) -> None:
        keep_network(file, model, trained.params, job.data)
        job.folder.write_history(trained.history, control)

    own = dataclasses.replace(job, experiment=alone)
    _train([0], own, keep, lambda n: file, lambda n: kept, control)
    remove(kept)


def take_over(source: FileNetwork | PythonNetwork, job: Job) -> None:
    """Copy a trained network into the folder, where it stands for itself; check what it reads.

    It has no history, since nothing was trained.

    Raises:
        JaxbqError: as :meth:`FileNetwork.open`.
    """
    folder = job.folder
    if folder.history().exists() and folder.network().exists():
        return
    network = source.open(job.data)
    params = jax.tree.map(lambda leaf: leaf.astype(job.experiment.dtype), network.params)
    network = dataclasses.replace(network, params=params)
    if isinstance(source, PythonNetwork):
        job.listener.say(f"network {source.source}: {source.describe(job.data)}")
    else:
        _check_file(source, network, job)
    save_network(folder.network(), network)
    folder.write_history(())


def _check_file(source: FileNetwork, network: NetworkFile, job: Job) -> None:
    """Say what the network of a file reads, what was assumed of it, and what is likelier."""
    listener = job.listener
    found = plausibility(network.model, network.params, job.data, network.settled)
    listener.say(f"network {source.file}: accuracy {found.accuracy:.4f}")
    guessed = [what for what in ("hidden", "output") if what in network.assumed]
    if guessed:
        options = " and ".join(f"network.{_OPTION.get(what, what)}" for what in guessed)
        listener.say(
            f"assumed, since the file does not say: {' and '.join(guessed)} sigmoid ({options})"
        )
    for note in network.notes:
        listener.say(f"note: {note}")
    if found.doubtful:
        listener.say(f"warning: {found.advice(_as_options)}")


# What the config calls things otherwise than import does.
_OPTION = {"hidden": "activation"} | {
    field.name: f"inputs.{field.name}" for field in dataclasses.fields(Inputs)
}


def _as_options(changes: Mapping[str, Any]) -> str:
    """Write changes to what was said of a network as keys of a config."""
    return " ".join(
        f"network.{_OPTION.get(name, name)} = {json.dumps(value)}"
        for name, value in changes.items()
    )


def _attack(number: int, job: Job, network: NetworkFile) -> dict[str, Any] | None:
    """Measure how a network trained with an adversary stands it."""
    experiment = job.experiment
    adversary = getattr(experiment.training, "adversary", None)
    if adversary is None or experiment.network.control == "random_weights":
        return None
    key = key_of(experiment, "attack", number)
    found = robustness(network.model, network.params, job.data, adversary, key)
    job.listener.say(
        f"test accuracy {found.clean:.4f} clean, {found.attacked:.4f} under the training's attack "
        f"with {found.adversary.steps} steps"
    )
    return dataclasses.asdict(found)


def _train(
    numbers: Sequence[int],
    job: Job,
    keep: Callable[[int, Trained], None],
    path: Callable[[int], Path],
    checkpoint: Callable[[int | None], Path],
    control: str | None = None,
) -> None:
    """Train networks by number, and keep each as soon as it is trained.

    ``path`` names the file of a network, ``checkpoint`` that of where its training stands, of None
    that of all; ``control`` says which of the run it is, where it is one.
    """
    experiment, data, listener = job.experiment, job.data, job.listener
    called = control or "training"
    control = control or experiment.network.control
    model: Any = experiment.network.build(data)
    keys = [key_of(experiment, "network", number) for number in numbers]
    if control == "random_weights":
        for number, key in zip(numbers, keys, strict=True):
            params = model.init(key, experiment.dtype, experiment.training.initial_scale)
            keep(number, Trained(params, ()))
        return
    labels = None
    if control == "permuted_labels":
        labels = np.stack([_permuted(data, key_of(experiment, "control", n)) for n in numbers])
    several = experiment.networks.seeds > 1

    def hear(place: int, metrics: EpochMetrics) -> None:
        name = f"network {numbers[place]}" if several else called
        listener.epoch(metrics, experiment.training.epochs, name)

    def kept(place: int | None) -> Checkpoint | None:
        if place is None and len(numbers) < experiment.networks.seeds:
            return None  # only some of all, whose files somebody has deleted
        file = checkpoint(None if place is None else numbers[place])
        if file.exists():
            which = f"network {numbers[place]}" if several and place is not None else called
            listener.say(f"{which}: goes on where it was stopped")
        return Checkpoint(file)

    try:
        train_many(
            model,
            data,
            experiment.training,
            keys=keys,
            labels=labels,
            dtype=experiment.dtype,
            together=experiment.networks.together,
            on_epoch=hear,
            on_trained=lambda place, trained: keep(numbers[place], trained),
            checkpoint=kept,
        )
    except TrainingDivergedError as fault:
        number = numbers[fault.network]
        last_good = path(number).with_name(f"{path(number).stem}.last-good.safetensors")
        keep_network(last_good, model, fault.last_good.params, data)
        for stopped in (number, None):
            remove(checkpoint(stopped))
        which = f"network {number}: " if several else ""
        raise JaxbqError(f"{which}{fault} in {last_good}") from fault


def _permuted(data: Dataset, key: jax.Array) -> np.ndarray:
    """Give the training images each other's labels."""
    order = jax.random.permutation(key, len(data.train_labels))
    return data.train_labels[np.asarray(order)]


def keep_network(path: Path, model: Any, params: Any, data: Dataset) -> None:
    """Save a network with what its images and classes are."""
    save_network(path, NetworkFile(model, params, data.space, data.class_names))


def key_of(experiment: Experiment, purpose: str, network: int = 0) -> jax.Array:
    """Derive the key of a purpose from the seed, of a network from its own; none is used twice."""
    # What is gone keeps its number: those of the others must not change.
    purposes = ("network", "methods", "(judge)", "control", "attack")
    seed = (experiment.seed + network) % 2**32
    return jax.random.fold_in(jax.random.key(seed), purposes.index(purpose))
