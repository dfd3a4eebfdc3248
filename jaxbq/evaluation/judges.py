"""Judges: classifiers that never saw the network; and those of them that must answer."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from scipy.special import log_softmax, softmax

from ..data import Dataset, Grid, ImageSpace
from ..data.labels import listed
from ..errors import JaxbqError
from ..network.files import NetworkFile
from ..network.mlp import MLP
from ..runtime.cache import digest, kept
from ..training import Training, fit
from ..training.loop import check_ends
from ..training.optimisers import Optimiser
from ..training.rules import TrainingArrays
from .convolutional import Convolutional
from .edges import Typical, edges
from .independent import Classifier, finite, logits_of, on_host, some_of, trained_once
from .similarity import PIXELS_A_SHIFT, shifted, standardise, standardised

_VERSION = 1  # raised whenever a change of code makes other judges of the same options
_SEED = 2_718_281  # of no experiment's, and of none of its data
_STRENGTH = 1.0  # the most noise, in units of the image's own deviation
_NOISE_SHARE = 0.05  # images of noise alone, for each one of the data
_LEAST_ROWS = 2500  # an epoch; smaller data sets are repeated, disturbed anew each time
_NOISE_IMAGES = 1000


class Recipe(NamedTuple):
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


_DENSE, _CONVOLUTIONAL = Recipe(16, 3e-3, 64, 1.0), Recipe(10, 4e-3, 128, 0.5)


@dataclass(frozen=True, eq=False)
class Gate:
    """What lets a judge abstain.

    Args:
        space: the images; a judge that may abstain sees shares of their range.
        grid: how their pixels lie.
        edges: whether the judge is shown edges instead of pixels.
        typical: of the edges of each class.
        sure: the least logarithm of the probability of the class read.
        near: the least of what measures how typical an image is of that class.
    """

    space: ImageSpace
    grid: Grid
    edges: bool
    typical: Typical
    sure: float
    near: float


@dataclass(frozen=True, eq=False)
class Judge:
    """A network of its own that reads images.

    Args:
        name: ``dense``, ``convolutional`` or ``neighbour``, which may abstain; ``blind_dense``,
            ``blind_convolutional`` or ``given``, which must answer.
        description: its architecture and what it is shown, in a few words.
        parameters: how many it has.
        test_accuracy: share of the clean test images that it accepts and reads right.
        network: its specification.
        params: its parameters, float32.
        standardised: whether it is shown standardised images, and so is blind to brightness and
            contrast.
        gate: lets it abstain; None for one that must answer. With it, the network has one output
            more than there are classes: no class.
    """

    name: str
    description: str
    parameters: int
    test_accuracy: float
    network: Classifier
    params: Any
    standardised: bool = True
    gate: Gate | None = None

    @property
    def must_answer(self) -> bool:
        """Whether it says what traces there are (evidence), not what can be read (readability)."""
        return self.name == "given" or self.name.startswith("blind_")

    def read(self, images: Float[np.ndarray, "n pixels"]) -> Float[np.ndarray, "n classes"]:
        """Compute the probability of every class for every image: the softmax of its logits.

        Values outside the pixel range are taken as they are, or clipped by a judge that may
        abstain; what is no number counts as 0. That an image shows no class is no part of it.
        """
        return self.judge(images)[0]

    def accepts(self, images: Float[np.ndarray, "n pixels"]) -> Bool[np.ndarray, " n"]:
        """Tell which images it takes for images of a class; all, if it must answer."""
        return self.judge(images)[1]

    def judge(
        self, images: Float[np.ndarray, "n pixels"]
    ) -> tuple[Float[np.ndarray, "n classes"], Bool[np.ndarray, " n"]]:
        """Do both, :meth:`read` and :meth:`accepts`, at once."""
        if self.gate is None:
            rows = standardise(images) if self.standardised else finite(images)
            logits = logits_of(self.network, self.params, rows)
            return softmax(logits, axis=1), np.ones(len(images), bool)
        logits, sure, near = self.measured(images)
        accepted = (sure >= self.gate.sure) & (near >= self.gate.near)
        return softmax(logits[:, :-1], axis=1), accepted

    def measured(
        self, images: Float[np.ndarray, "n pixels"]
    ) -> tuple[Float[np.ndarray, "n outputs"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Compute logits, and what :class:`Gate` has thresholds for: the larger, the more real."""
        assert self.gate
        seen = shares(images, self.gate.space)
        found = edges(seen, self.gate.grid)
        logits = logits_of(self.network, self.params, found if self.gate.edges else seen)
        read = logits[:, :-1].argmax(axis=1)
        sure = log_softmax(logits, axis=1)[np.arange(len(read)), read]
        return logits, sure, -self.gate.typical.distances(found, read)


