"""Dense networks of Keras: ``.keras``, ``.h5``, ``.weights.h5`` and models; no code is run."""

import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...data.labels import natural
from ...errors import JaxbqError
from ...runtime.archives import open_archive
from .chains import Orientation, arrange, numbers
from .folding import Chain
from .found import MOST_BYTES, Found

_MOST_JSON = 2**22
_PASSED = {"InputLayer", "Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"}
# Which leave images as they are but in training.
_PASSED |= {"RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "RandomContrast"}
_PASSED |= {"ActivityRegularization", "Flatten", "Reshape", "Identity"}
_MOST_GROUPS = 4096
_CONTIGUOUS, _VIRTUAL = 1, 3  # HDF5's classes of storage

Arrays = dict[str, np.ndarray]


def read_keras(path: Path) -> Found:
    """Read a ``.keras`` archive: layers and activations from its config, weights from its h5.

    Raises:
        JaxbqError: the file is damaged, too large, or holds more than a chain of Dense layers.
    """
    pyfive = _pyfive(path)
    with open_archive(path, MOST_BYTES) as archive:
        names = set(archive.namelist())
        if not {"config.json", "model.weights.h5"} <= names:
            raise JaxbqError(f"{path}: not a .keras archive; save the model again in Keras 3")
        if archive.getinfo("config.json").file_size > _MOST_JSON:
            raise JaxbqError(f"{path}: its config is larger than jaxbq reads")
        config = json.loads(archive.read("config.json"))
        content = io.BytesIO(archive.read("model.weights.h5"))
    _, held = _read_h5(pyfive, content, str(path))
    counted: dict[str, int] = {}

    def weights(kind: str, options: Mapping[str, Any]) -> Arrays:
        # The weights' groups are named after the class and counted, whatever the layer's name.
        stem = _SNAKE[kind]
        number = counted.get(stem, 0)
        counted[stem] = number + 1
        name = f"{stem}_{number}" if number else stem
        if name not in held:
            if kind == "Normalization" and options.get("mean") is not None:
                return {}
            raise JaxbqError(f"{path}: its weights lack layer {name!r}; save the model again")
        found = held[name]
        places = sorted(found, key=natural)
        return dict(zip(_variables(kind, options), (found[n] for n in places), strict=False))

    return _from_config(config, weights, str(path))


def read_h5(path: Path, orientation: Orientation | None, inputs: int | None) -> Found:
    """Read a whole model that Keras saved as ``.h5``; or weights alone, in their names' order.

    Raises:
        JaxbqError: the file is damaged, or holds more than a chain of Dense layers.
    """
    pyfive = _pyfive(path)
    if not path.is_file():
        raise JaxbqError(f"{path}: no such file")
    if path.stat().st_size > MOST_BYTES:
        raise JaxbqError(f"{path}: larger than jaxbq reads")
    config, held = _read_h5(pyfive, io.BytesIO(path.read_bytes()), str(path))
    if config is not None:
        if orientation is not None:
            raise JaxbqError(
                f"{path}: already says the orientation of its weights; leave orientation out"
            )
        return _from_config(config, lambda _, options: held.get(options["name"], {}), str(path))
    arrays: Arrays = {}
    for name in sorted(held, key=natural):
        own = {{"0": "kernel", "1": "bias"}.get(key, key): held[name][key] for key in held[name]}
        if not {"kernel"} <= set(own) <= {"kernel", "bias"}:
            raise JaxbqError(
                f"{path}: layer {name!r} is no Dense layer, and weights alone do not say what it "
                'does; save the whole model: model.save("net.keras")'
            )
        arrays |= {f"{name}.{key.replace('kernel', 'weight')}": own[key] for key in own}
    layers = arrange(
        arrays, str(path), orientation=orientation or "in_out", inputs=inputs, ordered=False
    )
    return Found("Keras weights", layers)


def from_keras(model: Any, where: str) -> Found:
    """Take the layers of a model in memory, as its file would have them."""
    kind = type(model).__name__
    try:
        config = {"class_name": kind, "config": model.get_config()}
        config = json.loads(json.dumps(config, default=str))
    # A model of one's own may not be able to say what it consists of.
    except Exception as fault:
        raise JaxbqError(f"{where}: does not say its layers ({fault})") from None

    def weights(_: str, options: Mapping[str, Any]) -> Arrays:
        own = model.get_layer(options["name"])
        names = (each.name.split(":")[0].rsplit("/", 1)[-1] for each in own.weights)
        return dict(zip(names, map(np.asarray, own.get_weights()), strict=True))

    return _from_config(config, weights, where)


_SNAKE = {
    "Dense": "dense",
    "BatchNormalization": "batch_normalization",
    "Normalization": "normalization",
}


def _variables(kind: str, options: Mapping[str, Any]) -> list[str]:
    """Name the arrays of a layer in Keras's order."""
    if kind == "Dense":
        return ["kernel", "bias"]
    if kind == "Normalization":
        return ["mean", "variance", "count"]
    learned = [name for key, name in (("scale", "gamma"), ("center", "beta")) if options.get(key)]
    return [*learned, "moving_mean", "moving_variance"]


def _from_config(
    config: Any, weights: Callable[[str, Mapping[str, Any]], Arrays], where: str
) -> Found:
    """Walk the layers of a config.

    Args:
        config: as Keras saves it.
        weights: finds the arrays of a layer by its class and options; asked in their order.
        where: the model, for messages.
    """
    chain = Chain(where)
    try:
        _walk(_layers(config, where), weights, chain)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as fault:
        raise JaxbqError(f"{where}: its config is not one of Keras ({fault!r})") from None
    return chain.found("Keras model")


def _walk(
    layers: Iterable[tuple[str, dict[str, Any]]],
    weights: Callable[[str, Mapping[str, Any]], Arrays],
    chain: Chain,
) -> None:
    where = chain.where
    shape: tuple[int, ...] = ()  # of what goes into the first layer, where it is known
    for kind, options in layers:
        given = options.get("batch_shape") or options.get("batch_input_shape")
        if isinstance(given, list) and all(isinstance(n, int) for n in given[1:]):
            shape = shape or tuple(given[1:])
        own = weights(kind, options) if kind in _SNAKE else {}
        if kind == "Dense":
            if "kernel" not in own or ("bias" not in own and options.get("use_bias")):
                raise JaxbqError(f"{where}: lacks weights of layer {options.get('name')!r}")
            bias = numbers(own["bias"], where) if "bias" in own else None
            chain.layer(numbers(own["kernel"], where), bias)
            _activate(options.get("activation"), chain)
        elif kind in _SNAKE or kind == "Rescaling":
            _fold(kind, options, own, chain)
        elif kind == "Permute" and not chain.layers and len(shape) == len(options.get("dims", ())):
            axes = [int(n) - 1 for n in options["dims"]]
            if sorted(axes) != list(range(len(shape))) or math.prod(shape) > MOST_BYTES // 8:
                raise JaxbqError(f"{where}: layer Permute has dims {options['dims']}")
            order = np.arange(math.prod(shape)).reshape(shape).transpose(axes)
            shape = order.shape
            chain.reorder(order.reshape(-1), kind)
        elif kind not in _PASSED:
            _layer_activation(kind, options, chain)


def _fold(kind: str, options: Mapping[str, Any], own: Arrays, chain: Chain) -> None:
    """Fold a layer that is affine; its values are one a channel, and these come last."""
    where = chain.where
    try:
        if kind == "Rescaling":
            scale, offset = (np.asarray(options[key], np.float64) for key in ("scale", "offset"))
            chain.affine(scale, offset, kind, cyclic=True)
            return
        axis = options.get("axis", -1)
        if kind == "BatchNormalization":
            mean, variance = own["moving_mean"], own["moving_variance"]
            if axis in (-1, [-1]) or chain.layers or mean.size == 1:
                chain.normalisation(
                    mean,
                    variance,
                    float(options["epsilon"]),
                    own.get("gamma"),
                    own.get("beta"),
                    kind,
                    cyclic=True,
                )
                return
        else:
            mean, variance = (
                np.asarray(own[key] if key in own else options[key], np.float64)
                for key in ("mean", "variance")
            )
            last = axis in (None, -1, [-1]) or mean.size == 1
            if not options.get("invert") and (last or np.ndim(axis)):
                # Keras divides by no less than this.
                with np.errstate(all="ignore"):
                    scale = 1 / np.maximum(np.sqrt(variance), 1e-7)
                chain.affine(scale, -mean * scale, kind, cyclic=last)
                return
    except (KeyError, TypeError, ValueError) as fault:
        raise JaxbqError(f"{where}: layer {kind} lacks what it scales by ({fault!r})") from None
    raise JaxbqError(f"{where}: layer {kind} over axis {axis} cannot be folded into a Dense layer")


def _activate(given: Any, chain: Chain) -> None:
    """Apply what a layer has for its activation: a name, or a layer of its own."""
    if isinstance(given, dict) and isinstance(given.get("config"), dict):
        _layer_activation(str(given.get("class_name")), given["config"], chain)
    elif given is None or isinstance(given, str):
        # Keras's function has another slope than its layer, and than jaxbq's.
        chain.activation({"leaky_relu": "leaky_relu(0.2)"}.get(given or "", given or "linear"))
    else:
        raise JaxbqError(f"{chain.where}: a custom activation cannot be imported")


def _layer_activation(kind: str, options: Mapping[str, Any], chain: Chain) -> None:
    """Apply the activation that a layer of its own is."""

    def number(*names: str, usual: float = 0.0) -> float:
        value = next((options[name] for name in names if options.get(name) is not None), usual)
        if isinstance(value, dict):  # Keras 2 keeps arrays so
            value = value.get("value")
        if not isinstance(value, int | float):
            raise JaxbqError(f"{chain.where}: layer {kind} has {names[0]} {value!r}")
        return float(value)

    if kind == "Activation":
        _activate(options.get("activation"), chain)
    elif kind == "LeakyReLU":
        slope = number("negative_slope", "alpha", usual=0.3)
        chain.activation(f"leaky_relu({slope!r})" if slope else "relu")
    elif kind == "ReLU" and options.get("max_value") is None and not number("threshold"):
        slope = number("negative_slope")
        chain.activation(f"leaky_relu({slope!r})" if slope else "relu")
    elif kind == "ELU":
        chain.activation(f"elu({number('alpha', usual=1.0)!r})")
    elif kind == "Softmax" and options.get("axis", -1) in (-1, 1, [-1]):
        chain.activation("softmax")
    else:
        raise JaxbqError(
            f"{chain.where}: layer {kind} cannot be imported here, only Dense layers, activations "
            "and what folds into these; a model with it can be used as it is, see "
            "docs/own-models.md"
        )


def _layers(config: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """List (class, options) of the layers of a Sequential, or of a functional model's chain."""
    kind, layers = config["class_name"], config["config"]["layers"]
    if kind not in ("Sequential", "Functional", "Model"):
        raise JaxbqError(
            f"{where}: a {kind} model; only Sequential and functional ones say what they do; "
            "give keras.Sequential(its layers in their order)"
        )
    for number, layer in enumerate(layers):
        inbound = layer.get("inbound_nodes", [])
        if kind != "Sequential" and number:
            _check_inbound(inbound, layers[number - 1]["config"]["name"], where)
        yield str(layer["class_name"]), dict(layer["config"])


def _check_inbound(inbound: Any, before: str, where: str) -> None:
    """Refuse a functional model that is no chain: each layer must take the one before it."""
    text = json.dumps(inbound)
    chained = text.count('"keras_history"') == 1 and json.dumps(before) in text
    # Keras 2 has a list of lists instead.
    if len(inbound) != 1 or not (chained or inbound == [[[before, 0, 0, {}]]]):
        raise JaxbqError(f"{where}: its layers do not form a chain")


def _pyfive(path: Path) -> Any:
    # Not h5py: on a damaged file HDF5's C library may never end, and nothing can stop it.
    try:
        import pyfive
    except ImportError:
        raise JaxbqError(
            f"{path}: reading it needs pyfive; pip install 'jaxbq[import]' has it"
        ) from None
    return pyfive


def _read_h5(pyfive: Any, raw: Any, where: str) -> tuple[Any, dict[str, Arrays]]:
    """Read the config that a whole model has, else None, and the arrays of every layer by name.

    Keras 3 keeps them in groups ``…/NAME/vars``, numbered; a whole model, and Keras 2, in groups
    ``NAME/…``, named.
    """
    try:
        with pyfive.File(raw) as content:
            config = content.attrs.get("model_config")
            if config is not None:
                if not isinstance(config, str | bytes) or len(config) > _MOST_JSON:
                    raise JaxbqError(f"{where}: its config is no text that jaxbq reads")
                config = json.loads(config)
            held: dict[str, Arrays] = {}
            groups: dict[str, tuple[str, ...]] = {}
            for path, values in _arrays(pyfive, content, where):
                *above, leaf = path
                if "vars" in above:
                    above = above[: above.index("vars")]
                    name = above[-1] if above else ""
                else:
                    name = (above[1:] if above[:1] == ["model_weights"] else above or [""])[0]
                    above, leaf = [name], leaf.split(":")[0]
                if groups.setdefault(name, tuple(above)) != tuple(above) or leaf in held.get(
                    name, ()
                ):
                    raise JaxbqError(f"{where}: holds models in models; only one chain can be read")
                held.setdefault(name, {})[leaf] = values
            return config, held
    except JaxbqError:
        raise
    # Damage shows as an exception of whatever reads there, failed assertions among them.
    except Exception as fault:
        said = str(fault).splitlines() or ["damaged, newer, or with links to another file"]
        raise JaxbqError(
            f"{where}: not an HDF5 file that can be read ({said[0][:200]}); "
            "if it is whole, write it anew: h5repack -l CONTI FILE NEW"
        ) from None


def _arrays(pyfive: Any, content: Any, where: str) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """List the arrays of the layers with their paths, once they are known to be small enough."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    seen, left = 0, MOST_BYTES
    while waiting:
        path, group = waiting.pop()
        seen += 1
        if seen > _MOST_GROUPS:
            raise JaxbqError(f"{where}: holds more groups than jaxbq reads")
        for key in group:
            if not path and key in ("optimizer", "optimizer_weights"):
                continue
            member, inner = group[key], (*path, key)
            shown = f"{where}: array {'/'.join(inner)!r}"
            if isinstance(member, pyfive.Group):
                waiting.append((inner, member))
                continue
            if not isinstance(member, pyfive.Dataset) or np.dtype(member.dtype).kind not in "fiu":
                raise JaxbqError(f"{shown} does not hold plain numbers")
            if member.id.layout_class == _VIRTUAL or (
                member.id.layout_class == _CONTIGUOUS
                and member.id.data_offset == pyfive.core.UNDEFINED_ADDRESS
            ):
                raise JaxbqError(f"{shown} keeps its numbers in another file, which is not read")
            # Nothing bounds what a compressed chunk becomes.
            if member.compression is not None:
                raise JaxbqError(
                    f"{shown} is compressed, which is not read: h5repack -f NONE FILE NEW"
                )
            if member.ndim > 2:
                raise JaxbqError(
                    f"{shown} has shape {member.shape}, of a convolution or the like; only Dense "
                    "layers can be imported; a model with it can be used as it is, see "
                    "docs/own-models.md"
                )
            left -= member.size * member.dtype.itemsize
            if left < 0:
                raise JaxbqError(f"{shown} is larger than jaxbq reads")
            yield inner, numbers(member[()], shown)
