"""The one driver of all methods: checks, compilation, progress, timing, and the re-query."""

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..data import Dataset, ImageSpace, Reference
from ..errors import JaxbqError
from ..network.mlp import MLP, Function, Network, float_type
from ..options import check, describe, replace_option
from ..runtime.compiled import Compiled
from ..runtime.devices import (
    Devices,
    device_count,
    full_precision,
    on_devices,
    put_everywhere,
    replicated,
    rounds_products,
    shard_rows,
)
from ..runtime.timing import Stopwatch
from .base import FEW_IMAGES, Inversion, Iterative, Method, Reason
from .cost import operations

M = TypeVar("M", bound=Method)
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
        operations: floating-point operations of the matrix products of one inversion of all
            targets, preparation left out; an estimate, see :mod:`~jaxbq.methods.cost`.
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
    operations: float = math.nan


def invert(
    method: Method,
    model: Network | Callable[[Any, Array], Array],
    params: Any,
    targets: Float[np.ndarray, "targets outputs"] | Float[Array, "targets outputs"],
    *,
    reference: Reference | Dataset | ImageSpace | None = None,
    key: Array | None = None,
    progress: Progress | None = None,
    devices: Devices = None,
) -> Result:
    """Run one method for a batch of targets, then ask the network about the returned images.

    Args:
        method: its options, like ``Transpose()`` or ``Ascent(steps=1000)``.
        model: an :class:`~jaxbq.MLP`, or for gradient methods any function from (params, images
            as rows) to outputs; :class:`~jaxbq.network.mlp.Function` says more about one.
        params: the network's parameters. Their type sets the precision.
        targets: wanted outputs, one target a row.
        reference: the data set, or only the image space; by default square images in [0, 1].
        key: random key; by default seed 0.
        progress: is given steps done and steps in all, from time to time.
        devices: that share the images out among them: so many of this process, or which; by
            default all. The images are the same up to rounding.

    Returns:
        Images, answers, reasons, diagnostics and wall time.

    Raises:
        JaxbqError: the method cannot do this; raised before anything is computed.
    """
    return sweep(
        [method],
        model,
        params,
        targets,
        reference=reference,
        key=key,
        progress=progress,
        devices=devices,
    )[0]


def sweep(
    methods: Sequence[Method],
    model: Network | Callable[[Any, Array], Array],
    params: Any,
    targets: Float[np.ndarray, "targets outputs"] | Float[Array, "targets outputs"],
    *,
    reference: Reference | Dataset | ImageSpace | None = None,
    key: Array | None = None,
    progress: Progress | None = None,
    devices: Devices = None,
    samples: range | None = None,
) -> list[Result]:
    """Run many methods on the same targets: those that differ in numbers alone in one program.

    :func:`vary` makes them, for instance an ascent at twenty weights of a regulariser.

    Args:
        methods: options; any, in any order.
        model: as for :func:`invert`.
        params: as for :func:`invert`.
        targets: as for :func:`invert`.
        reference: as for :func:`invert`.
        key: as for :func:`invert`; the same for all.
        progress: as for :func:`invert`; is called for every program.
        devices: as for :func:`invert`.
        samples: which of the independent samples of every target to find, so many that each method
            has them; by default all. :func:`merge` puts parts together.

    Returns:
        One result a method, in their order. Methods of one program share its wall time.

    Raises:
        JaxbqError: as for :func:`invert`, of any of them, before anything is computed.
    """
    network = model if isinstance(model, Network) else Function(model)
    where = _as_reference(reference, network)
    dtype = float_type(params)
    # As the computation will see them: 0.9999999999 is 1 in float32, and has no logit.
    # What overflows is refused below, as infinite.
    with np.errstate(over="ignore"):
        wanted = np.asarray(np.asarray(targets), dtype).astype(np.float64)
    if wanted.ndim != 2 or not len(wanted):
        raise JaxbqError(f"targets must have shape (targets, outputs), not {wanted.shape}")
    if isinstance(network, MLP):
        _check_pixels(network.check(params), where.space)
    else:
        _check_function(network, params, where.space, wanted)
    methods = [check(method) for method in methods]
    for method in methods:
        method.check(network, where, wanted)
        if samples and samples.stop > method.independent_samples:
            raise JaxbqError(
                f"samples {samples.start} to {samples.stop - 1} of {describe(method)}, which has "
                f"{method.independent_samples} that do not depend on each other"
            )
    key = jax.random.key(0) if key is None else key
    results: dict[int, Result] = {}
    for numbers in programs(methods):
        alike = [methods[n] for n in numbers]
        found = _solve(alike, network, params, where, wanted, key, progress, devices, samples)
        results |= dict(zip(numbers, found, strict=True))
    return [results[n] for n in range(len(methods))]


