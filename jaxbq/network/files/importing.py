"""Taking networks that other libraries made."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...errors import JaxbqError
from .chains import Orientation
from .found import Found, to_network
from .keras_file import read_keras, read_weights_h5
from .native import NetworkFile, is_native, load_network
from .numpy_file import read_numpy
from .objects import from_object
from .onnx_file import read_onnx
from .sklearn_file import read_skops
from .torch_file import read_pt, read_safetensors

Reader = Callable[[Path, Orientation | None, int | None], Found]

_READERS: dict[str, Reader] = {
    ".npz": read_numpy,
    ".npy": read_numpy,
    ".safetensors": read_safetensors,
    ".pt": read_pt,
    ".pth": read_pt,
    ".keras": lambda path, _, __: read_keras(path),
    ".h5": read_weights_h5,
    ".hdf5": read_weights_h5,
    ".skops": lambda path, _, __: read_skops(path),
    ".onnx": lambda path, _, __: read_onnx(path),
}


_SELF_ORIENTED = (".keras", ".skops", ".onnx")


def import_network(
    source: Any,
    *,
    hidden: str | None = None,
    output: str | None = None,
    orientation: Orientation | None = None,
    image_shape: Sequence[int] | None = None,
    pixel_range: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
    dtype: str | None = None,
) -> NetworkFile:
    """Take a fully connected network that another library, or your own code, made.

    Args:
        source: a path: ``.npz``, ``.npy`` or a folder of these (arrays by name, like the book's
            ``wih`` and ``who``), ``.safetensors``, ``.pt`` (PyTorch), ``.keras``, ``.weights.h5``,
            ``.skops``, ``.onnx``. Or an object: a fitted MLPClassifier; a PyTorch module or
            state_dict; a Keras model; an Equinox MLP; Flax parameters; arrays by name; a list of
            weights, or of (weights, bias).
        hidden: activation of the hidden layers; ``sigmoid`` where neither this nor the source says.
        output: activation of the outputs; likewise.
        orientation: of plain weights: ``in_out`` or ``out_in``; by default found from the shapes.
        image_shape: of one image; by default square where the number of pixels is.
        pixel_range: that the network was trained on, like (−1, 1); by default (0, 1).
        class_names: one an output; by default those that the source has, or the numbers.
        dtype: as for :func:`~jaxbq.load_network`.

    Returns:
        The network, ready for :func:`~jaxbq.save_network` and every method.

    Raises:
        JaxbqError: it is damaged, hostile, or no chain of fully connected layers; or what is given
            contradicts what it says.
    """
    where, found = read_foreign(source, orientation=orientation, image_shape=image_shape)
    return to_network(
        found,
        where,
        hidden=hidden,
        output=output,
        image_shape=None if image_shape is None else tuple(image_shape),
        pixel_range=None if pixel_range is None else _two(pixel_range),
        class_names=class_names,
        dtype=dtype,
    )


def open_network(path: Path | str, dtype: str | None = None, **said: Any) -> NetworkFile:
    """Read a network, one of jaxbq's own or a foreign one.

    Args:
        path: the file.
        dtype: as for :func:`~jaxbq.load_network`.
        said: as for :func:`import_network`, of a foreign one; what is None was not said.

    Raises:
        JaxbqError: it cannot be read; or something is said of a file that says it itself.
    """
    path = Path(path)
    if not is_native(path):
        return import_network(path, dtype=dtype, **said)
    for name, value in said.items():
        if value is not None:
            raise JaxbqError(f"{path}: jaxbq saved it, so it says {name} itself; leave that out")
    return load_network(path, dtype)


def read_foreign(
    source: Any,
    *,
    orientation: Orientation | None = None,
    image_shape: Sequence[int] | None = None,
) -> tuple[str, Found]:
    """Read what a foreign network says, and name it for messages; see :func:`import_network`."""
    inputs = None
    if image_shape is not None:
        inputs = 1
        for size in image_shape:
            inputs *= int(size)
    if not isinstance(source, str | Path):
        found = from_object(source, orientation, inputs)
        if orientation is not None and found.what not in ("arrays", "PyTorch state_dict"):
            raise JaxbqError(f"{found.what}: the orientation of its weights is known; leave it out")
        return found.what, found
    path = Path(source).expanduser()
    if path.is_dir():
        return str(path), read_numpy(path, orientation, inputs)
    if not path.exists():
        raise JaxbqError(f"{path}: no such file")
    if not path.is_file():
        raise JaxbqError(f"{path}: is no regular file")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise JaxbqError(
            f"{path}: not a kind of file that networks are read from; known: {', '.join(_READERS)}"
        )
    if orientation is not None and path.suffix.lower() in _SELF_ORIENTED:
        raise JaxbqError(f"{path}: says the orientation of its weights itself; leave that out")
    return str(path), reader(path, orientation, inputs)


def _two(values: Sequence[float]) -> tuple[float, float]:
    if len(values) != 2:
        raise JaxbqError(f"a pixel range is two numbers, like 0 1, not {len(values)}")
    return float(values[0]), float(values[1])
