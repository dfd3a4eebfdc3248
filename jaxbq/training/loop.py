"""Training a network from start to end, and attacking it: epochs, metrics, divergence."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
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
from ..runtime.ahead import check_wanted
from ..runtime.devices import (
    Devices,
    device_count,
    map_rows,
    on_devices,
    put_everywhere,
    shard_rows,
    to_one_device,
)
from .adversary import Adversary
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

    def heard(_: int, metrics: EpochMetrics) -> None:
        if on_epoch:
            on_epoch(metrics)

    given = model, data, training, [key], [order_key], params, data.train_labels[None], dtype
    with last_good_on_one_device(), on_devices(devices, several=training.spreads):
        (trained,) = train_epochs(*given, heard, checkpoint)
    return trained.on_one_device


@contextlib.contextmanager
def last_good_on_one_device() -> Iterator[None]:
    """Bring what an error carries where :func:`train` brings its result."""
    try:
        yield
    except TrainingDivergedError as fault:
        fault.last_good = fault.last_good.on_one_device
        raise


def train_epochs(
    model: MLP,
    data: Dataset,
    training: Training | BookTraining,
    keys: Sequence[Array],
    orders: Sequence[Array],
    params: Any,
    labels: Int[np.ndarray, "networks train"],
    dtype: str,
    heard: Callable[[int, EpochMetrics], None],
    checkpoint: Checkpoint | None,
    *,
    together: bool = False,
) -> tuple[Trained, ...]:
    """Train a network epoch by epoch, or several in one program, arrays with a leading axis."""
    number, examples = labels.shape
    over, stack, part = (jax.vmap, _stack, _part) if together else (_same, _only, _same)
    alike = [arrays_of(model, data, own, training, dtype, alone=not together) for own in labels]
    arrays = put_everywhere(alike[0]._replace(codes=stack([each.codes for each in alike])))
    state = over(lambda p: training.start(model, p, examples))(params)
    tested = put_everywhere((jnp.asarray(data.test_images, dtype), jnp.asarray(data.test_labels)))
    histories: list[tuple[EpochMetrics, ...]] = [()] * number
    if checkpoint:
        what = (model, training, dtype)
        fingerprint = partial(fingerprint_of, what, keys, params, data, labels)
        begin = Progress(params, state, tuple(histories))
        params, state, known = checkpoint.restore(begin, fingerprint)
        histories = list(known)
    params, state = put_everywhere((params, state))
    step = partial(_epoch_of_all, training) if together else training.epoch
    for epoch in range(len(histories[0]) + 1, training.epochs + 1):
        check_wanted()
        own_keys = [jax.random.fold_in(key, epoch) for key in orders]
        order = stack([training.order(key, examples) for key in own_keys])
        begun = time.perf_counter()
        after, state, sums = jax.block_until_ready(
            step(model, params, state, arrays, order, stack(own_keys))
        )
        seconds = (time.perf_counter() - begun) / number
        finite = np.atleast_1d(np.isfinite(sums.loss) & np.asarray(over(all_finite)(after)))
        if not finite.all():
            first = int(finite.argmin())
            last_good = Trained(part(params, first), histories[first])
            raise TrainingDivergedError(explain_divergence(training, epoch), last_good, first)
        params = after
        right = over(lambda p: count_right(model, p, *tested))(params)
        for n in range(number):
            metrics = metrics_of(epoch, part(sums, n), part(right, n), data, seconds)
            histories[n] = (*histories[n], metrics)
        if checkpoint:
            # The last one of several always: some of them retrained later, in a smaller batch,
            # would be the same only up to rounding.
            progress = Progress(params, state, tuple(histories))
            checkpoint.keep(progress, at_once=together and epoch == training.epochs)
        for n in range(number):
            heard(n, histories[n][-1])
    return tuple(Trained(part(params, n), histories[n]) for n in range(number))


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


def _only(one: Sequence[Any]) -> Any:
    return one[0]


def _same(one: Any, number: int = 0) -> Any:
    return one


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


@dataclass(frozen=True)
class Robustness:
    """How a network stands an adversary.

    Args:
        adversary: the attack; of one trained with an adversary, the same with more steps.
        clean: share of test images that are read right.
        attacked: share of the worst images near them that are.
    """

    adversary: Adversary
    clean: float
    attacked: float


# An attack takes so many more steps than that of the training, on so many images at a time.
_HARDER, _ATTACKED = 4, 1000


def robustness(
    model: MLP, params: Params, data: Dataset, adversary: Adversary, key: Array | None = None
) -> Robustness:
    """Attack the test images, raising the cross-entropy of the true class against the rest.

    Args:
        model: the network.
        params: its parameters.
        data: where the test images come from.
        adversary: as in training; the attack takes four times its steps, of the same total length.
        key: random key of its start; by default seed 0.

    Raises:
        JaxbqError: an option of the adversary is out of range.
    """
    adversary = check(adversary)
    key = jax.random.key(0) if key is None else key
    attack = dataclasses.replace(adversary, steps=_HARDER * adversary.steps, step_size=None)
    dtype, right = params[0].weight.dtype, [0, 0]
    for start in range(0, len(data.test_labels), _ATTACKED):
        images = jnp.asarray(data.test_images[start : start + _ATTACKED], dtype)
        labels = jnp.asarray(data.test_labels[start : start + _ATTACKED])
        own = jax.random.fold_in(key, start)
        worst = _attack(attack, model, params, images, labels, data.pixel_range, own)
        for place, seen in enumerate((images, worst)):
            right[place] += int(count_right(model, params, seen, labels))
    clean, attacked = (count / len(data.test_labels) for count in right)
    return Robustness(attack, clean, attacked)


@partial(jax.jit, static_argnums=1)
def _attack(
    adversary: Adversary,
    model: MLP,
    params: Params,
    images: Array,
    labels: Array,
    span: Any,
    key: Array,
) -> Array:
    frozen = model.freeze(params)

    def loss(x: Array) -> Array:
        # The logits, whatever the output: a saturated sigmoid would hide its gradient.
        chances = jax.nn.log_softmax(model.logits(frozen, x))
        return -jnp.take_along_axis(chances, labels[:, None], axis=1).sum()

    low, high = span
    return adversary.perturb(loss, images, low, high, key)
