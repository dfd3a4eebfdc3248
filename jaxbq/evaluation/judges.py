"""Judges: classifiers that never saw the network. They say whether an image can be read."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from ..data import Dataset
from ..data.labels import listed
from ..errors import JaxbqError
from ..network.files import NetworkFile
from ..network.mlp import MLP, Network
from ..training import Training, fit
from ..training.loop import check_ends
from ..training.optimisers import Optimiser
from ..training.rules import TrainingArrays
from .convolutional import Convolutional
from .independent import finite, logits_of, on_host, some_of, trained_once
from .similarity import PIXELS_A_SHIFT, shifted, standardise, standardised

_VERSION = 1  # raised whenever a change of code makes other judges of the same options
_SEED = 2_718_281  # of no experiment's, and of none of its data
_STRENGTH = 1.0  # the most noise, in units of the image's own deviation
_NOISE_SHARE = 0.05  # images of noise alone, for each one of the data
_LEAST_ROWS = 2500  # an epoch; smaller data sets are repeated, disturbed anew each time
_NOISE_IMAGES = 1000


class _Recipe(NamedTuple):
    """How a judge is trained.

    A dense network reads 0.97 of real digits only if all images are shifted. A convolutional one
    needs fewer, and is then the better at faint patterns that lie where digits do.
    """

    epochs: int
    rate: float
    batch: int
    shifted: float  # share of images

    @property
    def rule(self) -> Training:
        """The rule, which does all but disturb the images."""
        return Training(
            loss="cross_entropy",
            epochs=self.epochs,
            batch_size=self.batch,
            optimiser=Optimiser(learning_rate=self.rate, schedule="cosine"),
        )


_DENSE, _CONVOLUTIONAL = _Recipe(16, 3e-3, 64, 1.0), _Recipe(10, 4e-3, 128, 0.5)


@dataclass(frozen=True, eq=False)
class Judge:
    """A network of its own that reads images.

    Args:
        name: ``dense``, ``convolutional`` or ``given``.
        description: its architecture and what it is shown, in a few words.
        parameters: how many it has.
        test_accuracy: share of the clean test images that it reads right.
        network: its specification.
        params: its parameters, float32.
        standardised: whether it is shown standardised images, and so is blind to brightness and
            contrast.
    """

    name: str
    description: str
    parameters: int
    test_accuracy: float
    network: Network
    params: Any
    standardised: bool = True

    def read(self, images: Float[np.ndarray, "n pixels"]) -> Float[np.ndarray, "n classes"]:
        """Compute the probability of every class for every image: the softmax of its logits.

        Values outside the pixel range are taken as they are; what is no number counts as 0.
        """
        rows = standardise(images) if self.standardised else finite(images)
        return softmax(logits_of(self.network, self.params, rows), axis=1)


class NoiseAnswers(NamedTuple):
    """What a judge says to noise: at chance and unsure, if it is to be believed.

    Args:
        noise_right: share of noise images read as a class, where the classes are asked for in
            turn; 1 / classes is chance.
        noise_confidence: mean largest probability.
        noise_shares: share of noise images read as each class.
    """

    noise_right: float
    noise_confidence: float
    noise_shares: tuple[float, ...]


def trained_judges(data: Dataset) -> tuple[Judge, ...]:
    """Return the judges of a data set, of two architectures: ``dense`` and ``convolutional``.

    Trained on standardised training images, shifted a little, with noise of a random strength, and
    on images of noise alone with random labels; from a seed of their own, so that all experiments
    on the same data have the same judges. Kept in the cache; trained in some seconds where they
    are not there.
    """
    return data.once("trained judges", lambda: _trained_judges(data))


def given_judge(network: NetworkFile, data: Dataset) -> Judge:
    """Take a user's own network as a judge. It is shown images as they are, not standardised.

    Its probabilities are the softmax of its logits, whatever its output activation.

    Args:
        network: the network. It must take these images and answer these classes.
        data: what its accuracy is measured on.

    Raises:
        JaxbqError: it does not fit the data.
    """
    model = network.model
    try:
        check_ends(model, data)
    except JaxbqError as fault:
        raise JaxbqError(f"judge: {fault}; name a network of the same data") from None
    if network.class_names != data.class_names:
        raise JaxbqError(
            f"judge: its outputs are the classes {listed(network.class_names)}, the data's are "
            f"{listed(data.class_names)}; import it again with the names of the data"
        )
    with on_host():
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), network.params)
    sizes = "-".join(map(str, model.sizes))
    description = f"{sizes} {model.hidden}, given, images as they are"
    judge = Judge("given", description, _count(params), np.nan, model, params, standardised=False)
    right = judge.read(data.test_images).argmax(axis=1) == data.test_labels
    return dataclasses.replace(judge, test_accuracy=float(right.mean()))


def on_noise(judge: Judge, data: Dataset, seed: int = 0) -> NoiseAnswers:
    """Show a judge white noise, uniform in the pixel range.

    Args:
        judge: the judge.
        data: says how large images are, and their range.
        seed: of the noise.
    """
    low, high = data.pixel_range
    size = (_NOISE_IMAGES, data.space.pixels)
    noise = np.random.default_rng(seed).uniform(low, high, size).astype(np.float32)
    chances = judge.read(noise)
    read = chances.argmax(axis=1)
    asked = np.arange(_NOISE_IMAGES) % data.classes
    shares = np.bincount(read, minlength=data.classes) / _NOISE_IMAGES
    return NoiseAnswers(
        float((read == asked).mean()), float(chances.max(axis=1).mean()), tuple(shares.tolist())
    )


def _trained_judges(data: Dataset) -> tuple[Judge, ...]:
    pixels, classes = data.space.pixels, data.classes
    dense = MLP((pixels, 256, classes), "relu", "softmax")
    one = _trained("dense", "one hidden layer of 256 ReLU", dense, _DENSE, data)
    other: Any = Convolutional.of(data.space.shape, classes)
    if other is None:
        other = MLP((pixels, 128, 64, classes), "tanh", "softmax")
        what = "two hidden layers, 128 and 64 tanh: no convolutions on strips or tiny images"
    else:
        windows = ", ".join(f"{c.side}×{c.side}×{c.made}" for c in other.convolutions)
        what = f"convolutions {windows}, stride 2, ReLU"
    return one, _trained("convolutional", what, other, _CONVOLUTIONAL, data)


def _trained(name: str, what: str, network: Any, recipe: _Recipe, data: Dataset) -> Judge:
    settings = [_VERSION, *recipe, _SEED, _STRENGTH, _NOISE_SHARE, _LEAST_ROWS, PIXELS_A_SHIFT]
    shown = standardise(data.test_images)
    params, accuracy = trained_once(
        "judges",
        {"judge": name, "rule": repr(recipe.rule), "settings": settings},
        data,
        network,
        lambda: _train(network, recipe, data),
        lambda params: logits_of(network, params, shown),
    )
    return Judge(name, f"{what}, on standardised images", _count(params), accuracy, network, params)


def _train(network: Any, recipe: _Recipe, data: Dataset) -> Any:
    """Train with the compiled epoch of any training, each epoch on images disturbed anew."""
    key = jax.random.key(_SEED)
    return fit(recipe.rule, network, network.init(key, jnp.float32), _epochs(data, recipe), key)[0]


def _epochs(data: Dataset, recipe: _Recipe) -> Iterator[TrainingArrays]:
    """Make what every epoch is shown."""
    random = np.random.default_rng(_SEED)
    chosen = some_of(data, _SEED)
    chosen = np.tile(chosen, -(-_LEAST_ROWS // len(chosen)))
    images, labels = standardise(data.train_images[chosen]), data.train_labels[chosen]
    number = len(images)
    # Enough that the last batch is full.
    batches = -(-round(number * (1 + _NOISE_SHARE)) // recipe.batch)
    noisy = batches * recipe.batch - number
    codes = np.eye(data.classes, dtype=np.float32)
    for _ in range(recipe.epochs):
        seen = shifted(images, data.space.shape, recipe.shifted, random)
        strength = random.uniform(0, _STRENGTH, (number, 1)).astype(np.float32)
        noise = random.standard_normal((number + noisy, images.shape[1]), np.float32)
        rows = standardised(np.concatenate([seen + strength * noise[:number], noise[number:]]))
        # Drawn anew every epoch: noise has no label that one could learn.
        answers = np.concatenate([labels, random.integers(0, data.classes, noisy)])
        shown, wanted = jax.device_put((rows, codes[answers]))
        yield TrainingArrays(shown, wanted, -jnp.inf, jnp.inf)


def _count(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))
