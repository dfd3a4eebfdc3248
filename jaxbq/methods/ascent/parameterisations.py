"""Parameterisations: the variable that an ascent moves, and the image that it stands for.

All work on one image; `prepare` makes, once per network, what does not depend on the image. The
image that a parameterisation gives may lie outside the pixel range: a constraint brings it in.
"""

import abc
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Array, Float

from ...data import Reference
from ...data.grids import Grid, grid_of
from ...errors import JaxbqError
from ...options import BY_KIND, KIND_SHORTHAND, options
from ...training import Autoencoder
from .state import Part


class Parameterisation(Part):
    """A map from a variable u to an image, and back for the images that it can give."""

    family = "parameterisation"
    is_pixels: ClassVar[bool] = False
    """Whether u is the image itself, so that the pixel range is a box for u."""
    is_squashed: ClassVar[bool] = False
    """Whether every u gives an image in the pixel range."""

    @abc.abstractmethod
    def init(self, state: Any, image: Float[Array, " pixels"]) -> Array:
        """Find the u of an image, or of the nearest image that it can give."""

    @abc.abstractmethod
    def to_image(self, state: Any, u: Array) -> Float[Array, " pixels"]:
        """Compute the image of u."""


@options
class Pixels(Parameterisation):
    """The pixels themselves."""

    kind: Literal["pixels"] = "pixels"
    is_pixels = True

    def init(self, state: Any, image: Float[Array, " pixels"]) -> Array:
        """Take the image."""
        return image

    def to_image(self, state: Any, u: Array) -> Float[Array, " pixels"]:
        """Take u."""
        return u


