"""Pixels that few images use, such as a margin: held apart, so that products skip their zeros.

A digit's ink seldom or never comes near the border: of MNIST's 784 pixels 339 are used by fewer
than one image in forty, together by 1.7 pixels an image. The first layer's product is then one of
the common pixels alone, and a row of weights for each use of a rare one: but for rounding the same
sums, with three fifths of the work. It pays on CPUs; accelerators multiply faster than they gather.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from ..network.mlp import Params
from ..network.products import fixed_rows_product

# A pixel is rare if a smaller share of images uses it. From 1/100 to 1/25 an epoch takes as long.
_RARE = 1 / 40
# How many images are looked at to find that out; every choice gives the same network.
_SAMPLE = 2000
# Uses of rare pixels that are worked on at a time. MNIST has 215 in a batch of 128.
_CHUNK = 64


class RarePixels(NamedTuple):
    """What n images have in their rare pixels, on the host: a sparse matrix in compressed rows.

    Args:
        pixels: all of them, the common ones first.
        starts: where each image's uses begin, and where the last one's end.
        columns: the pixel of each use, counted from the first rare one.
        values: what it holds, less the background.
        background: what a rare pixel holds if it is not used; None where that is always zero.
    """

    pixels: Int[np.ndarray, " pixels"]
    starts: Int[np.ndarray, " n+1"]
    columns: Int[np.ndarray, " uses"]
    values: Float[np.ndarray, " uses"]
    background: Float[np.ndarray, " rare"] | None

    def in_order(self, order: Int[Array, " n"], size: int) -> "Ordered":
        """Put the uses in the order in which an epoch meets the images, so many a batch."""
        numbers = np.asarray(order)
        counts = np.diff(self.starts)[numbers]
        ends = np.cumsum(counts)
        place = np.repeat(np.arange(len(numbers)), counts)
        which = self.starts[numbers][place] + np.arange(len(place)) - (ends - counts)[place]
        uses = Uses((place % size).astype(np.int32), self.columns[which], self.values[which])
        # One chunk more, so that the last one can be whole.
        filled = (np.pad(a, (0, _CHUNK)) for a in uses)
        bounds = np.append(0, np.append(ends[size - 1 : -1 : size], ends[-1]))
        return Ordered(self.pixels, self.background, Uses(*filled), bounds.astype(np.int32))


class Uses(NamedTuple):
    """Uses of rare pixels, batch after batch: image within its batch, rare pixel, value."""

    image: Any
    column: Any
    value: Any


class Ordered(NamedTuple):
    """The rare pixels of images in the order in which an epoch meets them.

    Args:
        pixels: as in :class:`RarePixels`.
        background: likewise.
        uses: in the order of the epoch.
        bounds: where each batch's uses begin, and where the last one's end.
    """

    pixels: Any
    background: Any
    uses: Uses
    bounds: Any

    @property
    def spans(self) -> tuple[Any, Any]:
        """Where the uses of every batch begin and end."""
        return self.bounds[:-1], self.bounds[1:]


class Parted(NamedTuple):
    """A matrix with one row a pixel, the rows of rare pixels apart."""

    common: Float[Array, "common units"]
    rare: Float[Array, "rare units"]


def part_images(
    images: Float[np.ndarray, "n pixels"], least: int | None, dtype: Any
) -> tuple[Float[Array, "n common"], RarePixels | None]:
    """Put images on the device, their rare pixels apart if there are enough of them.

    Args:
        images: one a row.
        least: how many rare pixels are enough; None if no number is.
        dtype: of what is returned.

    Returns:
        The common pixels and the others; or all pixels and None.
    """
    if least is None or least > images.shape[1]:
        return jnp.asarray(images, dtype), None
    # Not every so many: labels may come in turns.
    chosen = np.random.default_rng(0).permutation(len(images))[:_SAMPLE]
    sample = images[chosen]
    background = np.median(sample, axis=0).astype(images.dtype)
    rare = (sample != background).mean(axis=0) < _RARE
    if rare.sum() < least:
        return jnp.asarray(images, dtype), None
    common, seldom = np.flatnonzero(~rare), np.flatnonzero(rare)
    apart, empty = np.take(images, seldom, axis=1), background[rare]
    where, columns = np.nonzero(apart != empty)
    if len(where) > _RARE * apart.size:
        return jnp.asarray(images, dtype), None  # the sample was not like the rest
    # In the wanted type, as the background is when it is added again.
    empty = empty.astype(dtype)
    values = apart[where, columns].astype(dtype) - empty[columns]
    held = RarePixels(
        np.concatenate([common, seldom]).astype(np.int32),
        np.searchsorted(where, np.arange(len(images) + 1)),
        columns.astype(np.int32),
        values,
        empty if empty.any() else None,
    )
    return jnp.asarray(np.take(images, common, axis=1), dtype), held


def product(
    weight: Parted, images: Float[Array, "batch common"], rare: Ordered, span: Any
) -> Float[Array, "batch units"]:
    """Multiply a batch, as it was before its rare pixels were held apart, with a weight matrix.

    Args:
        weight: the matrix; the product can be differentiated with respect to it alone.
        images: common pixels of the batch.
        rare: the others, of the whole epoch.
        span: where the uses of this batch begin and end.
    """
    seldom = _sparse_product(weight.rare, rare.uses, span, images)
    found = fixed_rows_product(images, weight.common) + seldom
    return found if rare.background is None else found + (rare.background @ weight.rare)[None]


def _each_chunk(uses: Uses, span: Any, begin: Array, add: Callable[[Array, Uses], Array]) -> Array:
    """Go through the uses of a batch, so many at a time; those beyond its end have no value."""
    first, last = span

    def one(number: Array, total: Array) -> Array:
        start = first + number * _CHUNK
        chunk = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, start, _CHUNK), uses)
        inside = start + jnp.arange(_CHUNK) < last
        return add(
            total, chunk._replace(value=jnp.where(inside, chunk.value, 0).astype(begin.dtype))
        )

    return jax.lax.fori_loop(0, -(-(last - first) // _CHUNK), one, begin)


# By hand, since loops of unknown length have no gradient.
@jax.custom_vjp
def _sparse_product(weight: Array, uses: Uses, span: Any, images: Array) -> Array:
    def add(total: Array, chunk: Uses) -> Array:
        rows = weight.at[chunk.column].get(mode="promise_in_bounds")
        return total.at[chunk.image].add(chunk.value[:, None] * rows, mode="promise_in_bounds")

    return _each_chunk(uses, span, jnp.zeros((len(images), weight.shape[1]), weight.dtype), add)


def _forward(weight: Array, uses: Uses, span: Any, images: Array) -> tuple[Array, Any]:
    return _sparse_product(weight, uses, span, images), (weight, uses, span)


def _backward(saved: Any, cotangent: Array) -> tuple[Array, None, None, None]:
    weight, uses, span = saved

    def add(total: Array, chunk: Uses) -> Array:
        rows = cotangent.at[chunk.image].get(mode="promise_in_bounds")
        return total.at[chunk.column].add(chunk.value[:, None] * rows, mode="promise_in_bounds")

    return _each_chunk(uses, span, jnp.zeros_like(weight), add), None, None, None


_sparse_product.defvjp(_forward, _backward)


def part(
    optimiser: Any, params: Params, state: Any, rare: Ordered, common: int
) -> tuple[Params, Any]:
    """Part the first layer's weights, and what the optimiser keeps about them, likewise."""

    def parted(matrix: Array, first: bool) -> Any:
        if not first:
            return matrix
        rows = matrix[rare.pixels]
        return Parted(rows[:common], rows[common:])

    which = _first_weights(params)
    state = optax.tree.map_params(optimiser, parted, state, which)
    return jax.tree.map(parted, params, which), state


def join(optimiser: Any, params: Params, state: Any, rare: Ordered) -> tuple[Params, Any]:
    """Undo :func:`part`."""

    def joined(matrix: Any) -> Any:
        if not isinstance(matrix, Parted):
            return matrix
        rows = jnp.concatenate(matrix)
        return jnp.zeros_like(rows).at[rare.pixels].set(rows)

    def is_parted(leaf: Any) -> bool:
        return isinstance(leaf, Parted)

    state = optax.tree.map_params(optimiser, joined, state, is_leaf=is_parted)
    return jax.tree.map(joined, params, is_leaf=is_parted), state


def _first_weights(params: Params) -> Params:
    """Say of every parameter whether it is the first layer's weight matrix."""
    no = jax.tree.map(lambda _: False, params)
    return (no[0]._replace(weight=True), *no[1:])
