"""Fitting a network to pairs of input and image, with the compiled epoch of any training."""

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float

from ..data import ImageSpace, Reference
from ..errors import JaxbqError
from ..network.activations import HiddenName, activation
from ..network.mlp import MLP, Network, Params
from ..options import defaulting_to, options
from ..runtime.ahead import check_wanted
from ..runtime.cache import digest, kept
from ..runtime.devices import full_precision
from ..runtime.timing import phase
from .optimisers import Optimiser
from .rules import Training, TrainingArrays


def shares(
    images: Float[np.ndarray, "n pixels"], space: ImageSpace, dtype: Any
) -> Float[Array, "n pixels"]:
    """Write pixels as shares of their range, which a sigmoid can answer."""
    low, high = np.float32(space.low), np.float32(space.high)
    return jnp.asarray((images - low) / (high - low), dtype)


class Fitted:
    """What is trained by :func:`fit`."""

    epochs: int
    batch_size: int
    optimiser: Optimiser
    noise: float

    @property
    def rule(self) -> Training:
        """How: by the cross-entropy, with noise on the inputs if there is any."""
        return Training(
            loss="bce",
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimiser=self.optimiser,
            noise=float(self.noise) or None,
        )

    def pairs(
        self, inputs: Float[Array, "n inputs"], wanted: Float[Array, "n pixels"]
    ) -> Iterable[TrainingArrays]:
        """Make the data of every epoch; inputs may lie anywhere."""
        return itertools.repeat(TrainingArrays(inputs, wanted, -jnp.inf, jnp.inf), self.epochs)


def fit(
    rule: Training, network: Network, params: Any, data: Iterable[TrainingArrays], key: Array
) -> tuple[Any, list[Array]]:
    """Train a network on what each epoch is given.

    Images are answered as shares of the pixel range, by sigmoids: the cross-entropy of shares has
    the same minimiser as the squared error, the mean, and a gradient that does not vanish where a
    sigmoid saturates.

    Args:
        rule: how; its noise is Gaussian, on the inputs, drawn anew for every batch.
        network: what is trained.
        params: its parameters at the start.
        data: of every epoch inputs and what is wanted of each, as ``codes``.
        key: random key of order and noise.

    Returns:
        The parameters, and the mean loss of every epoch.
    """
    state, losses = None, []
    for epoch, arrays in enumerate(data):
        check_wanted()
        examples = len(arrays.images)
        state = rule.start(network, params, examples) if state is None else state
        own = jax.random.fold_in(key, epoch)
        order = rule.order(own, examples)
        params, state, sums = rule.epoch(network, params, state, arrays, order, own)
        losses.append(sums.loss / examples)
    return params, losses


_ADAM = Optimiser(learning_rate=4e-3, schedule="cosine")


class CodeSpace(NamedTuple):
    """A trained autoencoder, and the training images' codes, by which codes are whitened.

    A whitened code u stands for μ + R u, with μ and R Rᵀ mean and covariance of the training
    images' codes: ‖u‖² is its squared Mahalanobis distance.

    Args:
        encoder: parameters from shares of the pixel range to codes.
        decoder: parameters from codes to logits of shares, transposes stored.
        mean: μ.
        root: R.
        inverse: R⁻¹.
        low: lower end of the pixel range.
        high: its upper end.
        curve: training loss of every epoch.
    """

    encoder: Params
    decoder: Params
    mean: Float[Array, " code"]
    root: Float[Array, "code code"]
    inverse: Float[Array, "code code"]
    low: Float[Array, ""]
    high: Float[Array, ""]
    curve: Float[Array, " epochs"]


