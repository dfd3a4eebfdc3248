"""How a network stands an adversary."""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..data import Dataset
from ..network.mlp import MLP, Params
from ..options import check
from .adversary import Adversary
from .loop import count_right


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
