"""A learned inverse: a network trained to give the training images back from what they cause."""

from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt
from jaxtyping import Array, Float

from ..data import Reference
from ..errors import JaxbqError
from ..network.activations import HiddenName, activation
from ..network.mlp import MLP, Network, Params, float_type
from ..network.targets import Codes
from ..options import defaulting_to, options
from ..runtime.compiled import Compiled
from ..training import fit, shares
from ..training.autoencoder import Fitted
from ..training.optimisers import Optimiser
from .ascent import Range, range_of
from .base import Inversion, Method, NeedsMLPError, Targets, check_asked
from .pseudo_inverse import threshold

# Few epochs of large steps: to the same error of test images as four times as many of a sixth.
_ADAM = Optimiser(learning_rate=1.2e-2, schedule="cosine")


class Regression(NamedTuple):
    """The linear regression of a hidden layer's activations on the logits.

    Args:
        centre: mean logits.
        slope: activations a logit.
        mean: mean activations.
        low: lower end of the activation's image.
        high: its upper end.
    """

    centre: Float[Array, " outputs"]
    slope: Float[Array, "outputs units"]
    mean: Float[Array, " units"]
    low: Float[Array, ""]
    high: Float[Array, ""]

    def at(self, logits: Float[Array, "n outputs"]) -> Float[Array, "n units"]:
        """Estimate the activations that go with logits."""
        return jnp.clip(
            self.mean[None] + (logits - self.centre[None]) @ self.slope, self.low, self.high
        )


class DecoderState(NamedTuple):
    """The trained decoder and what it needs.

    Args:
        params: its parameters.
        centre: what its inputs are standardised by,
        spread: likewise.
        curve: training loss of every epoch.
        span: the pixel range.
        regression: from logits to a hidden layer, if that is what is decoded.
    """

    params: Params
    centre: Float[Array, " inputs"]
    spread: Float[Array, " inputs"]
    curve: Float[Array, " epochs"]
    span: Range
    regression: Regression | None


