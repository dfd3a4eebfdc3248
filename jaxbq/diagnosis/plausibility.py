"""Whether a network was taken over as it was trained: what it reads, and would read otherwise."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np

from ..data import Dataset
from ..network.activations import HiddenName
from ..network.mlp import MLP, Params
from ..training import accuracy, check_ends

_MOST_READ = 2000  # test images; enough to tell chance from learning
_BETTER = 0.05  # a gain in accuracy that is worth telling


@dataclass(frozen=True)
class Plausibility:
    """What a network reads of some images, as it was taken over and otherwise.

    Args:
        accuracy: share of test images that it reads right.
        chance: share that guessing would.
        alternatives: what could have been taken over wrongly, and the accuracy if it were
            otherwise, best first.
    """

    accuracy: float
    chance: float
    alternatives: tuple[tuple[str, float], ...]

    @property
    def doubtful(self) -> bool:
        """Whether it reads at chance, or clearly worse than it could."""
        best = self.alternatives[0][1] if self.alternatives else 0.0
        return self._at_chance or best > self.accuracy + _BETTER

    @property
    def _at_chance(self) -> bool:
        # A tenth of the way from guessing to certainty.
        return self.accuracy < self.chance + 0.1 * (1 - self.chance)

    @property
    def advice(self) -> str:
        """The warning in one line; nothing where there is nothing to doubt."""
        if not self.doubtful:
            return ""
        tried = "; ".join(f"{what}: {value:.3f}" for what, value in self.alternatives)
        level = "at chance" if self._at_chance else "worse than it could"
        return (
            f"it reads {level} ({self.accuracy:.3f}; guessing {self.chance:.3f}). Likely causes: "
            "orientation of the weights, scaling of the pixels, activation. "
            f"Its accuracy with each changed alone: {tried}"
        )


def plausibility(model: MLP, params: Params, data: Dataset) -> Plausibility:
    """Let a network read test images as it is, and with each likely mistake undone.

    Args:
        model: the network, as it was taken over.
        params: its parameters.
        data: images in the pixel range that it is to be used with.

    Raises:
        JaxbqError: the network does not take these images or answer these classes.
    """
    check_ends(model, data)
    images, labels = data.test_images[:_MOST_READ], data.test_labels[:_MOST_READ]
    found = [
        (what, accuracy(other, changed, seen, labels))
        for what, other, changed, seen in _alternatives(model, params, images, data)
    ]
    return Plausibility(
        accuracy(model, params, images, labels),
        float(np.bincount(labels).max() / len(labels)),
        tuple(sorted(found, key=lambda each: -each[1])),
    )


def _alternatives(
    model: MLP, params: Params, images: np.ndarray, data: Dataset
) -> Iterator[tuple[str, MLP, Params, np.ndarray]]:
    low, high = data.pixel_range
    share = (images - low) / (high - low)
    for ends in ((0.0, 1.0), (0.01, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        if not np.allclose(ends, (low, high)):
            yield (
                f"pixel range {ends[0]:g} {ends[1]:g}",
                model,
                params,
                (ends[0] + (ends[1] - ends[0]) * share).astype(np.float32),
            )
    mean, deviation = data.train_images.mean(), data.train_images.std()
    standard = ((low - mean) / deviation, (high - mean) / deviation)
    yield (
        f"pixel range {standard[0]:.4f} {standard[1]:.4f} (mean 0, standard deviation 1)",
        model,
        params,
        ((images - mean) / deviation).astype(np.float32),
    )
    yield "ink and paper exchanged", model, params, (low + high - images).astype(np.float32)
    if len(data.image_shape) == 2:
        turned = images.reshape(-1, *data.image_shape).swapaxes(1, 2).reshape(len(images), -1)
        yield "rows and columns of the pixels exchanged", model, params, turned
    for number, layer in enumerate(params):
        if layer.weight.shape[0] == layer.weight.shape[1]:
            other = (*params[:number], layer._replace(weight=layer.weight.T), *params[number + 1 :])
            yield f"weights of layer {number + 1} the other way round", model, other, images
    if len(params) > 1:
        for name in get_args(HiddenName):
            if name != model.hidden:
                changed = dataclasses.replace(model, hidden=name)
                yield f"hidden activation {name}", changed, params, images
