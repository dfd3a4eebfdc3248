"""From named arrays to layers: which are weights, in what order, and which way round."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from ...data.labels import natural
from ...errors import JaxbqError
from ..inputs import RawLayer

Orientation = Literal["in_out", "out_in"]
"""Whether a file's weights have shape (fan_in, fan_out), or (fan_out, fan_in) as the book's."""

_MOST_LAYERS = 64
_MOST_PERMUTED = 6
_MOST_OPEN = 10


def arrange(
    arrays: Mapping[str, np.ndarray],
    where: str,
    *,
    orientation: Orientation | None = None,
    inputs: int | None = None,
    ordered: bool = True,
) -> list[RawLayer]:
    """Put named arrays in the order of layers.

    Args:
        arrays: weights (two axes) and biases (one) by name, like ``W0, b0, W1, b1``, ``wih, who``
            or ``fc1.weight, fc1.bias``.
        where: what holds them, for messages.
        orientation: of the weights; by default found from the shapes.
        inputs: how many inputs the first layer has, if that is known.
        ordered: whether the arrays come in the order of the layers, where names do not tell it.

    Returns:
        The layers, first to last.

    Raises:
        JaxbqError: an array that is neither weight nor bias, shapes that make no chain, or an
            order or orientation that names and shapes leave open.
    """
    named = arrange_named(arrays, where, orientation=orientation, inputs=inputs, ordered=ordered)
    return [layer for _, layer in named]


def arrange_named(
    arrays: Mapping[str, np.ndarray],
    where: str,
    *,
    orientation: Orientation | None = None,
    inputs: int | None = None,
    ordered: bool = True,
) -> list[tuple[str, RawLayer]]:
    """Do as :func:`arrange`, and name the weights of every layer."""
    weights, biases = _sorted_out(_placed(arrays), where)
    _check_names(weights, where)
    names = _order(weights, biases, where, orientation, inputs, ordered)
    ways = _ways(weights, biases, names, orientation, inputs)
    if len(ways) > 1:
        shapes = _say_shapes(weights, names)
        raise JaxbqError(
            f"{where}: weights of shapes {shapes} fit both ways round; say which: orientation "
            "in_out (rows are inputs) or out_in (rows are outputs, as in the book)"
            + "; or, where other layers are missing, give all in one folder or .npz"
            * (len(names) == 1)
        )
    chosen = ways[0]
    turned = [weights[name].T if chosen == "out_in" else weights[name] for name in names]
    matched = _match(list(names), biases)
    assert matched is not None
    return [
        (name, RawLayer(w, None if b is None else biases[b]))
        for name, w, b in zip(names, turned, matched, strict=True)
    ]


# What an optimiser keeps of every array, before or after the array's own name.
_MOMENTS = re.compile(
    r"(m|v|s|d|g|md|vd|sd|dm|dv|mt|vt|(adam|opt|optim|optimizer|rms|sq|exp|avg)*(m|v|avg|sq)"
    r"|mom|momentum|moments?|velocity|vel|grad|gradient|cache|delta|rms)"
)
_HISTORY = re.compile(r"loss|acc|hist|err|cost|epoch|score|metric|time|rate|seed|^(lr|eta|alpha)$")
# What may be a step of the network's own, which is never to be lost.
_STEPS = re.compile(r"mean|std|var|sigma|^mu$|scale|shift|offset|temp|norm|gamma|beta|slope")
_LAYERS_OWN = re.compile(r"weight|kernel|bias|coef|intercept")
_PLACE = re.compile(r"(arr_?)?\d+")


def passed_over(
    arrays: Mapping[str, np.ndarray], *, unknown: bool = True
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Take away what cannot be a layer's: an optimiser's arrays, history, sizes, text.

    Args:
        arrays: by name.
        unknown: also take away those of one axis of which nothing is known but that their length
            fits no layer.

    Returns:
        The other arrays, and a note that names these.
    """
    widths = {n for array in arrays.values() if array.ndim == 2 for n in array.shape}

    def strange(name: str, array: np.ndarray) -> bool:
        moment = any(
            other != name
            and array.shape == arrays[other].shape
            and _MOMENTS.fullmatch(_letters(name.lower().replace(other.lower(), "", 1)))
            and (name.lower().startswith(other.lower()) or name.lower().endswith(other.lower()))
            for other in arrays
        )
        loss = array.ndim < 2 and re.match(r"(criterion|\w*loss\w*)\.", name.lower())
        if moment or loss:  # of a loss: weights of its classes
            return True
        # MATLAB keeps a history as a column.
        flat = array.ndim < 2 or (min(array.shape) == 1 and _HISTORY.search(_letters(name)))
        if _is_bias(name) or not flat or _PLACE.fullmatch(name) or not array.size:
            return False
        words = _letters(name)
        if _LAYERS_OWN.search(words):
            return False
        if array.dtype.kind in "US" or _HISTORY.search(words):
            return True
        if _STEPS.search(words):
            return False
        return array.dtype.kind in "iub" or (
            unknown and (array.ndim == 0 or array.size not in widths)
        )

    found = [name for name, array in arrays.items() if strange(name, array)]
    kept = {name: array for name, array in arrays.items() if name not in found}
    shown = ", ".join(found[:8]) + (", …" if len(found) > 8 else "")
    return kept, (f"{shown} passed over",) if found else ()


