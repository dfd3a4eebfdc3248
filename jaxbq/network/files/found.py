"""What a reader of some format finds in a file, and how it becomes a network."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...data import ImageSpace
from ...errors import JaxbqError
from ..activations import activation
from ..mlp import MLP, Layer
from .chains import RawLayer, check_chain
from .native import NetworkFile

MOST_BYTES = 2**29
"""What an imported file may unpack to: half a gigabyte, a network of 134 million weights."""

_KNOWN = {
    "logistic": "sigmoid",
    "linear": "identity",
    "none": "identity",
    "leakyrelu": "leaky_relu",
}


class Found(NamedTuple):
    """The layers of a network of another library.

    Args:
        what: the format, for messages.
        layers: first to last.
        hidden: activation of the hidden layers; None where the file does not say.
        output: activation of the outputs; likewise.
        class_names: one an output; None where the file does not say.
    """

    what: str
    layers: list[RawLayer]
    hidden: str | None = None
    output: str | None = None
    class_names: tuple[str, ...] | None = None


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


def of_chain(between: Sequence[str | None], where: str) -> tuple[str | None, str]:
    """Tell the activation of the hidden layers, and of the last, from those after every layer.

    Args:
        between: what follows each layer; None for nothing.
        where: the file, for messages.

    Raises:
        JaxbqError: hidden layers differ in their activation.
    """
    names = [activation_name(name or "identity", where) for name in between]
    hidden = set(names[:-1])
    if len(hidden) > 1:
        raise JaxbqError(
            f"{where}: hidden layers have several activations ({', '.join(sorted(hidden))}); "
            "a network of jaxbq has one for all"
        )
    return (hidden.pop() if hidden else None), names[-1]


def to_network(
    found: Found,
    where: str,
    *,
    hidden: str | None = None,
    output: str | None = None,
    image_shape: tuple[int, ...] | None = None,
    pixel_range: tuple[float, float] | None = None,
    class_names: Sequence[str] | None = None,
    dtype: str | None = None,
) -> NetworkFile:
    """Make a network of what was found; see :func:`~jaxbq.import_network`."""
    check_chain(found.layers, where)
    sizes = (found.layers[0].weight.shape[0], *(layer.weight.shape[1] for layer in found.layers))
    if "softmax" in (found.hidden, hidden):
        raise JaxbqError(f"{where}: softmax is for outputs; choose another hidden activation")
    model = MLP(
        sizes,
        _agreed("hidden activation", found.hidden, hidden, where),  # type: ignore[arg-type]
        _agreed("output activation", found.output, output, where),  # type: ignore[arg-type]
        bias=any(layer.bias is not None for layer in found.layers),
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

    params = tuple(Layer(array(layer.weight), bias(layer)) for layer in found.layers)
    space = _space(sizes[0], image_shape, pixel_range, where)
    names = agreed_names(found.class_names, class_names, where) or tuple(map(str, range(sizes[-1])))
    if len(names) != sizes[-1]:
        raise JaxbqError(f"{where}: {len(names)} class names, but {sizes[-1]} outputs")
    unsaid = [
        what
        for what, said in (("hidden", found.hidden or hidden), ("output", found.output or output))
        if said is None and not (what == "hidden" and len(sizes) == 2)
    ]
    return NetworkFile(model, params, space, tuple(map(str, names)), tuple(unsaid))


def agreed_names(
    found: Sequence[str] | None, given: Sequence[str] | None, where: str
) -> tuple[str, ...]:
    """Choose the names of the outputs: those given, else those that the file has.

    Raises:
        JaxbqError: they are the same in another order, so that outputs would be misread.
    """
    if found and given and set(found) == set(given) and tuple(found) != tuple(given):
        raise JaxbqError(
            f"{where}: its outputs are the classes {', '.join(found)}; the data have them in "
            f"another order: give the data class_names = {list(found)}"
        )
    return tuple(given or found or ())


def _agreed(what: str, found: str | None, given: str | None, where: str) -> str:
    """Take what the file says or, where it says nothing, the user; by default sigmoid."""
    if found is not None and given is not None and activation_name(given, what) != found:
        raise JaxbqError(f"{where}: its {what} is {found}, as it says itself; not {given}")
    return found or (activation_name(given, what) if given else "sigmoid")


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
        raise JaxbqError(f"{where}: takes {pixels} pixels, which images of shape {shape} have not")
    low, high = span or (0.0, 1.0)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise JaxbqError(f"{where}: the pixel range must go up, like 0 1, not {low:g} {high:g}")
    return ImageSpace(tuple(shape), float(low), float(high))