def shares(images: Float[np.ndarray, "n pixels"], space: ImageSpace) -> np.ndarray:
    """Write pixels as shares of their range, clipped to it."""
    low, high = np.float32(space.low), np.float32(space.high)
    return np.clip((finite(images) - low) / (high - low), 0, 1)


class NoiseAnswers(NamedTuple):
    """What a judge says to noise: at chance and unsure, if it is to be believed.

    Args:
        noise_right: share of noise images read as a class, where the classes are asked for in
            turn; 1 / classes is chance.
        noise_confidence: mean largest probability.
        noise_shares: share of noise images read as each class.
        noise_accepted: share of noise images that it accepts; 1 if it must answer.
    """

    noise_right: float
    noise_confidence: float
    noise_shares: tuple[float, ...]
    noise_accepted: float = 1.0


def blind_judges(data: Dataset) -> tuple[Judge, ...]:
    """Return the judges of a data set that must answer, of two architectures.

    Trained on standardised training images, shifted a little, with noise of a random strength, and
    on images of noise alone with random labels; from a seed of their own, so that all experiments
    on the same data have the same judges. Blind to brightness and contrast, they find traces of a
    class in mush.
    """
    pixels, classes = data.space.pixels, data.classes
    dense = MLP((pixels, 256, classes), "relu", "softmax")
    one = _trained("blind_dense", "one hidden layer of 256 ReLU", dense, _DENSE, data)
    other: Any = Convolutional.of(data.space.shape, classes)
    if other is None:
        other = MLP((pixels, 128, 64, classes), "tanh", "softmax")
        what = "two hidden layers, 128 and 64 tanh: no convolutions on strips or tiny images"
    else:
        windows = ", ".join(f"{c.side}×{c.side}×{c.made}" for c in other.convolutions)
        what = f"convolutions {windows}, stride 2, ReLU"
    return one, _trained("blind_convolutional", what, other, _CONVOLUTIONAL, data)


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
    judge = Judge(
        "given", description, parameters_of(params), np.nan, model, params, standardised=False
    )
    right = judge.read(data.test_images).argmax(axis=1) == data.test_labels
    return dataclasses.replace(judge, test_accuracy=float(right.mean()))


def on_noise(judge: Judge, data: Dataset, seed: int = 0) -> NoiseAnswers:
    """Show a judge white noise, uniform in the pixel range.

    Args:
        judge: the judge.
        data: says how large images are, and their range.
        seed: of the noise.
    """
    name = digest(*(np.asarray(leaf) for leaf in jax.tree.leaves(judge.params)))
    about = [_VERSION, seed, data.classes, dataclasses.asdict(data.space), judge.name]
    gate = judge.gate and [judge.gate.sure, judge.gate.near]
    identity = [*about, name, repr(judge.network), gate]
    found = kept("noise", identity, lambda: _noise_answers(judge, data, seed))
    shares = tuple(found.pop("noise_shares").tolist())
    return NoiseAnswers(noise_shares=shares, **{key: float(n) for key, n in found.items()})


def _noise_answers(judge: Judge, data: Dataset, seed: int) -> dict[str, Any]:
    low, high = data.pixel_range
    size = (_NOISE_IMAGES, data.space.pixels)
    noise = np.random.default_rng(seed).uniform(low, high, size).astype(np.float32)
    chances, accepted = judge.judge(noise)
    read = chances.argmax(axis=1)
    asked = np.arange(_NOISE_IMAGES) % data.classes
    found = np.bincount(read, minlength=data.classes) / _NOISE_IMAGES
    return {
        "noise_right": (read == asked).mean(),
        "noise_confidence": chances.max(axis=1).mean(),
        "noise_shares": found,
        "noise_accepted": accepted.mean(),
    }


def _trained(name: str, what: str, network: Any, recipe: Recipe, data: Dataset) -> Judge:
    settings = [_VERSION, *recipe, _SEED, _STRENGTH, _NOISE_SHARE, _LEAST_ROWS, PIXELS_A_SHIFT]
    shown = standardise(data.test_images)
    params, accuracy = trained_once(
        "judges",
        {"judge": name.removeprefix("blind_"), "rule": repr(recipe.rule), "settings": settings},
        data,
        network,
        lambda: _train(network, recipe, data),
        lambda params: logits_of(network, params, shown),
    )
    return Judge(
        name, f"{what}, on standardised images", parameters_of(params), accuracy, network, params
    )


def _train(network: Any, recipe: Recipe, data: Dataset) -> Any:
    """Train with the compiled epoch of any training, each epoch on images disturbed anew."""
    key = jax.random.key(_SEED)
    return fit(recipe.rule, network, network.init(key, jnp.float32), _epochs(data, recipe), key)[0]


def _epochs(data: Dataset, recipe: Recipe) -> Iterator[TrainingArrays]:
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


def parameters_of(params: Any) -> int:
    """Count numbers."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
