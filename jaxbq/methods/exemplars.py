"""Exemplars: the training images that rank highest for a target. The baseline to beat."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Le
from jaxtyping import Array, Float, Int

from ..data import Reference
from ..errors import JaxbqError
from ..network.activations import activation
from ..network.mlp import Network
from ..options import options
from ..runtime.cache import digest
from .base import Inversion, Method, Targets, check_asked

_BLOCK = 4096  # training images that the network reads at a time

Criterion = Literal["distance", "logit", "probability"]


@jax.tree_util.register_static
@dataclass(frozen=True)
class HostImages:
    """Training images that stay on the host; a compiled program fetches the rows that it returns.

    Args:
        images: rows, shape (n, pixels).
        labels: their classes; -1 where that is not known.
        name: digest of both: a program belongs to its data, and data that were loaded again are
            the same.
    """

    images: Float[np.ndarray, "n pixels"] = field(compare=False)
    labels: Int[np.ndarray, " n"] = field(compare=False)
    name: str

    @classmethod
    def of(cls, reference: Reference) -> "HostImages":
        """Take the training images, and compute their digest once."""
        images, labels = reference.need_images("a ranking of them"), reference.labels
        arrays = (images,) if labels is None else (images, labels)
        name = reference.once("digest of images", lambda: digest(*arrays))
        return cls(images, np.full(len(images), -1) if labels is None else labels, name)

    def rows(self, index: Int[Array, "*which"], dtype: Any) -> tuple[Array, Array]:
        """Fetch images and labels by index."""
        shape = (*index.shape, self.images.shape[1])
        kinds = (
            jax.ShapeDtypeStruct(shape, dtype),
            jax.ShapeDtypeStruct(index.shape, jnp.int32),
        )

        def fetch(which: Any) -> tuple[np.ndarray, np.ndarray]:
            chosen = np.asarray(which)
            return self.images[chosen].astype(dtype), self.labels[chosen].astype(np.int32)

        return jax.pure_callback(fetch, kinds, index)


class ExemplarState(NamedTuple):
    """Where the training images are, and the network's logits for all of them."""

    source: HostImages
    logits: Float[Array, "n outputs"]


class _Ranking(Method):
    """A method that ranks the training images for every target."""

    kind: str
    by: Criterion
    k: int

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse to work without training images, or with fewer than k."""
        images = reference.need_images(self.kind)
        if self.k > len(images):
            raise JaxbqError(
                f"{self.kind}: k = {self.k}, but there are {len(images)} training images"
            )
        check_asked(model, targets, closed=True)

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Let the network read every training image, a block at a time."""
        images = reference.need_images(self.kind)
        blocks = [
            np.asarray(_logits(model, params, images[start : start + _BLOCK]))
            for start in range(0, len(images), _BLOCK)
        ]
        return ExemplarState(HostImages.of(reference), jax.device_put(np.concatenate(blocks)))


@options
class Exemplars(_Ranking):
    """The k training images that answer a target best, best first.

    The network reads the training set block by block, so that its size does not matter to the
    device; images that tie are in the order of their index.

    Source: J. Borowski et al., "Exemplary natural images explain CNN activations better than
    state-of-the-art feature visualization", 2020: what synthetic images have to beat.

    Args:
        by: ``distance`` of the outputs to the target (Euclidean, least first), or the ``logit`` or
            the ``probability`` of the target's class, largest first.
        k: images a target.
    """

    kind: Literal["exemplars"] = "exemplars"
    by: Criterion = "distance"
    k: Annotated[int, Ge(1), Le(10**5)] = 8

    def invert(
        self, model: Network, params: Any, state: Any, targets: Targets, key: Array
    ) -> Inversion:
        """Rank the training images for every target, and fetch the first."""
        score, index = rank(self.by, self.k, model, state, targets)
        images, labels = state.source.rows(index, targets.dtype)
        return Inversion.computed(images, index=index, label=labels, score=score)


@options
class ExemplarMean(_Ranking):
    """The mean of the k training images that answer a target best.

    Args:
        by: how they are ranked; see :class:`Exemplars`.
        k: how many are averaged.
    """

    kind: Literal["exemplar_mean"] = "exemplar_mean"
    by: Criterion = "distance"
    k: Annotated[int, Ge(1), Le(10**5)] = 100

    def invert(
        self, model: Network, params: Any, state: Any, targets: Targets, key: Array
    ) -> Inversion:
        """Average the best training images of every target."""
        score, index = rank(self.by, self.k, model, state, targets)
        # One target at a time: k images of each would fill the memory.
        images = jax.lax.map(
            lambda which: state.source.rows(which, targets.dtype)[0].mean(axis=0), index
        )[:, None]
        return Inversion.computed(images, index=index[:, None], score=score[:, None])


def rank(
    by: Criterion, k: int, model: Network, state: ExemplarState, targets: Array
) -> tuple[Float[Array, "targets k"], Int[Array, "targets k"]]:
    """Find the k best training images of every target, ties by index; score and index."""
    phi = activation(model.output)

    def one(target: Array) -> tuple[Array, Array]:
        wanted = target.argmax()
        if by == "distance":
            score = -jnp.linalg.norm(phi.apply(state.logits) - target[None], axis=1)
        elif by == "logit":
            score = state.logits[:, wanted]
        elif model.output == "sigmoid":
            score = jax.nn.log_sigmoid(state.logits[:, wanted])
        else:
            score = jax.nn.log_softmax(state.logits)[:, wanted]
        # Of equal entries top_k takes the first; logarithms tell apart what rounds to 1.
        best, index = jax.lax.top_k(score, k)
        if by == "distance":
            best = -best
        elif by == "probability":
            best = jnp.exp(best)
        return best, index

    return jax.lax.map(one, targets)


_logits = jax.jit(lambda model, params, x: model.logits(params, x), static_argnums=0)