@options
class Autoencoder(Fitted):
    """Encoder and decoder, mirror images of each other, with a linear code between them.

    Trained to give every training image back; labels and the network that is inverted have no part
    in it. Trained once per data set; methods with equal options share one.

    Source: G. Hinton and R. Salakhutdinov, "Reducing the dimensionality of data with neural
    networks", Science 2006.

    Args:
        code: numbers of a code.
        hidden: units of the encoder's hidden layers; the decoder has them in reverse.
        activation: of these.
        epochs: passes over the training images.
        batch_size: images an update.
        optimiser: any of optax.
        noise: standard deviation of Gaussian noise on the pixels while training, in units of their
            range; the image without it is to be given back.
        seed: of parameters, order and noise, whatever the experiment's.
    """

    code: Annotated[int, Gt(0)] = 32
    hidden: tuple[Annotated[int, Gt(0)], ...] = (512,)
    activation: HiddenName = "relu"
    epochs: Annotated[int, Gt(0)] = 8
    batch_size: Annotated[int, Gt(0)] = 50  # divides 10,000: a smaller last batch compiles apart
    optimiser: Annotated[Optimiser, defaulting_to(_ADAM)] = _ADAM
    noise: Annotated[float, Ge(0)] = 0.0
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0

    def check(self, reference: Reference) -> None:
        """Refuse a code wider than the image, and to work without training images.

        Raises:
            JaxbqError: one line that says what to do.
        """
        reference.need_images("an autoencoder")
        self.optimiser.check()
        pixels = reference.space.pixels
        if self.code > pixels:
            raise JaxbqError(
                f"autoencoder: a code of {self.code} numbers is wider than an image of {pixels} "
                "pixels; set code lower"
            )

    def trained(self, reference: Reference, dtype: Any) -> CodeSpace:
        """Train it on the training images of a reference, or take it from the cache."""
        dtype = jnp.dtype(dtype)
        # In one precision, whether a method asks first or what is made ahead.
        with phase("autoencoders"), full_precision():
            return reference.once((self, dtype.name), lambda: self._kept(reference, dtype))

    def encode(self, space: CodeSpace, images: Float[Array, "n pixels"]) -> Float[Array, "n code"]:
        """Compute the whitened codes of images."""
        part = (images - space.low) / (space.high - space.low)
        codes = self._networks(part.shape[1]).encoder.logits(space.encoder, part)
        return (codes - space.mean[None]) @ space.inverse

    def decode(self, space: CodeSpace, u: Float[Array, "n code"]) -> Float[Array, "n pixels"]:
        """Compute the images of whitened codes, in the pixel range."""
        pixels = space.decoder[-1].weight.shape[1]
        codes = space.mean[None] + u @ space.root
        part = self._networks(pixels).decoder.apply(space.decoder, codes)
        # Rounding may leave the range.
        return jnp.clip(space.low + (space.high - space.low) * part, space.low, space.high)

    def reconstruct(
        self, space: CodeSpace, images: Float[Array, "n pixels"]
    ) -> Float[Array, "n pixels"]:
        """Encode and decode."""
        return self.decode(space, self.encode(space, images))

    def _networks(self, pixels: int) -> "_EncoderDecoder":
        sizes = (pixels, *self.hidden, self.code)
        return _EncoderDecoder(
            MLP(sizes, self.activation, "identity"), MLP(sizes[::-1], self.activation, "sigmoid")
        )

    def _kept(self, reference: Reference, dtype: Any) -> CodeSpace:
        """Train it, or read what an earlier process has trained, to the same bits."""
        images = reference.need_images("an autoencoder")
        where = reference.space
        identity = {
            "options": dataclasses.asdict(self),
            "dtype": dtype.name,
            "wide": jax.config.read("jax_enable_x64"),
            "space": dataclasses.asdict(where),
            "images": digest(images),
        }

        def make() -> dict[str, np.ndarray]:
            leaves = jax.device_get(jax.tree.leaves(self._train(reference, dtype)))
            return {f"{number:03d}": leaf for number, leaf in enumerate(leaves)}

        arrays = kept("autoencoders", identity, make)
        structure = jax.tree.structure(jax.eval_shape(lambda: self._blank(where.pixels)))
        leaves = [jax.device_put(arrays[name]) for name in sorted(arrays)]
        space: CodeSpace = jax.tree.unflatten(structure, leaves)
        return space

    def _blank(self, pixels: int) -> CodeSpace:
        """Make one of the same structure, to give names to arrays."""
        networks, zero = self._networks(pixels), jnp.zeros(())
        encoder, decoder = networks.init(jax.random.key(0), jnp.float32)
        return CodeSpace(encoder, networks.decoder.freeze(decoder), *(zero,) * 6)

    def _train(self, reference: Reference, dtype: Any) -> CodeSpace:
        networks = self._networks(reference.space.pixels)
        images = shares(reference.need_images("an autoencoder"), reference.space, dtype)
        begin, orders = jax.random.split(jax.random.key(self.seed))
        params, curve = fit(
            self.rule, networks, networks.init(begin, dtype), self.pairs(images, images), orders
        )
        encoder, decoder = params
        codes = np.asarray(_encode(networks.encoder, encoder, images), np.float64)
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(codes.T)))
        # Along a direction that no code varies in there is nothing to whiten.
        deviation = np.sqrt(np.maximum(values, 1e-6 * values[-1]) if values[-1] > 0 else values + 1)
        arrays = codes.mean(axis=0), (vectors * deviation).T, vectors / deviation
        ends = reference.space.low, reference.space.high
        mean, root, inverse, low, high = (jnp.asarray(a, dtype) for a in (*arrays, *ends))
        decoder = networks.decoder.freeze(decoder)
        return CodeSpace(encoder, decoder, mean, root, inverse, low, high, jnp.stack(curve))