@options
class Decoder(Fitted, Method):
    """A decoder g trained to minimise ‖g(h(x)) − x‖² over the training images; it gives g(target).

    By what it minimises, g(h) is the mean of all images that cause h, E[x | h].

    Source: A. Dosovitskiy and T. Brox, "Inverting visual representations with convolutional
    networks", CVPR 2016.

    Args:
        source: h: the network's ``logits`` (asked for φ⁻¹(target)), its ``outputs`` (asked for the
            target itself), the activations of a ``hidden`` layer (asked for those that the
            training images' linear regression on the logits gives for φ⁻¹(target); for the last
            hidden layer their logits are φ⁻¹(target)), or ``codes``: the code of the image's
            label with noise, so that a code is what it was trained on, and the network has no
            part in it.
        layer: which hidden layer, 1 for the first; for ``hidden`` alone.
        noise: standard deviation of the noise on inputs while training, in units of the codes;
            otherwise of their standard deviations.
        hidden: units of the decoder's hidden layers.
        activation: of these.
        epochs: passes over the training images.
        batch_size: images an update.
        optimiser: any of optax.
    """

    kind: Literal["decoder"] = "decoder"
    source: Literal["logits", "outputs", "hidden", "codes"] = "logits"
    layer: Annotated[int, Ge(1)] = 1
    noise: Annotated[float, Ge(0)] = 0.1
    hidden: tuple[Annotated[int, Gt(0)], ...] = (256,)
    activation: HiddenName = "relu"
    epochs: Annotated[int, Gt(0)] = 4
    batch_size: Annotated[int, Gt(0)] = 125  # divides 10,000: a smaller last batch compiles apart
    optimiser: Annotated[Optimiser, defaulting_to(_ADAM)] = _ADAM

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse to work without training images, and targets that have no logits."""
        reference.need_images(f"method {self.kind!r}")
        self.optimiser.check()
        if self.source == "codes" and reference.labels is None:
            raise JaxbqError("decoder: source = 'codes' needs the labels of the training images")
        if self.source == "hidden":
            _check_layer(self.layer, model)
        closed = self.source not in ("logits", "hidden")
        if not closed:
            activation(model.output).check_invertible()
        check_asked(model, targets, closed=closed)

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Train the decoder; that of codes once for a key and all networks of one make."""
        if self.source != "codes":
            return self._trained(model, params, reference, key)
        own = tuple(np.asarray(jax.random.key_data(key)).tolist())
        about = (self, own, model, float_type(params).name)
        return reference.once(about, lambda: self._trained(model, params, reference, key))

    def _trained(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        dtype = float_type(params)
        images = reference.need_images(self.kind)
        inputs, regression = self._inputs(model, params, reference)
        inputs, centre, spread = _STANDARDISED(
            inputs.astype(dtype), jnp.asarray(self.source != "codes")
        )
        decoder = self._network(inputs.shape[1], images.shape[1])
        begin, orders = jax.random.split(key)
        data = self.pairs(inputs, shares(images, reference.space, dtype))
        fitted, losses = fit(self.rule, decoder, decoder.init(begin, dtype), data, orders)
        curve = jnp.stack(losses)
        return DecoderState(fitted, centre, spread, curve, range_of(reference, dtype), regression)

    def invert(
        self, model: Network, params: Any, state: Any, targets: Targets, key: Array
    ) -> Inversion:
        """Decode what the target asks for."""
        asked = targets
        if self.source in ("logits", "hidden"):
            asked = activation(model.output).invert(targets)
        if state.regression is not None:
            asked = state.regression.at(asked)
        images = self.decode(state, asked)[:, None]
        curve = jnp.broadcast_to(state.curve, (*images.shape[:2], len(state.curve)))
        return Inversion.computed(images, training_curve=curve)

    def decode(
        self, state: DecoderState, inputs: Float[Array, "n inputs"]
    ) -> Float[Array, "n pixels"]:
        """Compute the images of what the decoder was trained on: logits, outputs and so on."""
        low, high = state.span
        decoder = self._network(inputs.shape[1], state.params[-1].weight.shape[1])
        part = decoder.apply(state.params, (inputs - state.centre[None]) / state.spread[None])
        return jnp.clip(low + (high - low) * part, low, high)

    def _network(self, inputs: int, pixels: int) -> MLP:
        return MLP((inputs, *self.hidden, pixels), self.activation, "sigmoid")

    def _inputs(
        self, model: Network, params: Any, reference: Reference
    ) -> tuple[Array, Regression | None]:
        images = reference.need_images(self.kind)
        if self.source == "codes":
            labels = reference.labels
            assert labels is not None
            outputs = _READ(model, params, images[:1], "logits").shape[1]
            return jnp.asarray(Codes().matrix(outputs, model.output)[labels]), None
        if self.source == "hidden":
            assert isinstance(model, MLP)
            seen = _ACTIVATIONS(model, params, images, self.layer)
            logits = _READ(model, params, images, "logits")
            phi = model.activations[self.layer - 1]
            return seen, _regress(seen, logits, (phi.low, phi.high), float_type(params))
        return _READ(model, params, images, self.source), None


def _check_layer(layer: int, model: Network) -> None:
    """Refuse a network without such a layer."""
    if not isinstance(model, MLP):
        raise NeedsMLPError("decoder: source = 'hidden' needs an MLP, whose layers it can read")
    number = len(model.sizes) - 2
    if layer > number:
        has = f"1 to {number}" if number else "none; use source = 'logits'"
        raise JaxbqError(f"decoder: there is no hidden layer {layer}; the network has {has}")


def _regress(activations: Any, logits: Any, ends: tuple[float, float], dtype: Any) -> Regression:
    """Regress on the host, in float64: logits can be nearly collinear."""
    wanted, given = np.asarray(activations, np.float64), np.asarray(logits, np.float64)
    mean, centre = wanted.mean(axis=0), given.mean(axis=0)
    u, s, vt = np.linalg.svd(given - centre, full_matrices=False)
    kept = s > threshold(given, s, None)
    slope = (vt.T * np.where(kept, 1 / np.where(kept, s, 1), 0)) @ (u.T @ (wanted - mean))
    return Regression(*(jnp.asarray(a, dtype) for a in (centre, slope, mean, *ends)))


def _standardised(inputs: Array, wanted: Array) -> tuple[Array, Array, Array]:
    """Shift and scale every input to mean 0 and deviation 1 where wanted; say by what."""
    centre = jnp.where(wanted, inputs.mean(axis=0), 0)
    spread = jnp.where(wanted, inputs.std(axis=0), 1)
    spread = jnp.where(spread > 0, spread, 1)
    return (inputs - centre[None]) / spread[None], centre, spread


def _read_all(model: Network, params: Any, images: Any, source: str) -> Array:
    return model.logits(params, images) if source == "logits" else model.apply(params, images)


def _activations_of(model: MLP, params: Params, images: Any, layer: int) -> Array:
    return model.trace(params, images).activations[layer]


_STANDARDISED = Compiled(_standardised)
_READ, _ACTIVATIONS = Compiled(_read_all, 0, 3), Compiled(_activations_of, 0, 3)
