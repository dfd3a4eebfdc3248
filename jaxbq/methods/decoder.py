"""A learned inverse: a network trained to give the training images back from what they cause."""

import functools
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt
from jaxtyping import Array, Float

from ..activations import HiddenName, activation
from ..data import Reference
from ..errors import JaxbqError
from ..imaging import Range, range_of
from ..mlp import MLP, Network, Params, float_type
from ..optimisers import Optimiser
from ..options import defaulting_to, options
from ..targets import Codes, check_targets
from ..training import Training
from ..training.rules import TrainingArrays
from .base import Inversion, Method, Reason

_ADAM = Optimiser(learning_rate=2e-3, schedule="cosine")


class DecoderState(NamedTuple):
    """The trained decoder, what it standardises its inputs by, its losses, the pixel range."""

    params: Params
    centre: Float[Array, " inputs"]
    spread: Float[Array, " inputs"]
    curve: Float[Array, " epochs"]
    span: Range


@options
class Decoder(Method):
    """A decoder g trained to minimise ‖g(h(x)) − x‖² over the training images; it gives g(target).

    By what it minimises, g(h) is the mean of all images that cause h, E[x | h].

    Source: A. Dosovitskiy and T. Brox, "Inverting visual representations with convolutional
    networks", CVPR 2016.

    Args:
        source: h: the network's ``logits`` (asked for φ⁻¹(target)), its ``outputs`` (asked for the
            target itself), or ``codes``: the code of the image's label with noise, so that a code
            is what it was trained on, and the network has no part in it.
        noise: standard deviation of the noise on inputs while training, in units of the codes;
            for ``logits`` and ``outputs`` of their standard deviations.
        hidden: units of the decoder's hidden layers.
        activation: of these.
        epochs: passes over the training images.
        batch_size: images an update.
        optimiser: any of optax.
    """

    kind: Literal["decoder"] = "decoder"
    source: Literal["logits", "outputs", "codes"] = "logits"
    noise: Annotated[float, Ge(0)] = 0.1
    hidden: tuple[Annotated[int, Gt(0)], ...] = (256,)
    activation: HiddenName = "relu"
    epochs: Annotated[int, Gt(0)] = 15
    batch_size: Annotated[int, Gt(0)] = 128
    optimiser: Annotated[Optimiser, defaulting_to(_ADAM)] = _ADAM

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse to work without training images, and targets that have no logits."""
        reference.need_images(f"method {self.kind!r}")
        self.optimiser.check()
        if self.source == "codes" and reference.labels is None:
            raise JaxbqError("decoder: source = 'codes' needs the labels of the training images")
        closed = self.source != "logits"
        if not closed:
            activation(model.output).invert(jnp.full((1, 2), 0.5))
        outputs = model.sizes[-1] if isinstance(model, MLP) else None
        check_targets(targets, model.output, outputs, closed=closed)

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Train the decoder."""
        dtype = float_type(params)
        images = reference.need_images(self.kind)
        low, high = range_of(reference, dtype)
        inputs = self._inputs(model, params, reference).astype(dtype)
        centre, spread = inputs.mean(axis=0), inputs.std(axis=0)
        if self.source == "codes":
            centre, spread = jnp.zeros_like(centre), jnp.ones_like(spread)
        spread = jnp.where(spread > 0, spread, 1)
        shares = jnp.asarray((images - np.float32(low)) / np.float32(high - low), dtype)
        data = TrainingArrays((inputs - centre[None]) / spread[None], shares, -jnp.inf, jnp.inf)
        decoder = self._network(inputs.shape[1], images.shape[1])
        fitted, curve = self._fit(decoder, data, key)
        return DecoderState(fitted, centre, spread, curve, (low, high))

    def invert(
        self,
        model: Network,
        params: Any,
        state: Any,
        targets: Float[Array, "n outputs"],
        key: Array,
    ) -> Inversion:
        """Decode what the target asks for."""
        asked = targets
        if self.source == "logits":
            asked = activation(model.output).invert(targets)
        low, high = state.span
        decoder = self._network(asked.shape[1], state.params[-1].weight.shape[1])
        shares = decoder.apply(state.params, (asked - state.centre[None]) / state.spread[None])
        images = jnp.clip(low + (high - low) * shares, low, high)[:, None]
        done = jnp.full(images.shape[:2], int(Reason.COMPUTED), jnp.int32)
        curve = jnp.broadcast_to(state.curve, (*images.shape[:2], len(state.curve)))
        return Inversion(images, done, jnp.zeros_like(done), {"training_curve": curve})

    def _network(self, inputs: int, pixels: int) -> MLP:
        return MLP((inputs, *self.hidden, pixels), self.activation, "sigmoid")

    def _inputs(self, model: Network, params: Any, reference: Reference) -> Array:
        if self.source == "codes":
            labels = reference.labels
            assert labels is not None
            outputs = _read(model, params, reference.need_images(self.kind)[:1], "logits").shape[1]
            return jnp.asarray(Codes().matrix(outputs, model.output)[labels])
        return _read(model, params, reference.need_images(self.kind), self.source)

    def _fit(self, decoder: MLP, data: TrainingArrays, key: Array) -> tuple[Params, Array]:
        # The cross-entropy of pixels as shares has the same minimiser as the squared error, the
        # mean, and a gradient that does not vanish where a sigmoid saturates.
        rule = Training(
            loss="bce",
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimiser=self.optimiser,
            noise=self.noise,
        )
        begin, orders = jax.random.split(key)
        params = decoder.init(begin, data.images.dtype)
        state, losses = rule.start(decoder, params, len(data.images)), []
        for epoch in range(self.epochs):
            own = jax.random.fold_in(orders, epoch)
            order = rule.order(own, len(data.images))
            params, state, sums = rule.epoch(decoder, params, state, data, order, own)
            losses.append(sums.loss / len(data.images))
        return params, jnp.stack(losses)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _read(model: Network, params: Any, images: Any, source: str) -> Array:
    return model.logits(params, images) if source == "logits" else model.apply(params, images)