@dataclasses.dataclass(frozen=True)
class _EncoderDecoder:
    """Both parts as one network, which is what is trained; parameters are a pair."""

    encoder: MLP
    decoder: MLP

    @property
    def output(self) -> str:
        return self.decoder.output

    def init(self, key: Array, dtype: Any) -> tuple[Params, Params]:
        """Draw parameters; half of a ReLU's units are silent, so its weights start larger."""
        scale = 2**0.5 if self.encoder.hidden in ("relu", "leaky_relu") else 1.0
        one, two = jax.random.split(key)
        return self.encoder.init(one, dtype, scale), self.decoder.init(two, dtype, scale)

    def logits(self, params: tuple[Params, Params], x: Array) -> Array:
        encoder, decoder = params
        return self.decoder.logits(decoder, self.encoder.logits(encoder, x))

    def apply(self, params: tuple[Params, Params], x: Array) -> Array:
        return activation(self.output).apply(self.logits(params, x))

    def freeze(self, params: tuple[Params, Params]) -> tuple[Params, Params]:
        return self.encoder.freeze(params[0]), self.decoder.freeze(params[1])


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """How well images are given back: mean squared error a pixel, in units of the pixel range.

    Args:
        autoencoder: the options.
        error: of the autoencoder.
        pca: of as many principal components as a code has numbers.
        mean_image: of the training images' mean, which is what no code at all can do.
    """

    autoencoder: Autoencoder
    error: float
    pca: float
    mean_image: float


def reconstruction(
    autoencoder: Autoencoder,
    reference: Reference,
    images: Float[np.ndarray, "n pixels"],
    dtype: str = "float32",
) -> Reconstruction:
    """Measure an autoencoder on images that it was not trained on, beside PCA of the same width.

    Args:
        autoencoder: its options; it is trained if it is not yet.
        reference: image space and training images.
        images: the test images.
        dtype: that it computes in.

    Raises:
        JaxbqError: as :meth:`Autoencoder.check`.
    """
    autoencoder.check(reference)
    space = autoencoder.trained(reference, dtype)
    back = reconstructed(autoencoder, space, np.asarray(images, dtype))
    moments = reference.moments
    axes = moments.vectors[:, : autoencoder.code]
    centred = images - moments.mean
    span = reference.space.high - reference.space.low

    def error(missed: np.ndarray) -> float:
        return float(np.square(missed / span).mean(dtype=np.float64))

    return Reconstruction(
        autoencoder, error(back - images), error(centred - centred @ axes @ axes.T), error(centred)
    )


def reconstructed(
    autoencoder: Autoencoder, space: CodeSpace, images: Float[np.ndarray, "n pixels"]
) -> Float[np.ndarray, "n pixels"]:
    """Encode and decode on the device; one program for all that ask."""
    return np.asarray(_reconstruct(autoencoder, space, images))


_encode = jax.jit(lambda model, params, images: model.logits(params, images), static_argnums=0)
_reconstruct = jax.jit(lambda options, space, images: options.reconstruct(space, images))
