"""Networks drawn at random for the tests of readers, and their answers in float64."""

import itertools
from typing import NamedTuple

import numpy as np

from jaxbq.network.files import import_network


class Drawn(NamedTuple):
    """What was drawn: sizes of the layers, weights (in, out), biases."""

    sizes: tuple[int, ...]
    weights: list[np.ndarray]
    biases: list[np.ndarray]


def draw(rng, inputs=12, outputs=4) -> Drawn:
    sizes = (inputs, *rng.integers(3, 9, rng.integers(1, 4)).tolist(), outputs)
    return Drawn(
        sizes,
        [rng.normal(0, n**-0.5, (n, m)).astype("f4") for n, m in itertools.pairwise(sizes)],
        [rng.normal(size=m).astype("f4") for m in sizes[1:]],
    )


def assert_same(source, images, outputs, **said):
    """Import a network; its outputs for images must be those of its origin."""
    said = {"image_shape": (1, images.shape[1]), **said}
    network = import_network(source, **said)
    found = network.model.apply(network.params, np.asarray(images, "f4"))
    np.testing.assert_allclose(found, outputs, atol=1e-5)
    return network
