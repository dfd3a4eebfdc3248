"""The book's training loop in NumPy, as the book writes it, and its training step alone.

Written anew from the algorithm of T. Rashid, *Make Your Own Neural Network*, 2016: every record is
a line of numbers with commas between, taken apart and scaled each time that it is met.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit

from ..session import Layers


class Book:
    """The book's network of three layers: weights out × in, no biases.

    Args:
        layers: first weights.
        rate: learning rate.
        on: wanted output of an image's class.
        off: wanted output of the others.
    """

    def __init__(self, layers: Layers, rate: float, on: float = 0.99, off: float = 0.01) -> None:
        self.wih, self.who = (np.array(weight.T, np.float64) for weight, _ in layers)
        self.lr, self.on, self.off = rate, on, off
        self.activation: Callable[[np.ndarray], np.ndarray] = expit

    def train(self, inputs_list: np.ndarray, targets_list: np.ndarray) -> None:
        """Take the step of one image."""
        inputs = np.array(inputs_list, ndmin=2).T
        targets = np.array(targets_list, ndmin=2).T
        hidden = self.activation(np.dot(self.wih, inputs))
        final = self.activation(np.dot(self.who, hidden))
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

    def step_through(self, images: np.ndarray, codes: np.ndarray) -> "Book":
        """Train on images that are scaled already, in turn: the training step alone."""
        for image, code in zip(images, codes, strict=True):
            self.train(image, code)
        return self


def records_of(images: np.ndarray, labels: np.ndarray) -> list[str]:
    """Write images of pixels in [0, 1] as the lines that the book reads: label, then 0 to 255."""
    pixels = np.rint(images * 255).astype(int)
    return [
        ",".join(map(str, (label, *row)))
        for label, row in zip(labels.tolist(), pixels.tolist(), strict=True)
    ]


def scaled(images: np.ndarray) -> np.ndarray:
    """Scale pixels in [0, 1] as the book does."""
    return images * 0.99 + 0.01


def backquery(layers: Layers, targets: np.ndarray) -> np.ndarray:
    """Query the network backwards as the book does, one target after another."""
    return np.stack([_backquery(layers, target) for target in targets])


def _backquery(layers: Layers, target: np.ndarray) -> np.ndarray:
    signal = np.array(target, np.float64, ndmin=2).T
    for weight, _ in reversed(layers):
        signal = np.dot(weight, np.log(signal / (1 - signal)))
        signal -= np.min(signal)
        signal /= np.max(signal)
        signal *= 0.98
        signal += 0.01
    return signal[:, 0]
