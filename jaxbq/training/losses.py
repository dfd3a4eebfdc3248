"""Losses, per example, and what is measured of an epoch."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import JaxbqError
from ..network.activations import activation

LossName = Literal["bce", "squared_error", "cross_entropy"]

_NEEDS_OUTPUT = {"bce": "sigmoid", "cross_entropy": "softmax"}


def check_loss(loss: LossName, output: str) -> None:
    """Check that a loss goes with an output activation.

    Raises:
        JaxbqError: it does not; the message names the one that does.
    """
    needed = _NEEDS_OUTPUT.get(loss)
    if needed and output != needed:
        raise JaxbqError(
            f"loss {loss!r} needs output {needed!r}, not {output!r}; "
            "change one of them, or use 'squared_error'"
        )


def example_losses(
    loss: LossName,
    output: str,
    logits: Float[Array, "batch outputs"],
    codes: Float[Array, "batch outputs"],
) -> Float[Array, " batch"]:
    """Compute the loss of every example.

    Args:
        loss: ``squared_error`` (mean over outputs of (a − t)²), ``bce`` (mean over outputs of the
            binary cross-entropy) or ``cross_entropy`` (softmax cross-entropy).
        output: name of the output activation.
        logits: pre-activations of the outputs.
        codes: wanted outputs; for ``cross_entropy`` the class is the largest of them.

    Returns:
        One loss an example.
    """
    match loss:
        case "bce":
            # −t·log σ(z) − (1 − t)·log(1 − σ(z)), without overflow.
            return (jax.nn.softplus(logits) - codes * logits).mean(axis=-1)
        case "squared_error":
            return jnp.square(activation(output).apply(logits) - codes).mean(axis=-1)
        case "cross_entropy":
            chosen = jnp.take_along_axis(logits, codes.argmax(-1, keepdims=True), axis=-1)[:, 0]
            return jax.nn.logsumexp(logits, axis=-1) - chosen


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
