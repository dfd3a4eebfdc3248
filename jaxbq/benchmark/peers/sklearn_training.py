"""scikit-learn's MLPClassifier, an epoch at a time by ``partial_fit``."""

import importlib

import numpy as np

from .learning import Task


class Classifier:
    """The same hidden layers, batches and Adam; softmax outputs, since it has no others.

    Args:
        task: what is trained; first weights are scikit-learn's own.
    """

    def __init__(self, task: Task) -> None:
        module = importlib.import_module("sklearn.neural_network")
        self._data = task.data
        self._images = task.data.train_images.astype(task.layers[0][0].dtype)
        self._classifier = module.MLPClassifier(
            hidden_layer_sizes=tuple(weight.shape[1] for weight, _ in task.layers[:-1]),
            activation="logistic",
            solver="adam",
            alpha=0.0,
            batch_size=min(task.batch, len(self._images)),
            learning_rate_init=task.rate,
            random_state=task.seed,
        )
        self._classes = np.arange(task.data.classes)

    def epoch(self) -> None:
        """Train for another epoch."""
        self._classifier.partial_fit(self._images, self._data.train_labels, classes=self._classes)

    def accuracy(self) -> float:
        """Compute the share of test images that are read right."""
        found = self._classifier.predict(self._data.test_images.astype(self._images.dtype))
        return float((found == self._data.test_labels).mean())