def merge(parts: Sequence[Result], successive: int = 1) -> Result:
    """Put the results of one method for different targets and samples together.

    Args:
        parts: results in the order of their targets, then of their samples.
        successive: so many, one after another, are of the same targets.

    Returns:
        One result, the samples of each target in their order. Times and operations are added.
    """
    rows = [parts[at : at + successive] for at in range(0, len(parts), successive)]

    def joined(read: Callable[[Result], np.ndarray]) -> np.ndarray:
        return np.concatenate([np.concatenate([read(part) for part in row], 1) for row in rows])

    method = parts[0].method
    names = ("images", "outputs", "logits", "reasons", "iterations")
    arrays = {name: joined(attrgetter(name)) for name in names}
    diagnostics = {
        name: joined(lambda part, name=name: part.diagnostics[name])
        for name in parts[0].diagnostics
    }
    with jax.enable_x64(True):
        rank = np.asarray(method.rank(arrays["reasons"], diagnostics))
    order = np.arange(len(rank))[:, None], np.argsort(rank, axis=1, stable=True)
    return Result(
        method=method,
        targets=np.concatenate([row[0].targets for row in rows]),
        **{name: values[order] for name, values in arrays.items()},
        diagnostics={name: values[order] for name, values in diagnostics.items()},
        space=parts[0].space,
        seconds=Seconds(*map(sum, zip(*(astuple(part.seconds) for part in parts), strict=True))),
        operations=sum(part.operations for part in parts),
    )


def vary(method: M, values: Mapping[str, Sequence[Any]]) -> list[M]:
    """Make the methods of a sweep: every combination of values for some options.

    Args:
        method: what they share.
        values: lists by dotted option, like ``{"regularisers.0.weight": [0.1, 1.0]}``.

    Raises:
        JaxbqError: there is no such option.
    """
    return [
        functools.reduce(
            lambda m, kv: replace_option(m, *kv), zip(values, each, strict=True), method
        )
        for each in itertools.product(*values.values())
    ]


def programs(methods: Sequence[Method]) -> list[list[int]]:
    """Group methods, by index, that one program can run: iterative, alike in all but numbers."""
    groups: dict[Any, list[int]] = {}
    for number, method in enumerate(methods):
        alone = number if not isinstance(method, Iterative) else None
        key = (jax.tree.structure(method), method.prepared, alone)
        groups.setdefault(key, []).append(number)
    return list(groups.values())


def _solve(
    methods: list[Method],
    network: Network,
    params: Any,
    where: Reference,
    wanted: np.ndarray,
    key: Array,
    progress: Progress | None,
    devices: Devices,
    samples: range | None,
) -> list[Result]:
    points = len(methods)
    # On one device: what is made of a data set must not depend on how many there are.
    with on_devices(devices, several=False), full_precision(), Stopwatch() as preparing:
        state = jax.block_until_ready(methods[0].prepare(network, params, where, key))
        planned = methods
        if samples:
            state = methods[0].skip(state, samples.start)
            planned = [method.part(samples) for method in methods]
        batch = jnp.asarray(wanted, float_type(params))
    with on_devices(devices, several=methods[0].spreads), full_precision(), Stopwatch() as running:
        method = _planned(planned, points * len(wanted), where.space.pixels, float_type(params))
        params, state, batch, key = put_everywhere((params, state, batch, key))
        rounded = isinstance(method, Iterative) and rounds_products()
        with jax.default_matmul_precision("tensorfloat32") if rounded else full_precision():
            inversion, programs_run = _run(method, network, params, state, batch, key, progress)
        # Exactly the returned images, in their precision, clipped or rescaled as they are.
        few = math.prod(inversion.images.shape[:-1]) <= FEW_IMAGES
        query = _QUERY.quick if few else _QUERY.thorough
        answers = query(network, params, inversion.images)
        inversion, (logits, outputs) = jax.device_get(jax.block_until_ready((inversion, answers)))
        rounds = _rounds(method, inversion.iterations)
    seconds = Seconds(
        (preparing.total - preparing.compiling) / points,
        (preparing.compiling + running.compiling) / points,
        (running.total - running.compiling) / points,
    )
    spent = sum(operations(traced, rounds) for traced in programs_run) / points

    def part(values: np.ndarray, point: int) -> np.ndarray:
        return values[point * len(wanted) : (point + 1) * len(wanted)]

    def why(method: Method, point: int) -> np.ndarray:
        reasons, given = part(inversion.reasons, point), part(outputs, point)
        # What rounded products took for reached has to be it.
        return method.confirmed(reasons, given, wanted) if rounded else reasons

    return [
        Result(
            one,
            wanted,
            part(inversion.images, n),
            part(outputs, n),
            part(logits, n),
            why(one, n),
            part(inversion.iterations, n),
            {name: part(values, n) for name, values in inversion.diagnostics.items()},
            where.space,
            seconds,
            spent,
        )
        for n, one in enumerate(methods)
    ]


