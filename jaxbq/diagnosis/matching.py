"""A network and data brought together: shapes, pixel range, and which output is which class."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data import Dataset, rescaled
from ..data.labels import listed
from ..errors import JaxbqError
from ..network.files import NetworkFile, is_native, open_network
from ..network.inputs import Inputs
from ..training import check_ends
from .plausibility import (
    Plausibility,
    at_chance,
    class_order,
    most_frequent,
    plausibility,
    some_images,
)


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
    images, labels = some_images(data)
    logits = np.asarray(network.model.logits(network.params, images))
    order = class_order(logits, labels)
    likely = tuple(theirs[k] for k in order)
    right = float((logits.argmax(axis=1) == labels).mean())
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


def open_for(
    path: str, data: Dataset, dtype: str | None = None, **said: Any
) -> tuple[NetworkFile, Dataset]:
    """Open a network for data, and bring these into its pixel range and order of classes.

    Args:
        path: the network's file.
        data: images; of a foreign network they say what neither the file nor ``said`` does.
        dtype: as for :func:`~jaxbq.load_network`.
        said: as for :func:`~jaxbq.import_network`; None for what is not said.

    Raises:
        JaxbqError: the network cannot be read, does not take these images, or as :func:`matched`.
    """
    if not is_native(Path(path)):
        said["image_shape"] = said.get("image_shape") or data.space.shape
        said["pixel_range"] = said.get("pixel_range") or data.pixel_range
    network = open_network(path, dtype, **said)
    if network.space.shape != data.space.shape:
        raise JaxbqError(
            f"{path}: the network's images have shape {network.space.shape}, "
            f"those of the data {data.space.shape}"
        )
    return matched(network, rescaled(data, network.space.low, network.space.high), path)


class Mended(NamedTuple):
    """A network opened for data, with what was found to be the likeliest.

    Args:
        network: with its names of the classes.
        data: in its pixel range and its order of classes.
        found: what it reads in them.
        fixes: what was said otherwise for it, one after another.
    """

    network: NetworkFile
    data: Dataset
    found: Plausibility
    fixes: tuple[Mapping[str, Any], ...]


def open_mended(
    path: str, data: Dataset, dtype: str | None, said: Mapping[str, Any], most: int
) -> Mended:
    """Open a network for data, let it read them, and take it otherwise where that is likelier.

    Args:
        path: as for :func:`open_for`.
        data: likewise.
        dtype: likewise.
        said: likewise, every name of it.
        most: how many things may be taken otherwise, one after another; 0 for none.

    Raises:
        JaxbqError: as :func:`open_for`.
    """
    now, fixes = dict(said), list[Mapping[str, Any]]()
    while True:
        try:
            network, seen = open_for(path, data, dtype, **now)
            found = plausibility(network.model, network.params, seen, network.settled)
            if not found.causes or len(fixes) == most:
                return Mended(network, seen, found, tuple(fixes))
            fixes.append(found.causes[0].changes)
        except ClassesDisagreeError as fault:
            if len(fixes) == most:
                raise
            fixes.append({"class_names": fault.likely})
        now |= _otherwise(now, fixes[-1])


def _otherwise(said: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Say what is to be changed; of two ways of drawing, the other than was said."""
    new = dict(changes)
    for field in dataclasses.fields(Inputs):
        if field.name in new:
            inputs = new.get("inputs") or said["inputs"] or Inputs()
            value = new.pop(field.name)
            value = field.default if getattr(inputs, field.name) == value else value
            new["inputs"] = dataclasses.replace(inputs, **{field.name: value})
    return new


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
