"""What one writes with NumPy, SciPy and scikit-learn: inverses, the book's loop, a classifier.

The book's loop is written anew from the algorithm of T. Rashid, *Make Your Own Neural Network*,
2016: every record is a line of numbers with commas between, split and scaled each time it is read.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares, lsq_linear
from scipy.special import expit, logit

from jaxbq import Dataset

_MARGIN = 0.01  # of hidden activations to the ends of the sigmoid, as in jaxbq

Layers = tuple[tuple[np.ndarray, np.ndarray | None], ...]
"""Weights (fan_in, fan_out) and biases (fan_out,) of every layer."""


def layers_of(params: Any) -> Layers:
    """Copy jaxbq's parameters to the host."""
    return tuple(
        (np.array(layer.weight), None if layer.bias is None else np.array(layer.bias))
        for layer in params
    )


def forward(layers: Layers, images: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Compute the inputs of every layer, and the logits, in NumPy."""
    signals = [images]
    for number, (weight, bias) in enumerate(layers):
        z = signals[-1] @ weight + (0.0 if bias is None else bias)
        if number + 1 < len(layers):
            signals.append(expit(z))
    return signals, z


def backward(layers: Layers, signals: Sequence[np.ndarray], cotangent: np.ndarray) -> np.ndarray:
    """Carry a gradient with respect to the logits back to the images."""
    for number in reversed(range(len(layers))):
        cotangent = cotangent @ layers[number][0].T
        if number:
            cotangent = cotangent * signals[number] * (1 - signals[number])
    return cotangent


def backquery(layers: Layers, targets: np.ndarray) -> np.ndarray:
    """Query the network backwards as the book does, one target after another."""

    def one(target: np.ndarray) -> np.ndarray:
        signal = np.array(target, np.float64, ndmin=2).T
        for weight, _ in reversed(layers):
            signal = np.dot(weight, np.log(signal / (1 - signal)))
            signal -= np.min(signal)
            signal /= np.max(signal)
            signal *= 0.98
            signal += 0.01
        return signal[:, 0]

    return np.stack([one(target) for target in targets])


def pseudo_inverse(layers: Layers, targets: np.ndarray, *, clip: bool) -> np.ndarray:
    """Go back by ``numpy.linalg.pinv``, hidden activations clipped; clip pixels too, or not."""
    signal = np.asarray(targets, np.float64)
    for number, (weight, bias) in reversed(tuple(enumerate(layers))):
        z = logit(signal) - (0.0 if bias is None else bias)
        signal = z @ np.linalg.pinv(weight.astype(np.float64))
        if number or clip:
            margin = _MARGIN if number else 0.0
            signal = np.clip(signal, margin, 1 - margin)
    return signal


def box(layers: Layers, targets: np.ndarray) -> np.ndarray:
    """Go back by ``scipy.optimize.lsq_linear``, every layer and target a problem of its own."""
    signal = np.asarray(targets, np.float64)
    for number, (weight, bias) in reversed(tuple(enumerate(layers))):
        margin = _MARGIN if number else 0.0
        wide, z = weight.T.astype(np.float64), logit(signal) - (0.0 if bias is None else bias)
        signal = np.stack([lsq_linear(wide, row, (margin, 1 - margin)).x for row in z])
    return signal


def preimage(layers: Layers, targets: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Solve for the logits by ``scipy.optimize.least_squares``, bounded, one image at a time."""
    wide = tuple((w.astype(np.float64), b) for w, b in layers)
    outputs = targets.shape[1]

    def one(start: np.ndarray, target: np.ndarray) -> np.ndarray:
        def residual(x: np.ndarray) -> np.ndarray:
            return forward(wide, x[None])[1][0] - logit(target)

        def jacobian(x: np.ndarray) -> np.ndarray:
            signals, _ = forward(wide, np.broadcast_to(x, (outputs, len(x))))
            return backward(wide, signals, np.eye(outputs))

        found = least_squares(
            residual, start, jacobian, bounds=(0.0, 1.0), method="trf", tr_solver="lsmr"
        )
        return np.asarray(found.x)

    return np.stack([one(x, t) for x, t in zip(starts, targets, strict=True)])


def exemplars(layers: Layers, targets: np.ndarray, images: np.ndarray, k: int) -> np.ndarray:
    """Rank training images by the distance of their outputs to each target; take the first k."""
    outputs = expit(forward(layers, images)[1])
    distance = np.linalg.norm(outputs[None] - targets[:, None], axis=2)
    return images[np.argsort(distance, axis=1)[:, :k]]


@dataclass(frozen=True, eq=False)
class Task:
    """A network to train by Adam on the cross-entropy of codes, shape (n, classes)."""

    data: Dataset
    codes: np.ndarray
    layers: Layers  # first weights
    batch: int  # images an update
    rate: float
    seed: int  # of the order of images


class Book:
    """The book's network of three layers: weights out × in, no biases; targets on and off."""

    def __init__(self, layers: Layers, rate: float, on: float = 0.99, off: float = 0.01) -> None:
        self.wih, self.who = (np.array(weight.T, np.float64) for weight, _ in layers)
        self.lr, self.on, self.off = rate, on, off

    def train(self, inputs_list: np.ndarray, targets_list: np.ndarray) -> None:
        """Take the step of one image."""
        inputs = np.array(inputs_list, ndmin=2).T
        targets = np.array(targets_list, ndmin=2).T
        hidden = expit(np.dot(self.wih, inputs))
        final = expit(np.dot(self.who, hidden))
        errors = targets - final
        back = np.dot(self.who.T, errors)
        self.who += self.lr * np.dot(errors * final * (1.0 - final), np.transpose(hidden))
        self.wih += self.lr * np.dot(back * hidden * (1.0 - hidden), np.transpose(inputs))

    def read(self, records: Sequence[str]) -> "Book":
        """Train on every record, in turn."""
        for record in records:
            values = record.split(",")
            inputs = (np.asarray(values[1:], dtype=float) / 255.0 * 0.99) + 0.01
            targets = np.zeros(self.who.shape[0]) + self.off
            targets[int(values[0])] = self.on
            self.train(inputs, targets)
        return self


def records_of(images: np.ndarray, labels: np.ndarray) -> list[str]:
    """Write images of pixels in [0, 1] as the lines that the book reads: label, then 0 to 255."""
    pixels = np.rint(images * 255).astype(int)
    return [
        ",".join(map(str, (label, *row)))
        for label, row in zip(labels.tolist(), pixels.tolist(), strict=True)
    ]


class Classifier:
    """scikit-learn's MLPClassifier: the same layers, batches and Adam; its outputs are softmax.

    Args:
        task: what is trained; first weights are scikit-learn's own.
    """

    def __init__(self, task: Task) -> None:
        neural = importlib.import_module("sklearn.neural_network")
        self._data = task.data
        self._images = task.data.train_images.astype(task.layers[0][0].dtype)
        self._network = neural.MLPClassifier(
            hidden_layer_sizes=tuple(weight.shape[1] for weight, _ in task.layers[:-1]),
            activation="logistic",
            solver="adam",
            alpha=0.0,
            batch_size=min(task.batch, len(self._images)),
            learning_rate_init=task.rate,
            random_state=task.seed,
        )

    def epoch(self) -> None:
        """Train for another epoch."""
        classes = np.arange(self._data.classes)
        self._network.partial_fit(self._images, self._data.train_labels, classes=classes)

    def accuracy(self) -> float:
        """Compute the share of test images that are read right."""
        found = self._network.predict(self._data.test_images.astype(self._images.dtype))
        return float((found == self._data.test_labels).mean())
