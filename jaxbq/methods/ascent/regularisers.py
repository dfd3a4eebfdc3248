"""Regularisers: what an image should be beside what the network says of it.

Each is a number an image, per pixel and in units of the pixel range, so that its weight means the
same for every image size; it is subtracted from the objective.
"""

import abc
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float

from ...data import Reference
from ...data.grids import grid_of
from ...options import BY_KIND, KIND_SHORTHAND, options
from .constraints import Range, outside
from .starts import start_image
from .state import Part

Weight = Annotated[float, Ge(0)]


class Picture(NamedTuple):
    """One image under way.

    Args:
        image: as the network sees it.
        raw: before the range constraint.
        u: the variable of the parameterisation.
        start: the image that the ascent began with.
        span: the ends of the pixel range.
    """

    image: Float[Array, " pixels"]
    raw: Float[Array, " pixels"]
    u: Array
    start: Float[Array, " pixels"]
    span: Range

    @property
    def shares(self) -> Float[Array, " pixels"]:
        """The image with 0 for the lower end of the range and 1 for the upper."""
        low, high = self.span
        return (self.image - low) / (high - low)


class Regulariser(Part):
    """A number an image, which is subtracted from the objective.

    Args:
        weight: the number's factor.
    """

    family = "regulariser"
    weight: float

    @abc.abstractmethod
    def value(self, state: Any, picture: Picture) -> Array:
        """Measure one image."""


@options
class L1(Regulariser):
    """Mean of |x| over pixels, x counted from the lower end of the range: sparse ink."""

    kind: Literal["l1"] = "l1"
    weight: Weight = 1.0

    def value(self, state: Any, picture: Picture) -> Array:
        """Measure one image."""
        return jnp.abs(picture.shares).mean()


@options
class L2(Regulariser):
    """Mean of x² over pixels, x counted from the lower end of the range: little ink."""

    kind: Literal["l2"] = "l2"
    weight: Weight = 1.0

    def value(self, state: Any, picture: Picture) -> Array:
        """Measure one image."""
        return jnp.square(picture.shares).mean()


@options
class PNorm(Regulariser):
    """Mean of |x − ½|^p, x in units of the range: for a large p, only extreme pixels pay.

    Source: A. Mahendran and A. Vedaldi, "Understanding deep image representations by inverting
    them", CVPR 2015, where p = 6.

    Args:
        p: exponent.
    """

    kind: Literal["p_norm"] = "p_norm"
    weight: Weight = 1.0
    p: Annotated[float, Gt(1), Le(64)] = 6.0

    def value(self, state: Any, picture: Picture) -> Array:
        """Measure one image."""
        return (jnp.abs(picture.shares - 0.5) ** self.p).mean()


@options
class TotalVariation(Regulariser):
    """Differences between neighbouring pixels.

    Args:
        form: ``anisotropic``, mean of |∂x| + |∂y|; or ``smooth``, mean of (∂x² + ∂y² + ε)^(β/2)
            less ε^(β/2).
        beta: β of the smooth form.
    """

    kind: Literal["total_variation"] = "total_variation"
    weight: Weight = 1.0
    form: Literal["anisotropic", "smooth"] = "anisotropic"
    beta: Annotated[float, Gt(0), Le(4)] = 2.0
    needs_grid = True

    def value(self, state: Any, picture: Picture) -> Array:
        """Measure one image."""
        grid = state.spread(picture.shares)
        # The last row and column have no neighbour beyond; there the difference is 0.
        down = jnp.diff(grid, axis=0, append=grid[-1:])
        right = jnp.diff(grid, axis=1, append=grid[:, -1:])
        if self.form == "anisotropic":
            return (jnp.abs(down) + jnp.abs(right)).mean()
        # ε keeps the slope finite where neighbours are equal; a thousandth of the range, squared.
        least = 1e-6
        energy = (down**2 + right**2 + least) ** (self.beta / 2)
        return energy.mean() - least ** (self.beta / 2)


@options
class HighFrequency(Regulariser):
    """Mean energy a pixel of what lies above a spatial frequency.

    Args:
        cutoff: in cycles a pixel; the highest of a row or column is 0.5.
    """

    kind: Literal["high_frequency"] = "high_frequency"
    weight: Weight = 1.0
    cutoff: Annotated[float, Ge(0), Le(0.71)] = 0.25
    needs_grid = True

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Note every coefficient's frequency, and how many of the full transform it stands for."""
        grid = grid_of(reference.space, self.kind)
        share = grid.multiplicity() / (grid.height * grid.width) ** 2
        return (
            jnp.asarray(grid.frequencies(), dtype)[..., None],
            jnp.asarray(share, dtype)[..., None],
            grid,
        )

    def value(self, state: Any, picture: Picture) -> Array:
        """Measure one image, by Parseval's theorem."""
        frequency, share, grid = state
        spectrum = jnp.fft.rfft2(grid.spread(picture.shares), axes=(0, 1))
        energy = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
        kept = jnp.where(frequency > self.cutoff, energy * share, 0)
        return kept.sum() / grid.channels


