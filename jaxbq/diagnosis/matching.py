"""Which output of a network answers which class of some data."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..data import Dataset
from ..data.labels import listed
from ..errors import JaxbqError
from ..network.files import NetworkFile
from ..training import check_ends
from .plausibility import at_chance, class_order, most_frequent


class ClassesDisagreeError(JaxbqError):
    """A network and data call their classes differently.

    Args:
        message: what is wrong, and what to do.
        likely: the names of the data in the order that fits best what the network reads.
    """

    def __init__(self, message: str, likely: tuple[str, ...]) -> None:
        super().__init__(message)
        self.likely = likely


def matched(network: NetworkFile, data: Dataset, where: str) -> tuple[NetworkFile, Dataset]:
    """Bring the classes of data into the order of a network's outputs.

    They are matched by name. A network whose outputs have no names takes those of the data: where
    these are numbers, in their order; where they are words, only if what it reads in the images
    agrees with the order that the data have them in.

    Args:
        network: the network.
        data: images of its shape and in its pixel range.
        where: whose the network is, for messages.

    Returns:
        The network with its names, and the data with the same.

    Raises:
        JaxbqError: the network does not take these images or answer as many classes; or names
            disagree, so that nobody but the user knows which output is which class.
    """
    names, theirs = network.class_names, data.class_names
    if network.model.sizes[0] == data.space.pixels and set(theirs) <= set(names):
        return network, reordered(data, names)
    check_ends(network.model, data)
    unnamed = "class_names" in network.assumed
    images, labels = data.test_images[:1000], data.test_labels[:1000]
    logits = np.asarray(network.model.logits(network.params, images))
    order = class_order(logits, labels)
    likely = tuple(theirs[k] for k in order)
    right = (logits.argmax(axis=1) == labels).mean()
    confirmed = likely == theirs and not at_chance(right, most_frequent(labels))
    if confirmed or (unnamed and all(map(str.isdecimal, theirs))):
        names = theirs if unnamed else names
        return dataclasses.replace(network, class_names=names), dataclasses.replace(
            data, class_names=names
        )
    own = "have no names" if unnamed else f"are called {listed(names)}"
    raise ClassesDisagreeError(
        f"{where}: its outputs {own}, but the classes of the data {listed(theirs)}; say which is "
        f"which: --class-names {','.join(likely)} fits best what it reads (in a config: "
        "network.class_names)",
        likely,
    )


def reordered(data: Dataset, names: Sequence[str]) -> Dataset:
    """Put the classes of data in the order of ``names``, which may be more than the data have."""
    if tuple(names) == data.class_names:
        return data
    place = np.array([list(names).index(name) for name in data.class_names], np.int32)
    return dataclasses.replace(
        data,
        train_labels=place[data.train_labels],
        test_labels=place[data.test_labels],
        class_names=tuple(names),
    )
