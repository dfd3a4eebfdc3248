"""Dense networks of Keras 3: ``.keras`` archives and ``.weights.h5``; no code of theirs is run."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...data.labels import natural
from ...errors import JaxbqError
from ...runtime.archives import open_archive
from ..activations import LEAK
from ..inputs import RawLayer
from .chains import Orientation, arrange, numbers
from .found import MOST_BYTES, Found, activation_name, of_chain

_MOST_JSON = 2**22
_PASSED = {"InputLayer", "Flatten", "Dropout", "Reshape", "GaussianNoise", "ActivityRegularization"}
_MOST_GROUPS = 4096


def read_keras(path: Path) -> Found:
    """Read a ``.keras`` archive: layers and activations from its config, weights from its h5.

    Raises:
        JaxbqError: the file is damaged, too large, or holds more than a chain of Dense layers.
    """
    h5py = _h5py(path)
    with open_archive(path, MOST_BYTES) as archive:
        names = set(archive.namelist())
        if not {"config.json", "model.weights.h5"} <= names:
            raise JaxbqError(f"{path}: not a .keras archive; save the model again in Keras 3")
        if archive.getinfo("config.json").file_size > _MOST_JSON:
            raise JaxbqError(f"{path}: its config is larger than jaxbq reads")
        config = json.loads(archive.read("config.json"))
        content = io.BytesIO(archive.read("model.weights.h5"))
    dense = _read_h5(h5py, content, str(path))
    layers: list[RawLayer] = []
    between: list[str | None] = []
    for kind, options in _chain(config, str(path)):
        if kind == "Dense":
            # The weights' groups are named after the class and counted, whatever the layer's name.
            name = f"dense_{len(layers)}" if layers else "dense"
            if name not in dense:
                raise JaxbqError(f"{path}: its weights lack layer {name!r}; save the model again")
            layers.append(dense[name])
            between.append(_activation(options.get("activation"), str(path)))
        elif kind in _PASSED:
            continue
        elif layers and between[-1] in (None, "linear"):
            between[-1] = _layer_activation(kind, options, str(path))
        else:
            raise JaxbqError(f"{path}: layer {kind} cannot be imported; only Dense layers can")
    if not layers:
        raise JaxbqError(f"{path}: has no Dense layer")
    return Found("Keras model", layers, *of_chain(between, str(path)))


def read_weights_h5(path: Path, orientation: Orientation | None, inputs: int | None) -> Found:
    """Read a ``.weights.h5`` file, whose layers are taken in the order of their names.

    Raises:
        JaxbqError: the file is damaged, or holds more than a chain of Dense layers.
    """
    h5py = _h5py(path)
    if not path.is_file():
        raise JaxbqError(f"{path}: no such file")
    if path.stat().st_size > MOST_BYTES:
        raise JaxbqError(f"{path}: larger than jaxbq reads")
    with path.open("rb") as file:
        dense = _read_h5(h5py, file, str(path))
    arrays: dict[str, np.ndarray] = {}
    for name in sorted(dense, key=natural):
        arrays[f"{name}.weight"] = dense[name].weight
        bias = dense[name].bias
        if bias is not None:
            arrays[f"{name}.bias"] = bias
    layers = arrange(
        arrays, str(path), orientation=orientation or "in_out", inputs=inputs, ordered=False
    )
    return Found("Keras weights", layers)


def _h5py(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise JaxbqError(
            f"{path}: reading it needs h5py; pip install 'jaxbq[import]' has it"
        ) from None
    return h5py


def _read_h5(h5py: Any, file: io.BufferedIOBase, where: str) -> dict[str, RawLayer]:
    """Read every group ``…/NAME/vars`` with a kernel ``0`` and perhaps a bias ``1``."""
    try:
        with h5py.File(file, "r") as content:
            dense: dict[str, RawLayer] = {}
            for name, layer in _dense(h5py, content, where):
                if name in dense:
                    raise JaxbqError(f"{where}: holds models in models; only one chain can be read")
                dense[name] = layer
            return dense
    except JaxbqError:
        raise
    # HDF5's C library reports damage as any of these, or as a plain Exception.
    except Exception as fault:
        reason = str(fault).splitlines()[0][:200] if str(fault) else type(fault).__name__
        raise JaxbqError(f"{where}: not an HDF5 file that can be read ({reason})") from None


def _dense(h5py: Any, content: Any, where: str) -> Iterator[tuple[str, RawLayer]]:
    waiting, seen, left = [("", content)], 0, MOST_BYTES
    while waiting:
        name, group = waiting.pop()
        seen += 1
        if seen > _MOST_GROUPS:
            raise JaxbqError(f"{where}: holds more groups than jaxbq reads")
        for key in group:
            # Hard links alone: others lead to other places or files, or back in a circle.
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise JaxbqError(f"{where}: has a link to elsewhere ({key!r}), which is not read")
            member = group[key]
            if isinstance(member, h5py.Group) and key == "vars" and len(member):
                layer, used = _layer(h5py, member, f"{where}: layer {name!r}", left)
                left -= used
                yield name, layer
            elif isinstance(member, h5py.Group) and key != "optimizer":
                waiting.append((key, member))


def _layer(h5py: Any, group: Any, where: str, most: int) -> tuple[RawLayer, int]:
    if not set(group) <= {"0", "1"} or "0" not in group:
        raise JaxbqError(f"{where} is no Dense layer, and only those can be imported")
    arrays, used = [], 0
    for key in sorted(group):
        values = group[key]
        if not isinstance(values, h5py.Dataset) or values.dtype.kind not in "fiu":
            raise JaxbqError(f"{where} does not hold plain numbers")
        if values.is_virtual or values.external:
            raise JaxbqError(f"{where} keeps its numbers in another file, which is not read")
        if values.ndim != (2 if key == "0" else 1):
            raise JaxbqError(f"{where} has weights of shape {values.shape}; only Dense layers can")
        used += values.size * values.dtype.itemsize
        if used > most:
            raise JaxbqError(f"{where} is larger than jaxbq reads")
        arrays.append(numbers(values[()], where))
    return RawLayer(arrays[0], arrays[1] if len(arrays) > 1 else None), used


def _chain(config: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """List (class, options) of the layers of a Sequential, or of a functional model's chain."""
    try:
        kind, layers = config["class_name"], config["config"]["layers"]
        if kind not in ("Sequential", "Functional"):
            raise JaxbqError(f"{where}: a {kind} model; only Sequential and Functional can be read")
        for number, layer in enumerate(layers):
            inbound = layer.get("inbound_nodes", [])
            if kind == "Functional" and number:
                _check_inbound(inbound, layers[number - 1]["config"]["name"], where)
            yield str(layer["class_name"]), dict(layer["config"])
    except (KeyError, TypeError, AttributeError, ValueError) as fault:
        raise JaxbqError(f"{where}: its config is not one of Keras 3 ({fault!r})") from None


