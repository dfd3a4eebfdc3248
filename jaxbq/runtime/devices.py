"""Several devices: which of them work, and how rows are shared out among them.

Rows never need each other, so each device does its share by itself, in loops of its own that end
when its own rows are done; nothing is exchanged before the end. With one device there is no mesh,
and every program is what it would be without this module.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from ..errors import JaxbqError

Devices = int | Sequence[jax.Device] | None
"""The first so many devices of this process, or these very ones, or None for all."""

_AXIS = "rows"
_SHARED, _WHOLE = PartitionSpec(_AXIS), PartitionSpec()


@contextlib.contextmanager
def on_devices(devices: Devices = None, *, several: bool = True) -> Iterator[None]:
    """Let what is spread within be spread over these devices.

    Args:
        devices: so many, or which; by default those of an enclosing :func:`on_devices`, or the one
            that ``jax.default_device`` names, else all of this process.
        several: whether the work is worth more than the first of them.

    Raises:
        JaxbqError: there are no such devices.
    """
    mesh = jax.sharding.get_mesh()
    enclosed = mesh.axis_names == (_AXIS,)
    if devices is None and enclosed:
        if several:
            yield
            return
        devices = mesh.devices.flatten().tolist()
    chosen = chosen_devices(devices)
    if not several:
        chosen = chosen[:1]
    if len(chosen) == 1 and not enclosed:
        # No mesh; and where JAX takes this device by itself, nothing at all.
        usual = chosen[0] == _usual()
        with contextlib.nullcontext() if usual else jax.default_device(chosen[0]):
            yield
        return
    # `set_mesh` is part of the key of every compiled program, so none serves other devices.
    with jax.set_mesh(Mesh(np.array(chosen), (_AXIS,), axis_types=(AxisType.Auto,))):
        yield


def chosen_devices(devices: Devices = None) -> list[jax.Device]:
    """List the devices that are meant; see :func:`on_devices`.

    Raises:
        JaxbqError: there are no such devices.
    """
    there = jax.local_devices()
    named = jax.config.jax_default_device is not None  # type: ignore[attr-defined]
    if devices == 1 or (devices is None and named):
        return [_usual()]
    if devices is None:
        # JAX may have been told to make several devices of a CPU: they are no faster than one.
        return there[:1] if there[0].platform == "cpu" else there
    if not isinstance(devices, int):
        if not devices or len(set(devices)) < len(devices):
            raise JaxbqError("devices: name one or more, each once")
        return _checked(list(devices))
    if not 1 <= devices <= len(there):
        kind = there[0].platform
        raise JaxbqError(
            f"devices = {devices}, but this process has {len(there)} of kind {kind}; ask for 1 to "
            f"{len(there)}"
        )
    return _checked(there[:devices])


def _checked(devices: list[jax.Device]) -> list[jax.Device]:
    """Refuse several devices made of one CPU, unless JAX has a thread for each and one more.

    With fewer, one that computes may wait for a thread that a waiting one holds: for ever.
    """
    here = [device for device in devices if device.platform == "cpu"]
    told = os.environ.get("NPROC", "")  # XLA reads it when it starts
    if len(here) > 1 and int(told if told.isdecimal() else 0) <= len(here):
        raise JaxbqError(
            f"{len(here)} devices of one CPU are no faster than one and may "
            f"deadlock; use one (for tests: NPROC={len(here) + 1} in the environment)"
        )
    return devices


def _usual() -> jax.Device:
    """Find the device that JAX takes by itself: what ``jax.default_device`` names, or the first."""
    named = jax.config.jax_default_device  # type: ignore[attr-defined]
    if isinstance(named, jax.Device):
        return named
    return jax.local_devices(backend=named)[0]


def device_count() -> int:
    """Count the devices that the work at hand is spread over; 1 within a device's own share."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.axis_names != (_AXIS,) or _AXIS in mesh.manual_axes:
        return 1
    return mesh.size


def map_devices(function: Callable[..., Any], given: Any, *stacked: Any) -> Any:
    """Let every device do its own share, without any exchange. Traceable, under `jit`.

    Args:
        function: is given the number of the device, from 0, ``given``, and its entry of each of
            ``stacked``. It may use no other traced array.
        given: pytree that every device has whole.
        stacked: pytrees whose arrays have one entry a device along their first axis.

    Returns:
        What each device found, stacked likewise; with one device nothing is stacked, neither here
        nor in ``stacked``.
    """
    if device_count() == 1:
        return function(0, given, *stacked)

    def own(given: Any, *parts: Any) -> Any:
        mine = jax.tree.map(lambda a: a[0], parts)
        found = function(jax.lax.axis_index(_AXIS), given, *mine)
        return jax.tree.map(lambda a: jnp.asarray(a)[None], found)

    specs = (_WHOLE, *(_SHARED for _ in stacked))
    # Without the check of what varies: it refuses loops whose carry begins the same everywhere.
    share = jax.shard_map(own, in_specs=specs, out_specs=_SHARED, check_vma=False)
    return share(given, *stacked)