@options
class SigmoidPixels(Parameterisation):
    """Pixels through a sigmoid: x = low + (high − low) σ(u), in the range whatever u is.

    Args:
        margin: images are brought this far inside the range, as a share of it, before the inverse
            is taken, which is infinite at its ends.
    """

    kind: Literal["sigmoid"] = "sigmoid"
    margin: Annotated[float, Gt(0), Lt(0.5)] = 0.01
    is_squashed = True

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Note the pixel range."""
        return range_of(reference, dtype)

    def init(self, state: Any, image: Float[Array, " pixels"]) -> Array:
        """Invert the sigmoid."""
        low, high = state
        share = jnp.clip((image - low) / (high - low), self.margin, 1 - self.margin)
        return jnp.log(share) - jnp.log1p(-share)

    def to_image(self, state: Any, u: Array) -> Float[Array, " pixels"]:
        """Squash u."""
        low, high = state
        return low + (high - low) * jax.nn.sigmoid(u)


@options
class LowResolution(Parameterisation):
    """A smaller image, enlarged linearly: nothing finer than it can be drawn.

    Args:
        factor: how many times fewer rows and columns.
    """

    kind: Literal["low_resolution"] = "low_resolution"
    factor: Annotated[int, Ge(2), Le(64)] = 2
    needs_grid = True

    def check(self, reference: Reference) -> None:
        """Refuse images without a grid, or too small for the factor."""
        super().check(reference)
        grid = grid_of(reference.space, self.kind)
        if min(grid.sides) < 2 * self.factor:
            raise JaxbqError(
                f"low_resolution: factor {self.factor} leaves fewer than two rows or columns of "
                f"{grid.height} × {grid.width}; use a smaller one"
            )

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Make the two matrices that enlarge rows and columns, and their pseudo-inverses."""
        grid = grid_of(reference.space, self.kind)
        enlarge = [self._enlarger(size) for size in grid.sides]
        return tuple(jnp.asarray(m, dtype) for e in enlarge for m in (e, np.linalg.pinv(e)))

    def _enlarger(self, size: int) -> Float[np.ndarray, "size small"]:
        small = -(-size // self.factor)
        # Every column is the picture of one small pixel, by linear interpolation.
        at = np.clip((np.arange(size) + 0.5) * small / size - 0.5, 0, small - 1)
        return np.maximum(1 - np.abs(at[:, None] - np.arange(small)), 0)

    def init(self, state: Any, image: Float[Array, " pixels"]) -> Array:
        """Find the least-squares small image."""
        rows, rows_back, columns, columns_back = state
        grid = image.reshape(len(rows), len(columns), -1)
        return jnp.einsum("hH,HWc,wW->hwc", rows_back, grid, columns_back)

    def to_image(self, state: Any, u: Array) -> Float[Array, " pixels"]:
        """Enlarge it."""
        rows, _, columns, _ = state
        return jnp.einsum("Hh,hwc,Ww->HWc", rows, u, columns).reshape(-1)


@options
class Fourier(Parameterisation):
    """Coefficients of a real 2-D Fourier transform, each scaled by 1 / frequency^decay.

    Source: C. Olah et al., "Feature visualization", Distill 2017; the lowest frequencies, which
    natural images are made of, move fastest.

    Args:
        decay: exponent of the frequency; 0 for none, 1 in the source.
    """

    kind: Literal["fourier"] = "fourier"
    decay: Annotated[float, Ge(0), Le(4)] = 1.0
    needs_grid = True

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Scale every coefficient; u = 0 is the middle of the pixel range."""
        grid = grid_of(reference.space, self.kind)
        # The lowest frequency stands in for frequency 0, as in the source.
        frequency = np.maximum(grid.frequencies(), 1 / max(grid.sides))
        low, high = range_of(reference, dtype)
        size = (grid.height * grid.width) ** 0.5
        logarithm = jnp.asarray(np.log(frequency), dtype)
        scale = jnp.exp(-self.decay * logarithm) * size
        return scale[..., None], (low + high) / 2, grid

    def init(self, state: Any, image: Float[Array, " pixels"]) -> Array:
        """Transform the image."""
        scale, middle, grid = state
        spectrum = jnp.fft.rfft2(grid.spread(image - middle), axes=(0, 1)) / scale
        return jnp.stack([spectrum.real, spectrum.imag])

    def to_image(self, state: Any, u: Array) -> Float[Array, " pixels"]:
        """Transform back."""
        scale, middle, grid = state
        return middle + _to_space(jax.lax.complex(scale * u[0], scale * u[1]), grid)


@options
class FixedSpectrum(Parameterisation):
    """MACO: the magnitudes of the training images' mean spectrum, fixed; only phases move.

    Source: T. Fel et al., "Unlocking feature visualization for deeper networks with magnitude
    constrained optimization", NeurIPS 2023.
    """

    kind: Literal["fixed_spectrum"] = "fixed_spectrum"
    needs_grid = True
    needs_images = True

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Average the magnitudes over the training images."""
        grid = grid_of(reference.space, self.kind)
        images = reference.need_images(self.kind)
        total = np.zeros((grid.height, grid.width // 2 + 1, grid.channels))
        for rows in np.array_split(images, -(-len(images) // 4096)):
            spectrum = np.fft.rfft2(rows.reshape(-1, *grid.shape).astype(np.float64), axes=(1, 2))
            total += np.abs(spectrum).sum(axis=0)
        return jnp.asarray(total / len(images), dtype), grid

    def init(self, state: Any, image: Float[Array, " pixels"]) -> Array:
        """Take the phases of the image."""
        _, grid = state
        return jnp.angle(jnp.fft.rfft2(grid.spread(image), axes=(0, 1)))

    def to_image(self, state: Any, u: Array) -> Float[Array, " pixels"]:
        """Put the magnitudes to the phases."""
        magnitude, grid = state
        spectrum = jax.lax.complex(magnitude * jnp.cos(u), magnitude * jnp.sin(u))
        return _to_space(spectrum, grid)


class _Affine(Parameterisation):
    """x = mean + u S, and back by another matrix; made from training images."""

    needs_images = True

    def init(self, state: Any, image: Float[Array, " pixels"]) -> Array:
        """Go back."""
        mean, _, analyse = state
        return (image - mean) @ analyse

    def to_image(self, state: Any, u: Array) -> Float[Array, " pixels"]:
        """Go forward."""
        mean, synthesise, _ = state
        return mean + u @ synthesise


@options
class Whitened(_Affine):
    """x = μ + Σ^½ u, with mean and covariance of the training images, all classes together.

    A step in u moves along what images vary in; ‖u‖² is the Mahalanobis distance. No label goes
    in.

    Args:
        shrinkage: share of the covariance that is replaced by a multiple of the identity, so that
            pixels that never vary can.
    """

    kind: Literal["whitened"] = "whitened"
    shrinkage: Annotated[float, Gt(0), Le(1)] = 1e-3

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Compute μ, Σ^½ and Σ^−½."""
        moments = reference.moments
        root = (moments.power(float(self.shrinkage), power) for power in (0.5, -0.5))
        return tuple(jnp.asarray(each, dtype) for each in (moments.mean, *root))


@options
class PrincipalComponents(_Affine):
    """x = μ + Eₖ diag(σ) u: the first k principal components of the training images.

    Args:
        components: k.
    """

    kind: Literal["principal_components"] = "principal_components"
    components: Annotated[int, Ge(1)] = 50

    def check(self, reference: Reference) -> None:
        """Refuse to work without training images, and more components than they have."""
        super().check(reference)
        rank = reference.moments.rank
        if self.components > rank:
            raise JaxbqError(
                f"principal_components: the training images have {rank} components, "
                f"not {self.components}"
            )

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Take the first components, scaled to the standard deviation along them, and back."""
        moments = reference.moments
        axes = moments.vectors[:, : self.components]
        deviation = moments.values[: self.components] ** 0.5
        parts = (moments.mean, (axes * deviation).T, axes / deviation)
        return tuple(jnp.asarray(each, dtype) for each in parts)


@options
class AutoencoderCode(Parameterisation):
    """The code of an autoencoder trained on the training images: x = decoder(μ + R u).

    μ and R Rᵀ are mean and covariance of the training images' codes, so that ``parameter_norm`` is
    the prior of the codes. No label goes in.

    Source: A. Nguyen et al., "Synthesizing the preferred inputs for neurons in neural networks via
    deep generator networks", NeurIPS 2016 (DGN-AM).

    Args:
        autoencoder: its options.
    """

    kind: Literal["autoencoder"] = "autoencoder"
    autoencoder: Autoencoder = Autoencoder()
    is_squashed = True

    def check(self, reference: Reference) -> None:
        """Refuse what the autoencoder refuses."""
        self.autoencoder.check(reference)

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Train the autoencoder."""
        return self.autoencoder.trained(reference, dtype)

    def init(self, state: Any, image: Float[Array, " pixels"]) -> Array:
        """Encode the image."""
        return self.autoencoder.encode(state, image[None])[0]

    def to_image(self, state: Any, u: Array) -> Float[Array, " pixels"]:
        """Decode u."""
        return self.autoencoder.decode(state, u[None])[0]


AnyParameterisation = Annotated[
    Pixels
    | SigmoidPixels
    | LowResolution
    | Fourier
    | FixedSpectrum
    | Whitened
    | PrincipalComponents
    | AutoencoderCode,
    BY_KIND,
    KIND_SHORTHAND,
]


def range_of(reference: Reference, dtype: Any) -> tuple[Array, Array]:
    """Take the ends of the pixel range as arrays."""
    space = reference.space
    return jnp.asarray(space.low, dtype), jnp.asarray(space.high, dtype)


def _to_space(spectrum: Array, grid: Grid) -> Array:
    return jnp.fft.irfft2(spectrum, s=grid.sides, axes=(0, 1)).reshape(-1)
