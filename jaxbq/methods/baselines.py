"""Baselines: images that no inversion made, to compare every method with."""

from typing import Annotated, Any, Literal

import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Le
from jaxtyping import Array

from ..data import Reference
from ..errors import JaxbqError
from ..network.mlp import Network, float_type
from ..options import options
from ..runtime.compiled import uniform
from .ascent import range_of
from .base import Inversion, Method, Targets, check_asked


class _Baseline(Method):
    """A method that computes its images at once."""

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse targets of another length than the network's outputs."""
        check_asked(model, targets, closed=True)


@options
class ClassMean(_Baseline):
    """The mean training image of the target's class, its largest entry."""

    kind: Literal["class_mean"] = "class_mean"

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse to work without labelled training images of every class that is asked for."""
        _Baseline.check(self, model, reference, targets)
        check_labels(self.kind, reference, targets)

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Average the training images of every class."""
        images, labels = reference.need_images(self.kind), reference.labels
        assert labels is not None
        means = np.zeros((labels.max() + 1, images.shape[1]))
        for label in np.unique(labels):
            means[label] = images[labels == label].mean(axis=0, dtype=np.float64)
        return jnp.asarray(means, float_type(params))

    def invert(
        self, model: Network, params: Any, state: Any, targets: Targets, key: Array
    ) -> Inversion:
        """Take the mean of each target's class."""
        return Inversion.computed(state[targets.argmax(axis=1)][:, None])


@options
class Grey(_Baseline):
    """The image at the middle of the pixel range, whatever is asked."""

    kind: Literal["grey"] = "grey"

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Make the image."""
        low, high = range_of(reference, float_type(params))
        return jnp.full(reference.space.pixels, (low + high) / 2)

    def invert(
        self, model: Network, params: Any, state: Any, targets: Targets, key: Array
    ) -> Inversion:
        """Take it for every target."""
        return Inversion.computed(jnp.broadcast_to(state, (len(targets), 1, len(state))))


@options
class NoiseImage(_Baseline):
    """Pixels drawn uniformly over their range, the same images for every target.

    Args:
        samples: images a target.
    """

    kind: Literal["noise"] = "noise"
    samples: Annotated[int, Ge(1), Le(10**5)] = 1

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Draw the images."""
        low, high = range_of(reference, float_type(params))
        shape = (self.samples, reference.space.pixels)
        return uniform(key, shape, float_type(params), low, high)

    def invert(
        self, model: Network, params: Any, state: Any, targets: Targets, key: Array
    ) -> Inversion:
        """Take them for every target."""
        return Inversion.computed(jnp.broadcast_to(state, (len(targets), *state.shape)))


def check_labels(kind: str, reference: Reference, targets: np.ndarray) -> None:
    """Check that there are labelled training images of every class that is asked for.

    Raises:
        JaxbqError: there are not.
    """
    reference.need_images(kind)
    if reference.labels is None:
        raise JaxbqError(f"{kind} needs the labels of the training images")
    for wanted in targets.argmax(axis=1):
        if not (reference.labels == wanted).any():
            raise JaxbqError(f"{kind}: there is no training image of class {wanted}")
