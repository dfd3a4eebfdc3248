"""Transfer: what networks that were trained apart, of other make and seed, see in an image."""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from scipy.special import expit, softmax

from ..data import Dataset, ImageSpace
from ..network.activations import HiddenName, OutputName
from ..network.mlp import MLP, Params
from ..training import Training, train
from ..training.optimisers import Optimiser
from .independent import finite, logits_of, some_of, trained_once

_VERSION = 1  # raised whenever a change of code makes other networks of the same options
# Larger steps than an experiment's by default, and so fewer epochs to the same accuracy.
_OPTIMISER = Optimiser(learning_rate=8e-3, schedule="cosine")
_BATCHES = 40  # an epoch at least, where images allow it
# Images a batch. 10,000 are 80 whole ones: a smaller last one would be compiled apart.
_LARGEST, _SMALLEST = 125, 8


class _Make(NamedTuple):
    hidden: tuple[int, ...]
    activation: HiddenName
    output: OutputName
    seed: int
    epochs: int


_MAKES = (
    _Make((100,), "tanh", "softmax", 9001, 10),
    _Make((300,), "sigmoid", "sigmoid", 9002, 16),
    _Make((200,), "relu", "softmax", 9003, 10),
    _Make((200,), "sigmoid", "sigmoid", 9004, 16),
    _Make((100, 100), "leaky_relu", "softmax", 9005, 10),
)
# What an experiment folds into the keys of its seeds is far below.
_OWN = 2**31


class Member(NamedTuple):
    """One network of the panel.

    Args:
        name: sizes, hidden activation and seed.
        test_accuracy: share of the test images that it reads right.
    """

    name: str
    test_accuracy: float


@dataclass(frozen=True, eq=False)
class Panel:
    """Networks that were trained on the data as an experiment's are, but are no part of it.

    Of widths, depths, activations and seeds of their own. They see pixels as they are: nothing is
    standardised, and no noise was added in training.

    Args:
        members: name and accuracy of each.
        networks: their specifications.
        params: their parameters, float32.
        space: shape of the images and their pixel range.
    """

    members: tuple[Member, ...]
    networks: tuple[MLP, ...]
    params: tuple[Params, ...]
    space: ImageSpace

    @classmethod
    def trained_on(cls, data: Dataset) -> "Panel":
        """Return the panel of a data set; from the cache, or trained in some seconds."""
        return data.once("panel", lambda: cls._trained_on(data))

    @classmethod
    def _trained_on(cls, data: Dataset) -> "Panel":
        members, networks, params = zip(*(_trained(m, data) for m in _MAKES), strict=True)
        return cls(members, networks, params, data.space)

    def read(self, images: Float[np.ndarray, "n pixels"]) -> Float[np.ndarray, "members n classes"]:
        """Compute every member's probability of every class for every image.

        A sigmoid's outputs are taken as they are and so need not sum to one.
        """
        rows = _shares(images, self.space)
        answers = []
        for network, params in zip(self.networks, self.params, strict=True):
            logits = logits_of(network, params, rows)
            sigmoid = network.output == "sigmoid"
            answers.append(expit(logits) if sigmoid else softmax(logits, axis=1))
        return np.stack(answers)


def _trained(make: _Make, data: Dataset) -> tuple[Member, MLP, Params]:
    sizes = (data.space.pixels, *make.hidden, data.classes)
    network = MLP(sizes, make.activation, make.output)
    chosen = some_of(data, make.seed)
    rule = Training(
        loss="bce" if make.output == "sigmoid" else "cross_entropy",
        epochs=make.epochs,
        optimiser=_OPTIMISER,
        batch_size=int(np.clip(len(chosen) // _BATCHES, _SMALLEST, _LARGEST)),
    )
    seen = dataclasses.replace(
        data,
        train_images=_shares(data.train_images[chosen], data.space),
        train_labels=data.train_labels[chosen],
        test_images=_shares(data.test_images, data.space),
        space=ImageSpace(data.space.shape),
    )
    key = jax.random.fold_in(jax.random.key(make.seed), _OWN)
    params, accuracy = trained_once(
        "panel",
        {"rule": repr(rule), "seed": make.seed, "version": _VERSION},
        data,
        network,
        # On one device, so that all machines have the same up to their products.
        lambda: train(network, seen, rule, key=key, devices=1).params,
        lambda params: logits_of(network, params, seen.test_images),
    )
    name = f"{'-'.join(map(str, sizes))} {make.activation}, seed {make.seed}"
    return Member(name, accuracy), network, params


def _shares(images: Float[np.ndarray, "n pixels"], space: ImageSpace) -> np.ndarray:
    """Write pixels as shares of their range: bytes or halves, a training converges alike."""
    return finite((finite(images) - np.float32(space.low)) / np.float32(space.high - space.low))
