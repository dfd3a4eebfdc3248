"""What every contender of the training is given, and what it has to be able to do."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ...data import Dataset
from ..session import Layers


@dataclass(frozen=True, eq=False)
class Task:
    """A network to train by Adam on the cross-entropy of codes.

    Args:
        data: images and labels.
        codes: wanted outputs of the training images, shape (n, classes).
        layers: first weights.
        batch: images an update.
        rate: learning rate.
        seed: of the order of images.
    """

    data: Dataset
    codes: np.ndarray
    layers: Layers
    batch: int
    rate: float
    seed: int


@runtime_checkable
class Learner(Protocol):
    """A network that is being trained."""

    def epoch(self) -> object:
        """Train for another epoch."""
        ...

    def accuracy(self) -> float:
        """Compute the share of test images that are read right."""
        ...
