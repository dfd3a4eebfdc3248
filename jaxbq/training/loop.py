"""Training a network from start to end: epochs, metrics, the stop when numbers overflow."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..data import Dataset
from ..errors import JaxbqError
from ..network.mlp import MLP, Params
from ..options import check
from ..runtime.devices import (
    Devices,
    device_count,
    on_devices,
    put_everywhere,
    shard_rows,
    to_one_device,
)
from .checkpoint import Checkpoint, Progress, fingerprint_of
from .losses import EpochMetrics
from .rare_pixels import part_images
from .rules import BookTraining, Training, TrainingArrays


@dataclass(frozen=True)
class Trained:
    """A trained network and how it came about.

    Args:
        params: parameters after the last epoch.
        history: metrics of every epoch.
    """

    params: Params
    history: tuple[EpochMetrics, ...]

    @property
    def on_one_device(self) -> "Trained":
        """The same, its parameters on the usual device alone."""
        return dataclasses.replace(self, params=to_one_device(self.params))

    @property
    def test_accuracy(self) -> float:
        """Share of test images answered right after the last epoch."""
        return self.history[-1].test_accuracy


class TrainingDivergedError(JaxbqError):
    """The loss or the parameters stopped being finite.

    Args:
        message: what happened, when, and what to change.
        last_good: parameters and metrics of the last epoch that was finite.
        network: which of several, counted from 0.
    """

    def __init__(self, message: str, last_good: Trained, network: int = 0) -> None:
        super().__init__(message)
        self.last_good = last_good
        self.network = network


def train(
    model: MLP,
    data: Dataset,
    training: Training | BookTraining | None = None,
    *,
    key: Array | None = None,
    params: Params | None = None,
    dtype: str = "float32",
    on_epoch: Callable[[EpochMetrics], None] | None = None,
    checkpoint: Checkpoint | None = None,
    devices: Devices = None,
) -> Trained:
    """Train a network; each epoch is one compiled program over data on the device.

    Args:
        model: the network. Its ends must fit the data.
        data: images and labels.
        training: the rule and its options; by default ``Training()``.
        key: where initial parameters and the order of images come from; by default seed 0.
        params: parameters to start from; by default drawn from ``key``.
        dtype: of parameters and images, ``float32`` or ``float64`` (with x64 enabled in JAX).
        on_epoch: is given the metrics of every epoch as soon as it ends.
        checkpoint: where the training stands is kept in it, and if it was stopped it goes on from
            there, to the same bits. The caller removes it.
        devices: that share every batch out among them: so many of this process, or which; by
            default all. The network is the same up to rounding. The book's rule takes one.

    Returns:
        The parameters and the metrics of every epoch.

    Raises:
        JaxbqError: options, network and data do not fit each other, or the checkpoint does not.
        TrainingDivergedError: the loss or a parameter is not finite any more; the error carries
            the last good parameters.
    """
    training = checked(model, data, training, dtype)
    key = jax.random.key(0) if key is None else key
    init_key, order_key = jax.random.split(key)
    if params is None:
        params = model.init(init_key, jnp.dtype(dtype), training.initial_scale)
    model.check(params)
    try:
        with on_devices(devices, several=training.spreads):
            trained = _train(
                model, data, training, key, order_key, params, dtype, on_epoch, checkpoint
            )
    except TrainingDivergedError as fault:
        fault.last_good = fault.last_good.on_one_device
        raise
    return trained.on_one_device


def _train(
    model: MLP,
    data: Dataset,
    training: Training | BookTraining,
    key: Array,
    order_key: Array,
    params: Params,
    dtype: str,
    on_epoch: Callable[[EpochMetrics], None] | None,
    checkpoint: Checkpoint | None,
) -> Trained:
    """Train epoch by epoch, on the devices at hand."""
    arrays = put_everywhere(arrays_of(model, data, data.train_labels, training, dtype, alone=True))
    state = training.start(model, params, len(arrays.images))
    tested = put_everywhere((jnp.asarray(data.test_images, dtype), jnp.asarray(data.test_labels)))
    trained = Trained(params, ())
    if checkpoint:
        what = (model, training, dtype)
        fingerprint = partial(fingerprint_of, what, [key], params, data, data.train_labels)
        begin = Progress(params, state, ((),))
        params, state, (history,) = checkpoint.restore(begin, fingerprint)
        trained = Trained(params, history)
    params, state = put_everywhere((params, state))
    for epoch in range(len(trained.history) + 1, training.epochs + 1):
        epoch_key = jax.random.fold_in(order_key, epoch)
        order = training.order(epoch_key, len(arrays.images))
        begun = time.perf_counter()
        params, state, sums = jax.block_until_ready(
            training.epoch(model, params, state, arrays, order, epoch_key)
        )
        seconds = time.perf_counter() - begun
        if not (np.isfinite(sums.loss) and bool(all_finite(params))):
            raise TrainingDivergedError(explain_divergence(training, epoch), trained)
        right = count_right(model, params, *tested)
        metrics = metrics_of(epoch, sums, right, data, seconds)
        trained = Trained(params, (*trained.history, metrics))
        if checkpoint:
            checkpoint.keep(Progress(params, state, (trained.history,)))
        if on_epoch:
            on_epoch(metrics)
    return trained


def checked(
    model: MLP, data: Dataset, training: Training | BookTraining | None, dtype: str
) -> Training | BookTraining:
    """Check that options, network, data and type fit each other."""
    training = check(training or Training())
    check_ends(model, data)
    training.check(model, len(data.train_labels))
    if dtype == "float64" and not jax.config.read("jax_enable_x64"):
        raise JaxbqError('float64 is off in JAX; call jax.config.update("jax_enable_x64", True)')
    return training


def arrays_of(
    model: MLP,
    data: Dataset,
    labels: Int[np.ndarray, " train"],
    training: Training | BookTraining,
    dtype: str,
    *,
    alone: bool,
) -> TrainingArrays:
    """Put a training set on the device, labels as codes; for one network alone, or for several."""
    codes = training.codes.matrix(data.classes, model.output)[labels]
    pays = alone and device_count() == 1 and jax.default_backend() == "cpu"
    least = training.rare_from(model, len(labels)) if pays else None
    images, rare = part_images(data.train_images, least, dtype)
    return TrainingArrays(images, jnp.asarray(codes, dtype), *data.pixel_range, rare)


def metrics_of(epoch: int, sums: Any, right: Any, data: Dataset, seconds: float) -> EpochMetrics:
    """Turn the sums of an epoch into its metrics."""
    examples = len(data.train_labels)
    return EpochMetrics(
        epoch,
        float(sums.loss) / examples,
        int(sums.right) / examples,
        int(right) / len(data.test_labels),
        seconds,
    )


def accuracy(
    model: MLP,
    params: Params,
    images: Float[np.ndarray, "n pixels"],
    labels: Int[np.ndarray, " n"],
) -> float:
    """Compute the share of images whose largest output is their label's."""
    dtype = params[0].weight.dtype
    right = count_right(model, params, jnp.asarray(images, dtype), jnp.asarray(labels))
    return int(right) / len(labels)