def _placed(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Make flat biases of rows and columns that only their place tells from weights."""
    names = sorted(arrays, key=natural)
    lines = [name for name in names if arrays[name].ndim == 2 and min(arrays[name].shape) == 1]
    if not lines or not all(_PLACE.fullmatch(name) for name in names):
        return arrays
    shapes = [arrays[name].shape for name in names]
    if all(len(shape) == 2 for shape in shapes):
        straight = all(one[1] == two[0] for one, two in itertools.pairwise(shapes))
        turned = all(one[0] == two[1] for one, two in itertools.pairwise(shapes))
        if straight or turned:
            return arrays  # weights alone
    half = len(names) // 2
    for weights, biases in ((names[::2], names[1::2]), (names[:half], names[half:])):
        pairs = list(itertools.zip_longest(weights, biases))
        if len({arrays[b].ndim for b in biases}) == 1 and all(
            w is not None
            and b is not None
            and arrays[w].ndim == 2
            and max(arrays[b].shape, default=0) == arrays[b].size in arrays[w].shape
            for w, b in pairs
        ):
            return {
                name: array.reshape(-1) if name in biases else array
                for name, array in arrays.items()
            }
    return arrays


def open_lines(
    arrays: Mapping[str, np.ndarray], orientation: Orientation | None, inputs: int | None
) -> list[str]:
    """List the rows and columns without a name that may be weights as well as biases.

    Of weights of shapes (12, 3) and (3, 1) the second may be biases, or a layer of one unit.
    """
    names = sorted(arrays, key=natural)
    lines = [name for name in names if arrays[name].ndim == 2 and min(arrays[name].shape) == 1]
    if any(not _PLACE.fullmatch(name) or arrays[name].ndim != 2 for name in names):
        return []
    if len(lines) > _MOST_OPEN:
        return lines

    def fits(biases: set[str], step: int) -> bool:
        shapes = [arrays[name].shape[::step] for name in names if name not in biases]
        sizes = [arrays[name].size for name in names if name in biases]
        chained = all(one[1] == two[0] for one, two in itertools.pairwise(shapes))
        units = [shape[1] for shape in shapes]
        known = inputs is None or (bool(shapes) and shapes[0][0] == inputs)
        # A place tells whose biases are only where every layer has some.
        return known and chained and sizes in ([], units)

    ways = {"in_out": 1, "out_in": -1}
    steps = ways.values() if orientation is None else [ways[orientation]]
    fitting = sum(
        any(fits(set(itertools.compress(lines, reading)), step) for step in steps)
        for reading in itertools.product((False, True), repeat=len(lines))
    )
    return lines if fitting > 1 else []


def numbers(array: np.ndarray, where: str) -> np.ndarray:
    """Check that an array holds finite real numbers; return it in float32 or float64.

    Raises:
        JaxbqError: it does not.
    """
    if array.dtype.kind not in "fiu":
        raise JaxbqError(f"{where}: holds {array.dtype}, not real numbers")
    plain = np.asarray(array, np.float32 if array.dtype.itemsize <= 4 else np.float64)
    if not np.isfinite(plain).all():
        raise JaxbqError(f"{where}: holds values that are not finite")
    return plain


def check_chain(layers: Sequence[RawLayer], where: str) -> None:
    """Check that every layer takes what the one before it gives.

    Raises:
        JaxbqError: it does not, or there is none.
    """
    if not layers:
        raise JaxbqError(f"{where}: holds no layer")
    for number, layer in enumerate(layers, 1):
        if layer.weight.ndim != 2 or layer.weight.size == 0:
            raise JaxbqError(f"{where}: layer {number} has weights of shape {layer.weight.shape}")
        if layer.bias is not None and layer.bias.shape != layer.weight.shape[1:]:
            raise JaxbqError(f"{where}: the bias of layer {number} does not fit its weights")
    for number, (one, two) in enumerate(itertools.pairwise(layers), 1):
        if one.weight.shape[1] != two.weight.shape[0]:
            raise JaxbqError(
                f"{where}: layer {number} gives {one.weight.shape[1]} values, but the next takes "
                f"{two.weight.shape[0]}"
            )


def _sorted_out(
    arrays: Mapping[str, np.ndarray], where: str
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Tell weights from biases."""
    weights, biases, lower = {}, {}, {name.lower() for name in arrays}
    for name, array in arrays.items():
        shown = f"{where}: array {name!r}"
        if array.size == 0:
            raise JaxbqError(f"{shown} is empty")
        # A bias may be a row or a column; a network of one output has weights like that.
        is_line = array.ndim < 2 or (array.ndim == 2 and min(array.shape) == 1)
        # Of V and W the biases may be bV and bW.
        named = _is_bias(name) or (name[:1] in "bB" and name[1:].lower() in lower)
        if named and is_line:
            biases[name] = numbers(array.reshape(-1), shown)
        elif array.ndim == 2 and array.dtype.kind in "iu" and array.dtype.itemsize == 1:
            raise JaxbqError(
                f"{shown} is {array.dtype}, quantised weights it seems; save them as real numbers: "
                "scale * (weights - zero_point)"
            )
        elif array.ndim == 2:
            weights[name] = numbers(array, shown)
        elif array.ndim == 1 and _PLACE.fullmatch(name):
            biases[name] = numbers(array, shown)
        else:
            raise JaxbqError(f"{shown} of shape {array.shape} {_why_not(name, array)}")
    if not weights:
        raise JaxbqError(f"{where}: holds no weights (arrays of two axes)")
    if max(len(weights), len(biases)) > _MOST_LAYERS:
        raise JaxbqError(f"{where}: {len(weights)} layers are more than jaxbq reads")
    return weights, biases


def _check_names(weights: Mapping[str, np.ndarray], where: str) -> None:
    """Refuse a matrix of another name beside W0, W1, which may be a table of results."""
    numbered = [name for name in weights if re.fullmatch(r"(w|weights?|theta)_?\d+", name.lower())]
    others = [name for name in weights if name not in numbered and not layer_name(name)]
    if len(numbered) > 1 and others:
        raise JaxbqError(
            f"{where}: is {others[0]!r}, beside {numbered[0]} and {numbered[1]}, a layer? If so, "
            "number it likewise; if not, save the layers apart from it"
        )


def _why_not(name: str, array: np.ndarray) -> str:
    """Say why an array is no layer's, and what can be done."""
    if _letters(name).endswith(("images", "x", "xtrain", "xtest", "data")):
        return "is images, it seems, and no layer; name the file with --data, and a network first"
    if array.ndim > 2:
        return (
            "is of a convolutional layer, or one like it, and only fully connected ones can be "
            "imported; a network with it can be used as it is, see docs/own-models.md"
        )
    if name.rsplit(".", 1)[-1] == "weight":
        return (
            "is of no fully connected layer, perhaps of LayerNorm or PReLU, which do not fold; a "
            "network with it can be used as it is, see docs/own-models.md"
        )
    if _STEPS.search(_letters(name)):
        return (
            "may be a step of the network's own, such as a scaling; where it scales the inputs, "
            "say so (inputs=jaxbq.Inputs(scale=…, offset=…)) and save the layers apart from it"
        )
    return (
        "is neither the weights of a fully connected layer nor, by its name, a bias; if it is one, "
        "call it b0, b1, … for the layers W0, W1, …"
    )


def _is_bias(name: str) -> bool:
    letters = _letters(name)
    return (
        any(word in letters for word in ("bias", "intercept"))
        or re.fullmatch(r"b(ih|hh|ho|xh|hy|h|o|y|in|out)?", letters) is not None
        or re.search(r"[\d._/~ -]b_?\d*$", name.lower()) is not None
    )


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


# What books and courses call the layers of a small network, in their order.
_ROLES = (
    r"(ih|xh|inputhidden|inputtohidden)$",
    r"(hh|hiddenhidden|hiddentohidden|^[wb]h|hidden)$",
    r"(ho|hy|hiddenoutput|hiddentooutput|^[wb][oy]|out|output)$",
)


def _role(name: str) -> int | None:
    words = re.sub(r"(weights?|kernel|coefs?|bias(es)?|intercepts?)", "", _letters(name))
    both = (words, _letters(name))
    return next(
        (n for n, role in enumerate(_ROLES) if any(re.search(role, word) for word in both)), None
    )


def _order(
    weights: dict[str, np.ndarray],
    biases: dict[str, np.ndarray],
    where: str,
    orientation: Orientation | None,
    inputs: int | None,
    ordered: bool,
) -> tuple[str, ...]:
    """Order the layers: as names tell; else as in the file; else the only way that fits."""

    def fits(order: Sequence[str]) -> bool:
        return bool(_ways(weights, biases, order, orientation, inputs))

    names = tuple(weights)
    told = _by_name(names)
    for order in [told] if told else [names] if ordered else []:
        if fits(order):
            return order
    if not told and len(names) <= _MOST_PERMUTED:
        fitting = [order for order in itertools.permutations(names) if fits(order)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise JaxbqError(
                f"{where}: weights {_say_shapes(weights, names)} fit in several orders; give them "
                "numbers in their names, like W0, W1"
            )
    order = told or names
    ways = [] if inputs is None else _ways(weights, biases, order, orientation, None)
    if ways:
        numbers = dict.fromkeys(str(weights[order[0]].shape[way == "out_in"]) for way in ways)
        taken = " or ".join(numbers)
        raise JaxbqError(
            f"{where}: takes {taken} inputs, but an image has {inputs} pixels; resize the images "
            "(a folder of them in a config: size = [height, width]), or name other data"
        )
    known = "" if inputs is None else f" from {inputs} inputs"
    known += "" if orientation is None else f", oriented {orientation}"
    with_biases = f" and biases {_say_shapes(biases, biases)}" if biases else ""
    raise JaxbqError(
        f"{where}: weights {_say_shapes(weights, order)}{with_biases} do not form a chain of "
        f"layers{known}"
    )


def _by_name(names: Sequence[str]) -> tuple[str, ...] | None:
    """Order names that tell it: by role, or numbered with one stem, one after the other if need be.

    ``fc1, fc2, out`` and ``dense, dense_1`` do; ``red, blue`` do not, nor ``a1, b2``.
    """
    roles = {name: _role(name) for name in names}
    if all(role is not None for role in roles.values()):
        return tuple(sorted(names, key=lambda name: (roles[name] or 0, natural(_key(name)))))
    ends = [name for name in names if roles[name] in (0, 2)]
    between = [name for name in names if name not in ends]
    stems = {re.sub(r"[\d_.\s-]+", "", name.lower()) for name in between}
    numbered = sum(any(map(str.isdecimal, name)) for name in between)
    single = len({roles[name] for name in ends}) == len(ends)
    if single and (len(between) <= 1 or (len(stems) == 1 and numbered >= len(between) - 1)):
        place = {name: 1 if name in between else roles[name] for name in names}
        return tuple(sorted(names, key=lambda name: (place[name] or 0, natural(_key(name)))))
    return None


def _ways(
    weights: dict[str, np.ndarray],
    biases: dict[str, np.ndarray],
    order: Sequence[str],
    orientation: Orientation | None,
    inputs: int | None,
) -> list[Orientation]:
    """List the orientations in which weights in this order make a chain that fits the biases."""
    both: tuple[Orientation, ...] = ("in_out", "out_in")
    matched = _match(order, biases)
    return [
        way
        for way in both
        if orientation in (None, way)
        and matched is not None
        and _fits(weights, biases, order, matched, way, inputs)
    ]


def _fits(
    weights: dict[str, np.ndarray],
    biases: dict[str, np.ndarray],
    order: Sequence[str],
    matched: Sequence[str | None],
    way: Orientation,
    inputs: int | None,
) -> bool:
    shapes = [weights[name].shape[:: 1 if way == "in_out" else -1] for name in order]
    if inputs is not None and shapes[0][0] != inputs:
        return False
    if any(one[1] != two[0] for one, two in itertools.pairwise(shapes)):
        return False
    return all(
        name is None or len(biases[name]) == shape[1]
        for name, shape in zip(matched, shapes, strict=True)
    )


def _match(order: Sequence[str], biases: Mapping[str, np.ndarray]) -> list[str | None] | None:
    """Find the bias of every layer by its name, or by its place; None where that is not told."""
    by_key = {_key(name): name for name in biases}
    keys = [_key(name) for name in order]
    if len(by_key) == len(biases) and set(by_key) <= set(keys):
        return [by_key.get(key) for key in keys]
    if len(biases) != len(order):
        return None
    if all(_role(name) is not None for name in (*order, *biases)):
        # Of wih, who, bh, bo: each bias by the part that its layer has in the network.
        by_role = sorted(biases, key=lambda name: (_role(name) or 0, natural(name)))
        place = {
            name: n
            for n, name in enumerate(sorted(order, key=lambda n: (_role(n) or 0, natural(n))))
        }
        return [by_role[place[name]] for name in order]
    # The same kind of order for both: a bias stands where its weights do.
    rank = {name: place for place, name in enumerate(sorted(order, key=natural))}
    in_order = sorted(biases, key=natural)
    return [in_order[rank[name]] for name in order]


def _key(name: str) -> str:
    """Name what weight and bias share: ``fc1`` of ``fc1.weight``, ``ih`` of ``wih``."""
    lower = name.lower()
    key = re.sub(r"(weights?|kernels?|coefs?|bias(es)?|intercepts?)", "", lower)
    if key == lower:
        # Of l1.w or layer1_b; else of wih or b1.
        key = re.sub(r"([\d._/~ -])[wb](_?\d*)$", r"\1\2", lower)
    if key == lower and lower[:1] in ("w", "b"):
        key = lower[1:]
    return re.sub(r"[^a-z0-9]+", " ", key).strip()


def _say_shapes(arrays: Mapping[str, np.ndarray], names: Iterable[str]) -> str:
    shown = [f"{name} {arrays[name].shape}" for name in itertools.islice(names, 8)]
    return ", ".join(shown) + (", …" if len(arrays) > len(shown) else "")


def layer_name(name: str) -> bool:
    """Tell whether a name alone says that its array is a layer's, like W0, wih or Theta1."""
    return (
        _role(name) is not None
        or re.fullmatch(r"(weights?|bias(es)?|w|b|theta)_?\d+", name.lower()) is not None
    )


def part_name(name: str) -> bool:
    """Tell likewise, also of weights and biases with a name of their layer: fc1.weight, l1_b."""
    words = r".*[\d._ -](weights?|kernels?|bias(es)?)|.*\d[._ -][wb]|weights?|bias(es)?|w|b"
    return layer_name(name) or re.fullmatch(words, name.lower()) is not None
