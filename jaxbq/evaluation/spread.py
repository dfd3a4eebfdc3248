"""Spread: whether restarts of one target end at one image or at many."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from .correlation import correlation

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
        distinct.append(
            connected_components(csr_matrix((table >= ALIKE).astype(np.int8)), directed=False)[0]
        )
        means.append(pairs.mean())
    return Spread(np.array(distinct), np.array(means))
