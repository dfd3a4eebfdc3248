"""Networks of no experiment: trained from a data set alone, kept, and so the same for all."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from ..data import Dataset
from ..runtime.cache import digest, kept

MOST_IMAGES = 10_000
"""Images that such a network is trained on, at most."""
_MOST_PIXELS = 2**25  # of all of them, which lie in memory several times
_BLOCKS = 64, 1024  # rows that a network is given at a time
_EXTREME = 1e30
_ACCURACY = "test_accuracy"


@runtime_checkable
class Classifier(Protocol):
    """What gives images logits."""

    def logits(self, params: Any, x: Array) -> Array:
        """Compute one number a class, from images as rows."""
        ...


@contextlib.contextmanager
def on_host() -> Iterator[None]:
    """Compute in float32 on the CPU, whatever the run computes in and on."""
    with jax.enable_x64(False), _on_cpu():
        yield


def trained_once(
    kind: str,
    identity: dict[str, Any],
    data: Dataset,
    network: Any,
    make: Callable[[], Any],
    read: Callable[[Any], Float[np.ndarray, "n classes"]],
) -> tuple[Any, float]:
    """Return a trained network from the cache; if it is not there, train and keep it.

    Args:
        kind: names a folder in the cache.
        identity: all that it depends on beside code, data and specification, as JSON has it.
        data: the data set.
        network: the specification; its ``init`` says how parameters are arranged.
        make: trains it and returns the parameters; runs as :func:`on_host` says.
        read: answers for the test images, given the parameters.

    Returns:
        The parameters, as float32 on the host, and the share of test images read right.
    """
    space = data.space
    whole = {
        **identity,
        "network": repr(network),
        "data": digest_of(data),
        "space": [space.shape, space.low, space.high, data.classes],
    }

    def arrays() -> dict[str, np.ndarray]:
        params = jax.tree.map(np.asarray, make())
        right = read(params).argmax(axis=1) == data.test_labels
        leaves = {f"{n:02d}": leaf for n, leaf in enumerate(jax.tree.leaves(params))}
        return {**leaves, _ACCURACY: np.float64(right.mean())}

    with on_host():
        form = jax.tree.structure(jax.eval_shape(network.init, jax.random.key(0)))
        found = kept(kind, whole, arrays)
    accuracy = float(found.pop(_ACCURACY))
    return jax.tree.unflatten(form, [found[name] for name in sorted(found)]), accuracy


def some_of(data: Dataset, seed: int) -> Int[np.ndarray, " n"]:
    """Choose training images: all, or so many of a large set that it costs no more.

    Returns:
        Their indices, ascending.
    """
    most = min(MOST_IMAGES, max(_MOST_PIXELS // data.space.pixels, 1000))
    number = len(data.train_labels)
    if number <= most:
        return np.arange(number)
    return np.sort(np.random.default_rng(seed).permutation(number)[:most])


def logits_of(
    network: Classifier, params: Any, rows: Float32[np.ndarray, "n pixels"]
) -> Float[np.ndarray, "n outputs"]:
    """Compute logits on the host, block by block, as float64; none of them infinite or NaN."""
    size = _BLOCKS[0] if len(rows) <= _BLOCKS[0] else _BLOCKS[1]
    found = []
    with on_host():
        # Filled up to whole blocks: every other number of rows would be compiled anew.
        for start in range(0, max(len(rows), 1), size):
            block = rows[start : start + size]
            filled = np.zeros((size, rows.shape[1]), np.float32)
            filled[: len(block)] = block
            found.append(np.asarray(_logits(network, params, filled), np.float64)[: len(block)])
    return _bounded(np.concatenate(found))


def finite(images: Float[np.ndarray, "n pixels"]) -> Float32[np.ndarray, "n pixels"]:
    """Bring images to float32, with 0 for what is no number and bounds for what is infinite."""
    return _bounded(np.asarray(images)).astype(np.float32)


def _bounded(values: np.ndarray) -> np.ndarray:
    return np.clip(np.nan_to_num(values), -_EXTREME, _EXTREME)


def digest_of(data: Dataset) -> str:
    """Compute the sha256 of all images and labels, once."""
    arrays = data.train_images, data.train_labels, data.test_images, data.test_labels
    return data.once("digest of all arrays", lambda: digest(*arrays))


@partial(jax.jit, static_argnums=0)
def _logits(network: Classifier, params: Any, rows: Array) -> Array:
    return network.logits(params, jnp.asarray(rows))


def _on_cpu() -> contextlib.AbstractContextManager[Any]:
    # Programs made under another default device are compiled anew, even if it is the same one.
    if jax.default_backend() == "cpu":
        return contextlib.nullcontext()
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    # JAX_PLATFORMS may leave an accelerator alone.
    except RuntimeError:
        return jax.default_device(None)