def check_ends(model: MLP, data: Dataset) -> None:
    """Check that a network takes these images and answers these classes.

    Raises:
        JaxbqError: it does not.
    """
    if model.sizes[0] != data.space.pixels:
        raise JaxbqError(
            f"the network takes {model.sizes[0]} pixels, but the images have {data.space.pixels}"
        )
    if model.sizes[-1] != data.classes:
        raise JaxbqError(
            f"the network has {model.sizes[-1]} outputs, but the data has {data.classes} classes"
        )


def explain_divergence(training: Training | BookTraining, epoch: int) -> str:
    """Say what happened and what to change."""
    rate = (
        training.learning_rate
        if isinstance(training, BookTraining)
        else training.optimiser.learning_rate
    )
    return (
        f"training diverged in epoch {epoch} of {training.epochs}: the loss is not finite; "
        f"lower the learning rate (now {rate:g}), or choose a bounded activation; "
        f"the weights of epoch {epoch - 1} are kept"
    )


@partial(jax.jit, static_argnums=0)
def count_right(model: MLP, params: Params, images: Array, labels: Array) -> Array:
    """Count the images whose largest output is their label's."""
    return (model.logits(params, shard_rows(images)).argmax(axis=-1) == labels).sum()


@jax.jit
def all_finite(params: Params) -> Array:
    """Tell whether no parameter is NaN or infinite."""
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]).all()
