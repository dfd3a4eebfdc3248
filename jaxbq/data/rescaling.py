"""The same images in another pixel range."""

import dataclasses

import numpy as np

from .dataset import Dataset


def rescaled(data: Dataset, low: float, high: float) -> Dataset:
    """Map the pixels of a data set linearly from their range onto another.

    Args:
        data: the data set.
        low: lower end of the new range.
        high: its upper end.

    Returns:
        The data set itself where that is its range, else a new one.
    """
    old = data.space
    if (old.low, old.high) == (low, high):
        return data

    def mapped(images: np.ndarray) -> np.ndarray:
        share = (images.astype(np.float64) - old.low) / (old.high - old.low)
        # Rounding must not leave the range.
        return np.clip(low + (high - low) * share, low, high).astype(np.float32)

    return dataclasses.replace(
        data,
        train_images=mapped(data.train_images),
        test_images=mapped(data.test_images),
        space=dataclasses.replace(old, low=low, high=high),
    )
