"""Training many networks of one specification: in one program, or one after another."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ..data import Dataset
from ..network.mlp import MLP, Params
from ..runtime.devices import Devices, map_rows, on_devices, put_everywhere
from .checkpoint import Checkpoint, Progress, fingerprint_of
from .loop import (
    Trained,
    TrainingDivergedError,
    all_finite,
    arrays_of,
    checked,
    count_right,
    explain_divergence,
    metrics_of,
    train,
)
from .losses import EpochMetrics
from .rules import BookTraining, Training, TrainingArrays


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
    heard = on_epoch or _ignore
    done = on_trained or _ignore
    every = np.stack([data.train_labels] * len(keys)) if labels is None else labels
    kept = checkpoint or _ignore
    if trains_together(together, len(keys)):
        given = model, data, training, keys, every, dtype, heard, kept(None)
        try:
            with on_devices(devices):
                trained = _train_together(*given)
        except TrainingDivergedError as fault:
            fault.last_good = fault.last_good.on_one_device
            raise
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


def _train_together(
    model: MLP,
    data: Dataset,
    training: Training | BookTraining | None,
    keys: Sequence[Array],
    labels: Int[np.ndarray, "networks train"],
    dtype: str,
    heard: Callable[[int, EpochMetrics], None],
    checkpoint: Checkpoint | None,
) -> tuple[Trained, ...]:
    """Train all networks as one batch: the same steps as :func:`train`, with a leading axis."""
    training = checked(model, data, training, dtype)
    number, examples = labels.shape
    begin, orders = zip(*(jax.random.split(key) for key in keys), strict=True)
    params = _stack([model.init(key, jnp.dtype(dtype), training.initial_scale) for key in begin])
    alike = [arrays_of(model, data, own, training, dtype, alone=False) for own in labels]
    arrays = put_everywhere(alike[0]._replace(codes=jnp.stack([each.codes for each in alike])))
    state = jax.vmap(lambda p: training.start(model, p, examples))(params)
    tested = put_everywhere((jnp.asarray(data.test_images, dtype), jnp.asarray(data.test_labels)))
    histories: list[tuple[EpochMetrics, ...]] = [()] * number
    if checkpoint:
        what = (model, training, dtype)
        fingerprint = partial(fingerprint_of, what, keys, params, data, labels)
        begin = Progress(params, state, tuple(histories))
        params, state, known = checkpoint.restore(begin, fingerprint)
        histories = list(known)
    params, state = put_everywhere((params, state))
    for epoch in range(len(histories[0]) + 1, training.epochs + 1):
        own_keys = [jax.random.fold_in(key, epoch) for key in orders]
        order = jnp.stack([training.order(key, examples) for key in own_keys])
        begun = time.perf_counter()
        after, state, sums = jax.block_until_ready(
            _epoch_of_all(training, model, params, state, arrays, order, jnp.stack(own_keys))
        )
        seconds = (time.perf_counter() - begun) / number
        finite = np.isfinite(sums.loss) & np.asarray(jax.vmap(all_finite)(after))
        if not finite.all():
            first = int(finite.argmin())
            last_good = Trained(_part(params, first), histories[first])
            raise TrainingDivergedError(explain_divergence(training, epoch), last_good, first)
        params = after
        right = jax.vmap(lambda p: count_right(model, p, *tested))(params)
        for n in range(number):
            metrics = metrics_of(epoch, _part(sums, n), right[n], data, seconds)
            histories[n] = (*histories[n], metrics)
        if checkpoint:
            # The last one always: some networks retrained later, in a smaller batch, would
            # be the same only up to rounding.
            progress = Progress(params, state, tuple(histories))
            checkpoint.keep(progress, at_once=epoch == training.epochs)
        for n in range(number):
            heard(n, histories[n][-1])
    return tuple(Trained(_part(params, n), histories[n]) for n in range(number))


@partial(jax.jit, static_argnums=1)
def _epoch_of_all(
    training: Training | BookTraining,
    model: MLP,
    params: Params,
    state: Any,
    arrays: TrainingArrays,
    orders: Int[Array, "networks n"],
    keys: Array,
) -> Any:
    def some(given: Any, params: Params, state: Any, codes: Array, *each: Array) -> Any:
        training, arrays = given
        # One set of images for all; labels of their own.
        axes = TrainingArrays(None, 0, None, None)  # type: ignore[arg-type]
        return jax.vmap(
            lambda p, s, data, order, key: training.epoch(model, p, s, data, order, key),
            in_axes=(0, 0, axes, 0, 0),
        )(params, state, arrays._replace(codes=codes), *each)

    alike = training, arrays._replace(codes=None)  # type: ignore[arg-type]
    return map_rows(some, alike, params, state, arrays.codes, orders, keys)


def _stack(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _part(tree: Any, number: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[number], tree)


def _ignore(*what: Any) -> None:
    """Hear nothing."""
