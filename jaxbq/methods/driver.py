"""The one driver of all methods: checks, compilation, progress, timing, and the re-query."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..data import Dataset, ImageSpace, Reference
from ..errors import JaxbqError
from ..mlp import MLP, Function, Network
from ..options import check
from . import clock
from .base import Inversion, Iterative, Method, Reason

Progress = Callable[[int, int], None]

# Chunks of an iterative method when somebody watches. Each costs one dispatch, about 0.1 ms.
_CHUNKS = 20


@dataclass(frozen=True)
class Seconds:
    """Wall time of an inversion: once per network, compiling, computing."""

    prepare: float
    compile: float
    run: float


@dataclass(frozen=True, eq=False)
class Result:
    """Images, and what the network answers to these very images. All arrays are on the host.

    Args:
        method: the options that gave it.
        targets: what was asked, shape (targets, outputs).
        images: in the pixel range, shape (targets, samples, pixels), best sample first.
        outputs: the network's answers to ``images``, shape (targets, samples, outputs).
        logits: the pre-activations of ``outputs``.
        reasons: a :class:`~jaxbq.methods.Reason` for every image.
        iterations: how many every image took.
        diagnostics: the method's further numbers by name, each (targets, samples, …).
        space: shape of one image and the pixel range.
        seconds: wall time.
    """

    method: Method
    targets: Float[np.ndarray, "targets outputs"]
    images: Float[np.ndarray, "targets samples pixels"]
    outputs: Float[np.ndarray, "targets samples outputs"]
    logits: Float[np.ndarray, "targets samples outputs"]
    reasons: Int[np.ndarray, "targets samples"]
    iterations: Int[np.ndarray, "targets samples"]
    diagnostics: dict[str, np.ndarray]
    space: ImageSpace
    seconds: Seconds


def invert(
    method: Method,
    model: Network | Callable[[Any, Array], Array],
    params: Any,
    targets: Float[np.ndarray, "targets outputs"] | Float[Array, "targets outputs"],
    *,
    reference: Reference | Dataset | ImageSpace | None = None,
    key: Array | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run one method for a batch of targets, then ask the network about the returned images.

    Args:
        method: its options, like ``Transpose()`` or ``Ascent(steps=1000)``.
        model: an :class:`~jaxbq.MLP`, or for gradient methods any function from (params, images
            as rows) to outputs; :class:`~jaxbq.mlp.Function` says more about one.
        params: the network's parameters. Their type sets the precision.
        targets: wanted outputs, one target a row.
        reference: the data set, or only the image space; by default square images in [0, 1].
        key: random key; by default seed 0.
        progress: is given steps done and steps in all, from time to time.

    Returns:
        Images, answers, reasons, diagnostics and wall time.

    Raises:
        JaxbqError: the method cannot do this; raised before anything is computed.
    """
    network = _as_network(model)
    where = _as_reference(reference, network)
    check(method)
    dtype = jnp.result_type(*jax.tree.leaves(params))
    # As the computation will see them: 0.9999999999 is 1 in float32, and has no logit.
    wanted = np.asarray(np.asarray(targets), dtype).astype(np.float64)
    if wanted.ndim != 2 or not len(wanted):
        raise JaxbqError(f"targets must have shape (targets, outputs), not {wanted.shape}")
    if isinstance(network, MLP):
        _check_pixels(network.check(params), where.space)
    method.check(network, where, wanted)
    key = jax.random.key(0) if key is None else key
    batch = jnp.asarray(wanted, dtype)
    with full_precision(), clock.Stopwatch() as preparing:
        state = jax.block_until_ready(method.prepare(network, params, where, key))
    with full_precision(), clock.Stopwatch() as running:
        inversion = _run(method, network, params, state, batch, key, progress)
        # Exactly the returned images, in their precision, clipped or rescaled as they are.
        answers = _query(network, params, inversion.images)
        inversion, (logits, outputs) = jax.device_get(jax.block_until_ready((inversion, answers)))
    seconds = Seconds(
        preparing.total - preparing.compiling,
        preparing.compiling + running.compiling,
        running.total - running.compiling,
    )
    return Result(
        method,
        wanted,
        inversion.images,
        outputs,
        logits,
        inversion.reasons,
        inversion.iterations,
        inversion.diagnostics,
        where.space,
        seconds,
    )


def full_precision() -> contextlib.AbstractContextManager[Any]:
    """Multiply matrices in the precision of their type, on accelerators too.

    There the default rounds factors, to TF32 say, which would put a residual of 1e-4 out of reach.
    """
    if jax.default_backend() == "cpu":
        return contextlib.nullcontext()
    return jax.default_matmul_precision("highest")


def _run(
    method: Method,
    model: Network,
    params: Any,
    state: Any,
    targets: Array,
    key: Array,
    progress: Progress | None,
) -> Inversion:
    if progress is None or not isinstance(method, Iterative):
        return _invert(method, model, params, state, targets, key)
    carry = _begin(method, model, params, state, targets, key)
    size = max(1, -(-method.steps // _CHUNKS))
    for done in range(0, method.steps, size):
        progress(done, method.steps)
        number = min(size, method.steps - done)
        carry = _advance(method, model, params, state, targets, carry, number)
        if not bool(jnp.any(method.running(carry))):
            break
    progress(method.steps, method.steps)
    return _finish(method, model, params, state, targets, carry)


@partial(jax.jit, static_argnums=1)
def _invert(
    method: Method, model: Network, params: Any, state: Any, targets: Array, key: Array
) -> Inversion:
    return method.invert(model, params, state, targets, key)


@partial(jax.jit, static_argnums=1)
def _begin(
    method: Iterative, model: Network, params: Any, state: Any, targets: Array, key: Array
) -> Any:
    return method.begin(model, params, state, targets, key)


@partial(jax.jit, static_argnums=1, donate_argnums=5)
def _advance(
    method: Iterative,
    model: Network,
    params: Any,
    state: Any,
    targets: Array,
    carry: Any,
    number: Any,
) -> Any:
    return method.advance(model, params, state, targets, carry, number)


@partial(jax.jit, static_argnums=1)
def _finish(
    method: Iterative, model: Network, params: Any, state: Any, targets: Array, carry: Any
) -> Inversion:
    return method.finish(model, params, state, targets, carry)


@partial(jax.jit, static_argnums=0)
def _query(model: Network, params: Any, images: Array) -> tuple[Array, Array]:
    rows = images.reshape(-1, images.shape[-1])
    shape = (*images.shape[:2], -1)
    return model.logits(params, rows).reshape(shape), model.apply(params, rows).reshape(shape)


def _as_network(model: Any) -> Network:
    return model if isinstance(model, Network) else Function(model)


def _as_reference(given: Reference | Dataset | ImageSpace | None, network: Network) -> Reference:
    if isinstance(given, Reference):
        return given
    if isinstance(given, Dataset):
        return given.reference
    if isinstance(given, ImageSpace):
        return Reference(given)
    if not isinstance(network, MLP):
        raise JaxbqError("say what the images are: reference=ImageSpace((height, width))")
    pixels = network.sizes[0]
    side = round(pixels**0.5)
    return Reference(ImageSpace((side, side) if side * side == pixels else (1, pixels)))


def _check_pixels(model: MLP, space: ImageSpace) -> None:
    if space.pixels != model.sizes[0]:
        raise JaxbqError(
            f"the network takes {model.sizes[0]} pixels, but images of shape {space.shape} "
            f"have {space.pixels}"
        )


def reason_name(code: Any) -> str:
    """Name a reason code as tables show it."""
    return Reason(code).name.lower()