@options
class Mahalanobis(Regulariser):
    """Half the squared Mahalanobis distance to the training images, a pixel: ½‖Σ^−½(x − μ)‖² / n.

    μ and Σ are of all classes together, so it carries no label. With the parameterisation
    ``whitened``, ``parameter_norm`` is the same of the image before the range constraint, for
    free.

    Args:
        shrinkage: share of the covariance that is replaced by a multiple of the identity.
    """

    kind: Literal["mahalanobis"] = "mahalanobis"
    weight: Weight = 1.0
    shrinkage: Annotated[float, Gt(0), Le(1)] = 1e-3
    needs_images = True

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Compute μ and Σ^−½."""
        root = reference.moments.power(float(self.shrinkage), -0.5)
        return jnp.asarray(reference.moments.mean, dtype), jnp.asarray(root, dtype)

    def value(self, state: Any, picture: Picture) -> Array:
        """Measure one image."""
        mean, root = state
        return 0.5 * jnp.square((picture.image - mean) @ root).mean()


@options
class Distance(Regulariser):
    """Mean squared distance to a given image.

    Args:
        to: the image that the ascent began with (with ``start = "images"`` one of your own), the
            training set's mean, or the middle of the range.
    """

    kind: Literal["distance"] = "distance"
    weight: Weight = 1.0
    to: Literal["start", "mean", "grey"] = "start"

    def check(self, reference: Reference) -> None:
        """Refuse the mean where there are no training images."""
        if self.to == "mean":
            reference.need_images("distance to the mean")

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Make the image."""
        return None if self.to == "start" else jnp.asarray(start_image(self.to, reference), dtype)

    def value(self, state: Any, picture: Picture) -> Array:
        """Measure one image."""
        low, high = picture.span
        given = picture.start if state is None else state
        return jnp.square((picture.image - given) / (high - low)).mean()


@options
class OutOfRange(Regulariser):
    """Mean squared distance of pixels to the range, before the range constraint."""

    kind: Literal["out_of_range"] = "out_of_range"
    weight: Weight = 1.0

    def value(self, state: Any, picture: Picture) -> Array:
        """Measure one image."""
        return outside(picture.raw, picture.span)


@options
class ParameterNorm(Regulariser):
    """Half the mean square of the variable u: ½‖u‖² / n. For ``whitened``, the prior itself."""

    kind: Literal["parameter_norm"] = "parameter_norm"
    weight: Weight = 1.0

    def value(self, state: Any, picture: Picture) -> Array:
        """Measure one image."""
        return 0.5 * jnp.square(picture.u).mean()


@options
class Diversity(Regulariser):
    """Mean cosine of an image with the other restarts of its target, each less their mean.

    Paid by every restart, so that they part. Each compares with where the others stand.
    """

    kind: Literal["diversity"] = "diversity"
    weight: Weight = 1.0

    def value(self, state: Any, picture: Picture) -> Array:
        """Nothing for one image by itself; see :meth:`among`."""
        return jnp.zeros((), picture.image.dtype)

    def among(self, images: Float[Array, "restarts pixels"]) -> Float[Array, " restarts"]:
        """Measure the restarts of one target."""
        others = jax.lax.stop_gradient(images)
        if len(images) == 1:
            return jnp.zeros(1, images.dtype)
        middle = others.mean(axis=0, keepdims=True)
        # Restarts that begin as one image have no direction yet; the tiny number keeps 0/0 away.
        cosines = _units(images - middle) @ _units(others - middle).T
        apart = 1 - jnp.eye(len(images), dtype=images.dtype)
        return (cosines * apart).sum(axis=1) / (len(images) - 1)


AnyRegulariser = Annotated[
    L1
    | L2
    | PNorm
    | TotalVariation
    | HighFrequency
    | Mahalanobis
    | Distance
    | OutOfRange
    | ParameterNorm
    | Diversity,
    BY_KIND,
    KIND_SHORTHAND,
]


def _units(rows: Array) -> Array:
    return rows / jnp.sqrt(
        jnp.square(rows).sum(axis=1, keepdims=True) + np.finfo(rows.dtype).tiny ** 0.5
    )
