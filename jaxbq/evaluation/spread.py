"""Spread: whether restarts of one target end at one image or at many."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from .similarity import correlation

ALIKE = 0.95  # images that correlate at least so over their pixels count as one optimum


class Spread(NamedTuple):
    """How the samples of every target differ, each of shape (targets,).

    Args:
        distinct: number of distinct optima: groups of images linked by a correlation of 0.95.
        mean_correlation: mean over pairs of samples; 1 for one sample.
    """

    distinct: Int[np.ndarray, " targets"]
    mean_correlation: Float[np.ndarray, " targets"]


def spread(images: Float[np.ndarray, "targets samples pixels"]) -> Spread:
    """Measure the spread of samples.

    Args:
        images: what a method returned.
    """
    samples = images.shape[1]
    if samples == 1:
        return Spread(np.ones(len(images), int), np.ones(len(images)))
    distinct, means = [], []
    for rows in images:
        table = correlation(rows, rows)
        pairs = table[np.triu_indices(samples, 1)]
        distinct.append(_groups(table >= ALIKE))
        means.append(pairs.mean())
    return Spread(np.array(distinct), np.array(means))


def _groups(linked: Bool[np.ndarray, "n n"]) -> int:
    """Count the groups that are linked, directly or through others."""
    linked = linked | np.eye(len(linked), dtype=bool)
    first, before = np.arange(len(linked)), None
    # The smallest number that one is linked to, until nothing changes.
    while before is None or (first != before).any():
        first, before = np.where(linked, first, len(linked)).min(axis=1), first
    return len(np.unique(first))
