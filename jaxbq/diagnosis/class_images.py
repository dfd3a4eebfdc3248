"""Which classes are mush: the transpose image of every target beside its class."""

from typing import NamedTuple

import numpy as np

from .layers import alignment
from .measurements import TRANSPOSE, Measurements

_QUIET = 0.05  # of the pixel range: what a pixel's deviation stays below that hardly ever varies


class ClassImage(NamedTuple):
    """The transpose image of one target beside its class.

    Args:
        intended: the class.
        read: class that the network reads in it.
        mean: its correlation with the class's mean image.
        difference: with that less the mean of all images: how the class differs from the rest.
        quiet: share of its variance in pixels that hardly vary in the training images: whose
            standard deviation is below a twentieth of the pixel range.
    """

    intended: int
    read: int
    mean: float
    difference: float
    quiet: float


def transposed_by_class(measured: Measurements) -> list[ClassImage]:
    """Compare the transpose image of every target with its class; empty where it has none."""
    way, data = measured.way(TRANSPOSE), measured.data
    if way is None or data is None:
        return []
    images = way.result.images[:, 0].astype(np.float64)
    aligned = alignment(way.result, measured.model, measured.params, data)
    still = data.train_images.std(axis=0) < _QUIET * (data.space.high - data.space.low)
    power = np.square(images - images.mean(axis=1, keepdims=True))
    quiet = power[:, still].sum(axis=1) / np.maximum(power.sum(axis=1), np.finfo(float).tiny)
    intended = way.result.targets.argmax(axis=1)
    read, mean, difference = way.scores.predicted[:, 0], "class mean", "class difference"
    columns = intended, read, aligned[mean], aligned[difference], quiet
    return [ClassImage(*row) for row in zip(*columns, strict=True)]
