"""jaxbq's own network files: safetensors, with the specification in the metadata.

Tensors are named ``layers.N.weight``, of shape (fan_in, fan_out), and ``layers.N.bias``; N counts
from 0. Metadata key ``jaxbq`` holds JSON: sizes, activations, image shape, pixel range, names.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ...data import ImageSpace
from ...errors import JaxbqError
from ...options import options, validate
from ...runtime.files import write_bytes
from ..activations import HiddenName, OutputName
from ..mlp import MLP, Layer, Params

_DTYPES = ("float32", "float64")


@dataclass(frozen=True, eq=False)
class NetworkFile:
    """A network and what is needed to make and name images for it.

    Args:
        model: its specification, an ``MLP`` where it is not of :func:`~jaxbq.as_network`.
        params: its parameters.
        space: shape of one image and the pixel range it was trained on.
        class_names: one a class.
        assumed: what neither the file nor the user said: ``hidden`` and ``output``, then taken to
            be sigmoid, ``pixel_range``, then [0, 1], and ``class_names``, then the outputs'
            numbers; nothing for jaxbq's own files.
        settled: what a foreign file said itself, ``hidden`` or ``output``.
        notes: what was folded into the layers or passed over when it was taken over.
    """

    model: Any
    params: Any
    space: ImageSpace
    class_names: tuple[str, ...]
    assumed: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@options
class _Header:
    sizes: tuple[int, ...]
    hidden: HiddenName | tuple[HiddenName, ...]
    output: OutputName
    bias: bool
    image_shape: tuple[int, ...]
    pixel_range: tuple[float, float]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    named: bool = True


@options
class _AdaptedHeader:
    """Of a network that Python code makes, whose parameters alone are in the file."""

    python: str
    output: OutputName
    outputs: int
    image_shape: tuple[int, ...]
    pixel_range: tuple[float, float]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Described:
    """What is known of a network that Python code makes, without that code.

    Args:
        what: in words.
        output: name of the output activation.
        sizes: pixels and outputs.
    """

    what: str
    output: str
    sizes: tuple[int, int]

    def __repr__(self) -> str:
        return self.what


def save_network(path: Path | str, network: NetworkFile) -> None:
    """Write a network, atomically.

    Raises:
        JaxbqError: the parameters, class names or image shape do not fit the specification, or
            the file cannot be written.
    """
    from safetensors.numpy import save

    model, space = network.model.check(network.params), network.space
    # What would be refused when it is read is refused here, where it can still be put right.
    if (names := len(network.class_names)) != model.sizes[-1]:
        raise JaxbqError(f"{path}: {names} class names, {model.sizes[-1]} outputs")
    if space.pixels != model.sizes[0]:
        raise JaxbqError(f"{path}: images of {space.pixels} pixels, {model.sizes[0]} inputs")
    if not isinstance(model, MLP):
        own = _AdaptedHeader(
            python=repr(model),
            output=model.output,
            outputs=model.sizes[-1],
            image_shape=space.shape,
            pixel_range=(space.low, space.high),
            class_names=network.class_names,
        )
        leaves = enumerate(jax.tree.leaves(network.params))
        tensors = {f"parameters.{n}": np.ascontiguousarray(leaf) for n, leaf in leaves}
        metadata = {"jaxbq": json.dumps(asdict(own))}
        write_bytes(Path(path), save(tensors, metadata=metadata))
        return
    header: dict[str, Any] = {
        "sizes": model.sizes,
        "hidden": model.hidden,
        "output": model.output,
        "bias": model.bias,
        "image_shape": space.shape,
        "pixel_range": (space.low, space.high),
        "class_names": network.class_names,
    }
    if network.notes:
        header["notes"] = network.notes
    if "class_names" in network.assumed:
        header["named"] = False
    content = save(dict(_tensors(network.params)), metadata={"jaxbq": json.dumps(header)})
    write_bytes(Path(path), content)


def load_network(path: Path | str, dtype: str | None = None) -> NetworkFile:
    """Read a network and check it: names, shapes, types, finiteness.

    Args:
        path: a file that :func:`save_network` wrote.
        dtype: ``float32`` or ``float64`` (with x64 enabled in JAX); by default float64 where the
            file has it and JAX allows it.

    Raises:
        JaxbqError: the file is missing, is not such a file, or its weights do not fit or are not
            finite.
    """
    path = Path(path)
    metadata, tensors = read_tensors(path)
    if "jaxbq" not in metadata:
        raise JaxbqError(f"{path}: a safetensors file, but not one that jaxbq saved")
    table = _table(path, metadata["jaxbq"])
    if "python" in table:
        raise JaxbqError(
            f"{path}: holds the parameters of {table['python']}; only runs of its config use them"
        )
    header = validate(_Header, table, str(path))
    model = MLP(header.sizes, header.hidden, header.output, header.bias)
    space = _space(path, header, model.sizes[0], model.sizes[-1])
    params = _params(path, model, tensors, dtype)
    assumed = () if header.named else ("class_names",)
    return NetworkFile(model, params, space, header.class_names, assumed, notes=header.notes)


def describe_network(path: Path) -> NetworkFile:
    """Read a network; of one that Python code makes, what is known without that code.

    Raises:
        JaxbqError: as :func:`load_network`.
    """
    metadata, tensors = read_tensors(path)
    table = _table(path, metadata.get("jaxbq", "{}"))
    if "python" not in table:
        return load_network(path)
    header = validate(_AdaptedHeader, table, str(path))
    space = _space(path, header, math.prod(header.image_shape), header.outputs)
    model = Described(header.python, header.output, (space.pixels, header.outputs))
    return NetworkFile(model, tuple(tensors.values()), space, header.class_names)


def _space(path: Path, header: Any, pixels: int, outputs: int) -> ImageSpace:
    """Check what a header says of the ends of a network; return what its images are."""
    shape, (low, high) = header.image_shape, header.pixel_range
    if math.prod(shape) != pixels or min(shape, default=0) < 1 or not low < high:
        raise JaxbqError(f"{path}: its image shape or pixel range does not fit the network")
    if len(header.class_names) != outputs:
        raise JaxbqError(f"{path}: {len(header.class_names)} class names, {outputs} outputs")
    return ImageSpace(shape, low, high)


def load_parameters(path: Path, like: Any) -> Any:
    """Read the parameters of a network that Python code makes.

    Args:
        path: a file that :func:`save_network` wrote.
        like: parameters of the network that the code makes now, a pytree.

    Raises:
        JaxbqError: the file is missing or damaged, or is of other parameters.
    """
    _, tensors = read_tensors(path)
    leaves, tree = jax.tree.flatten(like)
    names = [f"parameters.{n}" for n in range(len(leaves))]
    if sorted(names) != sorted(tensors) or any(
        tensors[name].shape != leaf.shape for name, leaf in zip(names, leaves, strict=True)
    ):
        raise JaxbqError(f"{path}: is of another network than the code makes now; delete the run")
    if not all(np.isfinite(tensors[name]).all() for name in names):
        raise JaxbqError(f"{path}: holds values that are not finite")
    read = [
        jax.device_put(tensors[name].astype(leaf.dtype))
        for name, leaf in zip(names, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, read)


def _table(path: Path, text: str) -> dict[str, Any]:
    try:
        table = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise JaxbqError(f"{path}: its metadata is damaged; save the network again")
    return table


def is_native(path: Path) -> bool:
    """Tell whether :func:`save_network` wrote a file; False for one that cannot be read."""
    from safetensors import SafetensorError, safe_open

    # Not a named pipe: it would keep us waiting for somebody to write into it.
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="numpy") as file:
            return "jaxbq" in (file.metadata() or {})
    except (SafetensorError, OSError, TypeError, ValueError):
        return False


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Read the metadata and all tensors of a safetensors file.

    Raises:
        JaxbqError: it is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise JaxbqError(f"{path}: no such file") from None
    except (SafetensorError, OSError, TypeError, ValueError) as fault:
        raise JaxbqError(f"{path}: not a network file that can be read ({fault})") from None


def _params(path: Path, model: MLP, tensors: dict[str, np.ndarray], dtype: str | None) -> Params:
    expected: dict[str, tuple[int, ...]] = {}
    for number, shape in enumerate(model.shapes):
        expected[f"layers.{number}.weight"] = shape
        if model.bias:
            expected[f"layers.{number}.bias"] = (shape[1],)
    odd = sorted(set(expected) ^ set(tensors))
    if odd:
        raise JaxbqError(f"{path}: tensor {odd[0]!r} is missing or unexpected")
    for name, needed in expected.items():
        tensor = tensors[name]
        if tensor.shape != needed:
            raise JaxbqError(f"{path}: {name} has shape {tensor.shape}, the network needs {needed}")
        if tensor.dtype.name not in _DTYPES:
            raise JaxbqError(f"{path}: {name} is {tensor.dtype}, not float32 or float64")
        if not np.isfinite(tensor).all():
            raise JaxbqError(f"{path}: {name} holds values that are not finite")

    def array(name: str) -> Any:
        # Without x64 JAX would truncate to float32 itself, with a warning.
        widest = tensors[name].dtype if jax.config.read("jax_enable_x64") else "float32"
        wanted = dtype or widest
        # Unlike jnp.asarray, which compiles a program for every shape.
        return jax.device_put(tensors[name].astype(wanted))

    return tuple(
        Layer(array(f"layers.{n}.weight"), array(f"layers.{n}.bias") if model.bias else None)
        for n in range(len(model.shapes))
    )


def _tensors(params: Params) -> Any:
    for number, layer in enumerate(params):
        yield f"layers.{number}.weight", np.ascontiguousarray(layer.weight)
        if layer.bias is not None:
            yield f"layers.{number}.bias", np.ascontiguousarray(layer.bias)
