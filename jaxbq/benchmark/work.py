"""How much work a case is: operations of matrix products, and the least bytes that must move."""

import itertools
from collections.abc import Sequence


def weights(sizes: Sequence[int]) -> int:
    """Count the weights of a network."""
    return sum(n * m for n, m in itertools.pairwise(sizes))


def ascent_flops(sizes: Sequence[int], images: int, steps: int, *, whitened: bool = False) -> float:
    """Count the operations of an ascent: products forward, and back to the image.

    Whitened, every step goes through a square matrix of the pixels too, forth and back.
    """
    extra = sizes[0] ** 2 if whitened else 0
    return 4.0 * (weights(sizes) + extra) * images * steps


def ascent_bytes(sizes: Sequence[int], images: int, steps: int, item: int = 4) -> float:
    """Count the least bytes of an ascent by Adam, each array once a step.

    Weights are read; images and Adam's two moments are read and written. What lies between two
    layers is left out.
    """
    return float(item * steps * (weights(sizes) + 6 * images * sizes[0]))


def training_flops(sizes: Sequence[int], images: int) -> float:
    """Count the operations of an epoch: forward, to the weights, and to all but the input."""
    return 2.0 * images * (2 * weights(sizes) + weights(sizes[1:]))


def sparse_flops(uses: int, units: int) -> float:
    """Count the operations of so many nonzero inputs in an epoch: forward, and to the weights."""
    return 4.0 * uses * units


def training_bytes(
    sizes: Sequence[int], images: int, batch: int, item: int = 4, *, inputs: int | None = None
) -> float:
    """Count the least bytes of an epoch by Adam, each array once an update.

    Weights and two moments are read and written, images are read: all their pixels, or so many
    ``inputs``.
    """
    updates = -(-images // batch)
    read = images * sizes[0] if inputs is None else inputs
    return float(item * (updates * 6 * weights(sizes) + read))
