"""What linear classifiers of the same data show, which a claim about a network must beat."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Gt
from jaxtyping import Array

from ..data import Reference
from ..network.mlp import MLP, Network, Params, float_type, outputs_of
from ..network.targets import Codes
from ..options import defaulting_to, options
from ..training import Training, fit
from ..training.rules import TrainingArrays
from .ascent import range_of
from .ascent.ascent import PRESET_SHORTHAND, Ascent, preset
from .base import Inversion, Method, Targets, check_asked
from .baselines import check_labels

_SHRINKAGE = 1e-2  # of the covariance
_WHITENED = preset("whitened")


@options
class LinearDiscriminant(Method):
    """The image that a linear discriminant of the target's class weighs pixels by.

    Σ⁻¹(μ_c − μ) about the middle of the pixel range, as far as that goes; Σ is the covariance of
    all training images, with 0.01 of its mean variance added, μ their mean and μ_c that of the
    class. The network has no part in it.

    Source: R. A. Fisher, "The use of multiple measurements in taxonomic problems", 1936.
    """

    kind: Literal["linear_discriminant"] = "linear_discriminant"

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse to work without labelled training images of every class that is asked for."""
        check_asked(model, targets, closed=True)
        check_labels(self.kind, reference, targets)

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Compute the image of every class, on the host in float64."""
        images, labels, moments = *_labelled(self.kind, reference), reference.moments
        root = moments.power(_SHRINKAGE, -0.5)
        dtype, space = float_type(params), reference.space
        weights = np.zeros((labels.max() + 1, space.pixels))
        for label in np.unique(labels):
            mean = images[labels == label].mean(axis=0, dtype=np.float64)
            own = root @ (root.T @ (mean - moments.mean))
            weights[label] = own / max(np.abs(own).max(), np.finfo(np.float64).tiny)
        low, high = range_of(reference, dtype)
        return jnp.clip(
            (low + high) / 2 + (high - low) / 2 * jnp.asarray(weights, dtype), low, high
        )

    def invert(
        self, model: Network, params: Any, state: Any, targets: Targets, key: Array
    ) -> Inversion:
        """Take the image of each target's class."""
        return Inversion.computed(state[targets.argmax(axis=1)][:, None])


class LogisticState(NamedTuple):
    """A logistic regression, and what the ascent prepared for it."""

    params: Params
    ascent: Any


@options
class Logistic(Method):
    """An ascent, by default the whitened one, on a logistic regression instead of the network.

    The regression is trained on the training images and their labels, with the network's output
    activation; the network has no part in it. What this shows as well, the ascent's prior and the
    data show, and not the network.

    Args:
        method: the ascent.
        epochs: of the regression's training.
        batch_size: likewise.
    """

    kind: Literal["logistic"] = "logistic"
    method: Annotated[Ascent, PRESET_SHORTHAND, defaulting_to(_WHITENED)] = _WHITENED
    epochs: Annotated[int, Gt(0)] = 10
    batch_size: Annotated[int, Gt(0)] = 128

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse to work without labels, and what the ascent refuses."""
        check_asked(model, targets)
        check_labels(self.kind, reference, targets)
        linear = _regression(reference.space.pixels, targets.shape[1], model)
        self.method.check(linear, reference, targets)

    def rank(self, reasons: Any, diagnostics: Mapping[str, Any]) -> Any:
        """Keep the ascent's order."""
        return self.method.rank(reasons, diagnostics)

    def is_brief(self, targets: int) -> bool:
        """Ask the ascent."""
        return self.method.is_brief(targets)

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Train the regression, and prepare the ascent."""
        dtype, (images, labels) = float_type(params), _labelled(self.kind, reference)
        outputs = outputs_of(model, params, images.shape[1])
        linear = _regression(images.shape[1], outputs, model)
        codes = Codes().matrix(outputs, model.output)[labels]
        shown = TrainingArrays(
            jnp.asarray(images, dtype), jnp.asarray(codes, dtype), *range_of(reference, dtype)
        )
        losses: dict[str, Any] = {"sigmoid": "bce", "softmax": "cross_entropy"}
        rule = Training(
            loss=losses.get(model.output, "squared_error"),
            epochs=self.epochs,
            batch_size=self.batch_size,
        )
        begin, orders, own = jax.random.split(key, 3)
        fitted, _ = fit(rule, linear, linear.init(begin, dtype), [shown] * self.epochs, orders)
        return LogisticState(fitted, self.method.prepare(linear, fitted, reference, own))

    def invert(
        self, model: Network, params: Any, state: Any, targets: Targets, key: Array
    ) -> Inversion:
        """Climb on the regression."""
        pixels, outputs = state.params[0].weight.shape
        linear = _regression(pixels, outputs, model)
        return self.method.invert(linear, state.params, state.ascent, targets, key)


def _regression(pixels: int, outputs: int, model: Network) -> MLP:
    return MLP((pixels, outputs), output=model.output)


def _labelled(kind: str, reference: Reference) -> tuple[np.ndarray, np.ndarray]:
    labels = reference.labels
    assert labels is not None
    return reference.need_images(kind), labels