def map_rows(function: Callable[..., Any], given: Any, *rows: Any) -> Any:
    """Apply a function of rows that do not need each other, every device to its share of them.

    Device d of D takes rows d, d + D, …: neighbours, which are often alike, take as long. The last
    row makes up a number that does not divide, and is dropped again.

    Args:
        function: from ``given`` and pytrees of rows to a pytree of as many rows. It may use no
            other traced array.
        given: pytree that every device has whole.
        rows: pytrees of arrays with equally many rows.

    Returns:
        What the function gives for all rows, whole on every device.
    """
    devices = device_count()
    if devices == 1:
        return function(given, *rows)
    number = len(jax.tree.leaves(rows)[0])
    each = -(-number // devices)

    def dealt(a: Array) -> Array:
        filled = jnp.concatenate([a, jnp.repeat(a[-1:], each * devices - number, axis=0)])
        return filled.reshape(each, devices, *a.shape[1:]).swapaxes(0, 1)

    found = map_devices(
        lambda _, given, *own: function(given, *own), given, *jax.tree.map(dealt, rows)
    )
    return jax.tree.map(lambda a: a[:number], gather_rows(found))


def gather_rows(stacked: Any, group: int = 1) -> Any:
    """Put rows dealt out to the devices, so many together, back into their order.

    Args:
        stacked: pytree of arrays of shape (devices, rows of each, …).
        group: rows that were dealt out together.

    Returns:
        The same of shape (rows, …), whole on every device.
    """
    if device_count() == 1:
        return stacked

    def one(a: Array) -> Array:
        devices, each, *shape = a.shape
        groups = a.reshape(devices, each // group, group, *shape).swapaxes(0, 1)
        return groups.reshape(devices * each, *shape)

    return replicated(jax.tree.map(one, stacked))


def shard_rows(rows: Any) -> Any:
    """Keep each array's rows on different devices, as evenly as they go; under `jit`.

    What is computed of them means what it means on one device, sums over rows included: the
    compiler adds what the devices have to tell each other.
    """
    return _constrained(rows, _SHARED)


def replicated(tree: Any) -> Any:
    """Keep all of each array on every device; under `jit`."""
    return _constrained(tree, _WHOLE)


def _constrained(tree: Any, spec: PartitionSpec) -> Any:
    if device_count() == 1:
        return tree
    return jax.tree.map(lambda a: jax.lax.with_sharding_constraint(a, spec), tree)


def put_everywhere(tree: Any) -> Any:
    """Copy arrays to every device once, so that not every call has to."""
    if device_count() == 1:
        return tree
    sharding = NamedSharding(jax.sharding.get_mesh(), _WHOLE)

    def copied(leaf: Any) -> Any:
        # A plain number stays one: as an array it could change the type of what it meets.
        if not isinstance(leaf, jax.Array | np.ndarray):
            return leaf
        return jax.device_put(leaf, sharding)

    return jax.tree.map(copied, tree)


def to_one_device(tree: Any) -> Any:
    """Bring arrays that lie on several devices back to the usual one."""

    def brought(leaf: Any) -> Any:
        several = isinstance(leaf, jax.Array) and len(leaf.sharding.device_set) > 1
        # By way of the host: so it is bound to no device, like any new array.
        return jnp.asarray(np.asarray(leaf)) if several else leaf

    return jax.tree.map(brought, tree)


Precision = Literal["float32", "float64", "tf32"]
"""``float32``; ``float64``; or ``tf32``: float32, but accelerators may round what an ascent
multiplies. CPUs never do."""

_rounded: ContextVar[bool] = ContextVar("rounded", default=False)


def type_of(precision: Precision) -> str:
    """Name the type of the arrays."""
    return "float64" if precision == "float64" else "float32"


@contextlib.contextmanager
def computing(precision: Precision) -> Iterator[None]:
    """Compute in a precision: float64 is allowed, or ascents in TF32, or neither."""
    before = _rounded.set(precision == "tf32")
    try:
        with jax.enable_x64(precision == "float64"):
            yield
    finally:
        _rounded.reset(before)


def rounds_products() -> bool:
    """Tell whether an ascent may round what it multiplies to TF32; see :func:`computing`."""
    return _rounded.get()


def full_precision() -> contextlib.AbstractContextManager[Any]:
    """Multiply matrices in the precision of their type, on accelerators too.

    There the default rounds factors, to TF32 say, which would put a residual of 1e-4 out of reach.
    """
    if jax.default_backend() == "cpu":
        return contextlib.nullcontext()
    return jax.default_matmul_precision("highest")
