"""What a reader of some format finds in a file, and how it becomes a network."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...data import ImageSpace
from ...data.labels import check_names
from ...errors import JaxbqError
from ..activations import activation
from ..inputs import Inputs, RawLayer
from ..mlp import MLP, Layer
from .chains import check_chain
from .native import NetworkFile

MOST_BYTES = 2**29
"""What an imported file may unpack to: half a gigabyte, a network of 134 million weights."""

_KNOWN = {
    "logistic": "sigmoid",
    "linear": "identity",
    "none": "identity",
    "leakyrelu": "leaky_relu",
    "swish": "silu",
}

_FARTHEST = 1e15  # end of a pixel range


class Found(NamedTuple):
    """The layers of a network of another library.

    Args:
        what: the format, for messages.
        layers: first to last.
        hidden: activation of every hidden layer; None where the file does not say.
        output: activation of the outputs; likewise.
        class_names: one an output; None where the file does not say.
        notes: what was folded into the layers or passed over, each in a few words.
    """

    what: str
    layers: list[RawLayer]
    hidden: tuple[str, ...] | None = None
    output: str | None = None
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def activation_name(name: str, where: str) -> str:
    """Translate another library's name of an activation.

    Raises:
        JaxbqError: jaxbq has none like it.
    """
    plain = name.lower()
    plain = _KNOWN.get(plain, plain)
    try:
        return activation(plain).name
    except JaxbqError as fault:
        raise JaxbqError(f"{where}: {fault}") from None


def of_chain(between: Sequence[str | None], where: str) -> tuple[tuple[str, ...], str]:
    """Tell the activation of every hidden layer, and of the last, from those after every layer.

    Args:
        between: what follows each layer; None for nothing.
        where: the file, for messages.
    """
    names = [activation_name(name or "identity", where) for name in between]
    return tuple(names[:-1]), names[-1]


def to_network(
    found: Found,
    where: str,
    *,
    hidden: str | Sequence[str] | None = None,
    output: str | None = None,
    image_shape: tuple[int, ...] | None = None,
    pixel_range: tuple[float, float] | None = None,
    inputs: Inputs | None = None,
    turned: Sequence[int] = (),
    class_names: Sequence[str] | None = None,
    dtype: str | None = None,
) -> NetworkFile:
    """Make a network of what was found; see :func:`~jaxbq.import_network`."""
    layers = _turned(found.layers, turned, where)
    check_chain(layers, where)
    space = _space(layers[0].weight.shape[0], image_shape, pixel_range, where)
    layers[0] = (inputs or Inputs()).fold(layers[0], space, where)
    last = _output(found.output, output, where)
    names = tuple(map(str, class_names or found.class_names or ()))
    if layers[-1].weight.shape[1] == 1 and (
        last in _ONE_FOR_TWO or (last == "identity" and len(names) == 2)
    ):
        layers[-1] = _two_classes(layers[-1], last)
        last = "softmax" if last in _ONE_FOR_TWO else last
    sizes = (space.pixels, *(layer.weight.shape[1] for layer in layers))
    model = MLP(
        sizes,
        _hidden(found.hidden, hidden, len(sizes) - 2, where),
        last,
        bias=any(layer.bias is not None for layer in layers),
    )
    widest = "float64" if jax.config.read("jax_enable_x64") else "float32"

    def array(values: Any) -> Any:
        kept = widest if values.dtype.name == "float64" else "float32"
        return jnp.asarray(values.astype(dtype or kept))

    def bias(layer: RawLayer) -> Any:
        if layer.bias is None and model.bias:
            # Where some layers have a bias, the others have one of zeros.
            return array(np.zeros(layer.weight.shape[1], layer.weight.dtype))
        return None if layer.bias is None else array(layer.bias)

    params = tuple(Layer(array(layer.weight), bias(layer)) for layer in layers)
    if names and len(names) != sizes[-1]:
        raise JaxbqError(f"{where}: {len(names)} class names, but {sizes[-1]} outputs")
    said = {
        "hidden": found.hidden or hidden or len(sizes) == 2,
        "output": found.output or output,
        "pixel_range": pixel_range,
        "class_names": names,
    }
    return NetworkFile(
        model,
        params,
        space,
        check_names(names) or tuple(map(str, range(sizes[-1]))),
        tuple(what for what, known in said.items() if not known),
        tuple(
            name
            for name, own in (("hidden", found.hidden), ("output", found.output))
            if own not in (None, "identity")
        ),
        (*found.notes, *([] if inputs in (None, Inputs()) else [f"folded in: {_say(inputs)}"])),
    )


def _turned(layers: Sequence[RawLayer], numbers: Sequence[int], where: str) -> list[RawLayer]:
    """Transpose the square weights of the layers that have these numbers, from 1."""
    new = list(layers)
    for number in numbers:
        if not 1 <= number <= len(new):
            raise JaxbqError(f"{where}: has no layer {number}; it has {len(new)}")
        weight = new[number - 1].weight
        if weight.shape[0] != weight.shape[1]:
            raise JaxbqError(f"{where}: weights of layer {number} are not square; give orientation")
        new[number - 1] = new[number - 1]._replace(weight=weight.T)
    return new


# A single output that says which of two classes it is: the factor of its logit that makes it a
# sigmoid's. sigmoid(z) is the second entry of softmax(0, z), and (1 + tanh z)/2 is sigmoid(2z).
_ONE_FOR_TWO = {"sigmoid": 1.0, "tanh": 2.0}


def _two_classes(layer: RawLayer, output: str) -> RawLayer:
    """Make two softmax outputs of one, of the same probabilities; of a number z, 1 − z and z."""
    if output not in _ONE_FOR_TWO:
        bias = np.zeros_like(layer.weight[0]) if layer.bias is None else layer.bias
        weight = np.concatenate([-layer.weight, layer.weight], axis=1)
        return RawLayer(weight, np.concatenate([1 - bias, bias]))
    factor = _ONE_FOR_TWO[output]
    zero = np.zeros_like(layer.weight)
    bias = layer.bias
    if bias is not None:
        bias = np.concatenate([np.zeros_like(bias), factor * bias])
    return RawLayer(np.concatenate([zero, factor * layer.weight], axis=1), bias)


def _hidden(
    found: tuple[str, ...] | None, given: str | Sequence[str] | None, layers: int, where: str
) -> tuple[str, ...]:
    """Take what the file says or, where it says nothing, the user; by default sigmoid."""
    names = given or "sigmoid"
    said = (names,) * layers if isinstance(names, str) else tuple(names)
    said = tuple(activation_name(name, "hidden activation") for name in said)
    if "softmax" in (*said, *(found or ())):
        raise JaxbqError(f"{where}: softmax is for outputs; choose another hidden activation")
    if len(said) != layers:
        raise JaxbqError(
            f"{where}: {len(said)} hidden activations for {layers} hidden layers; give one for "
            "each, or one for all"
        )
    if found is not None and given is not None and said != found:
        raise JaxbqError(
            f"{where}: its hidden activation is {', '.join(dict.fromkeys(found))}, as the "
            f"file says, not {', '.join(dict.fromkeys(said))}"
        )
    return said if found is None else found


def _output(found: str | None, given: str | None, where: str) -> str:
    """Likewise for the outputs; logits may be read as what the user says."""
    said = activation_name(given, "output activation") if given else None
    if found not in (None, "identity") and said not in (None, found):
        raise JaxbqError(f"{where}: its output activation is {found}, as the file says, not {said}")
    return said or found or "sigmoid"


def _say(inputs: Inputs) -> str:
    """Name what of the inputs is not as jaxbq keeps images."""
    parts = []
    for field in dataclasses.fields(inputs):
        value = getattr(inputs, field.name)
        if value != field.default:
            parts.append(f"{field.name} {'per pixel' if isinstance(value, tuple) else value}")
    return ", ".join(parts)


def _space(
    pixels: int,
    shape: tuple[int, ...] | None,
    span: tuple[float, float] | None,
    where: str,
) -> ImageSpace:
    if shape is None:
        side = math.isqrt(pixels)
        shape = (side, side) if side * side == pixels else (1, pixels)
    if math.prod(shape) != pixels or any(n < 1 for n in shape):
        raise JaxbqError(
            f"{where}: takes {pixels} pixels, but images of shape {shape} have another number"
        )
    low, high = span or (0.0, 1.0)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise JaxbqError(f"{where}: the pixel range must rise, like 0 1, not {low:g} {high:g}")
    # Float32 holds their squares too.
    if max(-low, high) > _FARTHEST:
        raise JaxbqError(f"{where}: use a pixel range within ±{_FARTHEST:g}")
    return ImageSpace(tuple(shape), float(low), float(high))
