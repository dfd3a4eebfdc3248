"""What an image is made of by its edges, and how far that is from what a class is made of."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from ..data import Grid

_DIRECTIONS = 8
_CELLS = 49  # about so many on a grid
_COMPONENTS = 20  # of a class, at most; a third of its images
_MOST_IMAGES = 1000  # that components are computed from
_TINY = 1e-6


def edges(images: Float32[np.ndarray, "n pixels"], grid: Grid) -> Float32[np.ndarray, "n features"]:
    """Measure brightness, and its rise in each of eight directions, in each cell of an image.

    Of every pixel's gradient g, |g| cos⁴ of its angle to each direction within 90°, summed over
    channels; averaged with Gaussian weights around the centres of about 49 cells; then the root.
    Brightness is the mean over channels, with the same weights, without the root.

    Source: after N. Dalal and B. Triggs, "Histograms of oriented gradients for human detection",
    2005. Nothing is normalised here: a faint image has faint edges.

    Args:
        images: shares of the pixel range.
        grid: how their pixels lie.
    """
    stride = max(1, round((grid.height * grid.width / _CELLS) ** 0.5))
    pools = [_pool(side, stride) for side in grid.sides]
    parts = [
        _edges(images[start : start + 1000].reshape(-1, *grid.shape), *pools)
        for start in range(0, max(len(images), 1), 1000)
    ]
    return np.concatenate(parts)


def _edges(pictures: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    rise, run = np.zeros_like(pictures), np.zeros_like(pictures)
    rise[:, 1:-1] = pictures[:, 2:] - pictures[:, :-2]
    run[:, :, 1:-1] = pictures[:, :, 2:] - pictures[:, :, :-2]
    length = np.hypot(rise, run)
    over = np.maximum(length, _TINY)
    rise, run = rise / over, run / over
    found = []
    for k in range(_DIRECTIONS):
        angle = 2 * np.pi * k / _DIRECTIONS
        along = np.maximum(np.float32(np.cos(angle)) * run + np.float32(np.sin(angle)) * rise, 0)
        along *= along
        along *= along
        along *= length
        found.append(np.sqrt(down @ along.sum(axis=3) @ across.T))
    found.append(down @ pictures.mean(axis=3) @ across.T)
    rows = np.stack(found, axis=-1)
    return rows.reshape(len(rows), len(down) * len(across) * (_DIRECTIONS + 1))


def _pool(side: int, stride: int) -> Float32[np.ndarray, "cells side"]:
    places = np.arange(side, dtype=np.float32)
    centres = places[min(stride // 2, side // 2) :: stride, None]
    weights = np.exp(-0.5 * ((places - centres) / (stride / 2)) ** 2)
    return (weights / weights.sum(axis=1).max()).astype(np.float32)


def principal(
    rows: Float[np.ndarray, "n features"], most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute mean, components as columns, and their variances, largest first."""
    rows = rows[:: -(-len(rows) // _MOST_IMAGES)]
    mean = rows.mean(axis=0)
    centred = (rows - mean).astype(np.float64)
    wide = centred.shape[1] > len(centred)
    square = centred @ centred.T if wide else centred.T @ centred
    variances, vectors = np.linalg.eigh(square / len(centred))
    variances, vectors = variances[::-1][:most], vectors[:, ::-1][:, :most]
    if wide:
        vectors = centred.T @ vectors
        vectors /= np.maximum(np.linalg.norm(vectors, axis=0), _TINY)
    return mean, vectors.astype(np.float32), np.maximum(variances, 0)


class Typical(NamedTuple):
    """A Gaussian for every class: variances along principal components, the same one elsewhere.

    Args:
        means: of the classes; NaN for one without images.
        components: scaled so that a coordinate is in deviations; 0 for what a class lacks.
        directions: the same as unit vectors.
        variance: outside the components.
    """

    means: Any
    components: Any
    directions: Any
    variance: Any

    @classmethod
    def fitted(cls, rows: np.ndarray, labels: Int[np.ndarray, " n"], classes: int) -> "Typical":
        """Fit it to features of images."""
        size = rows.shape[1]
        most = min(_COMPONENTS, size // 2, int(np.bincount(labels).max()) // 3)
        means = np.full((classes, size), np.nan, np.float32)
        directions = np.zeros((classes, size, most), np.float32)
        components = np.zeros_like(directions)
        left = []
        for label in range(classes):
            own = rows[labels == label]
            if len(own) == 0:
                continue
            means[label], vectors, variances = principal(own, min(most, len(own) // 3))
            inside = vectors.shape[1]
            directions[label, :, :inside] = vectors
            components[label, :, :inside] = vectors / np.sqrt(variances + _TINY)
            total = ((own - means[label]) ** 2).sum(axis=1).mean()
            left.append(max(float(total - variances.sum()), 0.0) / (size - inside))
        return cls(means, components, directions, np.float32(np.mean(left) + _TINY))

    def distances(self, rows: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, " n"]:
        """Compute squared distances to the classes given, in deviations; infinite to an empty."""
        found = np.full(len(rows), np.inf)
        for label in np.unique(labels):
            own = labels == label
            centred = rows[own] - self.means[label]
            within = ((centred @ self.components[label]) ** 2).sum(axis=1)
            along = ((centred @ self.directions[label]) ** 2).sum(axis=1)
            outside = np.maximum((centred**2).sum(axis=1) - along, 0) / self.variance
            found[own] = np.nan_to_num(within + outside, nan=np.inf)
        return found


class NearestVotes(NamedTuple):
    """The nearest of known rows vote, each with a weight that falls with its distance.

    Written as a network: its logits are the logarithms of the votes, and a row far from all that is
    known is nobody's.

    Args:
        classes: the last of them is none: the vote of the mush that is known, and of emptiness.
        components: coordinates that distances are measured in.
    """

    classes: int
    components: int = 64
    voters: int = 5

    def init(self, key: Array, dtype: Any = jnp.float32) -> Any:
        """Name the parameters, which are not drawn but known rows."""
        return dict.fromkeys(("mean", "vectors", "known", "labels", "scale"), jnp.zeros(1, dtype))

    def fitted(self, rows: np.ndarray, labels: np.ndarray, held: np.ndarray) -> Any:
        """Keep rows and their classes; rows held back say which distance is usual."""
        real = rows[labels < self.classes - 1]
        mean, vectors, _ = principal(real, self.components)
        known = (rows - mean) @ vectors
        params = {"mean": mean, "vectors": vectors, "known": known, "labels": labels}
        nearest = _nearest(params | {"scale": 1.0}, jnp.asarray(held[:_MOST_IMAGES]), 1)[0]
        return params | {"scale": np.float32(max(float(np.median(nearest)), _TINY))}

    def logits(self, params: Any, rows: Float[Array, "n features"]) -> Array:
        """Compute the logarithms of the votes."""
        distances, at = _nearest(params, rows, min(self.voters, len(params["labels"])))
        weights = jnp.exp(-2 * distances)
        owners = jax.nn.one_hot(params["labels"][at], self.classes, dtype=weights.dtype)
        votes = (weights[..., None] * owners).sum(axis=1) + 1e-12
        # Emptiness has the vote of one neighbour at three times the usual squared distance.
        return jnp.log(votes.at[:, -1].add(float(np.exp(-6))))


def _nearest(params: Any, rows: Array, number: int) -> tuple[Array, Array]:
    """Find squared distances to the nearest known rows, in units of the usual, and their places."""
    own, known = (rows - params["mean"][None]) @ params["vectors"], params["known"]
    table = (own**2).sum(axis=1)[:, None] + (known**2).sum(axis=1)[None] - 2 * own @ known.T
    nearest, at = jax.lax.top_k(-table, number)
    return jnp.maximum(-nearest, 0) / params["scale"], at