def _check_inbound(inbound: Any, before: str, where: str) -> None:
    """Refuse a functional model that is no chain: each layer must take the one before it."""
    text = json.dumps(inbound)
    if len(inbound) != 1 or text.count('"keras_history"') != 1 or json.dumps(before) not in text:
        raise JaxbqError(f"{where}: its layers are no chain, one after another")


def _activation(given: Any, where: str) -> str | None:
    if given is None or isinstance(given, str):
        return check_activation(given, where)
    raise JaxbqError(f"{where}: an activation of its own cannot be imported")


def check_activation(name: str | None, where: str) -> str | None:
    """Refuse what has the name of an activation of jaxbq's and is another.

    Raises:
        JaxbqError: it is Keras's function ``leaky_relu``, of slope 0.2.
    """
    if name == "leaky_relu":
        raise JaxbqError(f"{where}: leaky ReLU of slope 0.2; jaxbq's is {LEAK}")
    return name


def _layer_activation(kind: str, options: dict[str, Any], where: str) -> str:
    """Tell the activation that a layer of its own applies."""
    if kind == "Activation":
        return _activation(options.get("activation"), where) or "linear"
    if kind == "LeakyReLU":
        slope = options.get("negative_slope")
        if slope != LEAK:
            raise JaxbqError(f"{where}: leaky ReLU of slope {slope}; jaxbq's is {LEAK}")
        return "leaky_relu"
    if kind == "ReLU" and not any(
        options.get(name) for name in ("max_value", "negative_slope", "threshold")
    ):
        return "relu"
    if kind == "Softmax":
        return "softmax"
    return activation_name(kind, where)