def _planned(methods: list[Method], targets: int, pixels: int, dtype: Any) -> Method:
    """Let the methods of one program choose, and stack their numbers."""
    planned = [method.plan(targets, pixels) for method in methods]
    if len(planned) == 1:
        return planned[0]
    return jax.tree.map(lambda *leaves: np.asarray(leaves, dtype), *planned)


def _run(
    method: Method,
    model: Network,
    params: Any,
    state: Any,
    targets: Array,
    key: Array,
    progress: Progress | None,
) -> tuple[Inversion, list[Any]]:
    """Invert, at once or in chunks; return the programs too, traced, which costs nothing twice."""
    given = method, model, params, state, targets
    if progress is None or not isinstance(method, Iterative):
        program = _INVERT.quick if method.is_brief(len(targets)) else _INVERT.thorough
        return program(*given, key), [program.trace(*given, key)]
    begin, finish = _BEGIN.quick, _FINISH.quick
    carry = begin(*given, key)
    size = max(1, -(-method.steps // _CHUNKS))
    # Before the carry is given away to the first chunk.
    traced = [begin.trace(*given, key), _advance.trace(*given, carry, size)]
    running: Any = True
    progress(0, method.steps)
    while running:
        carry, running, share = _advance(*given, carry, size)
        if running:
            progress(min(int(share * method.steps), method.steps - 1), method.steps)
    progress(method.steps, method.steps)
    return finish(*given, carry), [*traced, finish.trace(*given, carry)]


def _rounds(method: Method, iterations: np.ndarray) -> float:
    """How often the loop over a method's steps turned, when rows take turns in its lanes."""
    lanes = (getattr(method, "lanes", None) or iterations.size) * device_count()
    return max(float(iterations.max(initial=0)), float(iterations.sum()) / lanes)


def _invert(method: Method, *given: Any) -> Inversion:
    return replicated(method.invert(*given))


def _begin(method: Iterative, *given: Any) -> Any:
    return method.begin(*given)


@partial(jax.jit, static_argnums=1, donate_argnums=5)
def _advance(
    method: Iterative,
    model: Network,
    params: Any,
    state: Any,
    targets: Array,
    carry: Any,
    number: Any,
) -> tuple[Any, Array, Array]:
    carry = method.advance(model, params, state, targets, carry, number)
    return carry, *replicated(method.progress(model, state, targets, carry))


def _finish(method: Iterative, *given: Any) -> Inversion:
    return replicated(method.finish(*given))


def _query(model: Network, params: Any, images: Array) -> tuple[Array, Array]:
    rows = shard_rows(images.reshape(-1, images.shape[-1]))
    shape = (*images.shape[:2], -1)
    answers = model.logits(params, rows), model.apply(params, rows)
    return replicated(tuple(a.reshape(shape) for a in answers))


_INVERT, _BEGIN, _FINISH = Compiled(_invert, 1), Compiled(_begin, 1), Compiled(_finish, 1)
_QUERY = Compiled(_query, 0)


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


def _check_function(model: Network, params: Any, space: ImageSpace, targets: np.ndarray) -> None:
    """Refuse a function that cannot take the images, or that answers in another shape."""
    rows = jax.ShapeDtypeStruct((2, space.pixels), float_type(params))
    try:
        answer = jax.eval_shape(model.logits, params, rows)
    except JaxbqError:
        raise
    except Exception as fault:
        raise JaxbqError(
            f"the network cannot take images of shape (batch, {space.pixels}), flat rows: "
            f"{str(fault).splitlines()[0]}; Function(…, input_shape=…) gives it another shape"
        ) from fault
    if getattr(answer, "shape", None) != (2, targets.shape[1]):
        raise JaxbqError(
            f"for 2 images the network answers {getattr(answer, 'shape', type(answer).__name__)}; "
            f"the targets ask for (2, {targets.shape[1]})"
        )


def _check_pixels(model: MLP, space: ImageSpace) -> None:
    if space.pixels != model.sizes[0]:
        raise JaxbqError(
            f"the network takes {model.sizes[0]} pixels, but images of shape {space.shape} "
            f"have {space.pixels}"
        )


def reason_name(code: Any) -> str:
    """Name a reason code as tables show it."""
    return Reason(code).name.lower()
