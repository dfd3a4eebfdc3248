"""Parting images into training and test: by class, and by a seed alone."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Int

from ..errors import JaxbqError

Share = Annotated[float, Gt(0), Lt(1)]
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]


def split(
    labels: Int[np.ndarray, " n"], share: float, seed: int
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Choose the images to test with: of every class the same share, at random.

    A class of two images or more has at least one in each part; the image of a class with one
    image is trained with.

    Args:
        labels: class of every image.
        share: of a class's images that are tested with, between 0 and 1.
        seed: what chance depends on, beside the labels and their order.

    Returns:
        Indices of the training and of the test images, each in mixed order: training one image
        after another and scores of the first thousand must not meet one class after another.

    Raises:
        JaxbqError: share or seed is out of range, or no class has two images.
    """
    if not 0 < share < 1:
        raise JaxbqError(f"test_share is {share}: it must lie between 0 and 1, like 0.2")
    order = mixed(len(labels), seed)
    tested = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        wanted = int(len(members) * share + 0.5)
        # The last bound wins: a single image is trained with.
        tested[members[: min(max(wanted, 1), len(members) - 1)]] = True
    if not tested.any():
        raise JaxbqError(
            "no class has two images, so none are left to test with; add images, "
            "or name those to test with"
        )
    return order[~tested[order]], order[tested[order]]


def mixed(number: int, seed: int) -> Int[np.ndarray, " number"]:
    """Draw an order of so many images.

    Raises:
        JaxbqError: the seed is out of range.
    """
    if not 0 <= seed < 2**32:
        raise JaxbqError(f"split_seed is {seed}: it must be from 0 to {2**32 - 1}")
    # The raw numbers of a bit generator are the same in every version of NumPy; a permutation
    # drawn by its Generator is not promised to be.
    drawn = np.asarray(np.random.PCG64(seed).random_raw(number), np.uint64)
    return np.argsort(drawn, kind="stable")
