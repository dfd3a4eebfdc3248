"""A judge: a classifier that never saw the network, and is blind to brightness and contrast."""

import dataclasses
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Float
from scipy.special import softmax

from ..data import Dataset
from ..mlp import MLP, Params
from ..optimisers import Optimiser
from ..training import Training, train

_HIDDEN = 256
_COPIES = 3  # of the training set, each with noise of its own
_TRAINING = Training(
    loss="cross_entropy",
    epochs=8,
    on=0.95,
    optimiser=Optimiser(learning_rate=2e-3, schedule="cosine"),
)


@dataclass(frozen=True, eq=False)
class Judge:
    """A network of its own, trained on standardised images with noise.

    Args:
        model: its specification.
        params: its parameters.
        test_accuracy: share of clean test images that it reads right.
    """

    model: MLP
    params: Params
    test_accuracy: float

    @classmethod
    def trained_on(cls, data: Dataset, key: Array | None = None) -> "Judge":
        """Train one: three copies of the training images, noise from none to as strong as the ink.

        Args:
            data: the data set.
            key: random key of weights and noise; by default seed 0.
        """
        key = jax.random.key(0) if key is None else key
        seed = np.asarray(jax.random.key_data(key)).tolist()
        random = np.random.default_rng(seed)
        clean = standardise(data.train_images)
        noisy = []
        for _ in range(_COPIES):
            strength = random.uniform(0, 1, (len(clean), 1)).astype(np.float32)
            noise = random.standard_normal(clean.shape, np.float32)
            noisy.append(standardise(clean + strength * noise))
        seen = dataclasses.replace(
            data,
            train_images=np.concatenate(noisy),
            train_labels=np.tile(data.train_labels, _COPIES),
            test_images=standardise(data.test_images),
        )
        model = MLP((data.space.pixels, _HIDDEN, data.classes), "relu", "softmax")
        trained = train(model, seen, _TRAINING, key=key)
        return cls(model, trained.params, trained.test_accuracy)

    @classmethod
    def of(cls, model: MLP, params: Params, data: Dataset) -> "Judge":
        """Take a trained network as a judge, and measure it."""
        judge = cls(model, params, float("nan"))
        right = judge.read(data.test_images).argmax(axis=1) == data.test_labels
        return dataclasses.replace(judge, test_accuracy=float(right.mean()))

    def read(self, images: Float[np.ndarray, "n pixels"]) -> Float[np.ndarray, "n classes"]:
        """Compute the probability of every class for every image."""
        rows = standardise(np.asarray(images, np.float32))
        logits = np.asarray(self.model.logits(self.params, rows), np.float64)
        return softmax(logits, axis=1)


def standardise(images: Float[np.ndarray, "n pixels"]) -> Float[np.ndarray, "n pixels"]:
    """Bring every image to mean 0 and standard deviation 1; one without contrast to 0."""
    centred = images - images.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    flat = deviation < 1e-6
    return np.where(flat, 0, centred / np.where(flat, 1, deviation)).astype(np.float32)
