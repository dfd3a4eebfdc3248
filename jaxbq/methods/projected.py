"""What another method's image would be, were it like the data: encode it, decode it."""

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..data import Reference
from ..network.mlp import Network, float_type
from ..options import BY_KIND, KIND_SHORTHAND, defaulting_to, describe, options
from ..training import Autoencoder, CodeSpace
from .ascent.ascent import PRESET_SHORTHAND, Ascent
from .base import Inversion, Method, Targets
from .baselines import ClassMean, Grey, NoiseImage
from .decoder import Decoder
from .exemplars import ExemplarMean, Exemplars
from .preimage import Preimage
from .pseudo_inverse import PseudoInverse
from .transpose import Transpose

Inverting = (
    Transpose
    | PseudoInverse
    | Preimage
    | Ascent
    | Exemplars
    | ExemplarMean
    | ClassMean
    | Grey
    | NoiseImage
    | Decoder
)


# What lies far from the data has to come back to it: trained on images with noise (P. Vincent et
# al., "Extracting and composing robust features with denoising autoencoders", 2008).
_DENOISING = Autoencoder(noise=0.3)


class ProjectedState(NamedTuple):
    """What both parts prepared, and the training images' mean pixel and mean contrast."""

    method: Any
    space: CodeSpace
    brightness: Float[Array, ""]
    contrast: Float[Array, ""]


@options
class Projected(Method):
    """The images of another method, each projected onto the data: encoded and decoded again.

    The autoencoder saw training images alone, neither labels nor the network. Reasons, iterations
    and diagnostics are the other method's, with ``image_before_projection`` and ``moved``, the
    root mean square distance to it in units of the pixel range.

    Args:
        method: any other method, or a preset.
        match: bring every image to the training images' mean brightness and contrast first, as far
            as the pixel range allows: many methods say nothing of either.
        autoencoder: what the images go through; by default one trained on images with noise.
    """

    kind: Literal["projected"] = "projected"
    method: Annotated[Inverting, BY_KIND, KIND_SHORTHAND, PRESET_SHORTHAND] = Transpose()
    match: bool = True
    autoencoder: Annotated[Autoencoder, defaulting_to(_DENOISING)] = _DENOISING

    @property
    def standard(self) -> tuple[str, Any]:
        """The name, with that of the other method."""
        return f"{self.kind} {describe(self.method)}", Projected(method=self.method)

    @property
    def spreads(self) -> bool:
        """Whether the other method does; projecting takes a few products."""
        return self.method.spreads

    @property
    def independent_samples(self) -> int:
        """Those of the other method."""
        return self.method.independent_samples

    def part(self, samples: range) -> "Projected":
        """Let the other method find fewer."""
        return dataclasses.replace(self, method=self.method.part(samples))  # type: ignore[arg-type]

    def skip(self, state: ProjectedState, samples: int) -> ProjectedState:
        """Tell the other method's state."""
        return state._replace(method=self.method.skip(state.method, samples))

    def rank(self, reasons: Any, diagnostics: Mapping[str, Any]) -> Any:
        """Keep the other method's order."""
        return self.method.rank(reasons, diagnostics)

    def is_brief(self, targets: int) -> bool:
        """Ask the other method."""
        return self.method.is_brief(targets)

    @property
    def prepared(self) -> Hashable:
        """What the other method's preparation depends on, and the autoencoder."""
        return self.method.prepared, self.autoencoder

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse what the other method or the autoencoder refuses."""
        self.method.check(model, reference, targets)
        self.autoencoder.check(reference)

    def plan(self, targets: int, pixels: int) -> "Projected":
        """Let the other method choose."""
        return dataclasses.replace(self, method=self.method.plan(targets, pixels))  # type: ignore[arg-type]

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Prepare the other method, and train the autoencoder."""
        dtype, images = float_type(params), reference.need_images(self.kind)
        return ProjectedState(
            self.method.prepare(model, params, reference, key),
            self.autoencoder.trained(reference, dtype),
            jnp.asarray(images.mean(dtype=np.float64), dtype),
            jnp.asarray(images.std(axis=1).mean(dtype=np.float64), dtype),
        )

    def invert(
        self, model: Network, params: Any, state: Any, targets: Targets, key: Array
    ) -> Inversion:
        """Let the other method find images, then project them."""
        found = self.method.invert(model, params, state.method, targets, key)
        rows = found.images.reshape(-1, found.images.shape[-1])
        seen = _matched(rows, state) if self.match else rows
        back = self.autoencoder.reconstruct(state.space, seen).reshape(found.images.shape)
        moved = jnp.sqrt(jnp.square(back - found.images).mean(axis=-1))
        # The way of an ascent leads to its own image, not to this one.
        others = {name: values for name, values in found.diagnostics.items() if name != "path"}
        diagnostics = {
            **others,
            "image_before_projection": found.images,
            "moved": moved / (state.space.high - state.space.low),
        }
        return found._replace(images=back, diagnostics=diagnostics)


def _matched(images: Float[Array, "n pixels"], state: ProjectedState) -> Float[Array, "n pixels"]:
    """Bring images to the brightness and contrast of the data; one without contrast to grey."""
    centred = images - images.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    flat = deviation < 1e-6
    unit = jnp.where(flat, 0, centred / jnp.where(flat, 1, deviation))
    space = state.space
    return jnp.clip(state.brightness + state.contrast * unit, space.low, space.high)
