"""Taking networks that other libraries made."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...data.labels import check_names, shown
from ...errors import JaxbqError
from ..inputs import Inputs
from .chains import Orientation
from .found import Found, to_network
from .keras_file import read_h5, read_keras
from .mat_file import read_mat
from .native import NetworkFile, is_native, load_network
from .numpy_file import read_json, read_numpy
from .objects import from_object
from .onnx_file import read_onnx
from .sklearn_file import read_skops
from .torch_file import read_pt, read_safetensors

Reader = Callable[[Path, Orientation | None, int | None], Found]

_READERS: dict[str, Reader] = {
    ".npz": read_numpy,
    ".npy": read_numpy,
    ".csv": read_numpy,
    ".txt": read_numpy,
    ".json": read_json,
    ".mat": read_mat,
    ".safetensors": read_safetensors,
    ".pt": read_pt,
    ".pth": read_pt,
    ".ckpt": read_pt,
    ".bin": read_pt,
    ".tar": read_pt,
    ".keras": lambda path, _, __: read_keras(path),
    ".h5": read_h5,
    ".hdf5": read_h5,
    ".skops": lambda path, _, __: read_skops(path),
    ".onnx": lambda path, _, __: read_onnx(path),
}


_PICKLE = (
    "can run any code when it is loaded, so jaxbq never does; where you trust it, load it yourself "
    "and give import_network the object, or save it in another way: "
)
_REFUSED = {
    ".pkl": _PICKLE + 'skops.io.dump(model, "net.skops") or np.savez("net.npz", W0=…, b0=…)',
    ".joblib": _PICKLE + 'skops.io.dump(joblib.load("net.joblib"), "net.skops")',
    ".tflite": "is TFLite's, which is not read; save the model it was made of: "
    'model.save("net.keras")',
    ".pb": "is TensorFlow's, which is not read; load the model and save it: "
    'tf.keras.models.load_model(folder).save("net.h5")',
}
_REFUSED[".pickle"] = _REFUSED[".pkl"]
_SELF_ORIENTED = (".keras", ".skops", ".onnx")


class AssumptionWarning(UserWarning):
    """Something about a foreign network was assumed that neither its file nor the caller said."""


def import_network(
    source: Any,
    *,
    hidden: str | Sequence[str] | None = None,
    output: str | None = None,
    orientation: Orientation | None = None,
    image_shape: Sequence[int] | None = None,
    pixel_range: Sequence[float] | None = None,
    inputs: Inputs | None = None,
    turned: Sequence[int] = (),
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
        hidden: activation of the hidden layers, one name for all or one for each; ``sigmoid``
            where neither this nor the source says.
        output: activation of the outputs; likewise. Logits, which a source calls ``identity``, may
            be read as any.
        orientation: of plain weights: ``in_out`` or ``out_in``; by default found from the shapes.
        image_shape: of one image; by default square where the number of pixels is.
        pixel_range: that the network was trained on, like (−1, 1); by default (0, 1).
        inputs: how it was given its images, where not as jaxbq keeps them; folded into its weights.
        turned: numbers, from 1, of layers whose square weights are the other way round than the
            others'.
        class_names: one an output; by default those that the source has, or the numbers.
        dtype: as for :func:`~jaxbq.load_network`.

    Returns:
        The network, ready for :func:`~jaxbq.save_network` and every method. A network of one
        sigmoid or tanh output has two softmax outputs then, of the same probabilities.

    Raises:
        JaxbqError: it is damaged, hostile, or no chain of fully connected layers; or what is given
            contradicts what it says.

    Warns:
        AssumptionWarning: neither the source nor the caller says what activations are.
    """
    network = _imported(
        source,
        orientation,
        hidden=hidden,
        output=output,
        image_shape=image_shape,
        pixel_range=pixel_range,
        inputs=inputs,
        turned=turned,
        class_names=class_names,
        dtype=dtype,
    )
    guessed = [f"{name}='sigmoid'" for name in ("hidden", "output") if name in network.assumed]
    guessed += [
        note.removeprefix("assumed ") for note in network.notes if note.startswith("assumed ")
    ]
    if guessed:
        warnings.warn(
            f"assumed {' and '.join(guessed)}, which the network does not say; give what it was "
            "trained with",
            AssumptionWarning,
            stacklevel=2,
        )
    return network


def _imported(source: Any, orientation: Orientation | None, **said: Any) -> NetworkFile:
    shape, span = said.pop("image_shape", None), said.pop("pixel_range", None)
    try:
        where, found = read_foreign(source, orientation=orientation, image_shape=shape)
        return to_network(
            found,
            where,
            image_shape=None if shape is None else tuple(shape),
            pixel_range=None if span is None else _two(span),
            **{**said, "turned": said.get("turned") or ()},
        )
    except JaxbqError as fault:
        # Names in a file may hold anything.
        raise JaxbqError(shown(str(fault))) from None


def open_network(path: Path | str, dtype: str | None = None, **said: Any) -> NetworkFile:
    """Read a network, one of jaxbq's own or a foreign one.

    Args:
        path: the file.
        dtype: as for :func:`~jaxbq.load_network`.
        said: as for :func:`import_network`, of a foreign one; what is None was not said. Nothing
            warns of what was not: the network says what was assumed.

    Raises:
        JaxbqError: it cannot be read; or something but names of classes is said of a file that says
            it itself.
    """
    path = Path(path)
    if not is_native(path):
        return _imported(path, said.pop("orientation", None), dtype=dtype, **said)
    names = said.pop("class_names", None)
    for name, value in said.items():
        if value is not None:
            raise JaxbqError(f"{path}: jaxbq saved it, so it says {name} itself; leave that out")
    network = load_network(path, dtype)
    if names is None:
        return network
    if len(names) != network.model.sizes[-1]:
        outputs = network.model.sizes[-1]
        raise JaxbqError(f"{path}: {len(names)} class names, but {outputs} outputs")
    return dataclasses.replace(network, class_names=check_names(names), assumed=())


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
    if not path.exists():
        raise JaxbqError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if (path / "saved_model.pb").exists():
        suffix = ".pb"
    if suffix in _REFUSED:
        raise JaxbqError(f"{path}: {_REFUSED[suffix]}")
    if path.is_dir():
        return str(path), read_numpy(path, orientation, inputs)
    if not path.is_file():
        raise JaxbqError(f"{path}: is not a regular file")
    reader = _READERS.get(suffix)
    if reader is None:
        raise JaxbqError(
            f"{path}: not a known format of network files; known: {', '.join(_READERS)}"
        )
    if orientation is not None and suffix in _SELF_ORIENTED:
        raise JaxbqError(
            f"{path}: already says the orientation of its weights; leave orientation out"
        )
    return str(path), reader(path, orientation, inputs)


def _two(values: Sequence[float]) -> tuple[float, float]:
    if len(values) != 2:
        raise JaxbqError(f"a pixel range is two numbers, like 0 1, not {len(values)}")
    return float(values[0]), float(values[1])
