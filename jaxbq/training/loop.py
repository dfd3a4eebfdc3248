"""Training from start to end: epochs, metrics, and the stop when numbers overflow."""

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
from ..mlp import MLP, Params
from ..options import check
from .adversary import Adversary
from .rules import BookTraining, Training, TrainingArrays


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch gave.

    Args:
        epoch: its number, from 1.
        loss: mean training loss of the epoch, each image before its own update.
        train_accuracy: share of training images answered right, each before its own update.
        test_accuracy: share of test images answered right after the epoch.
        seconds: wall time of the updates alone; the first epoch's includes compilation.
    """

    epoch: int
    loss: float
    train_accuracy: float
    test_accuracy: float
    seconds: float


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
    def test_accuracy(self) -> float:
        """Share of test images answered right after the last epoch."""
        return self.history[-1].test_accuracy


class TrainingDivergedError(JaxbqError):
    """The loss or the parameters stopped being finite.

    Args:
        message: what happened, when, and what to change.
        last_good: parameters and metrics of the last epoch that was finite.
    """

    def __init__(self, message: str, last_good: Trained) -> None:
        super().__init__(message)
        self.last_good = last_good


def train(
    model: MLP,
    data: Dataset,
    training: Training | BookTraining | None = None,
    *,
    key: Array | None = None,
    params: Params | None = None,
    dtype: str = "float32",
    on_epoch: Callable[[EpochMetrics], None] | None = None,
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

    Returns:
        The parameters and the metrics of every epoch.

    Raises:
        JaxbqError: options, network and data do not fit each other.
        TrainingDivergedError: the loss or a parameter is not finite any more; the error carries
            the last good parameters.
    """
    training = check(training or Training())
    key = jax.random.key(0) if key is None else key
    check_ends(model, data)
    training.check(model, len(data.train_labels))
    if dtype == "float64" and not jax.config.read("jax_enable_x64"):
        raise JaxbqError('float64 is off in JAX; call jax.config.update("jax_enable_x64", True)')
    init_key, order_key = jax.random.split(key)
    params = model.init(init_key, jnp.dtype(dtype)) if params is None else params
    model.check(params)
    codes = training.codes.matrix(data.classes, model.output)[data.train_labels]
    arrays = TrainingArrays(
        jnp.asarray(data.train_images, dtype), jnp.asarray(codes, dtype), *data.pixel_range
    )
    state = training.start(model, params, len(codes))
    test_images = jnp.asarray(data.test_images, dtype)
    test_labels = jnp.asarray(data.test_labels)
    trained = Trained(params, ())
    for epoch in range(1, training.epochs + 1):
        epoch_key = jax.random.fold_in(order_key, epoch)
        order = training.order(epoch_key, len(codes))
        begun = time.perf_counter()
        params, state, sums = jax.block_until_ready(
            training.epoch(model, params, state, arrays, order, epoch_key)
        )
        seconds = time.perf_counter() - begun
        if not (np.isfinite(sums.loss) and bool(_all_finite(params))):
            raise TrainingDivergedError(_explain_divergence(training, epoch), trained)
        metrics = EpochMetrics(
            epoch,
            float(sums.loss) / len(codes),
            int(sums.right) / len(codes),
            int(_count_right(model, params, test_images, test_labels)) / len(test_labels),
            seconds,
        )
        trained = Trained(params, (*trained.history, metrics))
        if on_epoch:
            on_epoch(metrics)
    return trained


def accuracy(
    model: MLP,
    params: Params,
    images: Float[np.ndarray, "n pixels"],
    labels: Int[np.ndarray, " n"],
) -> float:
    """Compute the share of images whose largest output is their label's."""
    dtype = params[0].weight.dtype
    right = _count_right(model, params, jnp.asarray(images, dtype), jnp.asarray(labels))
    return int(right) / len(labels)


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


# How many more steps an attack takes than the one that a network was trained with.
_HARDER = 4


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
    """
    key = jax.random.key(0) if key is None else key
    attack = dataclasses.replace(adversary, steps=_HARDER * adversary.steps, step_size=None)
    dtype, right = params[0].weight.dtype, [0, 0]
    for start in range(0, len(data.test_labels), _ATTACKED):
        images = jnp.asarray(data.test_images[start : start + _ATTACKED], dtype)
        labels = jnp.asarray(data.test_labels[start : start + _ATTACKED])
        own = jax.random.fold_in(key, start)
        worst = _attack(attack, model, params, images, labels, data.pixel_range, own)
        for place, seen in enumerate((images, worst)):
            right[place] += int(_count_right(model, params, seen, labels))
    clean, attacked = (count / len(data.test_labels) for count in right)
    return Robustness(attack, clean, attacked)


_ATTACKED = 1000  # images at a time


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


def _explain_divergence(training: Training | BookTraining, epoch: int) -> str:
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
def _count_right(model: MLP, params: Params, images: Array, labels: Array) -> Array:
    return (model.logits(params, images).argmax(axis=-1) == labels).sum()


@jax.jit
def _all_finite(params: Params) -> Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]).all()
