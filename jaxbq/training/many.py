"""Training many networks of one specification: in one program, or one after another."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ..data import Dataset
from ..network.mlp import MLP
from ..runtime.devices import Devices, on_devices
from .checkpoint import Checkpoint
from .loop import (
    Trained,
    TrainingDivergedError,
    checked,
    last_good_on_one_device,
    train,
    train_epochs,
)
from .losses import EpochMetrics
from .rules import BookTraining, Training


def train_many(
    model: MLP,
    data: Dataset,
    training: Training | BookTraining | None = None,
    *,
    keys: Sequence[Array],
    labels: Int[np.ndarray, "networks train"] | None = None,
    dtype: str = "float32",
    together: bool | None = None,
    on_epoch: Callable[[int, EpochMetrics], None] | None = None,
    on_trained: Callable[[int, Trained], None] | None = None,
    checkpoint: Callable[[int | None], Checkpoint | None] | None = None,
    devices: Devices = None,
) -> tuple[Trained, ...]:
    """Train networks of one specification, each as :func:`train` with its own key would.

    In one compiled program for all, or one after another; up to rounding the same networks.

    Args:
        model: the specification.
        data: images and labels.
        training: the rule and its options; by default ``Training()``.
        keys: one a network.
        labels: training labels of each network, in place of those of the data.
        dtype: as for :func:`train`.
        together: whether in one program; by default on accelerators, which one small network does
            not fill, and not on CPUs, which it does.
        on_epoch: is given the number of a network, from 0, and the metrics of each of its epochs.
            Trained together, a network's seconds are its share of the time of all.
        on_trained: is given the number of a network and the network, as soon as it is trained.
        checkpoint: is given the number of a network and makes its checkpoint, as for
            :func:`train`; or is given None, and makes the one of all networks trained together,
            which is written after the last epoch too.
        devices: that share the networks where trained together, else every batch.

    Returns:
        The networks, in the order of the keys.

    Raises:
        JaxbqError: as for :func:`train`.
        TrainingDivergedError: of the first network whose training did; the error says which.
    """
    heard, done, kept = on_epoch or _ignore, on_trained or _ignore, checkpoint or _ignore
    every = np.stack([data.train_labels] * len(keys)) if labels is None else labels
    if trains_together(together, len(keys)):
        training = checked(model, data, training, dtype)
        begin, orders = zip(*(jax.random.split(key) for key in keys), strict=True)
        scale = training.initial_scale
        drawn = [model.init(key, jnp.dtype(dtype), scale) for key in begin]
        params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *drawn)
        given = model, data, training, keys, orders, params, every, dtype, heard, kept(None)
        with last_good_on_one_device(), on_devices(devices):
            trained = train_epochs(*given, together=True)
        found = tuple(one.on_one_device for one in trained)
        for number, one in enumerate(found):
            done(number, one)
        return found
    seen = [dataclasses.replace(data, train_labels=own) for own in every]
    networks = []
    for number, (key, own) in enumerate(zip(keys, seen, strict=True)):
        options: dict[str, Any] = {"dtype": dtype, "checkpoint": kept(number), "devices": devices}
        try:
            one = train(model, own, training, key=key, on_epoch=partial(heard, number), **options)
        except TrainingDivergedError as fault:
            fault.network = number
            raise
        networks.append(one)
        done(number, one)
    return tuple(networks)


def trains_together(together: bool | None, networks: int) -> bool:
    """Tell whether :func:`train_many` trains so many networks in one program."""
    wanted = jax.default_backend() != "cpu" if together is None else together
    return wanted and networks > 1


def _ignore(*what: Any) -> None:
    """Hear nothing."""
